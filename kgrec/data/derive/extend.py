"""A dataset with more interactions, users, items and facts: what was there keeps its order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from kgrec.data.graphs.join import join_linked
from kgrec.data.records.content import Content
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import DataError


@dataclass(frozen=True, slots=True)
class Extended:
    """A dataset that was extended, and by what.

    Attributes:
        data: The dataset. New users and items are its last ones, new interactions are in training.
        users: How many users are new.
        items: How many items are new.
        interactions: How many interactions are new.
        known: How many given ones were in the data already.
        facts: How many triples are new.
    """

    data: Dataset
    users: int
    items: int
    interactions: int
    known: int
    facts: int


def extend(
    data: Dataset,
    log: pl.DataFrame | None = None,
    items: Sequence[str] = (),
    facts: Triples | None = None,
) -> Extended:
    """Return a dataset with more in it.

    Args:
        data: What there is.
        log: New interactions: ``user``, ``item``, and ``time`` and ``rating`` where the data has
            them. A pair that is there already is left out, of one given twice the earliest stays.
        items: Ids of new items, beside those that are in the log alone.
        facts: Their triples. The key of a head or a tail may be the id of an item, new or known, or
            the key of an entity.

    Raises:
        DataError: If the data counts interactions by weights, or lists were shown, which new
            interactions would not fit.
    """
    frame = _columns(log)
    new_users = _unknown(data.users, frame["user"].to_list())
    new_items = _unknown(data.items, [*items, *frame["item"].to_list()])
    users = Vocabulary([*data.users, *new_users], kind="user")
    grown = _with_items(data, new_items, facts)
    more, known = _new_pairs(grown, users, frame)
    train = data.train
    if len(more):
        train = concatenate([train, more])

    labels = data.user_labels
    if labels is not None:
        labels = pl.concat([labels, pl.Series([None] * len(new_users), dtype=labels.dtype)])

    made = replace(
        grown,
        users=users,
        user_labels=labels,
        train=train,
        path=None,
        checksum="",
    )
    counts = len(new_users), len(new_items), len(more), known
    return Extended(made, *counts, len(grown.triples) - len(data.triples))


def _columns(log: pl.DataFrame | None) -> pl.DataFrame:
    if log is None:
        return pl.DataFrame(schema={"user": pl.String, "item": pl.String})
    return log


def _unknown(known: Vocabulary, keys: Sequence[str]) -> list[str]:
    """Return the keys that are not known, each once, in their order."""
    return [key for key in dict.fromkeys(keys) if key not in known]


def _new_pairs(data: Dataset, users: Vocabulary, frame: pl.DataFrame) -> tuple[Interactions, int]:
    """Return the interactions of a log that the data does not have, and how many it has."""
    if data.train.weight is not None or data.train.event is not None:
        raise DataError(
            f"{data.name}: its interactions have weights or types of events, and new ones would "
            "have none. Build the dataset again with them, and train with --start."
        )

    columns = {"user": users.match(frame["user"]), "item": data.items.match(frame["item"])}
    for name in ("time", "rating"):
        if getattr(data.train, name) is None:
            continue
        if name in frame.columns:
            columns[name] = frame[name].to_numpy()
        else:
            columns[name] = np.full(len(frame), np.nan)

    table = pl.DataFrame(columns).with_row_index("at")
    if "time" in columns:
        table = table.sort(["time", "at"], nulls_last=True)

    table = table.unique(["user", "item"], keep="first", maintain_order=True).sort("at")
    parts = (data.train, data.valid, data.test)
    had = np.concatenate([_codes(data, part.user, part.item) for part in parts])
    fresh = ~np.isin(_codes(data, table["user"].to_numpy(), table["item"].to_numpy()), had)
    kept = table.filter(pl.Series(fresh))
    more = Interactions(
        kept["user"].to_numpy().astype(np.int32),
        kept["item"].to_numpy().astype(np.int32),
        *(
            None
            if (old := getattr(data.train, name)) is None
            else kept[name].to_numpy().astype(old.dtype)
            for name in ("time", "rating")
        ),
    )
    return more, len(frame) - len(more)


def _codes(data: Dataset, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    return np.asarray(user.astype(np.int64) * max(1, data.num_items) + item)


def _with_items(data: Dataset, new: Sequence[str], facts: Triples | None) -> Dataset:
    """Return a dataset with new items behind its own, their facts, and whatever these name."""
    if not new and facts is None:
        return data

    old = data.triples
    taken = [old.entities.get(key) for key in new]  # an entity that becomes an item
    items = Vocabulary([*data.items, *new], kind="item")
    count = data.num_items
    row = np.full(len(old.entities), -1, dtype=np.int64)
    row[:count] = np.arange(count)
    for place, entity in enumerate(taken):
        if entity is not None and entity >= count:
            row[entity] = count + place

    rest = np.flatnonzero(row < 0)
    row[rest] = len(items) + np.arange(len(rest))
    keys = [*old.entities.keys(np.arange(count)), *new, *old.entities.keys(rest)]
    source = np.full(len(keys), -1, dtype=np.int64)
    source[row] = np.arange(len(row))
    labels = pl.Series([*old.labels.to_list(), None], dtype=pl.String)
    triples = replace(
        old,
        entities=Vocabulary(_distinct(keys, len(data.items), len(new))),
        head=row[old.head].astype(np.int32),
        tail=row[old.tail].astype(np.int32),
        labels=labels.gather(np.where(source < 0, len(row), source)),
        types=_moved(old.types, row),
        attributes=_moved(old.attributes, row),
    )
    if facts is not None:
        triples = _joined(triples, items, facts)

    return replace(
        data,
        items=items,
        triples=triples,
        user_facts=_moved_facts(data.user_facts, row),
        held_triples={
            name: np.stack([row[part[:, 0]], part[:, 1], row[part[:, 2]]], 1).astype(np.int32)
            for name, part in data.held_triples.items()
        },
        content=_content(data.content, len(new), row),
    )


def _distinct(keys: list[str], first: int, new: int) -> list[str]:
    """Return entity keys; a new item whose id is the key of a known item's entity has another."""
    others = {*keys[:first], *keys[first + new :]}
    for place in range(first, first + new):
        while keys[place] in others:
            keys[place] = f"item:{keys[place]}"
        others.add(keys[place])

    return keys


def _moved(table: pl.DataFrame, row: np.ndarray) -> pl.DataFrame:
    moved = row[table["entity"].to_numpy()].astype(np.int32)
    return table.with_columns(pl.Series("entity", moved, dtype=table["entity"].dtype))


def _moved_facts(facts: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.stack([facts[:, 0], facts[:, 1], row[facts[:, 2]]], 1).astype(facts.dtype)


def _content(content: Content, new: int, row: np.ndarray) -> Content:
    """Return the content with nothing said of the new items."""
    texts = content.texts
    if texts is not None:
        texts = pl.concat([texts, pl.Series([None] * new, dtype=texts.dtype)])

    features = content.features
    if features is not None:
        features = np.pad(features, ((0, new), (0, 0)))

    mentions = content.mentions.copy()
    mentions[:, 3] = row[mentions[:, 3]]
    return replace(content, texts=texts, features=features, mentions=mentions)


def _joined(triples: Triples, items: Vocabulary, facts: Triples) -> Triples:
    """Return triples with those of others, which name items by id or by the key of their entity."""
    count = len(items)
    keys = facts.entities.series
    row = items.match(keys)
    by_entity = triples.entities.match(keys)
    row = np.where((row < 0) & (by_entity >= 0) & (by_entity < count), by_entity, row)
    others = np.flatnonzero(row < 0)
    row[others] = count + np.arange(len(others))
    labels: list[str | None] = [None] * (count + len(others))
    for place, label in zip(row.tolist(), facts.labels.to_list(), strict=True):
        labels[place] = label

    placed = replace(
        facts,
        entities=Vocabulary([*items, *facts.entities.keys(others)]),
        head=row[facts.head].astype(np.int32),
        tail=row[facts.tail].astype(np.int32),
        labels=pl.Series("label", labels, dtype=pl.String),
        types=_moved(facts.types, row),
        attributes=_moved(facts.attributes, row),
    )
    return join_linked(triples, placed, count)[0]
