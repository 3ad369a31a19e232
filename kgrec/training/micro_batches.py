"""Batches in pieces, where memory does not suffice for a whole one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from kgrec.log import logger


class Pieces:
    """In how many pieces batches are taken: one, until memory runs out.

    Attributes:
        count: Pieces of a batch.
    """

    def __init__(self) -> None:
        self.count = 1

    def more(self, error: Exception, batches: Sequence[Any]) -> bool:
        """Take twice as many pieces from here on, and say so; return False where that cannot
        help.
        """
        rows = [rows_of(batch) for batch in batches]
        if not out_of_memory(error) or any(size is None or size < 2 * self.count for size in rows):
            return False

        self.count *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

        size = max(-(-(size or 0) // self.count) for size in rows)
        logger.warning(
            "memory ran out: batches are taken in %d pieces of up to %d rows from here on. "
            "Gradients add up to the same; a smaller "
            "batch_size or dim needs less.",
            self.count,
            size,
        )

        return True


def out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; torch says so by a ``RuntimeError``."""
    return isinstance(
        error, (MemoryError, torch.OutOfMemoryError)
    ) or "can't allocate memory" in str(error)


def in_pieces(
    batch: Any, count: int, terms: Callable[[Any], Tensor] | None = None
) -> Iterator[tuple[Any, float]]:
    """Yield a batch in pieces of equal size (the last may be smaller), each with its share of the
    rows, or of the terms.

    The mean of a loss over the batch is the sum of its means over the pieces times these shares.
    """
    size = rows_of(batch)
    assert size is not None
    step = -(-size // count)
    weight = torch.ones(size) if terms is None else terms(batch)
    for start in range(0, size, step):
        share = weight[start : start + step].sum() / weight.sum()
        yield cut(batch, start, start + step), float(share)


def cut(batch: Any, start: int, stop: int) -> Any:
    """Return some rows of a batch."""
    columns = {field.name: getattr(batch, field.name)[start:stop] for field in fields(batch)}
    return type(batch)(**columns)


def rows_of(batch: Any) -> int | None:
    """Return the rows of a batch of tensors; None for a batch of another make, which cannot be
    cut.
    """
    if not is_dataclass(batch):
        return None

    columns = [getattr(batch, field.name) for field in fields(batch)]
    sizes = {
        len(column) if isinstance(column, Tensor) and column.dim() else None for column in columns
    }
    if len(sizes) == 1:
        return sizes.pop()

    return None
