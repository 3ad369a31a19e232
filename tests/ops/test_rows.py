import torch
from torch.nn.functional import normalize

from kgrec.ops.rows import take_rows, unit_rows


def test_rows_and_gradient_are_those_of_indexing():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(7, 3, generator=generator, dtype=torch.float64).requires_grad_()
    rows, weight = (
        torch.tensor([2, 2, 0, 6, 2]),
        torch.randn(5, 3, generator=generator, dtype=torch.float64),
    )
    torch.testing.assert_close(take_rows(table, rows), table[rows])
    found, expected = (
        torch.autograd.grad((f * weight).sum(), table)[0]
        for f in (take_rows(table, rows), table[rows])
    )
    torch.testing.assert_close(found, expected)


def test_the_gradient_is_the_same_every_time_on_several_threads():
    """Plain indexing fails this: its threads add to one row in any order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(50, 64, generator=generator).requires_grad_()
        rows, weight = (
            torch.randint(50, (20_000,), generator=generator),
            torch.randn(20_000, 64, generator=generator),
        )
        first, *others = (
            torch.autograd.grad((take_rows(table, rows) * weight).sum(), table)[0] for _ in range(6)
        )
        assert all(torch.equal(first, other) for other in others)
    finally:
        torch.set_num_threads(threads)


def test_unit_rows_and_their_gradient_are_those_of_normalize():
    x = torch.randn(7, 3, dtype=torch.float64)
    x[2] = 0
    x.requires_grad_()
    upstream = torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(unit_rows(x), normalize(x, dim=1))
    (got,) = torch.autograd.grad(unit_rows(x), x, upstream)
    (expected,) = torch.autograd.grad(normalize(x, dim=1), x, upstream)
    expected[2] = 0  # where normalize multiplies by 1e12
    torch.testing.assert_close(got, expected)
