"""What models of this family share: vectors of the items, of which histories are made and among
which the next one is ranked.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import with_interactions
from kgrec.errors import ConfigError
from kgrec.log import logger
from kgrec.models.base import Recommender
from kgrec.models.effects import HistoryEffects
from kgrec.models.sequential.start import ItemInit, ItemStart
from kgrec.models.sources import Sequences
from kgrec.nn.init import normal
from kgrec.nn.lookup import rows_at
from kgrec.nn.ranking_loss import WarmItems
from kgrec.nn.text import latest
from kgrec.ops.rows import unit_rows
from kgrec.queries import histories as queries
from kgrec.random import derive

_HISTORIES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class SequenceConfig:
    """Hyper-parameters that models of this family share.

    Attributes:
        dim: Embedding size d of the items.
        length: Most items read of a history, the latest; longer ones are cut.
        windows: Whether all that a user has is cut into histories of that length, and each of its
            items but the first is a target once an epoch; else the latest alone are trained on.
        dropout: Probability of setting a value to zero in training.
        init_scale: Standard deviation of the item vectors at first.
        item_init: What item vectors start from: "random"; "transe" or "complex", entity vectors
            trained on the triples; "features" of the items. The spread is ``init_scale``.
        init_epochs: Passes over the triples for that.
    """

    dim: int = 64
    length: int = 50
    windows: bool = True
    dropout: float = 0.2
    init_scale: float = 0.05
    item_init: ItemInit = "random"
    init_epochs: int = 30

    def check(self, model: str) -> None:
        """Reject values out of range.

        Raises:
            ConfigError: Names the model.
        """
        if min(self.dim, self.length, self.init_epochs) < 1:
            raise ConfigError(f"{model} needs dim, length and init_epochs of at least 1.")
        if not 0 <= self.dropout < 1 or self.init_scale <= 0:
            raise ConfigError(f"{model} needs dropout in [0, 1) and init_scale > 0.")
        if self.item_init not in get_args(ItemInit):
            raise ConfigError(
                f"{model}: item_init {self.item_init!r} is not one of "
                f"{', '.join(get_args(ItemInit))}."
            )

    @property
    def source(self) -> Sequences:
        """What is trained on."""
        return Sequences(self.length, "windows" if self.windows else "every")


@dataclass(frozen=True, slots=True)
class Catalog:
    """What models of this family take of a dataset.

    Attributes:
        num_items: Items.
        warm: Those with training interactions, ascending, int64.
        start: What item vectors start from; None for random ones.
    """

    num_items: int
    warm: np.ndarray
    start: ItemStart | None = None

    @classmethod
    def from_dataset(cls, data: Dataset, config: SequenceConfig) -> "Catalog":
        """Take the items; say how many histories are longer than what is read of them."""
        longer = int((np.bincount(data.train.user) > config.length).sum())
        if longer:
            logger.info(
                "%d histories have more than length=%d items: rankings read the latest.",
                longer,
                config.length,
            )

        warm = np.flatnonzero(with_interactions(data).items)
        start = ItemStart.from_dataset(data, config.item_init, config.init_epochs)
        return cls(data.num_items, warm, start)


class SequenceRecommender(Recommender):
    """A vector of a history, times vectors of the items.

    Args:
        catalog: The items.
        config: Hyper-parameters.
        generator: Draws the initial vectors.
    """

    scores_read_graph = False
    folds_in = True

    def __init__(self, catalog: Catalog, config: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        position = np.full(catalog.num_items, -1, dtype=np.int64)
        position[catalog.warm] = np.arange(len(catalog.warm))
        self.warm = WarmItems(catalog.warm, position)
        self.begins_at = catalog.start
        size = catalog.num_items, config.dim
        self.items = nn.Parameter(normal(*size, scale=config.init_scale, generator=generator))

    @abstractmethod
    def encode(
        self,
        user: Int[Tensor, " batch"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch _"]:
        """Return a vector for each history.

        Args:
            user: User rows; -1 for someone unseen.
            history: At most ``length`` items, oldest first, those of the mask in front.
            mask: True where ``history`` holds an item.
        """

    def outputs(self) -> Float[Tensor, "items _"]:
        """Return what histories are compared with: the item vectors, unless a model says else."""
        return self.items

    def begin_epoch(self, epoch: int, seed: int) -> None:
        """Start the item vectors before the first epoch."""
        if epoch == 1 and self.begins_at is not None:
            self.begins_at.put(self.items, derive(seed, "item vectors"))

    def embedded(self, items: Int[Tensor, "batch hist"]) -> Float[Tensor, "batch hist dim"]:
        """Return the item vectors of histories."""
        rows = rows_at(self.items, items.flatten(), self.shard)
        return rows.view(*items.shape, self.config.dim)

    def softmax(
        self, vectors: Float[Tensor, "batch _"], target: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy of the targets over all items with interactions."""
        return self.warm.softmax(vectors, self.warm.of(self.outputs()), target)

    def scorer(self) -> "SequenceScorer":
        """Return what makes a vector of each history when it ranks."""
        return SequenceScorer(self)

    def explanation_effects(self) -> "SequenceEffects":
        """Return the scores of other histories."""
        return SequenceEffects(self, self.items.device)


class SequenceScorer:
    """Ranks by the history alone; without one all items tie.

    Items without training interactions are no part of a history: their vectors say nothing.

    Args:
        model: The trained model.
    """

    reads_history: ClassVar[bool] = True
    reads_known_histories: ClassVar[bool] = True

    def __init__(self, model: SequenceRecommender) -> None:
        self._model = model
        self._outputs = model.outputs()

    def vectors(self, query: Query) -> Float[Tensor, "batch _"]:
        """Return a vector per history."""
        model = self._model
        known = query.history_mask & (model.warm.position[query.history] >= 0)
        history, mask = latest(query.history, known, model.config.length)
        found = self._outputs.new_zeros(len(history), self._outputs.shape[1])
        for rows in torch.split(mask.any(1).nonzero().squeeze(1), _HISTORIES_AT_ONCE):
            longest = int(mask[rows].sum(1).max()) if len(rows) else 0
            if longest:
                read = history[rows, :longest], mask[rows, :longest]
                found[rows] = model.encode(query.user[rows], *read)

        return found

    @torch.no_grad()
    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return inner products of histories and items."""
        vectors = self.vectors(query)
        if items is None:
            return vectors @ self._outputs.T
        return (self._outputs[items] * vectors.unsqueeze(1)).sum(-1)

    def similar(self, item: int) -> Float[Tensor, " items"]:
        """Return the cosines of an item's vector with those of all."""
        vectors = unit_rows(self._model.items)
        return vectors @ vectors[item]


class SequenceEffects(HistoryEffects):
    """Effects of a model that reads histories in their order, and may know more of a user."""

    reads_validation = True

    @torch.no_grad()
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog for the user, had the history been each of these."""
        query = queries([history.tolist() for history in histories])
        query = replace(query, user=torch.full_like(query.user, user))
        return self.scorer(query.to(self._device))


def at_last(
    states: Float[Tensor, "batch hist _"], mask: Bool[Tensor, "batch hist"]
) -> Float[Tensor, "batch _"]:
    """Return the state at the last item of each history."""
    last = (mask.sum(1) - 1).clamp(min=0)
    return states[torch.arange(len(states), device=states.device), last]
