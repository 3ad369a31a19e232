"""The control for every claim that a knowledge graph helps: the same graph with its triples shuffled."""

from dataclasses import replace

import numpy as np

from kgrec.data.dataset import Dataset


def shuffle_triples(data: Dataset, *, generator: np.random.Generator) -> Dataset:
    """Return the dataset with the tails of its triples permuted within each relation.

    Every entity keeps, relation by relation, how often it is a head and how often a tail; what is said about whom becomes chance.
    Interactions, ids, labels and the split stay as they are. Repeated triples can arise and are kept, so that the counts stay equal.
    """
    tail = data.triples.tail.copy()
    for relation in range(data.num_relations):
        rows = np.flatnonzero(data.triples.relation == relation)
        tail[rows] = tail[generator.permutation(rows)]
    return replace(data, name=f"{data.name} (triples shuffled)", triples=replace(data.triples, tail=tail), path=None, checksum="")
