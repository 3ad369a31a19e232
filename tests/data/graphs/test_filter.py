"""Cores and rare things, against networkx and loops over sets."""

import time

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import share

from kgrec.data.graphs import filter as filters
from kgrec.data.graphs.filter import (
    core,
    frequent,
    interaction_core,
    without_relations,
    without_unused,
)
from kgrec.data.linking.links import link
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError

PAIRS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40).map(
    sorted
)
TRIPLES = st.sets(
    st.tuples(st.integers(0, 8), st.integers(0, 3), st.integers(0, 8)), min_size=1, max_size=40
).map(sorted)


def as_frame(rows):
    return pl.DataFrame(rows, schema={"user": pl.Int32, "item": pl.Int32}, orient="row")


def by_sets(rows, users, items):
    """The definition: take out whoever has too few, until nobody has."""
    while True:
        kept = [
            r
            for r in rows
            if sum(o[0] == r[0] for o in rows) >= users and sum(o[1] == r[1] for o in rows) >= items
        ]
        if kept == rows:
            return rows
        rows = kept


@settings(max_examples=share(150))
@given(PAIRS, st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_a_core_of_users_and_one_of_items(rows, users, items, rounds):
    before = filters._WHOLE_ROUNDS
    filters._WHOLE_ROUNDS = 1 if rounds else before
    try:
        found = interaction_core(as_frame(rows), users, items)
    finally:
        filters._WHOLE_ROUNDS = before
    assert found.equals(as_frame(by_sets(rows, users, items)).cast(found.schema))


@settings(max_examples=60)
@given(PAIRS, st.integers(1, 4))
def test_a_core_is_the_one_of_networkx(rows, k):
    graph = nx.Graph((f"u{u}", f"i{i}") for u, i in rows)
    found = {(f"u{u}", f"i{i}") for u, i in interaction_core(as_frame(rows), k, k).rows()}
    assert found == {tuple(sorted(edge, reverse=True)) for edge in nx.k_core(graph, k).edges}


def test_a_chain_takes_work_in_its_length_alone():
    size = 10_000
    user = np.repeat(np.arange(size), 2)
    item = user + np.tile([0, 1], size)
    began = time.process_time()
    # each round takes one row off either end
    assert not core((user, item + size), np.full(2 * size + 1, 2)).any()
    assert time.process_time() - began < 5


@settings(max_examples=80)
@given(TRIPLES, st.integers(0, 4), st.integers(0, 6), st.booleans())
def test_rare_entities_and_relations_go_until_none_is_left(rows, min_entity, min_relation, rounds):
    rows = [(f"e{h}", f"r{r}", f"e{t}") for h, r, t in rows if h != t]
    items = Vocabulary(["e0", "e1", "x"], kind="item")
    read = read_triples(
        pl.DataFrame(rows, schema=["head", "relation", "tail"], orient="row").cast(pl.String)
    )
    graph = link(items, read, None, pl.Series("label", [None] * 3, dtype=pl.String)).triples
    before = filters._WHOLE_ROUNDS
    filters._WHOLE_ROUNDS = 1 if rounds else before
    try:
        kept, dropped = frequent(graph, 3, min_entity=min_entity, min_relation=min_relation)
    finally:
        filters._WHOLE_ROUNDS = before
    expected = set(rows)
    while True:
        rare = {
            e
            for row in expected
            for e in (row[0], row[2])
            if sum(e in (o[0], o[2]) for o in expected) < min_entity
        } - set(items)
        seldom = {
            row[1] for row in expected if sum(o[1] == row[1] for o in expected) < min_relation
        }
        after = {row for row in expected if not {row[0], row[2]} & rare and row[1] not in seldom}
        if after == expected:
            break
        expected = after
    columns = (
        kept.entities.keys(kept.head),
        kept.relations.keys(kept.relation),
        kept.entities.keys(kept.tail),
    )
    assert set(zip(*columns, strict=True)) == expected
    assert list(kept.entities)[:3] == ["e0", "e1", "x"]
    if max(min_entity, min_relation) > 1 and rows:
        assert set(kept.entities) == {"e0", "e1", "x"} | {
            e for row in expected for e in (row[0], row[2])
        }
    assert {d.what: d.count for d in dropped}.get("triples", 0) == len(graph) - len(expected)


TURTLE = """@prefix : <http://x/> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:a a :Film ; rdfs:label "A" ; :by :p ; :in :q . :b :by :p ; :size 3 . :p rdfs:label "P" ; a :Person .
:q rdfs:label "Q" ; a :Place ; :size 4 .
"""


def test_what_is_said_of_entities_moves_with_them(tmp_path):
    (tmp_path / "a.ttl").write_text(TURTLE)
    graph = read_triples(tmp_path / "a.ttl")
    kept, _ = frequent(graph, 0, min_entity=0, min_relation=2)
    told = {kept.entities.key(e): kept.label(e) for e in range(len(kept.entities))}
    assert told == {"http://x/a": "A", "http://x/b": "http://x/b", "http://x/p": "P"}
    types = {kept.entities.key(e): t for e, t in kept.types.rows()}
    assert types == {"http://x/a": "http://x/Film", "http://x/p": "http://x/Person"}
    assert [(kept.entities.key(e), value) for e, _, value, _, _ in kept.attributes.rows()] == [
        ("http://x/b", "3")
    ]
    assert list(kept.relations) == ["http://x/by"]
    assert without_unused(kept, 0) is kept


def test_relations_go_by_key_and_by_label(tmp_path):
    (tmp_path / "a.ttl").write_text(TURTLE)
    graph = read_triples(tmp_path / "a.ttl")
    for name in ("http://x/in", "in"):
        kept, dropped = without_relations(graph, 0, [name])
        assert (list(kept.relations), dropped[0].count) == (["http://x/by"], 1)
    with pytest.raises(
        ConfigError, match=r"without_relation: the graph has no relation 'inn'\. Nearest: in"
    ):
        without_relations(graph, 0, ["inn"])


TWENTY = InteractionLog(
    pl.DataFrame(
        [(f"u{u}", f"i{i}") for u in range(2) for i in range(10)],
        schema=["user", "item"],
        orient="row",
    )
)


def test_a_dataset_says_what_was_cut():
    graph = pl.DataFrame(
        [("i0", "r", "a"), ("i1", "r", "a"), ("i2", "r", "b"), ("i3", "s", "a")],
        schema=["h", "r", "t"],
        orient="row",
    )
    data = Dataset.build(TWENTY, graph, min_entity=2, min_relation=2)
    assert sorted(zip(data.triples.head.tolist(), data.triples.tail.tolist(), strict=True)) == [
        (0, 10),
        (1, 10),
    ]
    assert {(d.what, d.count) for d in data.report.dropped} == {
        ("triples", 2),
        ("entities", 1),
        ("relations", 1),
    }
    assert data.settings["min_entity"] == data.settings["min_relation"] == 2
    same = Dataset.build(TWENTY, graph)
    assert (data.train.user.tolist(), data.test.item.tolist()) == (
        same.train.user.tolist(),
        same.test.item.tolist(),
    )
    assert "min_entity" not in same.settings


def test_cores_of_users_and_items_may_differ():
    rows = [(f"u{u}", f"i{i}") for u in range(3) for i in range(4)] + [("u9", "i0"), ("u0", "i9")]
    log = InteractionLog(pl.DataFrame(rows, schema=["user", "item"], orient="row"))
    data = Dataset.build(log, k_core=(1, 3), ratios=(0.5, 0.0, 0.5))
    assert ("u9" in list(data.users), "i9" in list(data.items)) == (True, False)
    assert ("items", "outside the core of 1 interactions a user and 3 an item", 1) in {
        (d.what, d.why, d.count) for d in data.report.dropped
    }
    assert data.settings["k_core"] == [1, 3]
    with pytest.raises(ConfigError, match="k_core: 3 numbers"):
        Dataset.build(log, k_core=(1, 2, 3))
    with pytest.raises(ConfigError, match="min_entity: -1 is negative"):
        Dataset.build(log, min_entity=-1)
