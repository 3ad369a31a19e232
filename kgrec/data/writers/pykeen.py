"""Labelled triples between tabs, as PyKEEN's ``TriplesFactory.from_path`` reads them."""

from pathlib import Path

from kgrec.data.formats.id_lists import ENTITIES, RELATIONS
from kgrec.data.records.dataset import Dataset
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``triples_train.tsv``, and the held-out triples where there are any."""
    written = Written()
    names = base.carried(data, base.fits_cell, (ENTITIES, RELATIONS))
    names.write_lists(folder)
    names.note(written)
    base.write_rows(folder / "triples_train.tsv", base.triple_columns(data, names), "\t")
    for part, rows in data.held_triples.items():
        base.write_rows(
            folder / f"triples_{part}.tsv", base.triple_columns(data, names, rows), "\t"
        )
    written.notes.append(
        "TriplesFactory.from_path reads these files; kgrec.graph.convert.to_pykeen gives the "
        "factories themselves."
    )
    return written


PYKEEN = Format(
    "triples_train.tsv, triples_valid.tsv, triples_test.tsv ('head relation tail' between tabs)",
    frozenset({base.TRIPLES, base.HELD}),
    write,
    needs=base.TRIPLES,
)
