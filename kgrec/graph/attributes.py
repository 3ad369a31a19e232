"""Item attributes: the (relation, entity) pairs of each item, as a sparse matrix."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kgrec.data.records.dataset import Dataset


@dataclass(frozen=True, slots=True)
class ItemAttributes:
    """Which item has which attribute; an attribute is what a relation leads to, or (``inverse``)
    comes from.

    Attributes:
        matrix: Items x attributes, ones, float32.
        relation: Relation row of each attribute, ascending, those read against their direction
            after all others.
        inverse: True where the item is the triple's tail and ``entity`` its head.
        entity: Entity row of each attribute.
    """

    matrix: sp.csr_matrix
    relation: np.ndarray
    inverse: np.ndarray
    entity: np.ndarray

    @classmethod
    def from_dataset(cls, data: Dataset, min_items: int = 1) -> "ItemAttributes":
        """Return the attributes of a dataset's items by its triples: those that at least
        ``min_items`` items have.

        A fact stated by several triples counts once. A triple between two items is an attribute of
        both.
        """
        triples = data.triples
        entities = data.num_entities
        items = data.num_items
        head, relation, tail = (
            column.astype(np.int64) for column in (triples.head, triples.relation, triples.tail)
        )
        item = np.concatenate([head, tail])
        kind = np.concatenate([relation, relation + data.num_relations])
        entity = np.concatenate([tail, head])
        own = item < items
        facts = np.unique((kind[own] * entities + entity[own]) * items + item[own])
        keys, column, count = np.unique(facts // items, return_inverse=True, return_counts=True)
        kept = count >= min_items
        place = np.cumsum(kept) - 1
        used = kept[column]
        shape = (items, int(kept.sum()))
        matrix = sp.csr_matrix(
            (np.ones(int(used.sum()), np.float32), ((facts % items)[used], place[column[used]])),
            shape=shape,
        )
        kind = keys[kept] // entities
        return cls(
            matrix,
            kind % max(1, data.num_relations),
            kind >= data.num_relations,
            keys[kept] % entities,
        )
