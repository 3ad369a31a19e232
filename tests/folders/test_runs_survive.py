"""Run folders: built beside, locked, moved, gone on with, equal byte for byte."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import kgrec
from kgrec.cli import run as command
from kgrec.data.io.writing import left_beside, locked
from kgrec.errors import CheckpointError, ConfigError
from kgrec.runs.folder import read_config
from kgrec.testing import worlds
from kgrec.training import loop
from kgrec.training.checkpoint import write_tensors

SMALL = {"epochs": 3, "batch_size": 64, "dim": 4, "patience": 0}


class Killed(BaseException):
    """Stands for a signal that no handler sees."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    world = worlds.cold_items(users=30)
    held = np.arange(len(world.train)) % 8 == 7
    world = replace(world, train=world.train.take(~held), valid=world.train.take(held))
    return world.save(tmp_path_factory.mktemp("d") / "data")


@pytest.fixture
def dies(monkeypatch):
    """Let trainings end after so many epochs as nothing in the process can answer to."""
    real = loop._epoch
    monkeypatch.setattr("kgrec.runs.fit._SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def after(epochs):
        def epoch(model, plan, rounds, number, *rest):
            if epochs is not None and number > epochs:
                raise Killed
            return real(model, plan, rounds, number, *rest)

        monkeypatch.setattr(loop, "_epoch", epoch)

    return after


def equal(one, other):
    own, others = one.model.state_dict(), other.model.state_dict()
    return own.keys() == others.keys() and all(torch.equal(own[name], others[name]) for name in own)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_finished_run_stays_until_the_new_one_is_whole(data, tmp_path, dies):
    old = kgrec.fit("bprmf", data, out=tmp_path / "r", **SMALL)
    dies(1)
    with pytest.raises(Killed):
        kgrec.fit("lightgcn", data, out=tmp_path / "r", seed=4, **SMALL)
    assert equal(kgrec.load_run(tmp_path / "r", unfinished="refuse"), old)
    assert len(left_beside(tmp_path / "r", "new")) == 1
    dies(None)
    new = kgrec.fit(out=tmp_path / "r", resume=True)
    assert (new.name, new.seed, os.listdir(tmp_path)) == ("lightgcn", 4, ["r"])
    assert equal(new, kgrec.fit("lightgcn", data, seed=4, **SMALL))
    assert equal(kgrec.load_run(tmp_path / "r"), new)


def test_a_training_killed_beside_a_run_is_removed_by_one_that_begins_anew(
    data, tmp_path, dies, caplog
):
    kgrec.fit("bprmf", data, out=tmp_path / "r", **SMALL)
    dies(1)
    with pytest.raises(Killed):
        kgrec.fit("bprmf", data, out=tmp_path / "r", seed=4, **SMALL)
    dies(None)
    with caplog.at_level(logging.WARNING, "kgrec"):
        kgrec.fit("bprmf", data, out=tmp_path / "r", seed=5, **SMALL)
    assert "--resume would have gone on with it" in caplog.text
    assert os.listdir(tmp_path) == ["r"]
    assert read_config(tmp_path / "r")["seed"] == 5


def test_an_unfinished_run_says_so_and_is_refused_on_request(data, tmp_path, dies, caplog):
    dies(2)
    with pytest.raises(Killed):
        kgrec.fit("bprmf", data, out=tmp_path / "r", **SMALL)
    with caplog.at_level(logging.WARNING, "kgrec"):
        assert len(kgrec.load_run(tmp_path / "r").history) == 2
    assert "unfinished" in caplog.text
    with pytest.raises(CheckpointError, match="unfinished"):
        kgrec.load_run(tmp_path / "r", unfinished="refuse")


def test_a_second_training_into_a_folder_is_refused(data, tmp_path, capsys):
    seen = []

    def meanwhile(state):
        arguments = [
            "-q",
            "train",
            str(data.path),
            "--model",
            "bprmf",
            "--out",
            str(tmp_path / "r"),
        ]
        seen.extend([command(arguments), command([*arguments, "--resume"])])

    kgrec.fit("bprmf", data, out=tmp_path / "r", on_epoch=meanwhile, **(SMALL | {"epochs": 1}))
    assert seen == [2, 2]
    told = capsys.readouterr().err.splitlines()
    assert (
        told
        == [
            f"kgrec: {tmp_path / 'r'}: another kgrec is at work there. Wait for it, or choose "
            "another path."
        ]
        * 2
    )
    assert os.listdir(tmp_path) == ["r"]


def test_the_lock_of_a_dead_process_is_no_lock(data, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from kgrec.data.io.writing import "
        "locked\nwith locked(Path(sys.argv[1])): os._exit(9)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "r")], check=False).returncode
        == 9
    )
    assert os.listdir(tmp_path) == [".r.lock"]
    kgrec.fit("popularity", data, out=tmp_path / "r")
    assert os.listdir(tmp_path) == ["r"]


@pytest.mark.parametrize("last", ["write_config", "write_tensors"])
def test_a_kill_in_the_last_moment_leaves_a_folder_that_opens_and_resumes(
    data, tmp_path, monkeypatch, last
):
    """Between the weights and the configuration, and before both."""

    def ends(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"kgrec.runs.run.{last}", ends)
        with pytest.raises(Killed):
            kgrec.fit("bprmf", data, out=tmp_path / "r", **SMALL)
    assert len(kgrec.load_run(tmp_path / "r").recommend("u1", k=3)) == 3
    done = kgrec.fit("bprmf", data, out=tmp_path / "r", resume=True, **SMALL)
    assert equal(done, kgrec.fit("bprmf", data, **SMALL))
    assert sorted(os.listdir(tmp_path / "r")) == [
        "README.md",
        "config.json",
        "data",
        "model.safetensors",
        "state.safetensors",
    ]


def test_what_version_0_1_left_in_its_last_moment_opens_and_is_trained_anew(data, tmp_path, dies):
    dies(2)
    with pytest.raises(Killed):
        kgrec.fit("bprmf", data, out=tmp_path / "r", **SMALL)
    dies(None)
    whole = kgrec.fit("bprmf", data, **SMALL)
    (tmp_path / "r" / "checkpoint.safetensors").unlink()
    write_tensors(
        tmp_path / "r" / "model.safetensors", whole.model.state_dict(), {"model": "bprmf"}
    )
    shutil.copytree(tmp_path / "r", tmp_path / "again")
    assert equal(kgrec.load_run(tmp_path / "r"), whole)
    assert equal(kgrec.fit(out=tmp_path / "r", resume=True), whole)
    assert equal(kgrec.fit("bprmf", data, out=tmp_path / "again", **SMALL), whole)


def test_a_refit_killed_at_its_start_has_the_data_of_its_first_pass(data, tmp_path, monkeypatch):
    def ends(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(
            "kgrec.runs.fit._untrained", lambda model, real=kgrec.runs.fit._untrained: real(model)
        )
        real = kgrec.runs.fit.write_config
        calls = []
        patch.setattr(
            "kgrec.runs.fit.write_config",
            lambda *rest: ends() if calls else (calls.append(1), real(*rest)),
        )
        with pytest.raises(Killed):
            kgrec.fit(
                "kgat",
                data,
                out=tmp_path / "r",
                refit=True,
                layer_dims=(4,),
                relation_dim=4,
                **SMALL,
            )
    opened = kgrec.load_run(tmp_path / "r")
    assert len(opened.data.train) == len(data.train)
    done = kgrec.fit(out=tmp_path / "r", resume=True)
    assert len(done.data.train) == len(data.train) + len(data.valid) + len(data.test)
    assert len(kgrec.load_run(tmp_path / "r").data.train) == len(done.data.train)
    assert sorted(os.listdir(tmp_path / "r")) == [
        "README.md",
        "config.json",
        "data-refit",
        "model.safetensors",
    ]


def test_a_finished_run_takes_more_epochs_as_if_it_had_been_asked_for_them_at_once(
    data, tmp_path, dies
):
    at_once = kgrec.fit("lightgcn", data, seed=2, **(SMALL | {"epochs": 6}))
    kgrec.fit("lightgcn", data, out=tmp_path / "r", seed=2, **SMALL)
    assert read_config(tmp_path / "r")["state"] == "state.safetensors"
    dies(4)
    with pytest.raises(Killed):
        kgrec.fit(out=tmp_path / "r", resume=True, epochs=6)
    assert len(kgrec.load_run(tmp_path / "r", unfinished="refuse").history) == 3
    dies(None)
    assert (
        command(["-q", "train", "--resume", "--out", str(tmp_path / "r"), "--set", "epochs=6"]) == 0
    )
    more = kgrec.load_run(tmp_path / "r")
    assert equal(more, at_once)
    assert [record["epoch"] for record in more.history] == [1, 2, 3, 4, 5, 6]
    assert os.listdir(tmp_path) == ["r"]
    assert kgrec.fit(out=tmp_path / "r", resume=True).summary == more.summary


def test_more_epochs_after_early_stopping_begin_with_fresh_patience(data, tmp_path):
    settings = SMALL | {"epochs": 60, "patience": 1, "learning_rate": 1e-7}
    short = kgrec.fit("bprmf", data, out=tmp_path / "r", **settings)
    assert len(short.history) < 60
    assert len(kgrec.fit(out=tmp_path / "r", resume=True).history) == len(short.history)
    longer = kgrec.fit(out=tmp_path / "r", resume=True, patience=3)
    assert len(longer.history) == len(short.history) + 3


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"dim": 8}, "was started with dim 4, not 8"),
        ({"lr": "0.5"}, "was started with learning_rate 0.001, not 0.5"),
        ({"seed": 1}, "was started with seed 0, not 1"),
        ({"model": "lightgcn"}, "was started with model bprmf, not lightgcn"),
        ({"refit": True}, "was started with refit False, not True"),
        ({"preset": "fast"}, "was started with preset default, not fast"),
        ({"epochs": 2}, "the run has 3 already"),
    ],
)
def test_resuming_names_the_one_setting_that_differs(data, tmp_path, asked, words):
    kgrec.fit("bprmf", data, out=tmp_path / "r", learning_rate=1e-3, **SMALL)
    with pytest.raises((CheckpointError, ConfigError), match=words) as caught:
        kgrec.fit(out=tmp_path / "r", resume=True, **asked)
    assert "{" not in str(caught.value)


def test_rates_that_fall_to_0_keep_their_epochs_and_are_refit_as_they_were(data, tmp_path):
    falling = SMALL | {"epochs": 4, "schedule": "cosine", "warmup_epochs": 3, "validate_every": 1}
    kgrec.fit("bprmf", data, out=tmp_path / "c", **falling)
    with pytest.raises(CheckpointError, match="learning rate falls over its 4 epochs"):
        kgrec.fit(out=tmp_path / "c", resume=True, epochs=6)
    run = kgrec.fit("bprmf", data, refit=True, **falling)  # the best epoch may be the first
    assert run.summary["best_epoch"] <= 4


def test_what_cannot_take_more_epochs_says_why(data, tmp_path):
    kgrec.fit("ease", data, out=tmp_path / "e")
    with pytest.raises(CheckpointError, match="closed form"):
        kgrec.fit(out=tmp_path / "e", resume=True, epochs=1000)
    with pytest.raises(
        ConfigError, match="there is no run to continue: name a dataset and a model"
    ):
        kgrec.fit(out=tmp_path / "none", resume=True)
    assert command(["-q", "train", "--out", str(tmp_path / "none")]) == 2
    assert sorted(os.listdir(tmp_path)) == ["e"]


def test_a_training_on_a_dataset_that_was_never_saved_goes_on_from_what_it_holds(tmp_path, dies):
    world = worlds.cold_items(users=20)
    dies(1)
    with pytest.raises(Killed):
        kgrec.fit("bprmf", world, out=tmp_path / "r", seed=3, **SMALL)
    dies(None)
    assert equal(
        kgrec.fit(out=tmp_path / "r", resume=True), kgrec.fit("bprmf", world, seed=3, **SMALL)
    )


def test_a_run_and_its_dataset_move_together_or_apart(data, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    shutil.copytree(data.path, tmp_path / "a" / "data")
    moved = kgrec.load(tmp_path / "a" / "data")
    run = kgrec.fit("bprmf", moved, out=tmp_path / "a" / "runs" / "r", **SMALL)
    expected = run.evaluate().metrics
    (tmp_path / "a").rename(tmp_path / "b")
    assert kgrec.load_run(tmp_path / "b" / "runs" / "r").evaluate().metrics == expected
    (tmp_path / "b" / "data").rename(tmp_path / "elsewhere")
    place = tmp_path / "b" / "runs" / "r"
    with pytest.raises(CheckpointError, match=r"no longer at .*--dataset DIR"):
        kgrec.load_run(place).evaluate()
    assert kgrec.load_run(place).evaluate(dataset=tmp_path / "elsewhere").metrics == expected
    assert (
        kgrec.load_run(place, dataset=kgrec.load(tmp_path / "elsewhere")).evaluate().metrics
        == expected
    )
    assert (
        command(["-q", "evaluate", str(place), "--dataset", str(tmp_path / "elsewhere"), "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(expected)
    other = kgrec.fit(
        "popularity", kgrec.load(tmp_path / "elsewhere"), out=tmp_path / "b" / "other"
    )
    assert other.name == "popularity"
    arguments = [
        "-q",
        "compare",
        str(place),
        str(tmp_path / "b" / "other"),
        "--dataset",
        str(tmp_path / "elsewhere"),
    ]
    assert command(arguments) == 0
    worlds.toy().save(tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="sums differ"):
        kgrec.load_run(place).evaluate(dataset=tmp_path / "foreign")


def test_files_and_folders_follow_the_umask(data, tmp_path):
    before = os.umask(0o027)
    try:
        kgrec.fit("bprmf", data, out=tmp_path / "r", **SMALL)
        kgrec.fit("bprmf", data, out=tmp_path / "r", **SMALL)
    finally:
        os.umask(before)
    for path in [tmp_path / "r", *(tmp_path / "r").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


def test_equal_trainings_give_equal_bytes_in_every_process(data, tmp_path):
    code = (
        "import sys, kgrec\n"
        "kgrec.fit('bprmf', sys.argv[1], out=sys.argv[2], epochs=2, dim=4, batch_size=64)"
    )
    # This process, whose hash seed is random, and another.
    kgrec.fit("bprmf", str(data.path), out=tmp_path / "r0", epochs=2, dim=4, batch_size=64)
    call = [sys.executable, "-c", code, str(data.path), str(tmp_path / "r1")]
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    subprocess.run(call, env=environment, check=True)
    for name in ("model.safetensors", "state.safetensors"):
        assert (tmp_path / "r0" / name).read_bytes() == (tmp_path / "r1" / name).read_bytes()
    records = [read_config(tmp_path / f"r{number}") for number in range(2)]
    timed = ("seconds", "seconds_per_epoch", "validation_seconds", "peak_memory_bytes")
    for record in records:
        for part in (record["summary"], *record["history"]):
            for name in timed:
                part.pop(name, None)
    assert records[0] == records[1]


def test_weights_of_the_library_and_of_kgrec_are_read_by_each_other(tmp_path):
    from safetensors.torch import load_file

    tensors = {
        "b": torch.arange(6.0).reshape(2, 3),
        "a": torch.tensor(3),
        "c": torch.empty(0, 4),
        "d": torch.tensor([True]),
    }
    write_tensors(tmp_path / "w", tensors, {"x": 1})
    found = load_file(tmp_path / "w")
    assert found.keys() == tensors.keys()
    assert all(
        torch.equal(found[name], value) and found[name].dtype == value.dtype
        for name, value in tensors.items()
    )


def test_a_reader_waits_for_a_swap_that_is_under_way(data, tmp_path):
    run = kgrec.fit("popularity", data, out=tmp_path / "r")
    (tmp_path / "r").rename(tmp_path / ".r.old-0123abcd")
    assert kgrec.load_run(tmp_path / "r").name == run.name
    (tmp_path / "r").rename(tmp_path / ".r.old-0123abcd")
    assert kgrec.fit(out=tmp_path / "r", resume=True).name == run.name
    with locked(tmp_path / "r"):
        assert kgrec.load_run(tmp_path / "r").name == run.name
