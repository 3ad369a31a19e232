"""Measures of explanations as functions of numbers and names (docs/explanations.md, section 8).

Imports no torch. Where a measure is not defined it is None, and whoever averages omits it and says
of how many the mean is. The published code that the fixed edge cases are compared with is that of
rep-path-reasoning-recsys and hopwise (Balloccu et al., SIGIR 2022, and after).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise

import numpy as np

Mean = Callable[[np.ndarray], np.ndarray]
RESAMPLES = 1000
_ENTRIES = 2_000_000
_NOTHING = 1e-12


def smoothed(values: Sequence[float | int] | np.ndarray) -> np.ndarray | None:
    """Return each value's rank in [0, 1] after exponential smoothing; None where all are equal.

    Over the sorted order, with b = 2 / (n + 1): L_m = sum over j <= m of (1 - b)^(m - j) t_j,
    divided by the sum of these weights; then (L - min) / (max - min).

    Fixed: equal values share the mean of their ranks (published: their order of storage decides);
    a single value and a constant have no rank at all (published: 0 / 0).
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values) or values.min() == values.max():
        return None

    distinct, group = np.unique(values, return_inverse=True)
    keep = 1 - 2 / (len(values) + 1)
    above = 0.0
    below = 0.0
    level = np.empty(len(values))

    for m, value in enumerate(np.sort(values).tolist()):
        above = keep * above + value
        below = keep * below + 1
        level[m] = above / below

    sizes = np.bincount(group.ravel(), minlength=len(distinct))
    level = np.bincount(np.repeat(np.arange(len(distinct)), sizes), weights=level) / sizes
    return np.asarray(((level - level[0]) / (level[-1] - level[0]))[group.ravel()])


def mean_known(values: Sequence[float | int | None]) -> float | None:
    """Return the mean of the known values: a user's LIR of recencies, SEP of popularities.

    LIR, fixed: first stops other than items, and items whose like has no time, are omitted from
    numerator and denominator; the figure is a mean over users of means over their paths (published:
    over all paths at once); a user with one like, or with all likes at one time, has no recency
    (published: NaN); a user without a path is omitted (published: NaN or 0).

    SEP, fixed: a shared stop is compared with those of its kind, items against items, entities
    against entities (published: items count as entities); other users are not shared entities; a
    kind whose nodes all have one degree has no popularity.
    """
    known = [value for value in values if value is not None]
    if known:
        return float(np.mean(known))

    return None


def type_diversity(relations: Sequence[Hashable], types: int) -> float | None:
    """Return ETD (PTD): distinct last relations over min(paths, types); None without a path.

    Args:
        relations: The last relation of each path of one user.
        types: How many relations there are, "interacts" included.

    Fixed: a user without a path is omitted and counted by fidelity (published: 0, or omitted).
    """
    if relations and types:
        return len(set(relations)) / min(len(relations), types)

    return None


def distinct_share(things: Sequence[Hashable]) -> float | None:
    """Return distinct things over things: LID of liked items, SED of stops, LITD, SETD of kinds.

    Fixed: a user without a path is omitted. Kinds are user, item, entity and other users: LITD is
    1 over the number of paths nearly always, since the first stop is an item.
    """
    if things:
        return len(set(things)) / len(things)

    return None


def type_concentration(relations: Sequence[Hashable]) -> float | None:
    """Return PTC: the chance that two paths end by different relations.

    That is 1 - sum over relations of c (c - 1) / (N (N - 1)); high is diverse, whatever the name
    says. Fixed: fewer than two paths have no such chance, None (published: 0).
    """
    count = len(relations)
    if count < 2:
        return None

    return 1 - sum(c * (c - 1) for c in Counter(relations).values()) / (count * (count - 1))


def pattern_diversity(patterns: Sequence[Hashable], known: int) -> float | None:
    """Return PPT: distinct patterns over min(paths, known), None without a path.

    Args:
        patterns: The relations of each path of one user, in order, with their directions.
        known: How many patterns the paths of all users show.

    Fixed: ``known`` counts patterns (published: also the length of a path, which is another thing).
    No cut at 1 is needed.
    """
    if patterns and known:
        return len(set(patterns)) / min(len(patterns), known)

    return None


def fidelity(explained: Sequence[int], k: int) -> float | None:
    """Return Fidelity@k: the mean over users of recommendations with a path, over k.

    Args:
        explained: Number of recommendations with a path, per user.
        k: Length of the lists.

    Fixed: users without any path count as 0 (published: omitted).
    """
    if len(explained):
        return float(np.mean(explained)) / k

    return None


def faithful_rate(whole: Sequence[bool]) -> float | None:
    """Return PFR@k: the share of best paths all of whose hops are training facts."""
    if len(whole):
        return float(np.mean(whole))
    return None


def sufficiency(alone: float, nothing: float, score: float) -> float | None:
    """Return (s with these edges alone - s_0) / (s - s_0); None where the graph adds nothing.

    s_0 is the score with no edge.
    """
    gain = score - nothing
    if abs(gain) > 1e-9 * max(1.0, abs(score)):
        return (alone - nothing) / gain

    return None


def aopc(drops: Sequence[float | int] | np.ndarray) -> np.ndarray:
    """Return AOPC_m for m = 1, 2, ...: the mean of the drops of the first m growing sets."""
    drops = np.asarray(drops, dtype=np.float64)
    return np.asarray(np.cumsum(drops) / np.arange(1, len(drops) + 1))


def jaccard(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Return the shared part of two sets; None where both are empty."""
    one = set(first)
    two = set(second)
    if one | two:
        return len(one & two) / len(one | two)
    return None


def thirds(values: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last value of three groups, of equal size as far as ties allow.

    >>> thirds([1, 2, 3, 4, 5, 6]), thirds([2, 2, 2])
    ([(1, 2), (3, 4), (5, 6)], [(2, 2)])
    """
    ordered = np.sort(np.asarray(values, dtype=np.int64))
    ends = np.unique([part[-1] for part in np.array_split(ordered, 3) if len(part)])
    cuts = [-np.inf, *ends.tolist()]
    groups = [ordered[(ordered > low) & (ordered <= high)] for low, high in pairwise(cuts)]
    return [(int(group[0]), int(group[-1])) for group in groups]


def interval(
    values: np.ndarray, mean: Mean, generator: np.random.Generator
) -> tuple[float, float] | None:
    """Return the percentile bootstrap 95 % interval over rows (one per user) of a statistic.

    It is None of fewer than two rows. Resamples whose statistic is not a number (a ratio with
    nothing below) are omitted.

    Args:
        values: (users) or (users, columns).
        mean: The statistic of each of many resamples, (resamples, users) or (resamples, users,
            columns) to (resamples).
        generator: Draws the resamples.
    """
    if len(values) < 2:
        return None

    at_once = max(1, _ENTRIES // len(values))
    parts = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    found = np.concatenate(
        [mean(values[generator.integers(0, len(values), (part, len(values)))]) for part in parts]
    )
    found = found[np.isfinite(found)]
    if len(found):
        return (float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975)))

    return None


def means(rows: np.ndarray) -> np.ndarray:
    """Return the mean of each resample."""
    return np.asarray(rows.mean(1))


def medians(rows: np.ndarray) -> np.ndarray:
    """Return the median of each resample."""
    return np.asarray(np.median(rows, axis=1))


def ratios_of_means(rows: np.ndarray) -> np.ndarray:
    """Return mean of the first column over that of the second; NaN where that is not positive."""
    above, below = rows.mean(1).T
    return np.asarray(
        np.divide(above, below, out=np.full(len(rows), np.nan), where=below > _NOTHING)
    )
