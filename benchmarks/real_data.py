"""Models on the real data sets, given splits, beside what a peer reaches there.

python benchmarks/real_data.py ml-100k [--models bprmf lightgcn kgat] [--seeds 0 1 2]
python benchmarks/real_data.py lastfm-dbpedia        with a control: the same triples, their tails shuffled
python benchmarks/real_data.py gowalla               one epoch of LightGCN (paper preset) and one full evaluation

The data are looked for in KGREC_SHARED_DATA, else in ../shared/data.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from models import COLUMNS, measure, spread

import kgrec
from kgrec.data.shuffle import shuffle_triples
from kgrec.models.catalog import MODELS
from kgrec.random import numpy_generator

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
# Name in peers.md, seconds per epoch there.
PEERS = {"bprmf": ("BPR-MF", 0.10), "lightgcn": ("LightGCN", 0.91), "kgat": ("KGAT", 7.30), "popularity": ("Popularity", None)}


def ml_100k(models: list[str], seeds: list[int], preset: str, scratch: Path) -> None:
    """Both fixed splits of MovieLens 100K with the Freebase graph, beside RecBole's figures for the same models."""
    folder = SHARED / "ml-100k"
    for split in ("split", "split-linked"):
        parts = {name: folder / split / f"{name}.tsv" for name in ("train", "valid", "test")}
        kg = folder / "ml-100k.kg"
        data = kgrec.Dataset.build(None, [kg], links=folder / "ml-100k.link", split="given", **parts).save(scratch / split)
        print(
            f"\nml-100k/{split}: {len(data.train)} / {len(data.valid)} / {len(data.test)}\n{'':26}" + "".join(f"{m:>18}" for m in METRICS)
        )
        for model in models:
            runs = [measure(model, str(scratch / split), seed, preset) for seed in seeds]
            cells = "".join(f"{spread([run['test'][name] for run in runs]):>18}" for name in METRICS)
            per_epoch = min(run["seconds_per_epoch"] for run in runs)
            print(f"{model:26}{cells}   {per_epoch:.2f} s an epoch, {runs[0]['epochs']} epochs", flush=True)
            label, seconds = PEERS.get(model, (None, None))
            for line in (folder / "peers.md").read_text().splitlines():
                cells = [cell.strip() for cell in line.strip("|").split("|")]
                if label and cells[0].split(" (")[0] == label and cells[1] == split:
                    figures = "".join(f"{cell:>18}" for cell in cells[2:6])
                    print(f"{'  RecBole 1.2.1 ' + label:26}{figures}   {seconds} s an epoch", flush=True)


def lastfm(models: list[str], seeds: list[int], preset: str, scratch: Path) -> None:
    """Models on the true graph, and those that use it on one with every relation's tails shuffled."""
    data = kgrec.load(SHARED / "lastfm-dbpedia").save(scratch / "true")
    shuffle_triples(data, generator=numpy_generator(0, "shuffled triples")).save(scratch / "shuffled")
    print(f"lastfm-dbpedia: {len(data.train)} / {len(data.valid)} / {len(data.test)}, {len(data.triples)} triples")
    shuffled = [(model, "shuffled") for model in models if "triples" in MODELS[model].needs]
    for model, graph in [*((model, "true") for model in models), *shuffled]:
        runs = [measure(model, str(scratch / graph), seed, preset) for seed in seeds]
        cells = "".join(f"{spread([run['test'][name] for run in runs]):>18}" for name in COLUMNS)
        label = f"{model}{', triples shuffled' if graph == 'shuffled' else ''}"
        print(f"{label:34}{cells}   {min(run['seconds_per_epoch'] for run in runs):.2f} s an epoch", flush=True)


def gowalla() -> None:
    """One epoch at the published setting, and one evaluation over the whole catalog."""
    began = time.perf_counter()
    data = kgrec.load(SHARED / "gowalla")
    print(f"gowalla: read in {time.perf_counter() - began:.1f} s; {data.summary()['interactions']}")
    run = kgrec.fit("lightgcn", data, preset="paper", epochs=1)
    began = time.perf_counter()
    report = run.evaluate(k=(20,))
    print(f"one epoch {run.summary['seconds_per_epoch']:.1f} s, one evaluation {time.perf_counter() - began:.1f} s")
    print(f"peak memory {run.summary['peak_memory_bytes'] / 2**20:.0f} MiB; recall@20 {report.metrics['recall@20']:.4f} after this epoch")


def main() -> None:
    """Run one data set's table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=["ml-100k", "lastfm-dbpedia", "gowalla"])
    parser.add_argument("--models", nargs="+", default=["bprmf", "lightgcn", "lightgcn-kg", "kgat"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="default")
    chosen = parser.parse_args()
    if not (SHARED / chosen.data).is_dir():
        sys.exit(f"{SHARED / chosen.data}: not there. Set KGREC_SHARED_DATA to the folder with the data sets.")
    with tempfile.TemporaryDirectory() as scratch:
        if chosen.data == "ml-100k":
            ml_100k(chosen.models, chosen.seeds, chosen.preset, Path(scratch))
        elif chosen.data == "lastfm-dbpedia":
            lastfm(chosen.models, chosen.seeds, chosen.preset, Path(scratch))
        else:
            gowalla()


if __name__ == "__main__":
    main()
