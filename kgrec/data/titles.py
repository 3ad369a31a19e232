"""Titles of items from a table of items."""

import polars as pl

from kgrec.data.logs import ITEM_NAMES
from kgrec.data.tables import Table, as_ids, find_column, read_table
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


def read_titles(source: object, *, item: str | None = None, on_error: str = "stop") -> tuple[pl.DataFrame, str, tuple[str, ...]]:
    """Return item titles: a frame with columns ``item`` and ``label`` (null where empty), the source's name, and the columns left unused.

    The ids are in the column ``item``, else in one with a well-known name, else in the first; titles in a column called like a title
    (``title``, ``name``, ``movie_title``, ...). Without such a column every label is null. An id's first title counts.

    Raises:
        FormatError: If the file cannot be read, or has no column ``item``.
    """
    table = read_table(source, known={*ITEM_NAMES, *TITLE_NAMES, *({item.lower()} if item else ())}, on_error=on_error)
    columns = table.frame.columns
    key = find_column(table, item, ITEM_NAMES) or columns[0]
    title = _title_column(table, key)
    if title is None and len(columns) == 1:
        raise FormatError(f"{table.name}: one column, expected item ids and titles. Is the separator right?")
    labels = pl.Series([None] * table.frame.height, dtype=pl.String) if title is None else table.frame[title].cast(pl.String)
    frame = (
        pl.DataFrame({"item": as_ids(table, key, on_error), "label": labels})
        .drop_nulls("item")
        .with_columns(label=pl.when(pl.col("label").str.strip_chars() == "").then(None).otherwise(pl.col("label")))
    )
    return frame.unique("item", keep="first", maintain_order=True), table.name, tuple(c for c in columns if c not in (key, title))


def _title_column(table: Table, key: str) -> str | None:
    named = find_column(table, None, TITLE_NAMES, taken=(key,))
    return named or next((c for c in table.frame.columns if c != key and c.lower().endswith(("_title", "_name"))), None)
