"""What an interaction counts: event types, weights, quantities, age; sessions, caps, bots."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from kgrec.data.building.options import BuildOptions
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.parts import TRAIN
from kgrec.data.records.report import ReportBuilder
from kgrec.data.tables.times import UNITS, unit_of
from kgrec.errors import ConfigError, DataError, nearest

_DAY = 86_400.0
_BOT_ROWS, _BOT_TIMES = 500, 50  # rows of a user, and how many times the median of all
_MOST_SHOWN = 5
_BETWEEN = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Weighed:
    """A log whose rows have weights.

    Attributes:
        log: The log; ``event`` is the number of a name.
        events: Names of event types, those that weigh most first.
    """

    log: InteractionLog
    events: tuple[str, ...] = ()


def weigh(log: InteractionLog, options: BuildOptions, report: ReportBuilder) -> Weighed:
    """Return a log with sessions as users, without users of few events, and with weights, where
    the options say so.

    Raises:
        ConfigError: If an option needs a column that is not there.
        DataError: If an event type has no weight, or a weight is negative.
    """
    users = log.frame["user"].value_counts(name="rows")
    names = users["user"] if log.ids is None else log.ids["user"].gather(users["user"])
    report_bots(users["rows"].to_numpy(), names, report)
    columns = {"event", "weight", "quantity"} & set(log.frame.columns)
    if not options.weighs and not options.divides_users and not columns:
        return Weighed(log)

    frame = log.named()
    frame = _without_copies(frame, report)
    if options.session_gap is not None:
        frame = _in_sessions(frame, options.session_gap, report)

    if options.min_events:
        frame = _with_events(frame, options.min_events, report)

    frame, events = _by_event(frame, options, report)
    frame = _by_amount(frame, report)
    if options.half_life is not None:
        frame = _by_age(frame, options.half_life)

    if not frame.height:
        raise DataError("no interaction is left. Change weights or min_events.")

    return Weighed(replace(log, frame=frame, ids=None), events)


def report_bots(rows: np.ndarray, users: pl.Series, report: ReportBuilder) -> None:
    """Warn of users with so many more rows than others that they are hardly people.

    Args:
        rows: Number of rows of each user.
        users: Their ids.
        report: Where it is told.
    """
    if not len(rows):
        return

    least = max(_BOT_ROWS, _BOT_TIMES * float(np.median(rows)))
    many = np.flatnonzero(rows >= least)
    if not len(many):
        return

    most = pl.DataFrame({"user": users.gather(many), "rows": rows[many]})
    most = most.sort("rows", "user", descending=[True, False])
    listed = ", ".join(f"{name} ({count:,})" for name, count in most.head(_MOST_SHOWN).iter_rows())
    total = int(rows[many].sum())
    share = 100 * total / int(rows.sum())
    report.warn(
        f"{len(many):,} users with {total:,} rows ({share:.1f} %) have more than "
        f"{_BOT_TIMES} times as many as the median user: {listed}",
        "Are they people? --cap N keeps the latest N interactions of each user.",
    )


def _without_copies(frame: pl.DataFrame, report: ReportBuilder) -> pl.DataFrame:
    """Return rows once that agree in everything, times included."""
    if "time" not in frame.columns:
        return frame

    kept = frame.unique(maintain_order=True, keep="first")
    report.drop("rows", "the same as another one, time included", frame.height - kept.height)
    return kept


def _in_sessions(frame: pl.DataFrame, minutes: float | int, report: ReportBuilder) -> pl.DataFrame:
    """Return rows whose users are sessions: between two of them nothing happened for so long."""
    gap = minutes * 60 * _per_second(frame, "session_gap")
    frame = frame.sort("user", "time", maintain_order=True)
    new = (pl.col("time").diff() > gap).over("user").fill_null(False)
    number = new.cast(pl.Int64).cum_sum().over("user") + 1
    users = frame["user"].n_unique()
    frame = frame.with_columns(user=pl.format("{}/{}", "user", number))
    report.notes.append(
        f"Users are sessions: {frame['user'].n_unique():,} of {users:,} users, divided where "
        f"nothing happened for more than {minutes:g} minutes."
    )
    return frame


def _with_events(frame: pl.DataFrame, least: int, report: ReportBuilder) -> pl.DataFrame:
    """Return the rows of users who have so many."""
    kept = frame.filter(pl.len().over("user") >= least)
    users = frame["user"].n_unique() - kept["user"].n_unique()
    report.drop("users", f"fewer than {least} events", users)
    report.drop("interactions", f"of users with fewer than {least} events", len(frame) - len(kept))
    return kept


def _by_event(
    frame: pl.DataFrame, options: BuildOptions, report: ReportBuilder
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return rows with the weight of their event type, and the types, the heaviest first."""
    if "event" not in frame.columns:
        if options.weights:
            raise ConfigError(
                "weights are given, and no column of event types. Name it with event= (--event)."
            )
        return frame, ()

    kinds = frame["event"].value_counts(name="rows").sort("rows", "event", descending=True)
    given = _as_written(kinds["event"].to_list(), options.weights, report)
    weights = _of_kinds(kinds, given)
    frame = frame.with_columns(
        weight=pl.col("event").replace_strict(weights, return_dtype=pl.Float64)
        * (pl.col("weight") if "weight" in frame.columns else 1.0)
    )
    for kind, weight in weights.items():
        if weight == 0:
            lost = int((frame["event"] == kind).sum())
            report.drop("interactions", f"event {kind!r} weighs nothing", lost)

    names = sorted((k for k, w in weights.items() if w > 0), key=lambda k: (-weights[k], k))
    frame = frame.filter(pl.col("event").is_in(names))
    numbers = {name: number for number, name in enumerate(names)}
    event = pl.col("event").replace_strict(numbers, return_dtype=pl.Int16)
    for kind, rows in kinds.iter_rows():
        if kind in numbers:
            report.counts[f"events {kind} (weight {weights[kind]:g})"] = rows

    return frame.with_columns(event=event), tuple(names)


def _as_written(
    found: list[str], given: Mapping[str, float | int] | None, report: ReportBuilder
) -> Mapping[str, float | int] | None:
    """Return the weights by the event types of the log, which may differ from those given by case,
    white space and the marks between words; that is told.
    """
    if given is None:
        return None

    weights = {kind: given[kind] for kind in found if kind in given}
    taken = set(weights)
    plain: dict[str, list[str]] = {}
    for name in given:
        plain.setdefault(_plain(name), []).append(name)

    for kind in found:
        alike = plain.get(_plain(kind), [])
        if kind in weights or len(alike) != 1:
            continue
        weights[kind] = given[alike[0]]
        taken.add(alike[0])
        report.warn(
            f"Event type {kind!r} has the weight of {alike[0]!r}: they differ by case or marks alone",
            f"If they are different things, give it its own: --weights {kind}=...",
        )

    return weights | {name: weight for name, weight in given.items() if name not in taken}


def _plain(kind: str) -> str:
    return _BETWEEN.sub("", kind).casefold()


def _of_kinds(kinds: pl.DataFrame, given: Mapping[str, float | int] | None) -> dict[str, float]:
    """Return the weight of each event type.

    Raises:
        DataError: If one has none.
        ConfigError: If a weight is of a type that does not occur.
    """
    found = kinds["event"].to_list()
    if given is None:
        return dict.fromkeys(found, 1.0)

    for kind in given:
        if kind not in found:
            raise ConfigError(
                f"weights: no event {kind!r}.{nearest(kind, found)} Events: "
                f"{', '.join(map(str, found[:20]))}."
            )

    missing = kinds.filter(~pl.col("event").is_in(list(given)))
    if missing.height:
        listed = ", ".join(f"{kind} ({rows:,} rows)" for kind, rows in missing.head(5).iter_rows())
        raise DataError(
            f"event types without a weight: {listed}. Give each a weight, 0 to leave it out: "
            f"--weights {','.join(f'{kind}=0' for kind in missing['event'].head(5))},..."
        )

    return {kind: float(given[kind]) for kind in found}


def _by_amount(frame: pl.DataFrame, report: ReportBuilder) -> pl.DataFrame:
    """Return rows with the weight and the quantity of their columns."""
    if "weight" in frame.columns:
        negative = frame.filter(pl.col("weight") < 0)
        if negative.height:
            row = negative.row(0, named=True)
            raise DataError(
                f"{negative.height:,} rows have a negative weight, the first {row['weight']:g} of "
                f"user {row['user']} and item {row['item']}. Weights are 0 or more."
            )

        kept = frame.filter(pl.col("weight") > 0)
        report.drop("interactions", "their weight is 0", frame.height - kept.height)
        frame = kept

    if "quantity" in frame.columns:
        kept = frame.filter(pl.col("quantity") > 0)
        report.drop(
            "interactions", "their quantity is not above 0: returns?", frame.height - kept.height
        )
        before = pl.col("weight") if "weight" in frame.columns else pl.lit(1.0)
        frame = kept.with_columns(weight=before * pl.col("quantity")).drop("quantity")

    return frame


def _by_age(frame: pl.DataFrame, days: float | int) -> pl.DataFrame:
    """Return rows whose weights are halved with every so many days before the latest."""
    unit = _per_second(frame, "half_life")
    age = (pl.col("time").max() - pl.col("time")).cast(pl.Float64) / (unit * _DAY)
    before = pl.col("weight") if "weight" in frame.columns else pl.lit(1.0)
    return frame.with_columns(weight=before * 0.5 ** (age / days))


def _per_second(frame: pl.DataFrame, option: str) -> float:
    """Return how much a second is in the unit of the times."""
    unit = unit_of(frame["time"]) if "time" in frame.columns else ""
    if not unit:
        raise ConfigError(
            f"{option} needs times, and there are none that are moments since 1970. Name their "
            "column with time= (--time)."
        )
    return UNITS[unit]


def capped(frame: pl.DataFrame, most: int | None, report: ReportBuilder) -> pl.DataFrame:
    """Return the latest interactions of each user, as many as allowed; without times those that
    weigh most.
    """
    if most is None:
        return frame

    by = next((name for name in ("time", "weight") if name in frame.columns), None)
    if by is None:
        raise ConfigError("cap needs times or weights, to say which interactions stay.")

    place = pl.col(by).rank("ordinal", descending=True).over("user")
    kept = frame.filter(place <= most)
    report.drop("interactions", f"beyond the {most} of a user", frame.height - kept.height)
    return kept


def known_in_training(
    frame: pl.DataFrame, rows: pl.DataFrame, part: np.ndarray, split: str
) -> pl.DataFrame:
    """Return interactions whose training weights count no event after the training ended.

    Args:
        frame: Interactions: ``user``, ``item``, ``time``, ``weight`` and maybe ``event``.
        rows: All events, the same columns.
        part: Part of each interaction.
        split: "temporal", where training ends for all at once, or "leave-one-out", where it ends
            for each user.
    """
    training = frame.with_row_index("row").filter(pl.Series(part == TRAIN))
    if split == "temporal":
        seen = rows.filter(pl.col("time") <= training["time"].max())
    else:
        last = training.group_by("user").agg(last=pl.col("time").max())
        seen = rows.join(last, on="user").filter(pl.col("time") <= pl.col("last"))

    found = [pl.col("weight").sum()]
    if "event" in frame.columns:
        found.append(pl.col("event").min())

    sums = seen.group_by("user", "item").agg(found)
    values = training.select("row", "user", "item").join(
        sums, on=["user", "item"], how="left", maintain_order="left"
    )
    columns = {}
    for name in ("weight", "event"):
        if name in frame.columns:
            column = frame[name].to_numpy().copy()
            column[values["row"].to_numpy()] = values[name].to_numpy()
            columns[name] = pl.Series(column)

    return frame.with_columns(**columns)


def from_last(
    frame: pl.DataFrame, rows: pl.DataFrame, part: np.ndarray, days: float | int
) -> pl.DataFrame:
    """Return interactions whose age counts from the last of the training, not of the log."""
    unit = UNITS[unit_of(rows["time"])] * _DAY
    last = frame["time"].filter(pl.Series(part == TRAIN)).max()
    late = (float(rows["time"].max()) - float(last)) / unit  # type: ignore[arg-type]
    return frame.with_columns(weight=pl.col("weight") * 2.0 ** (late / days))
