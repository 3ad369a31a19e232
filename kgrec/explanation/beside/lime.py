"""Edges by the weights of a linear model of the score, fitted to random masks.

Source: Ribeiro, Singh and Guestrin, "Why Should I Trust You?", KDD 2016.
https://arxiv.org/abs/1602.04938
"""

import numpy as np

from kgrec.explanation.beside.ranked_edges import RankedEdges, best_first, candidate_edges
from kgrec.explanation.search.ranked import PathSearch
from kgrec.random import numpy_generator

_LEAST_SAMPLES, _MOST_SAMPLES = 200, 2000
_KERNEL_WIDTH = 0.25
_RIDGE = 1e-3


class Lime:
    """Fit the score by which edges on the paths are kept, near the whole graph.

    Of as many masks as twice the edges (200 to 2,000), each takes away a random number of random
    edges, everything recomputed.

    Args:
        search: The search for paths, whose edges are the candidates.
        seed: Draws the masks.
    """

    def __init__(self, search: PathSearch, seed: int = 0) -> None:
        self._search = search
        self._seed = seed

    def rank_edges(self, user: int, item: int) -> RankedEdges:
        """Return the edges with positive weights, the largest first."""
        effects = self._search.explained.effects_at(user, item)
        edges = candidate_edges(self._search, user, item)
        if effects is None or not len(edges):
            return best_first(edges, np.zeros(len(edges)), 0)

        count = min(max(2 * len(edges), _LEAST_SAMPLES), _MOST_SAMPLES)
        generator = numpy_generator(self._seed, "lime", user, item)
        masks = draw_masks(len(edges), count, generator)
        (scores,) = effects.without([edges[~mask] for mask in masks])
        masks = np.concatenate([np.ones((1, len(edges)), dtype=bool), masks])
        return best_first(edges, linear_weights(masks, scores), count)


def draw_masks(size: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return random masks, (count, size): each lacks a number of members that is uniform in 1 ..
    size.
    """
    lacking = generator.integers(1, size + 1, count)
    ranks = generator.random((count, size)).argsort(1).argsort(1)
    return np.asarray(ranks >= lacking[:, None])


def linear_weights(
    masks: np.ndarray, scores: np.ndarray, ridge: float = _RIDGE, width: float = _KERNEL_WIDTH
) -> np.ndarray:
    """Return the weight of each column of ``masks`` in a weighted ridge regression of ``scores``.

    A mask counts the more the nearer it is to the whole: exp(-(d / width)^2 / 2) with the cosine
    distance d, as in the authors' code for texts. The intercept is not penalized.

    Args:
        masks: Which edges are kept, (samples, edges).
        scores: The score of each sample.
        ridge: Penalty of the squared weights, as a share of the mean weight's own square, so that
            it does not depend on how many samples there are.
        width: Width of the kernel.
    """
    kept = masks.astype(np.float64)
    distance = 1 - np.sqrt(kept.mean(1))
    near = np.exp(-((distance / width) ** 2) / 2)
    near /= near.sum()
    centered = kept - near @ kept
    target = scores - near @ scores
    gram = (centered * near[:, None]).T @ centered
    penalty = ridge * np.trace(gram) / len(gram)
    rows = np.arange(len(gram))
    gram[rows, rows] += penalty
    return np.asarray(np.linalg.solve(gram, (centered * near[:, None]).T @ target))
