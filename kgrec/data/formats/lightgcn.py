"""Text of LightGCN, KGAT and KGIN, all numbers from 0, with id lists.

``user item item ...`` a line; ``head relation tail`` a line in ``kg_final.txt``.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.folder_files import (
    PART_STEMS,
    empty_log,
    first_line,
    graph_files,
    kg_final,
    part_file,
)
from kgrec.data.formats.original_ids import under_ids
from kgrec.data.readers.interactions import read_item_lists
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions


def recognize(folder: Path) -> bool:
    """Return whether a folder holds ``train.txt`` and ``test.txt`` without tabs."""
    train, test = (part_file(folder, part, ("txt",)) for part in ("train", "test"))
    return train is not None and test is not None and b"\t" not in first_line(train)


def read(folder: Path, on_error: str) -> DatasetSources:
    """Return the sources in a folder of item lists, with ``kg_final.txt`` where it is there."""
    logs: dict[str, Any] = {}
    for part in PART_STEMS:
        path = part_file(folder, part, ("txt",))
        if path is None:
            continue

        if part == "valid" and not path.stat().st_size:
            logs[part] = empty_log(str(path))
        else:
            logs[part] = read_item_lists(path, on_error=on_error)

    sources = DatasetSources(
        **logs,
        kg=kg_final(folder),
        name=folder.resolve().name,
        beside=graph_files(folder),
    )

    return under_ids(folder, sources, on_error)


def write_lightgcn(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``train.txt``, ``valid.txt``, ``test.txt`` and the id lists."""
    return _write(data, folder, graph=False)


def write_kgat(data: Dataset, folder: Path, name: str) -> Written:
    """Write what ``write_lightgcn`` does, and ``kg_final.txt``."""
    return _write(data, folder, graph=True)


def _write(data: Dataset, folder: Path, graph: bool) -> Written:
    written = Written()
    names = writing.numbered(data, graph)
    names.write_lists(folder)
    names.note(written)
    for part, rows in base.parts_of(data).items():
        writing.write_lines(folder / f"{part}.txt", _lines(rows))

    written.notes.append(
        "The official code knows train.txt and test.txt alone: it leaves valid.txt aside."
    )
    if graph and len(data.triples):
        writing.write_kg_final(data, folder)

    return written


def _lines(rows: Interactions) -> pl.Series:
    """Return a line for each user that has an item, items in their order."""
    users, first = np.unique(rows.user, return_index=True)
    items = writing.lists_of(np.append(first, len(rows)), pl.Series(rows.item).cast(pl.String))
    if len(rows):
        return pl.Series(users).cast(pl.String) + " " + items
    return pl.Series([], dtype=pl.String)


LIGHTGCN = Format(
    "lightgcn",
    "train.txt and test.txt, 'user item item ...' per line; with kg_final.txt for KGAT",
    recognize,
    read,
    lenient=True,
    carries=frozenset({base.INTERACTIONS, base.SPLIT}),
    write=write_lightgcn,
    needs=base.INTERACTIONS,
)
# A folder of KGAT's is recognized and read as "lightgcn".
KGAT = Format(
    "kgat",
    "what lightgcn has, kg_final.txt, and lists of entities and relations",
    carries=frozenset({base.INTERACTIONS, base.SPLIT, base.TRIPLES, base.LINKS}),
    write=write_kgat,
    needs=base.INTERACTIONS,
)
