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


def test_labels_are_counted_or_kept_with_their_tags(path):
    plain = read_triples(path)
    assert [(d.what, d.count) for d in plain.dropped] == [("labels", 3)]
    assert plain.attributes.height == 0
    kept = read_triples(path, keep_labels="all")
    assert not kept.dropped
    assert labels(kept) == labels(plain)
    assert set(kept.attributes["language"]) == {"en", "de", "fr", "mul"}
    assert set(kept.attributes["name"]) == {f"{RDFS}label"}
    assert kept.attributes.height == 5


def test_kept_labels_come_back_from_a_conversion(path, tmp_path):
    log = pl.DataFrame({"user": list("uuvvww"), "item": ["http://x.org/a", "http://x.org/b"] * 3})
    settings = {"ratios": (0.4, 0.3, 0.3), "reading": {"keep_labels": "all"}}
    data = kgrec.Dataset.build(log, path, **settings)
    data.convert("ntriples", tmp_path / "nt")
    text = (tmp_path / "nt" / "graph.nt").read_text(encoding="utf-8")
    assert text.count(f"<{RDFS}label>") == 5
    assert '"Das unheimliche Wesen"@de .' in text
    again = kgrec.load(tmp_path / "nt")
    assert again.triples.labels.to_list() == data.triples.labels.to_list()
    columns = ["entity", "value", "language"]
    assert (
        again.triples.attributes.select(columns).sort(columns).rows()
        == data.triples.attributes.select(columns).sort(columns).rows()
    )


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
