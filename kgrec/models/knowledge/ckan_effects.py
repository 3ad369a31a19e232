"""What explains the scores of CKAN: Wang et al., SIGIR 2020.

https://doi.org/10.1145/3397271.3401141
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.models.knowledge.base import SampledEffects, gated, passed_on

if TYPE_CHECKING:
    from kgrec.models.knowledge.ckan import CKAN


class CKANEffects(SampledEffects):
    """Effects of interactions, and of the triples in the sets of user and item. Those that were not
    drawn have none: the scores do not read them.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = True

    def __init__(self, model: "CKAN") -> None:
        self.ckg = model.ckg
        self._model = model
        likes = np.flatnonzero(self.ckg.relation == 0)
        # in the order of the model's: by user, then by item
        order = np.lexsort((self.ckg.tail[likes], self.ckg.head[likes]))
        self._likes = likes[order]

    @property
    def like(self) -> Tensor:
        """A parameter, for type and device."""
        return self._model.entities

    def scores(
        self, user: int, item: int, kept: Float[Tensor, "batch _"], *, keep_weights: bool
    ) -> Float[Tensor, " batch"]:
        """Return the score with each fact there by a number, one row a score."""
        model = self._model
        likes = self._likes_of(user)
        of_like = torch.from_numpy(likes).to(kept.device)
        sources = torch.from_numpy(self.ckg.tail[likes]).to(kept.device)
        of_user = self._parts(
            model.user_sets[user], kept, (kept[:, of_like], sources), keep_weights
        )
        of_item = self._parts(model.item_sets[item], kept, self._leads(item, kept), keep_weights)
        head = of_item[0] if model.config.aggregator != "concat" else None
        own = model.entities[item].detach().expand(len(kept), 1, -1)
        parts = [own] if head is None else [own, head]
        v = model.combined([*parts, of_item[1]])
        return (model.combined(list(of_user)) * v).sum(1)

    def _likes_of(self, user: int) -> np.ndarray:
        head = self.ckg.head[self._likes]
        return np.asarray(self._likes[head == self.ckg.user_node(user)])

    def _leads(self, item: int, kept: Float[Tensor, "batch _"]) -> tuple[Tensor, Tensor]:
        """Return how much leads to each item that an item's set starts from, and which these are:
        an interaction of one of its users, and that user's with the item.
        """
        seeds = self._model.seeds[item].cpu().numpy()
        seeds = seeds[seeds < len(self._likes)]
        if not len(seeds):
            return kept.new_ones(len(kept), 1), torch.tensor([item], device=kept.device)

        facts = self._likes[seeds]
        used = self._likes[self.ckg.tail[self._likes] == item]
        by = np.searchsorted(self.ckg.head[used], self.ckg.head[facts])
        first, second = (torch.from_numpy(part).to(kept.device) for part in (facts, used[by]))
        through = kept[:, first] * kept[:, second]
        through = through.where(first != second, kept[:, first])
        return through, torch.from_numpy(self.ckg.tail[facts]).to(kept.device)

    def _parts(
        self,
        sets: Int[Tensor, "layers hist"],
        kept: Float[Tensor, "batch _"],
        leads: tuple[Tensor, Tensor],
        keep_weights: bool,
    ) -> tuple[Float[Tensor, "batch 1 dim"], Float[Tensor, "batch layers dim"]]:
        """Return the mean of the first layer's heads, and what each layer gives."""
        model = self._model
        through, sources = leads
        gates = []
        for edges in sets:
            reached = passed_on(through, sources, model.facts.head[edges])
            through = reached * kept[:, model.facts.fact[edges]] * model.facts.there(edges)
            sources = model.facts.tail[edges]
            gates.append(through)

        count = len(kept)
        every = sets.unsqueeze(0).expand(count, -1, -1)
        shares = model.shares(every).detach()
        shares = gated(shares, torch.stack(gates, 1), keep_weights=keep_weights)
        there = model.facts.there(sets[0]).to(kept.dtype).expand(count, -1)
        heads = gated(there, gates[0], keep_weights=keep_weights)
        total = heads.unsqueeze(1) @ model.entities[model.facts.head[sets[0]]].detach()
        mean = total / there.sum(1).clamp(min=1e-12).view(-1, 1, 1)
        return mean, model.gathered(every, shares)
