"""``kgrec check-folder``, and ``kgrec build`` within a limit on memory."""

import json
import os

import polars as pl
import pytest

from kgrec.cli import run

LOG = pl.DataFrame(
    {
        "user": [f"u{n % 5}" for n in range(60)],
        "item": [n * 7 % 13 for n in range(60)],
        "time": [1_700_000_000 + n * n for n in range(60)],
    }
)


def kgrec(*arguments, capsys):
    code = run(["-q", *map(str, arguments)])
    return code, capsys.readouterr()


@pytest.fixture
def lake(tmp_path):
    folder = tmp_path / "lake"
    (folder / "interactions").mkdir(parents=True)
    LOG.head(30).write_parquet(folder / "interactions/a.parquet")
    LOG.tail(30).write_parquet(folder / "interactions/b.parquet")
    return folder


def test_a_sound_folder_gets_its_manifest_and_is_built(lake, tmp_path, capsys):
    code, said = kgrec("check-folder", lake, "--write-manifest", "--json", capsys=capsys)
    assert code == 0
    assert json.loads(said.out)["rows"] == {"interactions": 60}
    assert set(json.loads((lake / "manifest.json").read_text())["files"]) == {
        "interactions/a.parquet",
        "interactions/b.parquet",
    }
    sums = []
    for more in ((), ("--memory", "300M")):
        out = tmp_path / f"out{len(sums)}"
        arguments = ("build", lake, "--split", "temporal", "--out", out, *more)
        assert kgrec(*arguments, capsys=capsys)[0] == 0
        manifest = json.loads((out / "manifest.json").read_text())
        sums.append({name: entry["sha256"] for name, entry in manifest["files"].items()})

    assert sums[0] == sums[1]
    assert sorted(os.listdir(tmp_path)) == ["lake", "out0", "out1"]


def test_what_is_wrong_is_listed_and_the_manifest_kept(lake, tmp_path, capsys):
    assert kgrec("check-folder", lake, "--write-manifest", capsys=capsys)[0] == 0
    before = (lake / "manifest.json").read_bytes()
    part = lake / "interactions/b.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    (lake / "model.pkl").write_bytes(b"x")
    for more in ((), ("--write-manifest",)):
        code, said = kgrec("check-folder", lake, *more, capsys=capsys)
        assert code == 2
        assert said.err.count("\n") == 1
        assert "b.parquet: no readable Parquet file" in said.out
        assert "model.pkl: a pickle" in said.out

    assert (lake / "manifest.json").read_bytes() == before
    code, said = kgrec("build", lake, "--out", tmp_path / "out", capsys=capsys)
    assert code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--memory", "lots"), "'lots' is no size"),
        (("--memory", "10M"), "too little"),
        (("--memory", "1G", "--session-gap", "30"), "need the whole log in memory"),
    ],
)
def test_memory_that_cannot_be_kept_is_refused(lake, tmp_path, capsys, more, words):
    arguments = ("build", "--interactions", lake / "interactions", "--out", tmp_path / "out", *more)
    code, said = kgrec(*arguments, capsys=capsys)
    assert (code, words in said.err) == (2, True)
    assert sorted(os.listdir(tmp_path)) == ["lake"]
