"""JSON-LD with contexts elsewhere, JSON Lines of it, and syntaxes that are named."""

import gzip

import pytest

from kgrec.data.readers.triples import read_triples
from kgrec.errors import ConfigError, FormatError, MissingFileError

SCHEMA = "http://schema.org/"


def stated(graph):
    return {
        (graph.entities.key(h), graph.relations.key(r), graph.entities.key(t))
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    }


@pytest.mark.parametrize(
    "address",
    [
        "https://schema.org",
        "http://schema.org/",
        "https://schema.org/docs/jsonldcontext.jsonld",
        "HTTPS://SCHEMA.ORG",
    ],
)
def test_schema_org_is_known(address, tmp_path):
    path = tmp_path / "a.jsonld"
    path.write_text(
        f'{{"@context": "{address}", "@id": "http://x.org/f", "@type": "Movie", "name": "Alien", '
        '"director": {"@id": "http://x.org/s", "name": "Scott"}, "url": "http://a.org/"}'
    )
    graph = read_triples(str(path))
    assert stated(graph) == {
        ("http://x.org/f", f"{SCHEMA}director", "http://x.org/s"),
        ("http://x.org/f", f"{SCHEMA}url", "http://a.org/"),
    }
    assert graph.types["type"].to_list() == [f"{SCHEMA}Movie"]
    assert graph.label(graph.entities.row("http://x.org/s")) == "Scott"


DOCUMENT = '{"@context": %s, "@id": "http://x.org/f", "by": "http://x.org/s"}'
CONTEXT = '{"@context": {"by": {"@id": "http://x.org/by", "@type": "@id"}}}'
FACT = {("http://x.org/f", "http://x.org/by", "http://x.org/s")}


def test_a_context_from_a_file(tmp_path):
    path = tmp_path / "a.jsonld"
    path.write_text(DOCUMENT % '"https://example.org/c.jsonld"')
    own = tmp_path / "mine.json"
    own.write_text(CONTEXT)
    with pytest.raises(FormatError, match=r"context=https://example\.org/c\.jsonld=FILE"):
        read_triples(str(path))
    pair = f"https://example.org/c.jsonld={own}"
    assert stated(read_triples(str(path), context=[pair])) == FACT
    with pytest.raises(MissingFileError):
        read_triples(str(path), context=["https://example.org/c.jsonld=nowhere.json"])
    with pytest.raises(ConfigError, match="is not URL=FILE"):
        read_triples(str(path), context=["c.jsonld"])


def test_a_context_beside_the_document_but_not_elsewhere(tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "c.jsonld").write_text(CONTEXT)
    (folder / "a.jsonld").write_text(DOCUMENT % '["c.jsonld", {"x": "http://x.org/x"}]')
    assert stated(read_triples(str(folder / "a.jsonld"))) == FACT
    (tmp_path / "c.jsonld").write_text(CONTEXT)
    (folder / "b.jsonld").write_text(DOCUMENT % '"../c.jsonld"')
    with pytest.raises(FormatError, match="kgrec fetches nothing"):
        read_triples(str(folder / "b.jsonld"))


def test_contexts_that_name_one_another_end(tmp_path):
    (tmp_path / "c.jsonld").write_text('{"@context": "c.jsonld"}')
    (tmp_path / "a.jsonld").write_text(DOCUMENT % '"c.jsonld"')
    with pytest.raises(FormatError, match="without end"):
        read_triples(str(tmp_path / "a.jsonld"))


@pytest.mark.parametrize("context", ['"https://schema.org"', '{"@vocab": "http://schema.org/"}'])
def test_json_lines(context, tmp_path):
    line = '{"@context": %s, "@id": "http://x.org/%s", "actor": {"@id": "_:b", "name": "%s"}}\n'
    text = "".join(line % (context, *pair) for pair in (("f", "Ann"), ("g", "Bob")))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode()))
    graph = read_triples(str(path))
    assert len(graph) == 2
    assert len(graph.entities) == 4  # a blank node of each line is its own
    assert sorted(graph.locator.tolist()) == [1, 2]
    assert set(graph.labels.drop_nulls()) == {"Ann", "Bob"}
    path.write_bytes(gzip.compress((text + "{oops\n").encode()))
    with pytest.raises(FormatError, match=r"a\.jsonl\.gz:3: not valid JSON-LD"):
        read_triples(str(path))
    assert len(read_triples(str(path), on_error="skip")) == 2


FOREIGN = {
    "TriX": '<?xml version="1.0"?><TriX xmlns="http://www.w3.org/2004/03/trix/trix-1/"><graph/></TriX>',
    "OWL/XML": '<?xml version="1.0"?>\n<!-- a -->\n<Ontology xmlns="http://www.w3.org/2002/07/owl#" ontologyIRI="http://a"/>',
    "OBO": "format-version: 1.2\nontology: go\n\n[Term]\nid: GO:1\n",
    "Manchester": "Prefix: : <http://a#>\nOntology: <http://a>\nClass: Pizza\n",
    "functional": "Prefix(:=<http://a#>)\nOntology(<http://a>\n)",
    "RDF/JSON": '{"http://a": {"http://p": [{"value": "http://b", "type": "uri"}]}}',
    "HTML with JSON-LD": '<!DOCTYPE html>\n<html><script type="application/ld+json">{}</script></html>',
    "HexTuples": '["http://a","http://p","http://b","globalId","",""]\n',
    "HDT": "$HDT\x01",
    "results of a SPARQL query as JSON": '{"head": {"vars": ["s"]}, "results": {"bindings": []}}',
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("suffix", ["", ".ttl", ".owl", ".json", ".txt"])
def test_other_syntaxes_are_named_with_what_converts_them(name, suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    path.write_text(FOREIGN[name])
    with pytest.raises(
        FormatError, match=f"{name}.*which kgrec does not read. Convert it: "
    ) as error:
        read_triples(str(path))
    assert "\n" not in str(error.value)


def test_rdf_that_looks_like_another_syntax_is_read(tmp_path):
    owl = "http://www.w3.org/2002/07/owl#"
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    texts = {
        "a.owl": f'<owl:Ontology xmlns:owl="{owl}" xmlns:rdf="{rdf}" rdf:about="http://x.org/o">'
        '<owl:imports rdf:resource="http://x.org/p"/></owl:Ontology>',
        "a.trig": "@prefix : <http://x.org/> .\n{ :a :b :c }",
        "a.ttl": "PREFIX Class: <http://x.org/>\nClass:a Class:b Class:c .",
        "a.json": '{"@context": {"@vocab": "http://x.org/"}, "@id": "http://x.org/a", '
        '"nodes": [{"@id": "http://x.org/b"}], "edges": []}',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert len(read_triples(str(tmp_path / name))) == 1, name


def test_turtle_that_is_n_triples_with_a_bad_line(tmp_path):
    good = "".join(
        f"<http://x.org/{n}> <http://x.org/p> <http://x.org/{n + 1}> .\n" for n in range(9)
    )
    path = tmp_path / "a.ttl"
    path.write_text(good + "<http://x.org/ bad> <http://x.org/p> <http://x.org/1> .\n" + good)
    with pytest.raises(FormatError, match="looks like N-Triples: format=nt with on_error=skip"):
        read_triples(str(path))
    graph = read_triples(str(path), on_error="skip")
    assert len(graph) == 9
    assert [(d.what, d.count) for d in graph.dropped if d.what == "lines"] == [("lines", 1)]
    path.write_text("@prefix x: <http://x.org/> . x:a x:b .")
    with pytest.raises(FormatError) as error:
        read_triples(str(path))
    assert "N-Triples:" not in str(error.value)
