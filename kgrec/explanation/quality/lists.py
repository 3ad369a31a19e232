"""What the paths shown do to the user's list: ranks lost, PN, PS and flips."""

import numpy as np

from kgrec.errors import CapabilityError
from kgrec.explanation.quality.figures import Sample
from kgrec.explanation.quality.report import Figure
from kgrec.explanation.quality.sample import ExplainedItem
from kgrec.explanation.questions.flips import flip
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.models.capabilities import GraphEditable


def list_figures(sample: Sample) -> list[Figure]:
    """Return what happens to ranks without the paths shown, and what holds a rank."""
    return [*_ranks(sample), *_flips(sample)]


def _ranks(sample: Sample) -> list[Figure]:
    explained = sample.explained
    top = sample.top
    names = (
        ("lists.rank.first", "ranks lost without the best path"),
        ("lists.rank.all", "ranks lost without all paths shown"),
        ("lists.pn", f"PN@{top}: without the paths shown, the item leaves the first {top}"),
        ("lists.ps", f"PS@{top}: with them alone, it stays among the first {top}"),
    )

    if explained.effects is None or not isinstance(explained.model_effects, GraphEditable):
        reason = sample.no_effect
        if explained.effects is not None:
            reason = f"{explained.name} cannot be put on an edited graph"

        return [Figure(key, label, None, of="pairs", note=reason) for key, label in names]

    rows: list[tuple[int, tuple[float, ...]]] = []
    for pair in [pair for pair in sample.some() if pair.shown]:
        before = pair.explanation.rank or 1
        edges = np.unique(np.concatenate([path.edges for path in pair.shown]))
        every = explained.graph.facts_of(edges)
        rest = np.setdiff1d(np.arange(len(explained.graph.ckg.head)), every)
        first = _rank(explained, pair, explained.graph.facts_of(pair.shown[0].edges))
        without = _rank(explained, pair, every)
        alone = _rank(explained, pair, rest)
        row = (first - before, without - before, float(without > top), float(alone <= top))
        rows.append((pair.user, row))

    return [
        sample.figure(key, label, [(user, row[n]) for user, row in rows], none="no path")
        for n, (key, label) in enumerate(names)
    ]


def _rank(explained: ExplainedModel, pair: ExplainedItem, facts: np.ndarray) -> int:
    """Return the rank of an item without some facts."""
    rank = explained.standing(pair.user, explained.without(facts)).rank(pair.item)
    assert rank is not None
    return rank


def _flips(sample: Sample) -> list[Figure]:
    names = (
        (
            "lists.flip.size",
            "interactions whose removal changes the first item, median of those that have such a set",
        ),
        ("lists.flip.none", "users without such a set"),
        ("lists.flip.verified", "answers verified by ranking again"),
    )
    explained = sample.explained
    found = []

    for pair in sample.some():
        try:
            found.append((pair.user, flip(explained, explained.data.users.key(pair.user))))
        except CapabilityError as error:
            return [Figure(key, label, None, note=str(error)) for key, label in names]

    sizes = [(user, float(len(one.removed))) for user, one in found if one.removed]

    return [
        sample.figure(*names[0], sizes, "users", middle="median", none="no user has one"),
        sample.figure(*names[1], [(user, float(not one.removed)) for user, one in found], "users"),
        sample.figure(*names[2], [(user, float(one.verified)) for user, one in found], "users"),
    ]
