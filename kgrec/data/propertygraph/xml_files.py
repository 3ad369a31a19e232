"""GraphML and GEXF, streamed: networkx, Gephi, yEd, Neo4j's APOC.

Document type declarations, which could name other files or grow without end, are refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.parsers import expat

from kgrec.data.io.compression import Limits
from kgrec.data.io.files import FilePath, reading
from kgrec.data.propertygraph.builder import XSD, GraphBuilder
from kgrec.data.propertygraph.records import PropertyGraph
from kgrec.data.tables.json_texts import unescaped
from kgrec.errors import FormatError

_READ_FROM = "read_from"  # the property of an edge that holds its source: GraphML has one already
_PIECE = 1 << 20
_DATATYPES = {
    "int": "integer",
    "integer": "integer",
    "long": "integer",
    "float": "double",
    "double": "double",
    "boolean": "boolean",
}


def read_xml_graph(path: FilePath, limits: Limits | None = None) -> PropertyGraph:
    """Return the nodes and edges of a GraphML or GEXF file.

    Raises:
        FormatError: If the file is neither, or has a document type declaration.
    """
    reader = _Reader(str(path))
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.declaration
    reader.line = lambda: parser.CurrentLineNumber

    with reading(Path(path), limits or Limits()) as stream:
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
        self._built = GraphBuilder(name)
        self._keys: dict[tuple[str, str], tuple[str, str]] = {}
        self._defaults: dict[str, dict[str, str]] = {"node": {}, "edge": {}}
        self._said: set[str] = set()
        self._open: list[str] = []
        self._owner = ""
        self._key: tuple[str, str] | None = None
        self._class = ""  # of the attributes that GEXF declares
        self._text: list[str] = []
        self._collecting = False
        self._escaped = False
        self.line: Callable[[], int] = lambda: 0

    def declaration(self, *_: object) -> None:
        """Refuse a document type declaration."""
        raise self._wrong(
            "a document type declaration, which kgrec does not read here. Take it out"
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        name = tag.rpartition(" ")[2]
        if not self._open and name not in ("graphml", "gexf"):
            raise self._wrong(
                f"the first element is {name[:40]!r} and not graphml. Give a GraphML file"
            )

        take = getattr(self, f"_start_{name}", None)
        if take is not None:
            take(attributes)

        self._open.append(name)

    def _start_key(self, given: dict[str, str]) -> None:
        if "id" in given:
            name = given.get("attr.name", given["id"])
            for what in ("node", "edge", "graph"):
                if given.get("for", what) in (what, "all"):
                    self._keys[what, given["id"]] = (name, given.get("attr.type", ""))
            self._key = (given.get("for", "all"), name)

    def _start_attributes(self, given: dict[str, str]) -> None:
        self._class = given.get("class", "node")

    def _start_attribute(self, given: dict[str, str]) -> None:
        if "id" in given:
            name = given.get("title", given["id"])
            self._keys[self._class, given["id"]] = (name, given.get("type", ""))
            self._key = (self._class, name)

    def _start_node(self, given: dict[str, str]) -> None:
        self._begin("node", given, id=given.get("id"))

    def _start_edge(self, given: dict[str, str]) -> None:
        self._begin("edge", given, start=given.get("source"), end=given.get("target"))

    def _start_hyperedge(self, given: dict[str, str]) -> None:
        self._built.lose("hyperedges", "edges of more than two ends are not read")
        self._owner = "hyperedge"

    def _start_attvalue(self, given: dict[str, str]) -> None:
        key = given.get("for", given.get("id", ""))
        self._say(key, given.get("value", ""))

    def _start_data(self, given: dict[str, str]) -> None:
        self._key = (self._owner or "graph", given.get("key", ""))
        self._begin_text()

    def _start_default(self, given: dict[str, str]) -> None:
        self._begin_text()

    def _start_NodeLabel(self, given: dict[str, str]) -> None:  # noqa: N802 - yEd's element
        self._begin_text()

    _start_EdgeLabel = _start_NodeLabel  # noqa: N815 - yEd's element

    def _begin_text(self) -> None:
        self._collecting = True
        self._text = []

    def _begin(self, what: str, given: dict[str, str], **columns: str | None) -> None:
        if None in columns.values():
            raise self._wrong(
                f"{'a node' if what == 'node' else 'an edge'} without {' or '.join(columns)}. "
                "Give it one"
            )

        self._built.add(what, **columns)
        self._owner = what
        self._said = set()
        skipped = (
            "id",
            "source",
            "target",
            "directed",
            "parse.indegree",
            "parse.outdegree",
            "parse.order",
        )
        for name, value in given.items():
            if name not in skipped and " " not in name:
                self._built.say(what, name, value)

        if what == "edge" and "id" in given:
            self._built.say(what, "key", given["id"])

    def text(self, piece: str) -> None:
        """Take text."""
        if self._collecting:
            self._text.append(piece)

    def end(self, tag: str) -> None:
        """End an element."""
        name = self._open.pop()
        if name in ("data", "default", "NodeLabel", "EdgeLabel") and self._collecting:
            self._end_text(name, "".join(self._text))
        elif name in ("node", "edge", "hyperedge"):
            self._end_owner(name)

    def _end_text(self, name: str, text: str) -> None:
        self._collecting = False
        if name == "default":
            if self._key is not None and self._key[0] in self._defaults:
                self._defaults[self._key[0]][self._key[1]] = text.strip()
        elif name in ("NodeLabel", "EdgeLabel"):
            if text.strip() and self._owner in self._defaults:
                self._built.say(self._owner, "label", text.strip())
        elif self._key is not None:
            if "node" in self._open or "edge" in self._open:
                self._say(self._key[1], text)
            elif self._named(self._key[1], "graph")[0] == "escaped":
                self._escaped = text == "true"

    def _end_owner(self, name: str) -> None:
        for column, text in self._defaults.get(name, {}).items():
            if column not in self._said:
                self._built.say(name, column, text)

        self._owner = ""

    def _named(self, key: str, owner: str) -> tuple[str, str]:
        return self._keys.get((owner, key), ("", ""))

    def _say(self, key: str, text: str) -> None:
        """Give the open node or edge a property by its key."""
        if self._owner not in self._defaults:
            return

        column, kind = self._named(key, self._owner)
        if self._owner == "edge" and column == _READ_FROM:
            column = "source"

        self._said.add(column)
        datatype = _DATATYPES.get(kind, "")
        if column:
            self._built.say(self._owner, column, text, f"{XSD}{datatype}" if datatype else "")

    def _wrong(self, what: str) -> FormatError:
        return FormatError(f"{self._name}:{self.line()}: {what}.")

    def graph(self) -> PropertyGraph:
        """Return what was read."""
        return self._built.graph(self._unescaped if self._escaped else None)

    def _unescaped(self, text: str) -> Any:
        try:
            return unescaped(text)
        except ValueError:
            raise FormatError(
                f"{self._name}: {text[:40]!r} is not as JSON writes texts, which the file says "
                "it is. Correct it."
            ) from None
