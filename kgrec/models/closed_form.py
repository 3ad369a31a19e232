"""What models in closed form share: a state whose shape only the fit knows, and a scorer that reads
histories.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import Query
from kgrec.errors import TrainingError
from kgrec.models.base import Recommender
from kgrec.models.effects import HistorySumEffects
from kgrec.nn.history_scorer import HistorySets, HistorySums


class ClosedForm(Recommender):
    """A model that ``Plan.fit`` computes from the training interactions: its state lies in buffers,
    empty until then.

    A stored state is taken over as it is, nothing is computed again.

    Args:
        train: User x item matrix of training interactions, ones, columns sorted within a row.
        **state: Shape of each buffer by its name; None for a size that only the fit knows.
    """

    scores_read_graph = False
    folds_in = True

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
        """Refuse to continue without a state.

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

    def table_scorer(self, table: sp.csr_matrix) -> "HistoryScorer":
        """Return the scorer that gives everyone the sums of the own items' rows of a table, (items,
        items).
        """

        def sums(ptr: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, "batch items"]:
            ones = np.ones(len(items), table.dtype)
            size = (len(ptr) - 1, self.num_items)
            sets = sp.csr_matrix((ones, items.cpu().numpy(), ptr.cpu().numpy()), shape=size)
            return torch.from_numpy((sets @ table).toarray()).to(ptr.device)

        return self.history_scorer(sums)

    def explanation_effects(self) -> HistorySumEffects:
        """Return one part per item of the user, and the scores of other histories."""
        return HistorySumEffects(self, self.train_items.device)


class HistoryScorer(HistorySets):
    """The scorer of models that know a person by a set of items alone.

    Known users are scored by their training items, whatever history the query brings; users at -1
    by the items of their history, each counted once.
    """

    reads_history: ClassVar[bool] = True

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of the catalog, or of the candidates."""
        return self.scores(query.user, query.history, query.history_mask, items)


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
