"""Vectors that were trained, and vectors of newcomers that were placed among them by a formula
(``Run.fold_in``, ``Run.add_items``).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import CapabilityError, ConfigError
from kgrec.models.base import DotProduct, Newcomers, Plan, Recommender
from kgrec.models.folding import Folded
from kgrec.ops.folding import MeanFold
from kgrec.ops.placing import NEAREST


@dataclass(frozen=True, slots=True)
class PlacedConfig:
    """What a run of placed vectors has to know of the model that they are of.

    Attributes:
        dim: Size of the vectors.
        temperature: Of the softmax that it was trained by; 0 where pairs were trained.
    """

    dim: int
    temperature: float = 0.0

    def __post_init__(self) -> None:
        """Reject what is no size."""
        if self.dim < 1 or not 0 <= self.temperature < float("inf"):
            raise ConfigError("placed vectors need dim >= 1 and a temperature >= 0.")


class Placed(Recommender):
    """Fixed vectors of users and items, some of which no training has seen.

        score(u, i) = u . i

    Args:
        num_users: Users.
        num_items: Items.
        config: Sizes.
    """

    folds_in = True

    def __init__(self, num_users: int, num_items: int, config: PlacedConfig) -> None:
        super().__init__()
        self.config = config
        tables: dict[str, Tensor] = {
            "users": torch.zeros(num_users, config.dim),
            "items": torch.zeros(num_items, config.dim),
            "average": torch.zeros(config.dim, dtype=torch.float64),
            "contrast": torch.zeros(num_items, dtype=torch.bool),
            "known_users": torch.zeros(num_users, dtype=torch.bool),
            "known_items": torch.zeros(num_items, dtype=torch.bool),
            "new_users": torch.zeros(num_users, dtype=torch.bool),
            "new_items": torch.zeros(num_items, dtype=torch.bool),
            "near": torch.full((num_items, NEAREST), -1),
        }
        for name, table in tables.items():
            self.register_buffer(name, table)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: PlacedConfig, generator: torch.Generator
    ) -> "Placed":
        """Make room for the vectors of a dataset."""
        return cls(data.num_users, data.num_items, config)

    def plan(self) -> Plan:
        """Refuse: vectors that were placed are not trained.

        Raises:
            CapabilityError: Always.
        """
        raise CapabilityError(
            "its users or items were placed after the training (fold_in, add_items), and it holds "
            "vectors alone. Train or update the run that it was made from."
        )

    def can_rank(self, data: Dataset) -> Known:
        """Return whom the trained model knew, and who was placed."""
        return Known(self._array("known_users"), self._array("known_items"))

    def own_fold(self) -> MeanFold:
        """Return the formula over all items, new ones too, that contrasts with the trained ones."""
        return MeanFold(
            self._array("items"),
            self._array("average"),
            np.flatnonzero(self._array("contrast")),
            self.config.temperature,
        )

    def newcomers(self) -> Newcomers:
        """Return who and what was placed."""
        return Newcomers(self._array("new_users"), self._array("new_items"), self._array("near"))

    def scorer(self) -> DotProduct:
        """Return the vectors."""
        order = np.arange(len(self._array("items")))
        fold = Folded(self.own_fold(), order, order)
        return DotProduct(self.get_buffer("users"), self.get_buffer("items"), fold)

    def _array(self, name: str) -> np.ndarray:
        return np.asarray(self.get_buffer(name).cpu().numpy())
