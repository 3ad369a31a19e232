import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrec.errors import ConfigError
from kgrec.evaluation import metrics
from kgrec.evaluation.beyond import coverage


def brute(name, hits, relevant, k):
    """One user, in plain Python."""
    places = [j for j, found in enumerate(hits[:k], start=1) if found]
    gain = sum(1 / math.log2(j + 1) for j in places)
    best = [
        sum(1 / math.log2(j + 1) for j in range(1, min(k, count) + 1))
        for count in (relevant, sum(hits))
    ]
    return {
        "recall": len(places) / relevant,
        "precision": len(places) / k,
        "hit": float(bool(places)),
        "ndcg": gain / best[0],
        "mrr": 1 / places[0] if places else 0.0,
        "map": sum((n + 1) / j for n, j in enumerate(places)) / min(k, relevant),
        "ndcg-retrieved": gain / best[1] if best[1] else 0.0,
    }[name]


def places_of(users, longest):
    """Return the places of users given as groups of equal scores, best first, and the number of
    their relevant items ranked nowhere.

    A group is the number of its candidates and that of the relevant ones among them.
    """
    user, above, tied = [], [], []
    for row, (groups, elsewhere) in enumerate(users):
        start = 0
        for size, relevant in groups:
            user += [row] * relevant
            above += [start] * relevant
            tied += [size] * relevant
            start += size
        user += [row] * elsewhere
        above += [start] * elsewhere
        tied += [0] * elsewhere
    return metrics.Places.of(
        *(torch.tensor(column, dtype=torch.int64) for column in (user, above, tied)),
        len(users),
        longest,
    )


def of_hits(hits, relevant):
    """Return the places of lists without ties; a list is True where it is relevant, and some
    relevant items are ranked nowhere.
    """
    users = [
        ([(1, int(found)) for found in row], count - sum(row))
        for row, count in zip(hits, relevant, strict=True)
    ]
    return places_of(users, len(hits[0]))


def every_order(groups):
    """Yield the hits of every order of the groups; orders of alike items are one."""
    ways = [
        [
            [place in chosen for place in range(size)]
            for chosen in itertools.combinations(range(size), r)
        ]
        for size, r in groups
    ]
    for picked in itertools.product(*ways):
        yield [found for group in picked for found in group]


@st.composite
def tied(draw):
    """Users with at least one relevant item, and a longest list that ends anywhere."""
    group = st.integers(1, 5).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size)))
    users = st.lists(
        st.tuples(st.lists(group, max_size=2), st.integers(0, 2)), min_size=1, max_size=3
    )
    found = [
        (groups, elsewhere or int(not any(r for _, r in groups)))
        for groups, elsewhere in draw(users)
    ]
    longest = draw(st.integers(1, 20))
    return found, longest, draw(st.integers(1, longest))


@given(tied())
def test_as_the_mean_over_every_order(world):
    users, longest, k = world
    places = places_of(users, longest)
    orders = [[hits[:longest] for hits in every_order(groups)] for groups, _ in users]
    totals = [elsewhere + sum(count for _, count in groups) for groups, elsewhere in users]
    for name in metrics.RANKING:
        got = metrics.ranking_metric(name)(places, k)
        assert got.dtype == torch.float64
        for value, every, relevant in zip(got.tolist(), orders, totals, strict=True):
            mean = sum(brute(name, hits, relevant, k) for hits in every) / len(every)
            assert value == pytest.approx(mean, abs=1e-12), name
            assert 0 <= value <= 1 + 1e-12


@st.composite
def judged(draw):
    length = draw(st.integers(1, 8))
    hits = draw(
        st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=5)
    )
    relevant = [max(1, sum(row)) + draw(st.integers(0, 4)) for row in hits]
    return hits, relevant, draw(st.integers(1, length))


@given(judged())
@pytest.mark.parametrize("name", ["ndcg", "mrr", "map", "ndcg-retrieved"])
def test_a_hit_moved_up_never_hurts(name, world):
    hits, relevant, k = world
    sooner = [sorted(row, reverse=True) for row in hits]
    metric = metrics.RANKING[name]
    before, after = (metric(of_hits(rows, relevant), k) for rows in (hits, sooner))
    assert (after >= before - 1e-12).all()


@pytest.mark.parametrize("name", metrics.RANKING)
def test_a_perfect_list_scores_one_and_an_empty_one_zero(name):
    metric = metrics.RANKING[name]
    assert metric(of_hits([[True] * 3], [3]), 3).tolist() == [1.0]
    assert metric(of_hits([[False] * 3], [3]), 3).tolist() == [0.0]


def test_the_ndcgs_of_the_sheet():
    # models.md 0.7: hits 0,1,0,1; 5 relevant; k = 3. KGAT's own depends on how long its list is.
    hits = [False, True, False, True]
    assert metrics.ndcg(of_hits([hits], [5]), 3).item() == pytest.approx(0.296082, abs=1e-6)
    assert metrics.ndcg_retrieved(of_hits([hits], [5]), 3).item() == pytest.approx(
        0.386853, abs=1e-6
    )
    assert metrics.ndcg_retrieved(of_hits([hits[:3]], [5]), 3).item() == pytest.approx(
        0.630930, abs=1e-6
    )


@pytest.mark.parametrize("name", metrics.RANKING)
def test_a_list_shorter_than_k(name):
    metric = metrics.RANKING[name]
    short, padded = of_hits([[False, True]], [2]), of_hits([[False, True, False, False]], [2])
    assert metric(short, 4).tolist() == metric(padded, 4).tolist()


def test_large_groups_are_exact():
    """A catalog of 40,000 tied items, 300 of them relevant: hypergeometric values of scipy, and
    sums by hand.
    """
    places = places_of([([(40_000, 300)], 0)], 500)
    none = [scipy.stats.hypergeom(40_000, 300, n).pmf(0) for n in range(501)]
    assert metrics.hit(places, 500).item() == pytest.approx(1 - none[500], rel=1e-9)
    first = sum((none[p - 1] - none[p]) / p for p in range(1, 501))
    assert metrics.mrr(places, 500).item() == pytest.approx(first, rel=1e-9)
    assert metrics.recall(places, 500).item() == 500 / 40_000
    chance = scipy.stats.hypergeom(40_000, 300, 500).pmf(np.arange(301))
    discounts = np.append(0, np.cumsum(1 / np.log2(np.arange(2, 502))))
    ideal = discounts[np.minimum(np.arange(301), 20)]
    expected = sum(chance[x] * (x / 500) * discounts[20] / ideal[x] for x in range(1, 301))
    assert metrics.ndcg_retrieved(places, 20).item() == pytest.approx(expected, rel=1e-9)


def test_unknown_metric_and_cutoffs():
    with pytest.raises(ConfigError, match=r"unknown metric 'ncdg'.*Nearest: ndcg"):
        metrics.ranking_metric("ncdg")
    assert metrics.check_cutoffs([20, 10, 20]) == (10, 20)
    for bad in ([], [0, 10]):
        with pytest.raises(ConfigError, match="at least 1"):
            metrics.check_cutoffs(bad)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=20))
def test_auc_counts_pairs(rows):
    positive = [score for score, label in rows if label]
    negative = [score for score, label in rows if not label]
    got = metrics.auc(
        torch.tensor([float(score) for score, _ in rows]),
        torch.tensor([label for _, label in rows]),
    )
    if positive and negative:
        pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
        assert got == pytest.approx(sum(pairs) / len(pairs))
    else:
        assert math.isnan(got)


def test_calibration_by_hand():
    probability = torch.tensor([0.15, 0.15, 0.85, 1.0])
    ratio, error = metrics.calibration(probability, torch.tensor([True, False, True, False]))
    # Bins [.1, .2): 1 click, .3 expected; [.8, .9): 1 of .85; [.9, 1]: 0 of 1.
    assert ratio == pytest.approx(2.15 / 2)
    assert error == pytest.approx((0.7 + 0.15 + 1.0) / 4)
    assert math.isnan(metrics.calibration(probability, torch.zeros(4, dtype=torch.bool))[0])


def test_logloss_by_hand():
    got = metrics.logloss(torch.tensor([0.8, 0.4]), torch.tensor([True, False]))
    assert got == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert metrics.logloss(torch.tensor([1.0, 0.0]), torch.tensor([False, False])) == pytest.approx(
        -math.log(1e-7) / 2, rel=1e-6
    )


def test_coverage_counts_distinct_items_in_the_first_k():
    ranked = torch.tensor([[0, 1, 2], [1, 0, -1], [4, -1, -1]])
    assert [coverage(ranked, 5, k) for k in (1, 2, 3)] == [3 / 5, 3 / 5, 4 / 5]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_f1_and_accuracy_count_rows(rows):
    predicted, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    hit = sum(p and y for p, y in rows)
    precision, recall = hit / max(1, sum(p for p, _ in rows)), hit / max(1, sum(y for _, y in rows))
    assert metrics.f1(predicted, labels) == pytest.approx(
        2 * precision * recall / (precision + recall) if hit else 0.0
    )
    assert metrics.accuracy(predicted, labels) == pytest.approx(
        sum(p == y for p, y in rows) / len(rows)
    )
