"""Which users and items training can tell something about."""

from dataclasses import dataclass

import numpy as np

from kgrec.data.records.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Known:
    """Users and items that a model can tell apart from others.

    Attributes:
        users: True for users with something to rank by; bool (users).
        items: True for items that may be ranked; bool (items).
    """

    users: np.ndarray
    items: np.ndarray


def with_interactions(data: Dataset) -> Known:
    """Return the users and items that have training interactions: the warm ones."""
    users = np.zeros(data.num_users, dtype=bool)
    items = np.zeros(data.num_items, dtype=bool)
    users[data.train.user] = True
    items[data.train.item] = True
    return Known(users, items)
