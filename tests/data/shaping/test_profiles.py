"""Graphs without plumbing: what each vocabulary says of things must come out, and nothing else."""

import json

import polars as pl
import pytest

import kgrec
from kgrec.data.readers.triples import read_triples
from kgrec.data.shaping.options import cautions
from kgrec.errors import ConfigError

PREFIXES = """@prefix : <http://x.org/> . @prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> . @prefix s: <http://schema.org/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix wd: <http://www.wikidata.org/entity/> . @prefix wdt: <http://www.wikidata.org/prop/direct/> .
@prefix p: <http://www.wikidata.org/prop/> . @prefix ps: <http://www.wikidata.org/prop/statement/> .
@prefix pq: <http://www.wikidata.org/prop/qualifier/> . @prefix wikibase: <http://wikiba.se/ontology#> .
@prefix wds: <http://www.wikidata.org/entity/statement/> . @prefix prov: <http://www.w3.org/ns/prov#> .
@prefix dbo: <http://dbpedia.org/ontology/> . @prefix dbr: <http://dbpedia.org/resource/> .
"""


def read(folder, text, **settings):
    path = folder / "g.ttl"
    path.write_text(PREFIXES + text, encoding="utf-8")
    return read_triples(str(path), **settings)


def last(key):
    return key.rpartition("/")[2].rpartition("#")[2]


def short(graph):
    return {
        (
            last(graph.entities.key(h)),
            graph.relation_label(r),
            last(graph.entities.key(t)),
        )
        for h, r, t in zip(graph.head, graph.relation, graph.tail, strict=True)
    }


WIKIDATA = """
wd:Q1 wdt:P57 wd:Q9 ; wdt:P345 "tt1" ; wdt:P18 <http://commons.wikimedia.org/wiki/Special:FilePath/a.jpg> ;
  wdt:P856 <http://example.org/home> ; wdt:P61 _:unknown ; rdfs:label "Alien"@mul, "Alienus"@la ;
  p:P57 wds:s1 ; p:P161 wds:s2, wds:s3 .
wds:s1 ps:P57 wd:Q9 ; wikibase:rank wikibase:NormalRank ; prov:wasDerivedFrom <http://www.wikidata.org/reference/r> .
wds:s2 ps:P161 wd:Q8 ; pq:P453 wd:Q7 ; wikibase:rank wikibase:NormalRank .
wds:s3 ps:P161 wd:Q6 ; wikibase:rank wikibase:DeprecatedRank .
wd:P57 wikibase:directClaim wdt:P57 ; rdfs:label "director"@en, "Regie"@de ; wdt:P1629 wd:Q2 .
wd:P9999 rdfs:label "odd thing"@en . wd:Q1 wdt:P9999 wd:Q5 .
<https://en.wikipedia.org/wiki/Alien> s:about wd:Q1 ; s:isPartOf <https://en.wikipedia.org/> .
<http://www.wikidata.org/wiki/Special:EntityData/Q1> s:about wd:Q1 .
"""


def test_wikidata(tmp_path):
    graph = read(tmp_path, WIKIDATA, profile="wikidata")
    assert short(graph) == {
        ("Q1", "director", "Q9"),
        ("Q1", "cast member", "Q8"),  # stated only by statements; the deprecated one is none
        ("Q1", "odd thing", "Q5"),
    }
    assert graph.label(graph.entities.row("http://www.wikidata.org/entity/Q1")) == "Alien"
    assert graph.attributes["value"].to_list() == ["tt1", "Alien", "Alienus"]
    lost = {d.what: d.count for d in graph.dropped if "plumbing" in d.why}
    assert lost == {
        "triples": 19,
        "literals": 3,
    }  # the labels of properties, which relations have now


def test_labels_of_properties_in_other_languages(tmp_path):
    graph = read(tmp_path, WIKIDATA, profile="wikidata", language="de,en")
    assert ("Q1", "Regie", "Q9") in short(graph)
    assert ("Q1", "odd thing", "Q5") in short(graph)


SCHEMA = """
:film a s:Movie ; s:actor [ a s:PerformanceRole ; s:actor :bob ; s:characterName "Bo" ] ;
  s:director :ann ; s:url <http://a.org/> ; s:sameAs <http://b.org/> ;
  s:aggregateRating [ s:ratingValue "4.5" ] ; s:review [ s:author :cat ] .
"""


def test_roles_and_nested_records_of_schema_org(tmp_path):
    graph = read(tmp_path, SCHEMA, profile="schema")
    assert short(graph) == {
        ("film", "actor", "bob"),
        ("film", "director", "ann"),
        ("film", "review author", "cat"),
    }
    values = {row["value"] for row in graph.attributes.iter_rows(named=True)}
    assert values == {"4.5", "Bo"}
    assert not graph.entities.series.str.starts_with("_:").any()


def test_nodes_that_have_a_name_alone_are_counted_as_attributes(tmp_path):
    text = """:b1 a s:Book ; s:publisher [ s:name "Press" ] ; s:author [ s:knows :ann ] .
:b2 a s:Book ; s:publisher [ s:name "Press" ] .
"""
    graph = read(tmp_path, text, profile="schema")
    assert short(graph) == {("b1", "author knows", "ann")}
    assert graph.counts["nodes of literals alone read as attributes"] == 2
    assert graph.counts["nodes replaced by edges through them"] == 1
    assert [row["value"] for row in graph.attributes.iter_rows(named=True)] == ["Press", "Press"]


def test_of_two_profiles_that_are_proposed_one_is_taken(tmp_path):
    text = ":a s:url :u ; dbo:wikiPageWikiLink :c ; :likes :d ."
    counts = read(tmp_path, text).counts
    remedies = [caution.remedy for caution in cautions(counts, 3)]
    assert len(remedies) == 2
    assert all("A graph is read with one profile: kgrec info" in remedy for remedy in remedies)


def test_dbpedia(tmp_path):
    text = """dbr:Ann dbo:careerStation dbr:Ann__CareerStation__1 ; dbo:wikiPageWikiLink dbr:Bob ;
      owl:sameAs :ann ; dbo:birthPlace dbr:Rome . dbr:Ann__CareerStation__1 dbo:team dbr:Club ."""
    assert short(read(tmp_path, text, profile="dbpedia")) == {
        ("Ann", "career station team", "Club"),
        ("Ann", "birth place", "Rome"),
    }


def test_skos(tmp_path):
    text = """:a skos:broader :b ; skos:inScheme :all . :b skos:narrower :c ; skos:inScheme :all .
      :x :subject :a ."""
    assert short(read(tmp_path, text, profile="skos")) == {
        ("a", "broader", "b"),
        ("c", "broader", "b"),
        ("x", "subject", "a"),
    }


PIZZA = """
:Margherita a owl:Class ; rdfs:subClassOf :Pizza, [ a owl:Restriction ; owl:onProperty :has ; owl:someValuesFrom :Cheese ] ;
  owl:equivalentClass [ owl:intersectionOf ( :Vegan [ a owl:Restriction ; owl:onProperty :on ; owl:hasValue :base ] ) ] ;
  owl:disjointWith :American .
:has a owl:ObjectProperty ; rdfs:domain :Pizza ; rdfs:range [ owl:unionOf ( :Cheese :Ham ) ] .
[] a owl:AllDisjointClasses ; owl:members ( :Cheese :Ham ) .
:mine a :Margherita ; :eatenBy :ann .
"""


def test_owl(tmp_path):
    graph = read(tmp_path, PIZZA, profile="owl")
    assert short(graph) == {
        ("Margherita", "has", "Cheese"),
        ("Margherita", "on", "base"),
        ("Margherita", "sub class of", "Pizza"),
        ("mine", "eaten by", "ann"),
    }


def test_axioms_are_a_share_and_can_be_dropped(tmp_path):
    plain = read(tmp_path, PIZZA)
    assert plain.counts["axioms of ontologies"] == len(plain) - 1
    dropped = read(tmp_path, PIZZA, axioms="drop")
    assert short(dropped) == {("mine", "eaten by", "ann")}
    assert {d.why: d.count for d in dropped.dropped} == {"axioms of ontologies": len(plain) - 1}


def test_axioms_are_not_what_is_said_of_things(tmp_path):
    text = ":a owl:sameAs :b ; rdfs:seeAlso :c ; :p :d . :d :q [ :r :e ] ."
    assert len(read(tmp_path, text, axioms="drop")) == 5


FLAT = """
:film :cast ( :ann :bob "Cy" ) ; :award [ :of :oscar ; :year "1980" ; :where [ :city :rome ] ] ;
  :length [ rdf:value :long ] .
:st a rdf:Statement ; rdf:subject :film ; rdf:predicate :by ; rdf:object :dan ; :since "1" .
_:shared :p :q . :one :r _:shared . :two :r _:shared .
_:top :about :film .
"""


def test_blank_nodes_lists_and_statements_become_edges(tmp_path):
    graph = read(tmp_path, FLAT, blank="flatten")
    found = short(graph)
    assert {row for row in found if row[0] == "film"} == {
        ("film", "cast", "ann"),
        ("film", "cast", "bob"),
        ("film", "award of", "oscar"),
        ("film", "award where city", "rome"),
        ("film", "length", "long"),
        ("film", "by", "dan"),
    }
    # What several point to, and what nothing points to, is a thing of its own.
    assert {("one", "r"), ("two", "r")} <= {row[:2] for row in found}
    assert any(row[1:] == ("about", "film") for row in found)
    assert set(graph.attributes["value"]) == {"Cy", "1980"}


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        (
            """[] a rdf:Statement ; rdf:subject :a ; rdf:predicate :by ; rdf:object :b, :c ; :from :d ;
               :since "1", "2" .""",
            {"blank": "flatten"},
            {("triples", "what is said of reified statements", 1)}
            | {("literals", "what is said of reified statements", 2)},
        ),
        (
            """wd:Q1 p:P161 wds:s ; wdt:P57 wd:Q3 .
               wds:s ps:P161 wd:Q2 ; pq:P1545 "1" ; pq:P580 "2000"; pq:P453 wd:Q4 .""",
            {"profile": "wikidata"},
            {("triples", "plumbing of wikidata", 3), ("literals", "plumbing of wikidata", 2)},
        ),
        (
            """:Pizza a owl:Class ; rdfs:comment "flat" ; rdfs:subClassOf
               [ a owl:Restriction ; owl:onProperty :p ; owl:maxCardinality 1 ] . :mine :by :ann .""",
            {"axioms": "drop"},
            {("triples", "axioms of ontologies", 2), ("literals", "axioms of ontologies", 1)},
        ),
    ],
)
def test_literals_of_what_is_left_out_are_counted(tmp_path, text, settings, expected):
    graph = read(tmp_path, text, **settings)
    assert {(d.what, d.why, d.count) for d in graph.dropped} == expected


def test_a_list_that_ends_in_itself_is_read_once_around(tmp_path):
    text = ":a :p _:l . _:l rdf:first :x ; rdf:rest _:m . _:m rdf:first :y ; rdf:rest _:l ."
    assert short(read(tmp_path, text, blank="flatten")) == {("a", "p", "x"), ("a", "p", "y")}


def test_members_of_containers_are_edges_of_what_points_to_them(tmp_path):
    text = """:film :cast _:bag . _:bag a rdf:Bag ; rdf:_1 :ann ; rdf:_2 :bob ; rdf:_10 "Cy" .
    :box a rdf:Seq ; rdf:_1 :x ; :owner :dan . :y :in :box . :alone rdf:_1 :z ."""
    graph = read(tmp_path, text, blank="flatten")
    found = short(graph)
    assert {row for row in found if row[0] == "film"} == {
        ("film", "cast", "ann"),
        ("film", "cast", "bob"),
    }
    assert set(graph.attributes["value"]) == {"Cy"}
    assert {("y", "in", "box"), ("box", "owner", "dan"), ("alone", "1", "z")} <= found  # things


def test_shapes_and_rules_are_axioms(tmp_path):
    text = """@prefix sh: <http://www.w3.org/ns/shacl#> . @prefix swrl: <http://www.w3.org/2003/11/swrl#> .
    :S a sh:NodeShape ; sh:targetClass :A ; sh:property [ sh:path :p ; sh:in ( :y :z ) ] .
    :rule swrl:body ( [ swrl:argument1 :x ] ) . :x :p :y ."""
    assert short(read(tmp_path, text, axioms="drop")) == {("x", "p", "y")}


def test_nested_nodes_without_end_stay(tmp_path):
    text = "_:a :p _:b . _:b :p _:a . :x :q :y ."
    assert len(read(tmp_path, text, blank="flatten")) == 3


@pytest.mark.parametrize("name", ["wikidata", "dbpedia", "schema", "skos", "owl"])
def test_a_profile_that_matches_nothing_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match=f"no relation of the graph is of {name}"):
        read(tmp_path, ":a :b :c .", profile=name)


def test_an_unknown_profile(tmp_path):
    with pytest.raises(ConfigError, match="Give one of wikidata, dbpedia"):
        read(tmp_path, ":a :b :c .", profile="freebase")


def test_a_profile_is_proposed(tmp_path):
    read(tmp_path, WIKIDATA)
    items = ["http://www.wikidata.org/entity/Q1", "http://www.wikidata.org/entity/Q9"]
    log = pl.DataFrame({"user": list("uuvvww"), "item": items * 3})
    path = str(tmp_path / "g.ttl")
    plain = kgrec.Dataset.build(log, path, ratios=(0.4, 0.3, 0.3))
    warned = {one.what: one.remedy for one in plain.report.warnings}
    what = next(one for one in warned if "plumbing of the vocabulary wikidata" in one)
    assert warned[what] == "Read the graph with profile wikidata (--profile wikidata)."
    clean = kgrec.Dataset.build(log, path, ratios=(0.4, 0.3, 0.3), reading={"profile": "wikidata"})
    assert not any("plumbing" in one.what for one in clean.report.warnings)
    assert clean.settings["reading"] == {"profile": "wikidata"}
    json.dumps(clean.settings)


def test_reading_without_new_settings_is_as_before(tmp_path):
    graph = read(tmp_path, PIZZA + FLAT + SCHEMA + WIKIDATA)
    assert graph.types.height
    assert any(key.startswith("_:") for key in graph.entities)
    assert len(graph) > 40
