"""FM: Factorization Machines. Rendle, ICDM 2010.

https://doi.org/10.1109/ICDM.2010.127

With the item's triples as values of fields, a relation each, it is aware of a knowledge graph.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.features.base import Factorized, FieldConfig, KnownFields, Name
from kgrec.nn.fields import Side


@dataclass(frozen=True, slots=True)
class FMConfig(FieldConfig):
    """Hyper-parameters of FM.

    Attributes:
        dim: Size k of the vectors of values; the paper leaves it open, libFM takes 8.
    """

    dim: int = 32

    def __post_init__(self) -> None:
        """Reject values out of range."""
        FieldConfig.__post_init__(self)
        if self.dim < 1:
            raise ConfigError("FM needs dim >= 1.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 100}),
    "paper": Preset(
        {"dim": 8, "init_scale": 0.1, "negatives": 1, "l2_weight": 0.0, "min_count": 1},
        {"epochs": 100, "batch_size": 1024, "learning_rate": 0.1, "optimizer": "sgd"},
    ),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}
SPACE: Space = {
    "dim": (16, 32, 64),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "l2_weight": Span(1e-6, 1e-1, log=True),
    "negatives": (1, 4, 8),
    "init_scale": Span(0.003, 0.1, log=True),
}


class FM(Factorized):
    """Score by weights of values and by inner products of the vectors of each two of them.

        y(x) = w_0 + sum of w_i x_i + sum over i < j of (v_i . v_j) x_i x_j                    (1)
             = w_0 + sum of w_i x_i + (|sum of v_i x_i|^2 - sum of |v_i|^2 x_i^2) / 2   (Lemma 3.1)

    x holds the user's id and attributes, the item's id, and with ``knowledge`` the (relation,
    entity) pairs of its triples, 1 / n for each of n pairs of one relation. What a user's values
    give with an item's is one inner product, so items are ranked by vectors.

    Differs from the paper: Adam on batches of labeled pairs for single steps of SGD; one L2 weight
    for all parameters; order 2 alone.

    Args:
        known: What fields hold.
        config: Hyper-parameters.
        generator: Draws the initial vectors; weights start at 0.

    Source: Rendle, Factorization Machines, ICDM 2010; Rendle, Factorization Machines with libFM,
    TIST 2012 (values of one set divided by their number).
    """

    config: FMConfig

    def __init__(self, known: KnownFields, config: FMConfig, generator: torch.Generator) -> None:
        super().__init__(known, config, config.dim + 1, generator)

    @classmethod
    def from_dataset(cls, data: Dataset, config: FMConfig, generator: torch.Generator) -> "FM":
        """Take ids, user attributes and features of items, and with ``knowledge`` the triples."""
        return cls.built(data, config, generator)

    def parts(self, side: Side, name: Name) -> tuple[Tensor, Tensor]:
        """Return the sum of the vectors; weights and what pairs within the side give, Lemma 3.1."""
        v = side.total[:, 0, :-1]
        within = (v.square() - side.squares[:, :-1]).sum(1, keepdim=True) / 2
        return v, side.total[:, 0, -1:] + within

    def products(
        self, user: Float[Tensor, "_ dim"], item: Float[Tensor, "_ dim"]
    ) -> Float[Tensor, "_ _"]:
        """Return inner products of fields' sums."""
        return user[:, :-1] @ item[:, :-1].T
