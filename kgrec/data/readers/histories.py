"""A file of histories: what many people had, each a list of items."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from kgrec.data.io.files import FilePath, existing, read_text
from kgrec.data.readers.interactions import read_interactions
from kgrec.data.records.ids import one_id
from kgrec.errors import ConfigError, FormatError

_FORM = 'A line is a JSON list of item ids, such as ["i1", "i2"]'


@dataclass(frozen=True, slots=True)
class History:
    """What one person had.

    Attributes:
        where: File and line, or file and user, for messages.
        user: The id that the file has for the person, "" for none.
        items: Item ids, oldest first, each once.
    """

    where: str
    user: str
    items: tuple[str, ...]


def read_histories(path: FilePath) -> list[History]:
    """Return the histories of a file: a JSON list of item ids a line, or a table of users and items.

    A table is read as interactions are (``read_interactions``): columns go by their names, and a
    user's items by their times where there are some. Users are in the order of the table.

    Raises:
        MissingFileError: If there is no such file.
        FormatError: If a line is no list of ids, or the table cannot be read.
        DataError: If the file is empty.
    """
    existing(path)
    text = read_text(path).replace("\r\n", "\n")
    begins = text.lstrip()
    if begins.startswith("[") and not begins[1:].lstrip().startswith("{"):
        return list(_lists(path, text))

    return list(_table(path))


def _lists(path: FilePath, text: str) -> Iterator[History]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}:{number}"
            yield History(where, "", _items(where, line))


def _items(where: str, line: str) -> tuple[str, ...]:
    """Return the ids of a line."""
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        words = " ".join(str(error).split())[:120]
        raise FormatError(f"{where}: not JSON ({words}). {_FORM}.") from None

    if not isinstance(found, list):
        raise FormatError(f"{where}: {type(found).__name__}, not a list. {_FORM}.")
    if not found:
        raise FormatError(f"{where}: the history is empty. Name at least one item.")

    try:
        return tuple(dict.fromkeys(map(one_id, found)))
    except ConfigError as error:
        raise FormatError(f"{where}: {error} {_FORM}.") from None


def _table(path: FilePath) -> Iterator[History]:
    """Yield the histories of a table of users and items."""
    frame = read_interactions(path).frame
    users = frame["user"].unique(maintain_order=True)
    if "time" in frame.columns:
        frame = frame.sort("time", maintain_order=True)

    items = frame.group_by("user").agg(pl.col("item").unique(maintain_order=True))
    found = dict(items.iter_rows())
    for user in users:
        yield History(f"{path}: user {user!r}", user, tuple(found[user]))
