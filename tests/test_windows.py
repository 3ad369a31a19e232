"""What only Unix has is neither imported nor called on the way of a command: a stand-in for
Windows, on which nothing is tried here.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kgrec import process
from kgrec.testing import worlds

_SCRIPT = """
import os, signal, sys

for name in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix_ipc", "readline"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
for name in ("fork", "sysconf", "getuid", "geteuid", "getgid", "mkfifo", "killpg"):
    vars(os).pop(name, None)
for name in ("SIGALRM", "SIGKILL", "SIGHUP", "setitimer", "alarm"):
    vars(signal).pop(name, None)

from kgrec.cli import run

sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return worlds.cold_items().save(tmp_path_factory.mktemp("windows") / "d").path


@pytest.fixture
def command(forks, tmp_path):
    def told(*arguments):
        done = forks.run(["-c", _SCRIPT, *arguments], tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return told


def kilobytes(file, name):
    return next(
        int(line.split()[1]) * 1024
        for line in Path(file).read_text().splitlines()
        if line.startswith(name)
    )


def test_train_measures_memory(dataset, tmp_path, command):
    small = ["--set", "epochs=1", "--set", "dim=4"]
    told = json.loads(
        command(
            "train", dataset, "--model", "lightgcn-kg", "--out", tmp_path / "r", *small, "--json"
        )
    )
    assert 1e7 < told["peak_memory_bytes"] < 1e11
    assert command("recommend", tmp_path / "r", "--user", "u1", "-k", "2")


def test_doctor_knows_the_machine(dataset, command):
    told = json.loads(command("doctor", dataset, "--model", "bprmf", "--json"))
    assert "Error" not in json.dumps(told)
    assert command("doctor")
    if sys.platform == "linux":
        assert told["environment"]["memory_bytes"] == kilobytes("/proc/meminfo", "MemTotal")


def test_the_peak_is_that_of_the_system(monkeypatch):
    block = bytearray(64 << 20)
    told = process.peak_memory()
    assert 64 << 20 < told < 1 << 40
    resource = pytest.importorskip("resource", reason="compares with what Unix says")
    monkeypatch.setattr(process, "_linux", lambda file, name: None)
    assert process.peak_memory() == pytest.approx(told, rel=0.2)
    assert resource
    assert len(block)


def test_on_windows_psutil_says_it(monkeypatch):
    class Process:
        def memory_info(self):
            return SimpleNamespace(rss=5, peak_wset=7)

    memory = SimpleNamespace(total=11)
    monkeypatch.setitem(
        sys.modules, "psutil", SimpleNamespace(Process=Process, virtual_memory=lambda: memory)
    )
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(process, "_linux", lambda file, name: None)
    monkeypatch.setattr(process.sys, "platform", "win32")
    assert (process.peak_memory(), process.total_memory()) == (7, 11)
