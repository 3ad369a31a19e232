"""Text of the click-through family: RippleNet, KGCN, KGNN-LS, MKR, CKAN.

``ratings_final.txt`` holds ``user item label`` a line, ``kg_final.txt`` the triples.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.folder_files import graph_files, kg_final, text_file
from kgrec.data.formats.original_ids import under_ids
from kgrec.data.io.files import FilePath
from kgrec.data.readers.labeled import as_clicks, labeled_rows
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.data.tables.delimited import read_columns

_RATINGS = "ratings_final"


def recognize(folder: Path) -> bool:
    """Return whether a folder holds ``ratings_final.txt``."""
    return text_file(folder, _RATINGS) is not None


def read(folder: Path, on_error: str) -> DatasetSources:
    """Return the sources in a folder of click-through text."""
    sources = DatasetSources(
        labelled=read_ratings(str(text_file(folder, _RATINGS)), on_error=on_error),
        kg=kg_final(folder),
        name=folder.resolve().name,
        beside=graph_files(folder),
    )
    return under_ids(folder, sources, on_error)


def read_ratings(path: FilePath, *, on_error: str = "stop") -> LabeledLog:
    """Read ``user item label`` rows, between tabs or spaces; label 1 is an interaction, 0 none.

    Args:
        path: The file.
        on_error: "stop" at a malformed line, or "skip" it and count it.

    Raises:
        FormatError: If a line has not three columns, or a label is neither 0 nor 1.
    """
    table, dropped = labeled_rows(
        read_columns(path, ("user", "item", "label"), on_error=on_error), on_error
    )
    frame = table.frame.select("user", "item", clicked=as_clicks(table))
    return LabeledLog(frame, (table.name,), dropped)


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``user item label`` and ``head relation tail``, all numbers from 0, and the lists of
    what they stand for.
    """
    written = Written()
    names = writing.numbered(data)
    names.write_lists(folder)
    names.note(written)
    clicked = _pairs(base.parts_of(data).values())
    negatives = _pairs(data.negatives.values())
    kept = negatives.unique(maintain_order=True).join(
        clicked, on=["user", "item"], how="anti", maintain_order="left"
    )
    written.lose(
        "labelled negatives that are interactions of another part",
        negatives.height - kept.height,
        base.NEGATIVES,
    )
    frame = pl.concat(
        [clicked.with_columns(label=pl.lit("1")), kept.with_columns(label=pl.lit("0"))]
    )
    writing.write_rows(
        folder / "ratings_final.txt",
        frame.sort("user", maintain_order=True).cast(pl.String).get_columns(),
        "\t",
    )

    if not kept.height:
        written.notes.append(
            "No row has label 0: the code of this family expects as many items with label 0 as "
            "with 1, drawn for each user."
        )

    if len(data.triples):
        writing.write_kg_final(data, folder)

    items = data.items.series.to_list()
    entities = data.triples.entities.series.to_list()
    if all(map(writing.fits_cell, items)) and all(map(writing.fits_cell, entities[: len(items)])):
        writing.write_rows(
            folder / "item_index2entity_id.txt",
            [data.items.series, data.triples.entities.series[: len(items)]],
            "\t",
        )
    else:
        written.notes.append(
            "item_index2entity_id.txt is left out: an id has characters that it cannot hold. "
            "item_list.txt says the same."
        )

    return written


def _pairs(parts: Iterable[Interactions]) -> pl.DataFrame:
    rows = list(parts)
    none = np.empty(0, dtype=np.int32)
    user = np.concatenate([none, *(part.user for part in rows)])
    item = np.concatenate([none, *(part.item for part in rows)])
    return pl.DataFrame({"user": user, "item": item})


CTR = Format(
    "ctr",
    "ratings_final.txt, 'user item label' per line; with kg_final.txt",
    recognize,
    read,
    lenient=True,
    carries=frozenset({base.INTERACTIONS, base.NEGATIVES, base.TRIPLES, base.LINKS}),
    write=write,
    needs=base.INTERACTIONS,
)
