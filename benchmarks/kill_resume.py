"""kill -9 at random moments of a training: does the run open, does --resume finish, are the weights those of the uninterrupted run?

python benchmarks/kill_resume.py [--data films] [--model kgat] [--times 10] [--epochs 12]
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import kgrec


def command(arguments: argparse.Namespace, out: Path, *more: str) -> list[str]:
    """Return one ``kgrec train`` call."""
    fixed = ["--set", f"epochs={arguments.epochs}", "--set", "patience=0", "--seed", "5", "--out", str(out)]
    return [sys.executable, "-m", "kgrec", "-q", "train", arguments.data, "--model", arguments.model, *fixed, *more]


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a stored run."""
    return kgrec.load_run(path).model.state_dict()


def main() -> None:
    """Train once undisturbed, then kill, open, resume and compare, and print a line for each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="films")
    parser.add_argument("--model", default="kgat")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=12)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        began = time.perf_counter()
        subprocess.run(command(chosen, whole), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        expected = weights(whole)
        print(f"{chosen.model} on {chosen.data}: {seconds:.1f} s undisturbed")
        failures = 0
        for turn in range(chosen.times):
            out = Path(scratch) / f"killed-{turn}"
            moment = float(rng.uniform(0.1, 1.0)) * seconds
            process = subprocess.Popen(command(chosen, out), stdout=subprocess.DEVNULL)
            try:
                process.wait(moment)
                state = "finished before the signal"
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                state = "no folder yet"
            if out.is_dir():
                opened = kgrec.load_run(out)
                assert len(opened.recommend(opened.data.users.key(0), k=3)) == 3
                state = f"opens after epoch {len(opened.history)}"
            subprocess.run(command(chosen, out, "--resume"), check=True, stdout=subprocess.DEVNULL)
            found = weights(out)
            equal = found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
            left = [path.name for path in Path(scratch).iterdir() if path.name.startswith(".")]
            failures += not equal
            print(
                f"killed at {moment:5.1f} s: {state}; resumed: {'equal bit for bit' if equal else 'DIFFERENT'}; stale folders {left}",
                flush=True,
            )
        print(f"{chosen.times - failures} of {chosen.times} equal")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
