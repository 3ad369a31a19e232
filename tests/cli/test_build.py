"""What ``build`` and ``info`` do with texts, vectors, labels, impressions and held-out triples."""

import json

import numpy as np
import pytest

from kgrec.cli import run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    (folder / "clicks.csv").write_text(
        "user_id,item_id\n" + "".join(f"u{n % 4},i{n % 10}\n" for n in range(40))
    )
    (folder / "items.csv").write_text(
        "item_id,title,plot\n" + "".join(f"i{n},Film {n},Night train\n" for n in range(10))
    )
    (folder / "f.csv").write_text("item_id,x,y\n" + "".join(f"i{n},{n},1\n" for n in range(10)))
    (folder / "w.txt").write_text("night 1 2\nday 3 4\n")
    (folder / "kg.csv").write_text(
        "head,relation,tail\n" + "".join(f"i{a},r,i{b}\n" for a in range(10) for b in range(a))
    )
    np.save(folder / "e.npy", np.ones((2, 3)))
    (folder / "e.txt").write_text("i1\nelsewhere\n")
    return folder


def kgrec(*arguments, capsys):
    code = run(["-q", *map(str, arguments)])
    return code, capsys.readouterr()


def test_content_from_files(place, tmp_path, capsys):
    parts = [
        "--interactions",
        place / "clicks.csv",
        "--items",
        place / "items.csv",
        "--kg",
        place / "kg.csv",
    ]
    more = [
        "--texts",
        "title,plot",
        "--features",
        place / "f.csv",
        "--word-vectors",
        place / "w.txt",
        "--entity-vectors",
        place / "e.npy",
    ]
    code, said = kgrec("build", *parts, *more, "--out", tmp_path / "d", "--json", capsys=capsys)
    told = json.loads(said.out)
    assert code == 0
    assert told["content"] == {
        "texts": 10,
        "mentions": 0,
        "features": 2,
        "word_vectors": 1,
        "entity_vectors": 1,
    }
    code, said = kgrec("info", tmp_path / "d", capsys=capsys)
    assert "texts: 10 of 10 items" in said.out
    assert "features: 2 numbers per item" in said.out
    assert "vectors: 1 words, 1 entities" in said.out


def test_a_graph_alone(place, tmp_path, capsys):
    code, said = kgrec(
        "build",
        "--kg",
        place / "kg.csv",
        "--triple-ratios",
        "0.6,0.2,0.2",
        "--out",
        tmp_path / "d",
        capsys=capsys,
    )
    assert code == 0
    assert "0 users, 0 items" in said.out
    assert "held-out triples: 9 valid, 9 test" in said.out
    code, said = kgrec("build", "--kg", place / "kg.csv", "--out", tmp_path / "e", capsys=capsys)
    assert code == 0
    code, said = kgrec("build", "--out", tmp_path / "f", capsys=capsys)
    assert code == 2
    assert "--kg FILE alone" in said.err
    assert not (tmp_path / "f").exists()


def test_labels_and_impressions(tmp_path, capsys):
    (tmp_path / "ctr").mkdir()
    (tmp_path / "ctr" / "ratings_final.txt").write_text(
        "".join(f"{u}\t{i}\t{(u + i) % 2}\n" for u in range(5) for i in range(10))
    )
    code, said = kgrec("build", tmp_path / "ctr", "--out", tmp_path / "d", capsys=capsys)
    assert code == 0
    assert "labelled negatives: " in said.out
    (tmp_path / "mind").mkdir()
    (tmp_path / "mind" / "news.tsv").write_text(
        "".join(f"N{n}\tnews\tworld\tTitle {n}\t\t\t[]\t[]\n" for n in range(3))
    )
    lines = [f"{n}\tU{n % 3}\t11/{n + 1}/2019 2:14:46 PM\tN0\tN1-1 N2-0\n" for n in range(20)]
    (tmp_path / "mind" / "behaviors.tsv").write_text("".join(lines))
    code, said = kgrec("build", tmp_path / "mind", "--out", tmp_path / "m", capsys=capsys)
    assert code == 0
    assert "impressions: 16 train, 2 valid, 2 test" in said.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--texts", "titel", "--items", "items.csv"], "no column 'titel'. Nearest: title"),
        (["--texts", "title"], "texts name columns of the table of items, and there is none"),
        (["--word-vectors", "w.txt"], "word vectors without texts"),
        (
            ["--features", "short.csv"],
            "9 of 10 items have no row: 'i1', 'i2', 'i3', 'i4', 'i5', ...",
        ),
        (
            ["--entity-vectors", "uneven.vec"],
            "uneven.vec:2: a vector of 1 numbers, expected 2 as in the lines before",
        ),
        (["--entity-vectors", "foreign.vec"], "none of its 2 ids is an entity here"),
        (
            ["--word-vectors", "uneven.vec", "--items", "items.csv"],
            "uneven.vec:2: a vector of 1 numbers",
        ),
        (["--triple-ratios", "0.8,0.2"], "triple_ratios: 0.8,0.2 are 2 numbers"),
        (["--triple-ratios", "much"], "--triple-ratios much: expected numbers"),
    ],
)
def test_bad_input(place, tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.chdir(place)
    (place / "short.csv").write_text("item_id,x\ni0,1\n")
    (place / "uneven.vec").write_text("a 1 2\nb 1\n")
    (place / "foreign.vec").write_text("a 1 2\nb 1 2\n")
    code, said = kgrec(
        "build",
        "--interactions",
        "clicks.csv",
        "--kg",
        "kg.csv",
        *more,
        "--out",
        tmp_path / "d",
        capsys=capsys,
    )
    assert code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "d").exists()


def test_how_the_graph_is_read(place, tmp_path, capsys):
    same = "<http://www.w3.org/2002/07/owl#sameAs>"
    text = f'<x:a> <x:r> <x:b> .\n<x:c> {same} <x:b> .\n<x:d> <x:s> <x:b> .\nno statement\n<x:a> <x:year> "x" .\n<x:d> <x:year> "x" .\n'
    (tmp_path / "kg.nt").write_text(text)
    parts = [
        "--interactions",
        place / "clicks.csv",
        "--kg",
        tmp_path / "kg.nt",
        "--on-error",
        "skip",
    ]
    chosen = [
        "--kg-set",
        "same_as=merge",
        "--kg-set",
        "literals=entities",
        "--kg-set",
        "without_predicates=x:s,x:t",
    ]
    code, said = kgrec("build", *parts, *chosen, "--out", tmp_path / "d", "--json", capsys=capsys)
    told = json.loads(said.out)
    assert (code, told["triples"], told["relations"]) == (0, 3, 2)
    assert told["counts"]["entities merged into others"] == 1
    assert told["counts"]["literals turned into entities"] == 2
    assert {"what": "statements", "why": "a predicate that was not asked for", "count": 1} in told[
        "dropped"
    ]
    assert {
        "what": "lines",
        "why": f"malformed in {tmp_path / 'kg.nt'}",
        "count": 1,
        "where": [f"{tmp_path / 'kg.nt'}:4"],
    } in told["dropped"]
    assert told["settings"]["reading"] == {
        "same_as": "merge",
        "literals": "entities",
        "without_predicates": ["x:s", "x:t"],
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sameas=merge", "'sameas' is no setting of read_triples. Nearest: same_as"),
        ("same_as", "expected key=value"),
        ("same_as=join", "same_as: 'join' is neither 'keep' nor 'merge'"),
        ("max_ratio=many", "max_ratio='many' is not a whole number"),
        ("base=here", "base: 'here' is not an absolute IRI"),
    ],
)
def test_settings_of_the_graph_that_are_none(place, tmp_path, capsys, setting, message):
    parts = ["--interactions", place / "clicks.csv", "--kg", place / "kg.csv", "--kg-set", setting]
    code, said = kgrec("build", *parts, "--out", tmp_path / "d", capsys=capsys)
    assert code == 2
    assert message in said.err
    assert not (tmp_path / "d").exists()
