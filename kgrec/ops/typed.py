"""Sums over typed edges: one sparse product per relation, scaled by the relation's vector, never one vector per edge."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.errors import GraphError
from kgrec.ops.propagate import sampled_product, sparse_product


@dataclass(frozen=True, slots=True)
class RelationMatrices:
    """One sparse matrix per relation, without its empty rows.

    Attributes:
        rows: Rows that are not empty, ascending within a relation, relation after relation; int64.
        ptr: Per relation, the first edge of each such row counted from the relation's own first, and their number last; int32.
        idx: Column of each edge, by relation, then row; int32.
        sizes: Rows and edges of each relation.
    """

    rows: Int[Tensor, " _"]
    ptr: Int[Tensor, " _"]
    idx: Int[Tensor, " edges"]
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TypedEdges:
    """Edges that carry what is in their column to their row, grouped by relation, with the same edges turned around for gradients.

    Attributes:
        forward: Matrices (rows x columns).
        backward: Their transposes (columns x rows).
        turned: Position in ``forward`` of each edge of ``backward``, int64.
        num_rows: Number of rows, empty ones included.
        num_columns: Number of columns.
    """

    forward: RelationMatrices
    backward: RelationMatrices
    turned: Int[Tensor, " edges"]
    num_rows: int
    num_columns: int

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
        """Return the structure, and the permutation ``order``: its edge ``k`` is input edge ``order[k]`` (int64).

        Raises:
            GraphError: If a row, column or relation is out of range.
        """
        kind = torch.zeros_like(row) if relation is None else relation
        for what, values, size in (("row", row, num_rows), ("column", column, num_columns), ("relation", kind, num_relations)):
            if len(values) and not (int(values.min()) >= 0 and int(values.max()) < size):
                raise GraphError(f"an edge names a {what} outside 0..{size - 1}.")
        forward, order = _matrices(kind, row, column, (num_relations, num_rows, num_columns))
        backward, turned = _matrices(kind[order], column[order], row[order], (num_relations, num_columns, num_rows))
        return cls(forward, backward, turned, num_rows, num_columns), order

    def row_of_edge(self) -> Int[Tensor, " edges"]:
        """Return the row of each edge of ``forward``, int64."""
        ptr = torch.split(self.forward.ptr, [count + 1 for count, _ in self.forward.sizes])
        per_row = torch.cat([part.diff() for part in ptr]).long()
        return torch.repeat_interleave(self.forward.rows, per_row, output_size=len(self.forward.idx))


def typed_sum(
    x: Float[Tensor, "entities dim"],
    edges: TypedEdges,
    weight: Float[Tensor, " edges"],
    vectors: Float[Tensor, "relations dim"] | None = None,
) -> Float[Tensor, "nodes dim"]:
    """Return ``y[v] = sum of weight[e] vectors[relation of e] * x[column of e]`` over the edges ``e`` of row ``v``.

    Rows without edges get 0. Differentiable once, in ``x`` and ``vectors``; no gradient reaches ``weight``. Memory beyond the result: one
    relation's rows.

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
    """Return the derivative of ``typed_sum`` by its weights: ``upstream[row of e] . (vectors[relation of e] * x[column of e])`` per edge.

    Edges are in the order of ``edges.forward``. Memory beyond the result: one relation's rows.

    Args:
        upstream: The gradient of what ``typed_sum`` gave.
        edges: The structure.
        x: One row per column of the structure.
        vectors: One vector per relation; None stands for ones.
    """
    parts = [upstream.new_zeros(0)]
    for relation, rows, ptr, idx in _each(edges.forward):
        left = upstream[rows] if vectors is None else upstream[rows] * vectors[relation]
        parts.append(sampled_product(ptr, idx, left, x))
    return torch.cat(parts)


class _TypedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, vectors: Tensor | None, weight: Tensor, edges: TypedEdges) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(x if vectors is not None and vectors.requires_grad else None, vectors, weight)
        out = x.new_zeros(edges.num_rows, x.shape[1])
        for relation, rows, product in _products(edges.forward, weight, x):
            out.index_add_(0, rows, product if vectors is None else product.mul_(vectors[relation]))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, vectors, weight = ctx.saved_tensors
        to_x = upstream.new_zeros(ctx.edges.num_columns, upstream.shape[1])
        to_vectors = None if x is None else torch.zeros_like(vectors)
        for relation, rows, product in _products(ctx.edges.backward, weight[ctx.edges.turned], upstream):
            if to_vectors is not None:
                to_vectors[relation] = (x[rows] * product).sum(0)
            to_x.index_add_(0, rows, product if vectors is None else product.mul_(vectors[relation]))
        return to_x, to_vectors, None, None


def _products(matrices: RelationMatrices, weight: Tensor, x: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield each relation that has edges, its rows, and its matrix times ``x``."""
    x = x.contiguous()
    values = torch.split(weight, [count for _, count in matrices.sizes])
    for relation, rows, ptr, idx in _each(matrices):
        yield relation, rows, sparse_product(ptr, idx, values[relation], x)


def _each(matrices: RelationMatrices) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Yield each relation that has edges, its rows, and their starts and columns."""
    rows = torch.split(matrices.rows, [count for count, _ in matrices.sizes])
    ptr = torch.split(matrices.ptr, [count + 1 for count, _ in matrices.sizes])
    idx = torch.split(matrices.idx, [count for _, count in matrices.sizes])
    for relation, (_, num_edges) in enumerate(matrices.sizes):
        if num_edges:
            yield relation, rows[relation], ptr[relation], idx[relation]


def _matrices(kind: Tensor, row: Tensor, column: Tensor, size: tuple[int, int, int]) -> tuple[RelationMatrices, Tensor]:
    num_relations, num_rows, num_columns = size
    order = torch.sort((kind * num_rows + row) * num_columns + column, stable=True).indices
    kind, row, column = kind[order], row[order], column[order]
    pairs, per_row = torch.unique_consecutive(kind * num_rows + row, return_counts=True)
    counts = torch.bincount(pairs // max(num_rows, 1), minlength=num_relations).tolist()
    ptr = [torch.nn.functional.pad(part.cumsum(0), (1, 0)) for part in torch.split(per_row, counts)]
    sizes = tuple(zip(counts, torch.bincount(kind, minlength=num_relations).tolist(), strict=True))
    return RelationMatrices(pairs % max(num_rows, 1), torch.cat(ptr).int(), column.int(), sizes), order
