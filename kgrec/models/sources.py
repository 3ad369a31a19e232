"""What objectives draw their batches from: a value per kind, and the registry of what draws.

    Objective(SampledBatch, self.loss, source=Pairs(NegativeSource(8, "popularity")))
    Objective(SequenceBatch, self.loss, source=Sequences(length=50))

A source says what is drawn; ``kgrec.training`` has the samplers of those in this file. Another kind
is a dataclass and ``register_source``, beside the model that needs it.
"""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.graph.fields import FieldTable
from kgrec.models.base import Batches, Objective

if TYPE_CHECKING:
    from kgrec.training.config import TrainConfig

Distribution = Literal["uniform", "popularity", "in-batch", "hard"]
Labels = Literal["click", "rating"]
Targets = Literal["every", "windows", "next"]


@dataclass(frozen=True)
class NegativeSource:
    """Which items stand against an interaction; never a training item of its user.

    Only "uniform" draws items that no user has in training; for the others these are no
    negatives (docs/decisions/0006).

    Attributes:
        count: Negatives of each interaction.
        distribution: "uniform" over the catalog; "popularity", in proportion to a power of the
            number of training interactions; "in-batch", the items of the batch's other
            interactions, each in proportion to how often it is there, and where all of them are the
            user's any used item; "hard", the ``count`` items with the highest scores among ``pool``
            drawn by popularity.
        exponent: The power; 0 draws all used items alike. None takes 0.75 for "popularity" and 0
            for the pool of "hard".
        pool: Items drawn for "hard", at least ``count``; the same item may be drawn twice.
        score: For "hard", the model's scores of candidates, (users, candidates of each) to a score
            for each; called without gradients when a batch is drawn, with the parameters of then.

    Source: Rendle et al., BPR, UAI 2009, Section 4.2 ("uniform"); Mikolov et al., Distributed
    Representations of Words, NIPS 2013, Section 2.2 (the exponent); Hidasi et al., GRU4Rec, ICLR
    2016, Section 3.2 ("in-batch"); Zhang et al., Optimizing Top-N Collaborative Filtering via
    Dynamic Negative Item Sampling, SIGIR 2013, Section 3 ("hard").
    """

    count: int = 1
    distribution: Distribution = "uniform"
    exponent: float | int | None = None
    pool: int = 32
    score: Callable[[Tensor, Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        """Reject what cannot be drawn."""
        if self.distribution not in get_args(Distribution):
            raise ConfigError(
                f"unknown distribution of negatives {self.distribution!r}. Known: "
                f"{', '.join(get_args(Distribution))}."
            )
        if self.count < 1 or (self.exponent is not None and self.exponent < 0):
            raise ConfigError("negatives need count >= 1 and exponent >= 0.")
        if self.distribution == "hard" and (self.score is None or self.pool < self.count):
            raise ConfigError("hard negatives need score, and a pool of at least count.")

    @property
    def power(self) -> float:
        """The exponent, or the distribution's own."""
        if self.exponent is not None:
            return float(self.exponent)
        if self.distribution == "popularity":
            return 0.75
        return 0.0


@dataclass(frozen=True)
class Pairs:
    """Interactions with negatives: ``PairwiseBatch`` with one each, ``SampledBatch`` with any
    number. ``TrainConfig.sampler`` says how interactions are drawn.
    """

    negatives: NegativeSource = field(default_factory=NegativeSource)


@dataclass(frozen=True)
class Positives:
    """Interactions alone (``PositiveBatch``), drawn as ``TrainConfig.sampler`` says."""


@dataclass(frozen=True)
class Triples:
    """Triples, each with a corrupted tail (``TripleBatch``).

    Attributes:
        head: Nodes or entities, as the model counts them.
        relation: Relations.
        tail: Nodes or entities.
        num_tails: Corrupted tails are drawn from 0 .. num_tails - 1.
        by_head: True draws distinct heads, then one triple of each; False draws triples uniformly,
            each once an epoch.
        num_triples: By head: triples of the knowledge graph, in one direction. A batch then has
            ``num_triples // (num_interactions // batch_size)`` heads, as in the authors' code of
            KGAT; 0 takes an even share of what is drawn from.
        num_interactions: By head: distinct training interactions.
        edges_per_step: By head: ``len(head) // edges_per_step + 1`` steps make an epoch; 0 takes as
            many as the interactions have.
    """

    head: Int[Tensor, " edges"]
    relation: Int[Tensor, " edges"]
    tail: Int[Tensor, " edges"]
    num_tails: int
    by_head: bool = False
    num_triples: int = 0
    num_interactions: int = 0
    edges_per_step: int = 0


@dataclass(frozen=True)
class Shown:
    """Lists that were shown, with clicks (``ImpressionBatch``); labeled pairs or interactions where
    the data has none.

    Attributes:
        negatives: Items not clicked for each click, at least 1; fewer where fewer were shown.
        max_history: Most recent items of each history, at least 1.
        grouped: Whether each click must stand among negatives of its own, so that labeled pairs
            cannot be used.
    """

    negatives: int
    max_history: int
    grouped: bool = False


@dataclass(frozen=True)
class Users:
    """Users with all of their training items (``UserBatch``), each once an epoch.

    Attributes:
        steps: Batches in an epoch; 0 makes batches of ``batch_size`` users.
    """

    steps: int = 0


@dataclass(frozen=True)
class Sequences:
    """Users' training items in the order of their times (``SequenceBatch``).

    Attributes:
        length: Most items of a history; the latest are kept.
        targets: "every" takes each user once an epoch, and after each item of the history the item
            that came next (SASRec); "windows" does so too, and cuts all that a user has into
            histories of that length, so that each interaction but a user's first is a target once
            an epoch; "next" takes each of these by itself, after a history of what came before
            (Caser). A user needs two interactions.
    """

    length: int = 50
    targets: Targets = "every"

    def __post_init__(self) -> None:
        """Reject what cannot be drawn."""
        if self.length < 1 or self.targets not in get_args(Targets):
            raise ConfigError(
                'sequences need length >= 1 and targets "every", "windows" or "next".'
            )


@dataclass(frozen=True)
class Points:
    """Pairs of user and item with a label (``PointwiseBatch``).

    Attributes:
        label: "click": 1 for training interactions, and 0 for the labeled negatives of the data or,
            where it has none, for sampled ones; a batch then has ``batch_size`` interactions, and
            their negatives beside them. "rating": the rating of each training interaction, as
            in the data, without negatives.
        negatives: What is sampled where nothing is labeled.
    """

    label: Labels = "click"
    negatives: NegativeSource = field(default_factory=NegativeSource)

    def __post_init__(self) -> None:
        """Reject what cannot be drawn."""
        if self.label not in get_args(Labels):
            raise ConfigError(f'label {self.label!r} is not one of "click" and "rating".')


@dataclass(frozen=True)
class Fields:
    """Pairs as ``Points`` draws them, in integer columns (``FieldBatch``).

    Attributes:
        table: The columns; the model ranks by the same.
        points: Which pairs, and their labels.
    """

    table: FieldTable
    points: Points = field(default_factory=Points)


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """What a sampler is made for, beside its source.

    Attributes:
        data: The dataset; its training part is drawn from.
        config: All training settings.
        batch: The batch type of the objective.
        seed: Seed of every draw; those of an epoch depend on (seed, epoch) alone
            (docs/decisions/0008).
        device: Where batches are made.
        steps: How many batches the plan's first objective has in an epoch; 0 for the first itself.
    """

    data: Dataset
    config: "TrainConfig"
    batch: type[Any]
    seed: int
    device: torch.device
    steps: int = 0


@dataclass(frozen=True, slots=True)
class _Registered:
    make: Callable[[Any, SamplerContext], Batches]
    gives: tuple[type[Any], ...]
    needs: Callable[[Any], tuple[str, ...]]


_SOURCES: dict[type[Any], _Registered] = {}


def register_source(
    kind: type[Any],
    make: Callable[[Any, SamplerContext], Batches],
    *,
    gives: type[Any] | tuple[type[Any], ...],
    needs: Callable[[Any], tuple[str, ...]] = lambda source: (),
) -> None:
    """Say what draws batches from a kind of source.

    Args:
        kind: The type of the source, a dataclass. Where it can be made without arguments,
            objectives on its batches need not name it.
        make: Returns the batches of a source.
        gives: Batch types that it can give.
        needs: What a dataset must have for a source, by the names of ``NEEDS``
            (``kgrec.data.records.needs``).

    Raises:
        ConfigError: If another module has registered the kind.
    """
    if not is_dataclass(kind):
        raise ConfigError(f"{kind.__name__} is not a dataclass. A source is one.")

    known = _SOURCES.get(kind)
    if known is not None and known.make.__module__ != make.__module__:
        raise ConfigError(
            f"sources {kind.__name__} are drawn from by {known.make.__module__} already. Define "
            "a kind of your own."
        )

    if isinstance(gives, type):
        gives = (gives,)

    _SOURCES[kind] = _Registered(make, gives, needs)


def source_of(objective: Objective[Any]) -> object:
    """Return what an objective draws from; where it names nothing, its batch type's own source.

    Raises:
        ConfigError: If there is none, or it gives other batches.
    """
    batch, source = objective.batch.__name__, objective.source
    if source is None:
        for kind, registered in _SOURCES.items():
            if objective.batch in registered.gives and _has_defaults(kind):
                return kind()

        kinds = [
            kind.__name__ for kind, known in _SOURCES.items() if objective.batch in known.gives
        ]
        if kinds:
            raise ConfigError(
                f"objective {objective.name!r}: {batch} needs a source. Write "
                f"Objective({batch}, ..., source={kinds[0]}(...))."
            )

        raise ConfigError(
            f"objective {objective.name!r}: no source gives {batch}. Use a batch type of "
            "kgrec.batches, or register_source."
        )

    if isinstance(source, type) or type(source) not in _SOURCES:
        raise ConfigError(
            f"objective {objective.name!r}: {source!r:.60} is no source. Use a value of "
            "kgrec.models.sources, or register_source."
        )

    gives = _SOURCES[type(source)].gives
    if objective.batch not in gives:
        raise ConfigError(
            f"objective {objective.name!r}: {type(source).__name__} gives "
            f"{' or '.join(kind.__name__ for kind in gives)}, not {batch}. Name one of them."
        )

    return source


def needs_of(source: object) -> tuple[str, ...]:
    """Return what a dataset must have for a source."""
    return _SOURCES[type(source)].needs(source)


def batches_of(source: object, context: SamplerContext) -> Batches:
    """Return the batches of a source."""
    return _SOURCES[type(source)].make(source, context)


def _has_defaults(kind: type[Any]) -> bool:
    return all(
        part.default is not MISSING or part.default_factory is not MISSING for part in fields(kind)
    )
