"""What nodes and edges that other tools wrote mean: kinds, labels, keys, relations, literals."""

import polars as pl

from kgrec.data.propertygraph.records import (
    CLASS,
    EDGES,
    ENTITY,
    ITEM,
    LITERAL,
    NODES,
    TYPE,
    USER,
    VALUE,
    PropertyGraph,
)
from kgrec.data.records.report import Dropped

_KNOWN = (USER, ITEM, ENTITY, CLASS, LITERAL)
_KINDS = ("labels", "_labels", "type", "node_type", "nodetype", "_type", "labelv")
_KEYS = ("uri", "iri", "entity_iri")
_LABELS = ("title", "node label", "nodelabel", "preflabel", "display_name", "displayname")
_RELATIONS = (
    "type",
    "_type",
    "edge label",
    "edgelabel",
    "labele",
    "interaction",
    "predicate",
    "kind",
    "networkx_key",
    "key",
    "name",
)
_NODE, _ROW = "id", "row"


def understood(graph: PropertyGraph, source: str) -> PropertyGraph:
    """Return a graph as kgrec writes it: kinds of its own are classes, properties literals.

    A kind that kgrec does not know (``kind=Movie``, Neo4j's ``:Movie:Film``) makes an entity of
    that class. The key is the property ``entity``, ``uri`` or ``iri``, else ``name`` where every node has
    one of its own, else the node's id; names and titles are labels. Other properties of nodes
    are literals; those of edges are left out and counted. A graph that kgrec wrote comes back as it
    is.

    Args:
        graph: Nodes and edges as read.
        source: Of the graph, for the report.
    """
    if graph.edges["fact"].null_count() < graph.edges.height:
        return graph

    nodes = graph.nodes
    further = graph.of_nodes.with_columns(plain=pl.col("name").str.to_lowercase())
    classes = _classes(nodes, further)
    nodes = _with_keys(nodes, further)
    nodes = _with_labels(nodes, further)
    spent = (*_KINDS, *_KEYS)
    values = further.filter(~pl.col("plain").is_in(spent)).drop("plain")
    edges, dropped = _with_relations(graph, source)
    more_nodes, more_edges = _described(nodes, classes, values)
    return PropertyGraph(
        pl.concat([nodes, more_nodes]),
        pl.concat([edges, more_edges]),
        dropped=(*graph.dropped, *dropped),
    )


def _classes(nodes: pl.DataFrame, further: pl.DataFrame) -> pl.DataFrame:
    """Return columns ``row`` and ``class``: unknown kinds, and labels of databases."""
    rows = nodes.with_row_index(_ROW).cast({_ROW: pl.Int64})
    kinds = rows.filter(pl.col("kind").is_not_null() & ~pl.col("kind").is_in(_KNOWN))
    stated = further.filter(pl.col("plain").is_in(_KINDS)).select(_ROW, kind="value")
    every = pl.concat([kinds.select(_ROW, "kind"), stated])
    split = every.with_columns(pl.col("kind").str.strip_chars(" :[]").str.split(":"))
    names = split.explode("kind").select(
        _ROW, pl.col("kind").str.strip_chars(" \"'").alias("class")
    )
    return names.filter(pl.col("class") != "").unique(maintain_order=True)


def _of(further: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    """Return columns ``row`` and ``value``: the first of these properties that a node has."""
    rank = {name: number for number, name in enumerate(names)}
    found = further.filter(pl.col("plain").is_in(names)).with_columns(
        rank=pl.col("plain").replace_strict(rank, return_dtype=pl.Int64)
    )
    return found.sort("rank", maintain_order=True).unique(_ROW, keep="first").select(_ROW, "value")


def _with_keys(nodes: pl.DataFrame, further: pl.DataFrame) -> pl.DataFrame:
    """Return nodes whose ``entity`` is a key of their own; unknown kinds are entities."""
    kind = pl.when(pl.col("kind").is_in(_KNOWN)).then("kind").otherwise(pl.lit(ENTITY))
    rows = nodes.with_columns(kind=kind).with_row_index(_ROW).cast({_ROW: pl.Int64})
    rows = rows.join(_of(further, _KEYS), on=_ROW, how="left", maintain_order="left")
    keyed = rows.with_columns(entity=pl.coalesce("entity", "value"))
    entities = pl.col("kind").is_in([ENTITY, ITEM])
    plain = keyed.filter(entities & pl.col("entity").is_null())
    taken = pl.concat([plain["name"], keyed["entity"].drop_nulls()])
    if not plain["name"].null_count() and not taken.is_duplicated().any():
        return _named_once(keyed)

    # Names that are not a node's own are labels, and ids the keys.
    own = entities & pl.col("entity").is_null() & (pl.col("kind") != ITEM)
    labeled = keyed.with_columns(
        entity=pl.when(own).then("id").otherwise("entity"),
        label=pl.when(own).then(pl.coalesce("label", "name")).otherwise("label"),
    )
    return _named_once(labeled)


def _named_once(nodes: pl.DataFrame) -> pl.DataFrame:
    """Return nodes of entities whose names are labels where these are not their keys."""
    key = pl.coalesce("entity", "name", "id")
    own = pl.when(pl.col("label") != key).then("label")
    name = pl.when((pl.col("kind") == ENTITY) & (pl.col("name") != key)).then("name")
    return nodes.with_columns(label=pl.coalesce(own, name)).select(*NODES)


def _with_labels(nodes: pl.DataFrame, further: pl.DataFrame) -> pl.DataFrame:
    rows = nodes.with_row_index(_ROW).cast({_ROW: pl.Int64})
    rows = rows.join(_of(further, _LABELS), on=_ROW, how="left", maintain_order="left")
    label = pl.when(pl.col("value") != pl.coalesce("entity", "name", "id")).then("value")
    return rows.with_columns(label=pl.coalesce("label", label)).select(*NODES)


def _with_relations(graph: PropertyGraph, source: str) -> tuple[pl.DataFrame, list[Dropped]]:
    """Return the edges with their relations, and which properties of edges are not read."""
    edges = graph.edges.with_row_index(_ROW).cast({_ROW: pl.Int64})
    further = graph.of_edges.with_columns(plain=pl.col("name").str.to_lowercase())
    keys = further.filter(pl.col("plain") == "key")["value"]
    numbered = bool(keys.str.contains(r"^\D{0,2}\d+$").all())
    numbered = numbered or (len(keys) > _FEW and not keys.is_duplicated().any())
    names = tuple(name for name in _RELATIONS if not (name == "key" and numbered))
    drawn = further.filter(~((pl.col("plain") == "type") & pl.col("value").is_in(_DRAWN)))
    named = edges.join(_of(drawn, names), on=_ROW, how="left", maintain_order="left")
    relation = pl.coalesce("relation", "label", "value", pl.lit("related"))
    known = named.with_columns(
        relation=relation.str.strip_prefix(":"),
        label=pl.when(pl.col("relation").is_null()).then(None).otherwise("label"),
    )
    unread = further.filter(~pl.col("plain").is_in((*names, "key", "id", "type")))
    lost = unread.group_by("name", maintain_order=True).len()
    dropped = [
        Dropped("properties of edges", f"{name} of {source}: only their relation is read", count)
        for name, count in lost.iter_rows()
    ]
    return known.select(*EDGES), dropped


_FEW = 20  # of so many edges with different keys, these are no relations
_DRAWN = ("directed", "undirected", "Directed", "Undirected", "mutual")


def _described(
    nodes: pl.DataFrame, classes: pl.DataFrame, values: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the nodes of classes and literals, and the edges to them."""
    ids = nodes[_NODE]
    class_names = classes["class"].unique(maintain_order=True)
    literals = values.select("value", "datatype").unique(maintain_order=True)
    literals = literals.with_row_index("number")
    of_class = "class\0" + class_names
    of_literal = "literal\0" + literals["number"].cast(pl.String)
    made = [
        _filled(NODES, id=of_class, kind=_same(CLASS, of_class), entity=class_names),
        _filled(
            NODES,
            id=of_literal,
            kind=_same(LITERAL, of_literal),
            label=literals["value"],
            datatype=literals["datatype"],
        ),
    ]
    numbers = values.join(literals, on=["value", "datatype"], how="left", maintain_order="left")
    heads = ids.gather(numbers[_ROW])
    types = ids.gather(classes[_ROW])
    edges = [
        _filled(EDGES, start=types, end="class\0" + classes["class"], fact=_same(TYPE, types)),
        _filled(
            EDGES,
            start=heads,
            end="literal\0" + numbers["number"].cast(pl.String),
            fact=_same(VALUE, heads),
            relation=numbers["name"],
        ),
    ]
    return pl.concat(made), pl.concat(edges)


def _same(text: str, like: pl.Series) -> pl.Series:
    return pl.Series([text], dtype=pl.String).new_from_index(0, len(like))


def _filled(schema: dict[object, object], **columns: pl.Series) -> pl.DataFrame:
    size = len(next(iter(columns.values())))
    full = [
        columns.get(str(name), pl.Series([None], dtype=pl.String).new_from_index(0, size))
        .alias(str(name))
        .cast(kind)  # type: ignore[arg-type]
        for name, kind in schema.items()
    ]
    return pl.DataFrame(full)
