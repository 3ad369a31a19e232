import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kgrec.errors import ConfigError
from kgrec.ops.backends import native
from kgrec.ops.csr import Csr, random_walk_weights, symmetric_weights
from kgrec.ops.propagate import poly, poly_rows, propagate, propagate_beside, sddmm, segment_sum


def random_graph(seed, nodes=9):
    """A hub, parallel and repeated edges, a self-loop, and two isolated nodes (the last ones)."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(nodes - 2, size=(2, 15))
    a, b = (
        np.concatenate([a, np.zeros(nodes - 2, np.int64), [3]]),
        np.concatenate([b, np.arange(nodes - 2), [3]]),
    )
    return Csr.from_edges(np.concatenate([a, b]), np.concatenate([b, a]), nodes)[0]


def dense(graph, weight):
    matrix = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=weight.dtype)
    return matrix.index_put((graph.destinations(), graph.idx.long()), weight, accumulate=True)


NO_EDGES = Csr.from_edges(np.empty(0, np.int64), np.empty(0, np.int64), 3)[0]
ONE_NODE = Csr.from_edges(np.array([0, 0]), np.array([0, 0]), 1)[0]
GRAPHS = [random_graph(0), random_graph(1), NO_EDGES, ONE_NODE]


@pytest.mark.parametrize("graph", GRAPHS)
def test_propagate_is_the_dense_product(graph):
    x = torch.randn(graph.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(graph.num_edges, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(propagate(x, graph, weight), dense(graph, weight) @ x)
    assert gradcheck(lambda x, weight: propagate(x, graph, weight), (x, weight))
    upstream = torch.randn(graph.num_nodes, 3, dtype=torch.float64)
    ours = torch.autograd.grad(propagate(x, graph, weight), (x, weight), upstream)
    theirs = torch.autograd.grad(dense(graph, weight) @ x, (x, weight), upstream)
    torch.testing.assert_close(ours, theirs)


def test_propagate_by_hand():
    # 0 - 1, 0 - 2: symmetric weights are 1 / sqrt(2); node 3 alone
    graph, _ = Csr.from_edges(np.array([0, 1, 0, 2]), np.array([1, 0, 2, 0]), 4)
    x = torch.tensor([[2.0], [4.0], [6.0], [8.0]])
    torch.testing.assert_close(
        propagate(x, graph, symmetric_weights(graph)),
        torch.tensor([[10.0], [2.0], [2.0], [0.0]]) / 2**0.5,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("graph", GRAPHS[:2])
def test_propagate_beside_is_the_dense_product_and_the_rows(graph, last, dtype):
    x, weight = (
        torch.randn(graph.num_nodes, 3, dtype=dtype, requires_grad=True),
        torch.randn(graph.num_edges, dtype=dtype),
    )
    rows = torch.tensor([4, 0, 7])
    near = dense(graph, weight) @ x
    expected = (x[rows], x[rows], near[rows]) if last else (x[rows], x, near)
    got = propagate_beside(x, graph, weight, weight[graph.rev], rows, last=last)
    torch.testing.assert_close(got, expected)
    upstream = [torch.randn_like(part) for part in expected]
    torch.testing.assert_close(
        torch.autograd.grad(got, x, upstream), torch.autograd.grad(expected, x, upstream)
    )


def test_given_reverse_weights_are_used():
    graph = GRAPHS[0]
    weight = random_walk_weights(graph, torch.float64)
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    (plain,) = torch.autograd.grad(propagate(x, graph, weight), x, upstream)
    (kept,) = torch.autograd.grad(propagate(x, graph, weight, weight[graph.rev]), x, upstream)
    (doubled,) = torch.autograd.grad(
        propagate(x, graph, weight, 2 * weight[graph.rev]), x, upstream
    )
    assert torch.equal(plain, kept)
    torch.testing.assert_close(doubled, 2 * plain)


def test_single_precision_and_strided_input():
    graph = GRAPHS[0]
    weight = symmetric_weights(graph)
    x = torch.randn(3, graph.num_nodes).T.requires_grad_()
    y = propagate(x, graph, weight)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, dense(graph, weight) @ x)
    y.sum().backward()  # its gradient arrives expanded, with strides of 0
    torch.testing.assert_close(x.grad, dense(graph, weight).T @ torch.ones(graph.num_nodes, 3))


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("degree", range(6))
def test_poly_is_the_sum_of_powers(graph, degree):
    weight = symmetric_weights(graph, torch.float64)
    coefficients = tuple(np.random.default_rng(degree).normal(size=degree + 1).tolist())
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    before, power, expected = x.detach().clone(), x, torch.zeros_like(x)
    for coefficient in coefficients:
        expected, power = expected + coefficient * power, dense(graph, weight) @ power
    torch.testing.assert_close(poly(x, graph, weight, coefficients), expected)
    assert torch.equal(x, before)
    assert gradcheck(lambda x: poly(x, graph, weight, coefficients), x)


@pytest.fixture(params=["native", "torch"])
def backend(request, monkeypatch):
    """With the compiled kernels, where they are there, and without."""
    if request.param == "torch":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("the compiled kernels were not built here (no C++ compiler)")


ROW_GRAPHS = [
    (random_graph(0), [4, 0, 8]),
    (random_graph(1), []),
    (random_graph(1, nodes=40), list(range(40))),
    (NO_EDGES, [2]),
    (ONE_NODE, [0]),
]


@pytest.mark.parametrize(("graph", "rows"), ROW_GRAPHS)
@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
def test_rows_of_a_polynomial_are_those_of_the_whole_with_both_gradients(
    backend, graph, rows, layers
):
    rows = torch.tensor(rows, dtype=torch.int64)
    draw = torch.Generator().manual_seed(layers)
    coefficients = torch.rand(layers + 1, generator=draw).tolist()
    start = torch.randn(graph.num_nodes, 33, generator=draw)
    upstream = torch.randn(2, len(rows), 33, generator=draw)
    x, exact = start.clone().requires_grad_(), start.double().requires_grad_()
    ours = poly_rows(x, graph, symmetric_weights(graph), coefficients, rows)
    adjacency, whole, power = dense(graph, symmetric_weights(graph, torch.float64)), 0, exact
    for number, coefficient in enumerate(coefficients):
        power = adjacency @ power if number else exact
        whole = whole + coefficient * power
    theirs = whole[rows], exact[rows]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)
    (to_x,) = torch.autograd.grad(ours, x, list(upstream))
    (to_exact,) = torch.autograd.grad(theirs, exact, list(upstream.double()))
    torch.testing.assert_close(to_x.double(), to_exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("graph", "rows"), ROW_GRAPHS)
def test_rows_of_a_product_are_those_of_the_whole(backend, graph, rows):
    rows = torch.tensor(rows, dtype=torch.int64)
    draw = torch.Generator().manual_seed(0)
    start, weight = (
        torch.randn(graph.num_nodes, 65, generator=draw),
        torch.randn(graph.num_edges, generator=draw),
    )
    upstream = torch.randn(len(rows), 65, generator=draw)
    x, exact = start.clone().requires_grad_(), start.double().requires_grad_()
    ours, theirs = (
        propagate(x, graph, weight, rows=rows),
        (dense(graph, weight.double()) @ exact)[rows],
    )
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
    (to_x,), (to_exact,) = (
        torch.autograd.grad(ours, x, upstream),
        torch.autograd.grad(theirs, exact, upstream.double()),
    )
    torch.testing.assert_close(to_x.double(), to_exact, rtol=1e-5, atol=1e-5)


def test_rows_of_a_product_give_gradients_to_weights():
    graph, rows = GRAPHS[0], torch.tensor([4, 0])
    weight = torch.randn(graph.num_edges, dtype=torch.float64, requires_grad=True)
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    assert gradcheck(lambda weight: propagate(x, graph, weight, rows=rows), weight)


def test_poly_refuses_what_it_cannot_do():
    graph = GRAPHS[0]
    x, weight = torch.randn(graph.num_nodes, 2), symmetric_weights(graph)
    with pytest.raises(ConfigError, match="at least one coefficient"):
        poly(x, graph, weight, ())
    with pytest.raises(ConfigError, match="Use propagate"):
        poly(x, graph, weight.requires_grad_(), (1.0, 1.0))


@pytest.mark.parametrize("graph", GRAPHS)
def test_segment_sum_adds_each_nodes_edges(graph):
    values = torch.randn(graph.num_edges, 3, dtype=torch.float64, requires_grad=True)
    expected = torch.zeros(graph.num_nodes, 3, dtype=torch.float64).index_add(
        0, graph.destinations(), values
    )
    torch.testing.assert_close(segment_sum(values, graph), expected)
    assert not len(values) or gradcheck(lambda values: segment_sum(values, graph), values)


@pytest.mark.parametrize("graph", GRAPHS)
def test_sddmm_is_the_sampled_product(graph):
    a, b = torch.randn(2, graph.num_nodes, 3, dtype=torch.float64)
    torch.testing.assert_close(
        sddmm(graph, a, b), (a @ b.T)[graph.destinations(), graph.idx.long()]
    )


def test_no_transpose_and_no_coo_in_a_step(monkeypatch):
    monkeypatch.setattr(native, "library", lambda: None)
    graph = GRAPHS[0]
    weight = symmetric_weights(graph).requires_grad_()
    x = torch.randn(graph.num_nodes, 2, requires_grad=True)
    with torch.profiler.profile() as profile:
        propagate(x, graph, weight).square().sum().backward()
        poly(x, graph, weight.detach(), (0.5, 0.5)).square().sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert "aten::addmm" in names
    assert not [
        name for name in names if "coo" in name or "to_sparse" in name or "index_add" in name
    ]
