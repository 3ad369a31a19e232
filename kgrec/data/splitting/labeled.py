"""Train/valid/test splits of labeled pairs or impressions, with their negatives."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from kgrec.data.records.content import Impressions
from kgrec.data.records.interactions import InteractionLog, Interactions
from kgrec.data.records.parts import PARTS, TRAIN, VALID
from kgrec.data.records.report import Dropped
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.strategies import check_ratios, find_split, hold_out
from kgrec.data.tables.ordering import numbered, row_order
from kgrec.errors import ConfigError, DataError
from kgrec.random import numpy_generator

HELD_OUT = 0.1  # of the training part, for validation where that is missing
POSITION = "position"  # column that orders interactions without times
_RATIOS = (0.6, 0.2, 0.2)


@dataclass(frozen=True, slots=True)
class LabeledLog:
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


@dataclass(frozen=True, slots=True)
class LabeledSplit:
    """A split of labeled rows or impressions, under the caller's own ids.

    Attributes:
        logs: The interactions among them: train, valid, test.
        split: Name of the split.
        ratios: Its shares, where it has any.
        items: Items that were labeled, shown or read, also those without an interaction.
        held_out: Whether the validation part was taken from a given training part.
        negatives: Columns ``user`` and ``item`` by part, only parts that have any.
        impressions: Impressions by part, only parts that have any, under the numbering of
            ``numbering``.
        numbering: Users and items that the impressions number.
        dropped: What was left out.
        notes: What a reader should know.
    """

    logs: tuple[InteractionLog, InteractionLog, InteractionLog]
    split: str
    ratios: tuple[float, float, float] | None
    items: pl.Series
    held_out: bool = False
    negatives: dict[str, pl.DataFrame] = field(default_factory=dict)
    impressions: dict[str, Impressions] = field(default_factory=dict)
    numbering: tuple[Vocabulary, Vocabulary] | None = None
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()

    def users(self) -> pl.Series:
        """Return the users of negatives and impressions, some of whom may have no interaction."""
        columns = [
            pl.Series("user", [], dtype=pl.String),
            *(frame["user"] for frame in self.negatives.values()),
        ]
        if self.numbering is not None:
            users = self.numbering[0].series.rename("user")
            columns += [
                users.gather(pl.Series(shown.user, dtype=pl.Int64))
                for shown in self.impressions.values()
            ]

        return pl.concat(columns).unique(maintain_order=True)


def chosen_split(
    split: str | None,
    default: str,
    given: bool,
    ratios: Sequence[float] | None,
    shares: tuple[float, float, float],
) -> tuple[str, tuple[float, float, float]]:
    """Return the name of the split and its shares.

    A given split is taken where no other is asked for.

    Raises:
        ConfigError: If a given split is asked for and there is none, labeled rows are to be divided
            by users, or the shares are no shares.
    """
    name = (split or ("given" if given else default)).lower().replace("_", "-")
    if name == "given" and not given:
        raise ConfigError(f"split: given, but there are no parts. Take {default}.")
    if name == "users":
        raise ConfigError(f"split: users divides interactions alone. Take {default}.")

    return name, check_ratios(tuple(shares if ratios is None else ratios))


def logs_by_part(
    frame: pl.DataFrame, sources: tuple[str, ...], ids: dict[str, pl.Series] | None = None
) -> tuple[InteractionLog, InteractionLog, InteractionLog]:
    """Return the rows (columns ``user``, ``item``, ``part``, and ``POSITION`` if any) of each part
    as a log; ``ids`` as of the log.
    """
    train, valid, test = (
        InteractionLog(
            frame.filter(pl.col("part") == part).select(pl.exclude("part")), sources, ids=ids
        )
        for part in range(len(PARTS))
    )
    return train, valid, test


def number_negatives(
    split: LabeledSplit, users: Vocabulary, items: Vocabulary
) -> tuple[dict[str, Interactions], int]:
    """Return the negatives as row numbers by part, and how many went since their user or item is
    not in the dataset.
    """
    numbered = {}
    gone = 0

    for name, frame in split.negatives.items():
        rows = pl.DataFrame(
            {"user": users.match(frame["user"]), "item": items.match(frame["item"])}
        ).cast(pl.Int32)
        kept = rows.filter((pl.col("user") >= 0) & (pl.col("item") >= 0)).sort("user", "item")
        gone += rows.height - kept.height
        if kept.height:
            numbered[name] = Interactions(kept["user"].to_numpy(), kept["item"].to_numpy())

    return numbered, gone


def divide_labels(
    log: LabeledLog, split: str | None, ratios: Sequence[float] | None, seed: int
) -> LabeledSplit:
    """Return labeled rows by part: those with label 1 are interactions, the others negatives.

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
    where = ", ".join(log.sources) or "the labeled rows"
    if not frame["clicked"].any():
        raise DataError(
            f"{where}: no row has label 1. Give rows of a user, an item and the label 0 or 1."
        )
    name, shares = chosen_split(split, "random", "part" in frame.columns, ratios, _RATIOS)
    generator = numpy_generator(seed, "split")
    notes: tuple[str, ...] = ()
    held = 0

    if name == "given":
        part, held = _with_validation(frame, generator)
    else:
        no_users = np.zeros(frame.height, dtype=np.int64)
        part = find_split(name)(no_users, None, shares, generator=generator)

    if frame["clicked"].all():
        notes += (f"{where}: every row has label 1. Negatives are sampled where one needs any.",)

    if held:
        notes += (
            f"No validation part: a tenth of each user's training rows was held out ({held} rows).",
        )

    frame = frame.with_columns(part=pl.Series(part, dtype=pl.Int8))
    clicked = frame.filter("clicked")
    negatives, dropped = _only_negative(frame.filter(~pl.col("clicked")), clicked)
    by_part = {
        word: negatives.filter(pl.col("part") == number).select("user", "item")
        for number, word in enumerate(PARTS)
    }

    return LabeledSplit(
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
