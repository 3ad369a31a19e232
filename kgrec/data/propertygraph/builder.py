"""Collect nodes and edges while a file is read."""

import json
from collections.abc import Callable
from typing import Any

import polars as pl

from kgrec.data.propertygraph.records import EDGES, NODES, PROPERTIES, PropertyGraph
from kgrec.data.records.report import Dropped
from kgrec.errors import FormatError

XSD = "http://www.w3.org/2001/XMLSchema#"

_SCHEMAS = {"node": NODES, "edge": EDGES}
_ENDS = ("id", "start", "end")
# What columns mean in files that kgrec wrote, and are properties like others elsewhere.
_OWN = {
    "node": ("datatype", "language"),
    "edge": ("part", "time", "rating", "source", "locator", "graph"),
}


class GraphBuilder:
    """Nodes and edges with properties, one after another.

    Args:
        name: Of the source, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows: dict[str, dict[str, list[str | None]]] = {
            what: {column: [] for column in schema} for what, schema in _SCHEMAS.items()
        }
        self._further: dict[str, list[tuple[int, str, str, str]]] = {"node": [], "edge": []}
        self._lost: dict[tuple[str, str], int] = {}

    def add(self, what: str, **columns: str | None) -> None:
        """Begin a "node" (``id``) or an "edge" (``start``, ``end``)."""
        for column, cells in self._rows[what].items():
            cells.append(columns.get(column))

    def say(self, what: str, name: str, text: str, datatype: str = "") -> None:
        """Give the last node or edge a property; of one that it has, a further value."""
        cells = self._rows[what].get(name)
        if cells is not None and name not in _ENDS and cells[-1] is None:
            cells[-1] = text
        elif name and (cells is None or cells[-1] != text):
            row = len(self._rows[what]["kind" if what == "node" else "fact"]) - 1
            self._further[what].append((row, name, text, datatype))

    def lose(self, what: str, why: str) -> None:
        """Count something that is not read."""
        self._lost[what, why] = self._lost.get((what, why), 0) + 1

    def graph(self, decoded: Callable[[str], str] | None = None) -> PropertyGraph:
        """Return what was collected.

        Args:
            decoded: What becomes of texts of a file that kgrec wrote, as they are where None.

        Raises:
            FormatError: If a property of a file that kgrec wrote is no number and should be one.
        """
        own = any(fact is not None for fact in self._rows["edge"]["fact"])
        if not own:
            self._move_own_columns()

        frames = []
        for what, schema in _SCHEMAS.items():
            frame = pl.DataFrame(self._rows[what], schema=dict.fromkeys(schema, pl.String))
            if decoded is not None:
                texts = pl.col(pl.String).exclude(*_ENDS, "kind", "fact", *_OWN["edge"][:3])
                texts = texts.exclude("locator") if what == "edge" else texts
                frame = frame.with_columns(texts.map_elements(decoded, return_dtype=pl.String))

            try:
                frames.append(frame.cast(schema))
            except pl.exceptions.PolarsError:
                numbers = ", ".join(column for column, kind in schema.items() if kind != pl.String)
                raise FormatError(
                    f"{self._name}: {what} with a property of {numbers} that is no number. "
                    "Correct it."
                ) from None

        of_nodes, of_edges = (
            pl.DataFrame(self._further[what], schema=PROPERTIES, orient="row")
            for what in ("node", "edge")
        )
        dropped = tuple(
            Dropped(what, f"{why}, in {self._name}", count)
            for (what, why), count in self._lost.items()
        )
        nodes, edges = frames
        return PropertyGraph(nodes, edges, of_nodes, of_edges, dropped)

    def _move_own_columns(self) -> None:
        for what, names in _OWN.items():
            for name in names:
                cells = self._rows[what][name]
                for row, text in enumerate(cells):
                    if text is not None:
                        self._further[what].append((row, name, text, ""))
                        cells[row] = None

            self._further[what].sort(key=lambda one: one[0])


def texts_of(value: Any) -> list[tuple[str, str]]:
    """Return a value of JSON as texts with their datatypes, a list as several."""
    if value is None:
        return []
    if isinstance(value, list):
        return [one for part in value for one in texts_of(part)]
    if isinstance(value, str):
        value.encode()  # half a surrogate pair is a ValueError
        return [(value, "")]
    if isinstance(value, bool):
        return [(str(value).lower(), f"{XSD}boolean")]
    if isinstance(value, int):
        return [(str(value), f"{XSD}integer")]
    if isinstance(value, float):
        return [(repr(value), f"{XSD}double")]

    return [(json.dumps(value), "")]
