"""Is a difference more than chance? Paired intervals and tests over users, and corrections for
asking many questions at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy  # `scipy.stats` takes half a second: it is imported when it is first used

from kgrec.errors import ConfigError

_CHUNK = 2**22
_DRAWS = 10_000

Statistic: TypeAlias = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over paired users, and what speaks for its being real.

    Attributes:
        users: Users paired.
        mean: Mean of the differences.
        low: Lower end of the bootstrap interval of the mean.
        high: Upper end.
        effect: Mean over standard deviation of the differences (Cohen's d of paired values);
            infinite where all differ by the same.
        above: Users whose difference is above 0.
        below: Users whose difference is below 0.
        p_t: Two-sided p of the paired t-test; NaN for fewer than two users.
        p_wilcoxon: Two-sided p of Wilcoxon's signed-rank test; 1 if no user differs.
    """

    users: int
    mean: float
    low: float
    high: float
    effect: float
    above: int
    below: int
    p_t: float
    p_wilcoxon: float


def paired(
    differences: np.ndarray,
    *,
    generator: np.random.Generator,
    draws: int = _DRAWS,
    confidence: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
) -> list[Difference]:
    """Return interval, tests and effect size of each column of differences, one row per user.

    A row that is NaN in a column is left out of that column. The columns share their resamples.

    Args:
        differences: Values of one system minus those of another, float64 (users, columns).
        generator: Draws the resamples.
        draws: Bootstrap resamples.
        confidence: Share of intervals that hold the true mean, in (0, 1).
        method: See ``bootstrap_mean``.

    Raises:
        ConfigError: If a column has no user, or ``draws`` or ``confidence`` is out of range.
    """
    known = np.isfinite(differences)
    if not known.any(axis=0).all():
        raise ConfigError(
            "no users to compare by: none has a value in both. Compare on another metric."
        )

    seed = int(generator.integers(2**62))
    found: list[Difference | None] = [None] * differences.shape[1]
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for pattern, mask in enumerate(patterns.T):
        columns = np.flatnonzero(which.ravel() == pattern)
        values = differences[np.ix_(mask, columns)]
        low, high = bootstrap_mean(
            values,
            generator=np.random.default_rng(seed),
            draws=draws,
            confidence=confidence,
            method=method,
        )
        for index, column in enumerate(columns):
            found[column] = _difference(values[:, index], float(low[index]), float(high[index]))

    return [one for one in found if one is not None]


def bootstrap_mean(
    values: np.ndarray,
    *,
    generator: np.random.Generator,
    draws: int = _DRAWS,
    confidence: float = 0.95,
    method: Literal["bca", "percentile"] = "bca",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of a bootstrap interval for the mean of each column.

    "percentile" takes the quantiles of the resampled means; "bca" moves them by the bias and the
    skewness of the sample. Memory does not grow with ``draws`` times users.

    Args:
        values: One row per user, float64 (users, columns), finite, at least one row.
        generator: Draws the resamples; whole rows are drawn, so columns stay paired.
        draws: Number of resamples, at least 100.
        confidence: In (0, 1).
        method: "bca" or "percentile".

    Raises:
        ConfigError: If ``draws`` or ``confidence`` is out of range.

    Source: Efron, Better Bootstrap Confidence Intervals, JASA 1987, Eq. (2.3) with the acceleration
    of Eq. (6.6).
    """
    _check(draws, confidence)
    mean = values.mean(axis=0)
    centered = values - mean  # columns of equal values then give exactly their mean
    means = mean + _resampled(centered, draws, generator)
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    levels = np.repeat(tails[:, None], len(mean), axis=1)

    if method == "bca":
        below = ((means < mean).sum(axis=0) + (means == mean).sum(axis=0) / 2) / draws
        bias = scipy.stats.norm.ppf(below.clip(1 / (draws + 1), draws / (draws + 1)))
        spread = (centered**2).sum(axis=0) ** 1.5
        skew = np.divide(
            (centered**3).sum(axis=0), 6 * spread, out=np.zeros_like(mean), where=spread > 0
        )
        shifted = bias + scipy.stats.norm.ppf(tails)[:, None]
        levels = scipy.stats.norm.cdf(bias + shifted / (1 - skew * shifted))

    low, high = (
        np.array([np.quantile(means[:, c], row[c]) for c in range(len(mean))]) for row in levels
    )
    return low, high


def bootstrap_pooled(
    statistic: Statistic,
    groups: np.ndarray,
    *,
    generator: np.random.Generator,
    draws: int = 2_000,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Return a statistic of all rows together, and the ends of its percentile interval when whole
    groups of rows are drawn again.

    For what is no mean over users, such as AUC over all rows; the difference of two systems is one
    statistic of the same weights, for instance ``lambda w: first(w) - second(w)``. Resamples in
    which it is not defined are left out; NaN where it never is.

    Args:
        statistic: Takes a weight per row, float64 (draws, rows), and returns a value per draw; see
            ``pooled_auc`` and ``pooled_f1``.
        groups: Group of each row, for instance its user; any integers.
        generator: Draws the resamples.
        draws: Number of resamples, at least 100.
        confidence: In (0, 1).

    Raises:
        ConfigError: If ``draws`` or ``confidence`` is out of range.

    Source: Davison and Hinkley, Bootstrap Methods and their Application, 1997, Section 3.8
    (resampling whole clusters).
    """
    _check(draws, confidence)
    _, row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    chunks = _counts(len(sizes), draws, generator, width=len(groups))
    values = np.concatenate(
        [statistic(counts[:, row.ravel()].astype(np.float64)) for counts in chunks]
    )
    values = values[np.isfinite(values)]
    whole = float(statistic(np.ones((1, len(groups))))[0])
    if not len(values):
        return whole, float("nan"), float("nan")

    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return whole, float(low), float(high)


def pooled_auc(scores: np.ndarray, labels: np.ndarray) -> Statistic:
    """Return AUC over weighted rows as a statistic, ties counting half; NaN where one kind of row
    has no weight.

    Source: Hanley and McNeil, Radiology 1982 (the Mann-Whitney form), with weights.
    """
    order = np.argsort(scores, kind="stable")
    positive = labels[order].astype(bool)
    ties = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)

    def statistic(weights: np.ndarray) -> np.ndarray:
        ordered = weights[:, order]
        up, down = (
            np.add.reduceat(np.where(kind, ordered, 0.0), ties, axis=1)
            for kind in (positive, ~positive)
        )
        pairs = up.sum(axis=1) * down.sum(axis=1)
        right = (up * (down.cumsum(axis=1) - down / 2)).sum(axis=1)
        return np.asarray(np.divide(right, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))

    return statistic


def pooled_f1(predicted: np.ndarray, labels: np.ndarray) -> Statistic:
    """Return F1 over weighted rows as a statistic, 0 where nothing is predicted rightly.

    Source: van Rijsbergen, Information Retrieval, 1979, Chapter 7, with weights.
    """
    right = (predicted & labels).astype(np.float64)
    wrong = (predicted != labels).astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        hits = 2 * (weights @ right)
        return np.asarray(
            np.divide(hits, hits + weights @ wrong, out=np.zeros(len(weights)), where=hits > 0)
        )

    return statistic


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted so that the chance of any false finding stays below the level, step
    by step; NaN stays NaN and counts not.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of
    Statistics 1979.
    """
    adjusted = np.full(len(p), np.nan)
    defined = np.flatnonzero(~np.isnan(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)).clip(max=1)
    return adjusted


def bonferroni(p: np.ndarray) -> np.ndarray:
    """Return p-values times their number, at most 1; NaN stays NaN and counts not.

    Source: Dunn, Multiple Comparisons Among Means, JASA 1961.
    """
    return np.minimum(p * np.count_nonzero(~np.isnan(p)), 1)


def _check(draws: int, confidence: float) -> None:
    if draws < 100 or not 0 < confidence < 1:
        raise ConfigError(
            f"draws={draws}, confidence={confidence}: take at least 100 draws, and a confidence "
            "between 0 and 1."
        )


def _counts(
    size: int, draws: int, generator: np.random.Generator, width: int
) -> Iterator[np.ndarray]:
    """Yield, chunk by chunk, how often each of ``size`` units is in each resample; ``width`` is
    what a caller keeps per resample.
    """
    step = max(1, _CHUNK // max(size, width))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        drawn = (
            generator.integers(size, size=(rows, size), dtype=np.int64)
            + size * np.arange(rows)[:, None]
        )
        yield np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)


def _resampled(centered: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Return the means of resamples (draws, columns)."""
    chunks = _counts(len(centered), draws, generator, width=len(centered))
    return np.concatenate([counts @ centered for counts in chunks]) / len(centered)


def _difference(values: np.ndarray, low: float, high: float) -> Difference:
    mean = float(values.mean())
    if len(values) > 1:
        spread = float(values.std(ddof=1))
    else:
        spread = float("nan")

    if (
        len(values) > 1 and np.ptp(values) == 0
    ):  # every user differs by the same: no spread to measure by
        if mean == 0:
            p_t = 1.0
            effect = 0.0
        else:
            p_t = 0.0
            effect = float(np.copysign(np.inf, mean))
    else:
        if len(values) > 1:
            p_t = float(scipy.stats.ttest_1samp(values, 0.0).pvalue)
            effect = mean / spread
        else:
            p_t = float("nan")
            effect = float("nan")

    moved = values[values != 0]
    if len(moved):
        p_wilcoxon = float(
            scipy.stats.wilcoxon(moved, method="auto" if len(moved) <= 50 else "asymptotic").pvalue
        )
    else:
        p_wilcoxon = 1.0

    return Difference(
        len(values),
        mean,
        low,
        high,
        effect,
        int((values > 0).sum()),
        int((values < 0).sum()),
        p_t,
        p_wilcoxon,
    )
