"""Queries with padded histories, for training, evaluation and recommendation alike. The one module
of ``data`` that needs torch.
"""

from collections.abc import Sequence

import numpy as np
import torch

from kgrec.batches import Query
from kgrec.data.records.interactions import Interactions


def queries(interactions: Interactions, users: np.ndarray, max_length: int | None = None) -> Query:
    """Return a query per user with the items of the interactions, oldest first, right-padded with
    0.

    Args:
        interactions: Sorted by user and, within a user, oldest first, as ``Dataset`` keeps them.
        users: User rows; -1 for someone unseen, whose history is empty.
        max_length: Only the last so many items are kept; all where None.
    """
    users = np.asarray(users, dtype=np.int64)
    start = np.searchsorted(interactions.user, users, side="left")
    end = np.searchsorted(interactions.user, users, side="right")
    if max_length is not None:
        start = np.maximum(start, end - max_length)

    length = end - start
    place = np.arange(int(length.max(initial=0)))
    mask = place[None, :] < length[:, None]
    rows = np.where(mask, start[:, None] + place[None, :], 0)

    if len(interactions):
        items = interactions.item[rows].astype(np.int64)
    else:
        items = np.zeros_like(rows)

    return Query(
        torch.from_numpy(users.copy()),
        torch.from_numpy(np.where(mask, items, 0)),
        torch.from_numpy(mask),
    )


def histories(items: Sequence[Sequence[int]], max_length: int | None = None) -> Query:
    """Return a query per list of item rows, oldest first, for people the model has never seen (user
    -1).
    """
    kept = [
        list(own) if max_length is None else list(own)[max(len(own) - max_length, 0) :]
        for own in items
    ]
    history = np.zeros((len(kept), max((len(own) for own in kept), default=0)), dtype=np.int64)
    mask = np.zeros(history.shape, dtype=bool)

    for row, own in enumerate(kept):
        history[row, : len(own)] = own
        mask[row, : len(own)] = True

    return Query(
        torch.full((len(kept),), -1, dtype=torch.int64),
        torch.from_numpy(history),
        torch.from_numpy(mask),
    )
