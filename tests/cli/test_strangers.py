"""What the command line says of users and items without training interactions."""

import json

import polars as pl
import pytest

import kgrec
from kgrec.cli import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a temporal log in which u9 comes after the cut, and i9 is used by it alone."""
    place = tmp_path_factory.mktemp("late")
    rows = [
        (f"u{user}", f"i{(user + step) % 8}", 10 * step + user)
        for user in range(8)
        for step in range(5)
    ]
    rows += [("u9", "i1", 41), ("u9", "i9", 200), ("u1", "i6", 201), ("u8", "i2", 202)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        place / "log.csv"
    )
    assert (
        run(
            [
                "build",
                "--interactions",
                str(place / "log.csv"),
                "--split",
                "temporal",
                "--out",
                str(place / "data"),
            ]
        )
        == 0
    )
    assert (
        run(
            [
                "train",
                str(place / "data"),
                "--model",
                "bprmf",
                "--set",
                "epochs=2",
                "--out",
                str(place / "run"),
                "--json",
            ]
        )
        == 0
    )
    return place


def document(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_stranger_is_flagged_in_every_format(folder, capsys, tmp_path):
    asked = ["recommend", str(folder / "run"), "--user", "u8", "-k", "3"]
    capsys.readouterr()
    assert run([*asked, "--format", "json"]) == 0
    assert {row["kind"] for row in document(capsys)} == {"popular"}
    assert run(asked) == 0
    assert "popular" in capsys.readouterr().out
    assert run([*asked, "--out", str(tmp_path / "list.csv")]) == 0
    assert pl.read_csv(tmp_path / "list.csv")["kind"].unique().to_list() == ["popular"]


def test_evaluate_tells_who_was_new_and_what_they_got(folder, capsys):
    assert run(["evaluate", str(folder / "run"), "--json"]) == 0
    told = document(capsys)
    assert told["cold_users"] >= 1
    assert sum(told["cold_users_by_kind"].values()) == told["cold_users"]
    assert told["warm_users"]["users"] + told["cold_users"] == told["users"]
    assert run(["evaluate", str(folder / "run"), "--fallback", "off"]) == 0
    assert "all items tie" in capsys.readouterr().out


def test_nothing_of_a_stranger_is_explained(folder, capsys):
    assert run(["explain", str(folder / "run"), "--user", "u8", "--top", "2"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no training interactions" in said
    assert run(["similar", str(folder / "run"), "--item", "i9"]) == 2
    assert "learned nothing about item 'i9'" in capsys.readouterr().err


def test_unknown_ids_stop_the_request_or_are_told(folder, capsys, tmp_path):
    (tmp_path / "stock.txt").write_text("i1\ni2\nnew\n")
    asked = [
        "recommend",
        str(folder / "run"),
        "--user",
        "u1",
        "--items",
        str(tmp_path / "stock.txt"),
        "--allow-seen",
        "--format",
        "json",
    ]
    assert run(asked) == 2
    assert "'new'" in capsys.readouterr().err
    assert run([*asked, "--on-unknown", "ignore"]) == 0
    told = capsys.readouterr()
    assert {row["item"] for row in json.loads(told.out)} == {"i1", "i2"}
    assert "ignored 1 unknown item id: 'new'" in told.err


def test_the_fallback_is_chosen_when_training(folder, capsys, tmp_path):
    asked = [
        "train",
        str(folder / "data"),
        "--model",
        "ease",
        "--out",
        str(tmp_path / "run"),
        "--json",
    ]
    assert run([*asked, "--fallback", "popularity", "--half-life", "0.0001"]) == 0
    assert document(capsys)["fallback"]["half_life"] == pytest.approx(8.64)
    assert kgrec.load_run(tmp_path / "run").fallback.half_life == pytest.approx(8.64)
    assert run([*asked[:-3], "--out", str(tmp_path / "other"), "--fallback", "off"]) == 0
    assert "fallback off" in capsys.readouterr().out
    assert kgrec.load_run(tmp_path / "other").recommend("u8").is_empty()
