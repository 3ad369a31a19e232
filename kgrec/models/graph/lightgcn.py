"""LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation. He et al., SIGIR
2020.

https://arxiv.org/abs/2002.02126 (equation numbers are those of version 4)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import DotProduct, Plan, Preset, Recommender, Span, ranking_objective
from kgrec.models.effects import PropagationEffects, with_parameters_of
from kgrec.nn.init import glorot_uniform, normal
from kgrec.nn.light import LightPropagation
from kgrec.nn.losses import l2
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss, ranked_items
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.rows import fixed_shapes, take_rows, unit_rows
from kgrec.random import derive


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
        negatives: Items that the softmax contrasts with, drawn again for each batch, each counting
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

        check_ranking_loss("LightGCN", self.loss, self.temperature)
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

        X^(k+1) = D^(-1/2) A D^(-1/2) X^(k)                                                 (7)-(8)
        Z = 1 / (K + 1) (X^(0) + ... + X^(K)),   score(u, i) = z_u . z_i                    (8)-(9)
        loss = mean softplus(-(score(u, i) - score(u, j)))
               + lambda / 2 |X^(0) of the batch|^2 / B                                         (15)

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

    def __init__(
        self, ckg: CollaborativeKG, config: LightGCNConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = PairGraph(ckg)
        self.propagate = LightPropagation(config.num_layers, config.edge_dropout)
        self.contrast = CosineSoftmax(*ckg.warm_items(), config.temperature, config.negatives)
        self.nodes = nn.Parameter(_initial(ckg, config, generator))  # X^(0)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: LightGCNConfig, generator: torch.Generator
    ) -> "LightGCN":
        """Take the training graph, with the triples where the configuration says so."""
        ckg = CollaborativeKG.from_dataset(data, knowledge=config.knowledge)
        return cls(ckg, config, generator)

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return the layer-averaged embeddings of all nodes, Eq. (8)."""
        z: Tensor = self.propagate(self.nodes, self.graph.csr, self.graph.weight)  # Eqs. (7)-(8)
        return z

    def _rows(
        self, rows: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return the layer-averaged embeddings of distinct nodes, and those of layer 0."""
        return self.propagate.rows(self.nodes, self.graph.csr, self.graph.weight, rows)

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR on propagated embeddings with L2 on layer 0, Eq. (15)."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        if fixed_shapes(nodes):
            z = self()
            start = take_rows(self.nodes, nodes)
            squares = l2(*start.chunk(3))
            return bpr_rows(z, z, *nodes.chunk(3)) + self.config.l2_weight * squares  # Eq. (15)

        rows, at, times = torch.unique(nodes, return_inverse=True, return_counts=True)
        z, start = self._rows(rows)  # (distinct nodes of the batch, dim)
        ego: Tensor = (times * start.square().sum(1)).sum() / (2 * len(batch.user))
        return bpr_rows(z, z, *at.chunk(3)) + self.config.l2_weight * ego  # Eq. (15)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions, with L2 on
        layer 0.
        """
        if self.contrast.sampled:
            return self._sampled_loss(batch)

        warm = self.contrast.count
        users, at = torch.unique(batch.user + self.ckg.num_entities, return_inverse=True)
        z, start = self._rows(torch.cat([self.contrast.items, users]))  # (warm + users, dim)
        user = at + warm
        positive = self.contrast.position[batch.positive]
        ego = l2(*take_rows(start, torch.cat([user, positive])).chunk(2))
        loss: Tensor = self.contrast(take_rows(z, user), z[:warm], batch.positive)
        return loss + self.config.l2_weight * ego

    def _sampled_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the softmax over drawn items."""
        drawn = self.contrast.draw()
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, drawn])
        rows, at = torch.unique(nodes, return_inverse=True)
        z, start = self._rows(rows)
        size = len(batch.user)
        ego = l2(*take_rows(start, at[: 2 * size]).chunk(2))
        user, item, other = torch.split(take_rows(unit_rows(z), at), [size, size, len(drawn)])
        loss = self.contrast.over_drawn(user, item, other, (batch.positive, drawn))
        return loss + self.config.l2_weight * ego

    def plan(self) -> Plan:
        """Return one objective, the configured loss."""
        same = not self.config.edge_dropout
        objective = ranking_objective(
            self.config.loss, self.bpr_loss, self.softmax_loss, capturable=same
        )
        return Plan((objective,), begin_epoch=self._reseed)

    def _reseed(self, epoch: int, seed: int) -> None:
        self.propagate.edge_dropout.reseed(derive(seed, "dropped edges", epoch))
        self.contrast.reseed(derive(seed, "drawn items", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes.

        Steps move vectors within as many hops of an interaction as there are layers; messages carry
        them as far again.
        """
        return reached(self.ckg, 2 * self.config.num_layers)

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings, Eq. (9)."""
        z = self()
        users, items = z[self.ckg.num_entities :], z[: self.ckg.num_items]
        ranked = ranked_items(items, self.config.loss)
        if not self.config.num_layers:  # without a layer a history reaches no one
            return DotProduct(users, ranked)

        csr = self.graph.csr
        received = self.propagate.received(self.nodes, csr, self.graph.weight)
        return DotProduct(users, ranked, partial(self.propagate.fold_in, received, csr))

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, and the propagated entities."""
        ranked = self.scorer()
        entities = self()[: self.ckg.num_entities]
        return {"users": ranked.users, "items": ranked.items, "entities": entities}

    def explanation_effects(self) -> PropagationEffects:
        """Return effects in closed form: the scores are linear in the embeddings."""

        def rebuilt(ckg: CollaborativeKG) -> Recommender:
            return with_parameters_of(self, LightGCN(ckg, self.config, torch.Generator()))

        by_direction = self.config.loss == "softmax"
        coefficients = self.propagate.coefficients
        return PropagationEffects(
            self.ckg, self.graph, self.nodes, coefficients, by_direction, rebuilt
        )


def _initial(ckg: CollaborativeKG, config: LightGCNConfig, generator: torch.Generator) -> Tensor:
    if config.init == "normal":
        return normal(ckg.num_nodes, config.dim, scale=config.init_scale, generator=generator)
    return torch.cat(
        [
            glorot_uniform(size, config.dim, generator=generator)
            for size in (ckg.num_entities, ckg.num_users)
        ]
    )
