"""What a dataset's items can be filtered by: facets from its triples, its literals, and a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.readers.items import read_items
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.serving.tables.columns import id_arrays, list_arrays
from kgrec.serving.tables.facets import MOST_VALUES, Facet, facet_text

_LONGEST_VALUE = 100
_NUMERIC = 0.9  # share of cells that are numbers, from which a column is one of numbers


@dataclass(frozen=True, slots=True)
class _Found:
    """A facet before it has rows.

    Attributes:
        key: Relation or column.
        values: Ids and labels of its values; empty for numbers.
        items: Columns of the items of each value, or one number per item.
    """

    key: str
    values: list[tuple[str, str]]
    items: list[np.ndarray] | np.ndarray


def facets_of(
    data: Dataset, column: np.ndarray, table: Path | None = None, item: str | None = None
) -> tuple[list[Facet], dict[str, np.ndarray]]:
    """Return what items can be filtered by, and the arrays of it.

    Args:
        data: The dataset.
        column: Position of each item row in the tables.
        table: Table of items; its columns come before facts of the same name.
        item: Its column of ids.
    """
    found: dict[str, _Found] = {}
    sources = [_of_triples(data, column), _of_literals(data, column)]
    if table is not None:
        sources.insert(0, _of_table(data, column, table, item))
    for source in sources:
        for one in source:
            found.setdefault(one.key, one)

    return _arrays(list(found.values()), data.num_items)


def _arrays(found: list[_Found], items: int) -> tuple[list[Facet], dict[str, np.ndarray]]:
    facets: list[Facet] = []
    keys: list[str] = []
    labels: list[str] = []
    lists: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    taken: set[str] = {one.key for one in found}
    for number, one in enumerate(found):
        short = _short(one.key)
        name = one.key if short in taken and short != one.key else short
        taken.add(name)
        if isinstance(one.items, np.ndarray):
            numbers.append(one.items)
            facets.append(Facet(name, one.key, True, len(numbers) - 1, len(numbers)))
            continue

        start = len(keys)
        keys += [facet_text(number, key) for key, _ in one.values]
        labels += [facet_text(number, label) for _, label in one.values]
        lists += one.items
        facets.append(Facet(name, one.key, False, start, len(keys)))

    if not facets:
        return [], {}

    ptr = np.concatenate([[0], np.cumsum([len(one) for one in lists], dtype=np.int64)])
    idx = np.concatenate([*lists, np.empty(0, np.int64)])
    table = np.array(numbers) if numbers else np.empty((0, items))
    return facets, {
        **id_arrays("facet.keys", keys),
        **id_arrays("facet.labels", labels),
        **list_arrays("facet.items", ptr, idx),
        "facet.numbers": table,
    }


def _short(key: str) -> str:
    """Return the last part of a key.

    >>> _short("https://schema.org/director"), _short("^http://x.org/a#b"), _short("genre")
    ('director', '^b', 'genre')
    """
    inverse = "^" if key.startswith("^") else ""
    return inverse + key.rstrip("/#").replace("#", "/").rpartition("/")[2].removeprefix("^")


def _of_triples(data: Dataset, column: np.ndarray) -> Iterator[_Found]:
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
            yield _Found(
                ("^" if inverse else "") + triples.relations.key(relation),
                [(keys[one], labels[one] or keys[one]) for one in values.tolist()],
                np.split(items, starts[1:]),
            )


def _of_literals(data: Dataset, column: np.ndarray) -> Iterator[_Found]:
    frame = data.triples.attributes.filter(pl.col("entity") < data.num_items)
    for (name,), part in frame.partition_by("name", as_dict=True, maintain_order=True).items():
        yield from _of_cells(str(name), column[part["entity"].to_numpy()], part["value"], column)


def _of_table(data: Dataset, column: np.ndarray, path: Path, item: str | None) -> Iterator[_Found]:
    table = read_items(path, item=item)
    rows = data.items.match(table.ids)
    if not (rows >= 0).any():
        raise ConfigError(f"{path}: names no item of the run in column {table.key}.")

    for name in table.table.frame.columns:
        if name not in (table.key, table.title):
            cells = table.table.frame[name].cast(pl.String)
            there = pl.Series(rows >= 0)
            yield from _of_cells(name, column[rows[rows >= 0]], cells.filter(there), column)


def _of_cells(
    name: str, items: np.ndarray, cells: pl.Series, column: np.ndarray
) -> Iterator[_Found]:
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
        yield _Found(name, [], table)
        return

    # before an array as wide as the longest text
    longest = cells.str.len_chars().max()
    if cells.n_unique() > MOST_VALUES or (isinstance(longest, int) and longest > _LONGEST_VALUE):
        return

    distinct, value = np.unique(cells.to_numpy().astype(str), return_inverse=True)
    pairs = np.unique(value.astype(np.int64) * len(column) + items)
    value, items = np.divmod(pairs, len(column))
    starts = np.searchsorted(value, np.arange(1, len(distinct)))
    yield _Found(name, [(text, text) for text in distinct.tolist()], np.split(items, starts))
