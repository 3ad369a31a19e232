"""What every model is: three methods, no state, no training code.

``from_dataset`` picks what the paper needs, ``plan`` says how it is trained, ``scorer`` gives the
snapshot that ranks. Everything else is a hook of ``Recommender`` with a plain default
(``can_rank``, ``export_vectors``, ``triple_scorer``, ``explanation_effects``, ``own_paths``), or an
optional part of the scorer (``DotProduct.fold``). No capability is found by the name of an attribute.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch, Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ModelError
from kgrec.graph.paths import ReasonedPath
from kgrec.ops.folding import Fold
from kgrec.scale.columns import WHOLE, Whole

B = TypeVar("B")

Loss = Float[Tensor, ""] | Mapping[str, Float[Tensor, ""]]
"""What a loss returns: one value, or several by name."""


@runtime_checkable
class Scorer(Protocol):
    """Anything that ranks."""

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return a score per candidate; ``items=None`` scores the whole catalog: (batch, items)."""


@dataclass(frozen=True)
class Objective(Generic[B]):
    """One loss and the batches it eats.

    Attributes:
        batch: The batch type.
        loss: Scalar loss of one batch; or several by name, whose sum is trained and each of which
            is logged.
        parameters: What this objective's optimizer moves; None means every parameter of the model.
        name: Short name for logs.
        source: What the batches are drawn from, and how: a value of ``kgrec.models.sources``, or of
            a type that ``register_source`` was given. None takes the batch type's own source with
            its defaults, where it has one.
        capturable: Whether a step may be recorded once and replayed on a CUDA device: on such a
            one, the loss depends on parameters and batch alone (nothing that Python counts or
            draws), its shapes on the shapes of the batch, and it asks the host for nothing.
        weight: What the loss is multiplied by where it is trained; logs show it as it is.
        rate: Multiple of the learning rate, for objectives with an optimizer of their own.
        terms: Where the loss is a mean over something else than the rows of the batch, how many
            of it each row has, int64 (batch): what a part of the batch counts for.
    """

    batch: type[B]
    loss: Callable[[B], Loss]
    parameters: tuple[nn.Parameter, ...] | None = None
    name: str = "loss"
    source: object = None
    capturable: bool = False
    weight: float = 1.0
    rate: float = 1.0
    terms: Callable[[B], Int[Tensor, " batch"]] | None = None


def ranking_objective(
    loss: str,
    bpr: Callable[[PairwiseBatch], Loss],
    softmax: Callable[[PositiveBatch], Loss],
    parameters: tuple[nn.Parameter, ...] | None = None,
    *,
    capturable: bool = False,
) -> Objective[Any]:
    """Return the objective of models that rank by either loss.

    Args:
        loss: "bpr" or "softmax".
        bpr: Loss of interactions with a sampled negative each.
        softmax: Loss of interactions against all items.
        parameters: What its optimizer moves; None means every parameter.
        capturable: Whether a step of ``bpr`` may be recorded, see ``Objective``.
    """
    if loss == "bpr":
        return Objective(PairwiseBatch, bpr, parameters, name="bpr", capturable=capturable)

    return Objective(PositiveBatch, softmax, parameters, name="softmax")


@runtime_checkable
class Batches(Protocol):
    """Gives the batches of an epoch; its draws depend on (seed, epoch) alone, never on the epochs
    before.
    """

    def steps(self) -> int:
        """Return the number of batches in an epoch."""

    def epoch(self, epoch: int) -> Iterator[Any]:
        """Yield the batches of an epoch, counted from 1."""


Validate = Callable[[Scorer], float]
"""What measures a scorer on the validation part: higher is better."""


@dataclass(frozen=True)
class Split:
    """What of a model can lie apart, and what its propagation costs.

    Attributes:
        tables: Parameters with a row for each node, relation or the like, of which every process has
            some columns (the second dimension), or some rows.
        edges: Directed edges that a layer passes over.
        layers: Layers of a pass.
        widths: Columns before and after each dense layer, which takes whole rows; () without any.
        sums: Numbers of a step that are added up over columns, beside those of the loss.
    """

    tables: tuple[nn.Parameter, ...]
    edges: int = 0
    layers: int = 0
    widths: tuple[int, ...] = ()
    sums: int = 0


@dataclass(frozen=True)
class Plan:
    """The training section of a paper, as a value.

    Attributes:
        objectives: Losses in the order they are trained.
        joint: True sums the losses in each step under one optimizer: as many steps as the first
            objective has, batches of the others taken again where they are fewer; False runs one
            epoch after another, each with its own optimizer.
        after_step: Called after every optimizer step.
        after_epoch: Called after every epoch, before validation.
        begin_epoch: Called with the epoch's number (from 1) and the run's seed before it starts:
            reseeds what the model draws itself.
        fit: A closed form, run instead of any epochs; then ``objectives`` is empty.
        warm_up: An objective trained alone before the first epoch, for so many epochs, with an
            optimizer of its own.
        optimizer: Makes the optimizer of parameters and a learning rate, where it must be another
            than the settings can name; None takes theirs.
        compare: Called after an epoch's training with its number, before its validation, where
            something validates: what is tried side by side can be measured, and dropped.
        settle: Called at the end, the best parameters in place or the closed form computed: chooses
            on validation what a model chooses by itself. None is given where nothing validates.
            What it sets is kept with the parameters (``Recommender.settled``).
        parallel: How the model can be trained by several processes: "columns" has everyone hold
            some columns of the tables of ``split``, and the loss go through ``Recommender.shard``;
            "data" has everyone read a part of each batch, the loss being a mean over its rows (or
            the objective's ``terms``); "none" cannot.
        split: What lies apart: by columns, or with "data" by rows where a table is large, being
            read by ``kgrec.nn.lookup.rows_at`` alone.
    """

    objectives: tuple[Objective[Any], ...] = ()
    joint: bool = False
    after_step: Callable[[], None] | None = None
    after_epoch: Callable[[], None] | None = None
    begin_epoch: Callable[[int, int], None] | None = None
    fit: Callable[[], None] | None = None
    warm_up: tuple[Objective[Any], int] | None = None
    optimizer: Callable[[list[nn.Parameter], float], torch.optim.Optimizer] | None = None
    compare: Callable[[int, Validate], None] | None = None
    settle: Callable[[Validate | None], None] | None = None
    parallel: Literal["columns", "data", "none"] = "none"
    split: Split | None = None

    def by_columns(self, split: Split) -> "Plan":
        """Return the plan of what can be trained with those tables apart."""
        return replace(self, parallel="columns", split=split)


@dataclass(frozen=True)
class Span:
    """A range of numbers to search in, both ends included.

    Attributes:
        low: Least value; a whole number where ``high`` is one too searches whole numbers.
        high: Greatest value.
        log: Whether the logarithm is searched evenly.
    """

    low: float | int
    high: float | int
    log: bool = False


Space = Mapping[str, Span | tuple[Any, ...]]
"""What tuning searches: a span or a tuple of choices by setting (of the model or of training). Modules of models name theirs ``SPACE``."""


@dataclass(frozen=True)
class Preset:
    """A named recipe: overrides of a model's configuration and of the training settings."""

    config: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Users and items whose vectors were placed by a formula after the training.

    Attributes:
        users: True for those, bool (users).
        items: True for those, bool (items).
        near: Rows of the items that are nearest to each new one by facts, -1 where there are fewer;
            int64 (items, n).
    """

    users: np.ndarray
    items: np.ndarray
    near: np.ndarray


class ModelEffects:
    """What a model says of its scores, beyond the numbers: base of what
    ``Recommender.explanation_effects`` returns.

    What it can do is the classes of ``kgrec.models.capabilities`` that it inherits from.
    """


class Recommender(nn.Module, ABC):
    """A model that can be trained by its plan and ranks by its scorer.

    Three methods must be written; the hooks after them have defaults. Their names are reserved:
    an attribute or a module of such a name is an error, every other name is free.
    """

    list_kind: ClassVar[str] = "personal"
    """What its lists for known users are: "personal", or "popular" where everyone gets the same."""

    scores_triples: ClassVar[bool] = False
    """Whether ``triple_scorer`` gives one."""

    uses_weights: ClassVar[bool] = False
    """Whether ``from_dataset`` takes the weights of interactions. Objectives on pairs and positives
    draw by them in any case."""

    scores_read_graph: ClassVar[bool] = True
    """Whether facts of a graph enter the scores at inference, beside what training put into the
    vectors. False is a declaration: explanations then say that facts have no effect, instead of
    that none was measured."""

    predicts_ratings: ClassVar[bool] = False
    """Whether scores are ratings on the scale of the data."""

    folds_in: ClassVar[bool] = False
    """Whether it ranks for someone unseen by a history, by the default settings: a scorer of
    inner products need not say how (``kgrec.models.folding``)."""

    keeps_fold: ClassVar[bool] = False
    """Whether people are folded in by the function of its scorer (``DotProduct.fold``) instead of
    by ``kgrec.ops.folding.MeanFold``."""

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse a hook that is not a method.

        Raises:
            ModelError: If the class gives the name of a hook to something else.
        """
        super().__init_subclass__(**more)
        for name in _HOOKS & vars(cls).keys():
            if not callable(value := vars(cls)[name]) and not isinstance(value, classmethod):
                raise ModelError(
                    f"{cls.__name__}.{name} is {type(value).__name__}, and {name} is a hook of "
                    "Recommender. Define it as a method, or choose another name."
                )

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, unless it would hide a hook.

        Raises:
            ModelError: If the name is that of a hook.
        """
        if name in _HOOKS:
            raise ModelError(
                f"{type(self).__name__}.{name} cannot be set to a {type(value).__name__}: {name} "
                "is "
                "a hook of Recommender. Choose another name, or override the method in the class."
            )

        super().__setattr__(name, value)

    shard: Whole = WHOLE
    """Which columns of its tables are in this process, and how it hears of the others."""

    @classmethod
    @abstractmethod
    def from_dataset(cls, data: Dataset, config: Any, generator: torch.Generator) -> "Recommender":
        """Build the model for a dataset; ``generator`` draws the initial parameters."""

    @abstractmethod
    def plan(self) -> Plan:
        """Return how the model is trained."""

    @abstractmethod
    def scorer(self) -> Scorer:
        """Return a snapshot that ranks; call it in ``torch.inference_mode``, after ``eval()``.

        A scorer that ranks for someone unseen by a history says so by ``reads_history = True``.
        """

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the trained model can tell something about; the others
        are never ranked by its scores.

        Those with training interactions, unless a model reads more: a graph
        (``kgrec.graph.reach``), texts, features.
        """
        return with_interactions(data)

    def settled(self) -> Mapping[str, Any]:
        """Return what was chosen on validation while training, as values of the configuration: what
        a refit, which has no validation part, is trained with. {} where nothing was.
        """
        return {}

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]] | None:
        """Return vectors by kind, one row each, where they say more than the scorer's; None takes
        those.

        Kinds are ``users``, ``items``, ``entities``, ``relations``, ``relations_inverse`` (in the
        order of the relations) and ``interacts``, one row: the relation of users to items. Call it
        in ``torch.inference_mode``, after ``eval()``.
        """
        return None

    def own_fold(self) -> Fold | None:
        """Return what makes the vectors of people by their histories, where the model itself says
        how; None takes ``kgrec.ops.folding.MeanFold`` for what ``DotProduct.fold`` says can be
        folded in.

        Call it in ``torch.inference_mode``, after ``eval()``.
        """
        return None

    def newcomers(self) -> Newcomers | None:
        """Return who and what was placed after the training; None where nothing was."""
        return None

    def triple_scorer(self) -> "TripleScorer | None":
        """Return what says how plausible triples are; None where nothing does."""
        return None

    def explanation_effects(self) -> ModelEffects | None:
        """Return what explains the scores beyond paths that connect: see
        ``kgrec.models.capabilities``.

        None where nothing does; paths are then post hoc. Call it after ``eval()``.
        """
        return None

    def own_paths(self) -> "PathReasoner | None":
        """Return what gives the paths that the model itself reasons along; None if it ranks
        without. ``kgrec.graph.verify_paths`` compares them with the graph. Call it after
        ``eval()``.
        """
        return None


_HOOKS = frozenset(
    {
        "from_dataset",
        "plan",
        "scorer",
        "can_rank",
        "settled",
        "export_vectors",
        "own_fold",
        "newcomers",
        "triple_scorer",
        "explanation_effects",
        "own_paths",
    }
)


SCORE_FUNCTIONS: Mapping[str, str] = {
    "inner_product": "sum over k of u_k * i_k",
    "negative_l1": "- sum over k of |u_k - i_k|",
    "negative_l2": "- sqrt(sum over k of (u_k - i_k)^2)",
    "negative_squared_l2": "- sum over k of (u_k - i_k)^2",
    "negative_complex_l1": "- sum over k = 1 .. d of sqrt((u_k - i_k)^2 + (u_(d+k) - "
    "i_(d+k))^2), d being half the size of the vectors",
}
"""The functions by which a user's vector u and an item's vector i can make a score, by name."""


@runtime_checkable
class VectorScorer(Protocol):
    """A scorer that is a function of one vector per user and one per item: all that another program
    needs to rank as it does.
    """

    @property
    def users(self) -> Float[Tensor, "users dim"]:
        """One vector per user."""

    @property
    def items(self) -> Float[Tensor, "items dim"]:
        """One vector per item."""

    @property
    def function(self) -> str:
        """Name in ``SCORE_FUNCTIONS``."""


@dataclass(frozen=True)
class DotProduct:
    """The scorer of every model with fixed embeddings; they are public.

    Attributes:
        function: What makes a score of two vectors.
        users: One vector per user.
        items: One vector per item.
        fold: Vectors for users the model never saw, from their histories; None where the model
            cannot.
    """

    function: ClassVar[str] = "inner_product"
    users: Float[Tensor, "users dim"]
    items: Float[Tensor, "items dim"]
    fold: (
        Callable[
            [Int[Tensor, "batch hist"], Bool[Tensor, "batch hist"]], Float[Tensor, "batch dim"]
        ]
        | None
    ) = None

    @property
    def reads_history(self) -> bool:
        """Whether someone unseen can be ranked for by a history."""
        return self.fold is not None

    def vectors(self, query: Query) -> Float[Tensor, "batch dim"]:
        """Return the query users' vectors; users at -1 are folded in from their history."""
        vectors = self.users[query.user.clamp(min=0)]
        unseen = query.user < 0

        if self.fold is not None and bool(unseen.any()):
            vectors[unseen] = self.fold(query.history[unseen], query.history_mask[unseen])

        return vectors

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return inner products."""
        vectors = self.vectors(query)
        if items is None:
            return vectors @ self.items.T
        return (self.items[items] * vectors.unsqueeze(1)).sum(-1)


def reads_history(scorer: Scorer) -> bool:
    """Return whether a scorer declares that it ranks for someone unseen (user -1) by the history of
    the query.
    """
    return bool(getattr(scorer, "reads_history", False))


@runtime_checkable
class ItemToItem(Protocol):
    """A scorer without item vectors that yet says which items are near to one."""

    def similar(self, item: int) -> Float[Tensor, " items"]:
        """Return how near each item of the catalog is; higher is nearer."""


@runtime_checkable
class PathReasoner(Protocol):
    """Gives the paths that led a model to its recommendations, as those do that walk a graph."""

    def paths(self, user: int, k: int) -> Sequence[ReasonedPath]:
        """Return up to ``k`` paths of a user row, the best first: the model's own claim, made of
        edges that it was trained on.
        """


@runtime_checkable
class TripleScorer(Protocol):
    """Says how plausible triples are; entities are those of ``Dataset.triples``,
    higher is more plausible.
    """

    def score_tails(
        self, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch entities"]:
        """Return the plausibility of (head, relation, t) for every entity t."""

    def score_heads(
        self, relation: Int[Tensor, " batch"], tail: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch entities"]:
        """Return the plausibility of (h, relation, tail) for every entity h."""
