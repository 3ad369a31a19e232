"""Blocks of models over fields: sums over the values that somebody or something has, and a network
over two sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from kgrec.nn.dense import dense
from kgrec.nn.init import glorot_uniform
from kgrec.ops.propagate import sparse_product


@dataclass(frozen=True, slots=True)
class Side:
    """What users, or items, have, a row each.

    Attributes:
        total: Sum of x v over a row's values by field, the id first; of a model that does not tell
            fields apart, over all.
        squares: Sum of x^2 times the squares of v over a row's values.
    """

    total: Float[Tensor, "batch _ dim"]
    squares: Float[Tensor, "batch _"]


class ValueSums(nn.Module):
    """Sums of values' vectors, each times a number: y[r] = sum of x v over the values v of r.

    Args:
        row: Row of each entry, int64, in any order.
        value: Value of each entry, int64.
        x: Number of each entry.
        num_rows: Rows; those without a value get 0.
        num_values: Rows of the tables that are summed.

    Attributes:
        ptr: First entry of each row, and the number of entries last, int64.
        value: Value of each entry, by row, int32.
        x: Number of each entry.
    """

    ptr: Tensor
    value: Tensor
    x: Tensor
    _back_ptr: Tensor
    _back_row: Tensor
    _back_x: Tensor

    def __init__(
        self,
        row: Int[Tensor, " edges"],
        value: Int[Tensor, " edges"],
        x: Float[Tensor, " edges"],
        num_rows: int,
        num_values: int,
    ) -> None:
        super().__init__()
        forward, back = _sorted(row, value, x, num_rows), _sorted(value, row, x, num_values)
        names = ("ptr", "value", "x", "_back_ptr", "_back_row", "_back_x")
        for name, part in zip(names, (*forward, *back), strict=True):
            self.register_buffer(name, part, persistent=False)

    def forward(self, table: Float[Tensor, "_ dim"]) -> Float[Tensor, "_ dim"]:
        """Return the sums of all rows."""
        forward, back = (
            (self.ptr, self.value, self.x),
            (
                self._back_ptr,
                self._back_row,
                self._back_x,
            ),
        )
        sums: Tensor = _Sums.apply(table, forward, back)  # type: ignore[no-untyped-call]
        return sums


def _sorted(row: Tensor, column: Tensor, x: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return where each row begins, and columns and numbers by row."""
    order = torch.sort(row, stable=True).indices
    ptr = torch.nn.functional.pad(torch.bincount(row, minlength=count).cumsum(0), (1, 0))
    return ptr, column[order].int(), x[order]


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, forward: Any, back: Any) -> Tensor:
        ctx.back = back
        ptr, value, x = forward
        return sparse_product(ptr.int(), value, x, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        ptr, row, x = ctx.back
        return sparse_product(ptr.int(), row, x, upstream.contiguous()), None, None


class TwoSided(nn.Module):
    """A network over what two sides have, one number for each pair. Its first layer is a sum of a
    part of each side, so that a side that is in many pairs is multiplied once.

        ReLU(a W_a + b W_b + c), further layers with ReLU, w . last layer

    Dropout is before each layer but the first.

    Args:
        dims: Sizes of the two sides.
        layers: Sizes of the layers, at least one.
        generator: Draws the weights; biases start at 0.
        dropout: Probability of setting a value to zero in training.
    """

    def __init__(
        self,
        dims: tuple[int, int],
        layers: Sequence[int],
        generator: torch.Generator,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        first = glorot_uniform(sum(dims), layers[0], generator=generator)
        left, right = torch.split(first, list(dims))
        self.left, self.right = nn.Parameter(left.clone()), nn.Parameter(right.clone())
        self.offset = nn.Parameter(torch.zeros(layers[0]))
        self.rest = dense(layers, generator, dropout=dropout)
        self.head = nn.Parameter(glorot_uniform(layers[-1], 1, generator=generator))

    def forward(
        self, left: Float[Tensor, "... dim"], right: Float[Tensor, "... dim"]
    ) -> Float[Tensor, "... 1"]:
        """Return a number for each pair, of what the sides add to the first layer: ``left`` or
        ``right`` times the side's matrix.
        """
        values: Tensor = self.rest(torch.relu(left + right + self.offset))
        return values @ self.head
