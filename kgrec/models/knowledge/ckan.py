"""CKAN: Collaborative Knowledge-aware Attentive Network for Recommender Systems. Wang, Lin, Tan,
Chen and Liu, SIGIR 2020.

https://doi.org/10.1145/3397271.3401141
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.views import sample_evenly
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.knowledge.base import (
    SampledFacts,
    check_memory,
    interactions_by_user,
    keep_samples,
)
from kgrec.models.knowledge.ckan_effects import CKANEffects
from kgrec.models.sources import NegativeSource, Points
from kgrec.nn.init import glorot_uniform
from kgrec.ops.rows import take_rows

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class CKANConfig:
    """Hyper-parameters of CKAN.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Layers L of triples; 3 in the paper for music, 2 for books, 1 for movies and
            restaurants.
        user_size: Triples of a user in a layer; 8 in the paper for music, 16 for books and
            restaurants, 32 for movies.
        item_size: Triples of an item in a layer; 64 in the paper.
        aggregator: "concat", the paper's best, "sum", or "pool", the largest of each value.
        negatives: Items drawn for each interaction where the data has no labeled negatives; 1 in
            the paper.
    """

    dim: int = 32
    num_layers: int = 1
    user_size: int = 32
    item_size: int = 32
    aggregator: Literal["concat", "sum", "pool"] = "concat"
    negatives: int = 4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        sizes = (self.dim, self.num_layers, self.user_size, self.item_size, self.negatives)
        if min(sizes) < 1 or self.aggregator not in ("concat", "sum", "pool"):
            raise ConfigError(
                "CKAN needs dim, num_layers, user_size, item_size and negatives of at least 1, "
                'and aggregator "concat", "sum" or "pool".'
            )


_PUBLISHED = {"dim": 64, "num_layers": 1, "user_size": 32, "item_size": 64, "negatives": 1}
_PUBLISHED_TRAINING = {
    "epochs": 20,
    "patience": 0,
    "batch_size": 2048,
    "learning_rate": 0.002,
    "weight_decay": 1e-5,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "weight_decay": 1e-5, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "user_size": (8, 16, 32, 64),
    "aggregator": ("concat", "sum", "pool"),
    "negatives": (1, 4, 16),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "weight_decay": Span(1e-7, 1e-4, log=True),
}


class CKAN(Recommender):
    """Describe users by the triples around what they used, and items by the triples around what
    their users used.

        E_u = items of u,   E_v = items of the users of v;   S_k: triples that leave the tails
        of S_(k-1), those of S_1 leave E                                                    (1)-(5)
        pi_i = softmax over (h_i, r_i, t_i) of S_k of MLP(h_i || r_i),   e_k = sum of pi_i t_i (6)-(8)
        e_u = e_1 || ... || e_L || mean of the heads of S_1,   score(u, v) = e_u . e_v     (9)-(13)

    An item has its own vector where users have the mean of the heads; aggregators "sum" and "pool"
    take both. The network is d, d, 1 wide, with ReLU and a sigmoid at the end, without biases. Sets
    are drawn once and kept with the weights.

    Differs from the paper: sets are drawn from even parts (``sample_evenly``); of the items that
    an item's users used, as many are drawn as ``item_size``, one that several of them used more
    often, and triples leave these; an item that no user has starts from itself; what has no triples
    gathers 0; negatives are drawn again every epoch, unless the data has labeled ones.

    Args:
        ckg: Graph with triples; they are walked both ways.
        config: Hyper-parameters.
        generator: Draws the sets and the initial parameters.

    Source: Wang et al., CKAN, SIGIR 2020. https://doi.org/10.1145/3397271.3401141
    """

    seeds: Tensor
    user_sets: Tensor
    item_sets: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: CKANConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        d = config.dim
        self.facts = SampledFacts(ckg)
        ptr, items = interactions_by_user(ckg)
        sizes = (config.user_size * ckg.num_users, config.item_size * ckg.num_items)
        what = f"{config.num_layers} layers of {config.user_size} and {config.item_size} triples"
        values = sum(sizes) * config.num_layers
        check_memory(what, values, items, "Take a smaller num_layers, user_size or item_size.")
        user_sets = self._drawn(items, ptr, config.user_size, generator)
        seeds = _seeds(ptr, items, ckg, config.item_size, generator)
        item_sets = self._drawn(*_sources(seeds, items), config.item_size, generator)
        size = (self.facts.num_edges, len(items))
        keep_samples(self, size, user_sets=user_sets, seeds=seeds, item_sets=item_sets)
        self.entities = nn.Parameter(glorot_uniform(ckg.num_entities, d, generator=generator))
        relations = glorot_uniform(self.facts.num_relations, d, generator=generator)
        self.relations = nn.Parameter(relations)
        widths = ((2 * d, d), (d, d), (d, 1))
        weights = [glorot_uniform(*width, generator=generator) for width in widths]
        self.weights = nn.ParameterList(weights)

    @classmethod
    def from_dataset(cls, data: Dataset, config: CKANConfig, generator: torch.Generator) -> "CKAN":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def _drawn(
        self, nodes: Tensor, ptr: Tensor, size: int, generator: torch.Generator
    ) -> Int[Tensor, "_ layers hist"]:
        """Return the edges of each set's layers."""
        sets = [self.facts.draw(nodes, ptr, size, generator)]
        for _ in range(self.config.num_layers - 1):
            sets.append(self.facts.draw(*self.facts.tails_of(sets[-1]), size, generator))

        return torch.stack(sets, 1)

    def shares(self, edges: Int[Tensor, "batch layers hist"]) -> Float[Tensor, "batch layers hist"]:
        """Return how much each triple of a layer counts, Eqs. (6)-(7); 0 for what is not there."""
        distinct, at = torch.unique(edges, return_inverse=True)
        heads = take_rows(self.entities, self.facts.head[distinct])
        x = torch.cat([heads, take_rows(self.relations, self.facts.relation[distinct])], 1)
        for weight in self.weights[:-1]:
            x = torch.relu(x @ weight)

        logit = torch.sigmoid(x @ self.weights[-1]).squeeze(1)[at]
        there = self.facts.there(edges)
        found: Tensor = logit.masked_fill(~there, -1e9).softmax(2) * there
        return found

    def gathered(
        self,
        edges: Int[Tensor, "batch layers hist"],
        shares: Float[Tensor, "batch layers hist"],
    ) -> Float[Tensor, "batch layers dim"]:
        """Return what each layer gives, Eq. (8)."""
        tails = take_rows(self.entities, self.facts.tail[edges].flatten())
        return (shares.unsqueeze(2) @ tails.view(*edges.shape, -1)).squeeze(2)

    def mean_head(
        self, edges: Int[Tensor, "batch hist"], there: Float[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch 1 dim"]:
        """Return the mean of the heads of a layer, those there by a number."""
        heads = take_rows(self.entities, self.facts.head[edges].flatten())
        total = there.unsqueeze(1) @ heads.view(*edges.shape, -1)
        found: Tensor = total / there.sum(1).clamp(min=1e-12).view(-1, 1, 1)
        return found

    def combined(self, parts: list[Float[Tensor, "batch _ dim"]]) -> Float[Tensor, "batch dout"]:
        """Return one vector of several, Eqs. (9)-(11)."""
        every = torch.cat(parts, 1)
        if self.config.aggregator == "concat":
            return every.flatten(1)
        if self.config.aggregator == "sum":
            return every.sum(1)
        return every.amax(1)

    def users(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, "batch dout"]:
        """Return the vectors of users."""
        edges = self.user_sets[rows]
        there = self.facts.there(edges[:, 0]).to(self.entities.dtype)
        layers = self.gathered(edges, self.shares(edges))
        return self.combined([self.mean_head(edges[:, 0], there), layers])

    def items(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, "batch dout"]:
        """Return the vectors of items."""
        edges = self.item_sets[rows]
        parts = [take_rows(self.entities, rows).unsqueeze(1)]
        if self.config.aggregator != "concat":
            there = self.facts.there(edges[:, 0]).to(self.entities.dtype)
            parts.append(self.mean_head(edges[:, 0], there))

        return self.combined([*parts, self.gathered(edges, self.shares(edges))])

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of labeled pairs."""
        users, of_user = torch.unique(batch.user, return_inverse=True)
        items, of_item = torch.unique(batch.item, return_inverse=True)
        u = take_rows(self.users(users), of_user)
        v = take_rows(self.items(items), of_item)
        return binary_cross_entropy_with_logits((u * v).sum(1), batch.label)

    def plan(self) -> Plan:
        """Return one objective on labeled pairs."""
        points = Points(negatives=NegativeSource(self.config.negatives))
        return Plan((Objective(PointwiseBatch, self.loss, name="bce", source=points),))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with interactions, and the items that the graph tells something about."""
        return Known(
            with_interactions(data).users, reached(self.ckg, 2 * self.config.num_layers).items
        )

    def scorer(self) -> DotProduct:
        """Return the vectors of users and items."""
        users = torch.arange(self.ckg.num_users, device=self.entities.device)
        items = torch.arange(self.ckg.num_items, device=self.entities.device)
        return DotProduct(
            torch.cat([self.users(some) for some in torch.split(users, _ROWS_AT_ONCE)]),
            torch.cat([self.items(some) for some in torch.split(items, _ROWS_AT_ONCE)]),
        )

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by."""
        ranked = self.scorer()
        return {"users": ranked.users, "items": ranked.items}

    def explanation_effects(self) -> CKANEffects:
        """Return effects of likes and facts, measured: sets without them."""
        return CKANEffects(self)


def _seeds(
    ptr: Tensor, items: Tensor, ckg: CollaborativeKG, size: int, generator: torch.Generator
) -> Int[Tensor, "items hist"]:
    """Return, per item, interactions of its users, as positions in ``items``; one past the last
    where no user has it.
    """
    users = torch.repeat_interleave(torch.arange(ckg.num_users), ptr.diff())
    by_item = torch.argsort(items, stable=True)
    starts = torch.zeros(ckg.num_items + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(items, minlength=ckg.num_items).cumsum(0)
    seeds, there = sample_evenly(ptr, users[by_item], starts, size, generator)
    return seeds.where(there.unsqueeze(1), len(items))


def _sources(seeds: Tensor, items: Tensor) -> tuple[Int[Tensor, " _"], Int[Tensor, " _"]]:
    """Return the distinct items that the set of each item starts from, and where each one's begin;
    an item without seeds starts from itself.
    """
    count = len(seeds)
    own = torch.arange(count).unsqueeze(1)
    found = torch.cat([items, items.new_zeros(1)])[seeds].where(seeds < len(items), own)
    key = torch.unique(own * count + found)
    return key % max(1, count), torch.searchsorted(key, torch.arange(count + 1) * count)
