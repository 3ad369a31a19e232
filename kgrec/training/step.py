"""One step: the losses of a batch of each objective, their gradients, and the optimizer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kgrec.errors import ModelError
from kgrec.models.base import Objective, Plan
from kgrec.ops.optimizer import Optimizer
from kgrec.training.micro_batches import Pieces, in_pieces
from kgrec.training.optimizers import clip
from kgrec.training.parallel.columns import Apart
from kgrec.training.parallel.data import Shared


class TrainingStep:
    """Trains on a batch of each objective.

    Args:
        objectives: What is trained in the same step.
        optimizer: Moves their parameters.
        plan: What they are part of.
        pieces: How many pieces a batch is taken in, after running out of memory.
        clip_norm: Greatest norm of the gradients; 0 takes them as they are.
        apart: The model as other processes train it too, where there are some.

    Attributes:
        names: What the losses are called, in the order of what a call returns; empty before the
            first one.
    """

    def __init__(
        self,
        objectives: Sequence[Objective[Any]],
        optimizer: Optimizer,
        plan: Plan,
        pieces: Pieces,
        clip_norm: float = 0.0,
        apart: Apart | None = None,
    ) -> None:
        self.names: tuple[str, ...] = ()
        self._objectives = objectives
        self._optimizer = optimizer
        self._plan = plan
        self._pieces = pieces
        self._clip_norm = clip_norm
        self._apart = apart

    def __call__(self, batches: Sequence[Any]) -> Tensor:
        """Train on one batch of each objective; return the losses, unweighted."""
        while True:
            self._optimizer.zero_grad(set_to_none=True)
            try:
                values = self._backward(batches, self._pieces.count)
                break
            except (MemoryError, RuntimeError) as error:
                # pieces that the other processes do not take would leave them waiting
                if self._apart is not None or not self._pieces.more(error, batches):
                    raise

        if self._clip_norm and self._apart is not None:
            self._apart.clip(self._optimizer, self._clip_norm)
        elif self._clip_norm:
            clip(self._optimizer, self._clip_norm)

        self._optimizer.step()
        if self._plan.after_step is not None:
            self._plan.after_step()

        return values

    def _backward(self, batches: Sequence[Any], count: int) -> Tensor:
        """Add the gradients up; return the losses."""
        pairs = list(zip(self._objectives, batches, strict=True))
        if isinstance(self._apart, Shared):
            return self._together(pairs, self._apart)
        if count == 1:
            losses = [_losses(objective, batch) for objective, batch in pairs]
            torch.autograd.backward(_total(self._objectives, losses))
            return self._row(losses)

        losses = []
        for objective, batch in pairs:
            sums: dict[str, Tensor] = {}
            for piece, share in in_pieces(batch, count, objective.terms):
                parts = {name: share * value for name, value in _losses(objective, piece).items()}
                torch.autograd.backward(_total([objective], [parts]))
                sums = {
                    name: part.detach() + sums[name] if name in sums else part.detach()
                    for name, part in parts.items()
                }

            losses.append(sums)

        return self._row(losses)

    def _together(self, pairs: Sequence[tuple[Objective[Any], Any]], shared: Shared) -> Tensor:
        """Add up the gradients of all processes, each of its part of the batch."""
        losses = []
        for objective, batch in pairs:
            own, share, whole_batch = shared.share(objective, batch)
            with whole_batch:
                found = _losses(objective, own)
            losses.append({name: share * value for name, value in found.items()})

        torch.autograd.backward(_total(self._objectives, losses))
        return shared.added(self._optimizer, self._row(losses))

    def _row(self, losses: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Return the losses of all objectives one after another, and keep their names.

        Raises:
            ModelError: If they are not those of the first step.
        """
        names = free_names([], (name for parts in losses for name in parts))
        if self.names and names != self.names:
            raise ModelError(
                f"the losses are {', '.join(names)} and were {', '.join(self.names)} in the first "
                "step. Return the same names at every step."
            )

        self.names = names
        return torch.stack([value.detach() for parts in losses for value in parts.values()])


def free_names(taken: Collection[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return names that are not taken: "loss", "loss 2", "loss 3"."""
    found: list[str] = []
    for name in names:
        count = 1
        free = name
        while free in taken or free in found:
            count += 1
            free = f"{name} {count}"

        found.append(free)

    return tuple(found)


def _losses(objective: Objective[Any], batch: Any) -> Mapping[str, Tensor]:
    value = objective.loss(batch)
    return value if isinstance(value, Mapping) else {objective.name: value}


def _total(objectives: Sequence[Objective[Any]], losses: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Return the weighted sum that the gradients are of."""
    return torch.stack(
        [
            value if objective.weight == 1 else objective.weight * value
            for objective, parts in zip(objectives, losses, strict=True)
            for value in parts.values()
        ]
    ).sum()
