"""Entities named in texts: from character offsets under the caller's ids to rows of a dataset."""

from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.records.report import Dropped, dropped_rows
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.ordering import one_per_key

MENTIONS = {
    "item": pl.String,
    "column": pl.String,
    "first": pl.Int64,
    "end": pl.Int64,
    "entity": pl.String,
    "label": pl.String,
}


def number_mentions(
    mentions: pl.DataFrame,
    items: Vocabulary,
    cells: pl.DataFrame,
    columns: tuple[str, ...],
    triples: Triples,
) -> tuple[np.ndarray, Triples, tuple[Dropped, ...]]:
    """Return mentions as rows of a dataset, the graph with the entities that were not in it, and
    what was left out.

    A row is the item, the first character, the one behind the last, and the entity, int32; rows are
    sorted.

    Args:
        mentions: Columns as ``MENTIONS``; offsets count characters of one column's cell.
        items: Item ids.
        cells: Columns ``item`` (row) and ``cells``: what the columns of texts hold, which are
            joined by a space where they are not null.
        columns: Names of these columns; mentions in others are left out.
        triples: The graph, items first.
    """
    known = mentions.with_columns(item=pl.Series(items.match(mentions["item"])))
    known = known.filter((pl.col("item") >= 0) & pl.col("column").is_in(columns))
    placed = known.join(
        _positions(cells, columns), on=["item", "column"], how="left", maintain_order="left"
    )
    inside = placed.filter(
        (pl.col("first") >= 0)
        & (pl.col("first") < pl.col("end"))
        & (pl.col("end") <= pl.col("length"))
    )
    outside = placed.height - inside.height
    dropped = dropped_rows("mentions", "outside their text", outside)
    triples = _with_entities(triples, inside.select("entity", "label"))
    rows = inside.select(
        "item",
        pl.col("first") + pl.col("shift"),
        pl.col("end") + pl.col("shift"),
        entity=pl.Series(triples.entities.match(inside["entity"])),
    )
    ordered = rows.unique().sort("item", "first", "end", "entity")
    return ordered.to_numpy().astype(np.int32).reshape(-1, 4), triples, dropped


def _positions(cells: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """Return columns ``item``, ``column``, ``length`` and ``shift``: where the column's cell begins
    in the text.
    """
    frames = []
    before = pl.lit(0, dtype=pl.Int64)

    for at, column in enumerate(columns):
        length = pl.col("cells").list.get(at).str.len_chars().cast(pl.Int64)
        frames.append(cells.select("item", column=pl.lit(column), length=length, shift=before))
        before = before + (length + 1).fill_null(0)

    return pl.concat(frames)


def _with_entities(triples: Triples, named: pl.DataFrame) -> Triples:
    new = one_per_key(named, "entity", "label")
    new = new.filter(pl.Series(triples.entities.match(new["entity"]) < 0))
    if not new.height:
        return triples

    keys = pl.concat([triples.entities.series, new["entity"].rename("key")])
    labels = pl.concat([triples.labels, new["label"].rename(triples.labels.name)])
    return replace(triples, entities=Vocabulary(keys, kind="entity"), labels=labels)
