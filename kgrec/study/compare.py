"""Runs side by side, and whether their differences are more than chance."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import polars as pl

from kgrec.errors import ConfigError, DataError, nearest
from kgrec.evaluation.metrics import RANKING, STANDARD
from kgrec.evaluation.report import Report
from kgrec.evaluation.significance import Difference, holm, paired
from kgrec.notebook import html_table
from kgrec.process import refuse_after_fork
from kgrec.random import numpy_generator
from kgrec.runs.run import Run
from kgrec.training.config import LOWER_IS_BETTER, TEST_SELECTED

LEVEL = 0.05
NO_DIFFERENCE = "no difference that these users can show"
_COUNTS = ("relevant", "positive", "negative", "impression", "shown", "clicked")


@dataclass(frozen=True, slots=True)
class Entry:
    """One model with one choice of settings, over all its seeds.

    Attributes:
        name: Name in tables, distinct.
        model: Name of the model.
        seeds: Seeds of its runs.
        folders: Where they are stored, as text; empty for runs that are not.
        metrics: Mean over the seeds by name.
        spread: Standard deviation over the seeds by name; empty for one seed.
        per_user: Values per user, averaged over the seeds.
        everyone: Mean over all users, those without training interactions included; empty if
            there are none such.
        strangers: Mean over the users without training interactions.
        test_selected: Whether their epochs were chosen by the test part; the name says so, too.
    """

    name: str
    model: str
    seeds: tuple[int, ...]
    folders: tuple[str, ...]
    metrics: dict[str, float]
    spread: dict[str, float]
    per_user: pl.DataFrame
    everyone: dict[str, float] = field(default_factory=dict)
    strangers: dict[str, float] = field(default_factory=dict)
    test_selected: bool = False


@dataclass(frozen=True, slots=True)
class Contrast:
    """One entry against the one that all are compared with, by one metric.

    Attributes:
        run: Name of the entry.
        metric: Name of the metric.
        difference: Entry minus the other, over paired users.
        p_t: p of the t-test, corrected for all tests that were asked for; None where this metric
            was not among them.
        p_wilcoxon: The same of Wilcoxon's test.
        verdict: "ahead", "behind" or that there is nothing to see, by the corrected t-test at .05;
            None where not tested.
    """

    run: str
    metric: str
    difference: Difference
    p_t: float | None
    p_wilcoxon: float | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side.

    Attributes:
        dataset: Name of the dataset.
        split: "test" or "valid".
        protocol: How they were evaluated.
        users: Users they were paired by; impressions or triples where those were evaluated.
        strangers: Users without training interactions, who are reported separately: no training moves
            what they get.
        against: Name of the entry that the others are compared with.
        tested: Metrics that were tested.
        entries: The runs, seeds of one model taken together.
        contrasts: Every other entry against that one, by every metric that has values per user.
        notes: What a reader must know, in sentences.
    """

    dataset: str
    split: str
    protocol: str
    users: int
    against: str
    tested: tuple[str, ...]
    entries: tuple[Entry, ...]
    contrasts: tuple[Contrast, ...]
    notes: tuple[str, ...]
    strangers: int = 0

    @property
    def unit(self) -> str:
        """What the runs are paired by: "users", "impressions" or "triples"."""
        if self.protocol in ("impressions", "triples"):
            return self.protocol
        return "users"

    def _repr_html_(self) -> str:
        names = dict.fromkeys(name for entry in self.entries for name in entry.metrics)
        means = [(name, *(entry.metrics.get(name) for entry in self.entries)) for name in names]
        title = f"{self.dataset}, {self.split}, {self.users:,} {self.unit}, {self.protocol}"
        shown = html_table(title, ("metric", *(entry.name for entry in self.entries)), means)
        tested = [
            (
                c.run,
                c.metric,
                c.difference.mean,
                c.difference.low,
                c.difference.high,
                None if c.p_t is None else f"{c.p_t:.2g}",
                c.verdict,
            )
            for c in self.contrasts
            if c.verdict is not None
        ]
        columns = ("run", "metric", "difference", "from", "to (95 %)", "p (t, Holm)", "verdict")
        against = f"Against {self.against}, paired by {self.unit}"
        return shown + html_table(against, columns, tested, self.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the values per user, JSON-ready: the form of
        ``kgrec compare --json``.
        """
        runs = [
            {
                "name": e.name,
                "model": e.model,
                "seeds": list(e.seeds),
                "folders": list(e.folders),
                "metrics": e.metrics,
                "spread": e.spread,
            }
            | {"all_users": e.everyone or e.metrics, "cold_users": e.strangers}
            | ({"selection": TEST_SELECTED} if e.test_selected else {})
            for e in self.entries
        ]

        differences = [
            {"run": c.run, "metric": c.metric, **asdict(c.difference)}
            | {"p_t_corrected": c.p_t, "p_wilcoxon_corrected": c.p_wilcoxon, "verdict": c.verdict}
            for c in self.contrasts
        ]

        record = {
            name: getattr(self, name)
            for name in ("dataset", "split", "protocol", "users", "against")
        }

        return record | {
            "cold_users": self.strangers,
            "tested": list(self.tested),
            "correction": "holm",
            "confidence": 0.95,
            "runs": runs,
            "differences": differences,
            "notes": list(self.notes),
        }


def compare(
    runs: Sequence[Run],
    *,
    on: Literal["test", "valid"] = "test",
    k: Sequence[int] | None = None,
    protocol: str = "ranking",
    metrics: Sequence[str] = (),
    against: Literal["first", "best"] = "first",
    seed: int = 0,
) -> Comparison:
    """Evaluate runs on the same held-out users and test their differences from one of them, paired by
    user.

    Runs that differ in nothing but the seed are one entry: their values are averaged per user
    before they are paired. Intervals are 95 % bootstrap intervals over users, each by itself. Users
    without training interactions, whom every model would answer by its fallback, are reported separately,
    and no verdict rests on them. The p-values are two-sided, corrected (Holm) over all entries and
    tested metrics.

    Args:
        runs: At least two, of one dataset.
        on: "test" or "valid".
        k: Cutoffs of ranking metrics; see ``Run.evaluate``.
        protocol: See ``Run.evaluate``.
        metrics: Metrics to test; where empty, the one that stands for the protocol, for instance
            ndcg at the first cutoff.
        against: What to compare with: the first run, or the best by the first tested metric.
        seed: Seed of resamples and of sampled negatives.

    Raises:
        ConfigError: If there are fewer than two runs, or a metric is not among those that have a
            value per user.
        DataError: If the runs are of different datasets or splits.
    """
    refuse_after_fork("Comparing runs")
    if len(runs) < 2:
        raise ConfigError("there is nothing to compare with. Name at least two runs.")

    for one, other in pairwise(runs):
        check_same_data(one, other)

    if protocol == "ranking":
        k = (*(k or (10, 20)), *map(_cutoff, metrics))

    reported = (*STANDARD, *(name.partition("@")[0] for name in metrics))
    settings: dict[str, Any] = (
        {"beyond": True, "metrics": reported} if protocol == "ranking" else {}
    )
    reports = [run.evaluate(on, k, protocol=protocol, seed=seed, **settings) for run in runs]
    for report in reports[1:]:
        _check_same_users(reports[0], report)

    if reports[0].warm_user_part.users:
        strangers = reports[0].cold_users
    else:
        strangers = 0

    entries = _entries(runs, reports)
    columns = [name for name in reports[0].metrics if name in reports[0].per_user.columns]
    tested = tuple(dict.fromkeys(metrics)) or _telling(columns)
    for name in tested:
        if name not in columns:
            raise ConfigError(
                f"metric {name!r} has no value per user here. Choose from "
                f"{', '.join(columns)}.{nearest(name, columns)}"
            )

    if against == "first":
        base = entries[0]
    else:
        base = max(entries, key=lambda entry: _goodness(entry, tested[0]))

    contrasts = _contrasts(
        base, [entry for entry in entries if entry is not base], columns, tested, seed
    )

    return Comparison(
        dataset=runs[0].data.name,
        split=on,
        protocol=protocol,
        users=entries[0].per_user.height,
        against=base.name,
        tested=tested,
        entries=tuple(entries),
        contrasts=tuple(contrasts),
        notes=tuple(dict.fromkeys(note for report in reports for note in report.notes))
        + _notes(entries, against, strangers),
        strangers=strangers,
    )


def _cutoff(metric: str) -> int:
    """Return the cutoff of a ranking metric's name."""
    name, _, cut = metric.partition("@")
    if name not in RANKING or not (cut.isascii() and cut.isdigit() and int(cut)):
        raise ConfigError(
            f"metric {metric!r} is not {', '.join(RANKING)} with a cutoff, for instance "
            f"ndcg@10.{nearest(name, RANKING)}"
        )

    return int(cut)


def _telling(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the metric that stands for a protocol."""
    wanted = [
        *(name for name in columns if name.startswith("ndcg@")),
        "user_auc",
        "auc",
        "mrr",
        *columns,
    ]
    return (next(name for name in wanted if name in columns),)


def _goodness(entry: Entry, metric: str) -> float:
    if metric in LOWER_IS_BETTER:
        return -entry.metrics[metric]
    return entry.metrics[metric]


def check_same_data(one: Run, other: Run) -> None:
    """Refuse runs of different datasets or splits.

    Raises:
        DataError: If they are.
    """
    sums = [str(run.dataset.get("checksum") or "") for run in (one, other)]
    if any(sums):
        same = sums[0] == sums[1]
    else:
        same = _same_parts(one, other)

    if not same:
        names = [
            f"{_place(run)} ({run.dataset.get('name')}, checksum {total[:12] or 'none'})"
            for run, total in zip((one, other), sums, strict=True)
        ]
        raise DataError(
            f"{names[0]} and {names[1]} are of different datasets or splits. Train them on one "
            "built dataset."
        )


def _same_parts(one: Run, other: Run) -> bool:
    """Return whether two datasets that were never saved hold out the same."""
    first = one.data
    second = other.data
    same = len(first.users) == len(second.users) and len(first.items) == len(second.items)

    return same and all(
        np.array_equal(getattr(first.test, name), getattr(second.test, name))
        for name in ("user", "item")
    )


def _check_same_users(one: Report, other: Report) -> None:
    key = one.per_user.columns[0]
    counts = [key, *(name for name in _COUNTS if name in one.per_user.columns)]
    if not one.per_user.select(counts).equals(other.per_user.select(counts)):
        raise DataError(
            "the runs were evaluated on different users or items, although their datasets are the "
            "same. Train them again."
        )


def _place(run: Run) -> str:
    if run.path:
        return str(run.path)
    return f"the {run.name} run"


def _entries(runs: Sequence[Run], reports: Sequence[Report]) -> list[Entry]:
    """Return the runs, those that differ only in their seeds taken together."""
    groups: dict[str, list[int]] = {}
    for at, run in enumerate(runs):
        settings = json.dumps(
            [run.name, asdict(run.config), asdict(run.train_config)], sort_keys=True, default=str
        )
        taken = groups.get(settings, [])
        if run.seed in [runs[other].seed for other in taken]:
            settings = f"{settings} {at}"  # the same run twice is no second seed

        groups.setdefault(settings, []).append(at)

    names = _names([runs[group[0]] for group in groups.values()])

    return [
        _entry(name, [runs[at] for at in group], [reports[at] for at in group])
        for name, group in zip(names, groups.values(), strict=True)
    ]


def _names(runs: Sequence[Run]) -> list[str]:
    """Return distinct names: the model's, with the folder's where several have it, with a number
    where that does not do.
    """
    models = [
        f"{run.name} ({TEST_SELECTED})" if run.train_config.test_selected else run.name
        for run in runs
    ]
    names = [
        f"{name} ({run.path.name})" if models.count(name) > 1 and run.path else name
        for name, run in zip(models, runs, strict=True)
    ]

    return [
        f"{name} #{names[: at + 1].count(name)}" if names.count(name) > 1 else name
        for at, name in enumerate(names)
    ]


def _entry(name: str, runs: Sequence[Run], reports: Sequence[Report]) -> Entry:
    rows = [{**report.metrics, **report.beyond} for report in reports]
    apart = bool(reports[0].cold_users and reports[0].warm_user_part.users)
    if apart:
        everyone = _means([report.metrics for report in reports])
        strangers = _means([r.cold_user_part.metrics for r in reports])
    else:
        everyone = {}
        strangers = {}

    if apart:
        rows = [
            one | report.warm_user_part.metrics for one, report in zip(rows, reports, strict=True)
        ]

    values = {
        metric: [one[metric] for one in rows]
        for metric in rows[0]
        if all(metric in one for one in rows)
    }
    if len(reports) > 1:
        spread = {metric: float(np.std(found, ddof=1)) for metric, found in values.items()}
    else:
        spread = {}

    first = reports[0].per_user
    if apart:
        kept = ~first["cold"]
    else:
        kept = pl.Series([True] * first.height, dtype=pl.Boolean)

    columns = [metric for metric in reports[0].metrics if metric in first.columns]
    means = {
        metric: np.mean([_column(r.per_user, metric) for r in reports], axis=0)
        for metric in columns
    }

    return Entry(
        name=name,
        model=runs[0].name,
        seeds=tuple(run.seed for run in runs),
        folders=tuple(str(run.path) for run in runs if run.path),
        metrics={metric: float(np.mean(found)) for metric, found in values.items()},
        spread=spread,
        per_user=first.with_columns(
            pl.Series(metric, mean) for metric, mean in means.items()
        ).filter(kept),
        everyone=everyone,
        strangers=strangers,
        test_selected=runs[0].train_config.test_selected,
    )


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {metric: float(np.mean([one[metric] for one in rows])) for metric in rows[0]}


def _column(frame: pl.DataFrame, name: str) -> np.ndarray:
    """Return a column of values per user as float64, NaN if there is none."""
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _contrasts(
    base: Entry, others: Sequence[Entry], columns: Sequence[str], tested: Sequence[str], seed: int
) -> list[Contrast]:
    found: list[tuple[str, str, Difference]] = []
    for entry in others:
        gaps = np.stack(
            [_column(entry.per_user, name) - _column(base.per_user, name) for name in columns],
            axis=1,
        )
        results = paired(gaps, generator=numpy_generator(seed, "bootstrap"))
        found += [(entry.name, name, result) for name, result in zip(columns, results, strict=True)]

    requested = [metric in tested for _, metric, _ in found]
    p_t, p_wilcoxon = (
        holm(
            np.array(
                [getattr(d, test) for (_, _, d), ask in zip(found, requested, strict=True) if ask]
            )
        )
        for test in ("p_t", "p_wilcoxon")
    )
    corrected = iter(zip(p_t.tolist(), p_wilcoxon.tolist(), strict=True))
    contrasts = []

    for (run, metric, difference), ask in zip(found, requested, strict=True):
        if ask:
            t, wilcoxon = next(corrected)
        else:
            t = None
            wilcoxon = None

        if t is None:
            verdict = None
        else:
            verdict = _verdict(difference.mean, t, metric)

        contrasts.append(Contrast(run, metric, difference, t, wilcoxon, verdict))

    return contrasts


def _verdict(mean: float, p: float, metric: str) -> str:
    if not p < LEVEL:
        return NO_DIFFERENCE
    if (mean > 0) != (metric in LOWER_IS_BETTER):
        return "ahead"
    return "behind"


def _notes(entries: Sequence[Entry], against: str, strangers: int) -> tuple[str, ...]:
    notes = []
    if strangers:
        notes.append(
            f"Verdicts rest on the {entries[0].per_user.height:,} users with training "
            f"interactions; the {strangers:,} without are reported "
            "apart."
        )

    chosen = [entry.test_selected for entry in entries]
    if any(chosen) and not all(chosen):
        names = ", ".join(entry.name for entry in entries if entry.test_selected)
        notes.append(
            f"No fair comparison: {names} saw the test part when the epoch was chosen, the "
            "others did not."
        )

    if any(len(entry.seeds) > 1 for entry in entries):
        notes.append(
            "Several seeds: values are means over seeds, ± their standard deviation; users' "
            "values are averaged over seeds before pairing."
        )

    if against == "best":
        notes.append(
            "The best was chosen on the same users it is compared on, which favors it a little."
        )

    return tuple(notes)
