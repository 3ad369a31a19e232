"""LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation. He et al., SIGIR
2020.

https://arxiv.org/abs/2002.02126 (equation numbers are those of version 4)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.capabilities import LinearPropagation
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform, normal
from kgrec.nn.losses import cosine_softmax, l2
from kgrec.ops.contrast import sampled_softmax_rows
from kgrec.ops.dropout import words
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import poly, poly_rows, propagate
from kgrec.ops.rows import fixed_shapes, take_rows, unit_rows
from kgrec.random import derive

_GROUPS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class LightGCNConfig:
    """Hyper-parameters of LightGCN.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers K; 3 in the paper.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors. Items without any
            are left to what the graph says of them.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        negatives: Items that the softmax contrasts with, drawn anew for each batch, each counting
            for several; 0 takes all. Worth it from about ten thousand items on.
        l2_weight: Weight lambda of half the squared layer-0 norms of the batch rows, divided by the
            batch size; 1e-4 in the paper.
        init: "normal" draws initial embeddings from N(0, ``init_scale``^2), as the authors' code;
            "glorot" as the paper says.
        init_scale: Standard deviation of the initial embeddings; 0.1 in the authors' PyTorch code,
            0.01 in their TensorFlow code. Unused by "glorot".
        edge_dropout: Probability of leaving an edge out of a step, in [0, 1); 0.4 where the
            authors' code switches its dropout on, which it does not by default.
        knowledge: Whether the graph holds the triples and their entities (``lightgcn-kg``) or
            interactions alone (the paper).
    """

    dim: int = 64
    num_layers: int = 2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    negatives: int = 0
    l2_weight: float = 1e-4
    init: Literal["normal", "glorot"] = "normal"
    init_scale: float = 0.1
    edge_dropout: float = 0.0
    knowledge: bool = False

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.num_layers < 0 or self.l2_weight < 0 or self.init_scale <= 0:
            raise ConfigError(
                "LightGCN needs dim >= 1, num_layers >= 0, l2_weight >= 0 and init_scale > 0."
            )
        if self.loss not in ("bpr", "softmax") or not 0 < self.temperature <= 1:
            raise ConfigError('LightGCN needs loss "bpr" or "softmax" and a temperature in (0, 1].')
        if self.negatives < 0:
            raise ConfigError(
                f"LightGCN needs negatives >= 0, not {self.negatives}; 0 takes all items."
            )
        if self.init not in ("normal", "glorot") or not 0 <= self.edge_dropout < 1:
            raise ConfigError(
                'LightGCN needs init "normal" or "glorot" and edge_dropout in [0, 1).'
            )


_PUBLISHED = {"loss": "bpr", "num_layers": 3, "l2_weight": 1e-4}
_PUBLISHED_TRAINING = {"epochs": 1000, "patience": 0, "batch_size": 2048, "learning_rate": 1e-3}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "init": "glorot"}, _PUBLISHED_TRAINING),
    "official": Preset(
        {**_PUBLISHED, "init": "normal", "init_scale": 0.1},
        {**_PUBLISHED_TRAINING, "sampler": "per_user_quota"},
    ),
    "fast": Preset(train={"learning_rate": 0.02, "epochs": 20, "patience": 5}),
    "sampled": Preset(
        {"negatives": 4096, "temperature": 0.1},
        {"learning_rate": 0.01, "batch_size": 4096, "epochs": 20, "patience": 3},
    ),
}
KG_PRESETS = dict(PRESETS)

SPACE = {
    "num_layers": (1, 2, 3, 4),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "l2_weight": Span(1e-6, 1e-3, log=True),
    "edge_dropout": Span(0.0, 0.6),
}
KG_SPACE = {**SPACE, "l2_weight": Span(1e-6, 10.0, log=True)}


class LightGCN(Recommender):
    """Propagate embeddings over the normalized graph, and average the layers.

        X^(k+1) = D^(-1/2) A D^(-1/2) X^(k)                                              (7)-(8)
        Z = 1 / (K + 1) (X^(0) + ... + X^(K)),   score(u, i) = z_u . z_i                 (8)-(9)
        loss = mean softplus(-(score(u, i) - score(u, j))) + lambda / 2 |X^(0) of the batch|^2 / B
        (15)

    Over the collaborative knowledge graph (``knowledge``) entities are further nodes, and parallel
    relations between two nodes are merged into one edge.

    Differs from the paper: L2 on the rows of the batch, as in the authors' code; the "softmax" loss
    is an addition. Edge dropout is the authors' code's, but both directions of an edge go together:
    a graph without an edge is again a graph, and its gradient again its own propagation; their code
    drops the entries of the matrix one by one.

    Args:
        ckg: Graph with or without triples.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: He et al., LightGCN, SIGIR 2020. https://arxiv.org/abs/2002.02126
    """

    merges_relations = True
    through_users = True
    warm_items: Tensor
    warm_position: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: LightGCNConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = PairGraph(ckg)
        warm, position = ckg.warm_items()
        self.register_buffer("warm_items", torch.from_numpy(warm), persistent=False)
        self.register_buffer("warm_position", torch.from_numpy(position), persistent=False)
        self.edge_dropout = SeededDropout(config.edge_dropout)
        self._seed = self._drawn = 0
        self.nodes = nn.Parameter(_initial(ckg, config, generator))  # X^(0)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: LightGCNConfig, generator: torch.Generator
    ) -> "LightGCN":
        """Take the training graph, with the triples where the configuration says so."""
        return cls(
            CollaborativeKG.from_dataset(data, knowledge=config.knowledge), config, generator
        )

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return the layer-averaged embeddings of all nodes, Eq. (8)."""
        return poly(self.nodes, self.graph.csr, self._weights(), self._coefficients())

    def _rows(
        self, rows: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return the layer-averaged embeddings of distinct nodes, and those of layer 0."""
        return poly_rows(self.nodes, self.graph.csr, self._weights(), self._coefficients(), rows)

    def _weights(self) -> Float[Tensor, " edges"]:
        """Return the weights of a step: in training with some edges left out, both directions
        together, the rest scaled up.
        """
        weight: Tensor = self.edge_dropout(self.graph.weight)
        if weight is self.graph.weight:
            return weight
        rev = self.graph.csr.rev.long()
        return weight[torch.minimum(torch.arange(len(rev), device=rev.device), rev)]

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR on propagated embeddings with L2 on layer 0, Eq. (15)."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        if fixed_shapes(nodes):
            z = self()
            return bpr_rows(z, z, *nodes.chunk(3)) + self.config.l2_weight * l2(
                *take_rows(self.nodes, nodes).chunk(3)
            )
        rows, place, times = torch.unique(nodes, return_inverse=True, return_counts=True)
        z, start = self._rows(rows)
        ego: Tensor = (times * start.square().sum(1)).sum() / (2 * len(batch.user))
        return bpr_rows(z, z, *place.chunk(3)) + self.config.l2_weight * ego

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with L2 on
        layer 0.
        """
        if 0 < self.config.negatives < len(self.warm_items):
            return self._sampled_loss(batch)
        users, place = torch.unique(batch.user + self.ckg.num_entities, return_inverse=True)
        z, start = self._rows(torch.cat([self.warm_items, users]))
        warm = z[: len(self.warm_items)]
        target = self.warm_position[batch.positive]
        user = place + len(self.warm_items)
        ego = l2(*take_rows(start, torch.cat([user, target])).chunk(2))
        return (
            cosine_softmax(take_rows(z, user), warm, target, self.config.temperature)
            + self.config.l2_weight * ego
        )

    def _sampled_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the softmax over drawn items, each of which stands for
        ``len(warm_items) / negatives``.
        """
        count = self.config.negatives
        self._drawn += 1
        drawn = words(count, derive(self._seed, "drawn", self._drawn), self.nodes.device) % len(
            self.warm_items
        )
        negative = self.warm_items[drawn]
        rows, place = torch.unique(
            torch.cat([batch.user + self.ckg.num_entities, batch.positive, negative]),
            return_inverse=True,
        )
        z, start = self._rows(rows)
        size = len(batch.user)
        ego = l2(*take_rows(start, place[: 2 * size]).chunk(2))
        u, p, n = torch.split(take_rows(unit_rows(z), place), [size, size, count])
        loss = sampled_softmax_rows(
            u / self.config.temperature,
            p,
            n,
            (batch.positive, negative),
            len(self.warm_items) / count,
        )
        return loss + self.config.l2_weight * ego

    def plan(self) -> Plan:
        """Return one objective, the configured loss."""
        if self.config.loss == "bpr":
            same = not self.config.edge_dropout
            return Plan(
                (Objective(PairwiseBatch, self.bpr_loss, name="bpr", capturable=same),),
                begin_epoch=self._reseed,
            )
        return Plan(
            (Objective(PositiveBatch, self.softmax_loss, name="softmax"),), begin_epoch=self._reseed
        )

    def _reseed(self, epoch: int, seed: int) -> None:
        self.edge_dropout.reseed(derive(seed, "dropped edges", epoch))
        self._seed = derive(seed, "drawn items", epoch)
        self._drawn = 0

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes.

        Steps move vectors within as many hops of an interaction as there are layers; messages carry
        them as far again.
        """
        return reached(self.ckg, 2 * self.config.num_layers)

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings, Eq. (9)."""
        z = self()
        fold = (
            self._fold_in if self.config.num_layers else None
        )  # without a layer a history reaches nobody
        return DotProduct(z[self.ckg.num_entities :], self._ranked(z[: self.ckg.num_items]), fold)

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
        """Return z of new users who have no embedding of their own, only edges to their history.

        z_u = sum over k >= 1 of A_uj X^(k-1)_j / (K + 1): the paper's propagation at u, what u
        would change in others left out.
        """
        layers = self.config.num_layers
        received = poly(self.nodes, self.graph.csr, self.graph.weight, (1 / (layers + 1),) * layers)
        degree = self.graph.csr.degree.clamp(min=1)[: self.ckg.num_items].to(received.dtype)
        messages = received[history] * degree[history].rsqrt().unsqueeze(2) * mask.unsqueeze(2)
        return messages.sum(1) * mask.sum(1, keepdim=True).clamp(min=1).to(received.dtype).rsqrt()

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), both directions
        and all degrees counted.

        Source: explanation.md 3.3, with the change of the degrees added.
        """
        with torch.enable_grad():
            weight = self.graph.weight.detach().clone().requires_grad_()
            x = total = self.nodes.detach()
            for _ in range(self.config.num_layers):
                x = propagate(x, self.graph.csr, weight)
                total = total + x
            z = total / (self.config.num_layers + 1)
            score = z[self.ckg.user_node(user)] @ self._ranked(z[item : item + 1])[0]
            (gradient,) = torch.autograd.grad(
                score, weight, allow_unused=True, materialize_grads=True
            )
        return self.graph.removal_effect(weight.detach() * gradient)

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts, degrees recomputed unless
        ``keep_weights`` (explanation.md 3.4).
        """
        ends = (self.ckg.user_node(user), item)
        mean = self._coefficients()
        scores = [self.nodes.new_zeros(0)]
        for start in range(0, len(removed), _GROUPS_AT_ONCE):
            groups = removed[start : start + _GROUPS_AT_ONCE]
            z = (
                self.graph.rows_without(ends, groups, mean, keep_weights) @ self.nodes
            )  # (groups, 2, dim)
            scores.append((z[:, 0] * self._ranked(z[:, 1])).sum(1))
        return torch.cat(scores)

    def propagation(self) -> LinearPropagation:
        """Return Eqs. (7)-(9) as a polynomial of the graph."""
        return LinearPropagation(
            self.graph, self.nodes.detach(), self._coefficients(), self.config.loss == "softmax"
        )

    def on_graph(self, ckg: CollaborativeKG) -> "LightGCN":
        """Return the model with its layer-0 embeddings on another graph of the same nodes."""
        other = LightGCN(ckg, self.config, torch.Generator()).to(self.nodes)
        other.nodes = self.nodes
        return other.eval()

    def _coefficients(self) -> tuple[float, ...]:
        return (1 / (self.config.num_layers + 1),) * (self.config.num_layers + 1)


def _initial(ckg: CollaborativeKG, config: LightGCNConfig, generator: torch.Generator) -> Tensor:
    if config.init == "normal":
        return normal(ckg.num_nodes, config.dim, scale=config.init_scale, generator=generator)
    return torch.cat(
        [
            glorot_uniform(size, config.dim, generator=generator)
            for size in (ckg.num_entities, ckg.num_users)
        ]
    )
