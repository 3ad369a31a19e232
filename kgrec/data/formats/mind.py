"""MIND: news with titles and entities, and the lists of news that readers were shown.

``news.tsv``, ``behaviors.tsv`` and ``entity_embedding.vec``, in folders by part.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.folder_files import graph_files
from kgrec.data.formats.id_lists import ENTITIES
from kgrec.data.formats.original_ids import news_under_ids
from kgrec.data.formats.writing import Names
from kgrec.data.graphs.assemble import RawTriples, assemble, label_frame
from kgrec.data.io.files import FilePath
from kgrec.data.linking.mentions import MENTIONS
from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.parts import TEST, TRAIN, VALID
from kgrec.data.records.report import Dropped, Skipped
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.splitting.impressions import ImpressionLog
from kgrec.data.tables.delimited import Table, column_blocks, read_columns, without_rows
from kgrec.data.tables.ordering import one_per_key
from kgrec.errors import FormatError

NEWS = "news.tsv"
BEHAVIORS = "behaviors.tsv"
_ENTITY_VECTORS = "entity_embedding.vec"
_RELATION_VECTORS = "relation_embedding.vec"

_NEWS = (
    "item_id",
    "category",
    "subcategory",
    "title",
    "abstract",
    "url",
    "title_entities",
    "abstract_entities",
)
_LEAFS = ("category", "subcategory")
_BEHAVIORS = ("impression", "user", "time", "history", "shown")
_TIME = "%m/%d/%Y %I:%M:%S %p"

# Endings of the folders that are read as a part, and the folders that parts are written to.
_ENDINGS = {"train": TRAIN, "valid": VALID, "val": VALID, "dev": VALID, "test": TEST}
_FOLDERS = {"train": "train", "valid": "dev", "test": "test"}

_MOST_CHARACTERS = 1 << 30


@dataclass(frozen=True, slots=True)
class News:
    """What is known about news.

    Attributes:
        table: One row per news: ``item_id``, ``title``, ``abstract``.
        mentions: Columns ``item``, ``column`` (title or abstract), ``first``, ``end`` (characters),
            ``entity``, ``label``.
        triples: Their categories and subcategories.
        dropped: Malformed lines left out.
    """

    table: Table
    mentions: pl.DataFrame
    triples: Triples
    dropped: tuple[Dropped, ...] = ()


def recognize(folder: Path) -> bool:
    """Return whether a folder holds news and behaviors, itself or in the folders of its parts."""
    return bool(find_parts(folder))


def read(folder: Path, on_error: str) -> DatasetSources:
    """Return the sources in a folder of MIND."""
    news, impressions, vectors, notes = read_mind(find_parts(folder), on_error=on_error)
    sources = DatasetSources(
        impressions=impressions,
        kg=(news.triples,),
        items=news.table,
        mentions=news.mentions,
        entity_vectors=vectors or None,
        name=folder.resolve().name,
        notes=notes,
        beside=graph_files(folder),
    )

    return news_under_ids(folder, sources)


def find_parts(folder: Path) -> dict[int | None, list[Path]]:
    """Return the folders of news and behaviors by part: the folder itself (None), or those inside,
    named like ``MINDsmall_train``.
    """
    if _is_one(folder):
        return {None: [folder]}

    found: dict[int | None, list[Path]] = {}
    for inside in sorted(folder.iterdir()):
        part = next(
            (part for ending, part in _ENDINGS.items() if inside.name.lower().endswith(ending)),
            None,
        )
        if part is not None and inside.is_dir() and _is_one(inside):
            found.setdefault(part, []).append(inside)

    return found


def read_mind(
    found: dict[int | None, list[Path]], *, on_error: str = "stop"
) -> tuple[News, ImpressionLog, tuple[str, ...], tuple[str, ...]]:
    """Return the news, the impressions, the files of entity vectors, and notes, of folders that
    ``find_parts`` found.

    Where there is no test folder, the validation folder ("dev") is the test part.

    Raises:
        FormatError: If a file cannot be read, or there is no training folder.
    """
    notes: list[str] = []
    if None not in found and TRAIN not in found:
        names = ", ".join(str(path) for paths in found.values() for path in paths)
        raise FormatError(
            f"{names}: no folder of training impressions beside it. Add the one whose name ends "
            "with train."
        )

    if VALID in found and TEST not in found:
        notes.append("The dev folder is the test part, since there is no other.")
        found = {TEST if part == VALID else part: paths for part, paths in found.items()}

    folders = [path for paths in found.values() for path in paths]
    news = read_news([path / NEWS for path in folders], on_error=on_error)
    behaviors = [(path / BEHAVIORS, part) for part, paths in found.items() for path in paths]
    log = read_behaviors(behaviors, news.table.frame["item_id"], on_error=on_error)
    vectors = tuple(
        str(path / _ENTITY_VECTORS) for path in folders if (path / _ENTITY_VECTORS).is_file()
    )
    notes += [
        f"{path / _RELATION_VECTORS}: vectors of relations are unused."
        for path in folders
        if (path / _RELATION_VECTORS).is_file()
    ]

    log = replace(
        log,
        sources=(*log.sources, *(str(path / NEWS) for path in folders)),
        dropped=(*news.dropped, *log.dropped),
    )

    return news, log, vectors, tuple(notes)


def _is_one(folder: Path) -> bool:
    return (folder / NEWS).is_file() and (folder / BEHAVIORS).is_file()


def read_news(paths: Sequence[FilePath], *, on_error: str = "stop") -> News:
    """Read ``news.tsv``, several of which become one.

    Of several rows of a news one of the first file counts, the first as text sorts.

    Args:
        paths: The files.
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        FormatError: If a line has not eight columns, or its entities are no JSON list as MIND
            writes it.
    """
    skipped = [Skipped.where_allowed(str(path), on_error) for path in paths]
    tables = [
        without_rows(
            table,
            table.frame["item_id"] == "",
            noted,
            lambda _: "column 'item_id' is empty. Give every row an id.",
        )
        for noted, table in zip(
            skipped,
            (read_columns(path, _NEWS, separator="\t", on_error=on_error) for path in paths),
            strict=True,
        )
    ]

    frame = pl.concat(
        [
            table.frame.with_columns(line=table.line, file=pl.lit(n))
            for n, table in enumerate(tables)
        ]
    )
    frame = one_per_key(frame, "item_id", "file", *_NEWS[1:])
    names = [table.name for table in tables]
    rows: list[tuple[str, str, int, int, str, str | None]] = []
    bad: set[str] = set()

    for column in ("title", "abstract"):
        cells = frame.filter(~pl.col(f"{column}_entities").str.strip_chars().is_in(["", "[]"]))
        for item, cell, file, line in cells.select(
            "item_id", f"{column}_entities", "file", "line"
        ).iter_rows():
            try:
                rows += [
                    (item, column, *found) for found in _entities(cell, f"{names[file]}:{line}")
                ]
            except FormatError:
                if (noted := skipped[file]) is None:
                    raise

                if item not in bad:
                    noted.add(line)

                bad.add(item)

    if bad:
        frame = frame.filter(~pl.col("item_id").is_in(list(bad)))
        rows = [row for row in rows if row[0] not in bad]

    if not frame.height:
        raise FormatError(f"{' and '.join(names)}: no line can be read. Is this the right file?")

    dropped = (
        *(d for table in tables for d in table.dropped),
        *(d for noted in skipped if noted is not None for d in noted.dropped()),
    )
    named = Table(
        " and ".join(names),
        frame.select("item_id", "title", "abstract"),
        frame["line"],
        header=True,
    )

    return News(
        named,
        pl.DataFrame(rows, schema=MENTIONS, orient="row"),
        assemble(_categories(frame, names)),
        dropped,
    )


def _entities(cell: str, where: str) -> Iterator[tuple[int, int, str, str | None]]:
    """Yield the mentions in a cell: first character, the one behind the last, entity, label."""
    try:
        for entity in json.loads(cell):
            key = _text(entity["WikidataId"])
            if entity.get("Label"):
                label = _text(entity["Label"])
            else:
                label = None

            for first, form in zip(
                entity["OccurrenceOffsets"], entity["SurfaceForms"], strict=True
            ):
                if not isinstance(first, int) or not 0 <= first < _MOST_CHARACTERS:
                    raise ValueError(first)
                yield first, first + len(_text(form)), key, label
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise FormatError(
            f"{where}: the entities are not a JSON list with WikidataId, OccurrenceOffsets and "
            "SurfaceForms. Correct it, or write []."
        ) from None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    value.encode()  # half a surrogate pair is a ValueError
    return value


def _categories(frame: pl.DataFrame, names: Sequence[str]) -> list[RawTriples]:
    """Return who is in which category and subcategory, as facts of each file."""
    facts = []
    for number, name in enumerate(names):
        rows = frame.filter(pl.col("file") == number)
        terms: dict[str, int] = {}
        labels: list[tuple[int, str, int]] = []
        columns: list[tuple[int, int, int, int]] = []

        for relation in ("category", "subcategory"):
            for item, value, line in (
                rows.filter(pl.col(relation).str.strip_chars() != "")
                .select("item_id", relation, "line")
                .iter_rows()
            ):
                key = f"{relation}={value}"
                if key not in terms:
                    labels.append((len(terms), value, 0))

                tail = terms.setdefault(key, len(terms))
                columns.append(
                    (
                        terms.setdefault(item, len(terms)),
                        terms.setdefault(relation, len(terms)),
                        tail,
                        line,
                    )
                )

        head, predicate, tails, line = np.array(columns, dtype=np.int64).reshape(-1, 4).T
        facts.append(
            RawTriples(
                (name,),
                list(terms),
                head,
                predicate,
                tails,
                locator=line,
                labels=label_frame(labels),
            )
        )

    return facts


def read_behaviors(
    files: Sequence[tuple[FilePath, int | None]], news: pl.Series, *, on_error: str = "stop"
) -> ImpressionLog:
    """Read ``behaviors.tsv`` of one or several parts, some thousand lines at a time.

    News without a row in ``news.tsv`` are left out of lists and histories, and counted. Lists
    without labels are hidden.

    Args:
        files: Paths, each with the part its impressions belong to; None where they are to be
            divided.
        news: Ids of the news that are known.
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        FormatError: If a line has not five columns, a time or a label that cannot be read, or no
            candidate.
    """
    known = Vocabulary(news, kind="item")
    skipped = [Skipped.where_allowed(str(path), on_error) for path, _ in files]
    read = [
        (part, _lists(table, known, noted))
        for (path, part), noted in zip(files, skipped, strict=True)
        for table in column_blocks(path, _BEHAVIORS, "\t", noted)
    ]
    blocks = [lists for _, lists in read]
    user = pl.concat([block.user for block in blocks])
    if not len(user):
        raise FormatError(
            f"{' and '.join(str(path) for path, _ in files)}: no line can be read. Is this the "
            "right file?"
        )

    users = Vocabulary(user.unique(maintain_order=True), kind="user")
    part = np.concatenate(
        [
            np.full(len(block.user), -1 if given is None else given, dtype=np.int8)
            for given, block in read
        ]
    )

    unknown = (
        ("candidates", sum(block.unknown[0] for block in blocks)),
        ("news in histories", sum(block.unknown[1] for block in blocks)),
    )
    malformed = tuple(d for noted in skipped if noted is not None for d in noted.dropped())

    return ImpressionLog(
        users,
        known,
        _joined(users.match(user).astype(np.int32), blocks),
        hidden=~np.concatenate([block.labeled for block in blocks]),
        thinned=np.concatenate([block.thinned for block in blocks]),
        part=None if (part < 0).any() else part,
        sources=tuple(str(path) for path, _ in files),
        dropped=(
            *malformed,
            *(Dropped(what, f"without a row in {NEWS}", count) for what, count in unknown if count),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Lists:
    """Some lines: users, times, and the known candidates and histories as item rows, with their
    sizes per line.

    ``thinned`` says which lines have candidates that are not known, ``unknown`` how many candidates
    and past news are not.
    """

    user: pl.Series
    time: np.ndarray
    shown: np.ndarray
    item: np.ndarray
    clicked: np.ndarray
    labeled: np.ndarray
    thinned: np.ndarray
    read: np.ndarray
    history: np.ndarray
    unknown: tuple[int, int]


def _moments(table: Table) -> pl.Series:
    return (
        table.frame["time"].str.strip_chars().str.to_datetime(_TIME, time_unit="us", strict=False)
    )


def _lists(table: Table, news: Vocabulary, skipped: Skipped | None) -> _Lists:
    table = without_rows(
        table,
        table.frame["user"] == "",
        skipped,
        lambda _: "column 'user' is empty. Give every row an id.",
    )
    table = without_rows(table, _moments(table).is_null(), skipped, _no_time)
    table = without_rows(
        table,
        table.frame["shown"].str.strip_chars(" ") == "",
        skipped,
        lambda _: "no candidate was shown. Correct the line, or take it out.",
    )
    candidates, line, shown = _words(table.frame["shown"])
    ends = candidates.str.tail(2)
    labeled = ends.is_in(["-0", "-1"])
    per_line = np.bincount(line[labeled.to_numpy()], minlength=len(shown))
    mixed = (per_line > 0) & (per_line < shown)
    if mixed.any():
        why = "some candidates have the label -0 or -1 and some have none. Correct the line."
        return _lists(without_rows(table, pl.Series(mixed), skipped, lambda _: why), news, skipped)

    rows = news.match(
        pl.select(pl.when(labeled).then(candidates.str.head(-2)).otherwise(candidates)).to_series()
    ).astype(np.int32)
    known = rows >= 0
    kept = np.bincount(line[known], minlength=len(shown))
    words, cell, size = _words(table.frame["history"])
    history = news.match(words).astype(np.int32)
    before = history >= 0

    return _Lists(
        pl.Series(
            "user", table.frame["user"].to_list(), dtype=pl.String
        ),  # a column of its own, or the whole block stays in memory
        _moments(table).dt.epoch("us").cast(pl.Float64).to_numpy() / 1e6,
        kept,
        rows[known],
        (ends == "-1").to_numpy()[known],
        per_line > 0,
        kept < shown,
        np.bincount(cell[before], minlength=len(size)),
        history[before],
        (int((~known).sum()), int((~before).sum())),
    )


def _no_time(row: dict[str, str]) -> str:
    return f"{row['time'][:40]!r} is not a time like 11/12/2019 2:14:46 PM. Correct the cell."


def _words(cells: pl.Series) -> tuple[pl.Series, np.ndarray, np.ndarray]:
    """Return what stands between the spaces of all cells, in which cell each stands, and how much
    is in each.
    """
    words = cells.str.split(" ")
    line = np.repeat(np.arange(len(cells)), words.list.len().to_numpy())
    every = words.explode()
    filled = (every != "").to_numpy()

    return (
        every.filter(pl.Series(filled)),
        line[filled],
        np.bincount(line[filled], minlength=len(cells)),
    )


def _joined(user: np.ndarray, blocks: Sequence[_Lists]) -> Impressions:
    """Return the lines of several blocks as impressions."""
    shown, read = (
        np.concatenate([[0], *sizes]).astype(np.int64)
        for sizes in ([b.shown for b in blocks], [b.read for b in blocks])
    )
    return Impressions(
        user=user,
        time=np.concatenate([block.time for block in blocks]),
        start=np.cumsum(shown),
        item=np.concatenate([block.item for block in blocks]),
        clicked=np.concatenate([block.clicked for block in blocks]),
        history_start=np.cumsum(read),
        history=np.concatenate([block.history for block in blocks]),
    )


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the impressions of each part, and news that their lists or the catalog name."""
    written = Written()
    names = writing.carried(data)
    names.write_lists(folder)
    names.note(written)
    news = _news(data, names, written)
    _lose_interactions(data, written)
    rest = np.ones(data.num_items, dtype=bool)
    for lists in data.impressions.values():
        rest[lists.item] = rest[lists.history] = False

    for part, lists in data.impressions.items():
        target = folder / _FOLDERS[part]
        target.mkdir()

        if part == "train":
            used = rest.copy()
        else:
            used = np.zeros(data.num_items, dtype=bool)

        used[lists.item] = used[lists.history] = True
        writing.write_lines(target / NEWS, news.filter(pl.Series(used)))
        writing.write_lines(target / BEHAVIORS, _behaviors(lists, names))

        if part == "train" and data.content.entities is not None and ENTITIES in names.lists:
            written.lose(
                "vectors of entities that are numbers here",
                len(data.content.entities.keys),
                base.ENTITY_VECTORS,
            )
        elif part == "train" and data.content.entities is not None:
            _write_vectors(data, target / _ENTITY_VECTORS, names, written)

    times = [lists.time for lists in data.impressions.values()]
    if any(time is None for time in times):
        written.notes.append(
            "Impressions without a time have that of 1970-01-01: the format has no empty times."
        )

    if any(time is not None and (time != np.floor(time)).any() for time in times):
        written.notes.append("Times are cut to whole seconds.")

    return written


def _behaviors(lists: Impressions, names: Names) -> pl.Series:
    if lists.time is None:
        time = np.zeros(len(lists))
    else:
        time = np.floor(lists.time)

    columns = [
        pl.Series(range(1, len(lists) + 1), dtype=pl.Int64).cast(pl.String),
        writing.at(names.users, lists.user),
        pl.Series(time * 1e6).cast(pl.Int64).cast(pl.Datetime("us")).dt.strftime(_TIME),
        writing.lists_of(lists.history_start, writing.at(names.items, lists.history)),
        writing.shown(lists, names.items),
    ]
    frame = pl.DataFrame([column.alias(str(number)) for number, column in enumerate(columns)])
    return frame.select(pl.concat_str(pl.all(), separator="\t")).to_series()


def _news(data: Dataset, names: Names, written: Written) -> pl.Series:
    """Return a line for each item."""
    triples = data.triples
    if data.content.texts is None:
        texts = triples.labels[: data.num_items]
    else:
        texts = data.content.texts

    written.lose("tabs and line ends in texts, now blanks", writing.changed(texts))
    titles = [writing.cell(text) for text in texts]
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
        mention = mentions.setdefault(item, {}).setdefault(
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
        mention["OccurrenceOffsets"].append(first)  # type: ignore[attr-defined]
        mention["SurfaceForms"].append(titles[item][first:end])  # type: ignore[attr-defined]

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
                    writing.cell(entities),
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
    rows = {triples.relations.get(leaf): (number, f"{leaf}=") for number, leaf in enumerate(_LEAFS)}

    for head, relation, tail in zip(
        triples.head.tolist(), triples.relation.tolist(), triples.tail.tolist(), strict=True
    ):
        number, prefix = rows.get(relation, (-1, ""))
        if number >= 0:
            key = triples.entities.key(tail)
        else:
            key = ""

        value = key.removeprefix(prefix)
        if (
            number >= 0
            and head < data.num_items
            and key.startswith(prefix)
            and value == writing.cell(value).strip() != ""
        ):
            taken += head not in found[number]
            found[number].setdefault(head, value)

    written.lose(
        "triples other than one category and one subcategory of each news",
        len(triples) - taken,
        base.TRIPLES,
    )

    return found


def _lose_interactions(data: Dataset, written: Written) -> None:
    """Count the interactions that no list shows as clicked or read."""
    shown = [np.empty(0, dtype=np.int64)]
    for lists in data.impressions.values():
        clicks = (
            np.repeat(lists.user, np.diff(lists.start))[lists.clicked].astype(np.int64)
            * data.num_items
            + lists.item[lists.clicked]
        )
        shown += [
            clicks,
            np.repeat(lists.user, np.diff(lists.history_start)).astype(np.int64) * data.num_items
            + lists.history,
        ]

    pairs = [
        rows.user.astype(np.int64) * data.num_items + rows.item
        for rows in base.parts_of(data).values()
    ]
    gone = int((~np.isin(np.concatenate(pairs), np.concatenate(shown))).sum())
    written.lose("interactions that no list shows", gone, base.INTERACTIONS)


def _write_vectors(data: Dataset, path: Path, names: Names, written: Written) -> None:
    vectors = data.content.entities
    assert vectors is not None
    rows = data.triples.entities.match(vectors.keys)
    written.lose("entity vectors of no entity", int((rows < 0).sum()))
    keys = writing.at(names.entities, rows[rows >= 0])
    numbers = [pl.Series(column).cast(pl.String) for column in vectors.values[rows >= 0].T]
    writing.write_rows(path, [keys, *numbers], "\t")


MIND = Format(
    "mind",
    "news.tsv and behaviors.tsv, here or in folders named train, dev, test",
    recognize,
    read,
    lenient=True,
    carries=frozenset(
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
    write=write,
    needs=base.IMPRESSIONS,
    verb="read",
)
