"""Event types, weights, half-lives, caps, sessions, bots, catalogs: against sums by hand."""

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.data.storage import open_dataset
from kgrec.errors import ConfigError, DataError
from kgrec.models.baselines.popularity import Popularity, PopularityConfig
from kgrec.models.factorization.ials import IALS, IALSConfig
from kgrec.training.samplers import _weighted_of_each, weights_in

DAY = 86_400
START = 1_700_000_000
WEIGHTS = {"view": 1, "cart": 3, "purchase": 5}


def shop(seed=0, rows=400):
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "event_id": np.arange(rows),
            "user_id": [f"u{n}" for n in random.integers(0, 12, rows)],
            "sku": [f"p{n}" for n in random.integers(0, 15, rows)],
            "event_type": random.choice(["view", "view", "cart", "purchase"], rows),
            "quantity": random.integers(1, 4, rows),
            "ts": START + random.permutation(rows) * 3 * DAY // 4,
        }
    )


def build(log, **settings):
    return kgrec.Dataset.build(log, **{"event": "event_type", "weights": WEIGHTS} | settings)


def weights(data, *parts):
    """Weights by pair of ids."""
    return {
        (data.users.key(u), data.items.key(i)): pytest.approx(float(w), rel=1e-5)
        for part in parts or (data.train, data.valid, data.test)
        for u, i, w in zip(part.user, part.item, part.weight, strict=True)
    }


def summed(log, weight):
    """The same by hand."""
    found = {}
    for row in log.iter_rows(named=True):
        pair = row["user_id"], row["sku"]
        found[pair] = found.get(pair, 0.0) + weight(row)
    return found


def test_weights_of_events_add_up():
    log = shop()
    data = build(log)
    assert weights(data) == summed(log, lambda row: WEIGHTS[row["event_type"]])
    assert data.settings["events"] == ["purchase", "cart", "view"]
    best = {}
    for row in log.iter_rows(named=True):
        pair = row["user_id"], row["sku"]
        best[pair] = max(best.get(pair, 0), WEIGHTS[row["event_type"]])

    names = data.settings["events"]
    for part in (data.train, data.valid, data.test):
        for user, item, event in zip(part.user, part.item, part.event, strict=True):
            pair = data.users.key(user), data.items.key(item)
            assert WEIGHTS[names[event]] == best[pair]


def test_quantity_and_half_life_weigh():
    log = shop()
    late = log["ts"].max()

    def by_hand(row):
        return WEIGHTS[row["event_type"]] * row["quantity"] * 0.5 ** ((late - row["ts"]) / DAY / 30)

    data = build(log, quantity="quantity", half_life=30)
    assert weights(data) == summed(log, by_hand)
    assert data.settings["half_life"] == 30


def test_training_weights_of_a_temporal_split_know_nothing_later():
    log = shop()
    data = build(log, split="temporal", ratios=(0.6, 0.2, 0.2), half_life=30)
    end = max(data.train.time)
    before = log.filter(pl.col("ts") <= end)

    def by_hand(row):
        return WEIGHTS[row["event_type"]] * 0.5 ** ((end - row["ts"]) / DAY / 30)

    assert weights(data, data.train) == summed(before, by_hand)


def test_training_weights_of_leave_one_out_know_nothing_later():
    log = shop(rows=150)
    data = build(log, split="leave-one-out")
    last = {}
    for user, time in zip(data.train.user, data.train.time, strict=True):
        key = data.users.key(user)
        last[key] = max(last.get(key, 0), time)

    before = log.filter(
        pl.Series([row["ts"] <= last.get(row["user_id"], 0) for row in log.iter_rows(named=True)])
    )
    assert weights(data, data.train) == summed(before, lambda row: WEIGHTS[row["event_type"]])


def test_a_dataset_keeps_them(tmp_path):
    data = build(shop())
    stored = data.save(tmp_path / "d")
    again = open_dataset(tmp_path / "d")
    assert np.array_equal(again.train.weight, data.train.weight)
    assert np.array_equal(again.train.event, data.train.event)
    assert again.settings["events"] == data.settings["events"]
    assert stored.report.roles == ()
    plain = kgrec.Dataset.build(shop()).save(tmp_path / "plain")
    assert plain.train.weight is None
    assert plain.train.event is None
    assert not list((tmp_path / "plain").glob("*weight*"))


def test_nanoseconds_are_stored_exactly(tmp_path):
    log = shop().with_columns(ts=pl.col("ts") * 1_000_000_000 + pl.col("event_id"))
    data = kgrec.Dataset.build(log).save(tmp_path / "d")
    assert data.train.time.dtype == np.int64
    assert set(data.train.time) <= set(log["ts"].to_list())


def test_caps_sessions_and_least_events():
    log = shop()
    data = build(log, cap=5)
    per_user = np.bincount(np.concatenate([data.train.user, data.valid.user, data.test.user]))
    assert per_user.max() == 5
    first = log.group_by("user_id", "sku").agg(pl.col("ts").min())
    kept = {
        (row["user_id"], row["sku"])
        for row in first.iter_rows(named=True)
        if row["ts"] in sorted(first.filter(user_id=row["user_id"])["ts"])[-5:]
    }
    assert set(weights(data)) == kept
    hand = pl.DataFrame(
        {
            "user_id": ["a"] * 5 + ["b"] * 4,
            "item_id": ["x", "y", "z", "x", "w", "x", "y", "z", "w"],
            "timestamp": [START + minute * 60 for minute in (0, 10, 50, 55, 60, 0, 5, 10, 15)],
        }
    )
    data = kgrec.Dataset.build(hand, session_gap=30, ratios=(0.4, 0.3, 0.3))
    assert sorted(data.users.series) == ["a/1", "a/2", "b/1"]
    few = pl.concat([hand, hand.head(1).with_columns(user_id=pl.lit("c"))])
    data = kgrec.Dataset.build(few, min_events=4, ratios=(0.4, 0.3, 0.3))
    assert sorted(data.users.series) == ["a", "b"]
    assert ("users", "fewer than 4 events", 1) in [
        (d.what, d.why, d.count) for d in data.report.dropped
    ]


def test_bots_are_reported():
    people = shop(rows=300)
    bot = pl.concat([shop(seed=n) for n in (1, 2, 3, 4)]).with_columns(user_id=pl.lit("bot"))
    said = [w.what for w in kgrec.Dataset.build(pl.concat([people, bot])).report.warnings]
    assert any(
        "1 users with 1,600 rows (84.2 %)" in what and "bot (1,600)" in what for what in said
    )
    assert not any("median user" in w.what for w in kgrec.Dataset.build(people).report.warnings)


def test_the_catalog_may_be_the_table_of_items_alone():
    items = pl.DataFrame(
        {"sku": [f"p{n}" for n in range(10)] + ["new"], "name": list("abcdefghijk")}
    )
    data = build(shop(), items=items, catalog="items")
    assert sorted(data.items.series) == sorted(items["sku"])
    gone = shop().filter(~pl.col("sku").is_in(items["sku"].to_list()))
    pairs = gone.select("user_id", "sku").unique().height
    assert ("interactions", "their item is not in the table of items", pairs) in [
        (d.what, d.why, d.count) for d in data.report.dropped
    ]
    with pytest.raises(ConfigError, match="needs a table of items"):
        build(shop(), catalog="items")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"weights": {"view": 1, "cart": 2}},
            DataError,
            r"without a weight: purchase \(\d+ rows\)",
        ),
        ({"weights": {**WEIGHTS, "purchas": 2}}, ConfigError, "no event 'purchas'. Nearest"),
        ({"weights": {**WEIGHTS, "view": -1}}, ConfigError, "view=-1 is negative"),
        ({"event": None}, ConfigError, "no column of event types"),
        ({"half_life": 0}, ConfigError, "half_life: 0 is not above 0"),
        ({"event": "kind"}, DataError, "no column 'kind'"),
        ({"weight": "w"}, DataError, "1 rows have a negative weight, the first -2 of user"),
    ],
)
def test_bad_weights(settings, error, message):
    log = shop(rows=50).with_columns(w=pl.when(pl.col("event_id") == 7).then(-2.0).otherwise(1.0))
    with pytest.raises(error, match=message):
        build(log, **settings)


def test_half_lives_need_moments():
    log = shop().with_columns(ts=pl.col("event_id"))
    with pytest.raises(ConfigError, match="half_life needs times"):
        build(log, half_life=3)


def test_events_that_are_not_read_are_said():
    data = kgrec.Dataset.build(shop())
    assert any("'event_type'" in note and "--event" in note for note in data.report.notes)


def test_popularity_sums_weights():
    data = build(shop())
    counts = Popularity.from_dataset(data, PopularityConfig(), torch.Generator()).counts
    by_hand = np.zeros(data.num_items)
    for item, weight in zip(data.train.item, data.train.weight, strict=True):
        by_hand[item] += weight
    assert counts.numpy() == pytest.approx(by_hand, rel=1e-5)


def test_ials_weighs_by_confidence():
    data = build(shop())
    torch.set_default_dtype(torch.float64)
    try:
        generator = torch.Generator().manual_seed(0)
        model = IALS.from_dataset(data, IALSConfig(dim=3, l2=0.5), generator)
        start = model.items.numpy().copy()
        model.users = model.solve(model.items, model.user_ptr, model.user_idx, model.user_weight)
        config = model.config
        for user in range(data.num_users):
            own = data.train.user == user
            chosen, weight = start[data.train.item[own]], data.train.weight[own].astype(float)
            system = config.unobserved_weight * start.T @ start + (chosen.T * weight) @ chosen
            system += config.l2 * np.eye(3)
            right = (chosen.T * weight).sum(1)
            assert model.users[user].numpy() == pytest.approx(np.linalg.solve(system, right))
        model.sweep()
        parts = model.explanation_effects().score_parts(0, 1)
        score = float(model.users[0] @ model.items[1])
        assert parts.liked.sum() + sum(parts.other.values()) == pytest.approx(score)
    finally:
        torch.set_default_dtype(torch.float32)


def test_interactions_are_drawn_by_weight():
    sums = torch.tensor([0.0, 1.0, 4.0, 4.5, 10.0], dtype=torch.float64)
    ptr = torch.tensor([0, 2, 4])
    rows = torch.tensor([0, 1]).repeat(20_000)
    drawn = _weighted_of_each(rows, ptr, sums, torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=4) / 20_000
    assert share.numpy() == pytest.approx([0.25, 0.75, 0.5 / 6, 5.5 / 6], abs=0.01)


def test_models_say_what_they_do_with_weights():
    data = build(shop())
    said = {}
    for name in ("popularity", "bprmf", "ease"):
        run = kgrec.fit(name, data, **({"epochs": 1, "dim": 4} if name == "bprmf" else {}))
        said[name] = run.summary["weights"].split(":")[0]
    assert said == {
        "popularity": "part of the model",
        "bprmf": "what training interactions are drawn by",
        "ease": "unused",
    }
    assert weights_in(run.model, kgrec.Dataset.build(shop())) is None
