"""SVD++ and biased matrix factorization against their equations, by hand in float64."""

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError
from kgrec.models.factorization.svdpp import SVDPP, SVDPPConfig
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


def built(data, **config):
    settings = SVDPPConfig(**{"dim": 3, **config})
    model = SVDPP.from_dataset(data, settings, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


def by_hand(model, data, user, item):
    p = model.users[user].detach().numpy().copy()
    used = data.train.item[data.train.user == user]
    if model.implicit is not None:
        p += model.implicit.detach().numpy()[used].sum(0) / np.sqrt(len(used))
    level = data.train.rating.astype(float).mean()
    for bias, row in ((model.user_bias, user), (model.item_bias, item)):
        level += 0.0 if bias is None else bias[row].item()
    return level + p @ model.items[item].detach().numpy()


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(
    "settings", [{}, {"implicit": False}, {"implicit": False, "biases": False}]
)
def test_predictions_and_loss_are_the_equations(settings):
    data = rated()
    model = built(data, l2_weight=0.3, bias_weight=0.2, **settings)
    expected = torch.tensor(
        [[by_hand(model, data, u, i) for i in range(data.num_items)] for u in range(6)]
    )
    with torch.inference_mode():
        torch.testing.assert_close(model.scorer()(queries(data.train, np.arange(6))), expected)

    user, item, label = torch.tensor([1, 4, 1]), torch.tensor([2, 5, 0]), torch.tensor([4.0, 1, 2])
    error = (expected[user, item] - label).square().mean()
    squares = 0.0
    for u, i in zip(user.tolist(), item.tolist(), strict=True):
        rows = [model.users[u], model.items[i]]
        if model.implicit is not None:
            rows += [model.implicit[j] for j in data.train.item[data.train.user == u].tolist()]
        squares += 0.3 * sum(row.detach().square().sum().item() for row in rows)
        if model.user_bias is not None:
            squares += 0.2 * (model.user_bias[u].item() ** 2 + model.item_bias[i].item() ** 2)
    found = model.loss(PointwiseBatch(user, item, label))
    assert found.item() == pytest.approx(error.item() + squares / 3)


@pytest.mark.usefixtures("_float64")
def test_gradients_of_what_was_rated_at_all_reach_every_rated_item():
    data = rated()
    model = built(data)
    batch = PointwiseBatch(torch.tensor([2]), torch.tensor([0]), torch.tensor([1.0]))
    assert torch.autograd.gradcheck(
        lambda y: _loss_with(model, y, batch),
        (model.implicit.detach().clone().requires_grad_(True),),
    )


def _loss_with(model, implicit, batch):
    kept = model._parameters.pop("implicit")
    try:
        object.__setattr__(model, "implicit", implicit)
        return model.loss(batch)
    finally:
        object.__delattr__(model, "implicit")
        model._parameters["implicit"] = kept


@pytest.mark.usefixtures("_float64")
def test_a_stranger_is_what_they_rated():
    data = rated()
    model = built(data)
    history = torch.tensor([[1, 3, 0]])
    mask = torch.tensor([[True, True, False]])
    with torch.inference_mode():
        scorer = model.scorer()
        vector = scorer.fold(history, mask)
        own = model.own_fold().vector(np.array([1, 3]))
        np.testing.assert_allclose(own, vector[0], rtol=1e-6)
        y = model.implicit[[1, 3]].sum(0) / np.sqrt(2)
        expected = model.mean + model.items @ y + model.item_bias
        torch.testing.assert_close((scorer.items @ vector[0]), expected)


def test_what_was_rated_decides_where_ratings_say_nothing():
    """Two kinds of users who rate the same half of the items alike, and of the others, which are
    held out, like different ones: which they have rated tells the kind. Only y can know.
    """
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        kind = user % 2
        rows += [
            (user, item, 3.0) for item in range(10 * kind, 10 * kind + 10) if rng.random() < 0.8
        ]
        rows += [(user, 20 + item, 5.0 if item % 2 == kind else 1.0) for item in range(10)]
    frame = pl.DataFrame(rows, schema=["user", "item", "rating"], orient="row")
    late = frame.filter((pl.col("user") >= 40) & (pl.col("item") >= 20))
    parts = {"train": frame.join(late, on=["user", "item"], how="anti"), "test": late}
    errors = {}
    for name in ("svdpp", "biasedmf"):
        data = kgrec.Dataset.build(None, split="given", **parts)
        run = kgrec.fit(name, data, dim=4, epochs=60, batch_size=64, learning_rate=0.02, patience=0)
        errors[name] = run.evaluate(protocol="rating").metrics["rmse"]
    assert errors["svdpp"] < 1.5 < errors["biasedmf"]


class TestSVDPP(RecommenderContract):
    name = "svdpp"
    settings = {"dim": 8, "init_scale": 0.5}
    user_tables = frozenset({"users", "user_bias"})

    def prepared(self, data):
        return worlds.with_ratings(data)


class TestBiasedMF(RecommenderContract):
    name = "biasedmf"
    settings = TestSVDPP.settings
    user_tables = TestSVDPP.user_tables
    prepared = TestSVDPP.prepared


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="SVD"):
        SVDPPConfig(dim=0)
