import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from kgrec.cli import run as command
from kgrec.data.derive.variants import without_test
from kgrec.data.io.writing import locked
from kgrec.data.records.interactions import Interactions
from kgrec.errors import CheckpointError, ConfigError, DataError, DivergedError, TrainingError
from kgrec.models.base import Preset, Span
from kgrec.models.catalog import MODELS, find
from kgrec.runs.settings import _tuned_file, choose, tuned_settings
from kgrec.study import trials
from kgrec.study import tune as study
from kgrec.study.trials import out_of_reach
from kgrec.study.tune import all_settings, to_toml, tune
from kgrec.testing import worlds

SPACE = {"dim": (4, 8), "num_layers": Span(0, 2), "learning_rate": Span(1e-3, 0.1, log=True)}
QUICK = {"epochs": 4, "batch_size": 64}


@pytest.fixture(scope="module")
def data():
    world = worlds.cold_items(users=20)
    held = np.arange(len(world.train)) % 8 == 7
    return replace(world, train=world.train.take(~held), valid=world.train.take(held))


def search(data, out, **more):
    return tune(
        data, "lightgcn", **{"out": out, "trials": 4, "space": SPACE, "settings": QUICK, **more}
    )


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    return search(data, tmp_path_factory.mktemp("tune") / "t")


def test_the_first_trial_is_the_default_preset_and_the_best_is_the_highest(found):
    assert found.tried[0].settings == {"dim": 64, "num_layers": 2, "learning_rate": 0.01}
    assert [trial.number for trial in found.tried] == [1, 2, 3, 4]
    assert found.chosen.value == max(trial.value for trial in found.tried if trial.state == "done")
    for trial in found.tried[1:]:
        assert trial.settings["dim"] in (4, 8, 64)
        assert trial.settings["num_layers"] in (0, 1, 2)
        assert 1e-3 <= trial.settings["learning_rate"] <= 0.1


def test_a_trial_is_what_training_with_its_settings_gives(found, data):
    from kgrec import fit

    trial = next(trial for trial in found.tried[1:] if trial.state == "done")
    again = fit("lightgcn", data, seed=0, **QUICK, **trial.settings)
    assert max(record["ndcg@10"] for record in again.history) == trial.value


def test_the_best_configuration_trains_by_itself(found, data, tmp_path, capsys):
    settings = tomllib.loads((found.out / "best.toml").read_text())
    expected = all_settings(choose("lightgcn", "default", {**QUICK, **found.chosen.settings}))
    wanted = {name: value for name, value in expected.items() if name != "knowledge"}
    assert settings == json.loads(json.dumps(wanted))  # TOML has lists, as JSON has
    data.save(tmp_path / "d")
    arguments = [
        "--model",
        "lightgcn",
        "--config",
        str(found.out / "best.toml"),
        "--out",
        str(tmp_path / "r"),
        "--json",
    ]
    assert command(["-q", "train", str(tmp_path / "d"), *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["valid"]["ndcg@10"] == found.chosen.value


def test_the_folder_holds_the_trials_and_the_run(found):
    from kgrec import load_run

    table = pl.read_csv(found.out / "trials.csv")
    assert table.columns == [
        "trial",
        "state",
        "ndcg@10",
        "best_epoch",
        "epochs",
        "seconds",
        "dim",
        "num_layers",
        "learning_rate",
        "note",
    ]
    assert table["ndcg@10"].to_list() == [trial.value for trial in found.tried]
    assert load_run(found.out / "run").summary == found.run.summary
    assert not list(found.out.glob(".*"))


def test_the_test_part_is_opened_once_and_only_for_the_best(data, tmp_path, monkeypatch):
    seen, whole, fit = [], [], study.fit

    def watched(model, given, **arguments):
        seen.append(len(given.test))
        return fit(model, given, **arguments)

    judge = sys.modules["kgrec.runs.fit"].evaluate

    def judged(scorer, given, on="test", **arguments):
        if on == "test":
            whole.append(len(seen))
        return judge(scorer, given, on=on, **arguments)

    monkeypatch.setattr(study, "fit", watched)
    monkeypatch.setattr(trials, "fit", watched)
    monkeypatch.setattr("kgrec.runs.fit.evaluate", judged)
    found = search(data, tmp_path / "t")
    assert seen == [0, 0, 0, 0, len(data.test)]
    assert whole == [5], "the test part was judged in a trial, or more than once"
    assert found.run.summary["test"].keys() == found.run.summary["valid"].keys()


def test_the_test_part_can_be_left_closed(data, tmp_path):
    found = search(data, tmp_path / "t", trials=1, final=False)
    assert found.run is None
    assert found.to_dict()["test"] is None
    assert not (tmp_path / "t" / "run").exists()
    assert (found.value, found.trials, found.pruned) == (found.chosen.value, 1, 0)


def test_trials_do_not_depend_on_the_test_part(found, data, tmp_path):
    other = replace(data, test=data.test.take(np.arange(len(data.test)) % 3 == 0))
    again = search(other, tmp_path / "t")
    assert [(trial.settings, trial.value) for trial in again.tried] == [
        (trial.settings, trial.value) for trial in found.tried
    ]


def test_held_out_labels_and_triples_of_the_test_are_not_given_either(data):
    held = np.zeros((1, 3), dtype=np.int32)
    full = replace(
        data,
        negatives={"valid": data.valid, "test": data.valid},
        held_triples={"valid": held, "test": held},
    )
    given = without_test(full)
    assert len(given.test) == 0
    assert set(given.negatives) == set(given.held_triples) == {"valid"}


def test_a_search_cut_in_two_is_the_search_in_one(found, data, tmp_path):
    search(data, tmp_path / "t", trials=2)
    again = search(data, tmp_path / "t")
    assert [(trial.settings, trial.value) for trial in again.tried] == [
        (trial.settings, trial.value) for trial in found.tried
    ]
    assert search(data, tmp_path / "t").run.summary == again.run.summary


def test_an_interrupted_trial_is_repeated(found, data, tmp_path, monkeypatch):
    fit, calls = study.fit, []

    def interrupted(*arguments, **more):
        calls.append(more)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(trials, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(data, tmp_path / "t")
    again = search(data, tmp_path / "t")
    assert [(trial.settings, trial.value) for trial in again.tried] == [
        (trial.settings, trial.value) for trial in found.tried
    ]


def test_another_seed_searches_elsewhere(found, data, tmp_path):
    other = search(data, tmp_path / "t", seed=1, trials=2)
    assert other.tried[1].settings != found.tried[1].settings


def test_the_time_budget_cuts_a_trial_and_starts_no_other(data, tmp_path, monkeypatch):
    fit = study.fit

    def paced(*arguments, on_epoch=None, out=None, **more):
        def after(state):
            time.sleep(0.3)
            on_epoch(state)

        return fit(*arguments, out=out, on_epoch=None if on_epoch is None else after, **more)

    monkeypatch.setattr(trials, "fit", paced)
    found = search(
        data,
        tmp_path / "t",
        trials=50,
        minutes=0.02,
        settings={**QUICK, "epochs": 40, "patience": 0},
    )
    assert len(found.tried) == 1
    assert found.chosen.note == "cut by the time budget"
    assert found.chosen.epochs < 40
    assert max(record["ndcg@10"] for record in found.run.history) >= found.chosen.value


def test_bad_trials_are_pruned(data, tmp_path):
    """After four trials, one with a tiny learning rate lies below the median from the start."""
    found = search(
        data,
        tmp_path / "t",
        trials=8,
        space={"learning_rate": (1e-7, 0.02)},
        settings={"epochs": 16, "batch_size": 64, "dim": 8, "patience": 0},
    )
    pruned = [trial for trial in found.tried if trial.state == "pruned"]
    assert pruned
    assert all(trial.epochs < 16 for trial in pruned)
    assert all(trial.settings["learning_rate"] == 1e-7 for trial in pruned)
    assert found.chosen.state == "done"


def test_a_trial_that_diverges_counts_as_failed(data, tmp_path, monkeypatch):
    fit = study.fit

    def fragile(*arguments, **more):
        if more["dim"] == 4:
            raise DivergedError("the loss is not a finite number.")
        return fit(*arguments, **more)

    monkeypatch.setattr(trials, "fit", fragile)
    found = search(data, tmp_path / "t", trials=6)
    failed = [trial for trial in found.tried if trial.state == "failed"]
    assert failed
    assert all(
        trial.settings["dim"] == 4 and "finite" in trial.note and trial.value is None
        for trial in failed
    )
    assert len(found.tried) == 6


def test_shares_are_of_the_first_trial_that_came_to_its_end(data, tmp_path, monkeypatch):
    """The default diverges: the next one alone is what the others of several data sets are shares
    of.
    """
    other = without_test(replace(data, train=data.train.take(np.arange(len(data.train)) % 9 > 0)))
    fit = trials.fit

    def some(model, given, **settings):
        if settings["dim"] == 64:
            raise DivergedError("the loss is not a finite number.")
        return fit(model, given, **settings)

    monkeypatch.setattr(trials, "fit", some)
    monkeypatch.setattr(study, "run_trials", lambda tasks: [trials.run_trial(t) for t in tasks])
    space = {"dim": (4, 8), "learning_rate": Span(1e-3, 0.1, log=True)}
    more = {"settings": {**QUICK, "epochs": 1}, "space": space, "workers": 2, "final": False}
    found = search([data, other], tmp_path / "t", trials=6, **more)
    done = [trial for trial in found.tried if trial.state == "done"]
    assert found.tried[0].state == "failed"
    assert len(done) >= 2
    for trial in done:
        pairs = zip(trial.values, done[0].values, strict=True)
        assert trial.value == pytest.approx(np.mean([one / base for one, base in pairs]))


def test_a_search_without_any_result_says_so(data, tmp_path, monkeypatch):
    def broken(*arguments, **more):
        raise DivergedError("the loss is not a finite number.")

    monkeypatch.setattr(trials, "fit", broken)
    with pytest.raises(TrainingError, match="none of 2 trials"):
        search(data, tmp_path / "t", trials=2)


def test_closed_forms_are_tuned_alike(data, tmp_path):
    found = tune(data, "popularity", out=tmp_path / "t", trials=2, space={"batch_size": (64, 128)})
    assert [trial.epochs for trial in found.tried] == [1, 1]
    assert found.chosen.number == 1


def test_settings_become_toml_and_come_back():
    for value in (1, 0.1, 1e-05, 2.5e20, True, False, "bpr", 'a "b" ü', (64, 32), ()):
        assert tomllib.loads(f"x = {to_toml(value)}")["x"] == (
            list(value) if isinstance(value, tuple) else value
        )


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"trials": 0}, ConfigError, "at least 1 trial"),
        ({"minutes": -1.0}, ConfigError, "positive number of minutes"),
        ({"minutes": float("nan")}, ConfigError, "positive number of minutes"),
        ({"seed": -1}, ConfigError, "negative"),
        ({"settings": {"dimm": 3}}, ConfigError, "dim"),
        ({"settings": {"dim": -3}}, ConfigError, "dim >= 1"),
        ({"settings": {"metric": "ndgc@10"}}, ConfigError, "ndgc"),
        ({"settings": {"embedding_size": 4, "num_layers": 1, "lr": 0.1}}, ConfigError, "fixed"),
        ({"space": {}}, ConfigError, "nothing to tune"),
        ({"space": {"dims": (1, 2)}}, ConfigError, "no setting"),
    ],
)
def test_bad_input_is_refused_before_anything_is_computed(data, tmp_path, more, error, words):
    with pytest.raises(error, match=words) as told:
        search(data, tmp_path / "t", **more)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "t").exists()


def test_a_dataset_without_a_validation_part_is_refused(data, tmp_path):
    with pytest.raises(DataError, match="no validation part"):
        search(replace(data, valid=Interactions()), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_model_that_lacks_its_triples_is_refused(data, tmp_path):
    plain = worlds.dataset([(0, 0)], valid=[(0, 1)])
    with pytest.raises(DataError, match="needs triples"):
        tune(plain, "lightgcn-kg", out=tmp_path / "t", space=SPACE)
    assert not (tmp_path / "t").exists()


def test_a_folder_that_holds_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "thesis.tex").write_text("x")
    with pytest.raises(CheckpointError, match="not made by this kgrec tune"):
        search(data, tmp_path / "t")
    (tmp_path / "f").write_text("x")
    with pytest.raises(CheckpointError, match="not a folder"):
        search(data, tmp_path / "f")
    assert os.listdir(tmp_path / "t") == ["thesis.tex"]


def test_another_search_in_the_same_folder_is_refused(data, tmp_path):
    search(data, tmp_path / "t", trials=1)
    for more, words in (
        ({"seed": 1}, "seed 0, not 1"),
        ({"settings": {**QUICK, "epochs": 5}}, "fixed"),
        ({"space": {"dim": (2, 3)}}, "space"),
    ):
        with pytest.raises(CheckpointError, match=words):
            search(data, tmp_path / "t", **more)
    with pytest.raises(CheckpointError, match="another state of the dataset"):
        search(replace(data, train=data.train.take(np.arange(len(data.train)) > 3)), tmp_path / "t")


def test_two_processes_do_not_share_a_folder(data, tmp_path):
    search(data, tmp_path / "t", trials=1)
    with (
        locked(tmp_path / "t"),
        pytest.raises(CheckpointError, match="another kgrec tune is at work"),
    ):
        search(data, tmp_path / "t")


def test_the_command_tells_the_same_and_draws_it(found, data, tmp_path, monkeypatch, capsys):
    data.save(tmp_path / "d")
    monkeypatch.setattr("kgrec.models.graph.lightgcn.SPACE", SPACE)
    fixed = [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]
    arguments = [
        str(tmp_path / "d"),
        "--model",
        "lightgcn",
        "--trials",
        "4",
        "--out",
        str(tmp_path / "t"),
        *fixed,
    ]
    assert command(["-q", "tune", *arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [trial["value"] for trial in told["trials"]] == [trial.value for trial in found.tried]
    assert told["settings"]["dim"] == found.best["dim"]
    assert told["test"]["ndcg@10"] == found.run.summary["test"]["ndcg@10"]
    assert (tmp_path / "t" / "trials.png").read_bytes().startswith(b"\x89PNG")
    assert command(["-q", "tune", *arguments]) == 0
    assert f"trial {found.chosen.number} is best" in capsys.readouterr().out


def test_without_optuna_there_is_one_clear_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert command(["tune", "films", "--model", "lightgcn", "--out", str(tmp_path / "t")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "pip install 'kgrec[tune]'" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "lightgnc"], "lightgcn"),
        (["--model", "popularity"], "nothing to tune"),
        (["--model", "lightgcn", "--trials", "-1"], "at least 1 trial"),
        (["--model", "lightgcn", "--minutes", "0"], "positive number"),
        (["--model", "lightgcn", "--set", "dim"], "key=value"),
        (["--model", "lightgcn", "--set", "seed=3"], "seed"),
        ([], "--model"),
    ],
)
def test_bad_command_lines_are_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["-q", "tune", "films", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert words in told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_killed_search_goes_on_and_ctrl_c_says_how(tmp_path, shared_data):
    """kill -9 in the middle of a trial, then Ctrl-C, then to the end: the same trials as
    without.
    """
    films = [
        "films",
        "--model",
        "lightgcn",
        "--trials",
        "4",
        "--set",
        "epochs=15",
        "--set",
        "patience=0",
        "--set",
        "dim=8",
    ]

    def start(out):
        return subprocess.Popen(
            [sys.executable, "-m", "kgrec", "tune", *films, "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(out, lines):
        table, end = out / "trials.csv", time.monotonic() + 60
        while time.monotonic() < end and not (
            table.is_file() and len(table.read_text().splitlines()) > lines
        ):
            time.sleep(0.05)
        time.sleep(0.2)

    first = start(tmp_path / "a")
    wait_for(tmp_path / "a", 1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = start(tmp_path / "a")
    wait_for(tmp_path / "a", 2)
    second.send_signal(signal.SIGINT)
    told = second.communicate()[1]
    assert second.returncode == 130, told
    assert "the same command continues" in told
    for out in (tmp_path / "a", tmp_path / "b"):
        done = start(out)
        told = done.communicate()[1]
        assert done.returncode == 0, told
    tables = [pl.read_csv(tmp_path / out / "trials.csv").drop("seconds") for out in "ab"]
    assert tables[0].equals(tables[1])


def slow_and_quick(epochs):
    """A curve that climbs evenly to .3, and one that is at .2 at once."""
    return [0.3 * (at + 1) / 200 for at in range(epochs)], [0.2] * epochs


@pytest.mark.parametrize("epoch", [10, 20, 50, 100, 150])
def test_a_slow_learner_is_not_ended_for_being_slow(epoch):
    """At every epoch the quick one is ahead, or was; the slow one ends higher."""
    slow, quick = slow_and_quick(epoch)
    goal = 0.25
    assert not out_of_reach(slow, 200, goal)
    assert out_of_reach(quick, 200, goal)
    assert quick[9] > slow[9], "a median of values at the same epoch would end the slow one"


def test_a_training_is_ended_only_below_its_goal():
    assert not out_of_reach([0.1], 200, 0.9), "nothing is known after one epoch"
    assert not out_of_reach([0.2] * 30, 30, 0.2), "reaching the goal exactly is no reason"
    assert out_of_reach([0.2] * 30, 30, 0.2001)


def test_presets_are_tried_first(data, tmp_path, monkeypatch):
    cls, config, presets = find("lightgcn").load()
    mine = {
        **presets,
        "mine": Preset(config={"dim": 5, "num_layers": 1}, train={"learning_rate": 0.05}),
    }
    monkeypatch.setattr(
        type(find("lightgcn")), "load", lambda self: (cls, config, mine), raising=True
    )
    found = search(data, tmp_path / "t", trials=2, start=["mine", "default"], final=False)
    assert found.tried[0].settings["dim"] == 64
    assert found.tried[1].settings == {"dim": 5, "num_layers": 1, "learning_rate": 0.05}
    with pytest.raises(CheckpointError, match="start"):
        search(data, tmp_path / "t", trials=2, start=["default"], final=False)


def test_every_preset_can_be_tried_first_in_its_own_space():
    found = 0
    for name, entry in MODELS.items():
        for preset in entry.load()[2]:
            values = all_settings(choose(name, preset, {}))
            for key, span in entry.search_space().items():
                if isinstance(span, Span):
                    place = study._distribution(span, [values[key]])
                    assert place.low <= study._encoded(span, values[key]) <= place.high, (name, key)
                    found += values[key] == 0 and span.log
    assert found


def test_a_default_of_0_is_tried_first_where_logarithms_are_searched(data, tmp_path):
    more = {"out": tmp_path / "t", "trials": 3, "settings": {"epochs": 1}, "final": False}
    found = tune(data, "gmf", **more)
    weights = [trial.settings["l2_weight"] for trial in found.tried]
    assert weights[0] == 0
    assert all(1e-7 <= weight <= 1e-2 for weight in weights[1:])
    assert tune(data, "gmf", **more).tried == found.tried


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    [n for n, e in MODELS.items() if e.search_space() and "sequences" not in e.needs],
)
def test_every_model_can_be_searched(data, name, tmp_path):
    rated = worlds.with_texts(worlds.with_ratings(data))
    found = tune(rated, name, out=tmp_path, trials=3, settings={"epochs": 1}, final=False)
    assert {trial.state for trial in found.tried} <= {"done", "pruned"}


def test_several_data_sets_and_seeds_share_a_trial(data, tmp_path):
    """Worth is the mean over cells of the value over the default's."""
    other = replace(worlds.cold_items(users=16, seed=3), name="other")
    held = np.arange(len(other.train)) % 8 == 7
    other = replace(other, train=other.train.take(~held), valid=other.train.take(held))
    found = search([data, other], tmp_path / "t", trials=2, seeds=[0, 5])
    base = np.array(found.tried[0].values)
    assert base.shape == (4,)
    assert found.tried[0].value == 1
    for trial in found.tried[1:]:
        if trial.state == "done":
            assert trial.value == pytest.approx(np.mean(np.array(trial.values) / base))
    assert len(found.runs) == 2
    assert {run.data.num_users for run in found.runs} == {20, 16}
    assert found.budget.seeds == (0, 5)
    again = search([data, other], tmp_path / "t", trials=2, seeds=[0, 5], final=False)
    assert again.tried == found.tried
    with pytest.raises(ConfigError, match="there twice"):
        search([data, data], tmp_path / "u")
    with pytest.raises(ConfigError, match="distinct whole numbers"):
        search(data, tmp_path / "u", seeds=[1, 1])


@pytest.mark.slow
def test_workers_are_processes_with_the_same_values(data, tmp_path):
    """The first trial alone, then two side by side: each is what training by itself gives."""
    settings = {**QUICK, "epochs": 2}
    found = search(data, tmp_path / "t", trials=3, workers=2, settings=settings, final=False)
    assert [trial.state for trial in found.tried] == ["done"] * 3
    for trial in found.tried[1:]:
        alone = trials.fit("lightgcn", data, seed=0, **settings, **trial.settings)
        assert max(record["ndcg@10"] for record in alone.history) == trial.value


def test_chosen_settings_are_presets(monkeypatch):
    monkeypatch.setattr(
        "kgrec.runs.settings._tuned_file",
        lambda: {"lightgcn": {"films": {"dim": 12, "learning_rate": 0.02, "nope": 1}}},
    )
    with pytest.raises(ConfigError, match="'nope', which it does not have"):
        choose("lightgcn", "tuned:films", {})
    monkeypatch.setattr(
        "kgrec.runs.settings._tuned_file",
        lambda: {"lightgcn": {"films": {"dim": 12, "learning_rate": 0.02}}},
    )
    chosen = choose("lightgcn", "tuned:films", {"learning_rate": "0.5"})
    assert (chosen.config.dim, chosen.train.learning_rate) == (12, 0.5)
    assert chosen.preset == "tuned:films"
    with pytest.raises(ConfigError, match=r"no preset 'tuned:other'.*tuned:films"):
        choose("lightgcn", "tuned:other", {})


def test_every_shipped_choice_can_be_made():
    for name in _tuned_file():
        for preset in tuned_settings(name):
            assert choose(name, preset, {}).preset == preset
