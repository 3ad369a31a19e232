"""XSimGCL: Towards Extremely Simple Graph Contrastive Learning for Recommendation. Yu et al., TKDE
2023.

https://arxiv.org/abs/2209.02544 (sections are those of version 4)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Span
from kgrec.models.graph.base import ContrastedLight
from kgrec.nn.contrast import check_contrast
from kgrec.nn.light import NoisyPropagation
from kgrec.nn.ranking_loss import check_ranking_loss
from kgrec.ops.propagate import poly_rows


@dataclass(frozen=True, slots=True)
class XSimGCLConfig:
    """Hyper-parameters of XSimGCL.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers L, at least 1; 3 in the paper.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        layer: Layer l* that the final vectors are contrasted with, 1 .. L; 1 in the paper on
            Yelp2018.
        noise: Length eps of the noise at each layer; 0.2 in the paper.
        contrast_temperature: Temperature tau of the contrast, in (0, 1]; 0.15 in the paper.
        contrast_weight: Weight lambda of the contrast; 0.2 in the paper.
        l2_weight: Weight of half the squared layer-0 norms of the batch rows, divided by the batch
            size; 1e-4 in the paper.
    """

    dim: int = 64
    num_layers: int = 2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    layer: int = 1
    noise: float = 0.05
    contrast_temperature: float = 0.15
    contrast_weight: float = 0.05
    l2_weight: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_ranking_loss("XSimGCL", self.loss, self.temperature)
        weights = self.contrast_weight, self.l2_weight
        check_contrast("XSimGCL", self.contrast_temperature, *weights)
        if self.dim < 1 or self.num_layers < 1 or self.noise < 0:
            raise ConfigError("XSimGCL needs dim >= 1, num_layers >= 1 and noise >= 0.")
        if not 1 <= self.layer <= self.num_layers:
            raise ConfigError(
                f"XSimGCL needs layer in 1 .. num_layers, not {self.layer} of {self.num_layers}."
            )


_PUBLISHED = {"loss": "bpr", "num_layers": 3, "noise": 0.2, "contrast_weight": 0.2}
_PUBLISHED_TRAINING = {"epochs": 20, "patience": 0, "batch_size": 2048, "learning_rate": 1e-3}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "num_layers": 2}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "noise": Span(0.01, 0.5, log=True),
    "temperature": Span(0.1, 0.3),
    "contrast_temperature": Span(0.1, 0.5),
    "contrast_weight": Span(0.02, 1.0, log=True),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class XSimGCL(ContrastedLight):
    """LightGCN with noise on its layers, whose final vectors are recognized among those of one
    layer.

        e'^(k) = A e'^(k-1) + noise,   noise = sign(e) eps u / |u|, u uniform in [0, 1)
        Z' = 1 / L (e'^(1) + ... + e'^(L))
        contrast = mean of -log(exp(cos(z'_v, e'^(l*)_v) / tau) / sum over the batch's w of
                   exp(cos(z'_v, e'^(l*)_w) / tau)), of the users and of the items
        loss = ranking of Z' + lambda contrast + L2;   score(u, i) = z_u . z_i, without noise

    One pass where SimGCL has three (Section 3). Noise is a constant to the gradient.

    Differs from the paper: L2 on the rows of the batch, squared (the authors' later code takes norms
    of propagated rows); the "softmax" loss is an addition.

    Args:
        ckg: Graph of interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Yu et al., XSimGCL, TKDE 2023, Section 3. https://arxiv.org/abs/2209.02544
    """

    propagate: NoisyPropagation
    splits = True
    _noisy: tuple[Tensor, Tensor]  # Z' and e'^(l*) of the step

    def _propagation(self) -> NoisyPropagation:
        return NoisyPropagation(self.config.num_layers, self.config.noise)

    def loss(self, batch: PairwiseBatch | PositiveBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the loss of the ranking and that of the contrast, of one pass with noise."""
        csr, weight = self.graph.csr, self.graph.weight
        layers = self.propagate.perturbed(self.nodes, csr, weight, self.shard)
        self._noisy = torch.stack(layers).mean(0), layers[self.config.layer - 1]
        return super().loss(batch)

    def rows(
        self, rows: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return Z' of distinct nodes in the pass of the step, and their embeddings."""
        z, start = super().rows(rows)
        return z + (self._noisy[0][rows] - z).detach(), start

    def contrast(self, users: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, ""]:
        """Return how little the final vectors of a batch are recognized among those of a layer."""
        users, items = torch.unique(users), torch.unique(items)
        nodes = torch.cat([users, items])
        z, _ = self.rows(nodes)
        only = (0.0,) * self.config.layer + (1.0,)
        layer, _ = poly_rows(self.nodes, self.graph.csr, self.graph.weight, only, nodes)
        layer = layer + (self._noisy[1][nodes] - layer).detach()  # e'^(l*)
        first, second = self.shard.rows(z), self.shard.rows(layer)
        return self.recognized(first, second, len(users), self.config.contrast_temperature)

    def reseed(self, seed: int) -> None:
        """Start the noise of an epoch."""
        self.propagate.noise.reseed(seed)
