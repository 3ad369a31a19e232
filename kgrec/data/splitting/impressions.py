"""Impressions: the lists that were shown, divided into parts, and the interactions in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from kgrec.data.records.content import Impressions
from kgrec.data.records.interactions import take_rows
from kgrec.data.records.parts import PARTS, TEST, TRAIN, VALID
from kgrec.data.records.report import Dropped
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.labeled import (
    HELD_OUT,
    POSITION,
    LabeledSplit,
    chosen_split,
    logs_by_part,
)
from kgrec.data.splitting.strategies import RATIOS, find_split
from kgrec.data.tables.ordering import row_order, text_order
from kgrec.errors import DataError
from kgrec.random import numpy_generator

_LISTS_AT_ONCE = 50_000


@dataclass(frozen=True, slots=True)
class ImpressionLog:
    """Impressions over a numbering of their own.

    Attributes:
        users: User ids.
        items: Item ids.
        lists: The impressions; their rows number ``users`` and ``items``.
        hidden: Whether an impression's labels are kept back, bool (n,); nothing in it counts as
            clicked.
        thinned: Whether candidates that are no known items were left out of an impression, bool
            (n,).
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
        time=take_rows(impressions.time, rows),
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
    kind = (
        np.int32 if start[-1] < np.iinfo(np.int32).max else np.int64
    )  # half the memory, where it suffices
    positions = np.arange(begins[-1], dtype=kind)
    positions += np.repeat((start[rows] - begins[:-1]).astype(kind), sizes)
    return begins, positions


def keep_members(impressions: Impressions, shown: np.ndarray, read: np.ndarray) -> Impressions:
    """Return the impressions with only the candidates and the past items where a mask is True."""
    if shown.all() and read.all():
        return impressions

    return replace(
        impressions,
        start=_before(shown, impressions.start),
        item=impressions.item[shown],
        clicked=impressions.clicked[shown],
        history_start=_before(read, impressions.history_start),
        history=impressions.history[read],
    )


def _before(mask: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return how often a mask is True before each of some ascending positions."""
    return np.searchsorted(np.flatnonzero(mask), positions).astype(np.int64)


def _list_of(start: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return the list that each position is in."""
    return np.searchsorted(start, positions, side="right") - 1


def divide_impressions(
    log: ImpressionLog, split: str | None, ratios: Sequence[float] | None, seed: int
) -> LabeledSplit:
    """Return impressions by part, and the interactions in them.

    Training interactions are what users had read before their training impressions and what they
    clicked there; of users without a training impression, what they had read before their first. No
    click of a later part is among them. An impression without a click, or without anything but
    clicks, cannot be evaluated and is left out; its clicks and history still count as interactions.

    Args:
        log: The impressions.
        split: Name of the split; where None, "given" if there is one, else "temporal" if there are
            times, else "random". Where a given split has no validation part, the latest tenth of
            the training impressions is held out.
        ratios: Shares of train, valid and test; 0.8, 0.1, 0.1 where None.
        seed: Of every draw.

    Raises:
        DataError: If no impression can be evaluated.
    """
    default = "random" if log.lists.time is None else "temporal"
    name, shares = chosen_split(split, default, log.part is not None, ratios, RATIOS)
    notes = list(log.notes)
    held = 0
    order = _order(log)

    if name == "given" and log.part is not None:
        generator = numpy_generator(seed, "split")
        which, last = "the latest", _in_time(log.lists, order)
        if log.lists.time is None:
            which, last = "a", generator.permutation(order)

        part, held = _with_validation(log.part, last)
        if held:
            notes.append(
                f"No validation part: {which} tenth of the training impressions was held out "
                f"({held} impressions)."
            )
    else:
        part = np.empty(len(order), dtype=np.int8)
        time = take_rows(log.lists.time, order)
        part[order] = find_split(name)(
            log.lists.user[order], time, shares, generator=numpy_generator(seed, "split")
        )

    keep, dropped = _evaluable(log)
    if not keep.any():
        raise DataError(
            f"{', '.join(log.sources)}: no impression has both a click and a candidate that was "
            "not clicked."
        )

    if not (part[keep] == TEST).any():
        notes.append(
            "No test impression can be evaluated: evaluate on the validation part, or take another "
            "split."
        )

    rows, leaked, repeated = _interactions(log, part, _in_time(log.lists, order))
    if repeated:
        dropped.append(Dropped("interactions", "repeated pairs, the earliest kept", repeated))

    if leaked:
        dropped.append(Dropped("interactions", "in a history, and clicked in a later part", leaked))

    by_part = {
        word: take_impressions(log.lists, order[(keep & (part == number))[order]])
        for number, word in enumerate(PARTS)
    }

    return LabeledSplit(
        logs_by_part(rows, log.sources, {"user": log.users.series, "item": log.items.series}),
        name,
        shares if name in ("random", "temporal") else None,
        pl.Series("item", log.items.keys(_used(len(log.items), log.lists)), dtype=pl.String),
        bool(held),
        impressions={word: shown for word, shown in by_part.items() if len(shown)},
        numbering=(log.users, log.items),
        dropped=(*log.dropped, *dropped),
        notes=tuple(notes),
    )


def _used(items: int, lists: Impressions) -> np.ndarray:
    used = np.zeros(items, dtype=bool)
    used[lists.item] = used[lists.history] = True
    return np.flatnonzero(used)


def _order(log: ImpressionLog) -> np.ndarray:
    """Return the positions of the impressions sorted by user, time, and what they hold."""
    lists = log.lists
    user, item = (_ranks(known) for known in (log.users, log.items))
    keys = [user[lists.user]]
    if lists.time is not None:
        keys.append(lists.time)

    order = row_order(*keys)
    same = np.logical_and.reduce([key[order[1:]] == key[order[:-1]] for key in keys])

    if len(order):
        starts = np.flatnonzero(np.r_[True, ~same])
    else:
        starts = np.empty(0, dtype=np.int64)

    sizes = np.diff(np.append(starts, len(order)))

    def content(row: int) -> tuple[object, ...]:
        shown, read = (
            slice(start[row], start[row + 1]) for start in (lists.start, lists.history_start)
        )
        if log.part is None:
            part = 0
        else:
            part = log.part[row]

        lists_of = (
            item[lists.item[shown]].tolist(),
            lists.clicked[shown].tolist(),
            item[lists.history[read]].tolist(),
        )

        return (*lists_of, part, log.hidden[row], log.thinned[row])

    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        order[start : start + size] = sorted(order[start : start + size].tolist(), key=content)

    return order


def _ranks(known: Vocabulary) -> np.ndarray:
    """Return the rank of each id among the sorted ids."""
    order = text_order(known.series)
    ranks = np.empty(len(order), dtype=np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks


def _in_time(lists: Impressions, order: np.ndarray) -> np.ndarray:
    """Return the positions of the impressions, the earliest first, those of one time in the order
    given.
    """
    return order if lists.time is None else order[row_order(lists.time[order])]


def _with_validation(part: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the part of each impression, and how many were held out of training for want of a
    validation part: the last in order.
    """
    training = order[part[order] == TRAIN]
    if (part == VALID).any():
        return part, 0

    part = part.copy()
    held = training[len(training) - round(HELD_OUT * len(training)) :]
    part[held] = VALID
    return part, len(held)


def _evaluable(log: ImpressionLog) -> tuple[np.ndarray, list[Dropped]]:
    """Return which impressions have a click and a non-click, and what is the matter with the
    others.
    """
    clicked = np.diff(_before(log.lists.clicked, log.lists.start))
    shown = np.diff(log.lists.start)
    none = ~log.hidden & (clicked == 0)
    every = ~log.hidden & (clicked > 0) & (clicked == shown)
    reasons = (
        ("their labels are hidden", log.hidden),
        ("nothing was clicked", none & ~log.thinned),
        ("everything was clicked", every & ~log.thinned),
        ("nothing that was clicked is a known item", none & log.thinned),
        ("everything known was clicked", every & log.thinned),
    )

    return ~(log.hidden | none | every), [
        Dropped("impressions", why, int(mask.sum())) for why, mask in reasons if mask.any()
    ]


def _interactions(
    log: ImpressionLog, part: np.ndarray, order: np.ndarray
) -> tuple[pl.DataFrame, int, int]:
    """Return the interactions of impressions whose order in time is ``order``, and what was left
    out.

    The first are columns ``user``, ``item``, ``part`` and ``POSITION``, oldest first; then how many
    pairs were in a history but clicked in a later part, and how many were read in several
    histories, once counted.
    """
    lists = log.lists
    _, first = np.unique(lists.user[order], return_index=True)
    source = part == TRAIN
    trained = np.zeros(len(log.users), dtype=bool)
    trained[lists.user[source]] = True
    first = order[first]
    source[first[~trained[lists.user[first]]]] = True
    user, item, impression = _clicked(lists, order)
    size = max(len(log.items), 1)
    later = np.unique((user.astype(np.int64) * size + item)[part[impression] != TRAIN])
    read, leaked, repeated = _read(lists, order[source[order]], later, size)
    users = np.concatenate([read // size, user])
    items = np.concatenate([read % size, item])
    parts = np.concatenate([np.full(len(read), TRAIN), part[impression]]).astype(np.int8)
    numbers = {"user": users.astype(np.int32), "item": items.astype(np.int32)}

    return (
        pl.DataFrame({**numbers, "part": parts, POSITION: np.arange(len(parts))}),
        leaked,
        repeated,
    )


def _clicked(lists: Impressions, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return user, item and impression of each click, in the order of the impressions."""
    clicks = np.flatnonzero(lists.clicked)
    impression = _list_of(lists.start, clicks)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    sorted_ = np.argsort(rank[impression], kind="stable")
    clicks = clicks[sorted_]
    impression = impression[sorted_]
    return lists.user[impression], lists.item[clicks], impression


def _read(
    lists: Impressions, rows: np.ndarray, later: np.ndarray, size: int
) -> tuple[np.ndarray, int, int]:
    """Return who read what in the histories of some impressions, and what was left out.

    Pairs are one number, ``user * size + item``, each where it comes first; those in ``later`` are
    left out. Then come how many of these were met, and how often another pair was met again.
    Histories grow from impression to impression and repeat all before, so they are taken some
    thousand at a time.
    """
    seen = np.empty(0, dtype=np.int64)
    found = [np.empty(0, dtype=np.int64)]
    repeated = 0
    met = np.zeros(len(later), dtype=bool)

    for begin in range(0, len(rows), _LISTS_AT_ONCE):
        some = rows[begin : begin + _LISTS_AT_ONCE]
        start, positions = _taken(lists.history_start, some)
        pairs = (
            np.repeat(lists.user[some].astype(np.int64), np.diff(start)) * size
            + lists.history[positions]
        )
        leaks = _among(pairs, later)
        met[np.searchsorted(later, pairs[leaks])] = True
        pairs = pairs[~leaks]
        distinct, first = np.unique(pairs, return_index=True)
        new = ~_among(distinct, seen)
        repeated += len(pairs) - int(new.sum())
        found.append(pairs[np.sort(first[new])])
        seen = np.sort(np.concatenate([seen, distinct[new]]), kind="stable")

    return np.concatenate(found), int(met.sum()), repeated


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which values are among sorted known ones."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    position = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: np.ndarray = known[position] == values
    return found


def number_impressions(
    split: LabeledSplit, users: Vocabulary, items: Vocabulary
) -> tuple[dict[str, Impressions], int]:
    """Return the impressions under the dataset's numbering, by part, and how many went with users
    or items that it has not.
    """
    if split.numbering is None:
        return {}, 0

    user_row, item_row = (
        known.match(known_ids.series).astype(np.int32)
        for known, known_ids in zip((users, items), split.numbering, strict=True)
    )
    numbered = {}
    gone = 0

    for name, shown in split.impressions.items():
        moved = replace(
            shown,
            user=user_row[shown.user],
            item=item_row[shown.item],
            history=item_row[shown.history],
        )
        moved = keep_members(moved, moved.item >= 0, moved.history >= 0)
        clicked = np.diff(_before(moved.clicked, moved.start))
        kept = np.flatnonzero((moved.user >= 0) & (clicked > 0) & (clicked < np.diff(moved.start)))
        gone += len(moved) - len(kept)

        if len(kept):
            if len(kept) == len(moved):
                numbered[name] = moved
            else:
                numbered[name] = take_impressions(moved, kept)

    return numbered, gone
