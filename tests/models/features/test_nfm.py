"""NFM against its equations, and a world that takes its layers."""

import fielded
import numpy as np
import pytest
import torch

import kgrec
from kgrec.errors import ConfigError
from kgrec.models.features.nfm import NFM, NFMConfig
from kgrec.queries import queries
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


def by_hand(model, user, item):
    """Eqs. (3) to (7)."""
    found = fielded.features(model, user, item)
    pooled = sum(fielded.products(found), np.zeros(model.config.dim))
    if model.config.batch_norm:
        norm = model.norm
        mean, var = norm.running_mean.numpy(), norm.running_var.numpy()
        pooled = (pooled - mean) / np.sqrt(var + norm.eps)
        pooled = pooled * norm.weight.detach().numpy() + norm.bias.detach().numpy()
    values = fielded.layered(model.layers, pooled)
    return fielded.linear(model, found) + (values @ model.head.detach().numpy()).item()


@pytest.mark.parametrize(
    ("knowledge", "layers", "norm"), [(False, (4,), False), (True, (4, 2), False), (True, (), True)]
)
def test_scores_and_loss_are_the_equations(knowledge, layers, norm):
    settings = NFMConfig(
        knowledge=knowledge,
        dim=3,
        layers=layers,
        batch_norm=norm,
        min_count=1,
        dropout=0.0,
        l2_weight=0.3,
    )
    model = fielded.built(NFM, settings)
    if norm:
        model.norm.running_mean.copy_(torch.tensor([0.1, -0.2, 0.3]))
        model.norm.running_var.copy_(torch.tensor([0.5, 2.0, 1.5]))
    table = fielded.check_scores(model, by_hand)
    fielded.check_loss(model, table)


def test_parity_of_what_is_pooled():
    """V = [[1, .5], [.5, -1], [2, 1]], x = (1, 1, .5): f_BI is (2, -.75)."""
    data = worlds.dataset([(0, 0)], triples=[(0, 0, 1), (0, 0, 2)], num_entities=3)
    settings = NFMConfig(knowledge=True, dim=2, layers=(), min_count=1, dropout=0.0)
    model = fielded.in_double(NFM, data, settings)
    with torch.no_grad():
        model.users.copy_(torch.tensor([[1, 0.5, 0]]))
        model.items.copy_(torch.tensor([[0.5, -1, 0]]))
        model.item_values.copy_(torch.tensor([[2, 1, 0], [0, 0, 0]]))
        for at, expected in ((0, 2.0), (1, -0.75)):
            model.head.copy_(torch.eye(2, dtype=torch.float64)[:, [at]])
            score = model.scorer()(queries(data.train, np.array([0])))
            assert score.item() == pytest.approx(expected)


def test_a_score_without_facts_is_that_of_data_without_them():
    settings = NFMConfig(knowledge=True, dim=3, layers=(4,), min_count=1)
    fielded.check_removals(fielded.built(NFM, settings))


def test_resumed_training_is_bit_equal(tmp_path, monkeypatch):
    """With what the normalization keeps, and dropped values."""
    data = worlds.cold_items(users=20)
    settings = {"dim": 4, "layers": (4,), "batch_norm": True, "batch_size": 64, "epochs": 3}
    whole = kgrec.fit("nfm-kg", data.save(tmp_path / "data"), **settings)

    def stop(state):
        raise InterruptedError

    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(InterruptedError):
        kgrec.fit("nfm-kg", tmp_path / "data", out=tmp_path / "r", on_epoch=stop, **settings)
    resumed = kgrec.fit("nfm-kg", tmp_path / "data", out=tmp_path / "r", resume=True)
    states = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="layers"):
        NFMConfig(layers=(0,))


class TestNFM(RecommenderContract):
    name = "nfm"
    settings = {"dim": 16, "layers": (8,), "learning_rate": 0.03, "init_scale": 0.1}

    @pytest.fixture
    def cold_seeds(self):
        return range(1)  # a cold item's id is 0 whatever the seed


class TestNFMKG(RecommenderContract):
    name = "nfm-kg"
    settings = {"dim": 16, "layers": (8,), "learning_rate": 0.03, "init_scale": 0.1}
    uses_knowledge = True
