"""DirectAU: Towards Representation Alignment and Uniformity in Collaborative Filtering. Wang et
al., KDD 2022.

https://arxiv.org/abs/2206.12811
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import PositiveBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Objective, Plan, Preset, Span
from kgrec.models.graph.base import LightRecommender
from kgrec.nn.contrast import alignment, uniformity
from kgrec.nn.losses import l2
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class DirectAUConfig:
    """Hyper-parameters of DirectAU.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers of the encoder; 0 is matrix factorization, as in the paper,
            2 or 3 LightGCN.
        ranks: What a score is: "product" of the vectors as they are, as in the authors' code, or by
            "direction", the item's vector normalized, as it is trained.
        uniformity_weight: Weight gamma of the uniformity; 0.5 to 5 in the paper, by data set.
        l2_weight: Weight of half the squared layer-0 norms of the batch rows, divided by the batch
            size.
    """

    dim: int = 64
    num_layers: int = 2
    ranks: Literal["product", "direction"] = "direction"
    uniformity_weight: float = 1.0
    l2_weight: float = 0.0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.ranks not in ("product", "direction"):
            raise ConfigError('DirectAU needs ranks "product" or "direction".')
        if self.dim < 1 or self.num_layers < 0 or self.uniformity_weight < 0 or self.l2_weight < 0:
            raise ConfigError(
                "DirectAU needs dim >= 1, num_layers >= 0, uniformity_weight >= 0 and "
                "l2_weight >= 0."
            )


_SMALL = {"num_layers": 1, "uniformity_weight": 0.3}  # docs/results/defaults.md

PRESETS = {
    "default": Preset(_SMALL, {"learning_rate": 0.003, "epochs": 100, "batch_size": 2048}),
    "paper": Preset(
        {"num_layers": 0, "ranks": "product"},
        {
            "epochs": 300,
            "patience": 0,
            "batch_size": 256,
            "learning_rate": 1e-3,
            "weight_decay": 1e-6,
        },
    ),
    "fast": Preset(_SMALL, {"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (0, 1, 2, 3),
    "ranks": ("product", "direction"),
    "learning_rate": Span(5e-4, 2e-2, log=True),
    "uniformity_weight": Span(0.1, 10.0, log=True),
    "batch_size": (512, 1024, 2048),
}


class DirectAU(LightRecommender):
    """Draw users to what they used, and users and items each apart from one another; no negatives.

        align = mean over the batch of |norm(z_u) - norm(z_i)|^2
        uniform(V) = log mean over the pairs of the batch of exp(-2 |norm(z_v) - norm(z_w)|^2)
        loss = align + gamma / 2 (uniform(users) + uniform(items)),   score(u, i) = z_u . z_i

    where Z are embeddings, or LightGCN's layer means of them. A user or item that is in the batch
    several times makes pairs of its own.

    Differs from the paper: nothing known with ``ranks`` "product"; "direction" is an addition.

    Args:
        ckg: Graph of interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Wang et al., DirectAU, KDD 2022, Section 4. https://arxiv.org/abs/2206.12811
    """

    def loss(self, batch: PositiveBatch) -> dict[str, Float[Tensor, ""]]:
        """Return alignment with L2, and uniformity."""
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive])
        rows, at = torch.unique(nodes, return_inverse=True)
        z, start = self.rows(rows)  # (distinct nodes of the batch, dim)
        user, item = take_rows(z, at).chunk(2)
        ego = self.config.l2_weight * l2(*take_rows(start, at).chunk(2))
        spread = (uniformity(user) + uniformity(item)) / 2
        return {
            "align": alignment(user, item) + ego,
            "uniform": self.config.uniformity_weight * spread,
        }

    @property
    def by_direction(self) -> bool:
        """Whether items are compared by direction."""
        return bool(self.config.ranks == "direction")

    def plan(self) -> Plan:
        """Return one objective of two losses."""
        return Plan((Objective(PositiveBatch, self.loss, name="align"),))
