"""From the hops of a path to what must never have been in the data."""

from dataclasses import dataclass

import numpy as np

from kgrec.data.derive.removal import Removal
from kgrec.data.records.dataset import Dataset
from kgrec.explanation.core.records import Hop, Node, Path, Relation

_INTERACTS = "interacts"


@dataclass(frozen=True, slots=True)
class PathRemovals:
    """What a path rests on.

    Attributes:
        like: Its first hop, where that is an interaction of the user.
        facts: All other hops; of counted users the interactions of each.
    """

    like: Removal
    facts: Removal


class StatedFacts:
    """Where the facts of paths are stated in a dataset: rows of its triples and interactions.

    Args:
        data: The dataset.
    """

    def __init__(self, data: Dataset) -> None:
        self._data = data
        triples = data.triples
        self._triples = _Rows(self._codes(triples.head, triples.relation, triples.tail))
        self._user_facts = _Rows(self._codes(*data.user_facts.T))
        self._by_item = data.train.csr(data.num_users, data.num_items).tocsc()

    def of(self, path: Path) -> PathRemovals | None:
        """Return what a path rests on; None where it counts users who are not between two items
        that they used.
        """
        first = path.hops[0]
        rest = list(path.hops)
        user = self._data.users.row(first.source.key)
        like = Removal()

        if first.liked and first.target.kind == "item":
            like = Removal(((user, self._data.items.row(first.target.key)),))
            rest = rest[1:]

        facts = Removal()
        for hop, after in zip(rest, [*rest[1:], None], strict=True):
            if hop.source.kind == "users":
                continue  # counted with the hop before

            if hop.target.kind == "users":
                found = self._counted(hop, after, user)
                if found is None:
                    return None

                facts |= found
                continue

            for relation in hop.relations:
                facts |= self._stated(hop, relation)

        return PathRemovals(like, facts)

    def _counted(self, hop: Hop, after: Hop | None, user: int) -> Removal | None:
        """Return the interactions of all other users who have the items on both sides."""
        if after is None or not (hop.liked and after.liked):
            return None

        ends = (hop.source, after.target)
        if any(end.kind != "item" for end in ends):
            return None

        first, second = (self._data.items.row(end.key) for end in ends)
        others = np.setdiff1d(np.intersect1d(self._users(first), self._users(second)), [user])
        pairs = [(other, item) for other in others.tolist() for item in (first, second)]
        return Removal(tuple(pairs))

    def _users(self, item: int) -> np.ndarray:
        start, end = self._by_item.indptr[item : item + 2]
        return np.asarray(self._by_item.indices[start:end])

    def _stated(self, hop: Hop, relation: Relation) -> Removal:
        """Return where one relation of a hop is stated: all of its rows."""
        data = self._data
        head, tail = hop.source, hop.target
        if not relation.forward:
            head, tail = tail, head

        if head.kind == "user":
            row = data.users.row(head.key)
            if relation.key == _INTERACTS and tail.kind == "item":
                return Removal(((row, data.items.row(tail.key)),))

            return Removal(user_facts=self._user_facts.at(self._code(row, relation, tail)))

        return Removal(triples=self._triples.at(self._code(self._row(head), relation, tail)))

    def _code(self, head: int, relation: Relation, tail: Node) -> int:
        row = self._data.triples.relations.row(relation.key)
        ends = (np.array([part]) for part in (head, row, self._row(tail)))
        return int(self._codes(*ends)[0])

    def _row(self, node: Node) -> int:
        if node.kind == "item":
            return self._data.items.row(node.key)
        return self._data.triples.entities.row(node.key)

    def _codes(self, head: np.ndarray, relation: np.ndarray, tail: np.ndarray) -> np.ndarray:
        relations = max(self._data.num_relations, 1)
        entities = max(self._data.num_entities, 1)
        codes = (head.astype(np.int64) * relations + relation) * entities + tail
        return np.asarray(codes)


class _Rows:
    """Finds all rows of a column that hold a value."""

    def __init__(self, values: np.ndarray) -> None:
        self._order = np.argsort(values, kind="stable")
        self._sorted = values[self._order]

    def at(self, value: int) -> tuple[int, ...]:
        start, end = (int(np.searchsorted(self._sorted, value, side)) for side in ("left", "right"))
        return tuple(self._order[start:end].tolist())
