"""Filter what is too rare: cores of interactions, rare entities and relations."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.records.report import Dropped
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, nearest

_WHOLE_ROUNDS = 6


def core(ends: Sequence[np.ndarray], least: np.ndarray) -> np.ndarray:
    """Return which rows are left, as booleans, when nodes with too few rows go with all their rows,
    until every node left has enough.

    The result is the largest set of rows in which each node has as many as it needs, whatever the
    order. The work grows with the number of rows, not with the number of rounds.

    Args:
        ends: Columns of node numbers; a row belongs to one node of each.
        least: Rows that each node needs, 0 where it always stays.
    """
    size = len(ends[0])
    alive = np.arange(size)

    for _ in range(_WHOLE_ROUNDS):
        enough = _counted(ends, alive, len(least)) >= least
        kept = alive[np.logical_and.reduce([enough[end[alive]] for end in ends])]
        if len(kept) == len(alive):
            break

        alive = kept
    else:
        alive = alive[_peeled([end[alive] for end in ends], least)]

    mask = np.zeros(size, dtype=bool)
    mask[alive] = True
    return mask


def _counted(ends: Sequence[np.ndarray], rows: np.ndarray, nodes: int) -> np.ndarray:
    return sum(
        (np.bincount(end[rows], minlength=nodes) for end in ends), np.zeros(nodes, dtype=np.int64)
    )


def _peeled(ends: Sequence[np.ndarray], least: np.ndarray) -> np.ndarray:
    """Return what ``core`` does, looking in each round only at the rows of the nodes that fall: for
    chains that need many rounds.
    """
    size = len(ends[0])
    nodes = np.concatenate(ends)
    row = np.argsort(nodes, kind="stable") % max(size, 1)
    degree = np.bincount(nodes, minlength=len(least))
    start = np.concatenate([[0], np.cumsum(degree)])
    kept = np.ones(size, dtype=bool)
    falling = np.flatnonzero((degree > 0) & (degree < least))
    while len(falling):
        sizes = start[falling + 1] - start[falling]
        begins = np.cumsum(sizes) - sizes
        falling_rows = row[np.repeat(start[falling] - begins, sizes) + np.arange(int(sizes.sum()))]
        falling_rows = np.unique(falling_rows[kept[falling_rows]])
        kept[falling_rows] = False
        touched = np.concatenate([end[falling_rows] for end in ends])
        np.subtract.at(degree, touched, 1)
        touched = np.unique(touched)
        falling = touched[(degree[touched] > 0) & (degree[touched] < least[touched])]

    return kept


def interaction_core(frame: pl.DataFrame, users: int, items: int) -> pl.DataFrame:
    """Return the most rows (columns ``user`` and ``item``, numbers) in which a user has at least
    ``users`` rows, an item ``items``.
    """
    if max(users, items) < 2 or not frame.height:
        return frame

    user, item = (frame[column].to_numpy().astype(np.int64) for column in ("user", "item"))
    num_users = int(user.max()) + 1
    num_items = int(item.max()) + 1
    return frame.filter(
        pl.Series(core((user, item + num_users), np.repeat([users, items], [num_users, num_items])))
    )


def frequent(
    triples: Triples, num_items: int, *, min_entity: int, min_relation: int
) -> tuple[Triples, tuple[Dropped, ...]]:
    """Return the graph in which every relation has at least ``min_relation`` triples and every
    entity that is no item ``min_entity``.

    Entities and relations that are left without a triple go; items stay.

    Args:
        triples: The graph, the items its first entities.
        num_items: Number of items.
        min_entity: Triples an entity needs, as head and tail together; 0 or 1 cuts none.
        min_relation: Triples a relation needs; 0 or 1 cuts none.
    """
    if max(min_entity, min_relation) < 2 or not len(triples):
        return triples, ()

    entities = len(triples.entities)
    relations = len(triples.relations)
    needed = np.concatenate([np.full(entities, min_entity), np.full(relations, min_relation)])
    needed[:num_items] = 0
    kept = core((triples.head, triples.tail, triples.relation + np.int64(entities)), needed)
    thinned = without_unused(triples.take(kept), num_items)
    limit = " and ".join(
        f"{what} with fewer than {least} triples"
        for what, least in (("relations", min_relation), ("entities", min_entity))
        if least > 1
    )

    lost = (
        ("triples", f"of {limit}", len(triples) - len(thinned)),
        (
            "entities",
            f"left without a triple by the cut of {limit}",
            entities - len(thinned.entities),
        ),
        (
            "relations",
            f"left without a triple by the cut of {limit}",
            relations - len(thinned.relations),
        ),
    )

    return thinned, tuple(Dropped(what, why, count) for what, why, count in lost if count)


def without_relations(
    triples: Triples, num_items: int, unwanted: Sequence[str]
) -> tuple[Triples, tuple[Dropped, ...]]:
    """Return the graph without the relations of these keys or labels.

    Raises:
        ConfigError: If there is no such relation; the message gives the nearest.
    """
    if not unwanted:
        return triples, ()

    names: dict[str, list[int]] = {}
    for row, key in enumerate(triples.relations):
        for name in {key, triples.relation_label(row)}:
            names.setdefault(name, []).append(row)

    gone = np.zeros(len(triples.relations), dtype=bool)
    for name in unwanted:
        if name not in names:
            raise ConfigError(
                f"without_relation: the graph has no relation {name!r}."
                f"{nearest(name, sorted(names))}"
            )

        if len(names[name]) > 1:
            keys = ", ".join(triples.relations.key(row) for row in names[name][:3])
            raise ConfigError(
                f"without_relation: {len(names[name])} relations are labeled "
                f"{name!r}: {keys}. Give the key."
            )

        gone[names[name]] = True

    kept = without_unused(triples.take(~gone[triples.relation]), num_items)

    return kept, (
        Dropped(
            "triples",
            f"of the relations left out on request: {', '.join(unwanted)}",
            len(triples) - len(kept),
        ),
    )


def without_unused(triples: Triples, num_items: int) -> Triples:
    """Return the graph without the entities, except items, and relations without a triple."""
    used = np.zeros(len(triples.entities), dtype=bool)
    used[:num_items] = used[triples.head] = used[triples.tail] = True
    named = np.zeros(len(triples.relations), dtype=bool)
    named[triples.relation] = True
    if used.all() and named.all():
        return triples

    entity = _renumbering(used)
    relation = _renumbering(named)

    return replace(
        triples,
        entities=Vocabulary(
            triples.entities.series.filter(pl.Series(used)), kind="entity", checked=True
        ),
        relations=Vocabulary(
            triples.relations.series.filter(pl.Series(named)), kind="relation", checked=True
        ),
        head=entity[triples.head],
        relation=relation[triples.relation],
        tail=entity[triples.tail],
        labels=triples.labels.filter(pl.Series(used)),
        relation_labels=triples.relation_labels.filter(pl.Series(named)),
        types=_of_kept(triples.types, entity),
        attributes=_of_kept(triples.attributes, entity),
    )


def _renumbering(kept: np.ndarray) -> np.ndarray:
    return np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)


def _of_kept(frame: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    moved = frame.with_columns(entity=pl.Series(rows[frame["entity"].to_numpy()], dtype=pl.Int32))
    return moved.filter(pl.col("entity") >= 0)
