"""A folder of parts: whole or not there, gone on with, never mixed."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kgrec.cli import run
from kgrec.errors import CheckpointError, ConfigError
from kgrec.runs.processes.parts import parts_in
from kgrec.scale.world import World
from kgrec.testing import worlds

MADE_OF = {"model": "toy", "k": 3}


def write(users, place):
    place.write_bytes(f"{users.start}-{users.stop}".encode() + b"PAR1")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_parts_are_named_by_their_first_user_and_success_comes_last(tmp_path):
    folder = tmp_path / "lists"
    with parts_in(folder, MADE_OF, 7, chunk=3) as parts:
        assert parts.each(write, "writing") == 0
    assert names(folder) == [
        "_SUCCESS.json",
        "_started.json",
        *(f"part-{start:010d}.parquet" for start in (0, 3, 6)),
    ]
    assert (folder / "part-0000000006.parquet").read_bytes() == b"6-7PAR1"
    record = json.loads((folder / "_SUCCESS.json").read_text())
    assert (record["parts"], record["users"], record["chunk"], record["k"]) == (3, 7, 3, 3)


def test_what_is_there_is_not_made_again(tmp_path):
    folder = tmp_path / "lists"

    def stop_at_second(users, place):
        if users.start:
            place.write_bytes(b"half")
            raise KeyboardInterrupt
        write(users, place)

    with pytest.raises(KeyboardInterrupt), parts_in(folder, MADE_OF, 7, chunk=3) as parts:
        parts.each(stop_at_second, "writing")
    assert names(folder) == ["_started.json", "part-0000000000.parquet"]

    (folder / "part-0000000000.parquet").write_bytes(b"keptPAR1")
    (folder / ".part-0000000003.parquet.tmp").write_bytes(b"half")  # of a killed process
    with parts_in(folder, MADE_OF, 7, chunk=3) as parts:
        assert parts.each(write, "writing") == 1
    assert (folder / "part-0000000000.parquet").read_bytes() == b"keptPAR1"
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("made_of", "users", "chunk", "message"),
    [
        ({"model": "toy", "k": 4}, 7, 3, "begun with k 3, not 4"),
        ({"model": "other", "k": 3}, 7, 3, "begun with model toy, not other"),
        (MADE_OF, 8, 3, "begun with users 7, not 8"),
        (MADE_OF, 7, 2, "begun with chunk 3, not 2"),
    ],
)
def test_a_folder_begun_otherwise_is_refused(tmp_path, made_of, users, chunk, message):
    with parts_in(tmp_path / "lists", MADE_OF, 7, chunk=3):
        pass
    with (
        pytest.raises(CheckpointError, match=message),
        parts_in(tmp_path / "lists", made_of, users, chunk=chunk),
    ):
        pass


def test_other_peoples_folders_and_second_jobs_are_refused(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="other files"), parts_in(other, MADE_OF, 7):
        pass
    with pytest.raises(CheckpointError, match="not a folder"):  # noqa: SIM117
        with parts_in(other / "notes.txt", MADE_OF, 7):
            pass
    with parts_in(tmp_path / "lists", MADE_OF, 7):  # noqa: SIM117
        with pytest.raises(CheckpointError, match="at work there"):
            with parts_in(tmp_path / "lists", MADE_OF, 7):
                pass
    with pytest.raises(ConfigError, match="--chunk 0"), parts_in(other, MADE_OF, 7, chunk=0):
        pass


def test_a_part_that_was_cut_short_is_named(tmp_path):
    folder = tmp_path / "lists"
    with parts_in(folder, MADE_OF, 7, chunk=3) as parts:
        parts.each(write, "writing")
    (folder / "part-0000000003.parquet").write_bytes(b"PA")
    with (
        pytest.raises(CheckpointError, match=r"part-0000000003.parquet: cut short. Remove it"),
        parts_in(folder, MADE_OF, 7, chunk=3) as parts,
    ):
        parts.each(write, "writing")


def test_the_command_line_fills_a_folder_as_the_table_says(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    words = ["-q", "train", "films", "--model", "popularity", "--out", str(tmp_path / "run")]
    assert run(words) == 0
    ask = ["recommend", str(tmp_path / "run"), "--users", "all", "-k", "4"]
    assert run([*ask, "--out", str(tmp_path / "lists"), "--chunk", "300"]) == 0
    assert run([*ask, "--out", str(tmp_path / "lists.parquet")]) == 0
    parts = [pl.read_parquet(p) for p in sorted((tmp_path / "lists").glob("part-*"))]
    table = pl.read_parquet(tmp_path / "lists.parquet")
    columns = ["user", "rank", "item", "kind"]
    assert len(parts) == 4
    assert pl.concat(parts).select(columns).rows() == table.select(columns).rows()

    numbers = tmp_path / "numbers"
    assert run([*ask, "--out", str(numbers), "--ids", "rows"]) == 0
    found = pl.read_parquet(numbers / "part-0000000000.parquet")
    items = pl.read_parquet(numbers / "items.parquet")["item"]
    assert items[found["item"].cast(pl.UInt32)].to_list() == table["item"].to_list()

    capsys.readouterr()
    assert run([*ask, "--out", str(tmp_path / "lists"), "-k", "5", "--chunk", "300"]) == 2
    assert "begun with k 4, not 5" in capsys.readouterr().err
    rare = [*ask, "--out", str(tmp_path / "lists"), "--chunk", "300", "--popularity", "0.5"]
    assert run(rare) == 2
    assert "begun with wishes {}" in capsys.readouterr().err
    assert run([*ask, "--chunk", "3"]) == 2
    assert Path(tmp_path / "lists/_SUCCESS.json").exists()
    assert World.here().size == 1


def test_the_command_line_orders_lists_in_parts_as_it_orders_a_table(tmp_path, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    worlds.cold_items(users=20).save(tmp_path / "data")
    words = ["-q", "train", str(tmp_path / "data"), "--model", "ease"]
    assert run([*words, "--out", str(tmp_path / "run")]) == 0
    found = []
    for wish in ((), ("--popularity", "1")):
        ask = ["recommend", str(tmp_path / "run"), "--users", "all", "-k", "4", *wish, "--out"]
        folder = tmp_path / f"lists{len(wish)}"
        assert run([*ask, str(folder), "--chunk", "7"]) == 0
        assert run([*ask, str(tmp_path / "lists.parquet")]) == 0
        parts = pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("part-*"))])
        table = pl.read_parquet(tmp_path / "lists.parquet")
        assert parts.rows() == table.select(parts.columns).rows()
        found.append(parts.select("user", "item").rows())
    assert found[0] != found[1]


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory):
    """A run whose reasons are quickly found."""
    folder = tmp_path_factory.mktemp("reasons")
    worlds.planted("knowledge").save(folder / "data")
    words = ["-q", "train", str(folder / "data"), "--model", "ease-kg"]
    assert run([*words, "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_reasons_in_parts_go_on_and_are_served(planted_run, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    folder = tmp_path / "why"
    ask = ["-q", "explain-batch", str(planted_run), "--users", "all", "-k", "1", "--chunk", "30"]
    assert run([*ask, "--out", str(folder)]) == 0
    parts = sorted(folder.glob("part-*"))
    whole = pl.concat([pl.read_parquet(part) for part in parts])
    parts[1].unlink()
    (folder / "_SUCCESS.json").unlink()
    serve = ["-q", "export", str(planted_run), "--reasons", str(folder), "--serving"]
    capsys.readouterr()
    assert run([*serve, str(tmp_path / "tables")]) == 2
    assert "_SUCCESS.json" in capsys.readouterr().err

    assert run([*ask, "--out", str(folder)]) == 0
    assert f"{len(parts) - 1} of them there before" in capsys.readouterr().out
    assert pl.concat([pl.read_parquet(part) for part in parts]).equals(whole)
    assert run([*serve, str(tmp_path / "tables")]) == 0
    assert "reasons" in capsys.readouterr().out

    for more, message in (
        (["-k", "2"], "begun with setting k 1, not 2"),
        (["--language", "de"], "begun with words"),
        (["--chunk", "9"], "begun with chunk 30, not 9"),
    ):
        assert run([*ask, "--out", str(folder), *more]) == 2
        assert message in capsys.readouterr().err
    parts[1].write_bytes(b"no table PAR1")
    assert run([*serve, str(tmp_path / "others")]) == 2
    assert f"{parts[1]}: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "others").exists()


def test_reasons_by_histories_come_in_parts(planted_run, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    (tmp_path / "people").write_text('["i1", "i2"]\n["i3"]\n["i1", "i2"]\n')
    ask = ["-q", "explain-batch", str(planted_run), "--history", str(tmp_path / "people")]
    assert run([*ask, "--out", str(tmp_path / "why"), "--chunk", "1"]) == 0
    assert run([*ask, "--out", str(tmp_path / "why.jsonl")]) == 0
    parts = pl.concat([pl.read_parquet(p) for p in sorted((tmp_path / "why").glob("part-*"))])
    assert parts["explanation"].to_list() == (tmp_path / "why.jsonl").read_text().splitlines()


def test_lists_that_are_exported_are_gone_on_with(planted_run, tmp_path, monkeypatch):
    """An interrupt leaves finished lists beside the folder, and no folder."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    words = [
        "-q",
        "export",
        str(planted_run),
        "--lists",
        "4",
        "--serving",
        str(tmp_path / "tables"),
    ]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kgrec.serving.write_tables._Writer.write", stop)
        assert run(words) == 130
    (part,) = (tmp_path / "tables.lists").glob("part-*")
    changed = pl.read_parquet(part).with_columns(pl.lit(0.5, pl.Float32).alias("score"))
    changed.write_parquet(part)
    assert run(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
    assert set(np.load(tmp_path / "tables/lists.scores.npy").flatten()) == {0.5}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["explain-batch", "r", "--users", "all", "--out", "why.jsonl"],
            "several processes are of",
        ),
        (["export", "r", "--serving", "t"], "share the lists"),
        (["export", "r", "--embeddings", "t"], "share the lists"),
    ],
)
def test_several_processes_share_parts_alone(words, message, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert run(words) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
