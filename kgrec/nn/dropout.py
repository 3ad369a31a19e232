"""Dropout from a stream of its own."""

from jaxtyping import Float
from torch import Tensor, nn

from kgrec.ops.dropout import dropout
from kgrec.random import derive
from kgrec.scale.columns import WHOLE, Whole


class SeededDropout(nn.Module):
    """Dropout whose masks come from a stream that is reseeded every epoch, so that a resumed run
    drops the same values.

    Args:
        probability: Share of the values set to zero in training, in [0, 1); the rest are scaled by
            1 / (1 - probability).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the stream of masks again."""
        self._seed = seed
        self._calls = 0

    def draw(self) -> tuple[float, int]:
        """Return the probability and the key of the next mask; probability 0 in evaluation."""
        if not self.training or self.probability == 0.0:
            return 0.0, 0
        self._calls += 1
        return self.probability, derive(self._seed, "mask", self._calls)

    def forward(self, x: Float[Tensor, "..."], shard: Whole = WHOLE) -> Float[Tensor, "..."]:
        """Return ``x`` with values dropped in training, unchanged in evaluation.

        Args:
            x: Values.
            shard: Which columns of a table these are.
        """
        return dropout(x, *self.draw(), shard.block(x.shape[-1]))
