"""KGCL: Knowledge Graph Contrastive Learning for Recommendation. Yang, Huang, Xia and Li, SIGIR 2022.

https://arxiv.org/abs/2205.00976
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, leaky_relu

from kgrec.batches import TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.graph.typed_mean import FactEdges
from kgrec.models.base import Objective, Plan, Preset, Span
from kgrec.models.graph.base import TwoViews
from kgrec.models.knowledge.kgcl_effects import KGCLEffects
from kgrec.models.sources import Triples
from kgrec.nn.contrast import check_contrast, check_view, drawn, view_weights
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.init import glorot_uniform, normal
from kgrec.nn.light import LightPropagation
from kgrec.nn.losses import l2, translation_ranking
from kgrec.nn.ranking_loss import check_ranking_loss
from kgrec.ops.propagate import poly_rows
from kgrec.ops.rows import take_rows
from kgrec.ops.softmax import segment_softmax
from kgrec.ops.typed import typed_scores, typed_sum
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class KGCLConfig:
    """Hyper-parameters of KGCL.

    Attributes:
        dim: Embedding size d; 64 in the paper.
        num_layers: Propagation layers L over interactions, at least 1; 3 in the paper.
        loss: "bpr" as in the paper; "softmax" contrasts each interaction by cosine with all items
            that have training interactions, and ranks by normalized item vectors.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        form: What a view of the interactions draws: "paper", each interaction by itself, or "code",
            items with all of their interactions, as the authors' code.
        kg_drop: Share of the triples that a view leaves out, in [0, 1); 0.5 in the paper.
        drop: Share of the interactions that a view leaves out, in [0, 1); 0.1 in the authors'
            settings for Yelp2018, 0.05 for Amazon-Book.
        least_keep: Least part p_tau of an unstable item, in (0, 1]; 0.3 in the authors' code.
        contrast: Which nodes a node is told apart from: "all" users or items as in the paper, or
            those of the "batch", which is faster.
        contrast_temperature: Temperature tau of the contrast, in (0, 1]; 0.2 in the paper.
        contrast_weight: Weight lambda_1 of the contrast; 0.1 in the paper.
        dropout: Probability of dropping a value of items, entities and attention in a step, in
            [0, 1); 0.4 in the authors' code.
        edge_dropout: Probability of leaving an interaction out of a step, in [0, 1); 0.2 in the
            authors' code.
        l2_weight: Weight lambda_2 of half the squared norms of the batch's embeddings, divided by
            its size; 1e-4 in the authors' code, beside losses that are sums over 2,048.
        kg_l2_weight: The same for triples, beside a mean; 1e-3 in the authors' code.
    """

    dim: int = 64
    num_layers: int = 2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    form: Literal["paper", "code"] = "paper"
    kg_drop: float = 0.5
    drop: float = 0.1
    least_keep: float = 0.3
    contrast: Literal["all", "batch"] = "batch"
    contrast_temperature: float = 0.2
    contrast_weight: float = 0.05
    dropout: float = 0.0
    edge_dropout: float = 0.0
    l2_weight: float = 1e-4
    kg_l2_weight: float = 1e-3

    def __post_init__(self) -> None:
        """Reject values out of range."""
        check_ranking_loss("KGCL", self.loss, self.temperature)
        weights = self.contrast_weight, min(self.l2_weight, self.kg_l2_weight)
        check_contrast("KGCL", self.contrast_temperature, *weights)
        if self.dim < 1 or self.num_layers < 1 or not 0 < self.least_keep <= 1:
            raise ConfigError("KGCL needs dim >= 1, num_layers >= 1 and least_keep in (0, 1].")
        shares = (self.kg_drop, self.drop, self.dropout, self.edge_dropout)
        if not all(0 <= share < 1 for share in shares):
            raise ConfigError("KGCL needs kg_drop, drop, dropout and edge_dropout in [0, 1).")
        if self.form not in ("paper", "code") or self.contrast not in ("all", "batch"):
            raise ConfigError('KGCL needs form "paper" or "code" and contrast "all" or "batch".')


_PUBLISHED = {
    "loss": "bpr",
    "num_layers": 3,
    "contrast": "all",
    "contrast_weight": 0.1,
    "dropout": 0.4,
    "edge_dropout": 0.2,
    "l2_weight": 1e-4 / 2048,
}
_PUBLISHED_TRAINING = {"epochs": 1000, "patience": 0, "batch_size": 2048, "learning_rate": 1e-3}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_layers": (1, 2, 3),
    "learning_rate": Span(5e-4, 1e-2, log=True),
    "kg_drop": Span(0.1, 0.8),
    "drop": Span(0.05, 0.5),
    "temperature": Span(0.1, 0.3),
    "contrast_temperature": Span(0.1, 0.5),
    "contrast_weight": Span(0.005, 0.5, log=True),
    "dropout": Span(0.0, 0.4),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}

_SLOPE = 0.2
_MOST_KEEP = 0.95


class KGCL(TwoViews):
    """LightGCN over items that are described by their triples, whose nodes are recognized across
    views that leave out what the triples make unstable.

        alpha(e, r, i) = softmax over the triples of i of LeakyReLU(r . (W (x_i || x_e) + b))
        x'_i = x_i + sum over the triples (i, r, e) of alpha(e, r, i) x_e
        Z = 1 / (L + 1) (X' + A X' + ... + A^L X'),   score(u, i) = z_u . z_i
        c_i = cos(x'_i, x''_i) over two graphs without some of the triples
        p_i = (1 - drop) / mean(q) q_i,   q_i = max(p_tau, exp(c_i) scaled to [0, 1])
        contrast = InfoNCE of Z over two graphs whose interactions are there with probability p_i,
                   each of items described by one of the two graphs of triples
        loss = BPR + lambda_1 contrast + lambda_2 / 2 |X of the batch|^2 / B
        TransE, in turn: -log sigmoid(|x_i + r - x_e'|^2 - |x_i + r - x_e|^2)

    X' are the described items and the users. Items as heads and entities as tails have tables of
    their own; triples are read both ways, as long as an item is the head. The views are drawn at
    the start of each epoch. Ranking uses all triples and interactions.

    Differs from the paper: all triples of an item, where the authors' code draws 10; at most 0.95
    of an item's interactions are kept, as there; stability is compared without dropout; means over
    the batch for sums, which Adam does not see; an epoch of triples comes after that of
    interactions; the "softmax" loss is an addition. ``form="code"`` (preset "official") leaves out
    items with all of their interactions, as the authors' code.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Yang et al., KGCL, SIGIR 2022. https://arxiv.org/abs/2205.00976
    """

    def __init__(
        self, ckg: CollaborativeKG, config: KGCLConfig, generator: torch.Generator
    ) -> None:
        super().__init__(ckg.without_knowledge(), config, generator)
        self.whole = ckg.take(ckg.fact != USER_FACT)
        self.facts = FactEdges.of_triples(self.whole, ckg.num_items)
        d = config.dim
        entities = normal(ckg.num_entities, d, scale=0.1, generator=generator)
        relations = normal(self.facts.num_relations, d, scale=0.1, generator=generator)
        self.entities = nn.Parameter(entities)  # x_e
        self.relations = nn.Parameter(relations)  # r
        self.attention_weight = nn.Parameter(glorot_uniform(2 * d, d, generator=generator))  # W
        self.attention_bias = nn.Parameter(torch.zeros(d))  # b
        self.dropout = SeededDropout(config.dropout)
        self._views: tuple[tuple[Tensor | None, Tensor], ...] = ((None, self.graph.weight),) * 2

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGCLConfig, generator: torch.Generator) -> "KGCL":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def _propagation(self) -> LightPropagation:
        return LightPropagation(self.config.num_layers, self.config.edge_dropout)

    def _initial(self, generator: torch.Generator) -> Tensor:
        return normal(self.ckg.num_nodes, self.config.dim, scale=0.1, generator=generator)

    def attention(
        self,
        items: Float[Tensor, "items dim"],
        entities: Float[Tensor, "entities dim"],
        kept: Bool[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, " edges"]:
        """Return alpha of each triple of an item, of those that are kept alone."""
        of_item, of_entity = self.attention_weight.chunk(2)
        # r . (W (x_i || x_e) + b) as one product of three: (a || 1), (1 || y) and (r || r)
        a = torch.cat([items @ of_item + self.attention_bias, torch.ones_like(items)], 1)
        y = torch.cat([torch.ones_like(entities), entities @ of_entity], 1)
        vectors = self.relations.repeat(1, 2)
        edges = self.facts.edges
        logits = leaky_relu(typed_scores(a, edges, y, vectors), _SLOPE)
        return segment_softmax(logits, edges.forward.ptr, kept)

    def start(self, kept: Bool[Tensor, " edges"] | None = None) -> Float[Tensor, "nodes dim"]:
        """Return X': items as their triples describe them, by those that are kept, and users."""
        tables = torch.split(self.nodes, [self.ckg.num_items, self.ckg.num_users])
        items: Tensor = self.dropout(tables[0])
        entities: Tensor = self.dropout(self.entities)
        alpha = self.dropout(self.attention(items, entities, kept))
        described = self.dropout(items + typed_sum(entities, self.facts.edges, alpha))
        return torch.cat([described, tables[1]])

    def rows(
        self, rows: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return Z of distinct nodes, and their embeddings."""
        z, _ = super().rows(rows)
        return z, take_rows(self.nodes, rows)

    def view(self, number: int, nodes: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """Return Z of distinct nodes over a view of triples and interactions."""
        kept, weight = self._views[number]
        start = self.start(kept)
        return poly_rows(start, self.graph.csr, weight, self.propagate.coefficients, nodes)[0]

    def stability(
        self, first: Bool[Tensor, " edges"], second: Bool[Tensor, " edges"]
    ) -> Float[Tensor, " items"]:
        """Return c: how alike two graphs of triples describe each item."""
        items = self.nodes[: self.ckg.num_items]
        first_alpha = self.attention(items, self.entities, first)
        second_alpha = self.attention(items, self.entities, second)
        edges = self.facts.edges
        return cosine_similarity(
            items + typed_sum(self.entities, edges, first_alpha),
            items + typed_sum(self.entities, edges, second_alpha),
        )

    def keep_probability(self, stability: Float[Tensor, " items"]) -> Float[Tensor, " items"]:
        """Return p, how likely a view keeps an interaction with each item."""
        raised = stability.exp()
        low, high = raised.aminmax()
        scaled = ((raised - low) / (high - low)).nan_to_num(1.0)  # all alike
        part = scaled.clamp(min=self.config.least_keep)
        kept: Tensor = (1 - self.config.drop) / part.mean() * part
        return kept.clamp(max=_MOST_KEEP)

    @torch.no_grad()
    def reseed(self, seed: int) -> None:
        """Draw the views of an epoch."""
        self.dropout.reseed(derive(seed, "dropout"))
        self.propagate.edge_dropout.reseed(derive(seed, "dropped edges"))
        csr = self.graph.csr
        device = self.nodes.device
        items = torch.minimum(csr.destinations(), csr.idx.long())  # of each interaction
        reverse = csr.rev.long()
        first = torch.minimum(torch.arange(len(reverse), device=device), reverse)
        keys = [derive(seed, "facts", number) for number in (0, 1)]
        count = self.facts.num_edges
        triples = [drawn(1 - self.config.kg_drop, count, key, device) for key in keys]
        for kept in triples:
            check_view(kept, count)

        probability = self.keep_probability(self.stability(*triples))
        weights = []
        for number in (0, 1):
            key = derive(seed, "interactions", number)
            if self.config.form == "code":
                there = drawn(probability, len(probability), key, device)[items]
            else:
                there = drawn(probability[items], len(items), key, device)[first]

            weights.append(view_weights(csr, there, self.graph.weight.dtype))

        self._views = tuple(zip(triples, weights, strict=True))

    def kg_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return TransE's ranking of true against corrupted tails."""
        h = take_rows(self.nodes, batch.head)
        r = take_rows(self.relations, batch.relation)
        t, n = take_rows(self.entities, torch.cat([batch.tail, batch.negative_tail])).chunk(2)
        true, corrupted = ((h + r - end).square().sum(1) for end in (t, n))
        squares: Tensor = self.config.kg_l2_weight * l2(h, r, t, n)
        return translation_ranking(true, corrupted) + squares

    def plan(self) -> Plan:
        """Return alternating epochs of interactions and triples."""
        plan = super().plan()
        if not self.facts.num_edges:
            return plan

        by = self.facts.edges.forward
        head, relation, tail = (
            part.long().cpu() for part in (by.row_of_edge(), by.relation_of_edge(), by.idx)
        )
        source = Triples(head, relation, tail, self.whole.num_entities)
        moved = (self.nodes, self.entities, self.relations)
        transe = Objective(TripleBatch, self.kg_loss, moved, name="transe", source=source)
        return replace(plan, objectives=(*plan.objectives, transe))

    def can_rank(self, data: Dataset) -> Known:
        """Return users and items with interactions, and items that share an entity with one."""
        return reached(self.whole, 2)

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by."""
        ranked = self.scorer()
        return {"users": ranked.users, "items": ranked.items}

    def explanation_effects(self) -> KGCLEffects:  # type: ignore[override]  # no longer linear
        """Return effects of facts, measured: attention and degrees without them."""
        return KGCLEffects(self)
