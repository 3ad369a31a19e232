"""SASRec: Self-Attentive Sequential Recommendation. Kang and McAuley, ICDM 2018.

https://arxiv.org/abs/1808.09781
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, relu, scaled_dot_product_attention, softplus

from kgrec.batches import SequenceBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Objective, Plan, Preset, Span
from kgrec.models.sequential.base import Catalog, SequenceConfig, SequenceRecommender, at_last
from kgrec.nn.dense import linear
from kgrec.nn.init import glorot_uniform, normal
from kgrec.ops.rows import take_rows

_BETA2 = 0.999  # Adam's own


@dataclass(frozen=True, slots=True)
class SASRecConfig(SequenceConfig):
    """Hyper-parameters of SASRec, beside those of ``SequenceConfig``: d is 50 in the paper, the
    length n 50, on MovieLens 1M 200, dropout 0.5, there 0.2.

    Attributes:
        num_blocks: Layers of attention, each with its network; 2 in the paper.
        num_heads: Parts of the vectors that attend each by itself; 1 in the paper.
        loss: "bce" of each target against a drawn item, as in the paper; "softmax" against all.
        form: "paper" adds to the input of a layer what the layer makes of its normalized form;
            "official" adds to the normalized form itself, takes keys and values of the plain
            input, drops out attention weights, and scales the item vectors by sqrt(d).
        beta2: Decay of Adam's squares; .98 in the authors' code.
    """

    num_blocks: int = 2
    num_heads: int = 1
    loss: Literal["softmax", "bce"] = "softmax"
    form: Literal["paper", "official"] = "paper"
    beta2: float = _BETA2

    def __post_init__(self) -> None:
        """Reject values out of range."""
        self.check("SASRec")
        if min(self.num_blocks, self.num_heads) < 1 or self.dim % self.num_heads:
            raise ConfigError(
                f"SASRec needs num_blocks and num_heads of at least 1; {self.dim} dimensions are "
                f"not divided by {self.num_heads} heads."
            )
        if self.loss not in ("softmax", "bce") or self.form not in ("paper", "official"):
            raise ConfigError('SASRec needs loss "softmax" or "bce", form "paper" or "official".')
        if not 0 < self.beta2 < 1:
            raise ConfigError("SASRec needs beta2 between 0 and 1.")


_PUBLISHED = {"dim": 50, "dropout": 0.5, "loss": "bce", "windows": False}
_TRAINING = {"epochs": 200, "patience": 0, "batch_size": 128, "learning_rate": 0.001}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "batch_size": 64, "epochs": 200}),
    "paper": Preset(_PUBLISHED, _TRAINING),
    "official": Preset({**_PUBLISHED, "form": "official", "beta2": 0.98}, _TRAINING),
    "fast": Preset(train={"learning_rate": 0.003, "batch_size": 64, "epochs": 30, "patience": 3}),
}

SPACE = {
    "dim": (32, 64, 128),
    "length": (50, 100, 200),
    "num_blocks": (1, 2, 3),
    "num_heads": (1, 2),
    "dropout": Span(0.0, 0.6),
    "learning_rate": Span(3e-4, 5e-3, log=True),
}


class Block(nn.Module):
    """Attention of each item to itself and those before it, then a network for each; layers are
    normalized before and added to their input.

    Args:
        config: Hyper-parameters.
        generator: Draws the starts.
    """

    def __init__(self, config: SASRecConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size = config.dim
        self.norms = nn.ModuleList(nn.LayerNorm(size, eps=1e-8) for _ in range(2))
        self.query, self.key, self.value = (
            nn.Parameter(glorot_uniform(size, size, generator=generator)) for _ in range(3)
        )
        self.first, self.second = (linear(size, size, generator) for _ in range(2))

    def forward(self, x: Float[Tensor, "batch hist dim"]) -> Float[Tensor, "batch hist dim"]:
        """Return the items as they are after attention and network, Eqs. (2) to (6)."""
        official = self.config.form == "official"
        rate = self.config.dropout if self.training else 0.0
        normed = self.norms[0](x)
        read = x if official else normed
        q, k, v = (
            part.unflatten(2, (self.config.num_heads, -1)).transpose(1, 2)
            for part in (normed @ self.query, read @ self.key, read @ self.value)
        )
        weights_dropped = rate if official else 0.0
        seen = scaled_dot_product_attention(q, k, v, dropout_p=weights_dropped, is_causal=True)
        s = seen.transpose(1, 2).flatten(2)  # Eq. (4)
        s = normed + s if official else x + dropout(s, rate, self.training)

        normed = self.norms[1](s)
        f = relu(self.first(normed))  # Eq. (5)
        f = self.second(dropout(f, rate, self.training) if official else f)
        return (normed if official else s) + dropout(f, rate, self.training)


class SASRec(SequenceRecommender):
    """Let each item of a history attend to those before it, and compare what the last one has
    become with all items.

        e_t = m_(s_t) + p_t                                                                  (1)
        s_t = e_t + attention of e_t over e_1 .. e_t                                    (2) - (4)
        f_t = s_t + W_2 ReLU(W_1 s_t + b_1) + b_2,   twice, each layer normalized        (5) - (6)
        score(i) = f_n . m_i                                                                 (7)
        loss = - sum over t of (log sigma(score(s_(t+1))) + log(1 - sigma(score(j))))        (8)

    The last item of a history is at position n, however long the history is: positions are counted
    from the end.

    Differs from the paper: with ``loss="softmax"`` all items stand against the next one, and with
    ``windows`` all that a user has is trained on, not the latest n; items without interactions are
    no negatives; a drawn item that is in the history is left out instead of drawn again. The
    "official" form has no biases in its projections.

    Args:
        catalog: The items.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Kang and McAuley, SASRec, ICDM 2018. https://arxiv.org/abs/1808.09781
    """

    def __init__(self, catalog: Catalog, config: SASRecConfig, generator: torch.Generator) -> None:
        super().__init__(catalog, config, generator)
        size = config.length, config.dim
        self.positions = nn.Parameter(normal(*size, scale=config.init_scale, generator=generator))
        self.blocks = nn.ModuleList(Block(config, generator) for _ in range(config.num_blocks))
        self.norm = nn.LayerNorm(config.dim, eps=1e-8)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: SASRecConfig, generator: torch.Generator
    ) -> "SASRec":
        """Take the items."""
        return cls(Catalog.from_dataset(data, config), config, generator)

    def states(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch hist dim"]:
        """Return each item of the histories as it is after all blocks; paddings come last, so that
        no item attends to one.
        """
        length = self.config.length
        place = torch.arange(history.shape[1], device=history.device)
        place = (length - mask.sum(1, keepdim=True) + place).clamp(max=length - 1)
        items = self.embedded(history)
        if self.config.form == "official":
            items = items * math.sqrt(self.config.dim)

        x = items + take_rows(self.positions, place.flatten()).view_as(items)  # Eq. (1)
        x = dropout(x, self.config.dropout, self.training)
        for block in self.blocks:
            x = block(x)

        found: Tensor = self.norm(x)
        return found

    def encode(
        self,
        user: Int[Tensor, " batch"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch dim"]:
        """Return the last item of each history."""
        return at_last(self.states(history, mask), mask)

    def loss(self, batch: SequenceBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of what comes after each item: Eq. (8), or over all items."""
        mask = batch.target_mask
        states = self.states(batch.history, batch.history_mask)[mask]
        if self.config.loss == "softmax":
            return self.softmax(states, batch.target[mask])

        drawn = torch.randint(self.warm.count, mask.shape, device=mask.device)
        negative = self.warm.items[drawn]
        items = torch.cat([batch.history, batch.target], 1).masked_fill(~mask.repeat(1, 2), -1)
        own = (negative.unsqueeze(2) == items.unsqueeze(1)).any(2)[mask]
        right, wrong = (
            (states * take_rows(self.items, some[mask])).sum(1) for some in (batch.target, negative)
        )
        return (softplus(-right) + softplus(wrong).masked_fill(own, 0.0)).mean()

    def plan(self) -> Plan:
        """Return one objective over sequences."""
        objective = Objective(
            SequenceBatch,
            self.loss,
            name=self.config.loss,
            source=self.config.source,
            terms=SequenceBatch.num_targets,
        )
        # attention draws what it drops inside torch, a part of the batch otherwise than the whole
        alone = self.config.form == "official" and self.config.dropout > 0
        plan = Plan(
            (objective,), begin_epoch=self.begin_epoch, parallel="none" if alone else "data"
        )
        if self.config.beta2 == _BETA2:
            return plan

        def adam(parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameters, lr=rate, betas=(0.9, self.config.beta2))

        return replace(plan, optimizer=adam)
