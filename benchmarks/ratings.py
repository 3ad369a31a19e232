"""Errors of predicted ratings beside Surprise's: docs/results/ratings.md.

python benchmarks/ratings.py                        train and evaluate ours; what is there by the
                                                    same settings is not computed again
python benchmarks/ratings.py --peers PYTHON         Surprise's, by the interpreter of an environment
                                                    that peers/environments.py makes
python benchmarks/ratings.py --report               write docs/results/ratings.md

ml-100k, all ratings divided 80/20 at random, one draw for every row of the table. An eighth of the
80 % is for validation: it stops our trials, and on both sides chooses among as many settings as
--trials says, the first of which are each side's defaults. Then each seed trains on all of the 80 %,
ours for as many epochs as were best in the trial, and is evaluated on the 20 % once. Seconds are of
the processor. Data lie in KGREC_SHARED_DATA, else ../shared/data.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import polars as pl

import kgrec
from kgrec.data.records.interactions import concatenate

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
PARTS = {"train": 0.7, "valid": 0.1, "test": 0.2}
KEYS = {"user": pl.String, "item": pl.String}
DRAWS = 1000
Settings = dict[str, Any]

OURS: dict[str, list[Settings]] = {
    "biasedmf": [
        {},
        {"l2_weight": 0.05},
        {"learning_rate": 0.002},
        {"dim": 100, "learning_rate": 0.002},
    ],
    "svdpp": [
        {},
        {"l2_weight": 0.05},
        {"learning_rate": 0.002},
        {"dim": 100, "learning_rate": 0.002},
    ],
    "autorec": [{}, {"l2_weight": 0.2}, {"l2_weight": 0.5}, {"dim": 500, "l2_weight": 0.2}],
    "ntn-rating": [{}, {"l2_weight": 0.03}, {"task_weight": 4.0}, {"dim": 16, "l2_weight": 0.03}],
}
PEERS: dict[str, list[Settings]] = {
    "SVD": [
        {},
        {"n_factors": 50, "n_epochs": 50, "reg_all": 0.1},
        {"n_factors": 100, "n_epochs": 100, "reg_all": 0.1},
        {"n_factors": 50, "n_epochs": 30, "reg_all": 0.05},
    ],
    "SVDpp": [
        {},
        {"n_epochs": 50, "reg_all": 0.1},
        {"n_epochs": 40, "reg_all": 0.05},
        {"n_factors": 50, "n_epochs": 50, "reg_all": 0.1},
    ],
    "KNNBaseline": [
        {},
        {"sim_options": {"name": "pearson_baseline", "user_based": False}},
        {"sim_options": {"name": "pearson_baseline"}},
        {"k": 80, "sim_options": {"name": "pearson_baseline", "user_based": False}},
    ],
    "BaselineOnly": [
        {},
        {"bsl_options": {"reg_u": 5, "reg_i": 3}},
        {"bsl_options": {"reg_u": 5, "reg_i": 10, "n_epochs": 20}},
        {"bsl_options": {"reg_u": 10, "reg_i": 5, "n_epochs": 20}},
    ],
}
SEEDLESS = ("KNNBaseline", "BaselineOnly")

_ONE = """
import csv, json, sys, time
import surprise
job = json.load(sys.stdin)
def rows(names):
    for name in names:
        with open(name, newline="") as file:
            for user, item, rating in list(csv.reader(file, delimiter="\\t"))[1:]:
                yield user, item, float(rating), None
reader = surprise.Reader(rating_scale=(1, 5))
data = surprise.Dataset(reader)
train = data.construct_trainset(list(rows(job["train"])))
settings = dict(job["settings"])
if job["seed"] is not None:
    settings["random_state"] = job["seed"]
if job["model"] in ("KNNBaseline", "BaselineOnly"):
    settings["verbose"] = False
model = getattr(surprise, job["model"])(**settings)
began = time.process_time()
model.fit(train)
seconds = time.process_time() - began
found = [model.predict(user, item).est for user, item, _, _ in rows([job["test"]])]
print(json.dumps({"prediction": found, "seconds": seconds, "version": surprise.__version__}))
"""


def parts(out: Path) -> dict[str, Path]:
    """Return the files of the parts, drawn from the ratings where they are not there yet."""
    places = {name: out / f"{name}.tsv" for name in PARTS}
    if all(place.is_file() for place in places.values()):
        return places

    out.mkdir(parents=True, exist_ok=True)
    rows = pl.read_csv(
        SHARED / "ml-100k" / "ml-100k.inter",
        separator="\t",
        schema_overrides={"user_id:token": pl.String, "item_id:token": pl.String},
    ).select(user="user_id:token", item="item_id:token", rating="rating:float")
    order = np.random.default_rng(0).permutation(rows.height)
    bounds = np.rint(np.cumsum(list(PARTS.values())) * rows.height).astype(int)
    for place, own in zip(places.values(), np.split(order, bounds[:-1]), strict=True):
        rows[np.sort(own)].write_csv(place, separator="\t")
    return places


def ours(model: str, settings: Settings, seed: int, out: Path, on: str) -> Settings:
    """Train one of ours; return its predictions of a part, and what they took."""
    files = parts(out)
    data = kgrec.Dataset.build(**files, rating="rating")
    if on == "test":
        whole = concatenate([data.train, data.valid])
        data = replace(data, train=whole, valid=data.valid.take(np.zeros(len(data.valid), bool)))
    began = time.process_time()
    run = kgrec.fit(model, data, seed=seed, fallback="off", **settings)
    seconds = time.process_time() - began
    rows = run.evaluate(protocol="rating", on=on).rows
    wanted = pl.read_csv(files[on], separator="\t", schema_overrides=KEYS)
    found = wanted.join(rows, on=["user", "item"], how="left", maintain_order="left")
    return {
        "prediction": found["prediction"].to_list(),
        "seconds": seconds,
        "epochs": run.summary["best_epoch"],
    }


def theirs(python: Path, model: str, settings: Settings, seed: int, out: Path, on: str) -> Settings:
    """Train one of Surprise's; return its predictions of a part, and what they took."""
    files = parts(out)
    trained = ["train"] if on == "valid" else ["train", "valid"]
    job = {
        "model": model,
        "settings": settings,
        "seed": None if model in SEEDLESS else seed,
        "train": [str(files[name].absolute()) for name in trained],
        "test": str(files[on].absolute()),
    }
    done = subprocess.run(
        [str(python), "-c", _ONE],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        sys.exit(f"{python}: {model} failed: {last[:200]}")
    return dict(json.loads(done.stdout))


def evaluated(result: Settings, out: Path, on: str) -> Settings:
    """Return errors on a part, with a 95 % interval of RMSE by bootstrap over its users."""
    rows = pl.read_csv(parts(out)[on], separator="\t", schema_overrides=KEYS)
    error = rows["rating"].to_numpy() - np.array(result.pop("prediction"))
    user = rows["user"].rank("dense").to_numpy().astype(np.int64) - 1
    squares = np.bincount(user, np.square(error))
    counts = np.bincount(user)
    drawn = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    spread = np.sqrt(squares[drawn].sum(1) / counts[drawn].sum(1))
    low, high = np.quantile(spread, [0.025, 0.975])
    return result | {
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mae": float(np.abs(error).mean()),
        "interval": [float(low), float(high)],
    }


def measure(model: str, chosen: argparse.Namespace) -> None:
    """Choose a model's settings on validation, then train on everything but the test part."""

    def one(settings: Settings, seed: int, on: str) -> Settings:
        if model in OURS:
            result = ours(model, settings, seed, chosen.out, on)
        else:
            result = theirs(chosen.peers.absolute(), model, settings, seed, chosen.out, on)
        return evaluated(result, chosen.out, on)

    def kept(name: str, settings: Settings, seed: int, on: str) -> Settings:
        place: Path = chosen.out / model / f"{name}.json"
        if not place.is_file() or json.loads(place.read_text())["settings"] != settings:
            place.parent.mkdir(parents=True, exist_ok=True)
            record = one(settings, seed, on) | {"settings": settings}
            place.write_text(json.dumps(record, indent=1) + "\n")
            print(f"{model} {name}: rmse {record['rmse']:.4f} mae {record['mae']:.4f}", flush=True)
        return dict(json.loads(place.read_text()))

    tried = [
        kept(f"trial-{number}", settings, 0, "valid")
        for number, settings in enumerate((OURS | PEERS)[model][: chosen.trials])
    ]
    final = chosen_of(tried)
    for seed in chosen.seeds[:1] if model in SEEDLESS else chosen.seeds:
        kept(f"seed-{seed}", final, seed, "test")


def chosen_of(tried: list[Settings]) -> Settings:
    """Return the settings that validation chose; of ours with the epochs that were best."""
    best = min(tried, key=lambda trial: trial["rmse"])
    found: Settings = best["settings"]
    return found | {"epochs": best["epochs"], "patience": 0} if "epochs" in best else found


def report(out: Path, place: Path) -> None:
    """Write the table, of what lies in ``out`` and of the records beside the page."""
    kept = place.parent / "records" / f"{place.stem}.json"
    records: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    for model in (*OURS, *PEERS):
        seeds = {path.stem: json.loads(path.read_text()) for path in found(out, model, "seed")}
        tried = [json.loads(path.read_text()) for path in found(out, model, "trial")]
        # what an earlier search chose is no seed of this one
        seeds = {name: seed for name, seed in seeds.items() if seed["settings"] == chosen_of(tried)}
        if seeds:
            records[model] = {"seeds": seeds, "trials": tried}

    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(records, indent=1) + "\n")
    lines = [
        "| model | RMSE | 95 % | MAE | seeds | trials | s of trials | s to train | settings |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(model, records[model]) for model in (*OURS, *PEERS) if model in records),
    ]
    missing = [model for model in (*OURS, *PEERS) if model not in records]
    if missing:
        lines += ["", f"Not run: {', '.join(missing)}."]

    start, end = "<!-- table -->\n", "<!-- end of table -->\n"
    text = place.read_text() if place.is_file() else f"# Ratings\n\n{start}{end}"
    before, _, rest = text.partition(start)
    place.write_text(before + start + "\n".join(lines) + "\n" + end + rest.partition(end)[2])
    print("\n".join(lines))


def found(out: Path, model: str, kind: str) -> list[Path]:
    """Return a model's files of trials or seeds."""
    return sorted((out / model).glob(f"{kind}-*.json"))


def row(model: str, record: Settings) -> str:
    """Return a model's line: means and standard deviations over seeds."""
    seeds = list(record["seeds"].values())
    low, high = np.mean([seed["interval"] for seed in seeds], axis=0)
    label = f"**{model}**" if model in OURS else f"Surprise {model}"
    names = ", ".join(name.removeprefix("seed-") for name in record["seeds"])
    told = ", ".join(f"{name} {value}" for name, value in seeds[0]["settings"].items())
    cells = [
        label,
        spread([seed["rmse"] for seed in seeds]),
        f"{low:.4f}-{high:.4f}",
        spread([seed["mae"] for seed in seeds]),
        "-" if model in SEEDLESS else names,
        str(len(record["trials"])),
        f"{sum(trial['seconds'] for trial in record['trials']):.1f}",
        f"{mean(seed['seconds'] for seed in seeds):.1f}",
        told or "default",
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    """Return mean and standard deviation."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=[*OURS, *PEERS])
    parser.add_argument("--trials", type=int, default=4, choices=range(1, 5))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--peers", type=Path, help="Surprise's interpreter")
    parser.add_argument("--out", type=Path, default=Path("bench/ratings"))
    parser.add_argument("--doc", type=Path, default=Path("docs/results/ratings.md"))
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()

    if chosen.report:
        report(chosen.out, chosen.doc)
        return
    if not SHARED.is_dir():
        sys.exit(f"{SHARED}: not there. Set KGREC_SHARED_DATA to the folder with the data sets.")

    models = chosen.models or (OURS if chosen.peers is None else PEERS)
    if chosen.peers is None and set(models) & set(PEERS):
        sys.exit("Surprise's models need its interpreter: add --peers PYTHON.")
    for model in models:
        measure(model, chosen)


if __name__ == "__main__":
    main()
