"""One explained recommendation, with the drops of its paths, of control paths and of sets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter

import numpy as np

from kgrec.explanation.core.records import Explanation, Path
from kgrec.explanation.effects.measured import Effects
from kgrec.explanation.effects.sufficiency import scores_alone
from kgrec.explanation.quality.metrics import aopc, sufficiency
from kgrec.explanation.questions.why import explain
from kgrec.explanation.search.candidates import Candidates
from kgrec.explanation.search.ranked import PathSearch
from kgrec.random import numpy_generator

KINDS = ("best", "random", "matched")
_CONTROLS, _FEW_CONTROLS = 10, 3
_SETS, _FEW_SETS = 2, 1
_FACTOR = 2.0
_ORACLE = 400
_FEW_ORACLE = 40
_COUNTED_ORACLE = 20


@dataclass(slots=True)
class ShownPath:
    """A path of an explanation.

    Attributes:
        path: The path.
        where: (length - 1, number) of its candidate.
        edges: All its edges.
        drops: Its drop, per mode.
        random: The mean drop of random paths of its length and kind, per mode.
        matched: The same of those whose stops have about the same degrees; NaN if there is none.
    """

    path: Path
    where: tuple[int, int]
    edges: np.ndarray
    drops: np.ndarray
    random: np.ndarray
    matched: np.ndarray


@dataclass(slots=True)
class ExplainedItem:
    """An explained recommendation.

    Attributes:
        user: User row.
        item: Item row.
        explanation: What the user is pair.
        seconds: Time that took.
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
    shown: list[ShownPath] = field(default_factory=list)
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    enough: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)


def explain_item(search: PathSearch, user: int, item: int, k: int) -> ExplainedItem:
    """Return the explanation that a user would be given, and the time it took."""
    data = search.explained.data
    began = perf_counter()
    explanation = explain(search, data.users.key(user), data.items.key(item), k=k)
    return ExplainedItem(user, item, explanation, perf_counter() - began)


def measure(search: PathSearch, pair: ExplainedItem, k: int, seed: int) -> None:
    """Fill in the drops of the paths and of their controls.

    Nothing is filled in where the graph has no effect or there is no path.
    """
    if search.explained.effects is None or not pair.explanation.paths:
        return

    effects = search.explained.effects.at(pair.user, pair.item)
    pair.modes = search.modes
    found = search.find(pair.user, pair.item, effects)
    best = [path.where for path in search.measure(found, effects, "like", k)[:k]]
    edges = [found.edges(where) for where in best]

    # What is not in closed form is slow, and so are the many edges of counted users.
    few = effects.basis != "exact" or any(found.users(where) for where in best)
    controls = _FEW_CONTROLS if few else _CONTROLS
    sets = _FEW_SETS if few else _SETS
    generator = numpy_generator(seed, "quality", pair.user, pair.item)
    random: list[list[np.ndarray]] = []
    matched: list[list[np.ndarray]] = []

    for length, number in best:
        group = found.groups[length]
        drawn = _draw(search, group, number, controls, generator)
        random.append([group.edges(n) for n in drawn[0]])
        matched.append([group.edges(n) for n in drawn[1]])

    grown = {
        "best": [_grown(edges)],
        "random": _grown_controls(random, sets),
        "matched": _grown_controls(matched, sets),
    }
    singles = [*edges, *chain(*random), *chain(*matched)]
    together = [one for kind in KINDS for group in grown[kind] for one in group]
    scores = effects.without([*singles, *together], pair.modes)
    drops = scores[:, :1] - scores[:, 1:]
    ends = np.cumsum([len(edges), sum(map(len, random)), sum(map(len, matched))])
    of_paths, of_random, of_matched, of_sets = np.split(drops, ends, axis=1)
    mean_random = _means(of_random, random)
    mean_matched = _means(of_matched, matched)
    pair.shown = [
        ShownPath(path, where, part, of_paths[:, n], mean_random[:, n], mean_matched[:, n])
        for n, (path, where, part) in enumerate(
            zip(pair.explanation.paths, best, edges, strict=True)
        )
    ]
    pair.curves = _curves(of_sets, {kind: len(grown[kind]) for kind in KINDS}, len(edges), k)
    pair.enough = _enough(search, pair, edges)


def _draw(
    search: PathSearch, group: Candidates, number: int, count: int, generator: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Return random candidates of the same length and kind, and degree-matched ones of these.

    A match has stops whose degrees are within a factor of two.
    """
    pool = np.flatnonzero((group.users > 0) == (group.users[number] > 0))
    stops = group.nodes[:, 1:-1]
    degree = np.where(
        stops < 0, group.users[:, None], search.explained.graph.degree(np.maximum(stops, 0))
    )
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


def _grown_controls(parts: Sequence[Sequence[np.ndarray]], sets: int) -> list[list[np.ndarray]]:
    """Return growing sets of one control per path; none where a path has no control."""
    if not all(parts):
        return []
    return [_grown([part[n % len(part)] for part in parts]) for n in range(sets)]


def _means(drops: np.ndarray, parts: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return the mean drop of each path's controls, (modes, paths); NaN where it has none."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    columns = [
        part.mean(1) if part.shape[1] else np.full(len(drops), np.nan)
        for part in np.split(drops, ends, axis=1)
    ]

    return np.stack(columns, 1)


def _curves(drops: np.ndarray, counts: dict[str, int], paths: int, k: int) -> dict[str, np.ndarray]:
    """Return AOPC_1 .. AOPC_k of each kind, averaged over its sets.

    A set that has no further path stays as it is.
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
    search: PathSearch, pair: ExplainedItem, edges: list[np.ndarray]
) -> dict[str, tuple[float | None, float | None]]:
    """Return the sufficiency of the first path and of all of them, per mode."""
    explained = search.explained
    assert explained.effects is not None
    groups = [np.empty(0, np.int64), edges[0], np.unique(np.concatenate(edges))]
    found = {}
    score = pair.explanation.score

    for mode in pair.modes:
        nothing, first, every = scores_alone(
            explained.effects, explained.graph, pair.user, pair.item, groups, mode
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


def oracle(search: PathSearch, pair: ExplainedItem, seed: int) -> Oracle | None:
    """Return the drops of (nearly) all paths of a pair, of the kind that is shown first.

    Of very many, a random part and those with the largest first-order effects are measured.
    """
    if search.explained.effects is None or not pair.shown:
        return None

    effects = search.explained.effects.at(pair.user, pair.item)
    found = search.find(pair.user, pair.item, effects)
    counted = bool(pair.shown[0].path.users)
    every = [
        (length, n)
        for length, group in enumerate(found.groups)
        for n in np.flatnonzero((group.users > 0) == counted).tolist()
    ]
    first_order = np.array([found.first_order[length][n] for length, n in every])
    mine = [path.where for path in pair.shown if bool(path.path.users) == counted]

    if counted:
        most = _COUNTED_ORACLE
    elif effects.basis == "exact":
        most = _ORACLE
    else:
        most = _FEW_ORACLE

    order = np.argsort(-first_order, kind="stable")
    generator = numpy_generator(seed, "quality oracle", pair.user, pair.item)
    chosen = {
        *generator.choice(len(every), min(most, len(every)), replace=False).tolist(),
        *order[: max(most // 4, len(mine))].tolist(),
    }
    rows = sorted(chosen | {every.index(where) for where in mine})
    measured = [every[row] for row in rows]
    drops = _drops(effects, [found.edges(where) for where in measured])
    of = dict(zip(measured, drops.tolist(), strict=True))

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
