"""OpenKE's files: ``entity2id.txt``, ``relation2id.txt``, ``train2id.txt`` and its like; triples
are head, tail, relation.
"""

from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.formats.id_lists import ENTITIES, RELATIONS
from kgrec.data.records.dataset import Dataset
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the triples, training and held-out ones; each file begins with the number of its
    lines.
    """
    written = Written()
    names = base.carried(data, base.fits_cell, (ENTITIES, RELATIONS))
    triples = data.triples
    names.write_lists(folder)
    if names.lists:
        written.notes.append(
            f"Names in entity2id.txt or relation2id.txt are numbers; {', '.join(names.lists)} "
            "say what they stand for."
        )
    for file, keys in (("entity2id", names.entities), ("relation2id", names.relations)):
        numbers = pl.Series(range(len(keys)), dtype=pl.Int64).cast(pl.String)
        base.write_rows(folder / f"{file}.txt", [keys, numbers], "\t", f"{len(keys)}\n")
    none = np.empty((0, 3), dtype=np.int32)
    parts = {"train": np.stack([triples.head, triples.relation, triples.tail], axis=1)}
    parts |= {part: data.held_triples.get(part, none) for part in ("valid", "test")}
    for part, rows in parts.items():
        columns = [
            pl.Series(np.ascontiguousarray(rows[:, column])).cast(pl.String) for column in (0, 2, 1)
        ]
        base.write_rows(folder / f"{part}2id.txt", columns, " ", f"{len(rows)}\n")
    return written


OPENKE = Format(
    "entity2id.txt, relation2id.txt, train2id.txt, valid2id.txt, test2id.txt ('head tail "
    "relation')",
    frozenset({base.TRIPLES, base.HELD}),
    write,
    needs=base.TRIPLES,
)
