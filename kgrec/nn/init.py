"""Named initializers, each with the paper or code it comes from. Every draw takes a generator."""

import math

import torch
from torch import Tensor


def normal(*shape: int, scale: float, generator: torch.Generator) -> Tensor:
    """Return draws from N(0, scale²), as in the PyTorch release of LightGCN (scale 0.1)."""
    return torch.randn(*shape, generator=generator) * scale


def glorot_uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Return draws from U(-b, b), b = sqrt(6 / (fan in + fan out)).

    A stack of matrices ``(relations, rows, columns)`` has fan in ``relations * rows`` and fan out
    ``relations * columns``, as TensorFlow counts them: what the official KGAT starts from.

    Source: Glorot and Bengio, AISTATS 2010, Eq. (16).
    """
    stack = math.prod(shape[:-2])
    bound = math.sqrt(6.0 / max(1, stack * (shape[-2] + shape[-1])))  # an empty stack has no bound
    return (torch.rand(*shape, generator=generator) * 2 - 1) * bound
