"""What choosing the epoch by the test part is worth: a published recipe on ml-100k, chosen by the
validation part and by the test part.

python benchmarks/selection.py [--models lightgcn] [--seeds 0 1 2] [--preset official]

Both trainings draw the same and see the same interactions (the split is given), so that they differ
in the epoch that is kept alone.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import mean

from results import SHARED, dataset, spread

import kgrec

METRICS = ("recall@20", "ndcg@20")


def main() -> None:
    """Print a row per model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["lightgcn"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="official")
    chosen = parser.parse_args()

    if not (SHARED / "ml-100k").is_dir():
        sys.exit(
            f"{SHARED / 'ml-100k'}: not there. Set KGREC_SHARED_DATA to the folder with the data "
            "sets."
        )

    with tempfile.TemporaryDirectory() as place:
        data = dataset("ml-100k", Path(place))
        for model in chosen.models:
            for selection in ("valid", "paper"):
                runs = [
                    kgrec.fit(model, data, preset=chosen.preset, selection=selection, seed=seed)
                    for seed in chosen.seeds
                ]
                cells = [
                    f"{metric} {spread([run.summary['test'][metric] for run in runs])}"
                    for metric in METRICS
                ]
                epochs = ", ".join(
                    f"{run.summary['best_epoch']} of {run.summary['epochs']}" for run in runs
                )
                seconds = mean(run.summary["seconds"] for run in runs)
                label = f"{model} ({runs[0].summary['selection']})"
                print(
                    f"{label:28}{'   '.join(cells)}   best epoch {epochs}, {seconds:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
