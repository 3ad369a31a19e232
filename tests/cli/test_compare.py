"""``kgrec evaluate`` by other protocols, and ``kgrec compare``."""

import json

import polars as pl
import pytest

from kgrec.cli import run


def document(capsys):
    return json.loads(capsys.readouterr().out)


def refused(capsys, arguments):
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


@pytest.fixture(scope="module")
def popular(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("popular") / "pop"
    assert run(["-q", "train", str(dataset), "--model", "popularity", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def second_seed(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("second") / "r1"
    settings = ["--set", "dim=8", "--set", "epochs=3", "--set", "patience=0", "--seed", "1"]
    assert (
        run(["-q", "train", str(dataset), "--model", "lightgcn-kg", "--out", str(out), *settings])
        == 0
    )
    return out


def test_ranking_says_what_lists_are_worth_beyond_hits(trained, capsys):
    assert run(["evaluate", str(trained), "--k", "2", "--json"]) == 0
    told = document(capsys)
    assert told["protocol"] == "ranking"
    assert {
        "gini@2",
        "popularity@2",
        "longtail@2",
        "novelty@2",
        "diversity@2",
        "entity_diversity@2",
    } == set(told["beyond"])
    assert set(told["cold"]) == {"items", "users"}
    assert run(["evaluate", str(trained)]) == 0
    assert "beyond accuracy" in capsys.readouterr().out


def test_metrics_by_name(trained, capsys):
    assert (
        run(["evaluate", str(trained), "--k", "2,4", "--metrics", "ndcg,ndcg-retrieved", "--json"])
        == 0
    )
    told = document(capsys)
    assert list(told["metrics"]) == ["ndcg@2", "ndcg-retrieved@2", "ndcg@4", "ndcg-retrieved@4"]
    assert told["metrics"]["ndcg-retrieved@2"] >= told["metrics"]["ndcg@2"]
    assert any("first 4" in note and "not comparable" in note for note in told["notes"])
    assert "Nearest: ndcg-retrieved" in refused(
        capsys, ["evaluate", str(trained), "--metrics", "ndcg-retreived"]
    )


def test_ctr(trained, tmp_path, capsys):
    out = tmp_path / "users.parquet"
    assert (
        run(["evaluate", str(trained), "--protocol", "ctr", "--per-user", str(out), "--json"]) == 0
    )
    told = document(capsys)
    assert {"auc", "f1", "accuracy", "logloss", "user_auc"} <= set(told["metrics"])
    assert told["rows"]["sampled"] is True
    assert told["scaling"]["method"] == "platt"
    assert pl.read_parquet(out)["user_auc"].mean() == pytest.approx(told["metrics"]["user_auc"])
    assert run(["evaluate", str(trained), "--protocol", "ctr", "--legacy-batch", "10"]) == 0
    shown = capsys.readouterr().out
    assert "Legacy" in shown
    assert "sampled" in shown


def test_a_loaded_run_is_judged_by_ctr_on_valid_too(trained, capsys):
    assert run(["evaluate", str(trained), "--protocol", "ctr", "--on", "valid", "--json"]) == 0
    assert "these same rows" in " ".join(document(capsys)["notes"])


def test_sampled_is_labelled(trained, capsys):
    assert (
        run(
            [
                "evaluate",
                str(trained),
                "--protocol",
                "sampled",
                "--negatives",
                "2",
                "--k",
                "1",
                "--json",
            ]
        )
        == 0
    )
    told = document(capsys)
    assert (told["protocol"], told["negatives"]) == ("sampled", 2)
    assert "hit@1" in told["metrics"]
    assert run(["evaluate", str(trained), "--protocol", "sampled"]) == 0
    assert "not comparable with full ranking" in capsys.readouterr().out


def test_impressions_are_missed_in_one_line(trained, capsys):
    assert "impressions" in refused(capsys, ["evaluate", str(trained), "--protocol", "impressions"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "sampled", "--legacy-batch", "4"], "--protocol ctr"),
        (["--negatives", "4"], "--protocol sampled"),
        (["--protocol", "sampled", "--metrics", "ndcg"], "--protocol ranking"),
        (["--metrics", ","], "at least one"),
        (["--protocol", "ctr", "--legacy-batch", "100000"], "rows"),
        (["--protocol", "rank"], "ranking"),
    ],
)
def test_settings_of_another_protocol_are_refused(trained, arguments, words, capsys):
    assert words in refused(capsys, ["evaluate", str(trained), *arguments])


def test_compare_shows_runs_side_by_side(popular, trained, second_seed, tmp_path, capsys):
    plot = tmp_path / "difference.svg"
    assert (
        run(
            [
                "compare",
                str(popular),
                str(trained),
                str(second_seed),
                "--plot",
                str(plot),
                "--k",
                "2,3",
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "popularity" in shown
    assert "lightgcn-kg" in shown
    assert "±" in shown
    assert "Against popularity, paired by users; p corrected for 1 test" in shown
    assert plot.read_text().startswith("<?xml")
    assert (
        run(
            [
                "compare",
                str(popular),
                str(trained),
                str(second_seed),
                "--metric",
                "recall@2,mrr@3",
                "--json",
            ]
        )
        == 0
    )
    told = document(capsys)
    assert [entry["seeds"] for entry in told["runs"]] == [[0], [0, 1]]
    assert told["tested"] == ["recall@2", "mrr@3"]
    tested = [row for row in told["differences"] if row["verdict"]]
    assert [row["metric"] for row in tested] == ["recall@2", "mrr@3"]
    assert all(row["p_t"] is None or row["p_t_corrected"] >= row["p_t"] for row in tested)


def test_a_picture_is_a_png_where_asked_for(popular, trained, tmp_path, capsys):
    plot = tmp_path / "d.png"
    assert run(["compare", str(popular), str(trained), "--plot", str(plot), "--json"]) == 0
    document(capsys)
    assert plot.read_bytes()[:4] == b"\x89PNG"


def test_seeds_alone_have_no_difference_to_draw(trained, second_seed, tmp_path, capsys):
    assert run(["compare", str(trained), str(second_seed)]) == 0
    assert "±" in capsys.readouterr().out
    assert "seeds alone" in refused(
        capsys, ["compare", str(trained), str(second_seed), "--plot", str(tmp_path / "d.png")]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "at least two"),
        (["{pop}"], "twice"),
        (["{run}", "--plot", "d.pdf"], "png"),
        (["{run}", "--metric", "recal@10"], "Nearest: recall"),
        (["nowhere"], "nowhere"),
        (["{run}", "--k", "0"], "positive"),
    ],
)
def test_what_cannot_be_compared(popular, trained, arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    filled = [argument.format(pop=popular, run=trained) for argument in arguments]
    assert words in refused(capsys, ["compare", str(popular), *filled])
    assert not list(tmp_path.iterdir())


def test_runs_of_another_split_are_refused(popular, sources, tmp_path, capsys):
    other = [
        "--interactions",
        str(sources / "clicks.csv"),
        "--split",
        "leave-one-out",
        "--seed",
        "1",
        "--out",
        str(tmp_path / "d"),
    ]
    assert run(["-q", "build", *other]) == 0
    assert (
        run(
            [
                "-q",
                "train",
                str(tmp_path / "d"),
                "--model",
                "popularity",
                "--out",
                str(tmp_path / "r"),
            ]
        )
        == 0
    )
    capsys.readouterr()
    told = refused(capsys, ["compare", str(popular), str(tmp_path / "r")])
    assert "different datasets or splits" in told
    assert "checksum" in told
