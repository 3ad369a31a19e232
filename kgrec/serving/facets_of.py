"""What a dataset's items can be filtered by: facets from its triples, its literals, and a table."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.readers.items import read_items
from kgrec.data.records.dataset import Dataset
from kgrec.data.shaping.facets import ItemFacet, facet_names, facets_of_cells, facets_of_data
from kgrec.errors import ConfigError
from kgrec.serving.tables.columns import id_arrays, list_arrays
from kgrec.serving.tables.facets import Facet, facet_text


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
    found: dict[str, ItemFacet] = {}
    sources = [facets_of_data(data, column)]
    if table is not None:
        sources.insert(0, _of_table(data, column, table, item))
    for source in sources:
        for one in source:
            found.setdefault(one.key, one)

    return _arrays(list(found.values()), data.num_items)


def _arrays(found: list[ItemFacet], items: int) -> tuple[list[Facet], dict[str, np.ndarray]]:
    facets: list[Facet] = []
    keys: list[str] = []
    labels: list[str] = []
    lists: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    names = facet_names([one.key for one in found])
    for number, (name, one) in enumerate(zip(names, found, strict=True)):
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


def _of_table(
    data: Dataset, column: np.ndarray, path: Path, item: str | None
) -> Iterator[ItemFacet]:
    table = read_items(path, item=item)
    rows = data.items.match(table.ids)
    if not (rows >= 0).any():
        raise ConfigError(f"{path}: names no item of the run in column {table.key}.")

    for name in table.table.frame.columns:
        if name not in (table.key, table.title):
            cells = table.table.frame[name].cast(pl.String)
            there = pl.Series(rows >= 0)
            yield from facets_of_cells(name, column[rows[rows >= 0]], cells.filter(there), column)
