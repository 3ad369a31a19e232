"""Each measure of an explanation report against numbers worked out by hand."""

import numpy as np
import pytest

from kgrec.explanation.quality import metrics


def test_smoothing_weighs_the_latest_most():
    """n = 3, b = 1/2: L = 1, (1/2 + 2) / (3/2) = 5/3, (1/4 + 1 + 4) / (7/4) = 3."""
    assert metrics.smoothed([1, 2, 4]) == pytest.approx([0, 1 / 3, 1])
    assert metrics.smoothed([4, 1, 2]) == pytest.approx([1, 0, 1 / 3])


def test_ties_share_the_mean_of_their_places():
    """n = 4, 1 - b = 0.6: L = 1, 2.6/1.6, 3.56/1.96, 7.136/2.176; the two in the middle are one."""
    middle = ((2.6 / 1.6 + 3.56 / 1.96) / 2 - 1) / (7.136 / 2.176 - 1)
    assert metrics.smoothed([1, 2, 2, 5]) == pytest.approx([0, middle, middle, 1])
    assert metrics.smoothed([2, 5, 2, 1]) == pytest.approx([middle, 1, middle, 0])


@pytest.mark.parametrize("values", [[], [7.0], [3, 3, 3]])
def test_one_value_or_a_constant_has_no_place(values):
    assert metrics.smoothed(values) is None


def test_a_mean_leaves_out_what_is_not_known():
    """A first stop that is no item has no recency: it counts neither above nor below."""
    assert metrics.mean_known([1 / 3, None, 1.0]) == pytest.approx(2 / 3)
    assert metrics.mean_known([None]) is None
    assert metrics.mean_known([]) is None


def test_three_paths_by_hand():
    relations, items, patterns = ["director", "director", "actor"], ["a", "b", "a"], ["x", "y", "x"]
    assert metrics.type_diversity(relations, 2) == 1
    assert metrics.type_diversity(relations, 9) == pytest.approx(2 / 3)
    assert metrics.distinct_share(items) == pytest.approx(2 / 3)
    assert metrics.type_concentration(relations) == pytest.approx(1 - 2 / 6)
    assert metrics.pattern_diversity(patterns, 2) == 1
    assert metrics.pattern_diversity(patterns, 5) == pytest.approx(2 / 3)
    assert metrics.faithful_rate([True, False, True]) == pytest.approx(2 / 3)


def test_one_path_and_none():
    assert (
        metrics.type_diversity(["director"], 4)
        == metrics.distinct_share(["a"])
        == metrics.pattern_diversity(["x"], 3)
        == 1
    )
    assert metrics.type_concentration(["director"]) is None
    assert metrics.type_concentration(["director", "director"]) == 0
    assert metrics.type_concentration(["director", "actor"]) == 1
    nothing = [
        metrics.type_diversity([], 4),
        metrics.distinct_share([]),
        metrics.type_concentration([]),
        metrics.pattern_diversity([], 3),
    ]
    assert [*nothing, metrics.faithful_rate([]), metrics.fidelity([], 3)] == [None] * 6


def test_users_without_a_path_count_in_fidelity():
    assert metrics.fidelity([3, 0, 1], 3) == pytest.approx(4 / 9)


def test_sufficiency_is_null_where_the_graph_adds_nothing():
    assert metrics.sufficiency(0.4, 0.1, 0.7) == pytest.approx(0.5)
    assert metrics.sufficiency(0.1, 0.7, 0.1) == pytest.approx(1)
    assert metrics.sufficiency(0.4, 0.7, 0.7) is None


def test_aopc_and_overlaps():
    assert metrics.aopc([3, 1, 2]).tolist() == [3, 2, 2]
    assert metrics.jaccard(["a", "b"], ["b", "c"]) == pytest.approx(1 / 3)
    assert metrics.jaccard([], ["b"]) == 0
    assert metrics.jaccard([], []) is None
    assert metrics.ratios_of_means(np.array([[[2.0, 1.0], [4.0, 3.0]]])) == pytest.approx([6 / 4])
    assert np.isnan(metrics.ratios_of_means(np.array([[[2.0, -1.0]]]))).all()
    assert metrics.medians(np.array([[1.0, 9.0, 2.0]])).tolist() == [2]


def test_thirds_keep_ties_together():
    assert metrics.thirds([6, 1, 5, 2, 4, 3]) == [(1, 2), (3, 4), (5, 6)]
    assert metrics.thirds([1, 1, 1, 1, 9]) == [(1, 1), (9, 9)]
    assert metrics.thirds([4]) == [(4, 4)]


def test_intervals_are_those_of_theory_and_of_more_than_one_user():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = metrics.interval(values, metrics.means, np.random.default_rng(1))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert metrics.interval(values[:1], metrics.means, np.random.default_rng(1)) is None
    pairs = np.stack([values, np.full(400, 2.0)], 1)
    assert metrics.interval(
        pairs, metrics.ratios_of_means, np.random.default_rng(1)
    ) == pytest.approx((low / 2, high / 2))
    assert (
        metrics.interval(pairs * [1, -1], metrics.ratios_of_means, np.random.default_rng(1)) is None
    )
