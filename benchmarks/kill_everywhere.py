"""kill -9 at every file operation of every command, and at random moments of trainings: does what
is left open, go on, and run again?

python benchmarks/kill_everywhere.py [--every 1] [--modes kill,full] [--only TEXT] [--trainings 100]

Each command runs in processes of its own (forks of one that has the imports ready and has computed
nothing), on a dataset of 72 interactions. A table follows: file operations, times ended, dead ends,
names lost, leftovers after the next run, results that differ, and commands that met a full disk
with more than one line.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HARNESS = ROOT / "tests" / "faults.py"
COLUMNS = ("operations", "ends", "dead_ends", "names_lost", "leftovers", "different", "said")


def main() -> None:
    """Sweep every command, print a line for each, and exit with 1 where something was found."""
    sys.path.insert(0, str(HARNESS.parent))
    from faults import SCENARIOS, prepare_raw

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every n-th operation")
    parser.add_argument("--modes", default="kill,full")
    parser.add_argument("--only", default="", help="commands whose name holds this")
    parser.add_argument(
        "--trainings", type=int, default=100, help="random kills in trainings; 0 leaves them out"
    )
    chosen = parser.parse_args()
    names = [name for name in SCENARIOS if chosen.only in name]
    if not names:
        parser.error(f"no command's name holds {chosen.only!r}: {', '.join(SCENARIOS)}")

    environment = {
        **os.environ,
        "POLARS_MAX_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    wrong = 0
    print("command".ljust(20), *(column.rjust(11) for column in COLUMNS), "seconds".rjust(8))

    with tempfile.TemporaryDirectory() as scratch:
        call = [
            sys.executable,
            str(HARNESS),
            scratch,
            *names,
            "--modes",
            chosen.modes,
            "--every",
            str(chosen.every),
        ]
        began = time.perf_counter()

        with subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                found = json.loads(line)
                counts = [
                    found[column] if isinstance(found[column], int) else len(found[column])
                    for column in COLUMNS
                ]
                now = time.perf_counter()
                print(
                    found["scenario"].ljust(20),
                    *(str(count).rjust(11) for count in counts),
                    f"{now - began:8.0f}",
                    flush=True,
                )

                for kind in COLUMNS[2:]:
                    for one in found[kind][:3]:
                        print(f"  {kind}: {one}")

                wrong, began = wrong + sum(counts[2:]), now

        wrong += process.returncode
        if chosen.trainings:
            prepare_raw(Path(scratch) / "raw")
            data = str(Path(scratch) / "data")
            subprocess.run(
                [sys.executable, "-m", "kgrec", "-q", "build", f"{scratch}/raw", "--out", data],
                env=environment,
                check=True,
            )

            settings = [
                "--data",
                data,
                "--model",
                "bprmf",
                "--epochs",
                "40",
                "--times",
                str(chosen.trainings),
                "--quick",
            ]
            call = [sys.executable, str(ROOT / "benchmarks" / "kill_resume.py"), *settings]
            wrong += subprocess.run(call, env=environment, check=False).returncode

    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
