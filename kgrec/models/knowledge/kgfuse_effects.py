"""What explains the scores of KGFuse (docs/models/kgfuse.md): both members' sums, added up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.data.derive.removal import Removal
from kgrec.data.records.dataset import Dataset
from kgrec.graph.ckg import USER_FACT
from kgrec.models.blend import MixtureEffects
from kgrec.models.capabilities import Refittable, Rerunnable

if TYPE_CHECKING:
    from kgrec.models.knowledge.kgfuse import KGFuse


class KGFuseEffects(MixtureEffects, Refittable):
    """The sum of the effects of item weights and of propagated vectors.

    Through training, item weights are refitted, which is exact, and the graph loses what is taken
    out, while its trained vectors are kept.

    Args:
        model: The model.
        data: What it was trained on.
    """

    refits_all = False

    def __init__(self, model: "KGFuse", data: Dataset) -> None:
        effects = [member.explanation_effects() for member in model.trained()]
        super().__init__(model, model.ckg, effects)
        self._factors = tuple(model.factors.tolist())
        self._data = data

    def coefficients(self, user: int) -> tuple[tuple[float, ...], float]:
        """Return the factors of both members' scores, the same for everyone."""
        return self._factors, 0.0

    def refitted_scores(
        self, user: int, items: Sequence[int], removed: Removal
    ) -> Float[Tensor, " cand"]:
        """Return the scores of items for a user: item weights fitted without ``removed``, vectors
        propagated without it.
        """
        (_, ridge), (_, graph) = self.members
        assert isinstance(ridge, Refittable)
        assert isinstance(graph, Rerunnable)
        facts = self.facts_of(removed)
        around = torch.cat([graph.rerun(user, item, [facts]).double().cpu() for item in items])
        of_items, of_graph = self._factors
        refitted = ridge.refitted_scores(user, items, removed)
        total: Tensor = of_items * refitted + of_graph * around
        return total

    def facts_of(self, removed: Removal) -> list[int]:
        """Return the positions in the graph of what is taken out."""
        ckg = self.ckg
        gone = np.isin(ckg.fact, np.array(removed.triples, np.int64)) & (ckg.fact >= 0)
        if removed.interactions:
            user, item = np.array(removed.interactions, np.int64).T
            pairs = (ckg.num_entities + user) * ckg.num_nodes + item
            gone |= (ckg.relation == 0) & np.isin(ckg.head * ckg.num_nodes + ckg.tail, pairs)

        if removed.user_facts:
            of_users = np.flatnonzero(ckg.fact == USER_FACT)
            gone[of_users[list(removed.user_facts)]] = True

        return np.flatnonzero(gone).tolist()
