"""The same interactions in four row orders: figures must not move. Prints a table; exit status 1
where a figure does.

python benchmarks/row_orders.py                           ml-100k, temporal split, six closed forms
and LightGCN python benchmarks/row_orders.py ease lightgcn --epochs 5  models of your own
python benchmarks/row_orders.py --seeds 3                 LightGCN's spread over seeds as well

The interactions come as published, shuffled, those with popular items first, and those with rare
items first; the triples and links are shuffled alongside. Data lie in KGREC_SHARED_DATA, else
../shared/data.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

import kgrec

SHARED = Path(os.environ.get("KGREC_SHARED_DATA") or "../shared/data").resolve()
CLOSED = ("popularity", "itemknn", "ease", "ials", "gfcf", "ease-kg")
TRAINED = ("lightgcn",)
SHOWN = ("recall@20", "ndcg@20", "mrr@20")
TOLERANCE = 1e-9


def orders(log: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield names and rows: as given, shuffled, popular items first, rare items first."""
    yield "as published", log
    mixed = log.sample(fraction=1.0, shuffle=True, seed=7)
    yield "shuffled", mixed
    for name, descending in (("popular first", True), ("rare first", False)):
        yield name, mixed.sort(pl.len().over("item_id"), descending=descending, maintain_order=True)


def datasets(folder: Path, split: str) -> Iterator[tuple[str, kgrec.Dataset]]:
    """Yield the name of each order and the dataset built from it."""
    log, kg, links = (
        pl.read_csv(folder / f"ml-100k.{kind}", separator="\t", infer_schema_length=0)
        for kind in ("inter", "kg", "link")
    )
    parts = [frame.rename(lambda name: name.partition(":")[0]) for frame in (log, kg, links)]
    for number, (name, rows) in enumerate(orders(parts[0])):
        graph, pairs = (
            frame.sample(fraction=1.0, shuffle=True, seed=number) if number else frame
            for frame in parts[1:]
        )
        yield name, kgrec.Dataset.build(rows, graph, links=pairs, split=split)


def judged(model: str, data: kgrec.Dataset, epochs: int, seed: int = 0) -> Mapping[str, float]:
    """Return the metrics of a model on the test part."""
    settings: dict[str, Any] = {"epochs": epochs, "patience": 0} if model in TRAINED else {}
    return kgrec.fit(model, data, seed=seed, device="cpu", **settings).evaluate().metrics


def measure(
    folder: Path, models: list[str], split: str, epochs: int, seeds: int
) -> dict[str, dict[str, Mapping[str, float]]]:
    """Return the metrics by model and by order; trained models also by seed, on the order as
    published.
    """
    found: dict[str, dict[str, Mapping[str, float]]] = {model: {} for model in models}
    for number, (order, data) in enumerate(datasets(folder, split)):
        for model in models:
            print(f"{order}: {model}", file=sys.stderr, flush=True)
            found[model][order] = judged(model, data, epochs)
            for seed in range(1, seeds if number == 0 and model in TRAINED else 1):
                found[model][f"seed {seed}"] = judged(model, data, epochs, seed)

    return found


def spread(rows: Mapping[str, Mapping[str, float]], metric: str) -> float:
    """Return the largest difference of a metric between rows."""
    values = [metrics[metric] for metrics in rows.values()]
    return max(values) - min(values)


def main() -> int:
    """Print a line per model and order, then how far apart the orders are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=[*CLOSED, *TRAINED])
    parser.add_argument("--split", default="temporal")
    parser.add_argument("--epochs", type=int, default=10, help="of trained models")
    parser.add_argument(
        "--seeds", type=int, default=1, help="train with so many seeds, on the order as published"
    )
    parser.add_argument("--folder", type=Path, default=SHARED / "ml-100k")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    if not options.folder.is_dir():
        sys.exit(
            f"{options.folder}: not there. Set KGREC_SHARED_DATA to the folder that holds "
            "ml-100k, or name it with --folder."
        )

    found = measure(options.folder, options.models, options.split, options.epochs, options.seeds)
    print(f"| model | order | {' | '.join(SHOWN)} |\n|---|---|{'---|' * len(SHOWN)}")
    worst = 0.0

    for model, rows in found.items():
        for order, metrics in rows.items():
            print(
                f"| {model} | {order} | {' | '.join(f'{metrics[name]:.10f}' for name in SHOWN)} |"
            )

        by_order = {
            order: metrics for order, metrics in rows.items() if not order.startswith("seed")
        }
        worst = max(worst, *(spread(by_order, metric) for metric in next(iter(by_order.values()))))

        if len(by_order) < len(rows):
            print(
                f"| {model} | spread over seeds | "
                f"{' | '.join(f'{spread(rows, name):.4f}' for name in SHOWN)} |"
            )

    print(f"\nlargest difference between orders, over all models and metrics: {worst:.3g}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")

    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
