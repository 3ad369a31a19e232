"""What explains the scores of ItemKNN: parts of a score, and refits of the rows that change."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.data.derive.removal import Removal
from kgrec.models.capabilities import Refittable
from kgrec.models.effects import HistorySumEffects

if TYPE_CHECKING:
    from kgrec.models.baselines.itemknn import ItemKNN


class ItemKNNEffects(HistorySumEffects, Refittable):
    """A part per item of the user; refits: a score reads one item's row of similarities, and that
    row is computed again, with its nearest neighbors.

    Args:
        model: The model.
    """

    def __init__(self, model: "ItemKNN") -> None:
        super().__init__(model, model.train_items.device)
        self._knn = model

    @cached_property
    def train(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Training interactions by user and by item."""
        train = self._knn.interactions(torch.float64)
        return train, sp.csr_matrix(train.T)

    def refitted_scores(
        self, user: int, items: Sequence[int], removed: Removal
    ) -> Float[Tensor, " cand"]:
        """Return the scores of items for a user of the model fitted without ``removed``; facts
        change nothing.
        """
        by_user, by_item = self.train
        gone = np.array([pair for pair in removed.interactions if by_user[pair]], np.int64).reshape(
            -1, 2
        )
        count = np.diff(by_item.indptr) - np.bincount(gone[:, 1], minlength=self._knn.num_items)
        history = np.setdiff1d(_row(by_user, user), removed.items_of(user))
        return torch.tensor(
            [self._score(history, item, gone, count) for item in items], dtype=torch.float64
        )

    def _score(self, history: np.ndarray, item: int, gone: np.ndarray, count: np.ndarray) -> float:
        by_user, by_item = self.train
        users = np.setdiff1d(_row(by_item, item), gone[gone[:, 1] == item, 0])
        common = np.bincount(by_user[users].indices, minlength=len(count)).astype(np.float64)
        np.subtract.at(common, gone[np.isin(gone[:, 0], users), 1], 1)
        similarity, nearest = self._knn.nearest(common[None], count, item)
        return float(similarity[0][torch.isin(nearest[0], torch.from_numpy(history))].sum())


def _row(matrix: sp.csr_matrix, row: int) -> np.ndarray:
    start, end = matrix.indptr[row : row + 2]
    return np.asarray(matrix.indices[start:end])
