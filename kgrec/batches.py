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

    def num_shown(self) -> Int[Tensor, " batch"]:
        """Return how many candidates each list has."""
        return self.mask.sum(1)


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


@dataclass(frozen=True, slots=True)
class SampledBatch:
    """Interactions, each with several sampled non-interactions of the same user."""

    user: Int[Tensor, " batch"]
    positive: Int[Tensor, " batch"]
    negative: Int[Tensor, "batch cand"]


@dataclass(frozen=True, slots=True)
class UserBatch:
    """Users with all of their training items.

    Attributes:
        user: User rows, distinct.
        items: The items, ascending, right-padded with 0.
        mask: True where ``items`` holds an item.
    """

    user: Int[Tensor, " batch"]
    items: Int[Tensor, "batch hist"]
    mask: Bool[Tensor, "batch hist"]


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """Users' items in the order of their times, with the items that came next.

    Attributes:
        user: User rows.
        history: Past items, oldest first, right-padded with 0.
        history_mask: True where ``history`` holds an item.
        target: Items to predict, right-padded with 0: one for each position of ``history``, the
            item that came after it; or a single column, the item that came after the whole of it.
        target_mask: True where ``target`` holds an item.
    """

    user: Int[Tensor, " batch"]
    history: Int[Tensor, "batch hist"]
    history_mask: Bool[Tensor, "batch hist"]
    target: Int[Tensor, "batch cand"]
    target_mask: Bool[Tensor, "batch cand"]

    def num_targets(self) -> Int[Tensor, " batch"]:
        """Return how many targets each history has."""
        return self.target_mask.sum(1)


@dataclass(frozen=True, slots=True)
class PointwiseBatch:
    """Pairs of user and item, each with a label: 1 or 0 for a click, or a rating."""

    user: Int[Tensor, " batch"]
    item: Int[Tensor, " batch"]
    label: Float[Tensor, " batch"]


@dataclass(frozen=True, slots=True)
class FieldBatch:
    """Pairs of user and item as integer columns, each with a label.

    Attributes:
        fields: A value per column of ``kgrec.graph.fields.FieldTable``: the user, the item, then
            what is known about them, 0 where nothing is.
        label: 1 or 0 for a click, or a rating.
    """

    fields: Int[Tensor, "batch cand"]
    label: Float[Tensor, " batch"]
