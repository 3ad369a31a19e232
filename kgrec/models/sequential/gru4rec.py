"""GRU4Rec: Session-Based Recommendations with Recurrent Neural Networks. Hidasi et al., ICLR 2016.

https://arxiv.org/abs/1511.06939
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import dropout, softplus

from kgrec.batches import SequenceBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Objective, Plan, Preset, Span, Split
from kgrec.models.sequential.base import Catalog, SequenceConfig, SequenceRecommender, at_last
from kgrec.nn.dense import linear, start_from
from kgrec.nn.init import normal
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class GRU4RecConfig(SequenceConfig):
    """Hyper-parameters of GRU4Rec, beside those of ``SequenceConfig``; the paper reads items as
    one-hot vectors, and drops out half of the hidden state.

    Attributes:
        hidden: Size of the hidden state; 100 in the paper.
        num_layers: Layers of the GRU; 1 in the paper.
        tied: Whether histories are compared with the item vectors that are read, by one more
            layer; else with a second table, which has a bias for each item, as in the paper.
        loss: "top1" (the paper's best) and "bpr" against the items that the other histories of the
            batch have at the same step; "softmax" against all items.
    """

    hidden: int = 128
    num_layers: int = 1
    tied: bool = True
    loss: Literal["softmax", "top1", "bpr"] = "softmax"

    def __post_init__(self) -> None:
        """Reject values out of range."""
        self.check("GRU4Rec")
        if self.hidden < 1 or self.num_layers < 1:
            raise ConfigError("GRU4Rec needs hidden and num_layers of at least 1.")
        if self.loss not in ("softmax", "top1", "bpr"):
            raise ConfigError('GRU4Rec needs loss "softmax", "top1" or "bpr".')


PRESETS = {
    "default": Preset(train={"learning_rate": 0.003, "batch_size": 64, "epochs": 200}),
    "paper": Preset(
        {"dim": 100, "hidden": 100, "tied": False, "dropout": 0.5, "loss": "top1"},
        {
            "optimizer": "adagrad",
            "learning_rate": 0.01,
            "batch_size": 50,
            "epochs": 10,
            "patience": 0,
        },
    ),
    "fast": Preset(train={"learning_rate": 0.005, "batch_size": 64, "epochs": 30, "patience": 3}),
}

SPACE = {
    "dim": (32, 64, 128),
    "hidden": (64, 128, 256),
    "length": (50, 100, 200),
    "dropout": Span(0.0, 0.6),
    "learning_rate": Span(5e-4, 1e-2, log=True),
}


class GRU4Rec(SequenceRecommender):
    """Read a history item by item into a hidden state, and compare it with all items.

        h_t = (1 - z_t) h_(t-1) + z_t h'_t                                                   (1)
        z_t = sigma(W_z x_t + U_z h_(t-1))                                                   (2)
        h'_t = tanh(W x_t + U (r_t h_(t-1)))                                                 (3)
        r_t = sigma(W_r x_t + U_r h_(t-1))                                                   (4)
        r_i = w_i . h_t + b_i
        bpr = - mean over j of log sigma(r_i - r_j)                                Section 3.1.3
        top1 = mean over j of sigma(r_j - r_i) + sigma(r_j^2)                      Section 3.1.3

    Differs from the paper: items are read by vectors, not one-hot; histories of a batch begin
    together, where the paper takes the next session when one ends; gradients go back through
    the whole history; the reset gate comes after the product with U, as in cuDNN; scores have no
    activation; Adagrad has no momentum.

    Args:
        catalog: The items.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Hidasi et al., GRU4Rec, ICLR 2016. https://arxiv.org/abs/1511.06939
    """

    def __init__(self, catalog: Catalog, config: GRU4RecConfig, generator: torch.Generator) -> None:
        super().__init__(catalog, config, generator)
        self.gru = nn.GRU(config.dim, config.hidden, config.num_layers, batch_first=True)
        start_from(self.gru, generator)
        if config.tied:
            self.project = linear(config.hidden, config.dim, generator)
        else:
            size = catalog.num_items, config.hidden
            table = normal(*size, scale=config.init_scale, generator=generator)
            self.output = nn.Parameter(torch.cat([table, table.new_zeros(size[0], 1)], 1))  # w, b

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: GRU4RecConfig, generator: torch.Generator
    ) -> "GRU4Rec":
        """Take the items."""
        return cls(Catalog.from_dataset(data, config), config, generator)

    def outputs(self) -> Float[Tensor, "items _"]:
        """Return the item vectors, or those of the second table with the bias behind."""
        return self.items if self.config.tied else self.output

    def states(self, history: Int[Tensor, "batch hist"]) -> Float[Tensor, "batch hist _"]:
        """Return what is compared with items after each item of the histories."""
        hidden, _ = self.gru(self.embedded(history))  # Eqs. (1) to (4)
        hidden = dropout(hidden, self.config.dropout, self.training)
        if self.config.tied:
            return self.project(hidden)  # type: ignore[no-any-return]
        return torch.cat([hidden, torch.ones_like(hidden[..., :1])], -1)

    def encode(
        self,
        user: Int[Tensor, " batch"],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch _"]:
        """Return what is compared with items after each history."""
        return at_last(self.states(history), mask)

    def loss(self, batch: SequenceBatch) -> Float[Tensor, ""]:
        """Return the loss of what comes after each item."""
        mask = batch.target_mask
        states = self.states(batch.history)
        if self.config.loss == "softmax":
            return self.softmax(states[mask], batch.target[mask])

        target = batch.target.T  # (hist, batch)
        items = take_rows(self.outputs(), target.flatten()).view(*target.shape, -1)
        score = states.transpose(0, 1) @ items.transpose(1, 2)  # (hist, batch, batch)
        there = mask.T.unsqueeze(2) & mask.T.unsqueeze(1)
        others = there & (target.unsqueeze(2) != target.unsqueeze(1))
        own = score.diagonal(dim1=1, dim2=2).unsqueeze(2)
        if self.config.loss == "bpr":
            each = softplus(score - own)
        else:
            each = torch.sigmoid(score - own) + torch.sigmoid(score.square())

        count = others.sum(2)
        rows = each.masked_fill(~others, 0.0).sum(2) / count.clamp(min=1)
        return rows.sum() / (count > 0).sum().clamp(min=1)

    def plan(self) -> Plan:
        """Return one objective over sequences."""
        config = self.config
        objective = Objective(
            SequenceBatch,
            self.loss,
            name=config.loss,
            source=config.source,
            terms=SequenceBatch.num_targets,
        )
        if config.loss != "softmax":  # histories of a batch stand against each other
            return Plan((objective,), begin_epoch=self.begin_epoch)
        tables = () if config.tied or self.begins_at else (self.items,)
        split = Split(tables)
        return Plan((objective,), begin_epoch=self.begin_epoch, parallel="data", split=split)
