"""DKN's files: what readers were shown and whether they clicked, with titles and the entities linked in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from kgrec.data.ctr import as_clicks
from kgrec.data.files import FilePath
from kgrec.data.labels import LabelledLog
from kgrec.data.mentions import MENTIONS
from kgrec.data.tables import Table, as_ids, read_columns
from kgrec.data.words import words_in
from kgrec.errors import FormatError

_Mention = tuple[str, str, int, int, str, str | None]


@dataclass(frozen=True, slots=True)
class Clicks:
    """Labelled rows and the news in them.

    Attributes:
        log: Rows of user, news and label, by part.
        table: One row per news: ``item_id`` and ``title``.
        mentions: Columns as ``MENTIONS``.
    """

    log: LabelledLog
    table: Table
    mentions: pl.DataFrame


def read_raw(files: Sequence[tuple[FilePath, int]]) -> Clicks:
    """Read ``raw_train.txt`` and its like: user, title, label, ``id:entity;id:entity``, between tabs.

    News are their titles. An entity is mentioned by every word of the title that is one of its own words; neighboring words are one
    mention, and a word belongs to the first entity that has it.

    Args:
        files: Paths, each with its part (0 train, 1 valid, 2 test).

    Raises:
        FormatError: If a line has not four columns, an id is empty, or a label is neither 0 nor 1.
    """
    tables = [read_columns(path, ("user", "item", "label", "entities"), separator="\t") for path, _ in files]
    news = _distinct(tables, ("item", "entities"))
    rows = [row for title, cell, where in news.iter_rows() for row in _matches(title, _linked(cell, where))]
    return _clicks(tables, [part for _, part in files], news["item"], news["item"], rows)


def read_numbered(files: Sequence[tuple[FilePath, int]]) -> Clicks:
    """Read DKN's preprocessed text: user, word numbers, entity numbers (commas between), label, between tabs; number 0 is padding.

    News are their word numbers, which also are their texts.

    Args:
        files: Paths, each with its part (0 train, 1 valid, 2 test).

    Raises:
        FormatError: If a line has not four columns, as many entities as words, or the label 0 or 1.
    """
    tables = [read_columns(path, ("user", "item", "entities", "label"), separator="\t") for path, _ in files]
    news = _distinct(tables, ("item", "entities"))
    texts: list[str | None] = []
    rows: list[_Mention] = []
    for item, cell, where in news.iter_rows():
        words, entities = item.split(","), cell.split(",")
        if len(words) != len(entities):
            raise FormatError(f"{where}: {len(words)} words and {len(entities)} entities. Give every word an entity, or 0.")
        real = [(word.strip(), entity.strip()) for word, entity in zip(words, entities, strict=True) if word.strip() != "0"]
        texts.append(" ".join(word for word, _ in real) or None)
        at = 0
        for word, entity in real:
            if entity != "0" and word and entity:
                rows.append((item, "title", at, at + len(word), entity, None))
            at += len(word) + 1
    return _clicks(tables, [part for _, part in files], news["item"], pl.Series(texts, dtype=pl.String), rows)


def _distinct(tables: Sequence[Table], columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns of all tables, one row per news, and the place where each stands first."""
    frames = []
    for table in tables:
        as_ids(table, columns[0])
        where = pl.Series("where", [f"{table.name}:"] * table.frame.height, dtype=pl.String) + table.line.cast(pl.String)
        frames.append(table.frame.select(columns).with_columns(where=where))
    return pl.concat(frames).unique(columns[0], keep="first", maintain_order=True)


def _linked(cell: str, where: str) -> Iterator[tuple[str, str]]:
    for entry in cell.split(";"):
        key, separator, label = entry.partition(":")
        if not key.strip() or not separator:
            if entry.strip():
                raise FormatError(f"{where}: {entry[:40]!r} is not id:entity. Correct the line.")
            continue
        yield key.strip(), label.strip()


def _matches(title: str, entities: Iterator[tuple[str, str]]) -> Iterator[_Mention]:
    own: dict[str, tuple[str, str]] = {}
    for key, label in entities:
        for word, _, _ in words_in(label.lower()):
            own.setdefault(word, (key, label))
    open_mention: _Mention | None = None
    for word, first, end in words_in(title.lower()):
        found = own.get(word)
        if open_mention is not None and (found is None or found[0] != open_mention[4]):
            yield open_mention
            open_mention = None
        if found is not None:
            open_mention = (title, "title", first if open_mention is None else open_mention[2], end, found[0], found[1] or None)
    if open_mention is not None:
        yield open_mention


def _clicks(tables: Sequence[Table], parts: Sequence[int], items: pl.Series, texts: pl.Series, mentions: Sequence[_Mention]) -> Clicks:
    frames = [
        pl.DataFrame({"user": as_ids(table, "user"), "item": table.frame["item"], "clicked": as_clicks(table, "label")}).with_columns(
            part=pl.lit(part, dtype=pl.Int8)
        )
        for table, part in zip(tables, parts, strict=True)
    ]
    names = tuple(table.name for table in tables)
    table = Table(" and ".join(names), pl.DataFrame({"item_id": items, "title": texts}), pl.Series(range(1, len(items) + 1)), header=True)
    return Clicks(LabelledLog(pl.concat(frames), names), table, pl.DataFrame(mentions, schema=MENTIONS, orient="row"))
