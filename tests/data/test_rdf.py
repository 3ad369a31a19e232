import gzip

import pytest

from kgrec.data.graphs import read_triples
from kgrec.errors import FormatError

LABEL = "<http://www.w3.org/2000/01/rdf-schema#label>"
FILM = f"""@prefix e: <http://e/> . @prefix schema: <https://schema.org/> .
e:alien a e:Film ; {LABEL} "Alien"@de , "Alien (film)"@en ; e:director e:ridley ; e:year 1979 ; e:self e:alien .
e:blade e:director e:ridley , e:ridley .
e:ridley schema:name "Ridley Scott" .
e:director {LABEL} "directed by"@en .
e:Film {LABEL} "Film class" .
"""


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_turtle_becomes_triples_labels_types_and_attributes(tmp_path):
    graph = read_triples(written(tmp_path, "a.ttl", FILM))
    assert list(graph.entities) == ["http://e/alien", "http://e/ridley", "http://e/blade"]
    assert list(graph.relations) == ["http://e/director"]
    assert (graph.head.tolist(), graph.tail.tolist()) == ([0, 2], [1, 1])
    assert graph.locator.tolist() == [4, 7]
    assert graph.labels.to_list() == ["Alien (film)", "Ridley Scott", None]
    assert graph.relation_labels.to_list() == ["directed by"]
    assert graph.types.rows() == [(0, "http://e/Film")]
    assert graph.attributes.rows() == [(0, "http://e/year", "1979", "http://www.w3.org/2001/XMLSchema#integer", "")]
    assert [(d.why, d.count) for d in graph.dropped] == [("the head is the tail", 1), ("stated more than once", 1)]


def test_label_language(tmp_path):
    path = written(tmp_path, "a.ttl", FILM)
    assert read_triples(path, language="de").labels[0] == "Alien"
    assert read_triples(path, language="fr").labels[0] == "Alien"
    assert read_triples(path, labels=("http://e/year",)).labels[0] == "1979"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.nt", "<http://e/a> <http://e/r> <http://e/b> .\n"),
        ("a.nt", "\ufeff<http://e/a> <http://e/r> <http://e/b> .\r\n"),
        ("a.nq", "<http://e/a> <http://e/r> <http://e/b> <http://e/g> .\n"),
        ("a.trig", "<http://e/g> { <http://e/a> <http://e/r> <http://e/b> }"),
        (
            "a.rdf",
            '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://e/"><r:Description r:about="http://e/a">'
            '<e:r r:resource="http://e/b"/></r:Description></r:RDF>',
        ),
        ("a.jsonld", '{"@id": "http://e/a", "http://e/r": {"@id": "http://e/b"}}'),
    ],
)
def test_every_serialization_gives_the_same_triple(tmp_path, name, text):
    for path in (written(tmp_path, name, text), written(tmp_path, name + ".gz", gzip.compress(text.encode()))):
        graph = read_triples(path)
        assert (list(graph.entities), list(graph.relations), len(graph)) == (["http://e/a", "http://e/b"], ["http://e/r"], 1)


def test_base_and_format(tmp_path):
    path = written(tmp_path, "a.data", "<a> <r> <b> .")
    assert list(read_triples(path, format="ttl", base="http://e/").entities) == ["http://e/a", "http://e/b"]


def test_blank_nodes_of_two_files_stay_apart_and_named_nodes_meet(tmp_path):
    one = written(tmp_path, "1.ttl", "@prefix e: <http://e/> . e:a e:r [ e:r e:b ] .")
    two = written(tmp_path, "2.ttl", "@prefix e: <http://e/> . e:a e:r [ e:r e:b ] .")
    graph = read_triples([one, two])
    assert sorted(graph.entities) == ["_:0.b0", "_:1.b0", "http://e/a", "http://e/b"]
    assert len(graph) == 4
    assert graph.sources == (one, two)
    assert sorted(graph.source.tolist()) == [0, 0, 1, 1]
    assert read_triples(one).entities == read_triples(one).entities
    assert len(read_triples(str(tmp_path))) == 4


def test_statements_about_statements_are_counted(tmp_path):
    graph = read_triples(written(tmp_path, "a.ttl", "@prefix e: <http://e/> . e:a e:r e:b ; e:says <<( e:a e:r e:b )>> ."))
    assert [(d.why, d.count) for d in graph.dropped] == [("a statement about a statement", 1)]


GOOD = b"<http://e/a> <http://e/r> <http://e/b> .\n"
XML = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><r/>'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nt", GOOD + b"<http://e/a> <http://e/r> .\n", r"a\.nt:2: not valid N-Triples"),
        ("a.nt", GOOD + b'<http://e/a> <http://e/r> "\xff" .\n', r"a\.nt:2: not valid N-Triples.*UTF-8"),
        ("a.ttl", b"e:a e:b e:c .", r"a\.ttl:1: not valid Turtle"),
        ("a.nt.gz", gzip.compress(GOOD * 50, mtime=0)[:-9], "the gzip stream ends too early"),
        ("a.nt.gz", gzip.compress(GOOD * 50, mtime=0)[:-8] + bytes(8), "damaged gzip stream"),
        ("a.rdf", XML, r"a\.rdf:1: an entity that refers to entities"),
        (
            "a.jsonld",
            b'{"@context": "http://schema.org/", "@id": "http://e/a", "name": "x"}',
            "a remote @context, and kgrec fetches nothing",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, name, content, message):
    with pytest.raises(FormatError, match=message) as caught:
        read_triples(written(tmp_path, name, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{ok}<http://x/a> <http://x/r>\n{ok}", 2),
        ("{ok}<http://x/a> <http://x/r> <http://x/b>\n{ok}", 2),
        ("# c\n\n{ok}<http://x/a> <http://x/r>\n\n\n{ok}", 4),
        ("{ok}<http://x/a> <http://x/r>", 2),
        ("{ok}hello\n{ok}", 2),
        ("{ok}<http://x/a> <http://x/r> <http://x/\n{ok}", 2),
    ],
)
def test_a_broken_line_of_n_triples_is_named_itself(tmp_path, text, line):
    ok = "<http://x/a> <http://x/r> <http://x/b> .\n"
    with pytest.raises(FormatError, match=rf"a\.nt:{line}: "):
        read_triples(written(tmp_path, "a.nt", text.format(ok=ok)))
