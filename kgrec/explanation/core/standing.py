"""One user's ranking of all items."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Standing:
    """Every item's score and rank for one user.

    Attributes:
        scores: One per item.
        seen: Items that take no part in the ranking.
        tie_rank: Each item's rank among items of equal score, as ``Run.recommend`` breaks ties.
    """

    scores: np.ndarray
    seen: np.ndarray
    tie_rank: np.ndarray

    def order(self) -> np.ndarray:
        """Return the ranked items, best first."""
        scores = self.scores.copy()
        scores[self.seen] = -np.inf
        order = np.lexsort((self.tie_rank, -scores))
        return order[: len(scores) - len(self.seen)]

    def rank(self, item: int) -> int | None:
        """Return the rank of an item, from 1; None where it takes no part."""
        if item in self.seen:
            return None

        score = self.scores[item]
        ties = (self.scores == score) & (self.tie_rank < self.tie_rank[item])
        ahead = (self.scores > score) | ties
        ahead[self.seen] = False
        return 1 + int(ahead.sum())

    def next_item(self, item: int) -> int | None:
        """Return the item that follows in the ranking; None after the last or an unranked one."""
        rank = self.rank(item)
        order = self.order()
        if rank is None or rank >= len(order):
            return None
        return int(order[rank])
