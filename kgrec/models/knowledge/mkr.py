"""MKR: Multi-Task Feature Learning for Knowledge Graph Enhanced Recommendation. Wang et al., WWW
2019.

https://arxiv.org/abs/1901.08907 (equation numbers are those of version 1)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from kgrec.batches import PointwiseBatch, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import DotProduct, ModelEffects, Objective, Plan, Preset, Recommender, Span
from kgrec.models.capabilities import Plausible
from kgrec.models.knowledge.base import SampledFacts
from kgrec.models.sources import NegativeSource, Points, Triples
from kgrec.nn.dense import dense
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import half_squares, l2
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class MKRConfig:
    """Hyper-parameters of MKR.

    Attributes:
        dim: Embedding size d; 8 in the paper for movies and books, 4 for music.
        num_low: Cross&compress units and dense layers L of both tasks; 1 in the paper for movies
            and books, 2 for music.
        num_high: Layers H that predict a tail; 1 in the paper.
        form: "paper" holds false triples against true ones, Eq. (9); "code" knows true ones
            alone, as the authors' code does.
        kg_interval: Epochs of recommendation that one pass over the triples stands for; 3 in the
            paper for movies, 2 for books and music. Their rate is divided by it.
        kg_rate: Learning rate of triples, as a multiple of that of recommendation; 0.5 in the
            authors' code for movies, 0.1 for books, 0.2 for music.
        negatives: Items drawn for each interaction where the data has no labeled negatives; 1 in
            the paper.
        l2_weight: Weight of half the squares of the embeddings of a batch, divided by its size, and
            of the other parameters; 1e-6 in the paper.
    """

    dim: int = 32
    num_low: int = 1
    num_high: int = 1
    form: Literal["paper", "code"] = "paper"
    kg_interval: int = 1
    kg_rate: float = 1.0
    negatives: int = 4
    l2_weight: float = 1e-6

    def __post_init__(self) -> None:
        """Reject values out of range."""
        sizes = (self.dim, self.num_low, self.num_high, self.kg_interval, self.negatives)
        if min(sizes) < 1:
            raise ConfigError(
                "MKR needs dim, num_low, num_high, kg_interval and negatives of at least 1."
            )
        if self.kg_rate <= 0 or self.l2_weight < 0 or self.form not in ("paper", "code"):
            raise ConfigError('MKR needs kg_rate > 0, l2_weight >= 0, and form "paper" or "code".')


_PUBLISHED = {"dim": 8, "kg_interval": 3, "kg_rate": 0.5, "negatives": 1}
_PUBLISHED_TRAINING = {"epochs": 20, "patience": 0, "batch_size": 4096, "learning_rate": 0.02}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "form": "paper"}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_low": (1, 2),
    "form": ("paper", "code"),
    "kg_interval": (1, 2, 4),
    "negatives": (1, 4, 16),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "l2_weight": Span(1e-7, 1e-3, log=True),
}


class CrossCompress(nn.Module):
    """A layer in which an item and its entity give each other features.

        C = v e^T,   v' = C w_vv + C^T w_ev + b_v,   e' = C w_ve + C^T w_ee + b_e           (1)-(2)

    Args:
        dim: Size of both.
        generator: Draws the weights.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        weights = [glorot_uniform(dim, 1, generator=generator) for _ in range(4)]
        self.weights = nn.Parameter(torch.cat(weights, 1))  # w_vv, w_ev, w_ve, w_ee
        self.biases = nn.Parameter(torch.zeros(2, dim))  # b_v, b_e

    def forward(
        self, v: Float[Tensor, "batch dim"], e: Float[Tensor, "batch dim"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return v' and e': C w is v (e . w), C^T w is e (v . w), Eq. (2)."""
        by_e, by_v = e @ self.weights, v @ self.weights  # (batch, 4)
        new_v = v * by_e[:, 0:1] + e * by_v[:, 1:2]
        new_e = v * by_e[:, 2:3] + e * by_v[:, 3:4]
        return new_v + self.biases[0], new_e + self.biases[1]


class MKR(Recommender):
    """Rank items and predict tails of triples at once, items and their entities sharing features.

        v, e <- cross and compress of an item and its entity, L times                       (1)-(2)
        u <- L dense layers;   score(u, i) = u . v                                          (3)-(5)
        t <- L dense layers;   t' = sigma(H dense layers of e_h || r),
        plausibility(h, r, t) = sigma(t . t')                                               (6)-(7)
        loss = cross-entropy of labeled pairs + mean of false less true plausibilities
               + lambda_2 |parameters|^2                                                    (8)-(9)

    Recommendation and triples alternate, each with an optimizer of its own. No fact enters the
    scores but through what training made of the entities' vectors.

    Differs from the paper: triples are those that an item heads, inverses included, since only
    items have two vectors; they are passed over in every epoch, at a rate divided by
    ``kg_interval``, where the authors wait as many epochs; a user's score is the inner product, as
    in the authors' settings, and not a network; negatives are drawn again every epoch, unless the
    data has labeled ones; items without interactions are not ranked. ``form="code"`` (preset
    "official") has no false triples.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Wang et al., MKR, WWW 2019. https://arxiv.org/abs/1901.08907
    """

    scores_read_graph = False

    def __init__(self, ckg: CollaborativeKG, config: MKRConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        d = config.dim
        self.facts = SampledFacts(ckg)
        sizes = (ckg.num_users, ckg.num_items, ckg.num_entities, self.facts.num_relations)
        tables = [glorot_uniform(count, d, generator=generator) for count in sizes]
        self.users, self.items, self.entities, self.relations = map(nn.Parameter, tables)
        units = [CrossCompress(d, generator) for _ in range(config.num_low)]
        self.units = nn.ModuleList(units)
        low = [d] * (config.num_low + 1)
        self.user_layers = dense(low, generator)
        self.tail_layers = dense(low, generator)
        high = [2 * d] * config.num_high + [d]
        self.predicted = dense(high, generator, last=nn.Sigmoid())

    @classmethod
    def from_dataset(cls, data: Dataset, config: MKRConfig, generator: torch.Generator) -> "MKR":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def crossed(
        self, item: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return items and their entities after all units, Eqs. (1)-(2)."""
        v = take_rows(self.items, item)
        e = take_rows(self.entities, item)
        for unit in self.units:
            v, e = unit(v, e)

        return v, e

    def click_loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of labeled pairs, and L2."""
        u, (v, _) = self.user_layers(take_rows(self.users, batch.user)), self.crossed(batch.item)
        found = binary_cross_entropy_with_logits((u * v).sum(1), batch.label)
        rows = take_rows(self.users, batch.user), take_rows(self.items, batch.item)
        return found + self._penalty(rows, self.user_layers)

    def triple_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return how much more plausible false triples are than true ones, and L2."""
        loss = -torch.sigmoid(self.plausibilities(batch.head, batch.relation, batch.tail)).mean()
        if self.config.form == "paper":
            false = self.plausibilities(batch.head, batch.relation, batch.negative_tail)
            loss = loss + torch.sigmoid(false).mean()  # Eq. (9)

        rows = take_rows(self.entities, batch.head), take_rows(self.entities, batch.tail)
        return loss + self._penalty(rows, self.tail_layers, self.predicted)

    def _penalty(self, rows: tuple[Tensor, Tensor], *layers: nn.Module) -> Float[Tensor, ""]:
        shared = [p for part in (self.units, *layers) for p in part.parameters()]
        return self.config.l2_weight * (l2(*rows) + half_squares(shared))

    def plausibilities(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return t . t' of triples that items head, Eqs. (6)-(7)."""
        _, e = self.crossed(head)
        predicted = self.predicted(torch.cat([e, take_rows(self.relations, relation)], 1))
        found: Tensor = (self.tail_layers(take_rows(self.entities, tail)) * predicted).sum(1)
        return found

    def plan(self) -> Plan:
        """Return alternating epochs of labeled pairs and triples; pairs alone without triples."""
        config = self.config
        points = Points(negatives=NegativeSource(config.negatives))
        mine = (self.users, self.items, self.entities, *self.units.parameters())
        mine = (*mine, *self.user_layers.parameters())
        first = Objective(PointwiseBatch, self.click_loss, mine, name="bce", source=points)
        edges = self.facts.head[: self.facts.num_edges] < self.ckg.num_items
        if not bool(edges.any()):
            return Plan((first,))

        parts = (self.facts.head, self.facts.relation, self.facts.tail)
        head, relation, tail = (part[:-1][edges] for part in parts)
        source = Triples(head, relation, tail, num_tails=self.ckg.num_entities)
        theirs = (self.items, self.entities, self.relations, *self.units.parameters())
        theirs = (*theirs, *self.tail_layers.parameters(), *self.predicted.parameters())
        rate = config.kg_rate / config.kg_interval
        what = (TripleBatch, self.triple_loss, theirs)
        return Plan((first, Objective(*what, name="tails", source=source, rate=rate)))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items with interactions. The tails that an item's triples predict
        bind e' alone, so that v' of an item without interactions is where it started, Eq. (2).
        """
        return with_interactions(data)

    def scorer(self) -> DotProduct:
        """Return users and items after their layers."""
        items, _ = self.crossed(torch.arange(self.ckg.num_items, device=self.users.device))
        return DotProduct(self.user_layers(self.users), items)

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, the entities, and the relations."""
        ranked = self.scorer()
        vectors = {"users": ranked.users, "items": ranked.items, "entities": self.entities}
        return {**vectors, "relations": self.relations[: max(1, self.ckg.num_relations - 1)]}

    def explanation_effects(self) -> ModelEffects:
        """Return how plausible facts are: none enters the scores."""
        return MKREffects(self)


class MKREffects(Plausible):
    """How plausible facts are.

    Args:
        model: The model.
    """

    def __init__(self, model: MKR) -> None:
        self._model = model

    @torch.no_grad()
    def plausibility(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return log sigmoid(t . t'); of a triple that an item is the tail of, that of its inverse;
        of one without an item, log 1/2.
        """
        model = self._model
        items = model.ckg.num_items
        turn = head >= items
        inverse = relation + model.ckg.num_relations - 1
        head, tail = torch.where(turn, tail, head), torch.where(turn, head, tail)
        relation = torch.where(turn, inverse, relation)
        found = model.plausibilities(head.clamp(max=items - 1), relation, tail)
        return logsigmoid(found.where(head < items, 0.0))
