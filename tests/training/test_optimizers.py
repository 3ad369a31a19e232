"""Optimizers, schedules, clipping, several losses, torch's global stream: each by a model that needs
it.
"""

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from kgrec.batches import PairwiseBatch
from kgrec.errors import ConfigError, DivergedError, ModelError
from kgrec.models.base import DotProduct, Objective, Plan, Recommender
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.training.checkpoint import read_state, write_state
from kgrec.training.config import TrainConfig
from kgrec.training.loop import TrainState, rounds_of, train
from kgrec.training.optimizers import rate_factor

CPU = torch.device("cpu")


@dataclass(frozen=True)
class TowersConfig:
    """Settings of ``Towers``."""

    dim: int = 8
    weight: float = 1.0
    joint: bool = True
    rate: float = 1.0


class Towers(Recommender):
    """Two perceptrons with torch's own layers, dropout, and starts: nothing here knows of seeds."""

    def __init__(self, users: int, items: int, config: TowersConfig) -> None:
        super().__init__()
        self.config = config
        self.users = nn.Sequential(
            nn.Embedding(users, config.dim), nn.Dropout(0.3), nn.Linear(config.dim, config.dim)
        )
        self.items = nn.Sequential(
            nn.Embedding(items, config.dim), nn.Dropout(0.3), nn.Linear(config.dim, config.dim)
        )

    @classmethod
    def from_dataset(cls, data, config: TowersConfig, generator):
        return cls(data.num_users, data.num_items, config)

    def losses(self, batch: PairwiseBatch):
        user = self.users(batch.user)
        gap = (user * (self.items(batch.positive) - self.items(batch.negative))).sum(1)
        return {"bpr": nn.functional.softplus(-gap).mean(), "size": user.square().mean()}

    def size(self, batch: PairwiseBatch):
        return self.items(batch.negative).square().mean()

    def plan(self):
        own = tuple(self.items.parameters())
        return Plan(
            (
                Objective(PairwiseBatch, self.losses),
                Objective(
                    PairwiseBatch,
                    self.size,
                    None if self.config.joint else own,
                    name="shrink",
                    weight=self.config.weight,
                    rate=self.config.rate,
                ),
            ),
            joint=self.config.joint,
        )

    def scorer(self):
        users, items = (
            tower(torch.arange(tower[0].num_embeddings)) for tower in (self.users, self.items)
        )
        return DotProduct(users, items)


@pytest.fixture(scope="module")
def data():
    return worlds.cold_items(users=20)


def made(data, seed=0, **config):
    return build_model(choose(Towers, "default", config), data, seed)


def trained(data, config, state=None, seed=3, **settings):
    model = made(data, **settings)
    return model, train(model, data, config, seed=seed, device=CPU, state=state)


def test_starts_of_torch_layers_follow_the_seed(data):
    first, again, other = (made(data, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["users.0.weight"], other["users.0.weight"])


def test_the_global_stream_of_the_caller_is_as_it_was(data):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    trained(data, TrainConfig(epochs=2, batch_size=50))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_the_caller_drew_changes_nothing(data):
    config = TrainConfig(epochs=2, batch_size=50)
    torch.manual_seed(1)
    one = trained(data, config)[0].state_dict()
    torch.manual_seed(2)
    two = trained(data, config)[0].state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 1.5},
        {"optimizer": "sgd", "momentum": 0.9, "schedule": "step", "decay_every": 2},
        {"optimizer": "sgd", "clip_norm": 0.1},
        {"optimizer": "adagrad", "schedule": "linear"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())) or "adam",
)
def test_resumed_equals_uninterrupted(data, tmp_path, settings):
    """With dropout from torch's global stream; the state goes through a file."""
    config = TrainConfig(epochs=6, batch_size=50, patience=0, **settings)
    whole = trained(data, config)[0].state_dict()
    kept: list[TrainState] = []

    def stop(state):
        if state.epoch == 3:
            write_state(tmp_path / "state", state, {})
            kept.append(copy.deepcopy(state))

    train(made(data), data, config, seed=3, device=CPU, on_epoch=stop)
    torch.manual_seed(99)  # another process has another state
    resumed = trained(data, config, read_state(tmp_path / "state")[0])[0].state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_every_named_loss_is_in_the_history(data):
    _, state = trained(data, TrainConfig(epochs=2, batch_size=50))
    for record in state.history:
        assert {"bpr", "size", "shrink"} <= record.keys()


def test_weights_and_sums_are_those_of_the_gradients(data):
    """One step of plain SGD is minus rate times the gradient of bpr + size + 3 shrink."""
    config = TrainConfig(epochs=1, batch_size=10_000, optimizer="sgd", learning_rate=0.5)
    model = made(data, weight=3.0).eval()  # without dropout
    reference = copy.deepcopy(model)
    (each,) = rounds_of(model, data, config, seed=3, device=CPU)
    batches = next(each.batches(1))
    losses = each.step(batches)
    assert each.names == ("bpr", "size", "shrink")
    expected = [*reference.losses(batches[0]).values(), reference.size(batches[1])]
    torch.testing.assert_close(losses, torch.stack(expected).detach())
    (expected[0] + expected[1] + 3 * expected[2]).backward()
    for moved, start in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(moved, start - 0.5 * start.grad)


def test_each_objective_has_its_own_rate(data):
    """The second optimizer moves the items alone, by a tenth of the rate."""
    config = TrainConfig(batch_size=10_000, optimizer="sgd", learning_rate=0.5)
    model = made(data, joint=False, rate=0.1).eval()
    _, second = rounds_of(model, data, config, seed=3, device=CPU)
    reference = copy.deepcopy(model)
    (batch,) = next(second.batches(1))
    second.step([batch])
    reference.size(batch).backward()
    for moved, start in zip(model.items.parameters(), reference.items.parameters(), strict=True):
        torch.testing.assert_close(moved, start - 0.05 * start.grad)
    assert torch.equal(model.users[0].weight, reference.users[0].weight)


def test_objectives_of_one_optimizer_cannot_have_rates_of_their_own(data):
    with pytest.raises(ModelError, match="joint plan share one optimizer"):
        trained(data, TrainConfig(epochs=1), rate=0.5)


def test_gradients_are_cut_to_a_norm(data):
    config = TrainConfig(batch_size=10_000, optimizer="sgd", learning_rate=1.0, clip_norm=1e-3)
    model = made(data)
    before = nn.utils.parameters_to_vector(model.parameters()).clone()
    (each,) = rounds_of(model, data, config, seed=3, device=CPU)
    each.step(next(each.batches(1)))
    moved = nn.utils.parameters_to_vector(model.parameters()) - before
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "step"])
def test_rates_are_those_of_torch(schedule):
    config = TrainConfig(epochs=10, schedule=schedule, decay=0.5, decay_every=3)
    steps = 7
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    total = config.epochs * steps
    reference = {
        "linear": torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total),
        "cosine": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total),
        "step": torch.optim.lr_scheduler.StepLR(optimizer, 3 * steps, 0.5),
    }[schedule]
    for step in range(1, total + 1):
        expected = reference.get_last_lr()[0]
        optimizer.param_groups[0]["lr"] = expected
        if schedule == "linear":
            expected = 1 - (step - 1) / total
        elif schedule == "cosine":
            expected = reference._get_closed_form_lr()[0]
        else:
            expected = 0.5 ** ((step - 1) // (3 * steps))
        assert rate_factor(config, step, steps) == pytest.approx(expected, abs=1e-12)
        optimizer.step()
        reference.step()


def test_a_schedule_may_be_longer_than_the_training():
    """As for a refit, which stops where the first pass was best."""
    whole = TrainConfig(epochs=10, schedule="cosine", warmup_epochs=4.0)
    part = replace(whole, epochs=3, schedule_epochs=10)
    for step in range(1, 31):
        assert rate_factor(part, step, 7) == rate_factor(whole, step, 7)


def test_a_warm_up_rises_to_the_rate_and_what_follows_starts_there():
    config = TrainConfig(epochs=4, schedule="linear", warmup_epochs=1.0)
    factors = [rate_factor(config, step, 5) for step in range(1, 21)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5:] == pytest.approx([1 - n / 15 for n in range(15)])


def test_a_loss_that_breaks_is_named(data, monkeypatch):
    monkeypatch.setattr(Towers, "size", lambda self, batch: self.users[0].weight.sum() * torch.nan)
    with pytest.raises(DivergedError, match="the loss shrink is not a finite number at epoch 1"):
        trained(data, TrainConfig(epochs=1, batch_size=50))


def test_losses_of_one_name_are_numbered(data, monkeypatch):
    monkeypatch.setattr(Towers, "size", lambda self, batch: {"bpr": self.users[0].weight.mean()})
    for joint in (True, False):
        _, state = trained(data, TrainConfig(epochs=1, batch_size=50), joint=joint)
        assert {"bpr", "size", "bpr 2"} <= state.history[0].keys()


def test_losses_that_change_their_names_are_refused(data, monkeypatch):
    names = iter("abcdefghij")
    monkeypatch.setattr(
        Towers, "size", lambda self, batch: {next(names): self.users[0].weight.mean()}
    )
    with pytest.raises(ModelError, match="Return the same names at every step"):
        trained(data, TrainConfig(epochs=1, batch_size=50))


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="expected one of adam, adamw, sgd, adagrad"):
        choose("bprmf", "default", {"optimizer": "lion"})
    with pytest.raises(ConfigError, match="expected one of constant, linear"):
        choose("bprmf", "default", {"schedule": "cosin"})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"momentum": 1.0}, "momentum"),
        ({"momentum": 0.9}, "momentum is a setting of optimizer"),
        ({"clip_norm": float("nan")}, "clip_norm"),
        ({"warmup_epochs": 300.0}, "warmup_epochs"),
        ({"decay_every": 0}, "decay_every"),
        ({"schedule_epochs": 100}, "schedule_epochs 100 is less than the 200 epochs"),
    ],
)
def test_values_out_of_range_are_refused(wrong, says):
    with pytest.raises(ConfigError, match=says):
        TrainConfig(**wrong)


def test_a_plan_brings_an_optimizer_that_the_settings_cannot_name(data, monkeypatch):
    plan = Towers.plan
    monkeypatch.setattr(
        Towers,
        "plan",
        lambda self: replace(
            plan(self), optimizer=lambda held, rate: torch.optim.RMSprop(held, lr=rate)
        ),
    )
    config = TrainConfig(epochs=4, batch_size=50, patience=0)
    _, state = trained(data, config)
    assert "square_avg" in state.optimizers[0]["state"][0]
    with pytest.raises(ConfigError, match="brings its own optimizer"):
        trained(data, replace(config, optimizer="sgd"))
