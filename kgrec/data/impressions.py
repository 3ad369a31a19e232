"""Impressions: the lists that were shown, divided into parts, and the interactions in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from kgrec.data.content import Impressions
from kgrec.data.interactions import Dropped
from kgrec.data.judged import HELD_OUT, PART_NAMES, Judged, chosen_split, logs_by_part
from kgrec.data.split import TEST, TRAIN, VALID, find_split
from kgrec.data.vocabulary import Vocabulary
from kgrec.errors import DataError
from kgrec.random import numpy_generator

_RATIOS = (0.8, 0.1, 0.1)


@dataclass(frozen=True, slots=True)
class ImpressionLog:
    """Impressions over a numbering of their own.

    Attributes:
        users: User ids.
        items: Item ids.
        lists: The impressions; their rows number ``users`` and ``items``.
        hidden: Whether an impression's labels are kept back, bool (n,); nothing in it counts as clicked.
        thinned: Whether candidates that are no known items were left out of an impression, bool (n,).
        part: Part per impression (0 train, 1 valid, 2 test), int8 (n,), where a split is given.
        sources: The files read.
        dropped: What was left out while reading.
        notes: What a reader should know.
    """

    users: Vocabulary
    items: Vocabulary
    lists: Impressions
    hidden: np.ndarray
    thinned: np.ndarray
    part: np.ndarray | None = None
    sources: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()


def take_impressions(impressions: Impressions, rows: np.ndarray) -> Impressions:
    """Return the impressions at the given positions."""
    start, shown = _taken(impressions.start, rows)
    history_start, read = _taken(impressions.history_start, rows)
    return Impressions(
        user=impressions.user[rows],
        time=None if impressions.time is None else impressions.time[rows],
        start=start,
        item=impressions.item[shown],
        clicked=impressions.clicked[shown],
        history_start=history_start,
        history=impressions.history[read],
    )


def join_impressions(parts: Sequence[Impressions]) -> Impressions:
    """Return several impressions as one; times are kept where every part has them."""
    times = [part.time for part in parts if part.time is not None]
    return Impressions(
        user=np.concatenate([part.user for part in parts]),
        time=np.concatenate(times) if len(times) == len(parts) else None,
        start=_joined_starts([part.start for part in parts]),
        item=np.concatenate([part.item for part in parts]),
        clicked=np.concatenate([part.clicked for part in parts]),
        history_start=_joined_starts([part.history_start for part in parts]),
        history=np.concatenate([part.history for part in parts]),
    )


def _joined_starts(starts: Sequence[np.ndarray]) -> np.ndarray:
    sizes = np.concatenate([np.diff(start) for start in starts])
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])


def _taken(start: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each of the lists taken begins, and the positions of their members."""
    sizes = np.diff(start)[rows]
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return begins, np.repeat(start[rows] - begins[:-1], sizes) + np.arange(begins[-1])


def keep_members(impressions: Impressions, shown: np.ndarray, read: np.ndarray) -> Impressions:
    """Return the impressions with only the candidates and the past items where a mask is True."""
    return replace(
        impressions,
        start=np.concatenate([[0], np.cumsum(shown)])[impressions.start],
        item=impressions.item[shown],
        clicked=impressions.clicked[shown],
        history_start=np.concatenate([[0], np.cumsum(read)])[impressions.history_start],
        history=impressions.history[read],
    )


def divide_impressions(log: ImpressionLog, split: str | None, ratios: Sequence[float] | None, seed: int) -> Judged:
    """Return impressions by part, and the interactions in them.

    Training interactions are what users had read before their training impressions and what they clicked there; of users without a
    training impression, what they had read before their first. No click of a later part is among them. An impression without a click,
    or without anything but clicks, cannot be judged and is left out; its clicks and history still count as interactions.

    Args:
        log: The impressions.
        split: Name of the split; where None, "given" if there is one, else "temporal" if there are times, else "random". Where a given
            split has no validation part, the latest tenth of the training impressions is held out.
        ratios: Shares of train, valid and test; 0.8, 0.1, 0.1 where None.
        seed: Of every draw.

    Raises:
        DataError: If no impression can be judged.
    """
    default = "random" if log.lists.time is None else "temporal"
    name, shares = chosen_split(split, default, log.part is not None, ratios, _RATIOS)
    notes, held = list(log.notes), 0
    if name == "given" and log.part is not None:
        part, held = _with_validation(log.part, log.lists)
        if held:
            notes.append(f"No validation part: the latest tenth of the training impressions was held out ({held} impressions).")
    else:
        part = find_split(name)(log.lists.user, log.lists.time, shares, generator=numpy_generator(seed, "split"))
    keep, dropped = _judgeable(log)
    if not keep.any():
        raise DataError(f"{', '.join(log.sources)}: no impression has both a click and a candidate that was not clicked.")
    if not (part[keep] == TEST).any():
        notes.append("No test impression can be judged: evaluate on the validation part, or take another split.")
    rows, leaked = _interactions(log, part)
    if leaked:
        dropped.append(Dropped("interactions", "in a history, and clicked in a later part", leaked))
    by_part = {word: take_impressions(log.lists, np.flatnonzero(keep & (part == number))) for number, word in PART_NAMES.items()}
    return Judged(
        logs_by_part(rows, log.sources),
        name,
        shares if name in ("random", "temporal") else None,
        pl.Series("item", log.items.keys(np.unique(np.concatenate([log.lists.item, log.lists.history]))), dtype=pl.String),
        bool(held),
        impressions={word: shown for word, shown in by_part.items() if len(shown)},
        numbering=(log.users, log.items),
        dropped=(*log.dropped, *dropped),
        notes=tuple(notes),
    )


def _in_time(lists: Impressions) -> np.ndarray:
    return np.arange(len(lists)) if lists.time is None else np.argsort(lists.time, kind="stable")


def _with_validation(part: np.ndarray, lists: Impressions) -> tuple[np.ndarray, int]:
    """Return the part of each impression, and how many were held out of training for want of a validation part."""
    order = _in_time(lists)
    training = order[part[order] == TRAIN]
    if (part == VALID).any():
        return part, 0
    part = part.copy()
    held = training[len(training) - round(HELD_OUT * len(training)) :]
    part[held] = VALID
    return part, len(held)


def _judgeable(log: ImpressionLog) -> tuple[np.ndarray, list[Dropped]]:
    """Return which impressions have a click and a non-click, and what is the matter with the others."""
    clicks = np.concatenate([[0], np.cumsum(log.lists.clicked)])[log.lists.start]
    clicked, shown = np.diff(clicks), np.diff(log.lists.start)
    none, every = ~log.hidden & (clicked == 0), ~log.hidden & (clicked > 0) & (clicked == shown)
    reasons = (
        ("their labels are hidden", log.hidden),
        ("nothing was clicked", none & ~log.thinned),
        ("everything was clicked", every & ~log.thinned),
        ("nothing that was clicked is a known item", none & log.thinned),
        ("everything known was clicked", every & log.thinned),
    )
    return ~(log.hidden | none | every), [Dropped("impressions", why, int(mask.sum())) for why, mask in reasons if mask.any()]


def _interactions(log: ImpressionLog, part: np.ndarray) -> tuple[pl.DataFrame, int]:
    """Return columns ``user``, ``item``, ``part``, oldest first, and how many pairs were in a history but clicked in a later part."""
    lists, order = log.lists, _in_time(log.lists)
    _, first = np.unique(lists.user[order], return_index=True)
    source = part == TRAIN
    trained = np.zeros(len(log.users), dtype=bool)
    trained[lists.user[source]] = True
    first = order[first]
    source[first[~trained[lists.user[first]]]] = True
    before, shown = take_impressions(lists, order[source[order]]), take_impressions(lists, order)
    read = _rows(before.user, before.history_start, before.history).with_columns(part=pl.lit(TRAIN, dtype=pl.Int8))
    candidates = _rows(shown.user, shown.start, shown.item).with_columns(part=np.repeat(part[order], np.diff(shown.start)).astype(np.int8))
    clicked = candidates.filter(pl.Series(shown.clicked))
    later = clicked.filter(pl.col("part") != TRAIN).select("user", "item").unique()
    unleaked = read.join(later, on=["user", "item"], how="anti", maintain_order="left")
    leaked = read.select("user", "item").n_unique() - unleaked.select("user", "item").n_unique()
    rows = pl.concat([unleaked, clicked])
    keys = {"user": log.users.series.gather(rows["user"]), "item": log.items.series.gather(rows["item"])}
    return pl.DataFrame({**keys, "part": rows["part"]}), leaked


def _rows(user: np.ndarray, start: np.ndarray, item: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"user": np.repeat(user, np.diff(start)).astype(np.int64), "item": item.astype(np.int64)})


def number_impressions(judged: Judged, users: Vocabulary, items: Vocabulary) -> tuple[dict[str, Impressions], int]:
    """Return the impressions under the dataset's numbering, by part, and how many went with users or items that it has not."""
    if judged.numbering is None:
        return {}, 0
    user_row, item_row = (known.match(own.series) for known, own in zip((users, items), judged.numbering, strict=True))
    numbered, gone = {}, 0
    for name, shown in judged.impressions.items():
        moved = replace(
            shown,
            user=user_row[shown.user].astype(np.int32),
            item=item_row[shown.item].astype(np.int32),
            history=item_row[shown.history].astype(np.int32),
        )
        moved = keep_members(moved, moved.item >= 0, moved.history >= 0)
        clicked = np.diff(np.concatenate([[0], np.cumsum(moved.clicked)])[moved.start])
        kept = np.flatnonzero((moved.user >= 0) & (clicked > 0) & (clicked < np.diff(moved.start)))
        gone += len(moved) - len(kept)
        if len(kept):
            numbered[name] = take_impressions(moved, kept)
    return numbered, gone
