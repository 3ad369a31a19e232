"""What items can be told apart by: a facet per relation, literal or column, with its values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, nearest
from kgrec.ops.reranking import Rows, by_item, numbers_cannot_be_capped

MOST_VALUES = 1_000
_LONGEST_VALUE = 100
_NUMERIC = 0.9  # share of cells that are numbers, from which a column is one of numbers


@dataclass(frozen=True, slots=True)
class ItemFacet:
    """Something that items have a value of.

    Attributes:
        key: Relation or column.
        values: Ids and labels of its values; empty for numbers.
        items: Columns of the items of each value, or one number per item.
    """

    key: str
    values: list[tuple[str, str]]
    items: list[np.ndarray] | np.ndarray


def facets_of_data(data: Dataset, column: np.ndarray) -> Iterator[ItemFacet]:
    """Yield the facets of a dataset's triples and literals; keys may be there twice.

    Args:
        data: The dataset.
        column: What each item row is called in the facets.
    """
    yield from _of_triples(data, column)
    yield from _of_literals(data, column)


def facet_names(keys: Sequence[str]) -> list[str]:
    """Return a name per distinct key: its last part, where that is no other's.

    >>> facet_names(["http://x.org/genre", "http://y.org/genre", "brand"])
    ['genre', 'http://y.org/genre', 'brand']
    """
    taken = set(keys)
    found = []
    for key in keys:
        short = _short(key)
        name = key if short in taken and short != key else short
        taken.add(name)
        found.append(name)

    return found


def facet_values(data: Dataset, name: str) -> Rows:
    """Return the values of each item (row) for a facet, by its key or name.

    Raises:
        ConfigError: If there is no such facet (the message gives the nearest), or it is one of
            numbers.
    """
    found: dict[str, ItemFacet] = {}
    for one in facets_of_data(data, np.arange(data.num_items)):
        found.setdefault(one.key, one)

    names = dict(zip(facet_names(list(found)), found.values(), strict=True))
    facet = found.get(name) or names.get(name)
    if facet is None:
        near = nearest(name, [*names, *found])
        some = ", ".join(list(names)[:8])
        raise ConfigError(f"unknown facet {name[:80]!r}.{near or f' There are: {some}.'}")

    if isinstance(facet.items, np.ndarray):
        raise numbers_cannot_be_capped(name)

    sizes = [len(one) for one in facet.items]
    idx = np.concatenate([*facet.items, np.empty(0, np.int64)])
    return by_item(np.concatenate([[0], np.cumsum(sizes)]), idx, data.num_items)


def _short(key: str) -> str:
    """Return the last part of a key.

    >>> _short("https://schema.org/director"), _short("^http://x.org/a#b"), _short("genre")
    ('director', '^b', 'genre')
    """
    inverse = "^" if key.startswith("^") else ""
    return inverse + key.rstrip("/#").replace("#", "/").rpartition("/")[2].removeprefix("^")


def _of_triples(data: Dataset, column: np.ndarray) -> Iterator[ItemFacet]:
    """Yield a facet per relation that leads from items, and per one that leads to them."""
    triples = data.triples
    labels = triples.labels.to_list()
    keys = triples.entities.series.to_list()
    for inverse, item, entity in (
        (False, triples.head, triples.tail),
        (True, triples.tail, triples.head),
    ):
        own = np.flatnonzero(item < data.num_items)
        for relation in np.unique(triples.relation[own]).tolist():
            rows = own[triples.relation[own] == relation]
            pairs = np.unique(entity[rows].astype(np.int64) * data.num_items + column[item[rows]])
            value, items = np.divmod(pairs, data.num_items)
            values, starts = np.unique(value, return_index=True)
            yield ItemFacet(
                ("^" if inverse else "") + triples.relations.key(relation),
                [(keys[one], labels[one] or keys[one]) for one in values.tolist()],
                np.split(items, starts[1:]),
            )


def _of_literals(data: Dataset, column: np.ndarray) -> Iterator[ItemFacet]:
    frame = data.triples.attributes.filter(pl.col("entity") < data.num_items)
    for (name,), part in frame.partition_by("name", as_dict=True, maintain_order=True).items():
        yield from facets_of_cells(
            str(name), column[part["entity"].to_numpy()], part["value"], column
        )


def facets_of_cells(
    name: str, items: np.ndarray, cells: pl.Series, column: np.ndarray
) -> Iterator[ItemFacet]:
    """Yield the facet of one text per row, of numbers where nearly all are; none of long texts."""
    filled = (cells.is_not_null() & (cells.str.strip_chars() != "")).to_numpy()
    items, cells = items[filled], cells.filter(pl.Series(filled)).str.strip_chars()
    if not len(cells):
        return

    numbers = cells.cast(pl.Float64, strict=False)
    if numbers.is_finite().sum() >= _NUMERIC * len(cells):
        table = np.full(len(column), np.nan)
        values = numbers.fill_null(np.nan).to_numpy()
        table[items[::-1]] = values[::-1]  # of several, the first
        yield ItemFacet(name, [], table)
        return

    # before an array as wide as the longest text
    longest = cells.str.len_chars().max()
    if cells.n_unique() > MOST_VALUES or (isinstance(longest, int) and longest > _LONGEST_VALUE):
        return

    distinct, value = np.unique(cells.to_numpy().astype(str), return_inverse=True)
    pairs = np.unique(value.astype(np.int64) * len(column) + items)
    value, items = np.divmod(pairs, len(column))
    starts = np.searchsorted(value, np.arange(1, len(distinct)))
    yield ItemFacet(name, [(text, text) for text in distinct.tolist()], np.split(items, starts))
