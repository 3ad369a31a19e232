"""Mult-VAE against its equations, by numpy in float64; what attributes and histories are worth."""

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.batches import UserBatch
from kgrec.errors import ConfigError
from kgrec.models.autoencoders.multvae import MultVAE, MultVAEConfig
from kgrec.nn.autoencoder import divergence_from_normal, multinomial_loss
from kgrec.queries import histories, queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

SMALL = {"dim": 8, "layers": (16,), "learning_rate": 0.02, "batch_size": 16, "beta_steps": 200}
TINY = {"dim": 2, "layers": (4, 3), "beta": 0.6, "beta_steps": 10}


def test_parity_of_both_terms():
    mean, log_variance = torch.tensor([[0.5, -0.5]]), torch.tensor([[0.0, np.log(0.5)]])
    assert divergence_from_normal(mean, log_variance).item() == pytest.approx(0.346574, abs=1e-6)
    logits, x = torch.tensor([[1.0, 0, -1]]), torch.tensor([[1.0, 0, 1]])
    assert multinomial_loss(logits, x).item() == pytest.approx(2.815212, abs=1e-6)


def built(data, **config):
    torch.set_default_dtype(torch.float64)
    try:
        generator = torch.Generator().manual_seed(0)
        model = MultVAE.from_dataset(data, MultVAEConfig(**TINY, **config), generator)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    finally:
        torch.set_default_dtype(torch.float32)
    return model.eval()


def layered(layers, values):
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            values = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        elif isinstance(layer, torch.nn.Tanh):
            values = np.tanh(values)
    return values


def by_hand(model, x):
    """Return mean and log-variance of the codes, and the logits of the means."""
    encoder, decoder = model.encoder.detach().numpy(), model.decoder.detach().numpy()
    length = np.linalg.norm(x, axis=1, keepdims=True)
    first = np.tanh(x / np.maximum(length, 1e-12) @ encoder + model.offset.detach().numpy())
    mean, log_variance = np.split(layered(model.inner, first), 2, axis=1)
    logits = np.tanh(layered(model.outer, mean)) @ decoder.T + model.bias.detach().numpy()
    return mean, log_variance, logits


def rows_of(data):
    return data.train.csr(data.num_users, data.num_items).toarray().astype(np.float64)


def softmax_loss(logits, x):
    logits = logits - logits.max(1, keepdims=True)
    log_share = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return -(log_share * x).sum(1).mean()


def test_scores_and_loss_are_the_equations():
    data = worlds.random_world(0)
    model = built(data)
    x = rows_of(data)
    mean, log_variance, logits = by_hand(model, x)
    with torch.inference_mode():
        scorer = model.scorer()
        found = scorer(queries(data.train, np.arange(data.num_users)))
        np.testing.assert_allclose(found.numpy(), logits)
        stranger = scorer(histories([np.flatnonzero(x[1]).tolist(), []]))
        np.testing.assert_allclose(stranger[0].numpy(), logits[1])
        np.testing.assert_allclose(stranger[1].numpy(), by_hand(model, np.zeros((1, 8)))[2][0])

    users = np.flatnonzero(x.any(1))[:3]
    lists = histories([np.flatnonzero(x[user]).tolist() for user in users])
    batch = UserBatch(torch.from_numpy(users), lists.history, lists.history_mask)
    model.updates += 5  # half of the way to beta
    loss = model.loss(batch)  # in evaluation z is its mean, and nothing is left out
    assert loss["users"].item() == pytest.approx(softmax_loss(logits[users], x[users]))
    kl = (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)[users].mean() / 2
    assert loss["divergence"].item() == pytest.approx(0.5 * 0.6 * kl)
    model.updates += 100
    assert model.loss(batch)["divergence"].item() == pytest.approx(0.6 * kl)


def test_attributes_are_rows_like_users():
    """One attribute, of items 0, 1 and 3; no one used item 3."""
    data = worlds.dataset(
        [(0, 0), (0, 1), (1, 1), (1, 2)],
        triples=[(0, 0, 4), (1, 0, 4), (3, 0, 4), (2, 0, 5)],
        num_items=4,
        num_entities=6,
    )
    model = built(data, knowledge=True, attribute_weight=0.7)
    x = rows_of(data)
    batch = UserBatch(
        torch.tensor([0, 1]), torch.tensor([[0, 1], [1, 2]]), torch.ones(2, 2, dtype=torch.bool)
    )
    loss = model.loss(batch)
    logits = by_hand(model, x)[2]
    assert loss["users"].item() == pytest.approx(softmax_loss(logits[:, :3], x[:, :3]))
    row = np.array([[1.0, 1, 0, 1]])
    assert loss["attributes"].item() == pytest.approx(
        0.7 * softmax_loss(by_hand(model, row)[2], row)
    )
    assert model.can_rank(data).items.tolist() == [True] * 4


def test_resumed_training_is_bit_equal(tmp_path, monkeypatch):
    data = worlds.cold_items()
    settings = {"dim": 4, "layers": (8,), "batch_size": 16, "epochs": 3, "beta_steps": 5}
    whole = kgrec.fit("multvae-kg", data.save(tmp_path / "data"), **settings)

    def stop(state):
        raise InterruptedError

    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(InterruptedError):
        kgrec.fit("multvae-kg", tmp_path / "data", out=tmp_path / "r", on_epoch=stop, **settings)
    resumed = kgrec.fit("multvae-kg", tmp_path / "data", out=tmp_path / "r", resume=True)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True
        )
    )


def test_people_who_were_held_out_are_ranked_for_by_what_is_known_of_them():
    """Two tastes of 20 items; of a held-out user of ten items eight are known, and the other two
    are among the twelve of the taste that are left.
    """
    rng = np.random.default_rng(0)
    rows = [
        (user, int(item))
        for user in range(60)
        for item in rng.choice(np.arange(user % 2, 40, 2), 10, replace=False)
    ]
    frame = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    data = kgrec.Dataset.build(frame, split="users", ratios=(0.7, 0.1, 0.2))
    run = kgrec.fit("multvae", data, **SMALL, epochs=20)
    report = run.evaluate(k=(12,))
    assert (report.users, report.cold_users) == (12, 12)
    assert report.details["cold_users_by_kind"] == {"history": 12}
    assert report.metrics["recall@12"] > 0.95


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"layers": ()}, "layers"), ({"dropout": 1.0}, "dropout"), ({"beta_steps": 0}, "beta_steps")],
)
def test_settings_out_of_range_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        MultVAEConfig(**wrong)


class TestMultVAE(RecommenderContract):
    name = "multvae"
    settings = {**SMALL, "epochs": 30}
    by_heart = 0.8  # of n items the likelihood is 1 / n each at best


class TestMultVAEKG(RecommenderContract):
    name = "multvae-kg"
    settings = {**SMALL, "epochs": 30, "attribute_weight": 1.0}
    by_heart = 0.8
    uses_knowledge = True
