"""Graphs as JSON: networkx' node-link data, Cytoscape, graphology, and Neo4j's APOC."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kgrec.data.io.files import FilePath, read_text
from kgrec.data.propertygraph.builder import GraphBuilder, texts_of
from kgrec.data.propertygraph.records import PropertyGraph
from kgrec.errors import FormatError

_IDS = ("id", "key", "name")


def read_json_graph(path: FilePath) -> PropertyGraph:
    """Return the nodes and edges of a graph in JSON.

    Node-link data as ``networkx.node_link_data`` gives it (edges under "edges" or "links"),
    Cytoscape's elements, graphology's nodes and edges with ``attributes``, the JSON Graph Format,
    and what Neo4j's ``apoc.export.json`` writes: a node or relationship on each line, or in one
    array.

    Raises:
        FormatError: If the file is no such JSON, or a property is not of its kind.
    """
    built = GraphBuilder(str(path))
    try:
        _fill(built, _documents(read_text(path)), str(path))
        return built.graph()
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path}: not node-link JSON: nodes with an id, edges with source and target. Write "
            "it with networkx."
        ) from None


def _documents(text: str) -> Any:
    """Return what the text holds: a document, or a list of those on its lines."""
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.split("\n") if line.strip()]
        return [json.loads(line) for line in lines]


def _fill(built: GraphBuilder, found: Any, name: str) -> None:
    if isinstance(found, list):
        if not found:
            raise ValueError("no node")

        _fill_apoc(built, found)
        return

    if "graph" in found or "graphs" in found:
        found = _of_graph_format(found, name)

    graph = found.get("elements", found)
    for node in graph["nodes"]:
        own = _flat(node)
        built.add("node", id=_text(_named(own, _IDS)))
        _say(built, "node", own, ("id",))

    edges = [_flat(edge) for edge in graph["edges" if "edges" in graph else "links"]]
    _name_ends(edges, [_named(_flat(node), _IDS) for node in graph["nodes"]])
    for own in edges:
        built.add("edge", start=_text(own["source"]), end=_text(own["target"]))
        if "read_from" in own:
            own["source"] = own.pop("read_from")
            _say(built, "edge", own, ("target",))
        else:
            _say(built, "edge", own, ("source", "target"))


def _of_graph_format(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the nodes and edges of the JSON Graph Format, one graph or several in a file, as
    node-link data; other data as they are.

    Nodes are an object by id (version 2) or a list (version 1); what they hold is ``metadata``.
    """
    graphs = found["graphs"] if "graphs" in found else [found["graph"]]
    if "nodes" in found or not all(isinstance(one, dict) and "nodes" in one for one in graphs):
        return found

    nodes: dict[Any, dict[str, Any]] = {}
    edges: list[dict[str, Any]] = []
    for graph in graphs:
        own = graph["nodes"]
        pairs = own.items() if isinstance(own, dict) else ((node["id"], node) for node in own)
        for key, node in pairs:
            nodes[key] = nodes.get(key, {}) | _with_metadata(node) | {"id": key}

        edges += map(_with_metadata, graph.get("edges", ()))
        for edge in graph.get("hyperedges", ()):
            raise FormatError(
                f"{name}: a hyperedge ({json.dumps(edge)[:60]}). Edges of more than two nodes are "
                "not read: write a node for it, with an edge to each of its members."
            )

    return {"nodes": list(nodes.values()), "edges": edges}


def _with_metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node or an edge with what it says of itself; its own fields first."""
    own = {name: value for name, value in record.items() if name != "metadata"}
    inner = record.get("metadata")
    return {**(inner if isinstance(inner, dict) else {}), **own}


def _name_ends(edges: list[dict[str, Any]], ids: list[Any]) -> None:
    """Give edges whose ends are positions of nodes, as D3 wrote them, the nodes' ids."""
    ends = [edge[end] for edge in edges for end in ("source", "target")]
    places = all(isinstance(end, int) and 0 <= end < len(ids) for end in ends)
    if places and not any(isinstance(one, int) for one in ids):
        for edge in edges:
            edge |= {end: ids[edge[end]] for end in ("source", "target")}


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with what it nests under ``data`` (Cytoscape) or ``attributes``."""
    flat = dict(record)
    for name in ("data", "attributes"):
        inner = flat.get(name)
        if isinstance(inner, dict):
            del flat[name]
            flat = {**flat, **inner}

    return flat


def _named(record: Mapping[str, Any], names: Iterable[str]) -> Any:
    for name in names:
        if name in record:
            return record[name]

    raise KeyError("id")


def _fill_apoc(built: GraphBuilder, rows: list[Any]) -> None:
    """Take nodes and relationships of ``apoc.export.json``."""
    seen = set[str]()
    edges = []
    for row in rows:
        if row["type"] == "relationship":
            edges.append(row)
            continue

        _add_apoc_node(built, row, row.get("properties", {}))
        seen.add(_text(row["id"]))

    for edge in edges:
        for end in (edge["start"], edge["end"]):
            if _text(end["id"]) not in seen:
                seen.add(_text(end["id"]))
                _add_apoc_node(built, end, end.get("properties", {}))

    for edge in edges:
        built.add("edge", start=_text(edge["start"]["id"]), end=_text(edge["end"]["id"]))
        built.say("edge", "relation", str(edge["label"]))
        _say(built, "edge", edge.get("properties", {}), ())


def _add_apoc_node(built: GraphBuilder, row: Mapping[str, Any], properties: Any) -> None:
    built.add("node", id=_text(row["id"]))
    for label in row.get("labels", ()):
        built.say("node", "labels", str(label))

    _say(built, "node", properties, ())


def _say(
    built: GraphBuilder, what: str, record: Mapping[str, Any], skipped: tuple[str, ...]
) -> None:
    for name, value in record.items():
        if name in skipped:
            continue
        for text, datatype in texts_of(value):
            built.say(what, name, text, datatype)


def _text(value: Any) -> str:
    """Return an id as text; a node that is a pair, as ``to_networkx`` makes them, as JSON."""
    if value is None:
        raise ValueError("an id that is null")

    text = value if isinstance(value, str) else json.dumps(value)
    text.encode()  # half a surrogate pair is a ValueError
    return text
