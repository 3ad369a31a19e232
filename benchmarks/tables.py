"""Does a graph made from a table of items help? ml-100k with the titles, years and genres of
ml-100k.item, KGAT beside LightGCN.

python benchmarks/tables.py [--models lightgcn kgat lightgcn-kg] [--seeds 0 1 2] [--preset default]
[--years decade] [--out tables.json] python benchmarks/tables.py --only-build            the
commands of a user, and what they report; trains nothing

Everything goes through the commands: `kgrec build` with the fixed split of the shared data, then
`kgrec train` and `kgrec compare`, each in its own process. Reads ml-100k (KGREC_SHARED_DATA, else
../shared/data).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from models import spread

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")


def kgrec(*arguments: object) -> str:
    """Run one command and return what it prints."""
    call = [sys.executable, "-m", "kgrec", "-q", *map(str, arguments)]
    done = subprocess.run(
        call, capture_output=True, text=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    )
    if done.returncode:
        sys.exit(f"{' '.join(call)}\n{done.stderr}")

    return done.stdout


def build(out: Path, years: str) -> dict[str, object]:
    """Make the dataset from the log and the table, print what became of the columns, and return the
    summary.
    """
    folder = SHARED / "ml-100k"
    split = [
        part
        for name in ("train", "valid", "test")
        for part in (f"--{name}", folder / "split" / f"{name}.tsv")
    ]
    table = ["--items", folder / "ml-100k.item", "--items-set", f"years={years}"]
    summary: dict[str, object] = json.loads(kgrec("build", *split, *table, "--out", out, "--json"))
    print(kgrec("info", out), flush=True)
    return summary


def main() -> None:
    """Build, train each model with each seed, and print a line per model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["lightgcn", "kgat", "lightgcn-kg"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--years", choices=("year", "decade"), default="year")
    parser.add_argument("--only-build", action="store_true")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        results: dict[str, object] = {"dataset": build(data, chosen.years)}
        if chosen.only_build:
            return

        settings = [part for pair in chosen.settings for part in ("--set", pair)]
        print(
            f"{'model':14}"
            + "".join(f"{name:>18}" for name in METRICS)
            + f"{'epochs':>8}{'s/epoch':>9}",
            flush=True,
        )

        for model in chosen.models:
            runs = []
            for seed in chosen.seeds:
                out = Path(place) / f"{model}-{seed}"
                told = kgrec(
                    "train",
                    data,
                    "--model",
                    model,
                    "--preset",
                    chosen.preset,
                    "--seed",
                    seed,
                    *settings,
                    "--out",
                    out,
                    "--json",
                )
                runs.append(json.loads(told))

            cells = [spread([run["test"][metric] for run in runs]) for metric in METRICS]
            epochs, seconds = (
                sum(run[key] for run in runs) / len(runs) for key in ("epochs", "seconds_per_epoch")
            )
            print(
                f"{model:14}"
                + "".join(f"{cell:>18}" for cell in cells)
                + f"{epochs:8.0f}{seconds:9.2f}",
                flush=True,
            )
            results[model] = runs

        first, *others = (Path(place) / f"{model}-{chosen.seeds[0]}" for model in chosen.models)
        for other in others:
            print(kgrec("compare", first, other), flush=True)

    if chosen.out is not None:
        chosen.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
