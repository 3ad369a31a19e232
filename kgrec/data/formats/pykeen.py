"""Triples of labels between tabs, as PyKEEN's ``TriplesFactory.from_path`` reads them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.folder_files import PART_STEMS, part_file, text_file
from kgrec.data.formats.id_lists import ENTITIES, RELATIONS
from kgrec.data.formats.original_ids import triples_under_ids
from kgrec.data.io.files import reading
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.parts import PARTS
from kgrec.data.tables.delimited import Table, read_columns
from kgrec.data.tables.roles import ROLE_NAMES

_COLUMNS = ("head", "relation", "tail")
_HEAD = 1 << 16
_SUFFIXES = ("tsv", "csv")
_SCALE = 11  # values of a rating


def _path(folder: Path, part: str) -> Path:
    return folder / f"triples_{part}.tsv"


def recognize(folder: Path) -> bool:
    """Return whether a folder holds triples of labels: as ``kgrec convert`` names them, or the
    ``train.txt`` and ``test.txt`` of benchmarks of link prediction (FB15k-237, WN18RR).
    """
    return _path(folder, "train").is_file() or _benchmark(folder) is not None


def _benchmark(folder: Path) -> str | None:
    """Return what is between the cells of a benchmark's triples, None where it is none.

    ``train.txt`` is also the name of lists of items (a user and items, each user once) and of
    ratings (a number from a scale at the end): triples name heads again. ``train.tsv`` and
    ``train.csv`` are mostly tables of users and items: triples have a header that says so, or
    heads that are tails as well.
    """
    train = text_file(folder, "train")
    if train is None or text_file(folder, "test") is None:
        return _table_benchmark(folder)

    with reading(train) as stream:
        lines = stream.read(_HEAD).decode(errors="replace").split("\n")[:-1]

    lines = [line.rstrip("\r") for line in lines if line.strip()]
    for separator in ("\t", " "):
        rows = [line.split(separator) for line in lines]
        if not rows or any(len(row) != len(_COLUMNS) or not all(row) for row in rows):
            continue

        heads, middle, tails = (set(column) for column in zip(*rows, strict=True))
        numbers = all(cell.replace(".", "").isdigit() for row in rows for cell in row)
        scale = numbers and len(tails) <= _SCALE < len(middle)
        again = len(heads) < len(rows)
        if not scale and (again or not numbers):
            return separator

    return None


def _table_benchmark(folder: Path) -> str | None:
    """Return what is between the cells of tables of triples, None where they are something else."""
    train = part_file(folder, "train", _SUFFIXES)
    if train is None or part_file(folder, "test", _SUFFIXES) is None:
        return None

    with reading(train) as stream:
        lines = stream.read(_HEAD).decode(errors="replace").split("\n")[:-1]

    separator = "," if train.name.removesuffix(".gz").endswith(".csv") else "\t"
    rows = [line.rstrip("\r").split(separator) for line in lines if line.strip()]
    if len(rows) < 2 or any(len(row) != len(_COLUMNS) or not all(row) for row in rows):
        return None
    if _is_header(rows[0]):
        return separator

    heads, _, tails = (set(column) for column in zip(*rows, strict=True))
    words = not all(cell.replace(".", "").isdigit() for cell in tails)
    return separator if words and heads & tails and len(heads) < len(rows) else None


def _is_header(row: Sequence[str]) -> bool:
    """Return whether cells are names of head, relation and tail, in this order."""
    names = [ROLE_NAMES[role] for role in _COLUMNS]
    return all(name.rank(cell) is not None for name, cell in zip(names, row, strict=True))


def _table(path: Path, separator: str) -> Table:
    """Return a table of triples without its header, and whether it has one."""
    table = read_columns(path, _COLUMNS, separator=separator)
    if table.frame.height and _is_header([str(cell) for cell in table.frame.row(0)]):
        return replace(table, frame=table.frame.slice(1), line=table.line.slice(1))
    return replace(table, header=False)


def read(folder: Path) -> DatasetSources:
    """Return the sources in a folder of such files."""
    separator = "\t"
    paths = {part: _path(folder, part) for part in PARTS}
    if not paths["train"].is_file():
        separator = _benchmark(folder) or separator
        named = {part: text_file(folder, *PART_STEMS[part]) for part in PARTS}
        if named["train"] is None:
            named = {part: part_file(folder, part, _SUFFIXES) for part in PARTS}

        paths = {part: path for part, path in named.items() if path is not None}

    tables = {part: _table(path, separator) for part, path in paths.items() if path.is_file()}
    held = {part: table.frame for part, table in tables.items() if part != "train"}
    train = tables["train"]
    if not train.header:
        numbered = [f"column {number + 1}" for number in range(len(_COLUMNS))]
        train = replace(train, frame=train.frame.rename(dict(zip(_COLUMNS, numbered, strict=True))))

    return triples_under_ids(folder, read_triples(train), held)


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``triples_train.tsv``, and the held-out triples where there are any."""
    written = Written()
    names = writing.carried(data, writing.fits_cell, (ENTITIES, RELATIONS))
    names.write_lists(folder)
    names.note(written)
    writing.write_rows(_path(folder, "train"), writing.triple_columns(data, names), "\t")
    for part, rows in data.held_triples.items():
        writing.write_rows(_path(folder, part), writing.triple_columns(data, names, rows), "\t")

    written.notes.append(
        "TriplesFactory.from_path reads these files; kgrec.graph.to_pykeen gives the "
        "factories themselves."
    )

    return written


PYKEEN = Format(
    "pykeen",
    "triples_train.tsv, or train.txt and test.txt (.tsv, .csv), 'head relation tail' between tabs",
    recognize,
    read,
    carries=frozenset({base.TRIPLES, base.HELD}),
    write=write,
    needs=base.TRIPLES,
)
