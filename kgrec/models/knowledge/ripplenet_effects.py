"""What explains the scores of RippleNet: Wang et al., CIKM 2018.

https://arxiv.org/abs/1803.03467
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.models.knowledge.base import SampledEffects, gated, passed_on

if TYPE_CHECKING:
    from kgrec.models.knowledge.ripplenet import RippleNet


class RippleNetEffects(SampledEffects):
    """Effects of a user's likes and of the triples in the ripple sets. Those that were not drawn
    have none: the scores do not read them.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = False

    def __init__(self, model: "RippleNet") -> None:
        self.ckg = model.ckg
        self._model = model

    def gates(
        self, user: int, sets: Int[Tensor, "layers hist"], kept: Float[Tensor, "batch _"]
    ) -> list[Float[Tensor, "batch hist"]]:
        """Return how much of each triple of the ripple sets is there, by how much of each fact is:
        a triple needs its fact, and something that leads to its head.
        """
        likes = (self.ckg.head == self.ckg.user_node(user)) & (self.ckg.relation == 0)
        of_like = torch.from_numpy(np.flatnonzero(likes)).to(kept.device)
        sources = torch.from_numpy(self.ckg.tail[likes]).to(kept.device)
        through = kept[:, of_like]
        facts = self._model.facts
        gates: list[Float[Tensor, "batch hist"]] = []

        for number, edges in enumerate(sets):
            if number and torch.equal(edges, sets[number - 1]):  # empty, so it repeats the last one
                gates.append(gates[-1])
                continue

            reached = passed_on(through, sources, facts.head[edges])
            gates.append(reached * kept[:, facts.fact[edges]])
            through, sources = gates[-1], facts.tail[edges]

        return gates

    @property
    def like(self) -> Tensor:
        """A parameter, for type and device."""
        return self._model.entities

    def scores(
        self, user: int, item: int, kept: Float[Tensor, "batch _"], *, keep_weights: bool
    ) -> Float[Tensor, " batch"]:
        """Return the score with each fact there by a number, one row a score."""
        model = self._model
        sets = model.ripples[user]
        there = model.facts.there(sets)
        count = len(kept)
        v = model.entities[[item]].detach().expand(count, -1).unsqueeze(1)  # (batch, 1, dim)
        total = torch.zeros_like(v)

        for edges, gate, known in zip(sets, self.gates(user, sets, kept), there, strict=True):
            keys, tails = (part.detach() for part in model.moved(edges))
            shares = model.addressed(
                v, keys.expand(count, -1, -1), known.unsqueeze(0).expand(count, -1)
            )
            left = gated(shares, gate.unsqueeze(1), keep_weights=keep_weights)
            answer = left @ tails
            v = model.answered(v, answer)
            total = total + answer

        return (v * total).sum((1, 2))
