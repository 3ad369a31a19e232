"""FFM: Field-aware Factorization Machines for CTR Prediction. Juan, Zhuang, Chin and Lin, RecSys
2016.

https://doi.org/10.1145/2959100.2959134
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.features.base import Factorized, FieldConfig, KnownFields, Name
from kgrec.nn.fields import Side


@dataclass(frozen=True, slots=True)
class FFMConfig(FieldConfig):
    """Hyper-parameters of FFM.

    Attributes:
        dim: Size k of the vector that a value has for each field; 4 in the paper.
        linear: Whether values have weights besides, and the whole an offset; the paper leaves both
            out.
    """

    dim: int = 8
    linear: bool = True

    def __post_init__(self) -> None:
        """Reject values out of range."""
        FieldConfig.__post_init__(self)
        if self.dim < 1:
            raise ConfigError("FFM needs dim >= 1.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 100}),
    "paper": Preset(
        {"dim": 4, "linear": False, "init_scale": 0.3, "l2_weight": 2e-5, "negatives": 1},
        {"epochs": 10, "batch_size": 1024, "learning_rate": 0.2, "optimizer": "adagrad"},
    ),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}
SPACE: Space = {
    "dim": (4, 8, 16),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "l2_weight": Span(1e-6, 1e-1, log=True),
    "negatives": (1, 4, 8),
    "init_scale": Span(0.003, 0.3, log=True),
}


class FFM(Factorized):
    """Score by inner products of each two values, each with its vector for the other's field.

        phi(w, x) = sum over j1 < j2 of (w_(j1, f2) . w_(j2, f1)) x_j1 x_j2                    (4)

    f1 and f2 are the fields of j1 and j2; fields are the user's id, the item's id, each attribute
    of users, and with ``knowledge`` each relation of the items' triples, read one way. With
    ``linear``, w_0 + sum of w_j x_j is added. A value has ``dim`` numbers for each field, so memory
    grows with the number of relations.

    Differs from the paper: batches of labeled pairs for single ones; x of a field adds up to 1
    (libFFM makes all of x of length 1); vectors start normal instead of uniform in [0, 1 /
    sqrt(k)]; Adam but for ``paper``.

    Args:
        known: What fields hold.
        config: Hyper-parameters.
        generator: Draws the initial vectors; weights start at 0.

    Source: Juan et al., Field-aware Factorization Machines for CTR Prediction, RecSys 2016.
    """

    config: FFMConfig
    by_field: ClassVar[bool] = True

    def __init__(self, known: KnownFields, config: FFMConfig, generator: torch.Generator) -> None:
        self.fields = len(known.users.names) + 1, len(known.items.names) + 1
        super().__init__(known, config, sum(self.fields) * config.dim + 1, generator)
        self.bias.requires_grad_(config.linear)

    @classmethod
    def from_dataset(cls, data: Dataset, config: FFMConfig, generator: torch.Generator) -> "FFM":
        """Take ids, user attributes and features of items, and with ``knowledge`` the triples."""
        return cls.built(data, config, generator)

    def _for_fields(self, rows: Float[Tensor, "... dim"]) -> Float[Tensor, "... _ _"]:
        """Return the vectors for each field, those of users first."""
        return rows[..., :-1].reshape(*rows.shape[:-1], sum(self.fields), self.config.dim)

    def squared(
        self, table: Float[Tensor, "_ dim"], field: Int[Tensor, " _"]
    ) -> Float[Tensor, "_ _"]:
        """Return the squares of all numbers, and those of the vector for the value's own field:
        (values of users, values of items) have it in either half.
        """
        vectors = self._for_fields(table)
        at = torch.arange(len(table), device=table.device)
        first = self.fields[0]
        ends = (
            vectors[at, field.clamp(max=first - 1)],
            vectors[at, first + field.clamp(max=self.fields[1] - 1)],
        )
        own = [end.square().sum(1) for end in ends]
        return torch.stack([table.square().sum(1), *own], 1)

    def weights_squared(self, side: Side) -> Float[Tensor, " batch"]:
        """Return the squares of all numbers."""
        return side.squares[:, 0]

    def parts(self, side: Side, name: Name) -> tuple[Tensor, Tensor]:
        """Return the vectors of a side's fields for those of the other side; weights and what pairs
        within the side give.
        """
        vectors = self._for_fields(side.total)  # (rows, own fields, all fields, dim)
        users, items = torch.split(vectors, list(self.fields), 2)
        inner, outer = (users, items) if name == "users" else (items, users.transpose(1, 2))
        own = side.squares[:, 1 if name == "users" else 2]
        within = ((inner * inner.transpose(1, 2)).sum((1, 2, 3)) - own) / 2
        given = within.unsqueeze(1)
        if self.config.linear:
            given = given + side.total[:, :, -1].sum(1, keepdim=True)
        return outer.flatten(1), given

    def products(
        self, user: Float[Tensor, "_ dim"], item: Float[Tensor, "_ dim"]
    ) -> Float[Tensor, "_ _"]:
        """Return inner products of fields' vectors for each other."""
        left = self._for_fields(user)[:, self.fields[0] :]
        right = self._for_fields(item)[:, : self.fields[0]].transpose(0, 1)
        return (left * right).sum(2)
