"""One explained recommendation with what its report needs: drops of its paths, of random ones, of
degree-matched ones, and of sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from kgrec.explanation.core.records import Explanation, Path
from kgrec.explanation.effects.measured import Effects
from kgrec.explanation.effects.sufficiency import scores_alone
from kgrec.explanation.quality.metrics import aopc, sufficiency
from kgrec.explanation.search.candidates import Candidates
from kgrec.random import numpy_generator

if TYPE_CHECKING:
    from kgrec.explanation.explainer import Explainer

KINDS = ("best", "random", "matched")
_CONTROLS, _FEW_CONTROLS = 10, 3
_SETS, _FEW_SETS = 2, 1
_FACTOR = 2.0
_ORACLE = 400
_FEW_ORACLE = 40
_COUNTED_ORACLE = 20


@dataclass(slots=True)
class Shown:
    """A path of an explanation.

    Attributes:
        path: The path.
        where: (length - 1, number) of its candidate.
        edges: All its edges.
        drops: Its drop, per mode.
        random: The mean drop of random paths of its length and kind, per mode.
        matched: The same of those whose stops have about the same degrees; NaN where there is none.
    """

    path: Path
    where: tuple[int, int]
    edges: np.ndarray
    drops: np.ndarray
    random: np.ndarray
    matched: np.ndarray


@dataclass(slots=True)
class Told:
    """An explained recommendation.

    Attributes:
        user: User row.
        item: Item row.
        explanation: What the user is told.
        seconds: What that took.
        modes: What drops were measured in.
        shown: Its paths; () where the graph has no effect.
        curves: AOPC_1 .. AOPC_k by "best", "random", "matched": (modes, k).
        enough: Sufficiency of the first path and of all, per mode.
    """

    user: int
    item: int
    explanation: Explanation
    seconds: float
    modes: tuple[str, ...] = ()
    shown: list[Shown] = field(default_factory=list)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    enough: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)


def tell(ex: "Explainer", user: int, item: int, k: int) -> Told:
    """Return the explanation that a user would be given, and the time it took."""
    began = perf_counter()
    explanation = ex.explain(ex.data.users.key(user), ex.data.items.key(item), k=k)
    return Told(user, item, explanation, perf_counter() - began)


def measure(ex: "Explainer", told: Told, k: int, seed: int) -> None:
    """Fill in the drops of the paths and of their controls; nothing where the graph has no effect
    or there is no path.
    """
    if ex.effects is None or not told.explanation.paths:
        return
    told.modes = ex._modes
    effects = ex.effects.at(told.user, told.item)
    search = ex._search(told.user, told.item, ex._filters, effects)
    found = [one.where for one in ex._measured(search, effects, "drop", k)[:k]]
    edges = [search.groups[place].edges(number) for place, number in found]
    generator = numpy_generator(seed, "quality", told.user, told.item)
    few = effects.basis != "exact" or any(
        search.groups[place].users[number] for place, number in found
    )
    drawn = [
        _draw(ex, search.groups[place], number, _FEW_CONTROLS if few else _CONTROLS, generator)
        for place, number in found
    ]
    random, matched = (
        [
            [search.groups[place].edges(n) for n in one[which]]
            for (place, _), one in zip(found, drawn, strict=True)
        ]
        for which in (0, 1)
    )
    if few:
        sets = _FEW_SETS
    else:
        sets = _SETS
    grown = {"best": [_grown(edges)]} | {
        kind: [_grown([part[a % len(part)] for part in parts]) for a in range(sets)]
        if all(parts)
        else []
        for kind, parts in (("random", random), ("matched", matched))
    }
    singles = [
        *edges,
        *(one for part in random for one in part),
        *(one for part in matched for one in part),
    ]
    together = [one for kind in KINDS for group in grown[kind] for one in group]
    scores = effects.without([*singles, *together], told.modes)
    drops = scores[:, :1] - scores[:, 1:]
    own, of_random, of_matched, of_sets = np.split(
        drops, np.cumsum([len(edges), sum(map(len, random)), sum(map(len, matched))]), axis=1
    )
    means = [_means(of_random, random), _means(of_matched, matched)]
    told.shown = [
        Shown(path, where, part, own[:, n], means[0][:, n], means[1][:, n])
        for n, (path, where, part) in enumerate(
            zip(told.explanation.paths, found, edges, strict=True)
        )
    ]
    told.curves = _curves(of_sets, {kind: len(grown[kind]) for kind in KINDS}, len(edges), k)
    told.enough = _enough(ex, told, edges)


def _draw(
    ex: "Explainer", group: Candidates, number: int, count: int, generator: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Return random candidates of the same length and kind, and of those whose stops have degrees
    within a factor of two.
    """
    pool = np.flatnonzero((group.users > 0) == (group.users[number] > 0))
    stops = group.nodes[:, 1:-1]
    degree = np.where(stops < 0, group.users[:, None], ex.graph.degree(np.maximum(stops, 0)))
    near = (
        np.abs(np.log(np.maximum(degree[pool], 1) / np.maximum(degree[number], 1))).max(
            1, initial=0.0
        )
        <= np.log(_FACTOR) + 1e-9
    )
    alike = pool[near & (pool != number)]
    return tuple(
        generator.choice(some, min(count, len(some)), replace=False).tolist()
        for some in (pool, alike)
    )


def _grown(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.unique(np.concatenate(parts[: m + 1])) for m in range(len(parts))]


def _means(drops: np.ndarray, parts: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return the mean drop of each path's controls, (modes, paths); NaN where it has none."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    columns = [
        part.mean(1) if part.shape[1] else np.full(len(drops), np.nan)
        for part in np.split(drops, ends, axis=1)
    ]
    return np.stack(columns, 1)


def _curves(drops: np.ndarray, counts: dict[str, int], paths: int, k: int) -> dict[str, np.ndarray]:
    """Return AOPC_1 .. AOPC_k of each kind, averaged over its sets; a set that has no further path
    stays as it is.
    """
    curves = {}
    start = 0
    for kind, count in counts.items():
        runs = []
        for _ in range(count):
            one = drops[:, start : start + paths]
            start += paths
            runs.append([aopc(np.concatenate([row, np.repeat(row[-1], k - paths)])) for row in one])
        if runs:
            curves[kind] = np.mean(runs, axis=0)
    return curves


def _enough(
    ex: "Explainer", told: Told, edges: list[np.ndarray]
) -> dict[str, tuple[float | None, float | None]]:
    """Return the sufficiency of the first path and of all of them, per mode."""
    assert ex.effects is not None
    groups = [np.empty(0, np.int64), edges[0], np.unique(np.concatenate(edges))]
    found = {}
    score = told.explanation.score
    for mode in told.modes:
        nothing, first, every = scores_alone(
            ex.effects, ex.graph, told.user, told.item, groups, mode
        ).tolist()
        found[mode] = (sufficiency(first, nothing, score), sufficiency(every, nothing, score))
    return found


@dataclass(frozen=True, slots=True)
class Oracle:
    """How the chosen paths compare with all others of a pair.

    Attributes:
        shown: Mean drop of the paths shown.
        screened: Mean drop of as many, had the first-order effects alone chosen.
        largest: Mean of the as many largest drops.
        effects: First-order effect of each path that was measured.
        drops: Its drop.
    """

    shown: float
    screened: float
    largest: float
    effects: np.ndarray
    drops: np.ndarray


def oracle(ex: "Explainer", told: Told, seed: int) -> Oracle | None:
    """Return the drops of (nearly) all paths of a pair: those that stand for themselves, else those
    of counted users.

    Of very many, a random part and those with the largest first-order effects are measured.
    """
    if ex.effects is None or not told.shown:
        return None
    effects = ex.effects.at(told.user, told.item)
    search = ex._search(told.user, told.item, ex._filters, effects)
    counted = bool(told.shown[0].path.users)
    every = [
        (place, n)
        for place, group in enumerate(search.groups)
        for n in np.flatnonzero((group.users > 0) == counted).tolist()
    ]
    first_order = np.array([search.removal[place][n] for place, n in every])
    mine = [one.where for one in told.shown if bool(one.path.users) == counted]
    if counted:
        most = _COUNTED_ORACLE
    elif effects.basis == "exact":
        most = _ORACLE
    else:
        most = _FEW_ORACLE
    order = np.argsort(-first_order, kind="stable")
    generator = numpy_generator(seed, "quality oracle", told.user, told.item)
    chosen = {
        *generator.choice(len(every), min(most, len(every)), replace=False).tolist(),
        *order[: max(most // 4, len(mine))].tolist(),
    }
    rows = sorted(chosen | {every.index(where) for where in mine})
    drops = _drops(
        effects, [search.groups[place].edges(n) for place, n in (every[row] for row in rows)]
    )
    of = dict(zip((every[row] for row in rows), drops.tolist(), strict=True))
    return Oracle(
        shown=float(np.mean([of[where] for where in mine])),
        screened=float(np.mean([of[every[row]] for row in order[: len(mine)].tolist()])),
        largest=float(np.sort(drops)[-len(mine) :].mean()),
        effects=first_order[rows],
        drops=drops,
    )


def _drops(effects: Effects, groups: Sequence[np.ndarray]) -> np.ndarray:
    (scores,) = effects.without(groups)
    return np.asarray(scores[0] - scores[1:])
