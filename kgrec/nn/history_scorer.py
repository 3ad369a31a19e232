"""Scores that are a function of a set of items: what models from item to item rank by."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.ops.ranking import chunk_rows

HistorySums = Callable[[Int[Tensor, " _"], Int[Tensor, " _"]], Float[Tensor, "batch items"]]
"""Scores of the whole catalog from one set of items per person: starts in the second tensor and its
end last (batch + 1), item rows."""


@dataclass(frozen=True)
class HistorySets:
    """Scores of people by sets of items: of known users their own, of strangers their histories.

    Attributes:
        ptr: Start of each user's training items, and the end of the last (users + 1).
        items: Item rows, ascending within a user.
        num_items: Size of the catalog.
        sums: Scores of the catalog for sets of items.
    """

    ptr: Int[Tensor, " _"]
    items: Int[Tensor, " _"]
    num_items: int
    sums: HistorySums

    def scores(
        self,
        user: Int[Tensor, " batch"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
        items: Int[Tensor, "batch cand"] | None = None,
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of the catalog, or of the candidates; memory for those does not grow
        with the size of the catalog.

        Args:
            user: Users; -1 for a stranger, whose items are those of the history, each once.
            history: Items of strangers.
            mask: True where ``history`` holds an item.
            items: Candidates.
        """
        ptr, sets = self._sets(user, history, mask)
        if items is None:
            return self.sums(ptr, sets)

        step = chunk_rows(self.num_items, ptr.device)
        parts = []

        for start in range(0, len(items), step):
            part = ptr[start : start + step + 1]
            table = self.sums(part - part[0], sets[int(part[0]) : int(part[-1])])
            parts.append(table.gather(1, items[start : start + step]))

        if parts:
            return torch.cat(parts)

        return torch.zeros(items.shape)

    def similar(self, item: int) -> Float[Tensor, " items"]:
        """Return the scores of the catalog for someone who used this one item."""
        one = torch.tensor([0, 1], device=self.ptr.device)
        return self.sums(one, torch.tensor([item], device=self.ptr.device))[0]

    def alone(self, items: Int[Tensor, " batch"], candidate: int) -> Float[Tensor, " batch"]:
        """Return the score of one candidate for people who used one of these items each."""
        parts = [
            self.sums(torch.arange(len(some) + 1, device=some.device), some)[:, candidate]
            for some in torch.split(items, chunk_rows(self.num_items, items.device))
        ]
        return torch.cat(parts)

    def _sets(self, user: Tensor, history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return each one's set of items as starts and items, ascending within a set."""
        stranger = user < 0
        known = user.clamp(min=0)
        people = len(user)
        device = user.device
        size = (self.ptr[known + 1] - self.ptr[known]).masked_fill(stranger, 0)
        owner = torch.repeat_interleave(torch.arange(people, device=device), size)
        within = torch.arange(len(owner), device=device) - (size.cumsum(0) - size)[owner]
        own = self.items[within + self.ptr[known][owner]]
        row, column = (mask & stranger.unsqueeze(1)).nonzero(as_tuple=True)
        pairs = [owner * self.num_items + own, row * self.num_items + history[row, column]]
        keys = torch.unique(torch.cat(pairs))
        ptr = torch.searchsorted(keys, torch.arange(people + 1, device=device) * self.num_items)
        return ptr, keys % self.num_items
