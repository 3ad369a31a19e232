"""Lists of a run in the order that is wanted beside high scores."""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.tie_order import tie_order
from kgrec.data.shaping.facets import facet_values
from kgrec.evaluation.ranking import Lists
from kgrec.graph.attributes import weighted_attributes
from kgrec.models.base import Scorer, VectorScorer
from kgrec.ops.reranking import Places, Rows, Traits, Wishes, reranked, thirds_of
from kgrec.ops.strangers import POPULAR
from kgrec.runs.ranker import NONE, Ranked

Rank = Callable[[slice, int, Tensor | None], Ranked]
"""Ranks for some of the people as many items, of those that may be shown or (None) of all."""
_AT_ONCE = 128  # people: lists as long as the catalog are made for them where caps want it


class Reranker:
    """Orders lists by more than scores; what that needs is made once.

    Args:
        data: Interactions and facts.
        scorer: The model's, whose vectors items are compared by.
    """

    def __init__(self, data: Dataset, scorer: Scorer) -> None:
        self._data = data
        self._scorer = scorer
        self._values: dict[str, Rows] = {}

    @cached_property
    def traits(self) -> Traits:
        """What items are like."""
        counts = np.bincount(self._data.train.item, minlength=self._data.num_items)
        order = tie_order(self._data)
        thirds = np.empty(len(counts), np.int8)
        thirds[order] = thirds_of(counts[order])
        vectors = None
        if isinstance(self._scorer, VectorScorer) and self._scorer.items.shape[1] >= 2:
            vectors = self._scorer.items.numpy()

        facts = None
        if len(self._data.triples):
            found = weighted_attributes(self._data)
            facts = Rows(found.indptr, found.indices, found.data)

        return Traits(counts, thirds, vectors, facts)

    def values(self, facet: str) -> Rows:
        """Return the values of each item.

        Raises:
            ConfigError: If there is no such facet, or it is one of numbers.
        """
        if facet not in self._values:
            self._values[facet] = facet_values(self._data, facet)
        return self._values[facet]

    def rerank(
        self,
        rank: Rank,
        own: Lists,
        k: int,
        wishes: Wishes,
        allowed: Bool[Tensor, " items"] | None = None,
    ) -> Ranked:
        """Return lists of k as they are wanted.

        Args:
            rank: Ranks by scores for some of the people.
            own: What each has.
            k: Length, at most the number of items.
            wishes: What is wanted.
            allowed: Items that may be shown; None allows all.
        """
        wishes.check_length(k)
        values = [self.values(name) for name in wishes.most]
        unused = torch.from_numpy(self.traits.counts == 0)
        some = unused if allowed is None else unused & allowed
        count = len(own.ptr) - 1
        items = torch.full((count, k), -1)
        scores = torch.full((count, k), -torch.inf)
        kinds = torch.full((count, k), NONE)
        for start in range(0, count, _AT_ONCE):
            part = slice(start, min(start + _AT_ONCE, count))
            pool = _Pools(rank, part, allowed)
            fresh = rank(part, k, some) if wishes.new_items else None
            for row, user in enumerate(range(part.start, part.stop)):
                found = reranked(
                    partial(pool.of, row),
                    None if fresh is None else _spoken_for(_places(fresh, row)),
                    k,
                    wishes,
                    self.traits,
                    values,
                    own.items[own.ptr[user] : own.ptr[user + 1]].numpy(),
                )
                length = len(found.items)
                items[user, :length] = torch.from_numpy(found.items)
                scores[user, :length] = torch.from_numpy(found.scores)
                kinds[user, :length] = torch.from_numpy(found.kinds)

        return Ranked(items, scores, kinds)


class _Pools:
    """The best candidates of some people, by how many are wanted."""

    def __init__(self, rank: Rank, part: slice, allowed: Tensor | None) -> None:
        self._rank = rank
        self._part = part
        self._allowed = allowed
        self._made: dict[int, Ranked] = {}

    def of(self, row: int, length: int) -> Places:
        """Return those of one."""
        if length not in self._made:
            self._made[length] = self._rank(self._part, length, self._allowed)
        return _places(self._made[length], row)


def _places(ranked: Ranked, user: int) -> Places:
    """Return a list without its empty places."""
    found = Places(*(getattr(ranked, name)[user].numpy() for name in ("items", "scores", "kinds")))
    return found.take(found.items >= 0)


def _spoken_for(found: Places) -> Places:
    """Return a list without what is there for want of anything better."""
    return found.take((found.kinds != POPULAR) | (found.scores > 0))
