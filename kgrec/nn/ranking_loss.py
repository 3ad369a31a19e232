"""Contrast with the items that have training interactions: the softmax that several models rank
by.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.errors import ConfigError
from kgrec.nn.losses import cosine_softmax
from kgrec.ops.contrast import sampled_softmax_rows, softmax_rows, softmax_sets
from kgrec.ops.dropout import words
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.random import derive
from kgrec.scale.columns import WHOLE, Whole


def check_ranking_loss(model: str, loss: str, temperature: float | int) -> None:
    """Refuse a loss that is neither "bpr" nor "softmax", and a temperature outside (0, 1].

    Raises:
        ConfigError: Names the model.
    """
    if loss not in ("bpr", "softmax") or not 0 < temperature <= 1:
        raise ConfigError(f'{model} needs loss "bpr" or "softmax" and a temperature in (0, 1].')


def ranked_items(items: Float[Tensor, "items dim"], loss: str) -> Float[Tensor, "items dim"]:
    """Return item vectors as they are ranked: trained by cosine ("softmax"), they are compared by
    direction.
    """
    if loss == "softmax":
        return unit_rows(items)
    return items


class WarmItems(nn.Module):
    """The items that a softmax contrasts with: those that have training interactions. The others
    are left to what the graph says of them.

    Args:
        items: The items, ascending, int64.
        position: Position of each item of the catalog among them, -1 for the others.
    """

    items: Tensor
    position: Tensor

    def __init__(self, items: np.ndarray, position: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("items", torch.from_numpy(items), persistent=False)
        self.register_buffer("position", torch.from_numpy(position), persistent=False)

    @property
    def count(self) -> int:
        """Their number."""
        return len(self.items)

    def of(self, table: Float[Tensor, "nodes dim"]) -> Float[Tensor, "items dim"]:
        """Return their rows of a table of all items."""
        return take_rows(table, self.items)

    def softmax(
        self,
        users: Float[Tensor, "batch dim"],
        warm: Float[Tensor, "items dim"],
        positive: Int[Tensor, " batch"],
        shard: Whole = WHOLE,
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of interactions by inner product.

        Args:
            users: Vectors of the users.
            warm: Vectors of the warm items.
            positive: The items used, rows of the catalog.
            shard: Which columns of the vectors these are.
        """
        return _shared(softmax_rows, users, warm, self.position[positive], shard)


class CosineSoftmax(WarmItems):
    """Cross-entropy of each interaction by cosine over a temperature, over all warm items or over
    drawn ones.

    Args:
        items: The warm items, ascending, int64.
        position: Position of each item of the catalog among them, -1 for the others.
        temperature: What a cosine is divided by, in (0, 1].
        negatives: Items drawn for each batch; 0, or as many as there are, takes all.

    Source: Wu et al., On the Effectiveness of Sampled Softmax Loss for Item Recommendation, TOIS
    2024, Eqs. (4)-(5). https://arxiv.org/abs/2201.02327
    """

    def __init__(
        self,
        items: np.ndarray,
        position: np.ndarray,
        temperature: float | int,
        negatives: int = 0,
    ) -> None:
        super().__init__(items, position)
        self.temperature = temperature
        self.negatives = negatives
        self.reseed(0)

    @property
    def sampled(self) -> bool:
        """Whether items are drawn."""
        return 0 < self.negatives < self.count

    def forward(
        self,
        users: Float[Tensor, "batch dim"],
        warm: Float[Tensor, "items dim"],
        positive: Int[Tensor, " batch"],
        shard: Whole = WHOLE,
    ) -> Float[Tensor, ""]:
        """Return the loss over all warm items, whose vectors, or columns of them, are ``warm``."""
        loss = partial(cosine_softmax, temperature=self.temperature)  # Eq. (4)
        return _shared(loss, users, warm, self.position[positive], shard)

    def by_user(
        self,
        users: Float[Tensor, "users dim"],
        warm: Float[Tensor, "items dim"],
        row: Int[Tensor, " batch"],
        positive: Int[Tensor, " batch"],
        shard: Whole = WHOLE,
    ) -> Float[Tensor, ""]:
        """Return the loss over all warm items for interactions that share users: one row of cosines
        per user.

        Args:
            users: Vectors of distinct users.
            warm: Vectors of the warm items.
            row: Which user each interaction is of, ascending.
            positive: The items used, rows of the catalog.
            shard: Which columns of the vectors these are.
        """
        users, warm = shard.rows(users), shard.rows(warm)
        if shard.apart:  # the pairs of its share, and their users alone
            some = shard.share(len(row))
            own, positive = row[some], positive[some]
            users, own = users[int(own[0]) : int(own[-1]) + 1], own - own[0]
        else:
            own = row

        scaled = unit_rows(users) / self.temperature
        loss = softmax_sets(scaled, unit_rows(warm), own, self.position[positive])  # Eq. (4)
        return shard.mean(loss, len(row))

    def reseed(self, seed: int) -> None:
        """Start the stream of drawn items."""
        self._seed = seed
        self._draws = 0

    def draw(self) -> Int[Tensor, " cand"]:
        """Return the items that the next batch is contrasted with."""
        self._draws += 1
        key = derive(self._seed, "drawn", self._draws)
        return self.items[words(self.negatives, key, self.items.device) % self.count]

    def over_drawn(
        self,
        users: Float[Tensor, "batch dim"],
        items: Float[Tensor, "batch dim"],
        drawn: Float[Tensor, "cand dim"],
        same: tuple[Int[Tensor, " batch"], Int[Tensor, " cand"]],
    ) -> Float[Tensor, ""]:
        """Return the loss over drawn items, each of which stands for ``count / negatives``.

        Args:
            users: Unit vectors of the users.
            items: Unit vectors of the items used.
            drawn: Unit vectors of the items drawn.
            same: Which items these are.
        """
        weight = self.count / self.negatives
        scaled = users / self.temperature
        return sampled_softmax_rows(scaled, items, drawn, same, weight)  # Eq. (5)


def _shared(
    loss: Callable[[Tensor, Tensor, Tensor], Tensor],
    users: Tensor,
    warm: Tensor,
    positive: Tensor,
    shard: Whole,
) -> Tensor:
    """Return the mean loss of a batch, of which every process compares its share, by whole rows."""
    if not shard.apart:
        return loss(users, warm, positive)

    users, warm = shard.rows(users), shard.rows(warm)
    some = shard.share(len(users))
    return shard.mean(loss(users[some], warm, positive[some]), len(users))
