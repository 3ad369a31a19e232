"""Feature vectors of items, from a table with an id column or an array."""

from os import PathLike

import numpy as np
import polars as pl

from kgrec.data.io.files import bare_suffix, listed
from kgrec.data.readers.interactions import ITEM_NAMES
from kgrec.data.readers.items import ItemTable
from kgrec.data.readers.vectors import finite_floats, read_array
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.delimited import as_ids, as_numbers, find_column, known_names, read_table
from kgrec.errors import ConfigError, DataError, FormatError

_SHOWN = 5


def read_features(
    source: object, items: Vocabulary, table: ItemTable | None, *, item: str | None = None
) -> tuple[np.ndarray, str, int]:
    """Return a feature vector per item, float32 (items, features), the source's name, and how many
    rows were of no item.

    Args:
        source: A table (CSV, TSV, Parquet or a frame): ids in the column ``item``, else in one with
            a well-known name, else in the first; every other column is a feature. Or an array
            (``.npy`` or NumPy's), whose rows are in the order of the table of items.
        items: Item ids.
        table: The table of items, for an array.
        item: The id column.

    Raises:
        ConfigError: If an array is given without a table of items.
        DataError: If an item has no row, or two.
        FormatError: If the source cannot be read, or a number is missing or not finite.
    """
    if _is_array(source):
        name, ids, values = _from_array(source, table)
    else:
        name, ids, values = _from_table(source, item)

    if ids.n_unique() < len(ids):
        raise DataError(
            f"{name}: item {ids.filter(ids.is_duplicated())[0]!r} has more than one row. Leave "
            "one row per item."
        )

    rows = Vocabulary(ids, kind="item").match(items.series)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        shown = listed([repr(key) for key in items.keys(missing[: _SHOWN + 1])], _SHOWN)
        raise DataError(
            f"{name}: {len(missing)} of {len(items)} items have no row: {shown}. Give every item "
            "a row."
        )

    return values[rows], name, len(ids) - len(rows)


def feature_table(source: object, item: str | None, on_error: str) -> object:
    """Return a file or frame of features as a table, without malformed lines where ``on_error`` is
    "skip"; an array as it is.
    """
    if _is_array(source):
        return source
    return read_table(source, known=known_names(ITEM_NAMES, item), on_error=on_error)


def _is_array(source: object) -> bool:
    return isinstance(source, np.ndarray) or (
        isinstance(source, str | PathLike) and bare_suffix(source) == "npy"
    )


def _from_table(source: object, item: str | None) -> tuple[str, pl.Series, np.ndarray]:
    table = read_table(feature_table(source, item, "stop"))
    columns = table.frame.columns
    if item in columns:
        key = item
    else:
        key = find_column(table, None, ITEM_NAMES) or columns[0]

    if len(columns) < 2:
        raise FormatError(
            f"{table.name}: one column, expected item ids and at least one feature. Is the "
            "separator right?"
        )

    numbers = [as_numbers(table, column).to_numpy() for column in columns if column != key]
    return table.name, as_ids(table, key), finite_floats(np.stack(numbers, axis=1), table.at)


def _from_array(source: object, table: ItemTable | None) -> tuple[str, pl.Series, np.ndarray]:
    if isinstance(source, str | PathLike):
        name = str(source)
    else:
        name = "the array of features"

    if table is None:
        raise ConfigError(
            f"{name}: an array has no item ids. Name the table of items that its rows follow, or "
            "give a table."
        )

    if isinstance(source, np.ndarray):
        array = source
    else:
        array = read_array(str(source))

    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise FormatError(f"{name}: expected numbers in two dimensions, one row per item.")
    if len(array) != len(table.ids):
        raise FormatError(
            f"{name}: {len(array)} rows, but {table.table.name} has {len(table.ids)} items. Give "
            "one row for each."
        )

    real = table.ids.is_not_null()

    return (
        name,
        table.ids.filter(real),
        finite_floats(array[real.to_numpy()], lambda row: f"{name}: row {row + 1}"),
    )
