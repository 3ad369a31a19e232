import math

import pytest
import torch

from kgrec.nn.losses import (
    bpr,
    cosine_softmax,
    l2,
    logistic,
    margin_hinge,
    power,
    self_adversarial,
    translation_ranking,
)


def test_bpr_is_stable_where_the_sigmoid_underflows():
    assert float(bpr(torch.tensor([-1000.0]), torch.tensor([0.0]))) == pytest.approx(1000.0)
    assert float(bpr(torch.tensor([2.0, -1.5]).double(), torch.zeros(2).double())) == pytest.approx(
        0.914171, abs=1e-6
    )


def test_l2_is_half_the_squares_over_the_batch():
    assert (
        float(l2(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])))
        == (25 + 2) / 2 / 2
    )


def test_cosine_softmax_of_two_opposite_items():
    users, items = torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0], [-0.1, 0.0]])
    expected = math.log(1 + math.exp(-2 / 0.5))
    assert float(cosine_softmax(users, items, torch.tensor([0]), 0.5)) == pytest.approx(
        expected, rel=1e-5
    )


def test_translation_ranking_prefers_low_energies():
    assert float(
        translation_ranking(torch.tensor([1.13]).double(), torch.tensor([4.36]).double())
    ) == pytest.approx(0.038795, abs=1e-6)


def test_margin_hinge_by_hand():
    """Gaps 3, 0.5 and -1 at margin 1: 0, 0.5 and 2; one row of two negatives, one of two equal
    ones.
    """
    positive, negative = torch.tensor([1.0, 0.0]), torch.tensor([[-2.0, 0.5], [1.0, 1.0]])
    assert float(margin_hinge(positive, negative, 1.0)) == pytest.approx((0 + 0.5 + 2 + 2) / 4)


def test_logistic_by_hand():
    positive, negative = torch.tensor([2.0]), torch.tensor([[-1.0, 0.5]])
    expected = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1)) + math.log(1 + math.exp(0.5))
    assert float(logistic(positive, negative)) == pytest.approx(expected, rel=1e-6)


def test_self_adversarial_by_hand():
    """Distances 1 (true), 2 and 4: weights softmax(-2, -4), no gradient through them."""
    positive, negative = torch.tensor([-1.0]), torch.tensor([[-2.0, -4.0]], requires_grad=True)
    weight = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))]

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    expected = (
        -math.log(sigmoid(3 - 1))
        - weight[0] * math.log(sigmoid(2 - 3))
        - weight[1] * math.log(sigmoid(4 - 3))
    )
    loss = self_adversarial(positive, negative, margin=3.0, temperature=1.0)
    assert float(loss.detach()) == pytest.approx(expected / 2, rel=1e-6)
    loss.backward()
    by_hand = [weight[0] * sigmoid(3 - 2) / 2, weight[1] * sigmoid(3 - 4) / 2]
    assert negative.grad[0].tolist() == pytest.approx(by_hand, rel=1e-5)


def test_power_adds_up_magnitudes():
    rows = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    assert float(power(rows, rows[:, :1], exponent=3)) == pytest.approx((1 + 8 + 27 + 1) / 2)
    assert float(power(rows, exponent=2)) == pytest.approx(14 / 2)
