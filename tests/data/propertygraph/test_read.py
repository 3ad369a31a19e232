"""Graphs of other tools as they write them; what was put in must come out."""

import json
import math

import networkx as nx
import pytest

import kgrec
from kgrec.data.readers.triples import read_triples
from kgrec.errors import FormatError

XSD = "http://www.w3.org/2001/XMLSchema#"


def stated(graph):
    return {
        (graph.entities.key(h), graph.relations.key(r), graph.entities.key(t))
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    }


def types(graph):
    return {(graph.entities.key(entity), name) for entity, name in graph.types.iter_rows()}


def literals(graph):
    return {
        (graph.entities.key(row["entity"]), row["name"], row["value"])
        for row in graph.attributes.iter_rows(named=True)
    }


def labels(graph):
    return dict(zip(graph.entities, graph.labels, strict=True))


@pytest.fixture(scope="module")
def movies():
    graph = nx.MultiDiGraph()
    graph.add_node("m1", kind="Movie", title="The Matrix", year=1999)
    graph.add_node("p1", kind="Person", name="Keanu")
    graph.add_node("p2", kind="Person", name="Keanu")
    graph.add_edge("m1", "p1", key="starring", weight=2.0)
    graph.add_edge("m1", "p1", key="producer")
    graph.add_edge("m1", "p2", key="starring")
    return graph


def write(graph, kind, path):
    if kind == "graphml":
        nx.write_graphml(graph, path)
    elif kind == "gexf":
        nx.write_gexf(graph, path)
    else:
        path.write_text(json.dumps(nx.node_link_data(graph, edges=kind)))
    return str(path)


@pytest.mark.parametrize("kind", ["object", "graphml", "gexf", "links", "edges"])
def test_a_graph_of_networkx_in_every_form(movies, kind, tmp_path):
    source = movies if kind == "object" else write(movies, kind, tmp_path / f"g.{kind}")
    graph = read_triples(source)
    assert stated(graph) == {
        ("m1", "starring", "p1"),
        ("m1", "producer", "p1"),
        ("m1", "starring", "p2"),
    }
    assert types(graph) == {("m1", "Movie"), ("p1", "Person"), ("p2", "Person")}
    assert literals(graph) >= {("m1", "year", "1999"), ("m1", "title", "The Matrix")}
    assert labels(graph) == {"m1": "The Matrix", "p1": "Keanu", "p2": "Keanu"}
    assert [(d.what, d.count) for d in graph.dropped] == [("properties of edges", 1)]
    assert "weight" in graph.dropped[0].why


def test_numbers_keep_their_datatypes(movies, tmp_path):
    for kind in ("graphml", "links"):
        graph = read_triples(write(movies, kind, tmp_path / f"n.{kind}"))
        rows = graph.attributes.filter(graph.attributes["name"] == "year")
        assert rows["datatype"].to_list() == [f"{XSD}integer"]


APOC_XML = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="title" for="node" attr.name="title"/><key id="labels" for="node" attr.name="labels"/>
<key id="label" for="edge" attr.name="label"/><key id="role" for="edge" attr.name="role"/>
<graph id="G" edgedefault="directed">
<node id="n0" labels=":Movie"><data key="labels">:Movie</data><data key="title">The Matrix</data></node>
<node id="n1" labels=":Person:Actor"><data key="labels">:Person:Actor</data></node>
<edge id="e0" source="n1" target="n0" label="ACTED_IN"><data key="label">ACTED_IN</data><data key="role">Neo</data></edge>
</graph></graphml>"""
APOC_JSON = """{"type":"node","id":"n0","labels":["Movie"],"properties":{"title":"The Matrix"}}
{"type":"node","id":"n1","labels":["Person","Actor"]}
{"id":"e0","type":"relationship","label":"ACTED_IN","properties":{"role":"Neo"},"start":{"id":"n1"},"end":{"id":"n0"}}
"""
APOC_CSV = """"_id","_labels","title","_start","_end","_type","role"
"n0",":Movie","The Matrix",,,,
"n1",":Person:Actor","",,,,
,,,"n1","n0","ACTED_IN","Neo"
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("g.graphml", APOC_XML), ("g.json", APOC_JSON), ("g.jsonl", APOC_JSON), ("g.csv", APOC_CSV)],
)
def test_what_apoc_of_neo4j_exports(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    graph = read_triples(str(tmp_path / name))
    assert stated(graph) == {("n1", "ACTED_IN", "n0")}
    assert types(graph) == {("n0", "Movie"), ("n1", "Person"), ("n1", "Actor")}
    assert literals(graph) == {("n0", "title", "The Matrix")}
    assert labels(graph)["n0"] == "The Matrix"
    assert [d.count for d in graph.dropped if "role" in d.why] == [1]


GEPHI = """<?xml version="1.0" encoding="UTF-8"?>
<gexf xmlns="http://gexf.net/1.3" version="1.3"><graph defaultedgetype="directed">
<attributes class="node"><attribute id="k" title="genre" type="string"><default>drama</default></attribute></attributes>
<nodes><node id="1" label="Alien"><attvalues><attvalue for="k" value="horror"/></attvalues></node>
<node id="2" label="Heat"/></nodes>
<edges><edge id="0" source="1" target="2" label="like" weight="2"/><edge id="1" source="2" target="1"/></edges>
</graph></gexf>"""
YED = """<?xml version="1.0"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:y="http://www.yworks.com/xml/graphml">
<key for="node" id="d6" yfiles.type="nodegraphics"/><key for="edge" id="d10" yfiles.type="edgegraphics"/>
<graph edgedefault="directed" id="G">
<node id="n0"><data key="d6"><y:ShapeNode><y:NodeLabel>Alien</y:NodeLabel></y:ShapeNode></data></node>
<node id="n1"><data key="d6"><y:ShapeNode><y:NodeLabel>Scott</y:NodeLabel></y:ShapeNode></data></node>
<edge id="e0" source="n0" target="n1"><data key="d10"><y:PolyLineEdge><y:EdgeLabel>by</y:EdgeLabel></y:PolyLineEdge></data></edge>
<hyperedge><endpoint node="n0"/><endpoint node="n1"/></hyperedge>
</graph></graphml>"""
CYTOSCAPE = json.dumps(
    {
        "elements": {
            "nodes": [{"data": {"id": "a", "year": 1979}}, {"data": {"id": "b"}}],
            "edges": [{"data": {"id": "x", "source": "a", "target": "b", "label": "by"}}],
        }
    }
)
GRAPHOLOGY = json.dumps(
    {
        "nodes": [{"key": "a", "attributes": {"label": "Alien"}}, {"key": "b"}],
        "edges": [{"key": "e", "source": "a", "target": "b", "attributes": {"type": "by"}}],
    }
)


def test_gephi(tmp_path):
    (tmp_path / "g.gexf").write_text(GEPHI)
    graph = read_triples(str(tmp_path / "g.gexf"))
    assert stated(graph) == {("1", "like", "2"), ("2", "related", "1")}
    assert labels(graph) == {"1": "Alien", "2": "Heat"}
    assert literals(graph) == {("1", "genre", "horror"), ("2", "genre", "drama")}


def test_yed(tmp_path):
    (tmp_path / "g.graphml").write_text(YED)
    graph = read_triples(str(tmp_path / "g.graphml"))
    assert stated(graph) == {("n0", "by", "n1")}
    assert labels(graph) == {"n0": "Alien", "n1": "Scott"}
    assert [(d.what, d.count) for d in graph.dropped] == [("hyperedges", 1)]


@pytest.mark.parametrize("text", [CYTOSCAPE, GRAPHOLOGY])
def test_json_of_other_libraries(text, tmp_path):
    (tmp_path / "g.json").write_text(text)
    assert stated(read_triples(str(tmp_path / "g.json"))) == {("a", "by", "b")}


def test_an_iri_among_the_properties_is_the_key(tmp_path):
    graph = nx.DiGraph()
    graph.add_node(1, uri="http://x.org/a", name="A")
    graph.add_node(2, uri="http://x.org/b", name="A")
    graph.add_edge(1, 2, type="by")
    path = write(graph, "links", tmp_path / "g.json")
    found = read_triples(path)
    assert stated(found) == {("http://x.org/a", "by", "http://x.org/b")}
    assert labels(found) == {"http://x.org/a": "A", "http://x.org/b": "A"}


def test_names_that_all_differ_are_keys(tmp_path):
    graph = nx.DiGraph()
    graph.add_node(1, name="Alien")
    graph.add_node(2, name="Scott")
    graph.add_edge(1, 2, relation="by")
    assert stated(read_triples(write(graph, "links", tmp_path / "g.json"))) == {
        ("Alien", "by", "Scott")
    }


def test_a_folder_of_a_foreign_file_is_a_dataset(tmp_path):
    (tmp_path / "g.graphml").write_text(APOC_XML)
    data = kgrec.load(tmp_path)
    assert len(data.triples) == 1
    assert any("role" in one.why for one in data.report.dropped)


def test_values_of_every_kind(tmp_path):
    graph = nx.DiGraph()
    graph.add_node("a", tags=["x", "y"], ok=True, score=math.pi, nested={"b": 1}, language="en")
    graph.add_edge("a", "b", relation="r", time="1999-01", rating="good")
    path = write(graph, "links", tmp_path / "g.json")
    found = read_triples(path)
    assert literals(found) == {
        ("a", "tags", "x"),
        ("a", "tags", "y"),
        ("a", "ok", "true"),
        ("a", "score", repr(math.pi)),
        ("a", "nested", '{"b": 1}'),
        ("a", "language", "en"),
    }
    assert {d.why.split()[0] for d in found.dropped} == {"time", "rating"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.graphml", "<gexf/><x>"),
        ("g.gexf", "<!DOCTYPE x [<!ENTITY a 'b'>]><gexf/>"),
        ("g.json", '{"nodes": [{"id": 1}], "links": [{"source": 1}]}'),
        ("g.json", '[{"type": "node"}]'),
        ("g.csv", "_id,_start,_end,_type\n,,,\n"),
    ],
)
def test_broken_files_are_refused_in_a_line(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError) as error:
        read_triples(str(tmp_path / name))
    assert "\n" not in str(error.value)


NODES = {
    "m1": {"label": "Alien", "metadata": {"year": 1979}},
    "p1": {"label": "Ridley Scott", "metadata": {"label": "not this one"}},
}
EDGES = [{"source": "m1", "relation": "director", "target": "p1", "metadata": {"since": 1978}}]
GRAPHS = {
    "version 2": {"graph": {"id": "films", "directed": True, "nodes": NODES, "edges": EDGES}},
    "version 1": {
        "graph": {"nodes": [{"id": key, **node} for key, node in NODES.items()], "edges": EDGES}
    },
    "several graphs": {
        "graphs": [{"nodes": {"m1": NODES["m1"]}}, {"nodes": {"p1": NODES["p1"]}, "edges": EDGES}]
    },
}


@pytest.mark.parametrize("version", GRAPHS)
def test_json_graph_format(tmp_path, version):
    path = tmp_path / "films.json"
    path.write_text(json.dumps(GRAPHS[version]))
    graph = read_triples(path)
    assert stated(graph) == {("m1", "director", "p1")}
    assert labels(graph) == {"m1": "Alien", "p1": "Ridley Scott"}
    assert ("m1", "year", "1979") in literals(graph)


def test_a_graph_in_json_format_with_edges_of_several_nodes_is_refused(tmp_path):
    path = tmp_path / "films.json"
    hyper = {"graph": {"nodes": NODES, "hyperedges": [{"nodes": ["m1", "p1"]}]}}
    path.write_text(json.dumps(hyper))
    with pytest.raises(FormatError, match=r"films\.json: a hyperedge"):
        read_triples(path)


@pytest.mark.parametrize(
    "graph", [{"graph": {"nodes": 3}}, {"graph": {"nodes": [{}]}}, {"graphs": 1}]
)
def test_broken_json_graph_format_is_one_line(tmp_path, graph):
    path = tmp_path / "films.json"
    path.write_text(json.dumps(graph | {"x": {"nodes": {}}}))
    with pytest.raises(FormatError):
        read_triples(path)
