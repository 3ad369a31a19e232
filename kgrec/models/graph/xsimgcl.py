"""XSimGCL: Towards Extremely Simple Graph Contrastive Learning for Recommendation. Yu et al., TKDE
2023.

https://arxiv.org/abs/2209.02544 (sections are those of version 4)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import PairwiseBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Objective, Plan, Preset, Span
from kgrec.models.graph.base import LightRecommender
from kgrec.nn.contrast import check_contrast, info_nce
from kgrec.nn.light import NoisyPropagation
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import poly_rows
from kgrec.ops.rows import take_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class XSimGCLConfig:
    """Hyper-parameters of XSimGCL.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers L, at least 1; 3 in the paper.
        layer: Layer l* that the final vectors are contrasted with, 1 .. L; 1 in the paper on
            Yelp2018.
        noise: Length eps of the noise at each layer; 0.2 in the paper.
        temperature: Temperature tau of the contrast, in (0, 1]; 0.15 in the paper.
        contrast_weight: Weight lambda of the contrast; 0.2 in the paper.
        l2: "start", half the squared layer-0 norms of the batch rows, divided by the batch size;
            "norms" as in the authors' code, the norms of the batch's propagated users and items
            used, each of the whole table, divided by the batch size.
        l2_weight: Its weight; 1e-4 in the paper.
    """

    dim: int = 64
    num_layers: int = 3
    layer: int = 1
    noise: float = 0.2
    temperature: float = 0.15
    contrast_weight: float = 0.2
    l2: Literal["start", "norms"] = "start"
    l2_weight: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_contrast("XSimGCL", self.temperature, self.contrast_weight, self.l2_weight)
        if self.dim < 1 or self.num_layers < 1 or self.noise < 0:
            raise ConfigError("XSimGCL needs dim >= 1, num_layers >= 1 and noise >= 0.")
        if not 1 <= self.layer <= self.num_layers:
            raise ConfigError(
                f"XSimGCL needs layer in 1 .. num_layers, not {self.layer} of {self.num_layers}."
            )
        if self.l2 not in ("start", "norms"):
            raise ConfigError('XSimGCL needs l2 "start" or "norms".')


_PUBLISHED_TRAINING = {"epochs": 20, "patience": 0, "batch_size": 2048, "learning_rate": 1e-3}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset(train=_PUBLISHED_TRAINING),
    "official": Preset({"num_layers": 2, "l2": "norms"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "noise": Span(0.01, 0.5, log=True),
    "temperature": Span(0.1, 0.5),
    "contrast_weight": Span(0.02, 1.0, log=True),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class XSimGCL(LightRecommender):
    """LightGCN with noise on its layers, whose final vectors are recognized among those of one
    layer.

        e'^(k) = A e'^(k-1) + noise,   noise = sign(e) eps u / |u|, u uniform in [0, 1)
        Z' = 1 / L (e'^(1) + ... + e'^(L))
        contrast = mean of -log(exp(cos(z'_v, e'^(l*)_v) / tau) / sum over the batch's w of
                   exp(cos(z'_v, e'^(l*)_w) / tau)), of the users and of the items
        loss = BPR of Z' + lambda contrast + L2;   score(u, i) = z_u . z_i, without noise

    One pass where SimGCL has three (Section 3). Noise is a constant to the gradient.

    Differs from the paper: L2 on the rows of the batch instead of on all parameters.

    Args:
        ckg: Graph of interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Yu et al., XSimGCL, TKDE 2023, Section 3. https://arxiv.org/abs/2209.02544
    """

    propagate: NoisyPropagation

    def _propagation(self) -> NoisyPropagation:
        return NoisyPropagation(self.config.num_layers, self.config.noise)

    def loss(self, batch: PairwiseBatch) -> dict[str, Float[Tensor, ""]]:
        """Return BPR with L2, and the contrast of users and items."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        rows, at, times = torch.unique(nodes, return_inverse=True, return_counts=True)
        csr, weight, number = self.graph.csr, self.graph.weight, self.config.layer
        layers = self.propagate.perturbed(self.nodes, csr, weight)
        plain, start = self.rows(rows)  # (distinct nodes of the batch, dim)
        z = plain + (torch.stack(layers).mean(0)[rows] - plain).detach()  # Z'
        only = (0.0,) * number + (1.0,)
        plain, _ = poly_rows(self.nodes, csr, weight, only, rows)
        layer = plain + (layers[number - 1][rows] - plain).detach()  # e'^(l*)

        size = len(batch.user)
        user, positive, _ = at.chunk(3)
        if self.config.l2 == "start":
            squares: Tensor = (times * start.square().sum(1)).sum() / (2 * size)
        else:
            squares = (take_rows(z, user).norm() + take_rows(z, positive).norm()) / size

        parts = [torch.unique(part) for part in (user, positive)]
        tau = self.config.temperature
        contrast = torch.stack(
            [info_nce(take_rows(z, part), take_rows(layer, part), tau) for part in parts]
        ).sum()

        return {
            "bpr": bpr_rows(z, z, *at.chunk(3)) + self.config.l2_weight * squares,
            "contrast": self.config.contrast_weight * contrast,
        }

    def plan(self) -> Plan:
        """Return one objective of two losses."""
        return Plan((Objective(PairwiseBatch, self.loss, name="bpr"),), begin_epoch=self._reseed)

    def _reseed(self, epoch: int, seed: int) -> None:
        self.propagate.noise.reseed(derive(seed, "noise", epoch))
