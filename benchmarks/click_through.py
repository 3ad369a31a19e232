"""Click-through figures, labels drawn by the recipe of the papers: docs/results/ctr.md.

python benchmarks/click_through.py --models kgcn ripplenet mkr     train and evaluate; what is
                                                                   there is not run again
python benchmarks/click_through.py --models fm fm-kg --data dkn-news
python benchmarks/click_through.py --users 500                     of ml1m-kg, users drawn at random
python benchmarks/click_through.py --report                        write docs/results/ctr.md

ml1m-kg is `kgrec build --negatives 1`: of each user as many unused films as used ones, all rows
then divided 6:2:2. dkn-news has labels of its own; that a title names an entity is a triple there.
The models over fields are run without triples and (-kg) with them. Models of labeled pairs are
stopped by AUC on validation. Settings are those that `results.py ml-100k` found (--found), else of
a preset (--preset). Seconds are of the processor, so that what else a machine does cuts nothing.
Intervals are 95 % by bootstrap over users, of one training with seed 0. What a report found stays in
records/ beside the page, and a later one adds to it. Data lie in KGREC_SHARED_DATA, else
../shared/data.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from results import capped
from scipy.stats import rankdata

import kgrec
from kgrec.data import Vocabulary
from kgrec.models.catalog import find

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
FAMILY = ("kgcn", "kgnn-ls", "ripplenet", "mkr", "ckan", "mcclk")
FIELDS = tuple(
    f"{name}{ending}"
    for name in ("fm", "ffm", "nfm", "deepfm", "widedeep")
    for ending in ("", "-kg")
)
BESIDE = ("popularity", "bprmf", "lightgcn", "lightgcn-kg", "kgat", "ktup", "kgfuse")
METRICS = ("auc", "gauc", "f1", "accuracy", "logloss", "calibration", "ece")
DRAWS = 200
SEED = 555
DATA = ("ml1m-kg", "dkn-news")


def with_mentions(data: kgrec.Dataset) -> kgrec.Dataset:
    """Return news with a triple for each entity that a title names."""
    item, entity = np.unique(data.content.mentions[:, [0, 3]], axis=0).T.astype(np.int32)
    triples = replace(
        data.triples,
        relations=Vocabulary(["mentions"], kind="relation"),
        head=item,
        relation=np.zeros_like(item),
        tail=entity,
        source=np.zeros(len(item), np.uint16),
        locator=np.arange(1, len(item) + 1),
        sources=("titles",),
        relation_labels=pl.Series("label", ["mentions"]),
    )
    return replace(data, triples=triples, name="dkn-news-ctr")


def sampled(users: int) -> pl.DataFrame:
    """Return the interactions of ml1m-kg, of so many users drawn at random; 0 takes all."""
    rows = pl.read_csv(SHARED / "ml1m-kg" / "interactions.tsv.gz", separator="\t")
    known = rows["user_id"].unique().sort()
    if not 0 <= users <= len(known):
        sys.exit(f"--users {users}: ml1m-kg has {len(known):,} users. Take fewer, or 0 for all.")
    if not users:
        return rows
    return rows.filter(pl.col("user_id").is_in(known.sample(users, seed=SEED).implode()))


def dataset(out: Path, name: str, users: int) -> str:
    """Return the folder of the labeled dataset."""
    place = out / f"dataset-{named(name, users)}"
    if place.is_dir():
        return str(place)

    if name == "dkn-news":
        with_mentions(kgrec.load(SHARED / name)).save(place)
    else:
        folder = SHARED / "ml1m-kg"
        kgrec.Dataset.build(
            sampled(users),
            folder / "wikipedia-films.nt.gz",
            links=folder / "links.tsv.gz",
            negatives=1,
            seed=SEED,
            name="ml1m-kg-ctr",
        ).save(place)
    return str(place)


def settings_of(model: str, found: Path, preset: str) -> tuple[dict[str, Any], str]:
    """Return a model's settings and where they come from."""
    kept = found / model / "best.json"
    if kept.is_file():
        return dict(json.loads(kept.read_text())["settings"]), "found on ml-100k"
    preset = preset if preset in find(model).load()[2] else "default"
    if model in (*FAMILY, *FIELDS):
        return {"preset": preset, "metric": "auc"}, f"{preset}, by AUC"
    return {"preset": preset}, preset


def intervals(rows: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of AUC, GAUC, F1 and log loss by bootstrap over users."""
    user = rows["user"].rank("dense").to_numpy().astype(np.int64) - 1
    order = np.argsort(user, kind="stable")
    bounds = np.searchsorted(user[order], np.arange(user.max() + 2))
    label = rows["label"].to_numpy()
    score = rows["score"].to_numpy()
    probability = rows["probability"].to_numpy()
    predicted = probability >= 0.5
    loss = -np.log(np.clip(np.where(label, probability, 1 - probability), 1e-7, 1))
    own = [auc_of(score[at], label[at]) for at in np.split(order, bounds[1:-1])]
    size = np.where(np.isnan(own), 0, np.diff(bounds))
    generator = np.random.default_rng(0)
    values: dict[str, list[float]] = {"auc": [], "gauc": [], "f1": [], "logloss": []}

    for _ in range(DRAWS):
        users = generator.integers(user.max() + 1, size=user.max() + 1)
        drawn = np.concatenate([order[bounds[one] : bounds[one + 1]] for one in users])
        clicked = label[drawn]
        positives = int(clicked.sum())
        values["auc"].append(auc_of(score[drawn], clicked))
        values["gauc"].append(np.nansum(np.array(own)[users] * size[users]) / size[users].sum())
        right = int((predicted[drawn] & clicked).sum())
        values["f1"].append(2 * right / max(positives + int(predicted[drawn].sum()), 1))
        values["logloss"].append(loss[drawn].mean())

    return {
        name: (float(np.nanquantile(found, 0.025)), float(np.nanquantile(found, 0.975)))
        for name, found in values.items()
    }


def auc_of(score: np.ndarray, label: np.ndarray) -> float:
    """Return the share of pairs in the right order, ties counting half; nan for one label."""
    positives = int(label.sum())
    pairs = positives * (len(label) - positives)
    if not pairs:
        return float("nan")
    return float((rankdata(score)[label].sum() - positives * (positives + 1) / 2) / pairs)


def named(data: str, users: int) -> str:
    """Return what a data set, or a sample of its users, is called."""
    return f"{data}-{users}" if users and data == "ml1m-kg" else data


def measure(model: str, chosen: argparse.Namespace) -> None:
    """Train one model and evaluate it on the labeled test rows; on films by full ranking, too."""
    kept: Path = chosen.out / f"{named(chosen.data, chosen.users)}-{model}.json"
    if kept.is_file():
        return

    folder = dataset(chosen.out, chosen.data, chosen.users)
    settings, source = settings_of(model, chosen.found, chosen.preset)
    began = time.process_time()
    run, cut = capped(model, folder, 0, settings, chosen.cap, time.process_time)
    seconds = time.process_time() - began
    report = run.evaluate(protocol="ctr")
    assert report.rows is not None
    record = {
        "metrics": report.metrics,
        "intervals": intervals(report.rows),
        "ranking": run.evaluate(k=(20,)).metrics if chosen.data == "ml1m-kg" else {},
        "settings": source,
        "epochs": run.summary["epochs"],
        "seconds": seconds,
        "capped": cut,
    }
    kept.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{model}: " + " ".join(f"{m} {report.metrics[m]:.4f}" for m in METRICS), flush=True)


def short(value: float) -> str:
    """Return a figure without its leading zero."""
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.4f}"


def report(out: Path, place: Path, users: int) -> None:
    """Write the tables, of what lies in ``out`` and of the records beside the page."""
    kept = place.parent / "records" / f"{place.stem}.json"
    records: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    lines = []
    for data in (named("ml1m-kg", users), "dkn-news"):
        models = FIELDS if data == "dkn-news" else (*FAMILY, *FIELDS, *BESIDE)
        own = records.setdefault(data, {})
        for model in models:
            if (file := out / f"{data}-{model}.json").is_file():
                own[model] = json.loads(file.read_text())
        lines += [f"## {data}", "", *table(own, models), ""]

    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(records, indent=1) + "\n")
    start, end = "<!-- table -->\n", "<!-- end of table -->\n"
    text = place.read_text() if place.is_file() else f"# Click-through rate\n\n{start}{end}"
    before, _, rest = text.partition(start)
    place.write_text(before + start + "\n".join(lines) + end + rest.partition(end)[2])
    print("\n".join(lines))


def table(records: dict[str, Any], models: tuple[str, ...]) -> list[str]:
    """Return the lines of a data set's table."""
    ranking = ("recall@20", "ndcg@20") if any(one["ranking"] for one in records.values()) else ()
    lines = [
        f"| model | {' | '.join((*METRICS, *ranking))} | epochs | s | settings |",
        "|---|" + "---|" * (len(METRICS) + len(ranking) + 3),
    ]
    for model in models:
        if model not in records:
            continue

        record = records[model]
        cells = []
        for metric in METRICS:
            text = short(record["metrics"][metric])
            if metric in record["intervals"]:
                text += " ({}-{})".format(*map(short, record["intervals"][metric]))
            cells.append(text)

        cells += [short(record["ranking"][name]) for name in ranking]
        cut = " (cut)" if record["capped"] else ""
        lines.append(
            f"| **{model}**{cut} | {' | '.join(cells)} | {record['epochs']} | "
            f"{record['seconds']:.0f} | {record['settings']} |"
        )

    if missing := [model for model in models if model not in records]:
        lines += ["", f"Not run: {', '.join(missing)}."]
    return lines


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=sorted({*FAMILY, *FIELDS, *BESIDE}))
    parser.add_argument("--data", choices=DATA, default="ml1m-kg")
    parser.add_argument("--users", type=int, default=0, help="of ml1m-kg, 0 for all")
    parser.add_argument("--cap", type=float, default=360, help="seconds of a training")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--found", type=Path, default=Path("bench/ml-100k"))
    parser.add_argument("--out", type=Path, default=Path("bench/ctr"))
    parser.add_argument("--doc", type=Path, default=Path("docs/results/ctr.md"))
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()

    if chosen.report:
        report(chosen.out, chosen.doc, chosen.users)
        return
    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: not there. Set KGREC_SHARED_DATA to the folder with the data sets.")

    chosen.out.mkdir(parents=True, exist_ok=True)
    every = FIELDS if chosen.data == "dkn-news" else (*FAMILY, *FIELDS, *BESIDE)
    for model in chosen.models or every:
        measure(model, chosen)


if __name__ == "__main__":
    main()
