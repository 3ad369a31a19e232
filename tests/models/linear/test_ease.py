from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.errors import DivergedError
from kgrec.graph.attributes import ItemAttributes
from kgrec.models.linear.ease import EASE, EASEKG, EASEConfig, EASEKGConfig, item_weights
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract

TOY = sp.csr_matrix(np.array([[1.0, 1, 0], [0, 1, 0], [1, 1, 1]]))


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def ridge(observed, l2):
    """Return the weights column by column: each item regressed on all others, the oracle."""
    items = observed.shape[1]
    weights = np.zeros((items, items))
    for j in range(items):
        others = [i for i in range(items) if i != j]
        x = observed[:, others]
        weights[others, j] = np.linalg.solve(x.T @ x + l2 * np.eye(items - 1), x.T @ observed[:, j])
    return weights


class TestEASE(RecommenderContract):
    name = "ease"
    settings = {"l2": 1.0}
    seeded = False

    def test_weights_of_the_toy_matrix(self):
        """models.md 2.17, computed by hand."""
        model = EASE(TOY, EASEConfig(l2=1.0, precision="float64"))
        model.plan().fit()
        expected = [[0, 0.6, 0.25], [0.428571, 0, 0.125], [0.285714, 0.2, 0]]
        np.testing.assert_allclose(model.weights.numpy(), expected, atol=1e-6)

    @pytest.mark.parametrize("seed", range(3))
    def test_is_ridge_regression_of_each_item_on_the_others(self, seed):
        observed = (np.random.default_rng(seed).random((30, 17)) < 0.3).astype(float)
        gram = sp.csr_matrix(observed.T @ observed)
        np.testing.assert_allclose(
            item_weights(gram, 0.7, "float64").numpy(), ridge(observed, 0.7), atol=1e-10
        )
        np.testing.assert_allclose(
            item_weights(gram, 0.7, "float32").numpy(), ridge(observed, 0.7), atol=1e-4
        )

    def test_scores_are_products_with_the_interactions(self):
        data = worlds.random_world(0)
        model = self.build(data)
        model.plan().fit()
        from kgrec.queries import queries

        scores = model.scorer()(queries(data.train, np.arange(data.num_users)))
        observed = data.train.csr(data.num_users, data.num_items).toarray()
        np.testing.assert_allclose(scores.numpy(), observed @ model.weights.numpy(), atol=1e-12)

    def test_the_inversion_needs_one_dense_matrix(self):
        """The weights lie where the Gram matrix was laid out, rows in one piece."""
        table = np.asfortranarray(np.diag([3.0, 2.0, 1.0]) + 1)

        class Gram(sp.csr_matrix):
            def toarray(self, order=None, out=None):
                return table

        found = item_weights(Gram(table), 1.0, "float64")
        assert np.shares_memory(found.numpy(), table)
        assert found.is_contiguous()

    def test_a_matrix_that_cannot_be_inverted_is_a_clear_line(self):
        gram = sp.csr_matrix(np.array([[1.0, 2.0], [2.0, 1.0]]))
        with pytest.raises(DivergedError, match="Raise l2"):
            item_weights(gram, 0.1, "float32")


class TestEASEKG(RecommenderContract):
    name = "ease-kg"
    seeded = False
    uses_knowledge = True

    @pytest.mark.parametrize("seed", range(3))
    def test_collective_is_ridge_regression_with_weighted_attributes_as_further_rows(self, seed):
        observed, attributes = self._random(seed)
        expected = ridge(np.vstack([observed, 0.4**0.5 * attributes.T]), 0.7)
        np.testing.assert_allclose(
            self._weights(observed, attributes, form="collective"), expected, atol=1e-10
        )

    @pytest.mark.parametrize("seed", range(3))
    def test_additive_is_the_sum_of_two_ridge_regressions(self, seed):
        observed, attributes = self._random(seed)
        expected = ridge(observed, 0.7) + 0.4 * ridge(attributes.T, 3.0)
        np.testing.assert_allclose(
            self._weights(observed, attributes, form="additive"), expected, atol=1e-10
        )

    @staticmethod
    def _random(seed):
        rng = np.random.default_rng(seed)
        return tuple((rng.random(shape) < 0.3).astype(float) for shape in ((20, 9), (9, 13)))

    @staticmethod
    def _weights(observed, attributes, **config):
        config = EASEKGConfig(
            l2=0.7, attribute_weight=0.4, attribute_l2=3.0, precision="float64", **config
        )
        model = EASEKG(sp.csr_matrix(observed), sp.csr_matrix(attributes), config)
        model.plan().fit()
        return model.weights.numpy()

    def test_without_weight_it_is_ease(self):
        data = worlds.cold_items()
        train = data.train.csr(data.num_users, data.num_items)
        plain = EASE(train, EASEConfig(l2=2.0, precision="float64"))
        plain.plan().fit()
        for form in ("additive", "collective"):
            other = EASEKG(
                train,
                ItemAttributes.from_dataset(data).matrix,
                EASEKGConfig(form, l2=2.0, attribute_weight=0.0, precision="float64"),
            )
            other.plan().fit()
            torch.testing.assert_close(other.weights, plain.weights, atol=1e-12, rtol=0)

    def test_leaving_a_relation_out_leaves_its_attributes_out(self):
        """A refit without the triples of one relation equals one on a dataset that never had
        them.
        """
        import dataclasses

        data = worlds.cold_items()
        kept = data.triples.relation == 0
        columns = {
            name: getattr(data.triples, name)[kept]
            for name in ("head", "relation", "tail", "source", "locator")
        }
        without = dataclasses.replace(data, triples=dataclasses.replace(data.triples, **columns))
        attributes = ItemAttributes.from_dataset(data)
        model = self.build(without)
        assert (
            model.attributes.toarray() == attributes.matrix[:, attributes.relation == 0].toarray()
        ).all()


def test_the_weight_of_attributes_is_chosen_on_validation():
    import kgrec
    from kgrec.models.linear.ease import CHOICES

    data = worlds.cold_items(users=24, warm=20, cold=8)
    held = np.arange(len(data.train.user)) % 5 == 0
    data = replace(data, train=data.train.take(~held), valid=data.train.take(held))
    run = kgrec.fit("ease-kg", data, l2=5.0)
    found = {
        weight: kgrec.fit("ease-kg", data, l2=5.0, attribute_weight=weight).summary["valid"]
        for weight in CHOICES
    }
    values = {weight: valid["ndcg@10"] for weight, valid in found.items()}
    chosen = run.summary["settled"]["attribute_weight"]
    assert values[chosen] == max(values.values()) == run.summary["valid"]["ndcg@10"]
    assert len(set(values.values())) > 1
    refit = kgrec.fit("ease-kg", data, l2=5.0, refit=True)
    assert refit.config.attribute_weight == chosen
    alone = kgrec.fit("ease-kg", replace(data, valid=data.valid.take(held[:0])), l2=5.0)
    assert alone.summary["settled"] == {"attribute_weight": 1.0}
