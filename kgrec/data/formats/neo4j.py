"""Neo4j's CSV for bulk import: a file for each kind of node and relationship, texts in quotes."""

from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import property_graph, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.io.files import reading
from kgrec.data.propertygraph.records import (
    CLASS,
    EDGES,
    ENTITY,
    INTERACTION,
    ITEM,
    LITERAL,
    NODES,
    TRIPLE,
    TYPE,
    USER,
    USER_FACT,
    VALUE,
    PropertyGraph,
)
from kgrec.data.records.dataset import Dataset
from kgrec.errors import FormatError

_LONGEST_HEADER = 1 << 12

# The columns of each file: property of the header, column of the property graph.
_NODE_FILES = {
    "entities.csv": (
        (ITEM, ENTITY),
        {
            ":ID(Entity)": "id",
            "entity": "entity",
            "name": "name",
            "label": "label",
            ":LABEL": "kind",
        },
    ),
    "users.csv": ((USER,), {":ID(User)": "id", "name": "name", "label": "label", ":LABEL": "kind"}),
    "classes.csv": ((CLASS,), {":ID(Class)": "id", "entity": "entity", ":LABEL": "kind"}),
    "literals.csv": (
        (LITERAL,),
        {
            ":ID(Literal)": "id",
            "label": "label",
            "datatype": "datatype",
            "language": "language",
            ":LABEL": "kind",
        },
    ),
}
_EDGE_FILES = {
    "triples.csv": (
        TRIPLE,
        {
            ":START_ID(Entity)": "start",
            ":END_ID(Entity)": "end",
            ":TYPE": "relation",
            "label": "label",
            "source": "source",
            "locator:long": "locator",
            "graph": "graph",
        },
    ),
    "interactions.csv": (
        INTERACTION,
        {
            ":START_ID(User)": "start",
            ":END_ID(Entity)": "end",
            ":TYPE": "relation",
            "part": "part",
            "time:double": "time",
            "rating:float": "rating",
        },
    ),
    "user_facts.csv": (
        USER_FACT,
        {
            ":START_ID(User)": "start",
            ":END_ID(Entity)": "end",
            ":TYPE": "relation",
            "label": "label",
        },
    ),
    "types.csv": (
        TYPE,
        {":START_ID(Entity)": "start", ":END_ID(Class)": "end", ":TYPE": "relation"},
    ),
    "attributes.csv": (
        VALUE,
        {":START_ID(Entity)": "start", ":END_ID(Literal)": "end", ":TYPE": "relation"},
    ),
}
_LABELS = {ITEM: "Entity;Item", ENTITY: "Entity", USER: "User", CLASS: "Class", LITERAL: "Literal"}
_TYPES = {INTERACTION: "INTERACTS", TYPE: "IS_A"}
_KINDS = {"users.csv": USER, "classes.csv": CLASS, "literals.csv": LITERAL}


def recognize(folder: Path) -> bool:
    """Return whether a folder holds CSV for Neo4j's bulk import."""
    path = folder / "entities.csv"
    if not path.is_file():
        return False
    with reading(path) as stream:
        return stream.readline(_LONGEST_HEADER).lstrip(b'"').startswith(b":ID(Entity)")


def read(folder: Path) -> DatasetSources:
    """Return the sources in Neo4j's CSV."""
    return property_graph.to_sources(read_neo4j(folder), folder, str(folder))


def read_neo4j(folder: Path) -> PropertyGraph:
    """Return the nodes and edges in the files of a folder.

    Raises:
        FormatError: If a file is no CSV or lacks a column.
    """
    nodes = [pl.DataFrame(schema=NODES)]
    edges = [pl.DataFrame(schema=EDGES)]

    for file, (_, columns) in _NODE_FILES.items():
        if (folder / file).is_file():
            frame = _read(folder / file, columns, NODES)
            entity = (
                pl.when(pl.col("kind").str.contains("Item", literal=True))
                .then(pl.lit(ITEM))
                .otherwise(pl.lit(ENTITY))
            )
            nodes.append(
                frame.with_columns(kind=pl.lit(_KINDS[file]) if file in _KINDS else entity)
            )

    for file, (fact, columns) in _EDGE_FILES.items():
        if (folder / file).is_file():
            frame = _read(folder / file, columns, EDGES).with_columns(fact=pl.lit(fact))
            edges.append(
                frame.with_columns(relation=pl.lit(None, dtype=pl.String))
                if fact in _TYPES
                else frame
            )

    return PropertyGraph(pl.concat(nodes), pl.concat(edges))


def _read(path: Path, columns: dict[str, str], schema: dict[Any, Any]) -> pl.DataFrame:
    """Return the columns that a file has, under the names and types of the property graph.

    The others null.
    """
    with reading(path) as stream:
        data = stream.read()

    try:
        frame = pl.read_csv(data, infer_schema=False, quote_char='"')
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = (str(error) or "unreadable").splitlines()[0][:200]
        raise FormatError(
            f"{path}: not readable as CSV ({reason}). Quote texts, and double the quotes in them."
        ) from None

    needed = [
        header
        for header, column in columns.items()
        if column in ("id", "start", "end") or header == ":LABEL"
    ]
    missing = [header for header in needed if header not in frame.columns]
    if missing:
        found = ", ".join(" ".join(name.split())[:40] for name in frame.columns[:12])
        raise FormatError(f"{path}:1: no column {missing[0]!r}. Found: {found}.")

    named = {name: frame[header] for header, name in columns.items() if header in frame.columns}
    none = pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
    full = pl.DataFrame([named.get(name, none).alias(name) for name in schema])

    try:
        return full.cast(schema)
    except pl.exceptions.PolarsError:
        raise FormatError(f"{path}: a number column holds text. Correct it.") from None


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write the files that have rows, and how to import them."""
    graph = property_graph.from_dataset(data)
    options = ["--multiline-fields=true"]

    for file, (kinds, columns) in _NODE_FILES.items():
        frame = graph.nodes.filter(pl.col("kind").is_in(kinds)).with_columns(
            pl.col("kind").replace_strict(_LABELS)
        )
        if _write(frame, columns, folder / file):
            options += [f"--nodes={file}"]

    for file, (fact, columns) in _EDGE_FILES.items():
        frame = graph.edges.filter(pl.col("fact") == fact)
        if fact in _TYPES:
            frame = frame.with_columns(relation=pl.lit(_TYPES[fact]))

        if _write(frame, columns, folder / file):
            options += [f"--relationships={file}"]

    written = Written(
        notes=[f"In this folder: neo4j-admin database import full {' '.join(options)}"]
    )
    writing.lose_links(data, written, described=True)
    return written


def _write(frame: pl.DataFrame, columns: dict[str, str], path: Path) -> bool:
    """Write the columns of a frame that has rows.

    Numbers stay bare, texts stand in quotes, nulls are empty.
    """
    if frame.height:
        frame.select(pl.col(column).alias(header) for header, column in columns.items()).write_csv(
            path, quote_style="non_numeric"
        )

    return bool(frame.height)


NEO4J = Format(
    "neo4j",
    "entities.csv, triples.csv, interactions.csv, ... for Neo4j's bulk import",
    recognize,
    read,
    carries=property_graph.CARRIES,
    write=write,
)
