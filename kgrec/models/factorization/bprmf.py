"""BPR: Bayesian Personalized Ranking from Implicit Feedback. Rendle, Freudenthaler, Gantner and
Schmidt-Thieme, UAI 2009.

https://arxiv.org/abs/1205.2618
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span, Split
from kgrec.models.effects import FactorEffects
from kgrec.nn.init import normal
from kgrec.ops.pairwise import bpr_rows


@dataclass(frozen=True, slots=True)
class BPRMFConfig:
    """Hyper-parameters of BPR-MF.

    Attributes:
        dim: Embedding size d; the paper tries 8 to 128.
        l2_weight: Weight lambda of half the squared norms of the batch rows, divided by the batch
            size.
        init_scale: Standard deviation of the initial embeddings.
        item_bias: Whether each item has a bias b_i of its own.
    """

    dim: int = 64
    l2_weight: float = 0.02
    init_scale: float = 0.1
    item_bias: bool = True

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.l2_weight < 0 or self.init_scale <= 0:
            raise ConfigError("BPR-MF needs dim >= 1, l2_weight >= 0 and init_scale > 0.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.002}),
    "paper": Preset(
        config={"item_bias": False, "l2_weight": 1e-4},
        train={"epochs": 1000, "patience": 0, "batch_size": 1024, "learning_rate": 1e-3},
    ),
    "fast": Preset(train={"learning_rate": 0.01, "batch_size": 8192, "epochs": 40, "patience": 3}),
}


SPACE = {
    "learning_rate": Span(5e-4, 2e-2, log=True),
    "l2_weight": Span(1e-4, 1e-1, log=True),
    "init_scale": Span(0.01, 0.2, log=True),
    "item_bias": (False, True),
    "batch_size": (1024, 2048, 8192),
}


class BPRMF(Recommender):
    """Matrix factorization trained to put what a user used above what they did not.

        score(u, i) = p_u . q_i (+ b_i)
        loss = mean softplus(-(score(u, i) - score(u, j)))
               + lambda / 2 (|p_u|^2 + |q_i|^2 + |q_j|^2) / B                         (Section 4.1)

    Differs from the paper: Adam on mini-batches instead of single bootstrapped steps; one weight
    lambda for all parameters.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        config: Hyper-parameters.
        generator: Draws the initial embeddings.

    Source: Rendle et al., BPR, UAI 2009. https://arxiv.org/abs/1205.2618
    """

    scores_read_graph = False
    folds_in = True

    def __init__(
        self, num_users: int, num_items: int, config: BPRMFConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.users = nn.Parameter(
            normal(num_users, config.dim, scale=config.init_scale, generator=generator)
        )  # p_u
        self.items = nn.Parameter(
            normal(num_items, config.dim, scale=config.init_scale, generator=generator)
        )  # q_i
        self.item_bias = nn.Parameter(torch.zeros(num_items)) if config.item_bias else None  # b_i

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: BPRMFConfig, generator: torch.Generator
    ) -> "BPRMF":
        """Take the numbers of users and items."""
        return cls(data.num_users, data.num_items, config, generator)

    def cf_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR with L2 on the rows of the batch (Section 4.1)."""
        pairs = batch.user, batch.positive, batch.negative
        weight = self.config.l2_weight
        return bpr_rows(
            self.users,
            self.items,
            *pairs,
            l2_weight=weight,
            bias=self.item_bias,
            total=self.shard.sums,
        )

    def plan(self) -> Plan:
        """Return one pairwise objective."""
        objective = Objective(PairwiseBatch, self.cf_loss, name="bpr", capturable=True)
        return Plan((objective,), parallel="columns", split=Split((self.users, self.items)))

    def scorer(self) -> DotProduct:
        """Return the embeddings; a bias rides along as one more dimension."""
        users = self.users.detach()
        items = self.items.detach()

        if self.item_bias is not None:
            users = torch.cat([users, users.new_ones(len(users), 1)], 1)
            items = torch.cat([items, self.item_bias.detach().unsqueeze(1)], 1)

        return DotProduct(users, items)

    def explanation_effects(self) -> FactorEffects:
        """Return the inner product and the bias."""
        return FactorEffects(self.users, self.items, self.item_bias)
