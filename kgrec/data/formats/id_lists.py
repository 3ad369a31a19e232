"""Id lists: what the numbers in the text formats of the field stand for.

KGAT, LightGCN and their kin number users, items, entities and relations from 0 and keep what the
numbers stand for in ``user_list.txt``, ``item_list.txt`` (with the item's entity in a third
column), ``entity_list.txt`` and ``relation_list.txt``. Where an id holds white space or characters
that cannot be seen, the first line says ``escaped_id`` instead of ``org_id``, and ids are
written as JSON writes them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from kgrec.data.graphs.assemble import as_raw, assemble
from kgrec.data.io.files import FilePath, read_text
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.triples import Triples
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.data.tables.json_texts import escaped, unescaped
from kgrec.errors import FormatError

USERS = "user_list.txt"
ITEMS = "item_list.txt"
ENTITIES = "entity_list.txt"
RELATIONS = "relation_list.txt"

_PLAIN = "org_id"
_ESCAPED = "escaped_id"
_NUMBER = "remap_id"
_HIDDEN = re.compile(r"[\s\x00-\x20\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


def is_plain(key: str) -> bool:
    """Return whether a key has neither white space nor characters that cannot be seen, and is not
    empty.

    >>> is_plain("http://dbpedia.org/resource/Amélie"), is_plain("two words"), is_plain("")
    (True, False, False)
    """
    return bool(key) and _HIDDEN.search(key) is None


def list_text(keys: Sequence[str], beside: Sequence[str] | None = None) -> str:
    """Return the text of an id list: a line for each key, in order, with an optional third
    column.
    """
    first = f"{_PLAIN} {_NUMBER}"
    columns = [keys]
    if beside is not None:
        columns.append(beside)

    if not all(is_plain(key) for column in columns for key in column):
        first = f"{_ESCAPED} {_NUMBER}"
        columns = [[escaped(key) for key in column] for column in columns]

    if beside is not None:
        first += " entity_id"

    rows = zip(*columns, strict=True)
    lines = (" ".join([row[0], str(n), *row[1:]]) + "\n" for n, row in enumerate(rows))
    return f"{first}\n" + "".join(lines)


def read_list(path: FilePath) -> pl.DataFrame:
    """Return columns ``number`` and ``key`` (text) of an id list.

    Raises:
        FormatError: If a line is not ``id number``, an escaped id is not as JSON writes it, or an
            id or a number occurs twice.
    """
    first, *lines = read_text(path).split("\n")
    escape = first.split(" ")[0].strip() == _ESCAPED

    if first.split()[:2] not in ([_PLAIN, _NUMBER], [_ESCAPED, _NUMBER]):
        raise FormatError(
            f"{path}:1: expected the line '{_PLAIN} {_NUMBER}'. Add it, or take the file away "
            "and go by numbers."
        )

    rows = []
    for row, line in enumerate(lines, start=2):
        cells = line.rstrip("\r").split(" ")
        if cells == [""]:
            continue

        try:
            number = cells[1]
            if escape:
                key = unescaped(cells[0])
            else:
                key = cells[0]

            if not (number.isascii() and number.isdigit()):
                raise ValueError(number)

            rows.append((number.lstrip("0") or "0", key))
        except (ValueError, IndexError):
            raise FormatError(
                f"{path}:{row}: not an id and its number with a space between. Correct the line."
            ) from None

    frame = pl.DataFrame(rows, schema={"number": pl.String, "key": pl.String}, orient="row")
    for column in frame.columns:
        twice = frame[column].is_duplicated()
        if twice.any():
            raise FormatError(
                f"{path}: {column} {frame[column].filter(twice)[0][:60]!r} occurs twice. Correct "
                "the list."
            )

    return frame


@dataclass(frozen=True, slots=True)
class IdLists:
    """What the numbers in a folder stand for; None where there is no list.

    Attributes:
        users: Columns ``number`` and ``key``, like the next ones.
        items: Of items.
        entities: Of entities; an item and its entity have the same number.
        relations: Of relations.
        sources: The lists that were read.
        notes: What a reader should know.
    """

    users: pl.DataFrame | None = None
    items: pl.DataFrame | None = None
    entities: pl.DataFrame | None = None
    relations: pl.DataFrame | None = None
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def find(cls, folder: Path) -> "IdLists":
        """Return the lists in a folder. One that cannot be used is left, and a note says so."""
        names = {"users": USERS, "items": ITEMS, "entities": ENTITIES, "relations": RELATIONS}
        found: dict[str, pl.DataFrame] = {}
        notes = []
        sources = []

        for kind, name in names.items():
            path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
            if path is None:
                continue

            try:
                found[kind] = read_list(path)
                sources.append(str(path))
            except FormatError as error:
                notes.append(
                    f"Ids are the numbers of the files, since a list cannot be used. {error}"
                )

        return cls(**found, sources=tuple(sources), notes=tuple(notes))

    def log(self, log: InteractionLog) -> InteractionLog:
        """Return interactions under the ids that their numbers stand for."""
        return replace(log, frame=self._pairs(log.frame))

    def labeled(self, log: LabeledLog) -> LabeledLog:
        """Return labeled rows under the ids that their numbers stand for."""
        return replace(log, frame=self._pairs(log.frame))

    def _pairs(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(self.user_ids(frame["user"]), self.item_ids(frame["item"]))

    def graph(self, triples: Triples) -> Triples:
        """Return a graph under the keys that its numbers stand for."""
        if self.entities is None and self.relations is None:
            return triples

        facts = as_raw(triples)
        terms = pl.concat(
            [self.entity_ids(triples.entities.series), self.relation_ids(triples.relations.series)]
        )
        return assemble([replace(facts, terms=terms)])

    def user_ids(self, numbers: pl.Series) -> pl.Series:
        """Return the ids of users that numbers stand for.

        The numbers where there is no list, as in the next ones.
        """
        return named(numbers, self.users, USERS)

    def item_ids(self, numbers: pl.Series) -> pl.Series:
        """Return the ids of items."""
        return named(numbers, self.items, ITEMS)

    def entity_ids(self, numbers: pl.Series) -> pl.Series:
        """Return the keys of entities."""
        return named(numbers, self.entities, ENTITIES)

    def relation_ids(self, numbers: pl.Series) -> pl.Series:
        """Return the keys of relations."""
        return named(numbers, self.relations, RELATIONS)

    def named_links(self, links: pl.DataFrame) -> pl.DataFrame:
        """Return links between numbers as links between ids."""
        return links.with_columns(self.item_ids(links["item"]), self.entity_ids(links["entity"]))

    def links(self) -> pl.DataFrame | None:
        """Return which item is which entity: those with the same number."""
        if self.items is None and self.entities is None:
            return None

        known = self.items if self.items is not None else self.entities
        assert known is not None
        frame = known.select("number", item="key" if self.items is not None else "number")
        return frame.select("item", entity=named(frame["number"], self.entities, ENTITIES))


def named(numbers: pl.Series, known: pl.DataFrame | None, what: str) -> pl.Series:
    """Return what each number stands for; the numbers themselves where there is no list.

    Raises:
        FormatError: If a number is not in the list.
    """
    if known is None:
        return numbers

    frame = pl.DataFrame({"number": numbers}).join(
        known, on="number", how="left", maintain_order="left"
    )
    missing = frame["key"].is_null()
    if missing.any():
        raise FormatError(
            f"{what}: does not say what {frame['number'].filter(missing)[0][:60]!r} stands for. "
            "Complete the list, or take it away."
        )

    return frame["key"].rename(numbers.name)
