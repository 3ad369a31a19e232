"""Rows of a table, wherever they are."""

from jaxtyping import Float, Int
from torch import Tensor

from kgrec.ops.rows import take_rows
from kgrec.scale.columns import Whole
from kgrec.scale.rows import Rows, lookup_rows


def rows_at(
    table: Float[Tensor, "nodes dim"], rows: Int[Tensor, " batch"], shard: Whole
) -> Float[Tensor, "batch dim"]:
    """Return rows of a table that may lie apart by rows over several processes.

    Args:
        table: The table, or this process's part of it.
        rows: Rows of the whole table.
        shard: ``Recommender.shard``.
    """
    if isinstance(shard, Rows) and shard.holds(table):
        return lookup_rows(table, rows, shard.world)
    return take_rows(table, rows)
