"""CFKG: Learning Heterogeneous Knowledge Base Embeddings for Explainable Recommendation. Ai, Azizi,
Chen and Zhang, Algorithms 2018.

https://arxiv.org/abs/1805.03352
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import CorruptedBatch, PositiveBatch, Query, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import (
    DotProduct,
    Objective,
    Plan,
    Preset,
    Recommender,
    Scorer,
    Span,
    Split,
)
from kgrec.models.knowledge.cfkg_effects import CFKGEffects
from kgrec.models.sources import Triples
from kgrec.models.typed_facts import TypedFacts
from kgrec.nn.init import normal
from kgrec.nn.losses import l2, logistic, margin_hinge
from kgrec.nn.ranking_loss import WarmItems
from kgrec.ops.rows import take_rows, unit_rows


@dataclass(frozen=True, slots=True)
class CFKGConfig:
    """Hyper-parameters of CFKG.

    Attributes:
        dim: Embedding size d.
        score: How close a head moved by its relation is to a tail, in training and in ranking
            alike: "inner" product as in the paper, "cosine" over the temperature, or minus the "l1"
            or the squared "l2" distance.
        loss: "sampling" of negatives as in the paper; "softmax", what that approximates, over all
            tails of ``interacts`` and over the sampled negatives of a triple (inner and cosine
            only); "margin" between true and corrupted, as in the KGAT authors' code.
        temperature: What a cosine is divided by, in (0, 1]; unused by the other scores.
        sampling: "typed" trains interactions and triples in batches of their own, negatives drawn
            among tails of the same type; "any" as the KGAT authors' code: one set of facts and
            their inverses, heads drawn uniformly, one negative among all nodes.
        negatives: Negative tails per fact of "typed" sampling; 5 in the paper.
        noise_power: Power of a tail's frequency among the facts of its relation that "typed"
            negatives are drawn by: 0 draws uniformly, 1 by frequency as the paper, 0.75 as its
            authors' code. Negatives of ``interacts`` and of its inverse are always uniform.
        margin: Margin of the "margin" loss; 1 in the KGAT authors' code.
        kg_weight: Weight of the mean over triples against the mean over interactions.
        inverse: Whether every triple is also learned backwards, by an inverse relation.
        l2_weight: Weight of half the squared norms of the rows of the batch, divided by its size.
        init_scale: Standard deviation of the initial embeddings.
    """

    dim: int = 64
    score: Literal["inner", "cosine", "l1", "l2"] = "cosine"
    loss: Literal["softmax", "sampling", "margin"] = "softmax"
    temperature: float = 0.2
    sampling: Literal["typed", "any"] = "typed"
    negatives: int = 5
    noise_power: float = 0.0
    margin: float = 1.0
    kg_weight: float = 0.1
    inverse: bool = False
    l2_weight: float = 1e-4
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.negatives < 1 or self.margin <= 0 or self.init_scale <= 0:
            raise ConfigError(
                "CFKG needs dim and negatives of at least 1, margin > 0 and init_scale > 0."
            )

        if (
            min(self.kg_weight, self.l2_weight, self.noise_power) < 0
            or not 0 < self.temperature <= 1
        ):
            raise ConfigError(
                "CFKG needs kg_weight, l2_weight and noise_power >= 0, and a temperature in (0, 1]."
            )

        if self.score not in ("inner", "cosine", "l1", "l2") or self.loss not in (
            "softmax",
            "sampling",
            "margin",
        ):
            raise ConfigError(
                'CFKG needs score "inner", "cosine", "l1" or "l2" and loss "softmax", "sampling" or "margin".'
            )

        if self.sampling not in ("typed", "any") or (
            self.sampling == "any" and not (self.inverse and self.loss == "margin")
        ):
            raise ConfigError(
                'CFKG needs sampling "typed" or "any", the latter with inverse=true and loss "margin".'
            )

        if self.loss == "softmax" and self.score in ("l1", "l2"):
            raise ConfigError(
                f'CFKG: loss "softmax" is over inner products, not over score {self.score!r}. Take "sampling" or "margin".'
            )


PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset(
        {
            "score": "inner",
            "loss": "sampling",
            "dim": 300,
            "noise_power": 1.0,
            "kg_weight": 1.0,
            "l2_weight": 0.0,
        },
        {"epochs": 20, "patience": 0, "batch_size": 64, "learning_rate": 1e-3},
    ),
    "official": Preset(
        {"score": "l1", "loss": "margin", "sampling": "any", "inverse": True, "l2_weight": 0.0},
        {"epochs": 1000, "patience": 0, "batch_size": 1024, "learning_rate": 1e-4},
    ),
    "fast": Preset(train={"learning_rate": 0.02, "epochs": 20, "patience": 5}),
}
SPACE = {
    "learning_rate": Span(1e-3, 3e-2, log=True),
    "temperature": (0.1, 0.15, 0.2, 0.25, 0.3),
    "kg_weight": Span(1e-2, 10.0, log=True),
    "l2_weight": Span(1e-6, 1e-2, log=True),
}


@dataclass(frozen=True, slots=True)
class Translation:
    """The scorer by distance: minus the L1 distance, or minus the squared L2 distance, from a moved
    user to an item.

    Attributes:
        users: Users, moved by ``interacts``.
        items: One vector per item.
        norm: 1 or 2.
    """

    users: Float[Tensor, "users dim"]
    items: Float[Tensor, "items dim"]
    norm: int

    @property
    def function(self) -> str:
        """What makes a score of two vectors."""
        if self.norm == 1:
            return "negative_l1"
        return "negative_squared_l2"

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the negated distances; no array of every user's difference to every item is
        made.
        """
        moved = self.users[query.user]
        if items is None:
            distance = torch.cdist(
                moved, self.items, p=self.norm, compute_mode="donot_use_mm_for_euclid_dist"
            )
        else:
            distance = (moved.unsqueeze(1) - self.items[items]).norm(p=self.norm, dim=2)

        return -(distance if self.norm == 1 else distance.square())

    def similar(self, item: int) -> Float[Tensor, " items"]:
        """Return the cosine of each item's vector with one item's."""
        items = unit_rows(self.items)
        return items @ items[item]


class CFKG(Recommender):
    """Embed users, items and entities by translation in one graph, in which an interaction is one
    more relation.

        score(h, r, t) = e_t . (e_h + r),   score(u, i) that of (u, interacts, i)
        loss = -log sigmoid(score(h, r, t))
               - sum over k negatives t' of log sigmoid(-score(h, r, t'))

    ``t'`` is of the type of ``t``: one of the tails of r. Interactions and triples are trained in
    one step.

    Differs from the paper: by default ``t'`` is drawn uniformly, in the preset "paper" as there, by
    its frequency as a tail of r, and uniformly for interactions alone; it is never the fact's own
    tail, which the paper does not leave out. Interactions and triples come in batches of their own,
    whose means have a weight, where the paper adds up all facts alike; an entity's type is the
    relation it is a tail of; Adam at a constant rate instead of SGD from .5 downwards with clipped
    gradients, a normal start; the "cosine" score and the "softmax" loss are additions. The
    distances, the margin loss and "any" sampling make the preset "official", the baseline in the
    KGAT authors' code, there with SGD and a Glorot normal start.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Ai et al., CFKG, Algorithms 11(9):137, 2018. https://arxiv.org/abs/1805.03352
    """

    scores_read_graph = False
    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: CFKGConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        relations = ckg.num_relations * (2 if config.inverse else 1)
        scale = config.init_scale
        nodes = normal(ckg.num_nodes, config.dim, scale=scale, generator=generator)
        self.nodes = nn.Parameter(nodes)  # e
        names = normal(relations, config.dim, scale=scale, generator=generator)
        self.relations = nn.Parameter(names)  # r
        self.warm = WarmItems(*ckg.warm_items())

    @classmethod
    def from_dataset(cls, data: Dataset, config: CFKGConfig, generator: torch.Generator) -> "CFKG":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def scores(
        self, moved: Float[Tensor, "batch dim"], tail: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand"]:
        """Return how close moved heads are to tails."""
        kind = self.config.score
        if kind == "cosine":
            flat = unit_rows(tail.flatten(0, 1), self.shard.added)
            each = unit_rows(moved, self.shard.added).unsqueeze(1) * flat.view_as(tail)
            return self.shard.total(each.sum(2)) / self.config.temperature

        if kind == "inner":
            return self.shard.total((moved.unsqueeze(1) * tail).sum(2))

        difference = moved.unsqueeze(1) - tail
        each = difference.abs() if kind == "l1" else difference.square()
        return -self.shard.total(each.sum(2))

    def sampled_loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the configured loss of facts against their negative tails, with L2 on their
        rows.
        """
        count = batch.negative.shape[1] + 1
        tails = torch.cat([batch.tail.unsqueeze(1), batch.negative], 1).flatten()
        head, tail = torch.split(
            take_rows(self.nodes, torch.cat([batch.head, tails])), [len(batch.head), len(tails)]
        )
        relation = take_rows(self.relations, batch.relation)
        tail = tail.view(len(head), count, -1)
        score = self.scores(head + relation, tail)  # (batch, 1 + negatives)

        if self.config.loss == "margin":
            loss = margin_hinge(score[:, 0], score[:, 1:], self.config.margin)
        elif self.config.loss == "sampling":
            loss = logistic(score[:, 0], score[:, 1:])
        else:
            loss = (score.logsumexp(1) - score[:, 0]).mean()

        squares = self.shard.total(l2(head, relation, *tail.unbind(1)))
        return loss + self.config.l2_weight * squares

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of interactions over all items that have any, with L2 on the
        rows of the batch.
        """
        rows = torch.cat([batch.user + self.ckg.num_entities, self.warm.items])
        user, items = torch.split(take_rows(self.nodes, rows), [len(batch.user), self.warm.count])
        relation = take_rows(self.relations, torch.zeros_like(batch.user))  # interacts
        positive = take_rows(items, self.warm.position[batch.positive])
        regularizer = self.config.l2_weight * self.shard.total(l2(user, relation, positive))
        moved = user + relation

        if self.config.score == "cosine":
            moved = unit_rows(moved, self.shard.added) / self.config.temperature
            items = unit_rows(items, self.shard.added)

        return self.warm.softmax(moved, items, batch.positive, self.shard) + regularizer

    def pair_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return the configured loss of facts against one corrupted tail each."""
        forward = torch.zeros_like(batch.head, dtype=torch.bool)
        negative = batch.negative_tail.unsqueeze(1)  # (batch, 1)
        facts = (batch.head, batch.relation, batch.tail)
        return self.sampled_loss(CorruptedBatch(*facts, negative, forward))

    def kg_loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the weighted loss of triples."""
        return self.config.kg_weight * self.sampled_loss(batch)

    def plan(self) -> Plan:
        """Return interactions and triples, trained in one step, or all facts as one set."""
        plan = Plan(self._objectives(), joint=self.config.sampling != "any")
        return plan.by_columns(Split((self.nodes, self.relations)))

    def _objectives(self) -> tuple[Objective[Any], ...]:
        if self.config.sampling == "any":
            head, relation, tail = (torch.from_numpy(part) for part in self.facts())
            facts = Triples(
                head,
                relation,
                tail,
                num_tails=self.ckg.num_nodes,
                by_head=True,
                num_interactions=int((self.ckg.relation == 0).sum()),
            )
            return (Objective(TripleBatch, self.pair_loss, name="facts", source=facts),)

        first: Objective[Any]
        if self.config.loss == "softmax":
            first = Objective(PositiveBatch, self.softmax_loss, name="softmax")
        else:
            drawn = _drawn(self, interactions=True)
            first = Objective(CorruptedBatch, self.sampled_loss, name="interactions", source=drawn)

        if not (self.ckg.relation > 0).any():
            return (first,)

        drawn = _drawn(self, interactions=False)
        second = Objective(CorruptedBatch, self.kg_loss, name="triples", source=drawn)
        return (first, second)

    def facts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return heads, relations and tails of what is learned."""
        if self.config.inverse:
            return self.ckg.both_ways()
        return (self.ckg.head, self.ckg.relation, self.ckg.tail)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the graph joins to an interaction."""
        return reached(self.ckg)

    def scorer(self) -> Scorer:
        """Return what ranks by the score that was trained."""
        nodes = self.nodes.detach()
        users = nodes[self.ckg.num_entities :] + self.relations[0].detach()
        items = nodes[: self.ckg.num_items]
        if self.config.score in ("l1", "l2"):
            return Translation(users, items, 1 if self.config.score == "l1" else 2)

        return DotProduct(users, unit_rows(items) if self.config.score == "cosine" else items)

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return the vectors as trained; users are not moved by ``interacts``."""
        entities = self.nodes[: self.ckg.num_entities]
        count = self.ckg.num_relations

        return {
            "users": self.nodes[len(entities) :],
            "items": entities[: self.ckg.num_items],
            "entities": entities,
            "relations": self.relations[1:count],
            "relations_inverse": self.relations[count + 1 :],
            "interacts": self.relations[:1],
        }

    def explanation_effects(self) -> CFKGEffects:
        """Return what the relation ``interacts`` gives, and how plausible facts are."""
        return CFKGEffects(self)


def _drawn(model: CFKG, *, interactions: bool) -> TypedFacts:
    columns = model.facts()
    chosen = np.nonzero((columns[1] == 0) == interactions)[0]
    head, relation, tail = (torch.from_numpy(column[chosen]) for column in columns)
    power = torch.full((len(model.relations),), model.config.noise_power)
    power[:: model.ckg.num_relations] = 0.0  # ``interacts`` and its inverse
    name = "interactions" if interactions else "triples"
    return TypedFacts((head, relation, tail), model.config.negatives, power, name)
