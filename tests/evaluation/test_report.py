import json
import math

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.triples import empty_triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, DataError
from kgrec.evaluation.report import evaluate
from kgrec.models.base import DotProduct

USERS, ITEMS = 6, 9


def part(pairs):
    columns = np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2)
    return Interactions(columns[:, 0], columns[:, 1])


def dataset(train, valid, test):
    users = Vocabulary([f"u{row}" for row in range(USERS)], kind="user")
    items = Vocabulary([f"i{row}" for row in range(ITEMS)], kind="item")
    return Dataset("toy", users, items, empty_triples(items), part(train), part(valid), part(test))


def scorer_of(table):
    return DotProduct(
        torch.eye(USERS, dtype=torch.float64),
        torch.as_tensor(table, dtype=torch.float64).T.contiguous(),
    )


def brute(table, masked, held_out, ks, train):
    """The protocol in plain Python: means over users with a relevant item that is not masked.

    An item that ties is at any place of its group alike. Lists break ties by training interactions,
    then by id.
    """
    rows, shown = [], {k: set() for k in ks}
    popularity = [sum(item == row for _, item in train) for row in range(ITEMS)]
    for user in range(USERS):
        relevant = {item for who, item in held_out if who == user and (user, item) not in masked}
        if relevant:
            ranked = sorted(
                (item for item in range(ITEMS) if (user, item) not in masked),
                key=lambda item: (-table[user][item], -popularity[item], item),
            )
            scores = [table[user][item] for item in ranked]
            row = {}
            for k in ks:
                shown[k].update(ranked[:k])
                chances = [  # of each place to hold a relevant item
                    sum(other in relevant for other in ranked if table[user][other] == score)
                    / scores.count(score)
                    for score in scores[:k]
                ]
                row[f"recall@{k}"] = sum(chances) / len(relevant)
                best = sum(1 / math.log2(j + 1) for j in range(1, min(k, len(relevant)) + 1))
                row[f"ndcg@{k}"] = (
                    sum(chance / math.log2(j + 1) for j, chance in enumerate(chances, start=1))
                    / best
                )
            rows.append((user, row))
    means = (
        {name: sum(row[name] for _, row in rows) / len(rows) for name in rows[0][1]} if rows else {}
    )
    return rows, means | {f"coverage@{k}": len(shown[k]) / ITEMS for k in ks}


PAIRS = st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1)), max_size=25)


@given(PAIRS, PAIRS, PAIRS, st.integers(0, 1000), st.sampled_from(["test", "valid"]))
def test_as_brute_force(train, valid, test, seed, on):
    table = np.random.default_rng(seed).integers(4, size=(USERS, ITEMS)).tolist()
    held_out, masked = (test, set(train) | set(valid)) if on == "test" else (valid, set(train))
    rows, means = brute(table, masked, held_out, (2, 5), train)
    data = dataset(train, valid, test)
    if not rows:
        with pytest.raises(DataError, match="no users to evaluate"):
            evaluate(scorer_of(table), data, on=on)
        return
    report = evaluate(
        scorer_of(table), data, on=on, ks=(5, 2), metrics=("recall", "ndcg", "coverage")
    )
    assert report.metrics == pytest.approx(means)
    assert report.users == len(rows)
    assert report.per_user["user"].to_list() == [f"u{user}" for user, _ in rows]
    assert report.per_user["ndcg@5"].to_list() == pytest.approx([row["ndcg@5"] for _, row in rows])
    assert report.masked == len(set(held_out) & masked)
    trained_users, trained_items = {user for user, _ in train}, {item for _, item in train}
    assert report.cold_users == sum(user not in trained_users for user, _ in rows)
    assert report.cold_items == len(
        {item for pair in set(held_out) - masked for item in pair[1:] if item not in trained_items}
    )
    warm = [
        (user, item) for user, item in held_out if user in trained_users and item in trained_items
    ]
    warm_rows, warm_means = brute(table, masked, warm, (2, 5), train)
    assert report.warm_users == len(warm_rows)
    assert report.warm == pytest.approx(
        {name: value for name, value in warm_means.items() if warm_rows and "coverage" not in name}
    )
    of_cold_items = [(user, item) for user, item in held_out if item not in trained_items]
    of_cold_users = [(user, item) for user, item in held_out if user not in trained_users]
    for part, pairs in (
        (report.cold_item_part, of_cold_items),
        (report.cold_user_part, of_cold_users),
    ):
        part_rows, part_means = brute(table, masked, pairs, (2, 5), train)
        assert part.users == len(part_rows)
        assert part.metrics == pytest.approx(
            {
                name: value
                for name, value in part_means.items()
                if part_rows and "coverage" not in name
            }
        )


def small():
    table = np.zeros((USERS, ITEMS))
    table[0] = [9, 8, 7, 6, 5, 4, 3, 2, 1]
    table[3] = table[0]
    return scorer_of(table), dataset(
        [(0, 0), (1, 1), (2, 2)], [(0, 1)], [(0, 2), (0, 8), (3, 1), (0, 0)]
    )


def test_by_hand():
    # u0 sees i2 i3 ... i8 (i0, i1 masked): hit at 1. u3, never trained on, sees i0 i1 ...: hit at
    # 2. (u0, i0) is in training too.
    report = evaluate(*small(), ks=(2,), model="toy")
    assert report.metrics == pytest.approx(
        {
            "recall@2": (0.5 + 1) / 2,
            "ndcg@2": (1 / (1 + 1 / math.log2(3)) + 1 / math.log2(3)) / 2,
            "precision@2": 0.5,
            "hit@2": 1.0,
            "mrr@2": 0.75,
            "map@2": 0.5,
            "coverage@2": 4 / 9,
        }
    )
    assert (report.users, report.masked, report.cold_users, report.cold_items) == (2, 1, 1, 1)
    assert (report.warm_users, report.warm["recall@2"]) == (1, 1.0)
    assert report.per_user.select("user", "relevant", "cold").rows() == [
        ("u0", 2, False),
        ("u3", 1, True),
    ]


def test_validation_items_are_candidates_when_judging_on_valid():
    assert evaluate(*small(), on="valid", ks=(1,), metrics=("hit",)).metrics == {"hit@1": 1.0}


def test_some_users_only():
    report = evaluate(*small(), ks=(2,), users=np.array([3, 5]))
    assert report.per_user["user"].to_list() == ["u3"]
    with pytest.raises(DataError, match="no users to evaluate"):
        evaluate(*small(), users=np.array([4]))


def test_json_and_frame():
    report = evaluate(*small(), ks=(2,), metrics=("recall", "coverage"), model="toy")
    document = json.loads(json.dumps(report.to_dict()))
    assert {key: document[key] for key in ("model", "split", "users", "metrics")} == {
        "model": "toy",
        "split": "test",
        "users": 2,
        "metrics": {"recall@2": 0.75, "coverage@2": 4 / 9},
    }
    assert report.to_frame().rows() == [
        ("recall@2", 0.75, 1.0, 0.0, 1.0),
        ("coverage@2", 4 / 9, None, None, None),
    ]
    assert document["warm"] == {"users": 1, "metrics": {"recall@2": 1.0}}
    assert document["cold"] == {
        "items": {"users": 1, "metrics": {"recall@2": 0.0}},
        "users": {"users": 1, "metrics": {"recall@2": 1.0}},
    }
    assert (document["protocol"], document["beyond"]) == ("ranking", {})
    assert isinstance(report.per_user, pl.DataFrame)


def test_what_lists_are_worth_beyond_their_hits_is_told_apart():
    plain, told = (evaluate(*small(), ks=(2, 3), beyond=wanted) for wanted in (False, True))
    assert told.metrics == plain.metrics
    # Popularity: u0 sees i2 i3 (one training interaction, none), u3 sees i0 i1 (one each).
    assert told.beyond["popularity@2"] == 0.75
    assert told.to_dict()["beyond"] == told.beyond


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on": "train"}, "no part 'train'"),
        ({"ks": (0,)}, "at least 1"),
        ({"metrics": ("recal",)}, "Nearest: recall"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(*small(), **settings)


def test_a_longer_list_than_the_catalog():
    report = evaluate(*small(), ks=(100,), metrics=("recall", "precision"))
    assert report.metrics == pytest.approx({"recall@100": 1.0, "precision@100": (2 + 1) / 2 / 100})
