"""A dataset with something taken away, and its items and users in groups."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.tie_order import tie_order

_Part = TypeVar("_Part")
_QUARTERS = 4


def without_test(data: Dataset) -> Dataset:
    """Return the dataset without anything that is held out for the test."""
    return replace(
        data,
        test=Interactions(),
        negatives=_but_test(data.negatives),
        impressions=_but_test(data.impressions),
        held_triples=_but_test(data.held_triples),
        path=None,
        checksum="",
    )


def without_graph(data: Dataset) -> Dataset:
    """Return the dataset without triples and facts about users.

    Ids stay as they are, so entities that are no items stand alone.
    """
    bare = _keep_triples(data, np.zeros(len(data.triples), dtype=bool))
    return replace(bare, name=f"{data.name} (no graph)", user_facts=data.user_facts[:0])


def without_relation(data: Dataset, relation: int) -> Dataset:
    """Return the dataset without the triples of one relation (row)."""
    left = _keep_triples(data, data.triples.relation != relation)
    return replace(left, name=f"{data.name} (without {data.triples.relation_label(relation)})")


def item_groups(data: Dataset) -> dict[str, np.ndarray]:
    """Return the items (True) of each group by popularity; a group without items is left out.

    Head items are the most popular ones that together hold half of the training interactions, tail
    items the others that have any; cold items have none.
    """
    count = np.bincount(data.train.item, minlength=data.num_items)
    order = tie_order(data)
    before = np.cumsum(count[order]) - count[order]
    head = np.zeros(data.num_items, dtype=bool)
    head[order[2 * before < len(data.train)]] = True
    groups = {
        "head items": head & (count > 0),
        "tail items": ~head & (count > 0),
        "cold items": count == 0,
    }

    return {name: items for name, items in groups.items() if items.any()}


def user_groups(data: Dataset, users: np.ndarray) -> dict[str, np.ndarray]:
    """Return which of ``users`` (rows) belong to each quarter by training interactions.

    Equal counts stay together.
    """
    count = np.bincount(data.train.user, minlength=data.num_users)[users]
    edges = np.quantile(count, np.arange(1, _QUARTERS) / _QUARTERS)
    quarter = np.searchsorted(edges, count, side="left")
    groups = {}

    for number in range(_QUARTERS):
        inside = quarter == number
        if inside.any():
            low = int(count[inside].min())
            high = int(count[inside].max())
            groups[
                f"users with {low} to {high} interactions"
                if low < high
                else f"users with {low} interactions"
            ] = inside

    return groups


def _keep_triples(data: Dataset, kept: np.ndarray) -> Dataset:
    return replace(data, triples=data.triples.take(kept), path=None, checksum="")


def _but_test(parts: Mapping[str, _Part]) -> dict[str, _Part]:
    return {name: part for name, part in parts.items() if name != "test"}
