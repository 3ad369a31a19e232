"""The knowledge graph in nodes and edges with properties."""

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import RawTriples
from kgrec.data.propertygraph.records import (
    ENTITY,
    ITEM,
    TRIPLE,
    TYPE,
    VALUE,
    PropertyGraph,
)
from kgrec.errors import FormatError


def joined_ends(graph: PropertyGraph, source: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the nodes with their keys, and the edges with the columns of both ends.

    Raises:
        FormatError: If an id is not of one node alone, or an edge ends nowhere.
    """
    nodes = graph.nodes.with_columns(
        kind=pl.col("kind").fill_null(ENTITY),
        key=pl.coalesce("entity", "name", "id"),
        own=pl.coalesce("name", "id"),
    )
    if nodes["id"].null_count() or nodes["id"].is_duplicated().any():
        raise FormatError(
            f"{source}: {twice_named(nodes['id'])} is no id that one node alone has. Give each node "
            "its own."
        )

    edges = graph.edges.with_columns(
        fact=pl.col("fact").fill_null(TRIPLE),
        relation=pl.coalesce("relation", "label", pl.lit("related")),
    )
    kept = pl.col("id", "kind", "key", "own", "label", "datatype", "language")

    for end in ("start", "end"):
        edges = edges.join(
            nodes.select(kept.name.prefix(f"{end} ")),
            left_on=end,
            right_on=f"{end} id",
            how="left",
            maintain_order="left",
        )
        lost = edges[f"{end} kind"].is_null()
        if lost.any():
            raise FormatError(
                f"{source}: an edge ends at {edges[end].filter(lost)[0]!r:.60}, which is no "
                "node. Add the node."
            )

    return nodes, edges


def twice_named(keys: pl.Series) -> str:
    """Return the first key that occurs twice, for messages."""
    twice = keys.drop_nulls().filter(keys.drop_nulls().is_duplicated())
    if len(twice):
        return repr(str(twice[0])[:60])
    return "none"


def knowledge(nodes: pl.DataFrame, edges: pl.DataFrame, source: str) -> RawTriples:
    """Return the triples, types and literals of what ``joined_ends`` gives.

    Raises:
        FormatError: If two nodes have one key.
    """
    entities = nodes.filter(pl.col("kind").is_in([ITEM, ENTITY]))
    if entities["key"].is_duplicated().any():
        raise FormatError(
            f"{source}: two nodes are entity {twice_named(entities['key'])}. Give them distinct keys."
        )

    ends = pl.col("start kind").is_in([ITEM, ENTITY]) & pl.col("end kind").is_in([ITEM, ENTITY])
    stated = edges.filter((pl.col("fact") == TRIPLE) & ends)
    relations = stated["relation"].unique(maintain_order=True)
    rows = pl.DataFrame({"key": entities["key"]}).with_row_index("row")
    number = {
        name: pl.DataFrame({"key": keys})
        .join(rows, on="key", how="left", maintain_order="left")["row"]
        .cast(pl.Int32)
        for name, keys in (("head", stated["start key"]), ("tail", stated["end key"]))
    }
    files = stated["source"].fill_null(source)
    sources = files.unique(maintain_order=True)
    graphs = stated["graph"].drop_nulls().unique(maintain_order=True)
    named = stated.group_by("relation", maintain_order=True).agg(
        pl.col("label").drop_nulls().first()
    )
    of_relation = _positions(relations, stated["relation"]) + entities.height

    return RawTriples(
        tuple(sources) or (source,),
        pl.concat([entities["key"].rename("key"), relations.rename("key")]),
        number["head"].to_numpy(),
        of_relation.astype(np.int32),
        number["tail"].to_numpy(),
        locator=stated["locator"].fill_null(0).to_numpy(),
        labels=_labels(rows["row"], entities["label"]),
        relation_labels=_labels(
            pl.Series(_positions(relations, named["relation"]) + entities.height),
            named["label"],
        ),
        types=_described(edges.filter(pl.col("fact") == TYPE), rows, type="end key"),
        attributes=_described(
            edges.filter(pl.col("fact") == VALUE),
            rows,
            name="relation",
            value="end label",
            datatype="end datatype",
            language="end language",
        ).with_columns(
            pl.col("value").fill_null(""),
            pl.col("datatype").fill_null(""),
            pl.col("language").fill_null(""),
        ),
        source=_positions(sources, files).astype(np.uint16),
        graph=_positions(graphs, stated["graph"]).astype(np.int32) if len(graphs) else None,
        graphs=graphs.rename("graph"),
    )


def _positions(keys: pl.Series, wanted: pl.Series) -> np.ndarray:
    """Return the position of each wanted key among the keys, -1 where it is null."""
    rows = pl.DataFrame({"key": keys}).with_row_index("row").cast({"row": pl.Int64})
    return (
        pl.DataFrame({"key": wanted})
        .join(rows, on="key", how="left", maintain_order="left")["row"]
        .fill_null(-1)
        .to_numpy()
    )


def _labels(rows: pl.Series, labels: pl.Series) -> pl.DataFrame:
    frame = pl.DataFrame({"term": rows.cast(pl.Int32), "text": labels}).drop_nulls()
    return frame.with_columns(rank=pl.lit(0, dtype=pl.Int32))


def _described(edges: pl.DataFrame, rows: pl.DataFrame, **columns: str) -> pl.DataFrame:
    """Return the columns of edges from entities, under the rows of these."""
    found = edges.join(
        rows, left_on="start key", right_on="key", how="inner", maintain_order="left"
    )
    return found.select(
        term=pl.col("row").cast(pl.Int32),
        **{name: pl.col(column) for name, column in columns.items()},
    )
