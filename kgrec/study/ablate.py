"""Does the graph help here? The same model with the graph, without it, with shuffled triples, and
with single relations left out.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import scipy  # `scipy.stats` is imported when it is first used

from kgrec.data.derive.shuffle_triples import shuffle_triples
from kgrec.data.derive.variants import (
    user_groups,
    without_graph,
    without_relation,
    without_test,
)
from kgrec.data.formats.load import load
from kgrec.data.io.files import write_parquet
from kgrec.data.io.writing import write_whole
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.fingerprint import fingerprint
from kgrec.data.records.known import with_interactions
from kgrec.data.records.needs import check_needs
from kgrec.errors import ConfigError, DataError
from kgrec.evaluation.metrics import STANDARD, ranking_metric
from kgrec.evaluation.significance import holm
from kgrec.log import logger
from kgrec.models.base import Recommender
from kgrec.models.catalog import MODELS
from kgrec.models.fallback import served
from kgrec.process import refuse_after_fork
from kgrec.random import numpy_generator
from kgrec.runs.fit import fit_chosen
from kgrec.runs.settings import Chosen, choose, refuse_test_selection
from kgrec.scale.world import World
from kgrec.study.folder import plain, study_folder
from kgrec.study.tune import all_settings
from kgrec.study.values import CUTOFFS, EVERYTHING, stored_values, values_by_group

WITH = "with the graph"
WITHOUT = "no graph"
SHUFFLED = "shuffled triples"
STRANGERS = "users without training interactions"
_CONFIDENCE, _LEVEL = 0.95, 0.05


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference in the metric, paired by user and seed.

    Attributes:
        first: The variant whose value the difference is taken from.
        second: The variant that is subtracted.
        group: Users, or relevant items, that it is about.
        users: Users that it is over.
        mean: Mean difference over users and seeds.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p of no difference.
        p_adjusted: The same after Holm's correction, over the groups or over the relations of one
            pair of variants.
        kger: Of a variant with less knowledge, over everything: the share of the metric that is
            lost, over the share of the triples that is taken away or shuffled; None elsewhere.
    """

    first: str
    second: str
    group: str
    users: int
    mean: float
    low: float
    high: float
    p: float
    p_adjusted: float
    kger: float | None = None


@dataclass(frozen=True, slots=True)
class Ablation:
    """What the graph does for a model on a dataset.

    Attributes:
        model: Model name.
        dataset: Name of the dataset.
        metric: What the differences are in.
        on: Part evaluated on.
        seeds: Trainings of each variant.
        means: Mean of every metric per variant, over users and seeds.
        contrasts: Every difference.
        answer: "yes" (better than without, and than with shuffled triples), "not the facts" (better
            than without, not than shuffled), "no" (no difference shown), or "it hurts".
        verdict: The same in words, with the numbers that carry it.
        settings: Every setting of the variants with triples.
        out: Folder of the study.
    """

    model: str
    dataset: str
    metric: str
    on: str
    seeds: int
    means: dict[str, dict[str, float]]
    contrasts: tuple[Contrast, ...]
    answer: Literal["yes", "not the facts", "no", "it hurts"]
    verdict: str
    settings: dict[str, Any]
    out: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``kgrec ablate --json``."""
        return {**asdict(self), "out": str(self.out)}

    def to_frame(self) -> pl.DataFrame:
        """Return the differences as a frame."""
        return pl.DataFrame([asdict(contrast) for contrast in self.contrasts])


def ablate(
    data: "Dataset | str | PathLike[str]",
    model: str | type[Recommender],
    *,
    out: str | PathLike[str],
    seeds: int = 3,
    relations: int | Literal["all"] = 3,
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
    without_settings: Mapping[str, Any] | None = None,
    metric: str | None = None,
    on: Literal["test", "valid"] = "test",
    device: str = "auto",
    world: World | None = None,
) -> Ablation:
    """Train a model with the graph, without it, with shuffled triples and without single relations,
    and compare, paired by user and seed.

    Without the graph the same model is trained on the same dataset with no triples. Values per user
    are kept in ``out/runs``; the same call goes on where it was interrupted, or further with more
    seeds or relations. Where two seeds give the same values the model draws nothing, and only the
    shuffling is repeated. Users without training interactions are a group of their own: the
    verdict, and the means, are over the others.

    Args:
        data: A dataset with triples, or anything ``kgrec.load`` takes.
        model: Name in ``MODELS``, or a ``Recommender`` class.
        out: Folder of the study: ``runs``, ``differences.csv``, ``ablation.json``.
        seeds: Trainings of each variant, with seeds 0, 1, ...
        relations: How many of the largest relations to leave out, one at a time; "all" takes every
            one.
        preset: Named recipe of the model.
        settings: Settings by name.
        without_settings: Those that the variant without the graph has instead, where it was tuned
            by itself.
        metric: What the verdict is about, ``name@k``; None takes the one that the training
            validates by.
        on: "test" or "valid".
        device: "auto", "cpu" or "cuda".
        world: The processes that train the variants side by side, each of which calls this alike
            (``World.here()`` under ``torchrun``); None is this one alone.

    Raises:
        ConfigError: If the model uses no graph, or a setting, the metric or a number is out of
            range.
        DataError: If the dataset has no triples or nothing to evaluate on, or lacks what the model
            needs.
        CheckpointError: If ``out`` holds something else, or a study started otherwise.
        DivergedError: If a loss is not a finite number.
    """
    refuse_after_fork("Ablation")
    world = world or World()
    chosen = choose(model, preset, settings or {})
    bare = choose(model, preset, {**(settings or {}), **(without_settings or {})})
    for each in (chosen, bare):
        refuse_test_selection(each, "ablate")

    metric = metric or chosen.train.metric
    cutoffs_of(metric)
    _check_numbers(seeds, relations)

    whole = graph_dataset(data, chosen, on)
    started: dict[str, Any] = {
        "model": chosen.name,
        "dataset": fingerprint(whole),
        "metric": metric,
        "on": on,
    }

    started |= {
        "settings": plain(all_settings(chosen)),
        "without_settings": plain(all_settings(bare)),
    }
    with study_folder(Path(out), "ablate", started, world) as folder:
        variants = _variants(whole, chosen, bare, relations)
        study = Trainings(whole, variants, on, metric, world.place(device), folder, world)
        study.share(seeds)
        found = _sum_up(study, study.run(seeds), chosen, seeds)
        if not world.first:
            return found

        write_whole(folder / "differences.csv", lambda file: found.to_frame().write_csv(file))
        text = json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n"
        write_whole(folder / "ablation.json", lambda file: file.write_text(text, encoding="utf-8"))
        return found


def graph_dataset(
    data: "Dataset | str | PathLike[str]", chosen: Chosen, on: Literal["test", "valid"]
) -> Dataset:
    """Return a dataset whose graph can be ablated for a model.

    Raises:
        ConfigError: If the model uses no graph.
        DataError: If the dataset has no triples or nothing to evaluate on, or lacks what the model
            needs.
    """
    if not _reads_triples(chosen):
        known = ", ".join(
            name
            for name, entry in MODELS.items()
            if {"interactions", "triples"} <= set(entry.needs)
        )
        raise ConfigError(
            f"{chosen.name} uses no knowledge graph, so there is nothing to leave out. Ablate "
            f"one of {known}, or a model of histories with item_init=transe."
        )

    if isinstance(data, Dataset):
        whole = data
    else:
        whole = load(data)

    if not len(whole.triples):
        raise DataError(
            f"{whole.name} has no triples, so there is no graph to leave out. Build the dataset "
            "with --kg FILE."
        )

    check_needs(chosen.name, chosen.needs, whole)
    if not len(whole.test if on == "test" else whole.valid):
        raise DataError(
            f"{whole.name} has no interactions in its {on} part to evaluate on. Build it with "
            "--ratios 0.8,0.1,0.1."
        )

    return whole


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to train: its file name, its name in words, its settings, and what it makes of the
    dataset with a seed.

    Attributes:
        key: Name of its files.
        label: Name in words.
        chosen: Settings.
        make: Takes the dataset without a test part and a seed; returns what is trained on.
        draws: Whether ``make`` draws, or ``hold`` does.
        share: Share of the triples that ``make`` takes away or changes.
        hold: Takes the whole dataset and a seed before that; returns one with another test part.
    """

    key: str
    label: str
    chosen: Chosen
    make: Callable[[Dataset, int], Dataset]
    draws: bool = False
    share: float = 1.0
    hold: Callable[[Dataset, int], Dataset] = lambda given, seed: given


def _variants(
    data: Dataset, chosen: Chosen, bare: Chosen, relations: int | Literal["all"]
) -> list[Variant]:
    found = [
        Variant("graph", WITH, chosen, lambda given, seed: given),
        Variant("none", WITHOUT, bare, lambda given, seed: without_graph(given)),
        Variant("shuffled", SHUFFLED, chosen, _shuffled, draws=True),
    ]
    count = np.bincount(data.triples.relation, minlength=data.num_relations)
    order = [int(row) for row in np.argsort(-count, kind="stable") if count[row]]
    labels = [data.triples.relation_label(row) for row in order]
    for row, label in list(zip(order, labels, strict=True))[
        : None if relations == "all" else relations
    ]:
        if labels.count(label) == 1:
            name = label
        else:
            name = data.triples.relations.key(row)
        share = float(count[row] / count.sum())
        found.append(
            Variant(f"without-{row}", f"without {name}", chosen, _leaving_out(row), share=share)
        )

    return found


def _leaving_out(relation: int) -> Callable[[Dataset, int], Dataset]:
    return lambda given, seed: without_relation(given, relation)


def _shuffled(data: Dataset, seed: int) -> Dataset:
    return shuffle_triples(data, generator=numpy_generator(seed, "shuffled triples"))


@dataclass(slots=True)
class Trainings:
    """Trains each variant with each seed once, and keeps the values per user."""

    data: Dataset
    variants: list[Variant]
    on: Literal["test", "valid"]
    metric: str
    device: str
    folder: Path
    world: World = field(default_factory=World)

    def share(self, seeds: int) -> None:
        """Train, beside other processes, what ``run`` then reads: the first seed, and a second one of
        the first variant, which tells whether the model draws anything; then the rest.
        """
        if self.world.size == 1:
            return

        (self.folder / "runs").mkdir(exist_ok=True)
        numbers = range(len(self.variants))
        self._take("first", [(0, n) for n in numbers] + [(1, 0)][: seeds - 1], seeds)
        if seeds == 1:
            return

        one, two = (self._values(self.variants[0], seed, 0, seeds) for seed in (0, 1))
        draws = [n for n in numbers if self.variants[n].draws or not one.equals(two)]
        self._take("later", [(seed, n) for seed in range(1, seeds) for n in draws], seeds)

    def _take(self, name: str, jobs: list[tuple[int, int]], seeds: int) -> None:
        """Train what no other process has taken, and wait for the others."""
        name = f"{name}/{self.world.hear(time.time_ns())}"  # each study counts its own
        while (at := self.world.claim(name)) < len(jobs):
            seed, number = jobs[at]
            self._values(self.variants[number], seed, number, seeds)

        self.world.gather(None, patient=True)

    def run(self, seeds: int) -> dict[str, list[pl.DataFrame]]:
        """Return the values per user and group of items of each variant, by label, one frame per
        seed.
        """
        (self.folder / "runs").mkdir(exist_ok=True)
        found: dict[str, list[pl.DataFrame]] = {variant.label: [] for variant in self.variants}
        drawless = False

        for seed in range(seeds):
            for number, variant in enumerate(self.variants):
                frames = found[variant.label]
                frames.append(
                    frames[0]
                    if drawless and not variant.draws
                    else self._values(variant, seed, number, seeds)
                )
                drawless = drawless or (seed > 0 and number == 0 and frames[0].equals(frames[1]))

        return found

    def _values(self, variant: Variant, seed: int, number: int, seeds: int) -> pl.DataFrame:
        path = self.folder / "runs" / f"{variant.key}-{seed}.parquet"
        if path.exists():
            return stored_values(path, (self.metric,))

        began = time.monotonic()
        data = variant.hold(self.data, seed)
        run = fit_chosen(
            variant.chosen,
            variant.make(without_test(data), seed),
            device=self.device,
            seed=seed,
        )
        frame = values_by_group(
            served(run.model, run.scorer(), run.data),
            data,
            self.on,
            cutoffs_of(self.metric),
            tuple(dict.fromkeys((*STANDARD, self.metric.partition("@")[0]))),
        )
        write_whole(path, lambda file: write_parquet(frame, file))
        mean = (
            _of_known(data, frame.filter(pl.col("items") == EVERYTHING))[self.metric]
            .to_numpy()
            .mean()
        )
        at = seed * len(self.variants) + number + 1
        total = seeds * len(self.variants)
        seconds = time.monotonic() - began
        logger.info(
            "run %d of %d: %s, seed %d: %s %.4f, %.0f s",
            at,
            total,
            variant.label,
            seed,
            self.metric,
            mean,
            seconds,
        )

        return frame


def _sum_up(
    study: Trainings, values: Mapping[str, list[pl.DataFrame]], chosen: Chosen, seeds: int
) -> Ablation:
    metric = study.metric
    everything = {
        label: [
            _of_known(study.data, frame.filter(pl.col("items") == EVERYTHING)) for frame in frames
        ]
        for label, frames in values.items()
    }
    names = [name for name in everything[WITH][0].columns if name not in ("user", "items")]
    means = {
        label: {
            name: float(np.mean([frame[name].to_numpy().mean() for frame in frames]))
            for name in names
        }
        for label, frames in everything.items()
    }
    shares = {variant.label: variant.share for variant in study.variants}
    contrasts = tuple(
        replace(one, kger=kger(one.mean, means[WITH][metric], shares[one.second]))
        if one.first == WITH and one.group == EVERYTHING
        else one
        for one in _contrasts(study.data, values, metric)
    )
    answer, verdict = answer_of(contrasts, means[WITHOUT][metric], metric, seeds)
    strangers = next((contrast.users for contrast in contrasts if contrast.group == STRANGERS), 0)
    if strangers:
        verdict += (
            f" {strangers:,} users without training interactions are a group of their own "
            "and not in the verdict."
        )

    settings = plain(all_settings(chosen))
    out = study.folder

    return Ablation(
        chosen.name,
        study.data.name,
        metric,
        study.on,
        seeds,
        means,
        contrasts,
        answer,
        verdict,
        settings,
        out,
    )


def kger(lost: float, whole: float, share: float) -> float | None:
    """Return how efficiently knowledge is used: the share of a metric that is lost, over the share
    of the knowledge that is; None where either is of nothing.

    1 says that the metric falls in step with the knowledge, 0 that it does not matter, below 0 that
    the metric rises without it.

    Source: Zhang et al., KG4RecEval, TOIS 2025 (KG utilization efficiency in recommendation), in
    the form given here: docs/experiments.md.
    """
    if whole <= 0 or share <= 0:
        return None
    return lost / whole / share


_Values = Mapping[str, list[pl.DataFrame]]


def _contrasts(data: Dataset, values: _Values, metric: str) -> tuple[Contrast, ...]:
    """Return the differences between variants over everything, then by groups, then those of single
    relations.
    """
    users, whole, strangers = _table(data, values, EVERYTHING, metric)
    if len(strangers[WITH]) > 1:
        groups = [(STRANGERS, strangers)]
    else:
        groups = []

    groups += [
        (name, {label: rows[inside] for label, rows in whole.items()})
        for name, inside in user_groups(data, users).items()
    ]
    names = [
        name for name in values[WITH][0]["items"].unique(maintain_order=True) if name != EVERYTHING
    ]
    groups += [(name, _table(data, values, name, metric)[1]) for name in names]
    found: list[Contrast] = []

    for first, second in ((WITH, WITHOUT), (WITH, SHUFFLED), (SHUFFLED, WITHOUT)):
        found.append(_contrast(first, second, EVERYTHING, whole))
        found += _adjusted(
            [
                _contrast(first, second, name, table)
                for name, table in groups
                if len(table[first]) > 1
            ]
        )

    single = [label for label in values if label not in (WITH, WITHOUT, SHUFFLED)]
    return (*found, *_adjusted([_contrast(WITH, label, EVERYTHING, whole) for label in single]))


_Tables = dict[str, np.ndarray]


def _table(
    data: Dataset, values: _Values, items: str, metric: str
) -> tuple[np.ndarray, _Tables, _Tables]:
    """Return the users (rows) evaluated on a group of items who have training interactions, and each
    variant's values of the metric.

    Values are (users, seeds); those of the users without training interactions are the last.
    """
    tables = {}
    users = np.empty(0)

    for label, frames in values.items():
        ordered = [frame.filter(pl.col("items") == items).sort("user") for frame in frames]
        users = data.users.rows(ordered[0]["user"])
        tables[label] = np.stack([frame[metric].to_numpy() for frame in ordered], axis=1)

    known = _known(data, users)

    return (
        users[known],
        {label: rows[known] for label, rows in tables.items()},
        {label: rows[~known] for label, rows in tables.items()},
    )


def _known(data: Dataset, users: np.ndarray) -> np.ndarray:
    """Return which users (rows) have training interactions; all, where none has."""
    known: np.ndarray = with_interactions(data).users[users]
    if known.any():
        return known
    return ~known


def _of_known(data: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.Series(_known(data, data.users.rows(frame["user"]))))


def _contrast(first: str, second: str, group: str, tables: Mapping[str, np.ndarray]) -> Contrast:
    mean, low, high, p = paired_interval(
        tables[first] - tables[second], training_noise(list(tables.values()))
    )
    return Contrast(first, second, group, len(tables[first]), mean, low, high, p, p)


def _adjusted(contrasts: list[Contrast]) -> list[Contrast]:
    p = holm(np.array([contrast.p for contrast in contrasts]))
    return [
        replace(contrast, p_adjusted=float(value))
        for contrast, value in zip(contrasts, p, strict=True)
    ]


def training_noise(tables: Sequence[np.ndarray]) -> tuple[float, int] | None:
    """Return how much the difference of two variants' means varies from one seed to the next (a
    variance), and its degrees of freedom.

    It is taken to be the same for all variants: two trainings or three say little about one of
    them, but more about all together. What a seed does to all variants alike is left out. None
    where fewer than two variants vary at all.

    Args:
        tables: Values of each variant (users, seeds).
    """
    means = np.stack([table.mean(axis=0) for table in tables])
    means = means[np.ptp(means, axis=1) > 0]
    if means.shape[0] < 2:
        return None

    rest = means - means.mean(axis=0) - means.mean(axis=1, keepdims=True) + means.mean()
    freedom = (means.shape[0] - 1) * (means.shape[1] - 1)
    return 2 * float((rest**2).sum()) / freedom, freedom


def paired_interval(
    differences: np.ndarray, noise: tuple[float, int] | None = None, confidence: float = _CONFIDENCE
) -> tuple[float, float, float, float]:
    """Return the mean of differences (users, seeds), its interval and the two-sided p of no
    difference.

    Users and seeds both count as drawn at random: the variance of the mean is that of a two-way
    layout with random rows and columns and one value in each cell, its degrees of freedom by
    Satterthwaite. With one seed, or where seeds do not differ beyond what users do within them, it
    is the t interval over the users' means.

    Args:
        differences: Paired differences, float64.
        noise: Variance between seeds of the mean over users and its degrees of freedom, see
            ``training_noise``; None takes that of ``differences`` alone.
        confidence: Share of intervals that hold the true mean, in (0, 1).

    Raises:
        DataError: If there are fewer than two users.

    Source: Scheffe, The Analysis of Variance, 1959, Section 7.4; Satterthwaite, Biometrics Bulletin
    1946.
    """
    users, seeds = differences.shape
    if users < 2:
        raise DataError("a difference needs at least two users. Evaluate on a larger part.")

    mean = float(differences.mean())
    rows = differences.mean(axis=1, keepdims=True)
    columns = differences.mean(axis=0, keepdims=True)
    by_user = float(((rows - mean) ** 2).sum()) / (users - 1) / users
    variance = by_user
    freedom = float(users - 1)

    if seeds > 1 and np.ptp(columns) > 0:
        spread, spread_freedom = noise or (
            float(((columns - mean) ** 2).sum()) / (seeds - 1),
            seeds - 1,
        )
        within_freedom = (users - 1) * (seeds - 1)
        within = (
            float(((differences - rows - columns + mean) ** 2).sum())
            / within_freedom
            / (users * seeds)
        )
        if spread / seeds > within:
            variance = by_user + spread / seeds - within
            parts = (
                by_user**2 / (users - 1),
                (spread / seeds) ** 2 / spread_freedom,
                within**2 / within_freedom,
            )
            freedom = variance**2 / sum(parts)

    if variance <= 0:
        return mean, mean, mean, float(mean == 0)

    half = float(scipy.stats.t.ppf((1 + confidence) / 2, freedom)) * variance**0.5
    return (
        mean,
        mean - half,
        mean + half,
        float(2 * scipy.stats.t.sf(abs(mean) / variance**0.5, freedom)),
    )


def answer_of(
    contrasts: Sequence[Contrast], base: float, metric: str, seeds: int
) -> tuple[Literal["yes", "not the facts", "no", "it hurts"], str]:
    """Return the answer to "does the graph help here?", short and in words.

    Args:
        contrasts: Every difference.
        base: Mean of the metric without the graph.
        metric: Its name.
        seeds: Trainings behind each variant.
    """
    none, shuffled, noise = (
        _find(contrasts, first, second)
        for first, second in ((WITH, WITHOUT), (WITH, SHUFFLED), (SHUFFLED, WITHOUT))
    )
    if abs(none.mean) < 10 * base:
        share = f", {100 * none.mean / base:+.1f} %"
    else:
        share = ""

    over = f"{_in_words(none, metric, share)} over no graph"
    against = f"{_in_words(shuffled, metric)} over shuffled triples"
    answer: Literal["yes", "not the facts", "no", "it hurts"]

    if none.low > 0 and shuffled.low > 0:
        answer = "yes"
        text = f"Yes. The graph adds {over}, and {against}: the gain comes from what the facts say."
    elif none.low > 0:
        answer = "not the facts"
        text = (
            f"Not by what it says. The graph adds {over}, but {against}: facts at random do "
            "as well, as far as can be measured."
        )
    elif none.high < 0:
        answer = "it hurts"
        text = f"No, it hurts. The graph changes the result by {over}, and by {against}."
    else:
        answer = "no"
        text = (
            f"No gain shown. The graph changes the result by {over}, within chance; it is "
            f"{against}."
        )
        if noise.high < 0:
            text += f" Facts at random do harm ({_in_words(noise, metric)} over no graph)."

    return answer, " ".join([text, *_where(contrasts), *_which(contrasts), *_caution(seeds)])


def _in_words(contrast: Contrast, metric: str, more: str = "") -> str:
    return (
        f"{contrast.mean:+.4f} {metric} (95 % interval {contrast.low:+.4f} to "
        f"{contrast.high:+.4f}{more})"
    )


def _find(contrasts: Sequence[Contrast], first: str, second: str) -> Contrast:
    return next(c for c in contrasts if (c.first, c.second, c.group) == (first, second, EVERYTHING))


def _where(contrasts: Sequence[Contrast]) -> list[str]:
    """Return a sentence on the groups that differ beyond chance, over no graph."""
    groups = [
        c for c in contrasts if (c.first, c.second) == (WITH, WITHOUT) and c.group != EVERYTHING
    ]
    sure = sorted((c for c in groups if c.p_adjusted < _LEVEL), key=lambda c: -c.mean)
    if not sure:
        if groups:
            return ["By itself no group of users or items differs beyond chance."]
        return []

    return ["Beyond chance by group: " + ", ".join(f"{c.group} {c.mean:+.4f}" for c in sure) + "."]


def _which(contrasts: Sequence[Contrast]) -> list[str]:
    """Return a sentence on the relations whose loss costs something."""
    single = [c for c in contrasts if c.second not in (WITHOUT, SHUFFLED)]
    sure = sorted((c for c in single if c.p_adjusted < _LEVEL), key=lambda c: -c.mean)
    if not single:
        return []
    if not sure:
        return [f"Of {len(single)} relations left out one at a time, none matters beyond chance."]

    costs = ", ".join(f"{c.second} {-c.mean:+.4f}" for c in sure)
    return [f"Of {len(single)} relations left out one at a time, these matter: {costs}."]


def _caution(seeds: int) -> list[str]:
    if seeds == 1:
        return ["One seed only: the intervals know users, not how much trainings differ."]
    return []


def _reads_triples(chosen: Chosen) -> bool:
    """Return whether a model may read triples: its entry says so, it starts from them, or it comes
    from outside.
    """
    if chosen.name not in MODELS or {"triples", "texts"} & set(MODELS[chosen.name].needs):
        return True
    return getattr(chosen.config, "item_init", "") in ("transe", "complex")


def cutoffs_of(metric: str) -> tuple[int, ...]:
    """Return the cutoffs to evaluate at for a metric, its own and the usual ones.

    Raises:
        ConfigError: If it is no ranking metric with a cutoff.
    """
    name, _, cut = metric.partition("@")
    if not cut.isdigit() or int(cut) < 1:
        raise ConfigError(f"metric {metric!r} is not of the form name@k, for instance ndcg@10.")
    ranking_metric(name)
    return tuple(sorted({*CUTOFFS, int(cut)}))


def _check_numbers(seeds: int, relations: int | Literal["all"]) -> None:
    if seeds < 1:
        raise ConfigError(f"{seeds} seeds: take at least 1.")
    if relations != "all" and relations < 0:
        raise ConfigError(f'{relations} relations: take 0 or more, or "all".')
