"""Models on the real data sets, given splits, beside what a peer reaches there.

python benchmarks/real_data.py ml-100k [--models bprmf lightgcn kgat] [--seeds 0 1 2]
python benchmarks/real_data.py lastfm-dbpedia        with a control: the same triples, their tails
shuffled python benchmarks/real_data.py gowalla [--epochs 5] [--preset official]  LightGCN's first
epochs beside the authors' log

The data are looked for in KGREC_SHARED_DATA, else in ../shared/data.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from models import COLUMNS, measure, spread

import kgrec
from kgrec.data.derive.shuffle_triples import shuffle_triples
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.evaluation.report import evaluate
from kgrec.models.catalog import MODELS
from kgrec.random import numpy_generator
from kgrec.runs.run import build_model, snapshot_scorer
from kgrec.runs.settings import choose
from kgrec.training.loop import TrainState, train

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
# Recall@20 by epoch in the log that the authors published with their code.
GOWALLA_LOG = {5: 0.1071}
# Name in peers.md, seconds per epoch there.
PEERS = {
    "bprmf": ("BPR-MF", 0.10),
    "lightgcn": ("LightGCN", 0.91),
    "kgat": ("KGAT", 7.30),
    "popularity": ("Popularity", None),
}


def ml_100k(models: list[str], seeds: list[int], preset: str, scratch: Path) -> None:
    """Both fixed splits of MovieLens 100K with the Freebase graph, beside RecBole's figures for the
    same models.
    """
    folder = SHARED / "ml-100k"
    for split in ("split", "split-linked"):
        parts = {name: folder / split / f"{name}.tsv" for name in ("train", "valid", "test")}
        kg = folder / "ml-100k.kg"
        data = kgrec.Dataset.build(
            None, [kg], links=folder / "ml-100k.link", split="given", **parts
        ).save(scratch / split)
        print(
            f"\nml-100k/{split}: {len(data.train)} / {len(data.valid)} / {len(data.test)}\n{'':26}"
            + "".join(f"{m:>18}" for m in METRICS)
        )

        for model in models:
            runs = [measure(model, str(scratch / split), seed, preset) for seed in seeds]
            cells = "".join(
                f"{spread([run['test'][name] for run in runs]):>18}" for name in METRICS
            )
            per_epoch = min(run["seconds_per_epoch"] for run in runs)
            print(
                f"{model:26}{cells}   {per_epoch:.2f} s an epoch, {runs[0]['epochs']} epochs",
                flush=True,
            )
            label, seconds = PEERS.get(model, (None, None))

            for line in (folder / "peers.md").read_text().splitlines():
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                if label and cells[0].split(" (")[0] == label and cells[1] == split:
                    figures = "".join(f"{cell:>18}" for cell in cells[2:6])
                    print(
                        f"{'  RecBole 1.2.1 ' + label:26}{figures}   {seconds} s an epoch",
                        flush=True,
                    )


def lastfm(models: list[str], seeds: list[int], preset: str, scratch: Path) -> None:
    """Models on the true graph, and those that use it on one with every relation's tails
    shuffled.
    """
    data = kgrec.load(SHARED / "lastfm-dbpedia").save(scratch / "true")
    shuffle_triples(data, generator=numpy_generator(0, "shuffled triples")).save(
        scratch / "shuffled"
    )
    print(
        f"lastfm-dbpedia: {len(data.train)} / {len(data.valid)} / {len(data.test)}, "
        f"{len(data.triples)} triples"
    )
    shuffled = [(model, "shuffled") for model in models if "triples" in MODELS[model].needs]
    for model, graph in [*((model, "true") for model in models), *shuffled]:
        runs = [measure(model, str(scratch / graph), seed, preset) for seed in seeds]
        cells = "".join(f"{spread([run['test'][name] for run in runs]):>18}" for name in COLUMNS)
        label = f"{model}{', triples shuffled' if graph == 'shuffled' else ''}"
        print(
            f"{label:34}{cells}   {min(run['seconds_per_epoch'] for run in runs):.2f} s an epoch",
            flush=True,
        )


def gowalla(epochs: int, preset: str) -> None:
    """LightGCN's first epochs at a published setting, the whole catalog ranked after each, beside
    the authors' log.
    """
    began = time.perf_counter()
    data = kgrec.load(SHARED / "gowalla")
    print(f"gowalla: read in {time.perf_counter() - began:.1f} s; {data.summary()['interactions']}")
    everything = replace(data, train=concatenate([data.train, data.valid]), valid=Interactions())
    chosen = choose("lightgcn", preset, {"epochs": epochs})
    model = build_model(chosen, everything, seed=0)
    seconds: list[float] = []

    def show(state: TrainState) -> None:
        seconds.append(state.history[-1]["seconds"])
        began = time.perf_counter()
        metrics = evaluate(snapshot_scorer(model), everything, ks=(20,)).metrics
        published = (
            f", the authors' log: {GOWALLA_LOG[state.epoch]:.4f}"
            if state.epoch in GOWALLA_LOG
            else ""
        )

        print(
            f"epoch {state.epoch}: {seconds[-1]:.1f} s, evaluation "
            f"{time.perf_counter() - began:.1f} s, "
            f"recall@20 {metrics['recall@20']:.4f}{published}, ndcg@20 {metrics['ndcg@20']:.4f}",
            flush=True,
        )

    train(model, everything, chosen.train, seed=0, device=torch.device("cpu"), on_epoch=show)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{min(seconds):.1f} s the fastest epoch, peak memory {peak:.0f} MiB")


def main() -> None:
    """Run one data set's table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=["ml-100k", "lastfm-dbpedia", "gowalla"])
    parser.add_argument("--models", nargs="+", default=["bprmf", "lightgcn", "lightgcn-kg", "kgat"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--epochs", type=int, default=5, help="of gowalla")
    chosen = parser.parse_args()
    if not (SHARED / chosen.data).is_dir():
        sys.exit(
            f"{SHARED / chosen.data}: not there. Set KGREC_SHARED_DATA to the folder with the "
            "data sets."
        )

    with tempfile.TemporaryDirectory() as scratch:
        if chosen.data == "ml-100k":
            ml_100k(chosen.models, chosen.seeds, chosen.preset, Path(scratch))
        elif chosen.data == "lastfm-dbpedia":
            lastfm(chosen.models, chosen.seeds, chosen.preset, Path(scratch))
        else:
            gowalla(chosen.epochs, "official" if chosen.preset == "default" else chosen.preset)


if __name__ == "__main__":
    main()
