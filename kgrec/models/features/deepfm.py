"""DeepFM: A Factorization-Machine based Neural Network for CTR Prediction. Guo, Tang, Ye, Li and
He, IJCAI 2017.

https://arxiv.org/abs/1703.04247
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.features.base import FieldConfig, FieldModel, KnownFields, Name
from kgrec.nn.fields import Side, TwoSided


@dataclass(frozen=True, slots=True)
class DeepFMConfig(FieldConfig):
    """Hyper-parameters of DeepFM.

    Attributes:
        dim: Size k of the vectors of values; 10 in the paper.
        layers: Sizes of the layers of the deep part; 400, 400, 400 in the paper.
        dropout: Probability of setting a value behind a layer to zero; 0.5 in the paper.
    """

    dim: int = 16
    layers: tuple[int, ...] = (128, 64)
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Reject values out of range."""
        FieldConfig.__post_init__(self)
        if not self.layers or min(self.dim, *self.layers) < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                "DeepFM needs dim and each of one or more layers of at least 1, and dropout in "
                "[0, 1)."
            )


PRESETS = {
    "default": Preset(train={"learning_rate": 0.001, "epochs": 100}),
    "paper": Preset(
        {
            "dim": 10,
            "layers": (400, 400, 400),
            "dropout": 0.5,
            "negatives": 1,
            "l2_weight": 0.0,
            "min_count": 1,
        },
        {"epochs": 10, "batch_size": 1024, "learning_rate": 0.001},
    ),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}
SPACE: Space = {
    "dim": (8, 16, 32),
    "layers": ((64,), (128, 64), (256, 128, 64)),
    "dropout": Span(0.0, 0.5),
    "learning_rate": Span(2e-4, 1e-2, log=True),
    "l2_weight": Span(1e-6, 1e-1, log=True),
    "negatives": (1, 4, 8),
}


class DeepFM(FieldModel):
    """Add FM and a network over the fields' vectors, which they share.

        y = sigma(y_FM + y_DNN)                                                                (1)
        y_FM = w . x + sum over i < j of (V_i . V_j) x_i x_j                                   (2)
        a_0 = [e_1, .., e_m],  a_(l+1) = ReLU(W_l a_l + b_l),  y_DNN = w . a_H            (3), (4)

    e_f is the mean of the vectors of the values of field f. Fields as of FFM. Scores are log-odds.

    Differs from the paper: y_FM has an offset; dropout is behind the layers alone, so that what a
    user or item adds to the first layer is computed once; its training is published without batch
    size and epochs.

    Args:
        known: What fields hold.
        config: Hyper-parameters.
        generator: Draws the initial vectors; weights start at 0.

    Source: Guo et al., DeepFM, IJCAI 2017. https://arxiv.org/abs/1703.04247
    """

    config: DeepFMConfig
    by_field: ClassVar[bool] = True

    def __init__(
        self, known: KnownFields, config: DeepFMConfig, generator: torch.Generator
    ) -> None:
        super().__init__(known, config, config.dim + 1, generator)
        users, items = ((len(side.names) + 1) * config.dim for side in (known.users, known.items))
        self.deep = TwoSided((users, items), config.layers, generator, config.dropout)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: DeepFMConfig, generator: torch.Generator
    ) -> "DeepFM":
        """Take ids, user attributes and features of items, and with ``knowledge`` the triples."""
        return cls.built(data, config, generator)

    def parts(self, side: Side, name: Name) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sum of the vectors, what weights and pairs within the side give, and what the
        side adds to the first layer.
        """
        vectors = side.total[..., :-1]
        v = vectors.sum(1)
        within = (v.square() - side.squares[:, :-1]).sum(1) / 2
        given = (side.total[..., -1].sum(1) + within).unsqueeze(1)
        first = self.deep.left if name == "users" else self.deep.right
        return v, given, vectors.flatten(1) @ first

    def logits(
        self, left: Sequence[Float[Tensor, "... _"]], right: Sequence[Float[Tensor, "... _"]]
    ) -> Float[Tensor, "..."]:
        """Return the scores of pairs, Eqs. (1) to (4)."""
        product = (left[0] * right[0]).sum(-1, keepdim=True)  # Eq. (2)
        deep: Tensor = self.deep(left[2], right[2])
        return (product + left[1] + right[1] + deep + self.bias).squeeze(-1)
