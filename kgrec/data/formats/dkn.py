"""DKN's files: what readers were shown and whether they clicked, with titles and the entities
linked in them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from kgrec.data.formats.ctr import as_clicks, labelled_rows
from kgrec.data.io.files import FilePath
from kgrec.data.linking.mentions import MENTIONS
from kgrec.data.records.interactions import Dropped, Skipped
from kgrec.data.splitting.labels import LabelledLog
from kgrec.data.tables.delimited import Table, read_columns, without_rows
from kgrec.data.tables.ordering import one_per_key
from kgrec.data.texts.tokens import words_in

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
    """Return the files as tables without malformed rows, and what was left out; ``wrong`` says what
    is the matter with a news.
    """
    tables = []
    dropped = list[Dropped]()
    for path, _ in files:
        table, lost = labelled_rows(
            read_columns(path, columns, separator="\t", on_error=on_error), on_error
        )
        news = one_per_key(table.frame.select("item", "entities"), "item", "entities")
        reasons = {
            item: why for item, cell in news.iter_rows() if (why := wrong(item, cell)) is not None
        }
        skipped = Skipped.where_allowed(table.name, on_error)
        bad = table.frame["item"].is_in(list(reasons))
        tables.append(without_rows(table, bad, skipped, partial(_refused, reasons)))
        dropped += (*lost, *(() if skipped is None else skipped.dropped()))
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
            open_mention = (
                title,
                "title",
                first if open_mention is None else open_mention[2],
                end,
                found[0],
                found[1] or None,
            )
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
        LabelledLog(pl.concat(frames), names, dropped),
        table,
        pl.DataFrame(mentions, schema=MENTIONS, orient="row"),
    )
