"""Dataset -> PyG HeteroData, with named node and edge types."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, GraphError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.process import refuse_after_fork

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


def build_hetero_data(data: Dataset, types: str = "role") -> "HeteroData":
    """Return the training graph of a dataset as a typed graph.

    Node types are ``user``, ``item`` and ``entity`` (entities that are not items; left out if
    there are none). With ``types="class"`` an entity's node type is the last part of its
    ``rdf:type`` class ("Person"); of several classes it takes the one with the fewest members, then
    the alphabetically first; entities without a class stay ``entity``. Items stay ``item`` either
    way, so that there is one type to rank over.

    Edge types are (source type, relation, target type), each with its inverse (target type,
    ``rev_`` + relation, source type). A relation is named by its label in words joined by
    underscores; a second relation of the same name gets ``_2``.

    On every node type: ``num_nodes`` and ``row``, the rows in ``data.users`` or
    ``data.triples.entities`` (an item's entity row is its item row). On every edge type:
    ``edge_index`` (int64) and ``triple``, the row in ``data.triples``, -1 for interactions, -2 for
    facts about users. On the graph: ``relations``, relation name -> key in
    ``data.triples.relations`` ("" for interactions).

    Raises:
        ConfigError: If ``types`` is neither "role" nor "class".
        GraphError: If the dataset has neither users nor entities.
    """
    import torch
    from torch_geometric.data import HeteroData

    ckg = CollaborativeKG.from_dataset(data)
    if not ckg.num_nodes:
        raise GraphError(
            f"dataset {data.name!r} has no users and no entities. Build it from interactions or "
            "triples."
        )

    nodes = NodeTypes.of(data, ckg, types)
    graph = HeteroData()

    for number, name in enumerate(nodes.names):
        members = np.flatnonzero(nodes.kind == number)
        if len(members):
            graph[name].num_nodes = len(members)
            graph[name].row = torch.from_numpy(
                np.where(members >= ckg.num_entities, members - ckg.num_entities, members)
            )

    graph.relations = dict(zip(nodes.relations, ["", *data.triples.relations], strict=True))
    for (source, relation, target), facts, ends in nodes.edges(ckg):
        edge_index = torch.from_numpy(ends)
        triple = torch.from_numpy(ckg.fact[facts])
        forward = graph[source, relation, target]
        forward.edge_index = edge_index
        forward.triple = triple
        backward = graph[target, "rev_" + relation, source]
        backward.edge_index = edge_index.flip(0).contiguous()
        backward.triple = triple.clone()

    return graph


@dataclass(frozen=True, slots=True)
class NodeTypes:
    """The names of the types of a typed graph, and each node's number within its type.

    Attributes:
        names: Node types; ``kind`` counts them.
        kind: Type of each node of the collaborative knowledge graph, int64.
        local: Number of each node among those of its type, int64.
        relations: Name of each relation of the collaborative knowledge graph.
    """

    names: list[str]
    kind: np.ndarray
    local: np.ndarray
    relations: list[str]

    @classmethod
    def of(cls, data: Dataset, ckg: CollaborativeKG, types: str) -> "NodeTypes":
        """Return the types of ``build_hetero_data``.

        Raises:
            ConfigError: If ``types`` is neither "role" nor "class".
        """
        if types not in ("role", "class"):
            raise ConfigError(f"types={types!r} is not known. Choose 'role' or 'class'.")

        names, kind = _node_types(data, ckg, by_class=types == "class")
        local = np.empty(ckg.num_nodes, dtype=np.int64)

        for number in range(len(names)):
            nodes = np.flatnonzero(kind == number)
            local[nodes] = np.arange(len(nodes))

        return cls(names, kind, local, _relation_names(data))

    def edges(
        self, ckg: CollaborativeKG
    ) -> Iterator[tuple[tuple[str, str, str], np.ndarray, np.ndarray]]:
        """Yield each edge type of a graph of these nodes in the direction of its facts, the facts
        (positions in the columns of ``ckg``, ascending) and their ends, (2, facts), within types.
        """
        triple_type = np.stack([self.kind[ckg.head], ckg.relation, self.kind[ckg.tail]], 1)
        present, which = np.unique(triple_type, axis=0, return_inverse=True)
        order = np.argsort(which, kind="stable")
        bounds = np.searchsorted(which[order], np.arange(len(present) + 1))

        for number, (source, relation, target) in enumerate(present.tolist()):
            facts = order[bounds[number] : bounds[number + 1]]
            ends = np.stack([self.local[ckg.head[facts]], self.local[ckg.tail[facts]]])
            yield (self.names[source], self.relations[relation], self.names[target]), facts, ends


def _node_types(
    data: Dataset, ckg: CollaborativeKG, by_class: bool
) -> tuple[list[str], np.ndarray]:
    """Return the node type names and, per node, the position of its type among them."""
    names = ["user", "item", "entity"]
    kind = np.full(ckg.num_nodes, 2, dtype=np.int64)
    kind[: ckg.num_items] = 1
    kind[ckg.num_entities :] = 0
    if not by_class:
        return names, kind

    refuse_after_fork("Typing nodes by class")
    rows = (
        data.triples.types.select("entity", "type")
        .unique()
        .filter(pl.col("entity") >= ckg.num_items)
    )

    chosen = (
        rows.with_columns(pl.len().over("type").alias("members"))
        .sort("entity", "members", "type")
        .unique("entity", keep="first", maintain_order=True)
    )
    for key in chosen["type"].unique().sort().to_list():
        kind[chosen.filter(pl.col("type") == key)["entity"].to_numpy()] = len(names)
        local = key.rstrip("/#").replace("#", "/").rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        names.append(_distinct(_identifier(local or key, "class"), set(names)))

    return names, kind


def _relation_names(data: Dataset) -> list[str]:
    """Return a name per relation of the CKG, such that no name and no inverse's name equals
    another.
    """
    names = ["interacts"]
    taken = {"interacts", "rev_interacts"}

    for row in range(data.num_relations):
        names.append(_distinct(_identifier(data.triples.relation_label(row), "relation"), taken))
        taken |= {names[-1], "rev_" + names[-1]}

    return names


def _identifier(text: str, fallback: str) -> str:
    """Return the words of a text joined by single underscores: PyTorch refuses dots in module
    names, PyG joins names by two.
    """
    return re.sub(r"[\W_]+", "_", text).strip("_")[:80] or fallback


def _distinct(name: str, taken: set[str]) -> str:
    candidate = name
    number = 2
    while candidate in taken or "rev_" + candidate in taken:
        candidate = f"{name}_{number}"
        number = number + 1
    return candidate
