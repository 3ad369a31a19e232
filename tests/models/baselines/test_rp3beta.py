import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.errors import ConfigError
from kgrec.models.baselines.rp3beta import RP3Beta, RP3BetaConfig
from kgrec.testing.contract import RecommenderContract

TOY = np.array([[1.0, 1, 0], [0, 1, 0], [1, 1, 1]])


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def walks(observed, **config):
    """Return w: the scores of people who used one item each."""
    model = RP3Beta(sp.csr_matrix(observed), RP3BetaConfig(**config))
    model.plan().fit()
    items = observed.shape[1]
    return model.scorer().sums(torch.arange(items + 1), torch.arange(items)).numpy()


def by_loops(observed, k, alpha, beta):
    users, items = observed.sum(1), observed.sum(0)
    table = np.zeros((len(items), len(items)))
    for i in range(len(items)):
        near = []
        for j in range(len(items)):
            both = np.flatnonzero(observed[:, i] * observed[:, j])
            if i != j and len(both):
                near.append(
                    (-sum(users[both] ** -alpha) * items[i] ** -alpha / items[j] ** beta, j)
                )
        for value, j in sorted(near)[:k]:
            table[i, j] = -value
    return table


class TestRP3Beta(RecommenderContract):
    name = "rp3beta"
    seeded = False

    def test_walks_of_the_toy_data(self):
        """Item 0 has users 0 (two items) and 2 (three): to item 1 (1/2)(1/2 + 1/3) / 3 = 5/36, to
        item 2 (1/2)(1/3) = 1/6; and so on.
        """
        expected = [[0, 5 / 36, 1 / 6], [5 / 36, 0, 1 / 9], [1 / 6, 1 / 9, 0]]
        np.testing.assert_allclose(walks(TOY, alpha=1.0, beta=1.0), expected, atol=1e-12)

    @pytest.mark.parametrize("k", [3, 100])
    def test_walks_by_loops(self, k):
        observed = (np.random.default_rng(3).random((30, 15)) < 0.3).astype(float)
        observed[:, 4] = 0
        observed[6] = 0
        config = {"k": k, "alpha": 1.3, "beta": 0.4}
        np.testing.assert_allclose(walks(observed, **config), by_loops(observed, **config))

    def test_parts_are_the_walks_from_each_item(self):
        model = RP3Beta(sp.csr_matrix(TOY), RP3BetaConfig(beta=1.0))
        model.plan().fit()
        got = model.explanation_effects().score_parts(0, 2)
        assert got.items.tolist() == [0, 1]
        np.testing.assert_allclose(got.liked, [1 / 6, 1 / 9], atol=1e-12)

    @pytest.mark.parametrize("config", [{"k": 0}, {"alpha": -1.0}, {"beta": -0.1}])
    def test_refuses_values_out_of_range(self, config):
        with pytest.raises(ConfigError, match=r"^RP3beta needs [^\n]*" + next(iter(config))):
            RP3BetaConfig(**config)
