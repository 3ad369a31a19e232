"""KGAT: Knowledge Graph Attention Network for Recommendation. Wang, He, Cao, Liu and Chua, KDD
2019.

https://arxiv.org/abs/1905.07854 (equation numbers are those of version 2)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.relational import RelationalGraph
from kgrec.models.base import (
    DotProduct,
    Objective,
    Plan,
    Preset,
    Recommender,
    Span,
    Split,
    ranking_objective,
)
from kgrec.models.knowledge.kgat_effects import KGATEffects
from kgrec.models.sources import Triples
from kgrec.models.typed_facts import FactContrast
from kgrec.nn.aggregators import aggregate, aggregators
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.kge import transr_energies
from kgrec.nn.losses import l2, translation_ranking
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss, ranked_items
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import propagate_beside
from kgrec.ops.relational import rel_scores
from kgrec.ops.rows import fixed_shapes, take_rows, unit_rows
from kgrec.ops.softmax import edge_softmax
from kgrec.random import derive
from kgrec.scale.columns import Whole


@dataclass(frozen=True, slots=True)
class KGATConfig:
    """Hyper-parameters of KGAT.

    Attributes:
        dim: Embedding size d of users and entities; 64 in the paper.
        relation_dim: Size k of the relation space; 64 in the paper.
        layer_dims: Output size of each layer; (64, 32, 16) in the paper.
        aggregator: "bi-interaction" combines a node with its neighborhood by sum and product, Eq.
            (8), the paper's best; "gcn" by the sum, Eq. (6); "graphsage" by their concatenation,
            Eq. (7).
        attention: "live" as in the paper; "static_si" is the sum of row-normalized adjacencies that
            the authors' released code really propagates with.
        message_dropout: Probability of dropping a value after each layer, in [0, 1); 0.1 in the
            authors' code.
        leaky_slope: Negative slope of the LeakyReLU; 0.2 in the authors' code.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors. Items without any
            are left to what the graph says of them.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        cf_l2_weight: Weight of half the squared norms of the final embeddings of the batch, divided
            by its size; 1e-5 in the paper.
        kg_l2_weight: The same for projected entities and relations; 1e-5 in the paper.
        kg_weight: Weight of another triple loss, on the vectors of layer 0
            (``kgrec.models.typed_facts.TripleLoss``), in an epoch of its own after TransR's; 0 for
            none, as the paper.
        warm_start_epochs: Epochs of BPR-MF on the embeddings of users and items before the first
            epoch; 0 starts from random ones. The authors load vectors trained to the end.
        kg_sampling: "triple" draws triples uniformly; "head" draws heads uniformly, then one of
            their triples, in as many steps of as many heads as the authors' code
            (``triple_source``).
    """

    dim: int = 64
    relation_dim: int = 64
    layer_dims: tuple[int, ...] = (64,)
    aggregator: Literal["bi-interaction", "gcn", "graphsage"] = "bi-interaction"
    attention: Literal["live", "static_si"] = "live"
    message_dropout: float = 0.2
    leaky_slope: float = 0.2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    cf_l2_weight: float = 1e-5
    kg_l2_weight: float = 1e-5
    kg_sampling: Literal["triple", "head"] = "triple"
    kg_weight: float = 0.0
    warm_start_epochs: int = 0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.relation_dim < 1 or any(size < 1 for size in self.layer_dims):
            raise ConfigError(
                "KGAT needs dim, relation_dim and every one of layer_dims to be at least 1."
            )

        known = self.aggregator in ("bi-interaction", "gcn", "graphsage")
        if not known or self.warm_start_epochs < 0:
            raise ConfigError(
                'KGAT needs aggregator "bi-interaction", "gcn" or "graphsage" and warm_start_epochs >= 0.'
            )

        if (
            not 0 <= self.message_dropout < 1
            or self.leaky_slope < 0
            or min(self.cf_l2_weight, self.kg_l2_weight, self.kg_weight) < 0
        ):
            raise ConfigError(
                "KGAT needs message_dropout in [0, 1), leaky_slope, cf_l2_weight, kg_l2_weight and "
                "kg_weight >= 0."
            )

        check_ranking_loss("KGAT", self.loss, self.temperature)
        known = self.attention in ("live", "static_si") and self.kg_sampling in ("triple", "head")
        if not known:
            raise ConfigError(
                'KGAT needs attention "live" or "static_si" and kg_sampling "triple" or "head".'
            )


# ``batch_size_kg`` of the authors' code, which sets the number of steps on triples and not the size
# of their batch
_EDGES_PER_STEP = 2048

_PUBLISHED = {
    "loss": "bpr",
    "layer_dims": (64, 32, 16),
    "message_dropout": 0.1,
    "kg_sampling": "head",
    "warm_start_epochs": 100,
}
_PUBLISHED_TRAINING = {
    "epochs": 1000,
    "patience": 0,
    "batch_size": 1024,
    "learning_rate": 1e-4,
    "sampler": "user_uniform",
}
_OURS = {"learning_rate": 0.01, "kg_batch_size": 8192, "kg_steps": 2}

PRESETS = {
    "default": Preset(train={**_OURS, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "attention": "static_si"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={**_OURS, "epochs": 20, "patience": 3}),
}


SPACE = {
    "dim": (64, 128),
    "layer_dims": ((64,), (64, 32), (64, 64), (64, 32, 16)),
    "aggregator": ("bi-interaction", "gcn", "graphsage"),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "message_dropout": Span(0.0, 0.5),
    "cf_l2_weight": Span(1e-6, 1e-3, log=True),
    "kg_steps": Span(1, 8),
    "kg_weight": (0.0, 0.25, 1.0, 4.0),
}


def triple_source(ckg: CollaborativeKG, *, by_head: bool) -> Triples:
    """Return what the triple phase draws from: every fact and its inverse, interactions included;
    corrupted tails among all nodes.

    By head as in the authors' code: ``edges // 2048 + 1`` steps, each on
    ``triples // (interactions // batch_size)`` distinct heads, where edges count both directions of
    triples and interactions, and triples one direction of the knowledge graph alone.

    Source: Wang et al., KGAT, KDD 2019, Section 3.2; the numbers from the authors' ``Main.py`` and
    ``load_data.py``.
    """
    head, relation, tail = (torch.from_numpy(part) for part in ckg.both_ways())
    interactions = int((ckg.relation == 0).sum())

    return Triples(
        *(head, relation, tail, ckg.num_nodes),
        by_head=by_head,
        num_triples=len(ckg.relation) - interactions,
        num_interactions=interactions,
        edges_per_step=_EDGES_PER_STEP,
    )


class KGAT(Recommender):
    """Propagate over the collaborative knowledge graph, neighbors weighted by how plausible their
    triple is.

        pi(h, r, t) = softmax over the triples of h of (W_r e_t)^T tanh(W_r e_h + e_r)      (4)-(5)
        e_N(h) = sum over (h, r, t) of pi(h, r, t) e_t                                          (3)
        e_h <- aggregator of e_h and e_N(h); then dropout                                   (6)-(8)
        e* = e^(0) || norm(e^(1)) || ... || norm(e^(L)),   score(u, i) = e*_u . e*_i      (11)-(12)

    Trained by alternating epochs of interactions (BPR on e*) and triples (TransR); attention is
    refreshed once per epoch and takes no gradient. It is kept with the weights, so a loaded model
    scores as the saved one did. ``warm_start_epochs`` of BPR-MF on the embeddings of users and
    items may come first, as the authors recommend; entities then keep their random start.

    Differs from the paper: before its first refresh the attention is the sum over relations of
    row-normalized adjacencies, as in the authors' code; users and entities start as one Glorot
    table, there as two; ``warm_start_epochs`` of BPR-MF stand for vectors trained to the end; the
    "softmax" loss is an addition. The preset "official" propagates with those adjacencies
    throughout, as the code that made the authors' logs does. The authors end training by the test
    part: ``selection`` "paper". In their code "graphsage" normalizes the concatenated input and
    "gcn" leaves e_h out; here both are as printed.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Wang et al., KGAT, KDD 2019. https://arxiv.org/abs/1905.07854
    """

    attention: Tensor
    ranked_nodes: Tensor

    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: KGATConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = RelationalGraph(ckg)
        d = config.dim
        k = config.relation_dim
        relations = 2 * ckg.num_relations
        self.nodes = nn.Parameter(glorot_uniform(ckg.num_nodes, d, generator=generator))  # e^(0)
        self.relations = nn.Parameter(glorot_uniform(relations, k, generator=generator))  # e_r
        self.projections = nn.Parameter(glorot_uniform(relations, d, k, generator=generator))  # W_r
        sizes = (d, *config.layer_dims)
        self.layers = aggregators(config.aggregator, sizes, config.leaky_slope, generator)
        self.dropout = SeededDropout(config.message_dropout)
        self.contrast = CosineSoftmax(*ckg.warm_items(), config.temperature)
        items = torch.arange(ckg.num_items)
        users = torch.arange(ckg.num_entities, ckg.num_nodes)
        self.register_buffer("ranked_nodes", torch.cat([items, users]), persistent=False)
        self.register_buffer("attention", self.graph.static_weights())  # pi
        self.facts = FactContrast(ckg, config.kg_weight, d, generator)

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGATConfig, generator: torch.Generator) -> "KGAT":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return the layer-concatenated embeddings of all nodes, Eq. (11)."""
        return self._propagate(torch.arange(self.ckg.num_nodes, device=self.nodes.device))

    def _propagate(self, rows: Int[Tensor, " cand"]) -> Float[Tensor, "cand dim"]:
        """Return the embeddings of some nodes; the last layer is computed for them alone."""
        return _concatenated(self._layers(rows), self.shard)

    def _layers(self, rows: Int[Tensor, " cand"]) -> list[Float[Tensor, "cand _"]]:
        """Return e^(0), ..., e^(L) of some nodes."""
        csr = self.graph.csr
        reverse = self.attention.detach().index_select(0, csr.rev)
        e: Tensor = self.nodes
        outputs = []

        for number, layer in enumerate(self.layers, 1):
            own, ego, near = propagate_beside(
                e, csr, self.attention, reverse, rows, last=number == len(self.layers)
            )  # Eq. (3)
            outputs.append(own)
            e = aggregate(layer, ego, near, self.dropout.draw(), self.shard)  # Eqs. (6)-(8)

        outputs.append(e if self.layers else take_rows(e, rows))
        return outputs

    @torch.no_grad()
    def refresh_attention(self) -> None:
        """Set the attention of every edge, normalized over each head's neighborhood, Eqs.
        (4)-(5).
        """
        if self.config.attention == "live":
            csr = self.graph.csr
            e, by = map(self.shard.whole, (self.nodes, self.projections))
            logits = rel_scores(e, by, self.relations, csr, self.graph.by_relation())  # Eq. (4)
            self.attention.copy_(edge_softmax(logits, csr))  # (edges,), Eq. (5)

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR over interactions, Eq. (13)."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        if fixed_shapes(nodes) and not self.shard.apart:
            e = self()
            at = nodes
        else:
            rows, at = torch.unique(nodes, return_inverse=True)
            e = self._propagate(rows)  # (distinct nodes of the batch, dim)

        weight = self.config.cf_l2_weight
        return bpr_rows(e, e, *at.chunk(3), l2_weight=weight, total=self.shard.sums)  # Eq. (13)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions."""
        users, items = self._users_and_items()
        user = take_rows(users, batch.user)
        loss: Tensor = self.contrast(user, self.contrast.of(items), batch.positive, self.shard)
        squares = self.shard.total(l2(user, take_rows(items, batch.positive)))
        return loss + self.config.cf_l2_weight * squares

    def matrix_factorization_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR-MF on the embeddings alone, with the L2 of the authors' BPR-MF: not divided by
        the batch size.
        """
        rows = batch.user + self.ckg.num_entities, batch.positive, batch.negative
        weight = self.config.cf_l2_weight * len(batch.user)
        return bpr_rows(self.nodes, self.nodes, *rows, l2_weight=weight, total=self.shard.sums)

    def kg_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return TransR ranking of true against corrupted tails, Eqs. (1)-(2)."""
        tables = (self.nodes, self.relations, self.projections)
        triples = (batch.head, batch.relation, batch.tail, batch.negative_tail)
        true, corrupted, projected = transr_energies(*tables, *triples, shard=self.shard)  # Eq. (1)
        ranking = translation_ranking(true, corrupted)  # Eq. (2)
        return ranking + self.config.kg_l2_weight * l2(*projected)

    def plan(self) -> Plan:
        """Return alternating epochs of interactions and triples, then the attention again (Section
        3.4).
        """
        cf = (self.nodes, *self.layers.parameters())
        kg = (self.nodes, self.relations, self.projections)
        losses = (self.config.loss, self.bpr_loss, self.softmax_loss)
        first = ranking_objective(*losses, cf, capturable=not self.config.message_dropout)
        triples = triple_source(self.ckg, by_head=self.config.kg_sampling == "head")
        second = Objective(TripleBatch, self.kg_loss, kg, name="transr", source=triples)
        objectives = (first, second, *self.facts.objectives(lambda: self.nodes, (self.nodes,)))
        plan = Plan(objectives, begin_epoch=self._reseed, after_epoch=self.refresh_attention)
        widths = (self.config.dim, *self.config.layer_dims)
        tables = (self.nodes, self.projections, *self.facts.tables)
        plan = plan.by_columns(Split(tables, self.graph.csr.num_edges, len(self.layers), widths))
        if not self.config.warm_start_epochs:
            return plan

        factors = (PairwiseBatch, self.matrix_factorization_loss, (self.nodes,))
        warm_up = (Objective(*factors, name="bpr-mf"), self.config.warm_start_epochs)
        return replace(plan, warm_up=warm_up)

    def _reseed(self, epoch: int, seed: int) -> None:
        self.dropout.reseed(derive(seed, "dropout", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the graph joins to an interaction."""
        return reached(self.ckg)

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings, Eq. (12)."""
        layers = self._layers(self.ranked_nodes)
        e = _concatenated(layers, self.shard)
        users = e[self.ckg.num_items :]
        items = ranked_items(e[: self.ckg.num_items], self.config.loss)
        if not self.layers:  # without a layer a history reaches no one
            return DotProduct(users, items)

        senders = [layer[: self.ckg.num_items] for layer in layers[:-1]]
        return DotProduct(users, items, partial(_fold_in, self, senders))  # Eq. (12)

    def _users_and_items(self) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "items dim"]]:
        e = self._propagate(self.ranked_nodes)
        return e[self.ckg.num_items :], e[: self.ckg.num_items]

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, and the propagated entities."""
        ranked = self.scorer()
        entities = self()[: self.ckg.num_entities]
        return {"users": ranked.users, "items": ranked.items, "entities": entities}

    def explanation_effects(self) -> KGATEffects:
        """Return effects of facts, attention normalized again over those that are left."""
        return KGATEffects(self)


def _concatenated(layers: list[Float[Tensor, "cand _"]], shard: Whole) -> Float[Tensor, "cand dim"]:
    """Return e*, whose first layer alone keeps its length, Eq. (11)."""
    return torch.cat([layers[0], *(unit_rows(one, shard.added) for one in layers[1:])], 1)


def _fold_in(
    model: KGAT,
    senders: list[Float[Tensor, "items _"]],
    history: Int[Tensor, "batch hist"],
    mask: Bool[Tensor, "batch hist"],
) -> Float[Tensor, "batch dim"]:
    """Return e* of new users: they start at the mean of the known users and attend to their
    history alone, Eqs. (3)-(12).

    Args:
        model: The model.
        senders: e^(0), ..., e^(L-1) of the items.
        history: Items of each new user.
        mask: Which of them count.
    """
    ego = model.nodes[model.ckg.num_entities :].mean(0, keepdim=True).expand(len(history), -1)
    head = torch.tanh(ego @ model.projections[0] + model.relations[0])  # (batch, relation_dim)
    tails = model.nodes[history] @ model.projections[0]  # (batch, hist, relation_dim)
    logits = (tails * head.unsqueeze(1)).sum(2).masked_fill(~mask, float("-inf"))  # Eq. (4)
    pi = torch.softmax(logits, 1).nan_to_num(0.0)  # (batch, hist), Eq. (5)
    outputs = [ego]

    for layer, items in zip(model.layers, senders, strict=True):
        ego = layer(ego, (pi.unsqueeze(2) * items[history]).sum(1))  # Eqs. (3), (6)-(8)
        outputs.append(ego)

    return _concatenated(outputs, model.shard)
