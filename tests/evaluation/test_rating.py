"""Errors of ratings against counting by hand, and models chosen by them."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.errors import DataError
from kgrec.evaluation.rating import evaluate_ratings
from kgrec.models.base import DotProduct


def rated_world(seed=0, users=30, items=20, noise=0.0):
    """Ratings that are a user's level, an item's level and a product of two numbers each."""
    rng = np.random.default_rng(seed)
    levels, factors = rng.normal(0, 0.7, (2, 30)), rng.normal(0, 0.7, (2, 2, 30))
    user, item = np.divmod(np.arange(users * items), items)
    rating = 3 + levels[0][user] + levels[1][item]
    rating += (factors[0][:, user] * factors[1][:, item]).sum(0)
    rating += noise * rng.normal(size=len(rating))
    kept = rng.permutation(len(user))[: int(0.7 * len(user))]
    frame = pl.DataFrame({"user": user, "item": item, "rating": rating})[kept]
    return kgrec.Dataset.build(frame, ratios=(0.7, 0.1, 0.2))


DATA = rated_world()


def table(seed=1):
    values = np.random.default_rng(seed).normal(3, 2, (DATA.num_users, DATA.num_items))
    return values, DotProduct(torch.eye(DATA.num_users).double(), torch.from_numpy(values.T.copy()))


def test_errors_of_predictions_are_those_counted_by_hand():
    values, scorer = table()
    report = evaluate_ratings(scorer, DATA, predicts=True)
    given = DATA.train.rating.astype(float)
    errors = {}
    for user, item, rating in zip(
        DATA.test.user, DATA.test.item, DATA.test.rating.astype(float), strict=True
    ):
        predicted = min(max(values[user, item], given.min()), given.max())
        errors.setdefault(user, []).append(rating - predicted)

    every = [error for own in errors.values() for error in own]
    roots = [np.sqrt(np.mean(np.square(own))) for own in errors.values()]
    assert report.metrics == pytest.approx(
        {
            "rmse": np.sqrt(np.mean(np.square(every))),
            "mae": np.mean(np.abs(every)),
            "user_rmse": np.mean(roots),
            "user_mae": np.mean([np.mean(np.abs(own)) for own in errors.values()]),
        }
    )
    naive = DATA.test.rating.astype(float) - given.mean()
    found = report.to_dict()
    assert found["of_the_mean"]["rmse"] == pytest.approx(np.sqrt(np.mean(naive**2)))
    assert found["line"] is None
    assert report.rows.height == len(DATA.test)


def test_scores_that_are_no_ratings_are_brought_to_the_scale_by_validation():
    values, scorer = table()
    report = evaluate_ratings(scorer, DATA)
    score = values[DATA.valid.user, DATA.valid.item]
    slope, intercept = np.polyfit(score, DATA.valid.rating.astype(float), 1)
    assert report.details["line"] == pytest.approx({"slope": slope, "intercept": intercept})

    # A line of scores changes nothing: it is fitted again.
    turned = DotProduct(scorer.users * -0.5, scorer.items)
    assert evaluate_ratings(turned, DATA).metrics == pytest.approx(report.metrics)


def test_what_a_model_does_not_know_gets_the_mean():
    from kgrec.data.records.known import Known

    _, scorer = table()
    known = Known(np.ones(DATA.num_users, dtype=bool), np.zeros(DATA.num_items, dtype=bool))
    known.items[DATA.valid.item[0]] = True
    report = evaluate_ratings(scorer, DATA, known=known)
    mean = DATA.train.rating.mean(dtype=np.float64)
    strange = ~known.items[DATA.items.rows(report.rows["item"].to_list())]
    assert report.details["unknown"] == strange.sum() > 0
    assert np.allclose(report.rows["prediction"].to_numpy()[strange], mean)


def test_data_without_ratings_are_refused():
    bare = dataclasses.replace(DATA, test=dataclasses.replace(DATA.test, rating=None))
    _, scorer = table()
    with pytest.raises(DataError, match=r"test part has no ratings .* --rating COL"):
        evaluate_ratings(scorer, bare)
    with pytest.raises(DataError, match="ratings"):
        kgrec.fit("biasedmf", "films", epochs=1)


def test_training_keeps_the_epoch_of_the_least_error(tmp_path):
    run = kgrec.fit(
        "biasedmf", DATA, dim=4, epochs=12, patience=0, learning_rate=0.05, out=tmp_path / "r"
    )
    seen = [record["rmse"] for record in run.history]
    assert run.summary["best_epoch"] == 1 + int(np.argmin(seen))
    assert min(seen) < 0.9 * run.evaluate(protocol="rating").details["of_the_mean"]["rmse"]
    assert run.summary["valid"]["rmse"] == pytest.approx(min(seen), rel=1e-5)
    assert kgrec.load_run(tmp_path / "r").evaluate(protocol="rating").metrics == pytest.approx(
        run.evaluate(protocol="rating").metrics
    )


def test_tuning_keeps_the_trial_of_the_least_error(tmp_path):
    space = {"learning_rate": (0.0001, 0.05)}
    found = kgrec.tune(
        DATA,
        "biasedmf",
        trials=2,
        space=space,
        out=tmp_path / "t",
        settings={"epochs": 4, "dim": 4},
        final=False,
    )
    values = {t["learning_rate"]: t["rmse"] for t in found.to_frame().iter_rows(named=True)}
    assert found.best["learning_rate"] == min(values, key=values.get)
    assert found.value == min(values.values())
