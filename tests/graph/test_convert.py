"""Round trips with hostile keys."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import networkx as nx
import numpy as np
import polars as pl
import pytest
import rdflib
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrec.data.records.triples import Triples
from kgrec.errors import ConfigError, GraphError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.convert import (
    adjacency,
    from_networkx,
    from_rdflib,
    from_scipy,
    to_networkx,
    to_pykeen,
    to_rdflib,
    to_rdflib_dataset,
    to_scipy,
)
from kgrec.testing import worlds


def stated(triples: Triples) -> list[tuple[str, str, str]]:
    e, r = triples.entities, triples.relations
    columns = (triples.head.tolist(), triples.relation.tolist(), triples.tail.tolist())
    return [(e.key(h), r.key(p), e.key(t)) for h, p, t in zip(*columns, strict=True)]


def facts(triples: Triples) -> set[tuple[str, str, str]]:
    return set(stated(triples))


def labels(triples: Triples) -> dict[str, str]:
    return {
        key: label
        for key, label in zip(triples.entities, triples.labels, strict=True)
        if label is not None
    }


def test_networkx_keeps_equal_ids_of_different_kinds_apart(films):
    graph = to_networkx(films)
    assert graph.number_of_nodes() == 11
    assert graph.number_of_edges() == 11
    assert graph.nodes["user", "u 2"]["label"] == "Bo"
    assert graph.nodes["item", "u 2"]["label"] == "u 2"
    assert graph.nodes["item", "10"] == {
        "kind": "item",
        "label": "Alien",
        "row": 0,
        "entity": "http://x.org/Alien",
    }
    edge = graph.edges[
        ("item", "10"), ("entity", "http://x.org/Ridley_Scott"), "http://x.org/director"
    ]
    assert edge == {
        "relation": "http://x.org/director",
        "label": "director",
        "fact": "triple",
        "source": "a.nt",
        "locator": 1,
    }
    assert graph.edges[("user", "u 2"), ("item", "u 2"), "interacts"]["fact"] == "interaction"


def test_networkx_round_trip(films):
    back = from_networkx(to_networkx(films))
    assert facts(back) == facts(films.triples)
    assert labels(back) == labels(films.triples)
    assert len(back.entities) == 9
    heads = back.entities.keys(back.head)
    places = {
        (back.sources[s], int(line), head)
        for s, line, head in zip(back.source, back.locator, heads, strict=True)
    }
    assert ("b.nt", 7, "http://x.org/Alien") in places


def test_networkx_of_a_bare_ckg_has_its_numbers(films):
    ckg = CollaborativeKG.from_dataset(films)
    graph = to_networkx(ckg)
    assert [graph.nodes[n]["kind"] for n in (0, 3, 9)] == ["item", "entity", "user"]
    assert sorted(graph.edges(keys=True)) == sorted(
        zip(ckg.head.tolist(), ckg.tail.tolist(), ckg.relation.tolist(), strict=True)
    )


def test_any_networkx_graph_is_read():
    graph = nx.DiGraph([("a", 1, {"relation": "likes"}), (1, "b")])
    assert facts(from_networkx(graph)) == {("a", "likes", "1"), ("1", "related", "b")}
    with pytest.raises(GraphError, match="'1'"):
        from_networkx(nx.Graph([(1, "1")]))


def test_scipy_round_trip_and_symmetric_adjacency(films):
    matrices = to_scipy(films.triples)
    assert matrices["http://x.org/director"].nnz == 2
    assert matrices["http://x.org/director"][1, 3] == 1
    assert facts(from_scipy(matrices, films.triples.entities)) == facts(films.triples)
    ckg = CollaborativeKG.from_dataset(films)
    whole = adjacency(ckg).toarray()
    expected = np.zeros((11, 11))
    for h, t in zip(ckg.head, ckg.tail, strict=True):
        expected[h, t] += 1
        expected[t, h] += 1
    assert (whole == expected).all()
    with pytest.raises(GraphError, match="shape"):
        from_scipy({"r": sp.csr_array((2, 2))}, ["a", "b", "c"])


@pytest.mark.parametrize("form", [None, "nt", "turtle"])
def test_rdflib_round_trip_with_labels_classes_and_literals(films, form):
    graph = to_rdflib(films)
    if form:
        graph = rdflib.Graph().parse(
            data=graph.serialize(format=form, encoding="utf-8"), format=form
        )
    back = from_rdflib(graph)
    assert facts(back) == facts(films.triples)
    assert labels(back) == labels(films.triples)
    read = {(back.entities.key(e), t) for e, t in back.types.iter_rows()}
    assert read == {(films.triples.entities.key(e), t) for e, t in films.triples.types.iter_rows()}
    if form is None:  # rdflib's parsers write numbers anew: 01979 becomes 1979
        values = {(back.entities.key(e), *rest) for e, *rest in back.attributes.iter_rows()}
        assert values == {
            (films.triples.entities.key(e), *rest)
            for e, *rest in films.triples.attributes.iter_rows()
        }


def test_rdflib_keeps_iris_and_writes_users_in_their_own_space(films):
    graph = to_rdflib(films)
    alien = rdflib.URIRef("http://x.org/Alien")
    assert (
        rdflib.URIRef("urn:kgrec:user:http%3A%2F%2Fx.org%2FAlien"),
        rdflib.URIRef("urn:kgrec:interacts"),
        alien,
    ) in graph
    assert (
        alien,
        rdflib.URIRef("http://x.org/director"),
        rdflib.URIRef("http://x.org/Ridley_Scott"),
    ) in graph
    assert (rdflib.URIRef("urn:kgrec:entity:Blade%20Runner%20%3C1982%3E"), None, None) in graph
    assert len(set(graph.subjects(rdflib.URIRef("urn:kgrec:interacts")))) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=12)] * 3),
        min_size=1,
        max_size=8,
    )
)
def test_any_text_survives_every_round_trip(found):
    keys = list(dict.fromkeys(key for h, _, t in found for key in (h, t)))
    relations = list(dict.fromkeys(r for _, r, _ in found))
    matrices = {r: sp.lil_array((len(keys), len(keys))) for r in relations}
    for h, r, t in found:
        matrices[r][keys.index(h), keys.index(t)] = 1
    triples = from_scipy(matrices, keys)
    assert facts(triples) == set(found)
    assert facts(from_rdflib(to_rdflib(triples))) == set(found)
    read = rdflib.Graph().parse(
        data=to_rdflib(triples).serialize(format="nt", encoding="utf-8"), format="nt"
    )
    assert facts(from_rdflib(read)) == set(found)


def test_rdflib_datasets_keep_named_graphs(films):
    named = replace(
        films.triples,
        graph=np.array([n % 3 - 1 for n in range(len(films.triples))], dtype=np.int32),
        graphs=pl.Series("graph", ["http://x.org/g", "not an IRI"]),
    )
    data = to_rdflib_dataset(replace(films, triples=named))
    back = from_rdflib(data)
    assert facts(back) == facts(films.triples)
    assert labels(back) == labels(films.triples)
    expected = {triple: named.graph_name(row) for row, triple in enumerate(stated(named))}
    assert {triple: back.graph_name(row) for row, triple in enumerate(stated(back))} == expected
    assert len(to_rdflib_dataset(films).default_graph) == len(to_rdflib(films))
    twice = rdflib.Dataset()
    for name in ("x:h", "x:g"):
        twice.graph(rdflib.URIRef(name)).add(
            (rdflib.URIRef("x:a"), rdflib.URIRef("x:r"), rdflib.URIRef("x:b"))
        )
    assert (from_rdflib(twice).graph_name(0), len(from_rdflib(twice))) == ("x:g", 1)


def test_pykeen_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pykeen.triples", None)
    with pytest.raises(ConfigError, match="PyKEEN is not installed"):
        to_pykeen(worlds.toy())


def test_pykeen_gets_the_numbering_of_the_graph(monkeypatch):
    module = SimpleNamespace(TriplesFactory=lambda rows, **names: (rows.tolist(), names))
    monkeypatch.setitem(sys.modules, "pykeen", SimpleNamespace(triples=module))
    monkeypatch.setitem(sys.modules, "pykeen.triples", module)
    data = worlds.knowledge_only([(0, 0, 1), (1, 1, 2)], 3, 2, held={"test": [(2, 0, 0)]})
    factories = to_pykeen(data)
    assert factories["train"][0] == [[0, 0, 1], [1, 1, 2]]
    assert factories["test"][0] == [[2, 0, 0]]
    assert factories["train"][1] == {
        "entity_to_id": {"e0": 0, "e1": 1, "e2": 2},
        "relation_to_id": {"r0": 0, "r1": 1},
    }
