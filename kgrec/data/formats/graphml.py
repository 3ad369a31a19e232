r"""GraphML: one directed graph with typed properties.

Document type declarations, which could name other files or grow without end, are refused.

XML has no way to hold most control characters. Where a text has one, every text of the file is
written as JSON writes it (its backslashes doubled, the character as ``\u0001``), and the graph's
property ``escaped`` says so.
"""

import re
from pathlib import Path
from typing import IO

import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import property_graph, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.propertygraph.records import EDGES, NODES
from kgrec.data.propertygraph.xml_files import read_xml_graph
from kgrec.data.records.dataset import Dataset
from kgrec.data.tables.json_texts import escaped

_READ_FROM = "read_from"  # the property of an edge that holds its source: GraphML has one already
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
    return property_graph.to_sources(read_xml_graph(path), folder, str(path))


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
