"""How much the embeddings of KGIN's intents say the same.

Wang et al., KGIN, WWW 2021. https://arxiv.org/abs/2102.07057
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from kgrec.ops.rows import unit_rows

_INTENT_TEMPERATURE = 0.2  # tau of Eq. (4), as in the authors' code
_TINY = 1e-8


def dependence(
    rows: Float[Tensor, "heads dim"], measure: Literal["distance", "cosine", "mi"]
) -> Float[Tensor, ""]:
    """Return how much the intents say the same: 0 or more, less is better.

    Args:
        rows: One per intent.
        measure: "distance" correlation, Eq. (6), squared "cosine", or "mi", the mutual information
            of Eq. (4).

    Source: Wang et al., KGIN, WWW 2021, Eqs. (4)-(6).
    """
    if measure == "mi":
        return intent_information(rows)  # Eq. (4)

    if measure == "distance":
        alike = distance_correlations(rows)  # (heads, heads), Eq. (6)
    else:
        alike = _cosines(rows).square()

    return alike.triu(1).sum()


def distance_correlations(rows: Float[Tensor, "heads dim"]) -> Float[Tensor, "heads heads"]:
    """Return the distance correlation of the entries of every two rows, in [0, 1]; near 1 where
    both are constant.

    Source: Szekely et al., Annals of Statistics 2007, Definitions 2-5; KGIN, Eq. (6), with the
    small constants of the authors' code.
    """
    distance = _root((rows.unsqueeze(2) - rows.unsqueeze(1)).square())  # (heads, dim, dim)
    centered = (
        distance
        - distance.mean(1, keepdim=True)
        - distance.mean(2, keepdim=True)
        + distance.mean((1, 2), keepdim=True)
    )
    flat = centered.flatten(1)
    covariance = _root(flat @ flat.T / flat.shape[1])
    own = covariance.diagonal()
    return covariance / (torch.outer(own, own) + _TINY).sqrt()


def _root(value: Tensor) -> Tensor:
    return (value.clamp(min=0) + _TINY).sqrt()


def _cosines(rows: Tensor) -> Tensor:
    unit = unit_rows(rows)
    return unit @ unit.T


def intent_information(rows: Float[Tensor, "heads dim"]) -> Float[Tensor, ""]:
    """Return the sum over intents of -log softmax over all intents of their cosines over a
    temperature of 0.2, at the intent itself.

    Source: Wang et al., KGIN, WWW 2021, Eq. (4).
    """
    own = torch.arange(len(rows), device=rows.device)
    return cross_entropy(_cosines(rows) / _INTENT_TEMPERATURE, own, reduction="sum")
