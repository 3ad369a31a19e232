"""Scores of the catalog, in numpy: of vectors, and of histories times an item matrix."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from kgrec.ops.folding import Fold, SumFold, unit
from kgrec.serving.tables.columns import Lists
from kgrec.serving.tables.pruning import Rounded, Search

_APART = 64  # columns that are scored apart at a time
_BLOCK = 4096  # columns of which BLAS adds up the odd ones of the last, fewer ones in another way
_PROBED = 256


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of the catalog, or of what of it can be in a list.

    Attributes:
        values: The scores.
        columns: Whose they are, ascending; None for the catalog.
    """

    values: np.ndarray
    columns: np.ndarray | None


@runtime_checkable
class Source(Protocol):
    """What scores the catalog for someone: what a model is, once it is served."""

    @property
    def folds(self) -> bool:
        """Whether someone unseen can be scored for by a history."""

    def of_user(self, row: int, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user: of the catalog, or of some columns."""

    def of_history(self, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of someone unseen with these items, distinct columns."""

    def of_updated(self, row: int, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user whose items, old and new, are these."""

    def similar(self, column: int) -> np.ndarray | None:
        """Return how near each item is to one; None where the model does not say."""


Function = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _complex_l1(vector: np.ndarray, items: np.ndarray) -> np.ndarray:
    gap = items - vector
    half = gap.shape[1] // 2
    return np.asarray(-np.sqrt(gap[:, :half] ** 2 + gap[:, half:] ** 2).sum(1))


FUNCTIONS: Mapping[str, Function] = {
    "inner_product": lambda vector, items: np.asarray(items @ vector),
    "negative_l1": lambda vector, items: np.asarray(-np.abs(items - vector).sum(1)),
    "negative_l2": lambda vector, items: np.asarray(-np.sqrt(((items - vector) ** 2).sum(1))),
    "negative_squared_l2": lambda vector, items: np.asarray(-((items - vector) ** 2).sum(1)),
    "negative_complex_l1": _complex_l1,
}
"""The functions of ``kgrec.models.base.SCORE_FUNCTIONS``."""


@dataclass(frozen=True)
class VectorSource:
    """Scores by a function of a user's and an item's vector.

    Attributes:
        users: One vector per user; none where they were left out.
        items: One vector per item.
        columns: The same, a row per dimension, by which inner products with all items go: in a
            third of the time.
        function: Name in ``FUNCTIONS``.
        fold: Makes vectors of histories; None where the model cannot.
        rounded: By which most items are left out of a search; None where that is not there.
    """

    users: np.ndarray
    items: np.ndarray
    columns: np.ndarray
    function: str
    fold: Fold | None
    rounded: Rounded | None = None

    @property
    def folds(self) -> bool:
        """Whether someone unseen can be scored for by a history."""
        return self.fold is not None

    def of_user(self, row: int, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user."""
        return self._scores(self.users[row], columns)

    def of_history(self, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of someone unseen."""
        return self._scores(self.vector(None, history), columns)

    def of_updated(self, row: int, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user with new items."""
        return self._scores(self.vector(row, history), columns)

    def columns_of(self, searches: Sequence[Search]) -> list[np.ndarray | None]:
        """Return, for each search, columns among which the best are; None for the whole catalog."""
        if self.rounded is None or not self._apart_is_equal:
            return [None] * len(searches)
        return self.rounded.columns(searches)

    def scores(self, vector: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores by a vector: of the catalog, or of columns that were searched, bit for
        bit those of the catalog.
        """
        return self._scores(vector, None) if columns is None else self._apart(vector, columns)

    def vector(self, row: int | None, history: np.ndarray | None) -> np.ndarray:
        """Return someone's vector.

        Args:
            row: Row of a known user; None for someone unseen.
            history: Everything that the person has, where the vector is to be made of it.
        """
        if row is None:
            assert self.fold is not None
            assert history is not None
            return self.fold.vector(history)

        vector = self.users[row]
        if history is None or self.fold is None or isinstance(self.fold, SumFold):
            return np.asarray(vector)
        return self.fold.moved(vector, history)

    def similar(self, column: int) -> np.ndarray | None:
        """Return the cosines with an item's vector."""
        if self.items.shape[1] < 2:
            return None
        return np.asarray((unit(self.items[column]) @ self.columns) * self._inverse_lengths)

    @cached_property
    def _inverse_lengths(self) -> np.ndarray:
        lengths = np.sqrt(np.einsum("ij,ij->i", self.items, self.items))
        return np.asarray(1 / np.where(lengths > 0, lengths, 1))

    def _apart(self, vector: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the scores of some columns, ascending, bit for bit those of the whole product."""
        end = len(self.items) - len(self.items) % _BLOCK
        count = int(columns.searchsorted(end))
        inner = np.zeros(-(-count // _APART) * _APART, np.int64)
        inner[:count] = columns[:count]
        blocks = self.items[inner].reshape(-1, _APART, self.items.shape[1])
        found = vector @ np.ascontiguousarray(blocks.transpose(0, 2, 1))
        found = found.reshape(-1)[:count]
        if count == len(columns):
            return np.asarray(found)

        last = vector @ self.columns[:, end:]
        return np.concatenate([found, last[columns[count:] - end]])

    @cached_property
    def _apart_is_equal(self) -> bool:
        """Whether ``_apart`` holds with the BLAS of this machine."""
        if self.function != "inner_product":
            return False

        rows = len(self.items)
        steps = np.linspace(0, rows, _PROBED, endpoint=False).astype(np.int64)
        starts = np.arange(0, rows, _BLOCK // 4)[:, None] + np.arange(4)
        last = range(max(0, rows - _APART), rows)
        probed = np.array(sorted({*steps.tolist(), *starts[starts < rows].tolist(), *last}))
        vector = self.items[rows // 2] + self.items[rows // 3]
        return np.array_equal(self._apart(vector, probed), (vector @ self.columns)[probed])

    def _scores(self, vector: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        if columns is None and self.function == "inner_product":
            return np.asarray(vector @ self.columns)

        items = self.items if columns is None else self.items[columns]
        return FUNCTIONS[self.function](vector, items)


@dataclass(frozen=True)
class HistorySource:
    """Scores by sums over what somebody has: a history times an item matrix.

    Attributes:
        own: What known users are scored by, in the order in which the model adds.
        rows: Row of each column in the dataset: sums go in its order.
        dense: What each item adds to every item; None where ``sparse`` has it.
        sparse: The same, without zeros.
        updates: Whether ``own`` is there.
    """

    own: Lists | None
    rows: np.ndarray
    dense: np.ndarray | None
    sparse: Lists | None
    dtype: np.dtype

    @property
    def folds(self) -> bool:
        """Someone unseen is like anyone."""
        return True

    def of_user(self, row: int, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user, by the training items."""
        assert self.own is not None
        return self._sums(self.own.row(row), columns)

    def of_history(self, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of someone unseen."""
        return self._sums(history[np.argsort(self.rows[history])], columns)

    def of_updated(self, row: int, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user with new items."""
        return self.of_history(history, columns)

    def similar(self, column: int) -> np.ndarray | None:
        """Return the scores for someone who has this item alone."""
        return self._sums(np.array([column]), None)

    def _sums(self, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        if self.sparse is not None:
            total = self.sparse.total(history, self.dtype)
            return total if columns is None else total[columns]

        assert self.dense is not None
        rows = self.dense[history] if columns is None else self.dense[np.ix_(history, columns)]
        return np.asarray(rows.sum(0))


@dataclass(frozen=True)
class SumSource:
    """A weighted sum of the scores of others.

    Attributes:
        parts: What is added up.
        factors: What each is multiplied by.
    """

    parts: tuple[Source, ...]
    factors: tuple[float, ...]

    @property
    def folds(self) -> bool:
        """Whether every part scores for someone unseen."""
        return all(part.folds for part in self.parts)

    def of_user(self, row: int, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user."""
        return self._sum([part.of_user(row, columns) for part in self.parts])

    def of_history(self, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of someone unseen."""
        return self._sum([part.of_history(history, columns) for part in self.parts])

    def of_updated(self, row: int, history: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
        """Return the scores of a known user with new items: those of the history, as the run does."""
        return self.of_history(history, columns)

    def similar(self, column: int) -> np.ndarray | None:
        """Return None: parts say how near items are on scales of their own."""
        return None

    def _sum(self, scores: list[np.ndarray]) -> np.ndarray:
        weighted = [
            one.dtype.type(factor) * one for factor, one in zip(self.factors, scores, strict=True)
        ]
        return np.asarray(sum(weighted[1:], start=weighted[0]))
