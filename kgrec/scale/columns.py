"""Tables apart by columns: every process holds some columns of every row, and the graph whole.

Linear propagation needs no exchange. What compares rows does: numbers that add up over columns go
through ``sum_partial``, whole rows through ``gather_columns``. Both leave the loss the same, whole
number on every process, so that losses stay as they are written.

What every process holds whole (a matrix of a dense layer, a number for each relation) gets its whole
gradient in every process: it enters what is done by columns or by shares through ``alike``, which adds
the gradients up, or as its own columns through ``part``.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.errors import ConfigError
from kgrec.scale.world import World


class Whole:
    """Tables that are in one process: nothing is exchanged, nothing is computed.

    Attributes:
        apart: Whether columns are in several processes.
        columns: Which columns are here.
        sums: ``total``, where columns are apart; else None.
        added: The same without a gradient.
    """

    apart = False
    columns: slice = slice(None)
    sums: Callable[[Tensor], Tensor] | None = None
    added: Callable[[Tensor], Tensor] | None = None

    def width(self, own: int) -> int:
        """Return how many columns there are, given how many are here."""
        return own

    def block(self, own: int) -> tuple[int, int, int] | None:
        """Return where a table of so many columns lies in the whole one, for ``dropout``; None where
        it is the whole one.
        """
        return None

    def whole(self, own: Tensor) -> Tensor:
        """Return the whole table, to every process, without a gradient."""
        return own.detach()

    def rows(self, own: Float[Tensor, "batch _"]) -> Float[Tensor, "batch dim"]:
        """Return whole rows."""
        return own

    def alike(self, *held: Tensor) -> tuple[Tensor, ...]:
        """Return what every process holds whole, for use with what each has for itself: columns, or
        a share of rows.
        """
        return held

    def part(self, whole: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes _"]:
        """Return the columns here of a table that every process computes whole."""
        return whole

    def total(self, part: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the sum over all columns of numbers that add up over them."""
        return part

    def share(self, count: int) -> slice:
        """Return which rows of a batch this process compares."""
        return slice(None)

    def mean(self, loss: Float[Tensor, ""], count: int) -> Float[Tensor, ""]:
        """Return the mean over a batch of so many rows, given that over the share."""
        return loss

    def sum(self, part: Float[Tensor, ""], count: int) -> Float[Tensor, ""]:
        """Return the sum over a batch of so many rows, given that over the share."""
        return part


WHOLE = Whole()


class Columns(Whole):
    """Tables of ``dim`` columns over the processes of a world, as many columns each.

    Args:
        world: The processes.
        dim: Columns of the tables.

    Raises:
        ConfigError: If the processes do not divide the columns.
    """

    apart = True

    def __init__(self, world: World, dim: int) -> None:
        if dim % world.size:
            fits = [size for size in range(1, dim + 1) if dim % size == 0]
            raise ConfigError(
                f"{dim} columns are not divided by {world.size} processes. Start "
                f"{', '.join(map(str, fits[:8]))} of them, or choose another dim."
            )

        self.world = world
        self.dim = dim
        width = dim // world.size
        self.columns = slice(world.rank * width, (world.rank + 1) * width)
        self.sums = self.total
        self.added = world.all_reduce

    def width(self, own: int) -> int:
        """Return how many columns there are, given how many are here."""
        return own * self.world.size

    def block(self, own: int) -> tuple[int, int, int] | None:
        """Return where a table of so many columns lies in the whole one: first row, first column,
        columns of the whole.
        """
        return 0, self.world.rank * own, self.width(own)

    def own(self, table: Tensor) -> Tensor:
        """Return a copy of this process's columns of a whole table."""
        return table[:, self.columns].clone().contiguous()

    def whole(self, own: Tensor) -> Tensor:
        """Return the whole table, to every process, without a gradient."""
        return _beside(self.world.all_gather(own.detach()), self.world.size)

    def whole_to_first(self, own: Tensor) -> Tensor | None:
        """Return the whole table to the first process, None to the others."""
        parts = self.world.to_first(own)
        return None if parts is None else _beside(parts.flatten(0, 1), self.world.size)

    def alike(self, *held: Tensor) -> tuple[Tensor, ...]:
        """Return what every process holds whole; the gradients of all are added up."""
        result: tuple[Tensor, ...] = _Alike.apply(self.world, *held)  # type: ignore[no-untyped-call]
        return result

    def part(self, whole: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes _"]:
        """Return the columns here of a table that every process computes whole; the gradients of
        all columns are gathered.
        """
        result: Tensor = _Part.apply(whole, self)  # type: ignore[no-untyped-call]
        return result

    def rows(self, own: Float[Tensor, "batch _"]) -> Float[Tensor, "batch dim"]:
        """Return whole rows, made of everyone's columns."""
        result: Tensor = _GatherColumns.apply(own, self.world)  # type: ignore[no-untyped-call]
        return result

    def total(self, part: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the sum over all columns of numbers that add up over them."""
        result: Tensor = _SumPartial.apply(part, self.world)  # type: ignore[no-untyped-call]
        return result

    def share(self, count: int) -> slice:
        """Return which rows of a batch this process compares: an even part, or all of a batch that
        is smaller than the world.
        """
        size, rank = self.world.size, self.world.rank
        if count < size:
            return slice(None)
        return slice(count * rank // size, count * (rank + 1) // size)

    def mean(self, loss: Float[Tensor, ""], count: int) -> Float[Tensor, ""]:
        """Return the mean over a batch of so many rows, given that over the share."""
        share = self.share(count)
        if share.stop is None:
            return self.sum(loss, count)

        return self.total(loss * ((share.stop - share.start) / count))

    def sum(self, part: Float[Tensor, ""], count: int) -> Float[Tensor, ""]:
        """Return the sum over a batch of so many rows, given that over the share."""
        if count < self.world.size:  # all of them have it
            part = part / self.world.size
        return self.total(part)


def gather_columns(own: Float[Tensor, "batch _"], world: World) -> Float[Tensor, "batch dim"]:
    """Return whole rows, given some columns of them in each process.

    The gradients that the processes send back are added: each computes its share of the loss,
    its part of the batch over the whole batch's size.
    """
    return Columns(world, own.shape[1] * world.size).rows(own)


def sum_partial(part: Float[Tensor, "..."], world: World) -> Float[Tensor, "..."]:
    """Return the sum over the processes.

    The gradient passes as it is: each process computes the whole loss.
    """
    return Columns(world, world.size).total(part)


class _GatherColumns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, world: World) -> Tensor:
        ctx.world = world
        return _beside(world.all_gather(own), world.size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        size = ctx.world.size
        width = upstream.shape[1] // size
        parts = upstream.view(len(upstream), size, width).transpose(0, 1)
        received = ctx.world.all_to_all(parts.reshape(size * len(upstream), width))
        return received.view(size, len(upstream), width).sum(0), None  # in the order of ranks


class _SumPartial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, world: World) -> Tensor:
        return world.all_reduce(part)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return upstream, None


class _Alike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, world: World, *held: Tensor) -> tuple[Tensor, ...]:
        ctx.world = world
        return tuple(one.view_as(one) for one in held)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        total = ctx.world.all_reduce(torch.cat([one.flatten() for one in upstream]))
        parts = torch.split(total, [one.numel() for one in upstream])
        return None, *(part.view_as(one) for part, one in zip(parts, upstream, strict=True))


class _Part(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor, columns: Columns) -> Tensor:
        ctx.columns = columns
        return columns.own(whole)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return ctx.columns.whole(upstream), None


def _beside(parts: Tensor, size: int) -> Tensor:
    """Return the rows of parts that lie one behind another, side by side."""
    rows, width, *further = len(parts) // size, *parts.shape[1:]
    beside = parts.view(size, rows, width, *further).transpose(0, 1)
    return beside.reshape(rows, size * width, *further)
