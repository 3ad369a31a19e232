"""Parts of a graph against dense matrices, and two models that need them."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from kgrec.batches import PairwiseBatch
from kgrec.errors import GraphError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.relational import RelationalGraph
from kgrec.graph.symmetric import PairGraph
from kgrec.graph.views import (
    of_relations,
    sample_evenly,
    sample_neighbors,
    subgraph,
    without_edges,
    without_nodes,
)
from kgrec.models.base import DotProduct, Objective, Plan, Recommender
from kgrec.ops.csr import Csr, symmetric_weights
from kgrec.ops.propagate import propagate
from kgrec.random import derive
from kgrec.runs.fit import fit
from kgrec.testing import worlds


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def graph():
    """A graph of five nodes, two relations and their inverses; node 4 has no edge."""
    head, tail = torch.tensor([0, 0, 0, 1]), torch.tensor([1, 2, 3, 2])
    relation = torch.tensor([0, 0, 1, 1])
    return Csr.from_edges(
        torch.cat([head, tail]),
        torch.cat([tail, head]),
        5,
        torch.cat([relation, relation + 2]),
        torch.tensor([2, 3, 0, 1]),
    )[0]


def edges_of(graph):
    return sorted(
        zip(
            graph.destinations().tolist(),
            graph.relation.tolist(),
            graph.idx.tolist(),
            strict=True,
        )
    )


def test_relations_come_with_their_inverses(graph):
    part, edges = subgraph(graph, of_relations(graph, [1]))
    assert edges_of(part) == [(0, 1, 3), (1, 1, 2), (2, 3, 1), (3, 3, 0)]
    assert torch.equal(part.idx, graph.idx[edges])


def test_a_part_is_what_its_edges_make(graph):
    """Every symmetric mask: the same structure as from the edges themselves."""
    first = [e for e in range(graph.num_edges) if e < int(graph.rev[e])]
    for size in range(len(first) + 1):
        for chosen in combinations(first, size):
            keep = torch.zeros(graph.num_edges, dtype=torch.bool)
            keep[list(chosen)] = True
            keep |= keep[graph.rev.long()]
            part, edges = subgraph(graph, keep)
            made, _ = Csr.from_edges(
                graph.destinations()[edges],
                graph.idx[edges],
                5,
                graph.relation[edges],
                torch.tensor([2, 3, 0, 1]),
            )
            assert torch.equal(part.ptr, made.ptr)
            assert torch.equal(part.rev, made.rev)
            assert edges_of(part) == edges_of(made)


def test_an_edge_without_its_reverse_is_refused(graph):
    keep = torch.ones(graph.num_edges, dtype=torch.bool)
    keep[0] = False
    with pytest.raises(GraphError, match="without its reverse"):
        subgraph(graph, keep)


def test_shares_are_left_out(graph):
    draws = [without_edges(graph, 0.3, seeded(n)) for n in range(1500)]
    for keep in draws[:50]:
        assert torch.equal(keep, keep[graph.rev.long()])
    kept = torch.stack(draws).double().mean(0)
    assert (kept - 0.7).abs().max() < 0.06  # five standard errors
    nodes = torch.stack([without_nodes(graph, 0.3, seeded(n)) for n in range(1500)])
    assert (nodes.double().mean(0) - 0.49).abs().max() < 0.065
    subgraph(graph, nodes[0])


@pytest.mark.parametrize("replace", [True, False])
def test_neighbors_are_those_of_the_node_and_equally_likely(graph, replace):
    nodes = torch.tensor([0, 4, 3, 0])
    seen = torch.zeros(4, graph.num_edges)
    for n in range(1000):
        edges, there = sample_neighbors(graph, nodes, 2, seeded(n), replace=replace)
        assert there.tolist() == [[True] * 2, [False] * 2, [True, replace], [True] * 2]
        assert there.is_contiguous()  # so that a model can keep it as a buffer
        for row in (0, 2, 3):
            mine = edges[row][there[row]]
            assert (graph.destinations()[mine] == nodes[row]).all()
            assert replace or len(set(mine.tolist())) == len(mine)
            seen[row].index_add_(0, mine, torch.ones(len(mine)))
    assert (seen[0, :3] / 1000 - 2 / 3).abs().max() < 0.08
    assert (seen[3, :3] / 1000 - 2 / 3).abs().max() < 0.08
    assert seen[1].sum() == 0


def test_sets_draw_from_all_of_their_edges_alike_and_none_twice_while_there_are_enough():
    """Nodes 0, 1, 2 have edges 0 to 4, none, and 5 to 11; sets {0, 1, 2}, {1}, {2} and {0}."""
    starts = torch.tensor([0, 5, 5, 12])
    nodes, ptr = torch.tensor([0, 1, 2, 1, 2, 0]), torch.tensor([0, 3, 4, 5, 6])
    times = np.zeros((4, 12))
    for seed in range(400):
        edges, there = sample_evenly(starts, nodes, ptr, 6, seeded(seed))
        assert there.tolist() == [True, False, True, True]
        rows = [edges[n].tolist() for n in (0, 2, 3)]
        assert len(set(rows[0])) == len(set(rows[1])) == 6
        assert set(rows[2]) == set(range(5))  # all of too few
        for row, drawn in zip((0, 2, 3), rows, strict=True):
            np.add.at(times[row], drawn, 1)

    assert (times[0] > 160).all()  # of 400 * 6 / 12
    assert (times[0] < 240).all()
    assert (times[2, :5] == 0).all()
    assert (times[2, 5:] > 300).all()  # of 343


def test_all_neighbors_without_replacement_are_the_whole_mean(graph):
    x = torch.randn(5, 3, generator=seeded(1))
    edges, there = sample_neighbors(graph, torch.arange(5), 4, seeded(2), replace=False)
    sums = (x[graph.idx[edges].long()] * there.unsqueeze(2)).sum(1)
    dense = torch.zeros(5, 5)
    dense.index_put_(
        (graph.destinations(), graph.idx.long()), torch.ones(graph.num_edges), accumulate=True
    )
    torch.testing.assert_close(sums, dense @ x)
    none = Csr.from_edges(
        torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), 2
    )
    edges, there = sample_neighbors(none[0], torch.tensor([1]), 2, seeded(), replace=False)
    assert not there.any()
    assert edges.tolist() == [[0, 0]]


@dataclass(frozen=True)
class ToyConfig:
    """Settings of both toys."""

    dim: int = 16
    fanout: int = 4
    temperature: float = 0.2


class Sage(Recommender):
    """One hop of sampled neighbors over the graph with facts: GraphSAGE as in KGCN's receptive field."""

    def __init__(self, ckg, config, generator):
        super().__init__()
        self.ckg = ckg
        self.graph = RelationalGraph(ckg)
        self.config = config
        self.x = nn.Parameter(0.1 * torch.randn(ckg.num_nodes, config.dim, generator=generator))
        self.mix = nn.Linear(2 * config.dim, config.dim)
        self.draws = seeded()

    @classmethod
    def from_dataset(cls, data, config: ToyConfig, generator):
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def vectors(self, nodes, fanout, replace=True):
        csr = self.graph.csr
        edges, there = sample_neighbors(csr, nodes, fanout, self.draws, replace=replace)
        around = self.x[csr.idx[edges].long()] * there.unsqueeze(2)
        mean = around.sum(1) / there.sum(1, keepdim=True).clamp(min=1)
        return self.mix(torch.cat([self.x[nodes], mean], 1))

    def loss(self, batch: PairwiseBatch):
        nodes = torch.cat([batch.user + self.ckg.num_entities, batch.positive, batch.negative])
        user, positive, negative = self.vectors(nodes, self.config.fanout).chunk(3)
        return nn.functional.softplus(-(user * (positive - negative)).sum(1)).mean()

    def plan(self):
        return Plan(
            (Objective(PairwiseBatch, self.loss, name="bpr"),),
            begin_epoch=lambda epoch, seed: self.draws.manual_seed(derive(seed, "hops", epoch)),
        )

    def scorer(self):
        every = self.vectors(
            torch.arange(self.ckg.num_nodes), int(self.graph.csr.degree.max()), replace=False
        )
        return DotProduct(every[self.ckg.num_entities :], every[: self.ckg.num_items])


class Contrast(Sage):
    """LightGCN with two views of the graph that must agree (SGL)."""

    def __init__(self, ckg, config, generator):
        super().__init__(ckg, config, generator)
        self.pairs = PairGraph(ckg)

    def propagated(self, csr):
        weight = symmetric_weights(csr)
        first = propagate(self.x, csr, weight, weight)
        return (self.x + first + propagate(first, csr, weight, weight)) / 3

    def loss(self, batch: PairwiseBatch):
        csr = self.pairs.csr
        z = self.propagated(csr)
        views = [
            nn.functional.normalize(
                self.propagated(subgraph(csr, without_edges(csr, 0.2, self.draws))[0])[
                    batch.positive
                ]
            )
            for _ in range(2)
        ]
        alike = views[0] @ views[1].T / self.config.temperature
        user, positive, negative = (
            z[nodes]
            for nodes in (batch.user + self.ckg.num_entities, batch.positive, batch.negative)
        )
        return {
            "bpr": nn.functional.softplus(-(user * (positive - negative)).sum(1)).mean(),
            "views": 0.1 * nn.functional.cross_entropy(alike, torch.arange(len(alike))),
        }

    def scorer(self):
        z = self.propagated(self.pairs.csr)
        return DotProduct(z[self.ckg.num_entities :], z[: self.ckg.num_items])


@pytest.mark.parametrize("model", [Sage, Contrast])
def test_a_toy_learns_and_continues_with_the_same_draws(model, tmp_path):
    data = worlds.planted("interactions")
    settings = {"epochs": 8, "batch_size": 64, "learning_rate": 0.02, "patience": 0, "seed": 1}
    run = fit(model, data, **settings)
    popular = fit("popularity", data)
    assert run.summary["test"]["ndcg@10"] > 1.3 * popular.summary["test"]["ndcg@10"]
    half = tmp_path / "half"
    fit(model, data, out=half, **settings | {"epochs": 4})
    again = fit(model, data, out=half, resume=True, **settings)
    with torch.inference_mode():
        whole = run.scorer().items, again.scorer().items
    np.testing.assert_array_equal(*(part.numpy() for part in whole))
