"""A sample of explained recommendations, and figures over it: means over users with intervals."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from kgrec.explanation.core.records import Path
from kgrec.explanation.effects.measured import LinearModel, LinearModelOfFacts
from kgrec.explanation.quality import metrics
from kgrec.explanation.quality.report import Figure
from kgrec.explanation.quality.sample import ExplainedItem, ShownPath
from kgrec.explanation.quality.training_facts import TrainingFacts
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.ranked import PathSearch
from kgrec.random import numpy_generator

_SOME, _FEW = 25, 8
NO_EFFECT = "no fact has an effect on its scores"
NOT_MEASURED = "what facts do to its scores is not measured"
Values = Iterable[tuple[int, float | int | None]]


@dataclass(slots=True)
class Sample:
    """The explained recommendations that figures are made of.

    Attributes:
        search: The search for paths.
        facts: The facts of the training graph.
        top: Recommendations of each user.
        k: Paths per explanation.
        seed: Draws users, controls and resamples.
        users: User rows.
        pairs: The explained recommendations.
        failures: Why some could not be explained.
        unsummed: Why some budgets do not add up.
    """

    search: PathSearch
    facts: TrainingFacts
    top: int
    k: int
    seed: int
    users: np.ndarray
    pairs: list[ExplainedItem] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unsummed: list[str] = field(default_factory=list)

    @property
    def explained(self) -> ExplainedModel:
        """The model and its data."""
        return self.search.explained

    @property
    def basis(self) -> str:
        """What drops rest on: "exact", "measured" or "post-hoc"."""
        if self.explained.effects is None:
            return "post-hoc"
        if isinstance(self.explained.effects, LinearModel | LinearModelOfFacts):
            return "exact"
        return "measured"

    @property
    def no_effect(self) -> str:
        """Why what rests on drops has no value, of a model without effects of facts."""
        if self.explained.graph_effect == "not measured":
            return NOT_MEASURED
        return NO_EFFECT

    def paths(self) -> list[tuple[int, Path]]:
        """Return (user, path) of every explanation."""
        return [(pair.user, path) for pair in self.pairs for path in pair.explanation.paths]

    def shown(self) -> list[tuple[ExplainedItem, ShownPath]]:
        """Return the measured paths, each with its recommendation."""
        return [(pair, path) for pair in self.pairs for path in pair.shown]

    def some(self) -> list[ExplainedItem]:
        """Subsample one recommendation per user, for the expensive measures."""
        first = {pair.user: pair for pair in reversed(self.pairs)}
        chosen = numpy_generator(self.seed, "quality users").permutation(sorted(first))
        most = _SOME
        if self.basis == "measured":
            most = _FEW

        return [first[int(user)] for user in chosen[:most]]

    def figure(
        self,
        key: str,
        label: str,
        values: Values,
        of: str = "pairs",
        *,
        middle: str = "mean",
        note: str = "",
        none: str = "",
    ) -> Figure:
        """Return a figure of (user, value) pairs: a mean of users' means, or median of medians."""
        known = [
            (user, float(value))
            for user, value in values
            if value is not None and np.isfinite(value)
        ]
        if not known:
            return Figure(key, label, None, of=of, note=none or note)

        mean = metrics.means
        if middle == "median":
            mean = metrics.medians

        of_users = np.concatenate([mean(np.array([part])) for part in by_user(known).values()])
        return self._with_interval(key, label, of_users, mean, len(known), of, note)

    def ratio(
        self,
        key: str,
        label: str,
        rows: Iterable[tuple[int, float, float]],
        of: str = "paths",
        *,
        note: str = "",
        none: str = "",
    ) -> Figure:
        """Return a ratio of two means over users, of (user, above, below).

        It is None where the lower mean is not positive.
        """
        kept = [row for row in rows if np.isfinite(row[1:]).all()]
        above, below = (by_user([(row[0], row[column]) for row in kept]) for column in (1, 2))
        means = np.array([[np.mean(above[user]), np.mean(below[user])] for user in above]).reshape(
            -1, 2
        )
        if not len(means) or not np.isfinite(metrics.ratios_of_means(means[None])[0]):
            return Figure(key, label, None, of=of, note=none or "the lower mean is not positive")

        return self._with_interval(key, label, means, metrics.ratios_of_means, len(kept), of, note)

    def _with_interval(
        self,
        key: str,
        label: str,
        rows: np.ndarray,
        mean: metrics.Mean,
        count: int,
        of: str,
        note: str,
    ) -> Figure:
        around = metrics.interval(rows, mean, numpy_generator(self.seed, f"bootstrap {key}"))
        low, high = around or (None, None)
        return Figure(key, label, float(mean(rows[None])[0]), low, high, count, of, note)


def by_user(values: Iterable[tuple[int, float]]) -> dict[int, list[float]]:
    """Return the values of each user."""
    found: dict[int, list[float]] = {}
    for user, value in values:
        found.setdefault(user, []).append(value)
    return found
