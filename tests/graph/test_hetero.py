"""HeteroData against the edges written down by hand."""

import dataclasses

import pytest
import torch

from kgrec.data.records.triples import Triples, empty_triples
from kgrec.errors import ConfigError
from kgrec.graph.hetero import build_hetero_data


def edges(graph, data, inverse):
    """Return every edge of one direction as (head kind and row, relation key, tail kind and row),
    read back through the maps.
    """
    found = []
    for source, relation, target in graph.edge_types:
        if (relation not in graph.relations) is not inverse:
            continue
        store = graph[source, relation, target]
        assert store.edge_index.dtype == torch.int64
        key = graph.relations[relation.removeprefix("rev_") if inverse else relation]
        left, right = (
            graph[source].row[store.edge_index[0]].tolist(),
            graph[target].row[store.edge_index[1]].tolist(),
        )
        for a, b in zip(left, right, strict=True):
            ends = (
                ("user" if source == "user" else "entity", a),
                ("user" if target == "user" else "entity", b),
            )
            found.append((ends[1], key, ends[0]) if inverse else (ends[0], key, ends[1]))
    return sorted(found)


def expected(data):
    t = data.triples
    facts = [
        (("entity", int(h)), t.relations.key(int(r)), ("entity", int(e)))
        for h, r, e in zip(t.head, t.relation, t.tail, strict=True)
    ]
    facts += [
        (("user", int(u)), "", ("entity", int(i)))
        for u, i in zip(data.train.user, data.train.item, strict=True)
    ]
    facts += [
        (("user", int(u)), t.relations.key(int(r)), ("entity", int(e)))
        for u, r, e in data.user_facts
    ]
    return sorted(facts)


@pytest.mark.parametrize("types", ["role", "class"])
def test_every_fact_is_there_once_in_each_direction(films, types):
    graph = build_hetero_data(films, types=types)
    assert graph.validate()
    assert edges(graph, films, inverse=False) == expected(films)
    assert edges(graph, films, inverse=True) == expected(films)


def test_roles_relation_names_and_provenance(films):
    graph = build_hetero_data(films)
    assert graph.node_types == ["user", "item", "entity"]
    assert [graph[name].num_nodes for name in graph.node_types] == [2, 3, 6]
    assert graph["entity"].row.tolist() == [3, 4, 5, 6, 7, 8]
    assert graph.relations == {
        "interacts": "",
        "director": "http://x.org/director",
        "directed_by": "directed by",
        "director_2": "http://y.org/director",
    }
    assert graph["user", "interacts", "item"].edge_index.tolist() == [[0, 0, 1], [0, 1, 1]]
    assert graph["item", "rev_interacts", "user"].edge_index.tolist() == [[0, 1, 1], [0, 0, 1]]
    assert graph["item", "directed_by", "entity"].triple.tolist() == [3, 4]
    assert graph["user", "directed_by", "entity"].triple.tolist() == [-2]
    assert graph["item", "directed_by", "item"].edge_index.tolist() == [[0], [1]]


def test_classes_take_the_rarest_then_the_first(films):
    graph = build_hetero_data(films, types="class")
    rows = {name: graph[name].row.tolist() for name in graph.node_types}
    assert rows == {
        "user": [0, 1],
        "item": [0, 1, 2],
        "entity": [6, 7],
        "Person": [3, 4],
        "Thing": [5, 8],
    }


def test_equal_local_names_and_reserved_names_stay_apart(films):
    import polars as pl

    types = pl.DataFrame(
        {"entity": [3, 4, 5], "type": ["http://a/Person", "http://b#Person", "http://c/user"]},
        schema=films.triples.types.schema,
    )
    data = dataclasses.replace(films, triples=dataclasses.replace(films.triples, types=types))
    graph = build_hetero_data(data, types="class")
    rows = {
        name: graph[name].row.tolist()
        for name in graph.node_types
        if name not in ("user", "item", "entity")
    }
    assert rows == {"Person": [3], "Person_2": [4], "user_2": [5]}


def test_a_relation_called_like_an_inverse_does_not_collide(films):
    import polars as pl

    names = pl.Series("label", ["interacts", "director", "rev director"], dtype=pl.String)
    graph = build_hetero_data(
        dataclasses.replace(
            films, triples=dataclasses.replace(films.triples, relation_labels=names)
        )
    )
    assert list(graph.relations) == ["interacts", "interacts_2", "director", "rev_director_2"]
    assert len(set(graph.edge_types)) == len(graph.edge_types)
    data = dataclasses.replace(
        films, triples=dataclasses.replace(films.triples, relation_labels=names)
    )
    assert edges(graph, data, inverse=False) == expected(data)


def test_without_triples_there_is_no_entity_type(films):
    from kgrec.data.records.vocabulary import Vocabulary

    none: Triples = empty_triples(Vocabulary(["a", "b", "c"]))
    graph = build_hetero_data(
        dataclasses.replace(films, triples=none, user_facts=films.user_facts[:0])
    )
    assert graph.node_types == ["user", "item"]
    assert graph.edge_types == [("user", "interacts", "item"), ("item", "rev_interacts", "user")]
    assert graph.validate()


def test_unknown_types_are_refused(films):
    with pytest.raises(ConfigError, match="'role' or 'class'"):
        build_hetero_data(films, types="klass")
