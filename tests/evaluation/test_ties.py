"""Metrics in expectation over ties, held against the mean over every order of the tied
candidates.
"""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.data.records.tie_order import tie_order
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.evaluation.metrics import RANKING, STANDARD
from kgrec.evaluation.report import evaluate
from kgrec.evaluation.sampled import evaluate_sampled
from kgrec.models.base import DotProduct
from kgrec.testing import worlds

KS = (1, 2, 3, 5, 20)
LONGEST = 20
EVERY = tuple(RANKING)


def of_one_order(name, ranked, relevant, k, longest=LONGEST):
    """One user's metric for one order of items, in plain Python."""
    places = [j for j, item in enumerate(ranked[:k], start=1) if item in relevant]
    best = {"ndcg": len(relevant), "ndcg-retrieved": len(relevant & set(ranked[:longest]))}.get(
        name, 0
    )
    ideal = sum(1 / math.log2(j + 1) for j in range(1, min(k, best) + 1))
    return {
        "recall": len(places) / len(relevant),
        "precision": len(places) / k,
        "hit": float(bool(places)),
        "mrr": 1 / places[0] if places else 0.0,
        "map": sum((n + 1) / j for n, j in enumerate(places)) / min(k, len(relevant)),
    }.get(name) or (sum(1 / math.log2(j + 1) for j in places) / ideal if ideal else 0.0)


def orders(scores, candidates):
    """Yield every order of the candidates by falling score, those of equal scores in every way."""
    levels = sorted({scores[item] for item in candidates if scores[item] > -math.inf}, reverse=True)
    groups = [[item for item in candidates if scores[item] == level] for level in levels]
    for picked in itertools.product(*map(itertools.permutations, groups)):
        yield [item for group in picked for item in group]


def expected(scores, candidates, relevant, longest=LONGEST):
    every = list(orders(scores, candidates))
    return {
        f"{name}@{k}": sum(of_one_order(name, order, relevant, k, longest) for order in every)
        / len(every)
        for name in EVERY
        for k in KS
    }


def scorer_of(table):
    table = torch.as_tensor(table, dtype=torch.float64)
    return DotProduct(torch.eye(len(table), dtype=torch.float64), table.T.contiguous())


class Table:
    """A scorer that is no product, so that scores of -inf are possible."""

    def __init__(self, table):
        self.table = torch.as_tensor(table, dtype=torch.float64)

    def __call__(self, query, items=None):
        rows = self.table[query.user]
        return rows if items is None else rows.gather(1, items)


def world(seed, users=5, items=8):
    """Users with one or two known items, and one to four held-out ones; few levels of score, so
    that groups have up to six items.
    """
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(items).tolist() for _ in range(users)]
    known = [int(rng.integers(2, 4)) for _ in rows]
    held = [int(rng.integers(1, 5)) for _ in rows]
    train = [(user, item) for user, row in enumerate(rows) for item in row[: known[user]]]
    test = [
        (user, item)
        for user, row in enumerate(rows)
        for item in row[known[user] : known[user] + held[user]]
    ]
    levels = rng.integers(1, 4, size=users)
    table = np.stack([rng.integers(level, size=items) for level in levels]).astype(float)
    return worlds.dataset(train, test=test, num_users=users, num_items=items), table


@pytest.mark.parametrize("seed", range(8))
def test_ranking_is_the_mean_over_every_order(seed):
    data, table = world(seed)
    if seed % 2:
        table[np.random.default_rng(seed).random(table.shape) < 0.2] = -np.inf
    report = evaluate(Table(table) if seed % 2 else scorer_of(table), data, ks=KS, metrics=EVERY)
    for user in range(data.num_users):
        seen = set(data.train.item[data.train.user == user].tolist())
        relevant = set(data.test.item[data.test.user == user].tolist())
        mean = expected(table[user].tolist(), sorted(set(range(data.num_items)) - seen), relevant)
        got = report.per_user.row(user, named=True)
        assert {name: got[name] for name in mean} == pytest.approx(mean, abs=1e-12), user


@pytest.mark.parametrize("longest", [1, 2, 3, 4, 5, 6])
def test_ideal_lists_of_retrieved_hits_end_inside_a_group(longest):
    """Six tied items, three relevant: the number of hits that the ideal list holds is left to
    chance.
    """
    data = worlds.dataset([(0, 6)], test=[(0, 0), (0, 2), (0, 5)], num_items=8)
    scores = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0]
    ks = tuple(range(1, longest + 1))
    got = evaluate(scorer_of([scores]), data, ks=ks, metrics=("ndcg-retrieved",)).metrics
    every = list(orders(scores, [0, 1, 2, 3, 4, 5, 7]))
    for k in ks:
        mean = sum(
            of_one_order("ndcg-retrieved", order, {0, 2, 5}, k, longest) for order in every
        ) / len(every)
        assert got[f"ndcg-retrieved@{k}"] == pytest.approx(mean, abs=1e-12)


def test_parts_are_means_over_every_order_too():
    """Users 2 and items 3 to 6 have no training interaction; each part takes what is not in it as
    not relevant.
    """
    data = worlds.dataset(
        [(0, 0), (0, 1), (1, 0), (1, 2)],
        test=[(0, 2), (0, 4), (1, 1), (1, 3), (1, 5), (2, 0), (2, 6)],
        num_items=7,
    )
    table = [[1.0] * 7, [0.0, 1, 0, 1, 1, 0, 0], [2.0, 2, 2, 1, 1, 2, 1]]
    report = evaluate(scorer_of(table), data, ks=KS, metrics=EVERY)
    candidates = [2, 3, 4, 5, 6], [1, 3, 4, 5, 6], list(range(7))
    parts = {
        "warm_part": {0: {2}, 1: {1}},
        "cold_item_part": {0: {4}, 1: {3, 5}, 2: {6}},
        "cold_user_part": {2: {0, 6}},
    }
    for name, relevant in parts.items():
        part = getattr(report, name)
        means = [expected(table[user], candidates[user], items) for user, items in relevant.items()]
        assert part.users == len(relevant)
        assert part.metrics == pytest.approx(
            {key: np.mean([mean[key] for mean in means]) for key in part.metrics}, abs=1e-12
        )
    assert "1 of 3 users have no training interactions" in report.notes[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("negatives", [4, 10])
def test_sampled_is_the_mean_over_every_order(seed, negatives):
    """As many negatives are asked for as there are, or more: each held-out item is among all that
    the user does not have.
    """
    data, table = world(seed)
    data = replace(data, test=data.test.take(np.unique(data.test.user, return_index=True)[1]))
    report = evaluate_sampled(scorer_of(table), data, ks=KS, negatives=max(negatives, 7))
    for user in range(data.num_users):
        (own,) = data.test.item[data.test.user == user].tolist()
        others = sorted(
            set(range(data.num_items)) - set(data.train.item[data.train.user == user].tolist())
        )
        mean = expected(table[user].tolist(), others, {own})
        got = report.per_user.row(user, named=True)
        names = [f"{name}@{k}" for name in ("hit", "ndcg", "mrr") for k in KS]
        assert {name: got[name] for name in names} == pytest.approx(
            {name: mean[name] for name in names}, abs=1e-12
        )


def flat(users, items, dtype=torch.float32):
    return DotProduct(torch.zeros(users, 1, dtype=dtype), torch.ones(items, 1, dtype=dtype))


def test_a_scorer_without_opinion_gets_what_chance_gets():
    """One held-out item of 199 candidates, all tied."""
    data = worlds.dataset(
        [(user, user % 200) for user in range(40)],
        test=[(user, (user + 7) % 200) for user in range(40)],
        num_items=200,
    )
    report = evaluate(flat(40, 200), data, ks=(10, 20), metrics=EVERY)
    places = np.arange(1, 11)
    assert report.metrics["recall@10"] == pytest.approx(10 / 199, abs=1e-15)
    assert report.metrics["hit@20"] == pytest.approx(20 / 199, abs=1e-15)
    assert report.metrics["precision@10"] == pytest.approx(1 / 199, abs=1e-15)
    assert report.metrics["ndcg@10"] == pytest.approx(
        (1 / np.log2(places + 1)).sum() / 199, abs=1e-15
    )
    assert report.metrics["mrr@10"] == pytest.approx((1 / places).sum() / 199, abs=1e-15)
    assert report.metrics["map@10"] == report.metrics["mrr@10"]
    assert report.per_user["hit@10"].n_unique() == 1
    sampled = evaluate_sampled(flat(40, 200), data, ks=(10,), negatives=99)
    assert sampled.metrics["hit@10"] == pytest.approx(0.1, abs=1e-15)
    assert sampled.metrics["ndcg@10"] == pytest.approx(
        (1 / np.log2(places + 1)).sum() / 100, abs=1e-15
    )
    assert sampled.metrics["mrr@10"] == pytest.approx((1 / places).sum() / 100, abs=1e-15)


def renumbered(data, order):
    """Return the dataset whose item row r is row ``order[r]`` of the given one."""
    place = np.argsort(order)

    def part(pairs):
        item = place[pairs.item].astype(np.int32)
        at = np.lexsort((item, pairs.user))
        return replace(pairs, user=pairs.user[at], item=item[at])

    items = Vocabulary([data.items.key(row) for row in order], kind="item")
    return replace(
        data, items=items, train=part(data.train), valid=part(data.valid), test=part(data.test)
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_numbering_of_items_decides_nothing(seed):
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(
        [(user, item) for user in range(30) for item in rng.permutation(120)[:10].tolist()]
    ).tolist()
    data = worlds.dataset(pairs[:150], test=pairs[150:], num_users=30, num_items=120)
    users, items = (
        rng.integers(-1, 2, size=(30, 4)).astype(np.float32),
        rng.integers(-1, 2, size=(120, 4)).astype(np.float32),
    )
    users[::3] = 0  # nothing but ties
    reports = []
    for order in (
        np.arange(120),
        rng.permutation(120),
        np.argsort(-np.bincount(data.train.item, minlength=120), kind="stable"),
    ):
        scorer = DotProduct(torch.from_numpy(users), torch.from_numpy(items[order]))
        reports.append(
            evaluate(
                scorer,
                renumbered(data, order),
                ks=(5, 20),
                metrics=(*STANDARD, "ndcg-retrieved"),
                beyond=True,
            )
        )
    first, *others = reports
    for other in others:
        assert other.metrics == pytest.approx(first.metrics, abs=1e-12)
        assert other.warm == pytest.approx(first.warm, abs=1e-12)
        assert other.beyond == pytest.approx(first.beyond, abs=1e-6)


def test_the_order_of_ties_is_popularity_then_id():
    data = worlds.dataset([(0, 1), (1, 1), (2, 3), (0, 10)], num_items=12)
    assert [data.items.key(row) for row in tie_order(data)] == [
        "i1",
        "i10",
        "i3",
        "i0",
        "i11",
        "i2",
        *(f"i{n}" for n in range(4, 10)),
    ]
