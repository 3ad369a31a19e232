"""Ids of a log to numbers on disk, in the one order of ids, within a limit on memory.

A dictionary that grows beyond the limit keeps the lower half of its keys; the others have their
turn in a further pass over the column. So its parts are contiguous ranges of the one order of ids
(``text_order``), and the number of an id does not depend on how many parts there were.
"""

import numpy as np
import polars as pl

from kgrec.data.logs.scratch import Room
from kgrec.data.native import Keys, library
from kgrec.data.tables.ordering import text_order
from kgrec.errors import DataError

_SPARSEST = 4  # whole numbers per row up to which a table of all of them is made
_LEAST = 1 << 20
_LARGEST = (1 << 31) - 1
_VIEW, _SHORT = 16, 12  # bytes of a text in a column, with up to so many of its own
_SORTED = 52  # bytes of a key in a dictionary beside its own


class _PlainKeys:
    """What ``Keys`` does, in Python."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def number(self, cells: pl.Series) -> np.ndarray:
        rows = self._rows
        distinct = cells.unique(maintain_order=True)
        known = [rows.setdefault(key, len(rows)) for key in distinct]
        numbers = pl.DataFrame({"key": distinct, "row": pl.Series(known, dtype=pl.Int32)})
        found = cells.rename("key").to_frame().join(numbers, on="key", maintain_order="left")
        return found["row"].to_numpy()

    def take(self) -> pl.Series:
        return pl.Series("key", list(self._rows), dtype=pl.String)


def _no_keys() -> "Keys | _PlainKeys":
    compiled = library()
    return _PlainKeys() if compiled is None else Keys(compiled)


class TextIds:
    """Numbers a column of texts. Give all of it to ``take``, as often as ``end_pass`` says so.

    Args:
        room: Where the numbers go, and how many keys there may be at a time.
        name: Of the column.
    """

    def __init__(self, room: Room, name: str) -> None:
        self.numbers = room.column(f"{name}.number", np.int32)
        self._most = room.most_keys
        self._keys = _no_keys()
        self._known = 0  # keys of former passes
        self._done: list[pl.Series] = []
        self._from: str | None = None
        self._below: str | None = None
        self._at = 0
        self._cells = self._bytes = 0
        self._placed = 1.0  # share of the cells that have a number after the last pass

    @property
    def weight(self) -> float:
        """Return how many short keys take as much memory as those of this pass while they are
        sorted.
        """
        return len(self._keys) * max(1.0, (_SORTED + self._mean_length) / (_SORTED + _SHORT))

    @property
    def count(self) -> int:
        """Return about how many keys there are in all: as many as the cells with a number say."""
        return int((self._known + len(self._keys)) / self._placed)

    @property
    def id_bytes(self) -> int:
        """Return about how many bytes all keys take."""
        own = self._mean_length if self._mean_length > _SHORT else 0
        return int(self.count * (_VIEW + own))

    @property
    def _mean_length(self) -> float:
        return self._bytes / max(1, self._cells)

    def take(self, cells: pl.Series) -> None:
        """Number the next cells, as far as they are in the range of this pass."""
        cells = cells.cast(pl.String)
        self._cells += len(cells)
        self._bytes += int(cells.str.len_bytes().sum())
        stop = self._at + len(cells)
        mask = self._in_range(cells)
        if mask is None:
            numbers = self._numbered(cells)
        else:
            numbers = (
                self.numbers.read(self._at, stop)
                if self._from is not None
                else np.full(len(cells), -1, np.int32)
            )
            numbers[mask.to_numpy()] = self._numbered(cells.filter(mask))

        self.numbers.write(self._at, numbers)
        self._at = stop
        while self.weight > self._most and self.halve():
            pass

    def end_pass(self) -> bool:
        """Sort the keys of this pass, and return whether another one is needed."""
        keys, rank = self._sorted()
        self._renumber(rank)
        self._done.append(keys)
        self._known += len(keys)
        self._from = self._below
        self._below = None
        self._at = 0
        self._keys = _no_keys()
        return self._from is not None

    def keys(self) -> pl.Series:
        """Return all keys in their order."""
        return pl.concat(self._done)

    def _numbered(self, cells: pl.Series) -> np.ndarray:
        numbers = self._keys.number(cells)
        if self._known + len(self._keys) > _LARGEST:
            raise DataError(f"more than {_LARGEST:,} different ids. Leave some of them out.")
        return numbers + np.int32(self._known)

    def _in_range(self, cells: pl.Series) -> pl.Series | None:
        """Return which cells this pass is about; None where all are."""
        mask = None
        if self._from is not None:
            mask = ~_before(cells, self._from)
        if self._below is not None:
            below = _before(cells, self._below)
            mask = below if mask is None else mask & below
        return mask

    def _sorted(self) -> tuple[pl.Series, np.ndarray]:
        """Return the keys in their order, and the place of each in it."""
        keys = self._keys.take()
        order = text_order(keys)
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return keys.gather(order), rank

    def halve(self) -> bool:
        """Leave the upper half of the keys to a further pass; False where there is but one."""
        if len(self._keys) < 2:
            return False

        keys, rank = self._sorted()
        half = len(keys) // 2
        self._below = keys[half]
        rank[rank >= half] = -1
        self._renumber(rank)
        self._keys = _no_keys()
        self._keys.number(keys.head(half))
        return True

    def _renumber(self, rank: np.ndarray) -> None:
        """Give the rows of this pass the ranks of their keys, and -1 to those without one."""
        placed = 0
        for start, numbers in self.numbers.blocks():
            mine = numbers >= self._known
            ranks = rank[numbers[mine] - self._known]
            numbers[mine] = np.where(ranks < 0, -1, ranks + self._known)
            self.numbers.write(start, numbers)
            placed += int((numbers >= 0).sum())

        self._placed = placed / len(self.numbers) if placed else 1.0


def _before(cells: pl.Series, key: str) -> pl.Series:
    """Return which cells come before a key: shorter ones, those as long by their bytes."""
    length = cells.str.len_bytes()
    size = len(key.encode())
    return (length < size) | ((length == size) & (cells < key))


class WholeIds:
    """Numbers a column of whole numbers from 0, whose order is that of their digits as text.

    Args:
        room: Where the numbers go.
        name: Of the column.
    """

    def __init__(self, room: Room, name: str) -> None:
        self.numbers = room.column(f"{name}.number", np.int32)
        self._values = room.column(f"{name}.value", np.int64)
        self._keys = np.empty(0, dtype=np.int64)
        self._waiting: list[np.ndarray] = []
        self._most = 2 * room.most_keys
        self.too_many = False

    @property
    def count(self) -> int:
        """Return how many keys there are so far."""
        return len(self._keys)

    @property
    def id_bytes(self) -> int:
        """Return how many bytes all keys take as texts."""
        return len(self._keys) * _VIEW

    def take(self, cells: pl.Series) -> None:
        """Take the next cells."""
        values = cells.cast(pl.Int64).to_numpy()
        self._values.append(values)
        self._waiting.append(np.unique(values))
        if sum(map(len, self._waiting)) > max(len(self._keys), _LEAST):
            self._merge()

    def end_pass(self) -> bool:
        """Number the cells; no further pass is needed."""
        self._merge()
        keys = self._keys
        table = None
        if len(keys) and keys[-1] < _SPARSEST * len(self._values) + _LEAST:
            table = np.zeros(int(keys[-1]) + 1, dtype=np.int32)
            table[keys] = np.arange(len(keys), dtype=np.int32)

        for _, values in self._values.blocks():
            rows = np.searchsorted(keys, values) if table is None else table[values]
            self.numbers.append(rows)

        self._values.remove()
        return False

    def keys(self) -> pl.Series:
        """Return all keys in their order."""
        return pl.Series("key", self._keys).cast(pl.String)

    def _merge(self) -> None:
        self._keys = np.unique(np.concatenate([self._keys, *self._waiting]))
        self._waiting = []
        self.too_many = len(self._keys) > self._most
