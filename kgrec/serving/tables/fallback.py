"""Scores for people and items that the model knows nothing of: popularity, and attributes."""

from dataclasses import dataclass

import numpy as np

from kgrec.ops.strangers import PRIOR_INTERACTIONS
from kgrec.serving.tables.columns import Lists


@dataclass(frozen=True)
class ByUser:
    """What people use who share attributes with a user, smoothed toward popularity.

    Attributes:
        facts: Attributes of each user.
        counts: How often those who have an attribute use each item.
        sizes: Interactions of those who have each attribute.
        share: Share of each item in all interactions.
    """

    facts: Lists
    counts: Lists
    sizes: np.ndarray
    share: np.ndarray

    def scores(self, row: int) -> np.ndarray:
        """Return one score per item, zeros for a user without attributes."""
        values = self.facts.row(row)
        total = np.zeros(len(self.share))
        for value in values.tolist():
            weight = 1 / len(values) / (self.sizes[value] + PRIOR_INTERACTIONS)
            total[self.counts.row(value)] += weight * self.counts.weights(value)
            total += weight * PRIOR_INTERACTIONS * self.share

        return total


@dataclass(frozen=True)
class Fallback:
    """Lists for strangers.

    Attributes:
        way: "popularity", "attributes" or "off".
        popularity: Interactions per item, the older the less.
        content: Weighted attributes of each item, rows of length 1; None without.
        by_user: What users with attributes go by; None without.
    """

    way: str
    popularity: np.ndarray
    content: Lists | None
    by_user: ByUser | None

    def by_content(self, row: int | None, history: np.ndarray) -> np.ndarray:
        """Return scores by attributes, all zeros where they say nothing."""
        scores = np.zeros(len(self.popularity))
        if self.content is not None and len(history):
            profile = self.content.total(history, np.dtype(np.float64))
            scores = self.content.times(profile)

        if self.by_user is not None and row is not None and not scores.any():
            scores = self.by_user.scores(row)

        return scores
