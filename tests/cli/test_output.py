import json
import os

import polars as pl
import pytest

from kgrec import escaping
from kgrec.cli import options, output
from kgrec.errors import ConfigError, DataError


def test_json_is_strict():
    text = output.to_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": ("x", None)})
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": ["x", None]}


def test_clean_keeps_letters_and_disarms_the_rest():
    assert escaping.clean("Amélie 東京\t x") == "Amélie 東京 x"
    assert escaping.clean("\u202eevil\x07") == r"\u202eevil\x07"


def test_whole_leaves_nothing_half_written(tmp_path):
    goal = tmp_path / "list.json"
    goal.write_text("old")

    def fail(path):
        path.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        output.whole(goal, fail)
    assert goal.read_text() == "old"
    assert os.listdir(tmp_path) == ["list.json"]


def test_whole_respects_the_umask_and_refuses_folders(tmp_path):
    before = os.umask(0o027)
    try:
        output.whole(tmp_path / "f", lambda path: path.write_text("x"))
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640
    with pytest.raises(ConfigError, match="folder"):
        output.whole(tmp_path, lambda path: path.write_text("x"))


@pytest.mark.parametrize("ending", ["json", "csv", "parquet"])
def test_frames_come_back_from_every_format(ending, tmp_path):
    frame = pl.DataFrame({"user": ["-1", "=x"], "rank": [1, 2], "score": [0.5, -0.25]})
    goal = tmp_path / f"out.{ending}"
    output.show_frame(frame, None, goal)
    if ending == "json":
        assert json.loads(goal.read_text()) == frame.to_dicts()
    else:
        read = (
            pl.read_parquet(goal) if ending == "parquet" else pl.read_csv(goal, schema=frame.schema)
        )
        assert read.equals(frame)


def test_labels_in_a_csv_are_no_formulas(tmp_path):
    output.show_frame(pl.DataFrame({"item": ["=1"], "label": ["=cmd|x"]}), "csv", tmp_path / "o")
    assert (tmp_path / "o").read_text() == "item,label\n=1,'=cmd|x\n"


def test_a_table_that_is_not_on_a_terminal_is_not_folded(capsys):
    output.show_table(("a", "b"), [("x" * 300, "[red]y")])
    told = capsys.readouterr().out
    assert "x" * 300 in told
    assert "[red]y" in told


def test_settings_of_a_file_are_overridden_by_the_command_line(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('dim = 32\nloss = "bpr"\n')
    assert options.settings(["dim=64", "learning-rate=1e-3"], file) == {
        "dim": "64",
        "loss": "bpr",
        "learning_rate": "1e-3",
    }


@pytest.mark.parametrize(
    ("text", "words"), [("dim: 3", "s.toml"), ("[model]\ndim = 3", "top level")]
)
def test_a_settings_file_must_be_flat_toml(text, words, tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        options.settings([], file)


def test_ids_are_kept_as_written(tmp_path):
    file = tmp_path / "ids.txt"
    file.write_bytes("a b \r\n\n 7\nx\u2028y\n".encode())
    assert options.ids_in(file) == ["a b ", " 7", "x\u2028y"]
    file.write_text("\n \n")
    with pytest.raises(DataError, match="empty"):
        options.ids_in(file)


def test_cutoffs():
    assert options.cutoffs("10, 20,10") == (10, 20)
    assert options.numbers("0.8,0.1,0.1", "--ratios") == (0.8, 0.1, 0.1)


def test_whole_follows_links_and_leaves_devices_and_pipes_in_place(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    output.whole(tmp_path / "link", lambda path: path.write_text("new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    output.whole(tmp_path / "pipe", lambda path: path.write_text("through"))
    assert os.read(reader, 99) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "real"]


def test_a_file_that_cannot_be_written_is_named_as_asked(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        output.whole(tmp_path / "nowhere" / "x.csv", lambda path: path.write_text("x"))
    assert caught.value.filename == str(tmp_path / "nowhere" / "x.csv")


def test_a_title_is_not_folded_to_the_width_of_its_table(capsys):
    output.show_table(("a",), [("1",)], title="a title far wider than the table")
    assert capsys.readouterr().out.splitlines()[0] == "a title far wider than the table"


def test_the_ending_of_a_file_may_be_in_capitals(tmp_path):
    assert output.output_format(None, tmp_path / "X.CSV") == "csv"


def test_only_a_list_that_may_be_empty_is(tmp_path):
    (tmp_path / "ids.txt").write_text("")
    assert options.ids_in(tmp_path / "ids.txt", empty=True) == []
    with pytest.raises(DataError, match="empty"):
        options.ids_in(tmp_path / "ids.txt")


def test_a_table_cuts_endless_labels_and_no_ids(tmp_path, capsys):
    frame = pl.DataFrame({"item": ["i" * 300], "label": ["a" * 10_000]})
    output.show_frame(frame, "table", None)
    told = capsys.readouterr().out
    assert "i" * 300 in told
    assert "a" * 199 + "…" in told
    assert "a" * 200 not in told
    output.show_frame(frame, "json", None)
    assert "a" * 10_000 in capsys.readouterr().out
