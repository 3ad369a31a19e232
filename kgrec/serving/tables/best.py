"""The best k of a table of scores, ties to the lower column."""

import numpy as np

_SORTED = 256  # scores up to which all are sorted


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k highest scores, the highest first; of equal scores the lower
    column. -inf is not a candidate.

    >>> best(np.array([0.5, 2.0, 0.5, -np.inf, 0.5]), 3).tolist()
    [1, 0, 2]
    """
    count = len(scores)
    if k >= count or count <= _SORTED:
        order = np.argsort(-scores, kind="stable")
        return order[: min(k, int(np.count_nonzero(scores > -np.inf)))]

    limit = np.partition(scores, count - k)[count - k]
    above = np.flatnonzero(scores > limit)
    above = above[np.argsort(-scores[above], kind="stable")]
    if limit == -np.inf or len(above) == k:
        return above

    return np.concatenate([above, np.flatnonzero(scores == limit)[: k - len(above)]])
