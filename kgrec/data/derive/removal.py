"""A dataset from which single interactions and facts are taken: what was never in the data."""

from dataclasses import dataclass, replace

import numpy as np

from kgrec.data.records.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Removal:
    """Interactions and facts to take out of a dataset's training part.

    Attributes:
        interactions: Pairs of user row and item row.
        triples: Rows of ``Dataset.triples``. A fact that several triples state is gone only
            without all of them.
        user_facts: Rows of ``Dataset.user_facts``.
    """

    interactions: tuple[tuple[int, int], ...] = ()
    triples: tuple[int, ...] = ()
    user_facts: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is taken out."""
        return bool(self.interactions or self.triples or self.user_facts)

    def __or__(self, other: "Removal") -> "Removal":
        """Return both together."""
        return Removal(
            tuple(sorted({*self.interactions, *other.interactions})),
            tuple(sorted({*self.triples, *other.triples})),
            tuple(sorted({*self.user_facts, *other.user_facts})),
        )

    def items_of(self, user: int) -> np.ndarray:
        """Return the items whose interaction with a user is taken out, ascending."""
        return np.unique(np.array([i for u, i in self.interactions if u == user], np.int64))

    def users(self) -> list[int]:
        """Return the users who lose interactions, ascending."""
        return sorted({user for user, _ in self.interactions})


def without(data: Dataset, removal: Removal) -> Dataset:
    """Return the dataset without some training interactions and facts; ids stay as they are."""
    pairs = np.array(removal.interactions, np.int64).reshape(-1, 2)
    codes = data.train.user.astype(np.int64) * data.num_items + data.train.item
    kept = ~np.isin(codes, pairs[:, 0] * data.num_items + pairs[:, 1])
    triples = np.ones(len(data.triples), dtype=bool)
    triples[list(removal.triples)] = False
    user_facts = np.ones(len(data.user_facts), dtype=bool)
    user_facts[list(removal.user_facts)] = False

    return replace(
        data,
        train=data.train.take(kept),
        triples=data.triples.take(triples),
        user_facts=data.user_facts[user_facts],
        path=None,
        checksum="",
    )
