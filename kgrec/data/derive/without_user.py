"""A dataset without a person: rows, labels, facts and lists, in every part."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, take_rows
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary


def without_user(data: Dataset, user: str) -> Dataset:
    """Return the dataset as if a user had never been in it; the other users move up by one row.

    Items, entities and triples stay, also those that no one else used; but an entity that is an
    attribute of this user alone (a name, an address) loses its key and label. Cautions that name
    the user are left out.

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

    alone = _of_one(data, row)
    named = re.compile(rf"(?<!\w){re.escape(user)} \(")
    warnings = tuple(one for one in data.report.warnings if not named.search(one.what))
    return replace(
        data,
        triples=_nameless(data.triples, alone) if len(alone) else data.triples,
        report=replace(data.report, warnings=warnings),
        users=Vocabulary(data.users.series.filter(pl.Series(kept)), kind="user", checked=True),
        user_labels=None if labels is None else labels.filter(pl.Series(kept)),
        user_facts=facts,
        negatives={name: _without(part, row) for name, part in data.negatives.items()},
        impressions=_unseen(data.impressions, row),
        path=None,
        checksum="",
        **parts,
    )


def _of_one(data: Dataset, row: int) -> np.ndarray:
    """Return the entities that are nothing but attributes of one user."""
    own = data.user_facts[:, 0] == row
    held = [part[:, [0, 2]].ravel() for part in data.held_triples.values()]
    others = [data.user_facts[~own, 2], data.triples.head, data.triples.tail, *held]
    found = np.setdiff1d(data.user_facts[own, 2], np.concatenate(others))
    return found[found >= data.num_items]


def _nameless(triples: Triples, rows: np.ndarray) -> Triples:
    """Return triples whose entities at some rows have no key, label or literal of their own."""
    keys = list(triples.entities)
    labels = triples.labels.to_list()
    taken = set(keys)
    number = 0
    for row in rows.tolist():
        while f"forgotten:{number}" in taken:
            number += 1
        keys[row] = f"forgotten:{number}"
        labels[row] = None
        number += 1

    others = ~pl.col("entity").is_in(rows.tolist())
    return replace(
        triples,
        entities=Vocabulary(keys, kind="entity"),
        labels=pl.Series("label", labels, dtype=pl.String),
        types=triples.types.filter(others),
        attributes=triples.attributes.filter(others),
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
