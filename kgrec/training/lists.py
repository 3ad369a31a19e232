"""Batches of users' lists of items: whole, and in the order of their times."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from kgrec.batches import SequenceBatch, UserBatch
from kgrec.models.sources import SamplerContext, Sequences, Users
from kgrec.ops.lists import last_of_lists
from kgrec.random import derive


class Shuffled:
    """The order of an epoch: rows 0 .. count - 1, shuffled, in batches.

    Args:
        count: Rows.
        context: Its settings say how many rows make a batch, and whether a short last one is left
            out.
        name: Name of the stream of draws.
        size: Rows of a batch; 0 takes the settings'.
    """

    def __init__(self, count: int, context: SamplerContext, name: str, size: int = 0) -> None:
        self._count = count
        self._size = size or context.config.batch_size
        self._drop_last = context.config.drop_last
        self._seed = context.seed
        self._device = context.device
        self._name = name

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        if self._drop_last:
            return max(1, self._count // self._size)
        return -(-self._count // self._size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, torch.Generator]]:
        """Yield the rows of each batch, and what draws more for it."""
        generator = torch.Generator(device=self._device).manual_seed(
            derive(self._seed, self._name, epoch)
        )
        order = torch.randperm(self._count, generator=generator, device=self._device)
        for rows in torch.split(order, self._size)[: self.steps()]:
            yield rows, generator


class UserSampler:
    """Users with training interactions, shuffled, each once an epoch, with all of their items.

    Source: Liang et al., Mult-VAE, WWW 2018, Section 2.3.
    """

    def __init__(self, source: Users, context: SamplerContext) -> None:
        data = context.data
        matrix = data.train.csr(data.num_users, data.num_items)
        self._start, self._item = (
            torch.from_numpy(part).long().to(context.device)
            for part in (matrix.indptr, matrix.indices)
        )
        self._users = torch.nonzero(self._start.diff()).squeeze(1)
        size = -(-len(self._users) // source.steps) if source.steps else 0
        self._order = Shuffled(len(self._users), context, "users", size)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self._order.steps()

    def epoch(self, epoch: int) -> Iterator[UserBatch]:
        """Yield the batches of an epoch."""
        for rows, _ in self._order.epoch(epoch):
            user = self._users[rows]
            yield UserBatch(user, *last_of_lists(self._start, self._item, user))


class EverySampler:
    """Users with two interactions or more, shuffled, each once an epoch; every item of a history
    with the one that came next.

    Source: Kang and McAuley, SASRec, ICDM 2018, Section 3.5.
    """

    def __init__(self, source: Sequences, context: SamplerContext) -> None:
        train = context.data.train  # each user's oldest first
        start = np.searchsorted(train.user, np.arange(context.data.num_users + 1))
        self._length = source.length
        self._start, self._item = _moved(start, context), _moved(train.item, context)
        self._users = torch.nonzero(self._start.diff() > 1).squeeze(1)
        self._order = Shuffled(len(self._users), context, "sequences")

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self._order.steps()

    def epoch(self, epoch: int) -> Iterator[SequenceBatch]:
        """Yield the batches of an epoch."""
        for rows, _ in self._order.epoch(epoch):
            user = self._users[rows]
            items, mask = last_of_lists(self._start, self._item, user, self._length + 1)
            follows = mask[:, 1:]
            yield SequenceBatch(
                user,
                torch.where(follows, items[:, :-1], 0),
                follows,
                items[:, 1:],
                follows,
            )


class WindowSampler:
    """Users' sequences cut into windows from their end, shuffled, each once an epoch; every item of
    a window with the one that came next.

    Two windows of a user share the item at which they are cut: the last target of the one begins
    the history of the other.

    Source: Kang and McAuley, SASRec, ICDM 2018, Section 3.5, for each window in place of the latest
    one.
    """

    def __init__(self, source: Sequences, context: SamplerContext) -> None:
        train = context.data.train  # each user's oldest first
        start = np.searchsorted(train.user, np.arange(context.data.num_users + 1))
        targets = np.maximum(np.diff(start) - 1, 0)
        windows = -(-targets // source.length)
        user = np.repeat(np.arange(len(windows)), windows)
        later = np.arange(len(user)) - np.repeat(np.cumsum(windows) - windows, windows)
        size = np.minimum(source.length, targets[user] - later * source.length)
        first = start[user + 1] - 1 - later * source.length - size
        self._item = _moved(train.item, context)
        self._user, self._first, self._size = (
            _moved(part, context) for part in (user, first, size)
        )
        self._order = Shuffled(len(user), context, "windows")

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self._order.steps()

    def epoch(self, epoch: int) -> Iterator[SequenceBatch]:
        """Yield the batches of an epoch."""
        for rows, _ in self._order.epoch(epoch):
            size = self._size[rows].unsqueeze(1)
            place = torch.arange(int(size.max()), device=rows.device)
            mask = place < size
            at = torch.where(mask, self._first[rows].unsqueeze(1) + place, 0)
            history = torch.where(mask, self._item[at], 0)
            target = torch.where(mask, self._item[at + mask.long()], 0)
            yield SequenceBatch(self._user[rows], history, mask, target, mask)


class NextSampler:
    """Interactions but each user's first, shuffled, each once an epoch, after what came before.

    Source: Hidasi et al., GRU4Rec, ICLR 2016, Section 3.1 (the next item of a session); Tang and
    Wang, Caser, WSDM 2018, Section 3.4 (windows of a user's sequence).
    """

    def __init__(self, source: Sequences, context: SamplerContext) -> None:
        train = context.data.train  # each user's oldest first
        first = np.searchsorted(train.user, train.user)
        self._length = source.length
        self._user, self._item = _moved(train.user, context), _moved(train.item, context)
        self._first = _moved(first, context)
        self._rows = _moved(np.flatnonzero(first < np.arange(len(first))), context)
        self._order = Shuffled(len(self._rows), context, "next items")

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self._order.steps()

    def epoch(self, epoch: int) -> Iterator[SequenceBatch]:
        """Yield the batches of an epoch."""
        for picked, _ in self._order.epoch(epoch):
            rows = self._rows[picked]
            size = (rows - self._first[rows]).clamp(max=self._length)
            place = torch.arange(int(size.max()), device=rows.device)
            mask = place < size.unsqueeze(1)
            at = torch.where(mask, (rows - size).unsqueeze(1) + place, 0)
            target = self._item[rows].unsqueeze(1)
            yield SequenceBatch(
                self._user[rows],
                torch.where(mask, self._item[at], 0),
                mask,
                target,
                torch.ones_like(target, dtype=torch.bool),
            )


def sequence_sampler(
    source: Sequences, context: SamplerContext
) -> EverySampler | WindowSampler | NextSampler:
    """Return the batches of users' sequences."""
    if source.targets == "every":
        return EverySampler(source, context)
    if source.targets == "windows":
        return WindowSampler(source, context)
    return NextSampler(source, context)


def _moved(values: np.ndarray, context: SamplerContext) -> Tensor:
    return torch.from_numpy(values.astype(np.int64)).to(context.device)
