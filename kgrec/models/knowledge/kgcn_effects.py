"""What explains the scores of KGCN: Wang et al., WWW 2019.

https://arxiv.org/abs/1904.12575
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.models.capabilities import Rerunnable
from kgrec.models.knowledge.base import gated

if TYPE_CHECKING:
    from kgrec.models.knowledge.kgcn import KGCN


class KGCNEffects(Rerunnable):
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

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), the others'
        weights kept.
        """
        like = self._model.users
        with torch.enable_grad():
            kept = like.new_ones(1, len(self.ckg.head) + 1).requires_grad_()
            score = self._scores(user, item, kept, keep_weights=True)[0]
            (gradient,) = torch.autograd.grad(
                score, kept, allow_unused=True, materialize_grads=True
            )

        return gradient[0, :-1]

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts: the neighbors that are left
        share the weight, unless it is kept; nothing is drawn in their place.
        """
        kept = self._model.users.new_ones(len(removed), len(self.ckg.head) + 1)
        for row, facts in zip(kept, removed, strict=True):
            row[torch.as_tensor(facts, dtype=torch.int64, device=kept.device)] = 0.0

        if not len(removed):
            return kept.new_zeros(0)
        return self._scores(user, item, kept, keep_weights=keep_weights)

    def _scores(
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
