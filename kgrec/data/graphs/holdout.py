"""Triples held out of training, to evaluate embeddings of a knowledge graph on."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from kgrec.data.records.parts import PARTS, TEST, TRAIN, VALID
from kgrec.data.records.triples import Triples
from kgrec.data.tables.ordering import row_order
from kgrec.errors import ConfigError, DataError


def check_held(held: Mapping[str, pl.DataFrame] | None, ratios: Sequence[float] | None) -> None:
    """Check that held-out triples name known parts and are not combined with ``triple_ratios``.

    Raises:
        ConfigError: If either is so.
    """
    if held and ratios is not None:
        raise ConfigError("triple_ratios: held-out triples are given. Leave one of them out.")

    for part in held or ():
        if part not in PARTS[1:]:
            raise ConfigError(f"held: {part!r} is no part. Known: {', '.join(PARTS[1:])}.")


def number_held(
    triples: Triples, held: Mapping[str, pl.DataFrame]
) -> tuple[dict[str, np.ndarray], int]:
    """Return given held-out triples as rows (int32 (n, 3)) by part, and how many name what the
    graph does not know.

    Args:
        triples: The training triples.
        held: Columns ``head``, ``relation``, ``tail`` (keys) by part.
    """
    numbered = {}
    unknown = 0

    for part, frame in held.items():
        known = (
            triples.entities.match(frame["head"]),
            triples.relations.match(frame["relation"]),
            triples.entities.match(frame["tail"]),
        )
        rows = np.stack(known, axis=1).astype(np.int32)
        kept = (rows >= 0).all(axis=1)
        unknown += int((~kept).sum())
        if kept.any():
            numbered[part] = rows[kept][row_order(*rows[kept].T)]

    return numbered, unknown


def hold_out_triples(
    triples: Triples, ratios: tuple[float, float, float], *, generator: np.random.Generator
) -> tuple[Triples, dict[str, np.ndarray], int]:
    """Return the training triples, the held-out ones by part ("valid", "test".

    Int32 (n, 3)), and how many were moved back.

    Triples are drawn at random over the whole graph. One whose head, tail or relation is in no
    training triple is moved to training, since nothing could be learned about it.

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
        raise DataError(
            f"triple_ratios: no triple of {size} can be held out. Give more triples, or "
            "larger shares of valid and test."
        )

    columns = np.stack([triples.head, triples.relation, triples.tail], axis=1).astype(np.int32)

    return (
        triples.take(kept),
        {name: columns[part == number] for name, number in (("valid", VALID), ("test", TEST))},
        moved,
    )


def _move_unknown(triples: Triples, part: np.ndarray, order: np.ndarray) -> int:
    """Move held-out triples to training where an end or the relation is unknown there.

    Each that is moved makes its own known.
    """
    entity = np.zeros(len(triples.entities), dtype=bool)
    relation = np.zeros(len(triples.relations), dtype=bool)
    kept = part == TRAIN
    entity[triples.head[kept]] = entity[triples.tail[kept]] = relation[triples.relation[kept]] = (
        True
    )
    known = entity[triples.head] & entity[triples.tail] & relation[triples.relation]
    moved = 0

    for row in order[~known[order]].tolist():
        head = triples.head[row]
        predicate = triples.relation[row]
        tail = triples.tail[row]
        if not (entity[head] and entity[tail] and relation[predicate]):
            part[row], moved = TRAIN, moved + 1
            entity[head] = entity[tail] = relation[predicate] = True

    return moved
