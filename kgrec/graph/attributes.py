"""Item attributes: the (relation, entity) pairs of each item, as a sparse matrix."""

from collections.abc import Sequence
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


def weighted_attributes(data: Dataset) -> sp.csr_matrix:
    """Return inverse-frequency weighted attributes per item, rows of length 1, float64; attributes
    of one item alone join nothing.
    """
    matrix = ItemAttributes.from_dataset(data, min_items=2).matrix.astype(np.float64)
    rarity = np.log(data.num_items / np.maximum(1, np.asarray(matrix.sum(axis=0)).ravel())) + 1e-9
    weighted = sp.csr_matrix(matrix.multiply(rarity))
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sp.csr_matrix(sp.diags(1 / np.maximum(norms, 1e-12)) @ weighted)


class AttributeFacts:
    """Which triples give which item which attribute, of all attributes.

    Args:
        data: The dataset.
    """

    def __init__(self, data: Dataset) -> None:
        triples = data.triples
        entities = data.num_entities
        head, relation, tail = (
            column.astype(np.int64) for column in (triples.head, triples.relation, triples.tail)
        )
        item = np.concatenate([head, tail])
        own = item < data.num_items
        kind = np.concatenate([relation, relation + data.num_relations])
        key = kind * entities + np.concatenate([tail, head])
        triple = np.tile(np.arange(len(head)), 2)[own]
        keys, attribute = np.unique(key[own], return_inverse=True)
        self._relation = keys // max(1, entities) % max(1, data.num_relations)

        stated, fact = np.unique(attribute * data.num_items + item[own], return_inverse=True)
        self._item = stated % max(data.num_items, 1)  # of each fact, by attribute
        self._attribute = stated // max(data.num_items, 1)
        self._statements = np.bincount(fact, minlength=len(stated))
        self._ptr = np.searchsorted(self._attribute, np.arange(attribute.max(initial=-1) + 2))
        order = np.argsort(triple, kind="stable")
        self._triple = triple[order]
        self._fact = fact[order]

    def items_of(self, attribute: int) -> np.ndarray:
        """Return the items that have an attribute, ascending."""
        return np.asarray(self._item[self._ptr[attribute] : self._ptr[attribute + 1]])

    def relation_of(self, attribute: int) -> int:
        """Return the relation (row) of an attribute, in whichever direction it is read."""
        return int(self._relation[attribute])

    def lost(self, triples: Sequence[int]) -> dict[int, np.ndarray]:
        """Return the items, ascending, that lose each attribute without some triples (rows): those
        for which no other triple states it.
        """
        rows = np.unique(np.array(triples, np.int64))
        start, end = (np.searchsorted(self._triple, rows, side) for side in ("left", "right"))
        touched = [self._fact[a:b] for a, b in zip(start, end, strict=True)]
        facts, gone = np.unique(np.concatenate([self._fact[:0], *touched]), return_counts=True)
        facts = facts[gone == self._statements[facts]]
        found: dict[int, np.ndarray] = {}
        for attribute in np.unique(self._attribute[facts]).tolist():
            found[attribute] = self._item[facts[self._attribute[facts] == attribute]]

        return found
