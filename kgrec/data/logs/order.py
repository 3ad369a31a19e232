"""The order of interactions, and one row per pair of user and item."""

import numpy as np
import polars as pl

from kgrec.data.records.parts import TEST, VALID
from kgrec.data.splitting.labeled import POSITION
from kgrec.data.tables.ordering import row_order


def one_per_pair(frame: pl.DataFrame, num_items: int) -> tuple[pl.DataFrame, int, dict[int, int]]:
    """Return one row per (user, item), sorted by user, time and item; how many repeated pairs were
    left out; and by part how many pairs that an earlier part has.

    Of repeated pairs the earliest stays, among equal times the one with the lowest rating; earlier
    parts go first. What the function returns of the rows of some users does not depend on other
    users' rows.

    Args:
        frame: Numbers ``user``, ``item`` and ``part`` (-1 for none), and where known ``time``,
            ``rating``, ``weight`` and ``event``.
        num_items: Number of items.
    """
    pair = frame["user"].to_numpy().astype(np.int64)
    pair *= num_items
    pair += frame["item"].to_numpy()
    pair *= 4
    pair += frame["part"].to_numpy() + 1
    order = row_order(pair)
    pair = pair[order]
    new = _changes(pair)
    repeated = ~new
    repeated[:-1] |= ~new[1:]
    if repeated.any():
        rows = order[repeated]
        order[repeated] = rows[
            row_order(
                pair[repeated],
                *(values[rows] for values in _columns(frame, POSITION, "time", "rating")),
            )
        ]

    del repeated
    frame = _summed(frame, order, new)
    repeats = len(pair) - int(new.sum())
    pair = pair[new]
    order = order[new]
    part = (pair & 3).astype(np.int8)
    pair >>= 2
    first = _changes(pair)
    del pair, new

    later = {number: int((part[~first] == number + 1).sum()) for number in (VALID, TEST)}
    order = order[first]
    for column in ("time", POSITION, "user"):  # one after the other: each is as large as the rows
        for values in _columns(frame, column):
            order = order[row_order(values[order])]

    kept: pl.DataFrame = frame[order]
    return kept.drop(POSITION, strict=False), repeats, later


def _changes(values: np.ndarray) -> np.ndarray:
    """Return where a value differs from the one before it, the first one included."""
    new = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return new


def _columns(frame: pl.DataFrame, *names: str) -> list[np.ndarray]:
    """Return those of the columns that are there, NaN for what is missing."""
    found = [frame[name] for name in names if name in frame.columns]
    return [
        (column.fill_null(np.nan) if column.dtype.is_float() else column).to_numpy()
        for column in found
    ]


def _summed(frame: pl.DataFrame, order: np.ndarray, first: np.ndarray) -> pl.DataFrame:
    """Return rows where the first of equal pairs has the weights of all, and the event that weighs
    most.

    Args:
        frame: Rows.
        order: Positions that bring equal pairs together.
        first: Which of the sorted rows is the first of its pair.
    """
    if "weight" not in frame.columns:
        return frame

    starts = np.flatnonzero(first)
    sums = frame["weight"].to_numpy().copy()
    sums[order[starts]] = np.add.reduceat(sums[order], starts)
    frame = frame.with_columns(weight=pl.Series(sums))
    if "event" in frame.columns:
        events = frame["event"].to_numpy().copy()
        events[order[starts]] = np.minimum.reduceat(events[order], starts)
        frame = frame.with_columns(event=pl.Series(events))

    return frame
