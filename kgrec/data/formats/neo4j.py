"""Neo4j's CSV for bulk import, as ``kgrec convert`` writes it, to nodes and edges with
properties.
"""

from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.formats.property_graph import (
    CLASS,
    EDGES,
    ENTITY,
    INTERACTION,
    ITEM,
    LITERAL,
    NODES,
    TYPE,
    USER,
    PropertyGraph,
)
from kgrec.data.io.files import reading
from kgrec.data.writers.neo4j import EDGE_FILES, NODE_FILES
from kgrec.errors import FormatError

_KINDS = {"users.csv": USER, "classes.csv": CLASS, "literals.csv": LITERAL}
_UNNAMED = (INTERACTION, TYPE)


def read_neo4j(folder: Path) -> PropertyGraph:
    """Return the nodes and edges in the files of a folder.

    Raises:
        FormatError: If a file is no CSV or lacks a column.
    """
    nodes = [pl.DataFrame(schema=NODES)]
    edges = [pl.DataFrame(schema=EDGES)]
    for file, (_, columns) in NODE_FILES.items():
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
    for file, (fact, columns) in EDGE_FILES.items():
        if (folder / file).is_file():
            frame = _read(folder / file, columns, EDGES).with_columns(fact=pl.lit(fact))
            edges.append(
                frame.with_columns(relation=pl.lit(None, dtype=pl.String))
                if fact in _UNNAMED
                else frame
            )
    return PropertyGraph(pl.concat(nodes), pl.concat(edges))


def _read(path: Path, columns: dict[str, str], schema: dict[Any, Any]) -> pl.DataFrame:
    """Return the columns that a file has, under the names and types of the property graph; the
    others null.
    """
    with reading(path) as stream:
        data = stream.read()
    try:
        frame = pl.read_csv(data, infer_schema=False, quote_char='"')
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if str(error):
            reason = str(error).splitlines()[0][:200]
        else:
            reason = "unreadable"
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
