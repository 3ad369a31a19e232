"""Drawn neighbors: every set alike, against a brute force, wherever the graph is."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader, NodeLoader

from kgrec.errors import GraphError
from kgrec.nn.light import LightPropagation
from kgrec.ops.backends import native
from kgrec.ops.csr import Csr, symmetric_weights
from kgrec.ops.csr_files import csr_on_disk
from kgrec.ops.neighbors import draw_neighbors
from kgrec.ops.pyg_sampler import CsrSampler
from tests.ops.test_csr_files import graphs, in_blocks


def star(leaves):
    """Node 0 with so many neighbors, and a node without any at the end."""
    pairs = np.array([(0, leaf) for leaf in range(1, leaves + 1)]).reshape(-1, 2)
    edges = np.r_[pairs, pairs[:, ::-1]]
    return Csr.from_edges(edges[:, 0], edges[:, 1], leaves + 2)[0]


def large(seed=0, nodes=60, count=400):
    pairs = np.unique(np.random.default_rng(seed).integers(0, nodes - 2, (count, 2)), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    edges = np.r_[pairs, pairs[:, ::-1]]
    return Csr.from_edges(edges[:, 0], edges[:, 1], nodes)


def triples_of(drawn):
    ends = drawn.nodes[drawn.destination], drawn.nodes[drawn.source], drawn.edge
    return list(zip(*(part.tolist() for part in ends), strict=True))


@pytest.mark.parametrize(("degree", "count"), [(5, 2), (5, 4), (6, 3), (3, 1)])
def test_every_set_is_drawn_alike(degree, count):
    """Chi-square of the sets that 500 nodes a set draw among the same neighbors."""
    sets = list(itertools.combinations(range(degree), count))
    tries = 500 * len(sets)
    pairs = np.array(list(itertools.product(range(degree, degree + tries), range(degree))))
    edges = np.r_[pairs, pairs[:, ::-1]]
    graph, _ = Csr.from_edges(edges[:, 0], edges[:, 1], degree + tries)
    drawn = draw_neighbors(graph, torch.arange(degree, degree + tries), [count], 7)
    rows = drawn.nodes[drawn.source].view(tries, count).sort(1).values
    seen = Counter(map(tuple, rows.tolist()))
    assert seen.keys() == set(sets)
    statistic = sum((seen[some] - 500) ** 2 / 500 for some in sets)
    freedom = len(sets) - 1
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5
    # and neighboring nodes draw apart: as often the same as by chance
    same = (rows[1:] == rows[:-1]).all(1).double().mean()
    chance = 1 / len(sets)
    assert abs(float(same) - chance) < 4 * (chance / tries) ** 0.5


@settings(max_examples=60)
@given(graphs(), st.lists(st.integers(-1, 4), max_size=3), st.integers(0, 2**62), st.data())
def test_what_is_drawn_is_of_the_graph(world, fanouts, key, data):
    """Against a walk over Python's sets: which nodes, which edges, how many, where."""
    count, edges = world
    graph, _ = Csr.from_edges(edges[:, 0], edges[:, 1], count)
    asked = data.draw(st.lists(st.integers(0, count - 1), unique=True))
    drawn = draw_neighbors(graph, torch.tensor(asked, dtype=torch.int64), fanouts, key)
    found = triples_of(drawn)
    where = graph.destinations().tolist()
    assert all((d, s) == (where[e], int(graph.idx[e])) for d, s, e in found)
    assert len({edge for *_, edge in found}) == len(found)
    assert drawn.nodes[: len(asked)].tolist() == asked

    met, frontier, at = list(asked), list(asked), 0
    for hop, fanout in enumerate(fanouts):
        expected = {
            node: where.count(node) if fanout < 0 else min(fanout, where.count(node))
            for node in frontier
        }
        of_hop = found[at : at + drawn.drawn[hop]]
        assert Counter(node for node, *_ in of_hop) == Counter(expected)
        at += len(of_hop)
        frontier = sorted({source for _, source, _ in of_hop} - set(met))
        assert drawn.hops[hop + 1] == len(frontier)
        met += frontier
    assert drawn.nodes.tolist() == met
    assert at == len(found)
    for node, (_, _, edge), stands_for in zip(
        drawn.nodes[drawn.destination].tolist(), found, drawn.stands_for.tolist(), strict=True
    ):
        own = sum(1 for one, *_ in found if one == node)
        assert stands_for == pytest.approx(where.count(node) / own)
        assert graph.ptr[node] <= edge < graph.ptr[node + 1]


def test_a_part_of_the_batch_draws_what_the_whole_draws(tmp_path):
    """And a mapped graph what one in memory does; another key or hop draws otherwise."""
    graph, _ = large()
    where = graph.destinations().numpy()
    mapped = csr_on_disk(in_blocks(where, graph.idx.numpy(), 50), graph.num_nodes, tmp_path)
    nodes = torch.arange(40)
    whole = draw_neighbors(graph, nodes, [3, 2], 9)
    assert triples_of(whole) == triples_of(draw_neighbors(mapped, nodes, [3, 2], 9))
    parts = [draw_neighbors(graph, nodes[some], [3], 9) for some in (slice(15), slice(15, 40))]
    assert sorted(triples_of(whole)[: whole.drawn[0]]) == sorted(
        triples_of(parts[0]) + triples_of(parts[1])
    )
    assert triples_of(whole) != triples_of(draw_neighbors(graph, nodes, [3, 2], 10))


@pytest.mark.parametrize("fanouts", [(3, 2), (-1, 2, 1), (2, 0), (9, 9), ()])
def test_torch_and_the_compiled_kernels_draw_the_same(fanouts, monkeypatch):
    if native.library() is None:
        pytest.skip("the compiled kernels are not built")
    graph, _ = large()
    key = (1 << 63) - 25 + len(fanouts)
    nodes = torch.tensor([59, 3, 41, 0, 17, 22, 58, 7])
    compiled = draw_neighbors(graph, nodes, fanouts, key)
    monkeypatch.setattr(native, "library", lambda: None)
    plain = draw_neighbors(graph, nodes, fanouts, key)
    for name in ("nodes", "destination", "source", "edge", "stands_for"):
        assert torch.equal(getattr(compiled, name), getattr(plain, name)), name
    assert (compiled.hops, compiled.drawn) == (plain.hops, plain.drawn)


def test_degenerate_requests():
    graph = star(4)
    lonely = draw_neighbors(graph, torch.tensor([5]), [3, 3], 0)
    assert (lonely.nodes.tolist(), lonely.drawn, lonely.hops) == ([5], (0, 0), (1, 0, 0))
    none = draw_neighbors(graph, torch.tensor([0, 5]), [0], 0)
    assert (none.nodes.tolist(), none.drawn) == ([0, 5], (0,))
    nobody = draw_neighbors(graph, torch.tensor([], dtype=torch.int64), [2, -1], 0)
    assert (nobody.hops, nobody.drawn) == ((0, 0, 0), (0, 0))
    alone = draw_neighbors(graph, torch.tensor([2]), [], 0)
    assert (alone.nodes.tolist(), alone.hops, alone.drawn) == ([2], (1,), ())
    every = draw_neighbors(graph, torch.tensor([0]), [99], 0)
    assert sorted(every.nodes.tolist()) == [0, 1, 2, 3, 4]
    assert every.stands_for.tolist() == [1.0] * 4
    for wrong, message in (
        (([0, 6], [1]), "node 6 is outside 0..5"),
        (([-1], [1]), "node -1 is outside"),
        (([3, 0, 3], [1]), "node 3 is asked for twice"),
        (([0], [2, -2]), "fanouts"),
    ):
        with pytest.raises(GraphError, match=message):
            draw_neighbors(graph, torch.tensor(wrong[0]), wrong[1], 0)


def test_propagation_over_drawn_edges_is_that_over_all_on_average():
    """Exactly where every edge is drawn, gradients too; in the mean over draws otherwise."""
    graph, _ = large()
    weight = symmetric_weights(graph, torch.float64)
    x = torch.randn(graph.num_nodes, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    rows = torch.tensor([4, 50, 0, 59])  # the last one has no edge
    whole = LightPropagation(2)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    z, start = whole.rows(a, graph, weight, rows)
    drawn, own = LightPropagation(2, fanouts=(99, 99)).rows(b, graph, weight, rows)
    assert torch.allclose(drawn, z, atol=1e-14)
    assert torch.equal(own, start)
    (z.square().sum() + start.sum()).backward()
    (drawn.square().sum() + own.sum()).backward()
    assert torch.allclose(a.grad, b.grad, atol=1e-13)

    some, z = LightPropagation(2, fanouts=(3, 2)), z.detach()
    tries = torch.stack([some.rows(x, graph, weight, rows)[0] for _ in range(400)])
    error = (tries.mean(0) - z).abs() / (tries.std(0) / 400**0.5).clamp(min=1e-12)
    assert float(error[:3].max()) < 4.5
    assert torch.equal(tries[:, 3], z[3].expand(400, 3))
    assert float(tries.std(0)[:3].min()) > 0
    assert torch.equal(some.eval().rows(x, graph, weight, rows)[0], z)


def test_pyg_loads_by_it():
    """Loaders get edges and features of the data, whatever the order of its edges."""
    graph, order = large(1)
    where = graph.destinations()
    edge_index = torch.empty(2, graph.num_edges, dtype=torch.int64)
    edge_index[:, order] = torch.stack([graph.idx.long(), where])
    data = Data(
        x=torch.arange(graph.num_nodes).unsqueeze(1) * 10,
        edge_index=edge_index,
        edge_attr=torch.arange(graph.num_edges),
        num_nodes=graph.num_nodes,
    )
    sampler = CsrSampler(graph, [4, 3], order)
    torch.manual_seed(5)
    loader = NodeLoader(data, sampler, input_nodes=torch.arange(30), batch_size=8)
    seen = []
    for batch in loader:
        seen += batch.n_id[: batch.batch_size].tolist()
        assert torch.equal(batch.x[:, 0], batch.n_id * 10)
        assert torch.equal(batch.n_id[batch.edge_index], edge_index[:, batch.edge_attr])
        degree = torch.bincount(batch.edge_index[1], minlength=len(batch.n_id))
        full = graph.degree[batch.n_id[: batch.batch_size]]
        assert torch.equal(degree[: batch.batch_size], full.clamp(max=4))
    assert seen == list(range(30))

    links = LinkLoader(data, sampler, edge_label_index=edge_index[:, :20], batch_size=10)
    for batch, ends in zip(links, edge_index[:, :20].split(10, 1), strict=True):
        assert torch.equal(batch.n_id[batch.edge_label_index], ends)
