import pytest
import torch

from kgrec.ops.backends import native
from kgrec.ops.pairwise import bpr_rows


def by_hand(users, items, user, positive, negative, l2_weight, item_l2_weight, bias):
    """Pair by pair."""
    total = users.new_zeros(())
    for u, p, n in zip(user.tolist(), positive.tolist(), negative.tolist(), strict=True):
        margin = (
            users[u] @ items[n] - users[u] @ items[p] + (0 if bias is None else bias[n] - bias[p])
        )
        norms = l2_weight * users[u] @ users[u] + item_l2_weight * (
            items[p] @ items[p] + items[n] @ items[n]
        )
        total = total + torch.log1p(margin.exp()) + norms / 2
    return total / len(user)


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("dim", [1, 16, 33, 64])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("one_table", [False, True])
def test_value_and_gradients_as_pair_by_pair_in_double_precision(
    monkeypatch, backend, dim, biased, one_table
):
    if backend == "torch":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("the compiled kernels were not built here (no C++ compiler)")
    generator = torch.Generator().manual_seed(dim)
    tables = [
        torch.randn(9, dim, generator=generator) / dim**0.5,
        torch.randn(9, dim, generator=generator),
        torch.randn(9, generator=generator),
    ]
    rows = torch.randint(9, (3, 50), generator=generator)  # each row several times
    rows[:, :5] = 0
    found = []
    for number in (torch.float32, torch.float64):
        users, items, bias = (table.detach().to(number).requires_grad_() for table in tables)
        items = users if one_table else items
        inputs = [users, *([] if one_table else [items]), *([bias] if biased else [])]
        if number == torch.float64:
            loss = by_hand(users, items, *rows, 0.3, 0.7, bias if biased else None)
        else:
            loss = bpr_rows(
                users,
                items,
                *rows,
                l2_weight=0.3,
                item_l2_weight=0.7,
                bias=bias if biased else None,
            )
        found.append((loss, *torch.autograd.grad(3 * loss, inputs)))
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-5, atol=1e-6)


def test_one_weight_serves_users_and_items():
    table, rows = (
        torch.randn(5, 4, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[0, 1], [2, 3], [4, 0]]),
    )
    assert bpr_rows(table, table, *rows, l2_weight=0.5) == bpr_rows(
        table, table, *rows, l2_weight=0.5, item_l2_weight=0.5
    )
    assert bpr_rows(table, table, *rows, l2_weight=0.5) > bpr_rows(table, table, *rows)
