"""Frozen batch types: what a sampler hands to a loss and a caller to a scorer.

User, item, entity and relation fields are row numbers, never external ids. ``TripleBatch`` counts entities as the collaborative
knowledge graph does (items first), so models need no arithmetic.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Query:
    """Who a ranking is for.

    Attributes:
        user: User rows; -1 for someone the model has never seen.
        history: Past items, oldest first, right-padded with 0.
        history_mask: True where ``history`` holds an item.
    """

    user: Int[Tensor, " batch"]
    history: Int[Tensor, "batch hist"]
    history_mask: Bool[Tensor, "batch hist"]

    def to(self, device: torch.device | str) -> "Query":
        """Return the query on another device."""
        return Query(self.user.to(device), self.history.to(device), self.history_mask.to(device))


@dataclass(frozen=True, slots=True)
class PairwiseBatch:
    """Interactions, each with one sampled non-interaction of the same user."""

    user: Int[Tensor, " batch"]
    positive: Int[Tensor, " batch"]
    negative: Int[Tensor, " batch"]


@dataclass(frozen=True, slots=True)
class PositiveBatch:
    """Interactions alone, for losses that contrast with every item (softmax)."""

    user: Int[Tensor, " batch"]
    positive: Int[Tensor, " batch"]


@dataclass(frozen=True, slots=True)
class TripleBatch:
    """Triples, each with a corrupted tail."""

    head: Int[Tensor, " batch"]
    relation: Int[Tensor, " batch"]
    tail: Int[Tensor, " batch"]
    negative_tail: Int[Tensor, " batch"]
