"""OpenKE: ``entity2id.txt``, ``relation2id.txt``, ``train2id.txt`` and its like.

Each file begins with the number of its lines; triples are head, tail, relation.
"""

from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.id_lists import ENTITIES, RELATIONS
from kgrec.data.formats.original_ids import triples_under_ids
from kgrec.data.graphs.assemble import RawTriples, assemble
from kgrec.data.io.files import FilePath, read_text
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.parts import PARTS
from kgrec.data.records.triples import Triples
from kgrec.errors import FormatError

_ENTITIES, _RELATIONS = "entity2id.txt", "relation2id.txt"
_TRIPLES = {part: f"{part}2id.txt" for part in PARTS}

_LONGEST_NUMBER = 20


def recognize(folder: Path) -> bool:
    """Return whether a folder holds OpenKE's files."""
    return all((folder / name).is_file() for name in (_ENTITIES, _RELATIONS, _TRIPLES["train"]))


def read(folder: Path) -> DatasetSources:
    """Return the sources in OpenKE's files."""
    triples, held = read_openke(folder)
    return triples_under_ids(folder, triples, held)


def read_openke(folder: Path) -> tuple[Triples, dict[str, pl.DataFrame]]:
    """Return the training triples, and the held-out ones by part under the keys of their ends.

    Raises:
        FormatError: If a file does not begin with the number of its lines, a line is not what it
            should be, or an id is in no list.
    """
    entities = _names(folder / _ENTITIES)
    relations = _names(folder / _RELATIONS)
    train = _rows(folder / _TRIPLES["train"], len(entities), len(relations))
    triples = assemble(
        [
            RawTriples(
                (str(folder / _TRIPLES["train"]),),
                pl.concat([entities, relations]),
                train[:, 0],
                train[:, 2] + len(entities),
                train[:, 1],
                locator=np.arange(2, len(train) + 2),
            )
        ]
    )
    held = {}

    for part in ("valid", "test"):
        path = folder / _TRIPLES[part]
        if path.is_file():
            rows = _rows(path, len(entities), len(relations))
        else:
            rows = train[:0]

        if len(rows):
            columns = {"head": (entities, 0), "relation": (relations, 2), "tail": (entities, 1)}
            held[part] = pl.DataFrame(
                {
                    name: keys.gather(pl.Series(rows[:, column]))
                    for name, (keys, column) in columns.items()
                }
            )

    return triples, held


def _is_number(text: str) -> bool:
    return text.strip().isascii() and text.strip().isdigit() and len(text) < _LONGEST_NUMBER


def _lines(path: FilePath) -> list[str]:
    """Return the lines below the first, which counts them."""
    first, *lines = read_text(path).replace("\r\n", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()

    if not _is_number(first) or int(first) != len(lines):
        raise FormatError(
            f"{path}:1: {first[:40]!r} is not the number of the {len(lines)} lines below. "
            "Correct it."
        )

    return lines


def _names(path: FilePath) -> pl.Series:
    """Return names in the order of their numbers."""
    names: dict[int, str] = {}
    for row, line in enumerate(_lines(path), start=2):
        name, tab, number = line.rpartition("\t")
        if not tab:
            name, _, number = line.rpartition(" ")

        if not name or not _is_number(number) or int(number) in names:
            raise FormatError(
                f"{path}:{row}: not a name and a number of its own with a tab between. Correct "
                "the line."
            )

        names[int(number)] = name

    if sorted(names) != list(range(len(names))):
        raise FormatError(
            f"{path}: the numbers are not 0 to {len(names) - 1}. Number the names without gaps."
        )

    keys = pl.Series("key", [names[number] for number in range(len(names))], dtype=pl.String)
    if keys.n_unique() < len(keys):
        raise FormatError(
            f"{path}: {keys.filter(keys.is_duplicated())[0][:60]!r} occurs twice. Names must be "
            "distinct."
        )

    return keys


def _rows(path: FilePath, entities: int, relations: int) -> np.ndarray:
    """Return head, tail, relation as numbers, int64 (n, 3)."""
    lines = (
        pl.Series(_lines(path), dtype=pl.String)
        .str.strip_chars()
        .str.replace_all(r"[ \t]+", " ")
        .str.split(" ")
    )
    widths = lines.list.len() == 3
    if not widths.all():
        raise FormatError(
            f"{path}:{widths.not_().arg_true()[0] + 2}: expected three numbers: head, tail, "
            "relation. Correct the line."
        )

    columns = []
    for position, (what, below) in enumerate(
        (("head", entities), ("tail", entities), ("relation", relations))
    ):
        if len(lines):
            numbers = lines.list.get(position).cast(pl.Int64, strict=False)
        else:
            numbers = pl.Series([], dtype=pl.Int64)

        wrong = ~numbers.is_between(0, below - 1).fill_null(False)
        if wrong.any():
            raise FormatError(
                f"{path}:{wrong.arg_true()[0] + 2}: the {what} is not a number from 0 to "
                f"{below - 1}. Correct the line."
            )

        columns.append(numbers.to_numpy())

    return np.stack(columns, axis=1)


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the triples, training and held-out ones.

    Each file begins with the number of its lines.
    """
    written = Written()
    names = writing.carried(data, writing.fits_cell, (ENTITIES, RELATIONS))
    triples = data.triples
    names.write_lists(folder)

    if names.lists:
        written.notes.append(
            f"Names in entity2id.txt or relation2id.txt are numbers; {', '.join(names.lists)} "
            "say what they stand for."
        )

    for file, keys in ((_ENTITIES, names.entities), (_RELATIONS, names.relations)):
        numbers = pl.Series(range(len(keys)), dtype=pl.Int64).cast(pl.String)
        writing.write_rows(folder / file, [keys, numbers], "\t", f"{len(keys)}\n")

    none = np.empty((0, 3), dtype=np.int32)
    parts = {"train": np.stack([triples.head, triples.relation, triples.tail], axis=1)}
    parts |= {part: data.held_triples.get(part, none) for part in ("valid", "test")}
    for part, rows in parts.items():
        columns = [
            pl.Series(np.ascontiguousarray(rows[:, column])).cast(pl.String) for column in (0, 2, 1)
        ]
        writing.write_rows(folder / _TRIPLES[part], columns, " ", f"{len(rows)}\n")

    return written


OPENKE = Format(
    "openke",
    "entity2id.txt, relation2id.txt and train2id.txt",
    recognize,
    read,
    carries=frozenset({base.TRIPLES, base.HELD}),
    write=write,
    needs=base.TRIPLES,
)
