"""Click-through figures of ml1m-kg, labels drawn by the recipe of the papers: docs/results/ctr.md.

python benchmarks/click_through.py --models kgcn ripplenet mkr     train and evaluate; what is
                                                                   there is not run again
python benchmarks/click_through.py --report                        write docs/results/ctr.md

The dataset is `kgrec build --negatives 1`: of each user as many unused films as used ones, all rows
then divided 6:2:2. A model takes the settings that `results.py ml-100k` found (--found), else its
default preset. Intervals are 95 % by bootstrap over users. Data lie in KGREC_SHARED_DATA, else
../shared/data.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from results import capped
from scipy.stats import rankdata

import kgrec
from kgrec.models.catalog import MODELS

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
FAMILY = ("kgcn", "kgnn-ls", "ripplenet", "mkr", "ckan", "mcclk")
BESIDE = ("popularity", "bprmf", "lightgcn", "lightgcn-kg", "kgat", "ktup")
METRICS = ("auc", "gauc", "f1", "accuracy", "logloss", "calibration", "ece")
DRAWS = 200


def dataset(out: Path) -> str:
    """Return the folder of the labeled dataset."""
    place = out / "dataset"
    if not place.is_dir():
        folder = SHARED / "ml1m-kg"
        kgrec.Dataset.build(
            folder / "interactions.tsv.gz",
            folder / "wikipedia-films.nt.gz",
            links=folder / "links.tsv.gz",
            negatives=1,
            seed=555,
            name="ml1m-kg-ctr",
        ).save(place)
    return str(place)


def settings_of(model: str, found: Path) -> tuple[dict[str, Any], str]:
    """Return a model's settings and where they come from."""
    kept = found / model / "best.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text())["settings"]), "found on ml-100k"
    return {}, "default"


def intervals(rows: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of AUC and F1 by bootstrap over users."""
    user = rows["user"].rank("dense").to_numpy().astype(np.int64) - 1
    order = np.argsort(user, kind="stable")
    bounds = np.searchsorted(user[order], np.arange(user.max() + 2))
    label = rows["label"].to_numpy()
    score = rows["score"].to_numpy()
    predicted = rows["probability"].to_numpy() >= 0.5
    generator = np.random.default_rng(0)
    values: dict[str, list[float]] = {"auc": [], "f1": []}

    for _ in range(DRAWS):
        users = generator.integers(user.max() + 1, size=user.max() + 1)
        drawn = np.concatenate([order[bounds[one] : bounds[one + 1]] for one in users])
        clicked = label[drawn]
        positives = int(clicked.sum())
        ranks = rankdata(score[drawn])[clicked].sum() - positives * (positives + 1) / 2
        values["auc"].append(ranks / (positives * (len(drawn) - positives)))
        right = int((predicted[drawn] & clicked).sum())
        values["f1"].append(2 * right / max(positives + int(predicted[drawn].sum()), 1))

    return {
        name: (float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975)))
        for name, found in values.items()
    }


def measure(model: str, out: Path, found: Path, cap: float) -> None:
    """Train one model and evaluate it on the labeled test rows, and by full ranking."""
    kept = out / f"{model}.json"
    if kept.is_file():
        return

    settings, source = settings_of(model, found)
    began = time.monotonic()
    run, cut = capped(model, dataset(out), 0, settings, cap)
    seconds = time.monotonic() - began
    report = run.evaluate(protocol="ctr")
    assert report.rows is not None
    record = {
        "metrics": report.metrics,
        "intervals": intervals(report.rows),
        "ranking": run.evaluate(k=(20,)).metrics,
        "settings": source,
        "epochs": run.summary["epochs"],
        "seconds": seconds,
        "capped": cut,
    }
    out.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{model}: " + " ".join(f"{m} {report.metrics[m]:.4f}" for m in METRICS), flush=True)


def short(value: float) -> str:
    """Return a figure without its leading zero."""
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.4f}"


def report(out: Path, place: Path) -> None:
    """Write the table."""
    lines = [
        f"| model | {' | '.join(METRICS)} | recall@20 | ndcg@20 | epochs | s | settings |",
        "|---|" + "---|" * (len(METRICS) + 5),
    ]
    models = [name for name in (*FAMILY, *BESIDE) if name in MODELS]
    missing = [model for model in models if not (out / f"{model}.json").is_file()]

    for model in models:
        if model in missing:
            continue

        record = json.loads((out / f"{model}.json").read_text())
        cells = []
        for metric in METRICS:
            text = short(record["metrics"][metric])
            if metric in record["intervals"]:
                text += " ({}-{})".format(*map(short, record["intervals"][metric]))
            cells.append(text)

        cells += [short(record["ranking"][name]) for name in ("recall@20", "ndcg@20")]
        cut = " (cut)" if record["capped"] else ""
        lines.append(
            f"| **{model}**{cut} | {' | '.join(cells)} | {record['epochs']} | "
            f"{record['seconds']:.0f} | {record['settings']} |"
        )

    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]

    start, end = "<!-- table -->\n", "<!-- end of table -->\n"
    text = place.read_text() if place.is_file() else f"# Click-through rate\n\n{start}{end}"
    before, _, rest = text.partition(start)
    place.write_text(before + start + "\n".join(lines) + "\n" + end + rest.partition(end)[2])
    print("\n".join(lines))


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=[*FAMILY, *BESIDE])
    parser.add_argument("--cap", type=float, default=360, help="seconds of a training")
    parser.add_argument("--found", type=Path, default=Path("bench/ml-100k"))
    parser.add_argument("--out", type=Path, default=Path("bench/ctr"))
    parser.add_argument("--doc", type=Path, default=Path("docs/results/ctr.md"))
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()

    if chosen.report:
        report(chosen.out, chosen.doc)
        return
    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: not there. Set KGREC_SHARED_DATA to the folder with the data sets.")

    for model in chosen.models:
        measure(model, chosen.out, chosen.found, chosen.cap)


if __name__ == "__main__":
    main()
