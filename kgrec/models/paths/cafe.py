"""CAFE: Coarse-to-Fine Neural Symbolic Reasoning for Explainable Recommendation. Xian et al., CIKM
2020.

https://arxiv.org/abs/2010.15620
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from kgrec.batches import CorruptedBatch, UserBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import Objective, Plan, Preset, Recommender, Span
from kgrec.models.paths.beams import Walker, Walks, WalkScorer
from kgrec.models.paths.patterns import (
    TypedSteps,
    mined,
    other_ends,
    shares,
    tree_of,
    walk_tree,
    walks_to_used,
)
from kgrec.models.paths.vectors import all_facts, moved_facts
from kgrec.models.sources import Users
from kgrec.nn.dense import dense
from kgrec.nn.init import normal
from kgrec.ops.rows import take_rows
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class CAFEConfig:
    """Hyper-parameters of CAFE. What is said to be the paper's was not checked against its text.

    Attributes:
        dim: Size of the vectors of nodes and relations; 100 in the paper.
        negatives: Corrupted facts for each true one, and other nodes for each step of a walk.
        embed_epochs: Epochs in which the vectors are learned before the first walk.
        hidden: Sizes of a module's layers; 256 and 256 in the paper.
        length: Steps of a pattern; at most 3 in the paper.
        max_patterns: Patterns that are kept, at most.
        walks: Walks of each user in an epoch, of which those to items of the user are learned.
        users_at_once: Users in a batch of walks; 128 in the paper.
        max_edges: Facts of a node and a relation that are looked at when it ranks, at most.
        paths: Paths that a user's profile holds; 15 in the paper.
        pattern_paths: Paths of a pattern in a profile, at most.
        rank_weight: Weight of the ranking loss; 10 in the paper.
        init_scale: Standard deviation of the vectors at first.
        l2_weight: Weight of half the squares of a batch's vectors, divided by its size.
    """

    dim: int = 64
    negatives: int = 4
    embed_epochs: int = 20
    hidden: tuple[int, ...] = (128,)
    length: int = 3
    max_patterns: int = 10
    walks: int = 200
    users_at_once: int = 64
    max_edges: int = 250
    paths: int = 200
    pattern_paths: int = 60
    rank_weight: float = 10.0
    init_scale: float = 0.1
    l2_weight: float = 1e-3

    def __post_init__(self) -> None:
        """Reject values out of range."""
        sizes = (self.dim, self.negatives, self.max_patterns, self.walks, self.users_at_once)
        if min(*sizes, self.max_edges, self.paths, self.pattern_paths, *self.hidden) < 1:
            raise ConfigError(
                "CAFE needs sizes, negatives, patterns, walks and paths of at least 1."
            )
        if not self.hidden or self.length < 2 or self.embed_epochs < 0:
            raise ConfigError(
                "CAFE needs a layer in hidden, length of at least 2, and embed_epochs of at least 0."
            )
        if min(self.rank_weight, self.l2_weight) < 0 or self.init_scale <= 0:
            raise ConfigError(
                "CAFE needs rank_weight and l2_weight of at least 0, and init_scale > 0."
            )


PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 60, "batch_size": 512}),
    "paper": Preset(
        {
            "dim": 100,
            "hidden": (256, 256),
            "embed_epochs": 30,
            "users_at_once": 128,
            "paths": 15,
            "pattern_paths": 5,
            "rank_weight": 10.0,
        },
        {"learning_rate": 0.0001, "epochs": 20, "patience": 0, "batch_size": 128},
    ),
    "fast": Preset(
        {"embed_epochs": 10, "walks": 100},
        {"learning_rate": 0.005, "epochs": 15, "patience": 3, "batch_size": 512},
    ),
}

SPACE = {
    "dim": (32, 64, 100),
    "max_patterns": (5, 10, 20),
    "rank_weight": Span(0.1, 10.0, log=True),
    "paths": (100, 200, 400),
    "learning_rate": Span(1e-4, 1e-2, log=True),
}


def walk_losses(
    logit: Float[Tensor, "batch _ cand"], mistaken: Bool[Tensor, "batch _"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the path loss and the rank loss of walks, 0 of none.

    Args:
        logit: h_j . e of the node of each step, first, and of other nodes.
        mistaken: Which of the last step's others are the user's items: they do not count.

    Source: Xian et al., CAFE, CIKM 2020, the fine stage. https://arxiv.org/abs/2010.15620
    """
    counts = torch.ones_like(logit)
    counts[:, -1, 1:] = (~mistaken).to(logit.dtype)
    sign = torch.ones_like(logit)
    sign[:, :, 0] = -1
    walks = max(len(logit), 1)
    path = (softplus(sign * logit) * counts).sum() / walks
    above = softplus(logit[:, -1, 1:] - logit[:, -1, :1]) * counts[:, -1, 1:]
    return path, above.sum() / walks / max(mistaken.shape[1], 1)


class CAFE(Recommender):
    """Choose how many paths of which patterns a user is worth, then find them by neural modules.

    A pattern is a sequence of relations by which walks lead users to items that they used.

        module      phi_r(u, h) = h + W_2 relu(W_1 (u || h)), any number of layers
        state       h_0 = u,  h_j = phi_{r_j}(u, h_{j-1}): of user and prefix, not of the walk
        step        P(e | u, r_1 .. r_j) = sigmoid(h_j . e)
        path loss   sum over steps of -log P(e_j) - sum over other ends e' of log(1 - P(e'))
        rank loss   -log sigmoid(h_L . v - h_L . v'), v' not used by the user
        loss = path loss + rank_weight * rank loss, over walks to items that the user used
        prominence  V_u(p) = mean of log P(v | u, p) over the user's items - the same over others
        profile     whole x_p <= pattern_paths, sum of x_p = paths, with the greatest sum x_p V_u(p)
        ranking     items by their likeliest path; the others behind, by sum of x_p h_L . v

    Paths are found by walking the tree of the patterns' prefixes once: at each, of all steps that go
    on from the paths before it, the likeliest are taken, as many as the x_p behind it.

    Vectors are learned by facts as in PGPR, before the first walk and an epoch for each of walks.

    Differs from the paper: a module adds what goes in to what comes out; all patterns have the same
    length; vectors go on learning; other ends stand for all nodes; no path leads to an item used
    already; a pattern's bound is the same for all; items that no path ends at stand behind the
    others instead of out; Adam on both losses in turn.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Xian et al., CAFE, CIKM 2020. https://arxiv.org/abs/2010.15620
    """

    scores_read_graph = True
    places: Tensor
    kinds: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: CAFEConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.steps = TypedSteps(ckg)
        self.patterns = mined(ckg, self.steps, config.length, config.max_patterns)
        self.tree, places = tree_of(self.patterns)
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("kinds", torch.tensor(self.patterns), persistent=False)
        self.nodes, self.relations = (
            nn.Parameter(normal(count, config.dim, scale=config.init_scale, generator=generator))
            for count in (ckg.num_nodes, ckg.num_relations)
        )
        sizes = (2 * config.dim, *config.hidden, config.dim)
        self.reasoning = nn.ModuleDict(
            {
                str(relation): dense(sizes, generator, last=nn.Identity())
                for relation in sorted({relation for _, relation in self.tree})
            }
        )
        self._draws: torch.Generator | None = None

    @classmethod
    def from_dataset(cls, data: Dataset, config: CAFEConfig, generator: torch.Generator) -> "CAFE":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.nodes.device

    def facts_loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the logistic loss of facts and corrupted ones, and L2."""
        return moved_facts(self.nodes, self.relations, batch, self.config.l2_weight)

    def states(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "_ batch dim"]:
        """Return the states of users at each prefix of the tree."""
        own = take_rows(self.nodes, user + self.ckg.num_entities)
        found: list[Tensor] = []
        for parent, relation in self.tree:
            before = found[parent] if parent >= 0 else own
            found.append(before + self.reasoning[str(relation)](torch.cat([own, before], 1)))

        return torch.stack(found)

    def walk_loss(self, batch: UserBatch) -> Mapping[str, Float[Tensor, ""]]:
        """Return the losses of walks by patterns that lead users to their items."""
        row = torch.arange(len(batch.user), device=self.device)
        row = row.repeat_interleave(self.config.walks)
        pattern = torch.randint(
            len(self.kinds), row.shape, generator=self._draws, device=self.device
        )
        relations = list(self.kinds[pattern].T)
        walks = walks_to_used(self.steps, batch.user[row], relations, self._draws)
        parts = (row, pattern, *walks[:2])
        row, pattern, nodes, kinds = (part[walks[2]] for part in parts)
        other, mistaken = other_ends(
            self.steps, batch.user[row], kinds, self.config.negatives, self._draws
        )
        ends = torch.cat([nodes[:, 1:].unsqueeze(2), other], 2)
        vectors = take_rows(self.nodes, ends.flatten()).view(*ends.shape, -1)
        at = self.places[pattern] * len(batch.user) + row.unsqueeze(1)
        state = take_rows(self.states(batch.user).flatten(0, 1), at.flatten())
        logit = (vectors @ state.view(*at.shape, -1, 1)).squeeze(3)
        path, rank = walk_losses(logit, mistaken)
        return {"path": path, "rank": self.config.rank_weight * rank}

    def plan(self) -> Plan:
        """Return an epoch of facts and an epoch of walks, in turn; before them facts alone."""
        config = self.config
        source = all_facts(self.ckg, config.dim, config.negatives)
        vectors = self.nodes, self.relations
        facts = Objective(CorruptedBatch, self.facts_loss, vectors, name="facts", source=source)
        moved = self.nodes, *self.reasoning.parameters()
        walkers = Users(-(-self.ckg.num_users // config.users_at_once))
        walks = Objective(UserBatch, self.walk_loss, moved, name="walks", source=walkers)
        warm_up = (facts, config.embed_epochs) if config.embed_epochs else None
        return Plan((facts, walks), begin_epoch=self._reseed, warm_up=warm_up)

    def _reseed(self, epoch: int, seed: int) -> None:
        self._draws = torch.Generator(self.device).manual_seed(derive(seed, "walks", epoch))

    def profile(
        self, user: Int[Tensor, " batch"], last: Float[Tensor, "_ batch items"]
    ) -> Int[Tensor, "batch _"]:
        """Return how many paths of each pattern users are worth.

        Args:
            user: User rows.
            last: h_L . v of each pattern, user and item.
        """
        items = torch.arange(self.ckg.num_items, device=self.device)
        own = self.steps.used_by(user, items)
        share = own / own.sum(1, keepdim=True).clamp(min=1)
        rest = ~own / (~own).sum(1, keepdim=True).clamp(min=1)
        prominence = (logsigmoid(last) * (share - rest)).sum(2).T
        return shares(prominence, self.config.paths, self.config.pattern_paths)

    def _last(self, states: Float[Tensor, "_ batch dim"]) -> Float[Tensor, "_ batch items"]:
        return states[self.places[:, -1]] @ self.nodes[: self.ckg.num_items].T

    def fits(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return what the patterns of a profile say of all items, by their numbers of paths."""
        last = self._last(self.states(user))
        weight = self.profile(user, last).to(last.dtype) / self.config.paths
        return (weight.T.unsqueeze(2) * last).sum(0)

    @torch.no_grad()
    def walked(self, user: Int[Tensor, " batch"]) -> Walks:
        """Return the paths of users' profiles."""
        states = self.states(user)
        worth = self.profile(user, self._last(states))
        width = worth.new_zeros(len(user), len(self.tree))
        for step in self.places.T:
            width.index_add_(1, step, worth)

        def chances(at: int, ends: Tensor) -> Tensor:
            return logsigmoid(states[at] @ self.nodes[ends].T)

        most = self.config.max_edges
        found = walk_tree(self.steps, self.tree, user, chances, width, most)
        leaves = [found[place] for place in self.places[:, -1].tolist()]
        kinds = [self.kinds[p].expand(len(leaf[0]), -1) for p, leaf in enumerate(leaves)]
        owner, nodes, chance = (torch.cat(part) for part in zip(*leaves, strict=True))
        return owner, nodes, torch.cat(kinds), chance

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the graph joins to an interaction."""
        return reached(self.ckg)

    def scorer(self) -> WalkScorer:
        """Return what ranks the items that paths end at before the others."""
        return WalkScorer(self, by_walk=True)

    def own_paths(self) -> Walker:
        """Return what gives the paths that end at items."""
        return Walker(self, by_walk=True)
