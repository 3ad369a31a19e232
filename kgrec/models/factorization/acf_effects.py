"""What explains ACF's scores: attention to what somebody used."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kgrec.models.capabilities import HistoryEditable, Parted, ScoreParts


@runtime_checkable
class Attends(Protocol):
    """A model that weights what users used."""

    def weights(
        self,
        own: Float[Tensor, "batch dim"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch hist"]:
        """Return the weights of items, by users' own vectors."""

    def represented(
        self,
        own: Float[Tensor, "batch dim"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch dim"]:
        """Return users by their own vectors and the items, weighted."""

    def attended(
        self, users: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch hist"], Bool[Tensor, "batch hist"]]:
        """Return the items of users."""


class AttentionEffects(HistoryEditable, Parted):
    """Effects of a model that is a user's vector and an attentive sum over the items.

    Args:
        users: Vectors of users, p.
        items: Vectors of items as candidates, q.
        used: Vectors of items as used, y.
        model: What weights them.
        most: Items of a history that are attended to, the last ones.
    """

    def __init__(
        self,
        users: Float[Tensor, "users dim"],
        items: Float[Tensor, "items dim"],
        used: Float[Tensor, "items dim"],
        model: Attends,
        most: int,
    ) -> None:
        self._users = users
        self._items = items
        self._used = used
        self._model = model
        self._most = most

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return p_u . q_i, and alpha(u, l) y_l . q_i of each item used. They add up here; without
        one of the items the weights of the others are larger.
        """
        row = torch.tensor([user], device=self._users.device)
        history, mask = self._model.attended(row)
        share = self._model.weights(self._users[row], history, mask)[0]
        target = self._items[item].double()
        liked = share.double() * (self._used[history[0]].double() @ target)
        own = float(self._users[user].double() @ target)
        return ScoreParts(
            own, items=history[0].cpu().numpy(), liked=liked.cpu().numpy(), basis="linearized"
        )

    @torch.no_grad()
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog for the user's own vector beside each history."""
        device = self._users.device
        rows = [history[-self._most :].to(device) for history in histories]
        items = pad_sequence(rows, batch_first=True)
        length = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(items.shape[1], device=device) < length.unsqueeze(1)
        own = self._users[user].expand(len(rows), -1)
        return self._model.represented(own, items, mask) @ self._items.T
