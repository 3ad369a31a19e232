"""GRU4Rec against its equations, a number at a time."""

import numpy as np
import pytest
import torch

from kgrec.batches import SequenceBatch
from kgrec.errors import ConfigError
from kgrec.models.sequential.base import Catalog
from kgrec.models.sequential.gru4rec import GRU4Rec, GRU4RecConfig
from kgrec.queries import histories
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

ITEMS, DIM, HIDDEN = 5, 2, 3


def built(**config):
    settings = GRU4RecConfig(dim=DIM, hidden=HIDDEN, length=4, dropout=0.0, **config)
    catalog = Catalog(ITEMS, np.arange(ITEMS))
    model = GRU4Rec(catalog, settings, torch.Generator().manual_seed(0)).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for values in model.parameters():
            values.add_(torch.randn(values.shape, generator=generator) / 2)
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(model, history):
    """Eqs. (1) to (4), z being 1 - z of PyTorch, and the scores of all items after each item."""
    read, kept, bias, offset = (values.numpy() for values in model.gru.parameters())
    (w_r, w_z, w), (u_r, u_z, u) = np.split(read, 3), np.split(kept, 3)
    (b_r, b_z, b), (c_r, c_z, c) = np.split(bias, 3), np.split(offset, 3)
    h = np.zeros(HIDDEN)
    scores = []
    for item in history:
        x = model.items[item].numpy()
        reset = sigmoid(w_r @ x + b_r + u_r @ h + c_r)
        update = 1 - sigmoid(w_z @ x + b_z + u_z @ h + c_z)
        new = np.tanh(w @ x + b + reset * (u @ h + c))
        h = (1 - update) * h + update * new
        if model.config.tied:
            out = model.project.weight.numpy() @ h + model.project.bias.numpy()
            scores.append(model.items.numpy() @ out)
        else:
            scores.append(model.output[:, :-1].numpy() @ h + model.output[:, -1].numpy())
    return np.array(scores)


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_scores_are_the_equations(tied):
    model = built(tied=tied)
    expected = by_hand(model, [3, 0, 4])
    found = model.scorer()(histories([[3, 0, 4], [3]]))
    np.testing.assert_allclose(found.numpy(), [expected[-1], expected[0]])
    longer = model.scorer()(histories([[2, 1, 3, 0, 4]]))  # the latest four are read
    np.testing.assert_allclose(longer[0].numpy(), by_hand(model, [1, 3, 0, 4])[-1])


@pytest.mark.parametrize("loss", ["bpr", "top1", "softmax"])
@torch.no_grad()
def test_losses_are_against_what_the_others_have_at_the_same_step(loss):
    model = built(loss=loss, tied=False)
    history = torch.tensor([[3, 0], [1, 0], [2, 4]])
    target = torch.tensor([[0, 4], [2, 0], [0, 1]])
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    scores = [by_hand(model, row) for row in history.tolist()]
    others = {  # by row and step: item 0 is the target of row 2 as well at step 0; row 1 has ended
        (0, 0): [2],
        (1, 0): [0, 0],
        (2, 0): [2],
        (0, 1): [1],
        (2, 1): [4],
    }
    terms = []
    for (row, step), negatives in others.items():
        r = scores[row][step]
        own = r[target[row, step]]
        if loss == "bpr":
            terms.append(np.mean([-np.log(sigmoid(own - r[j])) for j in negatives]))
        elif loss == "top1":
            terms.append(np.mean([sigmoid(r[j] - own) + sigmoid(r[j] ** 2) for j in negatives]))
        else:
            terms.append(np.log(np.exp(r).sum()) - own)
    batch = SequenceBatch(torch.arange(3), history, mask, target, mask)
    assert model.loss(batch).item() == pytest.approx(np.mean(terms))


def test_settings_out_of_range_are_refused():
    for wrong in ({"hidden": 0}, {"num_layers": 0}, {"length": 0}, {"init_scale": 0.0}):
        with pytest.raises(ConfigError, match="GRU4Rec needs"):
            GRU4RecConfig(**wrong)


class TestGRU4Rec(RecommenderContract):
    name = "gru4rec"
    settings = {
        "dim": 8,
        "hidden": 8,
        "length": 6,
        "learning_rate": 0.04,
        "batch_size": 32,
        "epochs": 12,
    }

    def prepared(self, data):
        return worlds.with_shuffled_times(data)
