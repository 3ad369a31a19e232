"""``kgrec blend``."""

import json

import pytest

from kgrec.cli import run


@pytest.fixture(scope="module")
def neighbors(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("neighbors") / "knn"
    assert run(["-q", "train", str(dataset), "--model", "itemknn", "--out", str(out)]) == 0
    return out


def test_a_blend_is_a_run(trained, neighbors, tmp_path, capsys):
    made = tmp_path / "blend"
    assert run(["blend", str(trained), str(neighbors), "--out", str(made), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [member["name"] for member in summary["blend"]["members"]] == ["lightgcn-kg", "itemknn"]
    assert run(["evaluate", str(made), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["ndcg@10"] == pytest.approx(summary["test"]["ndcg@10"])
    assert run(["compare", str(made), str(trained), "--metric", "ndcg@10"]) == 0
    assert "blend" in capsys.readouterr().out

    assert run(["info", str(made)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("blend, preset default, seed 0, finished")
    assert "member itemknn" in told

    fixed = ["blend", str(trained), str(neighbors), "--weights", "1,0.5", "--out", str(made)]
    assert run(fixed) == 0
    told = capsys.readouterr().out
    assert "0.5" in told
    assert f"written to {made}" in told


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--weights", "1,x"], "--weights 1,x: not numbers"),
        (["--weights", "1"], "1 weights for 2 runs"),
        (["--metric", "auc"], "form name@k"),
    ],
)
def test_bad_settings_write_nothing(trained, neighbors, tmp_path, capsys, more, says):
    out = tmp_path / "no"
    assert run(["blend", str(trained), str(neighbors), "--out", str(out), *more]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1
    assert not out.exists()


def test_one_run_named_twice_is_refused(trained, tmp_path, capsys):
    assert run(["blend", str(trained), str(trained), "--out", str(tmp_path / "no")]) == 2
    assert "is named twice" in capsys.readouterr().err
