"""networkx's node-link JSON to nodes and edges with properties."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.formats.property_graph import EDGES, NODES, PropertyGraph
from kgrec.data.io.files import read_text
from kgrec.errors import FormatError


def read_nodelink(path: Path) -> PropertyGraph:
    """Return the nodes and edges of a graph as ``networkx.node_link_data`` gives it, its edges
    under "edges" or "links".

    Raises:
        FormatError: If the file is no such JSON, or a property is not of its kind.
    """
    try:
        found = json.loads(read_text(path))
        nodes = found["nodes"]
        if "edges" in found:
            edges = found["edges"]
        else:
            edges = found["links"]
        ends = [
            edge | {"start": edge["source"], "end": edge["target"], "source": edge.get("read_from")}
            for edge in edges
        ]
        return PropertyGraph(_frame(nodes, NODES, ("id",)), _frame(ends, EDGES, ("start", "end")))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path}: not node-link JSON: nodes with an id, edges with source and target. Write "
            "it with networkx."
        ) from None


def _frame(
    rows: list[dict[str, Any]], schema: dict[str, Any], needed: tuple[str, ...]
) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {}
    for name, kind in schema.items():
        cells = [row[name] if name in needed else row.get(name) for row in rows]
        if kind == pl.String:
            columns[name] = [None if cell is None else _text(cell) for cell in cells]
        else:
            number: type[int] | type[float] = int if kind == pl.Int64 else float
            columns[name] = [None if cell is None else number(cell) for cell in cells]
    return pl.DataFrame(columns, schema=schema)


def _text(cell: object) -> str:
    """Return a property as text; a node that is a pair, as ``to_networkx`` makes them, as JSON."""
    if isinstance(cell, str):
        text = cell
    else:
        text = json.dumps(cell)
    text.encode()  # half a surrogate pair is a ValueError
    return text
