"""KGIN: Learning Intents behind Interactions with Knowledge Graph for Recommendation. Wang et al., WWW 2021.

https://arxiv.org/abs/2102.07057 (equation numbers are those of version 1)
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.typed import TypedMean
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import bpr, cosine_softmax, l2
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.typed import TypedEdges, typed_sum
from kgrec.random import derive

_INTENT_TEMPERATURE = 0.2  # tau of Eq. (4), as in the authors' code
_TINY = 1e-8


@dataclass(frozen=True, slots=True)
class KGINConfig:
    """Hyper-parameters of KGIN.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Layers L, the length of the relational paths; 3 in the paper.
        num_intents: Intents P; 4 in the paper.
        form: "paper" takes the user's equations and the independence of intents as printed; "code" as the authors' code computes them
            (see ``KGIN``).
        independence: What keeps intents apart: "distance" correlation (the paper's better choice), squared "cosine", or "mi", the mutual
            information of Eq. (4).
        independence_weight: Weight of that term; 1e-4 or 1e-5 in the paper, by data set.
        node_dropout: Probability of leaving an edge out of a step, in [0, 1); 0.5 in the authors' code, whose ``node_dropout_rate`` is the
            share kept.
        message_dropout: Probability of dropping a value after each layer, in [0, 1); 0.1 in the authors' code.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items that have training
            interactions, and ranks by normalized item vectors. Items without any are left to what the graph says of them.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        l2_weight: Weight of half the squared norms of the final embeddings of the batch, divided by its size; 1e-5 in the paper.
    """

    dim: int = 64
    num_layers: int = 1
    num_intents: int = 4
    form: Literal["paper", "code"] = "code"
    independence: Literal["distance", "cosine", "mi"] = "distance"
    independence_weight: float = 1e-4
    node_dropout: float = 0.5
    message_dropout: float = 0.1
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    l2_weight: float = 1e-5

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.num_layers < 1 or self.num_intents < 1:
            raise ConfigError("KGIN needs dim, num_layers and num_intents of at least 1.")
        if not 0 <= self.node_dropout < 1 or not 0 <= self.message_dropout < 1:
            raise ConfigError("KGIN needs node_dropout and message_dropout in [0, 1).")
        if self.independence_weight < 0 or self.l2_weight < 0:
            raise ConfigError("KGIN needs independence_weight and l2_weight >= 0.")
        if self.form not in ("paper", "code") or self.independence not in ("distance", "cosine", "mi"):
            raise ConfigError('KGIN needs form "paper" or "code" and independence "distance", "cosine" or "mi".')
        if self.loss not in ("bpr", "softmax") or not 0 < self.temperature <= 1:
            raise ConfigError('KGIN needs loss "bpr" or "softmax" and a temperature in (0, 1].')


_PUBLISHED = {"loss": "bpr", "num_layers": 3}
_PUBLISHED_TRAINING = {"epochs": 1000, "patience": 0, "batch_size": 1024, "learning_rate": 1e-4, "drop_last": True}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "form": "paper"}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "form": ("code", "paper"),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "node_dropout": Span(0.0, 0.7),
    "message_dropout": Span(0.0, 0.5),
    "l2_weight": Span(1e-6, 1e-3, log=True),
    "independence_weight": Span(1e-5, 1e-1, log=True),
}


class KGIN(Recommender):
    """Describe items by relational paths of the knowledge graph, and users by intents behind their interactions.

        e_p = sum over relations of softmax(w_p)_r e_r                                            (2)-(3)
        e_v <- mean over the triples (v, r, t) of e_r * e_t                                        (10)-(11)
        e_u <- mean over the items i of u of (sum over intents of beta(u, p) e_p) * e_i (+ e_i)    (7)-(8)
        beta(u, p) = softmax over intents of k_p . e_u                                             (9)
        e* = e^(0) + norm(e^(1)) + ... + norm(e^(L)),   score(u, i) = e*_u . e*_i                   (13)-(14)
        loss = BPR + lambda_1 independence of the intents + lambda_2 / 2 |e* of the batch|^2 / B    (15)-(16)

    Layers hand on normalized rows. Items gather from entities alone, never from users.

    Differs from the paper: ``form="code"``, the default, adds the mean of the items to the user's message, lets the user's current vector
    choose intents where the paper takes e_u^(0), and keeps the attention rows w_p apart where the paper keeps the intents e_p apart;
    intents are chosen by keys k_p of their own, as in the authors' code, in both forms. Mutual information contrasts intents, as in
    Eq. (4), where the authors' code contrasts relations. Dropped edges are drawn one by one, both directions of a fact apart. Facts about
    users are unused. L2 on the rows of the batch, as in the authors' code; the "softmax" loss is an addition.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Wang et al., KGIN, WWW 2021. https://arxiv.org/abs/2102.07057
    """

    warm_items: Tensor
    warm_position: Tensor
    _of_last: Tensor

    def __init__(self, ckg: CollaborativeKG, config: KGINConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        relations = 2 * (ckg.num_relations - 1)
        self.everywhere, self.last, of_last = _structures(ckg, relations)
        self.register_buffer("_of_last", of_last, persistent=False)
        self.nodes = nn.Parameter(glorot_uniform(ckg.num_nodes, config.dim, generator=generator))  # e^(0)
        self.keys = nn.Parameter(glorot_uniform(config.num_intents, config.dim, generator=generator))  # k_p
        self.relations = nn.Parameter(glorot_uniform(relations, config.dim, generator=generator))  # e_r
        self.intent_logits = nn.Parameter(glorot_uniform(config.num_intents, relations, generator=generator))  # w_p
        self.message_dropout = SeededDropout(config.message_dropout)
        self.node_dropout = SeededDropout(config.node_dropout)
        warm, position = ckg.warm_items()
        self.register_buffer("warm_items", torch.from_numpy(warm), persistent=False)
        self.register_buffer("warm_position", torch.from_numpy(position), persistent=False)

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGINConfig, generator: torch.Generator) -> "KGIN":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def intents(self) -> Float[Tensor, "heads dim"]:
        """Return the intents' embeddings, attentive combinations of the relations', Eqs. (2)-(3)."""
        return torch.softmax(self.intent_logits, 1) @ self.relations

    def aggregate_users(
        self, items: Float[Tensor, "users dim"], users: Float[Tensor, "users dim"], ego: Float[Tensor, "users dim"]
    ) -> Float[Tensor, "users dim"]:
        """Return the users' messages before dropout, Eqs. (7)-(9).

        Args:
            items: Mean of each user's items at this layer.
            users: The users at this layer.
            ego: The users at layer 0.
        """
        code = self.config.form == "code"
        beta = torch.softmax((users if code else ego) @ self.keys.T, 1)  # Eq. (9)
        mixed = items * (beta @ self.intents())
        return mixed + items if code else mixed

    def _layers(self) -> tuple[list[Float[Tensor, "entities dim"]], Float[Tensor, "users dim"], Float[Tensor, "items dim"]]:
        """Return the entities that each layer starts from, and the final embeddings of users and items, Eq. (13)."""
        entities, users = torch.split(self.nodes, [self.ckg.num_entities, self.ckg.num_users])
        vectors = torch.cat([self.relations, self.relations.new_ones(1, self.config.dim)])  # an interaction hands on the item as it is
        kept = self.node_dropout(self.everywhere.weight)
        ego, starts = users, []
        all_users, all_items = users, entities[: self.ckg.num_items]
        for number in range(1, self.config.num_layers + 1):
            starts.append(entities)
            graph, weight = (self.last, kept[self._of_last]) if number == self.config.num_layers else (self.everywhere, kept)
            gathered = typed_sum(entities, graph.edges, weight, vectors)
            message, mean = torch.split(gathered, [len(gathered) - len(users), len(users)])  # Eq. (10)
            users = unit_rows(self.message_dropout(self.aggregate_users(mean, users, ego)))
            entities = unit_rows(self.message_dropout(message))
            all_users, all_items = all_users + users, all_items + entities[: self.ckg.num_items]
        return starts, all_users, all_items

    def independence(self) -> Float[Tensor, ""]:
        """Return how much the intents say the same, Eqs. (4)-(6): 0 or more, less is better."""
        rows = self.intent_logits if self.config.form == "code" else self.intents()
        if self.config.independence == "mi":
            return intent_information(rows)
        alike = distance_correlations(rows) if self.config.independence == "distance" else _cosines(rows).square()
        return alike.triu(1).sum()

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR with the independence of intents and L2 on the final rows, Eqs. (15)-(16)."""
        _, users, items = self._layers()
        user = take_rows(users, batch.user)
        positive, negative = take_rows(items, torch.cat([batch.positive, batch.negative])).chunk(2)
        return bpr((user * positive).sum(1), (user * negative).sum(1)) + self._penalty(user, positive, negative)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with the terms of Eq. (16)."""
        _, users, items = self._layers()
        user = take_rows(users, batch.user)
        loss = cosine_softmax(user, take_rows(items, self.warm_items), self.warm_position[batch.positive], self.config.temperature)
        return loss + self._penalty(user, take_rows(items, batch.positive))

    def _penalty(self, *rows: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
        return self.config.l2_weight * l2(*rows) + self.config.independence_weight * self.independence()

    def plan(self) -> Plan:
        """Return one objective, the configured loss."""
        if self.config.loss == "bpr":
            return Plan((Objective(PairwiseBatch, self.bpr_loss, name="bpr"),), begin_epoch=self._reseed)
        return Plan((Objective(PositiveBatch, self.softmax_loss, name="softmax"),), begin_epoch=self._reseed)

    def _reseed(self, epoch: int, seed: int) -> None:
        self.message_dropout.reseed(derive(seed, "dropout", epoch), self.nodes.device)
        self.node_dropout.reseed(derive(seed, "dropped edges", epoch), self.nodes.device)

    def scorer(self) -> DotProduct:
        """Return the final embeddings, Eq. (14)."""
        starts, users, items = self._layers()
        ranked = unit_rows(items) if self.config.loss == "softmax" else items  # trained by cosine, compared by direction
        return DotProduct(users, ranked, fold=partial(self._fold_in, starts))

    def _fold_in(
        self, starts: list[Float[Tensor, "entities dim"]], history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch dim"]:
        """Return e* of new users: they start at the mean of the known users and gather from their history."""
        ego = self.nodes[self.ckg.num_entities :].mean(0, keepdim=True).expand(len(history), -1)
        share = (mask / mask.sum(1, keepdim=True).clamp(min=1)).to(ego.dtype).unsqueeze(2)
        users = total = ego
        for entities in starts:
            users = unit_rows(self.aggregate_users((entities[history] * share).sum(1), users, ego))
            total = total + users
        return total


def _structures(ckg: CollaborativeKG, relations: int) -> tuple[TypedMean, TypedMean, Tensor]:
    """Return what all nodes gather from, what items and users alone do (the last layer needs no more), and the edges of the latter.

    Rows are entities (items), then users; columns are entities; interactions are one more relation.
    """
    head, relation, tail = (torch.from_numpy(part) for part in ckg.knowledge_both_ways())
    user, item = (torch.from_numpy(part) for part in ckg.interactions())
    entities, columns = ckg.num_entities, torch.cat([tail, item])
    rows, kinds = torch.cat([head, user + entities]), torch.cat([relation, torch.full_like(user, relations)])
    everywhere, order = TypedEdges.from_edges(rows, columns, entities + ckg.num_users, entities, kinds, relations + 1)
    rows, columns, kinds = rows[order], columns[order], kinds[order]
    wanted = torch.nonzero((rows < ckg.num_items) | (rows >= entities)).squeeze(1)
    rows = torch.where(rows < entities, rows, rows - entities + ckg.num_items)[wanted]
    last, order = TypedEdges.from_edges(rows, columns[wanted], ckg.num_items + ckg.num_users, entities, kinds[wanted], relations + 1)
    return TypedMean(everywhere), TypedMean(last), wanted[order]


def distance_correlations(rows: Float[Tensor, "heads dim"]) -> Float[Tensor, "heads heads"]:
    """Return the distance correlation of the entries of every two rows, in [0, 1]; near 1 where both are constant.

    Source: Szekely et al., Annals of Statistics 2007, Definitions 2-5; KGIN, Eq. (6), with the small constants of the authors' code.
    """
    distance = _root((rows.unsqueeze(2) - rows.unsqueeze(1)).square())  # (heads, dim, dim)
    centered = distance - distance.mean(1, keepdim=True) - distance.mean(2, keepdim=True) + distance.mean((1, 2), keepdim=True)
    flat = centered.flatten(1)
    covariance = _root(flat @ flat.T / flat.shape[1])
    own = covariance.diagonal()
    return covariance / (torch.outer(own, own) + _TINY).sqrt()


def _root(value: Tensor) -> Tensor:
    return (value.clamp(min=0) + _TINY).sqrt()


def _cosines(rows: Tensor) -> Tensor:
    unit = unit_rows(rows)
    return unit @ unit.T


def intent_information(rows: Float[Tensor, "heads dim"]) -> Float[Tensor, ""]:
    """Return the sum over intents of -log softmax over all intents of their cosines over a temperature of 0.2, at the intent itself.

    Source: Wang et al., KGIN, WWW 2021, Eq. (4).
    """
    own = torch.arange(len(rows), device=rows.device)
    return cross_entropy(_cosines(rows) / _INTENT_TEMPERATURE, own, reduction="sum")
