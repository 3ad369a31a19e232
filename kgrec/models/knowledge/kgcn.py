"""KGCN: Knowledge Graph Convolutional Networks for Recommender Systems. Wang et al., WWW 2019.

https://arxiv.org/abs/1904.12575 (equation numbers are those of version 1)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import Objective, Plan, Preset, Recommender, Span
from kgrec.models.knowledge.base import PairScorer, SampledFacts, check_memory, keep_samples
from kgrec.models.knowledge.kgcn_effects import KGCNEffects
from kgrec.models.sources import NegativeSource, Points
from kgrec.nn.init import glorot_uniform
from kgrec.nn.losses import half_squares
from kgrec.ops.propagate import sparse_product
from kgrec.ops.rows import take_rows

_VALUES_AT_ONCE = 2**22


@dataclass(frozen=True, slots=True)
class KGCNConfig:
    """Hyper-parameters of KGCN.

    Attributes:
        dim: Embedding size d; 32 in the paper for movies, 64 for books, 16 for music.
        num_hops: Depth H of the receptive field; 2 in the paper for movies, 1 for the others.
        num_neighbors: Neighbors K sampled for each entity, once; 4 in the paper for movies, 8 for
            the others.
        aggregator: "sum", Eq. (4), the paper's best; "concat", Eq. (5); "neighbor", Eq. (6).
        form: "paper" weighs neighbors by u . r and adds them up, Eqs. (1)-(3); "code" by u . r / d
            and divides the sum by K, as the authors' code does.
        negatives: Items drawn for each interaction where the data has no labeled negatives; 1 in
            the paper.
        l2_weight: Weight of half the squared norms of all parameters but the biases; 1e-7 in the
            paper for movies.
    """

    dim: int = 64
    num_hops: int = 1
    num_neighbors: int = 8
    aggregator: Literal["sum", "concat", "neighbor"] = "sum"
    form: Literal["paper", "code"] = "paper"
    negatives: int = 4
    l2_weight: float = 1e-6

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if min(self.dim, self.num_hops, self.num_neighbors, self.negatives) < 1:
            raise ConfigError(
                "KGCN needs dim, num_hops, num_neighbors and negatives of at least 1."
            )
        if self.aggregator not in ("sum", "concat", "neighbor") or self.l2_weight < 0:
            raise ConfigError(
                'KGCN needs aggregator "sum", "concat" or "neighbor" and l2_weight >= 0.'
            )
        if self.form not in ("paper", "code"):
            raise ConfigError('KGCN needs form "paper" or "code".')


PUBLISHED = {"dim": 32, "num_hops": 2, "num_neighbors": 4, "negatives": 1, "l2_weight": 1e-7}
PUBLISHED_TRAINING = {
    "epochs": 10,
    "patience": 0,
    "batch_size": 65536,
    "learning_rate": 0.02,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset(PUBLISHED, PUBLISHED_TRAINING),
    "official": Preset({**PUBLISHED, "form": "code"}, PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_hops": (1, 2),
    "num_neighbors": (4, 8, 16),
    "aggregator": ("sum", "concat", "neighbor"),
    "negatives": (1, 4, 16),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "l2_weight": Span(1e-7, 1e-4, log=True),
}


class KGCN(Recommender):
    """Describe an item by the entities around it, each as much as the user cares for its relation.

        pi(u, r) = softmax over the K neighbors of u . r                                    (1)-(2)
        v_N = sum over the neighbors e of pi(u, r_e) e                                          (1)
        v <- act((v + v_N) W + b)     act is ReLU, in the last of H iterations tanh             (4)
        score(u, v) = u . v
        loss = cross-entropy of labeled pairs + lambda / 2 |parameters|^2                       (7)

    Each entity has K neighbors, drawn once and kept with the weights. An iteration gives an entity
    the same vector wherever it is in a field, so the catalog is ranked by H steps over all
    entities for each user, instead of K^H of them for each item.

    Differs from the paper: neighbors are drawn from even parts of an entity's edges
    (``sample_evenly``), none twice where there are enough; negatives are drawn again every epoch,
    unless the data has labeled ones; an entity without neighbors gathers 0. ``form="code"`` (preset
    "official") divides u . r by d and v_N by K, as the authors' code does.

    Args:
        ckg: Graph with triples; relations have no direction.
        config: Hyper-parameters.
        generator: Draws the neighbors and the initial parameters.

    Source: Wang et al., KGCN, WWW 2019. https://arxiv.org/abs/1904.12575
    """

    neighbors: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: KGCNConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        d = config.dim
        wide = 2 * d if config.aggregator == "concat" else d
        self.facts = SampledFacts(ckg, shared=True)
        drawn = self.facts.around(config.num_neighbors, generator)
        keep_samples(self, (self.facts.num_edges,), neighbors=drawn)
        self.users = nn.Parameter(glorot_uniform(ckg.num_users, d, generator=generator))
        self.entities = nn.Parameter(glorot_uniform(ckg.num_entities, d, generator=generator))
        relations = self.facts.num_relations
        self.relations = nn.Parameter(glorot_uniform(relations, d, generator=generator))
        weights = [glorot_uniform(wide, d, generator=generator) for _ in range(config.num_hops)]
        self.weights = nn.ParameterList(weights)  # W
        self.biases = nn.Parameter(torch.zeros(config.num_hops, d))  # b

    @classmethod
    def from_dataset(cls, data: Dataset, config: KGCNConfig, generator: torch.Generator) -> "KGCN":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def field(self, item: Int[Tensor, " batch"]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the entities at each hop around some items, (batch, K^h), and the edges to them,
        (batch, K^h, K).
        """
        entities = [item.unsqueeze(1)]
        edges = []
        for _ in range(self.config.num_hops):
            edges.append(self.neighbors[entities[-1]])
            entities.append(self.facts.tail[edges[-1]].flatten(1))

        return entities, edges

    def shares(
        self, user: Float[Tensor, "batch dim"], edges: Int[Tensor, "batch _ _"]
    ) -> Float[Tensor, "batch _ _"]:
        """Return how much each neighbor counts for users, Eq. (2); 0 for what is not there."""
        logits = user @ self.relations.T  # (batch, relations)
        if self.config.form == "code":
            logits = logits / self.config.dim

        of_edge = logits.gather(1, self.facts.relation[edges].flatten(1)).view(edges.shape)
        there = self.facts.there(edges)
        shares: Tensor = of_edge.masked_fill(~there, -1e9).softmax(2) * there
        if self.config.form == "code":
            return shares / self.config.num_neighbors

        return shares

    def step(
        self, number: int, own: Float[Tensor, "... dim"], around: Float[Tensor, "... dim"]
    ) -> Float[Tensor, "... dim"]:
        """Return what an iteration makes of entities and their neighborhoods, Eqs. (4)-(6)."""
        if self.config.aggregator == "sum":
            both = own + around
        elif self.config.aggregator == "concat":
            both = torch.cat([own, around], -1)
        else:
            both = around

        out = both @ self.weights[number] + self.biases[number]
        return torch.tanh(out) if number == self.config.num_hops - 1 else torch.relu(out)

    def vectors(
        self,
        user: Float[Tensor, "batch dim"],
        entities: list[Tensor],
        shares: list[Float[Tensor, "batch _ _"]],
    ) -> Float[Tensor, "batch dim"]:
        """Return the vectors of items, by the entities of their fields and what each counts."""
        count = len(user)
        flat = torch.cat([hop.flatten() for hop in entities])
        rows = torch.split(take_rows(self.entities, flat), [hop.numel() for hop in entities])
        v = [part.view(count, -1, self.config.dim) for part in rows]

        for number in range(self.config.num_hops):
            for hop in range(self.config.num_hops - number):
                near = v[hop + 1].view(*shares[hop].shape, -1)  # (batch, K^h, K, dim)
                around = (shares[hop].unsqueeze(2) @ near).squeeze(2)  # v_N, Eq. (1)
                v[hop] = self.step(number, v[hop], around)

        out: Tensor = v[0].squeeze(1)
        return out

    def pairs(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the scores of pairs."""
        u = take_rows(self.users, user)
        entities, edges = self.field(item)
        return (u * self.vectors(u, entities, [self.shares(u, hop) for hop in edges])).sum(1)

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of labeled pairs, and L2, Eq. (7)."""
        self.check(len(batch.user))
        found = binary_cross_entropy_with_logits(self.pairs(batch.user, batch.item), batch.label)
        return found + self.penalty()

    def check(self, count: int) -> None:
        """Refuse a batch whose fields would not fit into memory."""
        hops, neighbors = self.config.num_hops, self.config.num_neighbors
        nodes = sum(neighbors**hop for hop in range(hops + 1))
        what = f"fields of {hops} hops of {neighbors} neighbors for {count} pairs"
        remedy = "Take a smaller num_hops, num_neighbors or batch_size."
        check_memory(what, count * nodes * self.config.dim, self.users, remedy)

    def penalty(self) -> Float[Tensor, ""]:
        """Return the L2 term."""
        tables = (self.users, self.entities, self.relations, *self.weights)
        return self.config.l2_weight * half_squares(tables)

    def plan(self) -> Plan:
        """Return one objective on labeled pairs."""
        points = Points(negatives=NegativeSource(self.config.negatives))
        return Plan((Objective(PointwiseBatch, self.loss, name="bce", source=points),))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the fields of trained items may touch."""
        return reached(self.ckg, 2 * self.config.num_hops)

    def scorer(self) -> PairScorer:
        """Return the scores of pairs."""
        return PairScorer(self.catalog, self.pairs)

    @torch.no_grad()
    def catalog(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return the scores of all items, a few users at a time; no gradient."""
        row = len(self.neighbors) * (3 * self.config.num_neighbors + 3 * self.config.dim)
        parts = torch.split(user, max(1, _VALUES_AT_ONCE // row))
        return torch.cat([self._catalog(take_rows(self.users, part)) for part in parts])

    def _catalog(self, user: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch items"]:
        v = self.entities.unsqueeze(0)  # of all entities, by user once they differ
        for number in range(self.config.num_hops):
            last = number == self.config.num_hops - 1
            edges = self.neighbors[: self.ckg.num_items] if last else self.neighbors
            shares = self.shares(user, edges.unsqueeze(0).expand(len(user), -1, -1))
            ends = torch.arange(0, edges.numel() + 1, edges.shape[1], device=edges.device).int()
            tails = self.facts.tail[edges].flatten().int()
            around = [  # one product a user, rather than rows gathered for each edge
                sparse_product(ends, tails, share.flatten(), v[at if number else 0])
                for at, share in enumerate(shares)
            ]
            own = v[:, : len(edges)].expand(len(user), -1, -1)
            v = self.step(number, own, torch.stack(around))

        return (v @ user.unsqueeze(2)).squeeze(2)

    def explanation_effects(self) -> KGCNEffects:
        """Return effects of facts, measured: fields without them."""
        return KGCNEffects(self)
