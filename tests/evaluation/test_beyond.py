import itertools

import numpy as np
import pytest
import torch

from kgrec.evaluation import beyond
from kgrec.evaluation.beyond import beyond_accuracy, coverage, gini
from kgrec.testing import worlds


def world(seed=0, triples=True):
    rng = np.random.default_rng(seed)
    items = [int(item) for item in (30 * rng.random(160) ** 2)]
    train = sorted(
        {(int(user), item) for user, item in zip(rng.integers(20, size=160), items, strict=True)}
    )
    facts = sorted(
        {(int(h), int(r), int(t)) for h, r, t in rng.integers((40, 3, 40), size=(60, 3)) if h != t}
    )
    return worlds.dataset(
        train,
        triples=facts if triples else (),
        num_users=20,
        num_items=30,
        num_entities=40,
        num_relations=3,
    )


def lists(seed=1, users=17, k=6):
    rng = np.random.default_rng(seed)
    ranked = np.stack([rng.permutation(30)[:k] for _ in range(users)])
    ranked[3, 2:] = -1
    ranked[4] = -1
    return ranked


def mean(values):
    kept = [value for value in values if value is not None]
    return sum(kept) / len(kept)


def brute(ranked, data, k):
    """Every definition as a loop."""
    counts = [sum(1 for item in data.train.item if item == row) for row in range(30)]
    popular = sorted(range(30), key=lambda item: (-counts[item], data.items.key(item)))
    head, covered = set(), 0
    for item in popular:
        if covered >= 0.8 * sum(counts):
            break
        head.add(item)
        covered += counts[item]
    users = [set(data.train.user[data.train.item == row].tolist()) for row in range(30)]
    near = [set() for _ in range(30)]
    for h, t in zip(data.triples.head.tolist(), data.triples.tail.tolist(), strict=True):
        for one, other in ((h, t), (t, h)):
            if one < 30:
                near[one].add(other)
    own = [[item for item in row[:k] if item >= 0] for row in ranked.tolist()]

    def pairs(row, sets, distance):
        found = [
            distance(sets[a], sets[b])
            for a, b in itertools.combinations(row, 2)
            if sets[a] and sets[b]
        ]
        return sum(found) / len(found) if found else None

    return {
        f"popularity@{k}": mean(
            [sum(counts[i] for i in row) / len(row) if row else None for row in own]
        ),
        f"longtail@{k}": mean(
            [sum(i not in head for i in row) / len(row) if row else None for row in own]
        ),
        f"novelty@{k}": mean(
            [
                sum(-np.log2(max(1, counts[i]) / 20) for i in row) / len(row) if row else None
                for row in own
            ]
        ),
        f"diversity@{k}": mean(
            [
                pairs(row, users, lambda a, b: 1 - len(a & b) / np.sqrt(len(a) * len(b)))
                for row in own
            ]
        ),
        f"entity_diversity@{k}": mean(
            [pairs(row, near, lambda a, b: 1 - len(a & b) / len(a | b)) for row in own]
        ),
    }


@pytest.mark.parametrize("block", [2048, 7])
def test_as_brute_force(block, monkeypatch):
    monkeypatch.setattr(beyond, "_BLOCK_ITEMS", block)
    data, ranked = world(), lists()
    found = beyond_accuracy(torch.from_numpy(ranked), data, (2, 5, 9))
    for k in (2, 5, 9):
        expected = brute(ranked, data, k)
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert set(found) == {
        f"{name}@{k}"
        for name in [*(key[:-2] for key in brute(ranked, data, 2)), "gini"]
        for k in (2, 5, 9)
    }


def test_gini_by_its_pairwise_definition():
    ranked = torch.from_numpy(lists())
    counts = np.bincount(ranked[ranked >= 0].numpy(), minlength=30)
    pairwise = np.abs(counts[:, None] - counts[None, :]).sum() / (2 * 30 * counts.sum()) * 30 / 29
    assert gini(ranked, 30, 6) == pytest.approx(pairwise)


def test_gini_at_both_ends():
    assert gini(torch.arange(10).view(5, 2), 10, 2) == pytest.approx(0.0)
    assert gini(torch.full((5, 1), 3), 10, 1) == pytest.approx(1.0)
    assert np.isnan(gini(torch.full((5, 1), -1), 10, 1))


def test_coverage_counts_what_is_shown():
    assert coverage(torch.tensor([[0, 1, 7], [1, 0, -1]]), 10, 2) == 0.2


def test_what_nothing_is_known_of_is_left_out():
    data = world(triples=False)
    found = beyond_accuracy(torch.from_numpy(lists()), data, (5,))
    assert "diversity@5" in found
    assert not [name for name in found if name.startswith("entity")]
    nobody = beyond_accuracy(torch.full((3, 5), -1), data, (5,))
    assert nobody == {}
    one = beyond_accuracy(torch.zeros((3, 1), dtype=torch.int64), data, (1,))
    assert set(one) == {"gini@1", "popularity@1", "longtail@1", "novelty@1"}


def test_many_users_are_judged_by_an_even_sample(monkeypatch):
    data = world()
    ranked = torch.from_numpy(lists(users=400))
    whole = beyond_accuracy(ranked, data, (5,))
    monkeypatch.setattr(beyond, "_DIVERSITY_USERS", 200)
    some = beyond_accuracy(ranked, data, (5,))
    assert some["popularity@5"] == whole["popularity@5"]
    assert some["diversity@5"] != whole["diversity@5"]
    assert some["diversity@5"] == pytest.approx(whole["diversity@5"], abs=0.02)
