"""PGPR: Reinforcement Knowledge Graph Reasoning for Explainable Recommendation. Xian et al., SIGIR
2019.

https://arxiv.org/abs/1906.05237
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.batches import CorruptedBatch, UserBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import Objective, Plan, Preset, Recommender, Span
from kgrec.models.paths.beams import Walker, Walks, WalkScorer, beam
from kgrec.models.paths.vectors import all_facts, moved_facts
from kgrec.models.paths.walks import Steps, best_steps
from kgrec.nn.dense import dense, linear
from kgrec.nn.init import normal
from kgrec.random import derive

_FEWEST_MOVES = 2  # one is a like itself


@dataclass(frozen=True, slots=True)
class PGPRConfig:
    """Hyper-parameters of PGPR.

    Attributes:
        dim: Size of the vectors of nodes and relations; 100 in the paper.
        negatives: Corrupted facts for each true one, where vectors are learned.
        embed_epochs: Epochs in which the vectors are learned before the first walk.
        hidden: Sizes of the policy's layers; 512 and 256 in the paper.
        max_edges: Facts of a node that a walker sees, at most.
        max_actions: Steps that remain after pruning; 250 in the paper.
        walks: Walks of each user in an epoch.
        action_dropout: Probability of hiding a step from a walk of training; 0.5 in the paper.
        beams: Steps that are tried from each walker when it ranks, and so the length of walks; 25,
            5, 1 in the paper.
        discount: Discount of a reward by steps before it; 0.99 in the authors' code.
        entropy_weight: Weight of the policy's entropy; 0.001 in the paper.
        init_scale: Standard deviation of the vectors at first.
        l2_weight: Weight of half the squares of a batch's vectors, divided by its size.
    """

    dim: int = 64
    negatives: int = 4
    embed_epochs: int = 20
    hidden: tuple[int, ...] = (128, 64)
    max_edges: int = 250
    max_actions: int = 100
    walks: int = 4
    action_dropout: float = 0.3
    beams: tuple[int, ...] = (20, 5, 1)
    discount: float = 0.99
    entropy_weight: float = 0.01
    init_scale: float = 0.1
    l2_weight: float = 1e-3

    def __post_init__(self) -> None:
        """Reject values out of range."""
        sizes = (self.dim, self.negatives, self.max_edges, self.walks, *self.hidden, *self.beams)
        if min(sizes) < 1 or self.max_actions < 2 or self.embed_epochs < 0:
            raise ConfigError(
                "PGPR needs sizes, walks, negatives and beams of at least 1, max_actions of at "
                "least 2, and embed_epochs of at least 0."
            )
        if not self.hidden or not self.beams:
            raise ConfigError("PGPR needs a layer in hidden and a step in beams.")
        if not 0 <= self.action_dropout < 1 or not 0 < self.discount <= 1:
            raise ConfigError("PGPR needs action_dropout in [0, 1) and discount in (0, 1].")
        if min(self.entropy_weight, self.l2_weight) < 0 or self.init_scale <= 0:
            raise ConfigError(
                "PGPR needs entropy_weight and l2_weight of at least 0, and init_scale > 0."
            )


PRESETS = {
    "default": Preset(train={"learning_rate": 0.002, "epochs": 60, "batch_size": 512}),
    "paper": Preset(
        {
            "dim": 100,
            "hidden": (512, 256),
            "embed_epochs": 30,
            "max_actions": 250,
            "walks": 1,
            "action_dropout": 0.5,
            "beams": (25, 5, 1),
            "entropy_weight": 0.001,
        },
        {"learning_rate": 0.0001, "epochs": 50, "patience": 0, "batch_size": 32},
    ),
    "fast": Preset(
        {"embed_epochs": 10},
        {"learning_rate": 0.005, "epochs": 15, "patience": 3, "batch_size": 512},
    ),
}

SPACE = {
    "dim": (32, 64, 100),
    "max_actions": (50, 100, 250),
    "action_dropout": Span(0.0, 0.5),
    "entropy_weight": Span(1e-4, 0.1, log=True),
    "learning_rate": Span(1e-4, 1e-2, log=True),
}


class PGPR(Recommender):
    """Walk from users to items by a policy that is rewarded for where it ends.

        f(u, i) = (e_u + r_interacts) . e_i
        state s = e_u || e_before || r || e_now,   h = ReLU layers of s
        policy(r, e | s) = softmax over the steps of (W h) . (r || e),   v(s) = w . h         (3)
        reward = max(0, f(u, e_T) / max over i of f(u, i)) where e_T is an item that the walk came
                 to by two facts or more, else 0                                              (1)
        loss = sum over steps of -log policy (G - v) + (G - v)^2 - weight * entropy          (4)
        ranking: items that a beam of walks ends at, then the others, each by f

    Vectors are learned by facts, corrupted ends against true ones, an epoch for each of the
    policy's. A step against a fact has the relation's vector with its sign turned, staying 0.

    Differs from the paper: a step's logit is the product of a vector that the state asks for with
    the step's own vectors, where there it is a number by the step's row in the list, which means
    nothing when lists change; where the authors' code rewards patterns on a list, walks of two facts
    or more are rewarded; steps are pruned by f whatever their kind; no vectors of words; items
    that no walk ends at stand behind the others instead of out; Adam on both losses in turn.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Source: Xian et al., PGPR, SIGIR 2019. https://arxiv.org/abs/1906.05237
    """

    scores_read_graph = True

    def __init__(
        self, ckg: CollaborativeKG, config: PGPRConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.config = config
        self.steps = Steps(ckg, config.max_edges)
        self.nodes, self.relations = (
            nn.Parameter(normal(count, config.dim, scale=config.init_scale, generator=generator))
            for count in (ckg.num_nodes, ckg.num_relations)
        )
        self.body = dense((4 * config.dim, *config.hidden), generator)
        self.actor = linear(config.hidden[-1], 2 * config.dim, generator)
        self.critic = linear(config.hidden[-1], 1, generator)
        self._draws: torch.Generator | None = None

    @classmethod
    def from_dataset(cls, data: Dataset, config: PGPRConfig, generator: torch.Generator) -> "PGPR":
        """Take the collaborative knowledge graph."""
        return cls(CollaborativeKG.from_dataset(data), config, generator)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.nodes.device

    def facts_loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the logistic loss of facts and corrupted ones, and L2."""
        return moved_facts(self.nodes, self.relations, batch, self.config.l2_weight)

    def fits(self, user: Int[Tensor, " batch"]) -> Float[Tensor, "batch items"]:
        """Return f(u, i) of all items."""
        moved = self.nodes[user + self.ckg.num_entities] + self.relations[0]
        return moved @ self.nodes[: self.ckg.num_items].T

    def choices(
        self, user: Tensor, now: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Float[Tensor, "batch cand"], Float[Tensor, " batch"]]:
        """Return the steps of walkers, their logits, and the value of the state, Eq. (3).

        Args:
            user: Whose walks they are.
            now: The node before, the relation of the last step, the node now.
        """
        nodes, signed = self.nodes.detach(), self._signed()
        before, relation, node = now
        own = nodes[user + self.ckg.num_entities]
        steps = self.steps.of(node, before)
        wanted = own + self.relations[0].detach()
        worth = (nodes[steps[1]] @ wanted.unsqueeze(2)).squeeze(2)
        kept = best_steps(steps, worth, self.config.max_actions)
        state = torch.cat([own, nodes[before], signed[relation], nodes[node]], 1)
        hidden = self.body(state)
        by_relation, by_node = self.actor(hidden).chunk(2, 1)
        logits = (nodes[kept[1]] @ by_node.unsqueeze(2)).squeeze(2)
        logits = logits + (by_relation @ signed.T).gather(1, kept[0])
        lowest = torch.finfo(logits.dtype).min
        return kept, logits.masked_fill(~kept[2], lowest), self.critic(hidden).squeeze(1)

    def _signed(self) -> Float[Tensor, "relations dim"]:
        relations = self.relations.detach()
        return torch.cat([relations, -relations, torch.zeros_like(relations[:1])])

    def start(self, user: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return where walks of users start: no node before, no step taken."""
        node = user + self.ckg.num_entities
        return node, torch.full_like(node, self.steps.stay), node

    def walk_loss(self, batch: UserBatch) -> Mapping[str, Float[Tensor, ""]]:
        """Return the losses of policy, value and entropy over walks of users, Eq. (4)."""
        user = batch.user.repeat_interleave(self.config.walks)
        now = self.start(user)
        taken: list[tuple[Tensor, Tensor, Tensor]] = []
        moves = torch.zeros_like(user)
        for _ in self.config.beams:
            (relation, end, held), logits, value = self.choices(user, now)
            hidden = torch.rand(held.shape, generator=self._draws, device=held.device)
            hidden[:, 0] = 1.0  # staying is always seen
            dropped = (hidden < self.config.action_dropout) & held
            logits = logits.masked_fill(dropped, torch.finfo(logits.dtype).min)
            log_share = logits.log_softmax(1)
            share = log_share.exp()
            step = torch.multinomial(share.detach(), 1, generator=self._draws)
            entropy = -(share * log_share.clamp(min=-1e4)).sum(1)
            taken.append((log_share.gather(1, step).squeeze(1), value, entropy))
            relation, end = (part.gather(1, step).squeeze(1) for part in (relation, end))
            now = now[2], relation, end
            moves = moves + (relation != self.steps.stay)

        return self.reinforced(taken, self.reward(user, now[2]) * (moves >= _FEWEST_MOVES))

    def reinforced(
        self, taken: list[tuple[Tensor, Tensor, Tensor]], reward: Float[Tensor, " batch"]
    ) -> Mapping[str, Float[Tensor, ""]]:
        """Return the losses of steps that were taken, each a log-probability, a value and an
        entropy, by the reward at the end.
        """
        parts: dict[str, list[Tensor]] = {"policy": [], "value": [], "entropy": []}
        for ahead, (log_share, value, spread) in enumerate(reversed(taken)):
            gain = self.config.discount**ahead * reward - value
            parts["policy"].append(-log_share * gain.detach())
            parts["value"].append(gain.square())
            parts["entropy"].append(-self.config.entropy_weight * spread)

        return {name: torch.stack(losses).sum(0).mean() for name, losses in parts.items()}

    @torch.no_grad()
    def reward(
        self, user: Int[Tensor, " batch"], node: Int[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """Return the rewards of ending at nodes, Eq. (1)."""
        fits = self.fits(user)
        item = node < self.ckg.num_items
        own = fits.gather(1, torch.where(item, node, 0).unsqueeze(1)).squeeze(1)
        return (own / fits.amax(1).clamp(min=1e-6)).clamp(0, 1) * item

    def plan(self) -> Plan:
        """Return an epoch of facts and an epoch of walks, in turn; before them facts alone."""
        config = self.config
        source = all_facts(self.ckg, config.dim, config.negatives)
        vectors = self.nodes, self.relations
        facts = Objective(CorruptedBatch, self.facts_loss, vectors, name="facts", source=source)
        moved = (*self.body.parameters(), *self.actor.parameters(), *self.critic.parameters())
        walks = Objective(UserBatch, self.walk_loss, moved, name="walks")
        warm_up = (facts, config.embed_epochs) if config.embed_epochs else None
        return Plan((facts, walks), begin_epoch=self._reseed, warm_up=warm_up)

    def _reseed(self, epoch: int, seed: int) -> None:
        self._draws = torch.Generator(self.device).manual_seed(derive(seed, "walks", epoch))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the graph joins to an interaction."""
        return reached(self.ckg)

    def walked(self, user: Int[Tensor, " batch"]) -> Walks:
        """Return the walks of a beam of the policy."""
        return beam(self, user, self.config.beams)

    def scorer(self) -> WalkScorer:
        """Return what ranks the items that walks end at before the others."""
        return WalkScorer(self)

    def own_paths(self) -> Walker:
        """Return what gives the walks that end at items."""
        return Walker(self)
