import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kgrec.errors import GraphError
from kgrec.ops.csr import Csr, random_walk_weights, symmetric_weights


@st.composite
def typed_graphs(draw):
    """Facts with relations in [0, 3); relation r + 3 is the inverse of r. Parallel facts, repeated
    facts and self-loops included.
    """
    nodes = draw(st.integers(1, 6))
    node = st.integers(0, nodes - 1)
    facts = draw(st.lists(st.tuples(node, st.integers(0, 2), node), max_size=20))
    both = facts + [(t, r + 3, h) for h, r, t in facts]
    columns = np.array(both, dtype=np.int64).reshape(-1, 3)
    return nodes, columns[:, 0], columns[:, 1], columns[:, 2]


def test_hand_computed():
    # 0 - 1, 0 - 2; node 3 alone
    graph, order = Csr.from_edges(np.array([0, 1, 0, 2]), np.array([1, 0, 2, 0]), 4)
    assert graph.ptr.tolist() == [0, 2, 3, 4, 4]
    assert graph.idx.tolist() == [1, 2, 0, 0]
    assert graph.rev.tolist() == [2, 3, 0, 1]
    assert order.tolist() == [0, 2, 1, 3]
    assert (graph.num_edges, graph.degree.tolist(), graph.destinations().tolist()) == (
        4,
        [2, 1, 1, 0],
        [0, 0, 1, 2],
    )
    assert graph.relation is None
    assert (graph.ptr.dtype, graph.idx.dtype, graph.rev.dtype, order.dtype) == (
        torch.int64,
        torch.int32,
        torch.int32,
        torch.int64,
    )


@given(typed_graphs())
def test_structure_is_the_sorted_input(world):
    nodes, head, relation, tail = world
    inverse = np.array([3, 4, 5, 0, 1, 2])
    graph, order = Csr.from_edges(head, tail, nodes, relation=relation, inverse=inverse)
    got = list(
        zip(graph.destinations().tolist(), graph.relation.tolist(), graph.idx.tolist(), strict=True)
    )
    assert got == sorted(zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True))
    assert sorted(order.tolist()) == list(range(len(head)))
    assert [(head[k], relation[k], tail[k]) for k in order.tolist()] == got
    for edge, back in enumerate(graph.rev.tolist()):
        h, r, t = got[edge]
        assert got[back] == (t, inverse[r], h)
        assert graph.rev[back] == edge


@given(typed_graphs())
def test_weights_are_those_of_the_dense_matrix(world):
    nodes, head, _, tail = world
    graph, _ = Csr.from_edges(head, tail, nodes)
    dense = np.zeros((nodes, nodes))
    np.add.at(dense, (head, tail), 1.0)
    degree = dense.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        symmetric = np.nan_to_num(dense / np.sqrt(np.outer(degree, degree)), nan=0.0, posinf=0.0)
        walk = np.nan_to_num(dense / degree[:, None], nan=0.0)
    weight = symmetric_weights(graph, torch.float64)
    assert torch.equal(weight, weight[graph.rev])
    for weights, expected in (
        (weight, symmetric),
        (random_walk_weights(graph, torch.float64), walk),
    ):
        got = np.zeros((nodes, nodes))
        np.add.at(got, (graph.destinations().numpy(), graph.idx.numpy()), weights.numpy())
        np.testing.assert_allclose(got, expected, atol=1e-12)
    assert symmetric_weights(graph).dtype == torch.float32


def test_one_node_and_no_edges():
    graph, order = Csr.from_edges(np.empty(0, np.int64), np.empty(0, np.int64), 1)
    assert (graph.ptr.tolist(), graph.num_edges, len(order), graph.degree.tolist()) == (
        [0, 0],
        0,
        0,
        [0],
    )
    assert len(symmetric_weights(graph)) == 0


def test_tensors_are_taken_too():
    graph, _ = Csr.from_edges(
        torch.tensor([0, 1], dtype=torch.int32), torch.tensor([1, 0], dtype=torch.int32), 2
    )
    moved = graph.to("cpu")
    assert moved.idx.tolist() == [1, 0]
    assert moved.num_nodes == 2


@pytest.mark.parametrize(
    ("edges", "settings", "message"),
    [
        (([0, 1, 0], [1, 0, 2]), {}, "from node 2 to node 0 has no reverse"),
        (([0, 1, 2], [1, 0, 0]), {}, "from node 0 to node 2 has no reverse"),
        (([0, 1], [1, 0]), {"relation": [0, 0], "inverse": [1, 0]}, "by relation 0 has no reverse"),
        (([0, 1], [1, 0]), {"relation": [0, 1], "inverse": [1, 1]}, "Pair the relations up"),
        (([0, 1], [1, 0]), {"relation": [0, 2], "inverse": [1, 0]}, "relation 2, outside 0..1"),
        (([0, 1], [1, 0]), {"relation": [0, 1], "inverse": [1, 7]}, "outside 0..1"),
        (([0, 3], [3, 0]), {}, "node 3, outside 0..2"),
        (([0, -1], [-1, 0]), {}, "node -1, outside 0..2"),
        (([0, 1], [1]), {}, "2 destinations, 1 sources"),
        (([0, 1], [1, 0]), {"relation": [0]}, "1 relations"),
    ],
)
def test_what_is_not_a_symmetric_graph_is_refused(edges, settings, message):
    arrays = {name: np.array(value) for name, value in settings.items()}
    with pytest.raises(GraphError, match=message):
        Csr.from_edges(np.array(edges[0]), np.array(edges[1]), 3, **arrays)


def test_too_many_nodes_are_refused():
    with pytest.raises(GraphError, match="Split the graph"):
        Csr.from_edges(np.array([0]), np.array([0]), 2**32)


def test_a_million_edges_in_seconds():
    rng = np.random.default_rng(0)
    a, b = rng.integers(70_000, size=(2, 500_000))
    start = time.perf_counter()
    graph, _ = Csr.from_edges(np.concatenate([a, b]), np.concatenate([b, a]), 70_000)
    assert graph.num_edges == 1_000_000
    assert time.perf_counter() - start < 5
