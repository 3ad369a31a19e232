"""The collaborative knowledge graph: users and entities in one id space, joined by interactions and
triples.

The id convention, stated here once; no other file does this arithmetic:

    nodes       entity e is node e, the items are the first I of them; user u is node E + u
    relations   0 is ``interacts`` (user -> item), r + 1 is relation r of the knowledge graph; the
    inverse of relation r is r + R
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.triples import empty_triples
from kgrec.errors import GraphError

USER_FACT = -2
_Rows = TypeVar("_Rows", bound=Any)


@dataclass(frozen=True, slots=True)
class CollaborativeKG:
    """Directed facts without their inverses; ``both_ways`` adds those.

    Attributes:
        num_users: U.
        num_items: I.
        num_entities: E, items included.
        num_relations: R, ``interacts`` included, inverses not.
        head: Nodes, int64 (facts). A fact reads head - relation -> tail.
        relation: Relations in [0, R), int64.
        tail: Nodes, int64.
        fact: Row of the triple in ``Dataset.triples`` (>= 0), -1 for interactions, ``USER_FACT``
            for facts about users; int64.
    """

    num_users: int
    num_items: int
    num_entities: int
    num_relations: int
    head: np.ndarray
    relation: np.ndarray
    tail: np.ndarray
    fact: np.ndarray

    def __post_init__(self) -> None:
        """Check ranges and lengths."""
        if not len(self.head) == len(self.relation) == len(self.tail) == len(self.fact):
            raise GraphError("head, relation, tail and fact differ in length.")
        if len(self.head) and not (
            min(self.head.min(), self.tail.min()) >= 0
            and max(self.head.max(), self.tail.max()) < self.num_nodes
        ):
            raise GraphError(f"an edge names a node outside 0..{self.num_nodes - 1}.")
        if len(self.relation) and not (
            self.relation.min() >= 0 and self.relation.max() < self.num_relations
        ):
            raise GraphError(f"an edge names a relation outside 0..{self.num_relations - 1}.")

    @classmethod
    def from_dataset(cls, data: Dataset, knowledge: bool = True) -> "CollaborativeKG":
        """Return the graph of a dataset's training interactions, triples and user facts.

        ``knowledge=False`` leaves the triples and all entities but the items out: the user-item
        graph.
        """
        if knowledge:
            entities = data.num_entities
        else:
            entities = data.num_items

        if knowledge:
            triples = data.triples
        else:
            triples = empty_triples()

        if knowledge:
            own = data.user_facts.astype(np.int64)
        else:
            own = np.empty((0, 3), np.int64)

        pairs = np.unique(np.stack([data.train.user, data.train.item], 1).astype(np.int64), axis=0)

        return cls(
            num_users=data.num_users,
            num_items=data.num_items,
            num_entities=entities,
            num_relations=1 + len(triples.relations),
            head=np.concatenate(
                [pairs[:, 0] + entities, triples.head.astype(np.int64), own[:, 0] + entities]
            ),
            relation=np.concatenate(
                [
                    np.zeros(len(pairs), np.int64),
                    triples.relation.astype(np.int64) + 1,
                    own[:, 1] + 1,
                ]
            ),
            tail=np.concatenate([pairs[:, 1], triples.tail.astype(np.int64), own[:, 2]]),
            fact=np.concatenate(
                [
                    np.full(len(pairs), -1, np.int64),
                    np.arange(len(triples)),
                    np.full(len(own), USER_FACT, np.int64),
                ]
            ),
        )

    def take(self, facts: np.ndarray) -> "CollaborativeKG":
        """Return the graph of some facts, by position or as a mask, with all nodes and
        relations.
        """
        return replace(
            self,
            head=self.head[facts],
            relation=self.relation[facts],
            tail=self.tail[facts],
            fact=self.fact[facts],
        )

    def without_knowledge(self) -> "CollaborativeKG":
        """Return the graph of users and items alone: the interactions, in their order."""
        user, item = self.interactions()
        return replace(
            self,
            num_entities=self.num_items,
            num_relations=1,
            head=user + self.num_items,
            relation=np.zeros_like(item),
            tail=item,
            fact=np.full_like(item, -1),
        )

    @property
    def num_nodes(self) -> int:
        """Number of nodes: E + U."""
        return self.num_entities + self.num_users

    def user_node(self, user: int) -> int:
        """Return the node of a user row."""
        return self.num_entities + user

    def is_user(self, node: int) -> bool:
        """Return whether a node is a user."""
        return node >= self.num_entities

    def user_row(self, node: int) -> int:
        """Return the user row of a node."""
        return node - self.num_entities

    @staticmethod
    def relation_of(row: _Rows) -> _Rows:
        """Return the relation of rows of ``Dataset.triples.relations``: a number, an array or a
        tensor of them.
        """
        shifted: _Rows = row + 1
        return shifted

    def warm_items(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the items with training interactions, ascending (int64), and each item's position
        among them (-1 for the others).
        """
        items = np.unique(self.tail[self.relation == 0])
        position = np.full(self.num_items, -1, dtype=np.int64)
        position[items] = np.arange(len(items))
        return items, position

    def both_ways(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (head, relation, tail) of every fact and of its inverse, the inverses last."""
        return (
            np.concatenate([self.head, self.tail]),
            np.concatenate([self.relation, self.relation + self.num_relations]),
            np.concatenate([self.tail, self.head]),
        )

    def interactions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the user row and the item of every training interaction, int64."""
        used = self.relation == 0
        return self.head[used] - self.num_entities, self.tail[used]

    def knowledge_both_ways(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (head, relation, tail) of every triple and of its inverse, the inverses last,
        without interactions and users.

        Relations are those of the knowledge graph, from 0; the inverse of ``r`` is ``r + R - 1``.
        """
        known = self.fact >= 0
        head = self.head[known]
        relation = self.relation[known] - 1
        tail = self.tail[known]
        inverse = relation + self.num_relations - 1

        return (
            np.concatenate([head, tail]),
            np.concatenate([relation, inverse]),
            np.concatenate([tail, head]),
        )
