import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.batches import PositiveBatch
from kgrec.errors import ConfigError
from kgrec.models.graph.ultragcn import UltraGCN, UltraGCNConfig, co_used
from kgrec.ops.dropout import words
from kgrec.random import derive
from kgrec.runs.fit import fit
from kgrec.runs.settings import choose
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

TRAIN = sp.csr_matrix(np.array([[1.0, 1, 0], [0, 1, 0]]))
"""The toy data: item 0 has degree 1, item 1 degree 2, item 2 none."""

BATCH = PositiveBatch(torch.tensor([0, 0, 1, 3]), torch.tensor([0, 4, 2, 2]))


def random_model(**config):
    train = sp.csr_matrix(np.random.default_rng(0).random((5, 7)) < 0.4, dtype=np.float64)
    config = UltraGCNConfig(dim=4, init_scale=1.0, **config)
    return train, UltraGCN(train, config, torch.Generator().manual_seed(0)).double()


def omegas(train, form):
    """Return omega of every pair of items, one at a time."""
    common = (train.T @ train).toarray()
    total = common.sum(1)
    out = np.zeros_like(common)
    for i, j in np.ndindex(*common.shape):
        if form == "code" and total[i]:
            out[i, j] = common[i, j] * np.sqrt(total[i] + 1) / total[i] / np.sqrt(total[j] + 1)
        if form == "paper" and i != j and common[i, j]:
            out[i, j] = common[i, j] / (total[i] - common[i, i]) * np.sqrt(total[i] / total[j])
    return out


class TestUltraGCN(RecommenderContract):
    name = "ultragcn"
    settings = {"learning_rate": 0.05, "dim": 8, "init_scale": 0.1, "negative_weight": 3.0}
    settings |= {"batch_size": 64, "epochs": 20, "l2_weight": 1e-4}

    def test_constraints_of_the_toy_data(self):
        """Beta and the code's omega, computed by hand."""
        model = UltraGCN(TRAIN, UltraGCNConfig(), torch.Generator()).double()
        beta = model.user_factor.unsqueeze(1) * model.item_factor
        expected = [[0.612372, 0.5, 0.866025], [1, 0.816497, 1.414214]]
        torch.testing.assert_close(beta, torch.tensor(expected).double(), atol=1e-6, rtol=0)
        near, omega = co_used(TRAIN, 2, "code")
        assert near[:2].tolist() == [[0, 1], [1, 0]]
        np.testing.assert_allclose(omega[:2], [[0.5, 0.4330], [0.6667, 0.3849]], atol=1e-4)
        assert (omega[2] == 0).all()

    @pytest.mark.parametrize("form", ["code", "paper"])
    def test_near_items_are_those_of_the_largest_omega(self, form):
        train, _ = random_model()
        table = omegas(train, form)
        near, omega = co_used(train, 3, form)
        for item, row in enumerate(table):
            assert omega[item].tolist() == pytest.approx(sorted(row, reverse=True)[:3])
            assert row[near[item]].tolist() == pytest.approx(omega[item].tolist())

    @pytest.mark.parametrize("negatives", [0, 6])
    def test_loss_and_gradient_pair_by_pair(self, negatives):
        settings = {"w1": 0.3, "w3": 0.2, "neighbor_weight": 0.7, "l2_weight": 0.05}
        train, model = random_model(
            negatives=negatives, negative_weight=300.0, neighbors=3, **settings
        )
        model.plan().begin_epoch(2, 5)
        if negatives:
            key = derive(derive(5, "drawn items", 2), "negatives", 1)
            drawn = (words(24, key, torch.device("cpu")) % 7).view(4, 6).tolist()
        else:
            drawn = [list(range(7))] * 4
        du, di = (np.asarray(train.sum(axis)).ravel() for axis in (1, 0))
        table = omegas(train, "code")
        near, _ = co_used(train, 3, "code")
        minus_log = torch.nn.functional.logsigmoid
        total = 0.05 / 2 * (model.users.square().sum() + model.items.square().sum())

        def beta(u, i):
            return float(np.sqrt((du[u] + 1) / (di[i] + 1)) / max(du[u], 1))

        for row, (u, i) in enumerate(zip(BATCH.user, BATCH.positive, strict=True)):
            scores = model.items @ model.users[u]
            total = total - (0.3 + beta(u, i)) * minus_log(scores[i])
            for j in drawn[row]:
                total = total - 300 / len(drawn[row]) * (0.2 + beta(u, j)) * minus_log(-scores[j])
            for k in near[i]:
                total = total - 0.7 * table[i, k] * minus_log(scores[k])

        got = sum(model.loss(BATCH).values())
        torch.testing.assert_close(got, total / 4)
        for ours, theirs in zip(
            torch.autograd.grad(got, (model.users, model.items)),
            torch.autograd.grad(total / 4, (model.users, model.items)),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)

    def test_the_mean_over_all_items_is_what_draws_estimate(self):
        _, exact = random_model()
        _, drawn = random_model(negatives=4000)
        got, expected = (model.loss(BATCH)["negative"].detach() for model in (drawn, exact))
        assert float(got) == pytest.approx(float(expected), rel=0.02)

    def test_without_a_weight_negatives_count_by_the_size_of_the_catalog(self):
        """As 300 does on 40,981 items."""
        train, own = random_model(negative_weight=0.0)
        _, given = random_model(negative_weight=300 * train.shape[1] / 40_981)
        got, expected = (model.loss(BATCH)["negative"].detach() for model in (own, given))
        assert float(got) == pytest.approx(float(expected), rel=1e-9)

    def test_near_items_alone_carry_a_taste_over(self):
        """Without negatives' say, an item is scored by what it is used together with."""
        data = worlds.checkerboard()
        settings = {"neighbor_weight": 5.0, "w1": 0.0, "w2": 0.0, "form": "paper"}
        settings["negative_weight"] = 10.0
        run = self.run(data, **settings)
        frame = run.recommend("all", k=1)
        assert [item[1:] for item in frame["item"]] == [user[1:] for user in frame["user"]]

    def test_the_score_is_the_users_own(self):
        run = self.run(worlds.checkerboard(), epochs=2)
        explained = run.explain("u0", run.recommend("u0", k=1)["item"][0])
        assert explained.budget.own == pytest.approx(explained.score, rel=1e-5)
        assert all(path.basis == "post-hoc" for path in explained.paths)

    def test_a_resumed_training_is_bit_equal(self, tmp_path):
        data = worlds.checkerboard()
        small = {"dim": 8, "negatives": 5, "batch_size": 16, "patience": 0}
        whole = fit("ultragcn", data, epochs=4, **small)
        fit("ultragcn", data, epochs=2, out=tmp_path / "run", **small)
        resumed = fit("ultragcn", data, epochs=4, out=tmp_path / "run", resume=True, **small)
        for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
            assert torch.equal(ours, theirs)

    def test_presets(self):
        paper, official = (choose("ultragcn", name, {}) for name in ("paper", "official"))
        assert (paper.config.form, official.config.form) == ("paper", "code")
        config = official.config
        assert (config.negatives, config.negative_weight, config.init_scale) == (1500, 300, 1e-4)
        assert (config.w1, config.w2, config.neighbors, config.l2_weight) == (1e-6, 1, 10, 1e-4)

    @pytest.mark.parametrize(
        "config",
        [
            {"dim": 0},
            {"negatives": -1},
            {"neighbors": -1},
            {"init_scale": 0.0},
            {"w1": -1.0},
            {"negative_weight": -1.0},
            {"l2_weight": -1.0},
        ],
    )
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^UltraGCN needs [^\n]*" + next(iter(config))):
            UltraGCNConfig(**config)
