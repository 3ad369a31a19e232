"""What chooses the epoch that is kept: the validation part, or the test part as in the authors'
code, and then everybody is told.
"""

import json

import pytest

import kgrec
from kgrec.cli import run as command
from kgrec.errors import ConfigError
from kgrec.runs.folder import read_config, write_config
from kgrec.runs.settings import choose
from kgrec.study.ablate import ablate
from kgrec.study.compare import compare
from kgrec.study.tune import tune
from kgrec.testing import worlds
from kgrec.training.config import PAPER_SELECTION

SMALL = {"dim": 4, "batch_size": 32, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return worlds.kgat_folder(tmp_path_factory.mktemp("kgat"))


@pytest.fixture(scope="module")
def dataset(folder, tmp_path_factory):
    return kgrec.load(folder).save(tmp_path_factory.mktemp("built") / "d").path


@pytest.fixture(scope="module")
def runs(dataset, tmp_path_factory):
    """A test-selected run and a clean one, both stored."""
    out = tmp_path_factory.mktemp("runs")
    chosen = kgrec.fit(
        "lightgcn", dataset, out=out / "theirs", selection="paper", epochs=45, **SMALL
    )
    return chosen, kgrec.fit("lightgcn", dataset, out=out / "ours", epochs=10, **SMALL)


@pytest.mark.parametrize("preset", ["default", "paper", "official"])
def test_the_settings_of_the_authors_come_with_it_where_nothing_else_is_set(preset):
    train = choose("kgat", preset, {"selection": "paper"}).train
    assert {name: getattr(train, name) for name in PAPER_SELECTION} == {
        "validate_every": 10,
        "patience": 10,
        "metric": "recall@20",
    }
    assert train.epochs == choose("kgat", preset, {}).train.epochs
    own = choose("kgat", preset, {"selection": "paper", "patience": 5}).train
    assert (own.patience, own.validate_every) == (5, 10)
    assert choose("kgat", preset, {}).train.selection == "valid"


def test_the_epoch_is_chosen_by_the_test_part_every_ten_epochs(runs):
    run, _ = runs
    told = {record["epoch"]: record["recall@20"] for record in run.history if "recall@20" in record}
    assert list(told) == [10, 20, 30, 40, 45]
    best = max(told, key=lambda epoch: (told[epoch], -epoch))
    assert run.summary["best_epoch"] == best
    assert run.summary["epochs"] == 45
    assert run.evaluate("test", k=[20]).metrics["recall@20"] == pytest.approx(told[best], abs=1e-12)


def test_training_ends_after_as_many_evaluations_without_a_better_one(dataset):
    run = kgrec.fit(
        "lightgcn",
        dataset,
        selection="paper",
        epochs=200,
        patience=2,
        validate_every=3,
        **SMALL | {"learning_rate": 1e-9},
    )
    assert (run.summary["epochs"], run.summary["best_epoch"]) == (
        9,
        3,
    )  # nothing moves: the first is the best


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_nothing_is_held_out_beyond_what_is_given(dataset, preset):
    """All 120 interactions of train.txt are trained on; without it, the default holds a tenth of
    them out.
    """
    run = kgrec.fit("lightgcn", dataset, preset=preset, selection="paper", epochs=1, **SMALL)
    assert (len(run.data.train), len(run.data.valid), len(run.data.test)) == (120, 0, 40)
    clean = kgrec.fit("lightgcn", dataset, preset=preset, epochs=1, **SMALL)
    assert (len(clean.data.valid) > 0) == (preset == "default")
    assert clean.summary["selection"] == ("valid" if preset == "default" else "last epoch")


def test_a_published_recipe_can_be_played_fair(dataset):
    """The authors' rule on the validation part, which is then held out."""
    run = kgrec.fit("lightgcn", dataset, preset="official", selection="valid", epochs=25, **SMALL)
    train = run.train_config
    assert (train.validate_every, train.patience, train.metric) == (10, 10, "recall@20")
    told = {record["epoch"]: record["recall@20"] for record in run.history if "recall@20" in record}
    assert list(told) == [10, 20, 25]
    assert run.evaluate("valid", k=[20]).metrics["recall@20"] == pytest.approx(
        max(told.values()), abs=1e-12
    )
    assert (len(run.data.train) + len(run.data.valid), run.summary["selection"]) == (120, "valid")
    assert len(run.data.valid) > 0

    stopped = kgrec.fit("lightgcn", dataset, preset="official", patience=1, epochs=3, **SMALL)
    assert len(stopped.data.valid) == len(run.data.valid)


def test_a_given_validation_part_stays_held_out():
    pairs = [(user, (user + at) % 10) for user in range(10) for at in range(5)]
    data = worlds.dataset(pairs[0::3] + pairs[1::3], pairs[2::6], pairs[5::6])
    run = kgrec.fit("lightgcn", data, selection="paper", epochs=1, **SMALL)
    assert (len(run.data.train), len(run.data.valid)) == (len(data.train), len(data.valid))


def test_the_label_goes_with_the_run_wherever_its_figures_stand(runs):
    theirs, ours = runs
    for run in (theirs, kgrec.load_run(theirs.path)):
        assert run.summary["selection"] == "test-selected"
        report = run.evaluate(k=[5])
        assert report.to_dict()["selection"] == "test-selected"
        assert report.notes[0].startswith(
            "Test-selected: the epoch was chosen by recall@20 on the test part."
        )
    assert ours.summary["selection"] == "valid"
    assert "selection" not in ours.evaluate(k=[5]).to_dict()


def test_a_comparison_with_clean_runs_says_so(runs):
    theirs, ours = runs
    for order in ((theirs, ours), (ours, theirs)):
        found = compare(order, k=[5])
        assert {entry.name for entry in found.entries} == {"lightgcn (test-selected)", "lightgcn"}
        assert any(
            note.startswith("No fair comparison: lightgcn (test-selected) saw the test part")
            for note in found.notes
        )
        assert [one.get("selection") for one in found.to_dict()["runs"]].count("test-selected") == 1
        assert "(test-selected)" in found.against + found.contrasts[0].run
    alone = compare((theirs, theirs), k=[5])
    assert not any(note.startswith("No fair") for note in alone.notes)


def test_what_must_not_see_the_test_part_refuses_it(dataset, tmp_path):
    for refused in (
        lambda: tune(
            dataset, "lightgcn", out=tmp_path / "t", trials=1, settings={"selection": "paper"}
        ),
        lambda: ablate(dataset, "lightgcn-kg", out=tmp_path / "a", settings={"selection": "paper"}),
    ):
        with pytest.raises(ConfigError, match=r"^(tune|ablate) must not choose by the test part"):
            refused()
    assert not list(tmp_path.iterdir())


def test_what_leaves_nothing_to_choose_by_is_refused_before_anything_is_written(dataset, tmp_path):
    with pytest.raises(ConfigError, match="refit trains on it"):
        kgrec.fit("lightgcn", dataset, out=tmp_path / "r", selection="paper", refit=True, **SMALL)
    with pytest.raises(ConfigError, match="has none"):
        kgrec.fit(
            "lightgcn",
            worlds.dataset([(0, 0), (1, 1)]),
            out=tmp_path / "r",
            selection="paper",
            **SMALL,
        )
    with pytest.raises(ConfigError, match="by a metric of items"):
        kgrec.fit("lightgcn", dataset, out=tmp_path / "r", selection="paper", metric="mrr", **SMALL)
    with pytest.raises(ConfigError, match="no interactions"):
        kgrec.fit(
            "transe",
            worlds.dataset([], triples=[(0, 0, 1)], num_users=1, num_items=1),
            selection="paper",
        )
    with pytest.raises(ConfigError, match="expected one of valid, paper"):
        kgrec.fit("lightgcn", dataset, selection="test", **SMALL)
    assert not list(tmp_path.iterdir())


def test_runs_of_version_0_1_know_no_selection_and_open_and_resume(dataset, tmp_path):
    def stop(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    settings = SMALL | {"epochs": 4, "patience": 0}
    with pytest.raises(KeyboardInterrupt):
        kgrec.fit("cfkg", dataset, out=tmp_path / "r", on_epoch=stop, **settings)
    record = read_config(tmp_path / "r")
    del record["train"]["selection"], record["config"]["noise_power"]
    write_config(tmp_path / "r", record)
    assert kgrec.load_run(tmp_path / "r").train_config.selection == "valid"

    resumed = kgrec.fit("cfkg", dataset, out=tmp_path / "r", resume=True, **settings)
    whole = kgrec.fit("cfkg", dataset, **settings)
    assert resumed.summary["test"] == whole.summary["test"]


def test_the_command_line_tells_it_too(dataset, runs, tmp_path, capsys):
    settings = ["--selection", "paper", "--set", "dim=4", "--set", "epochs=2"]
    call = [
        "-q",
        "train",
        str(dataset),
        "--model",
        "lightgcn",
        "--out",
        str(tmp_path / "r"),
        *settings,
    ]
    assert command(call) == 0
    assert capsys.readouterr().out.startswith("lightgcn (test-selected): best epoch ")
    assert command([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["selection"] == "test-selected"

    assert command(["evaluate", str(tmp_path / "r")]) == 0
    shown = capsys.readouterr().out
    assert "lightgcn (test-selected) on test" in shown
    assert "Test-selected: the epoch was chosen by recall@20 on the test part." in shown
    assert command(["evaluate", str(tmp_path / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["selection"] == "test-selected"

    assert command(["compare", str(runs[0].path), str(runs[1].path)]) == 0
    shown = capsys.readouterr().out
    assert "lightgcn (test-selected)" in shown
    assert "No fair comparison" in shown
