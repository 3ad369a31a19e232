"""Projections that depend on the relation: one matrix product per relation, never one matrix per edge."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.errors import GraphError
from kgrec.ops.csr import Csr
from kgrec.ops.propagate import sampled_product


@torch.no_grad()
def rel_scores(
    x: Float[Tensor, "nodes dim"],
    projection: Float[Tensor, "relations dim dout"],
    relation_vectors: Float[Tensor, "relations dout"],
    graph: Csr,
) -> Float[Tensor, " edges"]:
    """Return KGAT's attention logit of each edge, before the softmax; no gradient.

        score(h, r, t) = (e_t W_r) . tanh(e_h W_r + e_r),    h the destination, t the source

    Each node is projected once per relation and side in which it occurs. Memory beyond the result: one relation's projected nodes.

    Args:
        x: Node embeddings ``e``.
        projection: ``W_r``, applied from the right.
        relation_vectors: ``e_r``.
        graph: The structure, with relations.

    Raises:
        GraphError: If the graph has no relations, or more than there are projections.

    Source: Wang et al., KGAT, KDD 2019, Eq. (4). https://arxiv.org/abs/1905.07854
    """
    if graph.relation is None:
        raise GraphError("the graph has no relations to score. Pass relation= to Csr.from_edges.")
    scores = torch.empty(graph.num_edges, dtype=x.dtype, device=x.device)
    by_relation = torch.sort(graph.relation, stable=True).indices
    sizes = torch.bincount(graph.relation, minlength=len(projection)).tolist()
    if len(sizes) > len(projection):
        raise GraphError(f"the graph names relation {len(sizes) - 1}, but there are {len(projection)} projections.")
    heads, place = graph.destinations(), torch.empty(graph.num_nodes, dtype=torch.int32, device=x.device)
    for relation, edges in enumerate(torch.split(by_relation, sizes)):
        if len(edges):
            head, per_head = torch.unique_consecutive(heads[edges], return_counts=True)
            tail, column = _distinct(graph.idx[edges], place)
            left = torch.tanh(x[head] @ projection[relation] + relation_vectors[relation])
            right = x[tail] @ projection[relation]
            ptr = torch.zeros(len(head) + 1, dtype=torch.int32, device=x.device)
            torch.cumsum(per_head, 0, out=ptr[1:])
            scores[edges] = sampled_product(ptr, column, left, right)
    return scores


def rel_project(
    x: Float[Tensor, "batch dim"], relation: Int[Tensor, " batch"], projection: Float[Tensor, "relations dim dout"]
) -> Float[Tensor, "batch dout"]:
    """Return each row times the matrix of its relation: ``y[b] = x[b] projection[relation[b]]``.

    The batch is sorted by relation and each relation present is one matrix product. Differentiable once, in ``x`` and ``projection``.
    """
    result: Tensor = _RelProject.apply(x, relation, projection)  # type: ignore[no-untyped-call]
    return result


class _RelProject(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, relation: Tensor, projection: Tensor) -> Tensor:
        order = torch.sort(relation, stable=True).indices
        sizes = torch.bincount(relation, minlength=len(projection)).tolist()
        ordered = x[order]
        out = x.new_empty(len(x), projection.shape[2])
        products = out.new_empty(out.shape)
        for matrix, rows, into in zip(projection, torch.split(ordered, sizes), torch.split(products, sizes), strict=True):
            if len(rows):
                torch.mm(rows, matrix, out=into)
        out[order] = products
        ctx.sizes = sizes
        ctx.save_for_backward(ordered, order, projection)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, Tensor]:
        ordered, order, projection = ctx.saved_tensors
        upstream = upstream[order]
        products, to_projection = torch.empty_like(ordered), torch.zeros_like(projection)
        cut = (torch.split(part, ctx.sizes) for part in (ordered, upstream, products))
        for matrix, to_matrix, rows, gradient, into in zip(projection, to_projection, *cut, strict=True):
            if len(rows):
                torch.mm(gradient, matrix.T, out=into)
                torch.mm(rows.T, gradient, out=to_matrix)
        to_x = torch.empty_like(ordered)
        to_x[order] = products
        return to_x, None, to_projection


def _distinct(nodes: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct nodes, ascending, and the position of each entry among them; ``place`` is scratch."""
    present = torch.zeros(len(place), dtype=torch.bool, device=nodes.device)
    present[nodes] = True
    distinct = present.nonzero().squeeze(1)
    place[distinct] = torch.arange(len(distinct), dtype=torch.int32, device=nodes.device)
    return distinct, place[nodes]
