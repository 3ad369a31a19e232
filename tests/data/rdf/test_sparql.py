"""SPARQL: what is asked, against a SPARQL engine on loopback that also fails, stalls and cuts its
answers short.
"""

import base64
import json
import logging
import re
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pyoxigraph as ox
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Loopback, Reply, asgi, sparql

from kgrec.data.io.web import Manners, Passing, address
from kgrec.data.rdf.sparql import SparqlQuery, _Parser, query_from_file
from kgrec.data.rdf.sparql_pages import paged
from kgrec.data.readers.triples import read_triples
from kgrec.errors import ConfigError, FetchError, FormatError

CONSTRUCT = "CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o } ORDER BY ?s ?p ?o"
SELECT = "SELECT ?s ?p ?o WHERE { ?s ?p ?o } ORDER BY ?s ?p ?o"
QUICK = Manners(timeout=20, pause=0.01, longest_pause=0.3, attempts=4)
JSON = "application/sparql-results+json"
TRIPLES = "application/n-triples"


def store_of(rows):
    store = ox.Store()
    store.extend(
        ox.Quad(ox.NamedNode(f"http://x.org/{s}"), ox.NamedNode(f"http://x.org/{p}"), o)
        for s, p, o in rows
    )
    return store


@pytest.fixture(scope="module")
def store():
    """Twenty-five triples and a label."""
    label = ("http://www.w3.org/2000/01/rdf-schema#label", "A film")
    store = store_of(
        [(f"film{n:02}", "by", ox.NamedNode(f"http://x.org/p{n % 5}")) for n in range(25)]
    )
    store.add(
        ox.Quad(
            ox.NamedNode("http://x.org/film00"),
            ox.NamedNode(label[0]),
            ox.Literal(label[1], language="en"),
        )
    )
    return store


@pytest.fixture
def server(store):
    with Loopback(sparql(store)) as running:
        yield running


@pytest.fixture
def ask(server, tmp_path):
    def asked(query, url=None, reading=None, **settings):
        own = {"manners": QUICK, "cache": tmp_path / "cache", "page": 10} | settings
        return read_triples(
            SparqlQuery(url or server.url + "/sparql", query, **own), **(reading or {})
        )

    return asked


def keys(graph):
    return {
        (graph.entities.key(h), graph.relations.key(r), graph.entities.key(t))
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    }


def expected(store):
    return {
        (q.subject.value, q.predicate.value, q.object.value)
        for q in store
        if isinstance(q.object, ox.NamedNode)
    }


@pytest.mark.parametrize("query", [CONSTRUCT, SELECT])
@pytest.mark.parametrize("page", [0, 1, 7, 13, 26, 1000])
def test_every_page_is_read(ask, store, query, page):
    graph = ask(query, page=page)
    assert keys(graph) == expected(store)
    assert graph.label(graph.entities.row("http://x.org/film00")) == "A film"
    assert not graph.dropped


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib's own
@pytest.mark.parametrize("query", [CONSTRUCT, SELECT, "#" + "x" * 3000 + "\n" + SELECT])
def test_a_server_of_other_people(ask, store, query):
    """rdflib's own engine and protocol, over GET and POST."""
    import rdflib
    from rdflib_endpoint import SparqlEndpoint

    graph = rdflib.Dataset(default_union=True)
    graph.parse(data=ox.serialize(store, format=ox.RdfFormat.N_QUADS).decode(), format="nquads")
    with Loopback(asgi(SparqlEndpoint(graph=graph, path="/sparql"))) as other:
        assert keys(ask(query, url=other.url + "/sparql")) == expected(store)
        assert {request.command for request in other.seen} == {
            "POST" if len(query) > 2000 else "GET"
        }
        with pytest.raises(FetchError, match="answered 400"):
            ask("SELECT ?s ?p ?o WHERE { ?s ?p ?o FILTER(?q ! ) }", url=other.url + "/sparql")


def test_construct_goes_on_past_pages_with_few_statements(ask, server):
    """Ten solutions may be one statement: the number of statements does not tell the last page."""
    graph = ask(
        "CONSTRUCT { ?o a <http://x.org/Person> . ?s ?p ?o } WHERE { ?s ?p ?o FILTER isIRI(?o) } "
        "ORDER BY ?o ?s",
        page=5,
    )
    assert len(graph) == 25
    assert graph.types.height == 5
    few = ask(
        "CONSTRUCT { <http://x.org/all> <http://x.org/has> ?o } WHERE { ?s ?p ?o FILTER "
        "isIRI(?o) } ORDER BY ?o",
        page=5,
    )
    assert len(few) == 5


def test_the_second_run_is_offline(ask, server, store, caplog):
    first = ask(SELECT)
    asked = len(server.seen)
    assert asked == 4
    server.stop()
    with caplog.at_level(logging.INFO, "kgrec.data"):
        second = ask(SELECT)
    assert keys(second) == keys(first) == expected(store)
    assert second.sources == first.sources
    assert "kept since" in caplog.text
    with pytest.raises(FetchError, match="4 times in a row"):
        ask(SELECT, refresh=True)


def test_an_interrupted_run_goes_on_from_its_last_page(ask, server):
    server.faults = [None, None, *[Reply(status=404)]]
    with pytest.raises(FetchError, match="404"):
        ask(SELECT)
    seen = len(server.seen)
    ask(SELECT)
    assert len(server.seen) - seen == 2


def test_provenance_names_endpoint_query_and_time(ask, server):
    graph = ask(SELECT, name="films.rq")
    assert graph.sources[0].startswith(f"{server.url}/sparql, films.rq, 20")
    assert graph.sources[0].endswith("Z")
    assert graph.formats == ("SPARQL",)
    assert graph.counts_statements(0)
    assert sorted(graph.locator) == list(range(2, 27))  # the first statement is the label
    assert graph.counts["pages of SPARQL answers"] == 4


def test_explanations_keep_the_whole_address():
    from kgrec.explanation.core.records import FactRef, short_names

    source = "https://x.org/sparql, films.rq, 2026-11-23T00:00:00Z"
    assert short_names((source, "/data/kg.nt")) == (source, "kg.nt")
    assert FactRef(source, 3, ordinal=True).short == f"{source} triple 3"


def test_who_asks(ask, server):
    from kgrec import __version__

    ask(SELECT, manners=Manners(contact="me@example.org"))
    assert (
        server.seen[0].headers["User-Agent"]
        == f"kgrec/{__version__} (knowledge graphs for recommenders; me@example.org)"
    )
    assert server.seen[0].headers["Accept"] == JSON
    assert server.seen[0].command == "GET"


def test_a_long_query_is_posted(ask, server, store):
    graph = ask("#" + "x" * 3000 + "\n" + SELECT)
    assert keys(graph) == expected(store)
    assert {request.command for request in server.seen} == {"POST"}


def test_own_limit_and_offset_are_kept(ask, server, store):
    graph = ask(SELECT + " LIMIT 12 OFFSET 2", page=5)
    assert len(graph) == 12
    assert len(server.seen) == 3
    limits = [request.path.partition("LIMIT+")[2] for request in server.seen]
    assert limits == ["5%0AOFFSET+2%0A", "5%0AOFFSET+7%0A", "2%0AOFFSET+12%0A"]
    assert len(ask(SELECT + " LIMIT 0")) == 0
    assert len(ask(CONSTRUCT + " OFFSET 20 LIMIT 100")) == 6


def test_an_endpoint_that_caps_its_answers_loses_nothing(store, ask):
    """A page shorter than asked for is the last one only where nothing comes after it."""
    with Loopback(sparql(store, most=4)) as capped:
        assert keys(ask(SELECT, url=capped.url)) == expected(store)
    with (
        Loopback(sparql(store, most=4, headers={"X-SPARQL-MaxRows": "4"})) as capped,
        pytest.raises(
            FetchError, match=r"gives at most 4 solutions at once. Set page to that or less"
        ),
    ):
        ask(CONSTRUCT, url=capped.url)
    with (
        Loopback(sparql(store, headers={"X-SQL-State": "S1TAT"})) as late,
        pytest.raises(FetchError, match="a part of the answer"),
    ):
        ask(SELECT, url=late.url)


@pytest.mark.parametrize("query", [CONSTRUCT, SELECT])
def test_an_endpoint_that_does_not_page_is_found_out(store, ask, query):
    with (
        Loopback(sparql(store, pages=False)) as stubborn,
        pytest.raises(FetchError, match="the same answer for every OFFSET"),
    ):
        ask(query, url=stubborn.url)
    with Loopback(sparql(store, pages=False)) as stubborn:
        assert keys(ask(query, url=stubborn.url, page=0)) == expected(store)


def test_equal_pages_of_an_endpoint_that_does_page_are_fine(ask):
    rows = [(f"s{n:02}", "p", ox.NamedNode("x:o")) for n in range(12)]
    with Loopback(sparql(store_of(rows))) as running:
        query = "CONSTRUCT { <x:a> ?p ?o } WHERE { ?s ?p ?o } ORDER BY ?s"
        assert len(ask(query, url=running.url, page=3)) == 1


def test_an_endpoint_without_end(ask):
    def route(request):
        number = len(endless.seen)
        return Reply(
            b"".join(b"<x:%d> <x:p> <x:%d> .\n" % (number, n) for n in range(10)), kind=TRIPLES
        )

    with Loopback(route) as endless, pytest.raises(FetchError, match="6 pages and no end"):
        ask(CONSTRUCT, url=endless.url, max_pages=6)


def test_the_advice_on_order_comes_once_and_only_with_several_pages(ask, caplog):
    plain = "SELECT ?s ?p ?o WHERE { ?s ?p ?o }"
    ask(plain, page=100)
    ask(SELECT)
    assert "ORDER BY" not in caplog.text
    ask(plain, page=5)
    assert caplog.text.count("no ORDER BY") == 1


@pytest.mark.parametrize(
    "fault",
    [
        Reply(status=503),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=500),
        Reply(status=504),
        Reply(cut=-1),
        Reply(b'{"head":{"vars":["s","p","o"]},"results":{"bindings":[', length="none", kind=JSON),
        Reply(b'{"head":{"vars":["s","p","o"]},"results":{"bindings":[]}}', length=100, kind=JSON),
        Reply(
            b'{"head":{"vars":["s","p","o"]},"results":{"bindings":[]}}',
            chunked=True,
            cut=20,
            kind=JSON,
        ),
        Reply(b"\x1f\x8b\x08", kind=JSON, headers={"Content-Encoding": "gzip"}),
        Reply(b"not gzip at all}", kind=JSON, headers={"Content-Encoding": "gzip"}),
    ],
    ids=[
        "503",
        "429",
        "500",
        "504",
        "dropped",
        "json cut",
        "length",
        "chunked",
        "gzip cut",
        "gzip damaged",
    ],
)
def test_what_may_pass_is_asked_again(ask, server, store, fault):
    server.faults = [fault, fault, None, fault]
    assert keys(ask(SELECT)) == expected(store)
    assert len(server.seen) == 7


@pytest.mark.parametrize(
    "fault",
    [
        Reply(b"<x:a> <x:b> <x:c> .\n<x:a> <x:b", kind=TRIPLES, length="none"),
        Reply(b"<x:a> <x:b> <x:c> .\n", kind=TRIPLES, length=500),
        Reply(b"@prefix : <x:> .\n:a :b :c ;\n :d", kind="text/turtle", length="none"),
    ],
)
def test_statements_cut_short_are_asked_for_again(ask, server, store, fault):
    server.faults = [fault]
    assert keys(ask(CONSTRUCT)) == expected(store)


def test_an_answer_of_unknown_length_is_pointed_out(store, ask, caplog):
    with Loopback(sparql(store, length="none")) as running:
        assert keys(ask(CONSTRUCT, url=running.url, page=5)) == expected(store)
    assert caplog.text.count("does not say how long its answers are") == 1


def test_zipped_and_chunked_answers(store, ask):
    with Loopback(sparql(store, zipped=True)) as running:
        assert keys(ask(CONSTRUCT, url=running.url)) == expected(store)
        assert keys(ask(SELECT, url=running.url)) == expected(store)
    with Loopback(sparql(store, chunked=True)) as running:
        assert keys(ask(CONSTRUCT, url=running.url)) == expected(store)


def test_the_server_says_how_long_to_wait(ask, server):
    server.faults = [Reply(status=503, headers={"Retry-After": "1"})]
    began = time.monotonic()
    ask(SELECT, manners=Manners(pause=0.01, longest_pause=2))
    assert 1 <= time.monotonic() - began < 20
    server.faults = [Reply(status=503, headers={"Retry-After": "3600"})]
    with pytest.raises(FetchError, match=r"asks to wait 3600 s. Try again then"):
        ask(SELECT, refresh=True)
    server.faults = [
        Reply(status=503, headers={"Retry-After": formatdate(time.time() + 90, usegmt=True)})
    ]
    with pytest.raises(FetchError, match=r"asks to wait (8\d|90) s"):
        ask(SELECT, refresh=True)
    server.faults = [Reply(status=503, headers={"Retry-After": "soon"})]
    ask(SELECT, refresh=True)


def test_attempts_are_counted_and_end(ask, server):
    server.faults = [Reply(status=503)] * 20
    with pytest.raises(
        FetchError, match="answered 503 Service Unavailable, 4 times in a row"
    ) as caught:
        ask(SELECT)
    assert len(server.seen) == 4
    assert "\n" not in str(caught.value)


def test_a_server_that_stalls(ask, server):
    server.faults = [Reply(wait=30)] * 4
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"nothing came for 0.1 s, 2 times"):
        ask(SELECT, manners=Manners(timeout=0.1, pause=0.01, attempts=2))
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_that_drips(ask, server, chunked):
    """Each byte comes in time, and the answer never does."""
    server.faults = [Reply(b"x" * 500, drip=0.05, kind=JSON, chunked=chunked)]
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"no whole answer within 0.4 s"):
        ask(SELECT, manners=Manners(timeout=1, longest=0.4, attempts=1))
    assert time.monotonic() - began < 20


def test_nobody_there(ask, server):
    server.stop()
    with pytest.raises(
        FetchError, match=r"no answer \(Connection refused\), 2 times in a row. Check the address"
    ):
        ask(SELECT, manners=Manners(pause=0.01, attempts=2))


@pytest.mark.parametrize("zipped", [False, True])
def test_an_answer_that_is_too_large(store, ask, zipped):
    with (
        Loopback(sparql(store, zipped=zipped)) as running,
        pytest.raises(FetchError, match=r"more than 600 bytes. Ask for less"),
    ):
        ask(SELECT, url=running.url, manners=Manners(max_bytes=600))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            400,
            "answered 400 Bad Request: the query: expected one of.*Check the address and what "
            "was asked",
        ),
        (401, "answered 401.*wants a user and a password"),
        (403, "answered 403"),
        (404, "answered 404 Not Found. Check the address"),
    ],
)
def test_what_will_not_pass_is_not_asked_again(ask, server, status, message):
    server.faults = [Reply(b"the query: expected\n one of", status=status)]
    with pytest.raises(FetchError, match=message):
        ask(SELECT)
    assert len(server.seen) == 1


def test_a_query_that_the_endpoint_refuses(ask):
    with pytest.raises(FetchError, match="answered 400 Bad Request: the query: "):
        ask("SELECT ?s ?p ?o WHERE { ?s ?p ?o FILTER(?q ! ) }")


@pytest.mark.parametrize(
    ("reply", "query", "message"),
    [
        (
            Reply(b"<html>Maintenance</html>", kind="text/html"),
            SELECT,
            "answered in text/html, expected application/sparql-results.*Maintenance",
        ),
        (
            Reply(b"x", kind="application/rdf+xml"),
            CONSTRUCT,
            "answered in application/rdf.xml, expected application/n-triples",
        ),
        (Reply(b'{"head":{},"boolean":true}', kind=JSON), SELECT, "answered yes or no"),
        (
            Reply(b'{"head":{"vars":["a"]},"results":{"bindings":[]}}', kind=JSON),
            SELECT,
            "solutions of 1 variables",
        ),
        (Reply(b"<x:a> <no iri> <x:c> .\n", kind=TRIPLES), CONSTRUCT, "not valid: .*on_error skip"),
        (Reply(b"[" * 100_000 + b'"bnode"}', kind=JSON), SELECT, "brackets too deep|not valid"),
        (
            Reply(
                b'{"head":{"vars":["s","p","o"]},"results":{"bindings":[]}}',
                kind=JSON,
                headers={"Content-Encoding": "br"},
            ),
            SELECT,
            "'br'",
        ),
    ],
)
def test_answers_of_another_kind(ask, server, reply, query, message):
    server.faults = [reply]
    with pytest.raises((FormatError, FetchError), match=message) as caught:
        ask(query)
    assert "\n" not in str(caught.value)
    assert len(server.seen) == 1


def uri(value):
    return {"type": "uri", "value": value}


def solutions(*rows, names=("s", "p", "o")):
    return json.dumps(
        {
            "head": {"vars": names},
            "results": {"bindings": [dict(zip(names, row, strict=False)) for row in rows]},
        }
    ).encode()


def test_solutions_that_are_no_statements_are_counted(ask, server):
    text = {"type": "literal", "value": "t"}
    body = solutions(
        (uri("x:a"), uri("x:p"), uri("x:b")),
        (text, uri("x:p"), uri("x:b")),
        (uri("x:a"), text, uri("x:b")),
        (uri("x:a"),),
    )
    server.faults = [Reply(body, kind=JSON), Reply(solutions(), kind=JSON)]
    graph = ask(SELECT)
    assert len(graph) == 1
    assert [(d.what, d.count) for d in graph.dropped] == [("statements", 3)]
    assert "unbound" in graph.dropped[0].why


def test_malformed_statements_are_skipped_where_that_is_asked_for(ask, server):
    body = solutions(
        (uri("x:a"), uri("x:p"), uri("x:b")),
        (uri("x:a"), uri("x:p"), uri("no iri")),
        (uri("x:c"), uri("x:p"), uri("x:d")),
    )
    lines = b"<x:a> <x:p> <x:b> .\n<x:a> <x:p> <no iri> .\n<x:c> <x:p> <x:d> .\n"
    for query, one, none in (
        (SELECT, Reply(body, kind=JSON), Reply(solutions(), kind=JSON)),
        (CONSTRUCT, Reply(lines, kind=TRIPLES), Reply(kind=TRIPLES)),
    ):
        server.faults = [one, none]
        graph = ask(query, reading={"on_error": "skip"})
        assert keys(graph) == {("x:a", "x:p", "x:b"), ("x:c", "x:p", "x:d")}
        assert [(d.what, d.count) for d in graph.dropped] == [("statements", 1)]
        server.faults = [one]
        with pytest.raises(FormatError, match="not valid"):
            ask(
                query
            )  # what was skipped before is not taken from the cache by a run that skips nothing


def test_blank_nodes_of_different_pages_are_different(ask, server):
    node = {"type": "bnode", "value": "nodeID://b1"}  # a name that only this syntax takes
    pages = [
        solutions((node, uri("x:p"), uri("x:a")), (node, uri("x:q"), uri("x:b"))),
        solutions((node, uri("x:p"), uri("x:c"))),
    ]
    server.faults = [Reply(body, kind=JSON) for body in (*pages, solutions())]
    graph = ask(SELECT, page=2)
    blank = graph.entities.series.filter(graph.entities.series.str.starts_with("_:"))
    assert len(blank) == 2
    assert len(graph) == 3


def test_a_fourth_variable_is_the_graph(ask, server):
    body = solutions(
        (uri("x:a"), uri("x:p"), uri("x:b"), uri("x:g")),
        (uri("x:c"), uri("x:p"), uri("x:d")),
        names=("s", "p", "o", "g"),
    )
    server.faults = [
        Reply(body, kind=JSON),
        Reply(solutions(names=("s", "p", "o", "g")), kind=JSON),
    ]
    graph = ask("SELECT ?s ?p ?o ?g WHERE { ?s ?p ?o }")
    assert [graph.graph_name(row) for row in range(2)] == ["x:g", None]


def test_reading_settings_apply(ask, store):
    graph = ask(CONSTRUCT, reading={"without_predicates": ["http://x.org/by"]})
    assert len(graph) == 0
    both = ask(SELECT)
    joined = read_triples([both, graph])
    assert len(joined) == 25


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-9],
        lambda b: b"",
        lambda b: b"\0" + b,
        lambda b: b.replace(b'"rows": 10', b'"rows": 11'),
        lambda b: b + b"<x:a> <x:b> <x:c> .\n",
    ],
)
def test_a_damaged_cache_is_asked_for_again(ask, server, store, tmp_path, damage, caplog):
    ask(SELECT)
    entry = next((tmp_path / "cache").rglob("page-10-10.nq"))
    entry.write_bytes(damage(entry.read_bytes()))
    before = len(server.seen)
    assert keys(ask(SELECT)) == expected(store)
    assert len(server.seen) == before + 1
    assert "a damaged entry of the cache" in caplog.text
    assert not list((tmp_path / "cache").rglob(".new-*"))


def test_without_a_cache(ask, server, store):
    for _ in range(2):
        assert keys(ask(SELECT, cache=None)) == expected(store)
    assert len(server.seen) == 8


def test_secrets_are_sent_and_shown_nowhere(server, ask, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    url = (
        server.url.replace("http://", "http://me:s%40cret@")
        + "/sparql?apikey=hidden&default-graph-uri=http://x.org/"
    )
    server.faults = [Reply(status=503)]
    graph = ask(SELECT, url=url)
    assert (
        server.seen[0].headers["Authorization"]
        == "Basic " + base64.b64encode(b"me:s@cret").decode()
    )
    assert "apikey=hidden" in server.seen[0].path
    assert "default-graph-uri=http://x.org/" in graph.sources[0]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    names = "".join(str(path) for path in (tmp_path / "cache").rglob("*"))
    source = SparqlQuery(url, SELECT)
    for told in (
        caplog.text,
        str(graph.sources),
        kept.decode(),
        names,
        repr(source),
        repr(address(url)),
    ):
        assert "s@cret" not in told
        assert "s%40cret" not in told
        assert "hidden" not in told
    server.faults = [Reply(status=401)]
    with pytest.raises(FetchError) as caught:
        ask(SELECT, url=url, refresh=True)
    assert "cret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_redirects(server, ask, store):
    with Loopback(sparql(store)) as other:
        for status in (301, 302, 307, 308):
            server.faults = [Reply(status=status, headers={"Location": f"{other.url}/moved"})]
            long = f"#{status}" + "x" * 3000 + "\n" + SELECT
            assert keys(ask(long, page=100)) == expected(store)
        assert other.seen[0].command == "POST"
        server.faults = [
            Reply(
                status=302,
                headers={
                    "Location": f"{other.url}/moved?query="
                    + "SELECT%20?s%20?p%20?o%20%7B%7D%20LIMIT%200"
                },
            )
        ]
        secret = server.url.replace("http://", "http://me:secret@")
        ask(SELECT, url=secret, page=0)
        assert other.seen[-1].headers["Authorization"] is None


@pytest.mark.parametrize(
    "goal", ["file:///etc/passwd", "ftp://x.org/", "gopher://x.org", "javascript:1"]
)
def test_redirects_lead_to_the_web_alone(server, ask, goal):
    server.faults = [Reply(status=302, headers={"Location": goal})]
    with pytest.raises(FetchError):
        ask(SELECT)
    assert len(server.seen) == 1


def test_redirects_end(server, ask):
    server.faults = [Reply(status=302, headers={"Location": "/sparql"})] * 50
    with pytest.raises(FetchError, match="infinite loop"):
        ask(SELECT)
    assert len(server.seen) < 15


def test_from_https_nothing_goes_to_http():
    from urllib.request import Request

    from kgrec.data.io.web import _Redirects

    with pytest.raises(FetchError, match=r"redirects from https to http://x.org/b"):
        _Redirects().redirect_request(
            Request("https://x.org/a"), None, 302, "", {}, "http://x.org/b"
        )


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x.org/",
        "x.org/sparql",
        "",
        "http://",
        "http://[",
        "http://a b/",
        "http://x.org:99999/",
        "http://x.örg/",
    ],
)
def test_addresses_that_are_refused(url):
    with pytest.raises(ConfigError) as caught:
        SparqlQuery(url, SELECT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "before", "limit", "offset"),
    [
        ("SELECT ?s ?p ?o {}", "SELECT ?s ?p ?o {}", None, 0),
        ("select ?s ?p ?o {} limit 5", "select ?s ?p ?o {}", 5, 0),
        ("SELECT ?s ?p ?o {} OFFSET 7 LIMIT 5 # LIMIT 9", "SELECT ?s ?p ?o {}", 5, 7),
        ("SELECT ?s ?p ?o {} LIMIT10", "SELECT ?s ?p ?o {}", 10, 0),
        ("SELECT ?s ?p ?o {} LIMIT # none\n 10", "SELECT ?s ?p ?o {}", 10, 0),
        (
            "SELECT ?s ?p ?o { { SELECT ?s { ?s ?p ?o } LIMIT 3 } }",
            "SELECT ?s ?p ?o { { SELECT ?s { ?s ?p ?o } LIMIT 3 } }",
            None,
            0,
        ),
        ("SELECT ?s ?p ?o { ?s ?p '} LIMIT 3' }", "SELECT ?s ?p ?o { ?s ?p '} LIMIT 3' }", None, 0),
        (
            'SELECT ?s ?p ?o { ?s ?p """} " LIMIT 3""" }',
            'SELECT ?s ?p ?o { ?s ?p """} " LIMIT 3""" }',
            None,
            0,
        ),
        (
            "PREFIX limit: <x:#LIMIT> SELECT ?s ?limit ?o { ?s limit:3 ?o }",
            "PREFIX limit: <x:#LIMIT> SELECT ?s ?limit ?o { ?s limit:3 ?o }",
            None,
            0,
        ),
        ("SELECT ?s ?p ?o { FILTER(?a<3) } # {", "SELECT ?s ?p ?o { FILTER(?a<3) }", None, 0),
    ],
)
def test_where_a_page_goes(query, before, limit, offset):
    plan = paged(query)
    assert (plan.before, plan.limit, plan.offset) == (before, limit, offset)
    assert plan.page(3, 6) == f"{before}\nLIMIT 3\nOFFSET 6\n"


def test_values_stay_behind_the_page(store):
    query = "SELECT ?s ?p ?o { ?s ?p ?o } LIMIT 2 VALUES ?o { <http://x.org/p1> }"
    plan = paged(query)
    assert plan.page(3, 1).splitlines() == [
        "SELECT ?s ?p ?o { ?s ?p ?o }",
        "LIMIT 3",
        "OFFSET 1",
        "VALUES ?o { <http://x.org/p1> }",
    ]
    assert len(list(store.query(plan.page(3, 1)))) == 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("ASK {}", "ASK. Give a CONSTRUCT"),
        ("DESCRIBE <x:a>", "DESCRIBE"),
        ("DELETE WHERE { ?s ?p ?o }", "an update"),
        ("PREFIX a: <x:> INSERT DATA { a:b a:c a:d }", "an update"),
        ("", "no query"),
        ("SELECT * { ?s ?p ?o }", "names no order"),
        ("SELECT ?s ?p ?o { ?s ?p ?o", "1 opening brackets are not closed"),
        ("SELECT ?s ?p ?o {\n " + '"' * 300_003, "films.rq:2: a text in three quotes"),
        ("SELECT ?s ?p ?o {\n }}", "films.rq:2: a closing bracket"),
        ("SELECT ?s ?p ?o {} LIMIT ten", "is no number"),
        ("SELECT ?s ?p ?o {} LIMIT 1 LIMIT 2", "given twice"),
        ("SELECT ?s ?p ?o {} LIMIT", "is no number"),
    ],
)
def test_queries_that_are_refused(query, message):
    with pytest.raises(ConfigError, match=message):
        SparqlQuery("http://x.org/", query, name="films.rq")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"pages": "3"}, "'pages' is no setting of a query. Nearest: page"),
        ({"page": "-3"}, "page='-3' is not a whole number"),
        ({"page": "9999999999"}, "page: 9999999999 is not between"),
        ({"timeout": "soon"}, "timeout='soon' is not a number"),
        ({"timeout": "nan"}, "not a positive number of seconds"),
        ({"attempts": "0"}, "attempts: 0 is below 1"),
        ({"refresh": "perhaps"}, "refresh='perhaps': expected true or false"),
        ({"contact": "a\nb"}, "contact: .* is not one line"),
        ({"max_pages": "0"}, "max_pages: 0 is below 1"),
    ],
)
def test_settings_that_are_refused(tmp_path, chosen, message):
    (tmp_path / "q.rq").write_text(SELECT)
    with pytest.raises(ConfigError, match=message):
        query_from_file("http://x.org/", tmp_path / "q.rq", chosen)


def test_settings_as_text(tmp_path):
    (tmp_path / "q.rq").write_text(SELECT)
    found = query_from_file(
        "http://x.org/",
        tmp_path / "q.rq",
        {"page": "7", "cache": "there", "refresh": "true", "timeout": "1.5", "attempts": "2"},
    )
    assert (found.page, found.cache, found.refresh, found.manners) == (
        7,
        "there",
        True,
        Manners(timeout=1.5, attempts=2),
    )
    assert found.name == "q.rq"


@given(st.data())
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_answer_is_read_or_refused(data):
    """Bytes of an answer cut, changed and doubled at random."""
    where, node = address("http://x.org/sparql"), {"type": "bnode", "value": "b"}
    sound = {
        SELECT: (
            JSON,
            solutions(
                (uri("x:a"), uri("x:p"), node),
                (node, uri("x:p"), {"type": "literal", "value": "t", "xml:lang": "en"}),
            ),
        ),
        CONSTRUCT: (TRIPLES, b'<x:a> <x:p> "a\\u0041"@en .\n_:b <x:p> <x:c> .\n'),
        CONSTRUCT + " ": ("text/turtle", b"@prefix : <x:> .\n:a :p [ :q 3, 'x' ] ."),
    }
    query = data.draw(st.sampled_from(list(sound)))
    kind, body = sound[query]
    for _ in range(data.draw(st.integers(1, 4))):
        first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(body))] * 2)))
        odd = st.sampled_from(
            [
                b"",
                b"{",
                b"}",
                b'"',
                b"\0",
                b"\xff",
                b"null",
                b"1e999",
                b"[" * 3000,
                body[first:last],
            ]
        )
        body = body[:first] + data.draw(odd | st.binary(max_size=4)) + body[last:]
    parser = _Parser(where, paged(query), data.draw(st.booleans()), True, "p0n")
    try:
        parsed = parser.parse(body, kind)
    except (FormatError, Passing) as error:
        refused = str(error)
    else:
        refused = ""
        assert (
            len(list(ox.parse(parsed.quads, format=ox.RdfFormat.N_QUADS)))
            == parsed.rows - parsed.unfit - parsed.malformed
        )
    assert "\n" not in refused


@pytest.mark.slow
def test_the_worked_example(root, tmp_path, monkeypatch, capsys):
    """docs/sparql.md, block by block, with an endpoint on loopback in the place of the reader's
    own.
    """
    import shlex

    from kgrec.cli import run

    films = ox.Store()
    films.load(path=str(root / "graphs/films/films.ttl"), format=ox.RdfFormat.TURTLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Loopback(sparql(films)) as running:
        text = (
            (root / "docs/sparql.md")
            .read_text()
            .replace("http://localhost:7878/query", running.url)
        )
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)
        (tmp_path / "films.rq").write_text(next(code for kind, code in blocks if kind == "sparql"))
        for kind, code in blocks:
            for line in code.splitlines() if kind == "sh" else ():
                assert run(["-q", *shlex.split(line)[1:]]) == 0, capsys.readouterr().err
        asked = len(running.seen)
        code = next(code for kind, code in blocks if kind == "python").replace(
            'name="films.rq"', f'name="films.rq", cache={str(tmp_path)!r}'
        )
        capsys.readouterr()
        exec(compile(code, "docs/sparql.md", "exec"), {})
        wanted = sum(
            len(
                list(
                    films.quads_for_pattern(None, ox.NamedNode(f"https://schema.org/{name}"), None)
                )
            )
            for name in ("director", "genre")
        )
        assert f"{wanted} triples from {running.url}/, films.rq, 20" in capsys.readouterr().out
        assert len(running.seen) > asked


def test_where_answers_stay(tmp_path, monkeypatch):
    def stays():
        return SparqlQuery("http://x.org/", CONSTRUCT).cache

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert stays() == tmp_path / "kgrec" / "sparql"
        for nowhere in ("", "relative"):
            monkeypatch.setenv("XDG_CACHE_HOME", nowhere)
            assert stays() == Path.home() / ".cache" / "kgrec" / "sparql"


def test_build_with_an_endpoint(server, tmp_path, capsys, monkeypatch):
    from kgrec.cli import run

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    (tmp_path / "q.rq").write_text(CONSTRUCT)
    (tmp_path / "clicks.csv").write_text(
        "user,item\n" + "".join(f"u{n % 4},http://x.org/film{n:02}\n" for n in range(25))
    )
    parts = [
        "-q",
        "build",
        "--interactions",
        str(tmp_path / "clicks.csv"),
        "--sparql",
        server.url,
        "--query",
        str(tmp_path / "q.rq"),
    ]
    assert run([*parts, "--sparql-set", "page=9", "--out", str(tmp_path / "d"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["triples"], told["counts"]["items in the graph"]) == (25, 25)
    assert any(source.startswith(f"{server.url}/, q.rq, 20") for source in told["sources"])
    assert list((tmp_path / "own" / "kgrec" / "sparql").rglob("*.nq"))
    server.stop()
    assert run([*parts, "--sparql-set", "page=9", "--out", str(tmp_path / "e"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["triples"] == 25
    for wrong, message in (
        ([*parts[:-2]], "go together"),
        ([*parts[:-4], "--query", "q.rq"], "go together"),
        ([*parts, "--sparql-set", "attempts=1", "--sparql-set", "page=2"], "Connection refused"),
    ):
        assert run([*wrong, "--out", str(tmp_path / "f")]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert not (tmp_path / "f").exists()
