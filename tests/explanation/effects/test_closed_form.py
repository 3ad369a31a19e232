"""Exact parts, walks, first-order effects and edits of linear propagation, against dense matrices
and enumeration.
"""

from itertools import product

import numpy as np
import pytest
import torch

from kgrec.explanation.effects.closed_form import Edit, Linear
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.symmetric import PairGraph
from kgrec.models.capabilities import LinearPropagation

USERS, ITEMS, ENTITIES = 6, 5, 9
NODES = ENTITIES + USERS


class World:
    """A small random graph with parallel relations and an isolated node, its dense matrix, and the
    model over it.
    """

    def __init__(self, seed, layers, by_direction, likes=16, facts=16):
        rng = np.random.default_rng(seed)
        user, item = rng.integers(0, USERS, likes), rng.integers(0, ITEMS, likes)
        head, tail = rng.integers(0, ENTITIES - 1, facts), rng.integers(0, ENTITIES - 1, facts)
        apart = head != tail
        head, tail = head[apart], tail[apart]
        self.ckg = CollaborativeKG(
            USERS,
            ITEMS,
            ENTITIES,
            3,
            np.concatenate([user + ENTITIES, head]),
            np.concatenate([np.zeros(likes, np.int64), rng.integers(1, 3, len(head))]),
            np.concatenate([item, tail]),
            np.concatenate([np.full(likes, -1), np.arange(len(head))]),
        )
        self.rng, self.by_direction = rng, by_direction
        self.coefficients = rng.uniform(0.1, 1.0, layers + 1)
        self.start = rng.normal(size=(NODES, 4))
        self.ones = np.zeros((NODES, NODES))
        self.ones[self.ckg.head, self.ckg.tail] = self.ones[self.ckg.tail, self.ckg.head] = 1
        propagation = LinearPropagation(
            PairGraph(self.ckg),
            torch.from_numpy(self.start),
            tuple(self.coefficients),
            by_direction,
        )
        self.linear = Linear(propagation)
        self.pairs = np.argwhere(np.triu(self.ones))

    def matrix(self, ones=None):
        ones = self.ones if ones is None else ones
        degree = np.maximum(ones.sum(1), 1)
        return ones / np.sqrt(np.outer(degree, degree))

    def vectors(self, matrix):
        return (
            sum(c * np.linalg.matrix_power(matrix, k) for k, c in enumerate(self.coefficients))
            @ self.start
        )

    def score(self, matrix, user, item):
        z = self.vectors(matrix)
        return z[user] @ z[item] / (np.linalg.norm(z[item]) if self.by_direction else 1.0)

    def edited(self, edit, mode):
        ones, kept = self.ones.copy(), self.matrix()
        degree = np.maximum(self.ones.sum(1), 1)
        for pairs, value in ((edit.removed, 0.0), (edit.added, 1.0)):
            for a, b in pairs:
                ones[a, b] = ones[b, a] = value
                kept[a, b] = kept[b, a] = value / np.sqrt(degree[a] * degree[b])
        return kept if mode == "mask" else self.matrix(ones)

    def edits(self, count):
        there, absent = self.pairs, np.argwhere(np.triu(1 - self.ones, 1))
        absent = absent[(self.ones.sum(1)[absent] > 0).all(1)]
        for _ in range(count):
            removed = there[self.rng.choice(len(there), self.rng.integers(0, 6), replace=False)]
            yield Edit(
                removed,
                absent[self.rng.choice(len(absent), self.rng.integers(0, 3), replace=False)],
            )

    def ends(self):
        return product(range(ENTITIES, NODES), range(ITEMS))


CASES = [
    (seed, layers, by_direction)
    for seed in range(4)
    for layers in (1, 2, 3, 4)
    for by_direction in (False, True)
]


@pytest.mark.parametrize(("seed", "layers", "by_direction"), CASES)
def test_both_cuts_add_up_to_the_score(seed, layers, by_direction):
    world = World(seed, layers, by_direction)
    for user, item in world.ends():
        pair = world.linear.at(user, item)
        expected = world.score(world.matrix(), user, item)
        assert pair.score == pytest.approx(expected, abs=1e-12)
        assert pair.own() + pair.by_neighbor()[1].sum() == pytest.approx(expected, abs=1e-12)
        own, _, parts = pair.from_item_side()
        assert own + parts.sum() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("seed", "layers", "by_direction"), CASES)
def test_edits_equal_a_new_propagation(seed, layers, by_direction):
    world = World(seed, layers, by_direction)
    edits = list(world.edits(25))
    user, item = ENTITIES + 1, 2
    scores = world.linear.at(user, item).scores(edits, ("delete", "mask"))
    for number, edit in enumerate(edits):
        for row, mode in enumerate(("delete", "mask")):
            matrix = world.edited(edit, mode)
            assert scores[row, number] == pytest.approx(world.score(matrix, user, item), abs=1e-9)
            z = world.vectors(matrix)
            scale = np.linalg.norm(z[:ITEMS], axis=1) if by_direction else 1.0
            np.testing.assert_allclose(
                world.linear.ranking(user, ITEMS, edit, mode),
                z[:ITEMS] @ z[user] / scale,
                atol=1e-9,
            )


@pytest.mark.parametrize(("seed", "layers", "by_direction"), CASES[:16])
def test_first_order_effects_are_derivatives(seed, layers, by_direction):
    world = World(seed, layers, by_direction)
    user, item = ENTITIES + 2, 1
    pair = world.linear.at(user, item)
    low, high = world.pairs.T
    kept, renewed = pair.edge_effects(low, high), pair.removal_effects(low, high)
    step = 1e-6
    for number, (a, b) in enumerate(world.pairs):
        for expected, matrix in ((kept[number], world.matrix()), (renewed[number], None)):
            if matrix is None:
                ones = world.ones.copy()
                ones[a, b] = ones[b, a] = 1 - step
                degree = np.where(world.ones.sum(1) > 0, ones.sum(1), 1)
                matrix = ones / np.sqrt(np.outer(degree, degree))
            else:
                matrix[a, b] *= 1 - step
                matrix[b, a] = matrix[a, b]
            change = (pair.score - world.score(matrix, user, item)) / step
            assert change == pytest.approx(expected, abs=2e-5 * max(1, abs(pair.score)))


def walks(matrix, start, length):
    """Every walk of a length from a node, with the product of its weights."""
    found = [((start,), 1.0)]
    for _ in range(length):
        found = [
            ((*nodes, int(n)), weight * matrix[nodes[-1], n])
            for nodes, weight in found
            for n in np.flatnonzero(matrix[nodes[-1]])
        ]
    return found


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_score_is_a_sum_over_pairs_of_walks(seed, layers):
    world = World(seed, layers, by_direction=False, likes=6, facts=6)
    matrix, user, item = world.matrix(), ENTITIES + seed % USERS, seed % ITEMS
    pair = world.linear.at(user, item)
    c, start = world.coefficients, world.start
    total = met = 0.0
    for k, m in product(range(layers + 1), repeat=2):
        for one, other in product(walks(matrix, user, k), walks(matrix, item, m)):
            part = c[k] * c[m] * one[1] * other[1] * (start[one[0][-1]] @ start[other[0][-1]])
            total += part
            met += part * (one[0][-1] == other[0][-1])
    assert total == pytest.approx(pair.score, abs=1e-10)  # Eq. (1)
    assert met == pytest.approx(pair.on_graph(), abs=1e-10)  # s_on; the rest is J
    joint = 0.0
    for length in range(2 * layers + 1):
        ending = [
            (nodes, weight) for nodes, weight in walks(matrix, user, length) if nodes[-1] == item
        ]
        if ending:
            joint += pair.joint(
                np.array([nodes for nodes, _ in ending]), np.array([weight for _, weight in ending])
            ).sum()
    assert joint == pytest.approx(pair.on_graph(), abs=1e-10)  # the sum of c(p), Eq. (3)


def test_what_is_supported_is_the_part_of_pairs_that_a_fact_joins():
    from kgrec.explanation.core.path_graph import PathGraph
    from kgrec.explanation.effects.budget import _joined

    world = World(1, 3, by_direction=True, likes=20, facts=20)
    matrix, graph = world.matrix(), PathGraph(world.ckg, merged=True)
    y = (
        sum(c * np.linalg.matrix_power(matrix, k) for k, c in enumerate(world.coefficients[1:]))
        @ world.start
    )
    z = world.vectors(matrix)
    checked = 0
    for user, item in world.ends():
        pair = world.linear.at(user, item)
        neighbors, _ = pair.by_neighbor()
        found = pair.supported(neighbors, _joined(graph, neighbors, user, item))
        for place, j in enumerate(neighbors):
            joined = [
                n
                for n in np.flatnonzero(world.ones[item])
                if n != user and (n == j or world.ones[j, n])
            ]
            expected = sum(
                matrix[user, j] * matrix[item, n] * (y[j] @ y[n]) for n in joined
            ) / np.linalg.norm(z[item])
            assert found[place] == pytest.approx(expected, abs=1e-12)
            checked += bool(joined)
    assert checked > 20
