"""Batches of lists that were shown, for models that read histories."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from kgrec.batches import ImpressionBatch
from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.errors import ConfigError, DataError
from kgrec.models.sources import Shown
from kgrec.ops.lists import last_of_lists
from kgrec.ops.sampling import sample_negatives
from kgrec.random import derive


class ShownSampler:
    """Each click of an impression with a few of the items that were shown beside it, drawn again
    every epoch without repetition.

    Impressions without a click, or with nothing else, are left out.

    Source: Wu et al., NPA, KDD 2019, Section 3.4 (negatives from the same impression), as in
    recommenders' DKN.
    """

    def __init__(
        self,
        shown: Impressions,
        source: Shown,
        batch_size: int,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self._source = source
        self._size = batch_size
        self._seed = seed
        owner = np.repeat(np.arange(len(shown)), np.diff(shown.start))
        passed = owner[~shown.clicked]
        usable = shown.clicked & np.isin(owner, passed)
        if not usable.any():
            raise DataError(
                "no training impression has both a click and an item not clicked. Nothing can be "
                "learned from them."
            )

        start = np.searchsorted(passed, np.arange(len(shown) + 1))

        def moved(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.int64)).to(device)

        self._owner = moved(owner[usable])
        self._positive = moved(shown.item[usable])
        self._passed_start = moved(start)
        self._passed = moved(shown.item[~shown.clicked])
        self._user = moved(shown.user)
        self._history_start = moved(shown.history_start)
        self._history = moved(shown.history)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self._owner) // self._size)

    def epoch(self, epoch: int) -> Iterator[ImpressionBatch]:
        """Yield the batches of an epoch."""
        device = self._owner.device
        generator = torch.Generator(device=device).manual_seed(
            derive(self._seed, "impressions", epoch)
        )
        for rows in torch.split(
            torch.randperm(len(self._owner), generator=generator, device=device), self._size
        ):
            owner = self._owner[rows]
            passed, there = last_of_lists(self._passed_start, self._passed, owner)
            lot = torch.rand(passed.shape, generator=generator, device=device).masked_fill(
                ~there, 2.0
            )
            drawn = torch.sort(lot, dim=1).indices[:, : self._source.negatives]
            negative = passed.gather(1, drawn)
            held = there.gather(1, drawn)
            history, mask = last_of_lists(
                self._history_start, self._history, owner, self._source.max_history
            )
            yield _batch(self._user[owner], history, mask, self._positive[rows], negative, held)


class PairSampler:
    """Interactions as lists of one click: with sampled negatives, or labeled pairs one by one.

    The history is the user's other training items. Every pair is shown to a history that lacks one
    of them: its own item, or for a labeled negative a random one, so that the length of a history
    does not give the label away.

    Args:
        data: Its training part, and its labeled negatives where there are any.
        source: How a batch is put together.
        batch_size: Clicks, or labeled pairs, per batch.
        seed: Seed of every draw.
        device: Where batches are made.

    Raises:
        ConfigError: If the data is labeled and clicks must stand in groups.
        DataError: If negatives are to be sampled and a user has every item.
    """

    def __init__(
        self,
        data: Dataset,
        source: Shown,
        batch_size: int,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        negatives = data.negatives.get("train", Interactions())
        self._labeled = len(negatives) > 0
        if self._labeled and source.grouped:
            raise ConfigError(
                'labeled pairs stand alone, and a softmax needs a click among negatives of its own. Use loss="bce".'
            )

        matrix = data.train.csr(data.num_users, data.num_items)

        def moved(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.int64)).to(device)

        self._start = moved(np.searchsorted(data.train.user, np.arange(data.num_users + 1)))
        self._item = moved(data.train.item)
        self._user = moved(np.concatenate([data.train.user, negatives.user]))
        self._shown = moved(np.concatenate([data.train.item, negatives.item]))
        self._seen = moved(matrix.indptr), moved(matrix.indices)
        self._num_items = data.num_items
        self._source = source
        self._size = batch_size
        self._seed = seed

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self._user) // self._size)

    def epoch(self, epoch: int) -> Iterator[ImpressionBatch]:
        """Yield the batches of an epoch."""
        device = self._user.device
        count = len(self._user)
        generator = torch.Generator(device=device).manual_seed(derive(self._seed, "pairs", epoch))
        order = torch.randperm(count, generator=generator, device=device)
        lot = torch.rand(count, generator=generator, device=device, dtype=torch.float64)
        negatives = torch.empty(count, 0, dtype=torch.int64, device=device)

        if not self._labeled:
            wanted = self._user.repeat_interleave(self._source.negatives)
            negatives = sample_negatives(
                wanted, *self._seen, self._num_items, generator=generator
            ).view(count, -1)

        for rows in torch.split(order, self._size):
            user = self._user[rows]
            size = self._start[user + 1] - self._start[user]
            own = rows < len(self._item)
            left_out = torch.where(own, rows - self._start[user], (lot[rows] * size).long())
            history, mask = self._without(user, size, left_out)
            negative = negatives[rows]
            batch = _batch(
                user,
                history,
                mask,
                self._shown[rows],
                negative,
                torch.ones_like(negative, dtype=torch.bool),
            )
            batch.label[:, 0] = own.to(batch.label.dtype)
            yield batch

    def _without(self, user: Tensor, size: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last items of each user but the one at place ``left_out`` of the list."""
        most = self._source.max_history + 1
        history, mask = last_of_lists(self._start, self._item, user, most)
        place = torch.arange(history.shape[1], device=user.device) + (size - most).clamp(
            min=0
        ).unsqueeze(1)
        gone = place == torch.maximum(left_out, (size - most).clamp(min=0)).unsqueeze(1)
        return history, mask & ~gone


def impression_sampler(
    data: Dataset, source: Shown, batch_size: int, *, seed: int, device: torch.device
) -> ShownSampler | PairSampler:
    """Return batches of the lists that were shown in training, of labeled pairs, or of
    interactions: the first that the data has.
    """
    shown = data.impressions.get("train")
    if shown is not None and len(shown):
        return ShownSampler(shown, source, batch_size, seed=seed, device=device)

    return PairSampler(data, source, batch_size, seed=seed, device=device)


def _batch(
    user: Tensor, history: Tensor, mask: Tensor, positive: Tensor, negative: Tensor, held: Tensor
) -> ImpressionBatch:
    """Return clicks in front of their negatives."""
    label = torch.zeros(
        len(user), 1 + negative.shape[1], device=user.device, dtype=torch.get_default_dtype()
    )
    label[:, 0] = 1.0
    shown = torch.cat(
        [torch.ones_like(held[:, :1]) if held.shape[1] else mask.new_ones(len(user), 1), held], 1
    )
    return ImpressionBatch(
        user, history, mask, torch.cat([positive.unsqueeze(1), negative], 1), label, shown
    )
