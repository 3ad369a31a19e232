"""Integrated gradients: the parts add up with exactly as many points as the degree of the
polynomial asks for.
"""

import numpy as np
import pytest

from kgrec.explanation.effects.integrated_gradients import attribute
from tests.explanation.effects.test_closed_form import ENTITIES, ITEMS, World


def parts(world, users, items, points=None):
    low, high = world.pairs.T
    return attribute(world.linear, np.asarray(users), np.asarray(items), low, high, points)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_as_many_points_as_layers_are_exact_and_one_fewer_is_not(seed, layers):
    world = World(seed, layers, by_direction=False, likes=20, facts=20)
    user, item = ENTITIES + 1, 2
    found = parts(world, [user], [item])
    assert found.points == layers
    expected = world.score(world.matrix(), user, item)
    assert found.score == pytest.approx(expected, abs=1e-12)
    assert found.start == pytest.approx(
        world.coefficients[0] ** 2 * world.start[user] @ world.start[item], abs=1e-12
    )
    assert found.values.sum() == pytest.approx(expected - found.start, abs=1e-9)
    if layers > 1:
        assert abs(parts(world, [user], [item], layers - 1).residual) > 1e-6


@pytest.mark.parametrize("by_direction", [False, True])
def test_many_pairs_are_the_sum_of_single_ones(by_direction):
    world = World(3, 3, by_direction, likes=20, facts=20)
    users, items = (
        np.array([ENTITIES, ENTITIES, ENTITIES + 2, ENTITIES + 4]),
        np.array([0, 3, 1, ITEMS - 1]),
    )
    together = parts(world, users, items)
    assert abs(together.residual) < 1e-9
    single = [parts(world, [u], [i]) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(together.values, sum(one.values for one in single), atol=1e-8)
    assert together.score == pytest.approx(sum(one.score for one in single))


def test_parts_equal_a_fine_numeric_integral():
    world = World(5, 3, by_direction=True, likes=20, facts=20)
    user, item = ENTITIES + 3, 1
    found = parts(world, [user], [item])
    matrix, steps, width = world.matrix(), 400, 1e-6
    for number in range(0, len(world.pairs), 5):
        a, b = world.pairs[number]
        total = 0.0
        for at in (np.arange(steps) + 0.5) / steps:
            up, down = at * matrix, at * matrix
            up[a, b] += width
            down[a, b] -= width
            up[b, a], down[b, a] = up[a, b], down[a, b]
            total += (
                (world.score(up, user, item) - world.score(down, user, item)) / (2 * width) / steps
            )
        assert found.values[number] == pytest.approx(total * matrix[a, b], abs=1e-5)
