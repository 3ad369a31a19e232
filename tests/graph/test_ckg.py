"""The id convention, by hand."""

import dataclasses

import numpy as np
import pytest

from kgrec.errors import GraphError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.symmetric import LikedGraph
from kgrec.graph.typed_mean import FactEdges
from kgrec.testing import worlds


def test_items_come_first_users_last_and_relation_zero_is_interacts(films):
    ckg = CollaborativeKG.from_dataset(films)
    assert (ckg.num_users, ckg.num_items, ckg.num_entities, ckg.num_relations, ckg.num_nodes) == (
        2,
        3,
        9,
        4,
        11,
    )
    facts = list(
        zip(
            ckg.head.tolist(),
            ckg.relation.tolist(),
            ckg.tail.tolist(),
            ckg.fact.tolist(),
            strict=True,
        )
    )
    assert facts == [
        (9, 0, 0, -1),
        (9, 0, 1, -1),
        (10, 0, 1, -1),
        (0, 1, 3, 0),
        (1, 1, 3, 1),
        (0, 3, 8, 2),
        (2, 2, 8, 3),
        (2, 2, 4, 4),
        (3, 3, 7, 5),
        (0, 2, 1, 6),
        (10, 2, 8, -2),
    ]
    assert [ckg.user_node(1), ckg.user_row(10), ckg.is_user(9), ckg.is_user(8)] == [
        10,
        1,
        True,
        False,
    ]


def test_both_ways_adds_every_inverse_with_its_own_relation(films):
    ckg = CollaborativeKG.from_dataset(films)
    head, relation, tail = ckg.both_ways()
    assert len(head) == 22
    forward = set(zip(head[:11].tolist(), relation[:11].tolist(), tail[:11].tolist(), strict=True))
    backward = set(zip(head[11:].tolist(), relation[11:].tolist(), tail[11:].tolist(), strict=True))
    assert backward == {(t, r + 4, h) for h, r, t in forward}


def test_without_knowledge_only_users_and_items_remain(films):
    ckg = CollaborativeKG.from_dataset(films, knowledge=False)
    assert (ckg.num_entities, ckg.num_nodes, ckg.num_relations) == (3, 5, 1)
    assert list(zip(ckg.head.tolist(), ckg.tail.tolist(), strict=True)) == [(3, 0), (3, 1), (4, 1)]


@pytest.mark.parametrize(("column", "value"), [("head", 11), ("tail", -1), ("relation", 4)])
def test_an_edge_outside_its_range_is_refused(films, column, value):
    ckg = CollaborativeKG.from_dataset(films)
    broken = getattr(ckg, column).copy()
    broken[0] = value
    with pytest.raises(GraphError, match="outside"):
        dataclasses.replace(ckg, **{column: broken})
    with pytest.raises(GraphError, match="length"):
        dataclasses.replace(ckg, **{column: np.empty(0, np.int64)})


def test_some_facts_make_a_graph_of_the_same_nodes_and_relations():
    ckg = CollaborativeKG.from_dataset(worlds.toy())
    some = ckg.take(ckg.relation == 0)
    assert (some.num_nodes, some.num_relations) == (ckg.num_nodes, ckg.num_relations)
    assert list(zip(some.head.tolist(), some.tail.tolist(), strict=True)) == [
        (4, 0),
        (4, 1),
        (5, 1),
    ]
    assert ckg.take(np.array([5, 0])).fact.tolist() == [2, -1]


def test_edges_know_their_facts():
    """The toy graph with its triples first: (i0, r0, e3), (i1, r0, e3), (i1, r1, i2), then the
    interactions (u0, i0), (u0, i1), (u1, i1).
    """
    ckg = CollaborativeKG.from_dataset(worlds.toy())
    ckg = ckg.take(np.array([3, 4, 5, 0, 1, 2]))
    alone = ckg.without_knowledge()
    assert (alone.num_entities, alone.num_nodes, alone.num_relations) == (3, 5, 1)
    assert list(zip(alone.head, alone.tail, strict=True)) == [(3, 0), (3, 1), (4, 1)]

    liked = LikedGraph(ckg)
    found = zip(liked.user.tolist(), liked.item.tolist(), liked.fact.tolist(), strict=True)
    assert sorted(found) == sorted(2 * [(0, 0, 3), (0, 1, 4), (1, 1, 5)])
    assert liked.by_user.tolist() == [1.0 - 0.5 * (user == 0) for user in liked.user.tolist()]

    for heads, expected in (
        (
            None,
            {(0, 0, 3, 0), (1, 0, 3, 1), (1, 1, 2, 2), (3, 2, 0, 0), (3, 2, 1, 1), (2, 3, 1, 2)},
        ),
        (2, {(0, 0, 3, 0), (1, 0, 3, 1), (1, 1, 2, 2)}),
    ):
        triples = FactEdges.of_triples(ckg, heads)
        by = triples.edges.forward
        columns = (by.row_of_edge(), by.relation_of_edge(), by.idx, triples.fact)
        assert set(zip(*(part.tolist() for part in columns), strict=True)) == expected
        assert (triples.num_relations, triples.edges.num_rows) == (4, heads or 4)

    likes = FactEdges.of_interactions(ckg)
    assert likes.edges.forward.row_of_edge().tolist() == [0, 0, 1]
    assert (likes.edges.forward.idx.tolist(), likes.fact.tolist()) == ([0, 1, 1], [3, 4, 5])
    assert likes.weight.tolist() == [0.5, 0.5, 1.0]
