"""KGIN: Learning Intents behind Interactions with Knowledge Graph for Recommendation. Wang et al.,
WWW 2021.

https://arxiv.org/abs/2102.07057 (equation numbers are those of version 1)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.typed_mean import RelationalMeans
from kgrec.models.base import (
    DotProduct,
    Plan,
    Preset,
    Recommender,
    Span,
    Split,
    ranking_objective,
)
from kgrec.models.knowledge.kgin_effects import KGINEffects
from kgrec.models.typed_facts import FactContrast
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.independence import dependence
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import bpr, l2
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss, ranked_items
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.typed import typed_sum
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class KGINConfig:
    """Hyper-parameters of KGIN.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Layers L, the length of the relational paths; 3 in the paper.
        num_intents: Intents P; 4 in the paper.
        form: "paper" takes the user's equations, Eqs. (7)-(9), and the independence of intents, Eq.
            (6), as printed; "code" as the authors' code computes them (see ``KGIN``).
        independence: What keeps intents apart: "distance" correlation (the paper's better choice),
            squared "cosine", or "mi", the mutual information of Eq. (4).
        independence_weight: Weight of that term; 1e-4 or 1e-5 in the paper, by data set.
        node_dropout: Probability of leaving an edge out of a step, in [0, 1); 0.5 in the authors'
            code, whose ``node_dropout_rate`` is the share kept.
        message_dropout: Probability of dropping a value after each layer, in [0, 1); 0.1 in the
            authors' code.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors. Items without any
            are left to what the graph says of them.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        l2_weight: Weight of half the squared norms of the final embeddings of the batch, divided by
            its size; 1e-5 in the paper.
        kg_weight: Weight of a triple loss on the vectors of layer 0
            (``kgrec.models.typed_facts.TripleLoss``); 0 for none, as the paper.
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
    kg_weight: float = 0.0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.num_layers < 1 or self.num_intents < 1:
            raise ConfigError("KGIN needs dim, num_layers and num_intents of at least 1.")
        if not 0 <= self.node_dropout < 1 or not 0 <= self.message_dropout < 1:
            raise ConfigError("KGIN needs node_dropout and message_dropout in [0, 1).")
        if min(self.independence_weight, self.l2_weight, self.kg_weight) < 0:
            raise ConfigError("KGIN needs independence_weight, l2_weight and kg_weight >= 0.")

        if self.form not in ("paper", "code") or self.independence not in (
            "distance",
            "cosine",
            "mi",
        ):
            raise ConfigError(
                'KGIN needs form "paper" or "code" and independence "distance", "cosine" or "mi".'
            )

        check_ranking_loss("KGIN", self.loss, self.temperature)


_PUBLISHED = {"loss": "bpr", "num_layers": 3}
_PUBLISHED_TRAINING = {
    "epochs": 1000,
    "patience": 0,
    "batch_size": 1024,
    "learning_rate": 1e-4,
    "drop_last": True,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "form": "paper"}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "dim": (64, 128),
    "num_layers": (1, 2, 3),
    "form": ("code", "paper"),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "node_dropout": Span(0.0, 0.7),
    "message_dropout": Span(0.0, 0.5),
    "l2_weight": Span(1e-6, 1e-3, log=True),
    "independence_weight": Span(1e-5, 1e-1, log=True),
    "kg_weight": (0.0, 0.25, 1.0, 4.0),
}


_Layers = tuple[
    list[Float[Tensor, "entities dim"]], Float[Tensor, "users dim"], Float[Tensor, "items dim"]
]


class KGIN(Recommender):
    """Describe items by relational paths of the knowledge graph, and users by intents behind their
    interactions.

        e_p = sum over relations of softmax(w_p)_r e_r                                      (2)-(3)
        e_v <- mean over the triples (v, r, t) of e_r * e_t                               (10)-(11)
        e_u <- mean over the items i of u of (sum over intents of beta(u, p) e_p) * e_i     (7)-(8)
        beta(u, p) = softmax over intents of e_p . e_u^(0)                                      (9)
        e* = e^(0) + norm(e^(1)) + ... + norm(e^(L)),   score(u, i) = e*_u . e*_i         (13)-(14)
        loss = BPR + lambda_1 independence of the intents
               + lambda_2 / 2 |e* of the batch|^2 / B                                     (15)-(16)

    Layers hand on normalized rows. Items gather from entities alone, never from users.

    Differs from the paper: ``form="code"``, the default and the preset "official", adds the mean of
    the items to the user's message,

        e_u <- mean over the items i of u of (sum over intents of beta(u, p) e_p) * e_i + e_i,
        beta(u, p) = softmax of k_p . e_u

    chooses intents by keys k_p of their own and by the user's current vector, and keeps the
    attention rows w_p apart where the paper keeps the intents e_p apart. ``form="paper"`` is as
    printed. In both, dropped edges are drawn one by one, both directions of a fact apart, and means
    are over all neighbors, what is dropped counting 0 (the authors' code draws a share of the edges
    and takes means over those; it drops interactions as here); L2 on the rows of the batch, as in
    the authors' code; mutual information contrasts intents, as in Eq. (4), where the authors' code
    contrasts relations; facts about users are unused; the "softmax" loss is an addition. The
    authors weigh independence by 1e-5 on Amazon-Book and end training by the test part:
    ``selection`` "paper".

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Wang et al., KGIN, WWW 2021. https://arxiv.org/abs/2102.07057
    """

    keys: nn.Parameter | None

    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: KGINConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg.take(ckg.fact != USER_FACT)  # no message is sent along facts about users
        self.config = config
        dim = config.dim
        relations = 2 * (ckg.num_relations - 1)
        self.graph = RelationalMeans(self.ckg)
        self.nodes = nn.Parameter(glorot_uniform(ckg.num_nodes, dim, generator=generator))  # e^(0)
        keys = None
        if config.form == "code":
            keys = nn.Parameter(glorot_uniform(config.num_intents, dim, generator=generator))

        self.register_parameter("keys", keys)  # k_p
        self.relations = nn.Parameter(glorot_uniform(relations, dim, generator=generator))  # e_r
        logits = glorot_uniform(config.num_intents, relations, generator=generator)
        self.intent_logits = nn.Parameter(logits)  # w_p
        self.message_dropout = SeededDropout(config.message_dropout)
        self.node_dropout = SeededDropout(config.node_dropout)
        self.contrast = CosineSoftmax(*ckg.warm_items(), config.temperature)
        self.facts = FactContrast(self.ckg, config.kg_weight, dim, generator)
        self.register_load_state_dict_pre_hook(_take_keys)  # type: ignore[no-untyped-call]

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGINConfig, generator: torch.Generator) -> "KGIN":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def intent_vectors(self) -> Float[Tensor, "heads dim"]:
        """Return the intents' embeddings, attentive combinations of the relations', Eqs.
        (2)-(3).
        """
        shares = torch.softmax(self.intent_logits, 1)
        return self.shard.alike(shares)[0] @ self.relations  # Eqs. (2)-(3)

    def aggregate_users(
        self,
        items: Float[Tensor, "users dim"],
        users: Float[Tensor, "users dim"],
        ego: Float[Tensor, "users dim"],
    ) -> Float[Tensor, "users dim"]:
        """Return the users' messages before dropout, Eqs. (7)-(8).

        Args:
            items: Mean of each user's items at this layer.
            users: The users at this layer.
            ego: The users at layer 0.
        """
        choice = self.shard.alike(self.choice(users, ego))[0]
        mixed = items * (choice @ self.intent_vectors())  # Eqs. (7)-(8)
        if self.config.form == "code":
            return mixed + items

        return mixed

    def choice(
        self, users: Float[Tensor, "users dim"], ego: Float[Tensor, "users dim"]
    ) -> Float[Tensor, "users heads"]:
        """Return beta, how much each intent counts for users, by their vectors at this layer and at
        layer 0, Eq. (9).
        """
        keys = self.intent_vectors() if self.keys is None else self.keys
        by = users if self.config.form == "code" else ego
        return torch.softmax(self.shard.total(by @ keys.T), 1)  # (users, heads), Eq. (9)

    def _layers(self) -> _Layers:
        """Return the entities that each layer starts from, and the final embeddings of users and
        items, Eq. (13).
        """
        entities, users = torch.split(self.nodes, [self.ckg.num_entities, self.ckg.num_users])
        vectors = self.relation_vectors()
        weight = self.node_dropout(self.graph.everywhere.weight)
        graph = self.graph.everywhere
        ego = users
        starts = []
        all_users = users
        all_items = entities[: self.ckg.num_items]

        for number in range(1, self.config.num_layers + 1):
            starts.append(entities)
            if number == self.config.num_layers:  # which computes items and users alone
                graph = self.graph.last
                weight = weight[self.graph.edges_of_last]

            gathered = typed_sum(entities, graph.edges, weight, vectors)  # Eq. (10)
            message, mean = torch.split(gathered, [len(gathered) - len(users), len(users)])
            users = self._handed_on(self.aggregate_users(mean, users, ego))
            entities = self._handed_on(message)
            all_users = all_users + users  # Eq. (13)
            all_items = all_items + entities[: self.ckg.num_items]

        return starts, all_users, all_items

    def _handed_on(self, message: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        """Return messages after dropout, normalized."""
        return unit_rows(self.message_dropout(message, self.shard), self.shard.added)

    def relation_vectors(self) -> Float[Tensor, "relations dim"]:
        """Return what edges multiply by; an interaction hands on the item as it is."""
        return torch.cat([self.relations, self.relations.new_ones(1, self.relations.shape[1])])

    def independence(self) -> Float[Tensor, ""]:
        """Return how much the intents say the same, Eqs. (4)-(6): 0 or more, less is better."""
        if self.config.form == "code":
            return dependence(self.intent_logits, self.config.independence)

        rows = self.shard.rows(self.intent_vectors())
        return self.shard.mean(dependence(rows, self.config.independence), 1)

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR with the independence of intents and L2 on the final rows, Eqs. (15)-(16)."""
        _, users, items = self._layers()
        user = take_rows(users, batch.user)
        positive, negative = take_rows(items, torch.cat([batch.positive, batch.negative])).chunk(2)
        scores = (self.shard.total((user * item).sum(1)) for item in (positive, negative))
        loss = bpr(*scores)  # Eqs. (14)-(15)
        return loss + self._penalty(user, positive, negative)  # Eq. (16)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with the terms
        of Eq. (16).
        """
        _, users, items = self._layers()
        user = take_rows(users, batch.user)
        loss: Tensor = self.contrast(user, self.contrast.of(items), batch.positive, self.shard)
        return loss + self._penalty(user, take_rows(items, batch.positive))

    def _penalty(self, *rows: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
        apart = self.config.independence_weight * self.independence()
        return self.config.l2_weight * self.shard.total(l2(*rows)) + apart

    def plan(self) -> Plan:
        """Return the configured loss, and that of triples where it has a weight."""
        objective = ranking_objective(self.config.loss, self.bpr_loss, self.softmax_loss)
        more = self.facts.objectives(lambda: self.nodes)
        plan = Plan((objective, *more), joint=bool(more), begin_epoch=self._reseed)
        return plan.by_columns(_split(self))

    def _reseed(self, epoch: int, seed: int) -> None:
        self.message_dropout.reseed(derive(seed, "dropout", epoch))
        self.node_dropout.reseed(derive(seed, "dropped edges", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes.

        Steps move vectors within as many hops of an interaction as there are layers; messages carry
        them as far again.
        """
        return reached(self.ckg, 2 * self.config.num_layers)

    def scorer(self) -> DotProduct:
        """Return the final embeddings, Eq. (14)."""
        starts, users, items = self._layers()
        ranked = ranked_items(items, self.config.loss)
        return DotProduct(users, ranked, fold=partial(_fold_in, self, starts))

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, and the relations, those of inverses
        apart.
        """
        ranked = self.scorer()
        known, inverse = self.relations.chunk(2)
        vectors = {"users": ranked.users, "items": ranked.items}
        return {**vectors, "relations": known, "relations_inverse": inverse}

    def explanation_effects(self) -> KGINEffects:
        """Return effects of facts, means taken over those that are left, and parts by intent."""
        return KGINEffects(self)


def _fold_in(
    model: KGIN,
    starts: list[Float[Tensor, "entities dim"]],
    history: Int[Tensor, "batch hist"],
    mask: Bool[Tensor, "batch hist"],
) -> Float[Tensor, "batch dim"]:
    """Return e* of new users: they start at the mean of the known users and gather from their
    history.
    """
    ego = model.nodes[model.ckg.num_entities :].mean(0, keepdim=True).expand(len(history), -1)
    share = (mask / mask.sum(1, keepdim=True).clamp(min=1)).to(ego.dtype).unsqueeze(2)
    users = total = ego

    for entities in starts:
        mean = (entities[history] * share).sum(1)  # (batch, dim)
        users = unit_rows(model.aggregate_users(mean, users, ego))
        total = total + users  # Eq. (13)

    return total


def _split(model: KGIN) -> Split:
    keys = () if model.keys is None else (model.keys,)
    tables = (model.nodes, model.relations, *keys, *model.facts.tables)
    layers, users = model.config.num_layers, model.ckg.num_users
    # lengths of rows and choices of users; gradients of both
    lengths = (layers - 1) * len(model.nodes) + users + model.ckg.num_items
    sums = 2 * (lengths + layers * users * model.config.num_intents)
    return Split(tables, len(model.graph.everywhere.weight), layers, sums=sums)


def _take_keys(model: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: object) -> None:
    """Give a model in the paper's form the keys of a state that has some: until version 0.1, both
    forms chose intents by them.
    """
    stored = state.get(f"{prefix}keys")
    if isinstance(model, KGIN) and model.keys is None and stored is not None:
        model.keys = nn.Parameter(torch.empty_like(stored, device=model.nodes.device))
