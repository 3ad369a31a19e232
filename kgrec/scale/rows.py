"""Tables turned from columns to rows and back, and rows looked up in a table apart by rows."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.errors import ConfigError
from kgrec.scale.columns import Whole
from kgrec.scale.world import World


class Rows(Whole):
    """Tables of which process r holds the rows r, r + W, ...: what a loss reads of them is looked
    up (``lookup_rows``).

    Args:
        world: The processes.
        tables: The tables.
    """

    def __init__(self, world: World, tables: Sequence[Tensor]) -> None:
        self.world = world
        self._tables = tables

    def holds(self, table: Tensor) -> bool:
        """Return whether a table is one of those."""
        return any(table is one for one in self._tables)

    def own(self, table: Tensor) -> Tensor:
        """Return a copy of this process's rows of a whole table."""
        return table[self.world.rank :: self.world.size].clone().contiguous()

    def whole(self, own: Tensor) -> Tensor:
        """Return the whole table, to every process."""
        count, even = self._even(own)
        parts = self.world.all_gather(even).view(self.world.size, *even.shape)
        return parts.transpose(0, 1).flatten(0, 1)[:count]

    def whole_to_first(self, own: Tensor) -> Tensor | None:
        """Return the whole table to the first process, None to the others."""
        count, even = self._even(own)
        parts = self.world.to_first(even)
        return None if parts is None else parts.transpose(0, 1).flatten(0, 1)[:count]

    def _even(self, own: Tensor) -> tuple[int, Tensor]:
        """Return how many rows there are, and this process's, as many as any has."""
        count = int(self.world.all_reduce(torch.tensor([len(own)], device=own.device)))
        most = -(-count // self.world.size)
        return count, torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])])


def row_range(count: int, world: World) -> range:
    """Return the rows that a process holds where a table of so many lies apart by rows."""
    rank, size = world.rank, world.size
    return range(count * rank // size, count * (rank + 1) // size)


def columns_to_rows(own: Float[Tensor, "nodes _"], world: World) -> Float[Tensor, "_ dim"]:
    """Return whole rows of ``row_range``, given this process's columns of all rows.

    What dense layers need of a table that is propagated by columns. The gradient goes the other
    way; each process sends (W - 1) / W^2 of the table.
    """
    if world.size == 1:
        return own
    result: Tensor = _Turned.apply(own, world, len(own))  # type: ignore[no-untyped-call]
    return result


def rows_to_columns(
    own: Float[Tensor, "_ dim"], world: World, count: int
) -> Float[Tensor, "nodes _"]:
    """Return this process's columns of all ``count`` rows, given the whole rows of ``row_range``."""
    if world.size == 1:
        return own
    result: Tensor = _Turned.apply(own, world, -count)  # type: ignore[no-untyped-call]
    return result


def lookup_rows(
    own: Float[Tensor, "_ dim"], rows: Int[Tensor, " batch"], world: World
) -> Float[Tensor, "batch dim"]:
    """Return rows of a table of which process r holds those with ``row % W == r``, row by row.

    Each process asks for rows of its own and gets their gradients back as well: what several ask
    for is added in the order of ranks. Three exchanges: numbers out, rows back, gradients out.

    Raises:
        ConfigError: If a row is beyond what a process holds.
    """
    result: Tensor = _Lookup.apply(own, rows, world)  # type: ignore[no-untyped-call]
    return result


def _to_rows(own: Tensor, world: World) -> Tensor:
    """Send every process its rows of this one's columns."""
    count, width = own.shape
    sizes = [len(row_range(count, World(rank, world.size))) for rank in range(world.size)]
    mine = sizes[world.rank]
    received = world.all_to_all(own, sizes, [mine] * world.size)
    return received.view(world.size, mine, width).transpose(0, 1).reshape(mine, -1)


def _to_columns(own: Tensor, world: World, count: int) -> Tensor:
    """Send every process its columns of this one's rows."""
    rows, dim = own.shape
    width = dim // world.size
    sizes = [len(row_range(count, World(rank, world.size))) for rank in range(world.size)]
    parts = own.view(rows, world.size, width).transpose(0, 1).reshape(-1, width)
    return world.all_to_all(parts, [rows] * world.size, sizes)


class _Turned(torch.autograd.Function):
    """Columns to rows where ``count`` is positive, else rows to columns."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, world: World, count: int) -> Tensor:
        ctx.recipe = world, count
        if count > 0:
            return _to_rows(own, world)
        return _to_columns(own, world, -count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        world, count = ctx.recipe
        if count > 0:
            return _to_columns(upstream, world, count), None, None
        return _to_rows(upstream, world), None, None


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, rows: Tensor, world: World) -> Tensor:
        owner = rows % world.size
        order = torch.argsort(owner, stable=True)
        given = torch.bincount(owner, minlength=world.size)
        taken = world.all_to_all(given)
        wanted = world.all_to_all(rows[order] // world.size, given.tolist(), taken.tolist())
        if len(wanted) and int(wanted.max()) >= len(own):
            raise ConfigError(
                f"rank {world.rank} holds {len(own)} rows and is asked for row {int(wanted.max())}."
            )

        found = world.all_to_all(own[wanted], taken.tolist(), given.tolist())
        ctx.recipe = (world, len(own), given.tolist(), taken.tolist())
        ctx.save_for_backward(order, wanted)
        out = torch.empty_like(found)
        out[order] = found
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        order, wanted = ctx.saved_tensors
        world, count, given, taken = ctx.recipe
        received = world.all_to_all(upstream[order], given, taken)
        total = upstream.new_zeros(count, upstream.shape[1])
        return total.index_add_(0, wanted, received), None, None
