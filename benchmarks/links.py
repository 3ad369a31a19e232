"""Link prediction: the models of triples on held-out triples, beside guessing and beside counting.

python benchmarks/links.py films                     the bundled films' graph
python benchmarks/links.py dbpedia-films             DBpedia's facts about the films of ml-100k
(KGREC_SHARED_DATA, else ../shared/data)
        [--models transe rotate] [--seeds 0 1 2] [--preset default] [--set dim=32]

A tenth of the triples validates, a tenth tests. "random" gives every entity the same score;
"frequency" counts how often an entity is the tail (or head) of the relation in training.
"""

import argparse
import os
from pathlib import Path

import torch
from models import spread
from torch import Tensor

import kgrec
from kgrec.data.records.triples import Triples
from kgrec.evaluation.triples import evaluate_triples

SHARED = Path(os.environ.get("KGREC_SHARED_DATA", "../shared/data"))
MODELS = ("transe", "transr", "transd", "distmult", "complex", "rotate")
METRICS = ("mrr", "hits@1", "hits@3", "hits@10", "mean_rank")


class Counted:
    """Scores an entity by how often it is the tail, or the head, of the relation; by nothing where
    ``weight`` is 0.
    """

    def __init__(self, data: kgrec.Dataset, weight: float) -> None:
        self._tails, self._heads = (
            torch.zeros(data.num_relations, data.num_entities) for _ in range(2)
        )
        triples = data.triples
        relation, one = (
            torch.from_numpy(triples.relation).long(),
            torch.full((len(triples),), weight),
        )
        self._tails.index_put_(
            (relation, torch.from_numpy(triples.tail).long()), one, accumulate=True
        )
        self._heads.index_put_(
            (relation, torch.from_numpy(triples.head).long()), one, accumulate=True
        )

    def score_tails(self, head: Tensor, relation: Tensor) -> Tensor:
        """Return the counts of every entity as tail of the relation."""
        return self._tails[relation]

    def score_heads(self, relation: Tensor, tail: Tensor) -> Tensor:
        """Return the counts of every entity as head of the relation."""
        return self._heads[relation]


def graph(name: str) -> Triples:
    """Return a graph by its name."""
    return (
        kgrec.load("films").triples
        if name == "films"
        else kgrec.read_triples(SHARED / "ml-100k" / "dbpedia-films.nt")
    )


def main() -> None:
    """Measure, and print one line per model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graph", choices=("films", "dbpedia-films"))
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings")
    chosen = parser.parse_args()
    data = kgrec.Dataset.build(
        None, graph(chosen.graph), triple_ratios=(0.8, 0.1, 0.1), seed=0, name=chosen.graph
    )
    print(data, {part: len(rows) for part, rows in data.held_triples.items()}, flush=True)
    print(
        f"{'model':10}"
        + "".join(f"{name:>18}" for name in METRICS)
        + f"{'epochs':>8}{'s/epoch':>9}",
        flush=True,
    )

    for name, weight in (("random", 0.0), ("frequency", 1.0)):
        found = evaluate_triples(Counted(data, weight), data).metrics
        print(f"{name:10}" + "".join(f"{found[metric]:18.4f}" for metric in METRICS), flush=True)

    settings = dict(pair.split("=", 1) for pair in chosen.settings)
    for name in chosen.models:
        runs = [
            kgrec.fit(name, data, seed=seed, preset=chosen.preset, **settings).summary
            for seed in chosen.seeds
        ]
        cells = [spread([run["test"][metric] for run in runs]) for metric in METRICS]
        epochs, seconds = (
            sum(run[key] for run in runs) / len(runs) for key in ("epochs", "seconds_per_epoch")
        )
        print(
            f"{name:10}"
            + "".join(f"{cell:>18}" for cell in cells)
            + f"{epochs:8.0f}{seconds:9.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
