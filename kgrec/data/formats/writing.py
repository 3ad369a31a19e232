"""What the writers of formats share: names or numbers for ids, and text for lines and cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.formats.base import (
    ASPECTS,
    LINKS,
    RATINGS,
    TIMES,
    USER_FACTS,
    Written,
    in_triples,
    parts_of,
)
from kgrec.data.formats.id_lists import ENTITIES, ITEMS, RELATIONS, USERS, is_plain, list_text
from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset


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
    """Return names that are row numbers, with lists of what they stand for.

    Items have the numbers of their entities.
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
    """Return the ids themselves where all of a kind fit, else numbers.

    Items and entities are numbered together.

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

    numbers_of = {
        USERS: numbers.users,
        ITEMS: numbers.items,
        ENTITIES: numbers.entities,
        RELATIONS: numbers.relations,
    }
    users, items, entities, relations = (
        numbers_of[name] if name in unfit else keys for name, keys in kept.items()
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
    frame = pl.DataFrame([column.alias(str(number)) for number, column in enumerate(columns)])
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
    """Return numbers with null if there is none."""
    if values is None:
        return pl.Series([None] * size, dtype=pl.Float64)
    numbers = pl.Series(values)
    return numbers.set(~numbers.is_finite(), None)


def timed(data: Dataset, column: str) -> bool:
    """Return whether every interaction has a time (or a rating)."""
    columns = [getattr(part, column) for part in parts_of(data).values() if len(part)]
    return bool(columns) and all(
        values is not None and bool(np.isfinite(values).all()) for values in columns
    )


def write_interactions(
    data: Dataset,
    names: Names,
    written: Written,
    columns: Mapping[str, str],
    path_of: Callable[[str], Path],
) -> None:
    """Write the parts between tabs, with the times and ratings that every interaction has.

    Args:
        data: The dataset.
        names: What users and items are called.
        written: What is added to.
        columns: Headers of ``user``, ``item``, ``time`` and ``rating``.
        path_of: The file of a part.
    """
    present = [column for column in ("time", "rating") if timed(data, column)]
    for column, what in (("time", TIMES), ("rating", RATINGS)):
        if column not in present:
            written.lose(
                f"{what}: some interactions have none, and a column must be full",
                ASPECTS[what](data),
                what,
            )

    header = "\t".join(columns[column] for column in ("user", "item", *present)) + "\n"
    for part, rows in parts_of(data).items():
        cells = [at(names.users, rows.user), at(names.items, rows.item)]
        for column in present:
            values = getattr(rows, column)
            if len(rows):
                cells.append(pl.Series(values).cast(pl.String))
            else:
                cells.append(pl.Series([], dtype=pl.String))

        write_rows(path_of(part), cells, "\t", header)


def write_kg_final(data: Dataset, folder: Path) -> None:
    """Write the triples as KGAT's ``kg_final.txt``: head, relation and tail, numbers from 0."""
    triples = data.triples
    columns = [
        pl.Series(column).cast(pl.String)
        for column in (triples.head, triples.relation, triples.tail)
    ]
    write_rows(folder / "kg_final.txt", columns, " ")


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

    for (relation,), facts in once.with_columns(label=labels).group_by(
        "relation", maintain_order=True
    ):
        every = pl.DataFrame({"user": pl.Series(range(data.num_users), dtype=once.schema["user"])})
        joined = every.join(facts, on="user", how="left", maintain_order="left")
        columns[data.triples.relations.key(relation)] = joined["label"]

    return columns


def lose_links(data: Dataset, written: Written, described: bool) -> None:
    """Count the links that cannot be found again: of items about whose entity nothing is said.

    Args:
        data: The dataset.
        written: What is added to.
        described: Whether labels, types and literals say something, or triples alone.
    """
    triples = data.triples
    known = in_triples(data)
    what = "a triple"

    if described:
        what = "a triple, a label, a type or a literal"
        known |= triples.labels.is_not_null().to_numpy()
        known[triples.types["entity"].to_numpy()] = True
        known[triples.attributes["entity"].to_numpy()] = True

    other = (data.items.series != triples.entities.series[: data.num_items]).to_numpy()
    lost = int((other & ~known[: data.num_items]).sum())
    written.lose(f"links of items without {what}", lost, LINKS)
