"""AutoRec against its equations, by hand in float64."""

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError
from kgrec.models.autoencoders.autorec import AutoRec, AutoRecConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def rated():
    rng = np.random.default_rng(0)
    rows = [(u, i, float(rng.integers(1, 6))) for u in range(6) for i in range(8) if (u + i) % 3]
    return kgrec.Dataset.build(pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row"))


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("side", ["item", "user"])
def test_predictions_and_loss_are_the_equations(side):
    data = rated()
    settings = AutoRecConfig(side=side, dim=3, l2_weight=0.4)
    model = AutoRec.from_dataset(data, settings, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        model.offset.add_(torch.tensor([0.1, -0.2, 0.3]))
        model.bias.add_(torch.arange(len(model.bias)) / 10)

    mean = data.train.rating.astype(float).mean()
    ratings = np.zeros((data.num_users, data.num_items))
    ratings[data.train.user, data.train.item] = data.train.rating.astype(float) - mean
    if side == "user":
        ratings = ratings.T
    encoder, decoder = model.encoder.detach().numpy(), model.decoder.detach().numpy()
    hidden = 1 / (1 + np.exp(-(ratings.T @ encoder + model.offset.detach().numpy())))
    output = mean + decoder @ hidden.T + model.bias.detach().numpy()[:, None]
    expected = torch.from_numpy(output if side == "item" else output.T)
    with torch.inference_mode():
        found = model.scorer()(queries(data.train, np.arange(data.num_users)))
    torch.testing.assert_close(found, expected)

    user, item, label = torch.tensor([1, 4, 1]), torch.tensor([2, 5, 0]), torch.tensor([4.0, 1, 2])
    rows = (user if side == "item" else item).tolist()
    squares = sum(np.square(encoder[row]).sum() + np.square(decoder[row]).sum() for row in rows)
    error = (expected[user, item] - label).square().mean().item()
    loss = model.loss(PointwiseBatch(user, item, label))
    assert loss.item() == pytest.approx(error + 0.2 * squares / 3)


@pytest.mark.parametrize("side", ["item", "user"])
def test_it_learns_ratings_that_go_by_kinds(side):
    """An item's rating by a user is high where their kinds agree: its other ratings tell its kind,
    which no bias does.
    """
    rng = np.random.default_rng(0)
    rows = [
        (user, item, 5.0 if user % 2 == item % 2 else 1.0)
        for user in range(40)
        for item in range(40)
        if rng.random() < 0.5
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row")
    data = kgrec.Dataset.build(frame)
    run = kgrec.fit(
        "autorec", data, side=side, dim=8, epochs=40, batch_size=64, learning_rate=0.02, patience=0
    )
    report = run.evaluate(protocol="rating")
    assert report.metrics["rmse"] < 0.5 < 1.9 < report.details["of_the_mean"]["rmse"]


def test_resumed_training_is_bit_equal(tmp_path, monkeypatch):
    data = rated()
    settings = {"dim": 4, "batch_size": 8, "epochs": 2}
    whole = kgrec.fit("autorec", data.save(tmp_path / "data"), **settings)

    def stop(state):
        raise InterruptedError

    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(InterruptedError):
        kgrec.fit("autorec", tmp_path / "data", out=tmp_path / "r", on_epoch=stop, **settings)
    resumed = kgrec.fit("autorec", tmp_path / "data", out=tmp_path / "r", resume=True)
    assert torch.equal(whole.scorer().users, resumed.scorer().users)
    assert torch.equal(whole.scorer().items, resumed.scorer().items)


class TestAutoRec(RecommenderContract):
    name = "autorec"
    settings = {"dim": 8}
    user_tables = frozenset({"encoder", "decoder", "bias"})

    def prepared(self, data):
        return worlds.with_ratings(data)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="AutoRec needs"):
        AutoRecConfig(dim=0)
