"""Constructed data whose right answer is known."""

import numpy as np
import polars as pl

from kgrec.data.dataset import Dataset
from kgrec.data.interactions import Interactions
from kgrec.data.triples import Triples, empty_triples
from kgrec.data.vocabulary import Vocabulary


def dataset(train, valid=(), test=(), triples=(), *, num_users=None, num_items=None, num_entities=None, num_relations=None) -> Dataset:
    """Return a dataset from lists of (user, item) and (head, relation, tail) row numbers."""
    parts = [np.array(list(part), dtype=np.int64).reshape(-1, 2) for part in (train, valid, test)]
    pairs = np.concatenate(parts)
    users = num_users or int(pairs[:, 0].max()) + 1
    items = num_items or int(pairs[:, 1].max()) + 1
    facts = np.array(list(triples), dtype=np.int64).reshape(-1, 3)
    entities = num_entities or max(items, int(facts[:, [0, 2]].max()) + 1 if len(facts) else 0)
    relations = num_relations or (int(facts[:, 1].max()) + 1 if len(facts) else 0)
    return Dataset(
        name="world",
        users=Vocabulary([f"u{row}" for row in range(users)], kind="user"),
        items=Vocabulary([f"i{row}" for row in range(items)], kind="item"),
        triples=knowledge(facts, [*(f"i{row}" for row in range(items)), *(f"e{row}" for row in range(items, entities))], relations),
        train=_interactions(parts[0]),
        valid=_interactions(parts[1]),
        test=_interactions(parts[2]),
    )


def knowledge(facts: np.ndarray, entities: list[str], num_relations: int) -> Triples:
    """Return triples over named entities and relations r0, r1, ..."""
    empty = empty_triples(Vocabulary(entities))
    columns = [np.ascontiguousarray(column, dtype=np.int32) for column in facts.T]
    return Triples(
        empty.entities,
        Vocabulary([f"r{row}" for row in range(num_relations)], kind="relation"),
        *columns,
        source=np.zeros(len(facts), dtype=np.uint16),
        locator=np.arange(1, len(facts) + 1),
        sources=("world",),
        labels=empty.labels,
        relation_labels=pl.Series("label", [None] * num_relations, dtype=pl.String),
    )


def _interactions(pairs: np.ndarray) -> Interactions:
    order = np.lexsort((np.arange(len(pairs)), pairs[:, 0]))
    return Interactions(pairs[order, 0].astype(np.int32), pairs[order, 1].astype(np.int32))


def toy() -> Dataset:
    """Return the graph of models.md 0.8: three items and one entity, two users."""
    return dataset([(0, 0), (0, 1), (1, 1)], triples=[(0, 0, 3), (1, 0, 3), (1, 1, 2)], num_items=3)


TOY_USERS = ((1.0, 0.0), (0.0, 1.0))
TOY_ENTITIES = ((1.0, 1.0), (0.5, -0.5), (-1.0, 0.5), (0.2, 0.4))


def checkerboard(size: int = 12) -> Dataset:
    """Even users like even items, odd users odd items; each user's own number is withheld as the test item."""
    train = [(user, item) for user in range(size) for item in range(size) if (user - item) % 2 == 0 and item != user]
    test = [(user, user) for user in range(size)]
    hub = size
    triples = [(item, 0, hub + item % 2) for item in range(size)]
    return dataset(train, test=test, triples=triples)


def cold_items(seed: int = 0, users: int = 60, warm: int = 40, cold: int = 20, likes: int = 8) -> Dataset:
    """Two tastes, two kinds of item; cold items have no training interaction, only the knowledge graph says of which kind they are.

    Test interactions are each user's cold items of their own kind.
    """
    rng = np.random.default_rng(seed)
    items = warm + cold
    train, test = [], []
    for user in range(users):
        own = [item for item in range(warm) if item % 2 == user % 2]
        train += [(user, int(item)) for item in rng.choice(own, likes, replace=False)]
        test += [(user, item) for item in range(warm, items) if item % 2 == user % 2]
    kinds = [(item, 0, items + item % 2) for item in range(items)]
    makers = [(item, 1, items + 2 + (item // 2) % 6 * 2 + item % 2) for item in range(items)]
    return dataset(train, test=test, triples=kinds + makers, num_entities=items + 14)


def random_world(seed: int) -> Dataset:
    """Return a small graph with isolated nodes, triples between any two entities, and two parallel relations."""
    rng = np.random.default_rng(seed)
    users, items, entities = 6, 8, 13
    train = {(int(rng.integers(users)), int(rng.integers(items))) for _ in range(20)} | {(0, 0)}
    triples = {(int(rng.integers(entities)), int(rng.integers(3)), int(rng.integers(entities))) for _ in range(25)}
    triples = {(h, r, t) for h, r, t in triples if h != t} | {(0, 0, 9), (0, 1, 9)}
    return dataset(sorted(train), triples=sorted(triples), num_users=users, num_items=items, num_entities=entities, num_relations=3)
