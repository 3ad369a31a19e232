"""Labeled negatives drawn before the split: as many unused items a user as used ones."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.data.splitting.negatives import draw_unused
from kgrec.errors import ConfigError, DataError

LOG = pl.DataFrame(
    {
        "user": ["a", "a", "a", "b", "b", "c", "c", "c", "c"],
        "item": ["1", "2", "3", "1", "4", "1", "2", "3", "4"],
        "rating": [5, 4, 1, 3, 2, 5, 5, 5, 5],
    }
)
ITEMS = {"1", "2", "3", "4", "5", "6"}
REST = pl.DataFrame({"user": ["d", "d"], "item": ["5", "6"], "rating": [5, 5]})


def pairs(data: kgrec.Dataset, label: bool) -> dict[str, list[str]]:
    """Return the items of each user in all parts together."""
    parts = [getattr(data, name) for name in ("train", "valid", "test")]
    found: dict[str, list[str]] = {}
    for part in parts if label else data.negatives.values():
        for user, item in zip(part.user.tolist(), part.item.tolist(), strict=True):
            found.setdefault(data.users.key(user), []).append(data.items.key(item))
    return found


def build(frame: pl.DataFrame, **options: object) -> kgrec.Dataset:
    return kgrec.Dataset.build(frame, negatives=1, ratios=(0.4, 0.2, 0.4), **options)


def test_as_many_negatives_as_interactions_and_none_of_what_has_a_row():
    data = build(pl.concat([LOG, REST]), min_rating=3)
    liked, unused = pairs(data, True), pairs(data, False)

    assert {user: sorted(items) for user, items in liked.items()} == {
        "a": ["1", "2"],
        "b": ["1"],
        "c": ["1", "2", "3", "4"],
        "d": ["5", "6"],
    }
    seen = {
        user: set(items)
        for user, items in pl.concat([LOG, REST]).group_by("user").agg("item").iter_rows()
    }
    for user, items in unused.items():
        # What was rated low is neither an interaction nor a negative; c has only two items left.
        assert not set(items) & seen[user]
        assert len(set(items)) == len(items)
        assert len(items) == min(len(liked[user]), len(ITEMS - seen[user]))

    dropped = {(loss.what, loss.why): loss.count for loss in data.report.dropped}
    assert dropped["interactions", "rated below 3"] == 2
    assert dropped["negatives", "too few unused items of a user"] == 2


def test_the_order_of_lines_decides_nothing_and_the_seed_does():
    frame = pl.concat([LOG, REST])
    found = [build(rows, seed=seed) for rows in (frame, frame.reverse()) for seed in (0, 1)]
    assert pairs(found[0], False) == pairs(found[2], False)
    assert any(pairs(found[0], False) != pairs(build(frame, seed=seed), False) for seed in range(9))


def test_every_set_of_unused_items_is_as_likely():
    generator = np.random.default_rng(0)
    # Users 0 and 1 have all but items 1, 2, 4, 5 of six.
    used = np.array([0, 3, 6, 9])
    counts = dict.fromkeys(combinations((1, 2, 4, 5), 2), 0)
    rounds = 3000
    for _ in range(rounds):
        drawn = draw_unused(used, 6, np.array([2, 2]), generator)
        for user in (0, 1):
            counts[tuple((drawn[drawn // 6 == user] % 6).tolist())] += 1

    expected = 2 * rounds / len(counts)
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    assert statistic < 20.5  # chi-square with 5 degrees of freedom, p = .001


def test_who_has_nearly_everything_gets_what_is_left():
    size = 5000
    used = np.setdiff1d(np.arange(size), [17, 4000])
    drawn = draw_unused(used, size, np.array([1]), np.random.default_rng(0))
    assert drawn.tolist() in ([17], [4000])
    assert draw_unused(used, size, np.array([9]), np.random.default_rng(0)).tolist() == [17, 4000]


def test_labels_are_split_together_and_evaluated_as_pairs():
    generator = np.random.default_rng(0)
    frame = pl.DataFrame({"user": np.repeat(np.arange(40), 10), "item": 0}).with_columns(
        item=pl.Series(np.concatenate([generator.choice(60, 10, False) for _ in range(40)]))
    )
    data = kgrec.Dataset.build(frame, negatives=2)
    sizes = [len(getattr(data, part)) + len(data.negatives[part]) for part in data.negatives]
    assert sum(sizes) == 40 * 30
    assert sizes == pytest.approx([720, 240, 240], abs=2)
    assert sum(map(len, data.negatives.values())) == 800

    report = kgrec.fit("popularity", data).evaluate(protocol="ctr")
    assert report.to_dict()["rows"] == {
        "positive": len(data.test),
        "negative": len(data.negatives["test"]),
        "sampled": False,
    }
    both = report.per_user.drop_nulls("user_auc")
    rows = both["positive"] + both["negative"]
    assert report.metrics["gauc"] == pytest.approx((both["user_auc"] * rows).sum() / rows.sum())


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"negatives": -1}, ConfigError, "negatives: -1 is negative"),
        ({"negatives": 1, "cap": 3}, ConfigError, "do not go with negatives"),
        ({"negatives": 1, "train": LOG, "test": LOG}, ConfigError, "divided here"),
    ],
)
def test_what_does_not_go_with_negatives_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        kgrec.Dataset.build(LOG if "train" not in given else None, **given)


def test_a_least_rating_needs_ratings():
    with pytest.raises(DataError, match="no ratings for min_rating"):
        kgrec.Dataset.build(LOG.drop("rating"), negatives=1, min_rating=3)
