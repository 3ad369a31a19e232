"""Support of the scores by paths, and how stable the paths are."""

import copy
from collections.abc import Hashable

import torch

from kgrec.explanation.core.records import Explanation, Path
from kgrec.explanation.quality import metrics
from kgrec.explanation.quality.figures import Sample, by_user
from kgrec.explanation.quality.report import Figure
from kgrec.explanation.questions.why import explain
from kgrec.explanation.search.ranked import PathSearch
from kgrec.models.base import Recommender
from kgrec.models.capabilities import GraphEditable, Plausible
from kgrec.random import numpy_generator

_STABLE = 5


def support_figures(sample: Sample) -> list[Figure]:
    """Return the parts of scores that paths carry, and how many pairs have a path."""
    figures = []
    for name, label in (
        (
            "supported",
            "part of the score that interactions joined to the item by a fact give, median",
        ),
        ("on_graph", "part that walks from the user to the item carry, median"),
    ):
        values = [(pair.user, _part(pair.explanation, name)) for pair in sample.pairs]
        figures.append(
            sample.figure(
                f"support.{name}",
                label,
                values,
                middle="median",
                none=f"{sample.explained.name} has no such part, or scores are not positive",
            )
        )

    reached = by_user(
        [(pair.user, float(sum(pair.explanation.counts.values()) > 0)) for pair in sample.pairs]
    )
    coverage = [(user, sum(reached.get(user, [])) / sample.top) for user in sample.users.tolist()]
    longest = sample.search.filters.max_length
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
    """Return a part of the budget over the score; None where that says nothing."""
    if explanation.budget is None or explanation.score <= 1e-12:
        return None

    value: float | None = getattr(explanation.budget, name)
    if value is None:
        return None

    return value / explanation.score


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


def _overlap(sample: Sample, other: PathSearch) -> list[tuple[int, float | None]]:
    """Return the Jaccard overlap of the first five paths here and in another search.

    Pairs that only one of the two knows are omitted.
    """
    data = other.explained.data
    most = min(sample.k, _STABLE)
    overlaps = []

    for pair in sample.some():
        why = pair.explanation
        if why.user in data.users and why.item in data.items:
            again = explain(other, why.user, why.item, k=most)
            first = [path_key(path) for path in why.paths[:most]]
            second = [path_key(path) for path in again.paths]
            overlaps.append((pair.user, metrics.jaccard(first, second)))

    return overlaps


def stability_figures(sample: Sample, against: PathSearch | None) -> list[Figure]:
    """Return the overlap with paths found again, of another run, and of random parameters."""
    most = min(sample.k, _STABLE)
    again = sample.figure(
        "stability.same",
        f"overlap of the first {most} paths when explained again; must be 1",
        _overlap(sample, sample.search.over()),
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
    random = _randomized(sample.search, sample.seed)
    if isinstance(random, str):
        return [again, other, Figure("stability.random", label, None, of="pairs", note=random)]

    return [
        again,
        other,
        sample.figure("stability.random", label, _overlap(sample, random), none="no path"),
    ]


def _randomized(search: PathSearch, seed: int) -> PathSearch | str:
    """Return a search over a copy of the model with random parameters, or why there is none.

    Each parameter is drawn from a normal distribution of its own mean and deviation (the parameter
    randomization of Adebayo et al., 2018).
    """
    explained = search.explained
    model = explained.model
    if explained.effects is None and not isinstance(explained.model_effects, Plausible):
        return f"{explained.name}'s parameters have no say in the order of its paths"
    if not isinstance(model, Recommender) or not any(part.numel() for part in model.parameters()):
        return f"{explained.name} has no parameters that could be randomized"

    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(
        int(numpy_generator(seed, "quality parameters").integers(2**31))
    )

    with torch.no_grad():
        for part in other.parameters():
            drawn = torch.randn(part.shape, generator=generator, dtype=part.dtype)
            part.copy_(drawn * part.std(correction=0) + part.mean())

        effects = other.explanation_effects()
        if isinstance(effects, GraphEditable):
            return search.over(effects.on_graph(effects.ckg))

    return search.over(other)
