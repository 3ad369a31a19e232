"""One sampler per batch type. An epoch's draws depend on (seed, epoch) alone, never on the epochs
before.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from kgrec.batches import ImpressionBatch, PairwiseBatch, PositiveBatch, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, DataError
from kgrec.models.base import Batches, Objective, TripleSource
from kgrec.ops.sampling import free_tails, sample_negatives
from kgrec.random import derive
from kgrec.training.config import TrainConfig
from kgrec.training.impressions import impression_sampler

_TRIPLES_AT_ONCE = (
    2**20
    # whose tails are corrupted in one go; KGAT's authors draw twelve million in an epoch of Amazon-
    # Book
)


class InteractionSampler:
    """Interactions in batches, with or without one sampled negative each.

    "interaction" shuffles all training pairs (KGIN, RecBole). The others draw a user first, then
    one of the user's items, and so weigh every user alike: "user_uniform" draws ``batch_size``
    distinct users, ``n_train // batch_size + 1`` times (the authors' code of KGAT);
    "user_uniform_replace" draws ``n_train`` users, each time from all (the Python sampler of
    LightGCN's authors); "per_user_quota" takes each user ``n_train // n_users`` times (their C++
    sampler). Users without training interactions are not counted. The last batch may be short;
    ``drop_last`` leaves it out (KGIN), unless it is the only one. A negative is uniform over the
    items that are not in the user's training part.

    Raises:
        DataError: If negatives are wanted and a user has every item.

    Source: Rendle et al., BPR, UAI 2009, Section 4.2 (uniform negatives);
    docs/metrics.md, section 8, for the variants.
    """

    def __init__(
        self,
        data: Dataset,
        config: TrainConfig,
        *,
        seed: int,
        device: torch.device,
        negatives: bool,
    ) -> None:
        matrix = data.train.csr(data.num_users, data.num_items)
        self._ptr = torch.from_numpy(matrix.indptr).long().to(device)
        self._item = torch.from_numpy(matrix.indices).long().to(device)
        self._user = torch.repeat_interleave(
            torch.arange(data.num_users, device=device), self._ptr.diff()
        )
        full = torch.nonzero(self._ptr.diff() == data.num_items)
        if negatives and len(full):
            user = data.users.key(int(full[0]))
            raise DataError(
                f"user {user!r} has all {data.num_items} items, so none is left to rank below "
                "them. Leave the user out."
            )
        self._num_items = data.num_items
        self._config = config
        self._seed = seed
        self._negatives = negatives
        self._active = torch.nonzero(self._ptr.diff()).squeeze(1)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        count = self._count()
        size = self._config.batch_size
        if self._config.drop_last:
            return max(1, count // size)
        return -(-count // size)

    def epoch(self, epoch: int) -> Iterator[PairwiseBatch | PositiveBatch]:
        """Yield the batches of an epoch."""
        generator = torch.Generator(device=self._item.device).manual_seed(
            derive(self._seed, "interactions", epoch)
        )
        picked = self._draw(generator)[: self.steps() * self._config.batch_size]
        user = self._user[picked]
        positive = self._item[picked]
        size = self._config.batch_size
        if not self._negatives:
            for u, p in zip(torch.split(user, size), torch.split(positive, size), strict=True):
                yield PositiveBatch(u, p)
            return
        negative = sample_negatives(
            user, self._ptr, self._item, self._num_items, generator=generator
        )
        for u, p, n in zip(
            torch.split(user, size),
            torch.split(positive, size),
            torch.split(negative, size),
            strict=True,
        ):
            yield PairwiseBatch(u, p, n)

    def _count(self) -> int:
        """Return the number of interactions in an epoch."""
        count = len(self._item)
        size = self._config.batch_size
        if self._config.sampler == "user_uniform":
            return (count // size + 1) * size
        if self._config.sampler == "per_user_quota":
            return count // len(self._active) * len(self._active)
        return count

    def _draw(self, generator: torch.Generator) -> Tensor:
        """Return the positions of an epoch's interactions."""
        device = self._item.device
        count = self._count()
        sampler = self._config.sampler
        if sampler == "interaction":
            return torch.randperm(count, generator=generator, device=device)
        if sampler == "user_uniform":
            size = self._config.batch_size
            users = _distinct(self._active, size, count // size, generator)
        elif sampler == "user_uniform_replace":
            users = self._active[
                torch.randint(len(self._active), (count,), generator=generator, device=device)
            ]
        else:
            quota = self._active.repeat(count // len(self._active))
            users = quota[torch.randperm(count, generator=generator, device=device)]
        return _one_of_each(users, self._ptr, generator)


class TripleSampler:
    """Triples in batches, each with a corrupted tail for which no such triple is known.

    By triple: shuffled, each once an epoch. By head: distinct heads, then one triple of each, as
    many batches as the interactions have, or as ``TripleSource`` says. As a plan's first objective,
    batches are of ``batch_size`` and as many as hold all triples. ``kg_batch_size`` and
    ``kg_steps`` override either number: with fewer steps an epoch sees a part of the triples, with
    more it begins again, shuffled again.

    Source: Wang et al., KGAT, KDD 2019, Section 3.2 and the authors' code.
    """

    def __init__(
        self,
        source: TripleSource,
        config: TrainConfig,
        *,
        seed: int,
        device: torch.device,
        steps: int,
    ) -> None:
        order = torch.argsort(source.head, stable=True)
        self._head, self._relation, self._tail = (
            part[order].to(device) for part in (source.head, source.relation, source.tail)
        )
        self._size = config.kg_batch_size or _own_size(source, config, steps)
        self._steps = config.kg_steps or _own_steps(source, config, steps, self._size)
        self._source = source
        self._seed = seed

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.sizes())

    def sizes(self) -> list[int]:
        """Return the number of triples in each batch of an epoch."""
        if self._source.by_head:
            return [self._size] * self._steps
        whole, rest = divmod(len(self._head), self._size)
        once = [self._size] * whole + [rest] * (rest > 0)
        return (once * -(-self._steps // max(1, len(once))))[: self._steps]

    def epoch(self, epoch: int) -> Iterator[TripleBatch]:
        """Yield the batches of an epoch."""
        device = self._head.device
        generator = torch.Generator(device=device).manual_seed(derive(self._seed, "triples", epoch))
        sizes = self.sizes()
        if self._source.by_head:
            heads, counts = torch.unique_consecutive(self._head, return_counts=True)
            ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
            rows = _distinct(
                torch.arange(len(heads), device=device), self._size, self._steps, generator
            )
            picked = _one_of_each(rows, ptr, generator)
        else:
            wanted = sum(sizes)
            count = len(self._head)
            passes = max(1, -(-wanted // max(1, count)))
            shuffled = [
                torch.randperm(count, generator=generator, device=device) for _ in range(passes)
            ]
            picked = torch.cat(shuffled)[:wanted]
        known = (self._head, self._relation, self._tail)
        if len(self._relation):
            relations = 1 + int(self._relation.max())
        else:
            relations = 1
        free = free_tails(known, self._source.num_tails, relations)
        batches = torch.split(picked, sizes)
        at_once = max(1, _TRIPLES_AT_ONCE // self._size)
        for start in range(0, len(batches), at_once):
            some = batches[start : start + at_once]
            head, relation, tail = (part[torch.cat(some)] for part in known)
            corrupted = free.draw(head, relation, tail, generator=generator)
            own = [len(batch) for batch in some]
            for parts in zip(
                *(torch.split(part, own) for part in (head, relation, tail, corrupted)), strict=True
            ):
                yield TripleBatch(*parts)


def _own_size(source: TripleSource, config: TrainConfig, steps: int) -> int:
    """Return the size of a batch where the settings leave it open; ``steps`` is how many the
    interactions have, 0 if there are none.
    """
    if not steps:
        return config.batch_size
    if source.by_head and source.num_triples:
        return max(1, source.num_triples // max(1, source.num_interactions // config.batch_size))
    return max(1, -(-len(source.head) // steps))


def _own_steps(source: TripleSource, config: TrainConfig, steps: int, size: int) -> int:
    """Return the number of steps where the settings leave it open."""
    if source.by_head and source.edges_per_step:
        return len(source.head) // source.edges_per_step + 1
    if source.by_head and steps:
        return steps
    if source.by_head and source.num_interactions:
        return source.num_interactions // config.batch_size + 1
    return -(-len(source.head) // size)


def make_sampler(
    objective: Objective[Any],
    data: Dataset,
    config: TrainConfig,
    *,
    seed: int,
    device: torch.device,
    steps: int,
) -> Batches:
    """Return the sampler for an objective's batch type; ``steps`` is how many batches the first
    objective has.
    """
    if objective.sampler is not None:
        return objective.sampler(data, config.batch_size, seed=seed, device=device, steps=steps)
    if objective.batch is PairwiseBatch or objective.batch is PositiveBatch:
        return InteractionSampler(
            data, config, seed=seed, device=device, negatives=objective.batch is PairwiseBatch
        )
    if objective.batch is TripleBatch and objective.triples is not None:
        return TripleSampler(objective.triples, config, seed=seed, device=device, steps=steps)
    if objective.batch is ImpressionBatch and objective.impressions is not None:
        return impression_sampler(
            data, objective.impressions, config.batch_size, seed=seed, device=device
        )
    raise ConfigError(
        f"no sampler gives {objective.batch.__name__}. Use a batch type of kgrec.batches; "
        "triples need a TripleSource."
    )


def _distinct(values: Tensor, size: int, batches: int, generator: torch.Generator) -> Tensor:
    """Return ``batches`` draws of ``size`` distinct values each, with repetition inside a draw only
    if there are fewer values.
    """
    if size > len(values):
        at = torch.randint(
            len(values), (batches * size,), generator=generator, device=values.device
        )
        return values[at]
    # Into one array: kept by themselves, the draws would hold on to their whole permutations,
    # gigabytes in an epoch of KGAT's triple phase.
    drawn = torch.empty(batches, size, dtype=torch.int64, device=values.device)
    for row in drawn:
        row.copy_(torch.randperm(len(values), generator=generator, device=values.device)[:size])
    return values[drawn.flatten()]


def _one_of_each(rows: Tensor, ptr: Tensor, generator: torch.Generator) -> Tensor:
    """Return one uniform position out of each row's segment."""
    width = ptr.diff()[rows]
    offset = (
        torch.rand(len(rows), generator=generator, device=rows.device, dtype=torch.float64) * width
    ).long()
    return ptr[rows] + torch.minimum(offset, width - 1)
