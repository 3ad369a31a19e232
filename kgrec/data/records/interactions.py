"""Interactions: who used what, when."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import scipy  # `scipy.sparse` takes a tenth of a second: it is imported when it is first used

from kgrec.data.records.report import ColumnRole, Dropped

_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class InteractionLog:
    """Interactions under the caller's own ids, as they were read.

    Attributes:
        frame: Columns ``user`` and ``item`` (text), and where known ``time`` (float64, seconds
            since the epoch, or any increasing number; int64 where float64 does not hold it),
            ``rating``, ``weight`` and ``quantity`` (float64) and ``event`` (text).
        sources: The files read.
        dropped: What was left out while reading.
        ids: Where ``user`` and ``item`` are whole numbers and not text: the keys that they number,
            by column.
        roles: Which columns were taken for what.
        notes: Sentences on what a reader should know.
    """

    frame: pl.DataFrame
    sources: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    ids: dict[str, pl.Series] | None = None
    roles: tuple[ColumnRole, ...] = ()
    notes: tuple[str, ...] = ()

    def named(self) -> pl.DataFrame:
        """Return the columns with ``user`` and ``item`` as text."""
        ids = self.ids or {}
        return self.frame.with_columns(
            keys.gather(self.frame[column]).rename(column) for column, keys in ids.items()
        )


def _no_rows() -> np.ndarray:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Interactions:
    """Interactions as row numbers, sorted by user and, within a user, oldest first.

    A dataset built by this version has interactions of one time, and all where no times are known,
    by item; one of version 0.1 has them in the order of its files.

    Attributes:
        user: User rows, int32.
        item: Item rows, int32.
        time: Seconds since the epoch, float64 (int64 where that does not hold them), or None.
        rating: The rating given, float32, or None.
        weight: How much an interaction counts, float32, or None: all alike.
        event: Number of its event type, int16, -1 where it is not known, or None;
            ``settings["events"]`` of the dataset has the names, those that weigh most first.
    """

    user: np.ndarray = field(default_factory=_no_rows)
    item: np.ndarray = field(default_factory=_no_rows)
    time: np.ndarray | None = None
    rating: np.ndarray | None = None
    weight: np.ndarray | None = None
    event: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.user)

    def take(self, rows: np.ndarray) -> "Interactions":
        """Return the interactions at the given positions (or where a mask is True)."""
        return Interactions(
            self.user[rows],
            self.item[rows],
            take_rows(self.time, rows),
            take_rows(self.rating, rows),
            take_rows(self.weight, rows),
            take_rows(self.event, rows),
        )

    def csr(self, num_users: int, num_items: int) -> "scipy.sparse.csr_matrix":
        """Return the user x item matrix of ones, columns sorted within a row, repeated pairs
        merged.
        """
        matrix = scipy.sparse.csr_matrix(
            (np.ones(len(self), dtype=np.float32), (self.user, self.item)),
            shape=(num_users, num_items),
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix

    def weighted_csr(self, num_users: int, num_items: int) -> "scipy.sparse.csr_matrix":
        """Return the user x item matrix of weights, ones where all interactions count alike."""
        matrix = self.csr(num_users, num_items)
        if self.weight is None:
            return matrix

        weights = scipy.sparse.csr_matrix((self.weight, (self.user, self.item)), shape=matrix.shape)
        weights.sum_duplicates()
        weights.sort_indices()
        return weights


def take_rows(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """Return the values at the given positions; None of None."""
    return None if values is None else values[rows]


def counted(rows: np.ndarray, size: int) -> np.ndarray:
    """Return how often each number from 0 to ``size - 1`` occurs (int64), counting in blocks:
    ``numpy.bincount`` copies what is not int64.
    """
    counts = np.zeros(size, dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        counts += np.bincount(rows[start : start + _BLOCK], minlength=size)
    return counts


def _whole(columns: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return columns as one, None where one of them is None."""
    known = [column for column in columns if column is not None]
    return np.concatenate(known) if len(known) == len(columns) else None


def concatenate(parts: "list[Interactions]") -> Interactions:
    """Return the interactions of several parts as one, sorted by user.

    Times and ratings are kept where every part has them.
    """
    both = Interactions(
        np.concatenate([p.user for p in parts]),
        np.concatenate([p.item for p in parts]),
        _whole([p.time for p in parts]),
        _whole([p.rating for p in parts]),
        _whole([p.weight for p in parts]),
        _whole([p.event for p in parts]),
    )
    keys = [column for column in (both.time, both.user) if column is not None]
    return both.take(np.lexsort(keys))
