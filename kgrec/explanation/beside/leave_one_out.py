"""Edges by what taking each away alone costs."""

import numpy as np

from kgrec.explanation.beside.ranked_edges import RankedEdges, best_first, candidate_edges
from kgrec.explanation.search.ranked import PathSearch


class LeaveOneOut:
    """Rank every edge on the paths by the drop without it, everything recomputed.

    Args:
        search: The search for paths, whose edges are the candidates.
    """

    def __init__(self, search: PathSearch) -> None:
        self._search = search

    def rank_edges(self, user: int, item: int) -> RankedEdges:
        """Return the edges without which the score falls, the largest drop first."""
        effects = self._search.explained.effects_at(user, item)
        edges = candidate_edges(self._search, user, item)
        if effects is None or not len(edges):
            return best_first(edges, np.zeros(len(edges)), 0)

        (scores,) = effects.without(np.split(edges, len(edges)))
        return best_first(edges, scores[0] - scores[1:], len(edges))
