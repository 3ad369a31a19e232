"""Vectors of new items, from what is like them and who used them first, and how many places of
lists they take. numpy only.
"""

from collections.abc import Sequence

import numpy as np

from kgrec.ops.folding import average_user, unit

NEAREST = 5
RIDGE = 10.0  # of the regression of vectors on facts
ESTABLISHED = 20
_LENGTH = 20  # of the lists whose places are counted
_STEPS = 40
_FARTHEST = 2.0**20
_CHUNK = 128


def place_item(
    content: np.ndarray, clicked: np.ndarray, average: np.ndarray, length: float
) -> np.ndarray:
    """Return the vector of a new item; zeros where nothing is known of it.

        v = l unit(unit(c) + 3 n / (n + 2) (p - a / 2))   c what its facts say
                                                          p = unit(mean of unit(u)), u who used it
                                                          n how many these are
                                                          a the average user

    Someone who used it pulls it to people like them, not to everyone: half the average user is
    taken off, without which an item used by a few is in every list.

    Args:
        content: Direction that its facts and texts say, (dim,); zeros where they say nothing.
        clicked: Vectors of the users who used it, (n, dim); none may be there.
        average: The average user, of length 1.
        length: Length of the vector.
    """
    total = unit(content.astype(np.float64))
    if len(clicked):
        pull = 3 * len(clicked) / (len(clicked) + 2)
        total += pull * (unit(unit(clicked.astype(np.float64)).mean(0)) - average / 2)

    return np.asarray(length * unit(total))


def place_items(
    items: np.ndarray,
    users: np.ndarray,
    content: np.ndarray,
    near: Sequence[np.ndarray],
    clicked: Sequence[np.ndarray],
) -> np.ndarray:
    """Return the vectors of new items, (new, dim), each as long as those nearest to it on average,
    as the known items are where it has none.

    Args:
        items: Vectors of the known items.
        users: Vectors of the known users.
        content: Direction that facts and texts say of each new one, (new, dim).
        near: Rows of the known items nearest to each new one.
        clicked: Rows of the known users who used each new one.
    """
    average = average_user(users)
    lengths = np.sqrt((items.astype(np.float64) ** 2).sum(1))
    usual = float(lengths.mean()) if len(lengths) else 1.0
    rows = [
        place_item(said, users[people], average, float(lengths[own].mean()) if len(own) else usual)
        for said, own, people in zip(content, near, clicked, strict=True)
    ]
    return np.array(rows, dtype=items.dtype).reshape(len(rows), items.shape[1])


def usual_share(counts: np.ndarray, new: int) -> float:
    """Return the share of places that so many items have where they are as usual as those with
    ``ESTABLISHED`` interactions or more; as all, where fewer than ``new`` are.

    >>> usual_share(np.array([50, 30, 20, 3]), 1)
    0.25

    Args:
        counts: Interactions of each known item.
        new: How many items are new.
    """
    established = int((counts >= ESTABLISHED).sum())
    return new / (new + (established if established >= new else len(counts)))


def share_of_places(old: np.ndarray, new: np.ndarray) -> float:
    """Return the share of the places of lists that new items take.

    Args:
        old: The best scores of the other items per user, the highest first, (users, places).
        new: The best scores of the new items likewise, as wide.
    """
    return float((new > old[:, ::-1]).mean()) if old.size else 0.0


def held_back(
    vectors: np.ndarray, items: np.ndarray, users: np.ndarray, quota: float, had: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return new items' vectors that take at most a share of the places of lists of 20, and the
    share that they take.

    All are moved away from the average user by the same step, so that their order among themselves
    stays as it is for everyone.

    Args:
        vectors: Vectors of the new items, (new, dim).
        items: Vectors of the other items.
        users: Vectors of the users whose lists are made.
        quota: The share, in (0, 1].
        had: Which items each of the users has, the new ones after the others, (users, items).
    """
    people = users.astype(np.float64)
    known = len(items)
    average = average_user(users)
    along = (people @ average)[:, None]
    places = min(_LENGTH, known)
    old = _best(people, items, had[:, :known], places)
    new = np.where(had[:, known:], -np.inf, people @ vectors.T.astype(np.float64))

    def taken(step: float) -> float:
        moved = -np.sort(step * along - new, axis=1)[:, :places]
        missing = places - moved.shape[1]
        return share_of_places(old, np.pad(moved, ((0, 0), (0, missing)), constant_values=-np.inf))

    share = taken(0.0)
    if share <= quota:
        return vectors, share

    low = 0.0
    high = 1.0
    while taken(high) > quota and high < _FARTHEST:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if taken(middle) > quota:
            low = middle
        else:
            high = middle

    return (vectors - high * average).astype(vectors.dtype), taken(high)


def _best(users: np.ndarray, items: np.ndarray, had: np.ndarray, places: int) -> np.ndarray:
    """Return the best scores of each user, the highest first, a few users at a time."""
    found = []
    table = items.T.astype(np.float64)
    for start in range(0, len(users), _CHUNK):
        rows = slice(start, start + _CHUNK)
        scores = np.where(had[rows], np.inf, -(users[rows] @ table))
        found.append(np.sort(np.partition(scores, places - 1, axis=1)[:, :places], axis=1))

    return -np.concatenate(found)
