import numpy as np
import pytest
import torch

from kgrec.batches import Query
from kgrec.data.records.interactions import Interactions
from kgrec.errors import DivergedError
from kgrec.evaluation import ranking
from kgrec.evaluation.ranking import Lists, rank_users, score_candidates
from kgrec.models.base import DotProduct


class Table:
    """A scorer that is not a product; notes what it was asked, and always gives the same table."""

    def __init__(self, scores):
        self.scores, self.queries = scores, []

    def __call__(self, query: Query, items=None):
        self.queries.append(query)
        table = self.scores[query.user]
        return table if items is None else table.gather(1, items)


SEEN = Interactions(np.array([0, 0, 2, 2, 2], np.int32), np.array([3, 1, 4, 0, 2], np.int32))


def test_lists_follow_the_users_asked_for_and_keep_the_order():
    lists = Lists.of(SEEN, np.array([2, 1, 0, -1, 2]))
    assert lists.ptr.tolist() == [0, 3, 3, 5, 5, 8]
    assert lists.items.tolist() == [4, 0, 2, 3, 1, 4, 0, 2]
    history, mask = lists.padded(1, 5)
    assert history.tolist() == [[0, 0, 0], [3, 1, 0], [0, 0, 0], [4, 0, 2]]
    assert mask.sum(1).tolist() == [0, 2, 0, 3]


def world(seed=0, users=40, items=12):
    rng = np.random.default_rng(seed)
    vectors = [torch.from_numpy(rng.integers(-2, 3, size=(n, 3))).double() for n in (users, items)]
    pairs = np.unique(rng.integers((users, items), size=(100, 2)), axis=0).astype(np.int32)
    return DotProduct(*vectors), Interactions(pairs[:, 0], pairs[:, 1])


def by_sorting(scores, seen, users, k, allowed):
    out = []
    for user in users:
        hidden = set(seen.item[seen.user == user].tolist()) | set(np.flatnonzero(~allowed).tolist())
        left = [
            (-scores[user, item].item(), item)
            for item in range(scores.shape[1])
            if item not in hidden
        ]
        out.append(([item for _, item in sorted(left)] + [-1] * k)[:k])
    return out


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("count", [33, 2])
def test_ties_go_by_the_order_given(as_table, limited, count, monkeypatch):
    """Few users permute their scores, many the item vectors; lists are those of a sort by score,
    then by place in the order.
    """
    monkeypatch.setattr(ranking, "chunk_rows", lambda *_: 7)
    product, seen = world()
    scores = product.users @ product.items.T
    order = np.random.default_rng(3).permutation(12)
    users = np.random.default_rng(1).permutation(40)[:count]
    allowed = np.ones(12, bool)
    allowed[[0, 5]] = not limited
    hidden = torch.from_numpy(allowed) if limited else None
    scorer = Table(scores) if as_table else product
    got, ids = rank_users(
        scorer, users, 9, num_items=12, seen=Lists.of(seen, users), allowed=hidden, order=order
    )
    place = np.argsort(order)
    left = [
        [item for item in range(12) if allowed[item] and item not in seen.item[seen.user == user]]
        for user in users
    ]
    expected = [
        sorted(items, key=lambda item: (-scores[user, item].item(), place[item]))
        for user, items in zip(users, left, strict=True)
    ]
    assert ids.tolist() == [(items + [-1] * 9)[:9] for items in expected]
    shown = ids >= 0
    assert torch.equal(got[shown], scores[users].gather(1, ids.clamp(min=0))[shown])
    assert bool((got[~shown] == -torch.inf).all())


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize("limited", [False, True])
def test_fast_and_general_way_are_a_full_sort(as_table, limited, monkeypatch):
    monkeypatch.setattr(ranking, "chunk_rows", lambda *_: 7)
    product, seen = world()
    scores = product.users @ product.items.T
    scorer = Table(scores) if as_table else product
    before = scores.clone()
    users = np.random.default_rng(1).permutation(40)[:33]
    allowed = np.ones(12, bool)
    allowed[[0, 5]] = not limited
    got, ids = rank_users(
        scorer,
        users,
        4,
        num_items=12,
        seen=Lists.of(seen, users),
        allowed=torch.from_numpy(allowed) if limited else None,
    )
    assert ids.tolist() == by_sorting(scores, seen, users, 4, allowed)
    assert torch.equal(got, scores[users].gather(1, ids))
    assert torch.equal(scores, before)


def test_histories_reach_scorers_that_read_them_and_strangers():
    table, users = Table(torch.zeros(3, 5)), np.array([2, 0])
    rank_users(table, users, 2, num_items=5, history=Lists.of(SEEN, users))
    (query,) = table.queries
    assert query.user.tolist() == [2, 0]
    assert query.history.tolist() == [[4, 0, 2], [3, 1, 0]]
    assert query.history_mask.tolist() == [[True] * 3, [True, True, False]]
    product = DotProduct(
        torch.zeros(1, 1),
        torch.arange(5.0).unsqueeze(1),
        lambda history, mask: (history * mask).sum(1, keepdim=True) - 4.5,
    )
    strangers = Lists(torch.tensor([0, 1, 2]), torch.tensor([4, 1]))
    _, ids = rank_users(product, np.array([-1, -1]), 2, num_items=5, history=strangers)
    assert ids.tolist() == [[0, 1], [0, 1]]
    _, ids = rank_users(
        product,
        np.array([-1]),
        2,
        num_items=5,
        history=Lists(torch.tensor([0, 2]), torch.tensor([4, 1])),
    )
    assert ids.tolist() == [[4, 3]]


def test_nobody():
    product, seen = world()
    scores, ids = rank_users(
        product, np.empty(0, np.int64), 3, num_items=12, seen=Lists.of(seen, np.empty(0, np.int64))
    )
    assert scores.shape == ids.shape == (0, 3)


def test_candidates_are_scored_in_order_whatever_the_pieces(monkeypatch):
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(size=(6, 50)))
    users = np.array([4, 1, 4, 0, 5])
    sizes = [0, 37, 3, 11, 0]
    candidates = Lists(
        torch.tensor([0, *np.cumsum(sizes)]), torch.from_numpy(rng.integers(50, size=sum(sizes)))
    )
    expected = scores[torch.from_numpy(np.repeat(users, sizes)), candidates.items]
    product = DotProduct(torch.eye(6, dtype=torch.float64), scores.T.contiguous())
    for pieces in ((128, 1024), (4, 3)):
        monkeypatch.setattr(ranking, "_PIECE", pieces[0])
        monkeypatch.setattr(ranking, "_PIECES", pieces[1])
        assert torch.equal(score_candidates(Table(scores), users, candidates), expected)
        torch.testing.assert_close(score_candidates(product, users, candidates), expected)


def test_every_piece_of_a_list_comes_with_its_history(monkeypatch):
    monkeypatch.setattr(ranking, "_PIECE", 2)
    table, users = Table(torch.zeros(3, 9)), np.array([2, 1, 0])
    candidates = Lists(torch.tensor([0, 3, 4, 5]), torch.tensor([1, 2, 3, 4, 5]))
    score_candidates(table, users, candidates, history=Lists.of(SEEN, users))
    (query,) = table.queries
    assert query.user.tolist() == [2, 2, 1, 0]
    assert [
        row[mask].tolist() for row, mask in zip(query.history, query.history_mask, strict=True)
    ] == [[4, 0, 2], [4, 0, 2], [], [3, 1]]


def test_a_score_that_is_no_number_is_a_diverged_model():
    with pytest.raises(DivergedError):
        score_candidates(
            Table(torch.full((1, 3), float("nan"))),
            np.array([0]),
            Lists(torch.tensor([0, 1]), torch.tensor([2])),
        )
    assert (
        len(
            score_candidates(
                Table(torch.zeros(1, 3)),
                np.array([0]),
                Lists(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64)),
            )
        )
        == 0
    )
