"""Which features of items tell a user's items from others: what the decision trees of KGUF test."""

import zlib

import numpy as np
import scipy.sparse as sp
import torch

from kgrec.graph.ckg import CollaborativeKG
from kgrec.random import numpy_generator


def features_of_items(ckg: CollaborativeKG) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct (item, feature) pairs in order, a feature being the relation times the
    number of entities plus the tail of a triple that the item heads.
    """
    own = (ckg.fact >= 0) & (ckg.head < ckg.num_items)
    feature = (ckg.relation[own] - 1) * ckg.num_entities + ckg.tail[own]
    if not own.any():
        return np.empty(0, np.int64), np.empty(0, np.int64)

    item, feature = np.unique(np.stack([ckg.head[own], feature]), axis=1)
    return item, feature


def chosen_features(
    ckg: CollaborativeKG, negatives: int, depth: int, generator: torch.Generator
) -> np.ndarray:
    """Return the features, ascending, that some user's tree tests on the way to the user's items.

    Each user's tree tells the items used from ``negatives`` times as many drawn ones, which weigh
    as much together. Draws depend on the items alone, not on the number of the user.

    Args:
        ckg: The graph.
        negatives: Items drawn for each item used.
        depth: Most tests on the way to a leaf; 0 for any number.
        generator: Gives the seed of the draws.
    """
    item, feature = features_of_items(ckg)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    names, column = np.unique(feature, return_inverse=True)
    shape = (ckg.num_items, len(names))
    matrix = sp.csr_matrix((np.ones(len(item)), (item, column)), shape=shape)
    described = np.unique(item)
    users, items = ckg.interactions()
    order = np.argsort(users, kind="stable")
    chosen = np.zeros(len(names), dtype=bool)

    for used in np.split(items[order], np.cumsum(np.bincount(users))[:-1]):
        used = np.intersect1d(used, described)
        others = np.setdiff1d(described, used)
        draws = numpy_generator(seed, "trees", zlib.crc32(used.astype(np.int64).tobytes()))
        count = min(negatives * len(used), len(others))
        drawn = draws.choice(others, count, replace=False)
        rows = matrix[np.concatenate([used, drawn])]
        mine = np.arange(rows.shape[0]) < len(used)
        columns = np.unique(rows.indices)
        chosen[columns[_tested(rows[:, columns].toarray() > 0, mine, depth)]] = True

    return names[chosen]


def _tested(has: np.ndarray, mine: np.ndarray, depth: int) -> list[int]:
    """Return the features that a tree by information gain tests, the first of several equal ones.

    Args:
        has: Whether each row has each feature.
        mine: Whether each row is an item of the user; both classes weigh as much.
        depth: Most tests on the way to a leaf; 0 for any number.
    """
    weight = np.where(mine, 1 / max(1, mine.sum()), 1 / max(1, (~mine).sum()))
    found = []
    leaves = [(np.arange(len(mine)), 0)]

    while leaves:
        rows, level = leaves.pop()
        both = mine[rows].any() and not mine[rows].all()
        with_it = has[rows].sum(0)
        useful = np.flatnonzero((with_it > 0) & (with_it < len(rows)))
        if not both or not len(useful) or (depth and level == depth):
            continue

        mass = np.stack([weight[rows] * mine[rows], weight[rows] * ~mine[rows]])
        inside = mass @ has[np.ix_(rows, useful)]  # (2, features)
        left = _spread(inside) + _spread(mass.sum(1, keepdims=True) - inside)
        best = int(useful[np.argmin(np.round(left, 12))])
        found.append(best)
        sides = has[rows, best], ~has[rows, best]
        leaves += [(rows[side], level + 1) for side in sides]

    return found


def _spread(mass: np.ndarray) -> np.ndarray:
    """Return the entropy of two masses, times their sum."""
    share = mass / np.maximum(mass.sum(0), 1e-300)
    return np.asarray(-(mass * np.log(np.maximum(share, 1e-300))).sum(0))
