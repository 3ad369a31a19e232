"""Steps and batch sizes of KGAT's triple phase for the sizes of the published data sets, by kgrec's
own sampler.

python benchmarks/triple_phase.py [--draw]

The facts are random, their numbers those of Last-FM and Amazon-Book as the authors' code counts
them (duplicates removed); what the authors' code makes of these numbers stands beside. ``--draw``
draws a whole epoch and counts what came, which takes about a minute.
"""

import argparse
import time

import numpy as np
import torch

from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.knowledge.kgat import triple_source
from kgrec.runs.settings import choose
from kgrec.training.samplers import TripleSampler

# Users, items, entities (items included), relations, training interactions, triples: models.md 0.2,
# and the heads of the authors' logs.
SIZES = {
    "last-fm": (23_566, 48_123, 106_389, 9, 1_289_003, 464_567),
    "amazon-book": (70_679, 24_915, 113_487, 39, 652_514, 2_557_746),
}
# Steps by ``len(all_h_list) // batch_size_kg + 1`` with the flag's 2,048, heads by ``n_triples //
# (n_train // batch_size)``. The head of
# the log of Last-FM, whose batches are ten times as large, says ``[batch_size,
# batch_size_kg]=[10240, 3716]``.
AUTHORS = {
    ("last-fm", 1024): (1713, 369),
    ("last-fm", 10240): (1713, 3716),
    ("amazon-book", 1024): (3136, 4015),
}


def graph(name: str) -> CollaborativeKG:
    """Return a random graph with as many nodes, interactions and triples as a data set."""
    users, items, entities, relations, interactions, triples = SIZES[name]
    rng = np.random.default_rng(0)
    head = np.concatenate(
        [rng.integers(users, size=interactions) + entities, rng.integers(entities, size=triples)]
    )
    relation = np.concatenate(
        [np.zeros(interactions, np.int64), 1 + rng.integers(relations, size=triples)]
    )
    tail = np.concatenate(
        [rng.integers(items, size=interactions), rng.integers(entities, size=triples)]
    )
    fact = np.concatenate([np.full(interactions, -1), np.arange(triples)])
    return CollaborativeKG(users, items, entities, 1 + relations, head, relation, tail, fact)


def phase(ckg: CollaborativeKG, batch_size: int) -> TripleSampler:
    """Return the sampler of the preset ``official`` on a graph."""
    chosen = choose("kgat", "official", {"batch_size": batch_size})
    source = triple_source(ckg, by_head=chosen.config.kg_sampling == "head")
    steps = int((ckg.relation == 0).sum()) // batch_size + 1
    return TripleSampler(source, chosen.train, seed=0, device=torch.device("cpu"), steps=steps)


def main() -> None:
    """Print a line per data set and batch size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draw", action="store_true", help="draw an epoch and count")
    chosen = parser.parse_args()
    print(f"{'data set':14}{'batch_size':>12}{'steps x heads':>18}{'authors':>16}")

    for (name, batch_size), (steps, heads) in AUTHORS.items():
        sampler = phase(graph(name), batch_size)
        sizes, told = sampler.sizes(), ""

        if chosen.draw:
            began = time.perf_counter()
            sizes = [len(batch.head) for batch in sampler.epoch(1)]
            told = f"   drawn in {time.perf_counter() - began:.1f} s"

        found = f"{len(sizes)} x {'/'.join(map(str, sorted(set(sizes))))}"
        print(f"{name:14}{batch_size:>12}{found:>18}{f'{steps} x {heads}':>16}{told}", flush=True)


if __name__ == "__main__":
    main()
