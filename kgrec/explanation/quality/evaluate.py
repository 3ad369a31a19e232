"""The quality of a model's explanations, measured (explanation.md 1 C and 3.14)."""

import copy
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import spearmanr

from kgrec.errors import CapabilityError, ConfigError, ExplanationError
from kgrec.explanation.core.records import Explanation, Node, Path
from kgrec.explanation.effects.measured import LinearModel
from kgrec.explanation.quality import metrics
from kgrec.explanation.quality.report import Curve, Figure, Gate, Group, Quality
from kgrec.explanation.quality.sample import KINDS, Shown, Told, measure, oracle, tell
from kgrec.explanation.quality.training_facts import Leaks, TrainingFacts
from kgrec.explanation.questions.summary import pattern_of
from kgrec.log import logger, progress
from kgrec.models.base import Recommender
from kgrec.models.capabilities import GraphEditable, Plausible
from kgrec.random import numpy_generator

if TYPE_CHECKING:
    from kgrec.explanation.explainer import Explainer

_USERS = 50
_SOME, _FEW = 25, 8
_STABLE = 5
_COMPLETE = 1e-5  # of float32, which models are trained in
_MOST_PATTERNS = 12
_NO_EFFECT = "no fact has an effect on its scores"
_BY_CONSTRUCTION = f"0 by construction: {_NO_EFFECT}"
Values = Iterable[tuple[int, float | int | None]]


def evaluate(
    ex: "Explainer",
    users: Sequence[str] | str | int | None = None,
    top: int = 5,
    k: int = 5,
    seed: int = 0,
    against: "Explainer | None" = None,
) -> Quality:
    """Return how good the explanations of users' first recommendations are; see
    ``Explainer.evaluate``.
    """
    if min(top, k) < 1:
        raise ConfigError(f"top is {top} and k is {k}. Ask for at least one item and one path.")
    rows = _drawn(ex, users, seed)
    sample = _Sample(ex, TrainingFacts(ex.data), top, k, seed, rows)
    _explain(sample)
    if not sample.told and not sample.failures:
        raise ConfigError("none of these users has a recommendation. Name others.")
    logger.info(
        "%d explanations measured; now lists, flips and stability of some", len(sample.told)
    )
    figures = [
        *_whole(sample),
        *_necessity(sample),
        *_sufficiency(sample),
        *_choice(sample),
        *_lists(sample),
        *_support(sample),
        *_stability(sample, against),
        *_style(sample),
        *_latency(sample),
    ]
    return Quality(
        model=ex.name,
        dataset=ex.data.name,
        basis=sample.basis,
        users=len(rows),
        pairs=len(sample.told),
        paths=sum(len(told.explanation.paths) for told in sample.told),
        top=top,
        k=k,
        figures=tuple(figures),
        curves=_curves(sample),
        groups=_groups(sample),
        gates=_gates(sample),
        notes=_notes(sample),
        manifest=ex.manifest(
            k=k,
            top=top,
            drawn=len(rows),
            seed=seed,
            modes=list(ex._modes),
            resamples=metrics.RESAMPLES,
        ),
    )


@dataclass(slots=True)
class _Sample:
    """What the figures are made of."""

    ex: "Explainer"
    facts: TrainingFacts
    top: int
    k: int
    seed: int
    users: np.ndarray
    told: list[Told] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unsummed: list[str] = field(default_factory=list)

    @property
    def basis(self) -> str:
        if self.ex.effects is None:
            return "post-hoc"
        if isinstance(self.ex.effects, LinearModel):
            return "exact"
        return "measured"

    def some(self) -> list[Told]:
        """Return the first recommendation of some users, for what is dear."""
        first = {told.user: told for told in reversed(self.told)}
        chosen = numpy_generator(self.seed, "quality users").permutation(sorted(first))
        return [first[int(user)] for user in chosen[: _FEW if self.basis == "measured" else _SOME]]

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
        """Return a figure of (user, value) pairs: a mean over users of means, or a median over
        users of medians.
        """
        known = [
            (user, float(value))
            for user, value in values
            if value is not None and np.isfinite(value)
        ]
        if not known:
            return Figure(key, label, None, of=of, note=none or note)
        if middle == "mean":
            mean = metrics.means
        else:
            mean = metrics.medians
        of_users = np.concatenate([mean(np.array([part])) for part in _by_user(known).values()])
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
        """Return a ratio of two means over users, of (user, above, below); None where the lower
        mean is not positive.
        """
        kept = [row for row in rows if np.isfinite(row[1:]).all()]
        above, below = (_by_user([(row[0], row[column]) for row in kept]) for column in (1, 2))
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


def _by_user(values: Iterable[tuple[int, float]]) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for user, value in values:
        found.setdefault(user, []).append(value)
    return found


def _drawn(ex: "Explainer", users: Sequence[str] | str | int | None, seed: int) -> np.ndarray:
    active = np.flatnonzero(np.diff(ex.train.indptr))
    if users is None or isinstance(users, int):
        if users is None:
            count = _USERS
        else:
            count = users
        if count < 1:
            raise ConfigError(f"users is {count}. Draw at least one.")
        return np.sort(
            numpy_generator(seed, "quality").choice(active, min(count, len(active)), replace=False)
        )
    if isinstance(users, str) and users == "all" and "all" not in ex.data.users:
        return active
    return np.unique(ex.data.users.rows([users] if isinstance(users, str) else users))


def _explain(sample: _Sample) -> None:
    ex = sample.ex
    with progress("measuring explanations", len(sample.users)) as bar:
        for done, user in enumerate(sample.users.tolist()):
            bar.update(done, f"{len(sample.told)} recommendations")
            for item in ex.standing(user).order()[: sample.top].tolist():
                try:
                    told = tell(ex, user, item, sample.k)
                except ExplanationError as error:
                    _note_failure(sample, user, item, str(error))
                    continue
                measure(ex, told, sample.k, sample.seed)
                sample.told.append(told)


def _note_failure(sample: _Sample, user: int, item: int, message: str) -> None:
    sample.failures.append(message)
    try:
        sample.ex.budget(user, item)
    except ExplanationError as error:
        sample.unsummed.append(str(error))


# ---- do the numbers hold?


def _completeness(explanation: Explanation) -> float | None:
    """Return the larger error of the budget's two cuts, over max(1, |score|); None without a
    budget.
    """
    told = explanation.budget
    if told is None:
        return None
    cuts = [told.own + told.bias + told.liked + sum(told.other.values())]
    if told.item_own is not None and told.by_users is not None:
        cuts.append(told.item_own + told.by_users + sum(term.value for term in told.by_property))
    return max(abs(cut - explanation.score) for cut in cuts) / max(1.0, abs(explanation.score))


def _paths(sample: _Sample) -> list[tuple[int, Path]]:
    return [(told.user, path) for told in sample.told for path in told.explanation.paths]


def _held(sample: _Sample) -> list[tuple[int, bool]]:
    """Return (user, whether it is a training fact) of every hop."""
    keys = sample.ex.data.users
    return [
        (user, sample.facts.hop_holds(hop, keys.key(user)))
        for user, path in _paths(sample)
        for hop in path.hops
    ]


def _whole(sample: _Sample) -> list[Figure]:
    errors = [
        error for told in sample.told if (error := _completeness(told.explanation)) is not None
    ]
    measured = any(
        told.explanation.budget is not None and told.explanation.budget.basis == "measured"
        for told in sample.told
    )
    leaks = sample.facts.leaks(sample.ex.graph.ckg)
    stops = {
        node for _, path in _paths(sample) for node in path.nodes if node.kind in ("item", "entity")
    }
    facts = [
        fact
        for _, path in _paths(sample)
        for hop in path.hops
        if not hop.liked
        for fact in hop.facts
    ]
    worst = max(errors, default=None)
    if measured:
        note = "the rest of a measured budget is what is left: no test"
    elif errors:
        note = ""
    else:
        note = _no_budget(sample.ex)
    return [
        Figure(
            "whole.completeness",
            "completeness error of the budget, worst",
            worst,
            count=len(errors),
            of="pairs",
            note=note,
        ),
        sample.figure(
            "whole.validity",
            "hops that are training facts",
            [(u, float(good)) for u, good in _held(sample)],
            "hops",
        ),
        Figure(
            "whole.leak",
            "held-out or strange facts in the graph",
            float(max(leaks.strange, leaks.held_out)),
            count=leaks.of,
            of="facts",
        ),
        _share(
            "whole.labels",
            "stops with a human label",
            [_labelled(sample.ex, node) for node in stops],
            "stops",
        ),
        _share(
            "whole.provenance",
            "facts with the place they were read from",
            [fact.locator != 0 for fact in facts],
            "facts",
        ),
    ]


def _no_budget(ex: "Explainer") -> str:
    return f"{ex.name} does not say what a score is made of"


def _share(key: str, label: str, flags: Sequence[bool], of: str) -> Figure:
    if key.endswith("provenance"):
        note = "likes apart, which are training interactions without a line"
    else:
        note = ""
    return Figure(
        key,
        label,
        float(np.mean(flags)) if flags else None,
        count=len(flags),
        of=of,
        note=note if flags else f"no {of}",
    )


def _labelled(ex: "Explainer", node: Node) -> bool:
    if node.kind == "item":
        row = ex.data.items.row(node.key)
    else:
        row = ex.data.triples.entities.row(node.key)
    return ex.data.triples.labels[row] is not None


def _gates(sample: _Sample) -> tuple[Gate, ...]:
    errors = [
        error for told in sample.told if (error := _completeness(told.explanation)) is not None
    ]
    held = [good for _, good in _held(sample)]
    leaks = sample.facts.leaks(sample.ex.graph.ckg)
    worst = max(errors, default=None)
    if worst is None:
        complete = None
    else:
        complete = worst <= _COMPLETE
    if errors:
        note = ""
    else:
        note = _no_budget(sample.ex)
    if sample.unsummed:
        complete = False
        note = sample.unsummed[0]
    if held:
        valid = float(np.mean(held))
    else:
        valid = None
    if held and not all(held):
        missing = f"{len(held) - sum(held)} of {len(held)} hops are no training facts"
    else:
        missing = ""
    return (
        Gate("completeness", complete, worst, _COMPLETE, note),
        Gate(
            "validity",
            None if valid is None else valid == 1,
            valid,
            1.0,
            missing if held else "no path",
        ),
        Gate(
            "leak",
            not (leaks.strange or leaks.held_out),
            float(max(leaks.strange, leaks.held_out)),
            0.0,
            _leaking(leaks),
        ),
        Gate(
            "explained",
            not sample.failures,
            float(len(sample.failures)),
            0.0,
            next(iter(sample.failures), ""),
        ),
    )


def _leaking(leaks: Leaks) -> str:
    told = []
    if leaks.held_out:
        told.append(f"{leaks.held_out} held-out facts are in the graph that paths are drawn from")
    if leaks.strange:
        told.append(f"{leaks.strange} facts of that graph are not in the training data")
    return "; ".join(told)


# ---- necessity


def _shown(sample: _Sample) -> list[tuple[Told, Shown]]:
    return [(told, one) for told in sample.told for one in told.shown]


def _necessity(sample: _Sample) -> list[Figure]:
    if sample.ex.effects is None:
        paths = _paths(sample)
        zero = [(user, path.drop_delete) for user, path in paths]
        return [
            sample.figure(
                "necessity.drop.delete",
                "drop of the paths shown",
                zero,
                "paths",
                note=_BY_CONSTRUCTION,
            ),
            Figure(
                "necessity.ratio.random.delete",
                "over random paths of equal length",
                None,
                of="paths",
                note=_NO_EFFECT,
            ),
            Figure(
                "necessity.ratio.matched.delete",
                "over degree-matched paths",
                None,
                of="paths",
                note=_NO_EFFECT,
            ),
        ]
    every = _shown(sample)
    figures = []
    for row, mode in enumerate(sample.ex._modes):
        suffix = f".{mode}"
        if mode == "delete":
            words = "degrees recomputed"
        else:
            words = "other weights kept"
        figures += [
            sample.figure(
                f"necessity.drop{suffix}",
                f"drop of the paths shown, {words}",
                [(t.user, s.drops[row]) for t, s in every],
                "paths",
            ),
            sample.figure(
                f"necessity.random{suffix}",
                "of random paths of equal length",
                [(t.user, s.random[row]) for t, s in every],
                "paths",
            ),
            sample.figure(
                f"necessity.paired{suffix}",
                "drop of the paths shown that have a degree-matched one",
                [(t.user, s.drops[row]) for t, s in every if np.isfinite(s.matched[row])],
                "paths",
            ),
            sample.figure(
                f"necessity.matched{suffix}",
                "of degree-matched paths",
                [(t.user, s.matched[row]) for t, s in every],
                "paths",
            ),
            sample.ratio(
                f"necessity.ratio.random{suffix}",
                "fidelity ratio: shown over random",
                [(t.user, s.drops[row], s.random[row]) for t, s in every],
            ),
            sample.ratio(
                f"necessity.ratio.matched{suffix}",
                "shown over degree-matched",
                [(t.user, s.drops[row], s.matched[row]) for t, s in every],
                note="paths without a match left out of both",
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
                for t in sample.told
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


def _curves(sample: _Sample) -> tuple[Curve, ...]:
    """Return the curves, all of them over the same pairs: those whose every path has a match, or
    else all pairs without that control.
    """
    kinds = KINDS if any("matched" in told.curves for told in sample.told) else KINDS[:2]
    pairs = [told for told in sample.told if all(kind in told.curves for kind in kinds)]
    curves = []
    for row, mode in enumerate(sample.ex._modes if pairs else ()):
        for kind in kinds:
            values = [
                [(told.user, float(told.curves[kind][row][m])) for told in pairs]
                for m in range(sample.k)
            ]
            points = [
                sample.figure(f"aopc.{kind}.{mode}.{m + 1}", f"AOPC_{m + 1}", mine)
                for m, mine in enumerate(values)
            ]
            curves.append(Curve(kind, mode, tuple(points)))
    return tuple(curves)


# ---- sufficiency, oracle


def _sufficiency(sample: _Sample) -> list[Figure]:
    if sample.ex.effects is None:
        none = _NO_EFFECT
    else:
        none = "no path"
    figures = []
    for mode in sample.ex._modes:
        for place, (name, words) in enumerate(
            (("first", "the best path alone"), ("all", "all paths shown alone"))
        ):
            values = [(told.user, told.enough[mode][place]) for told in sample.told if told.enough]
            undefined = sum(value is None for _, value in values)
            if mode == "delete":
                note = "far above 1 where few edges share the weight of many"
            else:
                note = ""
            if undefined:
                note = f"{undefined} undefined: the graph adds nothing to the score"
            else:
                note = note
            label = (
                f"{words}, {'degrees recomputed' if mode == 'delete' else 'weights kept'}: "
                "part of what the graph adds, median"
            )
            figures.append(
                sample.figure(
                    f"sufficiency.{name}.{mode}",
                    label,
                    values,
                    middle="median",
                    note=note,
                    none=none,
                )
            )
    return figures


def _choice(sample: _Sample) -> list[Figure]:
    rows = [
        (told.user, found)
        for told in sample.some()
        if (found := oracle(sample.ex, told, sample.seed)) is not None
    ]
    if sample.ex.effects is None:
        none = _NO_EFFECT
    else:
        none = "no path"
    ranks = [(user, _correlation(found.effects, found.drops)) for user, found in rows]
    return [
        sample.ratio(
            "choice.oracle",
            "oracle ratio: drop of the paths shown over the largest drops there are",
            [(user, found.shown, found.largest) for user, found in rows],
            "pairs",
            note="variety (per liked item, per stop) costs some of it",
            none=none if not rows else "",
        ),
        sample.ratio(
            "choice.screen",
            "the same of the largest first-order effects, without the rule of variety",
            [(user, found.screened, found.largest) for user, found in rows],
            "pairs",
            none=none if not rows else "",
        ),
        sample.figure(
            "choice.correlation",
            "rank correlation of first-order effect and drop, median",
            ranks,
            middle="median",
            none=none,
        ),
    ]


def _correlation(effects: np.ndarray, drops: np.ndarray) -> float | None:
    if len(drops) < 3 or np.ptp(effects) == 0 or np.ptp(drops) == 0:
        return None
    return float(spearmanr(effects, drops)[0])


# ---- lists


def _lists(sample: _Sample) -> list[Figure]:
    return [*_ranks(sample), *_flips(sample)]


def _ranks(sample: _Sample) -> list[Figure]:
    ex = sample.ex
    top = sample.top
    names = (
        ("lists.rank.first", "ranks lost without the best path"),
        ("lists.rank.all", "ranks lost without all paths shown"),
        ("lists.pn", f"PN@{top}: without the paths shown, the item leaves the first {top}"),
        ("lists.ps", f"PS@{top}: with them alone, it stays among the first {top}"),
    )
    if ex.effects is None or not isinstance(ex.model, GraphEditable):
        if ex.effects is None:
            reason = _NO_EFFECT
        else:
            reason = f"{ex.name} cannot be put on an edited graph"
        return [Figure(key, label, None, of="pairs", note=reason) for key, label in names]
    rows: list[tuple[int, tuple[float, ...]]] = []
    for told in [told for told in sample.some() if told.shown]:
        before = told.explanation.rank or 1
        every = ex.graph.facts_of(np.unique(np.concatenate([one.edges for one in told.shown])))
        rest = np.setdiff1d(np.arange(len(ex.graph.ckg.head)), every)
        first, without, alone = (
            _rank(ex, told, facts)
            for facts in (ex.graph.facts_of(told.shown[0].edges), every, rest)
        )
        rows.append(
            (
                told.user,
                (first - before, without - before, float(without > top), float(alone <= top)),
            )
        )
    return [
        sample.figure(key, label, [(user, row[n]) for user, row in rows], none="no path")
        for n, (key, label) in enumerate(names)
    ]


def _rank(ex: "Explainer", told: Told, facts: np.ndarray) -> int:
    found = ex.standing(told.user, ex.without(facts)).rank(told.item)
    assert found is not None
    return found


def _flips(sample: _Sample) -> list[Figure]:
    names = (
        (
            "lists.flip.size",
            "likes whose removal changes the first item, median of those that have such a set",
        ),
        ("lists.flip.none", "users without such a set"),
        ("lists.flip.verified", "answers verified by ranking anew"),
    )
    found = []
    for told in sample.some():
        try:
            found.append((told.user, sample.ex.flip(sample.ex.data.users.key(told.user))))
        except CapabilityError as error:
            return [Figure(key, label, None, note=str(error)) for key, label in names]
    sizes = [(user, float(len(one.removed))) for user, one in found if one.removed]
    return [
        sample.figure(*names[0], sizes, "users", middle="median", none="no user has one"),
        sample.figure(*names[1], [(user, float(not one.removed)) for user, one in found], "users"),
        sample.figure(*names[2], [(user, float(one.verified)) for user, one in found], "users"),
    ]


# ---- support, stability


def _support(sample: _Sample) -> list[Figure]:
    figures = []
    for name, label in (
        ("supported", "part of the score that likes joined to the item by a fact give, median"),
        ("on_graph", "part that walks from the user to the item carry, median"),
    ):
        values = [(told.user, _part(told.explanation, name)) for told in sample.told]
        figures.append(
            sample.figure(
                f"support.{name}",
                label,
                values,
                middle="median",
                none=f"{sample.ex.name} has no such part, or scores are not positive",
            )
        )
    reached = _by_user(
        [(told.user, float(sum(told.explanation.counts.values()) > 0)) for told in sample.told]
    )
    coverage = [(user, sum(reached.get(user, [])) / sample.top) for user in sample.users.tolist()]
    longest = sample.ex._filters.max_length
    label = f"path coverage@{sample.top}: recommendations with a path of at most {longest} hops"
    return [
        *figures,
        sample.figure(
            "support.coverage",
            label,
            coverage,
            "users",
            note=f"over {sample.top} x all users drawn",
        ),
    ]


def _part(explanation: Explanation, name: str) -> float | None:
    value = None if explanation.budget is None else getattr(explanation.budget, name)
    return None if value is None or explanation.score <= 1e-12 else value / explanation.score


def path_key(path: Path) -> Hashable:
    """Return what makes a path this path: stops, relations and directions."""
    return tuple(
        (
            hop.source.key,
            hop.target.kind,
            hop.target.key,
            *((r.key, r.forward) for r in hop.relations),
        )
        for hop in path.hops
    )


def _overlap(sample: _Sample, other: "Explainer") -> list[tuple[int, float | None]]:
    """Return the Jaccard overlap of the first five paths here and in another explainer, for some
    pairs that both know.
    """
    most = min(sample.k, _STABLE)
    found = []
    for told in sample.some():
        one = told.explanation
        if one.user in other.data.users and one.item in other.data.items:
            again = other.explain(one.user, one.item, k=most)
            found.append(
                (
                    told.user,
                    metrics.jaccard(
                        [path_key(p) for p in one.paths[:most]], [path_key(p) for p in again.paths]
                    ),
                )
            )
    return found


def _stability(sample: _Sample, against: "Explainer | None") -> list[Figure]:
    most = min(sample.k, _STABLE)
    again = sample.figure(
        "stability.same",
        f"overlap of the first {most} paths when explained again; must be 1",
        _overlap(sample, _anew(sample.ex)),
        none="no path",
    )
    other = Figure(
        "stability.against",
        "overlap with another run",
        None,
        of="pairs",
        note="no other run was given",
    )
    if against is not None:
        other = sample.figure(
            "stability.against",
            f"overlap of the first {most} paths with the other run",
            _overlap(sample, against),
            none="no pair that both know",
        )
    label = f"overlap of the first {most} paths with those of random parameters; low is good"
    random = _randomised(sample.ex, sample.seed)
    if isinstance(random, str):
        return [again, other, Figure("stability.random", label, None, of="pairs", note=random)]
    return [
        again,
        other,
        sample.figure("stability.random", label, _overlap(sample, random), none="no path"),
    ]


def _anew(ex: "Explainer", model: Recommender | None = None) -> "Explainer":
    """Return a new explainer of the same settings, over another model where given."""
    made: Callable[..., "Explainer"] = type(ex)
    settings: dict[str, Any] = {
        **ex._settings,
        "max_length": ex._filters.max_length,
        "users": ex._filters.users,
        "modes": ex._modes,
    }
    return made(
        model or ex.model,
        ex.data,
        None if model else ex.scorer,
        model_name=ex.name,
        seen=ex._seen,
        **settings,
    )


def _randomised(ex: "Explainer", seed: int) -> "Explainer | str":
    """Return an explainer over a copy of the model whose parameters are drawn anew from normals of
    their own mean and deviation.

    Where that cannot be done, the reason.
    """
    model = ex.model
    if ex.effects is None and not isinstance(model, Plausible):
        return f"{ex.name}'s parameters have no say in the order of its paths"
    if not isinstance(model, Recommender) or not any(part.numel() for part in model.parameters()):
        return f"{ex.name} has no parameters that could be drawn anew"
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(
        int(numpy_generator(seed, "quality parameters").integers(2**31))
    )
    with torch.no_grad():
        for part in other.parameters():
            drawn = torch.randn(part.shape, generator=generator, dtype=part.dtype)
            part.copy_(drawn * part.std(correction=0) + part.mean())
        if isinstance(other, GraphEditable):
            changed = other.on_graph(other.ckg)
        else:
            changed = other
    return _anew(ex, changed)


# ---- style


def _style(sample: _Sample) -> list[Figure]:
    best = _by_best(sample)
    known = len({pattern_of(path) for paths in best.values() for path in paths})
    types = sample.ex.graph.ckg.num_relations
    recency = _Recency(sample.ex)
    popularity = _Popularity(sample.ex)
    measures: list[tuple[str, str, Callable[[int, list[Path]], float | None]]] = [
        (
            "lir",
            "LIR: recency of the liked item",
            lambda user, paths: metrics.mean_known([recency.of(user, path) for path in paths]),
        ),
        (
            "sep",
            "SEP: popularity of the stop before the item",
            lambda user, paths: metrics.mean_known([popularity.of(path) for path in paths]),
        ),
        (
            "etd",
            "ETD: diversity of last relations",
            lambda user, paths: metrics.type_diversity([p.hops[-1].relation for p in paths], types),
        ),
        (
            "lid",
            "LID: diversity of liked items",
            lambda user, paths: metrics.distinct_share([p.nodes[1] for p in paths]),
        ),
        (
            "sed",
            "SED: diversity of stops before the item",
            lambda user, paths: metrics.distinct_share([p.nodes[-2] for p in paths]),
        ),
        (
            "litd",
            "LITD: diversity of kinds of first stops",
            lambda user, paths: metrics.distinct_share([p.nodes[1].kind for p in paths]),
        ),
        (
            "setd",
            "SETD: diversity of kinds of stops before the item",
            lambda user, paths: metrics.distinct_share([p.nodes[-2].kind for p in paths]),
        ),
        (
            "ptc",
            "PTC: two paths end by different relations",
            lambda user, paths: metrics.type_concentration([p.hops[-1].relation for p in paths]),
        ),
        (
            "ppt",
            "PPT: diversity of patterns",
            lambda user, paths: metrics.pattern_diversity([pattern_of(p) for p in paths], known),
        ),
    ]
    missing = {
        "lir": "the interactions have no times"
        if recency.unknown
        else "no first stop has a recency"
    }
    figures = [
        sample.figure(
            f"style.{key}",
            label,
            [(user, of(user, paths)) for user, paths in best.items()],
            "users",
            none=missing.get(key, "not defined of any user"),
        )
        for key, label, of in measures
    ]
    explained = [
        (user, metrics.fidelity([len(best.get(user, ()))], sample.top))
        for user in sample.users.tolist()
    ]
    keys = sample.ex.data.users
    whole = [
        (
            user,
            metrics.faithful_rate(
                [sample.facts.path_holds(path, keys.key(user)) for path in paths]
            ),
        )
        for user, paths in best.items()
    ]
    return [
        *figures,
        sample.figure(
            "style.fidelity",
            f"Fidelity@{sample.top}: recommendations with a path shown",
            explained,
            "users",
            note="users without one count as 0",
        ),
        sample.figure(
            "style.pfr",
            f"PFR@{sample.top}: best paths all of whose hops are facts",
            whole,
            "users",
            none="no path",
        ),
    ]


def _by_best(sample: _Sample) -> dict[int, list[Path]]:
    """Return the best path of each recommendation, by user; users without one are absent."""
    found: dict[int, list[Path]] = {}
    for told in sample.told:
        if told.explanation.paths:
            found.setdefault(told.user, []).append(told.explanation.paths[0])
    return found


class _Recency:
    """How recent each like of a user is."""

    def __init__(self, ex: "Explainer") -> None:
        self._ex = ex
        self.unknown = ex.data.train.time is None
        self._of: dict[int, dict[int, float]] = {}

    def of(self, user: int, path: Path) -> float | None:
        """Return the recency of a path's first stop, None where it is no item with a time."""
        if self.unknown or path.nodes[1].kind != "item":
            return None
        if user not in self._of:
            train = self._ex.data.train
            rows = np.flatnonzero(train.user == user)
            assert train.time is not None
            rows = rows[np.isfinite(train.time[rows])]
            places = metrics.smoothed(train.time[rows])
            if places is None:
                self._of[user] = {}
            else:
                self._of[user] = dict(zip(train.item[rows].tolist(), places.tolist(), strict=True))
        return self._of[user].get(self._ex.data.items.row(path.nodes[1].key))


class _Popularity:
    """How many edges a node has, among nodes of its kind."""

    def __init__(self, ex: "Explainer") -> None:
        self._ex = ex
        ckg = ex.graph.ckg
        degree = ex.graph.degree(np.arange(ckg.num_entities))
        self._places = {
            "item": metrics.smoothed(degree[: ckg.num_items]),
            "entity": metrics.smoothed(degree[ckg.num_items :]),
        }

    def of(self, path: Path) -> float | None:
        """Return the popularity of the stop before the item, None of users."""
        node = path.nodes[-2]
        data = self._ex.data
        places = self._places.get(node.kind)
        if places is None:
            return None
        if node.kind == "item":
            row = data.items.row(node.key)
        else:
            row = data.triples.entities.row(node.key) - data.num_items
        return float(places[row])


# ---- time, groups, notes


def _latency(sample: _Sample) -> list[Figure]:
    spent = np.array([told.seconds for told in sample.told]) * 1e3
    names = (
        ("p50", "one explanation, ms: median", 0.5),
        ("p95", "95 of 100", 0.95),
        ("worst", "worst", 1.0),
    )
    return [
        Figure(
            f"latency.{key}",
            label,
            float(np.quantile(spent, at)) if len(spent) else None,
            count=len(spent),
            of="pairs",
        )
        for key, label, at in names
    ]


def _groups(sample: _Sample) -> tuple[Group, ...]:
    every = _shown(sample)
    if not every:
        return ()
    likes = {told.user: len(sample.ex.liked(told.user)) for told in sample.told}
    uses = np.asarray(sample.ex.train.sum(0)).ravel().astype(int)
    active = metrics.thirds(list(likes.values()))
    popular = metrics.thirds([int(uses[told.item]) for told in sample.told])
    ways: dict[str, Callable[[Told, Shown], str]] = {
        "length": lambda told, one: f"{one.path.length} hop{'s' if one.path.length > 1 else ''}",
        "pattern": lambda told, one: pattern_of(one.path),
        "activity": lambda told, one: _range(likes[told.user], active, "likes"),
        "popularity": lambda told, one: _range(int(uses[told.item]), popular, "users"),
    }
    groups = []
    for by, name in ways.items():
        found: dict[str, list[tuple[int, float, float]]] = {}
        for told, one in every:
            found.setdefault(name(told, one), []).append(
                (told.user, float(one.drops[0]), float(one.random[0]))
            )
        if by == "pattern":
            keys = sorted(found, key=lambda key: (-len(found[key]), key))[:_MOST_PATTERNS]
        else:
            keys = sorted(found, key=_first_number)
        groups += [_group(sample, by, key, found[key]) for key in keys]
    return tuple(groups)


def _first_number(text: str) -> int:
    return int(text.split()[0])


def _range(value: int, parts: Sequence[tuple[int, int]], what: str) -> str:
    low, high = next(part for part in parts if value <= part[1])
    if low == high:
        return f"{low} {what}"
    return f"{low} to {high} {what}"


def _group(sample: _Sample, by: str, key: str, rows: list[tuple[int, float, float]]) -> Group:
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


def _notes(sample: _Sample) -> tuple[str, ...]:
    ex = sample.ex
    notes = [
        "Intervals: 95 %, percentile bootstrap over users. Embeddings stay as trained; what is "
        "edited is the graph the model reads."
    ]
    if ex.effects is None:
        notes.append(
            f"{ex.name}: {_NO_EFFECT} at inference; its paths connect, they do not cause. What "
            "rests on drops has no value."
        )
    else:
        notes.append(
            "Random paths join the same user and item, have the same length, and stand for "
            "counted users where the path shown does. "
            "Degree-matched ones have, besides, stops with half to twice its stops' edges, and "
            "are not the path itself."
        )
        notes.append(
            "Lists, flips, oracle and stability: the first recommendation of "
            f"{len(sample.some())} of the users."
        )
    if ex.effects is not None and not ex.data.test.user.size:
        notes.append(
            "The test part was not at hand: leaks were looked for against the validation part "
            "and the training data."
        )
    return tuple(notes)
