import math

import pytest
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
    best = sum(1 / math.log2(j + 1) for j in range(1, min(k, relevant) + 1))
    return {
        "recall": len(places) / relevant,
        "precision": len(places) / k,
        "hit": float(bool(places)),
        "ndcg": gain / best,
        "mrr": 1 / places[0] if places else 0.0,
        "map": sum((n + 1) / j for n, j in enumerate(places)) / min(k, relevant),
    }[name]


@st.composite
def judged(draw):
    length = draw(st.integers(1, 8))
    hits = draw(st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=5))
    relevant = [max(1, sum(row)) + draw(st.integers(0, 4)) for row in hits]
    return hits, relevant, draw(st.integers(1, length))


@given(judged())
@pytest.mark.parametrize("name", metrics.RANKING)
def test_as_brute_force_and_within_bounds(name, world):
    hits, relevant, k = world
    got = metrics.ranking_metric(name)(torch.tensor(hits), torch.tensor(relevant), k)
    assert got.dtype == torch.float64
    assert got.tolist() == pytest.approx([brute(name, row, count, k) for row, count in zip(hits, relevant, strict=True)])
    assert all(0 <= value <= 1 + 1e-12 for value in got.tolist())


@given(judged())
@pytest.mark.parametrize("name", ["ndcg", "mrr", "map"])
def test_a_hit_moved_up_never_hurts(name, world):
    hits, relevant, k = world
    sooner = [sorted(row, reverse=True) for row in hits]
    metric = metrics.RANKING[name]
    before, after = (metric(torch.tensor(rows), torch.tensor(relevant), k) for rows in (hits, sooner))
    assert (after >= before - 1e-12).all()


@pytest.mark.parametrize("name", metrics.RANKING)
def test_a_perfect_list_scores_one_and_an_empty_one_zero(name):
    metric = metrics.RANKING[name]
    assert metric(torch.ones(1, 3, dtype=torch.bool), torch.tensor([3]), 3).tolist() == [1.0]
    assert metric(torch.zeros(1, 3, dtype=torch.bool), torch.tensor([3]), 3).tolist() == [0.0]


def test_standard_ndcg_of_the_sheet():
    # models.md 0.7: hits 0,1,0,1; 5 relevant; k = 3. The inflated versions give .386853 and .630930.
    value = metrics.ndcg(torch.tensor([[False, True, False, True]]), torch.tensor([5]), 3)
    assert value.item() == pytest.approx(0.296082, abs=1e-6)


@pytest.mark.parametrize("name", metrics.RANKING)
def test_a_list_shorter_than_k(name):
    metric = metrics.RANKING[name]
    short, padded = torch.tensor([[False, True]]), torch.tensor([[False, True, False, False]])
    assert metric(short, torch.tensor([2]), 4).tolist() == metric(padded, torch.tensor([2]), 4).tolist()


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
    got = metrics.auc(torch.tensor([float(score) for score, _ in rows]), torch.tensor([label for _, label in rows]))
    if positive and negative:
        pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
        assert got == pytest.approx(sum(pairs) / len(pairs))
    else:
        assert math.isnan(got)


def test_logloss_by_hand():
    got = metrics.logloss(torch.tensor([0.8, 0.4]), torch.tensor([True, False]))
    assert got == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert metrics.logloss(torch.tensor([1.0, 0.0]), torch.tensor([False, False])) == pytest.approx(-math.log(1e-7) / 2, rel=1e-6)


def test_coverage_counts_distinct_items_in_the_first_k():
    ranked = torch.tensor([[0, 1, 2], [1, 0, -1], [4, -1, -1]])
    assert [coverage(ranked, 5, k) for k in (1, 2, 3)] == [3 / 5, 3 / 5, 4 / 5]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_f1_and_accuracy_count_rows(rows):
    predicted, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    hit = sum(p and y for p, y in rows)
    precision, recall = hit / max(1, sum(p for p, _ in rows)), hit / max(1, sum(y for _, y in rows))
    assert metrics.f1(predicted, labels) == pytest.approx(2 * precision * recall / (precision + recall) if hit else 0.0)
    assert metrics.accuracy(predicted, labels) == pytest.approx(sum(p == y for p, y in rows) / len(rows))
