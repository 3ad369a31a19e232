"""Node-link JSON, as ``networkx.node_link_graph`` reads it."""

import json
from pathlib import Path
from typing import IO

import polars as pl

from kgrec.data.formats import property_graph
from kgrec.data.records.dataset import Dataset
from kgrec.data.writers import base
from kgrec.data.writers.base import Format, Written


def write(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``graph.json``: a directed multigraph, one node and one edge a line."""
    graph = property_graph.from_dataset(data)
    edges = graph.edges.rename({"start": "source", "end": "target", "source": "read_from"})
    with open(folder / "graph.json", "w", encoding="utf-8", newline="\n") as stream:
        about = json.dumps({"name": data.name})
        stream.write(f'{{"directed": true, "multigraph": true, "graph": {about}, "nodes": [')
        _write(stream, graph.nodes)
        stream.write('\n], "edges": [')
        _write(stream, edges.with_columns(key=pl.int_range(pl.len()).over("source", "target")))
        stream.write("\n]}\n")
    written = Written(
        notes=[
            'networkx.node_link_graph(json.load(open("graph.json")), edges="edges") gives the graph.'
        ]
    )
    base.lose_links(data, written, described=True)
    return written


def _write(stream: IO[str], frame: pl.DataFrame) -> None:
    """Write rows as objects without their nulls; the first column is never null."""
    first = True
    for piece in frame.iter_slices(base.ROWS_AT_ONCE):
        cells = [_cells(column) for column in piece.get_columns()]
        lines = (
            pl.DataFrame(cells)
            .select("{" + pl.concat_str(pl.all(), separator=", ", ignore_nulls=True) + "}")
            .to_series()
        )
        stream.write(("\n" if first else ",\n") + ",\n".join(lines))
        first = False


def _cells(column: pl.Series) -> pl.Series:
    """Return each value as ``"name": value``, null where there is none."""
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


NETWORKX = Format("graph.json (node-link data)", property_graph.CARRIES, write)
