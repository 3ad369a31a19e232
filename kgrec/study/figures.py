"""What the trainings of an experiment come to: means with intervals, corrected differences, ranks,
groups and learning curves.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import scipy  # `scipy.stats` is imported when it is first used

from kgrec.data.derive.variants import user_groups
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import with_interactions
from kgrec.errors import DataError
from kgrec.evaluation.significance import holm
from kgrec.study.ablate import paired_interval, training_noise
from kgrec.study.experiment import Experiment
from kgrec.study.values import EVERYTHING
from kgrec.training.config import LOWER_IS_BETTER, TEST_SELECTED

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """One training.

    Attributes:
        data: Name of the data set.
        model: Name of the row.
        seed: Its seed.
        values: Values per user and group of items.
        record: Settings, history by epoch, summary.
    """

    data: str
    model: str
    seed: int
    values: pl.DataFrame
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """A cell of the results' table.

    Attributes:
        data: Name of the data set.
        model: Name of the row.
        metric: Name of the column.
        mean: Mean over users and seeds.
        low: Lower end of its 95 % interval, over users and seeds.
        high: Upper end.
        spread: Standard deviation of the seeds' means; 0 for one seed.
        seeds: Number of seeds.
        users: Number of users.
        best: Whether no row of the data set has a better mean.
        note: "test-selected" or "cut", else "".
    """

    data: str
    model: str
    metric: str
    mean: float
    low: float
    high: float
    spread: float
    seeds: int
    users: int
    best: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A row against the one that all are compared with, paired by user and seed.

    Attributes:
        data: Name of the data set.
        model: Name of the row.
        against: Name of the one that is subtracted.
        metric: Name of the metric.
        mean: Mean difference.
        low: Lower end of its 95 % interval, by itself.
        high: Upper end.
        p: Two-sided p of no difference.
        p_adjusted: The same after Holm's correction over the rows and metrics of the data set.
        verdict: "ahead", "behind", or "no difference shown", by the corrected p at .05.
    """

    data: str
    model: str
    against: str
    metric: str
    mean: float
    low: float
    high: float
    p: float
    p_adjusted: float
    verdict: Literal["ahead", "behind", "no difference shown"] = "no difference shown"


@dataclass(frozen=True, slots=True)
class Ranks:
    """Mean ranks of the rows over users, and the difference that chance may make.

    Attributes:
        data: Name of the data set.
        metric: What they are ranked by.
        users: Users that each rank all rows; ties share the mean of their ranks.
        mean: Mean rank by row, 1 the best.
        p: Of Friedman's test that all rows are alike; 1 where no user tells any two apart.
        critical: Nemenyi's critical difference at .05: mean ranks further apart differ.
    """

    data: str
    metric: str
    users: int
    mean: dict[str, float]
    p: float
    critical: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What an experiment found.

    Attributes:
        experiment: What was run.
        figures: Cells of the results' table, in the file's order.
        gaps: Corrected differences.
        ranks: One for each data set.
        groups: The first metric of each row by group of users or items: columns ``data``,
            ``group``, ``users``, ``model``, ``mean``, ``low``, ``high``.
        curves: What training measured: columns ``data``, ``model``, ``seed``, ``epoch``,
            ``metric``, ``value``.
        costs: By data set and row: ``seconds`` and ``epochs`` of a training (means),
            ``parameters``.
        notes: What a reader must know, in sentences.
        out: Folder.
    """

    experiment: Experiment
    figures: tuple[Figure, ...]
    gaps: tuple[Gap, ...]
    ranks: tuple[Ranks, ...]
    groups: pl.DataFrame
    curves: pl.DataFrame
    costs: pl.DataFrame
    notes: tuple[str, ...]
    out: Path

    def figure(self, data: str, model: str, metric: str) -> Figure:
        """Return a cell of the results' table.

        Raises:
            KeyError: If there is no such cell.
        """
        for one in self.figures:
            if (one.data, one.model, one.metric) == (data, model, metric):
                return one
        raise KeyError((data, model, metric))

    def to_dict(self) -> dict[str, Any]:
        """Return the form of ``kgrec run --json``."""
        return {
            "experiment": self.experiment.name,
            "on": self.experiment.on,
            "protocol": self.experiment.protocol,
            "seeds": list(self.experiment.seeds),
            "budget": asdict(self.experiment.budget),
            "results": [asdict(one) for one in self.figures],
            "differences": [asdict(one) for one in self.gaps],
            "ranks": [asdict(one) for one in self.ranks],
            "groups": self.groups.to_dicts(),
            "costs": self.costs.to_dicts(),
            "notes": list(self.notes),
            "out": str(self.out),
        }


def sum_up(
    experiment: Experiment, data: Mapping[str, Dataset], cells: Sequence[Cell], out: Path
) -> Bench:
    """Return what the trainings come to.

    Args:
        experiment: What was run.
        data: Data sets by name.
        cells: Every training.
        out: Folder of the experiment.

    Raises:
        DataError: If rows were evaluated on different users.
    """
    figures: list[Figure] = []
    gaps: list[Gap] = []
    ranks: list[Ranks] = []
    groups: list[dict[str, Any]] = []
    notes: list[str] = []
    for name, each in data.items():
        table = _Table(experiment, each, name, [cell for cell in cells if cell.data == name])
        figures += table.figures()
        gaps += table.gaps()
        ranks += table.ranks()
        groups += table.groups()
        if table.strangers:
            notes.append(
                f"{name}: figures are of the {table.users:,} users with training interactions; "
                f"{table.strangers:,} without are left out."
            )

    return Bench(
        experiment,
        tuple(figures),
        tuple(gaps),
        tuple(ranks),
        pl.DataFrame(groups, schema=_GROUPS, orient="row"),
        _curves(cells),
        _costs(cells),
        (*notes, *_notes(experiment, figures)),
        out,
    )


_GROUPS = {
    "data": pl.String,
    "group": pl.String,
    "users": pl.Int64,
    "model": pl.String,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


class _Table:
    """The values of one data set: by metric and row an array (users, seeds)."""

    def __init__(
        self, experiment: Experiment, data: Dataset, name: str, cells: Sequence[Cell]
    ) -> None:
        self.experiment = experiment
        self.data = data
        self.name = name
        self.rows = [model.name for model in experiment.models]
        self.cells = {row: [cell for cell in cells if cell.model == row] for row in self.rows}
        keys, self.whole = self._values(EVERYTHING)
        self.rows_of_users = np.empty(0, dtype=np.int64)
        if keys:
            self.rows_of_users = data.users.rows(keys)

        self.users = len(keys)
        first = self.cells[self.rows[0]][0].values
        everyone = first.filter(pl.col("items") == EVERYTHING)["user"].to_list()
        self.strangers = int((~self._known(everyone)).sum())

    def figures(self) -> list[Figure]:
        found = []
        for metric in self.experiment.metrics:
            means = {row: float(self.whole[metric][row].mean()) for row in self.rows}
            best = max(means.values())
            if metric in LOWER_IS_BETTER:
                best = min(means.values())

            for row in self.rows:
                values = self.whole[metric][row]
                mean, low, high, _ = _interval(values)
                by_seed = values.mean(axis=0)
                spread = 0.0
                if np.ptp(by_seed) > 0:
                    spread = float(by_seed.std(ddof=1))

                figure = Figure(self.name, row, metric, mean, low, high, spread, *values.T.shape)
                found.append(
                    replace(figure, best=math.isclose(mean, best), note=_note(self.cells[row]))
                )

        return found

    def gaps(self) -> list[Gap]:
        """Return every row against the one to compare with, corrected over all of them."""
        if len(self.rows) < 2 or self.users < 2:
            return []

        base = self._against()
        found = []
        for metric in self.experiment.metrics:
            tables = self.whole[metric]
            noise = training_noise(list(tables.values()))
            for row in self.rows:
                if row != base:
                    numbers = paired_interval(tables[row] - tables[base], noise)
                    found.append(Gap(self.name, row, base, metric, *numbers, numbers[-1]))

        adjusted = holm(np.array([gap.p for gap in found])).tolist()
        return [_decided(gap, p) for gap, p in zip(found, adjusted, strict=True)]

    def ranks(self) -> list[Ranks]:
        metric = self.experiment.metrics[0]
        values = np.stack([self.whole[metric][row].mean(axis=1) for row in self.rows], axis=1)
        if values.shape[1] < 2 or values.shape[0] < 2:
            return []

        if metric not in LOWER_IS_BETTER:
            values = -values
        return [_ranked(self.name, metric, self.rows, values)]

    def groups(self) -> list[dict[str, Any]]:
        """Return the first metric by quarters of users, and by groups of items."""
        metric = self.experiment.metrics[0]
        by_users: dict[str, np.ndarray] = {}
        if self.users:
            by_users = user_groups(self.data, self.rows_of_users)

        parts = {
            name: {row: self.whole[metric][row][inside] for row in self.rows}
            for name, inside in by_users.items()
        }
        names = self.cells[self.rows[0]][0].values["items"].unique(maintain_order=True).to_list()
        parts |= {name: self._values(name)[1][metric] for name in names if name != EVERYTHING}
        found = []
        for group, tables in parts.items():
            for row, values in tables.items():
                if not len(values):  # of users without training interactions alone
                    continue
                mean, low, high, _ = _interval(values)
                one = {"data": self.name, "group": group, "users": len(values), "model": row}
                found.append(one | {"mean": mean, "low": low, "high": high})

        return found

    def _against(self) -> str:
        """Return the row to compare with: the named one, else the best on the validation part by the
        first metric, or by what training validates by where that was not measured there; where
        nothing was, the first.
        """
        if self.experiment.against is not None:
            return self.experiment.against

        trained = [cell.record["metric"] for cells in self.cells.values() for cell in cells]
        for metric in (self.experiment.metrics[0], trained[0]):
            sign = 1
            if metric in LOWER_IS_BETTER:
                sign = -1

            values = {
                row: sign * float(np.mean([_valid(cell, metric) for cell in cells]))
                for row, cells in self.cells.items()
            }
            known = {row: value for row, value in values.items() if math.isfinite(value)}
            if known:
                return max(known, key=lambda row: known[row])

        return self.rows[0]

    def _values(self, items: str) -> tuple[list[str], dict[str, dict[str, np.ndarray]]]:
        """Return users with training interactions, and their values by metric and row."""
        metrics = list(self.experiment.metrics)
        frames = {
            row: [
                cell.values.filter(pl.col("items") == items).sort("user").select("user", *metrics)
                for cell in cells
            ]
            for row, cells in self.cells.items()
        }
        first = frames[self.rows[0]][0]["user"]
        for row, each in frames.items():
            if any(not frame["user"].equals(first) for frame in each):
                raise DataError(
                    f"{row} was evaluated on other users of {self.name} than {self.rows[0]}. Run "
                    "the experiment again in another folder."
                )

        kept = self._known(first.to_list())
        for frame in (frame for each in frames.values() for frame in each):
            for metric in metrics:  # an AUC needs something liked and something not
                kept &= frame[metric].is_not_null().to_numpy()

        values = {
            metric: {
                row: np.stack([frame[metric].to_numpy()[kept] for frame in each], axis=1)
                for row, each in frames.items()
            }
            for metric in metrics
        }
        return first.filter(pl.Series(kept)).to_list(), values

    def _known(self, users: list[str]) -> np.ndarray:
        """Return which users have training interactions; all, where none has."""
        if not users:
            return np.empty(0, dtype=bool)

        known = with_interactions(self.data).users
        inside: np.ndarray = known[self.data.users.rows(users)]
        if known.any() and inside.any():
            return inside
        return np.ones(len(users), dtype=bool)


def critical_difference(rows: int, blocks: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at .05.

    >>> round(critical_difference(5, 30), 3)
    1.114

    Source: Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006,
    Section 3.2.2.
    """
    quantile = scipy.stats.studentized_range.ppf(1 - LEVEL, rows, np.inf) / math.sqrt(2)
    return float(quantile * math.sqrt(rows * (rows + 1) / (6 * blocks)))


def _ranked(data: str, metric: str, rows: Sequence[str], values: np.ndarray) -> Ranks:
    """Return the mean ranks of columns, the least value first, and Friedman's test of them.

    Source: Friedman, JASA 1937, with the correction for ties of Hollander and Wolfe,
    Nonparametric Statistical Methods, Section 7.1.
    """
    ranks = scipy.stats.rankdata(values, axis=1)  # (users, rows)
    users, count = ranks.shape
    mean = ranks.mean(axis=0)
    between = users * float(((mean - (count + 1) / 2) ** 2).sum())
    within = float(((ranks - (count + 1) / 2) ** 2).sum()) / (users * (count - 1))
    p = 1.0
    if within > 0:
        p = float(scipy.stats.chi2.sf(between / within, count - 1))

    by_row = dict(zip(rows, mean.tolist(), strict=True))
    return Ranks(data, metric, users, by_row, p, critical_difference(count, users))


def _decided(gap: Gap, p: float) -> Gap:
    if not p < LEVEL:
        return replace(gap, p_adjusted=p)
    if (gap.mean > 0) != (gap.metric in LOWER_IS_BETTER):
        return replace(gap, p_adjusted=p, verdict="ahead")
    return replace(gap, p_adjusted=p, verdict="behind")


def _interval(values: np.ndarray) -> tuple[float, float, float, float]:
    """Return mean, ends of its interval and p; of one user, who shows no spread, the mean alone."""
    if len(values) > 1:
        return paired_interval(values)
    mean = float(values.mean())
    return mean, mean, mean, math.nan


def _valid(cell: Cell, metric: str) -> float:
    """Return a value of the kept parameters on the validation part; NaN where it was not measured."""
    valid = cell.record["summary"].get("valid") or {}
    return float(valid.get(metric, math.nan))


def _note(cells: Sequence[Cell]) -> str:
    if any(cell.record["summary"].get("selection") == TEST_SELECTED for cell in cells):
        return TEST_SELECTED
    if any(cell.record["cut"] for cell in cells):
        return "cut"
    return ""


def _notes(experiment: Experiment, figures: Sequence[Figure]) -> list[str]:
    found = []
    if any(figure.note == "cut" for figure in figures):
        found.append(
            f"cut: the training had used its {experiment.budget.seconds} seconds; the best epoch "
            "so far stands, and where that is depends on the machine."
        )
    if any(figure.note == TEST_SELECTED for figure in figures):
        found.append(
            "test-selected: the epoch was chosen by the test part; compare with published figures "
            "alone."
        )
    if len(experiment.seeds) == 1:
        found.append("One seed only: the intervals know users, not how much trainings differ.")
    if experiment.against is None and len(experiment.models) > 1:
        found.append(
            "Differences are from the best on the validation part, so that the test part did not "
            "choose it."
        )

    return found


def _curves(cells: Sequence[Cell]) -> pl.DataFrame:
    rows = [
        {
            "data": cell.data,
            "model": cell.model,
            "seed": cell.seed,
            "epoch": int(one["epoch"]),
            "metric": name,
            "value": float(value),
        }
        for cell in cells
        for one in cell.record["history"]
        for name, value in one.items()
        if name != "epoch" and isinstance(value, int | float) and not isinstance(value, bool)
    ]
    kinds = {"data": pl.String, "model": pl.String, "seed": pl.Int64, "epoch": pl.Int64}
    return pl.DataFrame(rows, schema=kinds | {"metric": pl.String, "value": pl.Float64})


def _costs(cells: Sequence[Cell]) -> pl.DataFrame:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        found.setdefault((cell.data, cell.model), []).append(cell.record["summary"])

    return pl.DataFrame(
        [
            {
                "data": data,
                "model": model,
                "seconds": float(np.mean([each["seconds"] for each in summaries])),
                "epochs": float(np.mean([each["epochs"] for each in summaries])),
                "parameters": int(summaries[0]["parameters"]),
            }
            for (data, model), summaries in found.items()
        ],
        schema={
            "data": pl.String,
            "model": pl.String,
            "seconds": pl.Float64,
            "epochs": pl.Float64,
            "parameters": pl.Int64,
        },
    )
