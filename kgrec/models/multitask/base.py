"""What models of two tasks share: whether somebody uses an item, and what comes of it, a rating or
an event of another type.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch, Query
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, DataError
from kgrec.models.base import Objective, Plan, Recommender
from kgrec.models.sources import NegativeSource, Points
from kgrec.nn.block_scorer import fill_in_blocks
from kgrec.nn.init import normal
from kgrec.nn.losses import l2
from kgrec.ops.rows import take_rows

NUM_TASKS = 2
Task = Literal["rating", "event"]


@dataclass(frozen=True, slots=True)
class TwoTaskConfig:
    """Settings that every model of two tasks has.

    Attributes:
        dim: Size of the vectors of users and items.
        second: The task beside use: "rating"; "event", whether the use is of the event type that
            weighs most; "any", ratings where the data has them, else events.
        task_weight: Weight of the second task's loss.
        negatives: Items drawn for each interaction where the data has no labeled negatives.
        init_scale: Standard deviation of the vectors at first.
        l2_weight: Weight of half the squares of a batch's vectors, divided by the batch size.
    """

    dim: int = 32
    second: Literal["any", "rating", "event"] = "any"
    task_weight: float = 1.0
    negatives: int = 4
    init_scale: float = 0.1
    l2_weight: float = 0.0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        name = type(self).__name__.removesuffix("Config")
        if min(self.dim, self.negatives) < 1 or self.init_scale <= 0:
            raise ConfigError(f"{name} needs dim and negatives of at least 1, and init_scale > 0.")
        if min(self.task_weight, self.l2_weight) < 0:
            raise ConfigError(f"{name} needs task_weight and l2_weight of at least 0.")
        if self.second not in ("any", "rating", "event"):
            raise ConfigError(f'{name}: second is one of "any", "rating" and "event".')


class SecondTask(nn.Module):
    """What training interactions say beside that they happened.

    Args:
        data: The dataset.
        wanted: "any", "rating" or "event".

    Raises:
        DataError: If the dataset does not say it.
    """

    _pairs: Tensor
    _values: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, data: Dataset, wanted: str) -> None:
        super().__init__()
        self.task, values = _second_task(data, wanted)
        self._num_items = data.num_items
        train = data.train
        pairs = train.user.astype(np.int64) * data.num_items + train.item
        order = np.lexsort((-values, pairs))  # of several the highest; what is not known last
        pairs, first = np.unique(pairs[order], return_index=True)
        values = values[order][first]
        pairs, values = pairs[np.isfinite(values)], values[np.isfinite(values)]
        mean, spread = 0.0, 1.0
        if self.task == "rating":
            mean, spread = float(values.mean()), float(values.std()) or 1.0

        kind = torch.get_default_dtype()
        self.register_buffer("_pairs", torch.from_numpy(pairs), persistent=False)
        self.register_buffer("_values", torch.from_numpy(values).to(kind), persistent=False)
        self.register_buffer("mean", torch.tensor(mean, dtype=kind))
        self.register_buffer("spread", torch.tensor(spread, dtype=kind))

    def labels(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """Return the label of each pair, and where the task has one: ratings of what was rated;
        0 for events that did not happen.
        """
        pairs = user * self._num_items + item
        at = torch.searchsorted(self._pairs, pairs).clamp(max=len(self._pairs) - 1)
        known = self._pairs[at] == pairs
        label = torch.where(known, self._values[at], 0.0)
        if self.task == "event":
            known = torch.ones_like(known)
        return label, known

    def loss(
        self, output: Float[Tensor, " batch"], user: Int[Tensor, " batch"], item: Tensor
    ) -> Float[Tensor, ""]:
        """Return the mean squared error of ratings in units of their spread, or the cross-entropy
        of events.
        """
        label, known = self.labels(user, item)
        if self.task == "event":
            return binary_cross_entropy_with_logits(output, label)

        error = (output - (label - self.mean) / self.spread).square()
        return (error * known).sum() / known.sum().clamp(min=1)


def _second_task(data: Dataset, wanted: str) -> tuple[Task, np.ndarray]:
    """Return which task it is, and its label of each training interaction."""
    train = data.train
    if train.rating is not None and np.isfinite(train.rating).any() and wanted != "event":
        return "rating", train.rating.astype(np.float64)

    if train.event is not None and wanted != "rating" and len(np.unique(train.event)) > 1:
        return "event", (train.event == 0).astype(np.float64)

    what = {"any": "ratings or events of two types", "event": "events of two types"}
    raise DataError(
        f"a second task needs {what.get(wanted, 'ratings')} beside interactions, and {data.name} "
        "has none. Build it with a column of them."
    )


class TwoTasks(Recommender):
    """A model that says of a pair whether it is used, and the outcome of the second task.

    Args:
        data: Gives the counts, and the labels of the second task.
        config: Hyper-parameters.
        generator: Draws the initial vectors.
    """

    scores_read_graph = False
    config: TwoTaskConfig
    ranks_by: ClassVar[int] = 0
    """Which task's output is the score."""

    def __init__(self, data: Dataset, config: TwoTaskConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.second = SecondTask(data, config.second)
        self.users, self.items = (
            nn.Parameter(normal(count, config.dim, scale=config.init_scale, generator=generator))
            for count in (data.num_users, data.num_items)
        )

    @abstractmethod
    def of_users(self, users: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dout"]:
        """Return what the network makes of users alone."""

    @abstractmethod
    def of_items(self, items: Float[Tensor, "cand dim"]) -> Float[Tensor, "cand dout"]:
        """Return what the network makes of items alone."""

    @abstractmethod
    def outputs(
        self, users: Float[Tensor, "batch dout"], items: Float[Tensor, "... cand din"]
    ) -> Float[Tensor, "batch cand 2"]:
        """Return both tasks' outputs of users and items as ``of_users`` and ``of_items`` have them:
        items of each user's own, or the same ones for all.
        """

    @property
    def values_per_pair(self) -> int:
        """How many values a pair needs in between."""
        return 4 * self.config.dim

    def loss(self, batch: PointwiseBatch) -> Mapping[str, Float[Tensor, ""]]:
        """Return the cross-entropy of use, the loss of the second task, and L2."""
        rows = take_rows(self.users, batch.user), take_rows(self.items, batch.item)
        found = self.outputs(self.of_users(rows[0]), self.of_items(rows[1]).unsqueeze(1)).squeeze(1)
        second = self.second.loss(found[:, 1], batch.user, batch.item)
        losses = {
            "use": binary_cross_entropy_with_logits(found[:, 0], batch.label),
            self.second.task: self.config.task_weight * second,
        }
        if self.config.l2_weight:
            losses["l2"] = self.config.l2_weight * l2(*rows)
        return losses

    def plan(self) -> Plan:
        """Return labeled pairs, both tasks on each."""
        source = Points(negatives=NegativeSource(self.config.negatives))
        return Plan((Objective(PointwiseBatch, self.loss, name="tasks", source=source),))

    def scorer(self) -> "PairScorer":
        """Return what runs the network over pairs."""
        return PairScorer(self)


class PairScorer:
    """Ranks by one task's output, what concerns users and items alone being made once.

    Args:
        model: The trained model.
    """

    def __init__(self, model: TwoTasks) -> None:
        self._model = model
        self._users, self._items = model.of_users(model.users), model.of_items(model.items)

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the outputs for candidates, or for the whole catalog."""
        users = self._users[query.user.clamp(min=0)]
        if items is not None:
            return self._scores(users, self._items[items])

        def block(rows: slice, columns: slice) -> Tensor:
            return self._scores(users[rows], self._items[columns])

        scores = self._items.new_empty(len(users), len(self._items))
        return fill_in_blocks(scores, block, self._model.values_per_pair)

    def _scores(self, users: Tensor, items: Tensor) -> Tensor:
        model = self._model
        found = model.outputs(users, items)[..., model.ranks_by]
        if model.ranks_by and model.second.task == "rating":
            found = model.second.mean + model.second.spread * found
        return found
