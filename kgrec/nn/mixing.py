"""Mixing the scores of several models: one weight and one scale for each."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

GRID = (0.0, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0, 6.0, 10.0)
"""Weights that are tried of a member beside the best one, whose weight is 1."""
_SWEEPS = 3


def deviation(scores: Float[Tensor, "users items"]) -> float:
    """Return the standard deviation of scores within a user's row, over all users: what a member's
    scores are divided by; 0 where each user's are equal.
    """
    values = scores.double()
    centered = values - values.mean(1, keepdim=True)
    spread = float(centered.square().mean().sqrt())
    if spread <= 1e-9 * float(values.abs().max()):
        return 0.0
    return spread


def standardized(scores: Float[Tensor, "batch items"]) -> Float[Tensor, "batch items"]:
    """Return scores less their mean, over their standard deviation, row by row; rows of equal
    scores are 0.
    """
    centered = scores - scores.mean(1, keepdim=True)
    spread = scores.std(1, correction=0, keepdim=True)
    return centered / torch.where(spread > 0, spread, torch.ones_like(spread))


def choose_weights(
    members: int,
    measure: Callable[[tuple[float, ...]], float],
    grid: Sequence[float] = GRID,
) -> tuple[tuple[float, ...], float]:
    """Return weights that are not negative, and what they measure; higher is better.

    The best single member has the weight 1; that of each other one, the better first, is the best
    value of the grid with the rest as it is, 0 where none is better. Sweeps end where one changes
    nothing.

    Args:
        members: How many are mixed.
        measure: Quality of weights.
        grid: Values tried.
    """
    known: dict[tuple[float, ...], float] = {}

    def value(weights: tuple[float, ...]) -> float:
        if weights not in known:
            known[weights] = measure(weights)
        return known[weights]

    alone = [tuple(float(m == one) for m in range(members)) for one in range(members)]
    order = sorted(range(members), key=lambda m: (-value(alone[m]), m))
    best = alone[order[0]]

    for _ in range(_SWEEPS):
        before = best
        for member in order[1:]:
            tried = [(*best[:member], one, *best[member + 1 :]) for one in grid]
            # Of equal values the first: the smaller weight.
            found = max(tried, key=value)
            if value(found) > value(best):
                best = found

        if best == before:
            break

    return best, value(best)
