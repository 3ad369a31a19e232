"""UserKNN: collaborative filtering by the users most like somebody. Resnick et al., GroupLens, CSCW
1994.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Plan, Preset, Recommender, Space, Span
from kgrec.models.capabilities import HistoryEditable, Parted, ScoreParts
from kgrec.models.closed_form import HistoryScorer
from kgrec.ops.ranking import chunk_rows, topk_scores


@dataclass(frozen=True, slots=True)
class UserKNNConfig:
    """Hyper-parameters of UserKNN.

    Attributes:
        k: Most similar users that count, at least 1.
        shrink: Added to the denominator of the cosine, 0 or more: similarities that rest on few
            items count less.
        alpha: Exponent of the user's own number of items in the denominator, in [0, 1], the
            neighbor's having ``1 - alpha``; 0.5 is the cosine.
    """

    k: int = 100
    shrink: float = 10.0
    alpha: float = 0.5

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.k < 1 or self.shrink < 0 or not 0 <= self.alpha <= 1:
            raise ConfigError("UserKNN needs k >= 1, shrink >= 0 and alpha in [0, 1].")


PRESETS = {"default": Preset()}
SPACE: Space = {"k": Span(10, 500, log=True), "shrink": Span(0.0, 200.0), "alpha": Span(0.2, 0.8)}


class UserKNN(Recommender):
    """Add up the similarities of a user to the users of an item, nearest users only.

        s(u, v) = |N_u and N_v| / (|N_u|^alpha |N_v|^(1 - alpha) + shrink)
        score(u, j) = sum of s(u, v) over the k users v nearest to u who used j

    where N_u are the items of u. No user is their own neighbor; of equally near ones the lower
    row is kept. Someone unseen has the neighbors of their history.

    Differs from the paper: cosine of sets for correlation of ratings, and no means, as for likes.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.

    Source: Resnick et al., GroupLens: An Open Architecture for Collaborative Filtering of Netnews,
    CSCW 1994; ``shrink`` as in Bell and Koren, ICDM 2007; ``alpha`` is the asymmetric cosine of
    Aiolli, RecSys 2013.
    """

    scores_read_graph = False
    folds_in = True

    ptr: Tensor
    items: Tensor

    def __init__(self, train: sp.csr_matrix, config: UserKNNConfig) -> None:
        super().__init__()
        self.config = config
        self.num_items = train.shape[1]
        parts = {"ptr": train.indptr, "items": train.indices}
        for name, values in parts.items():
            table = torch.from_numpy(values.astype(np.int64))
            self.register_buffer(name, table, persistent=False)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: UserKNNConfig, generator: torch.Generator
    ) -> "UserKNN":
        """Take the training interactions."""
        return cls(data.train.csr(data.num_users, data.num_items), config)

    def plan(self) -> Plan:
        """Return a plan without training: the interactions are the model."""
        return Plan(fit=lambda: None)

    def scorer(self) -> "NeighborScorer":
        """Return the sums over neighbors; they are computed on the CPU."""
        sets = self.ptr, self.items, self.num_items
        return NeighborScorer(*sets, Neighbors(*self._train(), self.config))

    def _train(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        items = self.items.cpu().numpy()
        ones = torch.ones(len(items)).numpy()
        shape = (len(self.ptr) - 1, self.num_items)
        train = sp.csr_matrix((ones, items, self.ptr.cpu().numpy()), shape=shape)
        return train, sp.csr_matrix(train.T)

    def explanation_effects(self) -> "UserKNNEffects":
        """Return the scores of other histories, the neighbors being found again."""
        return UserKNNEffects(self)


@dataclass(frozen=True)
class Neighbors:
    """Scores of sets of items by the users most like each.

    Attributes:
        train: User x item matrix.
        users_of: Its transpose.
        config: Hyper-parameters.
    """

    train: sp.csr_matrix
    users_of: sp.csr_matrix
    config: UserKNNConfig

    def __call__(
        self,
        ptr: Int[Tensor, " _"],
        items: Int[Tensor, " _"],
        user: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog.

        Args:
            ptr: Start of each set in ``items``, and the end of the last (batch + 1).
            items: Items of the sets.
            user: Whose sets they are, and no neighbors of; -1 or None for no known user.
        """
        scores = (self.nearest(ptr, items, user) @ self.train).toarray()
        return torch.from_numpy(scores).to(ptr.device)

    def nearest(
        self,
        ptr: Int[Tensor, " _"],
        items: Int[Tensor, " _"],
        user: Int[Tensor, " batch"] | None = None,
    ) -> sp.csr_matrix:
        """Return the similarities to the nearest users, a row per set; arguments as above."""
        ones = np.ones(len(items), self.train.dtype)
        shape = (len(ptr) - 1, self.train.shape[1])
        sets = sp.csr_matrix((ones, items.cpu().numpy(), ptr.cpu().numpy()), shape=shape)
        common = (sets @ self.users_of).toarray()
        size, count = np.diff(sets.indptr)[:, None], np.diff(self.train.indptr)
        alpha = self.config.alpha
        scale = size**alpha * count ** (1 - alpha) + self.config.shrink
        table = torch.from_numpy(
            np.divide(common, scale, out=np.zeros_like(common), where=common > 0)
        )
        if user is not None:
            known = (user >= 0).nonzero().squeeze(1).cpu()
            table[known, user.cpu()[known]] = 0

        width = min(self.config.k, len(count))
        best, near = topk_scores(table.masked_fill_(table <= 0, -torch.inf), width)
        row, place = (near >= 0).nonzero(as_tuple=True)
        entries = best[row, place].numpy(), (row.numpy(), near[row, place].numpy())
        return sp.csr_matrix(entries, shape=common.shape)


@dataclass(frozen=True)
class NeighborScorer(HistoryScorer):
    """The scorer of UserKNN: a known user is no neighbor of their own."""

    def scores(
        self,
        user: Int[Tensor, " batch"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
        items: Int[Tensor, "batch cand"] | None = None,
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of the catalog, or of the candidates, a block of people at a time."""
        assert isinstance(self.sums, Neighbors)
        ptr, sets = self._sets(user, history, mask)
        step = chunk_rows(max(self.num_items, len(self.ptr)), "cpu")
        parts = []

        for start in range(0, len(user), step):
            some = slice(start, start + step)
            part = ptr[start : start + step + 1]
            own = sets[int(part[0]) : int(part[-1])]
            table = self.sums(part - part[0], own, user[some])
            parts.append(table if items is None else table.gather(1, items[some]))

        if parts:
            return torch.cat(parts)
        return torch.zeros(0, self.num_items if items is None else items.shape[1])


class UserKNNEffects(HistoryEditable, Parted):
    """Scores of other histories, the neighbors being found again among the other users; and a part
    per item of the user: what it adds to the similarity of the neighbors who used the candidate.

    Args:
        model: The model.
    """

    def __init__(self, model: UserKNN) -> None:
        self._device = model.ptr.device
        self._neighbors = model.scorer().sums

    @torch.no_grad()
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog for the user, had the history been each of these."""
        assert isinstance(self._neighbors, Neighbors)
        sets = [torch.unique(history.to(self._device)) for history in histories]
        sizes = torch.tensor([0, *map(len, sets)], device=self._device)
        owner = torch.full((len(sets),), user, device=self._device)
        return self._neighbors(sizes.cumsum(0), torch.cat(sets), owner)

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return one part per item of the user; neighbors, and what counts are divided by, stay as
        they are.
        """
        assert isinstance(self._neighbors, Neighbors)
        train = self._neighbors.train
        own = train[[user]].indices
        ends = torch.tensor([0, len(own)])
        similar = self._neighbors.nearest(ends, torch.from_numpy(own), torch.tensor([user]))
        near = similar.indices
        used = train[near][:, own].toarray().astype(np.float64)  # (neighbors, own items)
        each = similar.data / used.sum(1).clip(1) * train[near][:, [item]].toarray().ravel()
        return ScoreParts(0.0, items=own.astype(np.int64), liked=each @ used, basis="linearized")
