"""Triples of labels between tabs, as PyKEEN's ``TriplesFactory.from_path`` reads them."""

from pathlib import Path

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.id_lists import ENTITIES, RELATIONS
from kgrec.data.formats.original_ids import triples_under_ids
from kgrec.data.readers.triples import read_triples
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.parts import PARTS
from kgrec.data.tables.delimited import read_columns

_COLUMNS = ("head", "relation", "tail")


def _path(folder: Path, part: str) -> Path:
    return folder / f"triples_{part}.tsv"


def recognize(folder: Path) -> bool:
    """Return whether a folder holds triples of labels as ``kgrec convert`` names them."""
    return _path(folder, "train").is_file()


def read(folder: Path) -> DatasetSources:
    """Return the sources in a folder of such files."""
    tables = {
        part: read_columns(_path(folder, part), _COLUMNS, separator="\t")
        for part in PARTS
        if _path(folder, part).is_file()
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
    "triples_train.tsv, 'head relation tail' between tabs",
    recognize,
    read,
    carries=frozenset({base.TRIPLES, base.HELD}),
    write=write,
    needs=base.TRIPLES,
)
