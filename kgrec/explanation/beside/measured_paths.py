"""The edges of the paths that kgrec itself shows."""

import numpy as np

from kgrec.explanation.beside.ranked_edges import RankedEdges
from kgrec.explanation.search.ranked import PathSearch


class MeasuredPaths:
    """Name the edges of the best paths, path after path.

    Args:
        search: The search for paths.
        k: How many paths.
    """

    def __init__(self, search: PathSearch, k: int = 5) -> None:
        self._search = search
        self._k = k

    def rank_edges(self, user: int, item: int) -> RankedEdges:
        """Return the edges of the best paths, each with the drop of the first path that has it."""
        search = self._search
        effects = search.explained.effects_at(user, item)
        found = search.find(user, item, effects)
        measured = search.measure(found, effects, "like", self._k)
        drops: dict[int, float] = {}

        for path in measured[: self._k]:
            length, number = path.where
            drop = 0.0
            if found.drops is not None:
                drop = found.drops.drop(path.whole) or 0.0

            edges = found.edges(path.where)
            if not found.users(path.where):
                edges = found.groups[length].example[number]  # in order, from the user on

            for edge in edges.tolist():
                drops.setdefault(edge, drop)

        runs = 0
        if found.drops is not None:
            runs = found.drops.runs

        return RankedEdges(np.array(list(drops), np.int64), np.array(list(drops.values())), runs)
