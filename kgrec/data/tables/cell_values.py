"""From the cells of a column to the values that become entities."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from kgrec.data.tables.binning import ranges
from kgrec.data.tables.column_kinds import (
    TRUE,
    as_number,
    as_text,
    as_year,
    count_ranges,
    currencies,
    measure_of,
)
from kgrec.data.tables.list_cells import (
    are_lists,
    are_records,
    are_sure_lists,
    field_name,
    record_name,
    split_cells,
)

_LAST_YEAR = 10_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How cells are read.

    Attributes:
        separator: Between the values of a list or the levels of a path, "" for JSON lists.
        bins: Ranges of a number.
        decades: Whether years become decades.
    """

    separator: str | None
    bins: int
    decades: bool


def values_of(kind: str, cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    """Return the values of a column, and in words how its cells were read.

    Args:
        kind: "category", "list", "path", "number", "year", "date" or "boolean".
        cells: Columns ``row`` and ``cell``, without cells that say nothing.
        how: Settings.

    Returns:
        Columns ``row`` and ``label`` (text), without the cells that could not be read, and the
        note.
    """
    return _READERS[kind](cells, how)


def _category(cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    text = as_text(cells["cell"])
    lists = int(are_sure_lists(text).sum()) if cells["cell"].dtype == pl.String else 0
    note = f"{lists:,} cells look like lists: kinds=list reads them" if lists else ""
    return cells.select("row", label=text), note


def _list(cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    column = cells["cell"]
    if isinstance(column.dtype, pl.List | pl.Array):
        note = "lists"
        name = field_name(column.dtype.inner)
        if name is not None:
            column = column.cast(pl.List(column.dtype.inner))
            column = column.list.eval(pl.element().struct.field(name))
            note = f"lists of records, each its {name!r}"

        lists = column.cast(pl.List(pl.String))
    else:
        separator = how.separator or ""
        text = as_text(column)
        lists = split_cells(text, separator)
        note = f"split at {separator!r}" if separator else _note_of_lists(text)

    values = pl.DataFrame({"row": cells["row"], "label": lists}).explode("label")
    values = values.with_columns(pl.col("label").str.strip_chars()).filter(pl.col("label") != "")
    return values, note


def _note_of_lists(text: pl.Series) -> str:
    """Return how cells were read that are lists as JSON and others write them."""
    note = "JSON lists"
    if not text.str.starts_with("[").any():
        note = "lists in braces"

    records = text.filter(are_records(text))
    if len(records):
        note += f" of records, each its {record_name(records)!r}"

    lists = are_lists(text)
    if not lists.all():
        note += f" in {int(lists.sum()):,} cells; {int((~lists).sum()):,} others are one value each"

    return note


def _numbers(cells: pl.Series) -> pl.Series:
    if cells.dtype == pl.String:
        return as_number(cells)
    return cells.cast(pl.Float64, strict=False)


def _number(cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    found = (
        pl.DataFrame({"row": cells["row"], "number": _numbers(cells["cell"])})
        .drop_nulls()
        .with_columns(name=pl.lit(""))
    )
    notes = []
    if found["number"].n_unique() > how.bins:
        notes.append(f"{how.bins} ranges with about as many items each")

    marks = currencies(cells["cell"]) if cells["cell"].dtype == pl.String else []
    if len(marks) > 1:
        notes.append(f"prices in {', '.join(marks)} are compared as they are")

    spans = count_ranges(cells["cell"]) if cells["cell"].dtype == pl.String else 0
    if spans:
        notes.append(f"{spans:,} ranges count as their middle, open ones as their end")

    unit = measure_of(cells["cell"]) if cells["cell"].dtype == pl.String else ""
    if unit:
        notes.append(f"in {unit}")

    return ranges(found, how.bins).select("row", "label"), "; ".join(notes)


def _year(cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    found = pl.DataFrame({"row": cells["row"], "year": _numbers(cells["cell"])}).drop_nulls()
    whole = (pl.col("year") == pl.col("year").round()) & (pl.col("year").abs() < _LAST_YEAR)
    return _years(found.filter(whole).cast({"year": pl.Int64}), how)


def _date(cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    column = cells["cell"]
    if column.dtype in (pl.Date, pl.Datetime):
        years = column.dt.year().cast(pl.Int64)
    else:
        years = as_year(as_text(column))

    values, note = _years(pl.DataFrame({"row": cells["row"], "year": years}).drop_nulls(), how)
    return values, note or "the year of each date"


def _years(found: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    year = pl.col("year")
    if how.decades:
        label = (year // 10 * 10).cast(pl.String) + "s"
    else:
        label = year.cast(pl.String)
    return found.select("row", label=label), "the decade of each year" if how.decades else ""


def _boolean(cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    yes = as_text(cells["cell"]).str.to_lowercase().is_in(TRUE)
    return cells.filter(yes).select("row", label=pl.lit("yes")), "rows that say yes"


def path_of(label: str, mark: str) -> str:
    """Return a path with its levels without white space around them.

    >>> path_of("Shoes>Running ", ">")
    'Shoes > Running'
    """
    levels = (part.strip() for part in label.split(mark))
    return f" {mark.strip()} ".join(level for level in levels if level)


def _path(cells: pl.DataFrame, how: Reading) -> tuple[pl.DataFrame, str]:
    """Return paths; several in a cell are divided at a bar or a semicolon."""
    mark = how.separator or ">"
    text = as_text(cells["cell"]).str.split("|")
    values = pl.DataFrame({"row": cells["row"], "label": text}).explode("label")
    values = values.with_columns(pl.col("label").str.split(";")).explode("label")
    labels = [path_of(label or "", mark) for label in values["label"]]
    values = values.with_columns(label=pl.Series(labels, dtype=pl.String))
    return values.filter(pl.col("label") != ""), f"levels divided by {mark.strip()!r}"


_READERS: dict[str, Callable[[pl.DataFrame, Reading], tuple[pl.DataFrame, str]]] = {
    "category": _category,
    "list": _list,
    "number": _number,
    "year": _year,
    "date": _date,
    "boolean": _boolean,
    "path": _path,
}
