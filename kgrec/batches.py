"""Frozen batch types: what a sampler hands to a loss and a caller to a scorer.

User, item, entity and relation fields are row numbers, never external ids. ``TripleBatch`` counts
entities as the collaborative knowledge graph does (items first), so models need no arithmetic.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
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


@dataclass(frozen=True, slots=True)
class ImpressionBatch:
    """Candidates shown to users, each list right-padded, with the labels of a click model.

    Attributes:
        user: User rows.
        history: Items read before, oldest first, right-padded with 0.
        history_mask: True where ``history`` holds an item.
        candidates: Items shown, right-padded with 0.
        label: 1 where the candidate was clicked, else 0.
        mask: True where ``candidates`` holds an item.
    """

    user: Int[Tensor, " batch"]
    history: Int[Tensor, "batch hist"]
    history_mask: Bool[Tensor, "batch hist"]
    candidates: Int[Tensor, "batch cand"]
    label: Float[Tensor, "batch cand"]
    mask: Bool[Tensor, "batch cand"]


@dataclass(frozen=True, slots=True)
class CorruptedBatch:
    """Triples, each with several corrupted heads or several corrupted tails.

    Attributes:
        head: Heads.
        relation: Relations.
        tail: Tails.
        negative: Corrupted entities, ``cand`` of them per triple.
        corrupts_head: True where ``negative`` stands in the head's place, else in the tail's.
    """

    head: Int[Tensor, " batch"]
    relation: Int[Tensor, " batch"]
    tail: Int[Tensor, " batch"]
    negative: Int[Tensor, "batch cand"]
    corrupts_head: Bool[Tensor, " batch"]
