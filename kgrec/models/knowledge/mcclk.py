"""MCCLK: Multi-level Cross-view Contrastive Learning for Knowledge-aware Recommender System. Zou et
al., SIGIR 2022.

https://arxiv.org/abs/2204.08807
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.symmetric import LikedGraph
from kgrec.graph.typed_mean import FactEdges
from kgrec.models.base import DotProduct, Objective, Plan, Preset, Recommender, Span
from kgrec.models.knowledge.mcclk_effects import MCCLKEffects
from kgrec.models.knowledge.mcclk_views import (
    CrossViews,
    NearGraph,
    Views,
    by_taste,
    near_items,
)
from kgrec.models.sources import NegativeSource, Points
from kgrec.nn.contrast import check_contrast, check_view
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.light import LightPropagation
from kgrec.nn.losses import l2
from kgrec.nn.ranking_loss import CosineSoftmax, ranked_items
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.softmax import segment_softmax
from kgrec.ops.typed import typed_scores, typed_sum
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class MCCLKConfig:
    """Hyper-parameters of MCCLK.

    Attributes:
        dim: Embedding size d of each view; 64 in the paper.
        num_layers: Layers of the structural view, at least 1; 2 in the authors' code.
        local_layers: Layers of the collaborative view, at least 1; 2 in the authors' code.
        neighbors: Nearest items that an item of the semantic view gathers from, itself included; 10
            in the paper.
        static_share: What the graph of nearest embeddings counts for, beside that of nearest
            structural vectors, in [0, 1]; 0.5 in the authors' code.
        loss: "bce", the cross-entropy of labeled pairs as in the authors' code; "softmax" contrasts
            each interaction by cosine with all items that have training interactions, and ranks by
            normalized item vectors.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bce".
        form: What the collaborative view is contrasted with: "paper", the structural view on the
            global level; "code", embeddings of layer 0, as in the authors' code.
        negatives: Items drawn for each interaction by "bce" where the data has no labeled
            negatives; 1 in the authors' data.
        node_dropout: Probability of leaving an edge or an interaction out of a step's structural
            view, in [0, 1); 0.5 in the authors' code.
        message_dropout: Probability of dropping a value after each of its layers, in [0, 1); 0.1 in
            the authors' code.
        contrast_temperature: Temperature tau of the contrasts, in (0, 1]; 0.8 in the paper, 0.6 in
            the code.
        contrast_weight: Weight of the contrasts; 0.001 in the code.
        local_share: Share of the contrast on the local level, in [0, 1], by the form "paper"; 0.2
            in the paper. The form "code" adds all up.
        l2_weight: Weight of half the squared norms of the final vectors of the batch, divided by
            its size; 1e-5 in the authors' code.
    """

    dim: int = 64
    num_layers: int = 1
    local_layers: int = 2
    neighbors: int = 10
    static_share: float = 0.5
    loss: Literal["bce", "softmax"] = "softmax"
    temperature: float = 0.2
    form: Literal["paper", "code"] = "paper"
    negatives: int = 4
    node_dropout: float = 0.5
    message_dropout: float = 0.1
    contrast_temperature: float = 0.6
    contrast_weight: float = 0.01
    local_share: float = 0.2
    l2_weight: float = 1e-5

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_contrast("MCCLK", self.contrast_temperature, self.contrast_weight, self.l2_weight)
        sizes = (self.dim, self.num_layers, self.local_layers, self.neighbors, self.negatives)
        if min(sizes) < 1:
            raise ConfigError(
                "MCCLK needs dim, num_layers, local_layers, neighbors and negatives of at least 1."
            )
        if not 0 <= self.static_share <= 1 or not 0 <= self.local_share <= 1:
            raise ConfigError("MCCLK needs static_share and local_share in [0, 1].")
        if not 0 <= self.node_dropout < 1 or not 0 <= self.message_dropout < 1:
            raise ConfigError("MCCLK needs node_dropout and message_dropout in [0, 1).")
        if self.loss not in ("bce", "softmax") or not 0 < self.temperature <= 1:
            raise ConfigError('MCCLK needs loss "bce" or "softmax" and a temperature in (0, 1].')
        if self.form not in ("paper", "code"):
            raise ConfigError('MCCLK needs form "paper" or "code".')


_PUBLISHED = {"loss": "bce", "num_layers": 2, "negatives": 1}
_PUBLISHED_TRAINING = {"epochs": 400, "patience": 0, "batch_size": 4096, "learning_rate": 3e-3}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset(
        {**_PUBLISHED, "contrast_temperature": 0.8, "contrast_weight": 0.1}, _PUBLISHED_TRAINING
    ),
    "official": Preset(
        {**_PUBLISHED, "form": "code", "contrast_weight": 0.001}, _PUBLISHED_TRAINING
    ),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "local_layers": (1, 2, 3),
    "neighbors": (5, 10, 20),
    "form": ("paper", "code"),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "node_dropout": Span(0.0, 0.7),
    "contrast_weight": Span(1e-4, 0.1, log=True),
    "contrast_temperature": Span(0.2, 1.0),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class MCCLK(Recommender):
    """Describe users and items in three views, and contrast them.

        structural:    a(h, r, t) = softmax over the triples of h of (|e_h * r| |e_t * r|)^2
                       e_h <- sum over the triples of h of a(h, r, t) e_t * r
                       e_u <- m_u + (softmax(e_u R^T) R) * m_u,   m_u the mean of the items of u
                       e* = e^(0) + norm(e^(1)) + ... + norm(e^(L))
        semantic:      s_i = norm(sum over items j near i of ((1 - b) L(e*) + b L(e^(0)))_ij e_j^(0))
        collaborative: c = 1 / (K + 1) (e^(0) + B e^(0) + ... + B^K e^(0)) over interactions,
                       B_ui = B_iu = 1 / interactions of u
        score(u, i) = (e*_u || c_u || c_u) . (e*_i || s_i || c_i)
        loss = ranking + contrast_weight contrast + L2
        contrast = local_share of items in the semantic against the collaborative view, the rest of
                   users in the structural against the collaborative view, and of items in the
                   structural view against the sum of the other two

    L(x) has the nearest items by cosine, normalized by the sums of its rows (``near_items``).
    Contrasts are InfoNCE of the batch's users and items through projections, each node against all
    others in both views, in both directions.

    Differs from the paper: near items are found again once an epoch and for ranking, among the
    items, where the code does so in every step and among all entities; edges are left out one by
    one; no edge is left out when ranking, where the code goes on to; facts about users are unused;
    the "softmax" loss is an addition. ``form="code"`` (preset "official") adds up three contrasts
    with the collaborative view: of items in the semantic view, in one direction, and of embeddings
    of items and of users at layer 0, as the authors' code.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Zou et al., MCCLK, SIGIR 2022. https://arxiv.org/abs/2204.08807
    """

    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: MCCLKConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg.take(ckg.fact != USER_FACT)
        self.config = config
        d = config.dim
        self.facts = FactEdges.of_triples(self.ckg)
        self.likes = FactEdges.of_interactions(self.ckg)
        self.pairs = LikedGraph(self.ckg)
        self.nodes = nn.Parameter(glorot_uniform(ckg.num_nodes, d, generator=generator))  # e^(0)
        relations = glorot_uniform(self.facts.num_relations, d, generator=generator)
        self.relations = nn.Parameter(relations)  # R
        self.contrast = CrossViews(config, generator)
        self.dropout = SeededDropout(config.message_dropout)
        self.node_dropout = SeededDropout(config.node_dropout)
        self.light = LightPropagation(config.local_layers)
        self.softmax = CosineSoftmax(*self.ckg.warm_items(), config.temperature)
        self._near: NearGraph | None = None

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: MCCLKConfig, generator: torch.Generator
    ) -> "MCCLK":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def tables(self) -> tuple[Float[Tensor, "entities dim"], Float[Tensor, "users dim"]]:
        """Return e^(0) of entities and users."""
        entities, users = torch.split(self.nodes, [self.ckg.num_entities, self.ckg.num_users])
        return entities, users

    def attention(
        self, e: Float[Tensor, "entities dim"], there: Bool[Tensor, " edges"] | None = None
    ) -> Float[Tensor, " edges"]:
        """Return a of each edge."""
        edges, r = self.facts.edges, self.relations.square()
        squares, ones = e.square(), torch.ones_like(e)
        heads, tails = typed_scores(squares, edges, ones, r), typed_scores(ones, edges, squares, r)
        return segment_softmax(heads * tails, edges.forward.ptr, there)

    def structural(self) -> tuple[list[Float[Tensor, "entities dim"]], Tensor, Tensor]:
        """Return the entities that each layer starts from, and e* of users and of entities; in
        training a share of the edges is left out.
        """
        e, u = self.tables()
        starts = []
        total, users = e, u
        there = self.node_dropout(self.nodes.new_ones(self.facts.num_edges)) > 0
        weight = self.node_dropout(self.likes.weight)
        for kept in (there, weight > 0):
            check_view(kept, len(kept))

        for _ in range(self.config.num_layers):
            starts.append(e)
            mean = typed_sum(e[: self.ckg.num_items], self.likes.edges, weight)
            message = typed_sum(e, self.facts.edges, self.attention(e, there), self.relations)
            u = unit_rows(self.dropout(by_taste(u, mean, self.relations)))
            e = unit_rows(self.dropout(message))
            total, users = total + e, users + u

        return starts, users, total

    def near(self, entities: Float[Tensor, "entities dim"]) -> NearGraph:
        """Return the graph of near items, by e* and by e^(0)."""
        share, count = self.config.static_share, self.ckg.num_items
        parts = [(1 - share, entities), (share, self.nodes)]
        return near_items([(part, x[:count]) for part, x in parts], self.config.neighbors)

    def views(
        self,
        users: Float[Tensor, "users dim"],
        entities: Float[Tensor, "entities dim"],
        near: NearGraph,
    ) -> Views:
        """Return the three views, of the structural one and near items."""
        items = self.nodes[: self.ckg.num_items]
        x = torch.cat([items, self.tables()[1]])
        local = self.light(x, self.pairs.csr, self.pairs.by_user)
        return Views(entities, users, unit_rows(typed_sum(items, *near)), local)

    def loss(self, batch: PointwiseBatch | PositiveBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the loss of the ranking with L2, and the weighted contrast."""
        _, users, entities = self.structural()
        views = self.views(users, entities, self._near or self.near(entities))
        users, items = views.joined()
        item = batch.positive if isinstance(batch, PositiveBatch) else batch.item
        u, i = take_rows(users, batch.user), take_rows(items, item)
        if isinstance(batch, PositiveBatch):
            ranking = self.softmax(u, self.softmax.of(items), item)
        else:
            ranking = binary_cross_entropy_with_logits((u * i).sum(1), batch.label)

        contrast = self.contrast(views, self.tables(), batch.user, item)
        return {
            self.config.loss: ranking + self.config.l2_weight * l2(u, i),
            "contrast": self.config.contrast_weight * contrast,
        }

    def plan(self) -> Plan:
        """Return one objective of two losses."""
        objective: Objective[Any] = Objective(PositiveBatch, self.loss, name="softmax")
        if self.config.loss == "bce":
            source = Points(negatives=NegativeSource(self.config.negatives))
            objective = Objective(PointwiseBatch, self.loss, name="bce", source=source)
        return Plan((objective,), begin_epoch=self._begin)

    @torch.no_grad()
    def _begin(self, epoch: int, seed: int) -> None:
        self.dropout.reseed(derive(seed, "dropout", epoch))
        self.node_dropout.reseed(derive(seed, "dropped edges", epoch))
        training = self.training
        self._near = self.eval().near(self.structural()[2])
        self.train(training)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes."""
        return reached(self.ckg, 2 * self.config.num_layers)

    def scorer(self) -> DotProduct:
        """Return the joined views over all triples and interactions."""
        starts, users, entities = self.structural()
        u, items = self.views(users, entities, self.near(entities)).joined()
        items = ranked_items(items, self.config.loss)
        return DotProduct(u, items, partial(self._fold, starts))

    def _fold(
        self,
        starts: list[Float[Tensor, "entities dim"]],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch dout"]:
        """Return new users, who start at the mean of the known ones."""
        share = (mask / mask.sum(1, keepdim=True).clamp(min=1)).to(self.nodes.dtype).unsqueeze(2)
        items, users = self.tables()
        start = u = users.mean(0, keepdim=True).expand(len(history), -1)
        total = start
        for entities in starts:
            u = unit_rows(by_taste(u, (entities[history] * share).sum(1), self.relations))
            total = total + u

        x = torch.cat([items[: self.ckg.num_items], users])
        received = self.light.received(x, self.pairs.csr, self.pairs.by_user)
        local = start / (self.config.local_layers + 1) + (received[history] * share).sum(1)
        return torch.cat([total, local, local], 1)

    def explanation_effects(self) -> MCCLKEffects:
        """Return effects of facts, measured: all three views without them."""
        return MCCLKEffects(self)
