"""One sampler per batch type. An epoch's draws depend on (seed, epoch) alone, never on the epochs before."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kgrec.batches import PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.data.dataset import Dataset
from kgrec.errors import ConfigError, DataError
from kgrec.models.base import Batches, Objective, TripleSource
from kgrec.ops.sampling import corrupt_tails, sample_negatives
from kgrec.random import derive
from kgrec.training.config import TrainConfig


class InteractionSampler:
    """Interactions in batches, with or without one sampled negative each.

    "interaction" shuffles all training pairs, the last batch may be short (KGIN, RecBole); "user_uniform" draws ``batch_size`` distinct
    users and one of each user's items, ``n_train // batch_size + 1`` times (the authors' code of KGAT). A negative is uniform over the
    items that are not in the user's training part.

    Raises:
        DataError: If negatives are wanted and a user has every item.

    Source: Rendle et al., BPR, UAI 2009, Section 4.2 (uniform negatives); models.md 0.6 for the variants.
    """

    def __init__(self, data: Dataset, config: TrainConfig, *, seed: int, device: torch.device, negatives: bool) -> None:
        matrix = data.train.csr(data.num_users, data.num_items)
        self._ptr = torch.from_numpy(matrix.indptr).long().to(device)
        self._item = torch.from_numpy(matrix.indices).long().to(device)
        self._user = torch.repeat_interleave(torch.arange(data.num_users, device=device), self._ptr.diff())
        full = torch.nonzero(self._ptr.diff() == data.num_items)
        if negatives and len(full):
            user = data.users.key(int(full[0]))
            raise DataError(f"user {user!r} has all {data.num_items} items, so none is left to rank below them. Leave the user out.")
        self._num_items, self._config, self._seed, self._negatives = data.num_items, config, seed, negatives

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        count, size = len(self._item), self._config.batch_size
        return count // size + 1 if self._config.sampler == "user_uniform" else -(-count // size)

    def epoch(self, epoch: int) -> Iterator[PairwiseBatch | PositiveBatch]:
        """Yield the batches of an epoch."""
        generator = torch.Generator(device=self._item.device).manual_seed(derive(self._seed, "interactions", epoch))
        picked = self._by_user(generator) if self._config.sampler == "user_uniform" else self._shuffled(generator)
        user, positive = self._user[picked], self._item[picked]
        size = self._config.batch_size
        if not self._negatives:
            for u, p in zip(torch.split(user, size), torch.split(positive, size), strict=True):
                yield PositiveBatch(u, p)
            return
        negative = sample_negatives(user, self._ptr, self._item, self._num_items, generator=generator)
        for u, p, n in zip(torch.split(user, size), torch.split(positive, size), torch.split(negative, size), strict=True):
            yield PairwiseBatch(u, p, n)

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self._item), generator=generator, device=self._item.device)

    def _by_user(self, generator: torch.Generator) -> Tensor:
        active = torch.nonzero(self._ptr.diff()).squeeze(1)
        users = _distinct(active, self._config.batch_size, self.steps(), generator)
        return _one_of_each(users, self._ptr, generator)


class TripleSampler:
    """Triples in batches, each with a corrupted tail for which no such triple is known.

    By triple: shuffled, each once an epoch. By head: distinct heads, then one triple of each, as many batches as the interactions have.

    Source: Wang et al., KGAT, KDD 2019, Section 3.2 and the authors' code (models.md 0.6).
    """

    def __init__(self, source: TripleSource, config: TrainConfig, *, seed: int, device: torch.device, steps: int) -> None:
        count = len(source.head)
        order = torch.argsort(source.head, stable=True)
        self._head, self._relation, self._tail = (part[order].to(device) for part in (source.head, source.relation, source.tail))
        self._size = config.kg_batch_size or max(1, -(-count // max(steps, 1)))
        every = steps if source.by_head else -(-count // self._size)
        self._steps = min(every, config.kg_steps or every)
        self._source, self._seed = source, seed

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return self._steps

    def epoch(self, epoch: int) -> Iterator[TripleBatch]:
        """Yield the batches of an epoch."""
        device = self._head.device
        generator = torch.Generator(device=device).manual_seed(derive(self._seed, "triples", epoch))
        if self._source.by_head:
            heads, counts = torch.unique_consecutive(self._head, return_counts=True)
            ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
            rows = _distinct(torch.arange(len(heads), device=device), self._size, self._steps, generator)
            picked = _one_of_each(rows, ptr, generator)
        else:
            picked = torch.randperm(len(self._head), generator=generator, device=device)[: self._steps * self._size]
        head, relation, tail = self._head[picked], self._relation[picked], self._tail[picked]
        known = (self._head, self._relation, self._tail)
        corrupted = corrupt_tails(head, relation, tail, known, self._source.num_tails, generator=generator)
        for parts in zip(*(torch.split(part, self._size) for part in (head, relation, tail, corrupted)), strict=True):
            yield TripleBatch(*parts)


def make_sampler(objective: Objective[Any], data: Dataset, config: TrainConfig, *, seed: int, device: torch.device, steps: int) -> Batches:
    """Return the sampler for an objective's batch type; ``steps`` is how many batches the first objective has."""
    if objective.sampler is not None:
        return objective.sampler(data, config.batch_size, seed=seed, device=device, steps=steps)
    if objective.batch is PairwiseBatch or objective.batch is PositiveBatch:
        return InteractionSampler(data, config, seed=seed, device=device, negatives=objective.batch is PairwiseBatch)
    if objective.batch is TripleBatch and objective.triples is not None:
        return TripleSampler(objective.triples, config, seed=seed, device=device, steps=steps)
    raise ConfigError(f"no sampler gives {objective.batch.__name__}. Use a batch type of kgrec.batches; triples need a TripleSource.")


def _distinct(values: Tensor, size: int, batches: int, generator: torch.Generator) -> Tensor:
    """Return ``batches`` draws of ``size`` distinct values each, with repetition inside a draw only if there are fewer values."""
    if size > len(values):
        at = torch.randint(len(values), (batches * size,), generator=generator, device=values.device)
        return values[at]
    draws = [torch.randperm(len(values), generator=generator, device=values.device)[:size] for _ in range(batches)]
    return values[torch.cat(draws)]


def _one_of_each(rows: Tensor, ptr: Tensor, generator: torch.Generator) -> Tensor:
    """Return one uniform position out of each row's segment."""
    width = ptr.diff()[rows]
    offset = (torch.rand(len(rows), generator=generator, device=rows.device, dtype=torch.float64) * width).long()
    return ptr[rows] + torch.minimum(offset, width - 1)
