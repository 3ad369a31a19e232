"""Path search against networkx."""

import time

import networkx as nx
import numpy as np
import pytest

from kgrec.errors import ExplanationError
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.search.all_paths import simple_paths
from kgrec.graph.ckg import CollaborativeKG


def random_ckg(seed: int) -> CollaborativeKG:
    """Return a small multigraph with parallel relations, opposite directions, self loops and
    repeated facts.
    """
    rng = np.random.default_rng(seed)
    users, items, entities, relations = (int(n) for n in rng.integers([1, 2, 3, 2], [4, 5, 9, 5]))
    entities = max(entities, items)
    likes = int(rng.integers(1, 10))
    facts = int(rng.integers(0, 25))
    head = np.concatenate(
        [entities + rng.integers(0, users, likes), rng.integers(0, entities + users, facts)]
    )
    tail = np.concatenate([rng.integers(0, items, likes), rng.integers(0, entities, facts)])
    relation = np.concatenate([np.zeros(likes, np.int64), rng.integers(1, relations, facts)])
    return CollaborativeKG(
        users, items, entities, relations, head, relation, tail, np.arange(likes + facts)
    )


def oracle(ckg: CollaborativeKG, user: int, item: int, longest: int, merged: bool) -> set[tuple]:
    """Return (nodes, relations and directions) of every simple path, by networkx."""
    graph: nx.MultiGraph = nx.MultiGraph()
    graph.add_nodes_from(range(ckg.num_nodes))
    for h, r, t in zip(ckg.head.tolist(), ckg.relation.tolist(), ckg.tail.tolist(), strict=True):
        if h != t:
            graph.add_edge(h, t, key="any" if merged else (r, h))
    has_it = bool(((ckg.head == user) & (ckg.tail == item) & (ckg.relation == 0)).any())
    found = set()
    for path in nx.all_simple_edge_paths(graph, user, item, cutoff=longest):
        if len(path) == 1 and has_it and (merged or path[0][2][0] == 0):
            continue
        found.add(((user, *(edge[1] for edge in path)), tuple(edge[2] for edge in path)))
    return found


@pytest.mark.parametrize("merged", [True, False])
def test_every_simple_path_is_found_once_and_no_other(merged):
    for seed in range(200):
        ckg = random_ckg(seed)
        graph = PathGraph(ckg, merged)
        user, item, longest = ckg.user_node(0), seed % ckg.num_items, 1 + seed % 4
        found = simple_paths(graph, user, item, longest)
        mine = []
        for nodes, edges in zip(found.nodes, found.edges, strict=True):
            for stops, row in zip(nodes.tolist(), edges.tolist(), strict=True):
                first = [int(graph.facts(edge)[0]) for edge in row]
                keys = tuple(
                    "any" if merged else (int(ckg.relation[f]), int(ckg.head[f])) for f in first
                )
                mine.append((tuple(stops), keys))
        assert len(mine) == len(set(mine))
        assert set(mine) == oracle(ckg, user, item, longest, merged)
        assert not found.truncated
        assert [n.tolist() for n in found.nodes] == [sorted(n.tolist()) for n in found.nodes]


def test_an_edge_holds_all_its_facts():
    columns = (np.array([2, 0, 1, 0]), np.array([0, 1, 2, 1]), np.array([0, 1, 0, 1]))
    ckg = CollaborativeKG(1, 1, 2, 3, *columns, np.array([-1, 0, 1, 2]))
    assert [PathGraph(ckg, True).facts(e).tolist() for e in range(2)] == [[1, 2, 3], [0]]
    apart = PathGraph(ckg, False)
    assert sorted(apart.facts(e).tolist() for e in range(3)) == [[0], [1, 3], [2]]
    assert sorted(apart.per_edge(np.array([1.0, 2.0, 4.0, 8.0]))) == [1.0, 4.0, 10.0]


def test_a_hub_is_given_up_and_said():
    """The user liked item 1 (50 fans) and item 2 (one fan, who liked item 0 too)."""
    fans = 50
    entities = 3
    user = entities
    pairs = (
        [(user, 1), (user, 2), (user + 1, 2)]
        + [(user + 1 + n, 1) for n in range(fans)]
        + [(user + 1 + n, 0) for n in range(fans)]
    )
    head, tail = np.array(pairs).T
    ckg = CollaborativeKG(
        fans + 1, 3, entities, 1, head, np.zeros_like(head), tail, np.full(len(head), -1)
    )
    graph = PathGraph(ckg, True)
    assert [len(n) for n in simple_paths(graph, user, 0).nodes] == [0, 0, fans + 1]
    found = simple_paths(graph, user, 0, budget=60)
    assert found.truncated
    assert found.nodes[2].tolist() == [[user, 2, user + 1, 0]]


def test_no_path_and_bad_limits():
    ckg = CollaborativeKG(1, 2, 2, 1, np.array([2]), np.array([0]), np.array([1]), np.array([-1]))
    graph = PathGraph(ckg, True)
    assert [len(n) for n in simple_paths(graph, 2, 0).nodes] == [0, 0, 0]
    assert [len(n) for n in simple_paths(graph, 2, 1).nodes] == [
        0,
        0,
        0,
    ]  # the interaction itself is no reason
    for bad in ({"max_length": 7}, {"max_length": 0}, {"budget": 0}):
        with pytest.raises(ExplanationError):
            simple_paths(graph, 2, 0, **bad)
    with pytest.raises(ExplanationError):
        simple_paths(graph, 1, 1)


def test_a_large_graph_is_searched_quickly():
    rng = np.random.default_rng(0)
    users, items, entities, facts = 1000, 2000, 20_000, 100_000
    head = np.concatenate([entities + rng.integers(0, users, facts), rng.integers(0, items, facts)])
    tail = np.concatenate([rng.zipf(1.3, facts) % items, rng.zipf(1.3, facts) % entities])
    ckg = CollaborativeKG(
        users, items, entities, 2, head, np.repeat([0, 1], facts), tail, np.arange(2 * facts)
    )
    graph = PathGraph(ckg, True)
    began = time.perf_counter()
    found = simple_paths(graph, ckg.user_node(0), 5)
    assert time.perf_counter() - began < 2
    assert not found.truncated
    assert len(found.nodes[2]) > 100
