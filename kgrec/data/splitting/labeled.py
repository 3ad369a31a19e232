"""Interactions that come with what was not chosen: a split of labelled rows or of impressions."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from kgrec.data.records.content import Impressions
from kgrec.data.records.interactions import Dropped, InteractionLog, Interactions
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.strategies import TEST, TRAIN, VALID, check_ratios
from kgrec.errors import ConfigError

HELD_OUT = 0.1
# column of interactions without times that come in an order of their own: their place in it
PLACE = "place"
PART_NAMES = {TRAIN: "train", VALID: "valid", TEST: "test"}


@dataclass(frozen=True, slots=True)
class Judged:
    """A split of labelled rows or impressions, under the caller's own ids.

    Attributes:
        logs: The interactions among them: train, valid, test.
        split: Name of the split.
        ratios: Its shares, where it has any.
        items: Items that were labelled, shown or read, also those without an interaction.
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
    """Return the name of the split and its shares; a given split is taken where no other is asked
    for.

    Raises:
        ConfigError: If a given split is asked for and there is none, or the shares are no shares.
    """
    name = (split or ("given" if given else default)).lower().replace("_", "-")
    if name == "given" and not given:
        raise ConfigError(f"split: given, but there are no parts. Take {default}.")
    return name, check_ratios(tuple(shares if ratios is None else ratios))


def logs_by_part(
    frame: pl.DataFrame, sources: tuple[str, ...], ids: dict[str, pl.Series] | None = None
) -> tuple[InteractionLog, InteractionLog, InteractionLog]:
    """Return the rows (columns ``user``, ``item``, ``part``, and ``PLACE`` if any) of each part as
    a log; ``ids`` as of the log.
    """
    train, valid, test = (
        InteractionLog(
            frame.filter(pl.col("part") == part).select(pl.exclude("part")), sources, ids=ids
        )
        for part in PART_NAMES
    )
    return train, valid, test


def number_negatives(
    judged: Judged, users: Vocabulary, items: Vocabulary
) -> tuple[dict[str, Interactions], int]:
    """Return the negatives as row numbers by part, and how many went since their user or item is
    not in the dataset.
    """
    numbered = {}
    gone = 0
    for name, frame in judged.negatives.items():
        rows = pl.DataFrame(
            {"user": users.match(frame["user"]), "item": items.match(frame["item"])}
        ).cast(pl.Int32)
        kept = rows.filter((pl.col("user") >= 0) & (pl.col("item") >= 0)).sort("user", "item")
        gone += rows.height - kept.height
        if kept.height:
            numbered[name] = Interactions(kept["user"].to_numpy(), kept["item"].to_numpy())
    return numbered, gone
