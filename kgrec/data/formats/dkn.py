"""DKN's text, raw or as the numbers that its preprocessing makes of it.

``user <tab> title <tab> label <tab> id:entity;id:entity`` a line, in ``raw_train.txt`` and its
like.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.folder_files import PART_STEMS, first_line, graph_files, text_file
from kgrec.data.formats.id_lists import ENTITIES, USERS, IdLists, is_plain
from kgrec.data.io.files import FilePath
from kgrec.data.linking.mentions import MENTIONS
from kgrec.data.readers.labeled import as_clicks, labeled_rows
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.parts import TEST, TRAIN
from kgrec.data.records.report import Dropped, Skipped, dropped_lines
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.data.tables.delimited import Table, read_columns, without_rows
from kgrec.data.tables.ordering import one_per_key
from kgrec.data.texts.tokens import words_in

_TABS = 3

_Mention = tuple[str, str, int, int, str, str | None]


@dataclass(frozen=True, slots=True)
class Clicks:
    """Labelled rows and the news in them.

    Attributes:
        log: Rows of user, news and label, by part.
        table: One row per news: ``item_id`` and ``title``.
        mentions: Columns as ``MENTIONS``.
    """

    log: LabeledLog
    table: Table
    mentions: pl.DataFrame


_Reader = Callable[..., Clicks]


def recognize(folder: Path) -> bool:
    """Return whether a folder holds DKN's text, raw or as numbers."""
    return _find(folder) is not None


def read(folder: Path, on_error: str) -> DatasetSources:
    """Return the sources in a folder of DKN's text."""
    found = _find(folder)
    assert found is not None
    reader, files = found
    clicks = reader(files, on_error=on_error)
    lists = IdLists.find(folder)
    users = lists.user_ids(clicks.log.frame["user"])

    return DatasetSources(
        labelled=replace(clicks.log, frame=clicks.log.frame.with_columns(users)),
        items=clicks.table,
        mentions=clicks.mentions.with_columns(lists.entity_ids(clicks.mentions["entity"])),
        name=folder.resolve().name,
        beside=graph_files(folder),
    )


def _find(folder: Path) -> tuple[_Reader, list[tuple[FilePath, int]]] | None:
    """Return what reads a folder, and its files with their parts."""
    for prefix, reader in (("raw_", read_raw), ("", read_numbered)):
        found = [
            text_file(folder, *(prefix + stem for stem in stems)) for stems in PART_STEMS.values()
        ]
        if (
            found[TRAIN] is not None
            and found[TEST] is not None
            and first_line(found[TRAIN]).count(b"\t") == _TABS
        ):
            return reader, [
                (str(path), part) for part, path in enumerate(found) if path is not None
            ]

    return None


def read_raw(files: Sequence[tuple[FilePath, int]], *, on_error: str = "stop") -> Clicks:
    """Read ``raw_train.txt`` and its like: user, title, label, ``id:entity;id:entity``, between
    tabs.

    News are their titles. An entity is mentioned by every word of the title that is one of its own
    words; neighboring words are one mention, and a word belongs to the first entity that has it.

    Args:
        files: Paths, each with its part (0 train, 1 valid, 2 test).
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        FormatError: If a line has not four columns, an id is empty, or a label is neither 0 nor 1.
    """
    tables, dropped = _tables(files, ("user", "item", "label", "entities"), _unlinked, on_error)
    news = _distinct(tables, ("item", "entities"))
    rows = [row for title, cell in news.iter_rows() for row in _matches(title, _linked(cell))]
    return _clicks(tables, [part for _, part in files], news["item"], news["item"], rows, dropped)


def read_numbered(files: Sequence[tuple[FilePath, int]], *, on_error: str = "stop") -> Clicks:
    """Read DKN's preprocessed text: user, word numbers, entity numbers (commas between), label,
    between tabs; number 0 is padding.

    News are their word numbers, which also are their texts.

    Args:
        files: Paths, each with its part (0 train, 1 valid, 2 test).
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        FormatError: If a line has not four columns, as many entities as words, or the label 0 or 1.
    """
    tables, dropped = _tables(files, ("user", "item", "entities", "label"), _unequal, on_error)
    news = _distinct(tables, ("item", "entities"))
    texts: list[str | None] = []
    rows: list[_Mention] = []

    for item, cell in news.iter_rows():
        words = item.split(",")
        entities = cell.split(",")
        real = [
            (word.strip(), entity.strip())
            for word, entity in zip(words, entities, strict=True)
            if word.strip() != "0"
        ]
        texts.append(" ".join(word for word, _ in real) or None)
        at = 0

        for word, entity in real:
            if entity != "0" and word and entity:
                rows.append((item, "title", at, at + len(word), entity, None))
            at += len(word) + 1

    return _clicks(
        tables,
        [part for _, part in files],
        news["item"],
        pl.Series(texts, dtype=pl.String),
        rows,
        dropped,
    )


def _tables(
    files: Sequence[tuple[FilePath, int]],
    columns: Sequence[str],
    wrong: Callable[[str, str], str | None],
    on_error: str,
) -> tuple[list[Table], tuple[Dropped, ...]]:
    """Return the files as tables without malformed rows, and what was left out.

    ``wrong`` says what is the matter with a news.
    """
    tables = []
    dropped = list[Dropped]()

    for path, _ in files:
        table, lost = labeled_rows(
            read_columns(path, columns, separator="\t", on_error=on_error), on_error
        )
        news = one_per_key(table.frame.select("item", "entities"), "item", "entities")
        reasons = {
            item: why for item, cell in news.iter_rows() if (why := wrong(item, cell)) is not None
        }
        skipped = Skipped.where_allowed(table.name, on_error)
        bad = table.frame["item"].is_in(list(reasons))
        tables.append(without_rows(table, bad, skipped, partial(_refused, reasons)))
        dropped += (*lost, *dropped_lines(skipped))

    return tables, tuple(dropped)


def _refused(reasons: Mapping[str, str], row: dict[str, str]) -> str:
    return reasons[row["item"]]


def _unlinked(title: str, cell: str) -> str | None:
    entries = ((entry, *entry.partition(":")[:2]) for entry in cell.split(";") if entry.strip())
    bad = next(
        (entry for entry, key, separator in entries if not key.strip() or not separator), None
    )
    if bad is None:
        return None

    return f"{bad[:40]!r} is not id:entity. Correct the line."


def _unequal(item: str, cell: str) -> str | None:
    words = item.count(",") + 1
    entities = cell.count(",") + 1
    if words == entities:
        return None
    return f"{words} words and {entities} entities. Give every word an entity, or 0."


def _distinct(tables: Sequence[Table], columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns of all tables, one row per news."""
    return one_per_key(pl.concat([table.frame.select(columns) for table in tables]), *columns)


def _linked(cell: str) -> Iterator[tuple[str, str]]:
    for entry in cell.split(";"):
        key, _, label = entry.partition(":")
        if entry.strip():
            yield key.strip(), label.strip()


def _matches(title: str, entities: Iterator[tuple[str, str]]) -> Iterator[_Mention]:
    entity_of: dict[str, tuple[str, str]] = {}
    for key, label in entities:
        for word, _, _ in words_in(label.lower()):
            entity_of.setdefault(word, (key, label))

    open_mention: _Mention | None = None
    for word, first, end in words_in(title.lower()):
        found = entity_of.get(word)
        if open_mention is not None and (found is None or found[0] != open_mention[4]):
            yield open_mention
            open_mention = None

        if found is not None:
            if open_mention is not None:
                first = open_mention[2]
            open_mention = (title, "title", first, end, found[0], found[1] or None)

    if open_mention is not None:
        yield open_mention


def _clicks(
    tables: Sequence[Table],
    parts: Sequence[int],
    items: pl.Series,
    texts: pl.Series,
    mentions: Sequence[_Mention],
    dropped: tuple[Dropped, ...],
) -> Clicks:
    frames = [
        table.frame.select(
            "user", "item", clicked=as_clicks(table), part=pl.lit(part, dtype=pl.Int8)
        )
        for table, part in zip(tables, parts, strict=True)
    ]
    names = tuple(table.name for table in tables)
    table = Table(
        " and ".join(names),
        pl.DataFrame({"item_id": items, "title": texts}),
        pl.Series(range(1, len(items) + 1)),
        header=True,
    )

    return Clicks(
        LabeledLog(pl.concat(frames), names, dropped),
        table,
        pl.DataFrame(mentions, schema=MENTIONS, orient="row"),
    )


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write interactions (label 1) and labeled negatives (label 0) of each part.

    A news is its title.
    """
    written = Written()
    names = writing.carried(data, writing.fits_cell, (USERS,))
    texts = [data.item_label(row) for row in range(data.num_items)]

    if data.content.texts is not None:
        labels = pl.Series(texts, dtype=pl.String)
        texts = pl.select(pl.coalesce(data.content.texts, labels)).to_series().to_list()

    titles = pl.Series([writing.cell(text).strip() or "-" for text in texts], dtype=pl.String)
    written.lose("tabs and line ends in texts, now blanks", writing.changed(texts))
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
        writing.write_rows(
            folder / f"raw_{part}.txt",
            [
                writing.at(names.users, user),
                writing.at(titles, item),
                label,
                writing.at(entities, item),
            ],
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
    return len(user) - pl.DataFrame({"user": user, "title": writing.at(titles, item)}).n_unique()


def _entity_keys(data: Dataset) -> tuple[pl.Series, dict[str, str]]:
    """Return the ids of entities, numbers where a key has a colon or a semicolon, and the list of
    them then.
    """
    keys = data.triples.entities.series
    named = np.unique(data.content.mentions[:, 3])
    if all(is_plain(key) and ":" not in key and ";" not in key for key in keys.gather(named)):
        return keys, {}

    numbers = writing.numbered(data)
    return numbers.entities, {ENTITIES: numbers.lists[ENTITIES]}


def _mentioned(data: Dataset, keys: pl.Series) -> pl.Series:
    """Return ``id:entity;id:entity`` of each item, the entity in words."""
    found: dict[int, dict[str, None]] = {}
    for item, first, end, entity in data.content.mentions.tolist():
        label = data.triples.labels[entity] or (
            data.content.texts[item][first:end] if data.content.texts is not None else ""
        )
        found.setdefault(item, {})[
            f"{keys[entity]}:{writing.cell(label).replace(';', ',').strip()}"
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
    "dkn",
    "raw_train.txt and raw_test.txt, 'user title label id:entity;...' between tabs",
    recognize,
    read,
    lenient=True,
    carries=frozenset(
        {base.INTERACTIONS, base.SPLIT, base.NEGATIVES, base.TEXTS, base.ITEM_LABELS, base.MENTIONS}
    ),
    write=write,
    needs=base.INTERACTIONS,
    verb="read",
)
