"""Sums over typed edges: neighbors are added up by relation, then scaled by its vector once; never
one vector per edge.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.errors import GraphError
from kgrec.ops.backends import native
from kgrec.ops.propagate import sampled_product, sparse_product


@dataclass(frozen=True, slots=True)
class Segments:
    """Edges sorted by row, relation, column; a segment is a row's edges of one relation.

    Attributes:
        ptr: First edge of each row, and the number of edges last, int64 (rows + 1).
        first: First segment of each row, and the number of segments last, int64 (rows + 1).
        start: First edge of each segment, and the number of edges last, int64 (segments + 1).
        relation: Relation of each segment, int32.
        idx: Column of each edge, int32.
    """

    ptr: Int[Tensor, " _"]
    first: Int[Tensor, " _"]
    start: Int[Tensor, " _"]
    relation: Int[Tensor, " _"]
    idx: Int[Tensor, " edges"]

    @property
    def num_rows(self) -> int:
        """Number of rows, empty ones included."""
        return len(self.ptr) - 1

    def row_of_edge(self) -> Int[Tensor, " edges"]:
        """Return the row of each edge, int64."""
        rows = torch.arange(self.num_rows, device=self.ptr.device)
        return torch.repeat_interleave(rows, self.ptr.diff(), output_size=len(self.idx))

    def relation_of_edge(self) -> Int[Tensor, " edges"]:
        """Return the relation of each edge, int32."""
        return torch.repeat_interleave(self.relation, self.start.diff(), output_size=len(self.idx))

    def per_segment(self, rows: Float[Tensor, "_ dim"]) -> Float[Tensor, "_ dim"]:
        """Return the row of each segment."""
        return torch.repeat_interleave(
            rows, self.first.diff(), dim=0, output_size=len(self.relation)
        )


@dataclass(frozen=True, slots=True)
class TypedEdges:
    """Edges that carry what is in their column to their row, with the same edges turned around for
    gradients.

    Attributes:
        forward: By row.
        backward: By column.
        turned: Position in ``forward`` of each edge of ``backward``, int64.
    """

    forward: Segments
    backward: Segments
    turned: Int[Tensor, " edges"]

    @classmethod
    def from_edges(
        cls,
        row: Int[Tensor, " edges"],
        column: Int[Tensor, " edges"],
        num_rows: int,
        num_columns: int,
        relation: Int[Tensor, " edges"] | None = None,
        num_relations: int = 1,
    ) -> "tuple[TypedEdges, Tensor]":
        """Return the structure, and the permutation ``order``: its edge ``k`` is input edge
        ``order[k]`` (int64).

        Raises:
            GraphError: If a row, column or relation is out of range.
        """
        if relation is None:
            kind = torch.zeros_like(row)
        else:
            kind = relation

        for what, values, size in (
            ("row", row, num_rows),
            ("column", column, num_columns),
            ("relation", kind, num_relations),
        ):
            if len(values) and not (int(values.min()) >= 0 and int(values.max()) < size):
                raise GraphError(f"an edge names a {what} outside 0..{size - 1}.")

        forward, order = _segments(row, kind, column, (num_rows, num_relations, num_columns))
        backward, turned = _segments(
            column[order], kind[order], row[order], (num_columns, num_relations, num_rows)
        )
        return cls(forward, backward, turned), order

    @property
    def num_rows(self) -> int:
        """Number of rows, empty ones included."""
        return self.forward.num_rows


def typed_sum(
    x: Float[Tensor, "entities dim"],
    edges: TypedEdges,
    weight: Float[Tensor, " edges"],
    vectors: Float[Tensor, "relations dim"] | None = None,
) -> Float[Tensor, "nodes dim"]:
    """Return ``y[v] = sum of weight[e] vectors[relation of e] * x[column of e]`` over the edges
    ``e`` of row ``v``.

    Rows without edges get 0. Differentiable once, in all three. Memory beyond the result: none with
    the compiled kernels, else one row per segment.

    Args:
        x: One row per column of the structure.
        edges: The structure.
        weight: One weight per edge, in the order of ``edges.forward``.
        vectors: One vector per relation; None stands for ones.
    """
    result: Tensor = _TypedSum.apply(x, vectors, weight, edges)  # type: ignore[no-untyped-call]
    return result


@torch.no_grad()
def typed_products(
    upstream: Float[Tensor, "nodes dim"],
    edges: TypedEdges,
    x: Float[Tensor, "entities dim"],
    vectors: Float[Tensor, "relations dim"] | None = None,
) -> Float[Tensor, " edges"]:
    """Return the derivative of ``typed_sum`` by its weights:
    ``upstream[row of e] . (vectors[relation of e] * x[column of e])`` per edge.

    Edges are in the order of ``edges.forward``. Memory beyond the result: one row per segment where
    there are vectors.

    Args:
        upstream: The gradient of what ``typed_sum`` gave.
        edges: The structure.
        x: One row per column of the structure.
        vectors: One vector per relation; None stands for ones.
    """
    by = edges.forward
    if vectors is None:
        return sampled_product(by.ptr.int(), by.idx, upstream, x)

    return sampled_product(
        by.start.int(), by.idx, by.per_segment(upstream) * vectors[by.relation], x
    )


class _TypedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, vectors: Tensor | None, weight: Tensor, edges: TypedEdges
    ) -> Tensor:
        ctx.edges = edges
        wanted = weight.requires_grad or (vectors is not None and vectors.requires_grad)
        ctx.save_for_backward(x if wanted else None, vectors, weight)
        return _sum(edges.forward, weight, x, vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, vectors, weight = ctx.saved_tensors
        to_weight = None
        if ctx.needs_input_grad[2]:
            to_weight = typed_products(upstream, ctx.edges, x, vectors)

        by = ctx.edges.backward
        weight = weight.index_select(0, ctx.edges.turned)
        if not ctx.needs_input_grad[1]:
            return _sum(by, weight, upstream, vectors), None, to_weight, None
        return *_both_sums(by, weight, upstream, vectors, x), to_weight, None


def typed_scores(
    a: Float[Tensor, "nodes dim"],
    edges: TypedEdges,
    x: Float[Tensor, "entities dim"],
    vectors: Float[Tensor, "relations dim"],
) -> Float[Tensor, " edges"]:
    """Return ``sum over the values of a[row of e] * vectors[relation of e] * x[column of e]`` per
    edge: ``typed_products``, differentiable once, in all three.

    Args:
        a: One row per row of the structure.
        edges: The structure; scores are in the order of ``edges.forward``.
        x: One row per column of the structure.
        vectors: One vector per relation.
    """
    result: Tensor = _TypedScores.apply(a, x, vectors, edges)  # type: ignore[no-untyped-call]
    return result


class _TypedScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor, vectors: Tensor, edges: TypedEdges) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(a, x, vectors)
        return typed_products(a, edges, x, vectors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        a, x, vectors = ctx.saved_tensors
        edges = ctx.edges
        upstream = upstream.contiguous()
        turned = upstream.index_select(0, edges.turned)
        to_x, to_vectors = _both_sums(edges.backward, turned, a, vectors, x)
        return _sum(edges.forward, upstream, x, vectors), to_x, to_vectors, None


def _sum(by: Segments, weight: Tensor, x: Tensor, vectors: Tensor | None) -> Tensor:
    if vectors is None:
        return sparse_product(by.ptr.int(), by.idx, weight, x)
    if native.takes(x, weight, vectors):
        return native.typed_sum(_parts(by), weight, x, vectors)

    return _over_segments(
        by, sparse_product(by.start.int(), by.idx, weight, x) * vectors[by.relation]
    )


def _both_sums(
    by: Segments, weight: Tensor, upstream: Tensor, vectors: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of ``x`` and ``vectors``; ``by`` is sorted by the rows of ``x``."""
    if native.takes(x, weight, vectors, upstream):
        return native.typed_sums(_parts(by), weight, upstream, vectors, x)

    gathered = sparse_product(by.start.int(), by.idx, weight, upstream)
    order = torch.sort(by.relation, stable=True).indices
    ptr = torch.nn.functional.pad(
        torch.bincount(by.relation, minlength=len(vectors)).cumsum(0), (1, 0)
    )
    shares = by.per_segment(x) * gathered
    to_vectors = sparse_product(ptr.int(), order.int(), shares.new_ones(len(order)), shares)
    return _over_segments(by, gathered * vectors[by.relation]), to_vectors


def _over_segments(by: Segments, rows: Tensor) -> Tensor:
    every = torch.arange(len(rows), dtype=torch.int32, device=rows.device)
    return sparse_product(by.first.int(), every, rows.new_ones(len(rows)), rows)


def _parts(by: Segments) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return by.ptr, by.first, by.start, by.relation, by.idx


def _segments(
    row: Tensor, kind: Tensor, column: Tensor, size: tuple[int, int, int]
) -> tuple[Segments, Tensor]:
    num_rows, num_relations, num_columns = size
    order = torch.sort((row * num_relations + kind) * num_columns + column, stable=True).indices
    row = row[order]
    kind = kind[order]
    column = column[order]
    pairs, edges = torch.unique_consecutive(row * num_relations + kind, return_counts=True)
    segments = torch.bincount(pairs // num_relations, minlength=num_rows)
    ptr, first, start = (
        torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
        for sizes in (torch.bincount(row, minlength=num_rows), segments, edges)
    )

    return Segments(ptr, first, start, (pairs % num_relations).int(), column.int()), order
