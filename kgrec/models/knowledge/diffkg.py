"""DiffKG: Knowledge Graph Diffusion Model for Recommendation. Jiang, Yang, Xia and Huang, WSDM 2024.

https://arxiv.org/abs/2312.16890
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, normalize

from kgrec.batches import PairwiseBatch, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.relational import RelationalGraph
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.effects import EditedGraph
from kgrec.models.knowledge.base import interactions_alone, keep_samples, own_vectors
from kgrec.models.knowledge.diffkg_denoiser import KnowledgeDenoiser, edge_keys
from kgrec.models.sources import Triples
from kgrec.nn.contrast import info_nce
from kgrec.nn.diffusion import RowDiffusion
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import l2
from kgrec.ops.pairwise import bpr_rows
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import pair_products, take_rows
from kgrec.ops.softmax import edge_softmax
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class DiffKGConfig:
    """Hyper-parameters of DiffKG.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Layers over interactions; 2 in the paper.
        kg_layers: Layers over triples; 2 in the authors' settings for Last-FM.
        ranked_by: The graph whose vectors rank, "whole" or "denoised"; the other one is contrasted
            with it. "denoised" in the authors' settings.
        view: "denoised" draws the other graph from the diffusion; "whole" takes all triples again
            under another dropout, as the code did that the paper's figures come from.
        top: Entities of an item that the diffusion keeps; 1 in the authors' settings.
        keep: Share of these edges that an epoch has, in (0, 1]; 0.1 in the authors' settings.
        residual: Weight of the layers before in the sum of layers over triples; 0 in the authors'
            settings for Last-FM.
        dropout: Probability of dropping a value of an entity in a layer; 0.2 in these.
        contrast_weight: Weight of the contrast; 0.1 in the authors' code.
        temperature: Its temperature; 0.1 there.
        collaborative: Share of the collaborative loss in that of the diffusion; 0.01 for Last-FM.
        hidden: Width of the denoising network; 1,000 in the paper.
        steps: Steps of noise T; 5 in the paper.
        l2_weight: Weight of half the squares of the rows of a batch, divided by its size.
    """

    dim: int = 64
    num_layers: int = 2
    kg_layers: int = 1
    ranked_by: Literal["whole", "denoised"] = "whole"
    view: Literal["denoised", "whole"] = "denoised"
    top: int = 1
    keep: float = 1.0
    residual: float = 0.5
    dropout: float = 0.1
    contrast_weight: float = 0.1
    temperature: float = 0.2
    collaborative: float = 0.1
    hidden: int = 200
    steps: int = 5
    l2_weight: float = 1e-4

    def __post_init__(self) -> None:
        """Reject values out of range."""
        sizes = self.dim, self.num_layers, self.kg_layers, self.top, self.hidden, self.steps
        if min(sizes) < 1 or self.temperature <= 0:
            raise ConfigError(
                "DiffKG needs dim, num_layers, kg_layers, top, hidden and steps of at least 1, and "
                "temperature > 0."
            )
        if min(self.residual, self.contrast_weight, self.l2_weight) < 0 or not (
            0 < self.keep <= 1 and 0 <= self.dropout < 1 and 0 <= self.collaborative <= 1
        ):
            raise ConfigError(
                "DiffKG needs residual, contrast_weight and l2_weight >= 0, keep in (0, 1], dropout "
                "in [0, 1) and collaborative in [0, 1]."
            )
        if not {self.ranked_by, self.view} <= {"whole", "denoised"}:
            raise ConfigError('DiffKG needs ranked_by and view "whole" or "denoised".')


_PUBLISHED = {
    "kg_layers": 2,
    "ranked_by": "denoised",
    "keep": 0.1,
    "residual": 0.0,
    "dropout": 0.2,
    "temperature": 0.1,
    "collaborative": 0.01,
    "hidden": 1000,
    "l2_weight": 1e-5,
}
_PUBLISHED_TRAINING = {"epochs": 25, "patience": 0, "batch_size": 1024, "learning_rate": 1e-3}
_AS_RELEASED = {**_PUBLISHED, "ranked_by": "whole", "view": "whole"}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "official": Preset(_AS_RELEASED, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "kg_layers": (1, 2),
    "top": (1, 3, 10),
    "residual": (0.0, 0.5, 1.0),
    "contrast_weight": Span(1e-3, 1.0, log=True),
    "temperature": Span(0.1, 1.0),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "l2_weight": Span(1e-6, 1e-2, log=True),
}


class DiffKG(Recommender):
    """Gather entities by attention to relations, propagate over interactions, and recognize nodes
    across the graph of all triples and one that a diffusion denoised.

        share(h, r, t) = softmax over the edges of h of LeakyReLU(r . W [e_h || e_t])
        e_h <- normalized(dropout(sum of share(h, r, t) e_t + e_h))
        Z = X + A X + ... + A^L X,   X: items as gathered, and users,   score(u, i) = z_u . z_i
        loss = BPR + contrast of the two graphs' z + L2
        diffusion: rows x_0 of the entities of items;   loss = (1 - w) (error of x_0) + w |sum over
                   predicted items of the vectors of their users - e_i|^2

    At the start of an epoch an item keeps the ``top`` entities that the diffusion restores, where
    there is such an edge; both directions.

    Differs from the paper: the denoised graph is that of the diffusion as the epoch before left it,
    and all triples in the first; all triples of an entity are gathered, where the authors' code
    draws 10; rows of items alone are diffused; no node is its own neighbor among interactions; items
    without interactions are what they gather, without a vector of their own; L2 on the rows of the
    batch. In the code that the paper's figures come from the denoised graph did
    not reach the model: preset "official".

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Jiang et al., DiffKG, WSDM 2024. https://arxiv.org/abs/2312.16890
    """

    kept: Tensor
    own: Tensor

    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: DiffKGConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        d = config.dim
        self.facts = RelationalGraph(replace(ckg.take(ckg.fact >= 0), num_users=0))
        self.graph = PairGraph(interactions_alone(ckg))
        edges = self.facts.csr.num_edges
        keep_samples(self, (edges,), kept=torch.ones(edges, dtype=torch.bool))
        self.register_buffer("own", own_vectors(ckg), persistent=False)
        sizes = ckg.num_entities, ckg.num_users, self.facts.num_relations, 2 * d
        tables = (glorot_uniform(size, d, generator=generator) for size in sizes)
        self.entities, self.users, self.relations, self.weight = map(nn.Parameter, tables)
        self.dropout = SeededDropout(config.dropout)
        network = RowDiffusion(ckg.num_entities, config.hidden, config.steps, generator)
        self.denoiser = KnowledgeDenoiser(self.facts, network, ckg.num_items, config.collaborative)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: DiffKGConfig, generator: torch.Generator
    ) -> "DiffKG":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def gathered(self, kept: Bool[Tensor, " edges"] | None = None) -> Float[Tensor, "entities dim"]:
        """Return entities after the layers over triples, some or all of the edges there."""
        e: Tensor = self.entities * self.own
        total = e
        for _ in range(self.config.kg_layers):
            e = normalize(self.dropout(self.neighbors(e, kept) + e))
            total = self.config.residual * total + e

        return total

    def neighbors(
        self, e: Float[Tensor, "entities dim"], kept: Bool[Tensor, " edges"] | None
    ) -> Float[Tensor, "entities dim"]:
        """Return what entities gather from their neighbors."""
        csr, relation = self.facts.csr, self.facts.relation.long()
        of_head, of_tail = (self.relations @ part.T for part in self.weight.chunk(2))
        logit = pair_products(e, of_head, csr.destinations(), relation)
        logit = leaky_relu(logit + pair_products(e, of_tail, csr.idx.long(), relation), 0.2)
        if kept is None:
            return propagate(e, csr, edge_softmax(logit, csr))

        share = edge_softmax(logit.masked_fill(~kept, -1e9), csr)
        return propagate(e, csr, share * kept)

    def forward(self, kept: Bool[Tensor, " edges"] | None = None) -> Float[Tensor, "nodes dim"]:
        """Return z of items, then users."""
        x = torch.cat([self.gathered(kept)[: self.ckg.num_items], self.users])
        total = x
        weight = self.graph.weight
        for _ in range(self.config.num_layers):
            x = propagate(x, self.graph.csr, weight, weight)
            total = total + x

        return total

    def _graphs(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the edges of the graph that ranks, and of the other; None: all."""
        denoised = self.kept if self.config.view == "denoised" else None
        if self.config.ranked_by == "whole":
            return None, denoised
        return denoised, None

    def loss(self, batch: PairwiseBatch) -> dict[str, Float[Tensor, ""]]:
        """Return BPR with L2, and the contrast."""
        config, count = self.config, self.ckg.num_items
        z, other = (self(kept) for kept in self._graphs())
        nodes = torch.cat([batch.user + count, batch.positive, batch.negative])
        rows = (
            (batch.user, self.users),
            (batch.positive, self.entities),
            (batch.negative, self.entities),
        )
        squares = l2(*(take_rows(table, row) for row, table in rows))
        users = info_nce(
            take_rows(other, batch.user + count), z[count:], config.temperature, batch.user
        )
        items = info_nce(
            take_rows(other, batch.positive), z[:count], config.temperature, batch.positive
        )
        ranking = bpr_rows(z, z, *nodes.chunk(3)) + config.l2_weight * squares
        return {"bpr": ranking, "contrast": config.contrast_weight * (users + items)}

    def diffusion_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return the loss of the diffusion on the rows of some items."""
        x = torch.cat([(self.entities * self.own)[: self.ckg.num_items], self.users]).detach()
        ones = torch.ones_like(self.graph.weight)
        of_users = propagate(x, self.graph.csr, ones, ones)[: self.ckg.num_items]
        return self.denoiser.loss(batch.head, x[: self.ckg.num_items], of_users)

    def plan(self) -> Plan:
        """Return epochs of interactions and of the diffusion in turn; interactions alone where it
        has no use.
        """
        first = Objective(PairwiseBatch, self.loss, name="rank")
        items = torch.nonzero(self.facts.csr.degree[: self.ckg.num_items]).squeeze(1)
        if not len(items) or self.config.view == "whole":
            return Plan((first,), begin_epoch=self._begin)

        nothing = torch.zeros_like(items)
        source = Triples(items, nothing, nothing, num_tails=self.ckg.num_entities)
        what = (TripleBatch, self.diffusion_loss, tuple(self.denoiser.parameters()))
        second = Objective(*what, name="diffusion", source=source)
        return Plan((first, second), begin_epoch=self._begin)

    @torch.no_grad()
    def _begin(self, epoch: int, seed: int) -> None:
        self.dropout.reseed(derive(seed, "dropout", epoch))
        if epoch == 1 or self.config.view == "whole":
            return

        kept = self.denoiser.kept_edges(self.config.top)
        draw = torch.Generator().manual_seed(derive(seed, "kept edges", epoch))
        drawn = torch.rand(len(kept), generator=draw) < self.config.keep
        self.kept.copy_(kept & drawn.to(kept.device))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with interactions, and the items that the graph tells something about."""
        return Known(
            with_interactions(data).users, reached(self.ckg, 2 * self.config.kg_layers).items
        )

    def scorer(self) -> DotProduct:
        """Return the propagated embeddings."""
        z = self(self._graphs()[0])
        return DotProduct(z[self.ckg.num_items :], z[: self.ckg.num_items])

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by."""
        ranked = self.scorer()
        return {"users": ranked.users, "items": ranked.items}

    def explanation_effects(self) -> EditedGraph:
        """Return effects on edited graphs; of those denoised, what is left of their edges."""

        def built(ckg: CollaborativeKG) -> Recommender:
            other = type(self)(ckg, self.config, torch.Generator())
            own, theirs = (edge_keys(model.facts) for model in (self, other))
            other.own.copy_(self.own)  # vectors that were trained stay
            other.kept.copy_(torch.isin(theirs, own[self.kept].to(theirs)))
            return other

        return EditedGraph(self, self.ckg, built)
