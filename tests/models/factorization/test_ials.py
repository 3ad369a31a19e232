import itertools

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from kgrec.models.factorization import ials as module
from kgrec.models.factorization.ials import IALS, IALSConfig
from kgrec.testing import worlds
from kgrec.testing.contract import RecommenderContract


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model_of(observed, seed=0, **config):
    return IALS(sp.csr_matrix(observed), IALSConfig(**config), torch.Generator().manual_seed(seed))


def random_matrix(seed, shape=(20, 15)):
    observed = (np.random.default_rng(seed).random(shape) < 0.3).astype(float)
    observed[:, 4] = 0
    observed[7] = 0
    return observed


def objective(observed, users, items, config):
    """Return Rendle et al.'s objective, pair by pair."""
    total = 0.0
    for u in range(len(users)):
        for i in range(len(items)):
            score = users[u] @ items[i]
            total += config.unobserved_weight * score**2 + observed[u, i] * (1 - score) ** 2
    for vectors, counts, others in (
        (users, observed.sum(1), len(items)),
        (items, observed.sum(0), len(users)),
    ):
        for vector, count in zip(vectors, counts, strict=True):
            total += (
                config.l2
                * (count + config.unobserved_weight * others) ** config.exponent
                * (vector @ vector)
            )
    return total


class TestIALS(RecommenderContract):
    name = "ials"
    settings = {"dim": 8}

    @pytest.mark.parametrize("exponent", [0.0, 0.7])
    def test_parts_are_those_of_hu_et_al_and_what_the_last_pass_moved(self, exponent):
        """Section 5: sum over the used items of y_j^T W_u y_i, W_u by inversion; the user's stored
        vector is older than the items.
        """
        observed = random_matrix(2)
        model = model_of(observed, dim=4, l2=0.3, exponent=exponent)
        for _ in range(3):
            model.sweep()
        y = model.items.numpy()
        for user, item in ((0, 3), (5, 4), (7, 1)):
            used = np.flatnonzero(observed[user])
            held = 0.3 * (len(used) + 0.1 * len(y)) ** exponent
            inverse = np.linalg.inv(
                0.1 * y.T @ y
                + sum((np.outer(y[j], y[j]) for j in used), np.zeros((4, 4)))
                + held * np.eye(4)
            )
            got = model.explanation_effects().score_parts(user, item)
            assert got.items.tolist() == used.tolist()
            np.testing.assert_allclose(
                got.liked, [y[j] @ inverse @ y[item] for j in used], atol=1e-10
            )
            score = float(model.users[user] @ model.items[item])
            assert got.liked.sum() + sum(got.other.values()) == pytest.approx(score, abs=1e-12)
            assert list(got.other) == ["moved by the last pass over the items"]
            assert got.basis == "linearized"
        assert (
            abs(
                model.explanation_effects()
                .score_parts(0, 3)
                .other["moved by the last pass over the items"]
            )
            > 1e-6
        )

    def test_another_history_is_solved_for_with_the_items_as_they_are(self):
        observed = random_matrix(2)
        model = model_of(observed, dim=4, l2=0.3)
        model.sweep()
        y, edited = model.items.numpy(), [[0, 3, 6], [2], []]
        got = model.explanation_effects().history_scores(
            0, [torch.tensor(own, dtype=torch.int64) for own in edited]
        )
        for row, own in zip(got.numpy(), edited, strict=True):
            solved = np.linalg.solve(
                0.1 * y.T @ y + y[own].T @ y[own] + 0.3 * np.eye(4), y[own].sum(0)
            )
            np.testing.assert_allclose(row, y @ solved, atol=1e-10)

    def test_user_of_the_toy_matrix(self):
        """models.md 2.18, computed by hand, in Hu et al.'s weights: with alpha = 1 twice the
        solution here.
        """
        model = model_of(
            np.array([[1.0, 0, 1]]), dim=2, unobserved_weight=1.0, l2=0.1, exponent=0.0
        )
        found = model.solve(
            torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([0, 2]), torch.tensor([0, 2])
        )
        np.testing.assert_allclose(2 * found.numpy(), [[0.964409, 0.022962]], atol=1e-6)

    @pytest.mark.parametrize("alpha", [0.5, 4.0])
    def test_solves_are_those_of_hu_et_al_up_to_a_factor(self, alpha):
        rng = np.random.default_rng(1)
        fixed, observed = rng.normal(size=(6, 3)), np.array([1.0, 0, 1, 1, 0, 0])
        confidence = np.diag(1 + alpha * observed)
        expected = np.linalg.solve(
            fixed.T @ confidence @ fixed + 0.1 * np.eye(3), fixed.T @ confidence @ observed
        )
        model = model_of(
            observed[None, :], dim=3, unobserved_weight=1 / alpha, l2=0.1 / alpha, exponent=0.0
        )
        found = model.solve(torch.from_numpy(fixed), model.user_ptr, model.user_idx)[0].numpy()
        np.testing.assert_allclose((1 + alpha) / alpha * found, expected, atol=1e-10)

    @pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
    def test_each_solve_is_the_minimum_of_the_objective(self, exponent, monkeypatch):
        """No small step from the solution, in any direction, lowers the pairwise objective; several
        groups of users.
        """
        monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 200)
        observed = random_matrix(0)
        model = model_of(observed, dim=3, unobserved_weight=0.2, l2=0.05, exponent=exponent)
        model.sweep()
        users = model.solve(model.items, model.user_ptr, model.user_idx).numpy()
        items = model.items.numpy()
        best = objective(observed, users, items, model.config)
        rng = np.random.default_rng(0)
        for _ in range(20):
            step = rng.normal(size=users.shape) * 1e-3
            assert objective(observed, users + step, items, model.config) > best
        model.users = torch.from_numpy(users)
        assert float(model.objective()) == pytest.approx(best, rel=1e-12)

    def test_the_objective_falls_with_every_sweep(self):
        model = model_of(random_matrix(2, (40, 30)), dim=4, unobserved_weight=0.1, l2=0.02)
        values = []
        for _ in range(12):
            model.sweep()
            values.append(float(model.objective()))
        assert all(after <= before + 1e-12 for before, after in itertools.pairwise(values))
        assert values[-1] < 0.9 * values[0]

    def test_nobody_and_nothing_gets_the_zero_vector(self):
        model = model_of(random_matrix(0), dim=3)
        model.sweep()
        assert (model.items[4] == 0).all()
        assert (model.users[7] == 0).all()

    def test_an_epoch_is_a_sweep_and_training_goes_on_from_a_checkpoint_bit_by_bit(self, tmp_path):
        from kgrec import fit

        data = worlds.checkerboard()
        short = fit("ials", data, dim=4, epochs=3, patience=0)
        by_hand = IALS.from_dataset(data, short.config, torch.Generator())
        by_hand.items = IALS.from_dataset(
            data, short.config, torch.Generator().manual_seed(_init_seed())
        ).items
        for _ in range(3):
            by_hand.sweep()
        assert torch.equal(short.model.items, by_hand.items)
        assert torch.equal(short.model.users, by_hand.users)


def _init_seed():
    from kgrec.random import derive

    return derive(0, "init")
