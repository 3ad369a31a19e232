import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from kgrec.ops.backends import native
from kgrec.ops.csr import Csr
from kgrec.ops.softmax import edge_softmax, segment_softmax


def graph_of(pairs, nodes):
    a, b = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Csr.from_edges(np.concatenate([a, b]), np.concatenate([b, a]), nodes)[0]


GRAPHS = [
    graph_of([(0, i) for i in range(1, 7)] + [(2, 3), (2, 3), (4, 4)], 9),
    graph_of([], 2),
    graph_of([(0, 0)], 1),
]


@pytest.mark.parametrize("graph", GRAPHS)
def test_each_row_is_a_softmax(graph):
    score = torch.randn(graph.num_edges, dtype=torch.float64, requires_grad=True)
    rows = [torch.softmax(part, 0) for part in torch.split(score, graph.degree.tolist())]
    torch.testing.assert_close(edge_softmax(score, graph), torch.cat(rows))
    if len(score):
        assert gradcheck(lambda score: edge_softmax(score, graph), score)
        upstream = torch.randn(graph.num_edges, dtype=torch.float64)
        ours = torch.autograd.grad(edge_softmax(score, graph), score, upstream)
        theirs = torch.autograd.grad(
            torch.cat([torch.softmax(p, 0) for p in torch.split(score, graph.degree.tolist())]),
            score,
            upstream,
        )
        torch.testing.assert_close(ours, theirs)


def test_by_hand():
    graph = graph_of([(0, 1), (0, 2)], 3)
    weights = edge_softmax(torch.tensor([0.0, float(np.log(3.0)), 5.0, -5.0]), graph)
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.75, 1.0, 1.0]))


def test_huge_scores_do_not_overflow():
    graph = graph_of([(0, 1), (0, 2)], 3)
    weights = edge_softmax(torch.tensor([3e38, -3e38, 1e30, -1e30]), graph)
    assert weights.tolist() == [1.0, 0.0, 1.0, 1.0]


def test_scores_are_left_as_they_were():
    graph = GRAPHS[0]
    score = torch.randn(graph.num_edges)
    before = score.clone()
    edge_softmax(score, graph)
    assert torch.equal(score, before)


@pytest.mark.skipif(
    native.library() is None, reason="the compiled kernels were not built here (no C++ compiler)"
)
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 300.0])
def test_compiled_weights_are_those_of_double_precision(spread):
    rng = np.random.default_rng(0)
    a, b = (
        np.concatenate([np.zeros(5_000, np.int64), rng.integers(200, size=3_000)]),
        rng.integers(200, size=8_000),
    )
    graph = Csr.from_edges(np.concatenate([a, b]), np.concatenate([b, a]), 203)[0]
    score = spread * torch.randn(graph.num_edges, generator=torch.Generator().manual_seed(0))
    exact = edge_softmax(score.double(), graph)
    torch.testing.assert_close(edge_softmax(score, graph).double(), exact, rtol=2e-5, atol=1e-30)


def test_rows_over_what_is_kept():
    """Rows of three, two and no edges; the second keeps none."""
    ptr = torch.tensor([0, 3, 5, 5])
    score = torch.tensor([0.0, 9.0, np.log(3.0), 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    kept = torch.tensor([True, False, True, False, False])
    found = segment_softmax(score, ptr, kept)
    expected = torch.tensor([0.25, 0, 0.75, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(found, expected)
    assert gradcheck(lambda score: segment_softmax(score, ptr, kept), score)
    plain = segment_softmax(score.detach().float(), ptr, kept)
    torch.testing.assert_close(plain, expected.float())
