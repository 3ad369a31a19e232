"""How results leave the command line: JSON, tables, and files that are whole or not there."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kgrec.errors import ConfigError
from kgrec.escaping import clean

if TYPE_CHECKING:
    import polars as pl

FORMATS = ("table", "json", "csv", "parquet")


def open_streams() -> None:
    """Make the standard streams safe to write to: closed ones lead nowhere, and what an encoding
    lacks is written as escapes.

    The place of a closed one must not stay free: the next file that is opened would take it, and be
    printed into.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one

    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def let_go(stream: TextIO) -> None:
    """Lead a stream nowhere that takes no more, so that the last flush does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def to_json(document: Any) -> str:
    """Return a document as strict JSON; numbers that are not finite become null."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps(_finite(document), ensure_ascii=plain, indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None

    return value


def show_json(document: Any) -> None:
    """Print one JSON document, and nothing else, on standard output."""
    print(to_json(document))


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str = "",
    right: Sequence[str] = (),
) -> None:
    """Print a table; ``right`` names the columns that hold numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")

    for row in rows:
        table.add_row(*(Text(clean(str(cell))) for cell in row))

    # A file or a pipe has no width: nothing is folded there.
    console = Console(width=None if sys.stdout.isatty() else 10_000)
    with console.capture() as drawn:
        console.print(table)

    if title:
        print(title)

    print("\n".join(line.rstrip() for line in drawn.get().splitlines() if line.strip()))


def whole(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside its place and move it there; see
    ``kgrec.data.io.writing.write_file``.
    """
    from kgrec.data.io.writing import write_file

    write_file(path, write)


def parts_line(folder: Path, count: int, there: int) -> str:
    """Return what is said of a folder of parts: how many it has, and how many were there."""
    before = f", {there} of them there before" if there else ""
    return f"{clean(str(folder))}: {count} {'part' if count == 1 else 'parts'}{before}"


@contextmanager
def keeping(place: Path, note: str) -> Iterator[None]:
    """Say at Ctrl-C what is kept of long work, where ``place`` is there to continue from."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if place.is_file():
            stop.add_note(note)
        raise


def output_format(chosen: str | None, out: Path | None) -> str:
    """Return the format asked for: ``--format``, else the ending of ``--out``, else a table.

    Raises:
        ConfigError: If the format is not known, or cannot go where it was sent.
    """
    if out is None:
        ending = ""
    else:
        ending = out.suffix[1:].lower()

    if chosen is None and out is not None and ending not in FORMATS[1:]:
        raise ConfigError(
            f"--out {out}: the ending names no format. Pass --format json, csv or parquet."
        )

    found = chosen or ("table" if out is None else ending)
    if found not in FORMATS:
        raise ConfigError(f"--format {found}: not one of {', '.join(FORMATS)}.")
    if found == "parquet" and out is None:
        raise ConfigError("--format parquet is not text. Pass --out FILE.parquet.")
    if found == "table" and out is not None:
        raise ConfigError(
            "--format table goes to the terminal. Omit --out, or pass --format json, csv "
            "or parquet."
        )

    return found


def _short_labels(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return a frame for people to read: labels of other people's graphs may be books, or spoiled.
    Ids stay as they are.
    """
    import polars as pl

    from kgrec.data.texts.spoiled import repaired_all
    from kgrec.escaping import LONGEST

    if "label" not in frame.columns:
        return frame

    frame = frame.with_columns(repaired_all(frame["label"]))
    label = pl.col("label")
    cut = (
        pl.when(label.str.len_chars() > LONGEST)
        .then(label.str.slice(0, LONGEST - 1) + "…")
        .otherwise(label)
    )

    return frame.with_columns(cut.alias("label"))


def show_frame(
    frame: "pl.DataFrame", chosen: str | None, out: Path | None, title: str = ""
) -> None:
    """Print a frame, or write it to ``out``, in one of ``FORMATS``."""
    from kgrec.data.io.files import write_parquet
    from kgrec.escaping import csv_safe

    form = output_format(chosen, out)
    if form == "csv" and "label" in frame.columns:
        frame = frame.with_columns(
            csv_safe(frame.select("label"))
        )  # ids stay exact, labels cannot be formulas

    if form == "table":
        frame = _short_labels(frame)
        numbers = [name for name, kind in frame.schema.items() if kind.is_numeric()]
        rows = (
            [f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row]
            for row in frame.iter_rows()
        )
        show_table(frame.columns, rows, title, right=numbers)
    elif out is None:
        print(
            to_json(frame.to_dicts()) if form == "json" else frame.write_csv(),
            end="\n" if form == "json" else "",
        )
    elif form == "parquet":
        whole(out, lambda path: write_parquet(frame, path))
    else:
        if form == "json":
            text = to_json(frame.to_dicts()) + "\n"
        else:
            text = frame.write_csv()
        whole(out, lambda path: path.write_text(text, encoding="utf-8"))
