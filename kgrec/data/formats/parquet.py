"""Parquet tables under the dataset's own ids, for polars, pandas, DuckDB and the like."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, property_graph, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.graphs.assemble import RawTriples, assemble
from kgrec.data.io.files import write_parquet
from kgrec.data.linking.mentions import MENTIONS
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog, Interactions
from kgrec.data.records.parts import PARTS
from kgrec.data.records.triples import Triples
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.data.tables.delimited import read_table
from kgrec.errors import FormatError

_SCHEMA = {
    "items": ("item_id", "entity"),
    "entities": ("entity", "label"),
    "relations": ("relation", "label"),
    "triples": ("head", "relation", "tail"),
    "held_triples": ("part", "head", "relation", "tail"),
    "types": ("entity", "type"),
    "attributes": ("entity", "name", "value", "datatype", "language"),
    "negatives": ("part", "user_id", "item_id"),
    "mentions": ("item_id", "first", "end", "entity", "label"),
    "train": ("user_id", "item_id"),
    "valid": ("user_id", "item_id"),
    "test": ("user_id", "item_id"),
}
_KEYS = {"items": ("item_id", "entity"), "entities": ("entity",), "relations": ("relation",)}
_NUMBERS = {
    "timestamp": pl.Float64,
    "rating": pl.Float64,
    "locator": pl.Int64,
    "first": pl.Int64,
    "end": pl.Int64,
}


def recognize(folder: Path) -> bool:
    """Return whether a folder holds such tables."""
    return all((folder / f"{table}.parquet").is_file() for table in ("items", "entities")) and any(
        (folder / f"{table}.parquet").is_file() for table in ("train", "triples")
    )


def read(folder: Path) -> DatasetSources:
    """Return the parts in the tables.

    Raises:
        FormatError: If a table cannot be read, lacks a column, or names what another does not know.
    """
    tables = {
        name: _table(folder, name) for name in _SCHEMA if (folder / f"{name}.parquet").is_file()
    }
    items = tables["items"]
    kg = _knowledge(tables, folder)
    logs = _logs(tables, folder)
    labels = pl.DataFrame({"entity": items["entity"]}).join(
        tables["entities"], on="entity", how="left", maintain_order="left"
    )["label"]
    described: dict[str, Any] = {}

    if "text" in items.columns:
        texts = items["text"].cast(pl.String)
        table = {"item_id": items["item_id"], "title": labels, "text": texts}
        described |= {"items": pl.DataFrame(table), "texts": ("text",)}

    if "mentions" in tables:
        described["mentions"] = _mentions(tables["mentions"])

    if (folder / "features.parquet").is_file():
        described["features"] = str(folder / "features.parquet")

    return DatasetSources(
        **logs,
        kg=(kg,),
        links=items.select(item="item_id", entity="entity"),
        **described,
        users=_users(folder),
        held=_held(tables, bool(logs)),
        name=folder.resolve().name,
    )


def _table(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    frame = read_table(path).frame

    for column in _SCHEMA[name]:
        if column not in frame.columns:
            raise FormatError(
                f"{path}: no column {column!r}. Found: {', '.join(frame.columns[:12])}."
            )

    keys = _KEYS.get(name, _SCHEMA[name][:3])
    for column in keys:
        if frame[column].null_count():
            raise FormatError(
                f"{path}: column {column!r} has an empty cell. Give every row its ids."
            )

    if name in _KEYS and frame[keys[0]].is_duplicated().any():
        raise FormatError(
            f"{path}: column {keys[0]!r} names something twice. Leave one row for each."
        )

    known: dict[Any, Any] = {
        column: _NUMBERS.get(column, pl.String)
        for column in frame.columns
        if column in (*_SCHEMA[name], *_NUMBERS, "source", "graph")
    }
    try:
        return frame.cast(known)
    except pl.exceptions.PolarsError:
        raise FormatError(
            f"{path}: a column is not of its kind. Keep texts and numbers in separate columns."
        ) from None


def _users(folder: Path) -> str | None:
    path = folder / "users.parquet"
    try:
        if path.is_file() and len(pl.read_parquet_schema(path)) > 1:
            return str(path)
        return None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise FormatError(f"{path}: not a readable Parquet file. Write it again.") from None


def _logs(tables: dict[str, pl.DataFrame], folder: Path) -> dict[str, Any]:
    frames = {part: tables[part] for part in PARTS if part in tables}
    sources = tuple(str(folder / f"{part}.parquet") for part in frames)
    if not frames:
        return {}

    if "negatives" in tables:
        return {
            "labelled": LabeledLog(
                _labeled(frames, tables["negatives"]),
                (*sources, str(folder / "negatives.parquet")),
            )
        }

    none = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String})
    return {part: InteractionLog(_renamed(frames.get(part, none)), sources) for part in PARTS}


def _renamed(frame: pl.DataFrame) -> pl.DataFrame:
    names = {"user_id": "user", "item_id": "item", "timestamp": "time", "rating": "rating"}
    return frame.select(
        pl.col(name).alias(column) for name, column in names.items() if name in frame.columns
    )


def _labeled(frames: dict[str, pl.DataFrame], negatives: pl.DataFrame) -> pl.DataFrame:
    numbers = {part: part_number for part_number, part in enumerate(PARTS)}
    rows = [
        frame.select(
            user="user_id",
            item="item_id",
            clicked=pl.lit(True),
            part=pl.lit(numbers[part], dtype=pl.Int8),
        )
        for part, frame in frames.items()
    ]
    of_part = pl.col("part").replace_strict(numbers, default=0, return_dtype=pl.Int8)

    return pl.concat(
        [
            *rows,
            negatives.select(user="user_id", item="item_id", clicked=pl.lit(False), part=of_part),
        ]
    )


def _held(tables: dict[str, pl.DataFrame], with_logs: bool) -> dict[str, pl.DataFrame] | None:
    held = tables.get("held_triples")
    if held is None:
        if with_logs:
            return None
        return {}

    return {
        part: held.filter(pl.col("part") == part).drop("part")
        for part in ("valid", "test")
        if (held["part"] == part).any()
    }


def _mentions(frame: pl.DataFrame) -> pl.DataFrame:
    columns: dict[Any, Any] = dict(MENTIONS)
    return frame.select(
        item="item_id",
        column=pl.lit("text"),
        first="first",
        end="end",
        entity="entity",
        label="label",
    ).cast(columns)


def _rows(keys: pl.Series, wanted: pl.Series, where: str) -> np.ndarray:
    known = pl.DataFrame({"key": keys}).with_row_index("row").cast({"row": pl.Int64})
    rows = pl.DataFrame({"key": wanted}).join(known, on="key", how="left", maintain_order="left")[
        "row"
    ]
    if rows.null_count():
        raise FormatError(
            f"{where}: {str(wanted.filter(rows.is_null())[0])[:60]!r} is in no table of entities "
            "or relations. Add it."
        )

    found: np.ndarray = rows.to_numpy().astype(np.int32)
    return found


def _knowledge(tables: dict[str, pl.DataFrame], folder: Path) -> Triples:
    entities = tables["entities"]
    path = str(folder / "triples.parquet")
    none = {
        name: pl.DataFrame(schema=dict.fromkeys(_SCHEMA[name], pl.String))
        for name in ("relations", "triples", "types", "attributes")
    }
    relations, stated, types, attributes = (tables.get(name, none[name]) for name in none)
    first = entities.height

    if "source" in stated.columns:
        source = stated["source"].fill_null(path)
    else:
        source = pl.Series([path]).new_from_index(0, stated.height)

    sources = source.unique(maintain_order=True)
    graphs = pl.Series("graph", [], dtype=pl.String)
    graph = None

    if "graph" in stated.columns:
        graphs = stated["graph"].drop_nulls().unique(maintain_order=True)
        number = pl.DataFrame({"graph": graphs}).with_row_index("row").cast({"row": pl.Int32})
        of_graph = stated.select("graph").join(
            number, on="graph", how="left", maintain_order="left"
        )
        graph = of_graph["row"].fill_null(-1).to_numpy()

    locator = np.zeros(stated.height, dtype=np.int64)
    if "locator" in stated.columns:
        locator = stated["locator"].fill_null(0).to_numpy()

    facts = RawTriples(
        tuple(sources) or (path,),
        pl.concat([entities["entity"].rename("key"), relations["relation"].rename("key")]),
        _rows(entities["entity"], stated["head"], path),
        _rows(relations["relation"], stated["relation"], path) + np.int32(first),
        _rows(entities["entity"], stated["tail"], path),
        locator=locator,
        labels=_labels(entities["label"], 0),
        relation_labels=_labels(relations["label"], first),
        types=types.select(
            term=pl.Series(_rows(entities["entity"], types["entity"], path)), type="type"
        ),
        attributes=attributes.with_columns(
            term=pl.Series(_rows(entities["entity"], attributes["entity"], path))
        ).select("term", "name", "value", "datatype", "language"),
        source=_rows(sources, source, path).astype(np.uint16),
        graph=graph,
        graphs=graphs.rename("graph"),
    )

    return assemble([facts])


def _labels(labels: pl.Series, first: int) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "term": np.arange(first, first + len(labels), dtype=np.int32),
            "text": labels.cast(pl.String),
        }
    )
    return rows.drop_nulls().with_columns(rank=pl.lit(0, dtype=pl.Int32))


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the tables that have rows; items and entities always."""
    written = Written()
    writing.lose_links(data, written, described=True)

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
        "users": pl.DataFrame({"user_id": users} | writing.user_columns(data, written)),
        "items": pl.DataFrame(
            {"item_id": items, "entity": keys[: len(items)]}
            | ({} if texts is None else {"text": texts})
        ),
        "entities": pl.DataFrame({"entity": keys, "label": triples.labels}),
        "relations": pl.DataFrame({"relation": relations, "label": triples.relation_labels}),
        "types": triples.types.select(
            entity=writing.at(keys, triples.types["entity"].to_numpy()), type="type"
        ),
        "attributes": triples.attributes.with_columns(
            entity=writing.at(keys, triples.attributes["entity"].to_numpy())
        ),
        "triples": _triples_frame(data),
        "held_triples": _held_frame(data),
        "negatives": pl.concat(
            [_pairs(data, part, rows) for part, rows in data.negatives.items()] or [pl.DataFrame()]
        ),
        "mentions": _mentions_frame(data),
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
        "user_id": writing.at(data.users.series, rows.user),
    }
    columns |= {"item_id": writing.at(data.items.series, rows.item)}
    further = {"timestamp": rows.time, "rating": rows.rating}
    columns |= {
        name: writing.optional(values, len(rows))
        for name, values in further.items()
        if values is not None
    }

    return pl.DataFrame(columns)


def _triples_frame(data: Dataset) -> pl.DataFrame:
    triples = data.triples
    named = [
        writing.at(keys, rows)
        for keys, rows in _ends(data, triples.head, triples.relation, triples.tail)
    ]
    frame = pl.DataFrame(dict(zip(("head", "relation", "tail"), named, strict=True)))
    frame = frame.with_columns(
        source=writing.at(pl.Series(triples.sources, dtype=pl.String), triples.source),
        locator=pl.Series(np.asarray(triples.locator)),
    )
    if not len(triples.graph):
        return frame

    graphs = pl.Series([*triples.graphs, None], dtype=pl.String)
    return frame.with_columns(
        graph=writing.at(graphs, np.where(triples.graph < 0, len(graphs) - 1, triples.graph))
    )


def _ends(
    data: Dataset, head: np.ndarray, relation: np.ndarray, tail: np.ndarray
) -> list[tuple[pl.Series, np.ndarray]]:
    keys = data.triples.entities.series
    relations = data.triples.relations.series
    return [(keys, head), (relations, relation), (keys, tail)]


def _held_frame(data: Dataset) -> pl.DataFrame:
    frames = []
    for part, rows in data.held_triples.items():
        head, relation, tail = (writing.at(keys, rows_of) for keys, rows_of in _ends(data, *rows.T))
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


def _mentions_frame(data: Dataset) -> pl.DataFrame:
    item, first, end, entity = (np.ascontiguousarray(column) for column in data.content.mentions.T)
    return pl.DataFrame(
        {
            "item_id": writing.at(data.items.series, item),
            "first": first.astype(np.int64),
            "end": end.astype(np.int64),
            "entity": writing.at(data.triples.entities.series, entity),
            "label": writing.at(data.triples.labels, entity),
        }
    )


PARQUET = Format(
    "parquet",
    "items.parquet and entities.parquet, with train.parquet or triples.parquet",
    recognize,
    read,
    carries=property_graph.CARRIES
    | {base.NEGATIVES, base.HELD, base.TEXTS, base.MENTIONS, base.FEATURES, base.USER_FACTS},
    write=write,
)
