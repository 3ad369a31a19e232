"""RippleNet: Propagating User Preferences on the Knowledge Graph for Recommender Systems. Wang et
al., CIKM 2018.

https://arxiv.org/abs/1803.03467 (equation numbers are those of version 4)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError, GraphError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Objective, Plan, Preset, Recommender, Span
from kgrec.models.knowledge.base import (
    PairScorer,
    SampledFacts,
    check_memory,
    interactions_by_user,
    keep_samples,
)
from kgrec.models.knowledge.ripplenet_effects import RippleNetEffects
from kgrec.models.sources import NegativeSource, Points
from kgrec.nn.init import glorot_uniform
from kgrec.ops.relational import rel_project
from kgrec.ops.rows import take_rows

_VALUES_AT_ONCE = 2**22
_Moved = tuple[Float[Tensor, "edges dim"], Float[Tensor, "edges dim"]]


@dataclass(frozen=True, slots=True)
class RippleNetConfig:
    """Hyper-parameters of RippleNet.

    Attributes:
        dim: Embedding size d; 16 in the paper for movies, 4 for books.
        num_hops: Hops H of the ripple sets; 2 in the paper.
        memory: Triples of each ripple set; 32 in the authors' code.
        form: "paper" addresses every hop by the item itself; "code" by the item as the hops before
            have left it, which also makes the score, as the authors' code does.
        inverses: Whether triples are walked from their tails as well; not in the paper.
        negatives: Items drawn for each interaction where the data has no labeled negatives; 1 in
            the paper.
        kg_weight: Weight of the loss of triples; 0.01 in the paper. With 0.1 items without
            interactions are ranked by their triples.
        l2_weight: Weight of the squares of the rows looked up, added up over the batch; 1e-7 in
            the paper for movies, 1e-5 for books.
    """

    dim: int = 32
    num_hops: int = 2
    memory: int = 32
    form: Literal["paper", "code"] = "code"
    inverses: bool = True
    negatives: int = 4
    kg_weight: float = 0.1
    l2_weight: float = 1e-7

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if min(self.dim, self.num_hops, self.memory, self.negatives) < 1:
            raise ConfigError("RippleNet needs dim, num_hops, memory and negatives of at least 1.")
        if self.kg_weight < 0 or self.l2_weight < 0 or self.form not in ("paper", "code"):
            raise ConfigError(
                'RippleNet needs kg_weight and l2_weight >= 0, and form "paper" or "code".'
            )


_PUBLISHED = {"dim": 16, "inverses": False, "negatives": 1, "kg_weight": 0.01}
_PUBLISHED_TRAINING = {"epochs": 10, "patience": 0, "batch_size": 1024, "learning_rate": 0.02}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "form": "paper"}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_hops": (1, 2, 3),
    "memory": (16, 32, 64),
    "form": ("code", "paper"),
    "negatives": (1, 4, 16),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "kg_weight": Span(1e-3, 1e-1, log=True),
    "l2_weight": Span(1e-8, 1e-5, log=True),
}


class RippleNet(Recommender):
    """Let what a user likes spread along triples, and see how much of it answers to an item.

        S_k: triples whose heads are the tails of S_(k-1); those of S_1 the user's items     (1)-(2)
        p_i = softmax over (h_i, r_i, t_i) of S_k of v^T R_i h_i                                 (4)
        o_k = sum over S_k of p_i t_i,   score(u, v) = v^T (o_1 + ... + o_H)                 (5)-(7)
        loss = cross-entropy of labeled pairs
               + lambda_2 / 2 squared error of h^T R t + lambda_1 / 2 |parameters|^2     (12)-(13)

    Ripple sets are drawn once and kept with the weights.

    Differs from the paper: of as many triples, each is as likely (``sample_evenly``); a set that is
    empty repeats the one before, as in the authors' code, and a user without any is not ranked for;
    false triples are drawn one for each true one of the batch's ripple sets; L2 is on the rows
    looked up; negatives are drawn again every epoch, unless the data has labeled ones; ``inverses``
    is an addition. ``form="code"`` (preset "official", and the default) follows the authors' code:

        v <- (v + o_k) W after each hop, and in the score;   lambda_2 (- mean sigmoid(h^T R t))

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the ripple sets and the initial parameters.

    Source: Wang et al., RippleNet, CIKM 2018. https://arxiv.org/abs/1803.03467
    """

    ripples: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: RippleNetConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        d = config.dim
        self.facts = SampledFacts(ckg, inverses=config.inverses)
        size = (self.facts.num_edges, int((ckg.relation == 0).sum()))
        keep_samples(self, size, ripples=_ripple_sets(ckg, self.facts, config, generator))
        self.entities = nn.Parameter(glorot_uniform(ckg.num_entities, d, generator=generator))
        relations = glorot_uniform(self.facts.num_relations, d, d, generator=generator)
        self.relations = nn.Parameter(relations)  # R
        transform = glorot_uniform(d, d, generator=generator) if config.form == "code" else None
        self.transform = None if transform is None else nn.Parameter(transform)  # W

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: RippleNetConfig, generator: torch.Generator
    ) -> "RippleNet":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def moved(self, edges: Int[Tensor, " edges"]) -> _Moved:
        """Return R h and t of some edges."""
        heads = take_rows(self.entities, self.facts.head[edges])
        moved = rel_project(heads, self.facts.relation[edges], self.relations.transpose(1, 2))
        return moved, take_rows(self.entities, self.facts.tail[edges])

    def addressed(
        self,
        item: Float[Tensor, "batch cand dim"],
        keys: Float[Tensor, "batch hist dim"],
        there: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch cand hist"]:
        """Return how much of a ripple set answers to items, Eq. (4); 0 for what is not there."""
        logits = (item @ keys.transpose(1, 2)).masked_fill(~there.unsqueeze(1), -1e9)
        shares: Tensor = logits.softmax(2) * there.unsqueeze(1)
        return shares

    def responses(
        self,
        item: Float[Tensor, "batch cand dim"],
        keys: Float[Tensor, "batch layers hist dim"],
        tails: Float[Tensor, "batch layers hist dim"],
        there: Bool[Tensor, "batch layers hist"],
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of items for users, by their ripple sets, Eqs. (5)-(7)."""
        total = torch.zeros_like(item)
        for hop in range(self.config.num_hops):
            shares = self.addressed(item, keys[:, hop], there[:, hop])
            answer = shares @ tails[:, hop]  # o_k, Eq. (5)
            item = self.answered(item, answer)
            total = total + answer  # Eq. (6)

        return (item * total).sum(2)  # Eq. (7)

    def answered(
        self, item: Float[Tensor, "batch cand dim"], answer: Float[Tensor, "batch cand dim"]
    ) -> Float[Tensor, "batch cand dim"]:
        """Return an item as a hop leaves it."""
        if self.transform is None:
            return item
        return (item + answer) @ self.transform

    def pairs(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the scores of pairs."""
        users, _, items, where = _by_user(user, item)
        edges, at = torch.unique(self.ripples[users], return_inverse=True)
        return self._scored(items, self.moved(edges), edges, at)[where]

    def _scored(
        self,
        items: Int[Tensor, "batch cand"],
        moved: _Moved,
        edges: Int[Tensor, " edges"],
        at: Int[Tensor, "batch layers hist"],
    ) -> Float[Tensor, "batch cand"]:
        keys, tails = (take_rows(part, at.flatten()).view(*at.shape, -1) for part in moved)
        v = take_rows(self.entities, items.flatten()).view(*items.shape, -1)
        return self.responses(v, keys, tails, self.facts.there(edges)[at])

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of labeled pairs, the loss of triples, and L2, Eq. (13)."""
        users, pairs, items, where = _by_user(batch.user, batch.item)
        what = f"{self.config.num_hops} hops of {self.config.memory} triples for a batch"
        values = self.ripples[users].numel() * (self.config.dim + items.shape[1])
        remedy = "Take a smaller num_hops, memory or batch_size."
        check_memory(what, 2 * values, self.entities, remedy)
        edges, at = torch.unique(self.ripples[users], return_inverse=True)
        moved = self.moved(edges)
        score = self._scored(items, moved, edges, at)[where]
        found = binary_cross_entropy_with_logits(score, batch.label)
        of_slot = pairs.repeat_interleave(at[0].numel())
        times = self.facts.there(edges) * torch.bincount(at.flatten(), of_slot, len(edges))
        triples = self.config.kg_weight * self._triples(moved, times / len(batch.user))
        rows = take_rows(self.entities, torch.cat([self.facts.head[edges], self.facts.tail[edges]]))
        of_relation = self.relations.square().sum((1, 2))[self.facts.relation[edges]]
        squares = rows.square().sum(1).view(2, -1).sum(0) + of_relation
        return found + triples + self.config.l2_weight * (times.to(score) @ squares)

    def _triples(self, moved: _Moved, weight: Float[Tensor, " edges"]) -> Float[Tensor, ""]:
        """Return the loss of the triples in ripple sets, mean over a set, sum over hops."""
        keys, tails = moved
        true = (keys * tails).sum(1)  # h^T R t, R h with t
        weight = weight.to(true) / self.config.memory
        if self.config.form == "code":
            return -(weight * torch.sigmoid(true)).sum()

        drawn = torch.randint(len(self.entities), (len(keys),), device=keys.device)
        false = (keys * take_rows(self.entities, drawn)).sum(1)
        return 0.5 * (weight * ((1 - true).square() + false.square())).sum()  # Eq. (12)

    def plan(self) -> Plan:
        """Return one objective on labeled pairs."""
        points = Points(negatives=NegativeSource(self.config.negatives))
        return Plan((Objective(PointwiseBatch, self.loss, name="bce", source=points),))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with a ripple set, and the items used or within somebody's."""
        there = self.facts.there(self.ripples)
        items = with_interactions(data).items.copy()
        met = torch.unique(self.facts.tail[self.ripples[there]])
        items[met[met < len(items)].cpu().numpy()] = True
        return Known(there.flatten(1).any(1).cpu().numpy(), items)

    def scorer(self) -> PairScorer:
        """Return the scores of pairs."""
        return PairScorer(self.catalog, self.pairs)

    def catalog(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return the scores of all items, a few users at a time."""
        items = self.entities[: self.ckg.num_items]
        row = len(items) * (self.config.memory + 2 * self.config.dim)
        parts = []

        for some in torch.split(user, max(1, _VALUES_AT_ONCE // row)):
            slots = self.ripples[some]
            keys, tails = (part.view(*slots.shape, -1) for part in self.moved(slots.flatten()))
            every = items.unsqueeze(0).expand(len(some), -1, -1)
            parts.append(self.responses(every, keys, tails, self.facts.there(slots)))

        return torch.cat(parts)

    def explanation_effects(self) -> RippleNetEffects:
        """Return effects of likes and facts, measured: ripple sets without them."""
        return RippleNetEffects(self)


def _by_user(user: Tensor, item: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Return the distinct users of pairs, how many pairs each has, their items side by side, padded
    with 0, and where the pairs are among these: so that a user's ripple sets are read once.
    """
    users, row, count = torch.unique(user, return_inverse=True, return_counts=True)
    order = torch.argsort(row, stable=True)
    place = torch.empty_like(row)
    first = count.cumsum(0) - count
    place[order] = torch.arange(len(row), device=row.device) - first[row[order]]
    items = item.new_zeros(len(users), int(count.max()))
    items[row, place] = item
    return users, count, items, (row, place)


def _ripple_sets(
    ckg: CollaborativeKG,
    facts: SampledFacts,
    config: RippleNetConfig,
    generator: torch.Generator,
) -> Int[Tensor, "users layers hist"]:
    """Return the edges of each user's ripple sets, Eq. (2).

    Raises:
        ConfigError: If they would not fit into memory.
        GraphError: If there are triples, and none in any set.
    """
    hops = config.num_hops
    memory = config.memory
    ptr, heads = interactions_by_user(ckg)
    what = f"ripple sets of {hops} hops of {memory} triples for {ckg.num_users} users"
    remedy = "Take a smaller num_hops or memory."
    check_memory(what, ckg.num_users * hops * memory, facts.tail, remedy)
    sets = [facts.draw(heads, ptr, memory, generator)]
    if facts.num_edges and not bool(facts.there(sets[0]).any()):
        raise GraphError(
            "RippleNet: no item with interactions is the head of a triple, so that all ripple "
            "sets are empty. Set inverses=true, or turn the triples around."
        )

    for _ in range(hops - 1):
        drawn = facts.draw(*facts.tails_of(sets[-1]), memory, generator)
        sets.append(drawn.where(facts.there(drawn), sets[-1]))

    return torch.stack(sets, 1)
