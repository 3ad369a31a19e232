"""What all writers share: what a format can carry, and how text leaves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.formats.id_lists import ENTITIES, ITEMS, RELATIONS, USERS, is_plain, list_text
from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import PARTS, Dataset
from kgrec.data.records.interactions import Interactions


@dataclass(slots=True)
class Written:
    """What a writer has to say about one dataset, beyond what its format says of all.

    Attributes:
        lost: What could not be carried, in words, and how many.
        notes: What a reader of the files should know.
        fewer: By how many the format carries fewer of an aspect than there are.
    """

    lost: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fewer: dict[str, int] = field(default_factory=dict)

    def lose(self, what: str, count: int, of: str = "") -> None:
        """Add to what could not be carried, if there is anything; ``of`` is the aspect that it is a
        part of.
        """
        if count:
            self.lost[what] = self.lost.get(what, 0) + int(count)
            self.fewer[of] = self.fewer.get(of, 0) + int(count)


@dataclass(frozen=True, slots=True)
class Format:
    """A format that a dataset can be written in.

    Attributes:
        files: The files, in words.
        carries: What it can hold, names of ``ASPECTS``.
        write: Writes a dataset into an empty folder; the last argument is the name that files may
            bear.
        needs: What a dataset must have to be written at all, a name of ``ASPECTS``.
    """

    files: str
    carries: frozenset[str]
    write: Callable[[Dataset, Path, str], Written]
    needs: str | None = None


def parts_of(data: Dataset) -> dict[str, Interactions]:
    """Return the interactions by part."""
    return dict(zip(PARTS, (data.train, data.valid, data.test), strict=True))


def _present(column: str) -> Callable[[Dataset], int]:
    """Return what counts the interactions with a time or a rating."""

    def count(data: Dataset) -> int:
        columns = (getattr(part, column) for part in parts_of(data).values())
        return sum(int(np.isfinite(values).sum()) for values in columns if values is not None)

    return count


def _links(data: Dataset) -> int:
    return int((data.items.series != data.triples.entities.series[: data.num_items]).sum())


def _labels(first: int | None, last: int | None) -> Callable[[pl.Series], int]:
    return lambda labels: len(labels[first:last]) - labels[first:last].null_count()


def _unused(data: Dataset, column: str, size: int) -> int:
    used = np.zeros(size, dtype=bool)
    for part in parts_of(data).values():
        used[getattr(part, column)] = True
    return int((~used).sum())


def _split(data: Dataset) -> int:
    return len(data.valid) + len(data.test)


ASPECTS: Mapping[str, Callable[[Dataset], int]] = {
    "interactions": lambda data: sum(map(len, parts_of(data).values())),
    "parts of the interactions (validation and test)": _split,
    "times": _present("time"),
    "ratings": _present("rating"),
    "labelled negatives": lambda data: sum(map(len, data.negatives.values())),
    "impressions": lambda data: sum(map(len, data.impressions.values())),
    "users without an interaction": lambda data: _unused(data, "user", data.num_users),
    "items without an interaction": lambda data: _unused(data, "item", data.num_items),
    "user labels": lambda data: (
        0 if data.user_labels is None else len(data.user_labels) - data.user_labels.null_count()
    ),
    "item labels": lambda data: _labels(None, data.num_items)(data.triples.labels),
    "texts": lambda data: (
        0
        if data.content.texts is None
        else len(data.content.texts) - data.content.texts.null_count()
    ),
    "mentions": lambda data: len(data.content.mentions),
    "features": lambda data: 0 if data.content.features is None else len(data.content.features),
    "word vectors": lambda data: 0 if data.content.words is None else len(data.content.words.keys),
    "entity vectors": lambda data: (
        0 if data.content.entities is None else len(data.content.entities.keys)
    ),
    "triples": lambda data: len(data.triples),
    "held-out triples": lambda data: sum(map(len, data.held_triples.values())),
    "links (items whose entity has another name)": _links,
    "facts about users": lambda data: len(data.user_facts),
    "entity labels": lambda data: _labels(data.num_items, None)(data.triples.labels),
    "relation labels": lambda data: _labels(None, None)(data.triples.relation_labels),
    "entity types": lambda data: data.triples.types.height,
    "literals": lambda data: data.triples.attributes.height,
    "named graphs of triples": lambda data: int((data.triples.graph >= 0).sum()),
    "places that triples came from": lambda data: len(data.triples) if data.triples.sources else 0,
}

(
    INTERACTIONS,
    SPLIT,
    TIMES,
    RATINGS,
    NEGATIVES,
    IMPRESSIONS,
    IDLE_USERS,
    IDLE_ITEMS,
    USER_LABELS,
    ITEM_LABELS,
    TEXTS,
    MENTIONS,
    FEATURES,
    WORD_VECTORS,
    ENTITY_VECTORS,
    TRIPLES,
    HELD,
    LINKS,
    USER_FACTS,
    ENTITY_LABELS,
    RELATION_LABELS,
    TYPES,
    LITERALS,
    GRAPHS,
    PLACES,
) = ASPECTS


@dataclass(frozen=True, slots=True)
class Names:
    """What users, items, entities and relations are called in the files, in the order of their
    rows.

    Attributes:
        users: Text, like the next ones.
        items: As written.
        entities: As written.
        relations: As written.
        lists: Text of the id lists that say what numbers stand for, by file name.
    """

    users: pl.Series
    items: pl.Series
    entities: pl.Series
    relations: pl.Series
    lists: Mapping[str, str]

    def write_lists(self, folder: Path) -> None:
        """Write the id lists."""
        for name, text in self.lists.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")

    def note(self, written: Written) -> None:
        """Say which ids were numbered."""
        if self.lists:
            written.notes.append(
                f"Ids are numbers from 0; {', '.join(self.lists)} say what they stand for."
            )


def numbered(data: Dataset, graph: bool = True) -> Names:
    """Return names that are row numbers, with lists of what they stand for; items have the numbers
    of their entities.
    """
    users = data.users.series.to_list()
    items = data.items.series.to_list()
    entities = data.triples.entities.series.to_list()
    relations = data.triples.relations.series.to_list()
    lists = {
        USERS: list_text(users),
        ITEMS: list_text(items, entities[: len(items)] if graph else None),
    }
    if graph:
        lists |= {ENTITIES: list_text(entities), RELATIONS: list_text(relations)}
    return Names(
        _count(len(users)), _count(len(items)), _count(len(entities)), _count(len(relations)), lists
    )


_KINDS = (USERS, ITEMS, ENTITIES, RELATIONS)


def carried(
    data: Dataset, fits: Callable[[str], bool] = is_plain, used: Sequence[str] = _KINDS
) -> Names:
    """Return the ids themselves where all of a kind fit, else numbers; items and entities are
    numbered together.

    Args:
        data: The dataset.
        fits: Whether the files can hold an id.
        used: The kinds of ids that the files name, by their lists.
    """
    numbers = numbered(data)
    kept = {
        USERS: data.users.series,
        ITEMS: data.items.series,
        ENTITIES: data.triples.entities.series,
        RELATIONS: data.triples.relations.series,
    }
    unfit = {name for name in used if not all(map(fits, kept[name]))}
    if unfit & {ITEMS, ENTITIES}:
        unfit |= {ITEMS, ENTITIES} & set(used)
    own = {
        USERS: numbers.users,
        ITEMS: numbers.items,
        ENTITIES: numbers.entities,
        RELATIONS: numbers.relations,
    }
    users, items, entities, relations = (
        own[name] if name in unfit else keys for name, keys in kept.items()
    )
    return Names(
        users,
        items,
        entities,
        relations,
        {name: text for name, text in numbers.lists.items() if name in unfit},
    )


def _count(size: int) -> pl.Series:
    return pl.Series("key", range(size), dtype=pl.Int64).cast(pl.String)


ROWS_AT_ONCE = 100_000  # of rows that are made text together

_BLANKS = dict.fromkeys(map(ord, "\t\n\r\0"), " ")


def at(names: pl.Series, rows: np.ndarray) -> pl.Series:
    """Return the names of rows."""
    return names.gather(pl.Series(rows, dtype=pl.Int64))


def write_rows(path: Path, columns: Sequence[pl.Series], separator: str, header: str = "") -> None:
    """Write columns of text as lines; nothing is quoted."""
    frame = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(columns)])
    if frame.height:
        lines = frame.select(pl.concat_str(pl.all(), separator=separator)).to_series()
    else:
        lines = pl.Series([], dtype=pl.String)
    write_lines(path, lines, header)


def write_lines(path: Path, lines: Iterable[str] | pl.Series, header: str = "") -> None:
    """Write lines, after a header where there is one."""
    text = "\n".join(lines)
    path.write_bytes((header + text + ("\n" if text else "")).encode())


def triple_columns(data: Dataset, names: Names, rows: np.ndarray | None = None) -> list[pl.Series]:
    """Return head, relation and tail as written, of the training triples or of given rows (n,
    3).
    """
    triples = data.triples
    if rows is None:
        head = triples.head
        relation = triples.relation
        tail = triples.tail
    else:
        head, relation, tail = rows.T
    return [at(names.entities, head), at(names.relations, relation), at(names.entities, tail)]


def optional(values: np.ndarray | None, size: int) -> pl.Series:
    """Return numbers with null where there is none."""
    if values is None:
        return pl.Series([None] * size, dtype=pl.Float64)
    own = pl.Series(values)
    return own.set(~own.is_finite(), None)


def timed(data: Dataset, column: str) -> bool:
    """Return whether every interaction has a time (or a rating)."""
    columns = [getattr(part, column) for part in parts_of(data).values() if len(part)]
    return bool(columns) and all(
        values is not None and bool(np.isfinite(values).all()) for values in columns
    )


def cell(text: str | None) -> str:
    """Return text for a cell between tabs: each tab, line end and NUL becomes a blank, so that
    offsets hold.
    """
    if text is None:
        return ""
    return text.translate(_BLANKS)


def changed(texts: Iterable[str | None]) -> int:
    """Return how many texts ``cell`` changes."""
    return sum(text is not None and cell(text) != text for text in texts)


def fits_cell(key: str) -> bool:
    """Return whether a key can stand between tabs: as ``is_plain``, but for blanks within."""
    return is_plain(key) or (is_plain(key.replace(" ", "_")) and key == key.strip(" "))


def lists_of(start: np.ndarray, members: pl.Series) -> pl.Series:
    """Return lists of text joined by blanks, the n-th from ``start[n]`` to ``start[n + 1]``."""
    owner = np.repeat(np.arange(len(start) - 1), np.diff(start))
    frame = (
        pl.DataFrame({"owner": owner, "member": members})
        .group_by("owner", maintain_order=True)
        .agg(pl.col("member").str.join(" "))
    )
    every = pl.DataFrame({"owner": np.arange(len(start) - 1)})
    return every.join(frame, on="owner", how="left", maintain_order="left")["member"].fill_null("")


def shown(impressions: Impressions, names: pl.Series) -> pl.Series:
    """Return the candidates of each impression as ``id-label`` with blanks between."""
    members = at(names, impressions.item)
    labels = pl.Series(np.where(impressions.clicked, "-1", "-0"))
    return lists_of(impressions.start, members + labels)


def user_columns(data: Dataset, written: Written) -> dict[str, pl.Series]:
    """Return the facts about users as columns: by relation the label of each user's entity, of
    several the first.
    """
    frame = pl.DataFrame(
        np.asarray(data.user_facts), schema=["user", "relation", "entity"], orient="row"
    )
    once = frame.unique(["user", "relation"], keep="first", maintain_order=True)
    written.lose(
        "facts about users with several values, the first kept",
        frame.height - once.height,
        USER_FACTS,
    )
    labels = pl.Series([data.triples.label(entity) for entity in once["entity"]], dtype=pl.String)
    columns = {}
    for (relation,), own in once.with_columns(label=labels).group_by(
        "relation", maintain_order=True
    ):
        every = pl.DataFrame({"user": pl.Series(range(data.num_users), dtype=once.schema["user"])})
        joined = every.join(own, on="user", how="left", maintain_order="left")
        columns[data.triples.relations.key(relation)] = joined["label"]
    return columns


def in_triples(data: Dataset) -> np.ndarray:
    """Return which entities have a triple, bool (entities,)."""
    stated = np.zeros(data.num_entities, dtype=bool)
    stated[data.triples.head] = stated[data.triples.tail] = True
    return stated


def lose_links(data: Dataset, written: Written, described: bool) -> None:
    """Count the links that cannot be found again: of items about whose entity nothing is said.

    Args:
        data: The dataset.
        written: What is added to.
        described: Whether labels, types and literals say something, or triples alone.
    """
    triples = data.triples
    told = in_triples(data)
    if described:
        told |= triples.labels.is_not_null().to_numpy()
        told[triples.types["entity"].to_numpy()] = told[triples.attributes["entity"].to_numpy()] = (
            True
        )
    other = (data.items.series != triples.entities.series[: data.num_items]).to_numpy()
    if described:
        what = "a triple, a label, a type or a literal"
    else:
        what = "a triple"
    written.lose(
        f"links of items without {what}", int((other & ~told[: data.num_items]).sum()), LINKS
    )
