"""How a model's scorer makes vectors of histories: by the one formula of ``kgrec.ops.folding``, or
by the model's own solution.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import with_interactions
from kgrec.data.records.tie_order import tie_order
from kgrec.models.base import DotProduct, Recommender, Scorer, VectorScorer, reads_history
from kgrec.ops.folding import Fold, MeanFold, average_user


@dataclass(frozen=True)
class Folded:
    """Vectors of histories by a fold over the items in the order that breaks ties, in which they
    are served.

    Attributes:
        fold: The fold.
        order: Item rows in that order.
        column: Position of each item row in it.
    """

    fold: Fold
    order: np.ndarray
    column: np.ndarray

    def __call__(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch dim"]:
        """Return one vector per history."""
        rows = [
            self.fold.vector(np.unique(self.column[one[kept].cpu().numpy()]))
            for one, kept in zip(history, mask, strict=True)
        ]
        return torch.from_numpy(np.stack(rows)).to(history.device)

    def moved(self, vector: Float[Tensor, " dim"], history: np.ndarray) -> Float[Tensor, " dim"]:
        """Return the vector of a known user whose items, old and new, are these rows."""
        own = np.unique(self.column[history])
        return torch.from_numpy(self.fold.moved(vector.cpu().numpy(), own))

    def over(self, items: Float[Tensor, "items dim"]) -> "Folded":
        """Return the same over other vectors of the items; the average user stays."""
        assert isinstance(self.fold, MeanFold)
        return replace(self, fold=replace(self.fold, items=items.cpu().numpy()[self.order]))


def fold_of(model: Recommender, scorer: Scorer, data: Dataset, config: Any) -> Fold | None:
    """Return how a model's people are folded in, over the items as its scorer has them; None where
    it cannot, knows people by sets of items, or folds by a function of its own without saying that
    it ``folds_in`` as models of vectors do.

    Args:
        model: The model.
        scorer: Its snapshot.
        data: What it was trained on.
        config: Its configuration, whose ``loss`` and ``temperature`` the steps go by.
    """
    if isinstance(scorer, VectorScorer) and reads_history(scorer):
        own = model.own_fold()
        if own is not None:
            return own
    if not isinstance(scorer, DotProduct) or not model.folds_in or model.keeps_fold:
        return None

    return _mean_fold(scorer, data, config)


def _mean_fold(scorer: DotProduct, data: Dataset, config: Any) -> MeanFold:
    cosine = getattr(config, "loss", "") == "softmax"
    return MeanFold(
        scorer.items.cpu().numpy(),
        average_user(scorer.users.cpu().numpy()[with_interactions(data).users]),
        np.flatnonzero(with_interactions(data).items),
        float(config.temperature) if cosine else 0.0,
    )


def folding(model: Recommender, scorer: Scorer, data: Dataset, config: Any) -> Scorer:
    """Return a scorer that folds people in by the formula, where its model has no solution of its
    own; any other as it is.
    """
    found = fold_of(model, scorer, data, config)
    if not isinstance(scorer, DotProduct) or not isinstance(found, MeanFold):
        return scorer

    return _with_fold(scorer, found, data)


def by_formula(scorer: DotProduct, data: Dataset, config: Any) -> DotProduct:
    """Return vectors among which people are folded in by the formula, whatever the model says."""
    return _with_fold(scorer, _mean_fold(scorer, data, config), data)


def _with_fold(scorer: DotProduct, found: MeanFold, data: Dataset) -> DotProduct:
    order = tie_order(data)
    column = np.argsort(order)
    sorted_fold = replace(found, items=found.items[order], contrast=np.sort(column[found.contrast]))
    return replace(scorer, fold=Folded(sorted_fold, order, column))


def refolded(scorer: Scorer, edited: Scorer) -> Scorer:
    """Return the scorer of an edited graph that folds people in as the given one does."""
    if (
        isinstance(scorer, DotProduct)
        and isinstance(scorer.fold, Folded)
        and isinstance(edited, DotProduct)
    ):
        return replace(edited, fold=scorer.fold.over(edited.items))

    return edited
