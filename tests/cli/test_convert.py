"""``kgrec convert``: what it writes, says and refuses."""

import json

import pytest

from kgrec.cli import run
from kgrec.data.formats.convert import STATEMENT
from kgrec.data.formats.registry import writable


def kgrec(*arguments, capsys):
    code = run(["-q", *map(str, arguments)])
    return code, capsys.readouterr()


def test_what_is_lost_is_printed_and_written(dataset, tmp_path, capsys):
    code, said = kgrec("convert", dataset, "--to", "kgat", "--out", tmp_path / "k", capsys=capsys)
    assert code == 0
    assert "NOT carried" in said.out
    statement = json.loads((tmp_path / "k" / STATEMENT).read_text())
    assert statement["lost"] == {
        "times": 96,
        "item labels": 6,
        "entity labels": 2,
        "places that triples came from": 6,
        "ratings": 96,
    }
    assert statement["carried"]["interactions"] == 96
    for what in statement["lost"]:
        assert f"{what} " in said.out
    assert set(statement["files"]) == {path.name for path in (tmp_path / "k").iterdir()} - {
        STATEMENT
    }


def test_json_is_one_document(dataset, tmp_path, capsys):
    code, said = kgrec(
        "convert", dataset, "--to", "neo4j", "--out", tmp_path / "n", "--json", capsys=capsys
    )
    told = json.loads(said.out)
    assert code == 0
    assert told["to"] == "neo4j"
    assert told["lost"] == {}
    assert told["files"]["triples.csv"] == (tmp_path / "n/triples.csv").stat().st_size


@pytest.mark.parametrize(
    "form", [name for name in writable() if name not in ("mind", "openke", "pykeen")]
)
def test_every_format_is_built_again(form, dataset, tmp_path, capsys):
    assert kgrec("convert", dataset, "--to", form, "--out", tmp_path / form, capsys=capsys)[0] == 0
    code, said = kgrec(
        "build", tmp_path / form, "--out", tmp_path / "again", "--json", capsys=capsys
    )
    assert code == 0, said.err
    told = json.loads(said.out)
    assert (told["users"], told["items"], sum(told["interactions"].values())) == (24, 6, 96)
    assert told["triples"] == (0 if form in ("lightgcn", "dkn") else 6)


@pytest.mark.parametrize("form", ["openke", "pykeen"])
def test_graph_formats_are_built_as_triples_alone(form, dataset, tmp_path, capsys):
    assert kgrec("convert", dataset, "--to", form, "--out", tmp_path / form, capsys=capsys)[0] == 0
    code, said = kgrec(
        "build", tmp_path / form, "--out", tmp_path / "again", "--json", capsys=capsys
    )
    assert code == 0
    assert (json.loads(said.out)["users"], json.loads(said.out)["triples"]) == (0, 6)


def test_a_folder_that_exists_is_refused(dataset, tmp_path, capsys):
    assert kgrec("convert", dataset, "--to", "kgat", "--out", tmp_path / "k", capsys=capsys)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "k").iterdir()}
    code, said = kgrec(
        "convert", dataset, "--to", "lightgcn", "--out", tmp_path / "k", capsys=capsys
    )
    assert code == 2
    assert "--force" in said.err
    assert len(said.err.splitlines()) == 1
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "k").iterdir()}
    assert (
        kgrec(
            "convert",
            dataset,
            "--to",
            "lightgcn",
            "--out",
            tmp_path / "k",
            "--force",
            capsys=capsys,
        )[0]
        == 0
    )
    assert not (tmp_path / "k/kg_final.txt").exists()


def test_force_replaces_nothing_of_others(dataset, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    (tmp_path / "mine/conversion.json").write_text('{"format": "other"}')
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for place in ("mine", "file", "link"):
        code, said = kgrec(
            "convert", dataset, "--to", "kgat", "--out", tmp_path / place, "--force", capsys=capsys
        )
        assert code == 2
        assert len(said.err.splitlines()) == 1
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"
    assert (
        kgrec("convert", dataset, "--to", "kgat", "--out", dataset, "--force", capsys=capsys)[0]
        == 2
    )


def test_a_conversion_of_a_newer_version_is_refused(dataset, tmp_path, capsys):
    (tmp_path / "newer").mkdir()
    statement = '{"format": "kgrec-conversion", "version": 2}'
    (tmp_path / "newer/conversion.json").write_text(statement)
    told = ("convert", dataset, "--to", "kgat", "--out", tmp_path / "newer", "--force")
    code, said = kgrec(*told, capsys=capsys)
    assert code == 2
    assert "format version 2, this kgrec reads 1. Update kgrec" in said.err


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("recbol", "Nearest: recbole"),
        ("mind", "has no impressions"),
        ("", "Known: parquet"),
        ("../x", "is unknown"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is(form, told, dataset, tmp_path, capsys):
    code, said = kgrec("convert", dataset, "--to", form, "--out", tmp_path / "k", capsys=capsys)
    assert code == 2
    assert told in said.err
    assert len(said.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_failure_half_way_leaves_nothing(dataset, tmp_path, capsys, monkeypatch):
    from kgrec.data.formats import writing

    def full(*_):
        raise OSError(28, "No space left on device", "kg_final.txt")

    monkeypatch.setattr(writing, "write_kg_final", full)
    code, said = kgrec("convert", dataset, "--to", "kgat", "--out", tmp_path / "k", capsys=capsys)
    assert code == 2
    assert "No space left" in said.err
    assert not list(tmp_path.iterdir())


def test_python_does_the_same(dataset, tmp_path):
    import kgrec

    done = kgrec.convert(dataset, "KGAT", tmp_path / "a")
    again = kgrec.load(dataset).convert("kgat", tmp_path / "b")
    assert done.lost == again.lost
    assert (done.to, again.to) == ("kgat", "kgat")
    assert (tmp_path / "a/train.txt").read_bytes() == (tmp_path / "b/train.txt").read_bytes()
