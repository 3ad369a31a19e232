"""Tables of scores that are filled block by block, where a score needs many values in between."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

_VALUES_AT_ONCE = 2**18  # what stays in the cache


def fill_in_blocks(
    scores: Float[Tensor, "batch cand"],
    score: Callable[[slice, slice], Tensor],
    values_per_pair: int,
) -> Float[Tensor, "batch cand"]:
    """Fill a table of scores in blocks whose intermediate values stay in the cache; return it.

    Args:
        scores: The table.
        score: Returns the scores of some rows and columns.
        values_per_pair: Values that one score needs in between.
    """
    height, width = scores.shape
    columns = max(1, min(width, _VALUES_AT_ONCE // values_per_pair))
    rows = max(1, _VALUES_AT_ONCE // (values_per_pair * columns))
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            block = slice(top, top + rows), slice(left, left + columns)
            scores[block] = score(*block)

    return scores
