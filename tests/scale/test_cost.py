"""The cost model: formulas by hand, and what it advises."""

import json

import pytest
import torch

from kgrec.cli import run
from kgrec.errors import ConfigError
from kgrec.runs.run import build_model
from kgrec.runs.settings import choose
from kgrec.scale.cost import (
    H200X8,
    Hardware,
    Work,
    advise,
    bytes_of,
    cpus,
    dense_bytes,
    step_seconds,
)
from kgrec.testing.worlds import planted
from kgrec.training.parallel.decision import declined, hardware_of, work_of

GOWALLA = Work(70_839, 1_600_000, layers=3, batch=2048, interactions=810_128)
BILLION = Work(50_000_000, 2_000_000_000, layers=3, batch=1_000_000)


def test_bytes_by_hand():
    # 5,694 rows of 64 columns, 4 processes: 2 x 5,694 x 16 x 3 x 4
    assert bytes_of("gather", rows=5694, dim=64, world=4) == 2_186_496
    # 2,049 numbers: 2 x 3 / 4 x 2,049 x 4
    assert bytes_of("scores", rows=2049, world=4) == 12_294
    assert bytes_of("scores", rows=2049, world=2) == 8_196
    assert bytes_of("columns_to_rows", rows=800, dim=8, world=4) == 800 * 8 * 4 * 3 // 16
    assert bytes_of("lookup", rows=24_576, dim=64, world=8) == 24_576 * (8 + 512) * 7 // 8
    assert all(bytes_of(kind, rows=8, dim=8) == 0 for kind in ("gather", "scores", "lookup"))


def test_bytes_of_dense_layers_by_hand():
    # of 800 rows two tables of 8 columns go out and one comes back, and the gradients: 3 x 2 times
    # 800 x 8 x 4 x 3 / 16; of the last layer's 100 rows 2 (2 x 8 + 4) x 100 x 4 x 3 / 16
    found = dense_bytes((8, 8, 4), nodes=800, rows=100, world=4)
    assert found == 6 * 4_800 + 3_000
    assert dense_bytes((8,), nodes=800, rows=100, world=4) == 0
    assert dense_bytes((8, 8), nodes=800, rows=100, world=1) == 0
    work = Work(800, 10, dim=8, layers=2, batch=4, widths=(8, 8, 4), sums=16)
    scores = bytes_of("scores", rows=5 + 16, world=4)
    assert work.sent(4) == scores + dense_bytes((8, 8, 4), nodes=800, rows=work.rows, world=4)
    assert work.exchanges == 2 + 2 * 6 + 2 * 2


def test_dense_layers_pay_where_tables_are_large():
    """Of KGAT over 184 thousand nodes, two processes exchange about what they save."""
    books = {"nodes": 184_000, "edges": 6_400_000, "batch": 1024}
    assert advise(Work(**books), H200X8, (1, 2)).best == 2
    assert advise(Work(**books, widths=(64, 64, 64, 64)), H200X8, (1, 2)).best == 1
    large = Work(20_000_000, 300_000_000, batch=1024, widths=(64, 64, 64, 64))
    found = advise(large, H200X8, (1, 8))
    assert found.best == 8
    # 25 ms of products and Adam, as little as 3 x .44 n d s over the links
    assert found.rows[1].step_seconds == pytest.approx(0.036, rel=0.1)
    assert advise(Work(**books, widths=(64, 20)), H200X8, (1, 8)).rows[1].note.startswith("20 col")


@pytest.mark.parametrize("name", ["kgat", "kgin"])
def test_two_processes_on_cpus_are_declined_in_a_line(name):
    data = planted("knowledge")
    chosen = choose(name, "default", {})
    model = build_model(chosen, data, 0)
    plan = model.plan()
    work = work_of(model, plan, chosen.train, len(data.train))
    assert work.nodes >= data.num_users + data.num_entities
    assert work.sums > 2 * work.nodes if name == "kgin" else work.widths == (64, 64)
    why = declined(model, plan, chosen.train, len(data.train), torch.device("cpu"), 2)
    assert why == (
        "more processes share one machine's memory and cores, which one process has alone; "
        "parallel=columns splits it anyway"
    )


def test_shared_batches_by_hand():
    """A million numbers whole and a table of 2^20 x 16 apart, 100 ms a step, eight processes."""
    work = Work(1 << 20, 0, dim=16, dense=1_000_000, looked=8192, seconds=0.1)
    assert bytes_of("gradients", rows=1_000_000, world=8) == 7_000_000
    assert work.sent(8) == 7_000_000 + 1024 * (8 + 2 * 64) * 7 // 8
    assert work.memory(8) == 16 * (1_000_000 + (1 << 21))
    alone = step_seconds(work, H200X8, 8)
    assert alone == pytest.approx(0.0125 + 40e-6 + work.sent(8) / 350e9 + 30e-6)
    assert step_seconds(work, H200X8, 1) == 0.1
    found = advise(work, H200X8, (1, 2, 8))
    assert (found.best, found.parallel) == (8, "data")
    assert advise(work, cpus(2, 1 << 34), (1, 2)).best == 1
    with pytest.raises(ConfigError, match="dense needs the seconds"):
        Work(1, 0, dense=5)
    with pytest.raises(ConfigError, match="seconds=-1"):
        Work(1, 0, dense=5, seconds=-1.0)


def test_seconds_by_hand():
    """Gowalla on one H200: a product moves 1.6 M x 264 + 2 x 70,839 x 256 bytes from the cache."""
    product = 1_600_000 * (256 + 8) + 2 * 70_839 * 256
    touched = 2 * GOWALLA.rows / 70_839
    moved = (4 + 2 * touched) * product + 28 * 70_839 * 64
    assert step_seconds(GOWALLA, H200X8, 1) == pytest.approx(moved / 5.5e12 + 30e-6)
    assert step_seconds(GOWALLA, H200X8, 1) == pytest.approx(0.41e-3, rel=0.05)
    assert step_seconds(GOWALLA, H200X8, 8) == pytest.approx(0.1e-3, rel=0.35)


def test_memory_is_that_of_the_design():
    assert BILLION.memory(1) == 1536 * BILLION.nodes + 12 * BILLION.edges + 8 * BILLION.nodes
    assert BILLION.memory(8) < BILLION.memory(1) / 2


@pytest.mark.parametrize("hardware", [H200X8, cpus(2, 16 << 30)])
def test_gowalla_is_for_one_process(hardware):
    found = advise(GOWALLA, hardware, (1, 2, 4, 8, 16))
    assert (found.best, found.parallel) == (1, "none")


def test_two_billion_edges_are_for_eight():
    found = advise(BILLION, H200X8, (1, 2, 4, 8, 16))
    assert (found.best, found.parallel) == (8, "columns")
    assert "16 bytes" in found.rows[-1].note
    wide = advise(Work(50_000_000, 2_000_000_000, dim=128, batch=1_000_000), H200X8, (1, 8, 16))
    assert wide.best == 16
    assert not wide.rows[0].fits


def test_a_graph_that_does_not_fit_is_said():
    found = advise(Work(10**9, 10**11), H200X8, (1, 8))
    assert found.best == 0
    assert "each process holds the graph" in found.reason


def test_a_gpu_has_its_own_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "small")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 24 << 30))
    found = hardware_of(torch.device("cuda"))
    assert (found.name, found.memory, found.link) == ("small", 24 << 30, H200X8.link)


def test_bad_descriptions_are_refused():
    with pytest.raises(ConfigError, match="nodes=0"):
        Work(0, 1)
    with pytest.raises(ConfigError, match="size=3"):
        Work(1, 1, size=3)
    with pytest.raises(
        (ConfigError, TypeError), match="widths"
    ):  # TypeError: where types are checked
        Work(1, 1, widths=64)
    with pytest.raises(ConfigError, match="widths=0: expected a whole number from 1"):
        Work(1, 1, widths=[8, 0])
    with pytest.raises(ConfigError, match="sums=-1"):
        Work(1, 1, sums=-1)
    with pytest.raises(ConfigError, match="--world"):
        advise(GOWALLA, H200X8, (0,))
    with pytest.raises(ConfigError, match="cache is missing"):
        Hardware.of({"name": "mine"} | {name: 1 for name in ("bandwidth", "link")}, "mine.toml")


def test_doctor_reads_a_description(tmp_path, capsys):
    file = tmp_path / "big.toml"
    file.write_text(
        "nodes = 50_000_000\nedges = 2_000_000_000\nbatch = 1_000_000\nwidths = [64, 64]\n"
    )
    words = ["doctor", str(file), "--world", "1,2,4,8,16", "--hardware", "h200x8"]
    assert run(words) == 0
    assert "On h200x8: columns, 8." in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == 8


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("edges = 3\n", (), "has nodes and edges"),
        ("nodes = 3\nedges = 3\ncolor = 1\n", (), "not color"),
        ("nodes = [", (), "not a TOML file"),
        ("nodes = 3\nedges = 3\n", ("--hardware", "abacus"), "not one of cpu, h200x8"),
        ("nodes = 3\nedges = 3\n", ("--hardware", "none.toml"), "none.toml: no such file"),
        ("nodes = 3\nedges = 3\n", ("--world", "1,x"), "expected numbers of processes"),
    ],
)
def test_doctor_refuses_in_one_line(tmp_path, capsys, text, words, message):
    file = tmp_path / "data.toml"
    file.write_text(text)
    assert run(["doctor", str(file), "--world", "1,2", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_shared_batches_are_measured_here(capsys, monkeypatch):
    monkeypatch.setattr("kgrec.runs.doctor.step_seconds", lambda data, model, given: 0.25)
    assert run(["doctor", "films", "--model", "sasrec", "--world", "1,2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][0]["step_seconds"] == 0.25
    assert found["rows"][1]["sent_bytes"] > 0
    words = ["doctor", "films", "--model", "sasrec", "--world", "1,2", "--hardware", "h200x8"]
    assert run(words) == 2
    assert "measured" in capsys.readouterr().err
