"""``kgrec explain-eval``: reports, pictures, gates as exit codes, and what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kgrec.cli import run


@pytest.fixture
def ask(trained, capsys):
    """Return a function that evaluates a run and gives standard output and standard error."""

    def asked(*more, code=0, of=trained):
        capsys.readouterr()
        assert run(["explain-eval", str(of), *more]) == code
        return capsys.readouterr()

    return asked


def test_a_report_for_people_names_gates_controls_and_groups(ask):
    out, err = ask("--users", "4", "--top", "2", "-k", "2")
    for words in (
        "lightgcn-kg on d: 8 recommendations of 4 users",
        "completeness",
        "degree-matched",
        "AOPC",
        "Drops by pattern",
        "PN@2",
        "LIR",
    ):
        assert words in out
    assert "NO" not in out.split()
    assert "measured" in err


def test_json_is_one_document_and_the_same_again(ask):
    command = ("--users", "4", "--top", "2", "-k", "2", "--seed", "3", "--json")
    told = json.loads(ask(*command).out)
    assert (told["schema"], told["kind"], told["users"], told["top"], told["k"]) == (
        2,
        "quality",
        4,
        2,
        2,
    )
    assert [gate["held"] for gate in told["gates"]] == [True, True, True, True, None]
    again = json.loads(ask(*command).out)
    assert told["gates"] == again["gates"]
    assert [f for f in told["figures"] if "latency" not in f["key"]] == [
        f for f in again["figures"] if "latency" not in f["key"]
    ]


def test_other_explainers_are_a_table_of_their_own(ask):
    command = ("--users", "2", "--top", "1", "-k", "1", "--beside", "leave-one-out, prince")
    out, _ = ask(*command)
    assert "Beside other explainers" in out
    assert "leave-one-out" in out
    names = [one["name"] for one in json.loads(ask(*command, "--json").out)["beside"]]
    assert names == ["paths", "leave-one-out", "prince"]


def test_files_and_pictures_are_written(ask, tmp_path, trained):
    (tmp_path / "users.txt").write_text("u1\nu2\n")
    plots = [tmp_path / "q.png", tmp_path / "q.svg"]
    out, _ = ask(
        "--users",
        str(tmp_path / "users.txt"),
        "--out",
        str(tmp_path / "q.json"),
        "--plot",
        str(plots[0]),
        "--against",
        str(trained),
    )
    assert "of 2 users; completeness holds" in out
    told = json.loads((tmp_path / "q.json").read_text())
    assert next(f for f in told["figures"] if f["key"] == "stability.against")["value"] == 1
    page = (tmp_path / "q.md").read_text()
    assert page.startswith("# Explanation quality: lightgcn-kg on d")
    assert "| completeness error of the budget, worst |" in page
    ask("--users", "2", "--top", "1", "--plot", str(plots[1]))
    assert plots[0].read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in plots[1].read_text()
    ask("--users", "2", "--top", "1", "--plot", str(tmp_path / "again.svg"))
    assert (tmp_path / "again.svg").read_text().count("<path") == plots[1].read_text().count(
        "<path"
    )


def test_a_test_edge_that_was_trained_on_is_exit_code_1(ask, trained, tmp_path):
    """The run's own training part holds a test interaction of the dataset that it names."""
    import kgrec
    from kgrec.data.records.interactions import Interactions
    from kgrec.runs.run import load_run

    opened = load_run(trained)
    from kgrec.data.storage import open_dataset

    data = open_dataset(opened.dataset["path"])
    rows = np.concatenate(
        [
            np.stack([data.train.user, data.train.item]),
            np.stack([data.test.user[:1], data.test.item[:1]]),
        ],
        1,
    )
    train = Interactions(*rows[:, np.lexsort(rows[::-1])])
    leaky = kgrec.fit(
        "lightgcn-kg",
        replace(data, train=train, valid=Interactions(), path=None),
        dim=8,
        epochs=1,
        patience=0,
    )
    leaky.data = replace(leaky.data, test=Interactions())
    leaky.dataset.update(opened.dataset)
    leaky.save(tmp_path / "leaky")
    out, err = ask("--users", "2", "--top", "1", of=tmp_path / "leaky", code=1)
    assert "gate leak does not hold: 1 held-out facts" in err
    assert "NO" in out.split()
    out, err = ask("--users", "2", "--top", "1", "--json", of=tmp_path / "leaky", code=1)
    assert [gate["name"] for gate in json.loads(out)["gates"] if gate["held"] is False] == ["leak"]


def test_models_without_effects_are_reported_and_not_drawn(dataset, tmp_path, ask):
    assert (
        run(["-q", "train", str(dataset), "--model", "ease", "--out", str(tmp_path / "ease")]) == 0
    )
    out, _ = ask("--users", "3", of=tmp_path / "ease")
    assert "post-hoc" in out
    assert "0 by construction" in out
    _, err = ask("--users", "3", "--plot", str(tmp_path / "q.png"), of=tmp_path / "ease", code=2)
    assert "nothing to draw" in err
    assert not (tmp_path / "q.png").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--users", "0"], "at least one"),
        (["--users", "nowhere.txt"], "nowhere.txt"),
        (["--top", "0"], "top"),
        (["-k", "0"], "-k"),
        (["--out", "q.csv"], "FILE.json"),
        (["--plot", "q.pdf"], "FILE.png"),
        (["--against", "nowhere"], "nowhere"),
        (["--beside", "lime,leave-one-in"], "Nearest: leave-one-out"),
        (["--beside", ""], "no explainer ''"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(ask, more, words):
    out, err = ask(*more, code=2)
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_unknown_users_are_told_their_nearest(ask, tmp_path):
    (tmp_path / "users.txt").write_text("u1\nuu2\n")
    assert "uu2" in ask("--users", str(tmp_path / "users.txt"), code=2).err


def test_an_interrupt_leaves_nothing_behind(ask, tmp_path, monkeypatch):
    from kgrec.explanation.quality import evaluate as quality

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(quality, "measure", interrupted)
    assert "interrupted" in ask("--users", "2", "--out", str(tmp_path / "q.json"), code=130).err
    assert not list(tmp_path.iterdir())
