"""NeuMF and its parts against their equations, and a world that takes a nonlinear tower."""

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError
from kgrec.models.factorization.neumf import NeuMF, NeuMFConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc

DATA = worlds.checkerboard(6)


def built(part, **config):
    settings = NeuMFConfig(**{"part": part, "dim": 3, "layers": (6, 4, 2), **config})
    model = NeuMF(DATA.num_users, DATA.num_items, settings, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return model.double().eval()


def by_hand(model, user, item):
    """Eqs. (8) to (13), a number at a time."""
    scores = {}
    if model.config.part != "mlp":
        p, q = model.users[user].tolist(), model.items[item].tolist()
        scores["gmf"] = sum(
            a * b * h for a, b, h in zip(p, q, model.product_head.tolist(), strict=True)
        )
    if model.config.part != "gmf":
        values = [*model.tower_users[user].tolist(), *model.tower_items[item].tolist()]
        for layer in list(model.tower)[::2]:
            rows, bias = layer.weight.tolist(), layer.bias.tolist()
            values = [
                max(0.0, sum(w * v for w, v in zip(row, values, strict=True)) + b)
                for row, b in zip(rows, bias, strict=True)
            ]
        scores["mlp"] = sum(h * v for h, v in zip(model.tower_head.tolist(), values, strict=True))
    if len(scores) == 2:
        alpha = model.config.alpha
        scores = {"both": alpha * scores["gmf"] + (1 - alpha) * scores["mlp"]}
    return next(iter(scores.values())) + model.bias.item()


@pytest.mark.parametrize("part", ["gmf", "mlp", "both"])
def test_scores_and_loss_are_the_equations(part):
    model = built(part, alpha=0.3, l2_weight=0.1)
    expected = torch.tensor(
        [[by_hand(model, user, item) for item in range(6)] for user in range(6)],
        dtype=torch.float64,
    )
    query = queries(DATA.train, np.arange(6))
    items = torch.tensor([[3, 0]]).expand(6, 2)
    with torch.inference_mode():
        torch.testing.assert_close(model.scorer()(query), expected)
        torch.testing.assert_close(model.scorer()(query, items), expected[:, [3, 0]])

    label = torch.tensor([1.0, 0.0], dtype=torch.float64)
    user, item = torch.tensor([1, 4]), torch.tensor([2, 5])
    logits = expected[user, item]
    entropy = -(label * torch.sigmoid(logits).log() + (1 - label) * torch.sigmoid(-logits).log())
    rows = [
        table[user if name.endswith("users") else item].detach()
        for name, table in model.named_parameters()
        if name.endswith(("users", "items"))
    ]
    assert len(rows) == (4 if part == "both" else 2)
    penalty = sum(row.square().sum().item() for row in rows) / 2 / len(user)
    found = model.loss(PointwiseBatch(user, item, label))
    assert found.item() == pytest.approx(entropy.mean().item() + 0.1 * penalty)


def test_the_parts_are_trained_alone_before_they_are_fused():
    model = built("both", pretrain_epochs=2)
    objective, epochs = model.plan().warm_up
    assert epochs == 2
    batch = PointwiseBatch(
        torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([1.0, 0.0], dtype=torch.float64)
    )
    losses = objective.loss(batch)
    for name, part in (("gmf", "users"), ("mlp", "tower_users")):
        model.zero_grad()
        objective.loss(batch)[name].backward()
        moved = {n for n, p in model.named_parameters() if p.grad is not None}
        assert part in moved
        assert ("tower_users" in moved) == (name == "mlp")
        assert ("users" in moved) == (name == "gmf")
    assert losses.keys() == {"gmf", "mlp"}
    assert built("mlp", pretrain_epochs=2).plan().warm_up is None


def parity_world():
    """Users and items of two kinds each; a user takes items of the other kind alone."""
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(40) for item in range(40) if (user % 2) != (item % 2)]
    kept = rng.permutation(len(rows))[: len(rows) // 2]
    frame = pl.DataFrame([rows[at] for at in kept], schema=["user", "item"], orient="row")
    return kgrec.Dataset.build(frame)


def test_the_tower_tells_what_no_sum_of_user_and_item_does():
    """Kinds decide by whether they differ: a tower without ReLU scores a user's term plus an
    item's, and ranks the same items first for everyone.
    """
    data = parity_world()
    settings = {"layers": (16, 16, 8), "init_scale": 0.1, "learning_rate": 0.02}
    run = kgrec.fit("mlp", data, epochs=60, patience=0, batch_size=64, **settings)
    with torch.inference_mode():
        scores = run.scorer()(queries(data.train, np.arange(40))).numpy()

    user = np.array([int(key) % 2 for key in data.users])
    item = np.array([int(key) % 2 for key in data.items])
    other = user[:, None] != item[None, :]
    found = [auc(row, mask) for row, mask in zip(scores, other, strict=True)]
    assert np.mean(found) > 0.95, found


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layers": (7, 2)}, "an even number"),
        ({"layers": (8,)}, "at least one layer"),
        ({"negatives": 0}, "at least 1"),
        ({"alpha": 1.5}, "alpha"),
        ({"init_scale": 0.0}, "init_scale"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        NeuMFConfig(**wrong)


class TestNeuMF(RecommenderContract):
    name = "neumf"
    settings = {"dim": 8, "layers": (16, 8), "learning_rate": 0.03, "pretrain_epochs": 3}
    user_tables = frozenset({"users", "tower_users"})


class TestGMF(RecommenderContract):
    name = "gmf"
    settings = {"dim": 8, "learning_rate": 0.05}


class TestMLP(RecommenderContract):
    name = "mlp"
    settings = {"layers": (32, 32, 16), "learning_rate": 0.03, "init_scale": 0.5}
    user_tables = frozenset({"tower_users"})
