"""ComplEx: Complex Embeddings for Simple Link Prediction. Trouillon, Welbl, Riedel, Gaussier and
Bouchard, ICML 2016.

https://arxiv.org/abs/1606.06357
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
from kgrec.nn.kge import ComplExTables, moduli
from kgrec.nn.losses import logistic, power


@dataclass(frozen=True, slots=True)
class ComplExConfig(TripleConfig):
    """Hyper-parameters of ComplEx, beside those of ``TripleConfig``; ``dim`` counts complex
    coordinates.

    Attributes:
        loss: "logistic" as in the paper; "softmax" is the cross-entropy of each end against all
            entities (no triples are corrupted).
        regularizer: What holds the vectors: "l2" the squared moduli (the paper), "n3" the cubed
            ones.
        penalty_weight: Its weight, on the mean over the batch of the sum over head, relation and
            tail; 0.01 in the paper (L2).
        init_scale: Standard deviation of the initial real and imaginary parts.
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
                'ComplEx needs loss "softmax" or "logistic" and regularizer "l2" or "n3".'
            )
        if self.penalty_weight < 0 or self.init_scale <= 0:
            raise ConfigError("ComplEx needs penalty_weight >= 0 and init_scale > 0.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "batch_size": 256, "epochs": 100}),
    "paper": Preset(
        config={
            "dim": 200,
            "loss": "logistic",
            "regularizer": "l2",
            "penalty_weight": 0.01,
            "negatives": 10,
            "corruption": "uniform",
        },
        train={"epochs": 1000, "patience": 0, "learning_rate": 0.01},
    ),
}
SPACE: Space = {
    "dim": (32, 64, 128),
    "regularizer": ("l2", "n3"),
    "penalty_weight": Span(1e-3, 1.0, log=True),
    "learning_rate": Span(1e-3, 0.1, log=True),
}


class ComplEx(TripleModel):
    """DistMult over complex numbers, which tells heads from tails.

        score(h, r, t) = Re sum of h * r * conj(t)                                      (9)-(11)

    A relation with real values goes both ways, one with imaginary values turns its sign when head
    and tail are exchanged.

    Differs from the paper: Adam instead of AdaGrad; the "softmax" loss and N3 are those of Lacroix
    et al., ICML 2018.

    Source: Trouillon et al., ComplEx, ICML 2016. https://arxiv.org/abs/1606.06357
    """

    folds_in = False

    config: ComplExConfig

    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> ComplExTables:
        """Return complex normal vectors."""
        return ComplExTables(
            num_nodes, num_relations, self.config.dim, self.config.init_scale, generator
        )

    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the configured loss with its penalty."""
        if self.config.loss == "softmax":
            fit = self.one_to_all(batch)
        else:
            fit = logistic(*self.scores(batch))

        lengths = (moduli(rows) for rows in self.rows(batch))
        return fit + self.config.penalty_weight * power(
            *lengths, exponent=3 if self.config.regularizer == "n3" else 2
        )
