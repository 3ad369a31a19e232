"""Projections that depend on the relation: one matrix product per relation, never one matrix per
edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.errors import GraphError
from kgrec.ops.backends import native
from kgrec.ops.csr import Csr
from kgrec.ops.propagate import sampled_product

_ROWS_AT_ONCE = 2048  # projected at a time: their vectors stay in the cache until they are used


@dataclass(frozen=True, slots=True)
class RelationEdges:
    """The edges of one relation, grouped by head, over the heads and tails that occur in it.

    Attributes:
        relation: The relation.
        heads: Its distinct destinations, ascending, int64.
        tails: Its distinct sources, ascending, int64.
        ptr: First edge of each head, and the number of edges last, int64 (heads + 1).
        idx: Place of each edge's source in ``tails``, int32.
        edges: Position of each edge in the whole structure, int32.
    """

    relation: int
    heads: Int[Tensor, " _"]
    tails: Int[Tensor, " _"]
    ptr: Int[Tensor, " _"]
    idx: Int[Tensor, " edges"]
    edges: Int[Tensor, " edges"]


def by_relation(graph: Csr) -> tuple[RelationEdges, ...]:
    """Return the edges of each relation that has any.

    Raises:
        GraphError: If the graph has no relations.
    """
    if graph.relation is None:
        raise GraphError("the graph has no relations to score. Pass relation= to Csr.from_edges.")

    order = torch.sort(graph.relation, stable=True).indices
    found = []
    place = torch.empty(graph.num_nodes, dtype=torch.int32, device=order.device)
    destinations = graph.destinations()

    for relation, edges in enumerate(torch.split(order, torch.bincount(graph.relation).tolist())):
        if len(edges):
            heads, sizes = torch.unique_consecutive(destinations[edges], return_counts=True)
            tails, idx = _distinct(graph.idx[edges], place)
            ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
            found.append(RelationEdges(relation, heads, tails, ptr, idx, edges.int()))

    return tuple(found)


@torch.no_grad()
def rel_scores(
    x: Float[Tensor, "nodes dim"],
    projection: Float[Tensor, "relations dim dout"],
    relation_vectors: Float[Tensor, "relations dout"],
    graph: Csr,
    groups: Sequence[RelationEdges] | None = None,
) -> Float[Tensor, " edges"]:
    """Return KGAT's attention logit of each edge, before the softmax; no gradient.

        score(h, r, t) = (e_t W_r) . tanh(e_h W_r + e_r),    h the destination, t the source

    Each node is projected once per relation and side in which it occurs. Memory beyond the result:
    one relation's projected nodes.

    Args:
        x: Node embeddings ``e``.
        projection: ``W_r``, applied from the right.
        relation_vectors: ``e_r``.
        graph: The structure, with relations.
        groups: ``by_relation(graph)``, where the caller keeps it; else it is made again.

    Raises:
        GraphError: If the graph has no relations, or more than there are projections.

    Source: Wang et al., KGAT, KDD 2019, Eq. (4). https://arxiv.org/abs/1905.07854
    """
    if groups is None:
        groups = by_relation(graph)
    else:
        groups = groups

    if groups and groups[-1].relation >= len(projection):
        raise GraphError(
            f"the graph names relation {groups[-1].relation}, but there are {len(projection)} "
            "projections."
        )

    scores = torch.empty(graph.num_edges, dtype=x.dtype, device=x.device)
    for group in groups:
        matrix = projection[group.relation]
        vector = relation_vectors[group.relation]
        right = _projected(x, group.tails, matrix)

        if native.takes(x, projection, relation_vectors):
            parts = x.new_empty(len(group.idx))
            for start in range(0, len(group.heads), _ROWS_AT_ONCE):
                heads = group.heads[start : start + _ROWS_AT_ONCE]
                left = _times(x.index_select(0, heads), matrix).add_(vector).tanh_()
                native.sddmm(
                    group.ptr[start : start + len(heads) + 1], group.idx, left, right, parts
                )
        else:
            left = _projected(x, group.heads, matrix).add_(vector).tanh_()
            parts = sampled_product(group.ptr.int(), group.idx, left, right)

        scores.index_copy_(0, group.edges.long(), parts)

    return scores


def _projected(x: Tensor, rows: Tensor, matrix: Tensor) -> Tensor:
    """Return some rows times a matrix, in pieces that stay in the cache."""
    return torch.cat(
        [_times(x.index_select(0, some), matrix) for some in torch.split(rows, _ROWS_AT_ONCE)]
    )


def _times(rows: Tensor, matrix: Tensor) -> Tensor:
    return _grouped_products(
        torch.tensor([0, len(rows)], device=rows.device), rows, matrix.unsqueeze(0)
    )


def rel_project(
    x: Float[Tensor, "batch dim"],
    relation: Int[Tensor, " batch"],
    projection: Float[Tensor, "relations dim dout"],
) -> Float[Tensor, "batch dout"]:
    """Return each row times the matrix of its relation: ``y[b] = x[b] projection[relation[b]]``.

    The batch is sorted by relation and each relation present is one matrix product. Differentiable
    once, in ``x`` and ``projection``.
    """
    result: Tensor = _RelProject.apply(x, relation, projection)  # type: ignore[no-untyped-call]
    return result


class _RelProject(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, relation: Tensor, projection: Tensor) -> Tensor:
        order = torch.sort(relation, stable=True).indices
        ptr = torch.nn.functional.pad(
            torch.bincount(relation, minlength=len(projection)).cumsum(0), (1, 0)
        )
        ordered = x.index_select(0, order)
        place = torch.empty_like(order).scatter_(
            0, order, torch.arange(len(order), device=order.device)
        )
        ctx.save_for_backward(ordered, order, place, ptr, projection)
        return _grouped_products(ptr, ordered, projection).index_select(0, place)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, Tensor]:
        ordered, order, place, ptr, projection = ctx.saved_tensors
        upstream = upstream.index_select(0, order)
        to_x = _grouped_products(ptr, upstream, projection.transpose(1, 2)).index_select(0, place)
        return to_x, None, _grouped_sums(ptr, ordered, upstream)


def _grouped_products(ptr: Tensor, x: Tensor, matrices: Tensor) -> Tensor:
    """Return each row times the matrix of its group, whose rows lie together from ``ptr[group]``
    on.
    """
    if native.takes(x, matrices) and native.takes_products(*matrices.shape[1:]):
        return native.grouped_products(ptr, x, matrices)

    sizes = ptr.diff().tolist()
    out = x.new_empty(len(x), matrices.shape[2])
    for matrix, rows, into in zip(
        matrices, torch.split(x, sizes), torch.split(out, sizes), strict=True
    ):
        if len(rows):
            torch.mm(rows, matrix, out=into)

    return out


def _grouped_sums(ptr: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """Return, per group, the sum over its rows of ``x[i]^T z[i]``."""
    if native.takes(x, z) and native.takes_products(x.shape[1], z.shape[1]):
        return native.grouped_sums(ptr, x, z)

    sizes = ptr.diff().tolist()
    sums = x.new_zeros(len(ptr) - 1, x.shape[1], z.shape[1])
    for left, right, into in zip(torch.split(x, sizes), torch.split(z, sizes), sums, strict=True):
        if len(left):
            torch.mm(left.T, right, out=into)

    return sums


def _distinct(nodes: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct nodes, ascending, and the position of each entry among them; ``place`` is
    scratch.
    """
    present = torch.zeros(len(place), dtype=torch.bool, device=nodes.device)
    present[nodes] = True
    distinct = present.nonzero().squeeze(1)
    place[distinct] = torch.arange(len(distinct), dtype=torch.int32, device=nodes.device)
    return distinct, place[nodes]
