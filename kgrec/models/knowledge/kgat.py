"""KGAT: Knowledge Graph Attention Network for Recommendation. Wang, He, Cao, Liu and Chua, KDD
2019.

https://arxiv.org/abs/1905.07854 (equation numbers are those of version 2)
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from kgrec.batches import PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.receptive_field import Ball, removal_effect, renormalized
from kgrec.graph.relational import RelationalGraph
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span, TripleSource
from kgrec.models.capabilities import ScoreParts
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.kge import transr_energies
from kgrec.nn.losses import cosine_softmax, l2, translation_ranking
from kgrec.ops.dropout import dropout
from kgrec.ops.interaction import bi_interaction
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import propagate, propagate_beside
from kgrec.ops.relational import rel_scores
from kgrec.ops.rows import fixed_shapes, inverse_length, take_rows, unit_rows
from kgrec.ops.softmax import edge_softmax
from kgrec.ops.typed import typed_sum
from kgrec.random import derive


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
    warm_start_epochs: int = 0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.relation_dim < 1 or any(size < 1 for size in self.layer_dims):
            raise ConfigError(
                "KGAT needs dim, relation_dim and every one of layer_dims to be at least 1."
            )
        if (
            self.aggregator not in ("bi-interaction", "gcn", "graphsage")
            or self.warm_start_epochs < 0
        ):
            raise ConfigError(
                'KGAT needs aggregator "bi-interaction", "gcn" or "graphsage" and warm_start_epochs >= 0.'
            )
        if (
            not 0 <= self.message_dropout < 1
            or self.leaky_slope < 0
            or self.cf_l2_weight < 0
            or self.kg_l2_weight < 0
        ):
            raise ConfigError(
                "KGAT needs message_dropout in [0, 1), leaky_slope, cf_l2_weight and "
                "kg_l2_weight >= 0."
            )
        if self.loss not in ("bpr", "softmax") or not 0 < self.temperature <= 1:
            raise ConfigError('KGAT needs loss "bpr" or "softmax" and a temperature in (0, 1].')
        if self.attention not in ("live", "static_si") or self.kg_sampling not in (
            "triple",
            "head",
        ):
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
    "layer_dims": ((64,), (64, 32), (64, 64), (64, 32, 16)),
    "aggregator": ("bi-interaction", "gcn", "graphsage"),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "message_dropout": Span(0.0, 0.5),
    "cf_l2_weight": Span(1e-6, 1e-3, log=True),
    "kg_steps": Span(1, 8),
}


Frozen = tuple[Float[Tensor, " din"], Float[Tensor, " din"], Float[Tensor, ""]]
"""What falls on a node, on its neighborhood, and on biases, in a layer whose gates stay as they are."""

Drop = tuple[float, int]
"""Probability and key of ``kgrec.ops.dropout``."""

KEEP: Drop = (0.0, 0)


class Aggregator(nn.Module, ABC):
    """What makes a node's next vector of its own and its neighborhood's."""

    @abstractmethod
    def forward(
        self,
        ego: Float[Tensor, "nodes din"],
        neighborhood: Float[Tensor, "nodes din"],
        drop: Drop = KEEP,
    ) -> Float[Tensor, "nodes dout"]:
        """Return the layer's output after dropout."""

    @abstractmethod
    def frozen(
        self,
        ego: Float[Tensor, " din"],
        neighborhood: Float[Tensor, " din"],
        upstream: Float[Tensor, " dout"],
    ) -> Frozen:
        """Return what of ``upstream . output`` falls on one node, on its neighborhood and on
        biases, slopes staying as they are.
        """


class BiInteraction(Aggregator):
    """Combine a node with its neighborhood, by sum and by product.

        LeakyReLU(W1 (e_h + e_N) + b1) + LeakyReLU(W2 (e_h * e_N) + b2)                 (8)

    Args:
        dim_in: Size of the vectors going in.
        dim_out: Size of the vectors coming out.
        slope: Negative slope of the LeakyReLU.
        generator: Draws the weights and biases.

    Source: Wang et al., KGAT, KDD 2019, Eq. (8).
    """

    def __init__(self, dim_in: int, dim_out: int, slope: float, generator: torch.Generator) -> None:
        super().__init__()
        self.slope = slope
        self.sum_weight = nn.Parameter(glorot_uniform(dim_in, dim_out, generator=generator))  # W1
        self.sum_bias = nn.Parameter(glorot_uniform(1, dim_out, generator=generator))  # b1
        self.product_weight = nn.Parameter(
            glorot_uniform(dim_in, dim_out, generator=generator)
        )  # W2
        self.product_bias = nn.Parameter(glorot_uniform(1, dim_out, generator=generator))  # b2

    def forward(
        self,
        ego: Float[Tensor, "nodes din"],
        neighborhood: Float[Tensor, "nodes din"],
        drop: Drop = KEEP,
    ) -> Float[Tensor, "nodes dout"]:
        """Return the layer's output after dropout, Eq. (8)."""
        weights = self.sum_weight, self.sum_bias, self.product_weight, self.product_bias
        return bi_interaction(ego, neighborhood, *weights, self.slope, drop)

    def frozen(
        self,
        ego: Float[Tensor, " din"],
        neighborhood: Float[Tensor, " din"],
        upstream: Float[Tensor, " dout"],
    ) -> Frozen:
        """Return the shares of the three, e_h staying as it is in the product."""
        w1, b1, w2, b2 = (
            p.to(ego)
            for p in (self.sum_weight, self.sum_bias[0], self.product_weight, self.product_bias[0])
        )
        by_sum = upstream * _slopes((ego + neighborhood) @ w1 + b1, self.slope)
        by_product = upstream * _slopes((ego * neighborhood) @ w2 + b2, self.slope)
        return w1 @ by_sum, w1 @ by_sum + ego * (w2 @ by_product), b1 @ by_sum + b2 @ by_product


class OneMatrix(Aggregator):
    """Combine a node with its neighborhood by one matrix.

        LeakyReLU(W (e_h + e_N) + b)                                                    (6), GCN
        LeakyReLU(W (e_h || e_N) + b)                                                   (7),
        GraphSage

    Args:
        dim_in: Size of the vectors going in.
        dim_out: Size of the vectors coming out.
        slope: Negative slope of the LeakyReLU.
        generator: Draws the weights and biases.
        concatenated: Whether node and neighborhood are put side by side, Eq. (7), or added, Eq.
            (6).

    Source: Wang et al., KGAT, KDD 2019, Eqs. (6)-(7); the bias is the authors' code's.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        slope: float,
        generator: torch.Generator,
        *,
        concatenated: bool,
    ) -> None:
        super().__init__()
        self.slope = slope
        self.concatenated = concatenated
        self.weight = nn.Parameter(
            glorot_uniform(2 * dim_in if concatenated else dim_in, dim_out, generator=generator)
        )  # W
        self.bias = nn.Parameter(glorot_uniform(1, dim_out, generator=generator))  # b

    def forward(
        self,
        ego: Float[Tensor, "nodes din"],
        neighborhood: Float[Tensor, "nodes din"],
        drop: Drop = KEEP,
    ) -> Float[Tensor, "nodes dout"]:
        """Return the layer's output after dropout."""
        if self.concatenated:
            both = torch.cat([ego, neighborhood], 1)
        else:
            both = ego + neighborhood
        return dropout(leaky_relu(torch.addmm(self.bias, both, self.weight), self.slope), *drop)

    def frozen(
        self,
        ego: Float[Tensor, " din"],
        neighborhood: Float[Tensor, " din"],
        upstream: Float[Tensor, " dout"],
    ) -> Frozen:
        """Return the shares of the three."""
        weight = self.weight.to(ego)
        bias = self.bias[0].to(ego)
        if self.concatenated:
            both = torch.cat([ego, neighborhood])
        else:
            both = ego + neighborhood
        upstream = upstream * _slopes(both @ weight + bias, self.slope)
        if self.concatenated:
            halves = (weight @ upstream).chunk(2)
        else:
            halves = (weight @ upstream,) * 2
        return halves[0], halves[1], bias @ upstream


def _slopes(before: Tensor, slope: float) -> Tensor:
    return torch.where(before > 0, 1.0, slope).to(before)


_AGGREGATORS: dict[str, Callable[[int, int, float, torch.Generator], Aggregator]] = {
    "bi-interaction": BiInteraction,
    "gcn": partial(OneMatrix, concatenated=False),
    "graphsage": partial(OneMatrix, concatenated=True),
}


def triple_source(ckg: CollaborativeKG, *, by_head: bool) -> TripleSource:
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
    return TripleSource(
        head,
        relation,
        tail,
        ckg.num_nodes,
        by_head=by_head,
        num_triples=len(ckg.relation) - interactions,
        num_interactions=interactions,
        edges_per_step=_EDGES_PER_STEP,
    )


class KGAT(Recommender):
    """Propagate over the collaborative knowledge graph, neighbors weighted by how plausible their
    triple is.

        pi(h, r, t) = softmax over the triples of h of (W_r e_t)^T tanh(W_r e_h + e_r)
        (4)-(5) e_N(h) = sum over (h, r, t) of pi(h, r, t) e_t
        (3) e_h <- aggregator of e_h and e_N(h); then dropout
        (6)-(8) e* = e^(0) || norm(e^(1)) || ... || norm(e^(L)),   score(u, i) = e*_u . e*_i
        (11)-(12)

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

    merges_relations = False
    through_users = True
    attention: Tensor
    ranked_nodes: Tensor
    warm_items: Tensor
    warm_position: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: KGATConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = RelationalGraph(ckg)
        relations = 2 * ckg.num_relations
        self.nodes = nn.Parameter(
            glorot_uniform(ckg.num_nodes, config.dim, generator=generator)
        )  # e^(0)
        self.relations = nn.Parameter(
            glorot_uniform(relations, config.relation_dim, generator=generator)
        )  # e_r
        self.projections = nn.Parameter(
            glorot_uniform(relations, config.dim, config.relation_dim, generator=generator)
        )  # W_r
        sizes = (config.dim, *config.layer_dims)
        layer = _AGGREGATORS[config.aggregator]
        self.layers = nn.ModuleList(
            layer(d_in, d_out, config.leaky_slope, generator) for d_in, d_out in pairwise(sizes)
        )
        self.dropout = SeededDropout(config.message_dropout)
        ranked = torch.cat(
            [torch.arange(ckg.num_items), torch.arange(ckg.num_entities, ckg.num_nodes)]
        )
        self.register_buffer("ranked_nodes", ranked, persistent=False)  # items, then users
        warm, position = ckg.warm_items()
        self.register_buffer("warm_items", torch.from_numpy(warm), persistent=False)
        self.register_buffer("warm_position", torch.from_numpy(position), persistent=False)
        self.register_buffer("attention", self.graph.static_weights())

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGATConfig, generator: torch.Generator) -> "KGAT":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return the layer-concatenated embeddings of all nodes, Eq. (11)."""
        return self._propagate(
            self.attention, torch.arange(self.ckg.num_nodes, device=self.nodes.device)
        )

    def _propagate(
        self, attention: Float[Tensor, " edges"], rows: Int[Tensor, " cand"]
    ) -> Float[Tensor, "cand dim"]:
        """Return the embeddings of some nodes; the last layer is computed for them alone."""
        csr = self.graph.csr
        reverse = attention.detach().index_select(0, csr.rev)
        e: Tensor = self.nodes
        outputs = []
        for number, layer in enumerate(self.layers, 1):
            own, ego, near = propagate_beside(
                e, csr, attention, reverse, rows, last=number == len(self.layers)
            )  # Eq. (3)
            outputs.append(own if number == 1 else unit_rows(own))
            e = layer(ego, near, self.dropout.draw())  # Eq. (8)
        outputs.append(unit_rows(e) if self.layers else take_rows(e, rows))
        return torch.cat(outputs, 1)  # (cand, dim + sum of layer_dims)

    @torch.no_grad()
    def refresh_attention(self) -> None:
        """Set the attention of every edge, normalized over each head's neighborhood, Eqs.
        (4)-(5).
        """
        if self.config.attention == "live":
            csr = self.graph.csr
            logits = rel_scores(
                self.nodes, self.projections, self.relations, csr, self.graph.by_relation()
            )
            self.attention.copy_(edge_softmax(logits, csr))

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR over interactions, Eq. (13)."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        if fixed_shapes(nodes):
            e = self()
            place = nodes
        else:
            rows, place = torch.unique(nodes, return_inverse=True)
            e = self._propagate(self.attention, rows)
        return bpr_rows(e, e, *place.chunk(3), l2_weight=self.config.cf_l2_weight)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions."""
        users, items = self._users_and_items(self.attention)
        user = take_rows(users, batch.user)
        loss = cosine_softmax(
            user,
            take_rows(items, self.warm_items),
            self.warm_position[batch.positive],
            self.config.temperature,
        )
        return loss + self.config.cf_l2_weight * l2(user, take_rows(items, batch.positive))

    def matrix_factorization_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR-MF on the embeddings alone, with the L2 of the authors' BPR-MF: not divided by
        the batch size.
        """
        rows = batch.user + self.ckg.num_entities, batch.positive, batch.negative
        return bpr_rows(
            self.nodes, self.nodes, *rows, l2_weight=self.config.cf_l2_weight * len(batch.user)
        )

    def kg_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return TransR ranking of true against corrupted tails, Eqs. (1)-(2)."""
        true, corrupted, projected = transr_energies(
            self.nodes,
            self.relations,
            self.projections,
            batch.head,
            batch.relation,
            batch.tail,
            batch.negative_tail,
        )
        return translation_ranking(true, corrupted) + self.config.kg_l2_weight * l2(*projected)

    def plan(self) -> Plan:
        """Return alternating epochs of interactions and triples, then the attention anew (Section
        3.4).
        """
        cf = (self.nodes, *self.layers.parameters())
        kg = (self.nodes, self.relations, self.projections)
        first: Objective[Any]
        if self.config.loss == "bpr":
            first = Objective(
                PairwiseBatch,
                self.bpr_loss,
                cf,
                name="bpr",
                capturable=not self.config.message_dropout,
            )
        else:
            first = Objective(PositiveBatch, self.softmax_loss, cf, name="softmax")
        triples = triple_source(self.ckg, by_head=self.config.kg_sampling == "head")
        second = Objective(TripleBatch, self.kg_loss, kg, name="transr", triples=triples)
        warm_start = Objective(
            PairwiseBatch, self.matrix_factorization_loss, (self.nodes,), name="bpr-mf"
        )
        return Plan(
            (first, second),
            begin_epoch=self._reseed,
            after_epoch=self.refresh_attention,
            warm_up=(warm_start, self.config.warm_start_epochs)
            if self.config.warm_start_epochs
            else None,
        )

    def _reseed(self, epoch: int, seed: int) -> None:
        self.dropout.reseed(derive(seed, "dropout", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the graph joins to an interaction."""
        return reached(self.ckg)

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings, Eq. (12)."""
        users, items = self._users_and_items(self.attention)
        fold = self._fold_in if self.layers else None  # without a layer a history reaches nobody
        return DotProduct(users, self._ranked(items), fold)

    def _users_and_items(
        self, attention: Float[Tensor, " edges"]
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "items dim"]]:
        e = self._propagate(attention, self.ranked_nodes)
        return e[self.ckg.num_items :], e[: self.ckg.num_items]

    def _ranked(self, items: Float[Tensor, "items dim"]) -> Float[Tensor, "items dim"]:
        """Return item vectors as they are ranked: trained by cosine, they are compared by
        direction.
        """
        if self.config.loss == "softmax":
            return unit_rows(items)
        return items

    def _fold_in(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch dim"]:
        """Return e* of new users: they start at the mean of the known users and attend to their
        history alone, Eqs. (3)-(12).
        """
        start = self.nodes[self.ckg.num_entities :].mean(0, keepdim=True).expand(len(history), -1)
        head = start @ self.projections[0] + self.relations[0]
        logits = ((self.nodes[history] @ self.projections[0]) * torch.tanh(head).unsqueeze(1)).sum(
            2
        )  # (batch, hist), Eq. (4)
        pi = torch.softmax(logits.masked_fill(~mask, float("-inf")), 1).nan_to_num(0.0)
        csr = self.graph.csr
        nodes = self.nodes
        ego = start
        outputs = [start]
        for layer in self.layers:
            ego = layer(ego, (pi.unsqueeze(2) * nodes[history]).sum(1))
            nodes = layer(nodes, propagate(nodes, csr, self.attention))
            outputs.append(unit_rows(ego))
        return torch.cat(outputs, 1)

    def _around(self, user: int, item: int) -> Ball:
        csr = self.graph.csr
        return Ball.around(
            (self.ckg.user_node(user), item),
            len(self.layers),
            csr.destinations(),
            csr.idx.long(),
            csr.num_nodes,
        )

    def _groups(self, ball: Ball) -> Int[Tensor, " edges"]:
        """Return which edges of a ball share a sum of attention: those of a head, or of a head and
        a relation where it is static.
        """
        if self.config.attention == "live":
            return ball.row
        group: Tensor = torch.unique(
            ball.row * self.graph.num_relations + self.graph.relation[ball.edges],
            return_inverse=True,
        )[1]
        return group

    def _unrolled(
        self, ball: Ball, attention: Float[Tensor, " edges"]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return what each layer starts from (and the last one's output) and what it gathers, Eqs.
        (3) and (6)-(8), within a ball.
        """
        states = [take_rows(self.nodes, ball.nodes)]
        gathered = []
        for layer, (edges, order) in zip(self.layers, ball.layers, strict=True):
            gathered.append(typed_sum(states[-1], edges, attention[order]))
            states.append(layer(states[-1][: edges.num_rows], gathered[-1]))
        return states, gathered

    def _score(self, states: list[Tensor]) -> Float[Tensor, ""]:
        ends = torch.cat([states[0][:2], *(unit_rows(e[:2]) for e in states[1:])], 1)  # Eq. (11)
        return ends[0] @ self._ranked(ends[1:])[0]

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), both directions
        added up (explanation.md 3.3).

        What an edge carries beyond what its head's other edges carry in its place, since their
        attention grows when it goes.
        """
        ball = self._around(user, item)
        attention = self.attention[ball.edges]
        with torch.enable_grad():
            states, gathered = self._unrolled(ball, attention)
            if gathered:
                upstream = torch.autograd.grad(self._score(states), gathered)
            else:
                upstream = ()
        effect = attention * ball.by_weight(upstream, states)
        everywhere = torch.zeros_like(self.attention)
        everywhere[ball.edges] = removal_effect(effect, attention, self._groups(ball))
        return self.graph.per_fact(everywhere)

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts.

        Attention is normalized again over the triples that are left: its logits depend on the
        embeddings alone, Eq. (4), so this equals computing it on the edited graph. With
        ``keep_weights`` it stays as it was, and what is removed has none.
        """
        ball = self._around(user, item)
        attention = self.attention[ball.edges]
        group = self._groups(ball)
        scores = self.nodes.new_zeros(len(removed))
        for number, facts in enumerate(removed):
            kept = (~torch.isin(ball.edges, self.graph.edges_of(facts))).to(attention)
            states, _ = self._unrolled(
                ball, attention * kept if keep_weights else renormalized(attention, kept, group)
            )
            scores[number] = self._score(states)
        return scores

    def on_graph(self, ckg: CollaborativeKG) -> "KGAT":
        """Return the model with these parameters over another graph of the same nodes and
        relations, its attention computed anew.
        """
        other = KGAT(ckg, self.config, torch.Generator())
        other.nodes = self.nodes
        other.relations = self.relations
        other.projections = self.projections
        other.layers = self.layers
        other = other.to(self.nodes).eval()
        other.refresh_attention()
        return other

    @torch.no_grad()
    def parts(self, user: int, item: int) -> ScoreParts:
        """Return the score as what the user's own vector gives through all layers, what each
        neighbor gives, and what biases give.

        Slopes, norms, attention, the item's vector and one factor of each product stay as they are
        (explanation.md 3.6), neighbors stand for all that they gathered themselves. Facts about the
        user are one part of ``other``.
        """
        ball = self._around(user, item)
        states, gathered = self._unrolled(ball, self.attention[ball.edges])
        ends = [e[:2].double() for e in states]
        scales: list[Tensor | float] = [1.0, *(inverse_length(e[0]) for e in ends[1:])]
        vector = self._ranked(torch.cat([ends[0], *(unit_rows(e) for e in ends[1:])], 1)[1:])[0]
        sent = [
            piece * scale
            for piece, scale in zip(
                torch.split(vector, [e.shape[1] for e in ends]), scales, strict=True
            )
        ]
        own = ball.row == 0  # edges at which the user gathers
        neighbors = ball.column[own]
        attention = self.attention[ball.edges[own]].double()
        values = torch.zeros_like(attention)
        bias = vector.new_zeros(())
        upstream = sent.pop()
        for number, layer in reversed(list(enumerate(self.layers))):
            assert isinstance(layer, Aggregator)
            to_self, to_neighbors, to_bias = layer.frozen(
                ends[number][0], gathered[number][0].double(), upstream
            )
            values += attention * (states[number][neighbors].double() @ to_neighbors)
            upstream = to_self + sent.pop()
            bias = bias + to_bias
        liked = self.graph.relation[ball.edges[own]] == 0
        if bool((~liked).any()):
            other = {"facts about the user": float(values[~liked].sum())}
        else:
            other = {}
        items = ball.nodes[neighbors[liked]].cpu().numpy()
        return ScoreParts(
            float(ends[0][0] @ upstream),
            float(bias),
            items,
            values[liked].cpu().numpy(),
            other,
            "linearised",
        )
