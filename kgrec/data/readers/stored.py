"""Logs that are larger than memory: read once, their ids numbered on disk."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import polars as pl

from kgrec.data.io.databases import is_address
from kgrec.data.logs.numbers import TextIds, WholeIds
from kgrec.data.logs.scratch import BLOCK_ROWS, ColumnFile, Room
from kgrec.data.readers.interactions import (
    ROW,
    LogSettings,
    TimesSeen,
    header_among,
    low_ratings,
    notes_of,
    parquet_roles,
    regular_roles,
    row_note,
)
from kgrec.data.records.report import ColumnRole, Dropped, dropped_rows
from kgrec.data.tables.blocks import Irregular, NotWhole
from kgrec.data.tables.columnar import parquet_blocks, parquet_files, parquet_height
from kgrec.data.tables.delimited import is_text
from kgrec.data.tables.partitions import is_partitioned
from kgrec.data.tables.roles import Search
from kgrec.log import progress

_log = logging.getLogger("kgrec.data")
_TEXT_ROW = 24  # bytes of a line of text, where only the size of a file is known
_IDS = ("user", "item")


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A log on disk, in the order of its files.

    Attributes:
        columns: Numbers ``user`` and ``item`` over ``ids``, and where known ``time`` and
            ``rating``.
        ids: The keys, in the one order of ids.
        sources: The files read.
        dropped: What was left out while reading.
        roles: Which columns were taken for what.
        notes: Sentences on what a reader should know.
    """

    columns: Mapping[str, ColumnFile]
    ids: dict[str, pl.Series]
    sources: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    roles: tuple[ColumnRole, ...]
    notes: tuple[str, ...]


_Blocks = Callable[[frozenset[str], Sequence[str]], Iterator[pl.DataFrame | None]]
"""Gives the rows block by block, None for one that is not plain: columns of ids that are texts, and
the columns that are wanted."""


def rows_of(source: object) -> int:
    """Return about how many rows a log has: what Parquet files say, of a text by its size; 0 where
    that is not known.
    """
    if not isinstance(source, str | PathLike) or is_address(source):
        return 0
    if os.path.isfile(source) and is_text(source):
        return os.path.getsize(source) // _TEXT_ROW
    if not os.path.exists(source) and not is_partitioned(source):
        return 0

    try:
        return parquet_height(parquet_files(source))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return 0


def read_stored(source: object, settings: LogSettings, room: Room) -> StoredLog | None:
    """Read a log as ``read_log`` does, but into a folder.

    Returns None where the general reader is needed: cells that are empty or no plain numbers, times
    of several units, columns of events and weights, anything but Parquet and regular text.

    Args:
        source: A file; of Parquet also a folder or a pattern.
        settings: How it is read.
        room: Where the columns go.

    Raises:
        FormatError: If a file cannot be read to its end.
    """
    by_row = settings.columns.time == ROW
    columns = replace(settings.columns, time=None) if by_row else settings.columns
    found = _source(source, replace(settings, columns=columns))
    if found is None:
        return None

    blocks, search = found
    if by_row:
        search.found.pop("time", None)
        if ROW in search.table.frame.columns:
            return None  # a column of that name, which the general reader takes
    if settings.min_rating is not None and "rating" not in search.found:
        return None

    total = rows_of(source)
    texts: frozenset[str] = frozenset()
    while True:
        try:
            return _Reading(blocks, search, settings, by_row, room).log(texts, total)
        except Irregular:
            return None
        except NotWhole as found_texts:
            texts |= found_texts.columns


def _source(source: object, settings: LogSettings) -> tuple[_Blocks, Search] | None:
    columns = settings.columns
    weighed = columns.event or columns.weight or columns.quantity
    if not isinstance(source, str | PathLike) or is_address(source):
        return None
    if settings.time_format is not None or weighed:
        return None

    if is_text(source):
        regular = regular_roles(source, settings)
        if regular is None:
            return None
        table, search = regular

        def lines(texts: frozenset[str], wanted: Sequence[str]) -> Iterator[pl.DataFrame | None]:
            some = replace(
                table,
                ids={name: at for name, at in table.ids.items() if name in wanted},
                numbers={name: at for name, at in table.numbers.items() if name in wanted},
            )
            yield from some.blocks(texts, pl.String)

        return lines, search

    found = parquet_roles(source, settings)
    if found is None:
        return None
    files, search, ids, numbers = found

    def rows(texts: frozenset[str], wanted: Sequence[str]) -> Iterator[pl.DataFrame | None]:
        yield from parquet_blocks(
            files,
            {name: column for name, column in ids.items() if name in wanted},
            {name: column for name, column in numbers.items() if name in wanted},
            BLOCK_ROWS,
        )

    return rows, search


class _Reading:
    """One reading of a log, into columns on disk."""

    def __init__(
        self, blocks: _Blocks, search: Search, settings: LogSettings, by_row: bool, room: Room
    ) -> None:
        self._blocks = blocks
        self._search = search
        self._by_row = by_row
        self._least = settings.min_rating
        self._room = room
        self._ids: dict[str, TextIds | WholeIds] = {}
        numbers = [name for name in search.found if name not in _IDS]
        if by_row:
            numbers.append("time")
        self._numbers = {name: room.column(name, np.float64) for name in numbers}
        self._times = TimesSeen()

    def log(self, texts: frozenset[str], total: int) -> StoredLog | None:
        """Return the log, None where it is not plain."""
        table = self._search.table
        lost = self._read(texts, total)
        if lost is None or not self._ids or not self._plain():
            return None

        ids = {}
        for name in _IDS:
            numbered = self._ids[name]
            while numbered.end_pass():
                self._check_ids()
                _log.info("%s: the next of the %s ids", table.name, name)
                wanted = (name,) if self._least is None else (name, "rating")
                for block in self._blocks(texts, wanted):
                    assert block is not None
                    numbered.take(self._good(block)[name])

            self._check_ids()
            ids[name] = numbered.keys().rename(name)

        rows = len(self._ids["user"].numbers)
        if not rows or header_among(self._search, ids):
            return None

        _log.info("%s: %d interactions", table.name, rows)
        notes = notes_of(table, self._search)
        if self._by_row:
            notes = (*notes, row_note((table.name,)))

        return StoredLog(
            {name: column.numbers for name, column in self._ids.items()} | self._numbers,
            ids,
            (table.name,),
            dropped_rows("interactions", low_ratings(self._least or 0), lost),
            self._search.roles(),
            notes,
        )

    def _plain(self) -> bool:
        return self._by_row or "time" not in self._numbers or self._times.plain

    def _read(self, texts: frozenset[str], total: int) -> int | None:
        """Read all rows, and return how many have low ratings, None where one is not plain."""
        lost = 0
        with progress("reading interactions", total) as bar:
            for block in self._blocks(texts, list(self._search.found)):
                if block is None or not _finite(block):
                    return None

                good = self._good(block)
                lost += block.height - good.height
                self._take(good, texts)
                bar.update(len(self._ids["user"].numbers))

        return lost

    def _good(self, block: pl.DataFrame) -> pl.DataFrame:
        return block if self._least is None else block.filter(pl.col("rating") >= self._least)

    def _take(self, block: pl.DataFrame, texts: frozenset[str]) -> None:
        for name in _IDS:
            if name not in self._ids:
                kind = TextIds if name in texts or block[name].dtype == pl.String else WholeIds
                self._ids[name] = kind(self._room, name)

            numbered = self._ids[name]
            numbered.take(block[name])
            if isinstance(numbered, WholeIds) and numbered.too_many:
                raise NotWhole([name])

        self._halve_largest()
        first = len(self._ids["user"].numbers) - block.height
        for name, column in self._numbers.items():
            if name == "time" and self._by_row:
                column.append(np.arange(first, first + block.height))
            else:
                column.append(block[name].to_numpy())

        if "time" in block.columns:
            self._times.add(block["time"])

    def _halve_largest(self) -> None:
        """Keep the dictionaries together within the memory for keys; one is sorted at a time."""
        held = [numbered for numbered in self._ids.values() if isinstance(numbered, TextIds)]
        while held:
            weights = [numbered.weight for numbered in held]
            largest = held[int(np.argmax(weights))]
            if sum(weights) + max(weights) <= 2 * self._room.most_keys or not largest.halve():
                return

    def _check_ids(self) -> None:
        every = self._ids.values()
        self._room.check_ids(
            sum(numbered.count for numbered in every), sum(numbered.id_bytes for numbered in every)
        )


def _finite(block: pl.DataFrame) -> bool:
    """Return whether all numbers are there, and finite."""
    columns = [column for column in block.get_columns() if column.dtype.is_float()]
    return all(column.is_finite().fill_null(False).all() for column in columns)
