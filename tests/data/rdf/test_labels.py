"""Labels: languages in order, all of them kept, and written back; rules with prefixes."""

import polars as pl
import pytest

import kgrec
from kgrec.data.rdf import collect
from kgrec.data.readers.triples import read_triples

RDFS = "http://www.w3.org/2000/01/rdf-schema#"
TEXT = f"""@prefix : <http://x.org/> . @prefix rdfs: <{RDFS}> . @prefix own: <http://own.org/> .
:a rdfs:label "Alien"@en, "Das unheimliche Wesen"@de, "Alien (fr)"@fr ; own:p :b ; :q :b .
:b rdfs:label "für alle"@mul, "pour"@fr ; <http://www.wikidata.org/prop/direct/P57> :a .
"""


@pytest.fixture(params=["compiled", "python"])
def path(request, tmp_path, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(collect.native, "library", lambda: None)
    (tmp_path / "g.ttl").write_text(TEXT, encoding="utf-8")
    return str(tmp_path / "g.ttl")


def labels(graph):
    return dict(zip(graph.entities, graph.labels, strict=True))


@pytest.mark.parametrize(
    ("language", "of_a", "of_b"),
    [
        ("en", "Alien", "für alle"),
        ("de,en", "Das unheimliche Wesen", "für alle"),
        (["it", "fr", "de"], "Alien (fr)", "pour"),
        ("it,es", None, "für alle"),
    ],
)
def test_languages_in_their_order(path, language, of_a, of_b):
    found = labels(read_triples(path, language=language))
    assert found["http://x.org/b"] == of_b
    assert of_a is None or found["http://x.org/a"] == of_a


def test_labels_are_kept_with_their_tags_or_counted(path):
    best = read_triples(path, keep_labels="best")
    assert [(d.what, d.count) for d in best.dropped] == [("labels", 3)]
    assert best.attributes.height == 0
    kept = read_triples(path)
    assert not kept.dropped
    assert kept.counts["labels beyond one of each entity, kept with their languages"] == 3
    assert labels(kept) == labels(best)
    assert set(kept.attributes["language"]) == {"en", "de", "fr", "mul"}
    assert set(kept.attributes["name"]) == {f"{RDFS}label"}
    assert kept.attributes.height == 5


def test_a_lone_plain_label_needs_no_literal(tmp_path):
    lone = f'<x:a> <{RDFS}label> "A" . <x:b> <{RDFS}label> "B"@en . <x:a> <x:p> <x:b> .\n'
    two = f'<x:c> <{RDFS}label> "C", "D" . <x:c> <http://schema.org/name> "E" .\n'
    (tmp_path / "g.ttl").write_text(lone + two, encoding="utf-8")
    graph = read_triples(str(tmp_path / "g.ttl"))
    assert sorted(graph.attributes["value"]) == ["B", "C", "D", "E"]
    assert labels(graph) == {"x:a": "A", "x:b": "B", "x:c": "C"}
    # Where another property gives the labels, rdfs:label is a literal like any other.
    other = read_triples(str(tmp_path / "g.ttl"), labels=["http://schema.org/name"])
    assert sorted(other.attributes["value"]) == ["A", "B", "C", "D", "E"]


RELATION = f"""
<http://own.org/p> <{RDFS}label> "shot in"@en, "Drehort"@de .
<x:q> <{RDFS}label> "plain" .
:a <x:q> :b .
"""


@pytest.mark.parametrize("way", ["ntriples", "nquads", "rdflib"])
def test_labels_come_back_from_a_conversion_with_their_tags(path, tmp_path, way):
    with open(path, "a", encoding="utf-8") as file:
        file.write(RELATION)
    log = pl.DataFrame({"user": list("uuvvww"), "item": ["http://x.org/a", "http://x.org/b"] * 3})
    data = kgrec.Dataset.build(log, path, ratios=(0.4, 0.3, 0.3))
    columns = ["entity", "name", "value", "language"]
    stated = data.triples.attributes.select(columns).sort(columns).rows()
    assert len(stated) == 5
    if way == "rdflib":
        from kgrec.graph import from_rdflib, to_rdflib

        again = from_rdflib(to_rdflib(data))
        rows = again.attributes.with_columns(
            entity=pl.Series(again.entities.keys(again.attributes["entity"].to_numpy()))
        )
        keys = data.triples.entities.keys(range(data.num_entities))
        wanted = [(keys[row], *rest) for row, *rest in stated]
        assert sorted(rows.select(columns).rows()) == sorted(wanted)
        return

    data.convert(way, tmp_path / "out")
    text = next((tmp_path / "out").glob("graph.*")).read_text(encoding="utf-8")
    assert text.count(f"<{RDFS}label>") == 5 + 3
    for line in ('"Das unheimliche Wesen"@de .', '"shot in"@en .', '"Drehort"@de .', '"plain" .'):
        assert line in text
    again = kgrec.load(tmp_path / "out")
    assert again.triples.labels.to_list() == data.triples.labels.to_list()
    assert again.triples.relation_labels.to_list() == data.triples.relation_labels.to_list()
    assert again.wording == data.wording
    assert again.triples.attributes.select(columns).sort(columns).rows() == stated


def test_rules_have_the_prefixes_of_the_file_and_everybodys(path):
    def relations(**rules):
        return {key.rpartition("/")[2] for key in read_triples(path, **rules).relations}

    assert relations(predicates=["own:p"]) == {"p"}
    assert relations(predicates=["wdt:P57", "own:"]) == {"P57", "p"}
    assert relations(without_predicates=["wdt:P57"]) == {"p", "q"}


def test_a_rule_without_a_hit_is_reported(path, caplog):
    graph = read_triples(path, predicates=["wdt:P99", "own:p"], without_predicates=["own:none"])
    idle = {name for name, count in graph.counts.items() if count == 0}
    assert idle == {
        "statements that fit the rule predicates=http://www.wikidata.org/prop/direct/P99",
        "statements that fit the rule without_predicates=http://own.org/none",
    }
    assert "fits nothing" in caplog.text
    both = read_triples([path, path], predicates=["own:p"])
    assert not any("fit the rule" in name for name in both.counts)


def test_languages_and_predicates_of_labels_without_a_hit_are_reported(path):
    said = {"language": "zu", "labels": ["rdfs:label", "own:none"]}
    graph = read_triples(path, **said)
    assert {name for name, count in graph.counts.items() if count == 0} == {
        "statements that fit the rule language=zu",
        "statements that fit the rule labels=http://own.org/none",
    }
    graph = read_triples(path, language="zu,de")
    assert all(graph.counts.values())


def test_titles_of_a_table_stay_beside_the_labels_of_a_graph(path, tmp_path):
    """Of an item whose title is none of its entity's labels, these are no labels of the item."""
    items = pl.DataFrame({"item": ["1", "2"], "title": ["Mine", "für alle"]})
    links = pl.DataFrame({"item": ["1", "2"], "entity": ["http://x.org/a", "http://x.org/b"]})
    log = pl.DataFrame({"user": list("uuvvww"), "item": ["1", "2"] * 3})
    data = kgrec.Dataset.build(log, path, links, items=items, ratios=(0.4, 0.3, 0.3))
    data.convert("ntriples", tmp_path / "out")
    text = (tmp_path / "out" / "graph.nt").read_text(encoding="utf-8")
    assert f'<http://x.org/a> <{RDFS}label> "Mine" .' in text
    assert f'<http://x.org/b> <{RDFS}label> "für alle"@mul .' in text
    again = kgrec.load(tmp_path / "out").triples
    assert again.labels.to_list() == data.triples.labels.to_list()
    columns = ["entity", "name", "value", "language"]
    ours, theirs = (
        one.attributes.select(columns).sort(columns).rows() for one in (data.triples, again)
    )
    assert ours == theirs


def test_labels_become_no_entities_of_their_own(tmp_path):
    text = "".join(
        f'<x:{n}> <{RDFS}label> "Same"@en, "Gleich"@de ; <x:year> "{1980 + n % 2}" ; <x:p> <x:{n + 1}> .\n'
        for n in range(8)
    )
    (tmp_path / "g.ttl").write_text(text, encoding="utf-8")
    graph = read_triples(str(tmp_path / "g.ttl"), literals="entities")
    assert set(graph.relations) == {"x:p", "x:year"}
    assert graph.attributes.height == 16


def test_the_language_of_labels_is_named_where_it_is_not_the_usual_one(path, tmp_path):
    log = pl.DataFrame({"user": list("uuvvww"), "item": ["http://x.org/a", "http://x.org/b"] * 3})
    settings = {"ratios": (0.4, 0.3, 0.3), "reading": {"language": "fr"}}
    data = kgrec.Dataset.build(log, path, **settings)
    assert any("language=fr" in note for note in data.convert("ntriples", tmp_path / "nt").notes)
