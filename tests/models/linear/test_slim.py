"""SLIM against what makes its minimum one: no derivative points to a better place."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.errors import ConfigError
from kgrec.models.linear.slim import SLIM, SLIMConfig
from kgrec.queries import histories
from kgrec.testing.contract import RecommenderContract

TOY = np.array([[1.0, 1, 0], [0, 1, 0], [1, 1, 1]])


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def weights(observed, **config):
    """Return W: the scores of people who used one item each."""
    model = SLIM(sp.csr_matrix(observed), SLIMConfig(**config))
    model.plan().fit()
    items = observed.shape[1]
    return model.scorer().sums(torch.arange(items + 1), torch.arange(items)).numpy()


class TestSLIM(RecommenderContract):
    name = "slim"
    seeded = False
    settings = {"l1": 0.5, "l2": 1.0}

    def test_weights_of_the_toy_data(self):
        """Gram matrix [[2, 2, 1], [2, 3, 1], [1, 1, 1]], lambda .5, beta 1. Column 0 from items 1
        and 2: (4, 1; 1, 2) w = (1.5, .5) gives (5/14, 1/14). Column 1: (3, 1; 1, 2) w = (1.5, .5)
        gives (.5, 0). Column 2: (3, 2; 2, 4) w = (.5, .5) gives (.125, .0625).
        """
        expected = [[0, 0.5, 0.125], [5 / 14, 0, 0.0625], [1 / 14, 0, 0]]
        found = weights(TOY, l1=0.5, l2=1.0, neighbors=0, sweeps=200, tolerance=1e-12)
        np.testing.assert_allclose(found, expected, atol=1e-9)

    @pytest.mark.parametrize("neighbors", [0, 5])
    def test_no_weight_could_be_better(self, neighbors):
        """Where a weight is 0 its derivative is at least 0, else it is 0 (the minimum is one)."""
        observed = (np.random.default_rng(3).random((40, 12)) < 0.4).astype(float)
        found = weights(observed, l1=0.7, l2=2.0, neighbors=neighbors, sweeps=500, tolerance=1e-12)
        gram = observed.T @ observed
        slope = gram @ found - gram + 2.0 * found + 0.7
        norm = np.sqrt(np.diag(gram))
        cosine = gram / norm / norm[:, None] - 2 * np.eye(12)
        allowed = np.argsort(np.argsort(-cosine, axis=0), axis=0) < (neighbors or 11)
        assert (found >= 0).all()
        assert np.allclose(np.diag(found), 0)
        assert not found[~allowed].any()
        assert np.abs(slope[found > 0]).max() < 1e-8
        assert slope[(found == 0) & allowed].min() > -1e-8
        assert 0 < (found == 0).sum() - 12 < found.size

    def test_strangers_and_users_alike(self):
        model = SLIM(sp.csr_matrix(TOY), SLIMConfig(l1=0.5, l2=1.0, neighbors=0))
        model.plan().fit()
        table = weights(TOY, l1=0.5, l2=1.0, neighbors=0)
        got = model.scorer()(histories([[0, 1], [2]])).numpy()
        np.testing.assert_allclose(got, [table[0] + table[1], table[2]])
        assert model.explanation_effects().score_parts(0, 2).liked.tolist() == pytest.approx(
            table[[0, 1], 2].tolist()
        )

    @pytest.mark.parametrize("config", [{"l1": -1.0}, {"sweeps": 0}])
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=next(iter(config))):
            SLIMConfig(**config)
