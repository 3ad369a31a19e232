"""Classes as edges, and hierarchies followed up; the right values come from a walk in plain
Python.
"""

import numpy as np
import polars as pl
import pytest

import kgrec
from kgrec.data.readers.triples import read_triples
from kgrec.data.shaping.classes import ancestors
from kgrec.errors import ConfigError, DataError

TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
SUBCLASS = "http://www.w3.org/2000/01/rdf-schema#subClassOf"
PREFIXES = """@prefix : <http://x.org/> . @prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
"""


def read(folder, text, **settings):
    path = folder / "g.ttl"
    path.write_text(PREFIXES + text, encoding="utf-8")
    return read_triples(str(path), **settings)


def stated(graph):
    return {
        (graph.entities.key(h), graph.relations.key(r), graph.entities.key(t))
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    }


def short(graph):
    return {
        tuple(key.rpartition("/")[2].rpartition("#")[2] for key in row) for row in stated(graph)
    }


CLASSES = """:a a :Horror ; :by :x . :b a :Horror . :c a :Comedy . :d a :Comedy, owl:Thing . :e a :Alone .
:Horror rdfs:label "Horror films"@en ."""


def test_types_are_edges_where_asked(tmp_path):
    plain = read(tmp_path, CLASSES)
    assert short(plain) == {("a", "by", "x")}
    graph = read(tmp_path, CLASSES, types="edges")
    assert short(graph) - short(plain) == {
        ("a", "type", "Horror"),
        ("b", "type", "Horror"),
        ("c", "type", "Comedy"),
        ("d", "type", "Comedy"),
    }
    assert graph.label(graph.entities.row("http://x.org/Horror")) == "Horror films"
    assert graph.types.height == plain.types.height  # they stay as descriptions too
    alone = read(tmp_path, CLASSES, types="edges", min_class=1)
    assert ("e", "type", "Alone") in short(alone)
    assert ("d", "type", "Thing") not in short(alone)


def test_a_class_of_nearly_all_is_left_out_where_asked(tmp_path):
    text = ":a a :Film . :b a :Film . :c a :Film, :Horror . :d a :Horror, :Film ."
    assert {row[2] for row in short(read(tmp_path, text, types="edges"))} == {"Film", "Horror"}
    few = read(tmp_path, text, types="edges", max_class=0.6)
    assert {row[2] for row in short(few)} == {"Horror"}
    assert [(d.what, d.count) for d in few.dropped] == [("classes", 1)]


@pytest.mark.parametrize(
    "settings",
    [
        {"types": "edge"},
        {"min_class": 0},
        {"max_class": 1.5},
        {"closure_depth": -1},
        {"axioms": "x"},
    ],
)
def test_settings_out_of_range(tmp_path, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        read(tmp_path, ":a :b :c .", **settings)


HIERARCHY = """:a a :Slasher . :b a :Slasher . :c :genre :slasher .
:Slasher rdfs:subClassOf :Horror . :Horror rdfs:subClassOf :Film .
:slasher skos:broader :horror . :film skos:narrower :horror ."""


def test_a_closure_follows_classes_and_concepts_up(tmp_path):
    graph = read(tmp_path, HIERARCHY, types="edges", closure=["subclass", "broader"])
    assert {row for row in short(graph) if row[1] == "type"} == {
        (one, "type", name) for one in "ab" for name in ("Slasher", "Horror", "Film")
    }
    assert {row[2] for row in short(graph) if row[1] == "genre"} == {"slasher", "horror", "film"}
    step = read(tmp_path, HIERARCHY, types="edges", closure=["subclass"], closure_depth=1)
    assert {row[2] for row in short(step) if row[1] == "type"} == {"Slasher", "Horror"}
    for name in ("http://x.org/below", ":below"):
        own = read(tmp_path, ":a :kind :x . :x :below :y .", closure=[name])
        assert ("a", "kind", "y") in short(own)


def test_a_closure_along_what_no_statement_says_is_reported(tmp_path):
    graph = read(tmp_path, HIERARCHY, closure=["subclass", "broader", "wdt:P279", "none"])
    idle = {name.rpartition("=")[2] for name, count in graph.counts.items() if not count}
    assert idle == {"http://www.wikidata.org/prop/direct/P279", "none"}
    text = ":a :genre :x . :y skos:narrower :x ."
    assert all(read(tmp_path, text, closure=["broader"]).counts.values())


def test_cycles_end_and_are_reported(tmp_path):
    text = ":a :genre :x . :x skos:broader :y . :y skos:broader :z . :z skos:broader :x ."
    graph = read(tmp_path, text, closure=["broader"])
    assert {row[2] for row in short(graph) if row[1] == "genre"} == {"x", "y", "z"}
    assert graph.counts["terms above themselves in a hierarchy"] == 3
    log = pl.DataFrame({"user": list("uuvvww"), "item": ["http://x.org/a", "http://x.org/x"] * 3})
    data = kgrec.Dataset.build(
        log, str(tmp_path / "g.ttl"), reading={"closure": "broader"}, ratios=(0.4, 0.3, 0.3)
    )
    assert any("3 terms are above themselves" in one.what for one in data.report.warnings)


@pytest.mark.parametrize("seed", range(5))
def test_ancestors_are_what_a_walk_finds(seed):
    rng = np.random.default_rng(seed)
    pairs = {(int(a), int(b)) for a, b in rng.integers(0, 12, (20, 2)) if a != b}
    above = {n: {b for a, b in pairs if a == n} for n in range(12)}
    expected = set()
    for start in range(12):
        seen, stack = set(), [start]
        while stack:
            for high in above[stack.pop()] - seen:
                seen.add(high)
                stack.append(high)
        expected |= {(start, high) for high in seen}

    frame = pl.DataFrame(sorted(pairs), schema=["low", "high"], orient="row")
    found, cycles = ancestors(frame)
    assert set(found.rows()) == {(a, b) for a, b in expected if a != b}
    assert cycles == sum(a == b for a, b in expected)


def test_a_closure_without_bounds_is_refused(monkeypatch):
    monkeypatch.setattr("kgrec.data.shaping.classes.MOST_PAIRS", 10)
    chain = pl.DataFrame({"low": list(range(9)), "high": list(range(1, 10))})
    with pytest.raises(DataError, match="closure_depth"):
        ancestors(chain)


def of_classes(rng):
    """Items of one class each; nothing else in the graph tells them apart."""
    classes = np.arange(120) % 6
    lines = [f":i{n} a :C{one} ; :shelf :s{rng.integers(10)} ." for n, one in enumerate(classes)]
    return lines, [np.flatnonzero(classes == user % 6) for user in range(60)]


def of_a_hierarchy(rng):
    """Items of leaf classes of two items each, below one of five top classes."""
    leaves = np.arange(120) % 60
    lines = [f":i{n} a :L{leaf} ." for n, leaf in enumerate(leaves)]
    lines += [f":L{n} rdfs:subClassOf :T{n % 5} ." for n in range(60)]
    return lines, [np.flatnonzero(leaves % 5 == user % 5) for user in range(40)]


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """For two worlds in which users like one class each, the datasets whose models are not told
    the class, and are.
    """
    found = {}
    for number, (name, make, readings) in enumerate(
        (
            ("class", of_classes, ({"types": "keep"}, {"types": "edges"})),
            (
                "hierarchy",
                of_a_hierarchy,
                ({"types": "edges"}, {"types": "edges", "closure": "subclass"}),
            ),
        )
    ):
        rng = np.random.default_rng(number)
        lines, liked = make(rng)
        path = tmp_path_factory.mktemp(name) / "g.ttl"
        path.write_text(PREFIXES + "\n".join(lines))
        rows = [
            (f"u{user}", f"http://x.org/i{n}")
            for user, own in enumerate(liked)
            for n in rng.choice(own, 6, replace=False)
        ]
        log = pl.DataFrame(rows, schema=["user", "item"], orient="row")
        found[name] = [
            kgrec.Dataset.build(log, str(path), reading=reading, ratios=(0.5, 0.2, 0.3))
            for reading in readings
        ]
    return found


def recalls(datasets, model, k, **settings):
    return [
        kgrec.fit(model, data, seed=0, **settings).evaluate(k=(k,)).metrics[f"recall@{k}"]
        for data in datasets
    ]


@pytest.mark.parametrize(("world", "k", "more"), [("class", 20, 1.2), ("hierarchy", 24, 1.1)])
def test_what_decides_must_reach_a_closed_form(decided, world, k, more):
    without, with_it = recalls(decided[world], "ease-kg", k)
    assert with_it > more * without
    assert with_it > 0.8


@pytest.mark.parametrize("world", ["class", "hierarchy"])
@pytest.mark.parametrize(("model", "epochs"), [("lightgcn-kg", 10), ("kgat", 10), ("cfkg", 30)])
def test_what_decides_must_reach_a_trained_model(decided, world, model, epochs):
    settings = {"dim": 16, "batch_size": 64, "learning_rate": 0.02, "patience": 0}
    without, with_it = recalls(decided[world], model, 24, epochs=epochs, **settings)
    assert with_it > 1.1 * without
    assert with_it > 2 * 24 / 120  # by chance
