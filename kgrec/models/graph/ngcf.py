"""NGCF: Neural Graph Collaborative Filtering. Wang et al., SIGIR 2019.

https://arxiv.org/abs/1905.08108 (equation numbers are those of version 2)
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import DotProduct, Plan, Preset, Recommender, Span, ranking_objective
from kgrec.models.effects import EditedGraph
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import l2
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss, ranked_items
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import propagate_beside
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class NGCFConfig:
    """Hyper-parameters of NGCF.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        layer_dims: Size of each propagation layer; three of 64 in the paper.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        form: "paper", one activation over the sum of both messages, Eq. (7); "code" as the authors'
            code, an activation each, rows of the adjacency with a self-loop normalized to 1.
        message_dropout: Probability of setting a value of a layer's output to zero, in [0, 1); 0.1
            in the paper.
        node_dropout: Probability of leaving an entry of the adjacency out of a step, in [0, 1); 0
            to 0.1 in the paper.
        leaky_slope: Slope of the activation below zero; 0.2 in the authors' code.
        l2_weight: Weight lambda of half the squared norms of the batch's propagated vectors,
            divided by the batch size; 1e-5 in the paper.
    """

    dim: int = 64
    layer_dims: tuple[int, ...] = (64, 64)
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    form: Literal["paper", "code"] = "code"
    message_dropout: float = 0.1
    node_dropout: float = 0.0
    leaky_slope: float = 0.2
    l2_weight: float = 1e-5

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_ranking_loss("NGCF", self.loss, self.temperature)
        if self.dim < 1 or not self.layer_dims or min(self.layer_dims) < 1 or self.l2_weight < 0:
            raise ConfigError("NGCF needs dim >= 1, layer_dims of at least 1, and l2_weight >= 0.")
        if not 0 <= self.message_dropout < 1 or not 0 <= self.node_dropout < 1:
            raise ConfigError("NGCF needs message_dropout and node_dropout in [0, 1).")
        if self.form not in ("paper", "code") or self.leaky_slope < 0:
            raise ConfigError('NGCF needs form "paper" or "code" and leaky_slope >= 0.')


_PUBLISHED = {"loss": "bpr", "layer_dims": (64, 64, 64), "message_dropout": 0.1, "l2_weight": 1e-5}
_PUBLISHED_TRAINING = {
    "epochs": 400,
    "patience": 0,
    "batch_size": 1024,
    "learning_rate": 1e-4,
    "sampler": "user_uniform",
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "form": "paper"}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}

SPACE = {
    "layer_dims": ((64,), (64, 64), (64, 64, 64)),
    "form": ("paper", "code"),
    "temperature": Span(0.1, 0.3),
    "learning_rate": Span(1e-4, 1e-2, log=True),
    "message_dropout": Span(0.0, 0.5),
    "node_dropout": Span(0.0, 0.5),
    "l2_weight": Span(1e-6, 1e-2, log=True),
}


class NGCF(Recommender):
    """Propagate embeddings with transforms, products and activations, and put the layers side by
    side.

        E^(k) = LeakyReLU((L + I) E W1 + (L E * E) W2),   L = D^(-1/2) A D^(-1/2)               (7)
        e* = e^(0) || norm(e^(1)) || ... || norm(e^(K)),   score(u, i) = e*_u . e*_i       (9)-(10)
        loss = BPR + lambda / 2 |e* of the batch|^2 / B                                        (11)

    with E = E^(k-1) on the right. The form "code" has S = (D + I)^(-1) (A + I) E and
    E^(k) = LeakyReLU(S W1 + b1) + LeakyReLU((S * E) W2 + b2).

    Differs from the paper: L2 on the propagated rows of the batch, as in the authors' code; the
    vectors that are compared are normalized from layer 1 on, as there; the "softmax" loss is an
    addition.

    Args:
        ckg: Graph of interactions.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Wang et al., NGCF, SIGIR 2019. https://arxiv.org/abs/1905.08108
    """

    weight: Tensor
    own_weight: Tensor

    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: NGCFConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = PairGraph(ckg)
        degree = self.graph.csr.degree.to(torch.get_default_dtype())
        if config.form == "paper":
            weight, own = self.graph.weight, torch.ones_like(degree)
        else:
            own = (degree + 1).reciprocal()
            weight = own[self.graph.csr.destinations()]

        self.register_buffer("weight", weight.clone(), persistent=False)
        self.register_buffer("own_weight", own.unsqueeze(1), persistent=False)

        sizes = (config.dim, *config.layer_dims)
        shapes = list(pairwise(sizes))
        self.nodes = nn.Parameter(glorot_uniform(ckg.num_nodes, config.dim, generator=generator))

        def tables(rows: list[int]) -> nn.ParameterList:
            ends = zip(rows, config.layer_dims, strict=True)
            return nn.ParameterList([glorot_uniform(*end, generator=generator) for end in ends])

        self.sums = tables([size for size, _ in shapes])  # W1
        self.products = tables([size for size, _ in shapes])  # W2
        bias = [1] * len(shapes) if config.form == "code" else []
        self.sum_bias = tables(bias) if bias else nn.ParameterList()  # b1
        self.product_bias = tables(bias) if bias else nn.ParameterList()  # b2
        self.contrast = CosineSoftmax(*ckg.warm_items(), config.temperature)
        self.message_dropout = SeededDropout(config.message_dropout)
        self.node_dropout = SeededDropout(config.node_dropout)

    @classmethod
    def from_dataset(cls, data: Dataset, config: NGCFConfig, generator: torch.Generator) -> "NGCF":
        """Take the training interactions."""
        return cls(CollaborativeKG.from_dataset(data, knowledge=False), config, generator)

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return e* of all nodes, Eq. (9)."""
        return self.propagated(torch.arange(self.ckg.num_nodes, device=self.nodes.device))

    def propagated(self, rows: Int[Tensor, " cand"]) -> Float[Tensor, "cand dim"]:
        """Return e* of distinct nodes; the last layer is computed for them alone."""
        csr = self.graph.csr
        weight = self.node_dropout(self.weight)
        reverse = weight.index_select(0, csr.rev)
        e: Tensor = self.nodes
        own = self.own_weight
        outputs = []
        count = len(self.sums)

        for number in range(count):
            last = number == count - 1
            at_rows, ego, near = propagate_beside(e, csr, weight, reverse, rows, last=last)
            outputs.append(at_rows if number == 0 else unit_rows(at_rows))
            gathered = near + ego * (own[rows] if last else own)
            e = self.message_dropout(self._layer(number, ego, near, gathered))

        return torch.cat([*outputs, unit_rows(e)], 1)

    def _layer(
        self,
        number: int,
        ego: Float[Tensor, "nodes din"],
        near: Float[Tensor, "nodes din"],
        gathered: Float[Tensor, "nodes din"],
    ) -> Float[Tensor, "nodes dout"]:
        """Return a layer of nodes from their vectors, their neighbors' and both together."""
        slope = self.config.leaky_slope
        if self.config.form == "paper":
            messages = gathered @ self.sums[number] + (near * ego) @ self.products[number]
            return leaky_relu(messages, slope)  # Eq. (7)

        first = torch.addmm(self.sum_bias[number], gathered, self.sums[number])
        second = torch.addmm(self.product_bias[number], gathered * ego, self.products[number])
        return leaky_relu(first, slope) + leaky_relu(second, slope)

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR with L2 on propagated vectors, Eq. (11)."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        rows, at = torch.unique(nodes, return_inverse=True)
        e = self.propagated(rows)  # (distinct nodes of the batch, dim)
        return bpr_rows(e, e, *at.chunk(3), l2_weight=self.config.l2_weight)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with L2."""
        users, at = torch.unique(batch.user + self.ckg.num_entities, return_inverse=True)
        warm = self.contrast.count
        e = self.propagated(torch.cat([self.contrast.items, users]))
        positive = self.contrast.position[batch.positive]
        user, item = take_rows(e, torch.cat([at + warm, positive])).chunk(2)
        loss: Tensor = self.contrast(user, e[:warm], batch.positive)
        return loss + self.config.l2_weight * l2(user, item)

    def plan(self) -> Plan:
        """Return one objective, the configured loss."""
        objective = ranking_objective(self.config.loss, self.bpr_loss, self.softmax_loss)
        return Plan((objective,), begin_epoch=self._reseed)

    def _reseed(self, epoch: int, seed: int) -> None:
        self.message_dropout.reseed(derive(seed, "dropped messages", epoch))
        self.node_dropout.reseed(derive(seed, "dropped entries", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items within reach of an interaction."""
        return reached(self.ckg, 2 * len(self.sums))

    def scorer(self) -> DotProduct:
        """Return the propagated vectors, Eq. (10)."""
        e = self()
        items = ranked_items(e[: self.ckg.num_items], self.config.loss)
        return DotProduct(e[self.ckg.num_entities :], items)

    def explanation_effects(self) -> EditedGraph:
        """Return effects of facts, measured on the model over the edited graph."""

        def built(ckg: CollaborativeKG) -> Recommender:
            return type(self)(ckg, self.config, torch.Generator())

        return EditedGraph(self, self.ckg, built)
