"""Where new items are placed, and how many places they take, against lists that are made whole."""

import numpy as np
import pytest

from kgrec.ops.folding import average_user
from kgrec.ops.placing import held_back, place_item, place_items


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    users = rng.normal(size=(300, 6)) + 1
    items = rng.normal(size=(60, 6))
    new = rng.normal(size=(8, 6)) + 0.8
    had = rng.random((300, 68)) < 0.1
    return users, items, new, had


def share(users, items, new, had):
    """Count the places in lists of 20 that are made of everything."""
    scores = np.where(had, -np.inf, users @ np.concatenate([items, new]).T)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    return (best >= len(items)).mean()


@pytest.mark.parametrize("quota", [0.02, 0.1])
def test_the_quota_holds_in_whole_lists(world, quota):
    users, items, new, had = world
    moved, told = held_back(new, items, users, quota, had)
    assert share(users, items, new, had) > quota
    assert share(users, items, moved, had) == pytest.approx(told)
    assert told <= quota < told + 0.01
    # one step for all, away from the average user
    np.testing.assert_allclose(np.diff(moved - new, axis=0), 0, atol=1e-9)
    step = (new - moved)[0]
    np.testing.assert_allclose(step / np.linalg.norm(step), average_user(users), atol=1e-9)


def test_a_quota_that_holds_already_moves_nothing(world):
    users, items, new, had = world
    kept, told = held_back(new, items, users, 1.0, had)
    assert kept is new
    assert told == pytest.approx(share(users, items, new, had))


def test_an_item_of_which_nothing_is_known_is_zero():
    none = np.empty((0, 3))
    assert not place_item(np.zeros(3), none, np.array([1.0, 0, 0]), 2.0).any()


def test_two_axes_by_hand():
    items = np.array([[3.0, 0.0], [0.0, 1.0]])
    users = np.array([[2.0, 0.0], [0.0, 5.0]])
    # content (1, 0); people (0, 1) less half of (1, 1) / sqrt 2; as long as the neighbor
    half = 0.5 / np.sqrt(2)
    direction = np.array([1 - half, 1 - half])
    found = place_items(items, users, np.array([[0.5, 0]]), [np.array([0])], [np.array([1])])
    np.testing.assert_allclose(found[0], 3 * direction / np.linalg.norm(direction))
