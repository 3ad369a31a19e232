"""NFM: Neural Factorization Machines for Sparse Predictive Analytics. He and Chua, SIGIR 2017.

https://arxiv.org/abs/1708.05027
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.features.base import FieldConfig, FieldModel, KnownFields, Name
from kgrec.nn.dense import dense
from kgrec.nn.fields import Side
from kgrec.nn.init import glorot_uniform


@dataclass(frozen=True, slots=True)
class NFMConfig(FieldConfig):
    """Hyper-parameters of NFM.

    Attributes:
        dim: Size k of the vectors of values; 64 in the paper.
        layers: Sizes of the layers above the interactions; one of 64 is the paper's best. () is FM
            with weights for the dimensions.
        dropout: Probability of setting a value to zero before each layer and before the last
            weights; the paper searches.
        batch_norm: Whether what the interactions pool is normalized over the batch, as in the
            paper.
    """

    dim: int = 64
    layers: tuple[int, ...] = (64,)
    dropout: float = 0.2
    batch_norm: bool = False

    def __post_init__(self) -> None:
        """Reject values out of range."""
        FieldConfig.__post_init__(self)
        if min(self.dim, *self.layers, 1) < 1 or not 0 <= self.dropout < 1:
            raise ConfigError("NFM needs dim and layers of at least 1, and dropout in [0, 1).")


_PUBLISHED = {"batch_norm": True, "negatives": 2, "l2_weight": 0.0, "min_count": 1}
_PUBLISHED_TRAINING = {
    "epochs": 200,
    "patience": 0,
    "batch_size": 4096,
    "learning_rate": 0.05,
    "optimizer": "adagrad",
}
PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "dropout": 0.3}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "dropout": 0.2}, {**_PUBLISHED_TRAINING, "batch_size": 128}),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}
SPACE: Space = {
    "layers": ((), (64,), (64, 64)),
    "dropout": Span(0.0, 0.5),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "l2_weight": Span(1e-6, 1e-1, log=True),
    "negatives": (1, 4, 8),
}


class NFM(FieldModel):
    """Score by weights of values and by a network over what their vectors' products pool.

        y(x) = w_0 + sum of w_i x_i + f(x)                                                     (3)
        f_BI(V) = ((sum of x_i v_i)^2 - sum of (x_i v_i)^2) / 2, elementwise                   (5)
        f(x) = h . ReLU layers over f_BI(V)                                                 (6, 7)

    Fields as of FM. With ``knowledge`` their values include the item's triples: the NFM that
    papers on knowledge graphs compare with, which leaves the relations out.

    Differs from the paper: cross-entropy for squared error of labels 1 and -1; batch normalization
    of the pooled products alone; Adam but for ``paper`` and ``official``.

    Args:
        known: What fields hold.
        config: Hyper-parameters.
        generator: Draws the initial vectors; weights start at 0.

    Source: He and Chua, Neural Factorization Machines, SIGIR 2017.
    https://arxiv.org/abs/1708.05027
    """

    config: NFMConfig

    def __init__(self, known: KnownFields, config: NFMConfig, generator: torch.Generator) -> None:
        super().__init__(known, config, config.dim + 1, generator)
        sizes = (config.dim, *config.layers)
        self.norm = nn.BatchNorm1d(config.dim) if config.batch_norm else nn.Identity()
        self.layers = dense(sizes, generator, dropout=config.dropout)
        self.last_dropout = nn.Dropout(config.dropout)
        self.head = nn.Parameter(glorot_uniform(sizes[-1], 1, generator=generator))  # h

    @classmethod
    def from_dataset(cls, data: Dataset, config: NFMConfig, generator: torch.Generator) -> "NFM":
        """Take ids, user attributes and features of items, and with ``knowledge`` the triples."""
        return cls.built(data, config, generator)

    def parts(self, side: Side, name: Name) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sum of the vectors, what pairs within the side pool, and the weights."""
        v = side.total[:, 0, :-1]
        return v, (v.square() - side.squares[:, :-1]) / 2, side.total[:, 0, -1:]

    def logits(
        self, left: Sequence[Float[Tensor, "... _"]], right: Sequence[Float[Tensor, "... _"]]
    ) -> Float[Tensor, "..."]:
        """Return the scores of pairs, Eqs. (3) to (7)."""
        pooled = left[0] * right[0] + left[1] + right[1]  # f_BI of both sides
        values = self.norm(pooled.flatten(0, -2)).view(pooled.shape)
        found: Tensor = self.last_dropout(self.layers(values)) @ self.head
        return (found + left[2] + right[2] + self.bias).squeeze(-1)
