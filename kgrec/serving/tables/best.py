"""The best k of a table of scores, ties to the lower column."""

import numpy as np


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k highest scores, the highest first; of equal scores the lower
    column. -inf is not a candidate.

    >>> best(np.array([0.5, 2.0, 0.5, -np.inf, 0.5]), 3).tolist()
    [1, 0, 2]
    """
    count = len(scores)
    if k >= count:
        columns = np.flatnonzero(scores > -np.inf)
        return columns[np.argsort(-scores[columns], kind="stable")]

    limit = np.partition(scores, count - k)[count - k]
    above = np.flatnonzero(scores > limit)
    above = above[np.argsort(-scores[above], kind="stable")]
    if limit == -np.inf or len(above) == k:
        return above

    return np.concatenate([above, np.flatnonzero(scores == limit)[: k - len(above)]])
