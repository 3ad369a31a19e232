"""SVD++, and the biased matrix factorization below it: Factorization Meets the Neighborhood. Koren,
KDD 2008. Without biases: Probabilistic Matrix Factorization. Salakhutdinov and Mnih, NIPS 2007.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from kgrec.batches import PointwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.factorization.base import InteractionSums
from kgrec.models.sources import Points
from kgrec.nn.init import normal
from kgrec.ops.folding import SumFold
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class SVDPPConfig:
    """Hyper-parameters of SVD++ and of biased matrix factorization.

    Attributes:
        implicit: Whether what a user rated counts beside how, the y_j of SVD++.
        biases: Whether users and items have biases; without them and without ``implicit`` this is
            probabilistic matrix factorization around the mean.
        dim: Number of factors; 50 to 200 in the paper of SVD++, 10 to 60 in that of PMF.
        init_scale: Standard deviation of the factors at first.
        l2_weight: Weight lambda of the squares of a pair's factors, those of what the user has
            rated included, added to its squared error; 0.015 in the paper, with factors updated one
            rating at a time.
        bias_weight: The same of its biases; 0.005 in the paper.
    """

    implicit: bool = True
    biases: bool = True
    dim: int = 50
    init_scale: float = 0.05
    l2_weight: float = 0.1
    bias_weight: float = 0.02

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.init_scale <= 0 or min(self.l2_weight, self.bias_weight) < 0:
            raise ConfigError(
                "SVD++ needs dim >= 1, init_scale > 0, l2_weight >= 0 and bias_weight >= 0."
            )


_BY_ERROR = {"metric": "rmse"}
_PUBLISHED = {"l2_weight": 0.015, "bias_weight": 0.005}

PRESETS = {
    "default": Preset(
        train={"learning_rate": 0.005, "epochs": 100, "batch_size": 1024, **_BY_ERROR}
    ),
    "paper": Preset(
        _PUBLISHED,
        {
            "learning_rate": 0.0035,  # gamma is .007, and the gradient of e^2 is 2 e
            "optimizer": "sgd",
            "epochs": 30,
            "patience": 0,
            "batch_size": 1,
            "schedule": "step",
            "decay": 0.9,
            "decay_every": 1,
            **_BY_ERROR,
        },
    ),
    "fast": Preset(
        train={"learning_rate": 0.01, "epochs": 20, "patience": 2, "batch_size": 2048, **_BY_ERROR}
    ),
}

SPACE = {
    "dim": (16, 50, 100),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "l2_weight": Span(0.005, 0.3, log=True),
    "bias_weight": Span(0.001, 0.1, log=True),
}


class SVDPP(Recommender):
    """Predict ratings by biases, factors, and what a user has rated at all.

        rating(u, i) = mu + b_u + b_i + q_i . (p_u + |N(u)|^(-1/2) sum over j in N(u) of y_j)  (15)
        loss = mean of (r - rating)^2 + lambda (|q_i|^2 + |p_u|^2 + sum over j in N(u) of |y_j|^2)
               + lambda' (b_u^2 + b_i^2)

    N(u) is what u rated in training.

    Differs from the paper: Adam on mini-batches, but for the preset "paper".

    Args:
        sums: What users rated, each rating weighted by |N(u)|^(-1/2); None without y.
        rated: How many ratings each user has, and each item.
        mean: Mean rating mu.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Koren, KDD 2008. https://doi.org/10.1145/1401890.1401944
    """

    mean: Tensor
    user_root: Tensor
    item_root: Tensor

    predicts_ratings = True
    scores_read_graph = False
    folds_in = True

    def __init__(
        self,
        sums: InteractionSums | None,
        rated: tuple[np.ndarray, np.ndarray],
        mean: float,
        config: SVDPPConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config = config
        self.sums = sums

        def table(count: int) -> nn.Parameter:
            scale = config.init_scale
            return nn.Parameter(normal(count, config.dim, scale=scale, generator=generator))

        num_users, num_items = map(len, rated)
        self.users, self.items = table(num_users), table(num_items)  # p, q
        self.implicit = table(num_items) if sums is not None else None  # y
        self.user_bias = nn.Parameter(torch.zeros(num_users)) if config.biases else None
        self.item_bias = nn.Parameter(torch.zeros(num_items)) if config.biases else None
        self.register_buffer("mean", torch.tensor(mean))
        for name, count in zip(("user_root", "item_root"), rated, strict=True):
            root = torch.from_numpy(np.sqrt(count)).to(self.users.dtype).unsqueeze(1)
            self.register_buffer(name, root, persistent=False)  # |N|^(1/2), a column

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: SVDPPConfig, generator: torch.Generator
    ) -> "SVDPP":
        """Take the ratings of training."""
        assert data.train.rating is not None
        mean = float(data.train.rating.mean(dtype=np.float64))
        counts = data.num_users, data.num_items
        rows = (data.train.user, data.train.item)
        users, items = (
            np.bincount(some, minlength=count) for some, count in zip(rows, counts, strict=True)
        )
        sums = None
        if config.implicit:
            weight = 1 / np.sqrt(users[data.train.user])
            sums = InteractionSums(data.train, *counts, weight, np.zeros(len(weight)))
        return cls(sums, (users, items), mean, config, generator)

    def represented(
        self, users: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, ""]]:
        """Return the factors of users, with what they rated, Eq. (15), and the sum of squares of
        all that is in them.
        """
        factors = take_rows(self.users, users)
        squares = factors.square().sum()
        if self.sums is None or self.implicit is None:
            return factors, squares

        distinct, position = torch.unique(users, return_inverse=True)
        own = self.implicit.square().sum(1, keepdim=True)  # (items, 1)
        table = torch.cat([self.implicit, own], 1)
        rated = take_rows(self.sums.of_users(table, distinct), position)
        every = rated[:, -1:] * self.user_root[users]  # sums of squares, unweighted
        return factors + rated[:, :-1], squares + every.sum()

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the mean squared error of a batch, and the squares of what predicts it."""
        users, squares = self.represented(batch.user)
        items = take_rows(self.items, batch.item)
        predicted = self.mean + (users * items).sum(1)
        squares = self.config.l2_weight * (squares + items.square().sum())

        for bias, rows in ((self.user_bias, batch.user), (self.item_bias, batch.item)):
            if bias is not None:
                own = bias[rows]
                predicted = predicted + own
                squares = squares + self.config.bias_weight * own.square().sum()

        return mse_loss(predicted, batch.label) + squares / len(batch.label)

    def plan(self) -> Plan:
        """Return the ratings of training, one objective."""
        return Plan((Objective(PointwiseBatch, self.loss, name="mse", source=Points("rating")),))

    def scorer(self) -> DotProduct:
        """Return predictions as inner products: biases and the mean are two more dimensions. Factors
        that no rating has moved are 0.
        """
        users = self.users.detach() * (self.user_root > 0)
        if self.sums is not None and self.implicit is not None:
            users = users + self.sums.of_users(self.implicit.detach())

        ones = users.new_ones(len(users), 1), users.new_ones(len(self.items), 1)
        level = self.mean * ones[0]
        if self.user_bias is not None:
            level = level + self.user_bias.detach().unsqueeze(1)

        own = torch.zeros_like(ones[1])
        if self.item_bias is not None:
            own = self.item_bias.detach().unsqueeze(1)

        items = torch.cat([self.items.detach() * (self.item_root > 0), own, ones[1]], 1)
        fold = self._fold if self.implicit is not None else None
        return DotProduct(torch.cat([users, ones[0], level], 1), items, fold=fold)

    def own_fold(self) -> SumFold | None:
        """Return the sums of what was rated, biases of 0 and the mean beside them."""
        if self.implicit is None:
            return None

        implicit = self.implicit.detach().cpu().numpy()
        table = np.concatenate([implicit, np.zeros((len(implicit), 2), implicit.dtype)], 1)
        constant = np.zeros(table.shape[1], implicit.dtype)
        constant[-2] = 1
        constant[-1] = float(self.mean)
        return SumFold(table, constant, 0.5)

    def _fold(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch dim"]:
        """Return the vectors of people of whom is known what they rated, not how: p and b are 0."""
        assert self.implicit is not None
        count = mask.sum(1, keepdim=True).clamp(min=1)
        sums = (self.implicit[history] * mask.unsqueeze(-1)).sum(1) / count.sqrt()
        return torch.cat([sums, torch.ones_like(count), self.mean * torch.ones_like(count)], 1)


class BiasedMF(SVDPP):
    """Predict ratings by biases and factors; without biases, probabilistic matrix factorization.

        rating(u, i) = mu + b_u + b_i + q_i . p_u                                             (4)
        loss = mean of (r - rating)^2 + lambda (|q_i|^2 + |p_u|^2) + lambda' (b_u^2 + b_i^2)

    Differs from the paper: Adam on mini-batches, but for the preset "paper"; the weights of biases
    and factors are apart.

    Source: Koren, Bell and Volinsky, IEEE Computer 2009. https://doi.org/10.1109/MC.2009.263
    """

    folds_in = False
