"""MIND's files: news with titles and the entities they name, and the lists of news that readers were shown."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.content import Impressions
from kgrec.data.facts import Facts, assemble, label_frame
from kgrec.data.files import FilePath
from kgrec.data.impressions import ImpressionLog, keep_members
from kgrec.data.interactions import Dropped
from kgrec.data.mentions import MENTIONS
from kgrec.data.split import TEST, TRAIN, VALID
from kgrec.data.tables import Table, as_ids, read_columns
from kgrec.data.triples import Triples
from kgrec.data.vocabulary import Vocabulary
from kgrec.errors import FormatError

NEWS, BEHAVIORS, ENTITIES, RELATIONS = "news.tsv", "behaviors.tsv", "entity_embedding.vec", "relation_embedding.vec"

_NEWS = ("item_id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
_BEHAVIORS = ("impression", "user", "time", "history", "shown")
_ENDINGS = {"train": TRAIN, "valid": VALID, "val": VALID, "dev": VALID, "test": TEST}
_TIME = "%m/%d/%Y %I:%M:%S %p"
_LINES_AT_ONCE = 100_000
_MOST_CHARACTERS = 1 << 30


@dataclass(frozen=True, slots=True)
class News:
    """What is known about news.

    Attributes:
        table: One row per news: ``item_id``, ``title``, ``abstract``.
        mentions: Columns ``item``, ``column`` (title or abstract), ``first``, ``end`` (characters), ``entity``, ``label``.
        triples: Their categories and subcategories.
    """

    table: Table
    mentions: pl.DataFrame
    triples: Triples


def find_parts(folder: Path) -> dict[int | None, list[Path]]:
    """Return the folders of news and behaviors by part: the folder itself (None), or those inside, named like ``MINDsmall_train``."""
    if _is_one(folder):
        return {None: [folder]}
    found: dict[int | None, list[Path]] = {}
    for inside in sorted(folder.iterdir()):
        part = next((part for ending, part in _ENDINGS.items() if inside.name.lower().endswith(ending)), None)
        if part is not None and inside.is_dir() and _is_one(inside):
            found.setdefault(part, []).append(inside)
    return found


def read_mind(found: dict[int | None, list[Path]]) -> tuple[News, ImpressionLog, tuple[str, ...], tuple[str, ...]]:
    """Return the news, the impressions, the files of entity vectors, and notes, of folders that ``find_parts`` found.

    Where there is no test folder, the validation folder ("dev") is the test part.

    Raises:
        FormatError: If a file cannot be read, or there is no training folder.
    """
    notes: list[str] = []
    if None not in found and TRAIN not in found:
        names = ", ".join(str(path) for paths in found.values() for path in paths)
        raise FormatError(f"{names}: no folder of training impressions beside it. Add the one whose name ends with train.")
    if VALID in found and TEST not in found:
        notes.append("The dev folder is the test part, since there is no other.")
        found = {TEST if part == VALID else part: paths for part, paths in found.items()}
    places = [path for paths in found.values() for path in paths]
    news = read_news([path / NEWS for path in places])
    log = read_behaviors([(path / BEHAVIORS, part) for part, paths in found.items() for path in paths], news.table.frame["item_id"])
    vectors = tuple(str(path / ENTITIES) for path in places if (path / ENTITIES).is_file())
    notes += [f"{path / RELATIONS}: vectors of relations are unused." for path in places if (path / RELATIONS).is_file()]
    log = replace(log, sources=(*log.sources, *(str(path / NEWS) for path in places)))
    return news, log, vectors, tuple(notes)


def _is_one(folder: Path) -> bool:
    return (folder / NEWS).is_file() and (folder / BEHAVIORS).is_file()


def read_news(paths: Sequence[FilePath]) -> News:
    """Read ``news.tsv``, several of which become one; a news' first row counts.

    Raises:
        FormatError: If a line has not eight columns, or its entities are no JSON list as MIND writes it.
    """
    tables = [read_columns(path, _NEWS, separator="\t") for path in paths]
    frame = pl.concat([table.frame.with_columns(line=table.line, file=pl.lit(n)) for n, table in enumerate(tables)])
    frame = frame.with_columns(item_id=pl.concat([as_ids(table, "item_id") for table in tables]))
    frame = frame.unique("item_id", keep="first", maintain_order=True)
    names = [table.name for table in tables]
    rows: list[tuple[str, str, int, int, str, str | None]] = []
    for column in ("title", "abstract"):
        cells = frame.filter(~pl.col(f"{column}_entities").str.strip_chars().is_in(["", "[]"]))
        for item, cell, file, line in cells.select("item_id", f"{column}_entities", "file", "line").iter_rows():
            rows += [(item, column, *found) for found in _entities(cell, f"{names[file]}:{line}")]
    named = Table(" and ".join(names), frame.select("item_id", "title", "abstract"), frame["line"], header=True)
    return News(named, pl.DataFrame(rows, schema=MENTIONS, orient="row"), assemble(_categories(frame, names)))


def _entities(cell: str, where: str) -> Iterator[tuple[int, int, str, str | None]]:
    """Yield the mentions in a cell: first character, the one behind the last, entity, label."""
    try:
        for entity in json.loads(cell):
            key, label = _text(entity["WikidataId"]), _text(entity["Label"]) if entity.get("Label") else None
            for first, form in zip(entity["OccurrenceOffsets"], entity["SurfaceForms"], strict=True):
                if not isinstance(first, int) or not 0 <= first < _MOST_CHARACTERS:
                    raise ValueError(first)
                yield first, first + len(_text(form)), key, label
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise FormatError(
            f"{where}: the entities are not a JSON list with WikidataId, OccurrenceOffsets and SurfaceForms. Correct it, or write []."
        ) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    value.encode()  # half a surrogate pair is a ValueError
    return value


def _categories(frame: pl.DataFrame, names: Sequence[str]) -> list[Facts]:
    """Return who is in which category and subcategory, as facts of each file."""
    facts = []
    for number, name in enumerate(names):
        rows = frame.filter(pl.col("file") == number)
        terms: dict[str, int] = {}
        labels: list[tuple[int, str, int]] = []
        columns: list[tuple[int, int, int, int]] = []
        for relation in ("category", "subcategory"):
            for item, value, line in rows.filter(pl.col(relation).str.strip_chars() != "").select("item_id", relation, "line").iter_rows():
                key = f"{relation}={value}"
                if key not in terms:
                    labels.append((len(terms), value, 0))
                tail = terms.setdefault(key, len(terms))
                columns.append((terms.setdefault(item, len(terms)), terms.setdefault(relation, len(terms)), tail, line))
        head, predicate, tails, line = np.array(columns, dtype=np.int64).reshape(-1, 4).T
        facts.append(Facts((name,), list(terms), head, predicate, tails, locator=line, labels=label_frame(labels)))
    return facts


def read_behaviors(files: Sequence[tuple[FilePath, int | None]], news: pl.Series) -> ImpressionLog:
    """Read ``behaviors.tsv`` of one or several parts.

    News without a row in ``news.tsv`` are left out of lists and histories, and counted. Lists without labels are hidden.

    Args:
        files: Paths, each with the part its impressions belong to; None where they are to be divided.
        news: Ids of the news that are known.

    Raises:
        FormatError: If a line has not five columns, a time or a label that cannot be read, or no candidate.
    """
    known = Vocabulary(news, kind="item")
    tables = [read_columns(path, _BEHAVIORS, separator="\t") for path, _ in files]
    read = [_lists(part, known) for table in tables for part in _slices(table)]
    user = pl.concat([as_ids(table, "user") for table in tables])
    users = Vocabulary(user.unique(maintain_order=True), kind="user")
    lists, labelled = _joined(users.match(user).astype(np.int32), pl.concat([_times(table) for table in tables]), read)
    shown, before = lists.item >= 0, lists.history >= 0
    sizes = np.diff(lists.start)
    thinned = np.diff(np.concatenate([[0], np.cumsum(shown)])[lists.start]) < sizes
    where = f"without a row in {NEWS}"
    counts = (("candidates", int((~shown).sum())), ("news in histories", int((~before).sum())))
    part = np.concatenate([np.full(table.frame.height, -1 if own is None else own) for table, (_, own) in zip(tables, files, strict=True)])
    return ImpressionLog(
        users,
        known,
        keep_members(lists, shown, before),
        hidden=~labelled,
        thinned=thinned,
        part=None if (part < 0).any() else part.astype(np.int8),
        sources=tuple(table.name for table in tables),
        dropped=tuple(Dropped(what, where, count) for what, count in counts if count),
    )


def _slices(table: Table) -> Iterator[Table]:
    for first in range(0, table.frame.height, _LINES_AT_ONCE):
        yield Table(table.name, table.frame.slice(first, _LINES_AT_ONCE), table.line.slice(first, _LINES_AT_ONCE), header=True)


def _times(table: Table) -> pl.Series:
    moments = table.frame["time"].str.strip_chars().str.to_datetime(_TIME, time_unit="us", strict=False)
    if moments.null_count():
        row = moments.is_null().arg_true()[0]
        raise FormatError(f"{table.at(row)}: {table.frame['time'][row][:40]!r} is not a time like 11/12/2019 2:14:46 PM. Correct the cell.")
    return moments.dt.epoch("us").cast(pl.Float64) / 1e6


@dataclass(frozen=True, slots=True)
class _Lists:
    """Candidates and histories of some lines: sizes per line, and item rows, -1 where unknown."""

    shown: np.ndarray
    item: np.ndarray
    clicked: np.ndarray
    labelled: np.ndarray
    read: np.ndarray
    history: np.ndarray


def _lists(table: Table, news: Vocabulary) -> _Lists:
    candidates, shown = _words(table.frame["shown"])
    if not shown.all():
        raise FormatError(f"{table.at(int(np.flatnonzero(shown == 0)[0]))}: no candidate was shown. Correct the line, or take it out.")
    ends = candidates.str.tail(2)
    labelled = ends.is_in(["-0", "-1"])
    per_line = np.add.reduceat(labelled.to_numpy().astype(np.int64), np.concatenate([[0], np.cumsum(shown)[:-1]]))
    mixed = (per_line > 0) & (per_line < shown)
    if mixed.any():
        raise FormatError(
            f"{table.at(int(np.flatnonzero(mixed)[0]))}: some candidates have the label -0 or -1 and some have none. Correct the line."
        )
    ids = pl.select(pl.when(labelled).then(candidates.str.head(-2)).otherwise(candidates)).to_series()
    history, read = _words(table.frame["history"])
    return _Lists(shown, news.match(ids), (ends == "-1").to_numpy(), per_line > 0, read, news.match(history))


def _words(cells: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return what stands between the spaces of all cells, and how much of it stands in each."""
    words = cells.str.extract_all(r"[^ ]+")
    return words.explode().drop_nulls(), words.list.len().to_numpy().astype(np.int64)


def _joined(user: np.ndarray, time: pl.Series, read: Sequence[_Lists]) -> tuple[Impressions, np.ndarray]:
    """Return the lines as impressions, and which of them have labels."""
    shown, history = (np.concatenate([[0], *sizes]) for sizes in ([r.shown for r in read], [r.read for r in read]))
    impressions = Impressions(
        user=user,
        time=time.to_numpy(),
        start=np.cumsum(shown),
        item=np.concatenate([r.item for r in read]).astype(np.int32),
        clicked=np.concatenate([r.clicked for r in read]),
        history_start=np.cumsum(history),
        history=np.concatenate([r.history for r in read]).astype(np.int32),
    )
    return impressions, np.concatenate([r.labelled for r in read])
