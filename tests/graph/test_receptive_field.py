"""Balls against breadth-first search by networkx, and weights that add up to a whole against a
loop.
"""

import networkx as nx
import numpy as np
import pytest
import torch

from kgrec.graph.receptive_field import Ball, removal_effect, renormalized


def random_graph(seed, nodes=14, edges=24):
    rng = np.random.default_rng(seed)
    row, column, relation = (
        rng.integers(nodes, size=edges),
        rng.integers(nodes, size=edges),
        rng.integers(3, size=edges),
    )
    return torch.from_numpy(row), torch.from_numpy(column), torch.from_numpy(relation)


@pytest.mark.parametrize("hops", [0, 1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_a_ball_holds_every_edge_that_matters_and_no_other(seed, hops):
    row, column, relation = random_graph(seed)
    few = [3, 11]
    ball = Ball.around(few, hops, row, column, 14, relation, 3)
    graph = nx.DiGraph(zip(row.tolist(), column.tolist(), strict=True))
    graph.add_nodes_from(range(14))
    far = nx.multi_source_dijkstra_path_length(graph, few)
    assert ball.nodes[:2].tolist() == few
    assert sorted(ball.nodes.tolist()) == sorted(
        node for node, distance in far.items() if distance <= hops
    )
    distances = [far[node] for node in ball.nodes.tolist()]
    assert distances == sorted(distances)
    wanted = [n for n, to in enumerate(row.tolist()) if far.get(to, hops) < hops]
    assert sorted(ball.edges.tolist()) == wanted
    assert torch.equal(ball.nodes[ball.row], row[ball.edges])
    assert torch.equal(ball.nodes[ball.column], column[ball.edges])
    assert bool((ball.row.diff() >= 0).all())


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_layers_over_a_ball_give_the_few_nodes_what_the_whole_graph_gives(hops):
    """Dense powers of the weighted matrix, relation by relation scaled."""
    from kgrec.ops.typed import typed_sum

    row, column, relation = random_graph(7)
    rng = np.random.default_rng(0)
    weight, x, vectors = (
        torch.from_numpy(rng.normal(size=shape)) for shape in ((24,), (14, 5), (3, 5))
    )
    whole = x
    for _ in range(hops):
        after = torch.zeros_like(whole)
        for to, source, kind, w in zip(
            row.tolist(), column.tolist(), relation.tolist(), weight, strict=True
        ):
            after[to] += w * vectors[kind] * whole[source]
        whole = after
    ball = Ball.around([3, 11], hops, row, column, 14, relation, 3)
    local, weight = x[ball.nodes], weight[ball.edges]
    for edges, order in ball.layers:
        local = typed_sum(local, edges, weight[order], vectors)
    torch.testing.assert_close(local, whole[[3, 11]])


def test_what_is_left_of_a_group_adds_up_to_the_whole():
    weight, group = torch.tensor([0.5, 0.3, 0.2, 2.0, 1.0, 0.4]), torch.tensor([0, 0, 0, 2, 2, 3])
    got = renormalized(weight, torch.tensor([0.0, 1, 1, 1, 1, 0]), group)
    torch.testing.assert_close(got, torch.tensor([0.0, 0.6, 0.4, 2.0, 1.0, 0.0]))
    assert len(renormalized(weight[:0], weight[:0], group[:0])) == 0


def test_the_effect_of_a_removal_is_the_slope_towards_the_weights_without_the_edge():
    rng = np.random.default_rng(1)
    weight, slope = torch.from_numpy(rng.random(9)), torch.from_numpy(rng.normal(size=9))
    group = torch.tensor([0, 0, 0, 1, 1, 2, 4, 4, 4])
    got = removal_effect(weight * slope, weight, group)
    for edge in range(9):
        kept = torch.ones(9, dtype=torch.float64)
        kept[edge] = 0
        change = weight - renormalized(weight, kept, group)
        assert float(got[edge]) == pytest.approx(float((change * slope).sum()), abs=1e-12)
