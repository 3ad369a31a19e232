"""Mult-VAE: Variational Autoencoders for Collaborative Filtering. Liang, Krishnan, Hoffman and
Jebara, WWW 2018.

https://arxiv.org/abs/1802.05814

With item attributes: A Collective Variational Autoencoder for Top-N Recommendation with Side
Information. Chen and de Rijke, DLRS 2018. https://arxiv.org/abs/1807.05730
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize

from kgrec.batches import UserBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.attributes import ItemAttributes
from kgrec.models.base import Objective, Plan, Preset, Recommender, Space, Span
from kgrec.models.closed_form import HistoryScorer
from kgrec.models.effects import HistoryEffects
from kgrec.nn.autoencoder import divergence_from_normal, multinomial_loss
from kgrec.nn.dense import dense
from kgrec.nn.init import glorot_uniform
from kgrec.ops.lists import last_of_lists


@dataclass(frozen=True, slots=True)
class MultVAEConfig:
    """Hyper-parameters of Mult-VAE.

    Attributes:
        knowledge: Whether the items of each attribute are reconstructed too; the model's name says.
        dim: Size of the code z; 200 in the paper.
        layers: Sizes of the layers between items and code; the decoder mirrors them; one of 600 in
            the paper.
        dropout: Probability of leaving an item out of what is coded, in training; 0.5 in the paper.
        beta: Weight of the divergence from the prior once it has risen; 0.2 in the paper.
        beta_steps: Steps in which it rises evenly from 0; 200,000 in the paper.
        attribute_weight: Of the items of attributes beside those of users; unused without them.
        min_items: Attributes of fewer items are left out.
    """

    knowledge: bool = False
    dim: int = 200
    layers: tuple[int, ...] = (600,)
    dropout: float = 0.5
    beta: float = 0.2
    beta_steps: int = 2000
    attribute_weight: float = 0.2
    min_items: int = 2

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if not self.layers or min(self.dim, self.min_items, *self.layers) < 1:
            raise ConfigError(
                "Mult-VAE needs dim, min_items and each of one or more layers of at least 1."
            )
        if not 0 <= self.dropout < 1 or min(self.beta, self.attribute_weight) < 0:
            raise ConfigError(
                "Mult-VAE needs dropout in [0, 1), beta and attribute_weight of at least 0."
            )
        if self.beta_steps < 1:
            raise ConfigError("Mult-VAE needs beta_steps of at least 1.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.001, "epochs": 300, "batch_size": 128}),
    "paper": Preset(
        {"beta_steps": 200_000, "min_items": 1},
        {"learning_rate": 0.001, "epochs": 200, "patience": 0, "batch_size": 500},
    ),
    "fast": Preset({"layers": (200,), "dim": 64}, {"epochs": 60, "batch_size": 128, "patience": 5}),
}
SPACE: Space = {
    "dim": (64, 128, 200),
    "layers": ((200,), (600,), (600, 300)),
    "dropout": Span(0.2, 0.8),
    "beta": Span(0.05, 1.0, log=True),
    "beta_steps": Span(200, 20_000, log=True),
    "learning_rate": Span(3e-4, 5e-3, log=True),
    "batch_size": (64, 128, 500),
}
KG_SPACE: Space = {**SPACE, "attribute_weight": Span(0.02, 2.0, log=True)}


class MultVAE(Recommender):
    """Code what somebody used as a distribution, and say by a softmax what it is made of.

        z_u ~ N(mu(x_u), diag sigma^2(x_u)),   pi(z_u) proportional to exp f(z_u)              (1)
        log p(x_u | z_u) = sum over i of x_ui log pi_i(z_u)                                    (2)
        loss = mean over u of -log p(x_u | z_u) + beta KL(q(z_u | x_u) || N(0, I))             (6)

    mu and sigma are a network over x_u / |x_u| with some of its items left out, f mirrors it; beta
    rises evenly. Scores are f(mu(x_u)), so people are known by their items alone.

    With ``knowledge`` x holds the items of attributes, (relation, entity) pairs, besides those of
    users, through the same network; as many at random in a step as users.

    Differs from the paper: nothing known without attributes. With them, in place of training on
    attributes before users: both in each step; the multinomial likelihood for both; items that no
    one used take no part in the softmax of users.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.
        generator: Draws the weights; biases start at 0.
        attributes: Attribute x item matrix, or None.

    Source: Liang et al., WWW 2018, https://arxiv.org/abs/1802.05814; Chen and de Rijke, DLRS 2018.
    """

    scores_read_graph = False
    folds_in = True

    updates: Tensor
    ptr: Tensor
    used: Tensor
    warm: Tensor

    def __init__(
        self,
        train: sp.csr_matrix,
        config: MultVAEConfig,
        generator: torch.Generator,
        attributes: sp.csr_matrix | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.attributed = attributes is not None and attributes.shape[0] > 0
        warm = np.bincount(train.indices, minlength=train.shape[1]) > 0
        lists = {"ptr": train.indptr, "used": train.indices, "warm": np.flatnonzero(warm)}
        if attributes is not None:
            lists |= {"attribute_ptr": attributes.indptr, "attribute_items": attributes.indices}

        for name, values in lists.items():
            self.register_buffer(name, torch.from_numpy(values.astype(np.int64)), persistent=False)

        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        items, first = train.shape[1], config.layers[0]
        self.encoder = nn.Parameter(glorot_uniform(items, first, generator=generator))
        self.decoder = nn.Parameter(glorot_uniform(items, first, generator=generator))
        self.offset = nn.Parameter(torch.zeros(first))
        self.bias = nn.Parameter(torch.zeros(items))
        inner, outer = (*config.layers, 2 * config.dim), (config.dim, *reversed(config.layers))
        self.inner, self.outer = (
            dense(sizes, generator, last=nn.Identity(), activation=nn.Tanh)
            for sizes in (inner, outer)
        )

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: MultVAEConfig, generator: torch.Generator
    ) -> "MultVAE":
        """Take the training interactions, and with ``knowledge`` the items of attributes."""
        train = data.train.csr(data.num_users, data.num_items)
        if not config.knowledge:
            return cls(train, config, generator)

        attributes = ItemAttributes.from_dataset(data, config.min_items)
        return cls(train, config, generator, sp.csr_matrix(attributes.matrix.T))

    def coded(
        self, x: Float[Tensor, "batch items"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return mean and log-variance of the code of rows."""
        kept = dropout(normalize(x), self.config.dropout, self.training)
        mean, log_variance = self.inner(torch.tanh(kept @ self.encoder + self.offset)).chunk(2, 1)
        return mean, log_variance

    def decoded(self, z: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch items"]:
        """Return the logits f(z) of all items."""
        return torch.tanh(self.outer(z)) @ self.decoder.T + self.bias

    def rows(
        self, items: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch items"]:
        """Return lists of items as rows of 0 and 1."""
        x = self.bias.new_zeros(len(items), len(self.bias))
        return x.scatter_reduce(1, items, mask.to(x), "amax")

    def reconstruction(
        self, x: Float[Tensor, "batch items"], shown: Tensor | None = None
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return both terms of Eq. (6), for a softmax over the items that are shown."""
        mean, log_variance = self.coded(x)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        logits = self.decoded(mean + noise * (log_variance / 2).exp())
        if shown is not None:
            logits, x = logits[:, shown], x[:, shown]
        return multinomial_loss(logits, x), divergence_from_normal(mean, log_variance)

    def loss(self, batch: UserBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the terms of users, and of attributes drawn at random."""
        x = self.rows(batch.items, batch.mask)
        beta = self.config.beta * min(1.0, int(self.updates) / self.config.beta_steps)
        likelihood, divergence = self.reconstruction(x, self.warm if self.attributed else None)
        found = {"users": likelihood, "divergence": beta * divergence}
        if self.attributed:
            ptr = self.get_buffer("attribute_ptr")
            drawn = torch.randint(len(ptr) - 1, (len(x),)).to(x.device)
            items = last_of_lists(ptr, self.get_buffer("attribute_items"), drawn)
            likelihood, divergence = self.reconstruction(self.rows(*items))
            found["attributes"] = self.config.attribute_weight * (likelihood + beta * divergence)
        return found

    def plan(self) -> Plan:
        """Return users with all of their items; steps are counted for beta."""
        return Plan((Objective(UserBatch, self.loss, name="elbo"),), after_step=self._count)

    def _count(self) -> None:
        self.updates += 1

    def can_rank(self, data: Dataset) -> Known:
        """Return those with interactions, and items that share an attribute with one."""
        warm = with_interactions(data)
        if not self.attributed:
            return warm

        attributes = ItemAttributes.from_dataset(data, self.config.min_items).matrix
        shared = attributes.T @ warm.items.astype(np.float32) > 0
        return Known(warm.users, warm.items | (attributes @ shared.astype(np.float32) > 0))

    def scorer(self) -> HistoryScorer:
        """Return the logits of codes' means, by what somebody used."""

        def scores(
            ptr: Int[Tensor, " _"], items: Int[Tensor, " _"]
        ) -> Float[Tensor, "batch items"]:
            x = self.bias.new_zeros(len(ptr) - 1, len(self.bias))
            x[torch.repeat_interleave(torch.arange(len(x), device=x.device), ptr.diff()), items] = 1
            return self.decoded(self.coded(x)[0]).detach()

        return HistoryScorer(self.ptr, self.used, len(self.bias), scores)

    def explanation_effects(self) -> HistoryEffects:
        """Return the scores of other histories."""
        return HistoryEffects(self, self.bias.device)
