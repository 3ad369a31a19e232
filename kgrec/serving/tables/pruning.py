"""The columns that may be among the best by inner product, found in vectors rounded to 8 bits: a
quarter of what the product with the whole catalog reads.

What is left out is proven not to be in the list, whatever the order in which a product adds. Without
the compiled library, on a machine without AVX2, or where too many are left, there are no such
columns, and the whole catalog is scored.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kgrec.compiled import load_library
from kgrec.serving.tables.columns import check

_VERSION = 2
_FILE = "_pruning.so"
_POINTER, _LONG = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS: list[Any] = [_POINTER] * 3 + [_LONG] * 2 + [_POINTER, _LONG, ctypes.c_int32]

_TILE = 16, 4  # items and dimensions
_TOP = 127
_MOST_DIMS = 2000  # up to which a product of whole numbers fits into 32 bits
_SMALLEST = 1e-30  # scale below which a vector counts as zeros
_MOST = 1024  # columns that are scored apart
_CHUNK = 1 << 14
_TRIED, _PEOPLE = 100, 32  # length of a list, and for how many it is tried


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled search, None where it cannot be used."""
    path = Path(__file__).with_name(_FILE)
    found = load_library(path, "kgrec_pruning_version", _VERSION)
    if found is None:
        return None

    found.kgrec_pruning_way.restype = ctypes.c_int32
    if not found.kgrec_pruning_way():
        return None

    found.kgrec_pruning_search.argtypes = _ARGUMENTS
    found.kgrec_pruning_search.restype = None
    return found


@cache
def way() -> int:
    """Return the number of the fastest way on this machine."""
    here = library()
    return 0 if here is None else int(here.kgrec_pruning_way())


class _Wanted(ctypes.Structure):
    """A search, as the library reads it."""

    _fields_: ClassVar = [
        *((name, _POINTER) for name in ("vector", "hidden", "shown", "columns")),
        *((name, _LONG) for name in ("hidden_count", "k", "most", "found")),
    ]


@dataclass(frozen=True, slots=True)
class Search:
    """Which list is looked for.

    Attributes:
        vector: By which items are scored.
        k: Its length.
        hidden: Columns that it may not show.
        candidates: What alone it may, distinct columns; None for all.
    """

    vector: np.ndarray
    k: int
    hidden: np.ndarray
    candidates: np.ndarray | None = None


@dataclass(frozen=True)
class Rounded:
    """Item vectors as whole numbers, times a scale each.

    Attributes:
        tiles: The numbers, (tiles of 16 items, groups of 4 dimensions, 16, 4), zeros at the ends.
        scales: Of each item, and zeros to the end of the last tile.
        bounds: At most, of all items: length of what rounding takes, in scales; length of the whole
            numbers; length of a vector whose scale is 0; length of a vector.
        items: Their number.
        dim: Of a vector.
    """

    tiles: np.ndarray
    scales: np.ndarray
    bounds: np.ndarray
    items: int
    dim: int

    def columns(self, searches: Sequence[Search]) -> list[np.ndarray | None]:
        """Return, for each search, columns, ascending, among which the best k by inner product with
        the vector are, however it is added up; None where that cannot be told, or they are many.
        Several at once read the catalog once.
        """
        here = library()
        found: list[np.ndarray | None] = [None] * len(searches)
        short = [at for at, search in enumerate(searches) if search.k * 2 <= _MOST]
        if here is None or not short:
            return found

        columns = np.empty((len(short), _MOST), np.int64)
        arrays = [self._arrays(searches[at]) for at in short]
        wanted = (_Wanted * len(short))()
        for at, own, row, one in zip(short, arrays, columns, wanted, strict=True):
            one.vector, one.hidden, one.shown = (a if a is None else a.ctypes.data for a in own)
            one.columns, one.hidden_count = row.ctypes.data, len(own[1])
            one.k, one.most = searches[at].k, _MOST

        here.kgrec_pruning_search(*self._table, ctypes.addressof(wanted), len(short), way())
        for at, row, one in zip(short, columns, wanted, strict=True):
            if one.found >= 0:
                found[at] = row[: one.found]
        return found

    def _arrays(self, search: Search) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the vector, what is hidden, and what is shown, as the library reads them."""
        vector = np.ascontiguousarray(search.vector, np.float32)
        hidden = np.ascontiguousarray(search.hidden, np.int64)
        if search.candidates is None:
            return vector, hidden, None

        shown = np.zeros(self.items, np.uint8)
        shown[search.candidates] = 1
        return vector, hidden, shown

    @cached_property
    def _table(self) -> tuple[int, ...]:
        arrays = self.tiles, self.scales, self.bounds
        return *(one.ctypes.data for one in arrays), self.items, self.dim


def rounded(items: np.ndarray, users: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of ``Rounded`` by name; none where they would leave too many items, or the
    vectors have too many dimensions.

    Args:
        items: One vector per item, finite.
        users: Those of people to try.
    """
    count, dim = items.shape
    if not count or not 0 < dim <= _MOST_DIMS or items.dtype != np.float32:
        return {}

    tiles, groups = -(-count // _TILE[0]), -(-dim // _TILE[1])
    numbers = np.zeros((tiles * _TILE[0], groups * _TILE[1]), np.int8)
    scales = np.zeros(tiles * _TILE[0], np.float32)
    bounds = np.zeros(4)
    for start in range(0, count, _CHUNK):
        own = items[start : start + _CHUNK].astype(np.float64)
        scale = (np.abs(own).max(1) / _TOP).astype(np.float32)
        scale[scale < _SMALLEST] = 0
        divisor = np.where(scale > 0, scale, np.inf).astype(np.float64)[:, None]
        whole = np.clip(np.rint(own / divisor), -_TOP, _TOP)
        left = own / divisor - whole
        sizes = np.sqrt((own * own).sum(1))
        measured = (
            np.sqrt((left * left).sum(1)),
            np.sqrt((whole * whole).sum(1)),
            np.where(scale > 0, 0, sizes),
            sizes,
        )
        bounds = np.maximum(bounds, [each.max() for each in measured])
        numbers[start : start + len(own), :dim] = whole
        scales[start : start + len(own)] = scale

    if _left(items, users, scales[:count], bounds[0]) > _MOST / 2:
        return {}

    shaped = numbers.reshape(tiles, _TILE[0], groups, _TILE[1]).transpose(0, 2, 1, 3)
    return {
        "rounded.tiles": np.ascontiguousarray(shaped),
        "rounded.scales": scales,
        "rounded.bounds": bounds * (1 + 1e-9),
    }


def _left(items: np.ndarray, users: np.ndarray, scales: np.ndarray, error: float) -> float:
    """Return about how many items are left for lists of 100, the median over some people."""
    k = min(_TRIED, len(items))
    counts = []
    for vector in users[:: max(1, len(users) // _PEOPLE)]:
        scores = items @ vector
        away = scales * error * np.sqrt(vector @ vector)
        limit = np.partition(scores - away, -k)[-k]
        counts.append(np.count_nonzero(scores + away >= limit))

    return float(np.median(counts)) if counts else 0.0


def rounded_of(arrays: Mapping[str, np.ndarray], items: int, dim: int) -> Rounded | None:
    """Return what an export has of ``rounded``; None where it has nothing.

    Raises:
        CheckpointError: If it does not fit the vectors.
    """
    if "rounded.tiles" not in arrays:
        return None

    tiles, scales = arrays["rounded.tiles"], arrays["rounded.scales"]
    bounds = arrays["rounded.bounds"]
    shape = -(-items // _TILE[0]), -(-dim // _TILE[1]), *_TILE
    check(tiles.shape == shape and tiles.dtype == np.int8, "rounded.tiles")
    check(tiles.flags.c_contiguous and 0 < dim <= _MOST_DIMS, "rounded.tiles")
    check(scales.shape == (shape[0] * _TILE[0],) and scales.dtype == np.float32, "rounded.scales")
    check(np.isfinite(scales).all() and (scales >= 0).all(), "rounded.scales")
    check(bounds.shape == (4,) and bounds.dtype == np.float64, "rounded.bounds")
    check(np.isfinite(bounds).all() and (bounds >= 0).all(), "rounded.bounds")
    return Rounded(tiles, scales, bounds, items, dim)
