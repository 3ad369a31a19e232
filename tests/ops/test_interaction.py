import pytest
import torch
from torch.nn.functional import leaky_relu

from kgrec.ops.backends import native
from kgrec.ops.interaction import bi_interaction


def formula(ego, near, w1, b1, w2, b2, slope):
    return leaky_relu((ego + near) @ w1 + b1, slope) + leaky_relu((ego * near) @ w2 + b2, slope)


def tensors(nodes, dim_in, dim_out, dtype):
    generator = torch.Generator().manual_seed(nodes)
    shapes = ((nodes, dim_in), (nodes, dim_in), (dim_in, dim_out), (1, dim_out), (dim_in, dim_out), (1, dim_out))
    return [torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("backend", ["native", "torch"])
@pytest.mark.parametrize(("nodes", "dim_in", "dim_out"), [(0, 4, 3), (1, 1, 1), (7, 5, 3), (50, 64, 32), (3000, 16, 64)])
def test_value_and_gradients_are_those_of_the_formula_in_double_precision(monkeypatch, backend, nodes, dim_in, dim_out):
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


def test_gradients_equal_finite_differences():
    parts = tensors(4, 3, 2, torch.float64)
    assert torch.autograd.gradcheck(lambda *args: bi_interaction(*args, 0.2), parts)
