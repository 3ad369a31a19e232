"""Interaction files and frames to an ``InteractionLog``."""

import logging
from dataclasses import replace
from os import PathLike

import polars as pl

from kgrec.data.io.files import FilePath, bare_suffix, read_text
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.report import Dropped, Skipped, dropped_lines, dropped_rows
from kgrec.data.tables.blocks import head, read_regular
from kgrec.data.tables.delimited import (
    Table,
    as_ids,
    as_numbers,
    find_column,
    head_table,
    read_table,
)
from kgrec.data.tables.json_lines import JSON_LINES
from kgrec.errors import ConfigError, FormatError
from kgrec.process import refuse_after_fork

_log = logging.getLogger("kgrec.data")

USER_NAMES = (
    "user_id",
    "user",
    "userid",
    "user_iri",
    "uid",
    "username",
    "visitor_id",
    "visitorid",
    "customer_id",
    "reviewerid",
    "session_id",
)
ITEM_NAMES = (
    *(
        "item_id",
        "item",
        "itemid",
        "item_iri",
        "iid",
        "movie_id",
        "movieid",
        "film_id",
        "book_id",
        "bookid",
        "track_id",
        "song_id",
        "artist_id",
    ),
    *(
        "artistid",
        "product_id",
        "productid",
        "asin",
        "news_id",
        "business_id",
        "isbn",
        "article_id",
    ),
)
TIME_NAMES = ("timestamp", "time", "unixreviewtime")
RATING_NAMES = ("rating", "ratings", "stars", "score", "overall")
_KNOWN = {*USER_NAMES, *ITEM_NAMES, *TIME_NAMES, *RATING_NAMES}


def read_interactions(
    source: "FilePath | pl.DataFrame | object",
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    rating: str | None = None,
    min_rating: float | int | None = None,
    separator: str | None = None,
    on_error: str = "stop",
) -> InteractionLog:
    """Read interactions; ids stay text exactly as written.

    Columns go by the names given, else by well-known names (``user_id``, ``item_id``,
    ``timestamp``, ``rating``, ...), else user and item are the first two. RecBole's typed headers
    (``user_id:token``) are understood.

    Args:
        source: CSV, TSV, RecBole ``.inter`` (each plain or gzipped), Parquet, or a polars or pandas
            frame.
        user: Column of the user ids.
        item: Column of the item ids.
        time: Column of times: seconds since the epoch, any increasing number, or ISO 8601 dates and
            date-times.
        rating: Column of ratings.
        min_rating: Ratings below it are left out and counted.
        separator: Between cells; found from the extension and the first line where None.
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        MissingFileError: If the file is not there.
        FormatError: If a line, a column or the whole file cannot be read; the message names file
            and line.
    """
    wanted = (user, item, time, rating)
    log = read_log(
        source, wanted=wanted, min_rating=min_rating, separator=separator, on_error=on_error
    )
    if log.ids is None:
        return log

    return replace(log, frame=log.named(), ids=None)


def read_log(
    source: "FilePath | pl.DataFrame | object",
    *,
    wanted: tuple[str | None, str | None, str | None, str | None] = (None, None, None, None),
    min_rating: float | int | None = None,
    separator: str | None = None,
    on_error: str = "stop",
) -> InteractionLog:
    """Read as ``read_interactions``, from regular files with numbered ids, in a fraction of the
    memory.

    Args:
        source: As there.
        wanted: Columns of users, items, times and ratings.
        min_rating: As there.
        separator: As there.
        on_error: As there.
    """
    refuse_after_fork("Reading interactions")
    known = _KNOWN | {n.lower() for n in wanted if n is not None}

    if min_rating is None:
        quick = _regular(source, wanted, known, separator)
    else:
        quick = None

    if quick is not None:
        _log.info("%s: %d interactions", quick.sources[0], quick.frame.height)
        return quick

    table = read_table(source, separator=separator, known=known, on_error=on_error)
    return _to_log(table, wanted, min_rating, on_error)


def _regular(
    source: object,
    wanted: tuple[str | None, str | None, str | None, str | None],
    known: set[str],
    separator: str | None,
) -> InteractionLog | None:
    """Return the log of a regular file, None where the source is anything else."""
    if (
        not isinstance(source, str | PathLike)
        or bare_suffix(source) == "parquet"
        or bare_suffix(source) in JSON_LINES
    ):
        return None

    start = head(source)
    if start is None:
        found = None
    else:
        found = head_table(str(source), start, separator, known)

    if found is None:
        return None

    table, separator = found
    user, item = _id_columns(table, wanted[0], wanted[1])
    time = find_column(table, wanted[2], TIME_NAMES, taken=(user, item))
    rating = find_column(table, wanted[3], RATING_NAMES, taken=(user, item))
    at = table.frame.columns.index
    numbers = {
        name: at(column)
        for name, column in (("time", time), ("rating", rating))
        if column is not None
    }

    read = read_regular(
        source,
        separator,
        table.frame.width,
        table.header,
        {"user": at(user), "item": at(item)},
        numbers,
    )
    if read is None:
        return None

    return InteractionLog(read[0], (str(source),), (), read[1])


def read_part(
    source: "FilePath | pl.DataFrame | object",
    *,
    user: str | None = None,
    item: str | None = None,
    on_error: str = "stop",
) -> InteractionLog:
    """Read one part of a given split: columns by name where given and present, else as
    ``read_interactions`` finds them.
    """
    named = {n.lower() for n in (user, item) if n is not None}
    table = read_table(source, known=_KNOWN | named, on_error=on_error)
    present = [name if name in table.frame.columns else None for name in (user, item)]
    return _to_log(table, (present[0], present[1], None, None), None, on_error)


def _to_log(
    table: Table,
    wanted: tuple[str | None, str | None, str | None, str | None],
    min_rating: float | int | None,
    on_error: str,
) -> InteractionLog:
    user, item = _id_columns(table, wanted[0], wanted[1])
    time = find_column(table, wanted[2], TIME_NAMES, taken=(user, item))
    rating = find_column(table, wanted[3], RATING_NAMES, taken=(user, item))
    if min_rating is not None and rating is None:
        raise ConfigError(
            f"{table.name}: min_rating is given, but there is no rating column. Name it with "
            "rating=."
        )
    if table.frame.height == 0:
        raise FormatError(
            f"{table.name}: a header and no rows. Give a file with at least one interaction."
        )

    columns = {"user": as_ids(table, user, on_error), "item": as_ids(table, item, on_error)}
    for name, column in (("time", time), ("rating", rating)):
        if column is not None:
            columns[name] = as_numbers(table, column, on_error, dates=name == "time")

    frame, dropped = _complete(pl.DataFrame(columns), table)
    if min_rating is not None:
        kept = frame.filter(pl.col("rating") >= min_rating)
        if kept.height < frame.height:
            dropped = (
                *dropped,
                Dropped("interactions", f"rating below {min_rating:g}", frame.height - kept.height),
            )

        frame = kept

    _log.info("%s: %d interactions", table.name, frame.height)
    return InteractionLog(frame, (table.name,), dropped)


def _complete(frame: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, tuple[Dropped, ...]]:
    """Leave out the rows with an empty id or a number that could not be read."""
    bad = pl.any_horizontal(pl.all().is_null())
    kept = frame.filter(~bad)
    if kept.height == frame.height:
        return frame, table.dropped

    where = tuple(map(table.at, frame.select(bad).to_series().arg_true()[: Skipped.MOST_LISTED]))
    why = f"an empty id, or a rating or time that cannot be read, in {table.name}"
    return kept, (*table.dropped, Dropped("interactions", why, frame.height - kept.height, where))


def _id_columns(table: Table, user: str | None, item: str | None) -> tuple[str, str]:
    columns = table.frame.columns
    if len(columns) < 2:
        raise FormatError(
            f"{table.name}: one column, expected a user and an item column. Is the separator "
            "right? Pass separator=."
        )

    found_user = find_column(table, user, USER_NAMES, taken=(item,))
    found_item = find_column(table, item, ITEM_NAMES, taken=(found_user,))
    found_user = found_user or next(c for c in columns if c != found_item)
    found_item = found_item or next(c for c in columns if c != found_user)
    if found_user == found_item:
        raise ConfigError(
            f"{table.name}: user and item are both column {user!r}. Name two columns."
        )

    return found_user, found_item


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
