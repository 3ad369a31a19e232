"""Models on bundled graphs with fixed seeds: accuracy, seconds per epoch, peak memory. Each
training is its own process.

python benchmarks/models.py [--graphs films] [--models kgat lightgcn] [--seeds 0 1 2] [--out
results.json]
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

from kgrec.data.formats import bundled
from kgrec.models.catalog import MODELS

ONE = """
import json, sys
import kgrec
run = kgrec.fit(sys.argv[1], sys.argv[2], seed=int(sys.argv[3]), preset=sys.argv[4])
print(json.dumps(run.summary))
"""
COLUMNS = ("recall@20", "ndcg@20")


def measure(model: str, graph: str, seed: int, preset: str = "default") -> dict[str, object]:
    """Return the summary of one training in a fresh process, so that its peak memory is its own."""
    preset = preset if preset in MODELS[model].load()[2] else "default"
    call = [sys.executable, "-c", ONE, model, graph, str(seed), preset]
    # Idle OpenMP threads sleep, as in the command line: other work on the machine then costs only
    # its share.
    done = subprocess.run(
        call,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    summary: dict[str, object] = json.loads(done.stdout)
    return {"graph": graph, **summary}


def spread(values: list[float]) -> str:
    """Return mean and standard deviation as text."""
    return f"{mean(values):.4f} ± {stdev(values):.4f}" if len(values) > 1 else f"{values[0]:.4f}"


def main() -> None:
    """Measure, print one line per model and graph, and write every summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", nargs="+", default=bundled.names())
    parser.add_argument(
        "--models",
        nargs="+",
        default=[name for name, entry in MODELS.items() if "texts" not in entry.needs],
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    chosen = parser.parse_args()
    print(
        f"{'graph':10} {'model':14} {'recall@20':>18} {'ndcg@20':>18} {'epochs':>7} "
        f"{'s/epoch':>8} {'MiB':>7}"
    )
    results = []

    for graph in chosen.graphs:
        for model in chosen.models:
            runs = [measure(model, graph, seed) for seed in chosen.seeds]
            results += runs
            cells = [spread([run["test"][name] for run in runs]) for name in COLUMNS]
            epochs, seconds, memory = (
                mean(run[key] for run in runs)
                for key in ("epochs", "seconds_per_epoch", "peak_memory_bytes")
            )
            print(
                f"{graph:10} {model:14} {cells[0]:>18} {cells[1]:>18} {epochs:7.0f} "
                f"{seconds:8.3f} {memory / 2**20:7.0f}",
                flush=True,
            )

    chosen.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
