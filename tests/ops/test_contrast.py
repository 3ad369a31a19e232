import pytest
import torch
from torch.nn.functional import cross_entropy

from kgrec.ops import contrast


@pytest.mark.parametrize("cells", [1, 40, 1 << 20])
def test_loss_and_gradients_are_those_of_cross_entropy(cells, monkeypatch):
    monkeypatch.setattr(contrast, "_CELLS_AT_ONCE", cells)
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, 5, generator=generator, dtype=torch.float64).requires_grad_() for n in (17, 11))
    positive = torch.randint(11, (17,), generator=generator)
    expected = cross_entropy(users @ items.T, positive)
    to_users, to_items = torch.autograd.grad(3 * expected, (users, items))
    found = contrast.softmax_rows(users, items, positive)
    mine = torch.autograd.grad(3 * found, (users, items))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(mine, (to_users, to_items))


def test_scores_far_apart_do_not_overflow():
    users, items = torch.tensor([[1000.0]]), torch.tensor([[1.0], [-1.0], [0.0]])
    assert float(contrast.softmax_rows(users, items, torch.tensor([1]))) == 2000.0
    assert float(contrast.softmax_rows(users, items, torch.tensor([0]))) == 0.0
