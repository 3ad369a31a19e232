"""Negatives: each distribution against shares computed by hand or by brute force."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from kgrec.batches import PairwiseBatch, SampledBatch
from kgrec.errors import DataError, ModelError
from kgrec.models.base import Objective
from kgrec.models.sources import NegativeSource, Pairs
from kgrec.testing import worlds
from kgrec.training import negatives as module
from kgrec.training.config import TrainConfig
from kgrec.training.negatives import Negatives
from kgrec.training.samplers import make_sampler

CPU = torch.device("cpu")
# Item n is used by n of the users 1 to 7; user 0 has item 6 alone, and nobody has items 0 and 7.
PAIRS = [(0, 6), *(((n + k) % 7 + 1, n) for n in range(1, 7) for k in range(n))]
OWN = set(PAIRS)
DATA = worlds.dataset(PAIRS, num_items=8)
COUNT = np.array([0, 1, 2, 3, 4, 5, 7, 0])


def drawn(source, users, positive=None, seed=0, data=DATA):
    negatives = Negatives(data, source, CPU)
    users = torch.as_tensor(users)
    positive = users if positive is None else torch.as_tensor(positive)
    return negatives.draw(users, positive, torch.Generator().manual_seed(seed))


def has(user, item):
    return (int(user), int(item)) in OWN


def agrees(items, weight):
    """Hold draws to shares in proportion to weights, and those of weight 0 to none."""
    seen = np.bincount(np.asarray(items).ravel(), minlength=len(weight))
    assert seen.sum()
    assert not seen[weight == 0].any()
    if (weight > 0).sum() == 1:
        return True
    expected = seen.sum() * weight / weight.sum()
    return chisquare(seen[weight > 0], expected[weight > 0]).pvalue > 0.001


@pytest.mark.parametrize(("exponent", "power"), [(None, 0.75), (1.0, 1.0), (0.0, 0.0), (2.0, 2.0)])
@pytest.mark.parametrize("user", [0, 2, 5])
def test_popularity_is_a_power_of_the_counts_among_what_the_user_lacks(user, exponent, power):
    source = NegativeSource(5, "popularity", exponent)
    items = drawn(source, [user] * 4000)
    assert items.shape == (4000, 5)
    lacks = np.array([not has(user, item) for item in range(8)])
    assert agrees(items, np.where(lacks & (COUNT > 0), COUNT.astype(float) ** power, 0.0))


@pytest.mark.parametrize("tries", [0, 1])
def test_the_table_of_what_is_left_has_the_same_shares(tries, monkeypatch):
    """With no or one redraw almost everything of user 5 comes from the table, in several blocks."""
    monkeypatch.setattr(module, "_TRIES", tries)
    monkeypatch.setattr(module, "_TABLE", 800)
    items = drawn(NegativeSource(5, "popularity", 1.0), [5] * 1000)
    lacks = np.array([not has(5, item) for item in range(8)])
    assert agrees(items, np.where(lacks, COUNT, 0).astype(float))


def test_uniform_is_over_everything_the_user_lacks():
    items = drawn(NegativeSource(4), [2] * 4000)
    assert agrees(items, np.array([float(not has(2, item)) for item in range(8)]))


def test_in_batch_is_by_how_often_an_item_is_in_the_batch():
    users = torch.tensor([0, 1, 1, 2, 3, 6, 6])
    positive = torch.tensor([6, 4, 6, 5, 2, 6, 6])
    negatives = Negatives(DATA, NegativeSource(3, "in-batch"), CPU)
    generator = torch.Generator().manual_seed(0)
    five = users.repeat(5), positive.repeat(5)  # in a batch of five times all the shares are these
    rounds = torch.stack([negatives.draw(*five, generator) for _ in range(300)], 1)
    rounds = rounds.unflatten(0, (5, 7)).transpose(0, 1).flatten(1, 2)
    for user, items in zip(users, rounds, strict=True):
        others = positive[[not has(user, item) for item in positive]]
        assert agrees(items, np.bincount(others.numpy(), minlength=8).astype(float))


def test_where_the_user_has_the_whole_batch_any_used_item_serves():
    items = drawn(NegativeSource(4, "in-batch"), [2] * 2000, [1, 5] * 1000)
    assert agrees(items, np.array([float(not has(2, item)) for item in range(8)]) * (COUNT > 0))


def test_hard_ones_are_the_best_of_the_pool():
    """With a pool that all but surely holds everything, the answer is the best that the user
    lacks and somebody used.
    """
    score = torch.randn(8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    asked = []

    def of(user, items):
        asked.append((torch.is_grad_enabled(), tuple(items.shape)))
        return score[user.unsqueeze(1), items]

    source = NegativeSource(1, "hard", pool=200, score=of)
    users = torch.tensor([0, 2, 5])
    items = drawn(source, users).squeeze(1)
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        free = [i for i in range(8) if COUNT[i] and not has(user, i)]
        assert item == max(free, key=lambda i: score[user, i].item())
    assert asked == [(False, (3, 200))]


def test_the_pool_of_hard_ones_is_even_over_used_items_and_its_size_is_the_hardness():
    """Of a pool of two, the better item of a pair: P(best) = 1 - ((n - 1) / n)^2."""
    source = NegativeSource(1, "hard", pool=2, score=lambda user, items: items.double())
    items = drawn(source, [0] * 8000)  # lacks 1 to 5 of the used ones
    assert agrees(items, np.array([0, 1, 3, 5, 7, 9, 0, 0.0]))


def test_scores_of_another_shape_are_refused():
    source = NegativeSource(2, "hard", score=lambda user, items: user.double())
    with pytest.raises(ModelError, match=r"of shape \(3,\), not \(3, 32\)"):
        drawn(source, [0, 1, 2], data=worlds.cold_items())


@pytest.mark.parametrize("name", ["uniform", "popularity", "in-batch", "hard"])
@pytest.mark.parametrize("sampler", ["interaction", "user_uniform"])
def test_never_an_item_of_the_user_and_cold_ones_by_uniform_alone(name, sampler):
    """Decision 0006: items 40 to 59 are used by nobody."""
    data = worlds.cold_items()
    pairs = set(zip(data.train.user.tolist(), data.train.item.tolist(), strict=True))
    source = NegativeSource(3, name, score=lambda user, items: items.double())
    objective = Objective(SampledBatch, lambda _: torch.zeros(()), source=Pairs(source))
    config = TrainConfig(batch_size=50, sampler=sampler)
    batches = list(make_sampler(objective, data, config, seed=0, device=CPU, steps=0).epoch(1))
    found = {
        (u, n)
        for b in batches
        for u, row in zip(b.user.tolist(), b.negative.tolist(), strict=True)
        for n in row
    }
    assert found
    assert not found & pairs
    assert any(item >= 40 for _, item in found) == (name == "uniform")


def test_one_uniform_negative_is_drawn_as_ever():
    """The same draws whether the batch has one column or none (decision 0008)."""
    data = worlds.cold_items()
    old, new = (
        make_sampler(
            Objective(batch, lambda _: torch.zeros(())),
            data,
            TrainConfig(batch_size=50),
            seed=0,
            device=CPU,
            steps=0,
        )
        for batch in (PairwiseBatch, SampledBatch)
    )
    for a, b in zip(old.epoch(2), new.epoch(2), strict=True):
        assert torch.equal(a.negative, b.negative.squeeze(1))
        assert torch.equal(a.user, b.user)


def test_a_user_who_has_everything_that_could_be_drawn_is_named():
    data = worlds.dataset([(0, 0), (1, 0), (1, 2)], num_items=4)
    with pytest.raises(DataError, match="user 'u1' has all 2 items"):
        Negatives(data, NegativeSource(1, "popularity"), CPU)
    Negatives(data, NegativeSource(1), CPU)  # items 1 and 3 are left
