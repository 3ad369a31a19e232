"""Click-through files: ``ratings_final.txt``, one ``user item label`` a line, as RippleNet, KGCN and their kin read them."""

import polars as pl

from kgrec.data.files import FilePath
from kgrec.data.labels import LabelledLog
from kgrec.data.tables import Table, as_ids, read_columns
from kgrec.errors import FormatError


def read_ratings(path: FilePath) -> LabelledLog:
    """Read ``user item label`` rows, between tabs or spaces; label 1 is an interaction, 0 none.

    Raises:
        FormatError: If a line has not three columns, or a label is neither 0 nor 1.
    """
    table = read_columns(path, ("user", "item", "label"))
    frame = pl.DataFrame({"user": as_ids(table, "user"), "item": as_ids(table, "item"), "clicked": as_clicks(table, "label")})
    return LabelledLog(frame, (table.name,))


def as_clicks(table: Table, column: str) -> pl.Series:
    """Return a column of labels 0 and 1 as booleans.

    Raises:
        FormatError: At the first other label, with file and line.
    """
    cells = table.frame[column].str.strip_chars()
    wrong = ~cells.is_in(["0", "1", "0.0", "1.0"])
    if wrong.any():
        row = wrong.arg_true()[0]
        raise FormatError(f"{table.at(row)}: label {cells[row][:40]!r} is neither 0 nor 1. Correct the line.")
    return cells.str.starts_with("1")
