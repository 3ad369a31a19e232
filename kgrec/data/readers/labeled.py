"""Labeled rows from text: a user, an item, and the label 0 or 1."""

from functools import partial

import polars as pl

from kgrec.data.records.report import Dropped, Skipped, dropped_lines
from kgrec.data.tables.delimited import Table, without_rows
from kgrec.errors import FormatError


def labeled_rows(table: Table, on_error: str) -> tuple[Table, tuple[Dropped, ...]]:
    """Return a table whose columns ``user`` and ``item`` are filled and whose ``label`` is 0 or 1,
    and what was left out for that.

    Raises:
        FormatError: At the first row that is otherwise, with file and line, unless ``on_error`` is
            "skip".
    """
    skipped = Skipped.where_allowed(table.name, on_error)
    for column in ("user", "item"):
        table = without_rows(table, table.frame[column] == "", skipped, partial(_no_id, column))

    wrong = ~table.frame["label"].str.strip_chars().is_in(["0", "1", "0.0", "1.0"])
    table = without_rows(table, wrong, skipped, _no_label)
    if not table.frame.height:
        raise FormatError(f"{table.name}: no line can be read. Is this the right file?")

    return table, (*table.dropped, *dropped_lines(skipped))


def _no_id(column: str, row: dict[str, str]) -> str:
    return f"column {column!r} is empty. Give every row an id."


def _no_label(row: dict[str, str]) -> str:
    return f"label {row['label'].strip()[:40]!r} is neither 0 nor 1. Correct the line."


def as_clicks(table: Table) -> pl.Series:
    """Return the labels of a table that ``labeled_rows`` returned, as booleans."""
    return table.frame["label"].str.strip_chars().str.starts_with("1")
