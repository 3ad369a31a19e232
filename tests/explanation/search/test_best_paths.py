"""Search against networkx: the same paths under every filter, the same best ones, the same bytes
everywhere.
"""

import os
import subprocess
import sys

import networkx as nx
import numpy as np
import pytest

from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.search.all_paths import Limits, simple_paths
from kgrec.explanation.search.best_paths import best_paths, count_walks
from kgrec.graph.ckg import CollaborativeKG


def random_graph(seed):
    """A multigraph with parallel relations and self-loops."""
    rng = np.random.default_rng(seed)
    users, items, entities = (
        int(rng.integers(1, 5)),
        int(rng.integers(2, 5)),
        int(rng.integers(5, 9)),
    )
    likes, facts = int(rng.integers(3, 12)), int(rng.integers(6, 20))
    head = np.concatenate(
        [entities + rng.integers(0, users, likes), rng.integers(0, entities, facts)]
    )
    tail = np.concatenate([rng.integers(0, items, likes), rng.integers(0, entities, facts)])
    relation = np.concatenate([np.zeros(likes, np.int64), rng.integers(1, 4, facts)])
    columns = np.unique(np.stack([head, relation, tail], 1), axis=0)
    return rng, CollaborativeKG(
        users,
        items,
        entities,
        4,
        *columns.T,
        np.where(columns[:, 1] == 0, -1, np.arange(len(columns))),
    )


def oracle(graph, user, item, longest, limits):
    """Return every (nodes, edges) by networkx, expanded over parallel edges."""
    ckg, multi = graph.ckg, nx.MultiGraph()
    for edge in np.flatnonzero(limits.usable).tolist():
        multi.add_edge(int(graph.low[edge]), int(graph.high[edge]), key=edge)
    if user not in multi or item not in multi:
        return set()
    found = set()
    for path in nx.all_simple_edge_paths(multi, user, item, cutoff=longest):
        nodes = (user, *(b for _, b, _ in path))
        if len(path) == 1 and (ckg.relation[graph.facts(path[0][2])] == 0).any():
            continue
        if all(limits.passable[node] for node in nodes[1:-1]):
            found.add((nodes, tuple(edge for _, _, edge in path)))
    return found


def random_limits(rng, graph, number):
    limits = Limits.none(graph)
    if number % 4 in (1, 3):
        limits.passable[rng.random(len(limits.passable)) < 0.3] = False
    if number % 4 in (2, 3):
        limits.usable[rng.random(graph.num_edges) < 0.3] = False
    return limits


def listed(nodes, edges):
    return {(tuple(n), tuple(e)) for n, e in zip(nodes.tolist(), edges.tolist(), strict=True)}


@pytest.mark.parametrize("start", range(0, 500, 50))
def test_paths_equal_networkx_under_limits(start):
    compared = 0
    for seed in range(start, start + 50):
        rng, ckg = random_graph(seed)
        graph = PathGraph(ckg, merged=bool(seed % 2))
        limits = random_limits(rng, graph, seed)
        user, item = ckg.user_node(0), int(rng.integers(0, ckg.num_items))
        found = simple_paths(graph, user, item, 4, limits=limits)
        got = set().union(
            *(listed(nodes, edges) for nodes, edges in zip(found.nodes, found.edges, strict=True))
        )
        expected = oracle(graph, user, item, 4, limits)
        assert got == expected
        assert sum(map(len, found.nodes)) == len(got)
        compared += len(expected)
    assert compared > 100


@pytest.mark.parametrize("start", range(0, 200, 50))
@pytest.mark.parametrize("tied", [False, True])
def test_best_first_equals_the_sorted_list(start, tied):
    compared = 0
    for seed in range(start, start + 50):
        rng, ckg = random_graph(seed)
        graph = PathGraph(ckg, merged=bool(seed % 2))
        limits = random_limits(rng, graph, seed)
        value = (
            rng.integers(-1, 2, graph.num_edges).astype(float)
            if tied
            else rng.normal(size=graph.num_edges)
        )
        user, item = ckg.user_node(0), int(rng.integers(0, ckg.num_items))
        every = list(oracle(graph, user, item, 4, limits))
        for length in (1, 2, 3, 4):
            mine = [path for path in every if len(path[1]) == length]
            mine.sort(key=lambda path: (-round(sum(value[list(path[1])]), 9), *path))
            best = best_paths(graph, value, user, item, length, 20, limits)
            assert best.complete
            got = [
                (tuple(n), tuple(e))
                for n, e in zip(best.nodes.tolist(), best.edges.tolist(), strict=True)
            ]
            assert got == mine[:20]
            np.testing.assert_allclose(
                best.values, [sum(value[list(edges)]) for _, edges in mine[:20]], atol=1e-12
            )
            compared += len(got)
    assert compared > 50


def test_a_search_cut_short_says_so():
    ckg = CollaborativeKG(
        1,
        2,
        12,
        2,
        np.r_[12, np.repeat(np.arange(2, 12), 2)],
        np.r_[0, np.ones(20, int)],
        np.r_[0, np.tile([0, 1], 10)],
        np.arange(21),
    )
    graph = PathGraph(ckg, merged=True)
    value = np.zeros(graph.num_edges)
    assert not best_paths(graph, value, 12, 1, 3, 5, Limits.none(graph), most=2).complete
    assert best_paths(graph, value, 12, 1, 3, 5, Limits.none(graph)).complete


def test_walks_are_powers_of_the_adjacency():
    for seed in range(20):
        _, ckg = random_graph(seed)
        graph = PathGraph(ckg, merged=False)
        dense = np.zeros((ckg.num_nodes, ckg.num_nodes))
        np.add.at(dense, (graph.low, graph.high), 1)
        dense += dense.T
        expected = [np.linalg.matrix_power(dense, n)[ckg.user_node(0), 0] for n in (1, 2, 3)]
        assert count_walks(graph, ckg.user_node(0), 0, 3) == expected


_SCRIPT = """
import hashlib
from kgrec.data.formats.load import load
import kgrec, torch
torch.set_num_threads({threads})
from kgrec.models.graph.lightgcn import LightGCN, LightGCNConfig
data = load("films")
model = LightGCN.from_dataset(data, LightGCNConfig(dim=8, knowledge=True), torch.Generator().manual_seed(0)).eval()
ex = kgrec.Explainer(model, data)
users, items = list(data.users), list(data.items)
told = [ex.explain(users[n], items[7 * n + 3], max_length=4).to_dict() for n in range(3)]
paths = [[[h["source"]["key"], h["relation"], h["target"]["key"]] for p in one["paths"] for h in p["hops"]] for one in told]
print(hashlib.sha256(repr((paths, [one["counts"] for one in told])).encode()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "processes",
    [[("0", 1), ("7", 2)], pytest.param([("7", 2), ("7", 1), ("11", 1)], marks=pytest.mark.long)],
    ids=["two", "three"],
)
def test_paths_are_the_same_in_every_process(root, processes):
    seen = set()
    for hash_seed, threads in processes:
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        code = _SCRIPT.format(threads=threads)
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=env,
            cwd=root,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        seen.add(done.stdout)
    assert len(seen) == 1
