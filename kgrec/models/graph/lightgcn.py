"""LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation. He et al., SIGIR
2020.

https://arxiv.org/abs/2002.02126 (equation numbers are those of version 4)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Plan, Preset, Span, ranking_objective
from kgrec.models.graph.base import FactLight
from kgrec.nn.init import normal
from kgrec.nn.light import LightPropagation
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss
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
        fanouts: Edges to draw for each node in training, a number for each layer, so that a step
            reads a part of the graph; () takes all, as the paper. Ranking takes all in any case.
        knowledge: Whether the graph holds the triples and their entities (``lightgcn-kg``) or
            interactions alone (the paper).
        kg_weight: Weight of a triple loss on the vectors of layer 0, with ``knowledge`` alone
            (``kgrec.models.typed_facts.TripleLoss``); 0 for none, as the paper. It makes the graph
            model use its facts where they say something.
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
    fanouts: tuple[int, ...] = ()
    knowledge: bool = False
    kg_weight: float = 0.0

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
        self._check_fanouts()
        if self.kg_weight < 0 or (self.kg_weight and not self.knowledge):
            raise ConfigError(
                f"LightGCN: kg_weight {self.kg_weight:g} needs triples: 0 or more with "
                "lightgcn-kg, 0 with lightgcn."
            )

    def _check_fanouts(self) -> None:
        if not self.fanouts:
            return
        if len(self.fanouts) != self.num_layers or min(self.fanouts) < 1:
            raise ConfigError(
                f"LightGCN: fanouts {self.fanouts}: take a number of at least 1 for each of "
                f"{self.num_layers} layers, or none."
            )
        if self.edge_dropout or (self.loss == "softmax" and not self.negatives):
            raise ConfigError(
                "LightGCN: fanouts read a part of the graph, edge_dropout and a softmax over all "
                'items the whole. Take edge_dropout=0, and negatives or loss="bpr".'
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
    "dim": (64, 128),
    "num_layers": (1, 2, 3, 4),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "l2_weight": Span(1e-6, 1e-3, log=True),
    "edge_dropout": Span(0.0, 0.6),
}
KG_SPACE = {
    **SPACE,
    "l2_weight": Span(1e-6, 10.0, log=True),
    "kg_weight": (0.0, 0.25, 1.0, 4.0),
}


class LightGCN(FactLight):
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

    splits = True

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: LightGCNConfig, generator: torch.Generator
    ) -> "LightGCN":
        """Take the training graph, with the triples where the configuration says so."""
        ckg = CollaborativeKG.from_dataset(data, knowledge=config.knowledge)
        return cls(ckg, config, generator)

    def _propagation(self) -> LightPropagation:
        config = self.config
        return LightPropagation(config.num_layers, config.edge_dropout, config.fanouts)  # (7)-(8)

    def _initial(self, generator: torch.Generator) -> Tensor:
        if self.config.init == "glorot":
            return super()._initial(generator)

        shape = self.ckg.num_nodes, self.config.dim
        return normal(*shape, scale=self.config.init_scale, generator=generator)

    def _warm(self) -> CosineSoftmax:
        config = self.config
        return CosineSoftmax(*self.ckg.warm_items(), config.temperature, config.negatives)

    def plan(self) -> Plan:
        """Return the configured loss, and that of triples where it has a weight."""
        same = not self.config.edge_dropout and not self.config.fanouts
        objective = ranking_objective(
            self.config.loss, self.pairwise_loss, self.softmax_loss, capturable=same
        )
        more = self.fact_objectives()
        return Plan((objective, *more), joint=bool(more), begin_epoch=self._reseed, **self.split())

    def _reseed(self, epoch: int, seed: int) -> None:
        self.propagate.reseed(derive(seed, "dropped edges", epoch))
        self.warm.reseed(derive(seed, "drawn items", epoch))
