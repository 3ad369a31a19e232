"""Does knowledge help, as curves: a metric against the share of facts that are kept, distorted or
invented, and for users and items that are cold, with the graph and without.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.derive.degraded import (
    add_false_triples,
    cold_items,
    cold_users,
    distort_triples,
    keep_triples,
)
from kgrec.data.derive.variants import without_graph
from kgrec.data.io.writing import write_whole
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.fingerprint import fingerprint
from kgrec.errors import ConfigError, nearest
from kgrec.evaluation.significance import holm
from kgrec.models.base import Recommender
from kgrec.process import refuse_after_fork
from kgrec.random import numpy_generator
from kgrec.runs.settings import Chosen, choose, refuse_test_selection
from kgrec.study.ablate import (
    Trainings,
    Variant,
    cutoffs_of,
    graph_dataset,
    kger,
    paired_interval,
)
from kgrec.study.folder import plain, study_folder
from kgrec.study.tune import all_settings
from kgrec.study.values import EVERYTHING

KINDS = ("kept", "distorted", "false", "cold-users", "cold-items")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LEFT = (1, 3, 5)
TITLES = {
    "kept": "share of triples kept",
    "distorted": "share of triples replaced by invented ones",
    "false": "invented triples added, as a share of the true ones",
    "cold-users": "training interactions left to cold users",
    "cold-items": "items without training interactions",
}


@dataclass(frozen=True, slots=True)
class Point:
    """A place on a curve.

    Attributes:
        kind: One of ``KINDS``.
        at: Share of triples, interactions left, or share of items.
        graph: Whether the model had the graph.
        mean: The metric, over users and seeds.
        low: Lower end of its 95 % interval.
        high: Upper end.
        users: Users it is over.
        loss: Whole graph minus this; of cold users and items, with the graph minus without. Paired
            by user and seed; None where it would be of itself.
        loss_low: Lower end of its 95 % interval.
        loss_high: Upper end.
        p: Two-sided p of no difference, after Holm's correction over the kind.
        kger: See ``kgrec.study.ablate.kger``; None for cold users and items.
    """

    kind: str
    at: float
    graph: bool
    mean: float
    low: float
    high: float
    users: int
    loss: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    p: float | None = None
    kger: float | None = None


@dataclass(frozen=True, slots=True)
class Curves:
    """What the graph does for a model as it gets worse, or as users and items get cold.

    Attributes:
        model: Model name.
        dataset: Name of the dataset.
        metric: What is measured.
        on: Part evaluated on; cold users and items have a test part of their own.
        seeds: Trainings of each point.
        points: Every point, by kind.
        verdicts: What each kind shows, in words.
        out: Folder of the study.
    """

    model: str
    dataset: str
    metric: str
    on: str
    seeds: int
    points: tuple[Point, ...]
    verdicts: dict[str, str]
    out: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``kgrec ablate --curves --json``."""
        return {**asdict(self), "out": str(self.out)}

    def to_frame(self) -> pl.DataFrame:
        """Return the points as a frame."""
        return pl.DataFrame([asdict(point) for point in self.points], infer_schema_length=None)


def ablate_curves(
    data: "Dataset | str | PathLike[str]",
    model: str | type[Recommender],
    *,
    out: str | PathLike[str],
    kinds: Sequence[str] = KINDS,
    shares: Sequence[float] = SHARES,
    left: Sequence[int] = LEFT,
    seeds: int = 3,
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
    metric: str | None = None,
    device: str = "auto",
) -> Curves:
    """Train a model on graphs that get worse by degrees, and for users and items made cold, and
    measure what is lost, paired by user and seed, on the test part.

    The same call continues where it was interrupted, or further with more kinds, shares or seeds.

    Args:
        data: A dataset with triples, or anything ``kgrec.load`` takes.
        model: Name in ``MODELS``, or a ``Recommender`` class.
        out: Folder of the study: ``runs``, ``curves.csv``, ``curves.json``.
        kinds: "kept" (a share of the triples), "distorted" (a share of them replaced by invented
            ones), "false" (invented ones added), "cold-users" (a tenth of the users keep a few
            interactions), "cold-items" (a tenth of the items keep none).
        shares: Shares of triples, in [0, 1]; the whole graph and none are always measured.
        left: Training interactions that cold users keep, each 1 or more.
        seeds: Trainings of each point, with seeds 0, 1, ...; each draws its own facts and users.
        preset: Named recipe of the model.
        settings: Settings by name.
        metric: ``name@k``; None takes the one that training validates by.
        device: "auto", "cpu" or "cuda".

    Raises:
        ConfigError: If the model uses no graph, or a kind, a share, a setting or a number is
            unknown or out of range.
        DataError: If the dataset has no triples or no test part, lacks what the model needs, or no
            user or item can be made cold.
        CheckpointError: If ``out`` holds something else, or a study started otherwise.
        DivergedError: If a loss is not a finite number.

    Source: Zhang et al., KG4RecEval: Does Knowledge Graph Really Matter for Recommender Systems?,
    TOIS 2025.
    """
    refuse_after_fork("Ablation")
    chosen = choose(model, preset, settings or {})
    refuse_test_selection(chosen, "ablate")
    metric = metric or chosen.train.metric
    cutoffs_of(metric)
    _check(kinds, shares, left, seeds)
    whole = graph_dataset(data, chosen, "test")

    started = {
        "model": chosen.name,
        "dataset": fingerprint(whole),
        "metric": metric,
        "settings": plain(all_settings(chosen)),
    }
    lines = _lines(chosen, kinds, shares, left)
    distinct = {variant.key: variant for each in lines.values() for _, variant in each}
    with study_folder(Path(out), "curves", started) as folder:
        study = Trainings(whole, list(distinct.values()), "test", metric, device, folder)
        values = study.run(seeds)
        points: list[Point] = []
        for kind, each in lines.items():
            points += _points(kind, each, values, metric)

        verdicts = {kind: _verdict(kind, points, metric) for kind in lines}
        found = Curves(
            chosen.name, whole.name, metric, "test", seeds, tuple(points), verdicts, folder
        )
        write_whole(folder / "curves.csv", lambda file: found.to_frame().write_csv(file))
        text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n"
        write_whole(folder / "curves.json", lambda file: file.write_text(text, encoding="utf-8"))
        return found


_Change = Callable[[Dataset, int], Dataset]
_Lines = dict[str, list[tuple[float, Variant]]]


def _lines(
    chosen: Chosen, kinds: Sequence[str], shares: Sequence[float], left: Sequence[int]
) -> _Lines:
    """Return the variants of each curve by where they are on it."""
    found: _Lines = {}
    for kind in kinds:
        if kind == "cold-users":
            found[kind] = [
                (float(count), variant)
                for count in sorted(set(left))
                for variant in _cold(f"users-{count}", f"{count} left", chosen, _made_cold(count))
            ]
        elif kind == "cold-items":
            made = _cold("items", "cold items", chosen, _items_made_cold)
            found[kind] = [(0.1, variant) for variant in made]
        else:
            every = sorted({0.0, 1.0, *map(float, shares)})
            found[kind] = [(share, _degraded(kind, share, chosen)) for share in every]

    return found


def _degraded(kind: str, share: float, chosen: Chosen) -> Variant:
    """Return the variant at a share; the whole graph and none are the same of every kind."""
    change: _Change
    if (kind, share) in (("kept", 1.0), ("distorted", 0.0), ("false", 0.0)):
        return Variant("graph", "whole graph", chosen, _same, share=0.0)
    if (kind, share) == ("kept", 0.0):
        return Variant("none", "no graph", chosen, lambda given, seed: without_graph(given))

    lost = share
    if kind == "kept":
        lost = 1 - share

        def change(given: Dataset, seed: int) -> Dataset:
            return keep_triples(given, share, generator=numpy_generator(seed, "kept"))
    elif kind == "distorted":

        def change(given: Dataset, seed: int) -> Dataset:
            return distort_triples(given, share, generator=numpy_generator(seed, "distorted"))
    else:

        def change(given: Dataset, seed: int) -> Dataset:
            return add_false_triples(given, share, generator=numpy_generator(seed, "false"))

    return Variant(f"{kind}-{share:g}", f"{kind} {share:g}", chosen, change, True, lost)


def _cold(key: str, label: str, chosen: Chosen, hold: _Change) -> list[Variant]:
    """Return a setting of cold users or items, with the graph and without."""
    return [
        Variant(f"{key}-graph", f"{label}, with the graph", chosen, _same, True, hold=hold),
        Variant(
            f"{key}-none",
            f"{label}, no graph",
            chosen,
            lambda given, seed: without_graph(given),
            True,
            hold=hold,
        ),
    ]


def _same(given: Dataset, seed: int) -> Dataset:
    return given


def _made_cold(left: int) -> _Change:
    def change(given: Dataset, seed: int) -> Dataset:
        return cold_users(given, left, generator=numpy_generator(seed, "cold users"))[0]

    return change


def _items_made_cold(given: Dataset, seed: int) -> Dataset:
    return cold_items(given, generator=numpy_generator(seed, "cold items"))[0]


def _points(
    kind: str,
    line: Sequence[tuple[float, Variant]],
    values: Mapping[str, list[pl.DataFrame]],
    metric: str,
) -> list[Point]:
    """Return the points of a curve; users without a value in both of two variants are left out of
    their difference.
    """
    whole = next((one for _, one in line if one.key == "graph"), None)
    found: list[Point] = []
    for at, variant in line:
        frames = values[variant.label]
        means = _of_users([_only(frame, metric) for frame in frames])
        mean, low, high = means[:3]
        users = max(frame["user"].n_unique() for frame in frames)
        graph = not variant.key.endswith("none")
        point = Point(kind, at, graph, mean, low, high, users)
        base = whole
        if base is None and graph:  # cold: with the graph minus without, at the same place
            base = next(one for place, one in line if place == at and one.key != variant.key)
            point = _against(point, values[variant.label], values[base.label], metric)
        elif base is not None and variant.key != "graph":
            point = _against(point, values[base.label], frames, metric)
            top = _of_users([_only(frame, metric) for frame in values[base.label]])[0]
            assert point.loss is not None
            point = replace(point, kger=kger(point.loss, top, variant.share))

        found.append(point)

    tested = [at for at, point in enumerate(found) if point.p is not None]
    adjusted = holm(np.array([found[at].p for at in tested], dtype=np.float64))
    for at, p in zip(tested, adjusted.tolist(), strict=True):
        found[at] = replace(found[at], p=p)

    return found


def _against(
    point: Point, first: Sequence[pl.DataFrame], second: Sequence[pl.DataFrame], metric: str
) -> Point:
    """Return a point with the difference of two variants' values, paired by user and seed."""
    pairs = [
        _only(one, metric).join(_only(other, metric), on="user", suffix="_other")
        for one, other in zip(first, second, strict=True)
    ]
    gaps = [
        pair.select("user", (pl.col(metric) - pl.col(f"{metric}_other")).alias(metric))
        for pair in pairs
    ]
    loss, low, high, p = _of_users(gaps)
    return replace(point, loss=loss, loss_low=low, loss_high=high, p=p)


def _of_users(frames: Sequence[pl.DataFrame]) -> tuple[float, float, float, float]:
    """Return mean, 95 % interval and p of values by user and seed. Where every seed has other
    users, a value of a user is one draw.
    """
    users = [frame["user"] for frame in frames]
    if all(each.equals(users[0]) for each in users):
        table = np.stack([frame[frame.columns[1]].to_numpy() for frame in frames], axis=1)
    else:
        table = np.concatenate([frame[frame.columns[1]].to_numpy() for frame in frames])[:, None]

    if len(table) < 2:
        mean = float(table.mean())
        return mean, mean, mean, 1.0  # a single user shows nothing
    return paired_interval(table)


def _only(frame: pl.DataFrame, metric: str) -> pl.DataFrame:
    return frame.filter(pl.col("items") == EVERYTHING).select("user", metric).sort("user")


def _verdict(kind: str, points: Sequence[Point], metric: str) -> str:
    """Return what a curve shows, in words."""
    mine = [point for point in points if point.kind == kind]
    if kind.startswith("cold"):
        parts = []
        for point in mine:
            if point.loss is not None:
                where = "a tenth of the items"
                if kind == "cold-users":
                    where = f"{point.at:.0f} left"

                parts.append(
                    f"{where}: {point.loss:+.4f} {metric} (95 % interval {point.loss_low:+.4f} to "
                    f"{point.loss_high:+.4f}{_doubt(point)})"
                )
        return f"The graph adds, by {TITLES[kind]}: {'; '.join(parts)}."

    end = mine[-1]
    if kind == "kept":
        end = mine[0]

    efficiency = ""
    if end.kger is not None:
        efficiency = f"; KGER {end.kger:+.3f}"

    what = {
        "kept": "Without any triple",
        "distorted": f"With {end.at:.0%} of the triples replaced by invented ones",
        "false": f"With invented triples added, {end.at:.0%} of the true ones",
    }[kind]
    assert end.loss is not None
    assert end.loss_low is not None
    assert end.loss_high is not None
    return (
        f"{what} {metric} changes by {-end.loss:+.4f} (95 % interval {-end.loss_high:+.4f} to "
        f"{-end.loss_low:+.4f}{_doubt(end)}){efficiency}."
    )


def _doubt(point: Point) -> str:
    """Return what is said behind an interval that chance may explain."""
    if point.p is not None and point.p < 0.05:
        return ""
    return ", within chance"


def _check(kinds: Sequence[str], shares: Sequence[float], left: Sequence[int], seeds: int) -> None:
    for kind in kinds:
        if kind not in KINDS:
            hint = nearest(kind, KINDS) or f" Known: {', '.join(KINDS)}."
            raise ConfigError(f"unknown curve {kind!r}.{hint}")
    if not kinds or len(set(kinds)) < len(kinds):
        raise ConfigError(f"curves {', '.join(kinds) or '(none)'}: name each once, at least one.")
    if not all(0 <= share <= 1 for share in shares):
        raise ConfigError(f"shares {', '.join(map(str, shares))}: each is between 0 and 1.")
    if not all(count >= 1 for count in left) or ("cold-users" in kinds and not left):
        raise ConfigError("cold users keep whole numbers of interactions of 1 or more.")
    if seeds < 1:
        raise ConfigError(f"{seeds} seeds: take at least 1.")
