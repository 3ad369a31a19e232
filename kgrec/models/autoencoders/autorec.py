"""AutoRec: Autoencoders Meet Collaborative Filtering. Sedhain, Menon, Sanner and Xie, WWW 2015.

https://doi.org/10.1145/2740908.2742726
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from kgrec.batches import PointwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.factorization.base import InteractionSums
from kgrec.models.sources import Points
from kgrec.nn.init import glorot_uniform
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class AutoRecConfig:
    """Hyper-parameters of AutoRec.

    Attributes:
        side: "item" reconstructs the ratings of an item, the paper's best; "user" those of a user.
        dim: Hidden units k; 500 in the paper.
        l2_weight: Weight lambda of half the squares of a pair's rows of V and W, added to its
            squared error; the paper searches from 0.001 to 1000 for all of both matrices.
    """

    side: Literal["item", "user"] = "item"
    dim: int = 200
    l2_weight: float = 0.05

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.side not in ("item", "user") or self.dim < 1 or self.l2_weight < 0:
            raise ConfigError('AutoRec needs side "item" or "user", dim >= 1 and l2_weight >= 0.')


PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 150, "metric": "rmse"}),
    "paper": Preset({"dim": 500}, {"learning_rate": 0.001, "epochs": 500, "metric": "rmse"}),
    "fast": Preset(
        {"dim": 64}, {"learning_rate": 0.005, "epochs": 30, "patience": 3, "metric": "rmse"}
    ),
}

SPACE = {
    "side": ("item", "user"),
    "dim": (64, 200, 500),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "l2_weight": Span(0.005, 0.5, log=True),
}


class AutoRec(Recommender):
    """Predict an item's ratings from the ratings that it has, through one hidden layer.

        h(r; theta) = W g(V r + mu) + b,   g the sigmoid, r the ratings of an item           (1)
        loss = mean over observed ratings of (r_u - h(r)_u)^2
               + lambda / 2 (|W_u|^2 + |V_u|^2) over the same                                (2)

    What is not rated is 0 in r and no part of the loss. ``side="user"`` reconstructs the ratings of
    users instead.

    Differs from the paper: batches are ratings, not items, and the L2 is of the rows that they
    touch; r holds distances from the mean rating, so that 0 stands for the mean.

    Args:
        sums: Ratings of training, less their mean, as weights of both directions.
        rated: How many ratings each user has, or with ``side="user"`` each item: those without
            keep the mean and their bias of 0.
        mean: Mean rating.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Sedhain et al., AutoRec, WWW 2015.
    """

    moved: Tensor

    predicts_ratings = True
    scores_read_graph = False

    def __init__(
        self,
        sums: InteractionSums,
        rated: np.ndarray,
        mean: float,
        config: AutoRecConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config = config
        self.sums = sums
        self.mean = mean
        width = len(rated)
        self.encoder = nn.Parameter(glorot_uniform(width, config.dim, generator=generator))  # V^T
        self.decoder = nn.Parameter(glorot_uniform(width, config.dim, generator=generator))  # W
        self.offset = nn.Parameter(torch.zeros(config.dim))  # mu
        self.bias = nn.Parameter(torch.zeros(width))  # b
        self.register_buffer("moved", torch.from_numpy(rated > 0).unsqueeze(1), persistent=False)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: AutoRecConfig, generator: torch.Generator
    ) -> "AutoRec":
        """Take the ratings of training."""
        assert data.train.rating is not None
        rating = data.train.rating.astype(np.float64)
        mean = float(rating.mean())
        counts = data.num_users, data.num_items
        sums = InteractionSums(data.train, *counts, rating - mean, rating - mean)
        rated = np.bincount(data.train.user, minlength=counts[0])
        if config.side == "user":
            rated = np.bincount(data.train.item, minlength=counts[1])
        return cls(sums, rated, mean, config, generator)

    def hidden(self, rows: Int[Tensor, " batch"] | None = None) -> Float[Tensor, "_ dim"]:
        """Return g(V r + mu) of distinct items, or of all; of users where these are coded."""
        if self.config.side == "item":
            sums = self.sums.of_items(self.encoder, rows)
        else:
            sums = self.sums.of_users(self.encoder, rows)
        return torch.sigmoid(sums + self.offset)

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the squared error of observed ratings, and L2, Eq. (2)."""
        coded, other = batch.item, batch.user
        if self.config.side == "user":
            coded, other = other, coded

        distinct, position = torch.unique(coded, return_inverse=True)
        hidden = take_rows(self.hidden(distinct), position)
        decoder, encoder = take_rows(self.decoder, other), take_rows(self.encoder, other)
        predicted = self.mean + (hidden * decoder).sum(1) + self.bias[other]  # Eq. (1)
        squares = decoder.square().sum() + encoder.square().sum()
        penalty = self.config.l2_weight / 2 * squares / len(batch.label)
        return mse_loss(predicted, batch.label) + penalty

    def plan(self) -> Plan:
        """Return the ratings of training, one objective."""
        return Plan((Objective(PointwiseBatch, self.loss, name="mse", source=Points("rating")),))

    def scorer(self) -> DotProduct:
        """Return predictions as inner products of hidden units and decoder; bias and mean are one
        more dimension.
        """
        hidden = self.hidden().detach()
        coded = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)
        level = self.mean + self.bias.detach().unsqueeze(1)
        decoded = torch.cat([self.decoder.detach() * self.moved, level], 1)
        if self.config.side == "item":
            return DotProduct(decoded, coded)
        return DotProduct(coded, decoded)
