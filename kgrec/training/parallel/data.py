"""Training by shares of the batch: every process holds the model and reads a part of each batch."""

import os
from typing import Any

import torch
from torch import Tensor

from kgrec.errors import ConfigError, ModelError
from kgrec.models.base import Objective, Plan, Recommender
from kgrec.ops.optimizer import Optimizer
from kgrec.scale.rows import Rows
from kgrec.scale.world import World
from kgrec.training.micro_batches import cut, rows_of
from kgrec.training.parallel.columns import Apart
from kgrec.training.parallel.draws import Part, SharedBatch

TABLE_BYTES = "KGREC_TABLE_BYTES"
"""Environment variable: bytes from which on a table lies apart by rows."""

_BYTES = 1e9


class Shared(Apart):
    """A model of which every process reads a part of each batch; what the plan calls ``split``
    lies apart by rows where it is large.

    Args:
        model: The whole model, on its device.
        plan: Its plan.
        world: The processes.

    Raises:
        ConfigError: If ``KGREC_TABLE_BYTES`` is no number.
    """

    def __init__(self, model: Recommender, plan: Plan, world: World) -> None:
        least = table_bytes()
        tables = () if plan.split is None else plan.split.tables
        large = tuple(table for table in tables if table.nbytes >= least)
        self._lie(model, plan, world, large, Rows(world, large))

    def share(self, objective: Objective[Any], batch: Any) -> tuple[Any, float, SharedBatch]:
        """Return this process's part of a batch, what its loss counts for, and what its draws are
        made in. A batch smaller than the world is read whole by all.
        """
        count = rows_of(batch)
        if count is None:
            raise ModelError(
                f"objective {objective.name!r}: batches of {type(batch).__name__} have no rows, "
                "so processes cannot share them. Train with parallel=none."
            )

        size, rank = self.world.size, self.world.rank
        if count < size:
            return batch, 1 / size, SharedBatch(self.world, [Part(0, count, count)])

        rows = Part(count * rank // size, count * (rank + 1) // size, count)
        own = cut(batch, rows.start, rows.stop)
        if objective.terms is None:
            return own, len(rows) / count, SharedBatch(self.world, [rows])

        before = torch.nn.functional.pad(objective.terms(batch).cumsum(0), (1, 0))
        start, stop, whole = before[[rows.start, rows.stop, -1]].tolist()
        terms = Part(start, stop, whole)
        return own, len(terms) / max(1, whole), SharedBatch(self.world, [rows, terms])

    def added(self, optimizer: Optimizer, losses: Tensor) -> Tensor:
        """Add the gradients of all processes up, but those of tables that lie apart, and return
        the sum of their losses. A parameter without a gradient anywhere has none afterwards.
        """
        lying = {id(table) for table in self._tables}
        moved = [
            parameter
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.requires_grad and id(parameter) not in lying
        ]
        flags = losses.new_tensor([parameter.grad is not None for parameter in moved])
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in moved
        ]
        parts = [*(gradient.flatten() for gradient in gradients), flags, losses]
        sums = torch.split(self.world.all_reduce(torch.cat(parts)), [len(part) for part in parts])
        there = sums[-2].tolist()
        for parameter, total, some in zip(moved, sums, there, strict=False):
            parameter.grad = total.view_as(parameter).to(parameter.dtype) if some else None
        return sums[-1].to(losses.dtype)


def table_bytes() -> float:
    """Return the bytes from which on a table lies apart by rows.

    Raises:
        ConfigError: If ``KGREC_TABLE_BYTES`` is no number.
    """
    text = os.environ.get(TABLE_BYTES, "")
    try:
        found = float(text) if text.strip() else _BYTES
    except ValueError:
        found = -1.0
    if not found >= 0:
        raise ConfigError(f"{TABLE_BYTES}={text[:40]!r} is no number of bytes.")
    return found


def taken_apart(model: Recommender, plan: Plan, world: World) -> Apart:
    """Return a model as processes train it together, by what its plan says.

    Raises:
        ConfigError: If the processes do not divide the columns.
    """
    if plan.parallel == "data":
        return Shared(model, plan, world)
    return Apart(model, plan, world)
