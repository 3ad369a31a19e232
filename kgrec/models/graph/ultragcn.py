"""UltraGCN: Ultra Simplification of Graph Convolutional Networks for Recommendation. Mao et al.,
CIKM 2021.

https://arxiv.org/abs/2110.15114 (equation numbers are those of version 1)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus

from kgrec.batches import PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.effects import FactorEffects
from kgrec.nn.init import normal
from kgrec.nn.losses import half_squares
from kgrec.ops.dropout import words
from kgrec.ops.ranking import chunk_rows
from kgrec.ops.rows import take_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class UltraGCNConfig:
    """Hyper-parameters of UltraGCN. The loss is divided by the batch size, which Adam does not see.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        w1: What each interaction counts for.
        w2: What it counts for by its constraint beta; 1 in the authors' code.
        w3: What each negative counts for.
        w4: What it counts for by beta; 1 in the authors' code.
        negatives: Items drawn for each interaction, whether used or not; 1,500 in the authors' code
            on Gowalla. 0 takes the mean over all items, which is what the draws estimate.
        negative_weight: Weight of the mean over the negatives; 300 in the authors' code on Gowalla.
            0 takes what that is for each of its 40,981 items, times the items of the catalog.
        neighbors: Most co-used items S of each item; 10 in the paper.
        neighbor_weight: Weight lambda of the items near those used; 5e-4 in the authors' code on
            Gowalla, 2.75 on Amazon-Book.
        form: Weights omega of near items: as the authors' "code", or as Eq. (13) of the "paper".
        l2_weight: Weight gamma of half the squared norms of all parameters; 1e-4 in the authors'
            code.
        init_scale: Standard deviation of the initial embeddings; 1e-4 in the authors' code, whose
            trainings take hundreds of epochs to leave it.
    """

    dim: int = 64
    w1: float = 1e-6
    w2: float = 1.0
    w3: float = 1e-6
    w4: float = 1.0
    negatives: int = 0
    negative_weight: float = 0.0
    neighbors: int = 10
    neighbor_weight: float = 0.3
    form: Literal["code", "paper"] = "code"
    l2_weight: float = 1e-4
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.negatives < 0 or self.neighbors < 0 or self.init_scale <= 0:
            raise ConfigError(
                "UltraGCN needs dim >= 1, negatives >= 0, neighbors >= 0 and init_scale > 0."
            )
        for name in ("w1", "w2", "w3", "w4", "negative_weight", "neighbor_weight", "l2_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"UltraGCN needs {name} >= 0.")
        if self.form not in ("code", "paper"):
            raise ConfigError('UltraGCN needs form "code" or "paper".')


_PER_ITEM = 300 / 40_981
_PUBLISHED = {
    "negatives": 1500,
    "negative_weight": 300.0,
    "neighbor_weight": 5e-4,
    "init_scale": 1e-4,
}
_PUBLISHED_TRAINING = {
    "epochs": 2000,
    "patience": 0,
    "batch_size": 512,
    "learning_rate": 1e-4,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset({"form": "paper"} | _PUBLISHED, _PUBLISHED_TRAINING),
    "official": Preset({"form": "code"} | _PUBLISHED, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "learning_rate": Span(2e-4, 1e-2, log=True),
    "negative_weight": Span(1.0, 1000.0, log=True),
    "neighbor_weight": Span(1e-4, 5.0, log=True),
    "l2_weight": Span(1e-5, 1e-2, log=True),
    "batch_size": (512, 1024, 2048),
}


class UltraGCN(Recommender):
    """Embeddings that meet the limit of infinitely many propagations, without any.

        beta_ui = 1 / d_u sqrt((d_u + 1) / (d_i + 1))                                           (5)
        loss of (u, i) = (w1 + w2 beta_ui) softplus(-u . i)
                         + negative_weight mean over negatives j of (w3 + w4 beta_uj) softplus(u . j)
                         + lambda sum over the S co-used items k of omega_ik softplus(-u . k)
        score(u, i) = u . i

    Adam sees the mean over the batch, and gamma / 2 of the squares of all parameters.

        omega_ij = G_ij sqrt(g_i + 1) / (g_i sqrt(g_j + 1)),   G = R^T R, g its row sums    ("code")
        omega_ij = G_ij / (g_i - G_ii) sqrt(g_i / g_j),   i not j                      ("paper", 13)

    Differs from the paper: nothing known in the form "paper"; weights and numbers of negatives are
    the authors' code's.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Mao et al., UltraGCN, CIKM 2021. https://arxiv.org/abs/2110.15114
    """

    scores_read_graph = False
    user_factor: Tensor
    item_factor: Tensor
    near: Tensor
    omega: Tensor

    def __init__(
        self, train: sp.csr_matrix, config: UltraGCNConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        users, items = train.shape
        scale = config.init_scale
        self.users = nn.Parameter(normal(users, config.dim, scale=scale, generator=generator))
        self.items = nn.Parameter(normal(items, config.dim, scale=scale, generator=generator))
        near, omega = co_used(train, config.neighbors, config.form)
        degree = [np.asarray(train.sum(axis), np.float64).ravel() for axis in (1, 0)]
        buffers = {
            "user_factor": np.sqrt(degree[0] + 1) / degree[0].clip(1),
            "item_factor": 1 / np.sqrt(degree[1] + 1),
            "omega": omega,
        }
        for name, values in buffers.items():
            table = torch.from_numpy(values).to(torch.get_default_dtype())
            self.register_buffer(name, table, persistent=False)

        self.register_buffer("near", torch.from_numpy(near), persistent=False)
        self.reseed(0)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: UltraGCNConfig, generator: torch.Generator
    ) -> "UltraGCN":
        """Take the training interactions."""
        return cls(data.train.csr(data.num_users, data.num_items), config, generator)

    def reseed(self, seed: int) -> None:
        """Start the stream of drawn items."""
        self._seed = seed
        self._draws = 0

    def loss(self, batch: PositiveBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the losses of interactions, of negatives and of near items, and L2."""
        config = self.config
        user = take_rows(self.users, batch.user)
        beta = self.user_factor[batch.user]  # beta_ui is this times item_factor
        by_positive = config.w1 + config.w2 * beta * self.item_factor[batch.positive]
        own = (user * take_rows(self.items, batch.positive)).sum(1)

        if config.negatives:
            drawn = self._drawn(len(user))
            scores = _products(user, self.items, drawn)
            factor = self.item_factor[drawn]
        else:
            scores = user @ self.items.T
            factor = self.item_factor.unsqueeze(0)

        weight = config.negative_weight or _PER_ITEM * len(self.items)
        by_negative = config.w3 + config.w4 * beta.unsqueeze(1) * factor
        near = self.near[batch.positive]  # (batch, S)
        pull = self.omega[batch.positive] * softplus(-_products(user, self.items, near))

        return {
            "positive": (by_positive * softplus(-own)).mean(),
            "negative": weight * (by_negative * softplus(scores)).mean(),
            "near": config.neighbor_weight * pull.sum() / len(user),
            "l2": config.l2_weight / len(user) * half_squares(self.parameters()),
        }

    def _drawn(self, size: int) -> Int[Tensor, "batch cand"]:
        """Return items for a batch, drawn uniformly."""
        self._draws += 1
        count = self.config.negatives
        key = derive(self._seed, "negatives", self._draws)
        return (words(size * count, key, self.items.device) % len(self.items)).view(size, count)

    def plan(self) -> Plan:
        """Return one objective of several losses."""
        objective = Objective(PositiveBatch, self.loss, name="ultragcn")
        return Plan((objective,), begin_epoch=self._begin)

    def _begin(self, epoch: int, seed: int) -> None:
        self.reseed(derive(seed, "drawn items", epoch))

    def scorer(self) -> DotProduct:
        """Return the embeddings."""
        return DotProduct(self.users.detach(), self.items.detach())

    def explanation_effects(self) -> FactorEffects:
        """Return the inner product: no fact enters it."""
        return FactorEffects(self.users, self.items)


def _products(
    users: Float[Tensor, "batch dim"],
    items: Float[Tensor, "items dim"],
    chosen: Int[Tensor, "batch cand"],
) -> Float[Tensor, "batch cand"]:
    """Return the inner products of each user and its chosen items."""
    rows = take_rows(items, chosen.reshape(-1)).view(*chosen.shape, -1)
    return torch.bmm(rows, users.unsqueeze(2)).squeeze(2)


def co_used(
    train: sp.csr_matrix, count: int, form: Literal["code", "paper"]
) -> tuple[Int[np.ndarray, "items cand"], Float[np.ndarray, "items cand"]]:
    """Return the items of the largest omega of each item, the largest first, and omega; 0 where
    there are fewer.
    """
    users_of = sp.csr_matrix(train.T, dtype=np.float64)
    of_user = np.asarray(users_of.sum(0)).ravel()
    degree = np.asarray(users_of.sum(1)).ravel()
    total = users_of @ of_user  # g, row sums of G
    count = min(count, len(total))
    items = np.zeros((len(total), count), np.int64)
    omega = np.zeros((len(total), count))
    step = chunk_rows(len(total), "cpu")

    for start in range(0, len(total), step):
        rows = np.arange(start, min(start + step, len(total)))
        common = (users_of[rows] @ users_of.T).toarray()  # G
        if form == "code":
            scale = np.sqrt(total[rows] + 1) / total[rows].clip(1)
            table = common * scale[:, None] / np.sqrt(total + 1)
        else:
            common[np.arange(len(rows)), rows] = 0
            others = (total - degree)[rows].clip(1)
            table = common * (np.sqrt(total[rows]) / others)[:, None] / np.sqrt(total.clip(1))

        items[rows] = np.argsort(-table, axis=1, kind="stable")[:, :count]
        omega[rows] = np.take_along_axis(table, items[rows], 1)

    return items, omega
