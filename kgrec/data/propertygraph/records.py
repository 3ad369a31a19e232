"""Nodes and edges with properties, of any library's or database's making."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from kgrec.data.records.report import Dropped

NODES: dict[Any, Any] = {
    "id": pl.String,
    "kind": pl.String,
    "entity": pl.String,
    "name": pl.String,
    "label": pl.String,
    "datatype": pl.String,
    "language": pl.String,
}
EDGES: dict[Any, Any] = {
    "start": pl.String,
    "end": pl.String,
    "fact": pl.String,
    "relation": pl.String,
    "label": pl.String,
    "part": pl.String,
    "time": pl.Float64,
    "rating": pl.Float32,
    "source": pl.String,
    "locator": pl.Int64,
    "graph": pl.String,
}
USER = "user"
ITEM = "item"
ENTITY = "entity"
CLASS = "class"
LITERAL = "literal"
INTERACTION = "interaction"
USER_FACT = "user fact"
TRIPLE = "triple"
TYPE = "type"
VALUE = "literal"
PROPERTIES: dict[Any, Any] = {
    "row": pl.Int64,
    "name": pl.String,
    "value": pl.String,
    "datatype": pl.String,
}


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema=PROPERTIES)


@dataclass(frozen=True, slots=True)
class PropertyGraph:
    """Nodes and edges.

    Attributes:
        nodes: Columns ``NODES``. ``id`` is the file's own; ``entity`` the key of an item's or
            entity's entity, and of a class; ``name`` the id of a user or an item; ``label`` of a
            literal its text.
        edges: Columns ``EDGES``; ``start`` and ``end`` are nodes' ids.
        of_nodes: Further properties: columns ``PROPERTIES``, the row of the node first.
        of_edges: Likewise of edges.
        dropped: What was left out while reading.
    """

    nodes: pl.DataFrame
    edges: pl.DataFrame
    of_nodes: pl.DataFrame = field(default_factory=_none)
    of_edges: pl.DataFrame = field(default_factory=_none)
    dropped: tuple[Dropped, ...] = ()
