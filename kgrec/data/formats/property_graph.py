"""Nodes and edges with properties: what GraphML, node-link JSON and Neo4j's CSV share.

Nodes are users, items, entities, classes and literals. Edges are interactions (with their part),
facts about users, triples, types and literals.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.graphs.assemble import assemble
from kgrec.data.propertygraph.knowledge import joined_ends, knowledge
from kgrec.data.propertygraph.records import (
    CLASS,
    EDGES,
    ENTITY,
    INTERACTION,
    ITEM,
    LITERAL,
    NODES,
    TRIPLE,
    TYPE,
    USER,
    USER_FACT,
    VALUE,
    PropertyGraph,
)
from kgrec.data.propertygraph.understand import understood
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.parts import PARTS
from kgrec.data.records.triples import Triples
from kgrec.data.tables.delimited import Table
from kgrec.errors import FormatError

CARRIES = frozenset(
    {
        base.INTERACTIONS,
        base.SPLIT,
        base.TIMES,
        base.RATINGS,
        base.IDLE_ITEMS,
        base.ITEM_LABELS,
        base.TRIPLES,
        base.LINKS,
        base.USER_FACTS,
        base.ENTITY_LABELS,
        base.RELATION_LABELS,
        base.TYPES,
        base.LITERALS,
        base.GRAPHS,
        base.PLACES,
    }
)


def from_dataset(data: Dataset) -> PropertyGraph:
    """Return a dataset's nodes and edges."""
    triples = data.triples
    items = data.num_items
    classes = triples.types["type"].unique(maintain_order=True)
    literals = (
        triples.attributes.select("value", "datatype", "language")
        .unique(maintain_order=True)
        .with_row_index("literal")
    )
    kinds = pl.Series(np.where(np.arange(data.num_entities) < items, ITEM, ENTITY))
    item_ids = pl.Series(
        data.items.series.to_list() + [None] * (data.num_entities - items), dtype=pl.String
    )
    nodes = [
        _table(
            NODES,
            id=_ids("n", data.num_entities),
            kind=kinds,
            entity=triples.entities.series,
            name=item_ids,
            label=triples.labels,
        ),
        _table(
            NODES,
            id=_ids("u", data.num_users),
            kind=same(USER, data.num_users),
            name=data.users.series,
            label=data.user_labels,
        ),
        _table(NODES, id=_ids("c", len(classes)), kind=same(CLASS, len(classes)), entity=classes),
        _table(
            NODES,
            id=_ids("v", literals.height),
            kind=same(LITERAL, literals.height),
            label=literals["value"],
            datatype=literals["datatype"],
            language=literals["language"],
        ),
    ]
    numbers = pl.DataFrame({"type": classes}).with_row_index("class")
    types = triples.types.join(numbers, on="type", how="left", maintain_order="left")
    values = triples.attributes.join(
        literals,
        on=["value", "datatype", "language"],
        how="left",
        maintain_order="left",
        nulls_equal=True,
    )

    edges = [
        *(_interactions(part, rows) for part, rows in base.parts_of(data).items()),
        _facts(data),
        _triples(triples),
        _edges("n", types["entity"], "c", types["class"], fact=same(TYPE, types.height)),
        _edges(
            "n",
            values["entity"],
            "v",
            values["literal"],
            fact=same(VALUE, values.height),
            relation=values["name"],
        ),
    ]

    return PropertyGraph(pl.concat(nodes), pl.concat(edges))


def _ids(letter: str, size: int) -> pl.Series:
    return letter + pl.Series(range(size), dtype=pl.Int64).cast(pl.String)


def same(text: str, size: int) -> pl.Series:
    """Return the same text so many times."""
    return pl.Series([text], dtype=pl.String).new_from_index(0, size)


def _table(schema: dict[str, Any], **columns: pl.Series | None) -> pl.DataFrame:
    """Return a frame with the columns given and nulls in the others."""
    size = next(len(column) for column in columns.values() if column is not None)
    given = {name: column for name, column in columns.items() if column is not None}
    full = (
        given.get(name, pl.Series([None], dtype=kind).new_from_index(0, size))
        .cast(kind)
        .alias(name)
        for name, kind in schema.items()
    )

    return pl.DataFrame(list(full))


def _edges(start: str, head: Any, end: str, tail: Any, **columns: pl.Series | None) -> pl.DataFrame:
    ends = (
        letter + pl.Series(rows).cast(pl.String) for letter, rows in ((start, head), (end, tail))
    )
    first, second = ends
    return _table(EDGES, start=first, end=second, **columns)


def _interactions(part: str, rows: Any) -> pl.DataFrame:
    size = len(rows)
    time = writing.optional(rows.time, size)
    rating = writing.optional(rows.rating, size)

    return _edges(
        "u",
        rows.user,
        "n",
        rows.item,
        fact=same(INTERACTION, size),
        part=same(part, size),
        time=time,
        rating=rating,
    )


def _facts(data: Dataset) -> pl.DataFrame:
    user, relation, entity = (np.ascontiguousarray(column) for column in data.user_facts.T)
    relations = data.triples.relations.series
    labels = data.triples.relation_labels

    return _edges(
        "u",
        user,
        "n",
        entity,
        fact=same(USER_FACT, len(user)),
        relation=writing.at(relations, relation),
        label=writing.at(labels, relation),
    )


def _triples(triples: Triples) -> pl.DataFrame:
    names = pl.Series([*triples.graphs, None], dtype=pl.String)
    graph = None
    if len(triples.graph):
        graph = writing.at(names, np.where(triples.graph < 0, len(names) - 1, triples.graph))

    return _edges(
        "n",
        triples.head,
        "n",
        triples.tail,
        fact=same(TRIPLE, len(triples)),
        relation=writing.at(triples.relations.series, triples.relation),
        label=writing.at(triples.relation_labels, triples.relation),
        source=writing.at(pl.Series(triples.sources, dtype=pl.String), triples.source),
        locator=pl.Series(triples.locator),
        graph=graph,
    )


def to_sources(graph: PropertyGraph, folder: Path, source: str) -> DatasetSources:
    """Return the parts that nodes and edges make.

    Any graph's, also of one that kgrec did not write.

    What nodes and edges of others mean is in ``kgrec.data.propertygraph.understand``.

    Raises:
        FormatError: If an edge's end is no node, or two nodes have one key.
    """
    graph = understood(graph, source)
    nodes, edges = joined_ends(graph, source)
    raw = knowledge(nodes, edges, source)
    kg = assemble([replace(raw, dropped=graph.dropped)])
    logs = _logs(edges, source)
    links = nodes.filter(pl.col("kind") == ITEM).select(item="own", entity="key")
    used = edges.filter(pl.col("fact") == INTERACTION)["end own"].n_unique()
    needed = used < links.height or (links["item"] != links["entity"]).any()
    found: dict[str, Any] = {}
    if needed:
        found["links"] = links

    if needed or len(kg.entities):
        found["kg"] = (kg,)

    if not logs:
        found["held"] = {}

    return DatasetSources(
        **logs,
        **found,
        users=_users(edges, source),
        name=folder.resolve().name,
    )


def _users(edges: pl.DataFrame, source: str) -> Table | None:
    """Return a table of users: a column for each relation of facts about them, of several values
    the first.
    """
    facts = edges.filter(pl.col("fact") == USER_FACT).with_columns(
        value=pl.coalesce("end label", "end key")
    )
    if not facts.height:
        return None

    once = facts.unique(["start own", "relation"], keep="first", maintain_order=True)
    table = once.select(user_id="start own").unique(maintain_order=True)

    for (relation,), facts_of in once.group_by("relation", maintain_order=True):
        if relation != "user_id":
            name = str(relation)
        else:
            name = "user:user_id"
        table = table.join(
            facts_of.select(pl.col("start own").alias("user_id"), pl.col("value").alias(name)),
            on="user_id",
            how="left",
            maintain_order="left",
        )

    return Table(
        source, table, pl.Series("line", range(1, table.height + 1), dtype=pl.Int64), header=True
    )


def _logs(edges: pl.DataFrame, source: str) -> dict[str, Any]:
    """Return the interactions by part, a single log where no edge names a part."""
    rows = edges.filter(pl.col("fact") == INTERACTION)
    if not rows.height:
        return {}

    present = [column for column in ("time", "rating") if rows[column].null_count() < rows.height]
    frame = rows.select(
        "part",
        *(pl.col(column).cast(pl.Float64) for column in present),
        user="start own",
        item="end own",
    )
    if frame["part"].null_count() == frame.height:
        return {"interactions": InteractionLog(frame.drop("part"), (source,))}

    unknown = frame.filter(~pl.col("part").is_in(PARTS).fill_null(False))
    if unknown.height:
        raise FormatError(
            f"{source}: an interaction of part {unknown['part'][0]!r:.60}. Known: "
            f"{', '.join(PARTS)}."
        )

    return {
        part: InteractionLog(frame.filter(pl.col("part") == part).drop("part"), (source,))
        for part in PARTS
    }
