import math

import pytest
import torch

from kgrec.nn.losses import bpr, cosine_softmax, l2, translation_ranking


def test_bpr_is_stable_where_the_sigmoid_underflows():
    assert float(bpr(torch.tensor([-1000.0]), torch.tensor([0.0]))) == pytest.approx(1000.0)
    assert float(bpr(torch.tensor([2.0, -1.5]).double(), torch.zeros(2).double())) == pytest.approx(0.914171, abs=1e-6)


def test_l2_is_half_the_squares_over_the_batch():
    assert float(l2(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))) == (25 + 2) / 2 / 2


def test_cosine_softmax_of_two_opposite_items():
    users, items = torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 0.0], [-0.1, 0.0]])
    expected = math.log(1 + math.exp(-2 / 0.5))
    assert float(cosine_softmax(users, items, torch.tensor([0]), 0.5)) == pytest.approx(expected, rel=1e-5)


def test_translation_ranking_prefers_low_energies():
    assert float(translation_ranking(torch.tensor([1.13]).double(), torch.tensor([4.36]).double())) == pytest.approx(0.038795, abs=1e-6)
