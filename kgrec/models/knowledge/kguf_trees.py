"""Which features of items tell a user's items from others: what the decision trees of KGUF test."""

import zlib

import numpy as np
import scipy.sparse as sp
import torch

from kgrec.graph.ckg import CollaborativeKG
from kgrec.ops.ranges import ranges
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
        chosen[_tested(rows, mine, depth)] = True

    return names[chosen]


def _tested(has: sp.csr_matrix, mine: np.ndarray, depth: int) -> list[int]:
    """Return the features that a tree by information gain tests, the first of several equal ones.

    Args:
        has: Which features each row has.
        mine: Whether each row is an item of the user; both classes weigh as much.
        depth: Most tests on the way to a leaf; 0 for any number.
    """
    columns, feature = np.unique(has.indices, return_inverse=True)
    weight = 1 / np.maximum(1, [[mine.sum()], [(~mine).sum()]])
    found = []
    leaves = [(np.arange(len(mine)), 0)]

    while leaves:
        rows, level = leaves.pop()
        sizes = np.array([[mine[rows].sum()], [(~mine[rows]).sum()]])
        if not sizes.all() or (depth and level == depth):
            continue

        place, at = ranges(has.indptr[rows], has.indptr[rows + 1] - has.indptr[rows])
        own = feature[at]
        of_mine = np.bincount(own[mine[rows[place]]], minlength=len(columns))
        with_it = np.bincount(own, minlength=len(columns))
        useful = np.flatnonzero((with_it > 0) & (with_it < len(rows)))
        if not len(useful):
            continue

        inside = np.stack([of_mine, with_it - of_mine])[:, useful]  # (2, features)
        left = _spread(weight * inside) + _spread(weight * (sizes - inside))
        best = int(useful[np.argmin(np.round(left, 12))])
        found.append(int(columns[best]))
        side = np.zeros(len(rows), dtype=bool)
        side[place[own == best]] = True
        leaves += [(rows[side], level + 1), (rows[~side], level + 1)]

    return found


def _spread(mass: np.ndarray) -> np.ndarray:
    """Return the entropy of two masses, times their sum."""
    share = mass / np.maximum(mass.sum(0), 1e-300)
    return np.asarray(-(mass * np.log(np.maximum(share, 1e-300))).sum(0))
