"""Graphs in one CSV, as Neo4j's ``apoc.export.csv`` writes them."""

import csv
import io

from kgrec.data.io.files import FilePath, read_text
from kgrec.data.propertygraph.builder import GraphBuilder, texts_of
from kgrec.data.propertygraph.records import PropertyGraph
from kgrec.errors import FormatError

_COLUMNS = ("_id", "_labels", "_start", "_end", "_type")


def is_apoc_header(line: bytes) -> bool:
    """Return whether a line is the header of such a file.

    >>> is_apoc_header(b'"_id","_labels","title","_start","_end","_type"')
    True
    """
    names = {name.strip().strip('"') for name in line.decode("utf-8", "replace").split(",")}
    return {"_id", "_start", "_end", "_type"} <= names


def read_apoc_csv(path: FilePath) -> PropertyGraph:
    """Return the nodes and edges of a CSV file with both.

    Raises:
        FormatError: If a row is neither.
    """
    built = GraphBuilder(str(path))
    rows = csv.DictReader(io.StringIO(read_text(path)))
    edges = []
    for row in rows:
        if row.get("_start"):
            edges.append(row)
            continue
        if not row.get("_id"):
            raise FormatError(f"{path}:{rows.line_num}: neither _id nor _start. Correct the row.")

        built.add("node", id=row["_id"])
        if row.get("_labels"):
            built.say("node", "labels", row["_labels"])

        _say(built, "node", row)

    for row in edges:
        built.add("edge", start=row["_start"], end=row["_end"])
        built.say("edge", "relation", row.get("_type") or "related")
        _say(built, "edge", row)

    return built.graph()


def _say(built: GraphBuilder, what: str, row: dict[str, str]) -> None:
    for name, cell in row.items():
        if cell and name not in _COLUMNS and name is not None:
            for text, datatype in texts_of(cell):
                built.say(what, name, text, datatype)
