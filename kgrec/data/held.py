"""Triples held out of training, to judge embeddings of a knowledge graph by."""

import numpy as np

from kgrec.data.split import TEST, TRAIN, VALID
from kgrec.data.triples import Triples
from kgrec.errors import DataError


def hold_out_triples(
    triples: Triples, ratios: tuple[float, float, float], *, generator: np.random.Generator
) -> tuple[Triples, dict[str, np.ndarray], int]:
    """Return the training triples, the held-out ones by part ("valid", "test"; int32 (n, 3)), and how many were moved back.

    Triples are drawn at random over the whole graph. One whose head, tail or relation is in no training triple is moved to training,
    since nothing could be learned about it.

    Args:
        triples: The graph.
        ratios: Shares of train, valid and test.
        generator: Of the draw.

    Raises:
        DataError: If there are no triples, or none is held out.
    """
    size = len(triples)
    order = generator.permutation(size)
    ends = np.round(np.cumsum(ratios)[:2] * size).astype(np.int64)
    part = np.full(size, TRAIN, dtype=np.int8)
    part[order[ends[0] : ends[1]]], part[order[ends[1] :]] = VALID, TEST
    moved = _move_unknown(triples, part, order)
    kept = part == TRAIN
    if kept.all():
        raise DataError(f"triple_ratios: no triple of {size} can be held out. Give more triples, or larger shares of valid and test.")
    columns = np.stack([triples.head, triples.relation, triples.tail], axis=1).astype(np.int32)
    return triples.take(kept), {name: columns[part == number] for name, number in (("valid", VALID), ("test", TEST))}, moved


def _move_unknown(triples: Triples, part: np.ndarray, order: np.ndarray) -> int:
    """Move held-out triples to training where an end or the relation is unknown there; each that is moved makes its own known."""
    entity, relation = np.zeros(len(triples.entities), dtype=bool), np.zeros(len(triples.relations), dtype=bool)
    kept = part == TRAIN
    entity[triples.head[kept]] = entity[triples.tail[kept]] = relation[triples.relation[kept]] = True
    known = entity[triples.head] & entity[triples.tail] & relation[triples.relation]
    moved = 0
    for row in order[~known[order]].tolist():
        head, predicate, tail = triples.head[row], triples.relation[row], triples.tail[row]
        if not (entity[head] and entity[tail] and relation[predicate]):
            part[row], moved = TRAIN, moved + 1
            entity[head] = entity[tail] = relation[predicate] = True
    return moved
