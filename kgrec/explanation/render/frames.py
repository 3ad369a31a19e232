"""Explanations as data structures of polars, networkx and PyTorch Geometric.

Each function imports its library when called.
"""

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from kgrec.explanation.core.answers import ListReasons
from kgrec.explanation.core.records import Explanation, Hop, Node, Path, Relation

if TYPE_CHECKING:
    import networkx as nx
    from torch_geometric.explain import Explanation as PygExplanation

FRAME = {
    "user": pl.String,
    "item": pl.String,
    "score": pl.Float64,
    "rank": pl.Int64,
    "margin": pl.Float64,
    "path": pl.Int64,
    "length": pl.Int64,
    "drop_delete": pl.Float64,
    "drop_mask": pl.Float64,
    "like_drop": pl.Float64,
    "facts_drop": pl.Float64,
    "placebo": pl.Float64,
    "like_claim": pl.String,
    "facts_claim": pl.String,
    "basis": pl.String,
    "attribution": pl.Float64,
    "joint": pl.Float64,
    "weight": pl.Float64,
    "plausibility": pl.Float64,
    "rank_after": pl.Int64,
    "users": pl.Int64,
    "removed": pl.Int64,
    "hop": pl.Int64,
    "hop_drop": pl.Float64,
    "source_kind": pl.String,
    "source": pl.String,
    "source_label": pl.String,
    "relation": pl.String,
    "relation_label": pl.String,
    "forward": pl.Boolean,
    "target_kind": pl.String,
    "target": pl.String,
    "target_label": pl.String,
    "facts": pl.String,
}
_OF_PATH = (
    "drop_delete",
    "drop_mask",
    "like_drop",
    "facts_drop",
    "placebo",
    "like_claim",
    "facts_claim",
    "basis",
    "attribution",
    "joint",
    "weight",
    "plausibility",
    "rank_after",
    "users",
    "removed",
)
_SHOWN_PLACES = 10
_EFFECTS = ("like", "facts", "whole")
TRAINING_FRAME = {
    **{f"training_{name}": pl.Float64 for name in _EFFECTS},
    "training_score": pl.Float64,
    "training_label": pl.String,
    "training_facts_label": pl.String,
}
LIST_FRAME = {
    "user": pl.String,
    "what": pl.String,
    "kind": pl.String,
    "key": pl.String,
    "label": pl.String,
    "relations": pl.String,
    "facts": pl.Int64,
    "joined": pl.String,
    "leave": pl.Int64,
    "left": pl.String,
    "drop": pl.Float64,
}


def empty_frame(training: bool = False) -> pl.DataFrame:
    """Return the columns of ``to_frame`` without rows; with those of effects through training."""
    return pl.DataFrame(schema=FRAME | TRAINING_FRAME if training else FRAME)


def to_frame(explanation: Explanation) -> pl.DataFrame:
    """Return one row per hop and relation, paths in order.

    The numbers of a path are in each of its rows. ``facts`` names at most ten places; the JSON
    form has all. Effects through training are further columns, where there are some.
    """
    whole = {
        "user": explanation.user,
        "item": explanation.item,
        "score": float(explanation.score),
        "rank": explanation.rank,
    }

    rows: list[dict[str, Any]] = [
        {**whole, "margin": explanation.margin, "path": rank, "length": path.length}
        | {name: getattr(path, name) for name in _OF_PATH}
        | {"hop": number, "hop_drop": dict(enumerate(path.hop_drops, 1)).get(number), **_ends(hop)}
        | {"relation": relation.key, "relation_label": relation.label, "forward": relation.forward}
        | {"facts": "; ".join(map(str, relation.facts[:_SHOWN_PLACES]))}
        for rank, path in enumerate(explanation.paths, 1)
        for number, hop in enumerate(path.hops, 1)
        for relation in hop.relations
    ]

    training = explanation.training
    if training is None:
        return pl.DataFrame(rows, schema=FRAME)

    about = {
        "training_score": training.score,
        "training_label": training.label,
        "training_facts_label": training.facts_label,
    }
    for row in rows:
        effect = training.paths[row["path"] - 1]
        row |= {f"training_{name}": getattr(effect, name) for name in _EFFECTS} | about

    return pl.DataFrame(rows, schema=FRAME | TRAINING_FRAME)


def list_frame(reasons: ListReasons) -> pl.DataFrame:
    """Return one row per like ("like") and per neighbor in the graph ("facts"), then one for all
    likes and one for all facts together, without a key.
    """
    found = [("like", one) for one in (*reasons.likes, reasons.all_likes)]
    found += [("facts", one) for one in reasons.facts]
    if reasons.all_facts is not None:
        found.append(("facts", reasons.all_facts))

    rows = [
        {
            "user": reasons.user.key,
            "what": what,
            "kind": None if one.node is None else one.node.kind,
            "key": None if one.node is None else one.node.key,
            "label": None if one.node is None else one.node.label,
            "relations": "; ".join(one.relations),
            "facts": one.facts,
            "joined": "; ".join(node.key for node in one.joined),
            "leave": len(one.leave),
            "left": "; ".join(node.key for node in one.leave),
            "drop": one.drop,
        }
        for what, one in found
    ]
    return pl.DataFrame(rows, schema=LIST_FRAME)


def _ends(hop: Hop) -> dict[str, str]:
    return {
        name: value
        for end, node in (("source", hop.source), ("target", hop.target))
        for name, value in (
            (f"{end}_kind", node.kind),
            (end, node.key),
            (f"{end}_label", node.label),
        )
    }


def stop_id(node: Node, rank: int) -> tuple[str, str]:
    """Return the name of a node: kind and key; for counted users, the path that counts them."""
    if node.kind == "users":
        return ("users", f"path {rank}")
    return (node.kind, node.key)


def _stated(path: Path, rank: int) -> list[tuple[tuple[str, str], tuple[str, str], Hop, Relation]]:
    """Return the relations of a path, each with head and tail in the direction of its fact."""
    out = []
    for hop in path.hops:
        ends = stop_id(hop.source, rank), stop_id(hop.target, rank)
        out += [
            (*(ends if relation.forward else ends[::-1]), hop, relation)
            for relation in hop.relations
        ]

    return out


def to_networkx(explanation: Explanation) -> "nx.MultiDiGraph[Any]":
    """Return the paths as a graph.

    Nodes are named by (kind, key); counted users by ("users", "path N"). They have ``kind``,
    ``key``, ``label`` and, where they are liked items with a part in the budget, ``score``. Edges
    are named by the relation's key and point as the fact does. They have ``relation``, ``label``,
    ``facts`` (places, as text), ``paths`` (ranks of the paths they are on), ``drops`` (those paths'
    drops) and ``drop``, the largest of these.
    """
    import networkx as nx

    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(
        user=explanation.user, item=explanation.item, score=explanation.score
    )
    parts = {}
    if explanation.budget:
        parts = {(t.node.kind, t.node.key): t.value for t in explanation.budget.by_liked}

    for rank, path in enumerate(explanation.paths, 1):
        for node in path.nodes:
            name = stop_id(node, rank)
            graph.add_node(name, kind=node.kind, key=node.key, label=node.label)
            if name in parts:
                graph.nodes[name]["score"] = parts[name]
        for head, tail, _, relation in _stated(path, rank):
            known = graph.get_edge_data(head, tail, key=relation.key, default={})
            graph.add_edge(
                head,
                tail,
                key=relation.key,
                relation=relation.key,
                label=relation.label,
                facts=[str(fact) for fact in relation.facts],
                drop=max(path.drop_delete or 0.0, known.get("drop", -math.inf)),
                drops=[*known.get("drops", ()), path.drop_delete or 0.0],
                paths=[*known.get("paths", ()), rank],
            )

    return graph


def to_pyg(explanation: Explanation) -> "PygExplanation":
    """Return the paths as an explanation of PyTorch Geometric, whose metrics and plots take it.

    One edge per fact, pointing as the fact does. ``edge_mask`` is in [0, 1]: the largest
    attribution among the paths an edge is on (their drop where they carry no attribution), negative
    ones as 0, divided by the largest of all; all zeros where nothing has an effect.
    ``edge_attribution`` holds the numbers undivided. ``x`` is the kind of a node, one column each
    for user, item, entity and counted users. ``node_id`` and ``edge_id`` number nodes and edges,
    also in what PyG cuts out; ``node_keys`` and ``node_labels`` say for each number what it stands
    for, ``edge_keys`` (head, relation, tail) and ``edge_labels`` likewise; ``user`` and ``item``
    number the two ends.
    """
    import torch
    from torch_geometric.explain import Explanation as Pyg

    graph = to_networkx(explanation)
    for name, label in (
        (("user", explanation.user), explanation.user_label),
        (("item", explanation.item), explanation.item_label),
    ):
        if name not in graph:
            graph.add_node(name, kind=name[0], key=name[1], label=label)

    row = {name: number for number, name in enumerate(graph)}
    effect: dict[tuple[Any, Any, str], float] = {}

    for rank, path in enumerate(explanation.paths, 1):
        if path.attribution is None:
            value = path.drop_delete or 0.0
        else:
            value = path.attribution
        for head, tail, _, relation in _stated(path, rank):
            edge = head, tail, relation.key
            effect[edge] = max(value, effect.get(edge, -math.inf))

    edges = list(graph.edges(keys=True))
    raw = torch.tensor([effect[edge] for edge in edges], dtype=torch.float64)
    mask = raw.clamp(min=0)

    if len(edges):
        largest = float(mask.max())
    else:
        largest = 0.0

    kinds = ("user", "item", "entity", "users")
    out = Pyg(
        x=torch.tensor(
            [[float(graph.nodes[name]["kind"] == kind) for kind in kinds] for name in graph]
        ),
        edge_index=torch.tensor(
            [[row[head], row[tail]] for head, tail, _ in edges], dtype=torch.long
        )
        .reshape(-1, 2)
        .T.contiguous(),
        edge_mask=(mask / largest if largest > 0 else mask).float(),
        edge_attribution=raw,
        node_id=torch.arange(len(row)),
        edge_id=torch.arange(len(edges)),
        node_keys=dict(enumerate(graph)),
        node_labels={number: graph.nodes[name]["label"] for name, number in row.items()},
        edge_keys={
            number: (head, relation, tail) for number, (head, tail, relation) in enumerate(edges)
        },
        edge_labels={number: graph.edges[edge]["label"] for number, edge in enumerate(edges)},
        user=row["user", explanation.user],
        item=row["item", explanation.item],
    )
    out._model_args = []  # what PyG's own explainer sets; its metrics read it
    return out
