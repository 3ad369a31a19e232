"""What a list is worth beyond its hits."""

import torch
from jaxtyping import Int
from torch import Tensor


def coverage(ranked: Int[Tensor, "users cand"], num_items: int, k: int) -> float:
    """Return the share of the catalog, in [0, 1], that is among the first k of at least one user; -1 marks an empty place.

    Source: Ge et al., Beyond Accuracy, RecSys 2010 (catalog coverage).
    """
    shown = torch.unique(ranked[:, :k])
    return int((shown >= 0).sum()) / num_items
