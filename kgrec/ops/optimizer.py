"""Adam, in the form that moves each value once."""

from collections.abc import Iterable

import torch
from torch import nn


def adam(
    parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float = 0.0
) -> torch.optim.Adam:
    """Return Adam over ``parameters`` as one fused pass on CPU and GPU: same rule as the default
    form, several times as fast.

    Source: Kingma and Ba, Adam, ICLR 2015, Algorithm 1. https://arxiv.org/abs/1412.6980
    """
    held = list(parameters)
    on_cuda = any(
        parameter.is_cuda for parameter in held
    )  # there the count of steps is kept on the device, for graph capture
    return torch.optim.Adam(
        held, lr=learning_rate, weight_decay=weight_decay, fused=True, capturable=on_cuda
    )
