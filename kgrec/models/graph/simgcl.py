"""SimGCL: Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation.
Yu et al., SIGIR 2022.

https://arxiv.org/abs/2112.08679 (numbers of equations and sections are those of version 4)
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
from kgrec.ops.rows import take_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class SimGCLConfig:
    """Hyper-parameters of SimGCL.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers L, at least 1; 3 in the paper.
        noise: Length eps of the noise at each layer; 0.1 in the paper.
        temperature: Temperature tau of the contrast, in (0, 1]; 0.2 in the paper.
        contrast_weight: Weight lambda of the contrast; 0.5 in the paper on Yelp2018 (0.2 on Douban,
            2 on Amazon-Book).
        l2: "start", half the squared layer-0 norms of the batch rows, divided by the batch size;
            "norms" as in the authors' later code, the norms of the batch's propagated users and
            items used, each of the whole table, divided by the batch size.
        l2_weight: Its weight; 1e-4 in the paper.
    """

    dim: int = 64
    num_layers: int = 3
    noise: float = 0.1
    temperature: float = 0.2
    contrast_weight: float = 0.5
    l2: Literal["start", "norms"] = "start"
    l2_weight: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_contrast("SimGCL", self.temperature, self.contrast_weight, self.l2_weight)
        if self.dim < 1 or self.num_layers < 1 or self.noise < 0:
            raise ConfigError("SimGCL needs dim >= 1, num_layers >= 1 and noise >= 0.")
        if self.l2 not in ("start", "norms"):
            raise ConfigError('SimGCL needs l2 "start" or "norms".')


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
    "contrast_weight": Span(0.02, 2.0, log=True),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class SimGCL(LightRecommender):
    """LightGCN whose nodes are also recognized under noise on their vectors.

        Z = 1 / L (A X + ... + A^L X),   score(u, i) = z_u . z_i
        e' = e + sign(e) eps u / |u|, u uniform in [0, 1), after each layer; z', z'' of two such
        passes                                                                             (Section 3)
        contrast = mean of -log(exp(cos(z'_v, z''_v) / tau) / sum over the batch's w of
                   exp(cos(z'_v, z''_w) / tau)), of the users and of the items                   (2)
        loss = BPR + lambda contrast + L2                                                        (1)

    The layer mean is over the layers from the first on. Noise is a constant to the gradient, so
    that both passes have the gradient of the one without: a step runs it once.

    Differs from the paper: L2 on the rows of the batch instead of on all parameters.

    Args:
        ckg: Graph of interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Yu et al., SimGCL, SIGIR 2022. https://arxiv.org/abs/2112.08679
    """

    propagate: NoisyPropagation

    def _propagation(self) -> NoisyPropagation:
        return NoisyPropagation(self.config.num_layers, self.config.noise)

    def loss(self, batch: PairwiseBatch) -> dict[str, Float[Tensor, ""]]:
        """Return BPR with L2, and the contrast of users and items, Eq. (1)."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        rows, at, times = torch.unique(nodes, return_inverse=True, return_counts=True)
        z, start = self.rows(rows)  # (distinct nodes of the batch, dim)
        size = len(batch.user)
        user, positive, _ = at.chunk(3)

        if self.config.l2 == "start":
            squares: Tensor = (times * start.square().sum(1)).sum() / (2 * size)
        else:
            squares = (take_rows(z, user).norm() + take_rows(z, positive).norm()) / size

        csr = self.graph.csr
        shift = (
            torch.stack(self.propagate.perturbed(self.nodes, csr, self.graph.weight)).mean(0)[rows]
            - z.detach()
            for _ in range(2)
        )
        first, second = (z + noise for noise in shift)  # Section 3
        parts = [torch.unique(part) for part in (user, positive)]
        tau = self.config.temperature
        contrast = torch.stack(
            [info_nce(take_rows(first, part), take_rows(second, part), tau) for part in parts]
        ).sum()  # Eq. (2)

        return {
            "bpr": bpr_rows(z, z, *at.chunk(3)) + self.config.l2_weight * squares,
            "contrast": self.config.contrast_weight * contrast,
        }

    def plan(self) -> Plan:
        """Return one objective of two losses."""
        return Plan((Objective(PairwiseBatch, self.loss, name="bpr"),), begin_epoch=self._reseed)

    def _reseed(self, epoch: int, seed: int) -> None:
        self.propagate.noise.reseed(derive(seed, "noise", epoch))
