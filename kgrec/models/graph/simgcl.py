"""SimGCL: Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation.
Yu et al., SIGIR 2022.

https://arxiv.org/abs/2112.08679 (numbers of equations and sections are those of version 4)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Span
from kgrec.models.graph.base import ContrastedLight
from kgrec.nn.contrast import check_contrast
from kgrec.nn.light import NoisyPropagation
from kgrec.nn.ranking_loss import check_ranking_loss


@dataclass(frozen=True, slots=True)
class SimGCLConfig:
    """Hyper-parameters of SimGCL.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers L, at least 1; 3 in the paper.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        noise: Length eps of the noise at each layer; 0.1 in the paper.
        contrast_temperature: Temperature tau of the contrast, in (0, 1]; 0.2 in the paper.
        contrast_weight: Weight lambda of the contrast; 0.5 in the paper on Yelp2018 (0.2 on Douban,
            2 on Amazon-Book).
        l2_weight: Weight of half the squared layer-0 norms of the batch rows, divided by the batch
            size; 1e-4 in the paper.
    """

    dim: int = 64
    num_layers: int = 2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    noise: float = 0.1
    contrast_temperature: float = 0.2
    contrast_weight: float = 0.1
    l2_weight: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_ranking_loss("SimGCL", self.loss, self.temperature)
        weights = self.contrast_weight, self.l2_weight
        check_contrast("SimGCL", self.contrast_temperature, *weights)
        if self.dim < 1 or self.num_layers < 1 or self.noise < 0:
            raise ConfigError("SimGCL needs dim >= 1, num_layers >= 1 and noise >= 0.")


_PUBLISHED = {"loss": "bpr", "num_layers": 3, "contrast_weight": 0.5}
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
    "contrast_weight": Span(0.02, 2.0, log=True),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class SimGCL(ContrastedLight):
    """LightGCN whose nodes are also recognized under noise on their vectors.

        Z = 1 / L (A X + ... + A^L X),   score(u, i) = z_u . z_i
        e' = e + sign(e) eps u / |u|, u uniform in [0, 1), after each layer; z', z'' of two such
        passes                                                                             (Section 3)
        contrast = mean of -log(exp(cos(z'_v, z''_v) / tau) / sum over the batch's w of
                   exp(cos(z'_v, z''_w) / tau)), of the users and of the items                   (2)
        loss = ranking + lambda contrast + L2                                                        (1)

    The layer mean is over the layers from the first on. Noise is a constant to the gradient, so
    that both passes have the gradient of the one without: a step runs it once.

    Differs from the paper: L2 on the rows of the batch, squared (the authors' later code takes norms
    of propagated rows); the "softmax" loss is an addition.

    Args:
        ckg: Graph of interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Yu et al., SimGCL, SIGIR 2022. https://arxiv.org/abs/2112.08679
    """

    propagate: NoisyPropagation
    splits = True

    def _propagation(self) -> NoisyPropagation:
        return NoisyPropagation(self.config.num_layers, self.config.noise)

    def contrast(self, users: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, ""]:
        """Return how little the nodes of a batch are recognized under noise, Eq. (2)."""
        users, items = torch.unique(users), torch.unique(items)
        nodes = torch.cat([users, items])
        z, _ = self.rows(nodes)
        views = [z + (self._noisy()[nodes] - z).detach() for _ in range(2)]
        first, second = (self.shard.rows(view) for view in views)
        return self.recognized(first, second, len(users), self.config.contrast_temperature)

    def _noisy(self) -> Float[Tensor, "nodes dim"]:
        """Return Z of a pass with noise, without a gradient (Section 3)."""
        csr, weight = self.graph.csr, self.graph.weight
        layers = self.propagate.perturbed(self.nodes, csr, weight, self.shard)
        return torch.stack(layers).mean(0)

    def reseed(self, seed: int) -> None:
        """Start the noise of an epoch."""
        self.propagate.noise.reseed(seed)
