"""How CFKG draws its batches: negatives of the tail's own type."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kgrec.batches import CorruptedBatch
from kgrec.models.sources import SamplerContext, register_source
from kgrec.ops.sampling import TypedTails
from kgrec.random import derive


class TypedSampler:
    """Facts in batches, shuffled, each with negative tails of its own tail's type.

    A tail's type is the relation it is a tail of: negatives are other tails of the fact's relation,
    uniform or by their frequency (``TypedTails``).

    Args:
        facts: Heads, relations and tails.
        negatives: Negative tails of each fact.
        batch_size: Facts in a batch; the last one may be short.
        power: Power of the frequency that negatives of each relation are drawn by; None draws all
            uniformly.
        seed: Seed of the draws.
        name: Name of the stream of draws.

    Source: Ai et al., CFKG, Algorithms 2018, Section 3.2 ("negative sampling" among entities of the
    same type).
    """

    def __init__(
        self,
        facts: tuple[Tensor, Tensor, Tensor],
        negatives: int,
        batch_size: int,
        *,
        power: Tensor | None = None,
        seed: int,
        name: str,
    ) -> None:
        self._head, self._relation, self._tail = facts
        self._tails = TypedTails(
            self._relation,
            self._tail,
            torch.zeros(1 + int(self._relation.max())) if power is None else power,
        )
        self._negatives = negatives
        self._batch_size = batch_size
        self._seed = seed
        self._name = name

    def steps(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self._head) // self._batch_size)

    def epoch(self, epoch: int) -> Iterator[CorruptedBatch]:
        """Yield the batches of an epoch."""
        device = self._head.device
        generator = torch.Generator(device=device).manual_seed(
            derive(self._seed, self._name, epoch)
        )
        for rows in torch.split(
            torch.randperm(len(self._head), generator=generator, device=device), self._batch_size
        ):
            negative = self._tails.draw(rows, self._negatives, generator=generator)
            forward = torch.zeros(len(rows), dtype=torch.bool, device=device)
            yield CorruptedBatch(
                self._head[rows], self._relation[rows], self._tail[rows], negative, forward
            )


@dataclass(frozen=True)
class TypedFacts:
    """What a ``TypedSampler`` draws from; the attributes are its arguments.

    As the second objective of a plan its batches are as many as the first one's.
    """

    facts: tuple[Tensor, Tensor, Tensor]
    negatives: int
    power: Tensor
    name: str


def _typed_sampler(source: TypedFacts, context: SamplerContext) -> TypedSampler:
    head, relation, tail = (part.to(context.device) for part in source.facts)
    size = context.config.batch_size
    if context.steps:
        size = -(-len(head) // context.steps)

    return TypedSampler(
        (head, relation, tail),
        source.negatives,
        size,
        power=source.power,
        seed=context.seed,
        name=source.name,
    )


register_source(TypedFacts, _typed_sampler, gives=CorruptedBatch)
