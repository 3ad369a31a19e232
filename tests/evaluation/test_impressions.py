import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.data.records.content import Impressions
from kgrec.errors import ConfigError, DataError, DivergedError
from kgrec.evaluation.impressions import evaluate_impressions, impression_metrics
from kgrec.models.base import DotProduct
from kgrec.testing import worlds


def by_definition(scores, clicked, k):
    """AUC, MRR and nDCG@k of one order without ties, as MIND's script defines them."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    labels = np.asarray(clicked, dtype=float)[order]
    places = np.arange(1, len(labels) + 1)
    gain = (2**labels - 1) / np.log2(places + 1)
    best = ((2 ** np.sort(labels)[::-1] - 1) / np.log2(places + 1))[:k].sum()
    above = [
        a > b
        for a, y in zip(scores, clicked, strict=True)
        for b, z in zip(scores, clicked, strict=True)
        if y and not z
    ]
    return np.array([np.mean(above), (labels / places).sum() / labels.sum(), gain[:k].sum() / best])


def metrics(scores, clicked, k=5):
    found = impression_metrics(
        np.array(scores, dtype=float),
        np.array(clicked, dtype=bool),
        np.array([0, len(scores)]),
        (k,),
    )
    return np.array([found[name][0] for name in ("auc", "mrr", f"ndcg@{k}")])


def test_the_toy_list():
    """models.md 0.7."""
    np.testing.assert_allclose(
        metrics([0.9, 0.8, 0.1, 0.7], [0, 1, 0, 1]), [0.5, 0.416667, 0.693426], atol=1e-6
    )


@pytest.mark.parametrize("k", [1, 2, 5])
def test_against_the_definition(k):
    rng = np.random.default_rng(k)
    for _ in range(50):
        size = int(rng.integers(2, 9))
        clicked = np.arange(size) < rng.integers(1, size)
        scores = rng.permutation(size).astype(float)
        np.testing.assert_allclose(
            metrics(scores, clicked, k), by_definition(scores, clicked, k), atol=1e-12
        )


@pytest.mark.parametrize("k", [2, 5])
def test_ties_count_with_the_mean_over_all_orders(k):
    rng = np.random.default_rng(k)
    for _ in range(8):
        clicked = rng.permutation(np.arange(5) < rng.integers(1, 5))
        scores = rng.integers(0, 3, 5)
        orders = [
            by_definition(scores + np.array(shuffled) * 1e-3, clicked, k)
            for shuffled in itertools.permutations(range(5))
        ]  # breaking ties every way
        np.testing.assert_allclose(metrics(scores, clicked, k), np.mean(orders, axis=0), atol=1e-12)


def test_lists_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    lists = [
        (rng.integers(0, 3, n).astype(float), rng.permutation(np.arange(n) < rng.integers(1, n)))
        for n in (2, 5, 3, 8, 2)
    ]
    start = np.concatenate([[0], np.cumsum([len(scores) for scores, _ in lists])])
    found = impression_metrics(
        np.concatenate([s for s, _ in lists]), np.concatenate([c for _, c in lists]), start, (5,)
    )
    for at, (scores, clicked) in enumerate(lists):
        np.testing.assert_allclose(
            [found[name][at] for name in ("auc", "mrr", "ndcg@5")],
            metrics(scores, clicked),
            atol=1e-12,
        )


def board():
    """Three users of whom one saw no click, one clicked everything, one can be judged twice."""
    data = worlds.dataset([(0, 0), (1, 1), (2, 2)], test=[(0, 1)], num_items=6)
    lists = [[(1, 1), (2, 0), (3, 0)], [(4, 0), (5, 0)], [(4, 1)], [(2, 0), (5, 1)], []]
    shown = Impressions(
        np.array([0, 1, 2, 0, 1], dtype=np.int32),
        None,
        np.concatenate([[0], np.cumsum([len(own) for own in lists])]).astype(np.int64),
        np.array([item for own in lists for item, _ in own], dtype=np.int32),
        np.array([click for own in lists for _, click in own], dtype=bool),
        np.array([0, 1, 1, 2, 4, 4]),
        np.array([3, 5, 0, 4], dtype=np.int32),
    )
    return replace(data, impressions={"test": shown})


class Reader:
    """Scores an item by the sum of itself and the history, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, query, items=None):
        self.asked += [
            (int(user), history[mask].tolist())
            for user, history, mask in zip(
                query.user, query.history, query.history_mask, strict=True
            )
        ]
        return (items + (query.history * query.history_mask).sum(1, keepdim=True)).float()


def test_a_report_says_what_was_judged():
    reader = Reader()
    report = evaluate_impressions(reader, board(), model="reader")
    assert {(0, (3,)), (2, (5,)), (0, (0, 4))} <= {
        (user, tuple(history)) for user, history in reader.asked
    }
    told = report.to_dict()
    assert (told["protocol"], told["users"], told["impressions"], told["skipped"]) == (
        "impressions",
        1,
        2,
        3,
    )
    assert report.per_user.columns == [
        "user",
        "impression",
        "shown",
        "clicked",
        "auc",
        "mrr",
        "ndcg@5",
        "ndcg@10",
    ]
    assert report.per_user["impression"].to_list() == [0, 3]
    assert report.per_user["auc"].to_list() == [0.0, 1.0]
    assert report.per_user["mrr"].to_list() == pytest.approx([1 / 3, 1.0])
    assert report.metrics["auc"] == 0.5
    assert report.metrics["auc_pooled"] == pytest.approx(
        3 / 6
    )  # clicked score 4 and 9, the others 5, 6, 6


def test_a_scorer_that_cannot_tell_gets_chance():
    scorer = DotProduct(torch.zeros(3, 2), torch.zeros(6, 2))
    report = evaluate_impressions(scorer, board())
    assert report.per_user["auc"].to_list() == [0.5, 0.5]
    assert report.per_user["mrr"].to_list() == pytest.approx([(1 + 1 / 2 + 1 / 3) / 3, 0.75])


def test_bad_input_is_one_line():
    data = board()
    with pytest.raises(DataError, match="no impressions in its valid part"):
        evaluate_impressions(Reader(), data, on="valid")
    with pytest.raises(ConfigError):
        evaluate_impressions(Reader(), data, on="train")
    with pytest.raises(ConfigError):
        evaluate_impressions(Reader(), data, ks=(0,))
    shown = data.impressions["test"]
    unclicked = replace(
        data, impressions={"test": replace(shown, clicked=np.zeros_like(shown.clicked))}
    )
    with pytest.raises(DataError, match="click"):
        evaluate_impressions(Reader(), unclicked)
    with pytest.raises(DivergedError):
        evaluate_impressions(DotProduct(torch.full((3, 2), torch.nan), torch.ones(6, 2)), data)
