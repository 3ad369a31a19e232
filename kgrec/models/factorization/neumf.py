"""NeuMF, and its parts GMF and MLP: Neural Collaborative Filtering. He et al., WWW 2017.

https://arxiv.org/abs/1708.05031 (equation numbers are those of version 2)
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from kgrec.batches import PointwiseBatch, Query
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Scorer, Span, Split
from kgrec.models.sources import NegativeSource, Points
from kgrec.nn.block_scorer import fill_in_blocks
from kgrec.nn.dense import dense
from kgrec.nn.init import glorot_uniform, normal
from kgrec.nn.lookup import rows_at
from kgrec.nn.losses import l2


@dataclass(frozen=True, slots=True)
class NeuMFConfig:
    """Hyper-parameters of NeuMF and its parts.

    Attributes:
        part: "both" for NeuMF; "gmf" or "mlp" for one of its parts alone.
        dim: Embedding size of GMF; 8 to 64 in the paper.
        layers: Sizes of the tower of MLP: the pair of embeddings that goes in, then each layer;
            a tower of halves that ends at ``dim`` in the paper, with three layers.
        dropout: Probability of setting an input of a layer of the tower to zero; 0 in the paper.
        negatives: Items drawn for each interaction where the data has no labeled negatives; 4 in
            the paper.
        pretrain_epochs: Epochs in which both parts of NeuMF are trained alone before the first one
            together, Section 3.4.1; 0 starts from random values.
        alpha: Share of GMF in the fused score, Eq. (13); 0.5 in the paper.
        init_scale: Standard deviation of the embeddings at first; 0.01 in the paper.
        l2_weight: Weight of half the squared norms of the batch's rows, divided by the batch size;
            0 in the paper.
    """

    part: Literal["both", "gmf", "mlp"] = "both"
    dim: int = 64
    layers: tuple[int, ...] = (128, 64, 32)
    dropout: float = 0.0
    negatives: int = 4
    pretrain_epochs: int = 0
    alpha: float = 0.5
    init_scale: float = 0.01
    l2_weight: float = 0.0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.part not in ("both", "gmf", "mlp"):
            raise ConfigError(f'NeuMF: part {self.part!r} is not one of "both", "gmf" and "mlp".')
        if min(self.dim, self.negatives, *self.layers) < 1 or self.pretrain_epochs < 0:
            raise ConfigError(
                "NeuMF needs dim, negatives and each of layers of at least 1, and pretrain_epochs "
                "of at least 0."
            )
        if len(self.layers) < 2 or self.layers[0] % 2:
            raise ConfigError(
                f"NeuMF: layers {self.layers}: the first is the size of two embeddings, an even "
                "number, and at least one layer follows."
            )
        if not 0 <= self.dropout < 1 or not 0 <= self.alpha <= 1:
            raise ConfigError("NeuMF needs dropout in [0, 1) and alpha in [0, 1].")
        if self.init_scale <= 0 or self.l2_weight < 0:
            raise ConfigError("NeuMF needs init_scale > 0 and l2_weight >= 0.")


_PUBLISHED = {"dim": 8, "layers": (32, 16, 8), "negatives": 4, "pretrain_epochs": 20}
_PUBLISHED_TRAINING = {"epochs": 20, "patience": 0, "batch_size": 256, "learning_rate": 0.001}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.005, "epochs": 20, "patience": 3}),
}

SPACE = {
    "dim": (16, 32, 64),
    "layers": ((64, 32, 16), (128, 64, 32), (128, 128, 64, 32)),
    "dropout": Span(0.0, 0.5),
    "negatives": (1, 4, 16),
    "learning_rate": Span(2e-4, 1e-2, log=True),
    "l2_weight": Span(1e-7, 1e-2, log=True),
}
PART_PRESETS = {
    **PRESETS,
    "paper": Preset({**_PUBLISHED, "pretrain_epochs": 0}, _PUBLISHED_TRAINING),
}
GMF_SPACE = {name: SPACE[name] for name in SPACE if name not in ("layers", "dropout")}


class NeuMF(Recommender):
    """Score pairs by a weighted product of embeddings and by a network over another pair of them.

        phi_gmf = p_u * q_i                                                                  (8)
        phi_mlp = ReLU layers over p'_u || q'_i                                             (10)
        score(u, i) = alpha h_gmf . phi_gmf + (1 - alpha) h_mlp . phi_mlp + b         (12), (13)
        loss = cross-entropy of sigma(score) over labeled pairs                              (7)

    GMF alone is h_gmf . phi_gmf, MLP alone h_mlp . phi_mlp. Scores are log-odds.

    Differs from the paper: training is Adam throughout, where the paper continues with SGD after the
    parts were trained alone; both parts are trained in the same steps, on the same draws; dense
    layers start as Glorot has it, in the authors' code as LeCun has it.

    Args:
        num_users: Users.
        num_items: Items.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: He et al., NCF, WWW 2017. https://arxiv.org/abs/1708.05031
    """

    scores_read_graph = False

    def __init__(
        self, num_users: int, num_items: int, config: NeuMFConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        counts = num_users, num_items
        self.bias = nn.Parameter(torch.zeros(()))

        def table(count: int, size: int) -> nn.Parameter:
            scale = config.init_scale
            return nn.Parameter(normal(count, size, scale=scale, generator=generator))

        def head(size: int) -> nn.Parameter:
            return nn.Parameter(glorot_uniform(size, 1, generator=generator).flatten())

        if config.part != "mlp":
            self.users, self.items = (table(count, config.dim) for count in counts)  # p, q
            self.product_head = head(config.dim)  # h_gmf

        if config.part != "gmf":
            half = config.layers[0] // 2
            self.tower_users, self.tower_items = (table(count, half) for count in counts)  # p', q'
            self.tower = dense(config.layers, generator, dropout=config.dropout)
            self.tower_head = head(config.layers[-1])  # h_mlp

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: NeuMFConfig, generator: torch.Generator
    ) -> "NeuMF":
        """Take the numbers of users and items."""
        return cls(data.num_users, data.num_items, config, generator)

    def logits(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> tuple[dict[str, Float[Tensor, " batch"]], list[Tensor]]:
        """Return the score of each part without the bias, and the rows that were looked up."""
        found: dict[str, Tensor] = {}
        rows: list[Tensor] = []
        if self.config.part != "mlp":
            rows += (self._of(self.users, user), self._of(self.items, item))
            found["gmf"] = rows[0] * rows[1] @ self.product_head  # Eq. (8)

        if self.config.part != "gmf":
            pair = self._of(self.tower_users, user), self._of(self.tower_items, item)
            found["mlp"] = self.tower(torch.cat(pair, 1)) @ self.tower_head  # Eq. (10)
            rows += pair

        return found, rows

    def _of(self, table: Tensor, rows: Tensor) -> Tensor:
        return rows_at(table, rows, self.shard)

    def fused(self, parts: dict[str, Tensor]) -> Tensor:
        """Return the score of the parts together, Eqs. (12) and (13)."""
        if len(parts) == 1:
            return next(iter(parts.values())) + self.bias

        alpha = self.config.alpha
        return alpha * parts["gmf"] + (1 - alpha) * parts["mlp"] + self.bias

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of labeled pairs, Eq. (7), and L2."""
        parts, rows = self.logits(batch.user, batch.item)
        found = binary_cross_entropy_with_logits(self.fused(parts), batch.label)
        if self.config.l2_weight:
            found = found + self.config.l2_weight * l2(*rows)
        return found

    def alone(self, batch: PointwiseBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the cross-entropy of each part alone, Section 3.4.1; they share no parameter."""
        parts, _ = self.logits(batch.user, batch.item)
        return {
            name: binary_cross_entropy_with_logits(score, batch.label)
            for name, score in parts.items()
        }

    def plan(self) -> Plan:
        """Return labeled pairs; before them the parts alone, where the settings say so."""
        source = Points(negatives=NegativeSource(self.config.negatives))
        pairs = Objective(PointwiseBatch, self.loss, name="bce", source=source)
        epochs = self.config.pretrain_epochs
        names = ("users", "items", "tower_users", "tower_items")
        tables = tuple(value for name, value in self.named_parameters() if name in names)
        plan = Plan((pairs,), parallel="data", split=Split(tables))
        if self.config.part != "both" or not epochs:
            return plan

        parts = Objective(PointwiseBatch, self.alone, name="parts", source=source)
        return replace(plan, warm_up=(parts, epochs))

    def scorer(self) -> Scorer:
        """Return inner products of GMF, else what runs the tower."""
        if self.config.part != "gmf":
            return TowerScorer(self)

        users = torch.cat([self.users * self.product_head, self.bias.expand(len(self.users), 1)], 1)
        items = torch.cat([self.items, self.items.new_ones(len(self.items), 1)], 1)
        return DotProduct(users, items)


class TowerScorer:
    """Ranks by the network. The first layer is a sum of what it makes of the user and of the item,
    so that each is multiplied once and not once a pair.

    Args:
        model: The trained model.
    """

    def __init__(self, model: NeuMF) -> None:
        self._model = model
        first, *rest = (part for part in model.tower if isinstance(part, nn.Linear))
        half = model.tower_users.shape[1]
        self._users = model.tower_users @ first.weight[:, :half].T
        self._items = model.tower_items @ first.weight[:, half:].T + first.bias
        self._rest = rest

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of candidates, or of the whole catalog."""
        users = query.user.clamp(min=0)
        if items is not None:
            return self._scores(users, self._items[items], items)

        def block(rows: slice, columns: slice) -> Tensor:
            return self._scores(users[rows], self._items[columns], columns)

        width = sum(self._model.config.layers[1:])
        scores = self._items.new_empty(len(users), len(self._items))
        return fill_in_blocks(scores, block, width)

    def _scores(
        self, users: Tensor, hidden: Tensor, items: Int[Tensor, "batch cand"] | slice
    ) -> Tensor:
        model = self._model
        values = relu(self._users[users].unsqueeze(1) + hidden)
        for layer in self._rest:
            values = relu(layer(values))

        parts = {"mlp": values @ model.tower_head}
        if model.config.part == "both":
            left = (model.users[users] * model.product_head).unsqueeze(1)
            parts["gmf"] = (left * model.items[items]).sum(-1)
        return model.fused(parts)
