"""DKN's text: ``user <tab> title <tab> label <tab> id:entity;id:entity`` a line, in
``raw_train.txt`` and its like.
"""

from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.formats.id_lists import ENTITIES, USERS, is_plain
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write interactions (label 1) and labelled negatives (label 0) of each part; a news is its
    title.
    """
    written = Written()
    names = base.carried(data, base.fits_cell, (USERS,))
    texts = [
        data.item_label(row) if text is None else text
        for row, text in enumerate(
            data.content.texts if data.content.texts is not None else [None] * data.num_items
        )
    ]
    titles = pl.Series([base.cell(text).strip() or "-" for text in texts], dtype=pl.String)
    written.lose("tabs and line ends in texts, now blanks", base.changed(texts))
    written.lose("item ids (a news is its title)", int((data.items.series != titles).sum()))
    written.lose("news whose title another has", len(titles) - titles.n_unique())
    written.lose(
        "interactions with a news whose title another has that the user interacted with",
        _repeated(data, titles),
        base.INTERACTIONS,
    )
    keys, lists = _entity_keys(data)
    written.lose("words of mentions that are not words of the entity's label", _unlike(data))
    entities = _mentioned(data, keys)
    lists |= names.lists
    for file, text in lists.items():
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
    if lists:
        written.notes.append(
            f"Ids are numbers from 0 where {', '.join(lists)} say what they stand for."
        )
    for part, rows in base.parts_of(data).items():
        negatives = data.negatives.get(part, Interactions())
        if part == "valid" and not len(rows) + len(negatives):
            continue
        user = np.concatenate([rows.user, negatives.user])
        item = np.concatenate([rows.item, negatives.item])
        label = pl.Series(["1"] * len(rows) + ["0"] * len(negatives), dtype=pl.String)
        base.write_rows(
            folder / f"raw_{part}.txt",
            [base.at(names.users, user), base.at(titles, item), label, base.at(entities, item)],
            "\t",
        )
    return written


def _repeated(data: Dataset, titles: pl.Series) -> int:
    """Count the interactions that become one with another, in a user's history, since their news
    have one title.
    """
    rows = base.parts_of(data).values()
    user, item = (
        np.concatenate([getattr(part, column) for part in rows]) for column in ("user", "item")
    )
    return len(user) - pl.DataFrame({"user": user, "title": base.at(titles, item)}).n_unique()


def _entity_keys(data: Dataset) -> tuple[pl.Series, dict[str, str]]:
    """Return the ids of entities, numbers where a key has a colon or a semicolon, and the list of
    them then.
    """
    keys = data.triples.entities.series
    named = np.unique(data.content.mentions[:, 3])
    if all(is_plain(key) and ":" not in key and ";" not in key for key in keys.gather(named)):
        return keys, {}
    numbers = base.numbered(data)
    return numbers.entities, {ENTITIES: numbers.lists[ENTITIES]}


def _mentioned(data: Dataset, keys: pl.Series) -> pl.Series:
    """Return ``id:entity;id:entity`` of each item, the entity in words."""
    found: dict[int, dict[str, None]] = {}
    for item, first, end, entity in data.content.mentions.tolist():
        label = data.triples.labels[entity] or (
            data.content.texts[item][first:end] if data.content.texts is not None else ""
        )
        found.setdefault(item, {})[
            f"{keys[entity]}:{base.cell(label).replace(';', ',').strip()}"
        ] = None
    return pl.Series(
        [";".join(found.get(row, {})) for row in range(data.num_items)], dtype=pl.String
    )


def _unlike(data: Dataset) -> int:
    """Count the mentions that the words of their entity's label do not give back."""
    texts = data.content.texts
    labels = data.triples.labels
    if texts is None:
        return len(data.content.mentions)
    count = 0
    for item, first, end, entity in data.content.mentions.tolist():
        surface = texts[item][first:end].lower().split()
        label = (labels[entity] or "").lower().split()
        count += not set(surface) <= set(label or surface)
    return count


DKN = Format(
    "raw_train.txt, raw_valid.txt, raw_test.txt ('user title label id:entity;...' between tabs)",
    frozenset(
        {base.INTERACTIONS, base.SPLIT, base.NEGATIVES, base.TEXTS, base.ITEM_LABELS, base.MENTIONS}
    ),
    write,
    needs=base.INTERACTIONS,
)
