"""GraphML to nodes and edges with properties. Declarations that could name other files or grow
without end are refused.
"""

from pathlib import Path
from typing import Any
from xml.parsers import expat

import polars as pl

from kgrec.data.formats.id_lists import unescaped
from kgrec.data.formats.property_graph import EDGES, NODES, PropertyGraph
from kgrec.data.io.files import reading
from kgrec.errors import FormatError

_PIECE = 1 << 20
_FREE = ("id", "start", "end", "kind", "fact", "part", "time", "rating", "locator")


def read_graphml(path: Path) -> PropertyGraph:
    """Return the nodes and edges of a GraphML file; of its properties those that ``NODES`` and
    ``EDGES`` name.

    Raises:
        FormatError: If the file is not GraphML, or has a document type declaration.
    """
    reader = _Reader(str(path))
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.declaration
    reader.line = lambda: parser.CurrentLineNumber
    with reading(path) as stream:
        try:
            for piece in iter(lambda: stream.read(_PIECE), b""):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise FormatError(
                f"{path}:{error.lineno}: not well-formed XML: {expat.ErrorString(error.code)}. "
                "Correct it."
            ) from None
    return reader.graph()


class _Reader:
    """Collects nodes and edges while the parser goes over the file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._keys: dict[str, str] = {}
        self._rows: dict[str, dict[str, list[str | None]]] = {
            "node": {c: [] for c in NODES},
            "edge": {c: [] for c in EDGES},
        }
        self._count = {"node": 0, "edge": 0}
        self._open: list[str] = []
        self._column: str | None = None
        self._text: list[str] = []
        self._escaped = False
        self.line: Any = lambda: 0

    def declaration(self, *_: object) -> None:
        """Refuse a document type declaration."""
        raise self._wrong(
            "a document type declaration, which kgrec does not read here. Take it out"
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        name = tag.rpartition(" ")[2]
        if not self._open and name != "graphml":
            raise self._wrong(
                f"the first element is {name[:40]!r} and not graphml. Give a GraphML file"
            )
        if name == "key" and "id" in attributes:
            self._keys[attributes["id"]] = attributes.get("attr.name", attributes["id"])
        elif name == "node":
            self._begin("node", id=attributes.get("id"))
        elif name == "edge":
            self._begin("edge", start=attributes.get("source"), end=attributes.get("target"))
        elif name == "data":
            self._column = self._keys.get(attributes.get("key", ""), "")
            self._text = []
        self._open.append(name)

    def _begin(self, what: str, **columns: str | None) -> None:
        if None in columns.values():
            raise self._wrong(
                f"{'a node' if what == 'node' else 'an edge'} without {' or '.join(columns)}. "
                "Give it one"
            )
        for column, cells in self._rows[what].items():
            cells.append(columns.get(column))
        self._count[what] += 1

    def text(self, piece: str) -> None:
        """Take text."""
        if self._column is not None:
            self._text.append(piece)

    def end(self, tag: str) -> None:
        """End an element."""
        self._open.pop()
        if tag.rpartition(" ")[2] != "data" or self._column is None:
            return
        column = self._column
        text = "".join(self._text)
        if self._open:
            owner = self._open[-1]
        else:
            owner = ""
        self._column = None
        if owner == "graph" and column == "escaped":
            self._escaped = text == "true"
        if owner == "edge" and column == "read_from":
            column = "source"
        else:
            column = column
        cells = self._rows.get(owner, {}).get(column)
        if cells is not None and column not in ("id", "start", "end"):
            cells[-1] = text

    def _wrong(self, what: str) -> FormatError:
        return FormatError(f"{self._name}:{self.line()}: {what}.")

    def graph(self) -> PropertyGraph:
        """Return what was read."""
        frames = []
        for what, schema in (("node", NODES), ("edge", EDGES)):
            frame = pl.DataFrame(self._rows[what], schema=dict.fromkeys(schema, pl.String))
            if self._escaped:
                frame = frame.with_columns(
                    pl.col(pl.String)
                    .exclude(_FREE)
                    .map_elements(self._unescaped, return_dtype=pl.String)
                )
            try:
                frames.append(frame.cast(schema))
            except pl.exceptions.PolarsError:
                numbers = ", ".join(column for column, kind in schema.items() if kind != pl.String)
                raise FormatError(
                    f"{self._name}: {what} with a property of {numbers} that is no number. "
                    "Correct it."
                ) from None
        return PropertyGraph(*frames)

    def _unescaped(self, text: str) -> str:
        try:
            return unescaped(text)
        except ValueError:
            raise FormatError(
                f"{self._name}: {text[:40]!r} is not as JSON writes texts, which the file says "
                "it is. Correct it."
            ) from None
