import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import optimize, special

from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, DataError, DivergedError
from kgrec.evaluation.ctr import evaluate_ctr, labeled_pairs, platt
from kgrec.models.base import DotProduct
from kgrec.testing import worlds

USERS, ITEMS = 12, 40


def world(seed=0, valid=True):
    rng = np.random.default_rng(seed)
    pairs = [(user, int(item)) for user in range(USERS) for item in rng.permutation(ITEMS)[:12]]
    parts = [
        [pair for at, pair in enumerate(pairs) if at % 4 in places]
        for places in ((0, 1), (2,), (3,))
    ]
    return worlds.dataset(
        parts[0], parts[1] if valid else (), parts[2], num_users=USERS, num_items=ITEMS
    )


def scorer(data, seed=0, scale=1.0):
    """Whole numbers, so that scores tie; higher for pairs of the test part, so that there is
    something to see.
    """
    table = np.random.default_rng(seed).integers(6, size=(USERS, ITEMS)).astype(float)
    table[data.test.user, data.test.item] += 2
    table[data.valid.user, data.valid.item] += 2
    return table, DotProduct(
        torch.eye(USERS, dtype=torch.float64), torch.from_numpy(scale * table).T.contiguous()
    )


def labels(pairs):
    part = np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2)
    return Interactions(part[:, 0], part[:, 1])


def with_labels(data, seed=3):
    rng = np.random.default_rng(seed)
    parts = {
        name: labels({(int(u), int(i)) for u, i in rng.integers((USERS, ITEMS), size=(50, 2))})
        for name in ("valid", "test")
    }
    return dataclasses.replace(data, negatives=parts)


def brute(scores, label, probability):
    """AUC by all pairs; F1, accuracy and log loss by counting."""
    predicted = probability >= 0.5
    wins = [(p > n) + 0.5 * (p == n) for p in scores[label] for n in scores[~label]]
    hit = sum(predicted & label)
    precision, recall = hit / max(1, sum(predicted)), hit / sum(label)
    return {
        "auc": np.mean(wins),
        "f1": 2 * precision * recall / (precision + recall) if hit else 0.0,
        "accuracy": np.mean(predicted == label),
        "logloss": -np.mean(np.where(label, np.log(probability), np.log(1 - probability))),
        "calibration": sum(probability) / sum(label),
        "ece": sum(
            abs(sum(p - y for p, y in zip(probability, label, strict=True) if int(10 * p) == b))
            for b in range(10)
        )
        / len(label),
    }


def test_as_brute_force_on_given_labels():
    data = with_labels(world())
    table, product = scorer(data)
    report = evaluate_ctr(product, data)
    rows = [(u, i, True) for u, i in zip(data.test.user, data.test.item, strict=True)]
    negatives = data.negatives["test"]
    rows += [(u, i, False) for u, i in zip(negatives.user, negatives.item, strict=True)]
    scores, label = np.array([table[u, i] for u, i, _ in rows]), np.array([y for *_, y in rows])
    told = report.to_dict()
    assert told["rows"] == {
        "positive": len(data.test),
        "negative": 50 - (50 - len(negatives)),
        "sampled": False,
    }
    fitted = told["scaling"]
    expected = brute(scores, label, special.expit(fitted["slope"] * scores + fitted["intercept"]))
    assert {name: report.metrics[name] for name in expected} == pytest.approx(expected)
    assert not any("sampled" in note for note in report.notes)
    own = [
        brute(scores[at], label[at], np.full(at.sum(), 0.5))["auc"]
        for at in (np.array([u for u, *_ in rows]) == u for u in range(USERS))
    ]
    assert report.per_user["user_auc"].to_list() == pytest.approx(own)
    assert report.metrics["user_auc"] == pytest.approx(np.mean(own))
    assert report.rows is not None
    assert report.rows.height == len(rows)
    json.dumps(told)


def test_users_with_one_kind_of_row_have_no_auc_of_their_own():
    data = dataclasses.replace(
        world(), negatives={"test": labels({(0, 0), (0, 1)}), "valid": labels({(0, 2)})}
    )
    report = evaluate_ctr(scorer(data)[1], data)
    assert report.per_user["user_auc"].null_count() == USERS - 1
    assert report.metrics["user_auc"] == report.per_user["user_auc"][0]


def test_sampled_negatives_are_unseen_seeded_and_said_to_be_sampled():
    data = world()
    rows = labeled_pairs(data, "test", seed=1)
    own = {
        (int(u), int(i))
        for part in (data.train, data.valid, data.test)
        for u, i in zip(part.user, part.item, strict=True)
    }
    drawn = {
        (int(u), int(i)) for u, i, y in zip(rows.user, rows.item, rows.label, strict=True) if not y
    }
    assert rows.sampled
    assert not drawn & own
    assert np.array_equal(np.bincount(rows.user[rows.label]), np.bincount(rows.user[~rows.label]))
    again, other = labeled_pairs(data, "test", seed=1), labeled_pairs(data, "test", seed=2)
    assert np.array_equal(rows.item, again.item)
    assert not np.array_equal(rows.item, other.item)
    report = evaluate_ctr(scorer(data)[1], data, seed=1)
    assert report.to_dict()["rows"]["sampled"]
    assert any("sampled" in note for note in report.notes)


def test_validation_negatives_know_nothing_of_the_test_part():
    data = world()
    some = [labeled_pairs(data, "valid", seed) for seed in range(20)]
    drawn = {
        (int(u), int(i))
        for rows in some
        for u, i, y in zip(rows.user, rows.item, rows.label, strict=True)
        if not y
    }
    assert drawn & set(zip(data.test.user.tolist(), data.test.item.tolist(), strict=True))


def test_a_user_with_every_item_brings_no_negative():
    data = worlds.dataset([(0, 0), (0, 1), (1, 0)], test=[(0, 2), (1, 1)], num_items=3)
    rows = labeled_pairs(data, "test")
    assert rows.user[~rows.label].tolist() == [1]
    assert rows.item[~rows.label].tolist() == [2]


def test_platt_is_the_minimum_of_its_loss():
    rng = np.random.default_rng(0)
    scores = rng.normal(5, 30, 300)
    label = rng.random(300) < special.expit(scores / 20 - 1)
    up, down = (label.sum() + 1) / (label.sum() + 2), 1 / ((~label).sum() + 2)
    target = np.where(label, up, down)

    def loss(weights):
        score = weights[0] * scores + weights[1]
        return (np.logaddexp(0, score) - target * score).sum()

    best = optimize.minimize(
        loss,
        [0.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-10, "maxiter": 5000},
    )
    found = platt(torch.from_numpy(scores), torch.from_numpy(label))
    assert found == pytest.approx(best.x, rel=1e-4)
    assert loss(found) <= best.fun + 1e-9


def test_platt_is_finite_for_separable_and_for_constant_scores():
    label = torch.arange(10) >= 5
    slope, intercept = platt(torch.arange(10.0), label)
    assert 0 < slope < 100
    assert np.isfinite(intercept)
    slope, intercept = platt(torch.full((10,), 7.0), torch.arange(10) >= 8)
    assert (slope, special.expit(intercept)) == pytest.approx((0.0, (2 * 3 / 4 + 8 / 10) / 10))


def test_the_scale_of_scores_changes_nothing_but_under_the_sigmoid():
    data = world()
    plain, scaled = (
        evaluate_ctr(scorer(data, scale=scale)[1], data).metrics for scale in (1.0, 0.001)
    )
    assert scaled == pytest.approx(plain, rel=1e-5)
    plain, scaled = (
        evaluate_ctr(scorer(data, scale=scale)[1], data, scaling="sigmoid").metrics
        for scale in (1.0, 0.001)
    )
    assert plain["auc"] == scaled["auc"]
    assert plain["logloss"] > scaled["logloss"] + 0.5


def test_without_validation_rows_of_the_same_kind_the_sigmoid_is_taken_and_said():
    bare = world(valid=False)
    half = dataclasses.replace(world(), negatives={"test": labels({(0, 0), (0, 1)})})
    for data in (bare, half):
        report = evaluate_ctr(scorer(data)[1], data)
        assert report.to_dict()["scaling"] == {"method": "sigmoid", "slope": 1.0, "intercept": 0.0}
        assert any("plain sigmoid" in note for note in report.notes)
        with pytest.raises(DataError, match="sigmoid"):
            evaluate_ctr(scorer(data)[1], data, scaling="platt")


def test_judged_on_valid_the_scaling_is_said_to_be_fitted_there():
    data = world()
    report = evaluate_ctr(scorer(data)[1], data, on="valid")
    assert any("these same rows" in note for note in report.notes)
    probability = report.rows["probability"].to_numpy()
    assert probability.mean() == pytest.approx(0.5, abs=0.01)


def test_legacy_is_the_mean_over_full_batches():
    data = world()
    _, product = scorer(data, scale=0.5)
    report = evaluate_ctr(product, data, legacy_batch=16)
    rows = report.rows
    assert rows.height % 16, "no short batch to leave out"
    assert set(report.metrics) == {"auc", "f1", "accuracy"}
    assert any("Legacy" in note for note in report.notes)
    from kgrec.random import derive

    order = torch.randperm(
        rows.height, generator=torch.Generator().manual_seed(derive(0, "ctr batches"))
    ).numpy()
    scores, label = rows["score"].to_numpy(), rows["label"].to_numpy()
    batches = [order[start : start + 16] for start in range(0, rows.height - 15, 16)]
    each = [brute(scores[at], label[at], special.expit(scores[at])) for at in batches]
    assert report.metrics == pytest.approx(
        {name: np.mean([found[name] for found in each]) for name in report.metrics}
    )
    whole = evaluate_ctr(product, data)
    assert whole.metrics["auc"] != pytest.approx(report.metrics["auc"], abs=1e-6)


def test_rows_of_one_label_are_refused():
    half = dataclasses.replace(world(), negatives={"test": labels({(0, 0), (0, 1)})})
    with pytest.raises(DataError, match="every labeled row of the valid part has label 1"):
        evaluate_ctr(scorer(half)[1], half, on="valid")
    full = worlds.dataset([(0, 0), (1, 1)], test=[(0, 1), (1, 0)])
    with pytest.raises(DataError, match="have every item"):
        evaluate_ctr(DotProduct(torch.ones(2, 1), torch.ones(2, 1)), full)


def test_bad_requests():
    data = world()
    product = scorer(data)[1]
    with pytest.raises(ConfigError, match="no part"):
        evaluate_ctr(product, data, on="train")
    with pytest.raises(ConfigError, match="72 rows"):
        evaluate_ctr(product, data, legacy_batch=73)
    with pytest.raises(DataError, match="valid part"):
        evaluate_ctr(product, world(valid=False), on="valid")
    with pytest.raises(DivergedError):
        evaluate_ctr(DotProduct(product.users * float("nan"), product.items), data)
