"""SGL: Self-supervised Graph Learning for Recommendation. Wu et al., SIGIR 2021.

https://arxiv.org/abs/2010.10783 (equation numbers are those of version 4)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Preset, Span
from kgrec.models.graph.base import TwoViews
from kgrec.nn.contrast import (
    check_contrast,
    edges_of_kept_nodes,
    kept_edges,
    view_weights,
)
from kgrec.nn.ranking_loss import check_ranking_loss
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import take_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class SGLConfig:
    """Hyper-parameters of SGL.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers L, at least 1; 3 in the paper.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        view: What a view leaves out: "edge" (SGL-ED, the paper's best), "node" with its edges
            (SGL-ND), or "walk", other edges at each layer (SGL-RW).
        drop: Share that a view leaves out, rho, in [0, 1); 0.1 in the paper.
        contrast: Which nodes a node is told apart from: "all" users or items as in Eq. (10), or
            those of the "batch", which is faster (Section 3.4).
        contrast_temperature: Temperature tau of the contrast, in (0, 1]; 0.2 in the paper.
        contrast_weight: Weight lambda_1 of the contrast; 0.1 in the paper.
        l2_weight: Weight lambda_2 of half the squared layer-0 norms of the batch rows, divided by
            the batch size; 1e-4 in the paper.
    """

    dim: int = 64
    num_layers: int = 2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    view: Literal["edge", "node", "walk"] = "edge"
    drop: float = 0.1
    contrast: Literal["all", "batch"] = "batch"
    contrast_temperature: float = 0.2
    contrast_weight: float = 0.05
    l2_weight: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_ranking_loss("SGL", self.loss, self.temperature)
        weights = self.contrast_weight, self.l2_weight
        check_contrast("SGL", self.contrast_temperature, *weights)
        if self.dim < 1 or self.num_layers < 1 or not 0 <= self.drop < 1:
            raise ConfigError("SGL needs dim >= 1, num_layers >= 1 and drop in [0, 1).")
        if self.view not in ("edge", "node", "walk") or self.contrast not in ("all", "batch"):
            raise ConfigError(
                'SGL needs view "edge", "node" or "walk" and contrast "all", "batch".'
            )


PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset(
        {"loss": "bpr", "num_layers": 3, "contrast": "all", "contrast_weight": 0.1},
        {"epochs": 1000, "patience": 0, "batch_size": 2048, "learning_rate": 1e-3},
    ),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "drop": Span(0.05, 0.5),
    "temperature": Span(0.1, 0.3),
    "contrast_temperature": Span(0.1, 0.5),
    "contrast_weight": Span(0.005, 0.5, log=True),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class SGL(TwoViews):
    """LightGCN whose nodes are also recognized across two views of the graph.

        Z = 1 / (L + 1) (X + A X + ... + A^L X),   score(u, i) = z_u . z_i                    (4)
        z'_v, z''_v: the same over two graphs without some of the edges                   (5)-(9)
        contrast = mean of -log(exp(cos(z'_v, z''_v) / tau) / sum over w of
                   exp(cos(z'_v, z''_w) / tau)), of the users and of the items               (10)
        loss = ranking + lambda_1 contrast + lambda_2 / 2 |X of the batch|^2 / B                 (11)

    The views are drawn at the start of each epoch, and normalized again. Ranking uses the whole
    graph, as LightGCN does.

    Differs from the paper: each edge or node is left out on its own, where the authors' code leaves
    out an exact number; means over the batch for sums; L2 on the rows of the batch, as in their
    code; the "softmax" loss is an addition.

    Args:
        ckg: Graph of interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Wu et al., SGL, SIGIR 2021. https://arxiv.org/abs/2010.10783
    """

    splits = True

    def __init__(self, ckg: CollaborativeKG, config: SGLConfig, generator: torch.Generator) -> None:
        super().__init__(ckg, config, generator)
        self._views: tuple[tuple[Tensor, ...], ...] = ()

    def view(self, number: int, nodes: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """Return Z of distinct nodes over a view, Eqs. (5)-(9)."""
        csr = self.graph.csr
        whole = (self.graph.weight,) * self.config.num_layers
        weights = self._views[number] if self._views else whole
        if self.config.view != "walk":
            return self.propagate.rows(self.nodes, csr, weights[0], nodes)[0]

        x: Tensor = self.nodes
        total = x
        for weight in weights:
            x = propagate(x, csr, weight, weight)
            total = total + x

        return take_rows(total / (len(weights) + 1), nodes)

    def reseed(self, seed: int) -> None:
        """Draw both views; where there is no walk, all layers of a view have the same edges."""
        csr = self.graph.csr
        draw = {"node": edges_of_kept_nodes}.get(self.config.view, kept_edges)
        layers = {"walk": self.config.num_layers}.get(self.config.view, 1)

        def weights(view: int, layer: int) -> Tensor:
            kept = draw(csr, self.config.drop, derive(seed, "view", view, layer))
            return view_weights(csr, kept, self.graph.weight.dtype)

        self._views = tuple(
            tuple(weights(view, layer) for layer in range(layers)) for view in (0, 1)
        )
