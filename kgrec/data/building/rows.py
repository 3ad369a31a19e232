"""Interactions from their sources, divided into parts: one row per pair of user and item."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import polars as pl

from kgrec.data.building.item_table import known_items
from kgrec.data.building.options import BuildOptions
from kgrec.data.building.sources import DatasetSources
from kgrec.data.building.weights import capped, from_last, known_in_training, report_bots, weigh
from kgrec.data.graphs.filter import interaction_core
from kgrec.data.logs.order import one_per_pair
from kgrec.data.logs.pieces import StoredRows, divide_stored, in_pieces
from kgrec.data.logs.scratch import Room, memory_size
from kgrec.data.readers.interactions import (
    ROW,
    LogColumns,
    LogSettings,
    in_row_order,
    read_log,
    read_part,
)
from kgrec.data.readers.stored import StoredLog, read_stored, rows_of
from kgrec.data.records.content import Impressions
from kgrec.data.records.interactions import InteractionLog, Interactions, counted
from kgrec.data.records.parts import PART_WORDS, PARTS, TEST, TRAIN, VALID
from kgrec.data.records.report import ReportBuilder
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.impressions import divide_impressions, number_impressions
from kgrec.data.splitting.labeled import (
    HELD_OUT,
    LabeledSplit,
    divide_labels,
    number_negatives,
)
from kgrec.data.splitting.negatives import with_negatives
from kgrec.data.splitting.strategies import RATIOS, check_ratios, find_split, hold_out
from kgrec.data.tables.id_forms import difference
from kgrec.data.tables.ordering import numbered, text_order
from kgrec.data.tables.times import WORDS, unit_of
from kgrec.errors import ConfigError, DataError
from kgrec.process import available_memory
from kgrec.random import numpy_generator

_logger = logging.getLogger("kgrec.data")
_BYTES_PER_ROW = 60  # of a log that is read, sorted and divided in memory
_REPEATED = "repeated pairs, the earliest kept"
_Ids = dict[str, pl.Series]
_Parts = tuple[Interactions, Interactions, Interactions]


@dataclass(frozen=True, slots=True)
class Rows:
    """Interactions whose users and items are numbers over ``ids``, and how they are divided.

    Attributes:
        frame: Columns ``user``, ``item`` and ``part``; and ``time`` and ``rating`` where known. Or
            rows on disk that no part is known of.
        ids: Sorted keys by column.
        split: Name of the split that is still to be made; "given" where ``part`` says it.
        shares: Shares of train, valid and test.
        valid_held_out: Whether the validation part was taken from a given training part.
        labeled: Labeled rows or impressions, where the interactions come from some.
        events: Names of event types, where ``frame`` has a column ``event`` of their numbers.
        occurrences: Every row of a log with weights and times: ``user``, ``item``, ``time``,
            ``weight``, ``event``; None where a weight needs no care about its time.
        half_life: Days after which an interaction counts half, None if there are none.
    """

    frame: pl.DataFrame | StoredRows
    ids: _Ids
    split: str
    shares: tuple[float, float, float] = RATIOS
    valid_held_out: bool = False
    labeled: LabeledSplit | None = None
    events: tuple[str, ...] = ()
    occurrences: pl.DataFrame | None = None
    half_life: float | int | None = None

    @property
    def divided(self) -> str:
        """Name of the split, also of one that was made already."""
        return self.split if self.labeled is None else self.labeled.split


def read_rows(
    sources: DatasetSources, options: BuildOptions, report: ReportBuilder, room: Room | None = None
) -> Rows:
    """Return the interactions of labeled rows, impressions, given parts or a log.

    Args:
        sources: Where they are.
        options: How they are read and divided.
        report: Where what was left out is noted.
        room: Where a log is put down that is not to be held in memory.

    Raises:
        ConfigError: If there are none, or sources exclude each other.
    """
    if sources.time == ROW and (options.session_gap or options.half_life):
        raise ConfigError(
            "session_gap and half_life need times, and time 'row' has the order alone. Leave them "
            "out, or name the column of times."
        )

    labeled = _labeled(sources, options, report)
    if labeled is not None:
        report.notes += labeled.notes
        frame, ids = _given(None, labeled.logs, sources, options, report)
        report.add((), labeled.dropped)
        shares = labeled.ratios or RATIOS
        return Rows(frame, ids, "given", shares, labeled.held_out, labeled)

    split = options.split or "random"
    if room is not None:
        stored = read_stored(sources.interactions, _log_settings(sources, options), room)
        if stored is not None:
            return _stored_rows(stored, split, options, report, room)
        _logger.warning("%s: is no regular table, and is read in memory.", sources.interactions)

    log = _log(sources, options)
    shares = check_ratios(tuple(RATIOS if options.ratios is None else options.ratios))

    if _triples_alone(sources, options):
        nothing = pl.DataFrame(schema={"user": pl.String, "item": pl.String, "part": pl.Int8})
        return Rows(*_merged(nothing, None, report), "none")

    if sources.split or split.lower() == "given":
        _check_unweighted(sources, options)
        _check_given(split, sources)
        frame, ids = _given(log, sources.parts, sources, options, report)
        return Rows(frame, ids, "given", shares, sources.valid is None)

    if log is None:
        raise ConfigError("no interactions. Give a log, or the parts of a given split.")

    _add_log(report, log)
    weighed = weigh(log, options, report)
    frame = weighed.log.frame.with_columns(part=pl.lit(-1, dtype=pl.Int8))
    frame, ids = _by_key(frame, weighed.log.ids)
    events = weighed.events
    del log, weighed  # as large as what was made of them
    for name in frame.columns:  # one by one: arrays of a column in pieces would each be a copy
        frame = frame.with_columns(frame[name].rechunk())

    every = None
    if {"time", "weight"} <= set(frame.columns) and split in ("temporal", "leave-one-out"):
        every = frame.drop("part", "rating", strict=False)

    merged, ids = _merged(frame, ids, report, numbered=True)
    merged = capped(merged, options.cap, report)
    return Rows(merged, ids, split, shares, False, None, events, every, options.half_life)


def memory_for(sources: DatasetSources, options: BuildOptions) -> int | None:
    """Return how much memory reading a log may take where its rows are put on disk meanwhile; None
    where they are held in memory.

    Without ``options.memory`` that is where they would take more than half of what is free.

    Raises:
        ConfigError: If another option needs the whole log in memory.
    """
    whole = _in_memory(sources, options)
    given = options.memory
    if whole is None and given is not None:
        return memory_size(given)
    if given is not None and whole:
        raise ConfigError(f"memory: {whole} need the whole log in memory. Leave one of them out.")
    if whole is not None:
        return None

    free = available_memory() // 2
    return free if rows_of(sources.interactions) * _BYTES_PER_ROW > free else None


def _in_memory(sources: DatasetSources, options: BuildOptions) -> str | None:
    """Return what needs all rows in memory, "" where the log is no file, None where nothing does."""
    log = sources.interactions
    if not isinstance(log, str | PathLike) or sources.labelled or sources.impressions:
        return ""
    if sources.split or options.negatives or (options.split or "").lower() == "given":
        return "negatives and the parts of a split"
    if sources.event or sources.weight or sources.quantity or options.weighs:
        return "event types, weights, quantities and half_life"
    if options.divides_users:
        return "session_gap and min_events"
    return None


def _stored_rows(
    log: StoredLog, split: str, options: BuildOptions, report: ReportBuilder, room: Room
) -> Rows:
    """Return the rows of a log on disk, in their order, as they are made of one in memory."""
    shares = check_ratios(tuple(RATIOS if options.ratios is None else options.ratios))
    _add_log(report, log)
    sizes = len(log.ids["user"]), len(log.ids["item"])
    report_bots(log.columns["user"].counted(sizes[0]), log.ids["user"], report)
    beyond = ReportBuilder()
    rows, repeated = in_pieces(
        log.columns, sizes, room, lambda piece: capped(piece, options.cap, beyond)
    )
    report.drop("interactions", _REPEATED, repeated)
    report.dropped += beyond.dropped
    return Rows(rows, log.ids, split, shares)


def _add_log(report: ReportBuilder, log: InteractionLog | StoredLog) -> None:
    report.add(log.sources, log.dropped)
    report.roles += log.roles
    report.notes += log.notes


def _triples_alone(sources: DatasetSources, options: BuildOptions) -> bool:
    """Return whether the triples make a dataset without users and items."""
    wanted = options.triple_ratios is not None or sources.held is not None
    return wanted and sources.interactions is None and sources.train is sources.test is None


def _labeled(
    sources: DatasetSources, options: BuildOptions, report: ReportBuilder
) -> LabeledSplit | None:
    """Return labeled rows or impressions by part, where there are any."""
    labels = sources.labelled
    impressions = sources.impressions
    if options.negatives:
        return _with_negatives(sources, options, report)
    if labels is None and impressions is None:
        return None

    others = sources.split or sources.interactions is not None
    if others or (labels is not None and impressions is not None):
        raise ConfigError(
            "labeled rows, impressions and interactions of another source exclude each other. "
            "Leave all but one out."
        )
    if labels is not None:
        return divide_labels(labels, options.split, options.ratios, options.seed)

    assert impressions is not None
    return divide_impressions(impressions, options.split, options.ratios, options.seed)


def _with_negatives(
    sources: DatasetSources, options: BuildOptions, report: ReportBuilder
) -> LabeledSplit:
    """Return the pairs of a log and negatives that are drawn for them, by part."""
    if sources.labelled is not None or sources.impressions is not None or sources.split:
        raise ConfigError(
            "negatives are drawn for a log that is divided here. Leave them out, or give "
            "interactions (of a source with parts: split='random')."
        )

    _check_unweighted(sources, options)
    log = _log(sources, replace(options, min_rating=None))
    if log is None:
        raise ConfigError("negatives without interactions. Give a log.")

    report.roles += log.roles
    report.notes += log.notes
    rows = with_negatives(log, options.negatives, options.min_rating, options.seed)
    return divide_labels(rows, options.split, options.ratios, options.seed)


def _log(sources: DatasetSources, options: BuildOptions) -> InteractionLog | None:
    log = sources.interactions
    if isinstance(log, InteractionLog) and sources.time == ROW:
        return in_row_order(log)
    if log is None or isinstance(log, InteractionLog):
        return log

    return read_log(log, _log_settings(sources, options))


def _log_settings(sources: DatasetSources, options: BuildOptions) -> LogSettings:
    columns = LogColumns(
        *(sources.user, sources.item, sources.time, sources.rating),
        *(sources.event, sources.weight, sources.quantity),
    )
    return LogSettings(
        columns,
        options.min_rating,
        options.separator,
        options.on_error,
        options.time_format,
        lambda: known_items(sources, options.on_error),
    )


def _check_unweighted(sources: DatasetSources, options: BuildOptions) -> None:
    """Refuse what needs a log where there are parts of a split, or labels."""
    columns = sources.event or sources.weight or sources.quantity
    if columns or options.weighs or options.divides_users or options.cap is not None:
        if options.negatives:
            why = "do not go with negatives: rows with labels have no weights. Leave one out."
        else:
            why = (
                "need one log that is divided here. Give interactions, without the parts of a "
                "split."
            )
        raise ConfigError(f"event types, weights, half_life, cap, min_events and session_gap {why}")


def _check_given(split: str, sources: DatasetSources) -> None:
    """Refuse a given split that lacks a part, or beside another strategy."""
    if split.lower() not in ("random", "given"):
        raise ConfigError(f"split: {split!r} and given parts exclude each other. Leave one out.")
    for name in ("train", "test"):
        if getattr(sources, name) is None:
            raise ConfigError(f"split: given, but there is no {name} part. Name it with {name}=.")


def _given(
    log: InteractionLog | None,
    parts: tuple[object | None, object | None, object | None],
    sources: DatasetSources,
    options: BuildOptions,
    report: ReportBuilder,
) -> tuple[pl.DataFrame, _Ids]:
    """Return the interactions of given parts, a validation part held out if there is none."""
    frames: list[pl.DataFrame] = []
    known = None

    for number, part in enumerate(parts):
        if part is None:
            continue

        rows = part
        if not isinstance(rows, InteractionLog):
            rows = read_part(part, user=sources.user, item=sources.item, on_error=options.on_error)

        if sources.time == ROW:
            rows = in_row_order(rows, sum(frame.height for frame in frames))

        _add_log(report, rows)
        frames.append(rows.frame.with_columns(part=pl.lit(number, dtype=pl.Int8)))
        known = rows.ids

    _check_units(frames)
    frame = _with_times(pl.concat(frames, how="diagonal_relaxed"), log, report)
    frame, ids = _merged(frame, known, report)
    if parts[VALID] is None:
        frame = _with_validation(frame, options.seed, report)

    return frame, ids


def _check_units(frames: Sequence[pl.DataFrame]) -> None:
    """Refuse parts whose times are of different units."""
    units = {unit_of(frame["time"]) for frame in frames if "time" in frame.columns}
    if len(units - {""}) > 1:
        names = " and ".join(sorted(WORDS[unit] for unit in units if unit))
        raise DataError(
            f"the parts of the split have times in {names}. Write all of them in one unit."
        )


def _with_validation(frame: pl.DataFrame, seed: int, report: ReportBuilder) -> pl.DataFrame:
    """Return given parts with a tenth of each user's training items held out for validation."""
    part = frame["part"].to_numpy().copy()
    training = np.flatnonzero(part == TRAIN)
    users = frame["user"].to_numpy()[training]
    held = hold_out(users, HELD_OUT, generator=numpy_generator(seed, "split"))
    part[training[held]] = VALID
    report.notes.append(
        "No validation part: a tenth of each user's training items was held out "
        f"({int((part == VALID).sum())} interactions)."
    )

    return frame.with_columns(part=pl.Series(part, dtype=pl.Int8))


def _with_times(
    frame: pl.DataFrame, log: InteractionLog | None, report: ReportBuilder
) -> pl.DataFrame:
    """Return the parts with the times of the log, where they have none of their own."""
    if log is None or "time" in frame.columns or "time" not in log.frame.columns:
        return frame

    report.sources += log.sources
    report.notes.append(
        f"The given parts have no times; those of {', '.join(log.sources)} were taken."
    )
    first = log.named().group_by("user", "item").agg(pl.col("time").min())
    return frame.join(first, on=["user", "item"], how="left", maintain_order="left")


def _merged(
    frame: pl.DataFrame, ids: _Ids | None, report: ReportBuilder, *, numbered: bool = False
) -> tuple[pl.DataFrame, _Ids]:
    """Return one row per (user, item), sorted by user, time and item; earlier parts go first.

    Of repeated pairs the earliest stays, among equal times the one with the lowest rating. Users
    and items become numbers over the keys that come with them, sorted, a fraction of the memory of
    text; they may be numbers already, over keys that are sorted where ``numbered`` says so.
    """
    if not numbered or ids is None:
        frame, ids = _by_key(frame, ids)

    frame, repeated, later = one_per_pair(frame, len(ids["item"]))
    report.drop("interactions", _REPEATED, repeated)
    for number, name in ((VALID, "valid"), (TEST, "test")):
        why = f"in the {PART_WORDS[name]} part and already in an earlier one"
        report.drop("interactions", why, later[number])

    return frame, ids


def _by_key(frame: pl.DataFrame, ids: _Ids | None) -> tuple[pl.DataFrame, _Ids]:
    """Return interactions whose users and items number keys in their order, and the keys."""
    sorted_ = {}
    for column in ("user", "item"):
        if ids is None:
            sorted_[column], rows = numbered(frame[column])
        else:
            order = text_order(ids[column])
            rank = np.empty(len(order), dtype=np.int32)
            rank[order] = np.arange(len(order), dtype=np.int32)
            sorted_[column], rows = ids[column].gather(order), rank[frame[column].to_numpy()]
        frame = frame.with_columns(pl.Series(column, rows, dtype=pl.Int32))

    return frame, sorted_


def within(rows: Rows, catalog: pl.Series | None, report: ReportBuilder) -> Rows:
    """Return the interactions with items of a catalog; all if there is none."""
    if catalog is None:
        return rows

    ids = rows.ids["item"]
    known = ids.is_in(catalog.implode())
    wanted = known.to_numpy()
    before = rows.frame.height
    here = used_numbers(rows.frame, "item", len(ids))
    frame: pl.DataFrame | StoredRows
    if isinstance(rows.frame, StoredRows):
        frame = rows.frame.kept(lambda piece: pl.Series(wanted[piece["item"].to_numpy()]))
    else:
        frame = rows.frame.filter(pl.Series(wanted[rows.frame["item"].to_numpy()]))

    gone = int((here & ~wanted).sum())
    report.drop("items", "not in the table of items", gone)
    report.drop("interactions", "their item is not in the table of items", before - frame.height)
    words = difference(ids.filter(~known), catalog) if gone else ""
    if not frame.height:
        why = f" Ids are compared exactly as written: {words}." if words else ""
        raise DataError(
            f"no interaction is with an item of the table of items.{why} Name the column with the "
            "ids of the interactions as item_id."
        )
    if words:
        report.warn(
            f"Of {gone:,} item ids of interactions that are not in the table of items, {words}",
            "Ids are compared exactly as written: correct them in one of the files.",
        )

    return replace(rows, frame=frame)


def used_numbers(frame: pl.DataFrame | StoredRows, column: str, size: int) -> np.ndarray:
    """Return which numbers from 0 to ``size - 1`` are in a column."""
    if isinstance(frame, StoredRows):
        return frame.columns[column].counted(size) > 0

    used = np.zeros(size, dtype=bool)
    used[frame[column].to_numpy()] = True
    return used


def core(rows: Rows, cores: tuple[int, int], report: ReportBuilder) -> Rows:
    """Return the largest set of interactions in which every user and every item has as many as its
    core.
    """
    if max(cores) < 2:
        return rows

    sizes = len(rows.ids["user"]), len(rows.ids["item"])
    before = _counts(rows.frame, sizes)
    frame: pl.DataFrame | StoredRows
    if isinstance(rows.frame, StoredRows):
        frame = rows.frame.cored(*cores, sizes)
    else:
        frame = interaction_core(rows.frame, *cores)

    if cores[0] == cores[1]:
        limit = f"the {cores[0]}-core"
    else:
        limit = f"the core of {cores[0]} interactions a user and {cores[1]} an item"

    after = _counts(frame, sizes)
    for what, old, new in zip(("users", "items", "interactions"), before, after, strict=True):
        report.drop(what, f"outside {limit}", old - new)

    if frame.height == 0 < before[-1]:
        raise DataError("no interaction is left. Lower min_rating or k_core.")

    return replace(rows, frame=frame)


def _counts(frame: pl.DataFrame | StoredRows, sizes: tuple[int, int]) -> tuple[int, int, int]:
    """Return how many users, items and rows there are."""
    users, items = (
        int(used_numbers(frame, column, size).sum())
        for column, size in zip(("user", "item"), sizes, strict=True)
    )
    return users, items, frame.height


def known_users(rows: Rows, cored: bool) -> Vocabulary:
    """Return the users of interactions, and of labeled rows where no core was taken."""
    keys = [_keys_in(rows, "user")]
    if rows.labeled is not None and not cored:
        keys.append(rows.labeled.users().rename("user"))
    return Vocabulary(sorted_keys(keys), kind="user")


def item_keys(rows: Rows, cored: bool) -> pl.Series:
    """Return the items of interactions, and of labeled rows where no core was taken."""
    keys = [_keys_in(rows, "item")]
    if rows.labeled is not None and not cored:
        keys.append(rows.labeled.items.rename("item"))
    return sorted_keys(keys)


def sorted_keys(keys: Sequence[pl.Series]) -> pl.Series:
    """Return the distinct keys of several columns, sorted; the first of them is so already."""
    if not any(map(len, keys[1:])):
        return keys[0]
    every = pl.concat(keys).unique()
    return every.gather(text_order(every))


def _keys_in(rows: Rows, column: str) -> pl.Series:
    """Return the keys that occur in a column, in the order of their numbers."""
    keys = rows.ids[column]
    used = used_numbers(rows.frame, column, len(keys))
    return keys.filter(pl.Series(used)).rename(column)


def _rows_of(rows: Rows, column: str, vocabulary: Vocabulary) -> np.ndarray:
    """Return the row (int32) of each key of a column, -1 where it has none.

    Both are in the one order of ids. Where the vocabulary has no further keys, counting says which
    row is whose; a table of keys takes several times their memory.
    """
    keys = rows.ids[column]
    used = used_numbers(rows.frame, column, len(keys))
    if vocabulary.series.equals(keys.filter(pl.Series(used)).cast(pl.String)):
        return np.where(used, np.cumsum(used, dtype=np.int32) - 1, -1).astype(np.int32)
    return vocabulary.match(keys).astype(np.int32)


def divide(rows: Rows, users: Vocabulary, items: Vocabulary, seed: int) -> _Parts:
    """Return the interactions by part, as rows of users and items.

    Args:
        rows: The interactions.
        users: User ids.
        items: Item ids.
        seed: Of the draw.
    """
    frame = rows.frame
    row_of_user = _rows_of(rows, "user", users)
    row_of_item = _rows_of(rows, "item", items)
    if isinstance(frame, StoredRows):
        generator = numpy_generator(seed, "split")
        return divide_stored(frame, (row_of_user, row_of_item), rows.split, rows.shares, generator)

    user = row_of_user[frame["user"].to_numpy()]
    item = row_of_item[frame["item"].to_numpy()]
    time = _values(frame, "time")
    part = frame["part"].to_numpy()

    if rows.split not in ("given", "none"):
        strategy = find_split(rows.split)
        part = strategy(user, time, rows.shares, generator=numpy_generator(seed, "split"))

    if rows.occurrences is not None:
        frame = known_in_training(frame, rows.occurrences, part, rows.split)
        if rows.half_life is not None and rows.split == "temporal":
            frame = from_last(frame, rows.occurrences, part, rows.half_life)

    weight = _values(frame, "weight")

    rating = _values(frame, "rating")
    everything = Interactions(
        user,
        item,
        time,
        None if rating is None else rating.astype(np.float32),
        None if weight is None else weight.astype(np.float32),
        frame["event"].to_numpy().astype(np.int16) if "event" in frame.columns else None,
    )
    train, valid, test = (everything.take(part == number) for number in range(len(PARTS)))
    return train, valid, test


def _values(frame: pl.DataFrame, column: str) -> np.ndarray | None:
    if column not in frame.columns:
        return None
    values = frame[column]
    return (values.fill_null(np.nan) if values.dtype.is_float() else values).to_numpy()


def check_parts(parts: _Parts, rows: Rows, report: ReportBuilder) -> None:
    """Note users and items without training interactions.

    Raises:
        DataError: If nothing is left to train on, or no user to evaluate.
    """
    train, valid, test = parts
    split = rows.divided
    if split == "none":
        return
    if not len(train):
        raise DataError(
            f"split {split!r} leaves no training interaction. Change the ratios, or give more "
            "interactions."
        )
    if not len(test) and not (rows.labeled is not None and rows.labeled.impressions):
        raise DataError(
            f"split {split!r} leaves no users to evaluate: the test part is empty. Change the "
            "ratios, or give more interactions."
        )

    if not len(valid):
        report.notes.append("The validation part is empty: training cannot stop early.")

    for name, part in (("valid", valid), ("test", test)):
        for what in ("user", "item"):
            cold = _strangers(getattr(part, what), getattr(train, what))
            if cold:
                report.counts[f"{PART_WORDS[name]} {what}s without training interactions"] = cold

    unknown = _strangers(test.item, train.item, valid.item)
    if unknown:
        report.warn(
            f"{unknown:,} of the test part's {len(np.unique(test.item)):,} items are in no other "
            "part",
            "What learns from interactions alone cannot rank them: compare on them models that "
            "use the graph or texts.",
        )


def _strangers(rows: np.ndarray, *known: np.ndarray) -> int:
    """Return how many distinct rows are among none of the known ones."""
    size = 1 + max((int(some.max()) for some in (rows, *known) if len(some)), default=0)
    strange = counted(rows, size) > 0
    for some in known:
        strange &= counted(some, size) == 0

    return int(strange.sum())


def number_labeled(
    labeled: LabeledSplit | None, users: Vocabulary, items: Vocabulary, report: ReportBuilder
) -> tuple[dict[str, Interactions], dict[str, Impressions]]:
    """Return the negatives and the impressions by part, under the dataset's numbering."""
    if labeled is None:
        return {}, {}

    negatives, lost = number_negatives(labeled, users, items)
    shown, gone = number_impressions(labeled, users, items)
    report.drop("negatives", "their user or item is outside the k-core", lost)
    report.drop("impressions", "outside the k-core", gone)
    return negatives, shown
