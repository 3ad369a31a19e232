import gzip

import pytest

from kgrec.data.rdf import reader as rdf
from kgrec.data.rdf.reader import line_of
from kgrec.data.readers.triples import read_triples
from kgrec.errors import ConfigError, FormatError

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
    graph = read_triples(written(tmp_path, "a.ttl", FILM), keep_labels="best")
    assert list(graph.entities) == ["http://e/alien", "http://e/ridley", "http://e/blade"]
    assert list(graph.relations) == ["http://e/director"]
    assert (graph.head.tolist(), graph.tail.tolist()) == ([0, 2], [1, 1])
    assert graph.locator.tolist() == [4, 7]
    assert graph.labels.to_list() == ["Alien (film)", "Ridley Scott", None]
    assert graph.relation_labels.to_list() == ["directed by"]
    assert graph.types.rows() == [(0, "http://e/Film")]
    assert graph.attributes.rows() == [
        (0, "http://e/year", "1979", "http://www.w3.org/2001/XMLSchema#integer", "")
    ]
    assert [(d.why, d.count) for d in graph.dropped] == [
        ("the head is the tail", 1),
        ("stated more than once", 1),
        ("another one of the entity is preferred; keep_labels=all keeps all as attributes", 1),
    ]


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
    for path in (
        written(tmp_path, name, text),
        written(tmp_path, name + ".gz", gzip.compress(text.encode())),
    ):
        graph = read_triples(path)
        assert (list(graph.entities), list(graph.relations), len(graph)) == (
            ["http://e/a", "http://e/b"],
            ["http://e/r"],
            1,
        )


def test_base_and_format(tmp_path):
    path = written(tmp_path, "a.data", "<a> <r> <b> .")
    assert list(read_triples(path, format="ttl", base="http://e/").entities) == [
        "http://e/a",
        "http://e/b",
    ]


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
    graph = read_triples(
        written(
            tmp_path, "a.ttl", "@prefix e: <http://e/> . e:a e:r e:b ; e:says <<( e:a e:r e:b )>> ."
        )
    )
    assert [(d.why, d.count) for d in graph.dropped] == [("a statement about a statement", 1)]


GOOD = b"<http://e/a> <http://e/r> <http://e/b> .\n"
XML = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><r/>'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nt", GOOD + b"<http://e/a> <http://e/r> .\n", r"a\.nt:2: not valid N-Triples"),
        (
            "a.nt",
            GOOD + b'<http://e/a> <http://e/r> "\xff" .\n',
            r"a\.nt:2: not valid N-Triples.*UTF-8",
        ),
        ("a.ttl", b"e:a e:b e:c .", r"a\.ttl:1: not valid Turtle"),
        ("a.nt.gz", gzip.compress(GOOD * 50, mtime=0)[:-9], "the gzip stream ends too early"),
        ("a.nt.gz", gzip.compress(GOOD * 50, mtime=0)[:-8] + bytes(8), "damaged gzip stream"),
        ("a.rdf", XML, r"a\.rdf:1: an entity that refers to entities"),
        (
            "a.jsonld",
            b'{"@context": "http://e/c.jsonld", "@id": "http://e/a", "name": "x"}',
            r"a\.jsonld:1: a remote @context, http://e/c\.jsonld, and kgrec fetches nothing",
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


def written_each(folder, texts):
    return [written(folder, name, text) for name, text in texts.items()]


TRIPLE = {"x:a x:r x:b"}
CONTENTS = {
    "N-Triples": b"# c\n<x:a> <x:r> <x:b> .\n",
    "N-Quads": b"<x:a> <x:r> <x:b> <x:g> .\n",
    "TriG": b"@prefix x: <x:> . x:g { x:a x:r x:b }",
    "RDF/XML": b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="x:">'
    b'<r:Description r:about="x:a"><x:r r:resource="x:b"/></r:Description></r:RDF>',
    "JSON-LD": b'{"@id": "x:a", "x:r": {"@id": "x:b"}}',
}


@pytest.mark.parametrize("name", ["a", "a.txt", "a.data", "a.unknown", "a.gz"])
@pytest.mark.parametrize("format", CONTENTS)
def test_content_tells_the_format_where_the_name_does_not(tmp_path, name, format):
    for content in (
        CONTENTS[format],
        b"\xef\xbb\xbf" + CONTENTS[format],
        gzip.compress(CONTENTS[format]),
    ):
        graph = read_triples(written(tmp_path, name, content))
        assert (graph.formats, len(graph)) == ((format,), 1)


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.ttl", CONTENTS["RDF/XML"], "RDF/XML"),
        (
            "a.nt",
            b"<?xml version='1.0'?>\n<!-- " + b"c --><!-- " * 2000 + b" -->" + CONTENTS["RDF/XML"],
            "RDF/XML",
        ),
        ("a.rdf", CONTENTS["JSON-LD"], "JSON-LD"),
        ("a.owl", b"@prefix x: <x:> . x:a x:r x:b .", "TriG"),
        ("a.xml", CONTENTS["N-Triples"], "N-Triples"),
        ("a.jsonld", CONTENTS["RDF/XML"], "RDF/XML"),
        ("a.json", CONTENTS["JSON-LD"], "JSON-LD"),
        ("a", b"PREFIX x: <x:>\nx:a x:r x:b .", "TriG"),
        ("a", b"<x:a> a <x:T> ; <x:r> <x:b> .", "TriG"),
        ("a.ttl", CONTENTS["N-Triples"], "Turtle"),
    ],
)
def test_content_goes_before_a_name_that_is_plainly_wrong(tmp_path, name, content, format):
    assert read_triples(written(tmp_path, name, content)).formats == (format,)


def test_names_within_the_turtle_family_stand(tmp_path):
    with pytest.raises(FormatError, match=r"a\.nt:1: not valid N-Triples"):
        read_triples(written(tmp_path, "a.nt", "@prefix x: <x:> . x:a x:r x:b ."))


@pytest.mark.parametrize("text", ["a\tr\tb\n", "0 1 2\n", "head,relation,tail\na,r,b\n"])
def test_tables_stay_tables(tmp_path, text):
    graph = read_triples(written(tmp_path, "a.txt", text))
    assert (len(graph), graph.formats) == (1, ())


def test_an_empty_file_is_an_empty_graph(tmp_path):
    for name in ("a.nt", "a.nq", "a.ttl", "a.trig"):
        for text in ("", "# only a comment\n"):
            assert len(read_triples(written(tmp_path, name, text))) == 0


def test_a_folder_is_read_by_content_and_name(tmp_path):
    texts = {
        "1.nt": CONTENTS["N-Triples"],
        "part-0001": b"<x:c> <x:r> <x:d> .\n",
        "README": b"Two files.\n",
        "s.csv": b"a,b\n",
    }
    written_each(tmp_path, texts | {"2.ttl.gz": gzip.compress(b"<x:e> <x:r> <x:f> .")})
    graph = read_triples(str(tmp_path))
    assert [source.rsplit("/")[-1] for source in graph.sources] == ["1.nt", "2.ttl.gz", "part-0001"]
    assert (len(graph), graph.formats) == (3, ("N-Triples", "Turtle", "N-Triples"))


@pytest.mark.parametrize(
    "text", ["<x:a> <x:r> <x:b> .".encode("utf-16"), b"\x00" * 50, b"\xff\xfe", b"PK\x03\x04rest"]
)
def test_other_encodings_and_binary_files_are_refused(tmp_path, text):
    for name in ("a.nt", "a.ttl", "a.jsonld"):
        with pytest.raises(FormatError, match=rf"{name}(:1)?: "):
            read_triples(written(tmp_path, name, text))


def test_the_base_is_the_files_own_iri_unless_one_is_given(tmp_path):
    path = written(tmp_path, "ä b.ttl", "<#c> <r> <> .")
    own = f"file://{tmp_path}/%C3%A4%20b.ttl"
    assert list(read_triples(path).entities) == [f"{own}#c", own]
    assert list(read_triples(path, base="http://e/d/f").entities) == [
        "http://e/d/f#c",
        "http://e/d/f",
    ]
    with pytest.raises(ConfigError, match="base: 'd/f' is not an absolute IRI"):
        read_triples(path, base="d/f")


GRAPHS = (
    "<x:a> <x:r> <x:b> <x:g> .\n<x:a> <x:r> <x:c> .\n<x:a> <x:r> <x:b> <x:h> .\n<x:a> <x:s> "
    "<x:b> <x:h> .\n"
)


def test_named_graphs_are_kept(tmp_path):
    graph = read_triples(written(tmp_path, "a.nq", GRAPHS))
    assert (graph.graphs.to_list(), graph.graph.tolist()) == (["x:g", "x:h"], [0, -1, 1])
    assert [graph.graph_name(row) for row in range(3)] == ["x:g", None, "x:h"]
    other = written(tmp_path, "b.trig", "<x:h> { <x:d> <x:r> <x:e> } _:g { <x:f> <x:r> <x:e> }")
    both = read_triples([written(tmp_path, "a.nq", GRAPHS), written(tmp_path, "c.nt", GOOD), other])
    assert [both.graph_name(row) for row in range(len(both))] == [
        "x:g",
        None,
        "x:h",
        None,
        "x:h",
        "_:2.b0",
    ]
    again = read_triples([both, read_triples(written(tmp_path, "a.nq", GRAPHS))])
    assert [again.graph_name(row) for row in range(3)] == ["x:g", None, "x:h"]
    assert both.take(both.relation == 1).graph_name(0) == "x:h"
    plain = read_triples(written(tmp_path, "c.nt", GOOD))
    assert (plain.graph.tolist(), plain.graphs.to_list(), plain.graph_name(0)) == ([], [], None)


def test_predicates_and_namespaces_can_be_chosen(tmp_path):
    path = written(
        tmp_path,
        "a.ttl",
        FILM + "e:blade <http://o/r> e:ridley . <http://o/x> e:director e:ridley .",
    )
    graph = read_triples(path, predicates=["http://e/director"], keep_labels="best")
    assert (list(graph.relations), graph.attributes.height, graph.labels[0]) == (
        ["http://e/director"],
        0,
        "Alien (film)",
    )
    counted = {d.why: d.count for d in graph.dropped if d.what == "statements"}
    assert counted == {"a predicate that was not asked for": 3}
    assert list(read_triples(path, without_predicates=["http://e/"]).relations) == ["http://o/r"]
    assert list(read_triples(path, without_predicates=["http://e/direct"]).relations) == [
        "http://e/director",
        "http://o/r",
    ]
    own = read_triples(path, namespaces=["http://e/"])
    assert "http://o/x" not in own.entities
    assert {d.why: d.count for d in own.dropped if d.what == "statements"} == {
        "an entity of a namespace that was not asked for": 1
    }
    assert "http://e/blade" not in read_triples(path, without_namespaces="http://e/blade").entities
    with pytest.raises(ConfigError, match=r"predicates: .* is not a list of IRIs"):
        read_triples(path, predicates=[""])


def test_blank_nodes_are_counted_or_dropped(tmp_path):
    path = written(tmp_path, "a.ttl", "<x:a> <x:r> [ <x:r> <x:b> ] ; a [] . <x:a> <x:r> <x:c> .")
    kept = read_triples(path)
    assert (kept.counts, len(kept)) == ({"blank nodes read": 1}, 3)
    assert [(d.what, d.why, d.count) for d in kept.dropped] == [
        ("types", "the class is a blank node", 1)
    ]
    left = read_triples(path, blank="drop")
    assert (len(left), list(left.entities), left.counts) == (1, ["x:a", "x:c"], {})
    assert [(d.what, d.why, d.count) for d in left.dropped] == [("statements", "a blank node", 3)]


SAME = "<http://www.w3.org/2002/07/owl#sameAs>"


def test_the_same_entities_are_merged_on_request(tmp_path):
    one = written(
        tmp_path,
        "1.nt",
        f"_:z {SAME} <x:b> .\n<x:b> {SAME} <x:c> .\n<x:c> <x:r> <x:d> .\n<x:b> <x:r> <x:d> "
        ".\n<x:b> <x:s> <x:c> .\n",
    )
    two = written(
        tmp_path,
        "2.ttl",
        f'<x:e> {SAME} <x:c> . <x:e> {LABEL} "E" ; <x:year> 1979 ; a <x:T> . <x:f> <x:r> <x:g> .',
    )
    graph = read_triples([one, two], same_as="merge")
    assert (list(graph.entities), list(graph.relations)) == (["x:b", "x:d", "x:f", "x:g"], ["x:r"])
    assert (graph.head.tolist(), graph.tail.tolist(), graph.labels[0]) == ([0, 2], [1, 3], "E")
    assert graph.types.rows() == [(0, "x:T")]
    names = graph.attributes.select("entity", "name", "value").rows()
    assert names == [(0, "x:year", "1979"), (0, SAME[1:-1], "x:c"), (0, SAME[1:-1], "x:e")]
    assert graph.counts == {
        "blank nodes read": 1,
        "owl:sameAs statements": 3,
        "entities merged into others": 3,
    }
    assert {d.why for d in graph.dropped} == {"the head is the tail", "stated more than once"}
    kept = read_triples([one, two])
    assert SAME[1:-1] in kept.relations
    assert read_triples(written(tmp_path, "3.nt", GOOD), same_as="merge").counts == {}
    with pytest.raises(ConfigError, match="same_as: 'join' is neither"):
        read_triples(one, same_as="join")


@pytest.mark.parametrize("option", [{"blank": "no"}, {"literals": "no"}, {"on_error": "no"}])
def test_unknown_options(tmp_path, option):
    with pytest.raises(ConfigError, match=r"'no' is neither"):
        read_triples(written(tmp_path, "a.nt", GOOD), **option)


TURTLE_LINES = """@prefix e: <http://e/> .
e:a e:r
  e:b ,
  e:c ;
  e:s [
    e:t e:d
  ] .

# comment
e:f e:r e:g .
"""


def test_the_line_of_a_triple_is_found_again(tmp_path):
    path = written(tmp_path, "a.ttl", TURTLE_LINES)
    graph = read_triples(path)
    tails = {
        key: line_of(path, place)
        for key, place in zip(graph.entities.keys(graph.tail), graph.locator, strict=True)
    }
    assert {
        key: tails[key] for key in ("http://e/b", "http://e/c", "http://e/d", "http://e/g")
    } == {
        "http://e/b": 3,
        "http://e/c": 4,
        "http://e/d": 6,
        "http://e/g": 10,
    }
    packed = written(tmp_path, "b.ttl.gz", gzip.compress(TURTLE_LINES.encode()))
    assert line_of(packed, -2) == line_of(path, 2)
    assert line_of(path, 99) is None


def test_the_line_of_other_formats(tmp_path):
    document = (
        CONTENTS["RDF/XML"]
        .replace(b"><", b">\n<")
        .replace(b"<x:r", b"<!-- c\n\n -->\n<x:s>text\n</x:s>\n<x:r")
    )
    path = written(tmp_path, "a.rdf", document)
    assert [line_of(path, place) for place in (1, 2)] == [7, 8]
    assert line_of(written(tmp_path, "a.jsonld", CONTENTS["JSON-LD"]), 1) is None
    assert line_of(written(tmp_path, "a.nq", GRAPHS), 3) == 3
    assert line_of(written(tmp_path, "a", TURTLE_LINES), 1, format="ttl") == 3
    assert line_of(written(tmp_path, "a.trig", "\n\n<x:g> {\n<x:a> <x:r> <x:b> }"), 1) == 4
    with pytest.raises(FormatError, match=r"b\.ttl:2: not valid Turtle"):
        line_of(written(tmp_path, "b.ttl", "<x:a> <x:r> <x:b> .\n<x:a> ."), 2)


@pytest.mark.parametrize("size", [1, 2, 19_999, 20_000, 20_001, 45_000])
def test_statements_are_counted_across_chunks(tmp_path, size):
    path = written(tmp_path, "a.ttl", "".join(f"<x:{n}> <x:r> <x:b> .\n" for n in range(size)))
    graph = read_triples(path)
    assert graph.locator.tolist() == list(range(1, size + 1))


def test_an_error_behind_many_good_statements_keeps_its_place(tmp_path):
    good = "".join(f"<x:{n}> <x:r> <x:b> .\n" for n in range(50_000))
    for name in ("a.ttl", "a.nt"):
        with pytest.raises(FormatError, match=rf"{name}:50001: "):
            read_triples(written(tmp_path, name, good + "<x:a> .\n" + good))


def test_rdflib_datasets_keep_their_graphs():
    rdflib = pytest.importorskip("rdflib")
    e = rdflib.Namespace("http://e/")
    data = rdflib.Dataset()
    data.default_graph.add((e.a, e.r, e.b))
    data.graph(e.g).add((e.a, e.r, e.c))
    data.graph(e.g).add((e.a, rdflib.RDFS.label, rdflib.Literal("A", lang="en-GB")))
    data.graph(e.h).add((e.a, e.s, rdflib.Literal("5", datatype=rdflib.XSD.integer)))
    graph = read_triples(data)
    stated = list(
        zip(
            graph.entities.keys(graph.tail),
            [graph.graph_name(row) for row in range(2)],
            strict=True,
        )
    )
    assert sorted(stated, key=str) == [("http://e/b", None), ("http://e/c", "http://e/g")]
    assert (graph.labels.to_list()[0], sorted(graph.attributes["value"])) == ("A", ["5", "A"])
    bad = rdflib.Graph()
    bad.add((e.a, e.r, rdflib.URIRef("http://e/a b")))
    with pytest.raises(
        FormatError, match="rdflib graph: a term that is not valid RDF: Invalid IRI"
    ):
        read_triples(bad)


@pytest.mark.parametrize(
    ("start", "end"),
    [('{"@id":"x:a","x:p":', "}"), ('{"@list":[', "]}"), ('{"@graph":[', "]}"), ("[", "]")],
)
def test_json_without_bottom_is_refused_before_the_parser_sees_it(tmp_path, start, end):
    path = tmp_path / "deep.jsonld"
    path.write_text('{"@id": "x:a",\n"x:p": ' + start * 20_000 + end * 20_000 + "}")
    with pytest.raises(
        FormatError, match=r"deep.jsonld:2: objects within objects, more than 500 deep"
    ):
        read_triples(path)


def test_brackets_in_texts_are_not_objects(tmp_path, monkeypatch):
    text = '{"@id": "x:a", "x:p": [{"@id": "x:b"}, "' + "[{" * 2_000 + '\\" \\\\\\"[["]}'
    (tmp_path / "flat.jsonld").write_text(text)
    for piece in (1 << 20, 1, 7):
        monkeypatch.setattr(rdf, "_PIECE", piece)
        assert len(read_triples(tmp_path / "flat.jsonld")) == 1
