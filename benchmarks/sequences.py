"""The next item of each user, by models over histories: ours beside RecBole's, leave-one-out on
ml1m-kg.

python benchmarks/sequences.py --models sasrec gru4rec ease popularity [--cap 600]
    train each on every seed by its preset "default", at most --cap processor seconds a training
python benchmarks/sequences.py --models sasrec gru4rec --peers PEERS/bin/python
    RecBole's models of these names at its shipped settings, by the same cap (scripts: --peer-scripts)
python benchmarks/sequences.py --report
    add what is there to docs/results/records/sequences.json, and write docs/results/sequences.md

The last item of each user is held out for test, the one before for validation; both sides read the
same order, since films that were rated in the same second come in ours. RecBole's evaluation leaves
films of the history among the candidates of its sequential models; they are taken out here, as
everywhere in kgrec. One thread: OMP_NUM_THREADS=1. The data are looked for in KGREC_SHARED_DATA, else
in ../shared/data.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from peers import IN_ORDER, SEQUENTIAL, SPACES, Peer
from results import SHARED, capped, put_between_marks

import kgrec
from kgrec.data.records.parts import PARTS

NAME = "ml1m-in-order"
RECORDS = Path("docs/results/records/sequences.json")
PAGE = Path("docs/results/sequences.md")
METRICS = ("hit@10", "ndcg@10", "hit@20", "ndcg@20", "mrr@20")
MODELS = ("sasrec", "gru4rec", "youtubednn", "youtubednn-seq", "ease", "itemknn", "popularity")

# Called in RecBole's process before its script: of a batch of its sequential models, what is in the
# history of a row is no candidate.
MASK = """
import numpy as np
import recbole.data as data
import recbole.trainer.trainer as trainer
make, plain, order = data.create_dataset, trainer.Trainer._full_sort_batch_eval, {}
def made(config):
    found = make(config)
    rows = found.inter_feat
    for user, item, at in zip(*(np.asarray(rows[name]) for name in ("user_id", "item_id", "timestamp"))):
        order.setdefault(user, {})[item] = at
    return found
def masked(self, batch):
    interaction, scores, rows, targets = plain(self, batch)
    for row, (user, target) in enumerate(zip(interaction["user_id"].numpy(), targets.numpy())):
        before = [item for item, at in order[user].items() if at < order[user][target]]
        scores[row, before] = -np.inf
    return interaction, scores, rows, targets
data.create_dataset, trainer.Trainer._full_sort_batch_eval = made, masked
"""


def dataset(out: Path) -> Path:
    """Return the folder of the dataset, built now or before."""
    place = out / "dataset"
    if not place.is_dir():
        log = SHARED / "ml1m-kg" / "interactions.tsv.gz"
        kgrec.Dataset.build(str(log), split="leave-one-out", name=NAME).save(place)
    return place


def atomic_file(out: Path) -> Path:
    """Return the folder of the same histories as RecBole's file, positions instead of times."""
    place = out / "recbole" / NAME / f"{NAME}.inter"
    if place.exists():
        return place.parent.parent

    data = kgrec.load(str(dataset(out)))
    parts = [getattr(data, name) for name in PARTS]
    rows = pl.concat(
        pl.DataFrame({"user": one.user, "item": one.item, "time": one.time, "part": part})
        for part, one in enumerate(parts)
    ).sort("user", "part", "time", "item")
    rows = rows.with_columns(at=pl.int_range(pl.len()).over("user"))

    place.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        {
            "user_id:token": rows["user"],
            "item_id:token": rows["item"],
            "timestamp:float": rows["at"],
        }
    ).write_csv(place, separator="\t")
    return place.parent.parent


def ours(model: str, seed: int, out: Path, cap: float) -> dict[str, Any]:
    """Train and rank one of our models."""
    began = time.process_time()
    run, cut = capped(model, str(dataset(out)), seed, {}, cap, clock=time.process_time)
    seconds = time.process_time() - began
    means = run.evaluate(k=(10, 20)).to_dict()["metrics"]
    return {
        "metrics": {name: means[name] for name in METRICS},
        "epochs": run.summary["epochs"],
        "seconds": seconds,
        "cut": cut,
        "cap": cap,
    }


def theirs(model: str, seed: int, out: Path, cap: float, peer: Peer) -> dict[str, Any]:
    """Train and rank one of RecBole's models."""
    found = peer.train(
        SPACES[model][0],
        {**IN_ORDER, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}},
        cap,
        seed=seed,
        name=NAME,
        before=MASK,
    )
    if "failed" in found:
        return {"failed": found["failed"], "cap": cap}

    return {
        "metrics": {name: found["test"][name] for name in METRICS if name in found["test"]},
        "epochs": found["epochs"],
        "seconds": found["t_fit"],
        "cut": found["capped"],
        "cap": cap,
    }


def row(name: str, seeds: dict[str, dict[str, Any]]) -> str:
    """Return a line of the table."""
    done = [seed for seed in seeds.values() if "failed" not in seed]
    if not done:
        return f"| {name} | {next(iter(seeds.values()))['failed']} |" + " |" * (len(METRICS) + 2)

    cells = []
    for metric in METRICS:
        values = np.array([seed["metrics"][metric] for seed in done])
        spread = f" ± {values.std(ddof=1):.4f}".replace("0.", ".") if len(values) > 1 else ""
        cells.append(f"{values.mean():.4f}"[1:] + spread)

    cut = " (cut)" if any(seed["cut"] for seed in done) else ""
    epochs = ", ".join(str(seed["epochs"]) for seed in done)
    seconds = np.mean([seed["seconds"] for seed in done])
    return f"| {name}{cut} | {' | '.join(cells)} | {epochs} | {seconds:.0f} | {len(done)} |"


def report(out: Path) -> None:
    """Add what is there to the records, and put the table between the marks of the page."""
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.exists() else {}
    for place in sorted(out.glob("rows/*/seed-*.json")):
        found = json.loads(place.read_text(encoding="utf-8"))
        records.setdefault(place.parent.name, {})[place.stem] = found

    RECORDS.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    head = ["model", *METRICS, "epochs", "s to train", "seeds"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in sorted(records, key=lambda name: name.removeprefix("recbole-")):
        peer = name.startswith("recbole-")
        shown = f"RecBole {SPACES[name.removeprefix('recbole-')][0]}" if peer else f"**{name}**"
        lines.append(row(shown, records[name]))

    missing = [name for name in MODELS if name not in records]
    missing += [f"RecBole's {name}" for name in SEQUENTIAL if f"recbole-{name}" not in records]
    lines += ["", f"Not run: {', '.join(missing)}."] if missing else []
    put_between_marks(PAGE, "\n".join(lines))


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cap", type=float, default=600.0, help="processor seconds of a training")
    parser.add_argument("--out", type=Path, default=Path("bench/sequences"))
    parser.add_argument("--peers", type=Path, help="RecBole's interpreter")
    parser.add_argument("--peer-scripts", type=Path, default=Path("../shared/peers"))
    parser.add_argument("--report", action="store_true", help="write the page")
    chosen = parser.parse_args()
    if chosen.report:
        report(chosen.out)
        return

    for model in chosen.models:
        closed = model in ("ease", "itemknn", "popularity")
        for seed in chosen.seeds[:1] if closed else chosen.seeds:
            name = model if chosen.peers is None else f"recbole-{model}"
            place = chosen.out / "rows" / name / f"seed-{seed}.json"
            if place.exists():
                continue

            if chosen.peers is None:
                found = ours(model, seed, chosen.out, chosen.cap)
            else:
                folder = atomic_file(chosen.out.absolute())
                peer = Peer(chosen.peers.absolute(), chosen.peer_scripts.resolve(), folder, True)
                found = theirs(model, seed, chosen.out, chosen.cap, peer)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(f"{name} seed {seed}: {found.get('metrics') or found['failed']}", flush=True)


if __name__ == "__main__":
    main()
