"""Sums over values, and a network over two sides, against dense matrices."""

import torch

from kgrec.nn.fields import TwoSided, ValueSums


def test_sums_of_values_are_a_sparse_product_with_its_gradient():
    row, value = torch.tensor([3, 0, 3, 1, 3]), torch.tensor([1, 0, 4, 2, 0])
    x = torch.tensor([0.5, 1.0, -2.0, 3.0, 0.25], dtype=torch.float64)
    dense = torch.zeros(5, 6, dtype=torch.float64).index_put((row, value), x)
    sums = ValueSums(row, value, x, 5, 6)
    table = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(sums(table), dense @ table)
    weight = torch.randn(5, 3, dtype=torch.float64)
    (found,) = torch.autograd.grad((sums(table) * weight).sum(), table)
    torch.testing.assert_close(found, dense.T @ weight)
    single = table.detach().float().requires_grad_()
    torch.testing.assert_close(sums.float()(single), (dense @ table).float())


def test_a_network_over_two_sides_is_one_over_both():
    network = TwoSided((2, 3), (4, 3), torch.Generator().manual_seed(0), dropout=0.5).eval()
    with torch.no_grad():
        network.offset.copy_(torch.tensor([0.1, -0.1, 0.2, 0.3]))
        left, right = torch.randn(5, 2), torch.randn(7, 3)
        found = network((left @ network.left).unsqueeze(1), right @ network.right)
        assert found.shape == (5, 7, 1)
        both = torch.cat([left[4], right[2]]) @ torch.cat([network.left, network.right])
        dense = next(part for part in network.rest if isinstance(part, torch.nn.Linear))
        hidden = torch.relu(dense(torch.relu(both + network.offset)))
        torch.testing.assert_close(found[4, 2], hidden @ network.head)
