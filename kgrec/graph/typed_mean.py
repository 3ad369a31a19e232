"""Typed edges with mean weights; they move between devices with the model that holds them."""

import numpy as np
import torch
from torch import Tensor, nn

from kgrec.graph.ckg import CollaborativeKG
from kgrec.ops.typed import Segments, TypedEdges

_PARTS = ("ptr", "first", "start", "relation", "idx")


class TypedMean(nn.Module):
    """The structure behind a mean over neighbors of several relations.

    Args:
        edges: The structure.

    Attributes:
        weight: 1 / edges of the edge's row, in the order of the structure, in the default dtype.
    """

    weight: Tensor
    _turned: Tensor

    def __init__(self, edges: TypedEdges) -> None:
        super().__init__()
        count = edges.forward.ptr.diff()
        each = count.to(torch.get_default_dtype()).reciprocal()
        parts = {
            "weight": torch.repeat_interleave(each, count, output_size=len(edges.turned)),
            "_turned": edges.turned,
        }
        for side, segments in (("forward", edges.forward), ("backward", edges.backward)):
            parts |= {f"_{side}_{part}": getattr(segments, part) for part in _PARTS}

        for name, value in parts.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def edges(self) -> TypedEdges:
        """The structure, on the device where the module is."""
        forward, backward = (
            Segments(*(self.get_buffer(f"_{side}_{part}") for part in _PARTS))
            for side in ("forward", "backward")
        )
        return TypedEdges(forward, backward, self._turned)


class FactEdges(TypedMean):
    """Edges along which facts carry messages, each with its fact.

    Args:
        row: Where each edge arrives.
        relation: Its relation.
        column: Where it starts.
        fact: Position of its fact in the columns of a graph.
        num_rows: Number of rows.
        num_columns: Number of columns.
        num_relations: Number of relations.

    Attributes:
        fact: Position of the fact of each edge, in the order of the structure.
        num_relations: Relations, at least 1.
    """

    fact: Tensor

    def __init__(
        self,
        row: np.ndarray,
        relation: np.ndarray,
        column: np.ndarray,
        fact: np.ndarray,
        *,
        num_rows: int,
        num_columns: int,
        num_relations: int = 1,
    ) -> None:
        start, kind, end = (
            torch.from_numpy(part.astype(np.int64)) for part in (column, relation, row)
        )
        count = max(1, num_relations)
        edges, order = TypedEdges.from_edges(end, start, num_rows, num_columns, kind, count)
        super().__init__(edges)
        self.num_relations = count
        self.register_buffer("fact", torch.from_numpy(fact)[order], persistent=False)

    @classmethod
    def of_triples(cls, ckg: CollaborativeKG, num_heads: int | None = None) -> "FactEdges":
        """Return the triples, both ways, from tail to head; facts about users apart.

        Args:
            ckg: The graph.
            num_heads: Only the first so many entities gather, and are rows; None lets all of them.
        """
        known = np.flatnonzero(ckg.fact >= 0)
        head, relation, tail = ckg.knowledge_both_ways()
        count = ckg.num_entities if num_heads is None else num_heads
        gathers = head < count

        return cls(
            head[gathers],
            relation[gathers],
            tail[gathers],
            np.concatenate([known, known])[gathers],
            num_rows=count,
            num_columns=ckg.num_entities,
            num_relations=2 * (ckg.num_relations - 1),
        )

    @classmethod
    def of_interactions(cls, ckg: CollaborativeKG) -> "FactEdges":
        """Return the interactions, from item to user."""
        used = np.flatnonzero(ckg.relation == 0)
        user, item = ckg.interactions()
        size = {"num_rows": ckg.num_users, "num_columns": ckg.num_items}
        return cls(user, np.zeros_like(item), item, used, **size)

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return len(self.fact)


class RelationalMeans(nn.Module):
    """What the nodes of a collaborative knowledge graph gather from: entities from their triples,
    both ways, users from their items. No node gathers from a user.

    Rows are entities (items), then users; columns are entities; an interaction is one more
    relation, after those of the triples and their inverses.

    Args:
        ckg: The graph, without facts about users.

    Attributes:
        everywhere: What all nodes gather from.
        last: What items and users do; a last layer needs no more.
        edges_of_last: The edges of ``last`` among those of ``everywhere``.
        edge_of_fact: (2, facts): the edge of each fact of the graph, and that of its inverse or -1.
    """

    edges_of_last: Tensor
    edge_of_fact: Tensor

    def __init__(self, ckg: CollaborativeKG) -> None:
        super().__init__()
        self.num_relations = 2 * (ckg.num_relations - 1) + 1
        self.everywhere, self.last, of_last, of_fact = _structures(ckg, self.num_relations - 1)
        self.register_buffer("edges_of_last", of_last, persistent=False)
        self.register_buffer("edge_of_fact", of_fact, persistent=False)


def _structures(
    ckg: CollaborativeKG, relations: int
) -> tuple[TypedMean, TypedMean, Tensor, Tensor]:
    """Return the attributes of ``RelationalMeans``."""
    head, relation, tail = (torch.from_numpy(part) for part in ckg.knowledge_both_ways())
    user, item = (torch.from_numpy(part) for part in ckg.interactions())
    entities = ckg.num_entities
    columns = torch.cat([tail, item])
    rows = torch.cat([head, user + entities])
    kinds = torch.cat([relation, torch.full_like(user, relations)])
    everywhere, order = TypedEdges.from_edges(
        rows, columns, entities + ckg.num_users, entities, kinds, relations + 1
    )
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    triples, used = (
        torch.from_numpy(np.flatnonzero(chosen)) for chosen in (ckg.fact >= 0, ckg.relation == 0)
    )
    of_fact = torch.full((2, len(ckg.fact)), -1)
    of_fact[0, triples], of_fact[1, triples], of_fact[0, used] = torch.split(
        place, [len(triples), len(triples), len(used)]
    )
    rows = rows[order]
    columns = columns[order]
    kinds = kinds[order]
    wanted = torch.nonzero((rows < ckg.num_items) | (rows >= entities)).squeeze(1)
    rows = torch.where(rows < entities, rows, rows - entities + ckg.num_items)[wanted]
    last, order = TypedEdges.from_edges(
        rows, columns[wanted], ckg.num_items + ckg.num_users, entities, kinds[wanted], relations + 1
    )
    return TypedMean(everywhere), TypedMean(last), wanted[order], of_fact
