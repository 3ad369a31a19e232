"""Graph models with the paper's pairwise loss, at RecBole's settings and budget:
docs/results/same-budget.md.

python benchmarks/same_budget.py --models lightgcn kgat --seeds 0 1 2     train and rank; what is
there is not computed again python benchmarks/same_budget.py --report
write docs/results/same-budget.md from what is there

Nothing is tuned here: settings are those of RecBole 1.2.1's own model files, the learning rates
those of its runs, and training stops as its runs did. The data are looked for in KGREC_SHARED_DATA,
else in ../shared/data.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from results import METRICS, PEER_NAMES, dataset, peers, spread

import kgrec

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
SPLITS = {"ml-100k": "split", "ml-100k-linked": "split-linked"}

# Every RecBole run: at most 300 epochs of batches of 2,048, stopped after 10 epochs without a
# better NDCG@10 on validation.
BUDGET: dict[str, Any] = {
    "epochs": 300,
    "batch_size": 2048,
    "patience": 10,
    "validate_every": 1,
    "metric": "ndcg@10",
}
GCN = {"loss": "bpr", "num_layers": 2, "init": "glorot", "learning_rate": 5e-3}

# RecBole takes L2 of un-squared norms, which kgrec has not: weights stay kgrec's defaults, but for
# models without any there.
SETTINGS: dict[str, dict[str, Any]] = {
    # Its Xavier normal start has standard deviations of .045 (users) and .034 (items).
    "bprmf": {"item_bias": False, "l2_weight": 0.0, "init_scale": 0.04, "learning_rate": 1e-3},
    "lightgcn": GCN,
    "lightgcn-kg": GCN,
    "cke": {
        "loss": "bpr",
        "zero_offsets": False,
        "item_prior": "sum",
        "kg_batch_size": 2048,
        "learning_rate": 5e-3,
    },
    "cfkg": {
        "score": "inner",
        "loss": "sampling",
        "negatives": 1,
        "kg_weight": 1.0,
        "l2_weight": 0.0,
        "init_scale": 0.04,
        "learning_rate": 1e-3,
    },
    # Its run was cut at epoch 24 by a limit on its time, so ours is, too; its 91,631 triples last
    # 45 steps.
    "kgat": {
        "loss": "bpr",
        "layer_dims": (64,),
        "message_dropout": 0.1,
        "leaky_slope": 0.01,
        "kg_batch_size": 2048,
        "kg_steps": 45,
        "learning_rate": 5e-3,
        "epochs": 24,
    },
    "kgin": {
        "loss": "bpr",
        "num_layers": 2,
        "independence": "cosine",
        "node_dropout": 0.5,
        "message_dropout": 0.0,
        "learning_rate": 5e-3,
    },
}


def train(name: str, model: str, seed: int, out: Path) -> None:
    """Train and rank once, and keep the result."""
    kept = out / name / f"{model}-{seed}.json"
    if kept.is_file():
        return

    run = kgrec.fit(model, dataset(name, out / name), seed=seed, **BUDGET | SETTINGS[model])
    report = run.evaluate(k=(10, 20))
    kept.write_text(
        json.dumps({"summary": run.summary, "metrics": report.metrics}, indent=1) + "\n"
    )
    told = " ".join(f"{metric} {report.metrics[metric]:.4f}" for metric in METRICS)
    print(
        f"{name} {model} seed {seed}: {told}, best epoch {run.summary['best_epoch']} of "
        f"{run.summary['epochs']}",
        flush=True,
    )


def table(name: str, out: Path) -> list[str]:
    """Return the rows of one split, RecBole's below ours."""
    beside = peers(SPLITS[name])
    lines = [
        f"| model | {' | '.join(METRICS)} | seeds | epochs | best epoch |",
        "|---|" + "---|" * (len(METRICS) + 3),
    ]

    for model in SETTINGS:
        records = [
            json.loads(path.read_text())
            for path in sorted((out / name).glob(f"{model}-[0-9]*.json"))
        ]
        if not records:
            continue

        cells = [spread([record["metrics"][metric] for record in records]) for metric in METRICS]
        epochs = [
            ", ".join(str(record["summary"][key]) for record in records)
            for key in ("epochs", "best_epoch")
        ]
        lines.append(
            f"| **{model}**, pairwise loss | {' | '.join(cells)} | {len(records)} | "
            f"{' | '.join(epochs)} |"
        )
        theirs = beside.get(PEER_NAMES.get(model, ""))
        if theirs:
            lines.append(
                f"| RecBole {PEER_NAMES[model]} | {' | '.join([*theirs[:4], theirs[5], ''])} | 1 "
                "|  |  |"
            )

    return lines


def report(out: Path, place: Path) -> None:
    """Put the tables between the markers of the page."""
    start, end = "<!-- table -->\n", "<!-- end of table -->\n"
    before, _, rest = place.read_text().partition(start)
    lines = []
    for name, split in SPLITS.items():
        lines += [f"## `{split}`", "", *table(name, out), ""]

    place.write_text(before + start + "\n".join(lines) + end + rest.partition(end)[2])
    print("\n".join(lines))


def main() -> None:
    """Train what is missing, or write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    parser.add_argument("--models", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("bench/same-budget"))
    parser.add_argument("--report", action="store_true", help="write the page instead of training")
    chosen = parser.parse_args()

    if chosen.report:
        report(chosen.out, Path("docs/results/same-budget.md"))
        return

    if not (SHARED / "ml-100k").is_dir():
        sys.exit(
            f"{SHARED / 'ml-100k'}: not there. Set KGREC_SHARED_DATA to the folder with the data "
            "sets."
        )

    for seed in chosen.seeds:
        for name in chosen.data:
            for model in chosen.models:
                train(name, model, seed, chosen.out)


if __name__ == "__main__":
    main()
