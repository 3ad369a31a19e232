"""What is drawn and measured over a batch, the same however many processes share it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from kgrec.errors import ModelError
from kgrec.scale.world import World


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what a batch has.

    Attributes:
        start: First of it.
        stop: Behind its last.
        whole: How many the whole batch has.
    """

    start: int
    stop: int
    whole: int

    def __len__(self) -> int:
        """Return how many are in the part."""
        return self.stop - self.start


class SharedBatch(TorchFunctionMode):
    """Inside it torch's dropout and ``randint`` draw for the whole batch and keep a process's part,
    and batch normalization measures the whole batch.

    Every process draws from torch's global stream what one process would, so that masks and drawn
    items are those of one process, whatever the number of processes.

    Args:
        world: The processes.
        parts: Parts that the first axis may be of: rows of the batch, and terms of its loss.
    """

    def __init__(self, world: World, parts: Sequence[Part]) -> None:
        super().__init__()
        self._world = world
        self._parts = parts
        self._own: dict[object, Callable[..., Tensor]] = {
            functional.dropout: self._dropout,
            functional.batch_norm: self._batch_norm,
            torch.randint: self._randint,
        }

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call what stands for a function, or the function itself."""
        called: Callable[..., Any] = self._own.get(func, func)
        return called(*args, **(kwargs or {}))

    def _part(self, count: int, what: str) -> Part:
        """Return which part of the batch so many rows are."""
        for part in self._parts:
            if count == len(part):
                return part
        raise ModelError(
            f"{what} over {count} rows, which are neither the {len(self._parts[0])} rows of a "
            "process's part of the batch nor its targets: processes cannot share it. Train with "
            "parallel=none."
        )

    def _dropout(
        self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or not p:
            return functional.dropout(x, p, training, inplace)

        part = self._part(len(x), "dropout")
        sizes = part.whole, *x.shape[1:]
        strides = x.stride()
        order = sorted(range(x.ndim), key=lambda axis: -strides[axis])  # masks are drawn by memory
        whole = x.new_ones([sizes[axis] for axis in order])
        kept = functional.dropout(whole.permute([order.index(axis) for axis in range(x.ndim)]), p)
        return x * kept[part.start : part.stop]

    def _randint(self, *args: Any, **more: Any) -> Tensor:
        *bounds, size = args
        part = self._part(size[0], "randint")
        drawn: Tensor = torch.randint(*bounds, (part.whole, *size[1:]), **more)  # type: ignore[call-overload]
        return drawn[part.start : part.stop]

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        part = self._part(len(x), "batch normalization")
        if not training or len(part) == part.whole or running_mean is None or running_var is None:
            more = weight, bias, training, momentum, eps
            return functional.batch_norm(x, running_mean, running_var, *more)

        mean = self._total(x.sum(0)) / part.whole
        variance = self._total((x - mean).square().sum(0)) / part.whole
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * part.whole / (part.whole - 1), momentum)

        found = (x - mean) / (variance + eps).sqrt()
        found = found if weight is None else found * weight
        return found if bias is None else found + bias

    def _total(self, x: Tensor) -> Tensor:
        result: Tensor = _Total.apply(x, self._world)  # type: ignore[no-untyped-call]
        return result


class _Total(torch.autograd.Function):
    """The sum over processes of which each has its share of the loss."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, world: World) -> Tensor:
        ctx.world = world
        return world.all_reduce(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return ctx.world.all_reduce(upstream), None
