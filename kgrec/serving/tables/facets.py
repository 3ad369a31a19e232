"""Which items have which facts: what lists can be filtered by."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from kgrec.errors import ConfigError, nearest
from kgrec.ops.reranking import Rows, by_item, numbers_cannot_be_capped
from kgrec.serving.tables.columns import Arrays, Lists, Texts, check, check_rows, hash_of

_SEPARATOR = "\x1f"


class Facet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that items have a value of.

    Attributes:
        name: What a filter calls it.
        key: Relation or column in the data.
        numbers: Whether its values are numbers, to be filtered by ranges.
        start: First value, a row of the values; of numbers, a row of the numbers.
        stop: End of its values.
    """

    name: str
    key: str
    numbers: bool
    start: int
    stop: int


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of numbers, both ends included.

    Attributes:
        min: Least number; None for no least.
        max: Greatest number; None for no greatest.
    """

    min: float | None = None
    max: float | None = None


Where = Mapping[str, Sequence[str] | Range]


class _Words:
    """Texts of facets, several of them equal perhaps, found by their hashes."""

    def __init__(self, arrays: Arrays, name: str) -> None:
        self.texts = Texts(arrays, name)
        self._hashes = arrays[f"{name}.hashes"]
        self._rows = arrays[f"{name}.rows"]
        check(len(self._hashes) == len(self._rows) == len(self.texts), name)
        check_rows(self._rows, len(self.texts), name)

    def rows(self, facet: int, text: str) -> list[int]:
        wanted = f"{facet}{_SEPARATOR}{text}".encode("utf-8", "surrogatepass")
        found = hash_of(wanted)
        start, stop = (int(self._hashes.searchsorted(found, side)) for side in ("left", "right"))
        rows = self._rows[start:stop].tolist()
        return [row for row in rows if self.texts.raw(row) == wanted]


class Facets:
    """The facets of a catalog.

    Args:
        facets: What there is.
        arrays: Arrays by name.
        items: Number of items.
    """

    def __init__(self, facets: Sequence[Facet], arrays: Arrays, items: int) -> None:
        self.facets = tuple(facets)
        self._by_name = {
            word: number
            for number, facet in reversed([*enumerate(facets)])
            for word in (facet.key, facet.name)
        }
        self._items = items
        self._by_item: dict[int, Rows] = {}
        if not facets:
            return

        self._keys, self._labels = _Words(arrays, "facet.keys"), _Words(arrays, "facet.labels")
        self._of = Lists(arrays, "facet.items", items)
        self._numbers = arrays["facet.numbers"]
        check(self._numbers.shape[1:] == (items,), "facet.numbers")
        check(len(self._of) == len(self._keys.texts) == len(self._labels.texts), "facet.items")
        for facet in facets:
            most = len(self._numbers) if facet.numbers else len(self._of)
            check(0 <= facet.start <= facet.stop <= most, "facets")

    def columns(self, where: Where) -> np.ndarray:
        """Return the items, ascending, that a filter lets through: of each field one of its values.

        Raises:
            ConfigError: If a field is not known (the message gives the nearest), or is asked for
                values where it has numbers, or the other way round. A value that no item has lets
                nothing through.
        """
        found: np.ndarray | None = None
        for name, wanted in where.items():
            some = self._one(name, wanted)
            found = some if found is None else np.intersect1d(found, some, assume_unique=True)

        return np.arange(self._items) if found is None else found

    def values_of_items(self, name: str) -> Rows:
        """Return the values of each item; made once.

        Raises:
            ConfigError: If the field is not known, or is one of numbers.
        """
        number = self._number(name)
        facet = self.facets[number]
        if facet.numbers:
            raise numbers_cannot_be_capped(name)
        if number not in self._by_item:
            ptr = np.asarray(self._of.ptr[facet.start : facet.stop + 1])
            idx = np.asarray(self._of.idx[ptr[0] : ptr[-1]])
            self._by_item[number] = by_item(ptr, idx, self._items)

        return self._by_item[number]

    def _number(self, name: str) -> int:
        number = self._by_name.get(name)
        if number is None:
            near = nearest(name, self._by_name)
            raise ConfigError(
                f"unknown facet {name[:80]!r}.{near or ' See /v1/items for what there is.'}"
            )

        return number

    def _one(self, name: str, wanted: Sequence[str] | Range) -> np.ndarray:
        number = self._number(name)
        facet = self.facets[number]
        if facet.numbers != isinstance(wanted, Range):
            expected = '{"min": , "max": }' if facet.numbers else "a list of values"
            raise ConfigError(f"facet {facet.name!r}: expected {expected}.")
        if isinstance(wanted, Range):
            values = self._numbers[facet.start]
            least = -np.inf if wanted.min is None else wanted.min
            greatest = np.inf if wanted.max is None else wanted.max
            return np.flatnonzero((values >= least) & (values <= greatest))

        rows = {row for value in wanted for row in self._rows(number, value)}
        lists = [self._of.row(row) for row in sorted(rows)]
        return np.unique(np.concatenate(lists)) if lists else np.empty(0, np.int64)

    def _rows(self, number: int, value: str) -> Iterable[int]:
        return self._keys.rows(number, value) or self._labels.rows(number, value)

    def values(self, facet: Facet, most: int = 100) -> list[dict[str, Any]]:
        """Return some values of a facet by their ids, with labels and how many items have each."""
        return [
            {
                "value": self._keys.texts[row].partition(_SEPARATOR)[2],
                "label": self._labels.texts[row].partition(_SEPARATOR)[2],
                "items": len(self._of.row(row)),
            }
            for row in range(facet.start, min(facet.stop, facet.start + most))
        ]


def facet_text(number: int, text: str) -> str:
    """Return a value of a facet as its columns have it."""
    return f"{number}{_SEPARATOR}{text}"
