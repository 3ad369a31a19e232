"""Dense layers whose starts are drawn from a generator."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from kgrec.nn.init import glorot_uniform


def linear(din: int, dout: int, generator: torch.Generator) -> nn.Linear:
    """Return a dense layer that starts at Glorot's uniform draws and a bias of 0."""
    layer = nn.Linear(din, dout)
    with torch.no_grad():
        layer.weight.copy_(glorot_uniform(dout, din, generator=generator))
        layer.bias.zero_()
    return layer


def start_from(module: nn.Module, generator: torch.Generator) -> None:
    """Start the matrices of a recurrent module at Glorot's uniform draws, its biases at 0."""
    with torch.no_grad():
        for values in module.parameters():
            if values.ndim == 2:
                values.copy_(glorot_uniform(*values.shape, generator=generator))
            else:
                values.zero_()


def dense(
    sizes: Sequence[int],
    generator: torch.Generator,
    *,
    dropout: float = 0.0,
    last: nn.Module | None = None,
    activation: type[nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """Return dense layers with ReLU, or another activation, behind each.

    Args:
        sizes: Size of what goes in, and of each layer.
        generator: Draws the starts.
        dropout: Probability of setting a value to zero before each layer.
        last: What is behind the last layer instead of it; ``nn.Identity()`` for nothing.
        activation: What makes an activation.
    """
    parts: list[nn.Module] = []
    for number, (din, dout) in enumerate(pairwise(sizes)):
        if dropout:
            parts.append(nn.Dropout(dropout))

        parts.append(linear(din, dout, generator))
        if last is not None and number == len(sizes) - 2:
            parts.append(last)
        else:
            parts.append(activation())

    return nn.Sequential(*parts)
