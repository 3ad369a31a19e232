"""SPARQL over files, and endpoints that refuse to sort."""

import pytest
from loopback import Loopback, Reply, sparql

from kgrec.cli import run
from kgrec.data.io.web import Manners
from kgrec.data.rdf.sparql import SparqlQuery
from kgrec.data.rdf.sparql_files import FileQuery
from kgrec.data.rdf.sparql_pages import paged
from kgrec.data.readers.triples import read_triples
from kgrec.errors import ConfigError, FetchError, FormatError

TEXT = "@prefix : <http://x.org/> .\n" + "\n".join(
    f":f{n} :by :d{n % 3} ; :year {1980 + n} ." for n in range(12)
)
PEERS = """PREFIX : <http://x.org/>
CONSTRUCT { ?a :peer ?b } WHERE { ?a :by ?d . ?b :by ?d FILTER(?a != ?b) }"""
PEERS_SELECT = """PREFIX : <http://x.org/>
SELECT ?a ?r ?b WHERE { ?a :by ?d . ?b :by ?d FILTER(?a != ?b) BIND(:peer AS ?r) }"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "g.ttl").write_text(TEXT)
    return str(tmp_path / "g.ttl")


def stated(graph):
    return {
        tuple(
            key.rpartition("/")[2]
            for key in (graph.entities.key(h), graph.relations.key(r), graph.entities.key(t))
        )
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    }


EXPECTED = {
    (f"f{a}", "peer", f"f{b}") for a in range(12) for b in range(12) if a != b and a % 3 == b % 3
}


@pytest.mark.parametrize("query", [PEERS, PEERS_SELECT])
def test_a_query_to_a_file(file, query, tmp_path):
    asked = FileQuery((file,), query, name="peers.rq", cache=tmp_path / "cache")
    graph = read_triples(asked)
    assert stated(graph) == EXPECTED
    assert graph.sources == (f"{file}, peers.rq",)
    assert stated(read_triples(asked)) == EXPECTED  # from the cache
    assert len(list((tmp_path / "cache").iterdir())) == 1
    (tmp_path / "g.ttl").write_text(TEXT + " :f99 :by :d1 .")
    assert len(read_triples(asked)) == len(EXPECTED) + 8  # another file, asked again


def test_several_files_and_literals(file, tmp_path):
    (tmp_path / "h.nt").write_text('<http://x.org/f0> <http://x.org/note> "x" .\n')
    query = "CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o FILTER(isLiteral(?o)) }"
    graph = read_triples(FileQuery((file, str(tmp_path / "h.nt")), query, cache=None))
    assert len(graph) == 0
    assert graph.attributes.height == 13


def test_solutions_that_are_no_statement_are_counted(file):
    query = "SELECT ?y ?p ?s WHERE { ?s ?p ?y }"
    graph = read_triples(FileQuery((file,), query, cache=None))
    assert [(d.what, d.count) for d in graph.dropped] == [("statements", 12)]


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("SELECT ?a WHERE { ?a ?b ?c }", ConfigError, "1 variables. Select three"),
        ("ASK { ?a ?b ?c }", ConfigError, "ASK"),
        ("DELETE { ?a ?b ?c } WHERE { ?a ?b ?c }", ConfigError, "an update"),
        (
            "SELECT ?a ?b ?c WHERE { SERVICE <http://a.org/> { ?a ?b ?c } }",
            ConfigError,
            "SERVICE would ask another endpoint",
        ),
        ("SELECT ?a ?b ?c WHERE { ?a ?b }", FormatError, "Correct the query"),
    ],
)
def test_queries_that_cannot_be_used(file, query, error, message):
    with pytest.raises(error, match=message):
        read_triples(FileQuery((file,), query, cache=None))


def test_too_many_solutions(file):
    with pytest.raises(FormatError, match="more than 5 solutions"):
        read_triples(FileQuery((file,), PEERS, cache=None, max_rows=5))


def test_the_command(file, tmp_path, capsys):
    (tmp_path / "peers.rq").write_text(PEERS)
    query = ["--query", str(tmp_path / "peers.rq"), "--sparql-set", f"cache={tmp_path}/c"]
    code = run(["-q", "build", "--kg", file, *query, "--out", str(tmp_path / "d")])
    assert code == 0
    assert f"{len(EXPECTED)} triples" in capsys.readouterr().out
    code = run(["-q", "build", "--kg", file, "--sparql-set", "x=1", "--out", str(tmp_path / "e")])
    assert code == 2
    capsys.readouterr()


VIRTUOSO = (
    b"Virtuoso 22023 Error SR353: Sorted TOP clause specifies more then 10000 rows to sort. "
    b"Only 10000 are allowed."
)
QUICK = Manners(timeout=20, pause=0.01, longest_pause=0.1, attempts=4)
SORTED = {
    "SELECT": "SELECT ?s ?p (?o AS ?t) WHERE { ?s ?p ?o FILTER(isIRI(?o)) } ORDER BY ?s ?p ?o",
    "CONSTRUCT": "CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o FILTER(isIRI(?o)) } ORDER BY ?s ?p ?o",
}


def refusing(store, status, body=VIRTUOSO):
    """An endpoint that sorts no page but of an inner query."""
    answer = sparql(store)

    def route(request):
        from urllib.parse import parse_qs, urlsplit

        text = parse_qs(urlsplit(request.path).query).get("query", [""])[0]
        if "ORDER BY" in text and text.rindex("ORDER BY") > text.rindex("}"):
            return Reply(body, status)
        return answer(request)

    return route


@pytest.fixture(scope="module")
def store():
    import io

    import pyoxigraph as ox

    store = ox.Store()
    store.bulk_load(io.BytesIO(TEXT.encode()), ox.RdfFormat.TURTLE)
    return store


@pytest.mark.parametrize("form", ["SELECT", "CONSTRUCT"])
@pytest.mark.parametrize("status", [500, 400])
def test_an_endpoint_that_refuses_sorted_pages_is_asked_around_them(store, form, status, tmp_path):
    with Loopback(refusing(store, status)) as server:
        query = SparqlQuery(
            server.url + "/sparql", SORTED[form], page=5, cache=tmp_path, manners=QUICK
        )
        graph = read_triples(query)
        assert stated(graph) == {(f"f{n}", "by", f"d{n % 3}") for n in range(12)}
        assert len(server.seen) <= 6  # one refusal, no retry, then the pages


def test_an_endpoint_that_sorts_no_inner_query_either_is_told_with_both(store, tmp_path):
    def route(request):
        return Reply(VIRTUOSO, 500) if "ORDER" in request.path else sparql(store)(request)

    with Loopback(route) as server:
        query = SparqlQuery(server.url + "/sparql", SORTED["SELECT"], cache=tmp_path, manners=QUICK)
        with pytest.raises(
            FetchError, match=r"Only 10000 are allowed.*sorted one is refused as well"
        ):
            read_triples(query)
        assert len(server.seen) == 2


def test_the_reason_of_a_refusal_is_shown_and_not_tried_again(store, tmp_path):
    body = b"Virtuoso 37000 Error SP030: SPARQL compiler: syntax error at line 3"
    with Loopback(lambda request: Reply(body, 500)) as server:
        query = SparqlQuery(server.url + "/sparql", SORTED["SELECT"], cache=tmp_path, manners=QUICK)
        with pytest.raises(FetchError, match="SP030: SPARQL compiler: syntax error at line 3"):
            read_triples(query)
        assert len(server.seen) == 1


def test_what_passes_is_tried_again_and_its_reason_shown(store, tmp_path):
    with Loopback(lambda request: Reply(b"out of memory just now", 500)) as server:
        query = SparqlQuery(server.url + "/sparql", SORTED["SELECT"], cache=tmp_path, manners=QUICK)
        with pytest.raises(FetchError, match="out of memory just now"):
            read_triples(query)
        assert len(server.seen) == QUICK.attempts


@pytest.mark.parametrize(
    "query",
    [
        "CONSTRUCT WHERE { ?s ?p ?o } ORDER BY ?s",
        "SELECT ?s ?p ?o FROM <http://a.org/> WHERE { ?s ?p ?o } ORDER BY ?s",
        "SELECT ?s ?p ?o WHERE { ?s ?p ?o }",
    ],
)
def test_queries_that_no_other_can_hold(query):
    assert paged(query).wrapped_page(10, 0) is None
