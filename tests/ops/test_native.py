import numpy as np
import pytest
import torch

from kgrec.ops.backends import native
from kgrec.ops.csr import Csr
from kgrec.ops.propagate import poly, propagate, sddmm

needs_kernels = pytest.mark.skipif(
    native.library() is None, reason="the compiled kernels were not built here (no C++ compiler)"
)


def hub_graph(nodes=3_000, spokes=100_000, seed=0):
    """A hub with very many edges, random others, repeated ones, and isolated nodes at the end."""
    rng = np.random.default_rng(seed)
    a = np.concatenate([np.zeros(spokes, np.int64), rng.integers(nodes - 5, size=4_000)])
    b = rng.integers(nodes - 5, size=len(a))
    return Csr.from_edges(np.concatenate([a, b]), np.concatenate([b, a]), nodes)[0]


def reference(graph, weight, x):
    """The product in float64, edge by edge."""
    out = torch.zeros(graph.num_nodes, x.shape[1], dtype=torch.float64)
    return out.index_add_(
        0, graph.destinations(), x.double()[graph.idx.long()] * weight.double().unsqueeze(1)
    )


@needs_kernels
@pytest.mark.parametrize("dim", [1, 7, 31, 32, 33, 64, 65, 100, 176])
def test_products_agree_with_double_precision(dim):
    graph = hub_graph(spokes=3_000)
    generator = torch.Generator().manual_seed(dim)
    x, y = (torch.randn(graph.num_nodes, dim, generator=generator) for _ in range(2))
    weight = torch.rand(graph.num_edges, generator=generator)
    torch.testing.assert_close(
        propagate(x, graph, weight).double(), reference(graph, weight, x), rtol=1e-5, atol=1e-3
    )
    out = torch.empty_like(x)
    native.spmm(graph.ptr, graph.idx, weight, x, out, y, alpha=0.5, beta=2.0)
    torch.testing.assert_close(
        out.double(), 2 * reference(graph, weight, x) + y.double() / 2, rtol=1e-5, atol=1e-3
    )
    dots = (x.double()[graph.destinations()] * y.double()[graph.idx.long()]).sum(1)
    torch.testing.assert_close(sddmm(graph, x, y).double(), dots, rtol=1e-5, atol=1e-4)


@needs_kernels
def test_both_backends_give_the_same_polynomial(monkeypatch):
    graph = hub_graph(spokes=3_000)
    weight = torch.full((graph.num_edges,), 0.01)
    x = torch.randn(graph.num_nodes, 48, generator=torch.Generator().manual_seed(0))
    for coefficients in ((1.0,), (0.5, 0.5), (0.25,) * 4, (0.0, 1.0, 0.0)):
        ours = poly(x, graph, weight, coefficients)
        with monkeypatch.context() as patch:
            patch.setattr(native, "library", lambda: None)
            torch.testing.assert_close(
                ours, poly(x, graph, weight, coefficients), rtol=1e-4, atol=1e-5
            )


@needs_kernels
def test_the_number_of_threads_changes_no_bit(monkeypatch):
    graph = hub_graph()
    generator = torch.Generator().manual_seed(0)
    x, weight = (
        torch.randn(graph.num_nodes, 64, generator=generator),
        torch.rand(graph.num_edges, generator=generator),
    )
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append((propagate(x, graph, weight), sddmm(graph, x, x)))
    assert all(
        torch.equal(product, found[0][0]) and torch.equal(dots, found[0][1])
        for product, dots in found
    )


@needs_kernels
def test_a_graph_without_edges_gives_zeros():
    graph, _ = Csr.from_edges(np.empty(0, np.int64), np.empty(0, np.int64), 3)
    assert torch.equal(propagate(torch.ones(3, 5), graph, torch.empty(0)), torch.zeros(3, 5))


def test_the_variable_leaves_the_kernels_out(monkeypatch):
    native.library.cache_clear()
    monkeypatch.setenv("KGREC_BACKEND", "torch")
    try:
        assert native.name() == "torch"
        assert not native.takes(torch.zeros(1))
    finally:
        native.library.cache_clear()


def test_a_library_that_is_no_library_is_left_out(monkeypatch, tmp_path):
    (tmp_path / "_native.so").write_bytes(b"not a library")
    native.library.cache_clear()
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    try:
        assert native.library() is None
    finally:
        native.library.cache_clear()


def test_double_precision_and_strided_input_take_their_own_ways():
    graph = hub_graph(spokes=50)
    weight = torch.rand(graph.num_edges, dtype=torch.float64)
    x = torch.randn(8, graph.num_nodes, dtype=torch.float64).T
    torch.testing.assert_close(propagate(x, graph, weight), reference(graph, weight, x))
    torch.testing.assert_close(
        propagate(x.float(), graph, weight.float()),
        reference(graph, weight, x).float(),
        rtol=1e-4,
        atol=1e-4,
    )
