r"""GraphML: one directed graph with typed properties.

Document type declarations, which could name other files or grow without end, are refused.

XML has no way to hold most control characters. Where a text has one, every text of the file is
written as JSON writes it (its backslashes doubled, the character as ``\u0001``), and the graph's
property ``escaped`` says so.
"""

import re
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import property_graph, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.id_lists import escaped, unescaped
from kgrec.data.formats.property_graph import EDGES, NODES, PropertyGraph
from kgrec.data.io.files import reading
from kgrec.data.records.dataset import Dataset
from kgrec.errors import FormatError

_READ_FROM = "read_from"  # the property of an edge that holds its source: GraphML has one already
_PIECE = 1 << 20
_FREE = ("id", "start", "end", "kind", "fact", "part", "time", "rating", "locator")
_TYPES = {pl.String: "string", pl.Float64: "double", pl.Float32: "float", pl.Int64: "long"}
_UNHOLDABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_START = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
"""


def recognize(folder: Path) -> bool:
    """Return whether a folder holds one GraphML file."""
    return len(list(folder.glob("*.graphml"))) == 1


def read(folder: Path) -> DatasetSources:
    """Return the sources in a folder of one GraphML file."""
    path = next(folder.glob("*.graphml"))
    return property_graph.to_sources(read_graphml(path), folder, str(path))


def read_graphml(path: Path) -> PropertyGraph:
    """Return the nodes and edges of a GraphML file.

    Of its properties those that ``NODES`` and ``EDGES`` name.

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
        owner = self._open[-1] if self._open else ""
        self._column = None
        if owner == "graph" and column == "escaped":
            self._escaped = text == "true"

        if owner == "edge" and column == _READ_FROM:
            column = "source"

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


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``graph.graphml``."""
    written = Written()
    graph = property_graph.from_dataset(data)
    nodes = graph.nodes
    edges = graph.edges.rename({"source": _READ_FROM})
    writing.lose_links(data, written, described=True)
    escape = any(_UNHOLDABLE.search(text) for frame in (nodes, edges) for text in _texts(frame))
    if escape:
        nodes = _escaped(nodes)
        edges = _escaped(edges)
        written.notes.append(
            "Some texts have characters that XML cannot hold: all texts are written as JSON "
            "writes them, backslashes doubled."
        )

    with open(folder / "graph.graphml", "w", encoding="utf-8", newline="\n") as stream:
        stream.write(_START)
        stream.write('  <key id="escaped" for="graph" attr.name="escaped" attr.type="boolean"/>\n')

        for what, schema, skipped in (("node", NODES, ("id",)), ("edge", EDGES, ("start", "end"))):
            for column, kind in schema.items():
                if column not in skipped:
                    name = _READ_FROM if column == "source" else column
                    stream.write(
                        f'  <key id="{what}_{name}" for="{what}" attr.name="{name}" '
                        f'attr.type="{_TYPES[kind]}"/>\n'
                    )

        stream.write(
            '  <graph edgedefault="directed">\n'
            f'    <data key="escaped">{str(escape).lower()}</data>\n'
        )
        _write(stream, nodes, "node", pl.format('    <node id="{}">', "id"), ("id",))
        _write(
            stream,
            edges,
            "edge",
            pl.format('    <edge source="{}" target="{}">', "start", "end"),
            ("start", "end"),
        )
        stream.write("  </graph>\n</graphml>\n")

    return written


def _texts(frame: pl.DataFrame) -> list[str]:
    """Return the texts that may have any character, each once."""
    return [
        text
        for column in frame.columns
        if frame.schema[column] == pl.String
        for text in frame[column].drop_nulls().unique()
    ]


def _escaped(frame: pl.DataFrame) -> pl.DataFrame:
    texts = pl.col(pl.String).exclude("id", "start", "end", "kind", "fact", "part")
    return frame.with_columns(texts.map_elements(escaped, return_dtype=pl.String))


def _write(
    stream: IO[str], frame: pl.DataFrame, what: str, opening: pl.Expr, skipped: tuple[str, ...]
) -> None:
    parts = [opening]
    for column, kind in frame.schema.items():
        if column in skipped:
            continue

        cell = pl.col(column).cast(pl.String)
        if kind == pl.String:
            cell = cell.str.replace_all("&", "&amp;", literal=True).str.replace_all(
                "<", "&lt;", literal=True
            )
            cell = cell.str.replace_all(">", "&gt;", literal=True).str.replace_all(
                "\r", "&#13;", literal=True
            )

        data = pl.format(f'<data key="{what}_{column}">{{}}</data>', cell)
        parts.append(pl.when(pl.col(column).is_null()).then(pl.lit("")).otherwise(data))

    for piece in frame.iter_slices(writing.ROWS_AT_ONCE):
        lines = piece.select(pl.concat_str([*parts, pl.lit(f"</{what}>")])).to_series()
        stream.write("\n".join(lines) + "\n")


GRAPHML = Format(
    "graphml",
    "one .graphml file",
    recognize,
    read,
    carries=property_graph.CARRIES,
    write=write,
)
