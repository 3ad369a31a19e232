"""Text of the click-through family (RippleNet, KGCN, KGNN-LS, MKR, CKAN): ``ratings_final.txt`` and
``kg_final.txt``.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written
from kgrec.data.writers.lists import write_graph


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``user item label`` and ``head relation tail``, all numbers from 0, and the lists of
    what they stand for.
    """
    written = Written()
    names = base.numbered(data)
    names.write_lists(folder)
    names.note(written)
    clicked = _pairs(base.parts_of(data).values())
    labelled = _pairs(data.negatives.values())
    kept = labelled.unique(maintain_order=True).join(
        clicked, on=["user", "item"], how="anti", maintain_order="left"
    )
    written.lose(
        "labelled negatives that are interactions of another part",
        labelled.height - kept.height,
        base.NEGATIVES,
    )
    frame = pl.concat(
        [clicked.with_columns(label=pl.lit("1")), kept.with_columns(label=pl.lit("0"))]
    )
    base.write_rows(
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
        write_graph(data, folder)
    items = data.items.series.to_list()
    entities = data.triples.entities.series.to_list()
    if all(map(base.fits_cell, items)) and all(map(base.fits_cell, entities[: len(items)])):
        base.write_rows(
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
    own = list(parts)
    none = np.empty(0, dtype=np.int32)
    user, item = (
        np.concatenate([none, *(getattr(part, column) for part in own)])
        for column in ("user", "item")
    )
    return pl.DataFrame({"user": user, "item": item})


CTR = Format(
    "ratings_final.txt ('user item label'), kg_final.txt, item_index2entity_id.txt, and the id "
    "lists of KGAT",
    frozenset({base.INTERACTIONS, base.NEGATIVES, base.TRIPLES, base.LINKS}),
    write,
    needs=base.INTERACTIONS,
)
