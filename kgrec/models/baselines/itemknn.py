"""ItemKNN: items by their similarity to what somebody used. Sarwar et al., WWW 2001; Deshpande and
Karypis, TOIS 2004.
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
from kgrec.models.baselines.itemknn_effects import ItemKNNEffects
from kgrec.models.closed_form import ClosedForm, HistoryScorer
from kgrec.ops.ranking import chunk_rows, topk_scores


@dataclass(frozen=True, slots=True)
class ItemKNNConfig:
    """Hyper-parameters of ItemKNN.

    Attributes:
        k: Neighbors kept per item, the most similar ones.
        shrink: Added to the denominator of the similarity, so that items with few users in common
            count less; 0 is the plain cosine.
        alpha: Share of the history's item in the denominator, in [0, 1]; 0.5 is the cosine. Below
            that, popular items of a history count more and popular candidates less; above, the
            other way round.
    """

    k: int = 100
    shrink: float = 10.0
    alpha: float = 0.6

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.k < 1 or self.shrink < 0 or not 0 <= self.alpha <= 1:
            raise ConfigError("ItemKNN needs k >= 1, shrink >= 0 and alpha in [0, 1].")


PRESETS = {"default": Preset()}
SPACE: Space = {"k": Span(10, 500, log=True), "shrink": Span(0.0, 500.0), "alpha": Span(0.2, 0.8)}


class ItemKNN(ClosedForm):
    """Add up the similarities of an item to the items that somebody used, nearest neighbors only.

        s(i, j) = x_i . x_j / (|x_i|^(2 alpha) |x_j|^(2 (1 - alpha)) + shrink)
        score(u, j) = sum of s(i, j) over the items i of u that are among the k nearest of j

    where x_i is the column of item i among the users. Items without a user in common are no
    neighbors; of equally near ones the lower row is kept.

    Differs from the paper: ``shrink`` and ``alpha`` are later additions; sums are not divided by
    the number of neighbors.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.

    Source: Sarwar et al., Item-Based Collaborative Filtering Recommendation Algorithms, WWW 2001,
    Section 3; ``shrink`` as in Bell and Koren, ICDM 2007; ``alpha`` is the asymmetric cosine of
    Aiolli, RecSys 2013.
    """

    neighbors: Tensor
    similarity: Tensor

    def __init__(self, train: sp.csr_matrix, config: ItemKNNConfig) -> None:
        width = min(config.k, train.shape[1])
        super().__init__(
            train, neighbors=(train.shape[1], width), similarity=(train.shape[1], width)
        )
        self.config = config

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: ItemKNNConfig, generator: torch.Generator
    ) -> "ItemKNN":
        """Take the training interactions."""
        return cls(data.train.csr(data.num_users, data.num_items), config)

    def plan(self) -> Plan:
        """Return the closed form."""
        return Plan(fit=self._fit)

    def _fit(self) -> None:
        train = self.interactions()
        users_of = sp.csr_matrix(train.T)
        neighbors = []
        similarity = []
        step = chunk_rows(self.num_items, "cpu")
        for start in range(0, self.num_items, step):
            common = (users_of[start : start + step] @ train).toarray()
            best, items = self.nearest(common, np.diff(users_of.indptr), start)
            neighbors.append(items)
            similarity.append(best)

        device = self.train_items.device
        self.neighbors = torch.cat(neighbors).int().to(device)
        self.similarity = torch.cat(similarity).to(device)

    def nearest(
        self, common: np.ndarray, count: np.ndarray, start: int
    ) -> tuple[Float[Tensor, "items cand"], Int[Tensor, "items cand"]]:
        """Return the similarities and rows of the nearest items of a block of items, the nearest
        first; 0 and -1 where there are fewer.

        Args:
            common: Users that each item of the block has in common with every item.
            count: Users of each item.
            start: First item of the block.
        """
        table = torch.from_numpy(similarities(common, count, start, self.config))
        best, items = topk_scores(
            table.masked_fill_(table <= 0, -torch.inf), min(self.config.k, self.num_items)
        )
        return best.clamp(min=0), items

    def explanation_effects(self) -> ItemKNNEffects:
        """Return a part per item of the user, scores of other histories, and refits."""
        return ItemKNNEffects(self)

    def scorer(self) -> HistoryScorer:
        """Return the sums of similarities; they are computed on the CPU."""
        self.check_fitted()
        neighbors = self.neighbors.cpu()
        similarity = self.similarity.cpu()
        kept = (neighbors >= 0).numpy()
        ends = np.concatenate([[0], kept.sum(1).cumsum()])
        shape = (self.num_items, self.num_items)
        nearest = sp.csc_matrix(
            (similarity.numpy()[kept], neighbors.numpy()[kept], ends), shape=shape
        ).tocsr()
        return self.table_scorer(nearest)


def similarities(
    common: np.ndarray, count: np.ndarray, start: int, config: ItemKNNConfig
) -> np.ndarray:
    """Return s(i, j) of a block of items j, one row each, and every item i; 0 for an item and
    itself.

    Args:
        common: Users that j and i have in common, (block, items).
        count: Users of each item.
        start: First item of the block.
        config: ``shrink`` and ``alpha``.
    """
    own = count[start : start + len(common), None]
    scale = (own ** (1 - config.alpha) * count[None, :] ** config.alpha + config.shrink).astype(
        common.dtype
    )
    table: np.ndarray = np.divide(common, scale, out=np.zeros_like(common), where=common > 0)
    table[np.arange(len(table)), start + np.arange(len(table))] = 0
    return table
