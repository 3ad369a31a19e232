"""Paths of a model's own: a walker's are found in the graph fact by fact, a liar's are not."""

import numpy as np
import pytest
import torch

import kgrec
from kgrec.errors import GraphError, ModelError
from kgrec.graph import CollaborativeKG, ReasonedPath, verify_paths
from kgrec.models import PathReasoner, Plan
from kgrec.testing import worlds

DATA = worlds.cold_items(users=20)
CKG = CollaborativeKG.from_dataset(DATA)


class Walker(kgrec.Recommender):
    """Ranks by how many three-step walks lead to an item: user - item - entity - item."""

    def __init__(self, ckg):
        super().__init__()
        self.ckg = ckg

    @classmethod
    def from_dataset(cls, data, config: dict, generator):
        return cls(CollaborativeKG.from_dataset(data))

    def plan(self):
        return Plan(fit=lambda: None)

    def scorer(self):
        raise NotImplementedError

    def own_paths(self):
        return self

    def paths(self, user, k):
        head, relation, tail = self.ckg.both_ways()
        start = self.ckg.user_node(user)
        liked = tail[(head == start) & (relation == 0)]
        found = []
        for item in liked:
            for out in np.flatnonzero((head == item) & (relation != self.ckg.num_relations)):
                for back in np.flatnonzero((head == tail[out]) & (tail != item)):
                    if tail[back] < self.ckg.num_items:
                        nodes = (start, item, tail[out], tail[back])
                        kinds = (0, relation[out], relation[back])
                        found.append(ReasonedPath(tuple(map(int, nodes)), tuple(map(int, kinds))))
        return found[:k]


def test_a_models_own_paths_are_facts_of_the_graph():
    reasoner = Walker(CKG).own_paths()
    assert isinstance(reasoner, PathReasoner)
    paths = reasoner.paths(3, 5)
    assert len(paths) == 5
    for path, steps in zip(paths, verify_paths(CKG, 3, paths), strict=True):
        assert len(steps) == 3
        for number, facts in enumerate(steps):
            ends = {path.nodes[number], path.nodes[number + 1]}
            for fact in facts:
                assert {int(CKG.head[fact]), int(CKG.tail[fact])} == ends
                assert int(CKG.relation[fact]) == path.relations[number] % CKG.num_relations


def test_a_fact_that_is_stated_twice_is_found_twice():
    twice = CKG.take(np.r_[np.arange(len(CKG.head)), 0])
    user = CKG.user_row(int(CKG.head[0]))
    path = ReasonedPath((int(CKG.head[0]), int(CKG.tail[0])), (0,))
    assert verify_paths(twice, user, [path]) == [((0, len(CKG.head)),)]


def test_paths_that_the_graph_does_not_have_are_refused():
    (path,) = Walker(CKG).paths(3, 1)
    start, liked, entity, item = path.nodes
    missing = next(i for i in range(CKG.num_items) if i not in CKG.tail[CKG.head == start])
    against = (path.relations[0] + CKG.num_relations, *path.relations[1:])
    for nodes, relations, said in (
        ((start, missing), (0,), "does not state"),
        (path.nodes, against, "does not state"),
        ((liked, entity, item), path.relations[1:], "begins at node"),
        ((start, liked, entity), path.relations[:2], "not an item"),
    ):
        with pytest.raises(GraphError, match=said):
            verify_paths(CKG, 3, [ReasonedPath(nodes, relations)])
    with pytest.raises(GraphError, match="one for each step"):
        ReasonedPath((1, 2), ())
    with pytest.raises(GraphError, match="finite"):
        ReasonedPath((1, 2), (0,), float("nan"))


def test_a_model_has_no_paths_unless_it_says_so():
    class Plain(Walker):
        own_paths = kgrec.Recommender.own_paths

    assert Plain(CKG).own_paths() is None
    with pytest.raises(ModelError, match="own_paths"):
        Plain(CKG).own_paths = torch.nn.Linear(1, 1)
