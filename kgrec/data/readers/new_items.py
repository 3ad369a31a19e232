"""New items and what is said of them, as the dataset that they join says it of its own."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from kgrec.data.readers.attributes import attribute_table, triples_from_table
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.report import TableColumn
from kgrec.data.records.triples import Triples
from kgrec.data.tables.delimited import Table
from kgrec.data.tables.roles import item_key
from kgrec.errors import DataError

_AS_BEFORE = ("category", "year", "date", "boolean")


def read_new_items(
    source: object, data: Dataset, *, item: str | None = None, ids: Sequence[str] | None = None
) -> tuple[list[str], Triples | None]:
    """Return the ids of new items, and their facts; None where the source says nothing that the
    dataset's graph could take.

    A table of one product says little of what its columns hold: what the dataset's own table of
    items became decides. Ranges of numbers are not known any more, and match where a number is an
    entity of its own.

    Args:
        source: Triples, whose heads are the ids; or a table that ``triples_from_table`` reads.
        data: The dataset.
        item: Column of the ids of a table.
        ids: Ids of the new items among the heads of triples; None takes all heads that the dataset
            does not know.

    Raises:
        DataError: If none is new.
        FormatError: If the table cannot be read.
    """
    if isinstance(source, Triples):
        heads = source.entities.keys(sorted({*source.head.tolist()}))
        entities = data.triples.entities
        new = [key for key in heads if key not in entities] if ids is None else list(ids)
        facts: Triples | None = source
    else:
        table = attribute_table(source, item=item)
        key = item_key(table, item).column
        new = table.frame[key].cast(pl.String).drop_nulls().to_list()
        facts = _facts(table, key, data)

    new = [key for key in dict.fromkeys(new) if key not in data.items]
    if not new:
        raise DataError("no item is new: the data has all of them already. Nothing to add.")

    return new, facts


def _facts(table: Table, key: str, data: Dataset) -> Triples | None:
    """Return the facts of a table by the columns that the dataset knows."""
    known: dict[str, TableColumn] = {
        column.column: column
        for column in (*data.report.columns, *data.triples.columns)
        if column.relation and column.column in table.frame.columns
    }
    columns = [
        name
        for name in table.frame.columns
        if name != key and (name in known or name in data.triples.relations)
    ]
    if not columns:
        return None

    settings: dict[str, Any] = {"columns": columns, "min_count": 1, "kinds": {}, "separators": {}}
    for name, column in known.items():
        mark = column.note.removeprefix("split at ").strip("'\"")
        if column.kind in _AS_BEFORE:
            settings["kinds"][name] = column.kind
        elif column.kind == "list" and column.note.startswith("split at ") and mark:
            settings["separators"][name] = mark

    return triples_from_table(table, item=key, **settings)
