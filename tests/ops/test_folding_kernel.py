"""The compiled mean of a catalog weighted by softmax, beside float64 and beside numpy."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, special

from kgrec.ops import folding
from kgrec.ops.folding import MeanFold

needs_compiled = pytest.mark.skipif(folding.library() is None, reason="it is not compiled here")


def exact(items, direction, left_out, temperature):
    logits = items.astype(np.float64) @ direction / temperature
    logits[left_out] = -np.inf
    weight = np.exp(logits - logits.max())
    return weight @ items.astype(np.float64) / weight.sum()


def fold_of(items, left_out, temperature):
    contrast = np.setdiff1d(np.arange(len(items)), left_out)
    return MeanFold(items, np.zeros(items.shape[1]), contrast, temperature)


SIZES = [(1, 16), (15, 16), (63, 32), (64, 64), (65, 48), (1000, 64), (4100, 176)]


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_compiled), False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_the_mean_of_float64(size, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(folding, "library", lambda: None)
    rng = np.random.default_rng(0)
    items = rng.normal(size=size).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    direction = rng.normal(size=size[1])
    direction /= np.linalg.norm(direction)
    count = len(items)
    some = np.flatnonzero(rng.random(count) < 0.5)[: count - 1]
    for left_out in (np.arange(0), np.arange(count - 1), np.arange(1, count), some):
        for temperature in (5.0, 0.2, 0.005):  # logits of up to 200
            found = fold_of(items, left_out, temperature)._weighted_mean(direction)
            wanted = exact(items, direction, left_out, temperature)
            np.testing.assert_allclose(found, wanted, atol=2e-5)


@needs_compiled
def test_it_is_the_compiled_one_where_numbers_fit(monkeypatch):
    calls = []

    class Counts:
        def kgrec_folding_mean(self, *arguments):
            calls.append(arguments)
            return 1  # as without memory: numpy takes over

    monkeypatch.setattr(folding, "library", lambda: Counts())
    items = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    direction = np.ones(16) / 4
    nothing = np.arange(0)
    wanted = exact(items, direction, nothing, 1.0)
    for table in (items, items.astype(np.float64), np.asfortranarray(items)):
        found = fold_of(table, nothing, 1.0)._weighted_mean(direction)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    odd = np.ascontiguousarray(items[:, :15])
    found = fold_of(odd, nothing, 1.0)._weighted_mean(direction[:15])
    np.testing.assert_allclose(found, exact(odd, direction[:15], nothing, 1.0), atol=1e-6)
    assert len(calls) == 1


def test_the_version_is_that_of_the_source():
    source = Path(folding.__file__).with_name("folding.cpp")
    version = re.search(r"kgrec_folding_version\(\) \{ return (\d+); \}", source.read_text())
    assert version[1] == "1"


def clustered(rng, count, dim):
    """Items around ten centers, and a person who has 30 of one and 10 of another."""
    centers = rng.normal(size=(10, dim))
    own = np.arange(count) % 10
    items = centers[own] + 0.5 * rng.normal(size=(count, dim))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    history = np.concatenate([np.flatnonzero(own == 0)[:30], np.flatnonzero(own == 1)[:10]])
    return items, history


SHARES = [(0.05, 0.15), (0.1, 0.05), (0.2, 0.01), (0.5, 0.01), (1.0, 0.01)]


@pytest.mark.parametrize(("temperature", "share"), SHARES)
def test_the_steps_end_near_the_least_loss(temperature, share):
    """Beside scipy's minimum: a share of the way there is left, more where the loss is steep."""

    def loss(vector):
        direction = vector / np.linalg.norm(vector)
        logits = items @ direction / temperature
        return special.logsumexp(logits) - logits[history].mean()

    for seed in range(5):
        items, history = clustered(np.random.default_rng(seed), 400, 16)
        fold = fold_of(items, np.arange(0), temperature)
        start = items[history].mean(0)
        least = min(optimize.minimize(loss, start, tol=1e-10).fun, loss(start))
        found = loss(fold.vector(history))
        assert found - least < share * (loss(start) - least)
        assert loss(fold.moved(items[7], history)) - least < share * (loss(items[7]) - least)


def test_steps_of_pairs_lower_their_loss_and_stay_bounded():
    def loss(vector):
        margin = (items[history] @ vector)[:, None] - items[others] @ vector
        return np.logaddexp(0, -margin).mean()

    for seed in range(5):
        items, history = clustered(np.random.default_rng(seed), 400, 16)
        others = np.setdiff1d(np.arange(400), history)
        fold = fold_of(items, np.arange(0), 0.0)
        start = items[history].mean(0)
        start /= np.linalg.norm(start)
        found = fold.moved(start, history)
        assert loss(found) < loss(start)
        assert np.linalg.norm(found) <= 1 + folding.SLOPES * 0.5


@pytest.mark.parametrize(("temperature", "shortest"), [(0.2, 10), (0.0, 21)])
def test_the_average_user_joins_what_the_steps_found(temperature, shortest):
    rng = np.random.default_rng(0)
    items, longest = clustered(rng, 400, 16)
    average = rng.normal(size=16)
    average /= np.linalg.norm(average)
    without = fold_of(items, np.arange(0), temperature)
    fold = replace(without, average=average)
    for count in range(1, len(longest) + 1):
        history = longest[:count]
        alone = without.vector(history)
        found = fold.vector(history)
        assert np.linalg.norm(alone) == pytest.approx(1)
        np.testing.assert_allclose(found, alone + min(1, 2 / count) * average, atol=1e-12)

        mean = items[history].mean(0)
        same = np.allclose(alone, mean / np.linalg.norm(mean))
        assert same == without.takes_mean(count) == (count < shortest)


def test_a_short_history_is_contrasted_with_a_sample():
    rng = np.random.default_rng(0)
    items, longest = clustered(rng, 5000, 16)
    order = rng.permutation(5000)  # centers come in turns, of which a fifth would see two
    items, longest = items[order], np.argsort(order)[longest]
    every, fifth = np.arange(5000), np.arange(0, 5000, 5)
    whole = fold_of(items, np.arange(0), 0.2)
    sampled = fold_of(items, np.setdiff1d(every, fifth), 0.2)
    for count in (10, 20, 21, 40):
        found, of_sample = whole.vector(longest[:count]), sampled.vector(longest[:count])
        assert np.array_equal(found, of_sample) == (count <= 20)
        assert found @ of_sample > 0.95  # both have length 1
