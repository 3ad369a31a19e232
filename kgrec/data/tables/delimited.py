"""Delimited tables as text columns that remember their line numbers.

Cells stay exactly as written: nothing is parsed until a reader asks for a number.
"""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import polars as pl

from kgrec.data.io.databases import (
    DatabaseQuery,
    is_address,
    query_of,
    read_database,
    tables_in,
)
from kgrec.data.io.files import FilePath, bare_suffix, existing, read_text, text_blocks
from kgrec.data.records.report import Dropped, Skipped, dropped_lines
from kgrec.data.tables.json_lines import JSON_LINES, read_json_lines
from kgrec.data.tables.partitions import PARQUET, is_partitioned, joined, part_files
from kgrec.errors import ConfigError, FormatError, nearest

_ATOMIC_TYPES = {"token", "token_seq", "float", "float_seq"}
_TAB_FIRST = ("\t", "::", ",", ";", "|", " ")
_COMMA_FIRST = (",", ";", "\t", "|")
_ROWS_BELOW = 20
MOST_COLUMNS = 10_000
# lines where cells may be in quotes; each takes some 300 bytes while they are taken apart
MOST_QUOTED = 12_000_000
MOST_CELLS = 300_000_000  # of text; polars keeps 16 bytes for each, twice
_FILLED = re.compile(r"\S")
_NAMED_SEPARATOR = re.compile(
    r'"?sep=([,;|\t])"?\r?(?=\n)'
)  # the first line that Excel writes and reads
_MOST_LINES = 100  # that a quoted cell may span in a damaged file
_ROWS_OF_CODES = 3
_MAGIC = 256
_JSON = re.compile(rb'^(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*"(?:[^"\\]|\\.)*"\s*:')
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_DIGIT = re.compile(r"\d")
_IRI = re.compile(r"^<?[A-Za-z][\w.+-]*:\S")
_LONGEST_NAME = 60
_ROWS_COUNTED = 200_000
_SURELY, _PERHAPS = 0.005, 0.05  # chances below which a first row is a header, or a question
_GROUP = re.compile(r"\([^)]*\)$")
_SIGNS = re.compile(r"[\W_]+")
_ATOMIC_SUFFIXES = {"inter", "kg", "link", "item", "user"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        name: The file, for messages.
        frame: Columns of text; unnamed ones are called ``column 1``, ``column 2``, ...
        line: Line number per row, 1-based; row number where the table never was a text file.
        header: Whether the columns have names of their own.
        dropped: Malformed rows left out, where that was allowed.
        sequences: Columns whose header says that a cell is several words (RecBole's ``token_seq``).
    """

    name: str
    frame: pl.DataFrame
    line: pl.Series
    header: bool
    dropped: tuple[Dropped, ...] = field(default=())
    sequences: frozenset[str] = frozenset()

    def at(self, row: int) -> str:
        """Return ``file:line`` of a row, for messages."""
        return f"{self.name}:{self.line[row]}"


def read_table(
    source: "FilePath | pl.DataFrame | object",
    *,
    separator: str | None = None,
    known: Collection[str] = (),
    words: Sequence[frozenset[str]] = (),
    columns: int | None = None,
    header: bool = True,
    on_error: str = "stop",
) -> Table:
    """Read a table.

    Args:
        source: A CSV, TSV, RecBole atomic, JSON, JSON Lines or Parquet file (text plain or
            compressed); a folder of such files or a pattern such as ``parts/*.parquet``, where
            folders called ``shop=007`` are columns; a frame of polars (lazy ones too) or pandas, a
            table of Arrow, a list of dicts; the address of a database with ``#table``, or a
            ``DatabaseQuery``; a table read before.
        separator: Between cells; found from the extension and the first line where None.
        known: Lower-case column names; a first row with one of them is a header.
        words: Further names by role, as ``plain_name`` writes them; a first row with those of two
            roles is a header.
        columns: The number of columns every row must have; found from the first row where None.
        header: Whether the first row may name the columns.
        on_error: "stop" at a malformed row, or "skip" it and count it.

    Raises:
        FormatError: If a row has another number of cells than the first, or the file cannot be
            read.
    """
    if on_error not in ("stop", "skip"):
        raise ConfigError(f"on_error: {on_error!r} is neither 'stop' nor 'skip'.")
    if isinstance(source, Table):
        return source
    if isinstance(source, DatabaseQuery) or is_address(source):
        return _from_database(source)
    if not isinstance(source, str | PathLike):
        return _from_frame(source)
    if is_partitioned(source):
        return _from_parts(source, separator, (known, words), header, on_error)

    path = existing(source)
    start = _starting(path)
    if bare_suffix(path) in PARQUET or start.startswith(b"PAR1"):
        return _from_parquet(str(source))

    _check_start(path, start)
    if bare_suffix(path) in (*JSON_LINES, "json") or _JSON.match(start):
        skipped = Skipped.where_allowed(str(source), on_error)
        frame, line = read_json_lines(str(source), skipped)
        return Table(
            str(source),
            frame,
            line,
            header=True,
            dropped=dropped_lines(skipped),
        )

    return _from_text(str(source), separator, (known, words), columns, header, on_error)


def is_text(source: FilePath) -> bool:
    """Return whether a source is a file of delimited text."""
    if is_address(source) or is_partitioned(source) or not Path(source).is_file():
        return False

    start = _starting(Path(source))
    other = (b"PAR1", b"SQLite format 3\0")
    return (
        bare_suffix(source) not in (*PARQUET, *JSON_LINES, "json")
        and not start.startswith(other)
        and start[8:12] != b"DUCK"
        and not _JSON.match(start)
    )


def read_columns(
    path: FilePath, names: Sequence[str], *, separator: str | None = None, on_error: str = "stop"
) -> Table:
    """Read a text file without a header whose columns have these names, neither more nor fewer.

    Raises:
        FormatError: If a line has another number of cells.
    """
    table = read_table(
        path, separator=separator, columns=len(names), header=False, on_error=on_error
    )
    return Table(
        table.name,
        table.frame.rename(dict(zip(table.frame.columns, names, strict=True))),
        table.line,
        True,
        table.dropped,
    )


def column_blocks(
    path: FilePath, names: Sequence[str], separator: str, skipped: Skipped | None = None
) -> Iterator[Table]:
    """Yield what ``read_columns`` reads as tables of some thousand lines each, in little memory.

    Args:
        path: The file.
        names: Of the columns.
        separator: Between cells.
        skipped: Where malformed lines are noted; None stops at the first.

    Raises:
        FormatError: If a line has another number of cells.
    """
    for text, line in text_blocks(path, skipped):
        rows, lines = _plain(text, separator)
        if len(rows):
            yield _as_table(
                str(path), rows, lines + (line - 1), list(names), len(names), skipped, named=False
            )


def without_rows(
    table: Table, bad: pl.Series, skipped: Skipped | None, why: Callable[[dict[str, str]], str]
) -> Table:
    """Return the table without its bad rows, which are noted.

    Raises:
        FormatError: At the first bad row, where rows may not be left out; ``why`` says what is the
            matter with it and what to do.
    """
    if not bad.any():
        return table

    if skipped is None:
        row = int(bad.arg_true()[0])
        raise FormatError(f"{table.at(row)}: {why(table.frame.row(row, named=True))}")

    skipped.extend(table.line.filter(bad))
    return replace(table, frame=table.frame.filter(~bad), line=table.line.filter(~bad))


def _starting(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with open(path, "rb") as stream:
        return stream.read(_MAGIC)


def _check_start(path: Path, start: bytes) -> None:
    """Refuse the file of a database as a table, with its address, SQL, and a web page."""
    if bare_suffix(path) == "sql":
        raise FormatError(
            f"{path}: is SQL, not a table. Name the database that a query is for (--database "
            "ADDRESS, in Python DatabaseQuery); load a dump into one first."
        )
    if _PAGE.match(start):
        raise FormatError(
            f"{path}: is a web page, not a table. Did its server want a password? Fetch it again."
        )
    if start.startswith(b"SQLite format 3\0"):
        tables = tables_in(path)
        shown = ", ".join(tables[:20]) or "none"
        raise FormatError(
            f"{path}: is an SQLite database. Name a table: sqlite:///{path}#"
            f"{tables[0] if tables else 'TABLE'}. Tables: {shown}."
        )
    if start[8:12] == b"DUCK":
        raise FormatError(f"{path}: is a DuckDB database. Name a table: duckdb:///{path}#TABLE.")


def _from_database(source: object) -> Table:
    query = source if isinstance(source, DatabaseQuery) else query_of(str(source))
    return _numbered_rows(query.shown, read_database(query))


def _from_parts(
    source: FilePath,
    separator: str | None,
    named: tuple[Collection[str], Sequence[frozenset[str]]],
    header: bool,
    on_error: str,
) -> Table:
    """Return the rows of the files of a folder or a pattern as one table."""
    files = part_files(source)
    tables = [
        read_table(
            path,
            separator=separator,
            known=named[0],
            words=named[1],
            header=header,
            on_error=on_error,
        )
        for path in files
    ]
    if len({table.header for table in tables}) > 1:
        raise FormatError(
            f"{source}: some files have a header, and others none. Write all of them alike."
        )

    frame = joined(source, files, [table.frame for table in tables])
    whole = _numbered_rows(str(source), frame)
    dropped = tuple(lost for table in tables for lost in table.dropped)
    return replace(whole, header=tables[0].header, dropped=dropped)


def _numbered_rows(name: str, frame: pl.DataFrame) -> Table:
    lines = pl.Series("line", range(1, frame.height + 1), dtype=pl.Int64)
    return Table(name, frame, lines, header=True)


def _from_frame(source: object) -> Table:
    """Return a frame of polars or pandas, a table of Arrow, or dicts as a table."""
    try:
        return _numbered_rows("the frame", _as_frame(source))
    except (pl.exceptions.PolarsError, TypeError, ValueError, ImportError) as error:
        why = " ".join(str(error).split())[:200]
        raise FormatError(
            f"{type(source).__name__}: not a table ({why}). Give a path, a frame, an Arrow table, "
            "or a list of dicts."
        ) from None


def _as_frame(source: object) -> pl.DataFrame:
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if type(source).__module__.split(".")[0] == "pandas":
        return pl.from_pandas(source)
    if hasattr(source, "__arrow_c_stream__"):
        return pl.DataFrame(source)

    rows = [dict(row) for row in source] if isinstance(source, list | tuple) else None
    if rows is None and not isinstance(source, Mapping):
        raise FormatError(
            f"expected a path or a polars or pandas frame, got {type(source).__name__}."
        )
    if isinstance(source, Mapping):
        return pl.DataFrame(dict(source))

    return pl.DataFrame(rows, infer_schema_length=None)


def _from_parquet(path: str) -> Table:
    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        if str(error):
            reason = str(error).splitlines()[0]
        else:
            reason = "unreadable"
        raise FormatError(
            f"{path}: not a readable Parquet file ({reason}). Write it again."
        ) from None
    return Table(
        path, frame, pl.Series("line", range(1, frame.height + 1), dtype=pl.Int64), header=True
    )


def _from_text(
    path: str,
    separator: str | None,
    named: tuple[Collection[str], Sequence[frozenset[str]]],
    columns: int | None,
    header: bool,
    on_error: str,
) -> Table:
    skipped = Skipped.where_allowed(path, on_error)
    text = read_text(path, skipped)
    if separator == "":
        raise ConfigError("separator: must not be empty.")

    if said := _NAMED_SEPARATOR.match(text):
        separator = separator or said[1]
        text = text[said.end(1) :].lstrip('"\r')
        if not text.strip():
            raise FormatError(f"{path}: no row says anything. Give a file with at least one row.")

    first = _first_line(text)
    separator = separator or _separator(path, first)
    if f'{separator} "' in first and _may_quote(separator, first):
        text = re.sub(
            rf'(?<={re.escape(separator)}) +(?="[^"{re.escape(separator)}\r\n])', "", text
        )
    _check_size(path, text, first, separator)

    if _may_quote(separator, first) and '"' in text:
        quoted = _quoted(path, text, separator, skipped)
    else:
        quoted = None

    if quoted is None:
        rows, lines = _plain(text, separator)
    else:
        rows, lines = quoted

    if not len(rows):
        raise FormatError(f"{path}: no row says anything. Give a file with at least one row.")

    names = _header_of(path, rows, *named) if header else None
    table = _as_table(path, rows, lines, names, columns, skipped)
    kinds = (
        (cell.rpartition(":") for cell in rows[0])
        if names and names[0] != rows[0][0].strip()
        else ()
    )

    return replace(
        table,
        sequences=frozenset(name.strip() for name, _, kind in kinds if kind.strip() == "token_seq"),
    )


def _first_line(text: str) -> str:
    """Return the first line that is not blank; there is one."""
    start = text.rfind("\n", 0, _FILLED.search(text).start()) + 1  # type: ignore[union-attr]
    end = text.find("\n", start)
    return text[start : end if end >= 0 else None].rstrip("\r")


def _check_size(path: str, text: str, first: str, separator: str) -> None:
    """Refuse a text that would take more memory than machines have, before it does."""
    columns = first.count(separator) + 1
    if columns > MOST_COLUMNS:
        raise FormatError(
            f"{path}:1: {columns:,} columns, at most {MOST_COLUMNS:,} are read. Is the separator "
            "right?"
        )

    lines = text.count("\n")
    if lines * columns > MOST_CELLS:
        raise FormatError(
            f"{path}: {lines:,} lines of {columns:,} columns, at most {MOST_CELLS:,} cells of "
            "text are read at once. "
            "Split the file, or write it as Parquet."
        )


def head_table(
    path: str,
    text: str,
    separator: str | None,
    known: Collection[str],
    words: Sequence[frozenset[str]] = (),
) -> tuple[Table, str] | None:
    """Return the first lines of a text file as a table, and the separator.

    Returns None where they are not all alike.
    """
    first = text.partition("\n")[0]
    separator = separator or _separator(path, first)
    if (
        not first.strip()
        or len(separator.encode()) != 1
        or separator in ' "'
        or '"' in text
        or _NAMED_SEPARATOR.match(text)
    ):
        return None

    rows, lines = _plain(text, separator)
    if len(rows[0]) < 2 or (rows.list.len() != len(rows[0])).any():
        return None

    below = rows[1:_ROWS_BELOW].to_list()
    names = _header([cell.strip() for cell in rows[0]], below, known, words)
    if names is None and _chance_of_row(rows, known) <= 1 - _PERHAPS:
        return None
    if names is not None and names in rows[1:].to_list():
        return None

    return _as_table(path, rows, lines, names, None, None), separator


def _separator(path: str, first: str) -> str:
    suffix = bare_suffix(path)
    if suffix in _ATOMIC_SUFFIXES and (
        "\t" in first or "|" not in first
    ):  # MovieLens' u.item has "|"
        return "\t"

    candidates = _COMMA_FIRST if suffix == "csv" else _TAB_FIRST
    return next((c for c in candidates if c in first), candidates[0])


def _plain(text: str, separator: str) -> tuple[pl.Series, pl.Series]:
    frame = _lines(text)
    frame = frame.filter(pl.col("text").str.strip_chars() != "")
    if separator == " ":
        frame = frame.with_columns(pl.col("text").str.strip_chars(" ").str.replace_all(" +", " "))
    return frame["text"].str.split(separator), frame["line"]


def _lines(text: str) -> pl.DataFrame:
    """Return the lines of a text and their numbers from 1 on.

    Split by polars, a line takes a fifth of the memory of a Python string.
    """
    frame = (
        pl.Series("text", [text], dtype=pl.String)
        .str.split("\n")
        .explode()
        .to_frame()
        .with_row_index("line", offset=1)
    )
    return frame.with_columns(pl.col("text").str.strip_suffix("\r"), pl.col("line").cast(pl.Int64))


_CELL = r'(?:^|{0})(?:"(?:[^"]|"")*"|[^"{0}]*)'


def _may_quote(separator: str, first: str) -> bool:
    """Return whether quotes around cells are no part of them: in tables with tabs only where the
    first line has them.
    """
    return separator in (",", ";", "|") or (
        separator == "\t" and first.startswith('"') and first.endswith('"')
    )


def _quoted(
    path: str, text: str, separator: str, skipped: Skipped | None
) -> tuple[pl.Series, pl.Series] | None:
    """Return rows and lines of a table with quotes.

    Returns None where they are not those of a table after all, as bars do not promise.
    """
    lines = text.count("\n")
    if lines > MOST_QUOTED:
        raise FormatError(
            f"{path}: {lines:,} lines of a table with quotes, at most {MOST_QUOTED:,} are read "
            "at once. "
            "Split the file, or write it as Parquet."
        )

    try:
        return _quoted_lines(text, separator) or _quoted_text(path, text, separator, skipped)
    except FormatError:
        if separator == "|":
            return None
        raise


def _quoted_lines(text: str, separator: str) -> tuple[pl.Series, pl.Series] | None:
    """Return the rows of text in which every quoted cell ends on its line, and their lines.

    Returns None where that is not so.
    """
    if "\r" in text.replace("\r\n", ""):
        return None

    frame = _lines(text).filter(pl.col("text") != "")
    cells = frame["text"].str.extract_all(
        _CELL.format({"\t": r"\t", "|": r"\|"}.get(separator, separator))
    )
    if not (cells.list.join("") == frame["text"]).all():
        return None

    bare = pl.element().str.strip_prefix(separator)
    unquoted = (
        bare.str.strip_prefix('"').str.strip_suffix('"').str.replace_all('""', '"', literal=True)
    )
    rows = cells.list.eval(pl.when(bare.str.starts_with('"')).then(unquoted).otherwise(bare))
    filled = rows.list.eval(pl.element() != "").list.any()
    return rows.filter(filled), frame["line"].filter(filled)


def _quoted_text(
    path: str, text: str, separator: str, skipped: Skipped | None
) -> tuple[pl.Series, pl.Series]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    rows = []
    lines = []
    line = 1

    try:
        for row in reader:
            if any(row):
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        if skipped is None:
            raise FormatError(
                f"{path}:{reader.line_num}: {error}. Close the quotes, or double a quote inside "
                "a quoted cell."
            ) from None
        rows, lines = _quoted_leniently(text, separator, skipped)

    if not rows:
        raise FormatError(f"{path}: no line can be read. Is this a table?")

    return pl.Series(rows, dtype=pl.List(pl.String)), pl.Series(lines, dtype=pl.Int64)


def _quoted_leniently(
    text: str, separator: str, skipped: Skipped
) -> tuple[list[list[str]], list[int]]:
    """Return the rows whose quotes are closed within 100 lines, and their lines.

    Others are left out, line by line.
    """
    text_lines = list(io.StringIO(text, newline=""))
    rows = []
    lines = []
    at = 0
    while at < len(text_lines):
        taken = 1
        quotes = text_lines[at].count('"')
        while quotes % 2 and taken < _MOST_LINES and at + taken < len(text_lines):
            quotes += text_lines[at + taken].count('"')
            taken += 1

        try:
            (row,) = csv.reader(text_lines[at : at + taken], strict=True, delimiter=separator)
        except (csv.Error, ValueError):
            skipped.add(at + 1)
            at += 1
            continue

        if any(row):
            rows.append(row)
            lines.append(at + 1)

        at += taken

    return rows, lines


def _as_table(
    path: str,
    rows: pl.Series,
    lines: pl.Series,
    names: list[str] | None,
    columns: int | None,
    skipped: Skipped | None,
    named: bool = True,
) -> Table:
    """Return rows as a table; the first of them is its header where there are names and ``named``
    says so.
    """
    width = columns or len(rows[0])
    widths = rows.list.len()
    ragged = widths != width
    if ragged.any():
        row = ragged.arg_true()[0]
        if skipped is None or (named and names is not None and row == 0):
            found = f"{widths[row]} column{'' if widths[row] == 1 else 's'}"
            remedy = "Correct the line or name the separator."
            if width == 1:
                remedy = "Remove the lines above the header, or name the separator."
            raise FormatError(
                f"{path}:{lines[row]}: expected {width} columns, found {found}. {remedy}"
            )

        skipped.extend(lines.filter(ragged))
        rows = rows.filter(~ragged)
        lines = lines.filter(~ragged)

    if names is not None and named:
        rows = rows[1:]
        lines = lines[1:]
        _check_names(path, names)

    frame = pl.DataFrame(
        {(names[i] if names else f"column {i + 1}"): rows.list.get(i) for i in range(width)}
    )
    table = Table(path, frame, lines, names is not None)
    if names is not None and len(frame):
        again = pl.all_horizontal(pl.col(name).str.strip_chars() == name for name in names)
        table = without_rows(table, frame.select(again).to_series(), skipped, _header_again)

    return replace(table, dropped=dropped_lines(skipped))


def _header_again(row: dict[str, str]) -> str:
    return "the header occurs again. Remove the line, or leave such lines out with on_error skip."


def _header(
    first: Sequence[str],
    below: Sequence[Sequence[str]],
    known: Collection[str],
    words: Sequence[frozenset[str]] = (),
) -> list[str] | None:
    """Return the column names where the first row is a header: typed, with a known name, with
    words of two roles, or words above columns of numbers.
    """
    typed = [cell.rpartition(":") for cell in first]
    if all(name and kind in _ATOMIC_TYPES for name, _, kind in typed):
        return [name for name, _, _ in typed]
    if any(cell.lower() in known for cell in first) or _names_roles(first, below, words):
        return list(first)

    columns = list(zip(*below, strict=False))
    over_numbers = any(all(map(_is_number, column)) for column in columns)
    if over_numbers and not any(map(_is_number, first)):
        return list(first)

    if len(below) < _ROWS_OF_CODES or not all(first):
        return None

    for form in (_DIGIT, _IRI):
        over_codes = any(all(map(form.search, column)) for column in columns)
        if over_codes and not any(map(form.search, first)):
            return list(first)

    return None


def _header_of(
    path: str, rows: pl.Series, known: Collection[str], words: Sequence[frozenset[str]]
) -> list[str] | None:
    """Return the names of the columns, None where the first row is one of the rows.

    Raises:
        FormatError: If that cannot be told.
    """
    first = [cell.strip() for cell in rows[0]]
    names = _header(first, rows[1:_ROWS_BELOW].to_list(), known, words)
    if names is not None:
        return names

    chance = _chance_of_row(rows, known)
    if chance > _PERHAPS:
        return None
    if chance < _SURELY:
        return first

    shown = ", ".join(map(repr, first[:20]))
    raise FormatError(
        f"{path}: is the first row a header ({shown})? None of its cells occurs again below. Say "
        "which column is which: by these names if it is, as 'column 1', 'column 2', ... if not."
    )


def _chance_of_row(rows: pl.Series, known: Collection[str]) -> float:
    """Return how likely it is that words none of which occurs again below are a row like the
    others: 1 where one does occur, where the columns say too little, or where the caller calls
    them by number.
    """
    first = [cell.strip() for cell in rows[0]]
    wordlike = all(
        1 < len(cell) <= _LONGEST_NAME and not _DIGIT.search(cell) and not _IRI.match(cell)
        for cell in first
    )
    if not wordlike or len(set(first)) < len(first) or len(rows) <= _ROWS_OF_CODES:
        return 1.0
    if any(name.startswith("column ") for name in known):
        return 1.0

    some = rows[1:_ROWS_COUNTED]
    below = pl.DataFrame(
        {
            str(position): some.list.get(position, null_on_oob=True).str.strip_chars()
            for position in range(len(first))
        }
    ).unique()
    if any(column.is_in(first).any() for column in below):
        return 1.0

    chance = 1.0
    for column in below:
        chance *= (int(column.is_unique().sum()) + 1) / (below.height + 2)

    return chance


def _names_roles(
    first: Sequence[str], below: Sequence[Sequence[str]], words: Sequence[frozenset[str]]
) -> bool:
    """Return whether a first row has names of two roles, none of which is in its column below.

    Single letters count where every cell is such a name.
    """
    roles = set[int]()
    letters = 0
    cells = [plain_name(cell) for cell in first]
    for position, cell in enumerate(cells):
        found = {number for number, names in enumerate(words) if cell in names} - roles
        recurs = any(len(row) > position and row[position] == first[position] for row in below)
        if found and not recurs:
            roles.add(min(found))
            letters += len(cell) == 1

    return len(roles) - letters > 1 or len(roles) == len(first) > 1


def plain_name(column: str) -> str:
    """Return a column's name in lower case, without blanks, signs, and a group in brackets.

    >>> plain_name("User-ID"), plain_name(":START_ID(Person)"), plain_name("item id")
    ('userid', 'startid', 'itemid')
    """
    return _SIGNS.sub("", _GROUP.sub("", column.strip().lower()))


def _check_names(path: str, names: Sequence[str]) -> None:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise FormatError(
                f"{path}:1: column {name[:80]!r} occurs twice. Give every column its own name."
            )
        seen.add(name)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def known_names(names: Iterable[str], wanted: str | None) -> set[str]:
    """Return well-known names of columns and the one that is wanted, lower-cased."""
    return {*names, *filter(None, [(wanted or "").lower()])}


def find_column(
    table: Table, wanted: str | None, names: Collection[str], taken: Collection[str | None] = ()
) -> str | None:
    """Return the column called ``wanted``, else the first with one of the known names that is not
    taken, else None.

    Raises:
        FormatError: If ``wanted`` is given and there is no such column; the message gives the
            nearest.
    """
    columns = table.frame.columns
    if wanted is not None:
        if wanted in columns:
            return wanted

        if table.header:
            have = f"Columns: {', '.join(columns[:20])}."
        else:
            have = f"The file has no header; columns are called {', '.join(columns)}."

        raise FormatError(f"{table.name}: no column {wanted!r}.{nearest(wanted, columns)} {have}")

    lowered = {c.lower().replace(" ", "_"): c for c in reversed(columns) if c not in taken}
    return next((lowered[n] for n in names if n in lowered), None)


def as_numbers(table: Table, column: str, on_error: str = "stop") -> pl.Series:
    """Return a column as finite float64.

    Cells that are not finite numbers stop the reading, or become null where ``on_error`` is "skip".

    Raises:
        FormatError: At the first cell that is not a finite number, with file and line.
    """
    cells = table.frame[column]
    if cells.dtype == pl.String:
        text = cells.str.strip_chars()
        if has_decimal_commas(text):
            text = text.str.replace(",", ".", literal=True)
        numbers = text.cast(pl.Float64, strict=False)
    elif cells.dtype.is_numeric() or cells.dtype == pl.Boolean:
        numbers = cells.cast(pl.Float64)
    else:
        raise FormatError(
            f"{table.name}: column {column!r} holds {cells.dtype}, not numbers. Name a column of "
            "numbers."
        )

    return checked(table, column, numbers, on_error, "a number")


def has_decimal_commas(cells: pl.Series) -> bool:
    """Return whether text are numbers with decimal commas, beyond doubt: some have a comma, none a
    point, and not all commas stand before three digits, as they do between thousands.

    >>> has_decimal_commas(pl.Series(["0,5", "12,125", "3"])), has_decimal_commas(pl.Series(["1,000"]))
    (True, False)
    """
    if cells.dtype != pl.String:
        return False

    text = cells.str.strip_chars().drop_nulls()
    comma = text.filter(text.str.contains(",", literal=True))
    return (
        len(comma) > 0
        and bool(comma.str.contains(r"^[+-]?\d*,\d+$").all())
        and not text.str.contains(".", literal=True).any()
        and not comma.str.contains(r"^[+-]?[1-9]\d{0,2},\d{3}$").all()
    )


def checked(table: Table, column: str, numbers: pl.Series, on_error: str, wanted: str) -> pl.Series:
    """Return numbers read from a column, null where they are not finite and that is allowed.

    Raises:
        FormatError: At the first cell that gave no finite number, with file and line.
    """
    bad = ~(numbers.is_finite().fill_null(False))
    if bad.any() and on_error == "stop":
        row = bad.arg_true()[0]
        shown = repr(table.frame[column][row])[:60]
        raise FormatError(
            f"{table.at(row)}: column {column!r} holds {shown}, not {wanted}. Correct the cell, "
            "or name another column."
        )

    return numbers.set(bad, None)


def as_ids(table: Table, column: str, on_error: str = "stop") -> pl.Series:
    """Return a column as text ids, exactly as written.

    Empty cells stop the reading, or become null where ``on_error`` is "skip".

    Raises:
        FormatError: If a cell is empty, with file and line; or if the column holds neither text nor
            whole numbers.
    """
    cells = table.frame[column]
    if not (
        cells.dtype == pl.String
        or cells.dtype.is_integer()
        or cells.dtype in (pl.Categorical, pl.Null)
        or isinstance(cells.dtype, pl.Enum)
    ):
        raise FormatError(
            f"{table.name}: column {column!r} holds {cells.dtype}; ids are text or whole "
            "numbers. Convert the column."
        )

    ids = cells.cast(pl.String)
    empty = ids.is_null() | (ids == "")
    if empty.any() and on_error == "stop":
        raise FormatError(
            f"{table.at(empty.arg_true()[0])}: column {column!r} is empty. Give every row an id."
        )

    return ids.set(empty, None)
