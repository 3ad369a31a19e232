"""The facts of the training graph, which validity and leaks are checked against."""

from dataclasses import dataclass

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.errors import UnknownIdError
from kgrec.explanation.core.records import Hop, Node, Path
from kgrec.graph.ckg import USER_FACT, CollaborativeKG


@dataclass(frozen=True, slots=True)
class Leaks:
    """What a graph holds that it must not.

    Attributes:
        strange: Facts of the graph that the training data does not state.
        held_out: Interactions and triples of the graph that are held out for validation or test.
        of: Facts of the graph.
    """

    strange: int
    held_out: int
    of: int


class TrainingFacts:
    """The facts of a dataset's training part, by value.

    Args:
        data: The dataset.
    """

    def __init__(self, data: Dataset) -> None:
        self._data = data
        triples = data.triples
        self._likes = np.unique(self._pairs(data.train))
        self._triples = np.unique(self._codes(triples.head, triples.relation, triples.tail))
        self._user_facts = np.unique(self._codes(*data.user_facts.T))
        self._users_of = np.bincount(self._likes % max(data.num_items, 1), minlength=data.num_items)

    def _pairs(self, part: Interactions) -> np.ndarray:
        return np.asarray(np.asarray(part.user, np.int64) * self._data.num_items + part.item)

    def _codes(self, head: np.ndarray, relation: np.ndarray, tail: np.ndarray) -> np.ndarray:
        head, relation, tail = (np.asarray(column, np.int64) for column in (head, relation, tail))
        return (head * max(self._data.num_relations, 1) + relation) * max(
            self._data.num_entities, 1
        ) + tail

    def leaks(self, ckg: CollaborativeKG) -> Leaks:
        """Return what the graph that paths are drawn from holds beyond the training part."""
        users, items = ckg.interactions()
        likes = users * self._data.num_items + items
        known = ckg.fact >= 0
        of_users = ckg.fact == USER_FACT
        facts = self._codes(ckg.head[known], ckg.relation[known] - 1, ckg.tail[known])
        of_user = self._codes(
            ckg.head[of_users] - ckg.num_entities, ckg.relation[of_users] - 1, ckg.tail[of_users]
        )
        held_out = np.concatenate([self._pairs(self._data.valid), self._pairs(self._data.test)])
        hidden = [self._codes(*part.T) for part in self._data.held_triples.values() if len(part)]
        unknown = [
            ~np.isin(likes, self._likes),
            ~np.isin(facts, self._triples),
            ~np.isin(of_user, self._user_facts),
        ]
        leaked = [np.isin(likes, held_out)]
        if hidden:
            leaked.append(np.isin(facts, np.concatenate(hidden)))

        return Leaks(
            sum(int(part.sum()) for part in unknown),
            sum(int(part.sum()) for part in leaked),
            len(ckg.head),
        )

    def hop_holds(self, hop: Hop, user: str) -> bool:
        """Return whether every relation of a hop is a fact of the training part in that direction.

        Of counted users it is asked whether the item has another user at all.
        """
        try:
            return all(
                self._states(*self._ends(hop, relation.forward), relation.key, user)
                for relation in hop.relations
            )
        except UnknownIdError:
            return False

    def path_holds(self, path: Path, user: str) -> bool:
        """Return whether every hop of a path holds."""
        return all(self.hop_holds(hop, user) for hop in path.hops)

    @staticmethod
    def _ends(hop: Hop, forward: bool) -> tuple[Node, Node]:
        if forward:
            return (hop.source, hop.target)
        return (hop.target, hop.source)

    def _states(self, head: Node, tail: Node, relation: str, user: str) -> bool:
        data = self._data
        if head.kind == "users":
            return relation != "interacts" or self._others(data.items.row(tail.key), user) > 0

        if head.kind == "user":
            row = data.users.row(head.key)
            if relation == "interacts" and tail.kind == "item":
                return self._in(self._likes, row * data.num_items + data.items.row(tail.key))

            return self._in(self._user_facts, self._code(row, relation, tail))

        return self._in(self._triples, self._code(self._row(head), relation, tail))

    def _others(self, item: int, user: str) -> int:
        liked = self._in(self._likes, self._data.users.row(user) * self._data.num_items + item)
        return int(self._users_of[item]) - liked

    def _code(self, head: int, relation: str, tail: Node) -> int:
        row = self._data.triples.relations.row(relation)
        return (head * max(self._data.num_relations, 1) + row) * max(
            self._data.num_entities, 1
        ) + self._row(tail)

    def _row(self, node: Node) -> int:
        if node.kind == "item":
            return self._data.items.row(node.key)
        return self._data.triples.entities.row(node.key)

    @staticmethod
    def _in(codes: np.ndarray, code: int) -> bool:
        index = int(np.searchsorted(codes, code))
        return index < len(codes) and int(codes[index]) == code
