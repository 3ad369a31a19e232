"""``kgrec info`` of a graph file, and ``kgrec build`` of a graph alone."""

import json

import pytest

from kgrec.cli import run

TEXT = (
    """@prefix : <http://x.org/> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
"""
    + "\n".join(
        f":f{n} a :Film ; :by :d{n % 3} ; :directedBy :d{n % 3} ; :imdb 'tt{n}' ; rdfs:label 'F{n}' . "
        f":d{n % 3} :made :f{n} ."
        for n in range(9)
    )
    + """
:D1 :knows :d1 . <https://x.org/d1/> :knows :d1 . :p a owl:ObjectProperty ; rdfs:domain :Film .
:alone :knows :other .
"""
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "g.ttl"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def said(file, capsys):
    assert run(["-q", "info", file, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_counts(said):
    assert said["kind"] == "graph"
    assert (said["triples"], said["relations"], said["literals"]) == (31, 5, 9)
    assert said["vocabularies"] == ["owl"]
    assert said["labels"]["entities_without"] == said["entities"] - 9


def test_what_to_clean(said):
    assert said["near_equal"] == [
        ["http://x.org/D1", "http://x.org/d1", "https://x.org/d1/"],
    ]
    pairs = {
        name: [sorted(p["relations"]) for p in said[name]] for name in ("duplicate", "inverse")
    }
    by, other, made = (f"http://x.org/{name}" for name in ("by", "directedBy", "made"))
    assert pairs["duplicate"] == [[by, other]]
    assert sorted(pairs["inverse"]) == [[by, made], [other, made]]
    assert (
        said["components"] == {"count": 5, "largest": 6, "without_triples": 1}
        or said["components"]["count"] > 1
    )
    warned = " ".join(one["what"] for one in said["warnings"])
    for word in ("have no label", "nearly equal", "the other way around", "state the same pairs"):
        assert word in warned


def test_what_a_recommender_could_use(said):
    best = said["candidates"][0]
    assert (best["kind"], best["entities"], best["shared"]) == ("http://x.org/Film", 9, 1.0)
    assert best["triples_per_entity"] == 3.0
    imdb = next(row for row in said["properties"] if row["property"].endswith("imdb"))
    assert imdb["identifies"]


def test_the_page_and_the_text(file, tmp_path, capsys):
    page = tmp_path / "g.html"
    assert run(["-q", "info", file, "--html", str(page), "--profile", "owl"]) == 0
    out = capsys.readouterr().out
    assert "what could be items" in out
    text = page.read_text(encoding="utf-8")
    assert "http://x.org/Film" in text
    assert "<script" not in text
    assert "Worth acting on" in text


def test_settings_of_the_reader_are_for_graph_files(tmp_path, capsys):
    assert run(["-q", "info", "films", "--profile", "schema"]) == 2
    assert "for graph files" in capsys.readouterr().err


def test_a_graph_alone_is_a_dataset(file, tmp_path, capsys):
    assert run(["-q", "build", "--kg", file, "--out", str(tmp_path / "d"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["users"], summary["items"], summary["triples"]) == (0, 0, 31)
    assert run(["-q", "info", str(tmp_path / "d"), "--json"]) == 0
    assert run(["-q", "build", "--out", str(tmp_path / "e")]) == 2
    assert "build from what?" in capsys.readouterr().err
