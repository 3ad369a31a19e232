"""KGRec: Knowledge Graph Self-Supervised Rationalization for Recommendation. Yang, Huang, Xia and
Huang, KDD 2023.

https://arxiv.org/abs/2307.02759
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import softplus

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.typed_mean import FactEdges
from kgrec.models.base import DotProduct, Plan, Preset, Recommender, Span, ranking_objective
from kgrec.models.knowledge.kgrec_effects import KGRecEffects
from kgrec.models.knowledge.kgrec_rationales import Rationales
from kgrec.nn.contrast import check_contrast
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import bpr, l2
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss, ranked_items
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.softmax import segment_softmax
from kgrec.ops.typed import typed_scores, typed_sum
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class KGRecConfig:
    """Hyper-parameters of KGRec.

    Attributes:
        dim: Embedding size d, a multiple of ``num_heads``; 64 in the paper.
        num_layers: Layers L, at least 1; 2 in the paper.
        num_heads: Parts of the vectors that have an attention of their own; 2 in the authors' code.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors. Items without any
            are left to what the graph says of them.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        node_dropout: Probability of leaving an edge or an interaction out of a step, in [0, 1); 0.5
            in the authors' code.
        message_dropout: Probability of dropping a value after each layer, in [0, 1); 0.1 in the
            authors' code.
        num_masked: Edges that are masked for their scores in a step, and as many at random; 256 in
            the paper, at most a quarter of those there.
        mask_weight: Weight of their reconstruction; 0.1 in the paper.
        drop: Share of the edges and of the interactions that the views of the contrast leave out,
            in [0, 1); 0.5 in the authors' settings for Last-FM.
        contrast_temperature: Temperature tau of the contrast, in (0, 1]; 1 there, 0.1 for MIND.
        contrast_weight: Weight of the contrast; 0.01 there, 0.001 for MIND.
        l2_weight: Weight of half the squared norms of the final embeddings of the batch, divided by
            its size; 1e-5 in the paper.
    """

    dim: int = 64
    num_layers: int = 1
    num_heads: int = 2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    node_dropout: float = 0.5
    message_dropout: float = 0.1
    num_masked: int = 256
    mask_weight: float = 0.1
    drop: float = 0.5
    contrast_temperature: float = 0.5
    contrast_weight: float = 0.01
    l2_weight: float = 1e-5

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_ranking_loss("KGRec", self.loss, self.temperature)
        check_contrast("KGRec", self.contrast_temperature, self.contrast_weight, self.l2_weight)
        if min(self.dim, self.num_layers, self.num_heads) < 1 or self.dim % self.num_heads:
            raise ConfigError(
                "KGRec needs dim, num_layers and num_heads of at least 1, dim a multiple of "
                "num_heads."
            )
        shares = (self.node_dropout, self.message_dropout, self.drop)
        if not all(0 <= share < 1 for share in shares):
            raise ConfigError("KGRec needs node_dropout, message_dropout and drop in [0, 1).")
        if self.num_masked < 0 or self.mask_weight < 0:
            raise ConfigError("KGRec needs num_masked and mask_weight >= 0.")


_PUBLISHED = {"loss": "bpr", "num_layers": 2, "contrast_temperature": 1.0}
_PUBLISHED_TRAINING = {
    "epochs": 1000,
    "patience": 0,
    "batch_size": 1024,
    "learning_rate": 1e-4,
    "drop_last": True,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "node_dropout": Span(0.0, 0.7),
    "message_dropout": Span(0.0, 0.5),
    "mask_weight": Span(1e-3, 1.0, log=True),
    "contrast_weight": Span(1e-4, 0.1, log=True),
    "contrast_temperature": Span(0.1, 1.0),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class KGRec(Recommender):
    """Attend to the triples that are rationales of preference: learn what they are by masking and
    reconstructing them, and by a contrast that leaves out the rest.

        f(h, r, t) = (e_h W) . (e_t W * e_r) / sqrt(d / heads), by head
        e_h <- sum over the triples of h of softmax(f) e_r * e_t,   e_u <- mean of the items of u
        e* = e^(0) + norm(e^(1)) + ... + norm(e^(L)),   score(u, i) = e*_u . e*_i
        w(h, r, t) = triples of h times softmax(mean of f over heads), a constant to the gradient
        mask = mean of -log sigmoid(e*_h . (e*_t * e_r)) over masked triples: those with the highest
               w + Gumbel noise, and as many at random; the encoder does not see them
        contrast = mean over items of -log(s / (2 s + n)), s = exp(cos(a_i, b_i) / tau), of
               propagations over the triples without those of the lowest w, and over interactions
               drawn by softmax of their items' mean w; n has pairs of items at random
        loss = BPR + mask_weight mask + contrast_weight contrast + L2

    The propagations of the contrast are means of e_r * e_t, and sums over users and items divided
    by the user's interactions; each has a projection of its own. Items gather from entities alone.

    Differs from the paper: edges are left out of a step one by one, of all relations (the authors'
    code takes a share of each and never the last relation); interactions of a view are drawn with
    one Gumbel noise where the code has two; never more than half of the edges are masked; queries
    and keys have one matrix W, as in the code; facts about users are unused; the "softmax" loss is
    an addition.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Yang et al., KGRec, KDD 2023. https://arxiv.org/abs/2307.02759
    """

    folds_in = True

    def __init__(
        self, ckg: CollaborativeKG, config: KGRecConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg.take(ckg.fact != USER_FACT)
        self.config = config
        d = config.dim
        self.facts = FactEdges.of_triples(self.ckg)
        self.likes = FactEdges.of_interactions(self.ckg)
        self.nodes = nn.Parameter(glorot_uniform(ckg.num_nodes, d, generator=generator))  # e^(0)
        relations = glorot_uniform(self.facts.num_relations, d, generator=generator)
        self.relations = nn.Parameter(relations)  # e_r
        self.query = nn.Parameter(glorot_uniform(d, d, generator=generator))  # W
        self.rationales = Rationales(self.ckg, self.facts, config, generator)
        self.dropout = SeededDropout(config.message_dropout)
        self.softmax = CosineSoftmax(*self.ckg.warm_items(), config.temperature)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: KGRecConfig, generator: torch.Generator
    ) -> "KGRec":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def tables(self) -> tuple[Float[Tensor, "entities dim"], Float[Tensor, "users dim"]]:
        """Return e^(0) of entities and users."""
        entities, users = torch.split(self.nodes, [self.ckg.num_entities, self.ckg.num_users])
        return entities, users

    def by_head(self, x: Float[Tensor, "_ dim"]) -> list[Float[Tensor, "_ dout"]]:
        """Return the parts of vectors."""
        return [part.contiguous() for part in x.chunk(self.config.num_heads, 1)]

    def logits(self, e: Float[Tensor, "entities dim"]) -> list[Float[Tensor, " edges"]]:
        """Return f of each edge, one list of edges per head."""
        projected = self.by_head(e @ self.query)
        scale = 1 / math.sqrt(self.config.dim // self.config.num_heads)
        pairs = zip(projected, self.by_head(self.relations), strict=True)
        return [typed_scores(x * scale, self.facts.edges, x, r) for x, r in pairs]

    def attention(
        self, e: Float[Tensor, "entities dim"], there: Bool[Tensor, " edges"] | None = None
    ) -> list[Float[Tensor, " edges"]]:
        """Return the softmax of f over the triples of each head entity, per head."""
        ptr = self.facts.edges.forward.ptr
        return [segment_softmax(logits, ptr, there) for logits in self.logits(e)]

    def gathered(
        self, e: Float[Tensor, "entities dim"], shares: list[Float[Tensor, " edges"]]
    ) -> Float[Tensor, "entities dim"]:
        """Return what entities gather from their triples."""
        parts = zip(self.by_head(e), shares, self.by_head(self.relations), strict=True)
        edges = self.facts.edges
        return torch.cat([typed_sum(x, edges, share, r) for x, share, r in parts], 1)

    def layers(
        self, there: Bool[Tensor, " edges"] | None = None, weight: Tensor | None = None
    ) -> tuple[list[Float[Tensor, "entities dim"]], Tensor, Tensor]:
        """Return the entities that each layer starts from, and e* of users and of entities.

        Args:
            there: Edges of triples that there are; None takes all.
            weight: What each interaction counts for its user; None takes means.
        """
        e, users = self.tables()
        starts = []
        total = e
        mean = self.likes.weight if weight is None else weight
        for _ in range(self.config.num_layers):
            starts.append(e)
            liked = typed_sum(e[: self.ckg.num_items], self.likes.edges, mean)
            e = unit_rows(self.dropout(self.gathered(e, self.attention(e, there))))
            users = users + unit_rows(self.dropout(liked))
            total = total + e

        return starts, users, total

    def mask_loss(
        self, e: Float[Tensor, "entities dim"], masked: Bool[Tensor, " edges"]
    ) -> Float[Tensor, ""]:
        """Return how badly masked edges are reconstructed from e*."""
        by = self.facts.edges.forward
        edges = masked.nonzero().squeeze(1)
        if not len(edges):
            return e.sum() * 0

        head = take_rows(e, by.row_of_edge()[edges])
        tail = take_rows(e, by.idx[edges].long())
        relation = take_rows(self.relations, by.relation_of_edge()[edges].long())
        return softplus(-(head * tail * relation).sum(1)).mean()

    def loss(self, batch: PairwiseBatch | PositiveBatch) -> dict[str, Float[Tensor, ""]]:
        """Return the loss of the ranking with L2, and the weighted ones of masking and contrast."""
        step = self.rationales.draw([part.detach() for part in self.logits(self.tables()[0])])
        weight = self.likes.weight * step.used[self.likes.fact]
        _, users, e = self.layers(step.there & ~step.masked, weight)
        user = take_rows(users, batch.user)
        items = e[: self.ckg.num_items]
        rows = [take_rows(items, batch.positive)]
        if isinstance(batch, PairwiseBatch):
            rows.append(take_rows(items, batch.negative))
            ranking = bpr((user * rows[0]).sum(1), (user * rows[1]).sum(1))
        else:
            ranking = self.softmax(user, self.softmax.of(items), batch.positive)

        parts = (*self.tables(), self.relations, step, self.dropout)
        contrast = self.rationales.contrast(*parts)
        return {
            self.config.loss: ranking + self.config.l2_weight * l2(user, *rows),
            "mask": self.config.mask_weight * self.mask_loss(e, step.masked),
            "contrast": self.config.contrast_weight * contrast,
        }

    def plan(self) -> Plan:
        """Return one objective of three losses."""
        objective = ranking_objective(self.config.loss, self.loss, self.loss)
        return Plan((objective,), begin_epoch=self._begin)

    def _begin(self, epoch: int, seed: int) -> None:
        self.rationales.reseed(derive(seed, "steps", epoch))
        self.dropout.reseed(derive(seed, "dropout", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items to whose vectors a trained one contributes."""
        return reached(self.ckg, 2 * self.config.num_layers)

    def scorer(self) -> DotProduct:
        """Return e* over all triples and interactions."""
        starts, users, e = self.layers()
        items = ranked_items(e[: self.ckg.num_items], self.config.loss)
        return DotProduct(users, items, partial(self._fold_in, starts))

    def _fold_in(
        self,
        starts: list[Float[Tensor, "entities dim"]],
        history: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch dim"]:
        """Return e* of new users, who start at the mean of the known ones."""
        share = (mask / mask.sum(1, keepdim=True).clamp(min=1)).to(self.nodes.dtype).unsqueeze(2)
        start = self.tables()[1].mean(0, keepdim=True)
        means = [(entities[history] * share).sum(1) for entities in starts]
        return start + torch.stack([unit_rows(mean) for mean in means]).sum(0)

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, and entities."""
        ranked = self.scorer()
        entities = self.layers()[2]
        return {"users": ranked.users, "items": ranked.items, "entities": entities}

    def explanation_effects(self) -> KGRecEffects:
        """Return effects of facts, measured: attention and means without them."""
        return KGRecEffects(self)
