"""Rows larger than memory: in pieces of whole users on disk, in the order of interactions."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from kgrec.data.logs.order import one_per_pair
from kgrec.data.logs.scratch import BLOCK_ROWS, ColumnFile, Room
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.parts import PARTS
from kgrec.data.splitting.strategies import (
    boundaries,
    by_moments,
    by_user,
    find_split,
    folded_parts,
    held_users,
    session_split,
    temporal_split,
)
from kgrec.log import progress

_KINDS = {"user": np.int32, "item": np.int32, "rating": np.float32}
_FEW = 1 << 20  # times that are sorted
_CUTS = 4097


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows on disk, sorted by user, time and item.

    Attributes:
        columns: ``user``, ``item`` (numbers) and where known ``time`` and ``rating``.
        ends: Row behind the last of each piece; a piece has all rows of its users.
        room: Where they are.
    """

    columns: Mapping[str, ColumnFile]
    ends: np.ndarray
    room: Room

    @property
    def height(self) -> int:
        """Number of rows."""
        return len(self.columns["user"])

    def pieces(self) -> Iterator[pl.DataFrame]:
        """Yield the rows piece by piece."""
        start = 0
        for end in self.ends.tolist():
            yield pl.DataFrame(
                {name: pl.Series(column.read(start, end)) for name, column in self.columns.items()}
            )
            start = end

    def kept(self, keep: Callable[[pl.DataFrame], pl.Series]) -> "StoredRows":
        """Return the rows that ``keep`` says of each piece, in the place of these."""
        return _written(
            (piece.filter(keep(piece)) for piece in self.pieces()), self.columns, self.room
        )

    def cored(self, users: int, items: int, sizes: tuple[int, int]) -> "StoredRows":
        """Return the most rows in which a user has as many as ``users``, an item as ``items``.

        Args:
            users: Rows that a user needs.
            items: Rows that an item needs.
            sizes: Number of users and of items.
        """
        rows = self
        while True:
            few = [
                (count > 0) & (count < least)
                for count, least in (
                    (rows.columns["user"].counted(sizes[0]), users),
                    (rows.columns["item"].counted(sizes[1]), items),
                )
            ]
            if not any(some.any() for some in few):
                return rows

            def stay(piece: pl.DataFrame, few: list[np.ndarray] = few) -> pl.Series:
                user, item = (piece[name].to_numpy() for name in ("user", "item"))
                return pl.Series(~(few[0][user] | few[1][item]))

            rows = rows.kept(stay)


def in_pieces(
    columns: Mapping[str, ColumnFile],
    sizes: tuple[int, int],
    room: Room,
    change: Callable[[pl.DataFrame], pl.DataFrame] = lambda piece: piece,
) -> tuple[StoredRows, int]:
    """Return rows in their order, one per pair of user and item, and how many repeated pairs there
    were.

    Args:
        columns: Numbers ``user`` and ``item`` over sorted keys, and what else is known of the rows.
            They are used up.
        sizes: Number of users and of items.
        room: Where they are put down.
        change: What becomes of the rows of some users, once they are in order.
    """
    dealt = _dealt(columns, sizes[0], room)
    repeated = 0

    def ordered() -> Iterator[pl.DataFrame]:
        nonlocal repeated
        with progress("sorting interactions", dealt.height) as bar:
            done = 0
            for piece in dealt.pieces():
                done += piece.height
                part = pl.lit(-1, dtype=pl.Int8)
                kept, more, _ = one_per_pair(piece.with_columns(part=part), sizes[1])
                repeated += more
                yield change(kept)
                bar.update(done)

    rows = _written(ordered(), dealt.columns, room)
    return rows, repeated


def _dealt(columns: Mapping[str, ColumnFile], users: int, room: Room) -> StoredRows:
    """Return rows by ranges of users, in their order within one; a range has as many rows as may be
    sorted at a time.
    """
    piece_of, ends = _ranges(columns["user"].counted(users), room.most_rows)
    fresh = {name: room.column(f"{name}.dealt", file.dtype) for name, file in columns.items()}
    at = np.r_[0, ends][:-1]
    total = len(columns["user"])

    with progress("dealing out interactions", total) as bar:
        for start in range(0, total, BLOCK_ROWS):
            block = {name: file.read(start, start + BLOCK_ROWS) for name, file in columns.items()}
            pieces = piece_of[block["user"]]
            order = np.argsort(pieces, kind="stable")
            sizes = np.bincount(pieces, minlength=len(ends))
            stops = np.cumsum(sizes)
            for name, values in block.items():
                ordered = values[order]
                for piece in np.flatnonzero(sizes):
                    first = stops[piece] - sizes[piece]
                    fresh[name].write(int(at[piece]), ordered[first : stops[piece]])

            at = at + sizes
            bar.update(start + len(pieces))

    for file in columns.values():
        file.remove()

    return StoredRows(fresh, ends, room)


def _ranges(counts: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the range of each user, and the row behind the last of each range: as many users as
    have ``most`` rows together, but at least one.
    """
    behind = np.cumsum(counts)
    ends: list[int] = []
    first = start = 0
    piece_of = np.zeros(len(counts), dtype=np.int32)
    while first < len(counts):
        last = max(int(np.searchsorted(behind, start + most, side="right")), first + 1)
        piece_of[first:last] = len(ends)
        start = int(behind[last - 1])
        ends.append(start)
        first = last

    return piece_of, np.array(ends, dtype=np.int64)


def _written(
    pieces: Iterator[pl.DataFrame], before: Mapping[str, ColumnFile], room: Room
) -> StoredRows:
    """Write pieces of rows, and remove the columns that they come from."""
    fresh: dict[str, ColumnFile] = {}
    ends: list[int] = []
    for piece in pieces:
        for name in before:
            if name not in fresh:
                stem = before[name].path.name.split(".")[0]
                turn = {".a": "b"}.get(before[name].path.suffix, "a")
                fresh[name] = room.column(f"{stem}.{turn}", before[name].dtype)
            fresh[name].append(piece[name].to_numpy())
        ends.append(len(fresh["user"]))

    for file in before.values():
        file.remove()

    return StoredRows(fresh, np.array(ends, dtype=np.int64), room)


def divide_stored(
    rows: StoredRows,
    numbers: tuple[np.ndarray, np.ndarray],
    split: str,
    shares: tuple[float, float, float],
    generator: np.random.Generator,
) -> tuple[Interactions, Interactions, Interactions]:
    """Return the interactions by part, as the strategies of the split divide them.

    Args:
        rows: All interactions. They are used up.
        numbers: Row of each user and of each item in the dataset, int32.
        split: Name of a strategy.
        shares: Shares of train, valid and test.
        generator: Of the draw.
    """
    parts: list[dict[str, ColumnFile]] = [
        {
            name: rows.room.column(f"{part}.{name}", _kind(name, file))
            for name, file in rows.columns.items()
        }
        for part in PARTS
    ]
    divide = _strategy(rows, split, shares, generator)
    with progress("dividing interactions", rows.height) as bar:
        done = 0
        for piece in rows.pieces():
            values = {name: piece[name].to_numpy() for name in rows.columns}
            part = divide(values["user"], values.get("time"))
            for name, own in zip(("user", "item"), numbers, strict=True):
                values[name] = own[values[name]]

            for number, files in enumerate(parts):
                mine = part == number
                for name, file in files.items():
                    file.append(values[name][mine])

            done += piece.height
            bar.update(done)

    for file in rows.columns.values():
        file.remove()

    return tuple(  # type: ignore[return-value]
        Interactions(**{name: file.mapped() for name, file in files.items()}) for files in parts
    )


def _kind(name: str, file: ColumnFile) -> object:
    return _KINDS.get(name, file.dtype)


def _strategy(
    rows: StoredRows,
    split: str,
    shares: tuple[float, float, float],
    generator: np.random.Generator,
) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    """Return what gives the part of each interaction, called with the users and times of one piece
    after the other, as ``find_split`` does with all of them.
    """
    strategy = find_split(split)
    if strategy in (temporal_split, session_split) and "time" in rows.columns:
        return _by_time(rows, strategy is session_split, shares)

    if strategy is by_user:
        return _by_user(rows, shares, generator)

    return lambda user, time: strategy(user, time, shares, generator=generator)


def _by_time(
    rows: StoredRows, sessions: bool, shares: tuple[float, float, float]
) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    times = rows.columns["time"]
    if not sessions:
        moments = [_ranked(times, rank) for rank in boundaries(times, shares)]
        return lambda user, time: by_moments(_there(time), *moments)

    latest: dict[str, list[np.ndarray]] = {"user": [], "time": []}
    for piece in rows.pieces():
        user, time = (piece[name].to_numpy() for name in latest)
        last = np.flatnonzero(np.r_[user[1:] != user[:-1], True])  # sorted by time within a user
        latest["user"].append(user[last])
        latest["time"].append(time[last])

    users, end = (np.concatenate(found) for found in latest.values())
    first, second = (
        np.sort(end)[rank] if rank < len(end) else np.inf for rank in boundaries(end, shares)
    )
    part = np.zeros(int(users.max(initial=-1)) + 1, dtype=np.int8)
    part[users] = by_moments(end, first, second)
    return lambda user, time: part[user]


def _there(time: np.ndarray | None) -> np.ndarray:
    assert time is not None
    return time


def _ranked(times: ColumnFile, rank: int) -> float:
    """Return the time with so many before it in their order, infinity behind the last."""
    if rank >= len(times):
        return float("inf")

    low, high = -np.inf, np.inf
    while True:  # narrowed down to few different times, which are then sorted
        few, before, lowest, highest = _between(times, low, high)
        if few is not None:
            return float(np.sort(few)[min(rank - before, len(few) - 1)])

        cuts = np.unique(np.linspace(lowest, highest, _CUTS))
        if len(cuts) < 3:
            cuts = np.array([lowest, np.nextafter(lowest, np.inf), np.nextafter(highest, np.inf)])

        counts = np.zeros(len(cuts) - 1, dtype=np.int64)
        for _, block in times.blocks():
            block = block[(block >= low) & (block < high)]
            place = np.searchsorted(cuts, block, side="right") - 1
            counts += np.bincount(np.clip(place, 0, len(counts) - 1), minlength=len(counts))

        at = int(np.searchsorted(before + np.cumsum(counts), rank, side="right"))
        if at:
            low = cuts[at]
        if at + 1 < len(counts):
            high = cuts[at + 1]


def _between(
    times: ColumnFile, low: float, high: float
) -> tuple[np.ndarray | None, int, float, float]:
    """Return the times from ``low`` to below ``high`` where they are few (else None), once where
    all are the same, how many are below, and the lowest and the highest of them.
    """
    found: list[np.ndarray] = []
    size = before = 0
    lowest, highest = np.inf, -np.inf
    for _, block in times.blocks():
        mine = block[(block >= low) & (block < high)]
        before += int((block < low).sum())
        if not len(mine):
            continue

        size += len(mine)
        lowest, highest = min(lowest, float(mine.min())), max(highest, float(mine.max()))
        if size <= _FEW:
            found.append(mine)

    if lowest == highest:
        return np.array([lowest]), before, lowest, highest
    if size > _FEW:
        return None, before, lowest, highest
    return np.concatenate(found), before, lowest, highest


def _by_user(
    rows: StoredRows, shares: tuple[float, float, float], generator: np.random.Generator
) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    size = max((int(block.max()) for _, block in rows.columns["user"].blocks()), default=-1) + 1
    counts = rows.columns["user"].counted(size)
    users = np.flatnonzero(counts)
    held = held_users(users, counts[users], shares, generator=generator)
    fold = copy.deepcopy(generator)
    fold.bit_generator.advance(rows.height)  # type: ignore[attr-defined]
    return lambda user, time: folded_parts(user, held, shares, generator, fold)
