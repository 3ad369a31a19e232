"""KGUF: Simple Knowledge-aware Graph-based Recommender with User-based Semantic Features Filtering.
Bufi et al., IRonGraphs at ECIR 2024.

https://arxiv.org/abs/2403.20095
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from kgrec.batches import PairwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.effects import EditedGraph
from kgrec.models.knowledge.base import interactions_alone, interactions_by_user, own_vectors
from kgrec.models.knowledge.kguf_trees import chosen_features, features_of_items
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import l2
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class KGUFConfig:
    """Hyper-parameters of KGUF.

    Attributes:
        dim: Embedding size d; 64 in the authors' settings.
        num_layers: Layers L; 3 in the authors' settings.
        alpha: Share of the features in what is gathered, in [0, 1]; 0.5 in the authors' code.
        gathered_by: Who gathers features: "users", those of the items they used, as in the authors'
            code; or "items", their own, so that items without interactions are known by theirs.
        negatives: Items that a user's tree tells each used item from; 1 in the authors' settings.
        depth: Most tests on the way to a leaf of a tree; 0 for any number, as in their settings.
        l2_weight: Weight of half the squares of the rows of a batch and of the features of its
            items, divided by its size.
    """

    dim: int = 64
    num_layers: int = 3
    alpha: float = 0.5
    gathered_by: Literal["items", "users"] = "items"
    negatives: int = 1
    depth: int = 0
    l2_weight: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if (
            min(self.dim, self.num_layers, self.negatives) < 1
            or min(self.depth, self.l2_weight) < 0
        ):
            raise ConfigError(
                "KGUF needs dim, num_layers and negatives of at least 1, and depth and l2_weight "
                ">= 0."
            )
        if not 0 <= self.alpha <= 1 or self.gathered_by not in ("items", "users"):
            raise ConfigError('KGUF needs alpha in [0, 1], and gathered_by "items" or "users".')


_PUBLISHED_TRAINING = {"epochs": 100, "patience": 5, "batch_size": 2048, "learning_rate": 5e-4}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset({"gathered_by": "users"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.02, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "alpha": Span(0.1, 0.9),
    "gathered_by": ("items", "users"),
    "depth": (0, 3, 10),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "l2_weight": Span(1e-6, 1e-2, log=True),
}


class KGUF(Recommender):
    """Propagate over interactions, and let what is gathered hold the features of items that
    decision trees found to matter to users.

        F* = features (relation, entity) that a user's tree tests on the way to the user's items
        f_i = mean of e_f over the features f of item i in F*
        u^(l) = sum over i of u of (1 - alpha) i^(l-1) / sqrt(|u| |i|) + alpha f_i
        i^(l) = sum over u of i of u^(l-1) / sqrt(|u| |i|)
        z = sum over l of x^(l) / (l + 1),   score(u, i) = z_u . z_i

    The equations are those of the authors' code, ``gathered_by="users"`` (preset "paper"). With
    "items", the default and an addition, the items gather features:

        i^(l) = sum over u of i of (1 - alpha) u^(l-1) / sqrt(|u| |i|) + alpha f_i

    Differs from the paper: of features that tell as much, a tree tests the first; BPR is a mean
    over the batch, and L2 squared, on the rows of the batch; one learning rate for nodes and
    features. Where items gather features, those without interactions
    have no vector of their own.

    Args:
        ckg: Graph with triples; features are those that items head.
        config: Hyper-parameters.
        generator: Draws what the trees tell used items from, and the initial parameters.
        chosen: The features F*; None finds them.

    Source: Bufi et al., KGUF, 2024. https://arxiv.org/abs/2403.20095
    """

    chosen: Tensor
    own: Tensor
    used: Tensor
    used_ptr: Tensor
    feature: Tensor
    feature_ptr: Tensor

    folds_in = True

    def __init__(
        self,
        ckg: CollaborativeKG,
        config: KGUFConfig,
        generator: torch.Generator,
        chosen: Int[Tensor, " _"] | None = None,
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.graph = PairGraph(interactions_alone(ckg))
        if chosen is None:
            found = chosen_features(ckg, config.negatives, config.depth, generator)
            chosen = torch.from_numpy(found)

        item, feature = features_of_items(ckg)
        names = chosen.cpu().numpy()
        kept = np.isin(feature, names)
        ptr = np.searchsorted(item[kept], np.arange(ckg.num_items))
        used_ptr, used = interactions_by_user(ckg)
        own = torch.ones(ckg.num_items + ckg.num_users, 1)
        if config.gathered_by == "items":  # the others are what is said of them
            own[: ckg.num_items] = own_vectors(ckg)[: ckg.num_items]

        self.register_buffer("chosen", chosen)
        for name, values in {
            "feature": torch.from_numpy(np.searchsorted(names, feature[kept])),
            "feature_ptr": torch.from_numpy(ptr),
            "own": own,
            "used": used,
            "used_ptr": used_ptr[:-1],
        }.items():
            self.register_buffer(name, values, persistent=False)

        sizes = (ckg.num_items, ckg.num_users)
        parts = [glorot_uniform(size, config.dim, generator=generator) for size in sizes]
        self.nodes = nn.Parameter(torch.cat(parts))  # x^(0)
        self.features = nn.Parameter(glorot_uniform(len(names), config.dim, generator=generator))
        self.register_load_state_dict_pre_hook(_take_known)  # type: ignore[no-untyped-call]

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGUFConfig, generator: torch.Generator) -> "KGUF":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def described(self) -> Float[Tensor, "items dim"]:
        """Return f of all items; 0 for one without a feature in F*."""
        if not len(self.features):
            return self.nodes.new_zeros(self.ckg.num_items, self.config.dim)
        return embedding_bag(self.feature, self.features, self.feature_ptr, mode="mean")

    def forward(self) -> Float[Tensor, "nodes dim"]:
        """Return z of items, then users."""
        config, ckg = self.config, self.ckg
        f = self.described()
        share = torch.ones(len(self.nodes), 1, dtype=f.dtype, device=f.device)
        if config.gathered_by == "items":
            share[: ckg.num_items] = 1 - config.alpha
            constant = torch.cat([f, f.new_zeros(ckg.num_users, config.dim)])
        else:
            share[ckg.num_items :] = 1 - config.alpha
            of_users = embedding_bag(self.used, f, self.used_ptr, mode="sum")
            constant = torch.cat([torch.zeros_like(f), of_users])

        x: Tensor = self.nodes * self.own
        total = x
        weight = self.graph.weight
        for layer in range(config.num_layers):
            x = share * propagate(x, self.graph.csr, weight, weight) + config.alpha * constant
            total = total + x / (layer + 2)

        return total

    def loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR and L2."""
        nodes = torch.cat([batch.user + self.ckg.num_items, batch.positive, batch.negative])
        z = self()
        f = take_rows(self.described(), batch.positive)
        squares = l2(*take_rows(self.nodes, nodes).chunk(3), f)
        return bpr_rows(z, z, *nodes.chunk(3)) + self.config.l2_weight * squares

    def plan(self) -> Plan:
        """Return one objective on interactions."""
        return Plan((Objective(PairwiseBatch, self.loss, name="bpr"),))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items with interactions; where items gather features, those that
        have one in common with these as well.
        """
        known = with_interactions(data)
        if self.config.gathered_by == "users":
            return known

        ptr = self.feature_ptr.cpu().numpy()
        feature = self.feature.cpu().numpy()
        count = np.diff(np.append(ptr, len(feature)))
        item = np.repeat(np.arange(len(ptr)), count)
        trained = np.isin(feature, feature[known.items[item]])
        items = known.items.copy()
        items[item[trained]] = True
        return Known(known.users, items)

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings."""
        z = self()
        return DotProduct(z[self.ckg.num_items :], z[: self.ckg.num_items])

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by."""
        ranked = self.scorer()
        return {"users": ranked.users, "items": ranked.items}

    def explanation_effects(self) -> EditedGraph:
        """Return effects on edited graphs, F* as it is."""

        def built(ckg: CollaborativeKG) -> Recommender:
            other = type(self)(ckg, self.config, torch.Generator(), self.chosen)
            other.own.copy_(self.own)  # vectors that were trained stay
            return other

        return EditedGraph(self, self.ckg, built)


def _take_known(model: KGUF, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Of a state with other features, take those that the model has."""
    stored, own = state.get(f"{prefix}chosen"), model.chosen
    if stored is None or torch.equal(stored.to(own), own):
        return

    table = model.features.detach().clone()
    both = torch.isin(own, stored.to(own))
    at = torch.searchsorted(stored.to(own), own[both])
    table[both] = state[f"{prefix}features"].to(table)[at]
    state |= {f"{prefix}chosen": own, f"{prefix}features": table}
