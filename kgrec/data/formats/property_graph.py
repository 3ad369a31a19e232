"""Nodes and edges with properties: what GraphML, node-link JSON and Neo4j's CSV share.

Nodes are users, items, entities, classes and literals. Edges are interactions (with their part),
facts about users, triples, types and literals.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.graphs.assemble import RawTriples, assemble
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.parts import PARTS
from kgrec.data.records.triples import Triples
from kgrec.data.tables.delimited import Table
from kgrec.errors import FormatError

NODES: dict[Any, Any] = {
    "id": pl.String,
    "kind": pl.String,
    "entity": pl.String,
    "name": pl.String,
    "label": pl.String,
    "datatype": pl.String,
    "language": pl.String,
}
EDGES: dict[Any, Any] = {
    "start": pl.String,
    "end": pl.String,
    "fact": pl.String,
    "relation": pl.String,
    "label": pl.String,
    "part": pl.String,
    "time": pl.Float64,
    "rating": pl.Float32,
    "source": pl.String,
    "locator": pl.Int64,
    "graph": pl.String,
}
USER = "user"
ITEM = "item"
ENTITY = "entity"
CLASS = "class"
LITERAL = "literal"
INTERACTION = "interaction"
USER_FACT = "user fact"
TRIPLE = "triple"
TYPE = "type"
VALUE = "literal"
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


@dataclass(frozen=True, slots=True)
class PropertyGraph:
    """Nodes and edges.

    Attributes:
        nodes: Columns ``NODES``. ``id`` is the file's own; ``entity`` the key of an item's or
            entity's entity, and of a class; ``name`` the id of a user or an item; ``label`` of a
            literal its text.
        edges: Columns ``EDGES``; ``start`` and ``end`` are nodes' ids.
    """

    nodes: pl.DataFrame
    edges: pl.DataFrame


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

    A node without a kind is an entity; its key is its property ``entity``, else ``name``, else its
    id. An edge without ``fact`` is a triple; its relation the property ``relation``, else
    ``label``, else "related".

    Raises:
        FormatError: If an edge's end is no node, or two nodes have one key.
    """
    nodes = graph.nodes.with_columns(
        kind=pl.col("kind").fill_null(ENTITY),
        key=pl.coalesce("entity", "name", "id"),
        own=pl.coalesce("name", "id"),
    )
    if nodes["id"].null_count() or nodes["id"].is_duplicated().any():
        raise FormatError(
            f"{source}: {_twice(nodes['id'])} is no id that one node alone has. Give each node "
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

    kg = _knowledge(nodes, edges, source)
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


def _twice(keys: pl.Series) -> str:
    """Return the first key that occurs twice, for messages."""
    twice = keys.drop_nulls().filter(keys.drop_nulls().is_duplicated())
    if len(twice):
        return repr(str(twice[0])[:60])
    return "none"


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


def _knowledge(nodes: pl.DataFrame, edges: pl.DataFrame, source: str) -> Triples:
    entities = nodes.filter(pl.col("kind").is_in([ITEM, ENTITY]))
    if entities["key"].is_duplicated().any():
        raise FormatError(
            f"{source}: two nodes are entity {_twice(entities['key'])}. Give them distinct keys."
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

    return assemble(
        [
            RawTriples(
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
        ]
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
