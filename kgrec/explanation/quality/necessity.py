"""What removing the paths shown costs, against random paths: figures, AOPC curves and groups."""

from collections.abc import Callable, Sequence

import numpy as np

from kgrec.explanation.quality import metrics
from kgrec.explanation.quality.figures import NO_EFFECT, Sample
from kgrec.explanation.quality.report import Curve, Figure, Group
from kgrec.explanation.quality.sample import KINDS, ExplainedItem, ShownPath
from kgrec.explanation.questions.summary import pattern_of

_MOST_PATTERNS = 12


def necessity_figures(sample: Sample) -> list[Figure]:
    """Return the drops of the paths shown, and their ratios to those of random paths."""
    if sample.explained.effects is None:
        paths = sample.paths()
        zero = [(user, path.facts_drop) for user, path in paths]
        note = sample.no_effect
        if note == NO_EFFECT:
            note = f"0 by construction: {note}"

        return [
            sample.figure(
                "necessity.drop.delete",
                "drop of the facts of the paths shown",
                zero,
                "paths",
                note=note,
            ),
            Figure(
                "necessity.ratio.random.delete",
                "over random paths of equal length",
                None,
                of="paths",
                note=sample.no_effect,
            ),
            Figure(
                "necessity.ratio.matched.delete",
                "over degree-matched paths",
                None,
                of="paths",
                note=sample.no_effect,
            ),
        ]

    every = sample.shown()
    figures = []

    for row, mode in enumerate(sample.search.modes):
        words = "degrees recomputed"
        if mode == "mask":
            words = "other weights kept"

        figures += [
            sample.figure(
                f"necessity.drop.{mode}",
                f"drop of the paths shown, {words}",
                [(t.user, s.drops[row]) for t, s in every],
                "paths",
            ),
            sample.figure(
                f"necessity.random.{mode}",
                "of random paths of equal length",
                [(t.user, s.random[row]) for t, s in every],
                "paths",
            ),
            sample.figure(
                f"necessity.paired.{mode}",
                "drop of the paths shown that have a degree-matched one",
                [(t.user, s.drops[row]) for t, s in every if np.isfinite(s.matched[row])],
                "paths",
            ),
            sample.figure(
                f"necessity.matched.{mode}",
                "of degree-matched paths",
                [(t.user, s.matched[row]) for t, s in every],
                "paths",
            ),
            sample.ratio(
                f"necessity.ratio.random.{mode}",
                "fidelity ratio: shown over random",
                [(t.user, s.drops[row], s.random[row]) for t, s in every],
            ),
            sample.ratio(
                f"necessity.ratio.matched.{mode}",
                "shown over degree-matched",
                [(t.user, s.drops[row], s.matched[row]) for t, s in every],
                note="paths without a match are in neither",
            ),
        ]

    figures += [
        sample.figure(
            "necessity.relative",
            "drop over the score",
            [(t.user, _over(s.drops[0], abs(t.explanation.score))) for t, s in every],
            "paths",
        ),
        sample.figure(
            "necessity.margin",
            "best path's drop over the margin, median",
            [
                (t.user, _over(t.shown[0].drops[0], t.explanation.margin))
                for t in sample.pairs
                if t.shown
            ],
            middle="median",
        ),
        sample.figure(
            "necessity.positive",
            "paths shown whose drop is positive",
            [(t.user, float(s.drops[0] > 0)) for t, s in every],
            "paths",
        ),
    ]

    return figures


def _over(above: float, below: float | None) -> float | None:
    if below is not None and below > 1e-12:
        return float(above) / below
    return None


def aopc_curves(sample: Sample) -> tuple[Curve, ...]:
    """Return the AOPC curves, all of them over the same pairs.

    These are the pairs whose every path has a match, or else all pairs without that control.
    """
    kinds: Sequence[str] = KINDS
    if not any("matched" in pair.curves for pair in sample.pairs):
        kinds = KINDS[:2]

    pairs = [pair for pair in sample.pairs if all(kind in pair.curves for kind in kinds)]
    if not pairs:
        return ()

    curves = []
    for row, mode in enumerate(sample.search.modes):
        for kind in kinds:
            values = [
                [(pair.user, float(pair.curves[kind][row][m])) for pair in pairs]
                for m in range(sample.k)
            ]
            points = [
                sample.figure(f"aopc.{kind}.{mode}.{m + 1}", f"AOPC_{m + 1}", mine)
                for m, mine in enumerate(values)
            ]
            curves.append(Curve(kind, mode, tuple(points)))

    return tuple(curves)


def group_figures(sample: Sample) -> tuple[Group, ...]:
    """Return drops by path length, pattern, activity of the user and popularity of the item."""
    every = sample.shown()
    if not every:
        return ()

    likes = {pair.user: len(sample.explained.liked(pair.user)) for pair in sample.pairs}
    uses = np.asarray(sample.explained.train.sum(0)).ravel().astype(int)
    active = metrics.thirds(list(likes.values()))
    popular = metrics.thirds([int(uses[pair.item]) for pair in sample.pairs])
    ways: dict[str, Callable[[ExplainedItem, ShownPath], str]] = {
        "length": lambda pair, shown: _hops(shown.path.length),
        "pattern": lambda pair, shown: pattern_of(shown.path),
        "activity": lambda pair, shown: _range(likes[pair.user], active, "interactions"),
        "popularity": lambda pair, shown: _range(int(uses[pair.item]), popular, "users"),
    }
    groups = []

    for by, name in ways.items():
        found: dict[str, list[tuple[int, float, float]]] = {}
        for pair, shown in every:
            row = (pair.user, float(shown.drops[0]), float(shown.random[0]))
            found.setdefault(name(pair, shown), []).append(row)

        if by == "pattern":
            keys = sorted(found, key=lambda key: (-len(found[key]), key))[:_MOST_PATTERNS]
        else:
            keys = sorted(found, key=_first_number)

        groups += [_group(sample, by, key, found[key]) for key in keys]

    return tuple(groups)


def _hops(length: int) -> str:
    if length == 1:
        return "1 hop"
    return f"{length} hops"


def _first_number(text: str) -> int:
    return int(text.split()[0])


def _range(value: int, parts: Sequence[tuple[int, int]], what: str) -> str:
    low, high = next(part for part in parts if value <= part[1])
    if low == high:
        return f"{low} {what}"
    return f"{low} to {high} {what}"


def _group(sample: Sample, by: str, key: str, rows: list[tuple[int, float, float]]) -> Group:
    name = f"{by}.{key}"
    return Group(
        by,
        key,
        len({user for user, *_ in rows}),
        len(rows),
        sample.figure(f"{name}.drop", "drop", [(user, drop) for user, drop, _ in rows], "paths"),
        sample.figure(
            f"{name}.random",
            "of random paths",
            [(user, random) for user, _, random in rows],
            "paths",
        ),
        sample.ratio(f"{name}.ratio", "ratio", rows),
    )
