"""Click-through files: ``ratings_final.txt``, one ``user item label`` a line, as RippleNet, KGCN
and their kin read them.
"""

from functools import partial

import polars as pl

from kgrec.data.io.files import FilePath
from kgrec.data.records.interactions import Dropped, Skipped
from kgrec.data.splitting.labels import LabelledLog
from kgrec.data.tables.delimited import Table, read_columns, without_rows
from kgrec.errors import FormatError


def read_ratings(path: FilePath, *, on_error: str = "stop") -> LabelledLog:
    """Read ``user item label`` rows, between tabs or spaces; label 1 is an interaction, 0 none.

    Args:
        path: The file.
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        FormatError: If a line has not three columns, or a label is neither 0 nor 1.
    """
    table, dropped = labelled_rows(
        read_columns(path, ("user", "item", "label"), on_error=on_error), on_error
    )
    frame = table.frame.select("user", "item", clicked=as_clicks(table))
    return LabelledLog(frame, (table.name,), dropped)


def labelled_rows(table: Table, on_error: str) -> tuple[Table, tuple[Dropped, ...]]:
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
    return table, (*table.dropped, *(() if skipped is None else skipped.dropped()))


def _no_id(column: str, row: dict[str, str]) -> str:
    return f"column {column!r} is empty. Give every row an id."


def _no_label(row: dict[str, str]) -> str:
    return f"label {row['label'].strip()[:40]!r} is neither 0 nor 1. Correct the line."


def as_clicks(table: Table) -> pl.Series:
    """Return the labels of a table that ``labelled_rows`` returned as booleans."""
    return table.frame["label"].str.strip_chars().str.starts_with("1")
