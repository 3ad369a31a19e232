"""One sampler per batch type. An epoch's draws depend on (seed, epoch) alone, never on the epochs
before.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kgrec.batches import (
    FieldBatch,
    ImpressionBatch,
    PairwiseBatch,
    PointwiseBatch,
    PositiveBatch,
    SampledBatch,
    SequenceBatch,
    TripleBatch,
    UserBatch,
)
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.needs import check_needs
from kgrec.errors import ConfigError
from kgrec.models.base import Batches, Objective, Recommender
from kgrec.models.sources import (
    Fields,
    NegativeSource,
    Pairs,
    Points,
    Positives,
    SamplerContext,
    Sequences,
    Shown,
    Triples,
    Users,
    batches_of,
    needs_of,
    register_source,
    source_of,
)
from kgrec.ops.sampling import free_tails
from kgrec.random import derive
from kgrec.training.config import TrainConfig
from kgrec.training.impressions import PairSampler, ShownSampler, impression_sampler
from kgrec.training.lists import UserSampler, sequence_sampler
from kgrec.training.negatives import Negatives
from kgrec.training.points import FieldSampler, PointSampler, point_needs

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
    ``drop_last`` leaves it out (KGIN), unless it is the only one. Where interactions have weights,
    they are drawn by them: "interaction" draws as many as there are, with repetition, the others a
    user's item by its weight. A negative is uniform over the
    items that are not in the user's training part, or drawn as ``NegativeSource`` says.

    Args:
        data: Its training part is drawn from.
        config: How interactions are drawn, and how many make a batch.
        seed: Seed of every draw.
        device: Where batches are made.
        negatives: How negatives are drawn; None draws none.
        batch: The batch type.

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
        negatives: NegativeSource | None,
        batch: type[PairwiseBatch | SampledBatch | PositiveBatch],
    ) -> None:
        matrix = data.train.csr(data.num_users, data.num_items)
        self._ptr = torch.from_numpy(matrix.indptr).long().to(device)
        self._item = torch.from_numpy(matrix.indices).long().to(device)
        self._user = torch.repeat_interleave(
            torch.arange(data.num_users, device=device), self._ptr.diff()
        )
        self._negatives = None
        if negatives is not None:
            self._negatives = Negatives(data, negatives, device)

        self._sums = None
        if data.train.weight is not None:
            weights = data.train.weighted_csr(data.num_users, data.num_items).data
            sums = torch.from_numpy(np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)]))
            self._sums = sums.to(device)

        self._batch = batch
        self._config = config
        self._seed = seed
        self._active = torch.nonzero(self._ptr.diff()).squeeze(1)

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        count = self._count()
        size = self._config.batch_size
        if self._config.drop_last:
            return max(1, count // size)
        return -(-count // size)

    def epoch(self, epoch: int) -> Iterator[PairwiseBatch | SampledBatch | PositiveBatch]:
        """Yield the batches of an epoch."""
        generator = torch.Generator(device=self._item.device).manual_seed(
            derive(self._seed, "interactions", epoch)
        )
        size = self._config.batch_size
        picked = self._draw(generator)[: self.steps() * size]
        user = self._user[picked]
        positive = self._item[picked]

        if self._negatives is None:
            for u, p in zip(torch.split(user, size), torch.split(positive, size), strict=True):
                yield PositiveBatch(u, p)
            return

        ahead = None
        if self._negatives.whole_epoch:
            ahead = self._negatives.draw(user, positive, generator)

        for start in range(0, len(user), size):
            part = slice(start, start + size)
            u, p = user[part], positive[part]

            if ahead is None:
                n = self._negatives.draw(u, p, generator)
            else:
                n = ahead[part]

            if self._batch is PairwiseBatch:
                yield PairwiseBatch(u, p, n.squeeze(1))
            else:
                yield SampledBatch(u, p, n)

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
        if sampler == "interaction" and self._sums is not None:
            whole = torch.zeros(count, dtype=torch.int64, device=device)
            ends = torch.tensor([0, len(self._item)], device=device)
            return _weighted_of_each(whole, ends, self._sums, generator)

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

        if self._sums is not None:
            return _weighted_of_each(users, self._ptr, self._sums, generator)

        return _one_of_each(users, self._ptr, generator)


class TripleSampler:
    """Triples in batches, each with a corrupted tail for which no such triple is known.

    By triple: shuffled, each once an epoch. By head: distinct heads, then one triple of each, as
    many batches as the interactions have, or as ``Triples`` says. As a plan's first objective,
    batches are of ``batch_size`` and as many as hold all triples. ``kg_batch_size`` and
    ``kg_steps`` override either number: with fewer steps an epoch sees a part of the triples, with
    more it begins again, shuffled again.

    Source: Wang et al., KGAT, KDD 2019, Section 3.2 and the authors' code.
    """

    def __init__(
        self,
        source: Triples,
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


def _own_size(source: Triples, config: TrainConfig, steps: int) -> int:
    """Return the size of a batch where the settings leave it open; ``steps`` is how many the
    interactions have, 0 if there are none.
    """
    if not steps:
        return config.batch_size
    if source.by_head and source.num_triples:
        return max(1, source.num_triples // max(1, source.num_interactions // config.batch_size))

    return max(1, -(-len(source.head) // steps))


def _own_steps(source: Triples, config: TrainConfig, steps: int, size: int) -> int:
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
    source = source_of(objective)
    check_needs(f"objective {objective.name!r}", needs_of(source), data)
    return batches_of(source, SamplerContext(data, config, objective.batch, seed, device, steps))


def _pairs(source: Pairs, context: SamplerContext) -> InteractionSampler:
    if context.batch is PairwiseBatch and source.negatives.count != 1:
        raise ConfigError(
            f"a PairwiseBatch has one negative, not {source.negatives.count}. Take SampledBatch."
        )
    return _interactions(source.negatives, context)


def _interactions(negatives: NegativeSource | None, context: SamplerContext) -> InteractionSampler:
    return InteractionSampler(
        context.data,
        context.config,
        seed=context.seed,
        device=context.device,
        negatives=negatives,
        batch=context.batch,
    )


def _triples(source: Triples, context: SamplerContext) -> TripleSampler:
    return TripleSampler(
        source,
        context.config,
        seed=context.seed,
        device=context.device,
        steps=context.steps,
    )


def _shown(source: Shown, context: SamplerContext) -> ShownSampler | PairSampler:
    size = context.config.batch_size
    return impression_sampler(context.data, source, size, seed=context.seed, device=context.device)


register_source(Pairs, _pairs, gives=(PairwiseBatch, SampledBatch))
register_source(Positives, lambda _, context: _interactions(None, context), gives=PositiveBatch)
register_source(Triples, _triples, gives=TripleBatch)
register_source(Shown, _shown, gives=ImpressionBatch)
register_source(Users, UserSampler, gives=UserBatch, needs=lambda _: ("interactions",))
register_source(Sequences, sequence_sampler, gives=SequenceBatch, needs=lambda _: ("sequences",))
register_source(Points, PointSampler, gives=PointwiseBatch, needs=point_needs)
register_source(
    Fields, FieldSampler, gives=FieldBatch, needs=lambda source: point_needs(source.points)
)


def weights_in(model: Recommender, data: Dataset) -> str | None:
    """Return in words what a model does with the weights of interactions, None if there are none."""
    if data.train.weight is None:
        return None
    if model.uses_weights:
        return "part of the model"

    kinds = {type(source_of(objective)) for objective in model.plan().objectives}
    if kinds & {Pairs, Positives}:
        return "what training interactions are drawn by"

    return "unused: every pair of a user and an item counts once"


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


def _weighted_of_each(
    rows: Tensor, ptr: Tensor, sums: Tensor, generator: torch.Generator
) -> Tensor:
    """Return one position out of each row's segment, drawn by weight.

    Args:
        rows: Segments.
        ptr: Their starts, and the end of the last.
        sums: Sum of the weights before each position, and of all.
        generator: Draws.
    """
    low, high = sums[ptr[rows]], sums[ptr[rows + 1]]
    drawn = torch.rand(len(rows), generator=generator, device=rows.device, dtype=torch.float64)
    found = torch.searchsorted(sums, low + drawn * (high - low), right=True) - 1
    return torch.minimum(torch.maximum(found, ptr[rows]), ptr[rows + 1] - 1)


def _one_of_each(rows: Tensor, ptr: Tensor, generator: torch.Generator) -> Tensor:
    """Return one uniform position out of each row's segment."""
    width = ptr.diff()[rows]
    offset = (
        torch.rand(len(rows), generator=generator, device=rows.device, dtype=torch.float64) * width
    ).long()
    return ptr[rows] + torch.minimum(offset, width - 1)
