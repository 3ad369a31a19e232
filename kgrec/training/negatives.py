"""Draws what stands against an interaction, by ``NegativeSource``."""

from collections.abc import Callable

import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import DataError, ModelError
from kgrec.models.sources import NegativeSource
from kgrec.ops.sampling import FreeItems

_TRIES = 16  # redraws of what the user has, before what is left is drawn by an exact table
_TABLE = 2**22  # entries of such a table


class Negatives:
    """Draws items that the user does not have.

    Draws are exact: what the user has is drawn again, and rows that had bad luck ``_TRIES`` times
    draw from the table of what is left to them.

    Args:
        data: Its training part says what users have.
        source: How items are drawn.
        device: Where they are drawn.

    Raises:
        DataError: If a user has everything that could be drawn.
    """

    def __init__(self, data: Dataset, source: NegativeSource, device: torch.device) -> None:
        matrix = data.train.csr(data.num_users, data.num_items)
        ptr = torch.from_numpy(matrix.indptr).long().to(device)
        item = torch.from_numpy(matrix.indices).long().to(device)
        used = torch.bincount(item, minlength=data.num_items)

        drawable = data.num_items
        if source.distribution != "uniform":
            drawable = int((used > 0).sum())

        full = torch.nonzero(ptr.diff() == drawable)
        if len(full) and drawable:
            user = data.users.key(int(full[0]))
            raise DataError(
                f"user {user!r} has all {drawable} items, so none is left to rank below "
                "them. Leave the user out."
            )

        self.source = source
        self._num_items = data.num_items
        self._free = FreeItems(ptr, item, data.num_items)
        self._pairs = torch.repeat_interleave(ptr.diff()) * data.num_items + item
        # 0 ** 0 is 1, and what nobody used is no negative
        self._weight = torch.where(used > 0, used.double() ** source.power, 0.0)
        self._until = self._weight.cumsum(0)

    @property
    def whole_epoch(self) -> bool:
        """Whether an epoch's draws are made in one go: they depend on its users alone."""
        return self.source.distribution == "uniform" and self.source.count == 1

    def draw(self, user: Tensor, positive: Tensor, generator: torch.Generator) -> Tensor:
        """Return ``count`` items for each interaction of a batch: (batch, count)."""
        count = self.source.count
        wanted = user.repeat_interleave(count)
        if self.source.distribution == "uniform":
            return self._free.draw(wanted, generator=generator).view(-1, count)
        if self.source.distribution == "popularity":
            return self._popular(wanted, generator).view(-1, count)
        if self.source.distribution == "in-batch":
            return self._in_batch(wanted, positive, generator).view(-1, count)

        return self._hardest(user, generator)

    def _popular(self, user: Tensor, generator: torch.Generator) -> Tensor:
        """Return an item per user, by weight."""

        def propose(count: int) -> Tensor:
            chance = torch.rand(count, generator=generator, device=user.device, dtype=torch.float64)
            drawn = torch.searchsorted(self._until, chance * self._until[-1], right=True)
            return drawn.clamp(max=self._num_items - 1)

        everything = torch.arange(self._num_items, device=user.device)
        drawn, _ = self._unused(user, propose, everything, self._weight, generator)
        return drawn

    def _in_batch(self, user: Tensor, positive: Tensor, generator: torch.Generator) -> Tensor:
        """Return an item of the batch per user; any used one where the user has all of these."""

        def propose(count: int) -> Tensor:
            at = torch.randint(len(positive), (count,), generator=generator, device=positive.device)
            return positive[at]

        weight = torch.ones(len(positive), dtype=torch.float64, device=positive.device)
        drawn, none = self._unused(user, propose, positive, weight, generator)
        if len(none):
            drawn[none] = self._popular(user[none], generator)

        return drawn

    def _hardest(self, user: Tensor, generator: torch.Generator) -> Tensor:
        """Return the items with the highest scores among a pool per user."""
        size = (len(user), self.source.pool)
        pool = self._popular(user.repeat_interleave(size[1]), generator).view(size)
        assert self.source.score is not None
        with torch.no_grad():
            scores = self.source.score(user, pool)

        if scores.shape != size:
            raise ModelError(
                f"the score of hard negatives is of shape {tuple(scores.shape)}, not {size}. "
                "Return one for each candidate."
            )

        return pool.gather(1, scores.topk(self.source.count, dim=1).indices)

    def _unused(
        self,
        user: Tensor,
        propose: Callable[[int], Tensor],
        items: Tensor,
        weight: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return an item per user by weight among those that the user does not have, and the rows
        of users who have all of them.
        """
        drawn = propose(len(user))
        again = torch.nonzero(self._has(user, drawn)).squeeze(1)

        for _ in range(_TRIES):
            if not len(again):
                return drawn, again

            drawn[again] = propose(len(again))
            again = again[self._has(user[again], drawn[again])]

        none = [again[:0]]
        for rows in torch.split(again, max(1, _TABLE // len(items))):
            table = self._has(user[rows].unsqueeze(1), items.unsqueeze(0))
            table = torch.where(table, 0.0, weight)
            some = table.sum(1) > 0
            none.append(rows[~some])

            if bool(some.any()):
                at = torch.multinomial(table[some], 1, generator=generator).squeeze(1)
                drawn[rows[some]] = items[at]

        return drawn, torch.cat(none)

    def _has(self, user: Tensor, item: Tensor) -> Tensor:
        """Return whether users have items."""
        wanted = user * self._num_items + item
        if not len(self._pairs):
            return torch.zeros_like(wanted, dtype=torch.bool)
        at = torch.searchsorted(self._pairs, wanted).clamp(max=len(self._pairs) - 1)
        return self._pairs[at] == wanted
