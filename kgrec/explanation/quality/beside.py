"""Other explainers beside the paths shown: the same model, users, items, candidates and measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from kgrec.errors import CapabilityError
from kgrec.explanation.beside.measured_paths import MeasuredPaths
from kgrec.explanation.beside.names import explainer_named
from kgrec.explanation.beside.ranked_edges import EdgeExplainer, RankedEdges
from kgrec.explanation.effects.closed_form import Mode
from kgrec.explanation.effects.sufficiency import scores_alone
from kgrec.explanation.quality import metrics
from kgrec.explanation.quality.figures import Sample
from kgrec.explanation.quality.report import Compared, Figure
from kgrec.explanation.quality.sample import ExplainedItem
from kgrec.log import progress
from kgrec.models.capabilities import GraphEditable

OURS = "paths"


@dataclass(frozen=True, slots=True)
class _Named:
    """What an explainer named for one recommendation.

    Attributes:
        ranked: Its edges.
        edges: Those of them that are compared.
        seconds: Time it took.
    """

    ranked: RankedEdges
    edges: np.ndarray
    seconds: float


def compared(sample: Sample, names: Sequence[str]) -> tuple[Compared, ...]:
    """Return the paths shown and other explainers, measured alike.

    Over the recommendations of ``Sample.some``. Of each recommendation every explainer names as
    many edges as the paths shown have, or fewer where it finds no more.

    Args:
        sample: The explained recommendations.
        names: Names of other explainers.
    """
    if not names:
        return ()
    if sample.explained.effects is None:
        return tuple(Compared(name, (), sample.no_effect) for name in (OURS, *names))

    pairs = [pair for pair in sample.some() if pair.shown]
    ours = _name_edges(MeasuredPaths(sample.search, sample.k), pairs, OURS, None)
    found = [_measured(sample, pairs, OURS, ours, ours)]

    for name in names:
        explainer = explainer_named(name, sample.search, sample.seed)
        try:
            named = _name_edges(explainer, pairs, name, ours)
        except CapabilityError as error:
            found.append(Compared(name, (), str(error)))
            continue

        found.append(_measured(sample, pairs, name, named, ours))

    return tuple(found)


def _name_edges(
    explainer: EdgeExplainer,
    pairs: Sequence[ExplainedItem],
    name: str,
    ours: Sequence[_Named] | None,
) -> list[_Named]:
    found = []
    with progress(f"explaining by {name}", len(pairs)) as bar:
        for number, pair in enumerate(pairs):
            bar.update(number, "")
            began = perf_counter()
            ranked = explainer.rank_edges(pair.user, pair.item)
            seconds = perf_counter() - began
            most = len(ranked.edges)
            if ours is not None:
                most = len(ours[number].edges)

            found.append(_Named(ranked, ranked.first(most), seconds))

    return found


def _measured(
    sample: Sample,
    pairs: Sequence[ExplainedItem],
    name: str,
    named: Sequence[_Named],
    ours: Sequence[_Named],
) -> Compared:
    rows = []
    for pair, mine, reference in zip(pairs, named, ours, strict=True):
        values = {
            "edges": float(len(mine.edges)),
            "facts": _facts(sample, mine.edges),
            "paths": _holds_path(sample, pair, mine.edges),
            **_without(sample, pair, mine),
            "alone": _alone(sample, pair, mine.edges),
            "overlap": metrics.jaccard(mine.edges.tolist(), reference.edges.tolist()),
            "runs": float(mine.ranked.runs),
            "seconds": mine.seconds,
        }
        rows.append((pair.user, values))

    figures: list[Figure] = []
    for key, label in _LABELS.items():
        values_of = [(user, values[key]) for user, values in rows]
        middle = "mean"
        if key == "alone":
            middle = "median"

        full = f"beside.{name}.{key}"
        figures.append(sample.figure(full, label, values_of, middle=middle, none="not measured"))

    return Compared(name, tuple(figures))


_LABELS = {
    "edges": "edges",
    "facts": "of facts",
    "paths": "hold a path",
    "first": "drop, a path's worth",
    "drop": "drop, all",
    "overtaken": "overtaken",
    "alone": "alone, median",
    "overlap": "shared with paths",
    "runs": "runs",
    "seconds": "seconds",
}


def _facts(sample: Sample, edges: np.ndarray) -> float | None:
    """Return the share of edges that are facts and not interactions."""
    if not len(edges):
        return None
    graph = sample.explained.graph
    return float((graph.ckg.relation[graph.first_facts[edges]] > 0).mean())


def _holds_path(sample: Sample, pair: ExplainedItem, edges: np.ndarray) -> float:
    """Return whether a path from the user to the item is among edges (0 or 1)."""
    effects = sample.explained.effects_at(pair.user, pair.item)
    listed = sample.search.find(pair.user, pair.item, effects).listed
    return float(any(np.isin(paths, edges).all(1).any() for paths in listed.edges))


def _without(sample: Sample, pair: ExplainedItem, named: _Named) -> dict[str, float | None]:
    """Return the drops without the edges named and without as many as the best path has, and
    whether another item overtakes: the model is built again on the graph that is left, where it can
    be.
    """
    explained = sample.explained
    assert explained.effects is not None
    first = named.ranked.first(len(pair.shown[0].edges))
    effects = explained.effects.at(pair.user, pair.item)
    ((score, without_first, without_all),) = effects.without([first, named.edges]).tolist()
    found: dict[str, float | None] = {"first": score - without_first, "drop": score - without_all}
    found["overtaken"] = None

    if isinstance(explained.model_effects, GraphEditable):
        before = explained.standing(pair.user)
        facts = explained.graph.facts_of(named.edges)
        after = explained.standing(pair.user, explained.without(facts))
        found["drop"] = float(before.scores[pair.item] - after.scores[pair.item])
        found["overtaken"] = float((after.rank(pair.item) or 0) > (before.rank(pair.item) or 0))

    return found


def _alone(sample: Sample, pair: ExplainedItem, edges: np.ndarray) -> float | None:
    """Return the sufficiency of edges, the weights kept where the model can."""
    explained = sample.explained
    assert explained.effects is not None
    mode: Mode = "delete"
    if explained.keeps_weights:
        mode = "mask"

    nothing, alone = scores_alone(
        explained.effects,
        explained.graph,
        pair.user,
        pair.item,
        [np.empty(0, np.int64), edges],
        mode,
    ).tolist()

    return metrics.sufficiency(alone, nothing, pair.explanation.score)
