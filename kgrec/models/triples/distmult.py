"""DistMult: Embedding Entities and Relations for Learning and Inference in Knowledge Bases. Yang,
Yih, He, Gao and Deng, ICLR 2015.

https://arxiv.org/abs/1412.6575
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.triples.base import TripleConfig, TripleModel
from kgrec.nn.kge import DistMultTables
from kgrec.nn.losses import logistic, power


@dataclass(frozen=True, slots=True)
class DistMultConfig(TripleConfig):
    """Hyper-parameters of DistMult, beside those of ``TripleConfig``.

    Attributes:
        loss: "softmax" is the cross-entropy of each end against all entities (no triples are
            corrupted); "logistic" tells true from corrupted triples one by one.
        regularizer: What holds the vectors: "l2" the squared values, "n3" the cubed ones.
        penalty_weight: Its weight, on the mean over the batch of the sum over head, relation and
            tail; 1e-4 in the paper (L2).
        init_scale: Standard deviation of the initial values.
    """

    loss: Literal["softmax", "logistic"] = "softmax"
    regularizer: Literal["l2", "n3"] = "n3"
    penalty_weight: float = 0.1
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TripleConfig.__post_init__(self)
        if self.loss not in ("softmax", "logistic") or self.regularizer not in ("l2", "n3"):
            raise ConfigError(
                'DistMult needs loss "softmax" or "logistic" and regularizer "l2" or "n3".'
            )
        if self.penalty_weight < 0 or self.init_scale <= 0:
            raise ConfigError("DistMult needs penalty_weight >= 0 and init_scale > 0.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "batch_size": 256, "epochs": 100}),
    "paper": Preset(
        config={
            "dim": 100,
            "loss": "logistic",
            "regularizer": "l2",
            "penalty_weight": 1e-4,
            "negatives": 2,
            "corruption": "uniform",
        },
        train={"epochs": 300, "patience": 0, "learning_rate": 0.01},
    ),
}
SPACE: Space = {
    "dim": (32, 64, 128, 256),
    "regularizer": ("l2", "n3"),
    "penalty_weight": Span(1e-3, 1.0, log=True),
    "learning_rate": Span(1e-3, 0.1, log=True),
}


class DistMult(TripleModel):
    """How well the coordinates of head, relation and tail agree.

        score(h, r, t) = sum of h * r * t                                          (Section 3.1)

    It gives (h, r, t) and (t, r, h) the same score: right for relations that go both ways, wrong
    for all others, which it can only rank well where heads and tails are of different kinds.

    Differs from the paper: entities are their vectors, without a projection and tanh before them;
    the "softmax" loss and N3 are those of later work (Lacroix et al., ICML 2018), and "logistic"
    stands for the paper's margin ranking.

    Source: Yang et al., DistMult, ICLR 2015. https://arxiv.org/abs/1412.6575
    """

    folds_in = False

    config: DistMultConfig

    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> DistMultTables:
        """Return normal vectors."""
        return DistMultTables(
            num_nodes, num_relations, self.config.dim, self.config.init_scale, generator
        )

    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the configured loss with its penalty."""
        if self.config.loss == "softmax":
            fit = self.one_to_all(batch)
        else:
            fit = logistic(*self.scores(batch))

        return fit + self.config.penalty_weight * power(
            *self.rows(batch), exponent=3 if self.config.regularizer == "n3" else 2
        )
