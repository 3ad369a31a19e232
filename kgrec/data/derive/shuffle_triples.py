"""Shuffle the triples of a graph: the control for claims that a knowledge graph helps."""

from dataclasses import replace

import numpy as np

from kgrec.data.records.dataset import Dataset


def shuffle_triples(data: Dataset, *, generator: np.random.Generator) -> Dataset:
    """Return the dataset with the tails of its triples, and of its facts about users, permuted
    within each relation.

    Every entity keeps, relation by relation, how often it is a head and how often a tail; what is
    said about whom becomes chance. Interactions, ids, labels and the split stay as they are.
    Repeated triples can arise and are kept, so that the counts stay equal.
    """
    facts = data.user_facts.copy()
    facts[:, 2] = _permuted(facts[:, 2], facts[:, 1], data.num_relations, generator)
    tail = _permuted(data.triples.tail, data.triples.relation, data.num_relations, generator)
    triples = replace(data.triples, tail=tail)

    return replace(
        data,
        name=f"{data.name} (triples shuffled)",
        triples=triples,
        user_facts=facts,
        path=None,
        checksum="",
    )


def _permuted(
    tail: np.ndarray, relation: np.ndarray, relations: int, generator: np.random.Generator
) -> np.ndarray:
    mixed = tail.copy()
    for number in range(relations):
        rows = np.flatnonzero(relation == number)
        mixed[rows] = tail[generator.permutation(rows)]
    return mixed
