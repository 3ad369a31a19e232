import numpy as np
import pytest
import torch

from kgrec.errors import ConfigError, DataError
from kgrec.evaluation import sampled
from kgrec.evaluation.report import evaluate
from kgrec.evaluation.sampled import distinct_negatives, evaluate_sampled
from kgrec.models.base import DotProduct
from kgrec.testing import worlds


def world(users=30, items=25, seed=0):
    rng = np.random.default_rng(seed)
    picked = [(user, int(item)) for user in range(users) for item in rng.permutation(items)[:6]]
    return worlds.dataset(
        [pair for at, pair in enumerate(picked) if at % 6 < 4],
        [pair for at, pair in enumerate(picked) if at % 6 == 4],
        [pair for at, pair in enumerate(picked) if at % 6 == 5],
        num_users=users,
        num_items=items,
    )


def product(users, items, seed=0):
    table = torch.from_numpy(np.random.default_rng(seed).integers(8, size=(items, users))).double()
    return DotProduct(torch.eye(users, dtype=torch.float64), table)


def test_with_every_other_item_as_a_candidate_it_is_full_ranking():
    data = world()
    scorer = product(30, 25)
    found = evaluate_sampled(scorer, data, ks=(3, 10), negatives=25)
    full = evaluate(scorer, data, ks=(3, 10), metrics=("hit", "ndcg", "mrr"))
    assert found.metrics == pytest.approx(full.metrics)
    assert found.per_user["ndcg@3"].to_list() == pytest.approx(full.per_user["ndcg@3"].to_list())


def test_fewer_candidates_flatter_and_the_report_says_so():
    data = world()
    scorer = product(30, 25)
    few, more = (evaluate_sampled(scorer, data, ks=(3,), negatives=count) for count in (4, 15))
    assert few.metrics["hit@3"] > more.metrics["hit@3"]
    assert few.protocol == "sampled"
    assert any("not comparable with full ranking" in note for note in few.notes)
    assert few.to_dict()["negatives"] == 4


def test_a_scorer_without_opinion_hits_as_chance_would():
    """All tie: k of n + 1."""
    data = world(users=20, items=60)
    flat = DotProduct(torch.zeros(20, 1), torch.zeros(60, 1))
    assert evaluate_sampled(flat, data, ks=(5,), negatives=19).metrics["hit@5"] == pytest.approx(
        0.25, abs=1e-15
    )


def test_the_note_says_how_many_were_really_there():
    data = worlds.dataset([(0, 0), (0, 1), (0, 2), (0, 3)], test=[(0, 8)], num_items=9)
    last = DotProduct(torch.ones(1, 1), -torch.arange(9.0).unsqueeze(1))
    report = evaluate_sampled(last, data, ks=(2, 10), negatives=100)
    assert report.metrics == pytest.approx(
        {
            "hit@2": 0,
            "ndcg@2": 0,
            "mrr@2": 0,
            "hit@10": 1,
            "ndcg@10": 1 / np.log2(6),
            "mrr@10": 1 / 5,
        }
    )
    assert "among at most 4 sampled items (asked for 100)" in report.notes[0]
    assert report.notes[1].startswith("hit@10 is 1 whatever")
    assert [
        report.details[name] for name in ("negatives", "least_negatives", "most_negatives")
    ] == [100, 4, 4]
    two = worlds.dataset(
        [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)], test=[(0, 8), (1, 8)], num_items=9
    )
    report = evaluate_sampled(DotProduct(torch.ones(2, 1), last.items), two, ks=(2,), negatives=7)
    assert "among at most 7 sampled items, of some users fewer (from 4): " in report.notes[0]
    assert report.details["least_negatives"] == 4


def test_a_held_out_item_that_is_no_candidate_is_never_found():
    class Refusing:
        def __call__(self, query, items=None):
            return torch.full(items.shape, -torch.inf)

    data = worlds.dataset([(0, 0)], test=[(0, 1)], num_items=5)
    assert set(evaluate_sampled(Refusing(), data, ks=(5,), negatives=2).metrics.values()) == {0.0}


def test_several_held_out_items_are_averaged_per_user():
    data = worlds.dataset([(0, 0), (1, 1)], test=[(0, 1), (0, 2), (1, 0)], num_items=6)
    scores = torch.tensor([[0, 9, 1, 5, 5, 5], [3, 0, 2, 1, 1, 1]]).double()
    scorer = DotProduct(torch.eye(2, dtype=torch.float64), scores.T.contiguous())
    report = evaluate_sampled(scorer, data, ks=(1, 4), negatives=3)
    # u0: i1 is first, i2 last of four (i3, i4, i5 are all that is left); u1: i0 is first.
    assert report.per_user["hit@1"].to_list() == [0.5, 1.0]
    assert report.per_user["ndcg@4"].to_list() == pytest.approx([(1 + 1 / np.log2(5)) / 2, 1.0])
    assert report.per_user["mrr@4"].to_list() == pytest.approx([(1 + 1 / 4) / 2, 1.0])
    assert report.metrics["hit@1"] == 0.75


def test_the_same_seed_draws_the_same():
    data = world()
    scorer = product(30, 25)
    first, again, other = (
        evaluate_sampled(scorer, data, ks=(3,), negatives=4, seed=seed) for seed in (5, 5, 6)
    )
    assert first.per_user.equals(again.per_user)
    assert not first.per_user.equals(other.per_user)


@pytest.mark.parametrize("count", [3, 12, 40])
def test_negatives_are_distinct_unseen_and_even(count):
    seen = [[0, 3, 4], [], list(range(0, 30, 2)), list(range(29))]
    ptr = torch.tensor([0, *np.cumsum([len(own) for own in seen])])
    idx = torch.tensor([item for own in seen for item in own])
    users = torch.arange(4).repeat(3000)
    drawn = distinct_negatives(users, ptr, idx, 30, count, generator=np.random.default_rng(0))
    for user, own in enumerate(seen):
        rows = drawn[users == user].numpy()
        free = 30 - len(own)
        real = rows >= 0
        assert (real.sum(1) == min(count, free)).all()
        assert all(len(set(row[row >= 0])) == min(count, free) for row in rows[:200])
        counts = np.bincount(rows[real], minlength=30)
        assert not counts[own].any()
        expected = 3000 * min(count, free) / free
        assert (
            np.abs(counts[[item for item in range(30) if item not in own]] - expected).max()
            < 5 * np.sqrt(expected) + 1
        )


def test_pairs_that_are_in_training_too_are_judged_nowhere():
    data = worlds.dataset([(0, 0), (0, 1)], test=[(0, 0), (0, 2)], num_items=5)
    report = evaluate_sampled(
        DotProduct(torch.ones(1, 1), torch.arange(5.0).unsqueeze(1)), data, negatives=2
    )
    assert report.per_user["relevant"].to_list() == [1]
    assert report.to_dict()["masked"] == 1
    with pytest.raises(DataError, match="no users to evaluate"):
        evaluate_sampled(product(1, 5), worlds.dataset([(0, 0)], test=[(0, 0)], num_items=5))


def test_bad_requests():
    data = world()
    for settings, words in (
        ({"negatives": 0}, "at least 1"),
        ({"ks": ()}, "cutoffs"),
        ({"on": "all"}, "no part"),
    ):
        with pytest.raises(ConfigError, match=words):
            evaluate_sampled(product(30, 25), data, **settings)


def test_chunks_change_nothing_where_all_candidates_are_taken(monkeypatch):
    data, scorer = world(), product(30, 25)
    whole = evaluate_sampled(scorer, data, negatives=25)
    monkeypatch.setattr(sampled, "_CHUNK", 60)
    assert evaluate_sampled(scorer, data, negatives=25).per_user.equals(whole.per_user)
