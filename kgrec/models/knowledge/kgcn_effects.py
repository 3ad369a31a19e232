"""What explains the scores of KGCN: Wang et al., WWW 2019.

https://arxiv.org/abs/1904.12575
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.models.knowledge.base import SampledEffects, gated

if TYPE_CHECKING:
    from kgrec.models.knowledge.kgcn import KGCN


class KGCNEffects(SampledEffects):
    """Effects of the facts in an item's field. Those that were not drawn, and interactions, have
    none: the scores do not read them.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = False

    def __init__(self, model: "KGCN") -> None:
        self.ckg = model.ckg
        self._model = model

    @property
    def like(self) -> Tensor:
        """A parameter, for type and device."""
        return self._model.entities

    def scores(
        self, user: int, item: int, kept: Float[Tensor, "batch _"], *, keep_weights: bool
    ) -> Float[Tensor, " batch"]:
        """Return the score with each fact's messages multiplied by a number, one row a score."""
        model = self._model
        count = len(kept)
        u = model.users[[user]].detach().expand(count, -1)
        entities, edges = model.field(torch.full((count,), item, device=u.device))
        shares = []

        for hop in edges:
            there = kept.gather(1, model.facts.fact[hop].flatten(1)).view(hop.shape)
            shares.append(gated(model.shares(u, hop), there, keep_weights=keep_weights))

        return (u * model.vectors(u, entities, shares)).sum(1)
