"""Measured effects of a model that only says how it is put on another graph: slow, but measured."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import Query
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.capabilities import GraphEditable, Rerunnable


class Rebuilt(Rerunnable):
    """Deletions of a model by ``on_graph``: for each group the whole model on the graph without it.

    Nothing is known to first order, so paths are looked at in the order of their rarity, and the
    other edges' weights are the model's own, computed again.

    Args:
        model: The model's effects.
    """

    merges_relations = False
    through_users = True
    keeps_weights = False

    def __init__(self, model: GraphEditable) -> None:
        self._model = model
        self.ckg = model.ckg

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return minus the logarithm of the larger degree of each fact's ends, for want of a
        derivative: rare facts first.
        """
        ends = np.concatenate([self.ckg.head, self.ckg.tail])
        degree = np.bincount(ends, minlength=self.ckg.num_nodes)
        larger = np.maximum(degree[self.ckg.head], degree[self.ckg.tail])
        return torch.from_numpy(-np.log(np.maximum(larger, 1)))

    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the scores of the model on each graph."""
        scores = []
        for facts in removed:
            kept = np.ones(len(self.ckg.head), dtype=bool)
            kept[list(facts)] = False
            ckg = self.ckg.take(kept)

            with torch.inference_mode():
                scorer = self._model.on_graph(ckg).scorer()
                scores.append(scorer(_query(ckg, user))[0, item].double())

        return torch.stack(scores)


def _query(ckg: CollaborativeKG, user: int) -> Query:
    """Return the query of a user with the interactions of a graph as the history."""
    users, items = ckg.interactions()
    history = torch.from_numpy(items[users == user]).unsqueeze(0)
    return Query(torch.tensor([user]), history, torch.ones_like(history, dtype=torch.bool))
