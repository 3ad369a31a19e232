import pytest
import torch
from torch.nn.functional import cross_entropy

from kgrec.ops import contrast


@pytest.mark.parametrize("cells", [1, 40, 1 << 20])
def test_loss_and_gradients_are_those_of_cross_entropy(cells, monkeypatch):
    monkeypatch.setattr(contrast, "_CELLS_AT_ONCE", cells)
    generator = torch.Generator().manual_seed(0)
    users, items = (
        torch.randn(n, 5, generator=generator, dtype=torch.float64).requires_grad_()
        for n in (17, 11)
    )
    positive = torch.randint(11, (17,), generator=generator)
    expected = cross_entropy(users @ items.T, positive)
    to_users, to_items = torch.autograd.grad(3 * expected, (users, items))
    found = contrast.softmax_rows(users, items, positive)
    mine = torch.autograd.grad(3 * found, (users, items))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(mine, (to_users, to_items))


@pytest.mark.parametrize("cells", [1, 40, 1 << 20])
def test_a_row_per_user_gives_what_a_row_per_interaction_does(cells, monkeypatch):
    """Users with no, one and several items, one of them twice, against cross entropy."""
    monkeypatch.setattr(contrast, "_CELLS_AT_ONCE", cells)
    generator = torch.Generator().manual_seed(0)
    users, items = (
        torch.randn(n, 5, generator=generator, dtype=torch.float64).requires_grad_()
        for n in (6, 11)
    )
    row = torch.tensor([0, 2, 2, 2, 3, 3, 5])
    positive = torch.tensor([4, 1, 1, 7, 10, 0, 4])
    expected = cross_entropy(users[row] @ items.T, positive)
    found = contrast.softmax_sets(users, items, row, positive)
    torch.testing.assert_close(found, expected)
    theirs = torch.autograd.grad(3 * expected, (users, items))
    torch.testing.assert_close(torch.autograd.grad(3 * found, (users, items)), theirs)
    far = contrast.softmax_sets(1e4 * users, items, row, positive)
    assert torch.isfinite(far)


@pytest.mark.parametrize("cells", [1, 40, 1 << 20])
def test_a_softmax_over_choices_is_cross_entropy(cells, monkeypatch):
    monkeypatch.setattr(contrast, "_GATHERED_AT_ONCE", cells)
    generator = torch.Generator().manual_seed(0)
    rows, table = (
        torch.randn(n, 5, generator=generator, dtype=torch.float64).requires_grad_() for n in (7, 9)
    )
    chosen = torch.randint(9, (7, 4), generator=generator)
    chosen[0] = 3  # the same choice several times
    scores = (rows.unsqueeze(1) * table[chosen]).sum(2)
    expected = cross_entropy(scores, torch.zeros(7, dtype=torch.int64))
    found = contrast.softmax_of_some(rows, table, chosen)
    torch.testing.assert_close(found, expected)
    theirs = torch.autograd.grad(3 * expected, (rows, table))
    torch.testing.assert_close(torch.autograd.grad(3 * found, (rows, table)), theirs)


def test_scores_far_apart_do_not_overflow():
    users, items = torch.tensor([[1000.0]]), torch.tensor([[1.0], [-1.0], [0.0]])
    assert float(contrast.softmax_rows(users, items, torch.tensor([1]))) == 2000.0
    assert float(contrast.softmax_rows(users, items, torch.tensor([0]))) == 0.0


@pytest.mark.parametrize("cells", [1, 40, 1 << 20])
@pytest.mark.parametrize("weight", [1, 7.5])
def test_sampled_loss_and_gradients_are_those_of_a_loop(cells, weight, monkeypatch):
    monkeypatch.setattr(contrast, "_CELLS_AT_ONCE", cells)
    generator = torch.Generator().manual_seed(1)
    parts = [
        torch.randn(size, 4, generator=generator, dtype=torch.float64).requires_grad_()
        for size in (9, 9, 6)
    ]
    same = torch.arange(9) % 5, torch.tensor([0, 1, 1, 7, 8, 9])
    users, items, negatives = parts
    losses = []
    for row in range(9):
        own = users[row] @ items[row]
        others = [users[row] @ negatives[n] for n in range(6) if same[1][n] != same[0][row]]
        losses.append(torch.log(own.exp() + weight * torch.stack(others).exp().sum()) - own)
    expected = torch.stack(losses).mean()
    got = contrast.sampled_softmax_rows(*parts, same, weight)
    torch.testing.assert_close(got, expected)
    for ours, reference in zip(
        torch.autograd.grad(got, parts), torch.autograd.grad(expected, parts), strict=True
    ):
        torch.testing.assert_close(ours, reference)


def test_all_items_drawn_once_make_the_whole_softmax():
    generator = torch.Generator().manual_seed(2)
    users, items = (torch.randn(size, 4, generator=generator) for size in (5, 8))
    positive, every = torch.tensor([0, 3, 7, 7, 1]), torch.arange(8)
    got = contrast.sampled_softmax_rows(users, items[positive], items, (positive, every))
    torch.testing.assert_close(got, contrast.softmax_rows(users, items, positive))
