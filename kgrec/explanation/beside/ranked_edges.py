"""What an explainer that is compared gives: edges of the path graph, best first."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from kgrec.explanation.search.ranked import PathSearch

_MOST = 2000


@dataclass(frozen=True, slots=True)
class RankedEdges:
    """The edges that an explainer names for one score, and what that cost.

    Attributes:
        edges: Distinct edges of the path graph, best first.
        scores: What each is ranked by, in the explainer's own unit.
        runs: How often the model was run on an edited or masked graph.
        whole: Whether the edges are one set, of which a part means nothing.
    """

    edges: np.ndarray
    scores: np.ndarray
    runs: int
    whole: bool = False

    def first(self, count: int) -> np.ndarray:
        """Return the first edges; all of them where they are one set."""
        if self.whole:
            return self.edges
        return self.edges[:count]


@runtime_checkable
class EdgeExplainer(Protocol):
    """An explainer that ranks edges."""

    def rank_edges(self, user: int, item: int) -> RankedEdges:
        """Return the edges that explain the score of a user and an item (rows), best first."""


def best_first(edges: np.ndarray, scores: np.ndarray, runs: int) -> RankedEdges:
    """Return edges with positive scores, the largest first, ties by number."""
    order = np.lexsort([edges, -scores])
    order = order[scores[order] > 0]
    return RankedEdges(edges[order], scores[order], runs)


def candidate_edges(search: PathSearch, user: int, item: int) -> np.ndarray:
    """Return the edges on the paths between a user and an item: what every explainer chooses of.

    Of more than 2,000, those with the largest first-order effects, in either direction.
    """
    effects = search.explained.effects_at(user, item)
    groups = search.find(user, item, effects).groups
    edges = np.unique(np.concatenate([group.edge for group in groups]))
    if effects is None or len(edges) <= _MOST:
        return edges

    order = np.argsort(-np.abs(effects.removal(edges)), kind="stable")
    return np.sort(edges[order[:_MOST]])
