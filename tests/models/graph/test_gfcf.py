import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.models.graph import gfcf as module
from kgrec.models.graph.gfcf import GFCF, GFCFConfig
from kgrec.testing.contract import RecommenderContract

TOY = np.array([[1.0, 1, 0], [0, 1, 0], [1, 1, 1]])
LINEAR = [
    [0.756874, 0.951318, 0.428152],
    [0.340207, 0.611111, 0.19245],
    [0.992576, 1.143768, 0.761486],
]
BOTH = [
    [0.956874, 1.251318, 0.528152],
    [0.440207, 0.761111, 0.24245],
    [1.292576, 1.593768, 0.911486],
]


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def scores(observed, **config):
    model = GFCF(sp.csr_matrix(observed), GFCFConfig(**config))
    model.plan().fit()
    return model.scorer().sums(model.train_ptr, model.train_items).numpy()


def brute_force(observed, k, alpha):
    """Return the scores by dense matrices and numpy's own decomposition."""
    return observed @ kernel(observed, k, alpha)


def kernel(observed, k, alpha):
    """Return what every item gives to every item."""
    users, items = observed.sum(1), observed.sum(0)
    with np.errstate(divide="ignore"):
        row, column = (np.where(degree > 0, degree**-0.5, 0) for degree in (users, items))
    normalized = row[:, None] * observed * column[None, :]
    values, vectors = np.linalg.eigh(normalized.T @ normalized)
    best = vectors[:, np.argsort(-values)[:k]]
    ideal = np.diag(column) @ best @ best.T @ np.diag(items**0.5)
    return normalized.T @ normalized + alpha * ideal


class TestGFCF(RecommenderContract):
    name = "gfcf"
    settings = {"k": 4}
    seeded = False

    def test_parts_are_what_each_used_item_gives(self):
        observed = (np.random.default_rng(3).random((20, 15)) < 0.3).astype(float)
        model = GFCF(sp.csr_matrix(observed), GFCFConfig(k=3, alpha=0.4))
        model.plan().fit()
        table = kernel(observed, 3, 0.4)
        for user, item in ((0, 4), (7, 2), (12, 14)):
            got = model.explanation_effects().score_parts(user, item)
            assert got.items.tolist() == np.flatnonzero(observed[user]).tolist()
            np.testing.assert_allclose(got.liked, table[got.items, item], atol=1e-10)

    @pytest.mark.parametrize(("alpha", "expected"), [(0.0, LINEAR), (0.3, BOTH)])
    def test_scores_of_the_toy_matrix(self, alpha, expected):
        """models.md 2.16, computed by hand."""
        np.testing.assert_allclose(scores(TOY, k=1, alpha=alpha), expected, atol=1e-6)

    @pytest.mark.parametrize(("k", "shape"), [(2, (40, 30)), (3, (14, 25)), (7, (40, 30))])
    def test_agrees_with_dense_matrices(self, k, shape):
        """The first two by Lanczos, the last by a dense decomposition."""
        observed = (np.random.default_rng(k).random(shape) < 0.3).astype(float)
        observed[:, 3] = 0
        observed[2] = 0
        np.testing.assert_allclose(
            scores(observed, k=k, alpha=0.7), brute_force(observed, k, 0.7), atol=1e-9
        )

    def test_both_decompositions_agree(self, monkeypatch):
        observed = sp.csr_matrix((np.random.default_rng(0).random((60, 50)) < 0.3).astype(float))
        lanczos = module._right_singular_vectors(observed, 5)
        monkeypatch.setattr(module, "svds", None)
        dense = module._right_singular_vectors(observed[:, :], 25)[:, :5]
        np.testing.assert_allclose(lanczos @ lanczos.T, dense @ dense.T, atol=1e-8)

    def test_directions_without_weight_are_left_out(self):
        """More vectors asked for than the matrix has: what nobody used stays at zero."""
        observed = np.zeros((6, 8))
        observed[:, :3] = np.random.default_rng(1).random((6, 3)) < 0.7
        observed[0, :3] = 1
        model = GFCF(sp.csr_matrix(observed), GFCFConfig(k=8))
        model.plan().fit()
        assert model.basis.shape[1] <= 3
        assert (model.basis[3:] == 0).all()
