"""Parquet tables under the dataset's own ids, one for each kind of thing, for polars, pandas,
DuckDB and their kin.
"""

from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.formats import property_graph
from kgrec.data.io.files import write_parquet
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the tables that have rows; items and entities always."""
    written = Written()
    base.lose_links(data, written, described=True)
    if data.negatives and any(
        part.time is not None or part.rating is not None for part in base.parts_of(data).values()
    ):
        written.notes.append(
            "kgrec build reads the labelled negatives and no times or ratings: it knows them in "
            "one dataset no more than once."
        )
    for table, frame in _tables(data, written).items():
        if frame.height or table in ("items", "entities"):
            write_parquet(frame, folder / f"{table}.parquet")
    return written


def _tables(data: Dataset, written: Written) -> dict[str, pl.DataFrame]:
    triples = data.triples
    keys = triples.entities.series
    relations = triples.relations.series
    users = data.users.series
    items = data.items.series
    pairs = base.parts_of(data)
    texts = data.content.texts
    tables = {
        "users": pl.DataFrame(
            {"user_id": users}
            | {key: column for key, column in base.user_columns(data, written).items()}
        ),
        "items": pl.DataFrame(
            {"item_id": items, "entity": keys[: len(items)]}
            | ({} if texts is None else {"text": texts})
        ),
        "entities": pl.DataFrame({"entity": keys, "label": triples.labels}),
        "relations": pl.DataFrame({"relation": relations, "label": triples.relation_labels}),
        "types": triples.types.select(
            entity=base.at(keys, triples.types["entity"].to_numpy()), type="type"
        ),
        "attributes": triples.attributes.with_columns(
            entity=base.at(keys, triples.attributes["entity"].to_numpy())
        ),
        "triples": _triples(data),
        "held_triples": _held(data),
        "negatives": pl.concat(
            [_pairs(data, part, rows) for part, rows in data.negatives.items()] or [pl.DataFrame()]
        ),
        "mentions": _mentions(data),
    }
    tables |= {
        part: _pairs(data, part, rows).drop("part")
        for part, rows in pairs.items()
        if sum(map(len, pairs.values()))
    }
    if data.content.features is not None:
        columns = {
            f"feature {column}": data.content.features[:, column]
            for column in range(data.content.features.shape[1])
        }
        tables["features"] = pl.DataFrame({"item_id": items} | columns)
    return tables


def _pairs(data: Dataset, part: str, rows: Interactions) -> pl.DataFrame:
    columns = {
        "part": property_graph.same(part, len(rows)),
        "user_id": base.at(data.users.series, rows.user),
    }
    columns |= {"item_id": base.at(data.items.series, rows.item)}
    further = {"timestamp": rows.time, "rating": rows.rating}
    columns |= {
        name: base.optional(values, len(rows))
        for name, values in further.items()
        if values is not None
    }
    return pl.DataFrame(columns)


def _triples(data: Dataset) -> pl.DataFrame:
    triples = data.triples
    named = [
        base.at(keys, rows)
        for keys, rows in _ends(data, triples.head, triples.relation, triples.tail)
    ]
    frame = pl.DataFrame(dict(zip(("head", "relation", "tail"), named, strict=True)))
    frame = frame.with_columns(
        source=base.at(pl.Series(triples.sources, dtype=pl.String), triples.source),
        locator=pl.Series(np.asarray(triples.locator)),
    )
    if not len(triples.graph):
        return frame
    graphs = pl.Series([*triples.graphs, None], dtype=pl.String)
    return frame.with_columns(
        graph=base.at(graphs, np.where(triples.graph < 0, len(graphs) - 1, triples.graph))
    )


def _ends(
    data: Dataset, head: np.ndarray, relation: np.ndarray, tail: np.ndarray
) -> list[tuple[pl.Series, np.ndarray]]:
    keys = data.triples.entities.series
    relations = data.triples.relations.series
    return [(keys, head), (relations, relation), (keys, tail)]


def _held(data: Dataset) -> pl.DataFrame:
    frames = []
    for part, rows in data.held_triples.items():
        head, relation, tail = (base.at(keys, own) for keys, own in _ends(data, *rows.T))
        frames.append(
            pl.DataFrame(
                {
                    "part": property_graph.same(part, len(rows)),
                    "head": head,
                    "relation": relation,
                    "tail": tail,
                }
            )
        )
    if frames:
        return pl.concat(frames)
    return pl.DataFrame()


def _mentions(data: Dataset) -> pl.DataFrame:
    item, first, end, entity = (np.ascontiguousarray(column) for column in data.content.mentions.T)
    return pl.DataFrame(
        {
            "item_id": base.at(data.items.series, item),
            "first": first.astype(np.int64),
            "end": end.astype(np.int64),
            "entity": base.at(data.triples.entities.series, entity),
            "label": base.at(data.triples.labels, entity),
        }
    )


PARQUET = Format(
    "users, items, entities, relations, triples, train, valid, test, ... (.parquet)",
    property_graph.CARRIES
    | {base.NEGATIVES, base.HELD, base.TEXTS, base.MENTIONS, base.FEATURES, base.USER_FACTS},
    write,
)
