"""kill -9 at random moments of a training: does the run open, does --resume finish, are the weights
those of the uninterrupted run?

python benchmarks/kill_resume.py [--data films] [--model kgat] [--times 10] [--epochs 12] [--quick]

With --quick every training is a fork of one process with the imports ready, and a checkpoint
follows every epoch: a hundred kills in minutes.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import kgrec
from kgrec.cli import run
from kgrec.runs import fit as fitting
from kgrec.training.checkpoint import read_tensors


def command(arguments: argparse.Namespace, out: Path, *more: str) -> list[str]:
    """Return one ``kgrec train`` call."""
    fixed = [
        "--set",
        f"epochs={arguments.epochs}",
        "--set",
        "patience=0",
        "--seed",
        "5",
        "--out",
        str(out),
    ]
    return [
        sys.executable,
        "-m",
        "kgrec",
        "-q",
        "train",
        arguments.data,
        "--model",
        arguments.model,
        *fixed,
        *more,
    ]


class Fork:
    """A command in a fork, with what is needed of ``subprocess.Popen``."""

    def __init__(self, arguments: list[str]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            fitting._SECONDS_BETWEEN_CHECKPOINTS = 0.0
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = 1

            try:
                code = run(arguments)
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None and (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(found[1])
        return self.returncode

    def wait(self, timeout: float = 600.0) -> int:
        """Return the exit code."""
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("kgrec train", timeout)
            time.sleep(0.002)

        return code

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)


def started(arguments: argparse.Namespace, out: Path, *more: str) -> subprocess.Popen[bytes] | Fork:
    """Start one call, as a process of its own or as a fork of this one."""
    call = command(arguments, out, *more)
    return Fork(call[3:]) if arguments.quick else subprocess.Popen(call, stdout=subprocess.DEVNULL)


def wait_for(out: Path, process: subprocess.Popen[bytes] | Fork) -> None:
    """Wait until a training has put its folder in place."""
    while not (out / "config.json").exists() and process.poll() is None:
        time.sleep(0.002)


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a stored run."""
    return read_tensors(path / "model.safetensors")[0]


def state_of(path: Path) -> str:
    """Open a run, rank by it, and say where it stands; in a fork, so that this process stays fit to
    be forked.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        opened = kgrec.load_run(path)
        assert len(opened.recommend(opened.data.users.key(0), k=3)) == 3
        os.write(write, f"opens after epoch {len(opened.history)}".encode())
        os._exit(0)

    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()

    os.waitpid(child, 0)
    assert said, f"{path} does not open"
    return said


def main() -> None:
    """Train once undisturbed, then kill, open, resume and compare, and print a line for each
    time.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="films")
    parser.add_argument("--model", default="kgat")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)

    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        process = started(chosen, whole)
        wait_for(whole, process)
        began = time.perf_counter()
        assert process.wait() == 0
        seconds = time.perf_counter() - began
        expected = weights(whole)
        print(
            f"{chosen.model} on {chosen.data}: {seconds:.1f} s undisturbed from the first file on"
        )
        failures = 0

        for turn in range(chosen.times):
            out = Path(scratch) / f"killed-{turn}"
            process = started(chosen, out)

            if (
                turn % 10
            ):  # one of ten is killed at any moment since its start, the others while they train
                wait_for(out, process)

            moment = float(rng.uniform(0.0, 1.0)) * seconds
            try:
                process.wait(moment)
                state = "finished before the signal"
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                state = "no folder yet"

            if out.is_dir():
                state = state_of(out)

            assert started(chosen, out, "--resume").wait() == 0
            found = weights(out)
            equal = found.keys() == expected.keys() and all(
                torch.equal(found[name], expected[name]) for name in expected
            )
            left = [path.name for path in Path(scratch).iterdir() if path.name.startswith(".")]
            failures += not equal
            print(
                f"killed at {moment:5.1f} s: {state}; resumed: "
                f"{'equal bit for bit' if equal else 'DIFFERENT'}; stale folders {left}",
                flush=True,
            )

        print(f"{chosen.times - failures} of {chosen.times} equal")

    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
