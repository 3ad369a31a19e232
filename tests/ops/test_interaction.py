import pytest
import torch
from torch.nn.functional import leaky_relu

from kgrec.ops.backends import native
from kgrec.ops.dropout import dropout
from kgrec.ops.interaction import bi_interaction


def formula(ego, near, w1, b1, w2, b2, slope):
    return leaky_relu((ego + near) @ w1 + b1, slope) + leaky_relu((ego * near) @ w2 + b2, slope)


def tensors(nodes, dim_in, dim_out, dtype):
    generator = torch.Generator().manual_seed(nodes)
    shapes = (
        (nodes, dim_in),
        (nodes, dim_in),
        (dim_in, dim_out),
        (1, dim_out),
        (dim_in, dim_out),
        (1, dim_out),
    )
    return [
        torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes
    ]


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize("nodes", [0, 1, 5, 1000])
@pytest.mark.parametrize(
    ("dim_in", "dim_out"),
    [(64, 64), (64, 32), (32, 16), (16, 16), (16, 48), (5, 3), (1, 1), (17, 16)],
)
def test_value_and_gradients_are_those_of_the_formula_in_double_precision(
    monkeypatch, backend, nodes, dim_in, dim_out
):
    if backend == "native" and native.library() is None:
        pytest.skip("the compiled kernels were not built here (no C++ compiler)")
    if backend == "torch":
        monkeypatch.setattr(native, "takes", lambda *tables: False)
    parts = tensors(nodes, dim_in, dim_out, torch.float32)
    exact = [part.detach().double().requires_grad_() for part in parts]
    out, expected = bi_interaction(*parts, 0.2), formula(*exact, 0.2)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    upstream = torch.randn(nodes, dim_out, generator=torch.Generator().manual_seed(1))
    got = torch.autograd.grad(out, parts, upstream)
    wanted = torch.autograd.grad(expected, exact, upstream.double())
    for gradient, reference in zip(got, wanted, strict=True):
        assert float((gradient - reference).norm()) <= 1e-5 * float(reference.norm()) + 1e-12


def test_the_compiled_form_serves_sizes_of_whole_vectors_alone():
    if native.library() is None:
        pytest.skip("the compiled kernels were not built here (no C++ compiler)")
    assert native.takes_interaction(tuple(tensors(3, 32, 16, torch.float32)))
    assert not native.takes_interaction(tuple(tensors(3, 32, 15, torch.float32)))
    assert not native.takes_interaction(tuple(tensors(3, 8, 16, torch.float32)))
    assert not native.takes_interaction(tuple(tensors(3, 32, 16, torch.float64)))


def test_columns_that_lie_apart_are_read_as_they_are():
    parts = tensors(9, 32, 16, torch.float32)
    turned = [part.detach().T.contiguous().T.requires_grad_() for part in parts]
    upstream = torch.randn(16, 9).T
    results = [
        (out := bi_interaction(*some, 0.2), *torch.autograd.grad(out, some, upstream))
        for some in (parts, turned)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("sizes", [(64, 64), (32, 16), (5, 3)])
def test_dropout_within_is_dropout_after(sizes):
    parts = tensors(301, *sizes, torch.float32)
    upstream = torch.randn(301, sizes[1], generator=torch.Generator().manual_seed(1))
    drop = 0.3, 2**40 + 12345
    outs = bi_interaction(*parts, 0.2, drop), dropout(bi_interaction(*parts, 0.2), *drop)
    assert torch.equal(*outs)
    assert 0.25 < float((outs[0] == 0).float().mean()) < 0.35
    for one, other in zip(
        *(torch.autograd.grad(out, parts, upstream) for out in outs), strict=True
    ):
        assert torch.equal(one, other)


def test_the_number_of_threads_changes_no_bit():
    parts, upstream = (
        tensors(1003, 64, 32, torch.float32),
        torch.randn(1003, 32, generator=torch.Generator().manual_seed(1)),
    )
    results, threads = [], torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            out = bi_interaction(*parts, 0.2, (0.1, 7))
            results.append((out, *torch.autograd.grad(out, parts, upstream)))
    finally:
        torch.set_num_threads(threads)
    for some in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], some, strict=True))


def test_gradients_equal_finite_differences():
    parts = tensors(4, 3, 2, torch.float64)
    assert torch.autograd.gradcheck(lambda *args: bi_interaction(*args, 0.2), parts)
