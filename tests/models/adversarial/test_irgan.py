"""IRGAN against its equations, and a world that only rewards teach."""

import math

import numpy as np
import pytest
import torch

import kgrec
from kgrec.batches import PositiveBatch
from kgrec.errors import ConfigError
from kgrec.models.adversarial.irgan import IRGAN, IRGANConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

BATCH = PositiveBatch(torch.tensor([0, 2, 0]), torch.tensor([1, 3, 4]))


def built(**config):
    model = IRGAN((4, 5), IRGANConfig(**{"dim": 3, **config}), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model.double()


def table(player):
    """Scores, a pair at a time."""
    users, items = player.users.tolist(), player.items.tolist()
    return np.array(
        [
            [sum(a * b for a, b in zip(u, i, strict=True)) + bias for i, (bias,) in biased]
            for u in users
            for biased in [list(zip(items, player.bias.tolist(), strict=True))]
        ]
    )


def softmax(row):
    values = [math.exp(x) for x in row]
    return np.array(values) / sum(values)


def sigma(x):
    return 1 / (1 + np.exp(-x))


def test_the_game_is_the_equations():
    model = built(discriminators="both", temperature=0.5, reward="log", l2_weight=0.0)
    g, f, h = (table(p) for p in (model.generator, model.discriminator, model.other))
    items, users, reward = [], [], []
    for u, i in zip(BATCH.user.tolist(), BATCH.positive.tolist(), strict=True):
        drawn, takers = softmax(g[u] / 0.5), softmax(g[:, i] / 0.5)
        items.append(-np.log(sigma(f[u, i])) - (drawn * np.log(1 - sigma(f[u]))).sum())
        users.append(-np.log(sigma(h[u, i])) - (takers * np.log(1 - sigma(h[:, i]))).sum())
        worth = (np.log(1 + np.exp(f[u])) + np.log(1 + np.exp(h[u]))) / 2
        reward.append((softmax(g[u]) * worth).sum())
    told = model.told_apart(BATCH)
    assert told["items"].item() == pytest.approx(np.mean(items))
    assert told["users"].item() == pytest.approx(np.mean(users))
    assert model.rewarded(BATCH)["reward"].item() == pytest.approx(-np.mean(reward))


def test_the_policy_gradient_by_hand():
    """Two items, p = (.75, .25), rewards (1, 3): E = 1.5, dE/dg_1 = p_1 (1 - 1.5) = -.375."""
    model = built()
    logits = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64, requires_grad=True)
    values = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    expected = model.expected(logits, values)
    expected.backward()
    assert expected.item() == pytest.approx(1.5)
    assert logits.grad[0].tolist() == pytest.approx([-0.375, 0.375])


def test_draws_have_the_value_and_gradient_of_the_sum_on_average():
    exact, drawn = built(reward="sigmoid"), built(reward="sigmoid", samples=20_000)
    drawn.plan().begin_epoch(1, 0)
    found = {}
    for name, model in (("exact", exact), ("drawn", drawn)):
        losses = model.rewarded(BATCH), model.told_apart(BATCH)
        (losses[0]["reward"] + losses[1]["items"]).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found[name] = [losses[0]["reward"], losses[1]["items"], *grads]
    for one, other in zip(found["exact"], found["drawn"], strict=True):
        torch.testing.assert_close(one, other, atol=0.03, rtol=0)


def test_each_player_moves_alone():
    model = built(discriminators="both")
    tell, draw = model.plan().objectives
    for objective, names in ((tell, {"discriminator", "other"}), (draw, {"generator"})):
        model.zero_grad()
        sum(objective.loss(BATCH).values()).backward()
        moved = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
        assert moved == names
        own = {id(p) for name in names for p in model.get_submodule(name).parameters()}
        assert {id(p) for p in objective.parameters} == own


def test_the_same_epoch_draws_the_same():
    model = built(samples=3)
    found = []
    for epoch in (1, 2, 1):
        model.plan().begin_epoch(epoch, 7)
        found.append(model.rewarded(BATCH)["reward"].item())
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("samples", [0, 8])
def test_rewards_alone_teach_the_generator(samples):
    """It never sees an interaction: with the reward's sign turned it would end at the others'
    items.
    """
    data = worlds.checkerboard()
    settings = {"dim": 8, "pretrain_epochs": 0, "samples": samples, "learning_rate": 0.05}
    settings |= {"generator_rate": 0.1, "temperature": 1.0}
    run = kgrec.fit("irgan", data, epochs=40, patience=0, batch_size=32, **settings)
    with torch.no_grad():
        share = run.model.generator.of_users(torch.arange(12)).softmax(1).numpy()
    own = (np.arange(12)[:, None] - np.arange(12)[None, :]) % 2 == 0
    assert (share * own).sum(1).min() > 0.8


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"samples": -1}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="IRGAN needs"):
        IRGANConfig(**wrong)


class TestIRGAN(RecommenderContract):
    name = "irgan"
    settings = {"dim": 8, "learning_rate": 0.05, "l2_weight": 0.0}


class TestDualGAN(RecommenderContract):
    name = "dualgan"
    settings = {"dim": 8, "learning_rate": 0.05, "l2_weight": 0.0}
