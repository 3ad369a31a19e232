"""Two and four processes against one: numbers, bytes, lists, a killed process."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from kgrec.runs.fit import fit
from kgrec.scale.cost import bytes_of
from kgrec.scale.world import World
from kgrec.study import tune
from kgrec.study.trials import run_trial
from tests.scale.many import CASES, MOVED, SINGLE, moved, studied, toy

WORKER = Path(__file__).with_name("many.py")
SHARES = Path(__file__).with_name("shares.py")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(size, root, *words, timeout=900, then=None, **extra):
    """Run one command in so many processes, and do what is to be done meanwhile; return exit codes
    and standard errors, by rank.
    """
    base = dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS="1", KGREC_PEER_TIMEOUT="600")
    base |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(size)}
    base.pop("TORCHELASTIC_RUN_ID", None)
    running = [
        subprocess.Popen(
            [sys.executable, *words],
            env=base | {"RANK": str(rank), "LOCAL_RANK": str(rank)} | extra,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for rank in range(size)
    ]
    try:
        if then is not None:
            then(running)
        errors = [one.communicate(timeout=timeout)[1] for one in running]
    finally:
        for one in running:
            one.kill()
    return [one.returncode for one in running], errors


@pytest.fixture(scope="module")
def found(tmp_path_factory, root):
    """What one process and two find."""
    folder = tmp_path_factory.mktemp("many")
    for size in (1, 2):
        codes, errors = start(size, root, str(WORKER), "all", str(folder))
        assert codes == [0] * size, errors
    return folder


def told(folder, size):
    return json.loads((folder / f"all-{size}.json").read_text())


def equal(one, two, case, tolerance):
    for key in ("losses", "tables", "final"):
        for a, b in zip(one[case][key], two[case][key], strict=True):
            scale = max(1e-9, np.abs(a).max(initial=0.0)) if key != "losses" else 1.0
            assert np.abs(np.array(a) - b).max(initial=0.0) <= tolerance * scale, (case, key)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one(found, case):
    """Losses, final tables and the gradients of the first steps, in float64; draws and dropout are
    the same, else none of this would hold.
    """
    equal(told(found, 1), told(found, 2), case, 1e-10)


def test_float32_agrees_to_rounding(found):
    one, two = (told(found, size)["float32"] for size in (1, 2))
    assert np.abs(np.array(one["losses"]) - two["losses"]).max() <= 1e-5


@pytest.mark.parametrize("case", SINGLE)
def test_float32_gradients_of_a_step_agree_to_rounding(found, case):
    one, two = (told(found, size)[f"{case} single"]["tables"] for size in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert np.abs(np.array(a) - b).max(initial=0.0) <= 1e-5


@pytest.mark.parametrize("name", MOVED)
def test_one_process_goes_on_with_what_two_have_begun(found, tmp_path, name):
    """Checkpoints hold whole tables, moments of all kinds among them."""
    begun = found / "begun-2"
    assert (begun / name / "checkpoint.safetensors").exists()
    on = moved(name, begun, World())
    alone = moved(name, tmp_path, World())
    assert np.abs(np.array(on[0]) - alone[0]).max() <= 1e-10
    assert on[1].keys() == alone[1].keys()
    for key, value in alone[1].items():
        assert torch.allclose(on[1][key].double(), value.double(), rtol=1e-10, atol=1e-10), key


def check_bytes(counted, world):
    assert counted["gather"] == bytes_of("gather", rows=10, dim=8, size=8, world=world)
    assert counted["scores"] == bytes_of("scores", rows=10, size=8, world=world)
    turned = bytes_of("columns_to_rows", rows=10, dim=8, size=8, world=world)
    assert counted["columns_to_rows"] == pytest.approx(2 * turned, rel=0.3)  # rows are uneven at 4
    if world == 2:
        assert counted["columns_to_rows"] == 2 * turned
        # rank 0 asks for 4 of 8 rows there, and gives 4 back: numbers, rows, gradients
        assert counted["lookup"] == bytes_of("lookup", rows=8, dim=8, size=8, world=2) + 8
    assert all(counted[f"{what} right"] for what in ("gather", "scores", "turned", "lookup"))


def test_bytes_are_those_of_the_formulas(found):
    check_bytes(told(found, 2)["counted"], 2)


@pytest.mark.parametrize("case", ["lightkg", "cfkg", "cke", "kgfuse", "kgin", "kgat"])
def test_bytes_of_a_step_are_those_of_the_formulas(found, case):
    step = told(found, 2)[case]
    assert step["sent"] == step["predicted"]
    assert min(step["sent"]) > 0


def test_processes_that_hold_other_data_are_named(found):
    assert "rank 1 has another dataset (b) than rank 0 (a)" in told(found, 2)["disagreed"]


def lists(folder):
    parts = sorted(folder.glob("part-*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts]).rows()


def test_lists_are_the_same_however_they_are_shared(found):
    """Items have seven different vectors: nearly all scores are tied, across the shares too."""
    one = lists(found / "lists-False-1")
    assert len(one) == 50 * 9
    assert one == lists(found / "lists-False-2") == lists(found / "lists-True-2")
    ties = sum(a[3] == b[3] and a[0] == b[0] for a, b in itertools.pairwise(one))
    assert ties > 200
    done = [json.loads((found / f"lists-{s}-2/_SUCCESS.json").read_text()) for s in (False, True)]
    assert done[0] == done[1]
    assert done[0]["parts"] == 8


def test_two_processes_explain_and_export_as_one(found, tmp_path):
    """The parts say what one process writes as lines; the tables are the same files."""
    run = fit("ease-kg", toy(), fallback="off")
    run.explainer().batch(list(run.data.users), 2, out=tmp_path / "lines.jsonl")
    lines = (tmp_path / "lines.jsonl").read_text().splitlines()
    assert len(lines) > 70
    parts = sorted((found / "reasons-2").glob("part-*.parquet"))
    assert len(parts) == 9
    frame = pl.concat([pl.read_parquet(part) for part in parts])
    assert frame["explanation"].to_list() == lines
    assert frame["user"].to_list() == [json.loads(line)["user"] for line in lines]

    one, two = (found / f"tables-{size}" for size in (1, 2))
    manifests = [(folder / "manifest.json").read_text() for folder in (one, two)]
    assert manifests[0] == manifests[1]  # sums of all files
    assert not list(found.glob("tables-*.lists"))
    listed = np.load(two / "lists.items.npy")
    rows = np.load(two / "items.rows.npy")
    expected = run.recommend("u3", k=5)["item"].to_list()
    assert [run.data.items.key(int(rows[column])) for column in listed[3]] == expected


def test_a_killed_process_changes_no_weight(tmp_path, root):
    """The last process dies in epoch 4; the same command goes on, to the same bytes."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    codes, errors = start(2, root, str(WORKER), "fit", str(tmp_path / "whole"))
    assert codes == [0, 0], errors

    codes, errors = start(2, root, str(WORKER), "fit", str(tmp_path / "killed"), DIE_AT="1 4 0")
    assert codes[1] == -signal.SIGKILL
    assert codes[0] != 0
    assert "rank 0 of 2 has lost the others" in errors[0]

    codes, errors = start(2, root, str(WORKER), "fit", str(tmp_path / "killed"))
    assert codes == [0, 0], errors
    weights = [
        (tmp_path / name / "run/model.safetensors").read_bytes() for name in ("whole", "killed")
    ]
    assert weights[0] == weights[1]


def test_two_processes_search_and_ablate_as_one(tmp_path, root, monkeypatch):
    """As one process finds that tries two configurations side by side; tuples come through."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    codes, errors = start(2, root, str(WORKER), "study", str(folders[1]))
    assert codes == [0, 0], errors

    # a round of two in this process, one behind the other
    monkeypatch.setattr(tune._Search, "_places", 2)
    monkeypatch.setattr(tune, "run_trials", lambda tasks: [run_trial(task) for task in tasks])
    one = studied(folders[0], World())
    assert json.loads((folders[1] / "study-2.json").read_text()) == one
    assert len({str(trial["settings"]) for trial in one["trials"]}) == 3
    assert max(len(trial["settings"]["layer_dims"]) for trial in one["trials"][1:]) == 2
    for name in ("tune/best.toml", "ablate/differences.csv"):
        assert (folders[0] / name).read_text() == (folders[1] / name).read_text()
    texts = [
        (folder / "ablate/ablation.json").read_text().replace(str(folder), "") for folder in folders
    ]
    assert texts[0] == texts[1]


@pytest.mark.long
def test_four_processes(tmp_path, root):
    """As one, and going on with what two have begun."""
    for size in (1, 4):
        codes, errors = start(size, root, str(WORKER), "all", str(tmp_path), timeout=900)
        assert codes == [0] * size, errors
    for case in CASES:
        equal(told(tmp_path, 1), told(tmp_path, 4), case, 1e-10)
    check_bytes(told(tmp_path, 4)["counted"], 4)
    assert lists(tmp_path / "lists-False-1") == lists(tmp_path / "lists-True-4")

    folders = [tmp_path / "two", tmp_path / "four"]
    for folder, (first, second) in zip(folders, ((2, 2), (2, 4)), strict=True):
        folder.mkdir()
        codes, _ = start(first, root, str(WORKER), "fit", str(folder), DIE_AT="1 4 0")
        assert codes[first - 1] == -signal.SIGKILL
        codes, errors = start(second, root, str(WORKER), "fit", str(folder))
        assert codes == [0] * second, errors
    two = json.loads((folders[0] / "fit-2.json").read_text())["losses"]
    four = json.loads((folders[1] / "fit-4.json").read_text())["losses"]
    assert np.abs(np.array(two) - four).max() <= 1e-6


@pytest.mark.long
@pytest.mark.parametrize("worker", [WORKER, SHARES], ids=["columns", "data"])
def test_ten_kills_in_training_change_no_weight(tmp_path, root, worker):
    """kill -9 of either process, at other moments of an epoch each time, in one training."""
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole, killed = ((str(worker), "fit", str(tmp_path / name)) for name in ("whole", "killed"))
    assert start(2, root, *whole, EPOCHS="60")[0] == [0, 0]
    for attempt in range(10):
        rank = attempt % 2
        moment = f"{rank} {1 + attempt % 3} {0.009 * attempt}"
        codes, errors = start(2, root, *killed, EPOCHS="60", DIE_AT=moment)
        assert codes[rank] == -signal.SIGKILL, errors
        assert codes[1 - rank] not in (0, -signal.SIGKILL)
        assert f"rank {1 - rank} of 2 has lost the others" in errors[1 - rank]

    codes, errors = start(2, root, *killed, EPOCHS="60")
    assert codes == [0, 0], errors
    weights = [
        (tmp_path / name / "run/model.safetensors").read_bytes() for name in ("whole", "killed")
    ]
    assert weights[0] == weights[1]


@pytest.mark.long
def test_ten_kills_in_ranking_change_no_list(tmp_path, root):
    """kill -9 of either process once another part is there; the other ends as torchrun ends it."""
    run, out, whole = (str(tmp_path / name) for name in ("run", "lists", "whole"))
    words = ("-m", "kgrec", "-q", "train", "films", "--model", "bprmf", "--out", run)
    assert start(1, root, *words, "--set", "epochs=1")[0] == [0]
    words = ("-m", "kgrec", "recommend", run, "--users", "all", "-k", "5", "--chunk", "8", "--out")
    assert start(1, root, *words, whole)[0] == [0]
    for attempt in range(10):
        there = len(list(Path(out).glob("part-*")))

        def killed(running, there=there, rank=attempt % 2):
            while len(list(Path(out).glob("part-*"))) <= there:
                assert running[rank].poll() is None
                time.sleep(0.001)
            running[rank].kill()
            running[1 - rank].terminate()

        codes, _ = start(2, root, *words, out, then=killed)
        assert codes[attempt % 2] == -signal.SIGKILL
        assert 0 not in codes
        assert not (Path(out) / "_SUCCESS.json").exists()

    codes, errors = start(2, root, *words, out)
    assert codes == [0, 0], errors
    assert lists(Path(out)) == lists(Path(whole))
