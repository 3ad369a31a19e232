"""MMoE and the neural tensor head against their equations, and worlds that take two tasks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import kgrec
from kgrec.batches import PointwiseBatch
from kgrec.errors import ConfigError, DataError
from kgrec.models.multitask.mmoe import MMoE, MMoEConfig
from kgrec.models.multitask.ntn import NTNHead, NTNHeadConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

DATA = worlds.with_ratings(worlds.checkerboard(6))


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(model, config, data=DATA):
    made = model(data, config, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return made.eval()


def mmoe_by_hand(model, user, item):
    """Eqs. (5) to (7), an expert and a task at a time."""
    config = model.config
    x = torch.cat([model.users[user], model.items[item]])
    experts = []
    for number in range(config.num_experts):
        own = slice(number * config.expert_dim, (number + 1) * config.expert_dim)
        experts.append(torch.relu(x @ model.first[:, own] + model.bias[own]))
    found = []
    for task in range(2):
        gate = torch.ones(1)
        if config.num_experts > 1:
            first = config.num_experts * (config.expert_dim + task)
            gate = torch.exp(x @ model.first[:, first : first + config.num_experts])
        mixed = sum(g / gate.sum() * e for g, e in zip(gate, experts, strict=True))
        hidden, _, last, _ = model.towers[task]
        found.append(last.weight @ torch.relu(hidden.weight @ mixed + hidden.bias) + last.bias)
    return torch.cat(found)


def ntn_by_hand(model, user, item):
    """Eq. (1), a slice at a time."""
    p, q, head = model.users[user], model.items[item], model.head
    d, k = model.config.dim, model.config.slices
    found = []
    for task in range(2):
        forms = head.bilinear[task].view(k, d, d)
        linear = head.linear[task].view(k, 2 * d)
        total = 0.0
        for s in range(k):
            inner = p @ forms[s] @ q + linear[s] @ torch.cat([p, q]) + head.bias[task, s]
            total += head.out[task, s] * torch.tanh(inner)
        found.append(total)
    return torch.stack(found)


CASES = [
    (MMoE, MMoEConfig(dim=3, num_experts=3, expert_dim=4, tower_dim=2), mmoe_by_hand),
    (MMoE, MMoEConfig(dim=3, num_experts=1, expert_dim=4, tower_dim=2), mmoe_by_hand),
    (NTNHead, NTNHeadConfig(dim=3, slices=2), ntn_by_hand),
]


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(("kind", "config", "by_hand"), CASES)
def test_outputs_and_losses_are_the_equations(kind, config, by_hand):
    model = built(kind, replace(config, task_weight=0.5, l2_weight=0.1))
    with torch.inference_mode():
        expected = torch.stack(
            [torch.stack([by_hand(model, u, i) for i in range(6)]) for u in range(6)]
        )
        query = queries(DATA.train, np.arange(6))
        items = torch.tensor([[3, 0]]).expand(6, 2)
        torch.testing.assert_close(model.scorer()(query), expected[..., 0])
        torch.testing.assert_close(model.scorer()(query, items), expected[:, [3, 0], 0])

    user, item = torch.tensor([0, 1, 4]), torch.tensor([2, 3, 5])
    label = torch.tensor([1.0, 1.0, 0.0])
    logits, predicted = expected[user, item].unbind(1)
    entropy = -(label * torch.sigmoid(logits).log() + (1 - label) * torch.sigmoid(-logits).log())
    rating = torch.from_numpy(DATA.train.rating).double()
    mean, spread = rating.mean(), rating.std(correction=0)
    given = torch.tensor([3.0, 4.0])  # 1 + item % 5 of the two that were rated
    error = (predicted[:2] - (given - mean) / spread).square().mean()
    squares = model.users[user].square().sum() + model.items[item].square().sum()
    losses = model.loss(PointwiseBatch(user, item, label))
    assert losses["use"].item() == pytest.approx(entropy.mean().item())
    assert losses["rating"].item() == pytest.approx(0.5 * error.item())
    assert losses["l2"].item() == pytest.approx(0.1 * squares.item() / 2 / 3)


def test_a_slice_is_that_computed_by_hand():
    """p = (1, 2), q = (.5, -1), W = [[1, 0], [.5, -1]], V = (.1, .2, .3, .4), b = .05, u = 2:
    p W q = (2, -2) . (.5, -1) = 3, V (p || q) = .1 + .4 + .15 - .4 = .25; 2 tanh(3.3)."""
    model = built(NTNHead, NTNHeadConfig(dim=2, slices=1)).double()
    with torch.no_grad():
        model.users[0] = torch.tensor([1.0, 2.0])
        model.items[0] = torch.tensor([0.5, -1.0])
        model.head.bilinear[0] = torch.tensor([1.0, 0.0, 0.5, -1.0])
        model.head.linear[0] = torch.tensor([0.1, 0.2, 0.3, 0.4])
        model.head.bias[0] = 0.05
        model.head.out[0] = 2.0
        found = model.scorer()(queries(DATA.train, np.array([0])))[0, 0]
    assert found.item() == pytest.approx(1.994566, abs=1e-6)


def test_one_expert_is_the_shared_bottom():
    model = built(MMoE, MMoEConfig(dim=3, num_experts=1))
    assert model.first.shape == (6, 32)  # no gate


def opposed():
    """Who uses an item says nothing of its rating: kinds of user and item that are the same are
    used, and of these the second half of the items is rated high by the first half of the users, low
    by the others.
    """
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(40) for i in range(40) if (u - i) % 2 == 0]
    kept = sorted(pairs[at] for at in rng.permutation(len(pairs))[:500])
    data = worlds.dataset(kept, num_users=40, num_items=40)
    high = (data.train.user < 20) == (data.train.item >= 20)
    rating = np.where(high, 5.0, 1.0).astype(np.float32)
    return replace(data, train=replace(data.train, rating=rating))


def kinds():
    user, item = np.meshgrid(np.arange(40), np.arange(40), indexing="ij")
    return (user - item) % 2 == 0, (user < 20) == (item >= 20)


@pytest.mark.parametrize("name", ["mmoe", "ntn-rating"])
def test_both_tasks_are_learned_where_they_have_nothing_in_common(name):
    data = opposed()
    run = kgrec.fit(
        name, data, epochs=30, patience=0, batch_size=128, dim=8, learning_rate=0.03, seed=1
    )
    model, (used, high) = run.model, kinds()
    with torch.inference_mode():
        found = model.outputs(model.of_users(model.users), model.of_items(model.items)).numpy()
        ranked = run.scorer()(queries(data.train, np.arange(40))).numpy()

    assert found[used][:, 0].mean() > found[~used][:, 0].mean() + 2
    right = (found[..., 1] > 0) == high
    assert right[used].mean() > 0.95
    if name == "ntn-rating":
        assert np.abs(ranked - np.where(high, 5.0, 1.0))[used].mean() < 0.5


def test_events_are_a_second_task_over_all_pairs():
    base = worlds.checkerboard(8)
    event = (base.train.item % 3 > 0).astype(np.int16)  # 0 weighs most
    data = replace(base, train=replace(base.train, event=event))
    model = built(MMoE, MMoEConfig(dim=3), data)
    assert model.second.task == "event"
    label, known = model.second.labels(torch.tensor([0, 0, 0]), torch.tensor([2, 6, 1]))
    assert label.tolist() == [0.0, 1.0, 0.0]
    assert known.all()
    run = kgrec.fit("mmoe", data, epochs=40, batch_size=32, dim=8, learning_rate=0.02)
    with torch.inference_mode():
        found = run.model.outputs(
            run.model.of_users(run.model.users), run.model.of_items(run.model.items)
        )[..., 1].numpy()
    strong = np.zeros((8, 8), bool)
    strong[data.train.user, data.train.item] = event == 0
    assert found[strong].min() > found[~strong].mean() + 2


@pytest.mark.parametrize("wanted", ["any", "rating", "event"])
def test_data_without_a_second_task_is_refused(wanted):
    with pytest.raises(DataError, match="a second task needs"):
        built(MMoE, MMoEConfig(second=wanted), worlds.checkerboard(6))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (MMoEConfig, {"num_experts": 0}),
        (MMoEConfig, {"dim": 0}),
        (NTNHeadConfig, {"slices": 0}),
        (NTNHeadConfig, {"task_weight": -1.0}),
    ],
)
def test_settings_out_of_range_are_refused(kind, wrong):
    with pytest.raises(ConfigError, match=kind.__name__.removesuffix("Config")):
        kind(**wrong)


class TestMMoE(RecommenderContract):
    name = "mmoe"
    settings = {"dim": 8, "num_experts": 3, "learning_rate": 0.03, "task_weight": 0.1}
    prepared = staticmethod(worlds.with_ratings)


class TestSharedBottom(RecommenderContract):
    name = "shared-bottom"
    settings = {"dim": 8, "learning_rate": 0.03, "task_weight": 0.1}
    prepared = staticmethod(worlds.with_ratings)


class TestNTNHead(RecommenderContract):
    name = "ntn-head"
    settings = {"dim": 8, "learning_rate": 0.05, "epochs": 40, "task_weight": 0.1, "l2_weight": 0.0}
    prepared = staticmethod(worlds.with_ratings)


class TestNTNRating(RecommenderContract):
    name = "ntn-rating"
    settings = {"dim": 8, "learning_rate": 0.03}
    prepared = staticmethod(worlds.with_ratings)
