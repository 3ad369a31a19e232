"""Datasets made worse by degrees: facts taken away, distorted, invented; users and items made cold.

Source: the scenarios of Zhang et al., KG4RecEval: Does Knowledge Graph Really Matter for
Recommender Systems?, TOIS 2025.
"""

from dataclasses import replace

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.data.records.triples import Triples
from kgrec.errors import DataError


def keep_triples(data: Dataset, share: float, *, generator: np.random.Generator) -> Dataset:
    """Return the dataset with a share of its triples, drawn without replacement; in [0, 1].

    Facts about users are kept in the same share. Draws of the same generator's state are nested: a
    smaller share holds no triple that a larger one lacks.
    """
    count = len(data.triples)
    order = generator.permutation(count)
    facts = generator.permutation(len(data.user_facts))
    kept = np.sort(order[: round(share * count)])
    stated = np.sort(facts[: round(share * len(facts))])
    return _changed(data, data.triples.take(kept), data.user_facts[stated])


def distort_triples(data: Dataset, share: float, *, generator: np.random.Generator) -> Dataset:
    """Return the dataset with a share of its triples replaced by ones drawn evenly: any entity,
    relation and entity; in [0, 1].
    """
    rows = generator.permutation(len(data.triples))[: round(share * len(data.triples))]
    triples = data.triples
    columns = {name: getattr(triples, name).copy() for name in ("head", "relation", "tail")}
    for name, drawn in _invented(data, len(rows), generator).items():
        columns[name][rows] = drawn

    return _changed(data, replace(triples, **columns), data.user_facts)


def add_false_triples(data: Dataset, share: float, *, generator: np.random.Generator) -> Dataset:
    """Return the dataset with invented triples added, as many as this share of its own; 0 or
    more. Its own stay.
    """
    count = len(data.triples)
    more = round(share * count)
    if not more:
        return data

    rows = np.concatenate([np.arange(count), generator.integers(count, size=more)])
    triples = data.triples.take(rows)
    columns = {}
    for name, drawn in _invented(data, more, generator).items():
        columns[name] = getattr(triples, name).copy()
        columns[name][count:] = drawn

    return _changed(data, replace(triples, **columns), data.user_facts)


def cold_users(
    data: Dataset, left: int, *, share: float = 0.1, generator: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """Return the dataset in which some users have few training interactions, and their rows.

    Their other interactions, those of validation too, are of the test part, which is of these users
    alone.

    Args:
        data: The dataset.
        left: Training interactions that each keeps, 1 or more.
        share: Share of users that are taken, of those with more training interactions than that.
        generator: Draws users, then interactions.

    Raises:
        DataError: If no user has more training interactions than ``left``.
    """
    count = np.bincount(data.train.user, minlength=data.num_users)
    able = np.flatnonzero(count > left)
    if not len(able):
        raise DataError(
            f"{data.name}: no user has more than {left} training interactions, so none can be "
            "made cold. Take fewer."
        )

    users = np.sort(generator.permutation(able)[: max(1, round(share * data.num_users))])
    chosen = np.isin(data.train.user, users)
    order = generator.permutation(len(data.train))
    order = order[np.argsort(data.train.user[order], kind="stable")]  # by user, within it at random
    first = np.searchsorted(data.train.user[order], data.train.user[order])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - first
    kept = ~chosen | (rank < left)
    return _held_out(data, kept, np.isin(data.valid.user, users), _of_users(data, users)), users


def cold_items(
    data: Dataset, *, share: float = 0.1, generator: np.random.Generator
) -> tuple[Dataset, np.ndarray]:
    """Return the dataset in which some items have no training interaction, and their rows.

    Their interactions are of the test part, which is of these items alone. Users keep at least one
    training interaction: an item that is somebody's only one stays.

    Args:
        data: The dataset.
        share: Share of items that are taken, of those with training interactions.
        generator: Draws them.

    Raises:
        DataError: If no item can be taken.
    """
    left = np.bincount(data.train.user, minlength=data.num_users)
    able = generator.permutation(np.unique(data.train.item))
    wanted = max(1, round(share * len(able)))
    items: list[int] = []
    by_item = np.argsort(data.train.item, kind="stable")
    ends = np.searchsorted(data.train.item[by_item], [able, able + 1])
    for item, begin, end in zip(able.tolist(), *ends.tolist(), strict=True):
        users = data.train.user[by_item[begin:end]]
        if len(items) < wanted and (left[users] > 1).all():
            left[users] -= 1
            items.append(item)

    if not items:
        raise DataError(f"{data.name}: every item is somebody's only one, so none can be cold.")

    rows = np.sort(np.array(items))
    kept = ~np.isin(data.train.item, rows)
    return _held_out(data, kept, np.isin(data.valid.item, rows), _of_items(data, rows)), rows


def _of_users(data: Dataset, users: np.ndarray) -> Interactions:
    return data.test.take(np.isin(data.test.user, users))


def _of_items(data: Dataset, items: np.ndarray) -> Interactions:
    return data.test.take(np.isin(data.test.item, items))


def _held_out(data: Dataset, kept: np.ndarray, moved: np.ndarray, test: Interactions) -> Dataset:
    """Return the dataset whose test part is ``test`` and what is taken from the other parts."""
    parts = [data.train.take(~kept), data.valid.take(moved), test]
    return replace(
        data,
        train=data.train.take(kept),
        valid=data.valid.take(~moved),
        test=concatenate([part for part in parts if len(part)]),
        path=None,
        checksum="",
    )


def _invented(data: Dataset, count: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    entities, relations = data.num_entities, data.num_relations
    sizes = {"head": entities, "relation": relations, "tail": entities}
    return {name: generator.integers(size, size=count) for name, size in sizes.items()}


def _changed(data: Dataset, triples: Triples, facts: np.ndarray) -> Dataset:
    return replace(data, triples=triples, user_facts=facts, path=None, checksum="")
