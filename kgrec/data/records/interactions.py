"""Interactions: who used what, when."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import scipy.sparse as sp


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that were left out, and why.

    Attributes:
        what: Kind of row, for instance "interactions" or "triples".
        why: Reason in words, without a number.
        count: How many rows.
        where: The first of their places, as ``file:line``, where they are known.
    """

    what: str
    why: str
    count: int
    where: tuple[str, ...] = ()


@dataclass
class Skipped:
    """Lines that were left out because they cannot be read.

    Attributes:
        name: The file.
        count: How many.
        lines: The first of them.
    """

    name: str
    count: int = 0
    lines: list[int] = field(default_factory=list)

    MOST_LISTED = 20

    @classmethod
    def where_allowed(cls, name: str, on_error: str) -> "Skipped | None":
        """Return where to note lines of a file, None where the first bad one stops the reading."""
        if on_error == "skip":
            return cls(name)
        return None

    def add(self, line: int) -> None:
        """Note one more."""
        self.count += 1
        if len(self.lines) < self.MOST_LISTED:
            self.lines.append(line)

    def extend(self, lines: Iterable[int]) -> None:
        """Note several more."""
        for line in lines:
            self.add(line)

    def dropped(self) -> tuple[Dropped, ...]:
        """Return them in the form of a report."""
        where = tuple(f"{self.name}:{line}" for line in self.lines)
        if self.count:
            return (Dropped("lines", f"malformed in {self.name}", self.count, where),)
        return ()


@dataclass(frozen=True, slots=True)
class InteractionLog:
    """Interactions under the caller's own ids, as they were read.

    Attributes:
        frame: Columns ``user`` and ``item`` (text), and where known ``time`` (float64, seconds
            since the epoch, or any increasing number) and ``rating`` (float64).
        sources: The files read.
        dropped: What was left out while reading.
        ids: Where ``user`` and ``item`` are whole numbers and not text: the keys that they number,
            by column.
    """

    frame: pl.DataFrame
    sources: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    ids: dict[str, pl.Series] | None = None

    def named(self) -> pl.DataFrame:
        """Return the columns with ``user`` and ``item`` as text."""
        if self.ids is None:
            own = {}
        else:
            own = self.ids
        return self.frame.with_columns(
            keys.gather(self.frame[column]).rename(column) for column, keys in own.items()
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
        time: Seconds since the epoch, float64, or None.
        rating: The rating given, float32, or None.
    """

    user: np.ndarray = field(default_factory=_no_rows)
    item: np.ndarray = field(default_factory=_no_rows)
    time: np.ndarray | None = None
    rating: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.user)

    def take(self, rows: np.ndarray) -> "Interactions":
        """Return the interactions at the given positions (or where a mask is True)."""
        return Interactions(
            self.user[rows],
            self.item[rows],
            None if self.time is None else self.time[rows],
            None if self.rating is None else self.rating[rows],
        )

    def csr(self, num_users: int, num_items: int) -> sp.csr_matrix:
        """Return the user x item matrix of ones, columns sorted within a row, repeated pairs
        merged.
        """
        matrix = sp.csr_matrix(
            (np.ones(len(self), dtype=np.float32), (self.user, self.item)),
            shape=(num_users, num_items),
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix


def concatenate(parts: "list[Interactions]") -> Interactions:
    """Return the interactions of several parts as one, sorted by user; times and ratings are kept
    where every part has them.
    """
    if any(p.time is None for p in parts):
        time = None
    else:
        time = np.concatenate([p.time for p in parts if p.time is not None])
    if any(p.rating is None for p in parts):
        rating = None
    else:
        rating = np.concatenate([p.rating for p in parts if p.rating is not None])
    both = Interactions(
        np.concatenate([p.user for p in parts]),
        np.concatenate([p.item for p in parts]),
        time,
        rating,
    )
    keys = (both.user,) if both.time is None else (both.time, both.user)
    return both.take(np.lexsort(keys))
