"""Who a process is, and what it says when it does not find the others."""

import ast
import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from kgrec.cli import run
from kgrec.errors import ConfigError, WorldError
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.scale.columns import WHOLE, Columns
from kgrec.scale.rows import columns_to_rows, row_range, rows_to_columns
from kgrec.scale.world import World
from kgrec.testing.worlds import planted, with_times
from kgrec.training.parallel.columns import Apart
from kgrec.training.parallel.decision import declined
from tests.scale.test_many import start


@pytest.fixture
def environment(monkeypatch):
    def put(**values):
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    put()
    return put


def test_the_environment_says_who_is_there(environment):
    assert World.here() == World(0, 1, 0)
    environment(RANK="3", WORLD_SIZE="8", LOCAL_RANK="1")
    assert World.here() == World(3, 8, 1)
    environment(RANK="7", WORLD_SIZE="1")  # one process is alone, whatever else is left over
    assert World.here() == World(0, 1, 0)


@pytest.mark.parametrize(
    "values",
    [
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "x", "WORLD_SIZE": "2"},
        {"WORLD_SIZE": "0"},
        {"WORLD_SIZE": "many"},
    ],
)
def test_a_broken_environment_is_refused(environment, values):
    environment(**values)
    with pytest.raises(ConfigError, match="torchrun"):
        World.here()


def test_others_without_an_address_cannot_be_found(environment):
    environment(RANK="1", WORLD_SIZE="2")
    with pytest.raises(ConfigError, match="MASTER_ADDR and MASTER_PORT"):
        World.here().gather(1)


def test_alone_there_is_nothing_to_wait_for():
    world = World()
    assert [world.claim("trial") for _ in range(3)] == [0, 1, 2]
    assert world.claim("other") == 0
    assert world.gather({"a": 1}) == [{"a": 1}]
    assert world.hear("word") == "word"
    world.agree({"dataset": "a"})
    assert world.sent == {}
    assert not torch.distributed.is_initialized()


def test_every_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    places = [World(5, 8, 1).place(name) for name in ("auto", "cuda", "cpu")]
    assert places == ["cuda:1", "cuda:1", "cpu"]
    assert taken == [torch.device("cuda:1")] * 2
    assert World().place("auto") == "auto"
    with pytest.raises(ConfigError, match="has 2 GPUs"):
        World(2, 8, 2).place("auto")


LEAVES = """
import sys
from kgrec.scale.world import World
world = World.here()
world.hear(1)
if world.rank == int(sys.argv[1]):
    sys.exit(2)
world.gather(None, patient=True) if world.first else world.hear(patient=True)
"""


@pytest.mark.parametrize("leaver", [0, 1])
def test_who_waits_for_work_hears_that_the_other_has_ended(leaver, root):
    """Without torchrun, which would end both; such waits have no end of their own."""
    codes, errors = start(2, root, "-c", LEAVES, str(leaver), timeout=300)
    assert codes == ([2, 1] if leaver == 0 else [1, 2])
    assert f"rank {leaver} of 2 has ended" in errors[1 - leaver]


def test_alone_tables_are_whole():
    x = torch.arange(6.0).view(3, 2)
    assert WHOLE.rows(x) is x
    assert WHOLE.total(x) is x
    assert WHOLE.sums is None
    assert WHOLE.added is None
    assert WHOLE.block(2) is None
    assert WHOLE.alike(x)[0] is x
    assert WHOLE.part(x) is x
    assert WHOLE.sum(x.sum(), 3) == 15
    assert x[WHOLE.share(3)].shape == (3, 2)
    assert columns_to_rows(x, World()) is x
    assert rows_to_columns(x, World(), 3) is x


def test_columns_and_shares_of_a_batch_cut_evenly():
    table = torch.arange(24.0).view(2, 12)
    parts = [Columns(World(rank, 4), 12).own(table) for rank in range(4)]
    assert torch.equal(torch.cat(parts, 1), table)
    for count in (4, 7, 100):
        shares = [Columns(World(rank, 4), 12).share(count) for rank in range(4)]
        assert [i for one in shares for i in range(count)[one]] == list(range(count))
    assert Columns(World(1, 4), 12).share(3) == slice(None)  # fewer rows than processes
    assert [len(row_range(10, World(rank, 4))) for rank in range(4)] == [2, 3, 2, 3]


def test_processes_that_do_not_divide_the_columns_are_refused():
    with pytest.raises(ConfigError, match=r"16 columns .* 3 processes. Start 1, 2, 4, 8, 16"):
        Columns(World(0, 3), 16)


@pytest.mark.parametrize(
    ("name", "settings", "width"),
    [
        ("lightkg", {}, 8),
        ("cfkg", {}, 8),
        ("cke", {}, 8),
        ("kgfuse", {}, 8),
        ("kgin", {}, 8),
        ("kgat", {}, 8),
        ("kgat", {"dim": 9, "layer_dims": (6, 4)}, 4),
    ],
)
def test_models_that_three_processes_do_not_divide_are_refused(name, settings, width):
    data = planted("knowledge")
    model = build_model(choose(name, "default", {"dim": 8, **settings}), data, 0)
    before = [(key, value.shape) for key, value in model.named_parameters()]
    with pytest.raises(ConfigError, match=f"^{width} columns are not divided by 3 processes"):
        Apart(model, model.plan(), World(2, 3))
    assert before == [(key, value.shape) for key, value in model.named_parameters()]


def test_every_process_says_that_it_does_not_fit(root, tmp_path):
    """Exit code 2 and one line each, and nothing is written."""
    out = tmp_path / "run"
    words = ["-m", "kgrec", "-q", "train", "films", "--model", "kgin", "--out", str(out)]
    codes, errors = start(2, root, *words, "--set", "parallel=columns", "--set", "dim=7")
    assert codes == [2, 2], errors
    for rank, error in enumerate(errors):
        line = f"kgrec: rank {rank}: 7 columns are not divided by 2 processes."
        assert error.startswith(line), error
        assert error.count("\n") == 1
    assert not out.exists()


NO_MEMORY = """
import os, sys
from kgrec import cli
from kgrec.training import step
if os.environ["RANK"] == "1":
    def full(*_):
        raise MemoryError
    step.TrainingStep.__call__ = full
sys.exit(cli.run(sys.argv[1:]))
"""


def test_a_rank_without_memory_says_so_and_the_other_ends(root, tmp_path):
    words = ["-q", "train", "films", "--model", "bprmf", "--out", str(tmp_path / "run")]
    words += ["--set", "parallel=columns", "--set", "epochs=1"]
    codes, errors = start(2, root, "-c", NO_MEMORY, *words, KGREC_PEER_TIMEOUT="30")
    assert codes == [2, 2], errors
    last = [error.splitlines()[-1] for error in errors]  # torch may speak of its sockets before
    assert last[0].startswith("kgrec: rank 0 of 2 has lost the others")
    assert last[1].startswith("kgrec: rank 1: the memory of this machine does not suffice")
    assert "Traceback" not in "".join(errors)


DIES = """
import os, sys
import kgrec.cli
if os.environ["RANK"] == "0":
    kgrec.cli._run = lambda arguments: os.kill(os.getpid(), 9)
sys.exit(kgrec.cli.run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_first_builds_while_others_wait(root, tmp_path):
    """One dataset, the same as alone; bad input is told once, and all end with its code."""
    log = tmp_path / "log.csv"
    log.write_text("user,item,time\n" + "".join(f"u{n % 7},i{n % 5},{n}\n" for n in range(35)))
    words = ["build", "--interactions", str(log), "--split", "random", "--out"]
    codes, errors = start(2, root, "-m", "kgrec", *words, str(tmp_path / "two"))
    assert codes == [0, 0], errors
    assert run([*words, str(tmp_path / "one")]) == 0
    sums = [
        json.loads((tmp_path / name / "manifest.json").read_text())["files"]
        for name in ("one", "two")
    ]
    for files in sums:
        del files["dataset.json"]  # which has its name
    assert sums[0] == sums[1]
    assert sums[0]

    bad = [*words[:2], str(tmp_path / "absent.csv"), *words[3:], str(tmp_path / "none")]
    codes, errors = start(2, root, "-m", "kgrec", *bad)
    assert codes == [2, 2]
    assert [error.count("kgrec: ") for error in errors] == [1, 0]

    codes, errors = start(2, root, "-c", DIES, *words, str(tmp_path / "none"))
    assert codes == [-9, 2]
    # torch speaks of its sockets around the line
    assert errors[1].count("kgrec: rank 1 of 2 has lost the others") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_torchrun_of_one_process_changes_no_byte(root, tmp_path):
    """And of two that cannot start it says so, and exits with 1."""
    words = ["-m", "kgrec", "-q", "train", "films", "--model", "lightgcn", "--set", "epochs=2"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    plain = {key: value for key, value in os.environ.items() if key not in names}

    def done(name, *before, more=()):
        command = [sys.executable, *before, *words, *more, "--out", str(tmp_path / name)]
        environment = plain | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=600, cwd=root
        )

    assert done("plain").returncode == 0
    assert done("one", *torchrun, "1").returncode == 0
    pair = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("plain", "one")]
    assert pair[0] == pair[1]

    refused = done("two", *torchrun, "2", more=("--set", "parallel=columns", "--set", "dim=7"))
    assert refused.returncode == 1
    for rank in (0, 1):
        assert f"kgrec: rank {rank}: 7 columns are not divided by 2 processes" in refused.stderr
    assert "ChildFailedError" in refused.stderr
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("model", ["lightgcn", "sasrec", "gru4rec"])
def test_why_the_first_trains_alone_is_one_line(model):
    """By ``parallel=auto``: by columns it does not pay, shares of a batch are for who asks."""
    why = {
        "lightgcn": "more processes share one machine's memory and cores, which one process has "
        "alone; parallel=columns splits it anyway",
        "sasrec": "parallel=data has them share its batches",
        "gru4rec": "GRU4Rec cannot be split over processes",
    }[model]
    settings = {"gru4rec": {"loss": "top1"}}.get(model, {})
    data = with_times(planted("knowledge"))
    chosen = choose(model, "default", settings)
    made = build_model(chosen, data, 0)
    device = torch.device("cpu")
    found = declined(made, made.plan(), chosen.train, len(data.train), device, 2)
    assert found == why


def test_torch_distributed_is_imported_where_it_is_used(root):
    """torch loads parts of it by itself; kgrec asks for it in a world of several only."""
    for path in (root / "kgrec/scale").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "distributed" not in ast.unparse(node), path


def lone(root, tmp_path, rank, **values):
    """Run one process of two that never finds the other."""
    base = {"RANK": rank, "WORLD_SIZE": "2", "KGREC_PEER_TIMEOUT": "2", "PYTHONPATH": str(root)}
    words = [
        "train",
        "films",
        "--model",
        "bprmf",
        "--set",
        "epochs=1",
        "--out",
        str(tmp_path / "r"),
    ]
    return subprocess.run(
        [sys.executable, "-m", "kgrec", "-q", *words],
        env=dict(os.environ) | base | values,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=root,
    )


def test_a_taken_port_is_one_line(root, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = lone(root, tmp_path, "0", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("kgrec: rank 0 of 2 has lost the others")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_a_host_that_is_not_there_is_one_line(root, tmp_path):
    done = lone(root, tmp_path, "1", MASTER_ADDR="no-such-host.invalid", MASTER_PORT="29511")
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("kgrec: rank 1 of 2 has lost the others")
    assert "no-such-host.invalid" in done.stderr


def test_a_timeout_is_a_number(environment, monkeypatch):
    environment(RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="1")
    monkeypatch.setenv("KGREC_PEER_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match="KGREC_PEER_TIMEOUT='soon'"):
        World.here().hear()


def test_errors_name_the_rank_once(environment, capsys):
    environment(RANK="1", WORLD_SIZE="2")
    assert run(["info", "films"]) == 2
    assert capsys.readouterr().err.startswith(
        "kgrec: rank 1: kgrec info is the work of one process"
    )
    assert issubclass(WorldError, RuntimeError)
