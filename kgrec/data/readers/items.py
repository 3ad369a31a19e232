"""Titles and texts of items from a table of items."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from kgrec.data.readers.interactions import ITEM_NAMES
from kgrec.data.tables.delimited import Table, as_ids, find_column, known_names, read_table
from kgrec.data.tables.ordering import one_per_key
from kgrec.data.tables.roles import item_key
from kgrec.errors import FormatError

TITLE_NAMES = (
    "title",
    "name",
    "label",
    "item_name",
    "item_title",
    "movie_title",
    "film_title",
    "book_title",
    "artist_name",
    "track_name",
    "product_name",
)


@dataclass(frozen=True, slots=True)
class ItemTable:
    """A table of items.

    Attributes:
        table: The table.
        key: Its column of ids.
        title: Its column of titles, or None.
        ids: Id per row, null where the cell is empty and that was allowed.
    """

    table: Table
    key: str
    title: str | None
    ids: pl.Series


def read_items(source: object, *, item: str | None = None, on_error: str = "stop") -> ItemTable:
    """Return a table of items.

    The ids are in the column ``item``, else in one with a well-known name, else in the first;
    titles in a column called like a title (``title``, ``name``, ``movie_title``, ...).

    Raises:
        FormatError: If the file cannot be read, has no column ``item``, or an id is empty.
    """
    table = read_table(
        source,
        known=known_names((*ITEM_NAMES, *TITLE_NAMES), item),
        on_error=on_error,
    )
    key = item_key(table, item).column

    if len(table.frame.columns) == 1:
        raise FormatError(
            f"{table.name}: one column, expected item ids and titles. Is the separator right?"
        )

    return ItemTable(table, key, title_column(table, key), as_ids(table, key, on_error))


def titles(items: ItemTable) -> pl.DataFrame:
    """Return columns ``item`` and ``label``, null where there is no title.

    Of several rows of an id, the first title as text sorts.
    """
    if items.title is None:
        labels = pl.Series([None] * len(items.ids), dtype=pl.String)
    else:
        labels = _filled(items.table.frame[items.title])

    return one_per_key(
        pl.DataFrame([items.ids.rename("item"), labels.rename("label")]).drop_nulls("item"),
        "item",
        "label",
    )


def text_columns(items: ItemTable, wanted: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that hold texts: those wanted, else the titles' if there is one.

    Raises:
        FormatError: If a wanted column is not there.
    """
    if wanted is None:
        if items.title is None:
            return ()
        return (items.title,)

    found = (
        find_column(items.table, name, ())
        for name in ([wanted] if isinstance(wanted, str) else wanted)
    )

    return tuple(name for name in found if name is not None)


def texts(items: ItemTable, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns ``item`` and ``cells``, a list with the text of each of the columns, null
    if there is none.
    """
    cells = {
        f"text {number}": _filled(items.table.frame[column])
        for number, column in enumerate(columns)
    }
    rows = pl.DataFrame({"item": items.ids, **cells}).drop_nulls("item")
    return one_per_key(rows, "item", *cells).select("item", cells=pl.concat_list(*cells))


def _filled(cells: pl.Series) -> pl.Series:
    """Return cells as text, null where there is nothing but white space."""
    text = cells.cast(pl.String)
    return text.set((text.str.strip_chars() == "").fill_null(False), None)


def title_column(table: Table, key: str) -> str | None:
    """Return the column of titles by its name, None if there is none."""
    named = find_column(table, None, TITLE_NAMES, taken=(key,))
    return named or next(
        (
            c
            for c in table.frame.columns
            if c != key and c.lower().replace(" ", "_").endswith(("_title", "_name"))
        ),
        None,
    )
