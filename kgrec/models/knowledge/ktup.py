"""KTUP: Unifying Knowledge Graph Learning and Recommendation: Towards a Better Understanding of
User Preferences. Cao et al., WWW 2019.

https://arxiv.org/abs/1902.06236 (equation numbers are those of version 1)
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize, relu, softplus

from kgrec.batches import PairwiseBatch, TripleBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import ModelEffects, Objective, Plan, Preset, Recommender, Span
from kgrec.models.capabilities import Plausible
from kgrec.models.knowledge.base import PairScorer
from kgrec.models.sources import Triples
from kgrec.nn.block_scorer import fill_in_blocks
from kgrec.nn.init import glorot_uniform
from kgrec.ops.rows import take_rows


@dataclass(frozen=True, slots=True)
class KTUPConfig:
    """Hyper-parameters of KTUP.

    Attributes:
        dim: Embedding size d; 100 in the paper, 64 in most later comparisons.
        form: "paper" weighs preferences by a softmax and makes the hyperplane's normal a unit
            vector; "code" takes the similarities as they are, and the normal too, as the authors'
            code does.
        kg_weight: Share lambda of the loss of triples, in [0, 1]; 0.5 to 1 is tried in the paper.
        margin: Margin of the loss of triples; 1 in the authors' code.
        norm_weight: Weight of the terms that keep translations on their hyperplanes and entities
            within the unit ball; 1 in the authors' code.
        align_weight: Weight of the squared distances of items and their entities; 1 in the authors'
            code.
    """

    dim: int = 64
    form: Literal["paper", "code"] = "paper"
    kg_weight: float = 0.5
    margin: float = 1.0
    norm_weight: float = 0.1
    align_weight: float = 0.1

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.margin <= 0 or not 0 <= self.kg_weight <= 1:
            raise ConfigError("KTUP needs dim >= 1, margin > 0 and kg_weight in [0, 1].")
        if min(self.norm_weight, self.align_weight) < 0 or self.form not in ("paper", "code"):
            raise ConfigError(
                'KTUP needs norm_weight and align_weight >= 0, and form "paper" or "code".'
            )


_PUBLISHED = {"dim": 100, "norm_weight": 1.0, "align_weight": 1.0}
_PUBLISHED_TRAINING = {
    "epochs": 500,
    "patience": 0,
    "batch_size": 512,
    "learning_rate": 0.005,
    "optimizer": "adagrad",
    "clip_norm": 5.0,
}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.005, "epochs": 100}),
    "paper": Preset({**_PUBLISHED, "form": "paper"}, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "form": ("paper", "code"),
    "kg_weight": Span(0.1, 0.9),
    "norm_weight": Span(1e-3, 1.0, log=True),
    "align_weight": Span(1e-3, 1.0, log=True),
    "learning_rate": Span(1e-3, 2e-2, log=True),
}


class KTUP(Recommender):
    """Translate users to items by preferences, which are the relations of the knowledge graph.

        i' = i + e of its entity;   w_k = softmax over k of (u + i') . (P_k + R_k) / 2        (4)-(6)
        p = sum of w_k (P_k + R_k) / 2,   n = sum of w_k (n of P_k + n of R_k) / 2           (14)
        score(u, i) = -|u_n + p - i'_n|^2,   x_n = x - (n . x) n                             (7)-(8)
        g(h, r, t) = |h_n + R_r - t_n|^2 with n of R_r                                       (11)
        loss = (1 - lambda) (BPR + p on its plane) + lambda (hinge of g + r on its plane
               + entities within the unit ball + |i - e|^2)                                  (9)-(13)

    Both losses are trained in one step. No fact enters the scores but through what training made
    of the vectors.

    Differs from the paper: TransH's plausibility takes corrupted tails alone; losses are means over
    the batch, and the terms on planes, the unit ball and the alignment are over the rows of the
    batch; the authors alternate steps of either loss; items without interactions
    start as their entities; a preference is a relation, in one direction. ``form="code"`` (preset
    "official") weighs by the similarities themselves and leaves n as long as it comes out.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Cao et al., KTUP, WWW 2019. https://arxiv.org/abs/1902.06236
    """

    scores_read_graph = False

    def __init__(
        self, ckg: CollaborativeKG, config: KTUPConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        count = max(1, ckg.num_relations - 1)
        sizes = (ckg.num_users, ckg.num_items, ckg.num_entities, count, count, count, count)
        drawn = (glorot_uniform(size, config.dim, generator=generator) for size in sizes)
        tables = [nn.Parameter(normalize(table, dim=1)) for table in drawn]
        self.users, self.items, self.entities = tables[:3]
        _, position = ckg.warm_items()
        with torch.no_grad():  # no interaction moves these: they are ranked by their entities
            self.items[position < 0] = self.entities[: ckg.num_items][position < 0]

        self.preferences, self.relations = tables[3:5]  # P and R
        self.preference_normals, self.relation_normals = tables[5:]

    @classmethod
    def from_dataset(cls, data: Dataset, config: KTUPConfig, generator: torch.Generator) -> "KTUP":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    def joined(self, item: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """Return items with their entities added."""
        return take_rows(self.items, item) + take_rows(self.entities, item)

    def preferred(
        self, u: Float[Tensor, "... dim"], i: Float[Tensor, "... dim"]
    ) -> tuple[Float[Tensor, "... dim"], Float[Tensor, "... dim"]]:
        """Return the translation and the normal of pairs, Eqs. (4)-(6) and (14)."""
        both = (self.preferences + self.relations) / 2
        weight = (u + i) @ both.T  # (..., relations)
        if self.config.form == "paper":
            weight = weight.softmax(-1)

        normal = weight @ ((self.preference_normals + self.relation_normals) / 2)
        if self.config.form == "paper":
            normal = normalize(normal, dim=-1)

        return weight @ both, normal

    def distances(
        self, u: Float[Tensor, "... dim"], i: Float[Tensor, "... dim"]
    ) -> Float[Tensor, "..."]:
        """Return the squared distances of users, translated, and items, Eqs. (7)-(8)."""
        translation, normal = self.preferred(u, i)
        apart = u - i
        apart = apart - (apart * normal).sum(-1, keepdim=True) * normal + translation
        found: Tensor = apart.square().sum(-1)
        return found

    def energies(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return g of triples, Eq. (11)."""
        h, t = take_rows(self.entities, torch.cat([head, tail])).chunk(2)
        return _energy(h, t, *self.planes(relation))

    def planes(
        self, relation: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return the normals of length 1 and the translations of relations."""
        normal = normalize(take_rows(self.relation_normals, relation), dim=1)
        return normal, take_rows(self.relations, relation)

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR of distances, and how far preferences are off their planes, Eq. (9)."""
        u = take_rows(self.users, batch.user)
        used, other = self.joined(torch.cat([batch.positive, batch.negative])).chunk(2)
        ranking = softplus(self.distances(u, used) - self.distances(u, other)).mean()
        off = self.config.norm_weight * _off_plane(self.preferences, self.preference_normals)
        return (1 - self.config.kg_weight) * (ranking + off)

    def kg_loss(self, batch: TripleBatch) -> Float[Tensor, ""]:
        """Return the hinge of triples, the terms that hold TransH to its planes, and the alignment
        of items and entities, Eqs. (11)-(13).
        """
        config = self.config
        nodes = torch.cat([batch.head, batch.tail, batch.negative_tail])
        e = take_rows(self.entities, nodes)  # once: each gradient is as large as the table
        h, t, other = e.chunk(3)
        normal, translation = self.planes(batch.relation)
        true, false = (_energy(h, end, normal, translation) for end in (t, other))
        hinge = relu(config.margin + true - false).mean()
        held = relu(e.square().sum(1) - 1).mean()
        held = held + _off_plane(self.relations, self.relation_normals)
        at = torch.nonzero(nodes < self.ckg.num_items).squeeze(1)
        apart = take_rows(self.items, nodes[at]) - take_rows(e, at)
        aligned = apart.square().sum() / max(1, len(at))
        loss = hinge + config.norm_weight * held + config.align_weight * aligned
        return config.kg_weight * loss

    def plan(self) -> Plan:
        """Return interactions and triples, trained in one step; interactions alone where there are
        no triples.
        """
        first = Objective(PairwiseBatch, self.bpr_loss, name="bpr")
        known = self.ckg.fact >= 0
        if not known.any():
            return Plan((first,))

        columns = (self.ckg.head, self.ckg.relation - 1, self.ckg.tail)
        head, relation, tail = (torch.from_numpy(column[known]) for column in columns)
        source = Triples(head, relation, tail, num_tails=self.ckg.num_entities)
        second = Objective(TripleBatch, self.kg_loss, name="transh", source=source)
        return Plan((first, second), joint=True)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with interactions, and the items that the graph tells something about."""
        return Known(with_interactions(data).users, reached(self.ckg).items)

    def scorer(self) -> PairScorer:
        """Return the scores of pairs."""
        return PairScorer(self.catalog, self.pairs)

    def pairs(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the scores of pairs."""
        return -self.distances(take_rows(self.users, user), self.joined(item))

    def catalog(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return the scores of all items."""
        u = self.users[user].detach()
        every = (self.items + self.entities[: self.ckg.num_items]).detach()
        scores = u.new_empty(len(u), len(every))

        def block(rows: slice, columns: slice) -> Tensor:
            users = u[rows].unsqueeze(1).expand(-1, len(every[columns]), -1)
            return -self.distances(users, every[columns].expand(len(users), -1, -1)).detach()

        return fill_in_blocks(scores, block, len(self.preferences) + 6 * self.config.dim)

    def explanation_effects(self) -> ModelEffects:
        """Return how plausible facts are: none enters the scores."""
        return KTUPEffects(self)


def _energy(
    head: Float[Tensor, "batch dim"],
    tail: Float[Tensor, "batch dim"],
    normal: Float[Tensor, "batch dim"],
    translation: Float[Tensor, "batch dim"],
) -> Float[Tensor, " batch"]:
    """Return g of triples by the vectors of their ends, Eq. (11)."""
    apart = head - tail
    apart = apart - (apart * normal).sum(1, keepdim=True) * normal
    return (apart + translation).square().sum(1)


def _off_plane(
    translations: Float[Tensor, "relations dim"], normals: Float[Tensor, "relations dim"]
) -> Float[Tensor, ""]:
    """Return how far translations leave their hyperplanes: (n . r)^2 / |r|^2, added up."""
    along = (normals * translations).sum(1).square()
    return (along / translations.square().sum(1).clamp(min=1e-12)).sum()


class KTUPEffects(Plausible):
    """How plausible facts are.

    Args:
        model: The model.
    """

    def __init__(self, model: KTUP) -> None:
        self._model = model

    @torch.no_grad()
    def plausibility(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return log sigmoid(-g(h, r, t)), at most log 1/2."""
        return logsigmoid(-self._model.energies(head, relation, tail))
