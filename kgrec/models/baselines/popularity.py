"""Popularity: every item by the number of its training interactions. The baseline that every table
needs.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.models.base import DotProduct, Plan, Recommender
from kgrec.models.baselines.popularity_effects import PopularityEffects
from kgrec.ops.folding import SumFold


@dataclass(frozen=True, slots=True)
class PopularityConfig:
    """Popularity has no hyper-parameters."""


class Popularity(Recommender):
    """Rank items by how many training interactions they have, the same for everyone.

        score(u, i) = |{u' : (u', i) in train}|, or the sum of their weights

    Differs from the paper: nothing known.

    Args:
        counts: Training interactions per item.

    Source: Cremonesi, Koren and Turrin, Performance of Recommender Algorithms on Top-N
    Recommendation Tasks, RecSys 2010, Section 3.1.
    """

    scores_read_graph = False
    folds_in = True
    uses_weights = True

    counts: Tensor
    list_kind: ClassVar[str] = "popular"

    def __init__(self, counts: Tensor, num_users: int) -> None:
        super().__init__()
        self.num_users = num_users
        self.register_buffer("counts", counts)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: PopularityConfig, generator: torch.Generator
    ) -> "Popularity":
        """Count the training interactions."""
        counts = np.bincount(data.train.item, data.train.weight, minlength=data.num_items)
        return cls(torch.from_numpy(counts).to(torch.get_default_dtype()), data.num_users)

    def plan(self) -> Plan:
        """Return a plan without training: the counts are the model."""
        return Plan(fit=lambda: None)

    def can_rank(self, data: Dataset) -> Known:
        """Return everyone and everything: a count of 0 is known too."""
        return Known(np.ones(data.num_users, dtype=bool), np.ones(data.num_items, dtype=bool))

    def scorer(self) -> DotProduct:
        """Return the counts as one-dimensional item vectors; anyone, known or not, is the vector
        (1).
        """
        ones = self.counts.new_ones(self.num_users, 1)
        return DotProduct(
            ones,
            self.counts.unsqueeze(1),
            fold=lambda history, mask: self.counts.new_ones(len(history), 1),
        )

    def own_fold(self) -> SumFold:
        """Return the vector (1), whatever the history."""
        counts = self.counts.unsqueeze(1).cpu().numpy()
        return SumFold(np.zeros_like(counts), np.ones(1, counts.dtype), 0.0)

    def explanation_effects(self) -> PopularityEffects:
        """Return the count as the bias that it is."""
        return PopularityEffects(self.counts)
