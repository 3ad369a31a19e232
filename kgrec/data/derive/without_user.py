"""A dataset without a person: rows, labels, facts and lists, in every part."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, take_rows
from kgrec.data.records.vocabulary import Vocabulary


def without_user(data: Dataset, user: str) -> Dataset:
    """Return the dataset as if a user had never been in it; the other users move up by one row.

    Items, entities and triples stay, also those that no one else used.

    Raises:
        UnknownIdError: If the user is not known.
    """
    row = data.users.row(user)
    kept = np.arange(data.num_users) != row
    labels = data.user_labels
    parts: dict[str, Any] = {
        name: _without(getattr(data, name), row) for name in ("train", "valid", "test")
    }
    facts = data.user_facts[data.user_facts[:, 0] != row].copy()
    facts[:, 0] -= facts[:, 0] > row

    return replace(
        data,
        users=Vocabulary(data.users.series.filter(pl.Series(kept)), kind="user", checked=True),
        user_labels=None if labels is None else labels.filter(pl.Series(kept)),
        user_facts=facts,
        negatives={name: _without(part, row) for name, part in data.negatives.items()},
        impressions=_unseen(data.impressions, row),
        path=None,
        checksum="",
        **parts,
    )


def _without(part: Interactions, row: int) -> Interactions:
    left = part.take(part.user != row)
    return replace(left, user=_moved(left.user, row))


def _moved(users: np.ndarray, row: int) -> np.ndarray:
    return (users - (users > row)).astype(users.dtype)


def _unseen(parts: Mapping[str, Impressions], row: int) -> dict[str, Impressions]:
    """Return the impressions of everyone else."""
    found = {}
    for name, part in parts.items():
        kept = part.user != row
        shown = np.repeat(kept, np.diff(part.start))
        read = np.repeat(kept, np.diff(part.history_start))
        found[name] = Impressions(
            user=_moved(part.user[kept], row),
            time=take_rows(part.time, kept),
            start=_starts(np.diff(part.start)[kept]),
            item=part.item[shown],
            clicked=part.clicked[shown],
            history_start=_starts(np.diff(part.history_start)[kept]),
            history=part.history[read],
        )

    return found


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
