"""Next items against loops, and what sessions make of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import kgrec
from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, DataError
from kgrec.evaluation import next_items
from kgrec.evaluation.next_items import evaluate_next_items
from kgrec.evaluation.report import evaluate
from kgrec.evaluation.validation import validator
from kgrec.models.base import DotProduct
from kgrec.testing import worlds


class AfterLast:
    """Scores that depend on the last item of the history and on how long it is."""

    reads_history = True

    def __init__(self, items):
        self.table = torch.randn(items, items, generator=torch.Generator().manual_seed(0))

    def __call__(self, query, items=None):
        size = query.history_mask.sum(1)
        last = query.history[torch.arange(len(size)), (size - 1).clamp(min=0)]
        scores = self.table[last] * size.unsqueeze(1)
        return scores if items is None else scores.gather(1, items)


def world(seed=0, users=12, items=20):
    rng = np.random.default_rng(seed)
    parts = ([], [], [])
    for user in range(users):
        own = [(user, int(item)) for item in rng.permutation(items)[:9]]
        first = int(rng.integers(0, 4))  # some have nothing before validation
        for part, rows in zip(parts, (own[:first], own[first:5], own[5:]), strict=True):
            part += rows
    return worlds.dataset(*parts, num_users=users, num_items=items)


def by_loops(scorer, data, on, k):
    """Return hit, ndcg and mrr of each user's predictions."""
    found = {}
    for user in range(data.num_users):
        items = {
            part: getattr(data, part).item[getattr(data, part).user == user].tolist()
            for part in ("train", "valid", "test")
        }
        before = items["train"] + (items["valid"] if on == "test" else [])
        for item in items[on]:
            if before:
                history = torch.tensor([before])
                query = next_items.Lists(torch.tensor([0, len(before)]), history[0]).padded(0, 1)
                scores = scorer(kgrec.batches.Query(torch.tensor([user]), *query))[0]
                scores[before] = -torch.inf
                rank = 1 + int((scores > scores[item]).sum())
                inside = rank <= k
                values = (inside, inside / np.log2(rank + 1), inside / rank)
                found.setdefault(user, []).append(values)
            before = [*before, item]
    return found


@pytest.mark.parametrize("on", ["valid", "test"])
def test_each_item_is_ranked_after_those_before_it(on, monkeypatch):
    data = world()
    scorer = AfterLast(data.num_items)
    expected = by_loops(scorer, data, on, 5)
    monkeypatch.setattr(next_items, "_ITEMS_AT_ONCE", 20)  # several chunks
    report = evaluate_next_items(scorer, data, on, (5,))
    names = [f"{name}@5" for name in ("hit", "ndcg", "mrr")]
    means = np.array([np.mean(rows, 0) for rows in expected.values()])
    np.testing.assert_allclose([report.metrics[name] for name in names], means.mean(0))
    np.testing.assert_allclose(report.per_user.select(names).to_numpy(), means)
    every = np.concatenate([np.array(rows) for rows in expected.values()])
    assert report.details["predictions"] == len(every)
    found = [report.details["of_predictions"][name] for name in names]
    np.testing.assert_allclose(found, every.mean(0))
    held = len(data.valid if on == "valid" else data.test)
    assert report.details["without_history"] == held - len(every)
    assert report.to_dict()["protocol"] == "next-item"
    some = evaluate_next_items(scorer, data, on, (5,), users=np.array([1, 3]))
    assert some.per_user["ndcg@5"].to_list() == pytest.approx(
        [means[list(expected).index(user), 1] for user in (1, 3)]
    )


def test_with_one_item_held_out_it_is_full_ranking():
    data = world()
    last = np.flatnonzero(np.diff(data.test.user, append=-1))
    data = replace(data, test=data.test.take(last))
    scorer = DotProduct(torch.randn(data.num_users, 4), torch.randn(data.num_items, 4))
    report = evaluate_next_items(scorer, data, ks=(3, 10))
    full = evaluate(scorer, data, ks=(3, 10), metrics=("hit", "ndcg", "mrr"))
    assert report.metrics == pytest.approx(full.metrics)


def test_validation_by_next_items_reaches_sessions_that_training_has_not_seen():
    held = Interactions(np.array([2, 2, 2], np.int32), np.array([0, 1, 3], np.int32))
    data = replace(worlds.dataset([(0, 0), (0, 1), (1, 3)], num_users=3, num_items=4), valid=held)
    scorer = AfterLast(4)
    report = evaluate_next_items(scorer, data, "valid", (2,))
    assert (report.details["predictions"], report.details["without_history"]) == (2, 1)
    assert validator("next-mrr@2", data)(scorer) == pytest.approx(report.metrics["mrr@2"])
    with pytest.raises(ConfigError, match="Take next-ndcg"):
        validator("next-recall@2", data)
    with pytest.raises(ConfigError, match="of the form name@k"):
        validator("next-ndcg", data)


def test_nothing_to_predict_is_one_line():
    with pytest.raises(DataError, match=r"^no next item to evaluate: the test part has no item"):
        evaluate_next_items(AfterLast(3), worlds.dataset([(0, 0)], test=[(1, 2)]))
