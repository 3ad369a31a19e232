"""Sums over neighbors: sparse times dense on a ``Csr``, with gradients that stay on the same
structure.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.errors import ConfigError
from kgrec.ops.backends import gpu, native
from kgrec.ops.csr import Csr
from kgrec.ops.rows import take_rows

# torch announces once per process that its CSR tensors are in beta. It is raised here, where no one sees it,
# instead of in a training run.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(
        torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0), (0, 0)
    )


def propagate(
    x: Float[Tensor, "nodes dim"],
    graph: Csr,
    weight: Float[Tensor, " edges"],
    reverse: Float[Tensor, " edges"] | None = None,
    rows: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "_ dim"]:
    """Return the weighted sum of each node's neighbors: ``y[v] = sum of weight[e] x[idx[e]]`` over
    the edges of ``v``.

    Nodes without edges get 0. Differentiable once, in ``x`` and ``weight``; the gradient of ``x``
    uses the weights of the reverse edges on the same structure.

    Args:
        x: One row per node.
        graph: The structure.
        weight: One weight per edge.
        reverse: ``weight[graph.rev]``, where the caller has it (it is ``weight`` itself when that
            is symmetric); else it is gathered in each backward pass.
        rows: Distinct nodes whose sums are wanted, int64, not checked to be so; None wants all, in
            their order.
    """
    if rows is not None and (weight.requires_grad or not native.takes(x, weight)):
        every: Tensor = propagate(x, graph, weight, reverse)
        return every.index_select(0, rows)

    result: Tensor = _Propagate.apply(x, weight, graph, reverse, rows)  # type: ignore[no-untyped-call]
    return result


def propagate_beside(
    x: Float[Tensor, "nodes dim"],
    graph: Csr,
    weight: Float[Tensor, " edges"],
    reverse: Float[Tensor, " edges"],
    rows: Int[Tensor, " batch"],
    *,
    last: bool,
) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "_ dim"], Float[Tensor, "_ dim"]]:
    """Return ``x[rows]``, ``x`` itself, and ``propagate(x, graph, weight, reverse)``; of the
    ``last`` layer only the rows of the three.

    What a layer takes that combines a node with its neighborhood, while some rows are kept.
    Differentiable once, in ``x`` (and in ``weight``, more slowly): the gradients of all come
    together in one table.

    Args:
        x: One row per node.
        graph: The structure.
        weight: One weight per edge.
        reverse: ``weight[graph.rev]``.
        rows: Distinct nodes, int64, not checked to be so.
        last: Whether only ``rows`` go on.
    """
    if weight.requires_grad or not native.takes(x, weight):
        own = take_rows(x, rows)
        return own, own if last else x, propagate(x, graph, weight, reverse, rows if last else None)

    own, near, *every = _PropagateBeside.apply(x, weight, graph, reverse, rows, last)  # type: ignore[no-untyped-call]
    return own, own if last else every[0], near


def poly(
    x: Float[Tensor, "nodes dim"],
    graph: Csr,
    weight: Float[Tensor, " edges"],
    coefficients: Sequence[float],
) -> Float[Tensor, "nodes dim"]:
    """Return ``sum of c_l A^l x`` by Horner's rule, A being the graph with symmetric weights.

    The gradient is the same polynomial of the upstream gradient, so nothing is saved; it is right
    only if ``weight[graph.rev] == weight``, which is not checked (``symmetric_weights`` gives
    such). No gradient reaches ``weight``.

    Args:
        x: One row per node.
        graph: The structure.
        weight: One weight per edge, equal for an edge and its reverse.
        coefficients: ``c_0, c_1, ...``; at least one.

    Raises:
        ConfigError: If there is no coefficient, or ``weight`` asks for a gradient.
    """
    _check_polynomial(weight, coefficients)
    result: Tensor = _Poly.apply(x, weight, graph, tuple(coefficients))  # type: ignore[no-untyped-call]
    return result


def poly_rows(
    x: Float[Tensor, "nodes dim"],
    graph: Csr,
    weight: Float[Tensor, " edges"],
    coefficients: Sequence[float],
    rows: Int[Tensor, " batch"],
) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
    """Return ``poly(x, graph, weight, coefficients)[rows]`` and ``x[rows]``, with the gradients of
    both at once.

    What a step on few nodes costs: the last layer is computed for their rows alone, and the first
    layer of the gradient reads theirs alone. As with ``poly``, the gradient is right only for
    symmetric weights, and none reaches ``weight``.

    Args:
        x: One row per node.
        graph: The structure.
        weight: One weight per edge, equal for an edge and its reverse.
        coefficients: ``c_0, c_1, ...``; at least one.
        rows: Distinct nodes, int64; not checked.

    Raises:
        ConfigError: If there is no coefficient, or ``weight`` asks for a gradient.
    """
    _check_polynomial(weight, coefficients)
    result: tuple[Tensor, Tensor] = _PolyRows.apply(x, weight, graph, tuple(coefficients), rows)  # type: ignore[no-untyped-call]
    return result


def segment_sum(values: Float[Tensor, "edges dim"], graph: Csr) -> Float[Tensor, "nodes dim"]:
    """Return the sum of each node's edge values; 0 for nodes without edges. Differentiable once."""
    result: Tensor = _SegmentSum.apply(values, graph)  # type: ignore[no-untyped-call]
    return result


def sddmm(
    graph: Csr, a: Float[Tensor, "nodes dim"], b: Float[Tensor, "nodes dim"]
) -> Float[Tensor, " edges"]:
    """Return the inner product of ``a[destination]`` and ``b[source]`` per edge, without building
    either; no gradient.
    """
    with torch.no_grad():
        return sampled_product(graph.ptr.int(), graph.idx, a, b)


def sampled_product(
    ptr: Int[Tensor, " _"],
    idx: Int[Tensor, " edges"],
    a: Float[Tensor, "nodes dim"],
    b: Float[Tensor, "items dim"],
) -> Float[Tensor, " edges"]:
    """Return the inner product of a row of ``a`` and a row of ``b`` for each place of a CSR
    pattern; no gradient.

    Args:
        ptr: First place of each row of ``a``, and the number of places last, int32 (nodes + 1).
        idx: Row of ``b`` at each place, int32.
        a: One side.
        b: The other.
    """
    if native.takes(a, b):
        return native.sddmm(ptr.long(), idx, a, b)
    if gpu.takes(a, b):
        return gpu.sddmm(ptr.long(), idx, a, b)

    if len(idx) > len(a) * len(
        b
    ):  # repeated places outnumber the cells, which torch's sampled product cannot take
        row = torch.repeat_interleave(
            torch.arange(len(a), device=idx.device), ptr.diff(), output_size=len(idx)
        )
        return (a @ b.T)[row, idx]

    pattern = torch.sparse_csr_tensor(
        ptr, idx, a.new_zeros(len(idx)), (len(a), len(b)), check_invariants=False
    )
    products: Tensor = torch.sparse.sampled_addmm(
        pattern, a.contiguous(), b.contiguous().T, beta=0.0
    ).values()
    return products


def sparse_product(
    ptr: Int[Tensor, " _"],
    idx: Int[Tensor, " edges"],
    weight: Float[Tensor, " edges"],
    x: Float[Tensor, "items dim"],
) -> Float[Tensor, "nodes dim"]:
    """Return a sparse matrix, given by its CSR places and their values, times ``x``; no gradient.

    Args:
        ptr: First place of each row, and the number of places last, int32 (nodes + 1).
        idx: Row of ``x`` at each place, int32.
        weight: Value at each place.
        x: What the matrix is applied to.
    """
    out = torch.empty(len(ptr) - 1, x.shape[1], dtype=x.dtype, device=x.device)
    if native.takes(x, weight):
        return native.spmm(ptr.long(), idx, weight.detach(), x, out)
    if gpu.takes(x, weight):
        return gpu.spmm(ptr.long(), idx, weight.detach(), x, out)

    sparse = torch.sparse_csr_tensor(
        ptr, idx, weight.detach(), (len(out), len(x)), check_invariants=False
    )
    return torch.addmm(out, sparse, x.contiguous(), beta=0.0, out=out)


def matrix(graph: Csr, weight: Float[Tensor, " edges"]) -> Tensor:
    """Return the graph as a sparse CSR tensor (destination x source) that shares its memory,
    unchecked.

    Both index arrays are 32-bit: at Gowalla's size the product is a third faster than with 64.
    """
    size = (graph.num_nodes, graph.num_nodes)
    return torch.sparse_csr_tensor(graph.ptr.int(), graph.idx, weight, size, check_invariants=False)


class _Propagate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, graph: Csr, reverse: Tensor | None, rows: Tensor | None
    ) -> Tensor:
        ctx.graph = graph
        ctx.shape = x.shape
        ctx.save_for_backward(x if weight.requires_grad else None, weight, reverse, rows)
        if rows is None:
            return _multiply(graph, weight, x)

        return native.spmm(
            graph.ptr, graph.idx, weight, x, x.new_empty(len(rows), x.shape[1]), rows=rows
        )

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, upstream: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        x, weight, reverse, rows = ctx.saved_tensors
        graph = ctx.graph
        to_x = None
        to_weight = None

        if ctx.needs_input_grad[0]:
            if reverse is None:
                reverse = weight.index_select(0, graph.rev)
            if rows is None:
                to_x = _multiply(graph, reverse, upstream)
            else:
                out = upstream.new_empty(ctx.shape)
                to_x = native.spmm(
                    graph.ptr,
                    graph.idx,
                    reverse,
                    upstream,
                    out,
                    x_place=_places(rows, graph.num_nodes),
                )

        if ctx.needs_input_grad[1]:
            to_weight = sddmm(graph, upstream, x)

        return to_x, to_weight, None, None, None


class _PropagateBeside(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, graph: Csr, reverse: Tensor, rows: Tensor, last: bool
    ) -> tuple[Tensor, ...]:
        ctx.recipe = (graph, reverse, rows, last)
        ctx.shape = x.shape
        out = x.new_empty(len(rows) if last else len(x), x.shape[1])
        near = native.spmm(graph.ptr, graph.idx, weight, x, out, rows=rows if last else None)
        own = x.index_select(0, rows)
        if last:
            return (own, near)

        return (own, near, x)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, own: Tensor, near: Tensor, every: Tensor | None = None
    ) -> tuple[Tensor | None, ...]:
        graph, reverse, rows, last = ctx.recipe
        if last:
            place = _places(rows, graph.num_nodes)
        else:
            place = None

        to_x = native.spmm(
            graph.ptr, graph.idx, reverse, near, near.new_empty(ctx.shape), every, x_place=place
        )
        return to_x.index_add_(0, rows, own), None, None, None, None, None


class _Poly(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, graph: Csr, coefficients: tuple[float, ...]
    ) -> Tensor:
        ctx.recipe = (weight, graph, coefficients)
        return _horner(x, *ctx.recipe)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        return _horner(upstream, *ctx.recipe), None, None, None


class _PolyRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        graph: Csr,
        coefficients: tuple[float, ...],
        rows: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.recipe = (weight, graph, coefficients, rows)
        ctx.shape = x.shape
        own = x.index_select(0, rows)
        if not native.takes(x, weight) or len(coefficients) == 1:
            return _horner(x, weight, graph, coefficients).index_select(0, rows), own

        first, *rest = coefficients
        if len(rest) > 1:
            inner = _horner(x, weight, graph, tuple(rest))
            factor = 1.0
        else:
            inner = x
            factor = rest[0]

        out = torch.empty_like(own)
        return native.spmm(
            graph.ptr, graph.idx, weight, inner, out, x, first, factor, rows=rows
        ), own

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, own: Tensor) -> tuple[Tensor, None, None, None, None]:
        weight, graph, coefficients, rows = ctx.recipe
        if not native.takes(upstream, weight) or len(coefficients) == 1:
            wide = upstream.new_zeros(ctx.shape)
            wide.index_copy_(0, rows, upstream)
            to_x = _horner(wide, weight, graph, coefficients)
            return to_x.index_add_(0, rows, own), None, None, None, None

        place = _places(rows, graph.num_nodes)
        *lower, factor = coefficients
        upstream = current = upstream.contiguous()
        at: Tensor | None = place
        into = upstream.new_empty(ctx.shape)
        other = upstream.new_empty(ctx.shape if len(lower) > 1 else 0)

        for number in reversed(range(len(lower))):
            added = (
                upstream if number else upstream * lower[0] + own
            )  # both gradients of a row, in the last layer
            if number:
                by = lower[number]
            else:
                by = 1.0

            native.spmm(
                graph.ptr,
                graph.idx,
                weight,
                current,
                into,
                added,
                by,
                factor,
                x_place=at,
                added_place=place,
            )
            current = into
            at = None
            factor = 1.0
            into, other = other, into

        return current, None, None, None, None


class _SegmentSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, graph: Csr) -> Tensor:
        ctx.graph = graph
        edges = torch.arange(graph.num_edges, dtype=torch.int32, device=values.device)
        ones = torch.ones(graph.num_edges, dtype=values.dtype, device=values.device)
        size = (graph.num_nodes, graph.num_edges)
        collect = torch.sparse_csr_tensor(
            graph.ptr.int(), edges, ones, size, check_invariants=False
        )
        out = values.new_zeros(graph.num_nodes, values.shape[1])
        return torch.addmm(out, collect, values.contiguous(), beta=0.0, out=out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return torch.repeat_interleave(
            upstream, ctx.graph.degree, dim=0, output_size=ctx.graph.num_edges
        ), None


def _places(rows: Tensor, num_nodes: int) -> Tensor:
    """Return the position of each node among distinct ``rows``, or -1."""
    place = torch.full((num_nodes,), -1, dtype=torch.int32)
    place[rows] = torch.arange(len(rows), dtype=torch.int32)
    return place


def _check_polynomial(weight: Tensor, coefficients: Sequence[float]) -> None:
    if not coefficients:
        raise ConfigError("a polynomial needs at least one coefficient, got none.")
    if weight.requires_grad:
        raise ConfigError(
            "a polynomial gives no gradient to its weights. Use propagate, layer by layer."
        )


def _multiply(graph: Csr, weight: Tensor, x: Tensor) -> Tensor:
    return _add_product(
        graph, weight.detach(), x, torch.empty(x.shape, dtype=x.dtype, device=x.device)
    )


def _add_product(
    graph: Csr,
    weight: Tensor,
    x: Tensor,
    out: Tensor,
    added: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Tensor:
    """Write ``beta A x + alpha added`` into ``out`` and return it."""
    if native.takes(x, weight):
        return native.spmm(graph.ptr, graph.idx, weight, x, out, added, alpha, beta)
    if gpu.takes(x, weight):
        return gpu.spmm(graph.ptr, graph.idx, weight, x, out, added, alpha, beta)

    if added is None:
        base = out
        factor = 0.0
    else:
        base = added
        factor = alpha

    return torch.addmm(
        base, matrix(graph, weight), x.contiguous(), beta=factor, alpha=beta, out=out
    )


def _horner(x: Tensor, weight: Tensor, graph: Csr, coefficients: tuple[float, ...]) -> Tensor:
    *lower, highest = coefficients
    if not lower:
        return x * highest

    x = x.contiguous()
    out = torch.empty_like(x)

    if len(lower) == 1:
        other = out
    else:
        other = torch.empty_like(x)

    # The two buffers take turns, so placed that the last sum lands in ``out``.
    if len(lower) % 2:
        into = out
        rest = other
    else:
        into = other
        rest = out

    current = x
    factor = highest

    for coefficient in reversed(lower):
        _add_product(graph, weight, current, into, x, coefficient, factor)
        current = into
        factor = 1.0
        into, rest = rest, into

    return out
