"""What models in closed form share: a state whose shape only the fit knows, and a scorer that reads
histories.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import Query
from kgrec.errors import TrainingError
from kgrec.models.base import Recommender
from kgrec.models.capabilities import ScoreParts
from kgrec.ops.ranking import chunk_rows
from kgrec.queries import histories as queries

HistorySums = Callable[[Int[Tensor, " _"], Int[Tensor, " _"]], Float[Tensor, "batch items"]]
"""Scores of the whole catalog from one set of items per person: starts in the second tensor and its end last (batch + 1), item rows."""


class ClosedForm(Recommender):
    """A model that ``Plan.fit`` computes from the training interactions: its state lies in buffers,
    empty until then.

    A stored state is taken over as it is, nothing is computed again.

    Args:
        train: User x item matrix of training interactions, ones, columns sorted within a row.
        **state: Shape of each buffer by its name; None for a size that only the fit knows.
    """

    train_ptr: Tensor
    train_items: Tensor

    def __init__(self, train: sp.csr_matrix, **state: tuple[int | None, ...]) -> None:
        super().__init__()
        self.num_users, self.num_items = train.shape
        self.register_buffer(
            "train_ptr", torch.from_numpy(train.indptr.astype(np.int64)), persistent=False
        )
        self.register_buffer(
            "train_items", torch.from_numpy(train.indices.astype(np.int64)), persistent=False
        )
        self.state_shapes = state
        for name in state:
            self.register_buffer(name, torch.empty(0))
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    @abstractmethod
    def scorer(self) -> "HistoryScorer":
        """Return the sums that rank."""

    def interactions(self, dtype: torch.dtype | None = None) -> sp.csr_matrix:
        """Return the user x item matrix of ones, in the default precision where ``dtype`` is
        None.
        """
        items = self.train_items.cpu().numpy()
        ones = torch.ones(len(items), dtype=dtype).numpy()
        return sp.csr_matrix(
            (ones, items, self.train_ptr.cpu().numpy()), shape=(self.num_users, self.num_items)
        )

    def check_fitted(self) -> None:
        """Refuse to go on without a state.

        Raises:
            TrainingError: If the model has not been fitted.
        """
        if not all(self.get_buffer(name).numel() for name in self.state_shapes):
            raise TrainingError(
                f"{type(self).__name__} has not been fitted: its training was cut off. Resume it "
                "(--resume), or train again."
            )

    def history_scorer(self, sums: HistorySums) -> "HistoryScorer":
        """Return the scorer that gives everyone the sums of the own items."""
        return HistoryScorer(self.train_ptr, self.train_items, self.num_items, sums)

    @torch.no_grad()
    def parts(self, user: int, item: int) -> ScoreParts:
        """Return one part per item of the user, of which the score is the sum: what it alone would
        give.

        Exact: without the item the score is less by its part, the fitted state being as it is.
        """
        items = self.train_items[self.train_ptr[user] : self.train_ptr[user + 1]]
        liked = self.scorer().alone(items, item).double()
        return ScoreParts(0.0, items=items.cpu().numpy(), liked=liked.cpu().numpy())

    @torch.no_grad()
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog, had the user used each of these sets of items; the
        fitted state stays as it is.
        """
        return self.scorer()(
            queries([own.tolist() for own in histories]).to(self.train_items.device)
        )


@dataclass(frozen=True)
class HistoryScorer:
    """The scorer of models that know a person by a set of items alone.

    Known users are scored by their training items, whatever history the query brings; users at -1
    by the items of their history, each counted once.

    Attributes:
        ptr: Start of each user's training items, and the end of the last (users + 1).
        items: Item rows, ascending within a user.
        num_items: Size of the catalog.
        sums: Scores of the catalog for sets of items.
    """

    ptr: Int[Tensor, " _"]
    items: Int[Tensor, " _"]
    num_items: int
    sums: HistorySums
    reads_history: ClassVar[bool] = True

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of the catalog, or of the candidates; memory for those does not grow
        with the size of the catalog.
        """
        ptr, sets = self._sets(query)
        if items is None:
            return self.sums(ptr, sets)
        step = chunk_rows(self.num_items, ptr.device)
        parts = []
        for start in range(0, len(items), step):
            part = ptr[start : start + step + 1]
            table = self.sums(part - part[0], sets[int(part[0]) : int(part[-1])])
            parts.append(table.gather(1, items[start : start + step]))
        if parts:
            return torch.cat(parts)
        return torch.zeros(items.shape)

    def similar(self, item: int) -> Float[Tensor, " items"]:
        """Return the scores of the catalog for someone who used this one item."""
        one = torch.tensor([0, 1], device=self.ptr.device)
        return self.sums(one, torch.tensor([item], device=self.ptr.device))[0]

    def alone(self, items: Int[Tensor, " batch"], candidate: int) -> Float[Tensor, " batch"]:
        """Return the score of one candidate for people who used one of these items each."""
        parts = [
            self.sums(torch.arange(len(some) + 1, device=some.device), some)[:, candidate]
            for some in torch.split(items, chunk_rows(self.num_items, items.device))
        ]
        return torch.cat(parts)

    def _sets(self, query: Query) -> tuple[Tensor, Tensor]:
        """Return the query's sets of items as starts and items, ascending within a set."""
        user = query.user.clamp(min=0)
        people = len(query.user)
        size = (self.ptr[user + 1] - self.ptr[user]).masked_fill(query.user < 0, 0)
        owner = torch.repeat_interleave(torch.arange(people, device=user.device), size)
        at = (
            torch.arange(len(owner), device=user.device)
            - (size.cumsum(0) - size)[owner]
            + self.ptr[user][owner]
        )
        unseen, place = (query.history_mask & (query.user < 0).unsqueeze(1)).nonzero(as_tuple=True)
        pairs = torch.cat(
            [
                owner * self.num_items + self.items[at],
                unseen * self.num_items + query.history[unseen, place],
            ]
        )
        keys = torch.unique(pairs)
        ptr = torch.searchsorted(
            keys, torch.arange(people + 1, device=user.device) * self.num_items
        )
        return ptr, keys % self.num_items


def _make_room(model: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Give each buffer the size of its stored values, where that is a size it may have."""
    assert isinstance(model, ClosedForm)
    for name, shape in model.state_shapes.items():
        stored = state.get(prefix + name)
        fits = (
            stored is not None
            and stored.dim() == len(shape)
            and all(n in (None, m) for n, m in zip(shape, stored.shape, strict=True))
        )
        if stored is not None and (fits or not stored.numel()):
            setattr(model, name, torch.empty_like(stored, device=model.get_buffer(name).device))
