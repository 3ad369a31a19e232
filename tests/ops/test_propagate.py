import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kgrec.errors import ConfigError
from kgrec.ops.backends import native
from kgrec.ops.csr import Csr, random_walk_weights, symmetric_weights
from kgrec.ops.propagate import poly, propagate, sddmm, segment_sum


def random_graph(seed, nodes=9):
    """A hub, parallel and repeated edges, a self-loop, and two isolated nodes (the last ones)."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(nodes - 2, size=(2, 15))
    a, b = np.concatenate([a, np.zeros(nodes - 2, np.int64), [3]]), np.concatenate([b, np.arange(nodes - 2), [3]])
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
    torch.testing.assert_close(propagate(x, graph, symmetric_weights(graph)), torch.tensor([[10.0], [2.0], [2.0], [0.0]]) / 2**0.5)


def test_given_reverse_weights_are_used():
    graph = GRAPHS[0]
    weight = random_walk_weights(graph, torch.float64)
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(graph.num_nodes, 2, dtype=torch.float64)
    (plain,) = torch.autograd.grad(propagate(x, graph, weight), x, upstream)
    (kept,) = torch.autograd.grad(propagate(x, graph, weight, weight[graph.rev]), x, upstream)
    (doubled,) = torch.autograd.grad(propagate(x, graph, weight, 2 * weight[graph.rev]), x, upstream)
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
@pytest.mark.parametrize("kept", [False, True])
def test_poly_is_the_sum_of_powers(graph, degree, kept):
    weight = symmetric_weights(graph, torch.float64)
    coefficients = tuple(np.random.default_rng(degree).normal(size=degree + 1).tolist())
    scratch = torch.full((graph.num_nodes, 2), torch.nan, dtype=torch.float64) if kept else None
    x = torch.randn(graph.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    before, power, expected = x.detach().clone(), x, torch.zeros_like(x)
    for coefficient in coefficients:
        expected, power = expected + coefficient * power, dense(graph, weight) @ power
    torch.testing.assert_close(poly(x, graph, weight, coefficients, scratch), expected)
    assert torch.equal(x, before)
    assert gradcheck(lambda x: poly(x, graph, weight, coefficients, scratch), x)


def test_results_survive_the_next_call_with_the_same_scratch():
    graph = GRAPHS[0]
    weight, scratch = symmetric_weights(graph), torch.empty(graph.num_nodes, 2)
    first = poly(torch.ones(graph.num_nodes, 2), graph, weight, (1.0, 1.0, 1.0), scratch)
    copy = first.clone()
    poly(torch.zeros(graph.num_nodes, 2), graph, weight, (1.0, 1.0, 1.0), scratch)
    assert torch.equal(first, copy)


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
    expected = torch.zeros(graph.num_nodes, 3, dtype=torch.float64).index_add(0, graph.destinations(), values)
    torch.testing.assert_close(segment_sum(values, graph), expected)
    assert not len(values) or gradcheck(lambda values: segment_sum(values, graph), values)


@pytest.mark.parametrize("graph", GRAPHS)
def test_sddmm_is_the_sampled_product(graph):
    a, b = torch.randn(2, graph.num_nodes, 3, dtype=torch.float64)
    torch.testing.assert_close(sddmm(graph, a, b), (a @ b.T)[graph.destinations(), graph.idx.long()])


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
    assert not [name for name in names if "coo" in name or "to_sparse" in name or "index_add" in name]
