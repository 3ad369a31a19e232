"""YouTube's candidate generation against its equations, a number at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kgrec.batches import Query, SequenceBatch
from kgrec.errors import ConfigError
from kgrec.models.sequential.base import Catalog
from kgrec.models.sequential.youtubednn import YouTubeDNN, YouTubeDNNConfig
from kgrec.queries import histories
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

ITEMS, USED = 5, np.array([0, 1, 3, 4])
POPULARITY = np.array([4, 1, 2, 1])
FACTS = np.array([0, 2, 2, 3]), np.array([0, 2, 1])  # user 0 has facts 0 and 2, user 2 fact 1


def built(facts=FACTS, **config):
    settings = YouTubeDNNConfig(dim=2, length=3, layers=(4, 3), dropout=0.0, **config)
    generator = torch.Generator().manual_seed(0)
    model = YouTubeDNN(Catalog(ITEMS, USED), POPULARITY, facts, settings, generator)
    generator.manual_seed(1)
    with torch.no_grad():
        for values in model.parameters():
            values.add_(torch.randn(values.shape, generator=generator) / 2)
    return model.double().eval()


def by_hand(model, user, history):
    """Return the vector that items are compared with."""
    weight = [1 / len(history)] * len(history)
    rows = [model.items[item].numpy() for item in history]
    if model.config.sequential:
        distance = [len(history) - 1 - at for at in range(len(history))]
        rows = [row + model.positions[k].numpy() for row, k in zip(rows, distance, strict=True)]
        recent = np.exp([model.recency[k].item() for k in distance])
        weight = recent / recent.sum()
    x = sum(w * row for w, row in zip(weight, rows, strict=True))
    known = {0: [0, 2], 2: [1]}.get(user, [])
    facts = [model.facts[fact].numpy() for fact in known] or [np.zeros(2)]
    x = np.concatenate([x, np.mean(facts, 0)])
    for layer in (model.tower[0], model.tower[2]):
        x = np.maximum(0, layer.weight.numpy() @ x + layer.bias.numpy())
    return x


CASES = [(0, [3, 0]), (1, [4]), (2, [1, 0, 3]), (-1, [0, 1])]


@pytest.mark.parametrize("sequential", [False, True])
@torch.no_grad()
def test_scores_are_the_equations(sequential):
    model = built(sequential=sequential)
    query = histories([history for _, history in CASES])
    query = replace(query, user=torch.tensor([user for user, _ in CASES]))
    expected = [model.output.numpy() @ by_hand(model, *case) for case in CASES]
    np.testing.assert_allclose(model.scorer()(query).numpy(), expected)
    longer = Query(torch.tensor([1]), torch.tensor([[4, 1, 0, 3]]), torch.ones(1, 4).bool())
    found = model.scorer()(longer)[0].numpy()  # the latest three are read
    np.testing.assert_allclose(found, model.output.numpy() @ by_hand(model, 1, [1, 0, 3]))


@torch.no_grad()
def test_drawn_items_stand_for_all_by_how_often_they_are_drawn(monkeypatch):
    model = built(negatives=3, exponent=0.5)
    drawn = [2, 0, 2]  # items 3, 0 and 3
    monkeypatch.setattr(torch, "multinomial", lambda *some, **more: torch.tensor(drawn))
    target = [1, 3]
    cases = CASES[:2]
    history = histories([row for _, row in cases])
    batch = SequenceBatch(
        torch.tensor([user for user, _ in cases]),
        history.history,
        history.history_mask,
        torch.tensor([[item] for item in target]),
        torch.ones(2, 1).bool(),
    )
    share = POPULARITY**0.5 / (POPULARITY**0.5).sum()
    terms = []
    for case, item in zip(cases, target, strict=True):
        score = model.output.numpy() @ by_hand(model, *case)
        right = np.exp(score[item]) / share[USED.tolist().index(item)]
        wrong = [np.exp(score[USED[n]]) / share[n] for n in drawn if USED[n] != item]
        terms.append(np.log(right + sum(wrong)) - np.log(right))
    assert model.loss(batch).item() == pytest.approx(np.mean(terms))

    model = built()  # all items with interactions
    terms = []
    for case, item in zip(cases, target, strict=True):
        score = model.output.numpy() @ by_hand(model, *case)
        terms.append(np.log(np.exp(score[USED]).sum()) - score[item])
    assert model.loss(batch).item() == pytest.approx(np.mean(terms))


def test_facts_about_users_are_taken_from_the_data():
    data = worlds.with_times(worlds.dataset([(0, 0), (0, 1), (1, 1), (2, 0)]))
    facts = np.array([(2, 1, 1), (0, 0, 1), (0, 1, 1), (2, 0, 0)], dtype=np.int32)
    config = YouTubeDNNConfig(dim=2, layers=(2,))
    built = YouTubeDNN.from_dataset(replace(data, user_facts=facts), config, torch.Generator())
    own = [built.fact[start:end].tolist() for start, end in built.fact_start.unfold(0, 2, 1)]
    assert own == [[1, 2], [], [2, 0]]  # (0, 0), (0, 1), (1, 1) in order
    assert len(built.facts) == 3


def test_settings_out_of_range_are_refused():
    for wrong in ({"layers": ()}, {"layers": (4, 0)}, {"negatives": -1}, {"exponent": -0.5}):
        with pytest.raises(ConfigError, match="YouTubeDNN needs"):
            YouTubeDNNConfig(**wrong)


class TestYouTubeDNN(RecommenderContract):
    name = "youtubednn"
    settings = {
        "dim": 8,
        "layers": (16, 8),
        "length": 6,
        "learning_rate": 0.03,
        "batch_size": 16,
        "epochs": 14,
    }

    def prepared(self, data):
        return worlds.with_shuffled_times(data)


class TestYouTubeDNNSequence(RecommenderContract):
    name = "youtubednn-seq"
    settings = {
        "dim": 8,
        "layers": (16, 8),
        "length": 6,
        "learning_rate": 0.03,
        "batch_size": 16,
        "epochs": 14,
    }

    def prepared(self, data):
        return worlds.with_shuffled_times(data)
