"""Text of KGAT, KGIN and LightGCN: ``user item item ...`` a line, ``head relation tail`` a line,
all numbers from 0; and id lists.
"""

from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written


def write_lightgcn(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``train.txt``, ``valid.txt``, ``test.txt`` and the id lists."""
    return _write(data, folder, graph=False)


def write_kgat(data: Dataset, folder: Path, name: str) -> Written:
    """Write what ``write_lightgcn`` does, and ``kg_final.txt``."""
    return _write(data, folder, graph=True)


def _write(data: Dataset, folder: Path, graph: bool) -> Written:
    written = Written()
    names = base.numbered(data, graph)
    names.write_lists(folder)
    names.note(written)
    for part, rows in base.parts_of(data).items():
        base.write_lines(folder / f"{part}.txt", _lines(rows))
    written.notes.append(
        "The official code knows train.txt and test.txt alone: it leaves valid.txt aside."
    )
    if graph and len(data.triples):
        write_graph(data, folder)
    return written


def write_graph(data: Dataset, folder: Path) -> None:
    """Write ``kg_final.txt``."""
    triples = data.triples
    columns = [
        pl.Series(column).cast(pl.String)
        for column in (triples.head, triples.relation, triples.tail)
    ]
    base.write_rows(folder / "kg_final.txt", columns, " ")


def _lines(rows: Interactions) -> pl.Series:
    """Return a line for each user that has an item, items in their order."""
    users, first = np.unique(rows.user, return_index=True)
    items = base.lists_of(np.append(first, len(rows)), pl.Series(rows.item).cast(pl.String))
    if len(rows):
        return pl.Series(users).cast(pl.String) + " " + items
    return pl.Series([], dtype=pl.String)


LIGHTGCN = Format(
    "train.txt, valid.txt, test.txt ('user item item ...'), user_list.txt, item_list.txt",
    frozenset({base.INTERACTIONS, base.SPLIT}),
    write_lightgcn,
    needs=base.INTERACTIONS,
)
KGAT = Format(
    "train.txt, valid.txt, test.txt, kg_final.txt, user_list.txt, item_list.txt, "
    "entity_list.txt, relation_list.txt",
    frozenset({base.INTERACTIONS, base.SPLIT, base.TRIPLES, base.LINKS}),
    write_kgat,
    needs=base.INTERACTIONS,
)
