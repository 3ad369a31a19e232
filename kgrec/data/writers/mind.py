"""MIND's files: ``news.tsv``, ``behaviors.tsv`` and ``entity_embedding.vec`` in folders named
train, dev and test.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.formats.id_lists import ENTITIES
from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Names, Written

_FOLDERS = {"train": "train", "valid": "dev", "test": "test"}
_LEAFS = ("category", "subcategory")


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the impressions of each part, and news that their lists or the catalog name."""
    written = Written()
    names = base.carried(data)
    names.write_lists(folder)
    names.note(written)
    news = _news(data, names, written)
    _lose_interactions(data, written)
    rest = np.ones(data.num_items, dtype=bool)
    for own in data.impressions.values():
        rest[own.item] = rest[own.history] = False
    for part, own in data.impressions.items():
        place = folder / _FOLDERS[part]
        place.mkdir()
        if part == "train":
            used = rest.copy()
        else:
            used = np.zeros(data.num_items, dtype=bool)
        used[own.item] = used[own.history] = True
        base.write_lines(place / "news.tsv", news.filter(pl.Series(used)))
        base.write_lines(place / "behaviors.tsv", _behaviors(own, names))
        if part == "train" and data.content.entities is not None and ENTITIES in names.lists:
            written.lose(
                "vectors of entities that are numbers here",
                len(data.content.entities.keys),
                base.ENTITY_VECTORS,
            )
        elif part == "train" and data.content.entities is not None:
            _write_vectors(data, place / "entity_embedding.vec", names, written)
    times = [own.time for own in data.impressions.values()]
    if any(time is None for time in times):
        written.notes.append(
            "Impressions without a time have that of 1970-01-01: the format has no empty times."
        )
    if any(time is not None and (time != np.floor(time)).any() for time in times):
        written.notes.append("Times are cut to whole seconds.")
    return written


def _behaviors(own: Impressions, names: Names) -> pl.Series:
    if own.time is None:
        time = np.zeros(len(own))
    else:
        time = np.floor(own.time)
    columns = [
        pl.Series(range(1, len(own) + 1), dtype=pl.Int64).cast(pl.String),
        base.at(names.users, own.user),
        pl.Series(time * 1e6)
        .cast(pl.Int64)
        .cast(pl.Datetime("us"))
        .dt.strftime("%m/%d/%Y %I:%M:%S %p"),
        base.lists_of(own.history_start, base.at(names.items, own.history)),
        base.shown(own, names.items),
    ]
    frame = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(columns)])
    return frame.select(pl.concat_str(pl.all(), separator="\t")).to_series()


def _news(data: Dataset, names: Names, written: Written) -> pl.Series:
    """Return a line for each item."""
    triples = data.triples
    if data.content.texts is None:
        texts = triples.labels[: data.num_items]
    else:
        texts = data.content.texts
    written.lose("tabs and line ends in texts, now blanks", base.changed(texts))
    titles = [base.cell(text) for text in texts]
    other = triples.labels[: data.num_items]
    written.lose(
        "item labels that are not the texts",
        int((other.is_not_null() & other.ne_missing(pl.Series(texts))).sum()),
    )
    leafs = _leafs(data, written)
    mentions: dict[int, dict[str, dict[str, object]]] = {}
    for item, first, end, entity in data.content.mentions.tolist():
        key = names.entities[entity]
        label = triples.labels[entity]
        own = mentions.setdefault(item, {}).setdefault(
            key,
            {
                "Label": label or "",
                "Type": "",
                "WikidataId": key,
                "Confidence": 1.0,
                "OccurrenceOffsets": [],
                "SurfaceForms": [],
            },
        )
        own["OccurrenceOffsets"].append(first)  # type: ignore[attr-defined]
        own["SurfaceForms"].append(titles[item][first:end])  # type: ignore[attr-defined]
    lines = []
    for row, (item, title) in enumerate(zip(names.items, titles, strict=True)):
        entities = json.dumps(list(mentions.get(row, {}).values()), ensure_ascii=False)
        lines.append(
            "\t".join(
                [
                    item,
                    leafs[0].get(row, ""),
                    leafs[1].get(row, ""),
                    title,
                    "",
                    "",
                    base.cell(entities),
                    "[]",
                ]
            )
        )
    return pl.Series(lines, dtype=pl.String)


def _leafs(data: Dataset, written: Written) -> list[dict[int, str]]:
    """Return each item's category and subcategory: its triples with these relations, as the reader
    of MIND makes them.
    """
    triples = data.triples
    found: list[dict[int, str]] = [{}, {}]
    taken = 0
    rows = {triples.relations.get(leaf): (place, f"{leaf}=") for place, leaf in enumerate(_LEAFS)}
    for head, relation, tail in zip(
        triples.head.tolist(), triples.relation.tolist(), triples.tail.tolist(), strict=True
    ):
        place, prefix = rows.get(relation, (-1, ""))
        if place >= 0:
            key = triples.entities.key(tail)
        else:
            key = ""
        value = key.removeprefix(prefix)
        if (
            place >= 0
            and head < data.num_items
            and key.startswith(prefix)
            and value == base.cell(value).strip() != ""
        ):
            taken += head not in found[place]
            found[place].setdefault(head, value)
    written.lose(
        "triples other than one category and one subcategory of each news",
        len(triples) - taken,
        base.TRIPLES,
    )
    return found


def _lose_interactions(data: Dataset, written: Written) -> None:
    """Count the interactions that no list shows as clicked or read."""
    told = [np.empty(0, dtype=np.int64)]
    for own in data.impressions.values():
        clicks = (
            np.repeat(own.user, np.diff(own.start))[own.clicked].astype(np.int64) * data.num_items
            + own.item[own.clicked]
        )
        told += [
            clicks,
            np.repeat(own.user, np.diff(own.history_start)).astype(np.int64) * data.num_items
            + own.history,
        ]
    pairs = [
        rows.user.astype(np.int64) * data.num_items + rows.item
        for rows in base.parts_of(data).values()
    ]
    gone = int((~np.isin(np.concatenate(pairs), np.concatenate(told))).sum())
    written.lose("interactions that no list shows", gone, base.INTERACTIONS)


def _write_vectors(data: Dataset, path: Path, names: Names, written: Written) -> None:
    vectors = data.content.entities
    assert vectors is not None
    rows = data.triples.entities.match(vectors.keys)
    written.lose("entity vectors of no entity", int((rows < 0).sum()))
    keys = base.at(names.entities, rows[rows >= 0])
    numbers = [pl.Series(column).cast(pl.String) for column in vectors.values[rows >= 0].T]
    base.write_rows(path, [keys, *numbers], "\t")


MIND = Format(
    "train/, dev/ and test/, each with news.tsv and behaviors.tsv; entity_embedding.vec",
    frozenset(
        {
            base.INTERACTIONS,
            base.SPLIT,
            base.IMPRESSIONS,
            base.IDLE_ITEMS,
            base.ITEM_LABELS,
            base.TEXTS,
            base.MENTIONS,
            base.ENTITY_VECTORS,
            base.TRIPLES,
        }
    ),
    write,
    needs=base.IMPRESSIONS,
)
