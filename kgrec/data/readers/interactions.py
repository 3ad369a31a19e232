"""Interaction files and frames to an ``InteractionLog``."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import polars as pl

from kgrec.data.io.databases import is_address
from kgrec.data.io.files import FilePath, listed, read_text
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.report import Dropped, Skipped, dropped_lines, dropped_rows
from kgrec.data.tables.blocks import Regular, head, read_regular
from kgrec.data.tables.columnar import parquet_files, parquet_head, read_parquet_columns
from kgrec.data.tables.delimited import (
    Table,
    as_ids,
    as_numbers,
    has_decimal_commas,
    head_table,
    is_text,
    read_table,
)
from kgrec.data.tables.partitions import is_partitioned
from kgrec.data.tables.roles import (
    BY_NAME,
    BY_POSITION,
    GIVEN,
    LEFT,
    Known,
    Search,
    header_words,
    interaction_roles,
)
from kgrec.data.tables.times import (
    SMALLEST_MOMENT,
    are_days,
    are_sheet_days,
    has_dates_and_numbers,
    read_times,
    sheet_note,
    unit_of,
)
from kgrec.errors import ConfigError, FormatError
from kgrec.process import refuse_after_fork

_log = logging.getLogger("kgrec.data")

USER_NAMES = (
    *("user_id", "user", "userid", "user_iri", "uid", "username", "visitor_id", "visitorid"),
    *("customer_id", "reviewerid", "session_id"),
)
ITEM_NAMES = (
    *("item_id", "item", "itemid", "item_iri", "iid", "movie_id", "movieid", "film_id", "book_id"),
    *("bookid", "track_id", "song_id", "artist_id", "artistid", "product_id", "productid", "asin"),
    *("news_id", "business_id", "isbn", "article_id"),
)
# A first row with one of these is a header.
_KNOWN = {
    *(*USER_NAMES, *ITEM_NAMES, "timestamp", "time", "unixreviewtime"),
    *("rating", "ratings", "stars", "score", "overall"),
}
_LOOKED_AT = 1_000
_WORDS = header_words("user", "item", "time", "rating", "event", "quantity", "weight")
ROLES = ("user", "item", "time", "rating", "event", "weight", "quantity")
ROW = "row"
"""As the column of times: the number of the row, in a table without a column of that name."""


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Columns of a log by what they are, None where they are to be found.

    ``event``, ``weight`` and ``quantity`` are read only where they are named.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    event: str | None = None
    weight: str | None = None
    quantity: str | None = None

    @property
    def by_role(self) -> dict[str, str | None]:
        """The columns by role."""
        return {role: getattr(self, role) for role in ROLES}

    @property
    def names(self) -> set[str]:
        """The names given, in lower case."""
        return {name.lower() for name in self.by_role.values() if name is not None}


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a log is read.

    Attributes:
        columns: Its columns.
        min_rating: Ratings below it are left out.
        separator: Between cells; found where None.
        on_error: "stop" at a malformed line, or "skip" it and count it.
        time_format: Of the times; see ``kgrec.data.tables.times.read_times``.
        items: Returns the ids of another file of items, where there is one.
    """

    columns: LogColumns = field(default_factory=LogColumns)
    min_rating: float | int | None = None
    separator: str | None = None
    on_error: str = "stop"
    time_format: str | None = None
    items: Callable[[], Known | None] = lambda: None


_AS_FOUND = LogSettings()


def read_interactions(
    source: "FilePath | pl.DataFrame | object",
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    event: str | None = None,
    weight: str | None = None,
    quantity: str | None = None,
    min_rating: float | int | None = None,
    separator: str | None = None,
    time_format: str | None = None,
    on_error: str = "stop",
) -> InteractionLog:
    """Read interactions; ids stay text exactly as written.

    Columns go by the names given, else by well-known names (``user_id``, ``item_id``,
    ``timestamp``, ``rating``, ...), by what their cells can be, and in tables of two columns or
    without a header by position. ``roles`` of the log says which were taken and why; where that
    cannot be told the reading stops with the question. RecBole's typed headers
    (``user_id:token``) are understood.

    Args:
        source: Any table that ``kgrec.data.tables.delimited.read_table`` reads: CSV, TSV, JSON,
            Parquet, folders and globs of them, frames, lists of dicts, addresses of databases.
        user: Column of the user ids.
        item: Column of the item ids.
        time: Column of times: seconds since the epoch, any increasing number, or ISO 8601 dates and
            date-times. "row", where no column is called so, takes the number of the row: rows are
            in the order in which things happened.
        rating: Column of ratings.
        event: Column of event types.
        weight: Column of weights.
        quantity: Column of quantities.
        min_rating: Ratings below it are left out and counted.
        separator: Between cells; found from the extension and the first line where None.
        time_format: Of the times, where it is not found: "iso", "epoch" (numbers of any unit, by
            their size), "s", "ms", "us", "ns", "excel", "day-first", "month-first", or a pattern such as
            "%d.%m.%Y".
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        MissingFileError: If the file is not there.
        FormatError: If a line, a column or the whole file cannot be read; the message names file
            and line. If it cannot be told which column is which, or times are of several units.
    """
    columns = LogColumns(user, item, time, rating, event, weight, quantity)
    log = read_log(source, LogSettings(columns, min_rating, separator, on_error, time_format))
    if log.ids is None:
        return log

    return replace(log, frame=log.named(), ids=None)


def read_log(source: object, settings: LogSettings = _AS_FOUND) -> InteractionLog:
    """Read as ``read_interactions``, from regular files with numbered ids, in a fraction of the
    memory.

    Args:
        source: As there.
        settings: As there.
    """
    refuse_after_fork("Reading interactions")
    quick = _regular(source, settings)
    if quick is not None:
        _log.info("%s: %d interactions", quick.sources[0], quick.frame.height)
        return quick

    return _to_log(_read(source, settings), settings)


def _read(source: object, settings: LogSettings) -> Table:
    return read_table(
        source,
        separator=settings.separator,
        known=_KNOWN | settings.columns.names,
        words=_WORDS,
        on_error=settings.on_error,
    )


def _regular(source: object, settings: LogSettings) -> InteractionLog | None:
    """Return the log of a regular file, None where the source is anything else."""
    columns = settings.columns
    if (
        not isinstance(source, str | PathLike)
        or is_address(source)
        or settings.min_rating is not None
        or settings.time_format is not None
        or columns.event is not None
        or columns.time == ROW
    ):
        return None

    if not is_text(source):
        return _columnar(source, settings)

    found = regular_roles(source, settings)
    if found is None:
        return None

    regular, search = found
    read = read_regular(regular)
    if read is None or not _plain_times(read[0]) or header_among(search, read[1]):
        return None

    return _quick_log(search, read)


def regular_roles(source: FilePath, settings: LogSettings) -> tuple[Regular, Search] | None:
    """Return the wanted columns of a text file that begins as a regular one, and which is which;
    None where that needs the general reader.
    """
    start = head(source)
    if start is None:
        found = None
    else:
        known = _KNOWN | settings.columns.names
        found = head_table(str(source), start, settings.separator, known, _WORDS)

    if found is None:
        return None

    table, separator = found
    search = interaction_roles(table, settings.columns.by_role, settings.items)
    if LEFT in search.why.values():
        return None  # the first lines do not tell what the whole table does

    at = {role: table.frame.columns.index(name) for role, name in search.found.items()}
    ids = {role: at.pop(role) for role in ("user", "item")}
    return Regular(source, separator, table.frame.width, table.header, ids, at), search


def _columnar(source: FilePath, settings: LogSettings) -> InteractionLog | None:
    """Return the log of Parquet files, of which no other columns are read; None where that needs
    the general reader.
    """
    found = parquet_roles(source, settings)
    if found is None:
        return None

    files, search, ids, numbers = found
    read = read_parquet_columns(files, ids, numbers)
    if read is None or not _plain_times(read[0]):
        return None

    return _quick_log(search, read)


def parquet_roles(
    source: FilePath, settings: LogSettings
) -> tuple[list[Path], Search, dict[str, str], dict[str, str]] | None:
    """Return the Parquet files of a source, which columns are which, and the columns of ids and of
    numbers by role; None where that needs the general reader.
    """
    if not Path(source).exists() and not is_partitioned(source):
        return None

    files = parquet_files(source)
    table = parquet_head(source, files) if files else None
    if table is None or table.frame.width < 2:
        return None

    search = interaction_roles(table, settings.columns.by_role, settings.items)
    if LEFT in search.why.values():
        return None

    numbers = dict(search.found)
    ids = {role: numbers.pop(role) for role in ("user", "item")}
    return files, search, ids, numbers


def _quick_log(search: Search, read: tuple[pl.DataFrame, dict[str, pl.Series]]) -> InteractionLog:
    table = search.table
    notes = notes_of(table, search)
    return InteractionLog(read[0], (table.name,), (), read[1], search.roles(), notes)


def _plain_times(frame: pl.DataFrame) -> bool:
    """Return whether times are what float64 holds exactly, all of one unit."""
    if "time" not in frame.columns or not frame.height:
        return True

    seen = TimesSeen()
    for times in frame["time"].get_chunks():  # a copy of each, not of all
        seen.add(times)
    return seen.plain


class TimesSeen:
    """What is known of times that come one after the other."""

    def __init__(self) -> None:
        self._low = float("inf")
        self._high = 0.0
        self._days = True
        self._sheet = True

    def add(self, times: pl.Series) -> None:
        """Look at further times."""
        size = times.abs()
        self._high = max(self._high, float(size.max() or 0))  # type: ignore[arg-type]
        self._low = min(self._low, float(size.filter(size > 0).min() or "inf"))  # type: ignore[arg-type]
        if self._high < SMALLEST_MOMENT:
            self._days = self._days and are_days(times)
            self._sheet = self._sheet and are_sheet_days(times)

    @property
    def plain(self) -> bool:
        """Whether all are what float64 holds exactly, of one unit, and no days as numbers."""
        if self._high < SMALLEST_MOMENT:
            return not (self._days or self._sheet)

        return (
            self._high < 1 << 53
            and self._low >= SMALLEST_MOMENT
            and unit_of(pl.Series([self._low])) == unit_of(pl.Series([self._high]))
        )


def header_among(search: Search, ids: Mapping[str, pl.Series]) -> bool:
    """Return whether the header is written among the rows again."""
    return search.table.header and all(
        bool((ids[role] == search.found[role]).any()) for role in ("user", "item")
    )


def read_part(
    source: object,
    *,
    user: str | None = None,
    item: str | None = None,
    on_error: str = "stop",
) -> InteractionLog:
    """Read one part of a given split: columns by name where given and present, else as
    ``read_interactions`` finds them.
    """
    settings = LogSettings(LogColumns(user, item), on_error=on_error)
    table = _read(source, settings)
    present = [name if name in table.frame.columns else None for name in (user, item)]
    return _to_log(table, replace(settings, columns=LogColumns(*present)))


def _to_log(table: Table, settings: LogSettings) -> InteractionLog:
    if len(table.frame.columns) < 2:
        raise FormatError(
            f"{table.name}: one column, expected a user and an item column. Is the separator "
            "right? Pass separator=."
        )

    by_row = settings.columns.time == ROW and ROW not in table.frame.columns
    wanted = settings.columns.by_role
    search = interaction_roles(table, wanted | {"time": None} if by_row else wanted, settings.items)
    found = search.found
    if settings.min_rating is not None and "rating" not in found:
        raise ConfigError(
            f"{table.name}: min_rating is given, but there is no rating column. Name it with "
            "rating=."
        )
    if table.frame.height == 0:
        raise FormatError(
            f"{table.name}: a header and no rows. Give a file with at least one interaction."
        )

    _check_single(table, found["item"])
    on_error = settings.on_error
    columns = {role: as_ids(table, found[role], on_error) for role in ("user", "item")}
    if by_row:
        found.pop("time", None)
    else:
        columns |= _times(table, search, settings)

    for role in ("rating", "weight", "quantity"):
        if role in found:
            columns[role] = as_numbers(table, found[role], on_error)

    if "event" in found:
        columns["event"] = as_ids(table, found["event"], on_error)

    notes = [*notes_of(table, search), *_cell_notes(table, found, columns, settings)]
    frame, dropped = _complete(pl.DataFrame(columns), table)
    if settings.min_rating is not None:
        kept = frame.filter(pl.col("rating") >= settings.min_rating)
        why = low_ratings(settings.min_rating)
        dropped = (*dropped, *dropped_rows("interactions", why, frame.height - kept.height))
        frame = kept

    _log.info("%s: %d interactions", table.name, frame.height)
    log = InteractionLog(frame, (table.name,), dropped, None, search.roles(), tuple(notes))
    return in_row_order(log) if by_row else log


def _cell_notes(
    table: Table, found: Mapping[str, str], columns: Mapping[str, pl.Series], settings: LogSettings
) -> Iterator[str]:
    """Yield what was decided about cells."""
    times = columns.get("time")
    if times is not None and settings.time_format is None and are_sheet_days(times):
        yield sheet_note(table.name, found["time"], times)

    if (
        times is not None
        and settings.time_format is None
        and has_dates_and_numbers(table.frame[found["time"]].filter(times.is_not_null()))
    ):
        yield (
            f"{table.name}: some cells of {found['time']!r} are dates, others seconds since 1970; "
            "both are taken as moments."
        )

    for role in ("rating", "weight", "quantity"):
        if role in found and has_decimal_commas(table.frame[found[role]]):
            yield f"{table.name}: commas in {found[role]!r} are decimal commas."


def in_row_order(log: InteractionLog, first: int = 0) -> InteractionLog:
    """Return a log whose times are the numbers of its rows, the first one given."""
    times = pl.Series("time", range(first, first + log.frame.height), dtype=pl.Float64)
    return replace(
        log, frame=log.frame.with_columns(times), notes=(*log.notes, row_note(log.sources))
    )


def row_note(sources: Sequence[str]) -> str:
    """Return a sentence on the order of rows being that of times."""
    names = ", ".join(sources) or "interactions"
    return f"{names}: rows are taken to be in the order of their times."


def low_ratings(least: float | int) -> str:
    """Return why rows with a lower rating are left out."""
    return f"rating below {least:g}"


def _check_single(table: Table, column: str) -> None:
    """Refuse a column whose cells are lists of items."""
    cells = table.frame[column].head(_LOOKED_AT)
    if cells.dtype != pl.String:
        return
    if 2 * int(cells.str.contains(r"^\s*[\[{(].*[,\s].*[\])}]\s*$").sum()) > len(cells):
        raise FormatError(
            f"{table.at(0)}: column {column!r} holds lists ({cells[0][:40]}). Write one row for "
            "each item, as explode of polars and pandas does."
        )


def _times(table: Table, search: Search, settings: LogSettings) -> dict[str, pl.Series]:
    """Return the column of times; a column that is called so and holds none is no such column."""
    column = search.found.get("time")
    if column is None:
        return {}

    sure = search.why["time"] == GIVEN or column.lower() in _KNOWN
    try:
        return {"time": read_times(table, column, settings.on_error, settings.time_format).values}
    except FormatError as error:
        if sure or "several units" in str(error) or "time_format" in str(error):
            raise

    del search.found["time"]
    return {}


def notes_of(table: Table, search: Search) -> tuple[str, ...]:
    """Return what was decided by more than names."""
    notes = [
        f"{table.name}: the {role} is the column {search.found[role]!r}: {why}."
        for role, why in search.why.items()
        if why not in (GIVEN, BY_NAME, BY_POSITION) and role in search.found
    ]
    unread = [f"{name!r} ({role}: --{role})" for role, name in search.unread.items()]
    if unread:
        notes.append(
            f"{table.name}: rows count alike, whatever {', '.join(unread)} say. Name the columns "
            "to weigh rows by them."
        )

    other = [repr(column) for column in search.free if column not in search.unread.values()]
    if other:
        notes.append(f"{table.name}: columns that are not read: {listed(other)}.")

    return tuple(notes)


def _complete(frame: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, tuple[Dropped, ...]]:
    """Leave out the rows with an empty id or a number that could not be read."""
    bad = pl.any_horizontal(pl.all().is_null())
    kept = frame.filter(~bad)
    if kept.height == frame.height:
        return frame, table.dropped

    where = tuple(map(table.at, frame.select(bad).to_series().arg_true()[: Skipped.MOST_LISTED]))
    why = f"an empty id, or a rating or time that cannot be read, in {table.name}"
    return kept, (*table.dropped, Dropped("interactions", why, frame.height - kept.height, where))


def read_item_lists(path: FilePath, *, on_error: str = "stop") -> InteractionLog:
    """Read LightGCN text: one user per line, ``user item item ...`` between spaces.

    A user alone has no items.

    Args:
        path: The file.
        on_error: "stop" at a line that is no text, or "skip" it and count it.

    Raises:
        FormatError: If the file cannot be read as text or names no interaction.
    """
    skipped = Skipped.where_allowed(str(path), on_error)
    lines = pl.DataFrame({"line": pl.Series(read_text(path, skipped).split("\n"), dtype=pl.String)})
    cells = lines.select(pl.col("line").str.strip_chars().str.split(" ").alias("cells")).filter(
        pl.col("cells").list.first() != ""
    )
    pairs = cells.select(
        user=pl.col("cells").list.first(), item=pl.col("cells").list.slice(1)
    ).explode("item")
    frame = pairs.filter(pl.col("item").is_not_null() & (pl.col("item") != ""))
    if frame.height == 0:
        raise FormatError(
            f"{path}: no line names an item. Expected 'user item item ...' on each line."
        )

    alone = int((cells["cells"].list.len() == 1).sum())
    dropped = dropped_rows("users", f"without an item in {path}", alone) + dropped_lines(skipped)
    _log.info("%s: %d interactions", path, frame.height)
    return InteractionLog(frame, (str(path),), dropped)
