import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.models.baselines.itemknn import ItemKNN, ItemKNNConfig
from kgrec.testing.contract import RecommenderContract

TOY = np.array([[1.0, 1, 0], [0, 1, 0], [1, 1, 1]])


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def scores(observed, **config):
    """Return the scores of every user by the model."""
    model = ItemKNN(sp.csr_matrix(observed), ItemKNNConfig(**config))
    model.plan().fit()
    ptr = torch.arange(len(observed) + 1)
    return (
        model.scorer().sums(ptr, torch.arange(len(observed))).numpy()
        if observed.shape[0] == observed.shape[1]
        else model
    )


def weights(observed, **config):
    """Return S: the scores of people who used one item each."""
    model = ItemKNN(sp.csr_matrix(observed), ItemKNNConfig(**config))
    model.plan().fit()
    items = observed.shape[1]
    return model.scorer().sums(torch.arange(items + 1), torch.arange(items)).numpy()


def brute_force(observed, k, shrink, alpha):
    """Return S by loops."""
    items = observed.shape[1]
    result = np.zeros((items, items))
    count = observed.sum(0)
    for j in range(items):
        near = []
        for i in range(items):
            common = observed[:, i] @ observed[:, j]
            if i != j and common > 0:
                near.append((-common / (count[i] ** alpha * count[j] ** (1 - alpha) + shrink), i))
        for value, i in sorted(near)[:k]:
            result[i, j] = -value
    return result


class TestItemKNN(RecommenderContract):
    name = "itemknn"
    seeded = False

    def test_parts_are_the_similarities_to_each_used_item(self):
        observed = (np.random.default_rng(3).random((20, 15)) < 0.3).astype(float)
        config = {"k": 4, "shrink": 2.0, "alpha": 0.6}
        model = ItemKNN(sp.csr_matrix(observed), ItemKNNConfig(**config))
        model.plan().fit()
        table = brute_force(observed, **config)
        for user, item in ((0, 4), (7, 2), (12, 14)):
            got = model.explanation_effects().score_parts(user, item)
            assert got.items.tolist() == np.flatnonzero(observed[user]).tolist()
            np.testing.assert_allclose(got.liked, table[got.items, item], atol=1e-10)

    @pytest.mark.parametrize(
        ("shrink", "expected"),
        [(0.0, (0.816497, 0.707107, 0.577350)), (10.0, (0.160649, 0.087610, 0.085237))],
    )
    def test_similarities_of_the_toy_matrix(self, shrink, expected):
        """models.md 2.19, computed by hand."""
        found = weights(TOY, k=3, shrink=shrink, alpha=0.5)
        np.testing.assert_allclose((found[0, 1], found[0, 2], found[1, 2]), expected, atol=1e-6)
        np.testing.assert_allclose(found, found.T)
        assert (np.diag(found) == 0).all()

    @pytest.mark.parametrize("alpha", [0.3, 0.5, 0.8])
    @pytest.mark.parametrize("seed", range(3))
    def test_agrees_with_loops(self, seed, alpha, monkeypatch):
        monkeypatch.setattr("kgrec.models.baselines.itemknn.chunk_rows", lambda *_: 6)
        observed = (np.random.default_rng(seed).random((25, 16)) < 0.25).astype(float)
        np.testing.assert_allclose(
            weights(observed, k=4, shrink=1.5, alpha=alpha),
            brute_force(observed, 4, 1.5, alpha),
            atol=1e-12,
        )

    def test_of_equally_near_items_the_first_is_kept(self):
        found = weights(np.array([[1.0, 1, 1, 1]]), k=1, shrink=0.0, alpha=0.5)
        assert found.tolist() == [[0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]

    def test_more_neighbors_than_items_are_all_items(self):
        observed = (np.random.default_rng(0).random((10, 5)) < 0.5).astype(float)
        np.testing.assert_allclose(weights(observed, k=1000), weights(observed, k=4))
