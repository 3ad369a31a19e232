"""Triples of labels between tabs, as PyKEEN's ``TriplesFactory.from_path`` reads them."""

from pathlib import Path

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.folder_files import PART_STEMS, text_file
from kgrec.data.formats.id_lists import ENTITIES, RELATIONS
from kgrec.data.formats.original_ids import triples_under_ids
from kgrec.data.io.files import reading
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.parts import PARTS
from kgrec.data.tables.delimited import read_columns

_COLUMNS = ("head", "relation", "tail")
_HEAD = 1 << 16
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
    ratings (a number from a scale at the end): triples name heads again.
    """
    train = text_file(folder, "train")
    if train is None or text_file(folder, "test") is None:
        return None

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


def read(folder: Path) -> DatasetSources:
    """Return the sources in a folder of such files."""
    separator = "\t"
    paths = {part: _path(folder, part) for part in PARTS}
    if not paths["train"].is_file():
        separator = _benchmark(folder) or separator
        named = {part: text_file(folder, *PART_STEMS[part]) for part in PARTS}
        paths = {part: path for part, path in named.items() if path is not None}

    tables = {
        part: read_columns(path, _COLUMNS, separator=separator)
        for part, path in paths.items()
        if path.is_file()
    }
    held = {part: table.frame for part, table in tables.items() if part != "train"}
    return triples_under_ids(folder, read_triples(tables["train"]), held)


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
    "triples_train.tsv, or train.txt and test.txt, 'head relation tail' between tabs",
    recognize,
    read,
    carries=frozenset({base.TRIPLES, base.HELD}),
    write=write,
    needs=base.TRIPLES,
)
