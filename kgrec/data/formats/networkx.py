"""networkx's node-link JSON, as ``networkx.node_link_graph`` reads it."""

import json
from pathlib import Path
from typing import IO

import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import property_graph, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.propertygraph.json_files import read_json_graph
from kgrec.data.records.dataset import Dataset

_FILE = "graph.json"


def recognize(folder: Path) -> bool:
    """Return whether a folder holds node-link JSON."""
    return (folder / _FILE).is_file()


def read(folder: Path) -> DatasetSources:
    """Return the sources in node-link JSON."""
    path = folder / _FILE
    return property_graph.to_sources(read_json_graph(path), folder, str(path))


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``graph.json``: a directed multigraph, one node and one edge a line."""
    graph = property_graph.from_dataset(data)
    edges = graph.edges.rename({"start": "source", "end": "target", "source": "read_from"})

    with open(folder / _FILE, "w", encoding="utf-8", newline="\n") as stream:
        about = json.dumps({"name": data.name})
        stream.write(f'{{"directed": true, "multigraph": true, "graph": {about}, "nodes": [')
        _write(stream, graph.nodes)
        stream.write('\n], "edges": [')
        _write(stream, edges.with_columns(key=pl.int_range(pl.len()).over("source", "target")))
        stream.write("\n]}\n")

    written = Written(
        notes=[
            'networkx.node_link_graph(json.load(open("graph.json")), edges="edges") gives the '
            "graph."
        ]
    )
    writing.lose_links(data, written, described=True)
    return written


def _write(stream: IO[str], frame: pl.DataFrame) -> None:
    """Write rows as objects without their nulls; the first column is never null."""
    separator = "\n"
    for piece in frame.iter_slices(writing.ROWS_AT_ONCE):
        cells = [_cells(column) for column in piece.get_columns()]
        lines = (
            pl.DataFrame(cells)
            .select("{" + pl.concat_str(pl.all(), separator=", ", ignore_nulls=True) + "}")
            .to_series()
        )
        stream.write(separator + ",\n".join(lines))
        separator = ",\n"


def _cells(column: pl.Series) -> pl.Series:
    """Return each value as ``"name": value``, null if there is none."""
    start = f'"{column.name}": '
    if column.dtype != pl.String:
        return (start + column.cast(pl.String)).alias(column.name)

    texts = column.drop_nulls().unique()
    written = pl.Series(
        [start + json.dumps(text, ensure_ascii=False) for text in texts], dtype=pl.String
    )
    known = pl.DataFrame({"text": texts, "written": written})

    return (
        pl.DataFrame({"text": column})
        .join(known, on="text", how="left", maintain_order="left")["written"]
        .alias(column.name)
    )


NETWORKX = Format(
    "networkx",
    "graph.json, node-link data",
    recognize,
    read,
    carries=property_graph.CARRIES,
    write=write,
)
