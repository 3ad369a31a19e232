"""Other toolkits on a dataset's split, by an equal budget: a search on validation, then several
seeds on the test part.

python benchmarks/peers/beside.py DATASET --peers PEERS --toolkits implicit lenskit pykeen
    --trials 6 --minutes 15 --seeds 0 1 2 --out bench/peers/NAME

Caps and seeds are printed with the table. What is there is not run again. RecBole is run by
`benchmarks/results.py --peers`, by the same budget.
"""

import argparse
import itertools
import json
import subprocess
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

import kgrec

HERE = Path(__file__).parent
Space = dict[str, tuple[Any, ...]]
MODELS: dict[str, dict[str, Space]] = {
    "implicit": {
        "als": {"factors": (64, 128), "regularization": (0.01, 0.1), "alpha": (1.0, 10.0, 40.0)},
        "bpr": {"factors": (64, 128), "learning_rate": (0.01, 0.05), "iterations": (100, 300)},
        "bm25": {"K": (20, 100, 200), "K1": (1.2, 100.0), "B": (0.2, 0.8)},
    },
    "lenskit": {
        "als": {"embedding_size": (64, 128), "regularization": (0.01, 0.1), "weight": (10, 40)},
        "itemknn": {"max_nbrs": (20, 50, 100), "min_sim": (1e-6, 0.05)},
        "ease": {"regularization": (100, 300, 1000)},
    },
    "pykeen": {
        "TransE": {"embedding_dim": (64, 128), "lr": (1e-3, 1e-2), "num_epochs": (30, 100)},
        "ComplEx": {"embedding_dim": (64, 128), "lr": (1e-3, 1e-2), "num_epochs": (30, 100)},
        "RotatE": {"embedding_dim": (64, 128), "lr": (1e-3, 1e-2), "num_epochs": (30, 100)},
    },
}
"""What is searched, from each toolkit's own range; its defaults are tried first."""

DRAWLESS = ("bm25", "itemknn", "ease")


def write_split(data: kgrec.Dataset, place: Path) -> None:
    """Write the parts and the triples as numbers."""
    place.mkdir(parents=True, exist_ok=True)
    for name in ("train", "valid", "test"):
        part = getattr(data, name)
        np.savetxt(place / f"{name}.tsv", np.stack([part.user, part.item], 1), "%d", "\t")

    triples = data.triples
    columns = np.stack([triples.head, triples.relation, triples.tail], 1)
    np.savetxt(place / "triples.tsv", columns, "%d", "\t")
    about = {"users": data.num_users, "items": data.num_items}
    (place / "about.json").write_text(json.dumps(about))


def scored(lists: np.ndarray, users: np.ndarray, part: Any, hidden: set[Any]) -> dict[str, float]:
    """Return Recall@20, NDCG@20 and NDCG@10 over users with something to find."""
    wanted: dict[int, set[int]] = {}
    for user, item in zip(part.user.tolist(), part.item.tolist(), strict=True):
        if (user, item) not in hidden:
            wanted.setdefault(user, set()).add(item)

    discount = 1 / np.log2(np.arange(2, 22))
    rows = []
    for user, items in zip(users.tolist(), lists, strict=True):
        right = wanted.get(user)
        if not right:
            continue
        hits = np.isin(items, list(right))
        gains = {k: (hits[:k] * discount[:k]).sum() for k in (10, 20)}
        ideal = {k: discount[: min(k, len(right))].sum() for k in (10, 20)}
        rows.append((hits.sum() / len(right), gains[20] / ideal[20], gains[10] / ideal[10]))

    means = np.array(rows).mean(axis=0)
    return dict(zip(("recall@20", "ndcg@20", "ndcg@10"), means.tolist(), strict=True))


class Peer:
    """A toolkit's environment, and the split that it is run on."""

    def __init__(self, data: kgrec.Dataset, python: Path, split: Path, cap: float) -> None:
        self.data = data
        self.python = python
        self.split = split
        self.cap = cap
        both = {"valid": [data.train], "test": [data.train, data.valid]}
        self.hidden = {
            on: {
                pair
                for part in parts
                for pair in zip(part.user.tolist(), part.item.tolist(), strict=True)
            }
            for on, parts in both.items()
        }

    def train(
        self, toolkit: str, model: str, settings: dict[str, Any], on: str, seed: int
    ) -> dict[str, Any]:
        """Train once and score the lists; return how it failed, if it did."""
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "lists.npz"
            call = [str(self.python), str(HERE / "run_peer.py"), toolkit, model, "--on", on]
            call += ["--split", str(self.split), "--out", str(out), "--seed", str(seed)]
            call += ["--settings", json.dumps(settings)]
            try:
                done = subprocess.run(
                    call, capture_output=True, text=True, timeout=self.cap, check=False
                )
            except subprocess.TimeoutExpired:
                return {"failed": f"not done within {self.cap:.0f} s", "seconds": self.cap}
            if done.returncode:
                message = (done.stderr.strip() or "no message").splitlines()[-1]
                return {"failed": message[:200], "seconds": 0.0}

            found = np.load(out)
            part = getattr(self.data, on)
            metrics = scored(found["lists"], found["users"], part, self.hidden[on])
            return {"metrics": metrics, "seconds": float(found["seconds"])}


def tried(space: Space, trials: int) -> list[dict[str, Any]]:
    """Return the settings to try: the toolkit's own first, then draws without repetition."""
    every = [dict(zip(space, one, strict=True)) for one in itertools.product(*space.values())]
    order = np.random.default_rng(0).permutation(len(every))
    return [{}, *(every[at] for at in order)][:trials]


def row(
    peer: Peer, toolkit: str, model: str, out: Path, trials: int, minutes: float, seeds: list[int]
) -> str:
    """Search and measure one model; return its line of the table."""
    kept = out / f"{toolkit}-{model}.json"
    record = json.loads(kept.read_text()) if kept.is_file() else {"trials": [], "seeds": {}}
    for settings in tried(MODELS[toolkit][model], trials)[len(record["trials"]) :]:
        if sum(trial["seconds"] for trial in record["trials"]) >= minutes * 60:
            break
        found = peer.train(toolkit, model, settings, "valid", 0)
        record["trials"].append({"settings": settings, **found})
        kept.write_text(json.dumps(record, indent=1) + "\n")

    done = [trial for trial in record["trials"] if "metrics" in trial]
    if not done:
        why = record["trials"][-1]["failed"] if record["trials"] else "no trial in the budget"
        return f"| {toolkit} {model} | does not run: {why} |"

    best = max(done, key=lambda trial: trial["metrics"]["ndcg@10"])["settings"]
    for seed in seeds[:1] if model in DRAWLESS else seeds:
        if str(seed) not in record["seeds"]:
            record["seeds"][str(seed)] = peer.train(toolkit, model, best, "test", seed)
            kept.write_text(json.dumps(record, indent=1) + "\n")

    measured = [one for one in record["seeds"].values() if "metrics" in one]
    if not measured:
        return f"| {toolkit} {model} | failed on the test part |"
    cells = []
    for metric in ("recall@20", "ndcg@20"):
        values = [one["metrics"][metric] for one in measured]
        spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
        cells.append(f"{mean(values):.4f}{spread}")
    used = sum(trial["seconds"] for trial in record["trials"])
    return (
        f"| {toolkit} {model} | {' | '.join(cells)} | {len(record['trials'])} | {used:.0f} | "
        f"{len(measured)} | {json.dumps(best)} |"
    )


def main() -> None:
    """Run what is named and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--toolkits", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--models", nargs="+", default=None)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=15, help="of a model's trials together")
    parser.add_argument("--cap", type=float, default=1800, help="seconds of one training")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("bench/peers"))
    chosen = parser.parse_args()

    data = kgrec.load(chosen.dataset)
    write_split(data, chosen.out / "split")
    lines = [
        f"{data.name}: {chosen.trials} trials and {chosen.minutes:g} minutes a model at most, "
        f"{chosen.cap:g} s a training, seeds {' '.join(map(str, chosen.seeds))}",
        "",
        "| model | recall@20 | ndcg@20 | trials | s of trials | seeds | settings |",
        "|---|---|---|---|---|---|---|",
    ]
    for toolkit in chosen.toolkits:
        python = chosen.peers / toolkit / "bin" / "python"
        if not python.exists():
            lines.append(f"| {toolkit} | {python} is not there: environments.py makes it |")
            continue
        peer = Peer(data, python.absolute(), (chosen.out / "split").resolve(), chosen.cap)
        for model in MODELS[toolkit]:
            if chosen.models is None or model in chosen.models:
                budget = (chosen.trials, chosen.minutes, chosen.seeds)
                lines.append(row(peer, toolkit, model, chosen.out, *budget))

    (chosen.out / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
