"""Labelled rows: a user, an item, and whether it was chosen; the form of click-through data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from kgrec.data.records.interactions import Dropped
from kgrec.data.splitting.labeled import HELD_OUT, PART_NAMES, Judged, chosen_split, logs_by_part
from kgrec.data.splitting.strategies import TRAIN, VALID, find_split, hold_out
from kgrec.data.tables.ordering import numbered, row_order
from kgrec.errors import DataError
from kgrec.random import numpy_generator

_RATIOS = (0.6, 0.2, 0.2)


@dataclass(frozen=True, slots=True)
class LabelledLog:
    """Rows of a user, an item and a label, under the caller's own ids.

    Attributes:
        frame: Columns ``user`` and ``item`` (text), ``clicked`` (bool), and ``part`` (0 train, 1
            valid, 2 test) where a split is given.
        sources: The files read.
        dropped: What was left out while reading.
    """

    frame: pl.DataFrame
    sources: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()


def divide_labels(
    log: LabelledLog, split: str | None, ratios: Sequence[float] | None, seed: int
) -> Judged:
    """Return labelled rows by part: those with label 1 are interactions, the others negatives.

    A given split stays; where it lacks validation rows, a tenth of each user's training rows, of
    either label, is held out. "random" divides the rows without regard to users. A negative that is
    an interaction of the same or an earlier part is left out.

    Args:
        log: The rows.
        split: Name of the split; where None, "given" if there is one, else "random".
        ratios: Shares of train, valid and test; 0.6, 0.2, 0.2 where None.
        seed: Of every draw.

    Raises:
        DataError: If no row has label 1.
    """
    frame = _in_order(log.frame)
    if not frame["clicked"].any():
        raise DataError(
            f"{', '.join(log.sources)}: no row has label 1. Give rows of a user, an item and the "
            "label 0 or 1."
        )
    name, shares = chosen_split(split, "random", "part" in frame.columns, ratios, _RATIOS)
    generator = numpy_generator(seed, "split")
    notes: tuple[str, ...] = ()
    if name == "given":
        part, held = _with_validation(frame, generator)
        if held:
            notes = (
                f"No validation part: a tenth of each user's training rows was held out ({held} "
                "rows).",
            )
        else:
            notes = ()
    else:
        part = find_split(name)(
            np.zeros(frame.height, dtype=np.int64), None, shares, generator=generator
        )
        held = 0
    frame = frame.with_columns(part=pl.Series(part, dtype=pl.Int8))
    clicked = frame.filter("clicked")
    negatives, dropped = _only_negative(frame.filter(~pl.col("clicked")), clicked)
    by_part = {
        word: negatives.filter(pl.col("part") == number).select("user", "item")
        for number, word in PART_NAMES.items()
    }
    return Judged(
        logs_by_part(clicked.select("user", "item", "part"), log.sources),
        name,
        None if name == "given" else shares,
        frame["item"].unique(maintain_order=True),
        bool(held),
        negatives={word: rows for word, rows in by_part.items() if rows.height},
        dropped=(*log.dropped, *dropped),
        notes=notes,
    )


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows sorted by user, item, label and part."""
    further = [
        frame[name].cast(pl.Int8).to_numpy()
        for name in ("clicked", "part")
        if name in frame.columns
    ]
    return frame[row_order(*(numbered(frame[name])[1] for name in ("user", "item")), *further)]


def _with_validation(frame: pl.DataFrame, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return the part of each row, and how many rows were held out of training for want of a
    validation part.
    """
    part = frame["part"].to_numpy().copy()
    if (part == VALID).any():
        return part, 0
    training = np.flatnonzero(part == TRAIN)
    groups = (
        frame.select("user", "clicked")[training]
        .with_columns(row=pl.struct("user", "clicked").rank("dense"))["row"]
        .to_numpy()
    )
    held = training[hold_out(groups, HELD_OUT, generator=generator)]
    part[held] = VALID
    return part, len(held)


def _only_negative(
    negatives: pl.DataFrame, clicked: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[Dropped, ...]]:
    """Return the negatives once each, in their earliest part, without those that are interactions
    of the same or an earlier part.
    """
    once = negatives.sort("part", maintain_order=True).unique(
        ["user", "item"], keep="first", maintain_order=True
    )
    first = clicked.group_by("user", "item").agg(pl.col("part").min().alias("clicked in"))
    marked = once.join(first, on=["user", "item"], how="left", maintain_order="left")
    kept = marked.filter(pl.col("clicked in").is_null() | (pl.col("clicked in") > pl.col("part")))
    counts = (
        ("repeated, the earliest part kept", negatives.height - once.height),
        ("an interaction of the same or an earlier part", once.height - kept.height),
    )
    return kept, tuple(Dropped("negatives", why, count) for why, count in counts if count)
