"""Facts with negative tails of the tail's own type: how CFKG draws its batches, and triple losses
beside another one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Objective
from kgrec.models.sources import SamplerContext, register_source
from kgrec.nn.triple_contrast import TripleContrast
from kgrec.ops.sampling import TypedTails
from kgrec.random import derive
from kgrec.scale.columns import WHOLE, Whole


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


@dataclass(frozen=True, slots=True)
class TripleLoss:
    """A triple loss beside another one, apart from its weight.

    Attributes:
        negatives: Other tails of the relation per triple, drawn uniformly.
        temperature: What cosines are divided by, in (0, 1].
        l2_weight: Weight of half the squared norms of the rows of the batch, divided by its size.
    """

    negatives: int = 8
    temperature: float = 0.15
    l2_weight: float = 1e-3

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.negatives < 1 or not 0 < self.temperature <= 1 or self.l2_weight < 0:
            raise ConfigError(
                "a triple loss needs at least one negative, a temperature in (0, 1] and an L2 "
                "weight >= 0."
            )


class FactContrast(nn.Module):
    """The triple loss of a model over a collaborative knowledge graph (``TripleContrast``), on
    vectors of its nodes.

    Args:
        ckg: The graph.
        weight: Weight of the loss; 0 makes none, and draws nothing.
        dim: Size of the vectors.
        generator: Draws the relations' vectors.
        loss: The rest of it; None takes the defaults.
    """

    shard: Whole = WHOLE

    def __init__(
        self,
        ckg: CollaborativeKG,
        weight: float | int,
        dim: int,
        generator: torch.Generator,
        loss: TripleLoss | None = None,
    ) -> None:
        super().__init__()
        self.weight = weight if (ckg.relation > 0).any() else 0.0
        self._ckg = ckg
        self._loss = loss or TripleLoss()
        self.contrast: TripleContrast | None = None
        if self.weight:
            numbers = self._loss.temperature, self._loss.l2_weight
            self.contrast = TripleContrast(ckg.num_relations, dim, *numbers, generator)

    @property
    def tables(self) -> tuple[nn.Parameter, ...]:
        """What lies apart where the vectors do."""
        return () if self.contrast is None else (self.contrast.relations,)

    def source(self) -> TypedFacts:
        """Return what the batches are drawn from: the triples, tails among those of the relation."""
        ckg = self._ckg
        chosen = np.flatnonzero(ckg.relation > 0)
        head, relation, tail = (
            torch.from_numpy(column[chosen]) for column in (ckg.head, ckg.relation, ckg.tail)
        )
        power = torch.zeros(ckg.num_relations)
        return TypedFacts((head, relation, tail), self._loss.negatives, power, "triples")

    def of(self, nodes: Float[Tensor, "nodes dim"], batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the loss of a batch by vectors of all nodes, unweighted."""
        assert self.contrast is not None
        tails = torch.cat([batch.tail.unsqueeze(1), batch.negative], 1)
        loss: Tensor = self.contrast(nodes, batch.head, batch.relation, tails, self.shard)
        return loss

    def objectives(
        self,
        nodes: Callable[[], Tensor],
        parameters: tuple[nn.Parameter, ...] | None = None,
    ) -> tuple[Objective[Any], ...]:
        """Return the objective, () without a weight.

        Args:
            nodes: Returns the vectors of all nodes.
            parameters: What they are made of, where the objective has an optimizer of its own.
        """
        if self.contrast is None:
            return ()

        def loss(batch: CorruptedBatch) -> Tensor:
            return self.of(nodes(), batch)

        own = None if parameters is None else (*parameters, *self.contrast.parameters())
        source = self.source()
        made = Objective(
            CorruptedBatch, loss, own, "triples", source=source, weight=float(self.weight)
        )
        return (made,)
