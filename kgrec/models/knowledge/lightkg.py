"""LightKG: Efficient Knowledge-Aware Recommendations with Simplified GNN Architecture. Li et al.,
KDD 2025.

https://arxiv.org/abs/2506.10347
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus

from kgrec.batches import SampledBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.relational import RelationalGraph
from kgrec.graph.symmetric import CommonNeighbors, PairGraph
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span, Split
from kgrec.models.knowledge.lightkg_effects import LightKGEffects
from kgrec.models.sources import NegativeSource, Pairs
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class LightKGConfig:
    """Hyper-parameters of LightKG.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Layers L; 2 in the authors' settings for Last.FM.
        negatives: Items that each interaction is ranked against; 10 in the paper.
        relation_start: What the relations' numbers start from: "glorot" draws, small and of both
            signs, as in the authors' code; "ones" is LightGCN over the graph.
        dropout: Probability of dropping a value of the embeddings in a step, in [0, 1); 0.1 in the
            authors' settings.
        user_weight: Weight of the contrast of users, a sum over the pairs of a batch; 1e-8 in the
            authors' settings for Last.FM.
        item_weight: That of items used and drawn; 1e-7 there.
        temperature: Temperature of both contrasts; 0.6 in the paper.
    """

    dim: int = 64
    num_layers: int = 2
    negatives: int = 10
    relation_start: Literal["glorot", "ones"] = "ones"
    dropout: float = 0.1
    user_weight: float = 1e-8
    item_weight: float = 1e-7
    temperature: float = 0.6

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if min(self.dim, self.negatives) < 1 or self.num_layers < 0:
            raise ConfigError("LightKG needs dim and negatives of at least 1, and num_layers >= 0.")
        if min(self.user_weight, self.item_weight) < 0 or self.temperature <= 0:
            raise ConfigError(
                "LightKG needs user_weight and item_weight >= 0, and temperature > 0."
            )
        if not 0 <= self.dropout < 1 or self.relation_start not in ("glorot", "ones"):
            raise ConfigError(
                'LightKG needs dropout in [0, 1), and relation_start "glorot" or "ones".'
            )


_PUBLISHED_TRAINING = {
    "epochs": 500,
    "patience": 20,
    "batch_size": 2048,
    "learning_rate": 5e-4,
    "weight_decay": 5e-5,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset({"relation_start": "glorot"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "relation_start": ("ones", "glorot"),
    "negatives": (1, 10, 64),
    "dropout": Span(0.0, 0.3),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "weight_decay": Span(1e-7, 1e-3, log=True),
    "user_weight": Span(1e-9, 1e-5, log=True),
    "item_weight": Span(1e-9, 1e-5, log=True),
}


class LightKG(Recommender):
    """Propagate over the collaborative knowledge graph with one number for each relation and
    direction.

        x_h^(k+1) = sum over the edges (h, r, t) of s_r / sqrt(d_h d_t) x_t^(k)
        z = 1 / (L + 1) (x^(0) + ... + x^(L)),   score(u, i) = z_u . z_i
        loss = BPR + the sum over pairs of users of (1 - 1 / sqrt(d_u d_v))
               exp(cos(x_u, x_v) (1 - common(u, v) / sqrt(d_u d_v)) / tau), and the same of items
               used and items drawn

    Degrees d are of distinct neighbors; common(u, v) counts the users and items that are neighbors
    of both, and an edge between the two. Scores are linear in the embeddings.

    Differs from the paper: users of a batch are contrasted once for each of their interactions, not
    once more for each negative; dropout is on layer 0, as in the authors' code. The default starts
    the numbers at 1, which is LightGCN over the graph with merged relations added up; the preset
    "paper" draws them.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Li et al., LightKG, KDD 2025. https://arxiv.org/abs/2506.10347
    """

    norm: Tensor
    scale: Tensor
    received: Tensor
    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: LightKGConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = RelationalGraph(ckg)
        self.near = CommonNeighbors(ckg)
        csr = self.graph.csr
        scale = PairGraph(ckg).csr.degree.double().clamp(min=1).rsqrt()
        norm = scale[csr.destinations()] * scale[csr.idx.long()]
        self.register_buffer("scale", scale.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("norm", norm.to(torch.get_default_dtype()), persistent=False)
        parts = [
            glorot_uniform(count, config.dim, generator=generator)
            for count in (ckg.num_entities, ckg.num_users)
        ]
        self.nodes = nn.Parameter(torch.cat(parts))  # x^(0)
        numbers = glorot_uniform(2 * ckg.num_relations, 1, generator=generator).squeeze(1)
        if config.relation_start == "ones":
            numbers.fill_(1.0)
        self.numbers = nn.Parameter(numbers)  # s
        self.dropout = SeededDropout(config.dropout)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: LightKGConfig, generator: torch.Generator
    ) -> "LightKG":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def weights(self) -> Float[Tensor, " edges"]:
        """Return the weight of each edge."""
        return self.shard.alike(self.numbers)[0][self.graph.relation.long()] * self.norm

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return z of all nodes."""
        x: Tensor = self.dropout(self.nodes, self.shard)
        return self._layers(x) / (self.config.num_layers + 1)

    def _layers(self, x: Float[Tensor, "nodes dim"]) -> Float[Tensor, "nodes dim"]:
        total = x
        weight = self.weights()
        for _ in range(self.config.num_layers):
            x = propagate(x, self.graph.csr, weight)
            total = total + x

        return total

    def loss(self, batch: SampledBatch) -> dict[str, Float[Tensor, ""]]:
        """Return BPR over all negatives, and the contrasts."""
        z = self()
        user = batch.user + self.ckg.num_entities
        flat = batch.negative.flatten()
        u, positive = take_rows(z, torch.cat([user, batch.positive])).chunk(2)
        negative = take_rows(z, flat).view(*batch.negative.shape, -1)
        own = self.shard.total((u * positive).sum(1, keepdim=True))
        other = self.shard.total((negative @ u.unsqueeze(2)).squeeze(2))  # (batch, cand)
        apart = self.config.user_weight * self.contrast(user, user)
        apart = apart + self.config.item_weight * self.contrast(batch.positive, flat)
        return {"bpr": softplus(other - own).mean(), "contrast": apart}

    def contrast(self, a: Int[Tensor, " _"], b: Int[Tensor, " cand"]) -> Float[Tensor, ""]:
        """Return how alike the embeddings of two lists of nodes are, summed over all pairs: pairs
        with common neighbors may be more so.
        """
        distinct, times_a = torch.unique(a, return_counts=True)
        columns, times_b = torch.unique(b, return_counts=True)
        some = self.shard.share(len(distinct))
        rows = distinct[some]
        pairs = torch.outer(self.scale[rows], self.scale[columns])
        alike = 1 - self.near.between(rows, columns, pairs.dtype) * pairs
        ends = (distinct, columns)
        left, right = (unit_rows(self.shard.rows(take_rows(self.nodes, end))) for end in ends)
        logits = left[some] @ right.T * alike / self.config.temperature
        each: Tensor = (1 - pairs) * torch.exp(logits)  # (distinct a, distinct b)
        total: Tensor = times_a[some].to(each.dtype) @ each @ times_b.to(each.dtype)
        return self.shard.sum(total, len(distinct))

    def plan(self) -> Plan:
        """Return one objective on interactions with several negatives each."""
        source = Pairs(NegativeSource(self.config.negatives))
        objective = Objective(SampledBatch, self.loss, name="lightkg", source=source)
        split = Split((self.nodes,), self.graph.csr.num_edges, self.config.num_layers)
        return Plan((objective,), begin_epoch=self._reseed).by_columns(split)

    def _reseed(self, epoch: int, seed: int) -> None:
        self.dropout.reseed(derive(seed, "dropout", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes."""
        return reached(self.ckg, 2 * self.config.num_layers)

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings."""
        z = self()
        users, items = z[self.ckg.num_entities :], z[: self.ckg.num_items]
        return DotProduct(users, items, self.fold_in if self.config.num_layers else None)

    def fold_in(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch dim"]:
        """Return z of new users without an embedding, by their edges to ``history``."""
        sent = self.sent() * self.numbers[0]
        messages = sent[history] * (self.scale[history] * mask).unsqueeze(2)
        degree = mask.sum(1, keepdim=True).clamp(min=1).to(sent.dtype)
        return messages.sum(1) * degree.rsqrt()

    def sent(self) -> Float[Tensor, "nodes dim"]:
        """Return what one layer more would spread: the sum of the layers but the last, over
        L + 1.
        """
        x: Tensor = self.nodes
        total = x
        weight = self.weights()
        for _ in range(self.config.num_layers - 1):
            x = propagate(x, self.graph.csr, weight)
            total = total + x

        return total / (self.config.num_layers + 1)

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users, items and entities, propagated."""
        ranked = self.scorer()
        entities = self()[: self.ckg.num_entities]
        return {"users": ranked.users, "items": ranked.items, "entities": entities}

    def explanation_effects(self) -> LightKGEffects:
        """Return exact parts and effects: scores are linear."""
        return LightKGEffects(self)
