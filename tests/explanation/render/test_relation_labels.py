"""Labels of relations in the language of an explanation, from the graph's own tags."""

from dataclasses import replace

import polars as pl
import pytest
from explained import WHY

import kgrec
from kgrec.data import native
from kgrec.data.storage import open_dataset
from kgrec.explanation.core.records import Explanation, Hop, Node, Relation
from kgrec.explanation.core.speech import Speech
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.sentences import hop_words
from kgrec.explanation.render.tree import tree

GRAPH = """
@prefix : <http://x.org/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:f1 :director :ann ; :shot :rome ; :won :prize ; :next :f2 ; rdfs:label "One" .
:f2 :director :ann ; rdfs:label "Two" .
:director rdfs:label "director"@en, "r\u00e9alisateur"@fr, "Regisseur"@de-AT .
:shot rdfs:label "shot in"@en, "Drehort"@de .
:won rdfs:label "won" .
:next rdfs:label "Nachfolger"@de .
"""
CLICKS = pl.DataFrame({"user": ["a", "a", "b", "b"], "item": ["f1", "f2", "f1", "f2"]})
LINKS = pl.DataFrame({"item": ["f1", "f2"], "entity": ["http://x.org/f1", "http://x.org/f2"]})
# by language of the graph, then of the explanation: relation forward, backward
SAID = {
    ("en", "en"): {
        "director": ("directed by", "directed"),
        "shot": ("shot in", "<- shot in -"),
        "won": ("won", "<- won -"),
    },
    ("en", "de"): {
        "director": ("unter der Regie von", "f\u00fchrte Regie bei"),
        "shot": ("- Drehort ->", "<- Drehort -"),
        "won": ("- won ->", "<- won -"),
        "next": ("hat als Fortsetzung", "ist die Fortsetzung von"),
    },
    ("de", "en"): {
        "director": ("directed by", "directed"),
        "shot": ("shot in", "<- shot in -"),
    },
    ("de", "de"): {
        "director": ("unter der Regie von", "f\u00fchrte Regie bei"),
        "shot": ("- Drehort ->", "<- Drehort -"),
    },
}


def built(folder, language="en", graph=GRAPH, **settings):
    file = folder / "kg.ttl"
    file.write_text(graph, encoding="utf-8")
    kg = kgrec.read_triples(file, language=language, **settings)
    return kgrec.Dataset.build(interactions=CLICKS, kg=kg, links=LINKS, split="none")


def said(data, code):
    """Return how each relation reads both ways."""
    speech = Speech(data, code)
    ends = Node("item", "f1", "One"), Node("entity", "x", "X")
    found = {}
    for row in range(data.num_relations):
        key = data.triples.relations.key(row)
        hops = [
            Hop(*ends, (Relation(key, data.triples.relation_label(row), forward),))
            for forward in (True, False)
        ]
        words = speech.words((), hops)
        found[key.rpartition("/")[2]] = tuple(hop_words(hop, words) for hop in hops)

    return found


@pytest.mark.parametrize("compiled", [True, False])
def test_a_relation_has_the_label_of_the_language(tmp_path, monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(native, "library", lambda: None)

    for reading in ("en", "de"):
        data = built(tmp_path, reading)
        data.save(tmp_path / reading)
        for one in (data, open_dataset(tmp_path / reading)):
            for code in ("en", "de"):
                found = said(one, code)
                expected = SAID[reading, code]
                assert {key: found[key] for key in expected} == expected


def test_properties_of_wikidata_have_theirs(tmp_path):
    wd, wdt = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/direct/"
    label = "<http://www.w3.org/2000/01/rdf-schema#label>"
    graph = f"""
    <http://x.org/f1> <{wdt}P915> <{wd}Q1> . <http://x.org/f2> <{wdt}P915> <{wd}Q1> .
    <{wd}P915> {label} "filming location"@en, "Drehort"@de .
    """
    data = built(tmp_path, graph=graph, profile="wikidata")
    assert said(data, "de")["P915"] == ("- Drehort ->", "<- Drehort -")
    assert "filming location" in said(data, "en")["P915"][0]


def test_labels_survive_joining_and_a_graph_without_other_languages_stores_none(tmp_path):
    (tmp_path / "more.ttl").write_text(GRAPH.replace("x.org/", "y.org/"), encoding="utf-8")
    data = built(tmp_path)
    both = kgrec.Dataset.build(
        interactions=CLICKS,
        kg=[data.triples, kgrec.read_triples(tmp_path / "more.ttl")],
        links=LINKS,
        split="none",
    )
    assert both.wording.labels["de"]["http://y.org/shot"] == "Drehort"
    assert both.wording.labels["de"]["http://x.org/shot"] == "Drehort"
    one = built(tmp_path, graph="<http://x.org/f1> <http://x.org/r> <http://x.org/f2> .")
    assert one.wording.labels == {}
    assert "labels" not in one.wording.to_dict()


def test_labels_are_in_the_record_and_in_every_form():
    keys = {one.key for path in WHY.paths for hop in path.hops for one in hop.relations}
    key = next(key for key in sorted(keys) if key != "interacts")
    words = Words("de")
    why = replace(WHY, words=replace(words, labels={key: "Zugeh\u00f6rigkeit"}))
    assert Explanation.from_json(why.to_json()) == why
    assert Explanation.from_rdf(why.to_rdf()) == why
    for shown in (why.to_text(), tree(why), why.to_html(), why.to_json()):
        assert "Zugeh" in shown
