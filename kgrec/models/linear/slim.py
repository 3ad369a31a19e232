"""SLIM: Sparse Linear Methods for Top-N Recommender Systems. Ning and Karypis, ICDM 2011.

https://doi.org/10.1109/ICDM.2011.134
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Plan, Preset, Space, Span
from kgrec.models.closed_form import ClosedForm, HistoryScorer
from kgrec.ops.ranking import topk_scores


@dataclass(frozen=True, slots=True)
class SLIMConfig:
    """Hyper-parameters of SLIM.

    Attributes:
        l1: Weight lambda of the weights; the paper searches.
        l2: Weight beta of half the squared weights; the paper searches.
        neighbors: Items of the greatest cosine that an item's score may take, as in fsSLIM (Section
            IV-C); 0 for all, which takes time by the cube of the items.
        sweeps: Most passes over the weights.
        tolerance: A pass that moves no weight by more is the last.
    """

    l1: float = 2.0
    l2: float = 50.0
    neighbors: int = 200
    sweeps: int = 50
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if min(self.l1, self.l2, self.neighbors) < 0 or self.sweeps < 1 or self.tolerance < 0:
            raise ConfigError(
                "SLIM needs l1, l2, neighbors and tolerance of at least 0, and sweeps of at least "
                "1."
            )


PRESETS = {"default": Preset(), "paper": Preset({"neighbors": 0})}
SPACE: Space = {
    "l1": Span(0.1, 20.0, log=True),
    "l2": Span(1.0, 500.0, log=True),
    "neighbors": (100, 200, 400),
}

_NUMBERS_AT_ONCE = 40_000_000


class SLIM(ClosedForm):
    """Predict each item from the others by an elastic net, no weight negative.

        W = argmin |A - A W|^2 / 2 + beta / 2 |W|^2 + lambda |W|_1
            with W >= 0 and diag(W) = 0                                                        (4)
        score(u, j) = a_u W_j                                                                  (1)

    Each column is solved by coordinate descent on A^T A: w_k becomes
    max(0, g_kj - sum over l != k of g_kl w_l - lambda) / (g_kk + beta). A^T A takes 4 bytes per
    pair of items.

    Differs from the paper: by default items are chosen from the nearest ones alone, as in its
    fsSLIM.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.

    Source: Ning and Karypis, SLIM, ICDM 2011; Friedman et al., Regularization Paths for Generalized
    Linear Models via Coordinate Descent, 2010.
    """

    neighbors: Tensor
    weights: Tensor

    def __init__(self, train: sp.csr_matrix, config: SLIMConfig) -> None:
        items = train.shape[1]
        width = min(config.neighbors or items, items)
        super().__init__(train, neighbors=(items, width), weights=(items, width))
        self.config = config

    @classmethod
    def from_dataset(cls, data: Dataset, config: SLIMConfig, generator: torch.Generator) -> "SLIM":
        """Take the training interactions."""
        return cls(data.train.csr(data.num_users, data.num_items), config)

    def plan(self) -> Plan:
        """Return the fit of all columns."""
        return Plan(fit=self._fit)

    def _fit(self) -> None:
        train = self.interactions()
        gram = torch.from_numpy((train.T @ train).toarray())
        width = self.state_shapes["weights"][1] or 0
        square = self.num_items if width == self.num_items else width * width
        parts = []

        for columns in torch.split(
            torch.arange(self.num_items), max(1, _NUMBERS_AT_ONCE // max(1, square))
        ):
            if width == self.num_items:
                near = torch.arange(width).expand(len(columns), width)
                own = gram.unsqueeze(0)
            else:
                near = _nearest(gram, columns, width)
                own = gram[near.unsqueeze(2), near.unsqueeze(1)]

            parts.append((near, self.solved(own, gram[near, columns.unsqueeze(1)], near, columns)))

        neighbors, weights = (torch.cat(part) for part in zip(*parts, strict=True))
        self.neighbors = neighbors.int().to(self.train_items.device)
        self.weights = weights.to(self.train_items.device)

    def solved(
        self,
        gram: Float[Tensor, "_ cand cand"],
        target: Float[Tensor, "batch cand"],
        near: Int[Tensor, "batch cand"],
        columns: Int[Tensor, " batch"],
    ) -> Float[Tensor, "batch cand"]:
        """Return the weights of a block of columns, Eq. (4).

        Args:
            gram: Inner products of the items that each column may take; one table for all columns
                that may take all.
            target: Their inner products with the column's item.
            near: The items.
            columns: The columns.
        """
        config = self.config
        free = near != columns.unsqueeze(1)  # an item does not predict itself
        weights = torch.zeros_like(target)
        left = target.clone()  # g_kj - sum of g_kl w_l

        for _ in range(config.sweeps):
            most = 0.0
            for at in range(target.shape[1]):
                before = weights[:, at]
                scale = gram[:, at, at]
                wanted = (left[:, at] + scale * before - config.l1).clamp(min=0)
                after = wanted / (scale + config.l2).clamp(min=1e-9) * free[:, at]
                step = after - before
                moved = float(step.abs().max())
                if moved:
                    left -= gram[:, at] * step.unsqueeze(1)
                    weights[:, at] = after
                    most = max(most, moved)

            if most <= config.tolerance:
                break

        return weights

    def scorer(self) -> HistoryScorer:
        """Return the sums of weights; they are computed on the CPU."""
        self.check_fitted()
        weights, neighbors = self.weights.cpu().numpy(), self.neighbors.cpu().numpy()
        column, at = np.nonzero(weights)
        shape = (self.num_items, self.num_items)
        table = sp.csr_matrix((weights[column, at], (neighbors[column, at], column)), shape=shape)
        return self.table_scorer(table)


def _nearest(
    gram: Float[Tensor, "items items"], columns: Int[Tensor, " batch"], width: int
) -> Int[Tensor, "batch cand"]:
    """Return the items of the greatest cosine with each column's item, without the item itself."""
    norm = gram.diagonal().clamp(min=1).rsqrt()
    cosine = gram[columns] * norm * norm[columns].unsqueeze(1)
    cosine[torch.arange(len(columns)), columns] = -1.0
    near: Tensor = topk_scores(cosine, width)[1].long()
    return near
