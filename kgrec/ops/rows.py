"""Rows of a table, with a gradient that is the same every time."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding

from kgrec.ops.backends import gpu

_LEAST_NORM = 1e-12  # as torch's normalize


def take_rows(
    table: Float[Tensor, "nodes dim"], rows: Int[Tensor, " batch"]
) -> Float[Tensor, "batch dim"]:
    """Return ``table[rows]``.

    The gradients of a row that is taken several times are added in a fixed order. Plain indexing
    adds them with atomics from several threads, so that two runs of one seed drift apart in the
    last bits.
    """
    if table.device.type == "cpu" or gpu.takes(table):
        result: Tensor = _TakeRows.apply(table, rows)  # type: ignore[no-untyped-call]
        return result

    return embedding(rows, table)


def pair_products(
    left: Float[Tensor, "nodes dim"],
    right: Float[Tensor, "relations dim"],
    row: Int[Tensor, " edges"],
    other: Int[Tensor, " edges"],
) -> Float[Tensor, " edges"]:
    """Return the inner products of ``left[row]`` and ``right[other]``.

    Where all products of the two tables are fewer numbers than the rows that would be gathered,
    they are made first, by one matrix product, and looked up.
    """
    if len(left) * len(right) > len(row) * left.shape[1]:
        return (take_rows(left, row) * take_rows(right, other)).sum(1)

    cells = (left @ right.T).flatten()
    at = row * len(right) + other
    if cells.device.type != "cpu":
        return take_rows(cells.unsqueeze(1), at).squeeze(1)

    products: Tensor = _TakeRows.apply(cells, at)  # type: ignore[no-untyped-call]
    return products


class _TakeRows(torch.autograd.Function):
    """Torch's own gradient is slower on the CPU, and asks the host how many rows are distinct,
    which no capture of a CUDA graph allows.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.size = len(table)
        ctx.save_for_backward(rows)
        return table.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        if upstream.device.type == "cpu":
            return upstream.new_zeros(ctx.size, *upstream.shape[1:]).index_add_(
                0, rows, upstream
            ), None
        return gpu.row_sums(rows, upstream, ctx.size), None


def fixed_shapes(batch: Tensor) -> bool:
    """Return whether a step had better keep to shapes that do not depend on what is in its batch:
    off the CPU, where steps are recorded.
    """
    return batch.device.type != "cpu"


def unit_rows(
    x: Float[Tensor, "nodes dim"], added: Callable[[Tensor], Tensor] | None = None
) -> Float[Tensor, "nodes dim"]:
    """Return each row divided by its length; rows of zeros stay so, and their gradient is 0.

    Otherwise as torch's ``normalize``, with a gradient that passes over the table three times
    instead of eight. Differentiable once. ``normalize`` multiplies the gradient of a row of zeros
    by 1e12: a few layers of that are beyond the largest number.

    Args:
        x: The rows.
        added: Returns the sum over all columns of numbers that add up over them, where ``x`` has only
            some; it gives no gradient. None where it has all.
    """
    result: Tensor = _UnitRows.apply(x, added)  # type: ignore[no-untyped-call]
    return result


def inverse_length(x: Float[Tensor, "... dim"]) -> Float[Tensor, "..."]:
    """Return 1 / length of each vector, 0 for one of zeros."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1)
    return length.clamp(min=_LEAST_NORM).reciprocal() * (length > _LEAST_NORM)


class _UnitRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, added: Callable[[Tensor], Tensor] | None) -> Tensor:
        ctx.added = added
        length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        if added is not None:
            length = added(length.square_()).sqrt_()

        inverse = length.clamp(min=_LEAST_NORM).reciprocal_()
        unit: Tensor = x * inverse
        ctx.save_for_backward(unit, inverse.masked_fill_(length <= _LEAST_NORM, 0.0))
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        unit, inverse = ctx.saved_tensors
        along = (upstream * unit).sum(1, keepdim=True)
        if ctx.added is not None:
            along = ctx.added(along)

        return torch.addcmul(upstream, unit, along, value=-1).mul_(inverse), None
