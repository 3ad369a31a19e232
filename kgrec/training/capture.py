"""A training step as a CUDA graph: recorded once, replayed with one launch."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from kgrec.log import logger

_FIRST_STEPS = (
    3  # run as they are, so that what a step allocates or chooses at its first run is settled
)

Step = Callable[[Sequence[Any]], Tensor]


class Capture:
    """Runs a step; after the first few, as a recorded graph where the batch has the recorded
    shapes.

    A step that cannot be recorded (it asks the host for a number, or its shapes depend on the
    batch) goes on as it is.

    Args:
        step: Trains on batches and returns the losses.
        record: Returns what runs the recorded work again, and the losses that it leaves.
    """

    def __init__(
        self,
        step: Step,
        record: "Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]] | None" = None,
    ) -> None:
        self._step = step
        self._record = record or _record
        self._left = _FIRST_STEPS
        self._batches: list[Any] | None = None
        self._replay: Callable[[], None] | None = None
        self._losses: Tensor | None = None

    def __call__(self, batches: Sequence[Any]) -> Tensor:
        """Train on batches; return the losses."""
        if self._left:
            self._left -= 1
            return self._step(batches)

        if self._batches is None:
            self._start(batches)

        if self._replay is None or self._losses is None or not _alike(batches, self._batches or []):
            return self._step(batches)

        for batch, kept in zip(batches, self._batches or [], strict=True):
            for field in fields(batch):
                getattr(kept, field.name).copy_(getattr(batch, field.name))

        self._replay()
        return self._losses.clone()

    def _start(self, batches: Sequence[Any]) -> None:
        """Record the step, on batches of its own."""
        self._batches = []
        if not all(
            is_dataclass(batch)
            and all(isinstance(getattr(batch, field.name), Tensor) for field in fields(batch))
            for batch in batches
        ):
            return

        self._batches = [
            type(batch)(
                **{field.name: getattr(batch, field.name).clone() for field in fields(batch)}
            )
            for batch in batches
        ]
        try:
            self._replay, self._losses = self._record(lambda: self._step(self._batches or []))
        except RuntimeError as error:
            logger.debug("the step is not recorded as a CUDA graph: %s", error)
            torch.cuda.synchronize()


def _alike(batches: Sequence[Any], kept: Sequence[Any]) -> bool:
    return len(batches) == len(kept) and all(
        getattr(batch, field.name).shape == getattr(own, field.name).shape
        for batch, own in zip(batches, kept, strict=True)
        for field in fields(batch)
    )


def _record(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses = step()
    return graph.replay, losses
