"""Folders of Parquet tables, as ``kgrec convert --to parquet`` writes them, to the parts of a
dataset.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.building.sources import Parts
from kgrec.data.graphs.assemble import Facts, assemble
from kgrec.data.linking.mentions import MENTIONS
from kgrec.data.records.dataset import PARTS
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.triples import Triples
from kgrec.data.splitting.labels import LabelledLog
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


def is_parquet_folder(folder: Path) -> bool:
    """Return whether a folder holds such tables."""
    return all((folder / f"{table}.parquet").is_file() for table in ("items", "entities")) and any(
        (folder / f"{table}.parquet").is_file() for table in ("train", "triples")
    )


def read_parquet_folder(folder: Path) -> Parts:
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
    texts = "text" in items.columns
    table = {"item_id": items["item_id"], "title": labels} | (
        {"text": items["text"].cast(pl.String)} if texts else {}
    )
    return Parts(
        **logs,
        kg=(kg,),
        links=items.select(item="item_id", entity="entity"),
        items=pl.DataFrame(table) if texts else None,
        texts=("text",) if texts else None,
        mentions=_mentions(tables["mentions"]) if "mentions" in tables else None,
        features=str(folder / "features.parquet")
        if (folder / "features.parquet").is_file()
        else None,
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
            f"{path}: a column is not of its kind. Texts and numbers stand in columns of their own."
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
            "labelled": LabelledLog(
                _labelled(frames, tables["negatives"]),
                (*sources, str(folder / "negatives.parquet")),
            )
        }
    none = pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String})
    return {part: InteractionLog(_renamed(frames.get(part, none)), sources) for part in PARTS}


def _renamed(frame: pl.DataFrame) -> pl.DataFrame:
    names = {"user_id": "user", "item_id": "item", "timestamp": "time", "rating": "rating"}
    return frame.select(
        pl.col(name).alias(own) for name, own in names.items() if name in frame.columns
    )


def _labelled(frames: dict[str, pl.DataFrame], negatives: pl.DataFrame) -> pl.DataFrame:
    number = {part: place for place, part in enumerate(PARTS)}
    rows = [
        frame.select(
            user="user_id",
            item="item_id",
            clicked=pl.lit(True),
            part=pl.lit(number[part], dtype=pl.Int8),
        )
        for part, frame in frames.items()
    ]
    place = pl.col("part").replace_strict(number, default=0, return_dtype=pl.Int8)
    return pl.concat(
        [*rows, negatives.select(user="user_id", item="item_id", clicked=pl.lit(False), part=place)]
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
    if "graph" in stated.columns:
        graph = stated["graph"]
    else:
        graph = None
    if graph is None:
        graphs = pl.Series("graph", [], dtype=pl.String)
    else:
        graphs = graph.drop_nulls().unique(maintain_order=True)
    number = pl.DataFrame({"graph": graphs}).with_row_index("row").cast({"row": pl.Int32})
    facts = Facts(
        tuple(sources) or (path,),
        pl.concat([entities["entity"].rename("key"), relations["relation"].rename("key")]),
        _rows(entities["entity"], stated["head"], path),
        _rows(relations["relation"], stated["relation"], path) + np.int32(first),
        _rows(entities["entity"], stated["tail"], path),
        locator=stated["locator"].fill_null(0).to_numpy()
        if "locator" in stated.columns
        else np.zeros(stated.height, dtype=np.int64),
        labels=_labels(entities["label"], 0),
        relation_labels=_labels(relations["label"], first),
        types=types.select(
            term=pl.Series(_rows(entities["entity"], types["entity"], path)), type="type"
        ),
        attributes=attributes.with_columns(
            term=pl.Series(_rows(entities["entity"], attributes["entity"], path))
        ).select("term", "name", "value", "datatype", "language"),
        source=_rows(sources, source, path).astype(np.uint16),
        graph=None
        if graph is None
        else stated.select("graph")
        .join(number, on="graph", how="left", maintain_order="left")["row"]
        .fill_null(-1)
        .to_numpy(),
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
