"""Two graphs over the same items as one."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.records.report import Dropped, dropped_rows
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import FormatError


def join_linked(
    first: Triples, second: Triples, num_items: int
) -> tuple[Triples, tuple[Dropped, ...]]:
    """Return two graphs whose first entities are the same items as one graph, and what both state.

    An item keeps the key that it has in the first graph. Other entities and relations with equal
    keys are one.

    Raises:
        FormatError: If there are more than 65,535 sources.
    """
    sources = first.sources + second.sources
    if len(sources) > np.iinfo(np.uint16).max:
        raise FormatError(
            f"{len(sources)} sources are too many for one graph. Leave out columns of the "
            "table of items."
        )

    others, numbers = _numbered(first.entities, second.entities.series.slice(num_items))
    entity = np.concatenate([np.arange(num_items), numbers]).astype(np.int32)
    relations, relation = _numbered(first.relations, second.relations.series)
    labels = pl.concat(
        [first.labels, second.labels.gather(_new(numbers, len(first.entities)) + num_items)]
    )
    other_labels = (
        second.labels.to_frame("own")
        .with_columns(row=pl.Series(entity))
        .drop_nulls("own")
        .unique("row", keep="first")
    )
    rows = pl.DataFrame({"label": labels, "row": np.arange(len(labels), dtype=np.int32)}).join(
        other_labels, on="row", how="left", maintain_order="left"
    )
    moved = _moved(second, entity, relation, len(first.sources))
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), array]) for name, array in moved.items()
    }
    graph = replace(
        first,
        **columns,
        entities=Vocabulary(
            pl.concat([first.entities.series, others]), kind="entity", checked=True
        ),
        relations=Vocabulary(
            pl.concat([first.relations.series, relations]), kind="relation", checked=True
        ),
        labels=rows.select(pl.coalesce("label", "own").alias("label")).to_series(),
        relation_labels=pl.concat(
            [
                first.relation_labels,
                second.relation_labels.gather(_new(relation, len(first.relations))),
            ]
        ),
        types=pl.concat([first.types, _about(second.types, entity)]).unique(maintain_order=True),
        attributes=pl.concat([first.attributes, _about(second.attributes, entity)]).unique(
            maintain_order=True
        ),
        graph=np.concatenate([first.graph, np.full(len(second), -1, dtype=np.int32)])
        if len(first.graph)
        else first.graph,
        sources=sources,
        formats=_formats(first) + _formats(second),
        dropped=first.dropped + second.dropped,
        counts={**first.counts, **second.counts},
        columns=first.columns + second.columns,
    )
    stated = pl.DataFrame({"head": graph.head, "relation": graph.relation, "tail": graph.tail})
    kept = stated.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    twice = int((~kept).sum())
    if twice:
        graph = graph.take(kept)

    return graph, dropped_rows("triples", "stated by the graph and the table of items", twice)


def _numbered(known: Vocabulary, keys: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return the keys that are new, and the row of each key with the new ones behind the known
    ones.
    """
    rows = known.match(keys)
    new = rows < 0
    rows = np.where(new, len(known) + np.cumsum(new) - 1, rows)
    return keys.filter(pl.Series(new)), rows.astype(np.int32)


def _new(rows: np.ndarray, size: int) -> np.ndarray:
    """Return the positions of the rows that are new."""
    return np.flatnonzero(rows >= size)


def _moved(
    triples: Triples, entity: np.ndarray, relation: np.ndarray, sources: int
) -> dict[str, np.ndarray]:
    return {
        "head": entity[triples.head],
        "relation": relation[triples.relation],
        "tail": entity[triples.tail],
        "source": (triples.source + np.uint16(sources)).astype(np.uint16),
        "locator": triples.locator,
    }


def _about(frame: pl.DataFrame, entity: np.ndarray) -> pl.DataFrame:
    return frame.with_columns(entity=pl.Series(entity[frame["entity"].to_numpy()], dtype=pl.Int32))


def _formats(triples: Triples) -> tuple[str, ...]:
    return triples.formats + ("",) * (len(triples.sources) - len(triples.formats))
