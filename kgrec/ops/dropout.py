"""Dropout whose mask is a function of a key and the place: nothing is drawn in order, nothing is
kept for the gradient.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.ops.backends import native

_LOW = 0xFFFFFFFF


def dropout(
    x: Float[Tensor, "..."],
    probability: float | int,
    key: int,
    block: tuple[int, int, int] | None = None,
) -> Float[Tensor, "..."]:
    """Return ``x`` with a share of its values set to zero and the rest divided by
    ``1 - probability``; ``x`` itself where that is 0.

    Value ``i`` (in memory order) stays where ``word(key, i) >= probability 2^32``, the words being
    those of a counter-based generator: every backend, device and number of threads drops the same
    ones. Differentiable once.

    Args:
        x: Values.
        probability: Share to drop, in [0, 1).
        key: What the mask depends on, 0 to 2^64 - 1.
        block: Where ``x`` lies in a larger matrix, whose places count: its first row, first column,
            and columns of the matrix; None where it is all.

    Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011, Section 2
    (counter-based generators).
    """
    if probability == 0:
        return x

    result: Tensor = _Dropout.apply(x, float(probability), key, block)  # type: ignore[no-untyped-call]
    return result


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, probability: float, key: int, block: tuple[int, int, int] | None
    ) -> Tensor:
        ctx.recipe = probability, key, block
        return _dropped(x, probability, key, block)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        return _dropped(upstream, *ctx.recipe), None, None, None


def recipe(probability: float | int, key: int) -> tuple[int, int, float]:
    """Return the key, the least word of a value that stays, and what those are multiplied by."""
    return key, min(round(probability * 2**32), _LOW), 1.0 / (1.0 - probability)


def _dropped(x: Tensor, probability: float, key: int, block: tuple[int, int, int] | None) -> Tensor:
    key, threshold, scale = drop = recipe(probability, key)
    x = x.contiguous()
    if block is None and native.takes(x):
        return native.dropout(x, drop)

    place = torch.arange(x.numel(), device=x.device).view(x.shape)
    if block is not None:
        row, column, width = block
        count = x.shape[1]
        place = (row + place // count) * width + column + place % count

    return torch.where(mixed_words(place, key) >= threshold, x * scale, 0.0)


def words(count: int, key: int, device: torch.device) -> Tensor:
    """Return the first ``count`` words of a key, 32 bits each, as int64."""
    return mixed_words(torch.arange(count, device=device), key)


def mixed_words(place: Tensor, key: int) -> Tensor:
    """Return the words of a key at some places, int64 from 0 on."""
    mixed = _mix((place & _LOW) ^ (key & _LOW))
    return _mix((mixed + (key >> 32) + (place >> 32)) & _LOW)


def _mix(word: Tensor) -> Tensor:
    """Return a permutation of 32-bit words in which every bit depends on every other."""
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _LOW
    word = ((word ^ (word >> 15)) * 0x846CA68B) & _LOW
    return word ^ (word >> 16)
