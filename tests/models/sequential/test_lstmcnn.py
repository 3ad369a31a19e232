"""The hybrid against its equations, a number at a time; what texts and alpha do."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch

import kgrec
from kgrec.batches import SequenceBatch
from kgrec.errors import ConfigError, DataError
from kgrec.models.sequential.base import Catalog
from kgrec.models.sequential.lstmcnn import LSTMCNN, LSTMCNNConfig
from kgrec.models.sequential.lstmcnn_blend import HeldOut
from kgrec.queries import histories
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract, auc

WORDS = np.array([[2, 3, 0], [4, 0, 0], [3, 3, 2], [1, 4, 0]])
WARM = np.array([0, 1, 3])
TINY = {"dim": 2, "hidden": 3, "word_dim": 2, "num_filters": 2, "length": 3, "max_words": 3}


def titled(data, titles):
    return replace(data, content=replace(data.content, texts=pl.Series("text", titles)))


def built(held=None, **config):
    settings = LSTMCNNConfig(**TINY, filter_widths=(1, 2), dropout=0.0, **config)
    generator = torch.Generator().manual_seed(0)
    model = LSTMCNN(Catalog(4, WARM), 2, WORDS, 5, settings, generator, held)
    generator.manual_seed(1)
    with torch.no_grad():
        for values in model.parameters():
            values.add_(torch.randn(values.shape, generator=generator) / 2)
    return model.double().eval()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def content(model, history):
    """h . c of all items, after the last item of a history."""
    read, kept, bias, offset = (values.numpy() for values in model.lstm.parameters())
    h = c = np.zeros(3)
    for item in history:
        gates = read @ model.items[item].numpy() + bias + kept @ h + offset
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    vector = model.from_state.weight.numpy() @ h + model.from_state.bias.numpy()

    filters = model.cnn.filters[0].numpy()  # places of width 1, then of width 2; in, out
    scores = []
    for words in WORDS:
        rows = [model.word[word].numpy() for word in words if word]
        one = np.max([row @ filters[0] for row in rows], 0)
        pairs = [a @ filters[1] + b @ filters[2] for a, b in pairwise(rows)]
        two = np.max(pairs, 0) if pairs else np.full(2, -np.inf)
        text = np.maximum(0, np.concatenate([one, two]) + model.cnn.bias.numpy())
        scores.append(
            vector @ (model.from_text.weight.numpy() @ text + model.from_text.bias.numpy())
        )
    return np.array(scores)


def factors(model, user):
    p = model.users[user].numpy() if user >= 0 else np.zeros(2)
    found = model.factors.numpy() @ p + model.bias.numpy()[:, 0]
    return np.where(np.isin(np.arange(4), WARM), found, 0)


@torch.no_grad()
def test_scores_and_losses_are_the_equations():
    model = built(alpha=0.3)
    rows = [[3, 0], [1], [0, 1]]
    users = [0, 1, -1]
    query = replace(histories(rows), user=torch.tensor(users))
    expected = [
        0.3 * factors(model, user) + 0.7 * content(model, row)
        for user, row in zip(users, rows, strict=True)
    ]
    np.testing.assert_allclose(model.scorer()(query).numpy(), expected, rtol=1e-6)

    target = torch.tensor([[0, 1], [3, 0]])
    mask = torch.tensor([[True, True], [True, False]])
    batch = SequenceBatch(torch.tensor([0, 1]), torch.tensor([[3, 0], [1, 0]]), mask, target, mask)
    found = model.loss(batch)
    for name, tables in {
        "cf": [factors(model, 0), factors(model, 0), factors(model, 1)],
        "content": [content(model, [3]), content(model, [3, 0]), content(model, [1])],
    }.items():
        items = [0, 1, 3]
        terms = [
            np.log(np.exp(table[WARM]).sum()) - table[item]
            for table, item in zip(tables, items, strict=True)
        ]
        assert found[name].item() == pytest.approx(np.mean(terms))


@torch.no_grad()
def test_alpha_is_the_share_with_the_best_reciprocal_rank():
    rows, users, target = [[3], [0, 1], [1, 0], [0]], [0, 1, 0, 1], [0, 3, 3, 1]
    query = replace(histories(rows), user=torch.tensor(users))
    model = built(held=HeldOut(query, torch.tensor(target)))
    values = []
    for step in range(11):
        ranks = []
        for user, row, item in zip(users, rows, target, strict=True):
            scores = step / 10 * factors(model, user) + (1 - step / 10) * content(model, row)
            scores[row] = -np.inf
            ranks.append(1 / (1 + (scores > scores[item]).sum()))
        values.append(np.mean(ranks))
    assert len(set(values)) > 1
    model.plan().after_epoch()
    assert model.alpha.item() == pytest.approx(np.argmax(values) / 10)
    fixed = built(held=HeldOut(query, torch.tensor(target)), choose_alpha=False, alpha=0.25)
    fixed.plan().after_epoch()
    assert fixed.alpha.item() == 0.25


def test_texts_decide_about_items_without_interactions():
    data = worlds.with_times(worlds.cold_items(users=30, warm=20, cold=10, likes=6))
    data = titled(data, [f"a {'drama' if row % 2 else 'western'} film" for row in range(30)])
    settings = TestLSTMCNN.settings
    run = kgrec.fit("lstm-cnn", data, device="cpu", **settings)
    frame = run.recommend("u3", k=30, items=[f"i{row}" for row in range(20, 30)])
    assert set(frame["kind"]) == {"personal"}
    scores = dict(zip(frame["item"], frame["score"], strict=True))
    ranked = np.array([scores[f"i{row}"] for row in range(20, 30)])
    assert auc(ranked, np.arange(20, 30) % 2 == 1) == 1.0
    bare = replace(data, content=replace(data.content, texts=None))
    with pytest.raises(DataError, match="needs texts"):
        kgrec.fit("lstm-cnn", bare)


def test_settings_out_of_range_are_refused():
    for wrong in ({"filter_widths": ()}, {"filter_widths": (1, 20)}, {"alpha": 1.5}, {"hidden": 0}):
        with pytest.raises(ConfigError, match="LSTMCNN"):
            LSTMCNNConfig(**wrong)


class TestLSTMCNN(RecommenderContract):
    name = "lstm-cnn"
    settings = {
        "dim": 8,
        "hidden": 8,
        "word_dim": 8,
        "num_filters": 8,
        "length": 6,
        "max_words": 4,
        "min_count": 1,
        "learning_rate": 0.04,
        "batch_size": 32,
        "epochs": 12,
    }

    def prepared(self, data):
        """Every item has a word of its own: what no one used says nothing."""
        data = worlds.with_shuffled_times(data)
        return titled(data, [f"the film number{row}" for row in range(data.num_items)])
