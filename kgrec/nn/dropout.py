"""Dropout from a stream of its own."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class SeededDropout(nn.Module):
    """Dropout whose masks come from a generator that is reseeded every epoch, so that a resumed run draws the same ones.

    Args:
        probability: Share of the values set to zero in training, in [0, 1); the rest are scaled by 1 / (1 - probability).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self._generator: torch.Generator | None = None

    def reseed(self, seed: int, device: torch.device) -> None:
        """Start the stream of masks anew."""
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return ``x`` with values dropped in training, unchanged in evaluation."""
        if not self.training or self.probability == 0.0:
            return x
        kept = torch.rand(x.shape, generator=self._generator, device=x.device) >= self.probability
        return x * kept.to(x.dtype) / (1.0 - self.probability)
