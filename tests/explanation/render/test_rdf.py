"""RDF: back without loss, the same hops by SPARQL, and no text that breaks out."""

import contextlib
from dataclasses import replace

import pytest
import rdflib
from explained import OTHERS, PAYLOADS, WHY, hostile
from hypothesis import given, settings
from hypothesis import strategies as st
from rdflib.namespace import RDF, XSD
from shares import share

from kgrec.errors import ConfigError, ExplanationError
from kgrec.explanation.core.records import Explanation, Path
from kgrec.explanation.render.rdf import VOCABULARY, read_rdf

PROV = rdflib.Namespace("http://www.w3.org/ns/prov#")
K = rdflib.Namespace(VOCABULARY)
HOPS = """
    PREFIX k: <urn:kgrec:explanation:>
    PREFIX rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#>
    SELECT ?rank ?position ?head ?relation ?tail ?forward WHERE {
        ?why a k:Explanation ; k:paths/rdf:rest*/rdf:first ?path .
        ?path k:rank ?rank ; k:hops/rdf:rest*/rdf:first ?hop .
        ?hop k:position ?position ; k:statements/rdf:rest*/rdf:first ?fact .
        ?fact a rdf:Statement ; rdf:subject ?head ; rdf:predicate ?relation ; rdf:object ?tail ; k:forward ?forward
    } ORDER BY ?rank ?position ?relation"""


def parsed(why, form="turtle"):
    return rdflib.Graph().parse(
        data=why.to_rdf(form), format={"turtle": "turtle", "ntriples": "nt"}[form]
    )


@pytest.mark.parametrize("form", ["turtle", "ntriples"])
@pytest.mark.parametrize(
    "why",
    [
        WHY,
        replace(
            WHY,
            paths=(),
            against=(),
            notes=(),
            next_item=None,
            margin=None,
            budget=None,
            rank=None,
            hidden={},
            manifest={},
            counts={},
        ),
        replace(WHY, score=-1e-300, margin=0.1 + 0.2, budget=None),
    ],
)
def test_back_without_loss(why, form):
    assert Explanation.from_rdf(why.to_rdf(form), form) == why


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_texts_come_back_and_say_nothing_else(payload):
    bad = hostile(payload)
    assert Explanation.from_rdf(bad.to_rdf()) == bad
    graph = parsed(bad)
    assert not payload or len(graph) == len(parsed(hostile("tame")))
    assert rdflib.URIRef("http://evil") not in graph.all_nodes()
    assert (
        Explanation.from_rdf(graph.serialize(format="nt"), "ntriples").paths[0].hops
        == bad.paths[0].hops
    )


@settings(max_examples=share(60), deadline=None)
@given(
    st.text(max_size=30), st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 10**12)
)
def test_any_text_and_number_comes_back(label, number, rank):
    why = replace(hostile(label), budget=None, score=number, rank=rank)
    assert Explanation.from_rdf(why.to_rdf()) == why


def test_numbers_are_doubles_to_the_last_bit_in_another_reader():
    graph = parsed(WHY)
    drops = [drop for path, drop in graph.subject_objects(K.drop_delete)]
    assert {drop.datatype for drop in drops} == {XSD.double}
    assert {float(drop) for drop in drops} == {0.1 + 0.2, -0.1}
    assert float(next(graph.objects(None, K.weight))) == 1e-17


def test_sparql_returns_the_hops_in_order_and_in_the_direction_of_their_facts():
    rows = [tuple(str(value) for value in row) for row in parsed(WHY).query(HOPS)]
    user, alien, runner, scott = (
        "urn:kgrec:user:ana",
        "urn:kgrec:item:f0",
        "urn:kgrec:item:f2",
        "http://x.org/Scott",
    )
    liked = str(K.interacts)
    others = rows[5][2]
    assert rows == [
        ("1", "1", user, liked, alien, "true"),
        ("1", "2", alien, "http://x.org/director", scott, "true"),
        ("1", "3", runner, "http://x.org/director", scott, "false"),
        ("1", "3", runner, "urn:kgrec:relation:x%3Awri%20ter", scott, "false"),
        ("2", "1", user, liked, alien, "true"),
        ("2", "2", others, liked, alien, "false"),
        ("2", "3", others, liked, runner, "true"),
    ]
    assert others.endswith("counted")


def test_each_hop_is_derived_from_its_places_and_its_graph():
    graph = parsed(WHY)
    statement = next(
        s for s in graph.subjects(RDF.predicate, rdflib.URIRef("http://x.org/director"))
    )
    derived = set(graph.objects(statement, PROV.wasDerivedFrom))
    assert rdflib.URIRef("http://x.org/g") in derived
    places = {
        (str(graph.value(place, K.source)), int(graph.value(place, K.locator)))
        for place in derived
        if (place, RDF.type, PROV.Entity) in graph
    }
    assert places == {("films.ttl", 11), ("b.nt", 4)}
    why = next(graph.subjects(RDF.type, K.Explanation))
    assert (why, RDF.type, PROV.Entity) in graph
    assert (why, PROV.wasDerivedFrom, rdflib.URIRef("urn:kgrec:dataset:ab12")) in graph


def test_an_entity_with_an_iri_of_ours_does_not_become_the_item():
    twin = replace(WHY.paths[0].hops[1].target, key="urn:kgrec:item:f2")
    first, second, third = WHY.paths[0].hops
    path = Path((first, replace(second, target=twin), replace(third, source=twin)), "exact", 0.1)
    why = replace(WHY, paths=(path,))
    assert Explanation.from_rdf(why.to_rdf()) == why
    assert (None, RDF.object, rdflib.URIRef("urn:kgrec:item:f2")) not in parsed(why)


def test_several_in_one_file():
    second = replace(WHY, user_label="An")
    both = WHY.to_rdf() + "\n" + second.to_rdf()
    assert read_rdf(both) == [WHY, second]
    with pytest.raises(ExplanationError, match="2 explanations"):
        Explanation.from_rdf(both)


def test_what_is_no_explanation_is_refused_in_one_line():
    good = WHY.to_rdf("ntriples")
    broken = {
        "not turtle": lambda: Explanation.from_rdf("<a> <b"),
        "0 explanations": lambda: Explanation.from_rdf(""),
        "not an explanation": lambda: Explanation.from_rdf(
            "\n".join(
                line for line in good.split("\n") if "k:paths" not in line and ":paths>" not in line
            ),
            "ntriples",
        ),
        "schema 9": lambda: Explanation.from_rdf(
            WHY.to_rdf().replace("k:schema 2 ", "k:schema 9 ")
        ),
        "surrogate": lambda: replace(WHY, user_label="\ud800").to_rdf(),
    }
    for message, read in broken.items():
        with pytest.raises(ExplanationError, match=message) as caught:
            read()
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="Choose from turtle, ntriples"):
        WHY.to_rdf("rdfxml")


@settings(max_examples=share(40), deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["cut", "swap", "drop"]))
def test_damaged_rdf_is_refused_or_read_but_never_breaks(place, how):
    lines = WHY.to_rdf("ntriples").split("\n")
    at = place % len(lines)
    if how == "drop":
        del lines[at]
    elif how == "cut":
        lines[at] = lines[at][: place % (len(lines[at]) + 1)]
    else:
        lines[at] = (
            lines[at].replace(" ", " <urn:x> ", 1) if place % 2 else lines[at].replace('"', "'")
        )
    with contextlib.suppress(ExplanationError):  # and nothing else
        Explanation.from_rdf("\n".join(lines), "ntriples")


def test_counted_users_have_no_name():
    assert OTHERS.key == ""
    assert "urn:kgrec:users" not in WHY.to_rdf("ntriples")
