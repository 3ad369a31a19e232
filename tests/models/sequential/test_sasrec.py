"""SASRec against its equations, a number at a time."""

import math

import numpy as np
import pytest
import torch

from kgrec.batches import SequenceBatch
from kgrec.errors import ConfigError
from kgrec.models.sequential.base import Catalog
from kgrec.models.sequential.sasrec import SASRec, SASRecConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

ITEMS, LENGTH, DIM = 6, 4, 4
HISTORY = [2, 0, 5]


def built(**config):
    settings = SASRecConfig(dim=DIM, length=LENGTH, **{"dropout": 0.0, **config})
    catalog = Catalog(ITEMS, np.array([0, 1, 2, 3, 5]))
    model = SASRec(catalog, settings, torch.Generator().manual_seed(0)).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for values in model.parameters():
            values.add_(torch.randn(values.shape, generator=generator) / 2)
    return model


def normal_form(x, layer):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-8) * layer.weight.numpy() + layer.bias.numpy()


def by_hand(model, history):
    """Eqs. (1) to (6) for the items of a history."""
    official = model.config.form == "official"
    scale = math.sqrt(DIM) if official else 1.0
    first = LENGTH - len(history)
    x = [
        scale * model.items[item].numpy() + model.positions[first + at].numpy()
        for at, item in enumerate(history)
    ]
    for block in model.blocks:
        queries, keys, values = (w.numpy() for w in (block.query, block.key, block.value))
        normed = [normal_form(row, block.norms[0]) for row in x]
        read = x if official else normed
        size = DIM // model.config.num_heads
        s = []
        for t in range(len(x)):
            parts = []
            for head in range(model.config.num_heads):
                own = slice(head * size, (head + 1) * size)
                q = (normed[t] @ queries)[own]
                logits = [q @ (read[u] @ keys)[own] / math.sqrt(size) for u in range(t + 1)]
                weight = np.exp(logits) / np.exp(logits).sum()
                parts.append(sum(w * (read[u] @ values)[own] for u, w in enumerate(weight)))
            s.append((normed[t] if official else x[t]) + np.concatenate(parts))

        x = []
        for row in s:
            own = normal_form(row, block.norms[1])
            inner = np.maximum(0, block.first.weight.numpy() @ own + block.first.bias.numpy())
            f = block.second.weight.numpy() @ inner + block.second.bias.numpy()
            x.append((own if official else row) + f)
    return [normal_form(row, model.norm) for row in x]


@pytest.mark.parametrize(("form", "heads"), [("paper", 1), ("paper", 2), ("official", 1)])
@torch.no_grad()
def test_scores_and_losses_are_the_equations(form, heads, monkeypatch):
    model = built(form=form, num_heads=heads, loss="bce")
    expected = np.array(by_hand(model, HISTORY))
    padded = torch.tensor([[*HISTORY, 0], [1, 3, 0, 0]])  # what is behind a history says nothing
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])
    states = model.states(padded, mask)
    np.testing.assert_allclose(states[0, :3].numpy(), expected)
    query = worlds_query(HISTORY)
    items = model.items.numpy()
    np.testing.assert_allclose(model.scorer()(query)[0].numpy(), items @ expected[-1])

    # Eq. (8), the drawn items given: one of a history is left out
    drawn = torch.tensor([[0, 1, 3, 0], [4, 2, 0, 0]])  # positions among the used items 0 1 2 3 5
    monkeypatch.setattr(torch, "randint", lambda *size, **more: drawn)
    target = torch.tensor([[0, 5, 1, 0], [3, 2, 0, 0]])
    batch = SequenceBatch(torch.tensor([0, 1]), padded, mask, target, mask)
    other = np.array(by_hand(model, [1, 3]))
    terms = []
    for state, right, wrong, own in [
        (expected[0], 0, 0, True),  # item 0 is in the history
        (expected[1], 5, 1, True),  # and so is item 1, as what comes last
        (expected[2], 1, 3, False),
        (other[0], 3, 5, False),
        (other[1], 2, 2, True),
    ]:
        lost = np.log1p(np.exp(-state @ items[right]))
        terms.append(lost + (0 if own else np.log1p(np.exp(state @ items[wrong]))))
    assert model.loss(batch).item() == pytest.approx(np.mean(terms))


@torch.no_grad()
def test_the_softmax_is_over_the_items_with_interactions():
    model = built()
    mask = torch.ones(1, 3, dtype=torch.bool)
    target = torch.tensor([[1, 3, 2]])
    batch = SequenceBatch(torch.tensor([0]), torch.tensor([HISTORY]), mask, target, mask)
    warm = [0, 1, 2, 3, 5]
    terms = []
    for state, item in zip(by_hand(model, HISTORY), [1, 3, 2], strict=True):
        logits = model.items[warm].numpy() @ state
        terms.append(np.log(np.exp(logits).sum()) - logits[warm.index(item)])
    assert model.loss(batch).item() == pytest.approx(np.mean(terms))


def worlds_query(history):
    from kgrec.queries import histories

    return histories([history])


def test_settings_out_of_range_are_refused():
    for wrong in ({"num_heads": 3}, {"num_blocks": 0}, {"beta2": 1.0}, {"dropout": 1.0}):
        with pytest.raises(ConfigError, match="SASRec needs"):
            SASRecConfig(dim=8, **wrong)
    optimizer = built(beta2=0.98).plan().optimizer([torch.nn.Parameter(torch.zeros(1))], 0.1)
    assert optimizer.defaults["betas"] == (0.9, 0.98)


class TestSASRec(RecommenderContract):
    name = "sasrec"
    settings = {"dim": 8, "length": 6, "learning_rate": 0.04, "batch_size": 32, "epochs": 12}

    def prepared(self, data):
        return worlds.with_shuffled_times(data)
