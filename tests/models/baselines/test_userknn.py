import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.batches import Query
from kgrec.errors import ConfigError
from kgrec.models.baselines.userknn import UserKNN, UserKNNConfig
from kgrec.queries import histories
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

TOY = np.array([[1.0, 1, 0], [0, 1, 0], [1, 1, 1]])


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def known(model, users):
    empty = histories([[] for _ in users])
    query = Query(torch.tensor(users), empty.history, empty.history_mask)
    return model.scorer()(query)


def by_loops(observed, history, user, k, shrink, alpha):
    """Return the scores of a set of items, whose user (or None) is no neighbor."""
    count = observed.sum(1)
    near = []
    for other, row in enumerate(observed):
        common = row[history].sum()
        if other != user and common:
            scale = len(history) ** alpha * count[other] ** (1 - alpha) + shrink
            near.append((-common / scale, other))
    total = np.zeros(observed.shape[1])
    for value, other in sorted(near)[:k]:
        total -= value * observed[other]
    return total


class TestUserKNN(RecommenderContract):
    name = "userknn"
    seeded = False
    settings = {"shrink": 0.0}

    def test_similarities_of_the_toy_data(self):
        """Cosines of users 0 and 1 .707107, 0 and 2 .816497, 1 and 2 .577350."""
        model = UserKNN(sp.csr_matrix(TOY), UserKNNConfig(k=2, shrink=0.0))
        expected = [
            [0.816497, 0.707107 + 0.816497, 0.816497],
            [0.707107 + 0.577350, 0.707107 + 0.577350, 0.577350],
            [0.816497, 0.816497 + 0.577350, 0.0],
        ]
        np.testing.assert_allclose(known(model, [0, 1, 2]).numpy(), expected, atol=1e-6)

    @pytest.mark.parametrize("alpha", [0.3, 0.5])
    def test_scores_by_loops(self, alpha):
        observed = (np.random.default_rng(3).random((30, 15)) < 0.3).astype(float)
        observed[4] = 0
        config = {"k": 4, "shrink": 2.0, "alpha": alpha}
        model = UserKNN(sp.csr_matrix(observed), UserKNNConfig(**config))
        got = known(model, list(range(30))).numpy()
        for user in range(30):
            own = np.flatnonzero(observed[user])
            np.testing.assert_allclose(got[user], by_loops(observed, own, user, **config))
        stranger = model.scorer()(histories([[2, 5, 9], [0]])).numpy()
        np.testing.assert_allclose(
            stranger[0], by_loops(observed, np.array([2, 5, 9]), None, **config)
        )
        other = model.explanation_effects().history_scores(
            7, [torch.tensor([2, 5, 9]), torch.tensor([], dtype=torch.int64)]
        )
        np.testing.assert_allclose(
            other[0].numpy(), by_loops(observed, np.array([2, 5, 9]), 7, **config)
        )
        assert (other[1] == 0).all()

    def test_explained_by_other_histories(self):
        run = self.run(worlds.checkerboard())
        item = run.recommend("u0", k=1)["item"][0]
        explained = run.explain("u0", item)
        assert explained.budget.liked == pytest.approx(explained.score)
        assert run.explainer().flip("u0").to_text()

    def test_parts_are_what_each_item_adds_to_the_neighbors(self):
        observed = (np.random.default_rng(3).random((30, 15)) < 0.3).astype(float)
        model = UserKNN(sp.csr_matrix(observed), UserKNNConfig(k=6, shrink=2.0))
        scores = known(model, [9])[0]
        own = np.flatnonzero(observed[9])
        for item in range(15):
            got = model.explanation_effects().score_parts(9, item)
            assert got.items.tolist() == own.tolist()
            assert got.liked.sum() == pytest.approx(float(scores[item]))
        count = observed.sum(1)
        values = (observed @ observed[9]) / (np.sqrt(count * count[9]) + 2.0)
        values[9] = 0
        near = np.argsort(-values, kind="stable")[:6]
        scale = np.sqrt(count[near] * count[9]) + 2.0
        expected = (observed[near][:, own] * observed[near][:, [4]] / scale[:, None]).sum(0)
        np.testing.assert_allclose(model.explanation_effects().score_parts(9, 4).liked, expected)

    @pytest.mark.parametrize("config", [{"k": 0}, {"shrink": -1.0}, {"alpha": 1.5}])
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^UserKNN needs [^\n]*" + next(iter(config))):
            UserKNNConfig(**config)
