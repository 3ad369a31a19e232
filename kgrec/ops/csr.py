"""One structure for every graph: destination-sorted CSR with a reverse-edge map."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.errors import GraphError

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Csr:
    """A directed graph with a reverse for every edge, grouped by destination.

    The edges of node ``v`` are the positions ``ptr[v] .. ptr[v + 1] - 1``, sorted by relation, then
    source. Because the structure is symmetric, the transpose of a weighted graph is the same
    structure with the weights ``weight[rev]``; nothing is ever transposed.

    Attributes:
        ptr: First edge of each node, and the number of edges last; int64 (nodes + 1).
        idx: Source node of each edge, int32.
        rev: Position of each edge's reverse, int32, or int64 beyond 2^31 - 1 edges;
            ``rev[rev[e]] == e``.
        relation: Relation of each edge, int32, or None where there is one kind of edge.
        num_nodes: Number of nodes, isolated ones included.
    """

    ptr: Int[Tensor, " _"]
    idx: Int[Tensor, " edges"]
    rev: Int[Tensor, " edges"]
    relation: Int[Tensor, " edges"] | None
    num_nodes: int

    @classmethod
    def from_edges(
        cls,
        destination: np.ndarray | Tensor,
        source: np.ndarray | Tensor,
        num_nodes: int,
        relation: np.ndarray | Tensor | None = None,
        inverse: np.ndarray | Tensor | None = None,
        *,
        largest: int = INT32_MAX,
    ) -> "tuple[Csr, Tensor]":
        """Return the structure, and the permutation ``order``: edge ``k`` of the structure is input
        edge ``order[k]`` (int64).

        Edges that occur several times are kept; equal ones stay in the order given.

        Args:
            destination: Node that receives, one per edge.
            source: Node that sends, one per edge.
            num_nodes: Number of nodes.
            relation: Relation of each edge.
            inverse: Inverse of each relation; None means that every relation is its own inverse.
            largest: Number of edges beyond which positions are int64 instead of int32.

        Raises:
            GraphError: If a node or relation is out of range, the sizes do not fit, or an edge has
                no reverse.
        """
        head = _column(destination)
        tail = _column(source)

        if relation is None:
            kind = None
        else:
            kind = _column(relation)

        if len(head) != len(tail) or (kind is not None and len(kind) != len(head)):
            raise GraphError(
                f"{len(head)} destinations, {len(tail)} sources, "
                f"{'no' if kind is None else len(kind)} relations. Pass one each per edge."
            )

        _check_range("node", head, num_nodes)
        _check_range("node", tail, num_nodes)

        if kind is None:
            back = None
        else:
            back = _inverse_table(kind, inverse)

        if back is None:
            num_relations = 1
        else:
            num_relations = max(1, len(back))

        if num_nodes > INT32_MAX or num_nodes * num_nodes * num_relations >= 2**63:
            raise GraphError(
                f"{num_nodes} nodes with {num_relations} relations are more than 64 bits can sort. "
                "Split the graph."
            )

        key, order = torch.sort(_key(head, kind, tail, num_nodes, num_relations), stable=True)
        head = head[order]
        tail = tail[order]

        if kind is None:
            kind = None
        else:
            kind = kind[order]

        turned = _key(
            tail,
            None if back is None or kind is None else back[kind],
            head,
            num_nodes,
            num_relations,
        )
        turned, reverse_of = torch.sort(turned, stable=True)
        if not torch.equal(turned, key):
            raise GraphError(_without_reverse(key, turned, reverse_of, num_nodes, num_relations))

        place = torch.int64 if len(head) > largest else torch.int32
        rev = torch.empty(len(head), dtype=place, device=head.device)
        rev[reverse_of] = torch.arange(len(head), dtype=place, device=head.device)
        ptr = torch.zeros(num_nodes + 1, dtype=torch.int64, device=head.device)
        torch.cumsum(torch.bincount(head, minlength=num_nodes), 0, out=ptr[1:])
        return cls(ptr, tail.int(), rev, None if kind is None else kind.int(), num_nodes), order

    @property
    def num_edges(self) -> int:
        """Number of directed edges."""
        return len(self.idx)

    @property
    def degree(self) -> Int[Tensor, " nodes"]:
        """Number of edges that arrive at each node, int64; as many leave it."""
        return self.ptr.diff()

    def destinations(self) -> Int[Tensor, " edges"]:
        """Return the destination node of each edge, int64; computed again at each call."""
        nodes = torch.arange(self.num_nodes, device=self.ptr.device)
        return torch.repeat_interleave(nodes, self.degree, output_size=self.num_edges)

    def to(self, device: torch.device | str) -> "Csr":
        """Return the structure on another device."""
        if self.relation is None:
            relation = None
        else:
            relation = self.relation.to(device)

        return Csr(
            self.ptr.to(device), self.idx.to(device), self.rev.to(device), relation, self.num_nodes
        )


def symmetric_weights(
    graph: Csr, dtype: torch.dtype = torch.float32, kept: Bool[Tensor, " edges"] | None = None
) -> Float[Tensor, " edges"]:
    """Return ``1 / sqrt(degree(destination) degree(source))`` per edge.

    Parallel edges count once each. An isolated node has no edge, hence no weight.

    Args:
        graph: The structure.
        dtype: Type of the weights.
        kept: Edges that there are, each with its reverse; the others have weight 0 and count for no
            degree. None keeps all.

    Source: He et al., LightGCN, SIGIR 2020, Eq. (3). https://arxiv.org/abs/2002.02126
    """
    if kept is None:
        scale = graph.degree.double().rsqrt()
        return (scale[graph.destinations()] * scale[graph.idx]).to(dtype)

    degree = torch.segment_reduce(kept.double(), "sum", lengths=graph.degree, unsafe=True)
    scale = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), 0.0)
    return (scale[graph.destinations()] * scale[graph.idx] * kept).to(dtype)


def random_walk_weights(graph: Csr, dtype: torch.dtype = torch.float32) -> Float[Tensor, " edges"]:
    """Return ``1 / degree(destination)`` per edge: the weights of each node's edges add up to 1."""
    return torch.repeat_interleave(
        graph.degree.double().reciprocal(), graph.degree, output_size=graph.num_edges
    ).to(dtype)


def _column(values: np.ndarray | Tensor) -> Tensor:
    return torch.as_tensor(values).to(torch.int64)


def _check_range(what: str, values: Tensor, size: int) -> None:
    if len(values):
        low, high = (int(bound) for bound in values.aminmax())
        if low < 0 or high >= size:
            raise GraphError(
                f"an edge names {what} {low if low < 0 else high}, outside 0..{size - 1}."
            )


def _inverse_table(kind: Tensor, inverse: np.ndarray | Tensor | None) -> Tensor:
    if inverse is None:
        if len(kind):
            most = int(kind.max()) + 1
        else:
            most = 0

        _check_range("relation", kind, most)
        return torch.arange(most, device=kind.device)

    table = _column(inverse).to(kind.device)
    _check_range("inverse relation", table, len(table))

    if not torch.equal(table[table], torch.arange(len(table), device=kind.device)):
        raise GraphError(
            "the inverse of some relation's inverse is not the relation itself. Pair the "
            "relations up."
        )

    _check_range("relation", kind, len(table))
    return table


def _key(
    head: Tensor, kind: Tensor | None, tail: Tensor, num_nodes: int, num_relations: int
) -> Tensor:
    if kind is None:
        first = head
    else:
        first = head * num_relations + kind
    return first * num_nodes + tail


def _without_reverse(
    key: Tensor, turned: Tensor, reverse_of: Tensor, num_nodes: int, num_relations: int
) -> str:
    """Return a message that names an edge whose reverse is missing, given the sorted keys of the
    edges and of their reverses.
    """
    at = int((key != turned).nonzero()[0])
    # Where the two sorted lists differ, the smaller key is in one of them only: an edge that is not
    # a reverse, or the reverse of no edge.
    lone = int(key[at] if key[at] < turned[at] else key[reverse_of[at]])
    head = lone // num_nodes // num_relations
    tail = lone % num_nodes

    if num_relations > 1:
        relation = f" by relation {lone // num_nodes % num_relations}"
    else:
        relation = ""

    return (
        f"the edge from node {tail} to node {head}{relation} has no reverse. Give every edge "
        "its reverse."
    )
