"""KGFuse: item weights in closed form and propagated vectors that know their facts, in one sum.

docs/models/kgfuse.md is its page: equations, choices, controls, limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kgrec.batches import CorruptedBatch, PositiveBatch, UserBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.log import logger
from kgrec.models.base import Objective, Plan, Preset, Recommender, Scorer, Span, Split, Validate
from kgrec.models.blend import BlendScorer, Mixture, Remembered, scale_of
from kgrec.models.folding import folding
from kgrec.models.graph.base import FactLight
from kgrec.models.knowledge.kgfuse_effects import KGFuseEffects
from kgrec.models.linear.base import AttributeRidge
from kgrec.models.sources import Users
from kgrec.models.typed_facts import TripleLoss
from kgrec.nn.init import normal
from kgrec.nn.mixing import GRID
from kgrec.nn.rivals import empty, empty_as_stored


@dataclass(frozen=True, slots=True)
class KGFuseConfig:
    """Hyper-parameters of KGFuse. What is called a grid is chosen from on validation while the model
    is trained; a grid of one value is no choice.

    Attributes:
        item_weights: Grid of g, what item weights (A) count for beside vectors (B); 0 is B alone.
        attribute_weights: Grid of w, what an attribute counts for beside a user in A.
        by_relation: Most items up to which the attributes of each relation have a weight of their
            own, an inversion per relation and value; 0 gives one weight to all.
        relation_weights: The weights themselves, one for all or one per relation of the data; ()
            chooses them.
        l2: Weight lambda of the squared item weights.
        min_items: Attributes of fewer items are left out.
        precision: Of the inversion.
        triple_weights: Grid of v, the weight of B's triple loss. Every value is trained with every
            temperature, side by side; every ``trial_epochs`` epochs the worse half on validation is
            dropped.
        trial_epochs: See there.
        triple_negatives: Other tails of the relation per triple.
        triple_temperature: What cosines of the triple loss are divided by, in (0, 1].
        triple_l2_weight: Weight of L2 on the rows of a batch of triples.
        dim: Size of the vectors.
        num_layers: Propagation layers K.
        temperatures: Grid of tau, what cosines of users and items are divided by, in (0, 1].
        l2_weight: Weight of L2 on the rows of a batch of interactions.
        init_scale: Standard deviation of the initial vectors.
        rows: "user" makes one row of cosines per user, and an epoch of ``steps`` batches; "interaction"
            one per interaction, in batches of ``batch_size``. The loss is the same.
        steps: Batches in an epoch.
    """

    item_weights: tuple[float, ...] = (*GRID, 25.0, 100.0)
    attribute_weights: tuple[float, ...] = (0.0, 1.0, 3.0, 10.0, 30.0)
    by_relation: int = 1000
    relation_weights: tuple[float, ...] = ()
    l2: float = 300.0
    min_items: int = 2
    precision: Literal["float32", "float64"] = "float32"
    triple_weights: tuple[float, ...] = (0.0, 1.0, 4.0)
    trial_epochs: int = 10
    triple_negatives: int = 8
    triple_temperature: float = 0.15
    triple_l2_weight: float = 1e-3
    dim: int = 128
    num_layers: int = 2
    temperatures: tuple[float, ...] = (0.2, 0.15)
    l2_weight: float = 1e-4
    init_scale: float = 0.1
    rows: Literal["user", "interaction"] = "user"
    steps: int = 8

    def __post_init__(self) -> None:
        """Reject values out of range."""
        for name in ("item_weights", "attribute_weights", "triple_weights", "temperatures"):
            grid = getattr(self, name)
            if not grid or min(grid) < 0 or len(set(grid)) < len(grid):
                raise ConfigError(f"KGFuse needs {name} of distinct values >= 0, at least one.")

        counts = self.dim, self.num_layers, self.trial_epochs, self.steps, self.min_items
        if min(counts) < 1 or min(self.l2, self.init_scale) <= 0 or self.l2_weight < 0:
            raise ConfigError(
                "KGFuse needs dim, num_layers, trial_epochs, steps and min_items of at least 1, l2 and "
                "init_scale > 0, l2_weight >= 0."
            )
        known = self.rows in ("user", "interaction") and self.precision in ("float64", "float32")
        taus = self.temperatures
        if (
            min(taus) <= 0
            or max(taus) > 1
            or not known
            or min(self.relation_weights, default=0) < 0
        ):
            raise ConfigError(
                'KGFuse needs temperatures in (0, 1], rows "user" or "interaction", precision '
                '"float64" or "float32", and relation_weights >= 0.'
            )
        self.triple_loss()

    def triple_loss(self) -> TripleLoss:
        """Return the triple loss but for its weight."""
        return TripleLoss(self.triple_negatives, self.triple_temperature, self.triple_l2_weight)


@dataclass(frozen=True, slots=True)
class _GraphConfig:
    """What B is with one triple weight and temperature; the names are those of ``KGFuseConfig`` and
    ``FactLight``.
    """

    kg_weight: float
    temperature: float
    dim: int
    num_layers: int
    l2_weight: float
    init_scale: float
    loss: str = "softmax"


PRESETS = {
    "default": Preset(train={"learning_rate": 0.02, "epochs": 50}),
    "fast": Preset(
        {"dim": 64, "triple_weights": (0.0, 4.0), "temperatures": (0.2,), "trial_epochs": 5},
        {"learning_rate": 0.02, "epochs": 20, "patience": 5},
    ),
    "best": Preset(
        {"dim": 256, "by_relation": 20_000, "trial_epochs": 20},
        {"learning_rate": 0.01, "epochs": 100},
    ),
}
SPACE = {
    "dim": (64, 128, 256),
    "num_layers": (1, 2, 3),
    "learning_rate": Span(5e-3, 4e-2, log=True),
    "l2": Span(50.0, 1000.0, log=True),
    "l2_weight": Span(1e-5, 1e-2, log=True),
    "triple_l2_weight": Span(1e-5, 1e-2, log=True),
}


class Graph(FactLight):
    """Member B: light propagation, ranked by cosine, with a triple loss on its layer 0.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial vectors.
    """

    def _initial(self, generator: torch.Generator) -> Tensor:
        shape = self.ckg.num_nodes, self.config.dim
        return normal(*shape, scale=self.config.init_scale, generator=generator)


class SideBySide(nn.Module):
    """Member B with every triple weight and temperature, trained side by side until one is left.

    Args:
        ckg: Graph with triples.
        config: Hyper-parameters.
        generator: Draws the initial vectors, the same for every value.
    """

    alive: Tensor
    leader: Tensor

    def __init__(
        self, ckg: CollaborativeKG, config: KGFuseConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        self.graphs = nn.ModuleList()
        start = generator.get_state()
        for weight, temperature in product(config.triple_weights, config.temperatures):
            generator.set_state(start)
            own = _GraphConfig(weight, temperature, *(getattr(config, name) for name in _SHARED))
            self.graphs.append(Graph(ckg, own, generator, config.triple_loss()))

        self.register_buffer("alive", torch.ones(len(self.graphs), dtype=torch.bool))
        self.register_buffer("leader", torch.zeros(1, dtype=torch.int64))
        empty_as_stored(self.graphs)

    @property
    def best(self) -> Graph:
        """The one that led when they were last measured, the first before."""
        found = self.graphs[int(self.leader)]
        assert isinstance(found, Graph)
        return found

    def trained(self) -> dict[int, Graph]:
        """Return those that are still trained, by their number."""
        numbers = torch.nonzero(self.alive).flatten().tolist()
        every = ((number, self.graphs[number]) for number in numbers)
        return {number: graph for number, graph in every if isinstance(graph, Graph)}

    def objectives(self) -> tuple[Objective[Any], ...]:
        """Return those of interactions and triples."""
        ranking: Objective[Any] = Objective(PositiveBatch, self.pair_loss, name="softmax")
        if self.config.rows == "user":
            users = Users(self.config.steps)
            ranking = Objective(UserBatch, self.user_loss, name="softmax", source=users)

        drawn = [graph.facts.source() for graph in self.trained().values() if graph.facts.weight]
        if not drawn:
            return (ranking,)
        triples = Objective(CorruptedBatch, self.triple_loss, name="triples", source=drawn[0])
        return ranking, triples

    def user_loss(self, batch: UserBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax of all that are trained, added up, Eq. (4)."""
        losses = [graph.by_user_loss(batch) for graph in self.trained().values()]
        return torch.stack(losses).sum()

    def pair_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the same by interactions."""
        losses = [graph.softmax_loss(batch) for graph in self.trained().values()]
        return torch.stack(losses).sum()

    def triple_loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the triple losses of all that are trained, weighted, Eq. (4)."""
        losses = [
            graph.facts.weight * graph.facts.of(graph.nodes, batch)
            if graph.facts.weight
            else 0 * graph.nodes[:1].sum()
            for graph in self.trained().values()
        ]
        return torch.stack(losses).sum()

    def compare(self, epoch: int, validate: Validate) -> None:
        """Measure those that are trained; every ``trial_epochs`` epochs, drop the worse half."""
        rivals = self.trained()
        if len(rivals) == 1:
            return

        found = {number: validate(graph.scorer()) for number, graph in rivals.items()}
        order = sorted(found, key=lambda number: (-found[number], number))  # of equals the first
        self.leader.fill_(order[0])
        if epoch % self.config.trial_epochs == 0:
            for number in order[(len(order) + 1) // 2 :]:
                self.alive[number] = False
                own = rivals[number].config
                logger.info("kgfuse: %s is dropped at %.4f.", own, found[number])

    def end(self) -> None:
        """Keep the leader alone."""
        self.alive.fill_(False)
        self.alive[self.leader] = True
        for number, graph in enumerate(self.graphs):
            if not self.alive[number]:
                empty(graph)


class KGFuse(Mixture):
    """Add up item weights in closed form and cosines of vectors propagated over the collaborative
    knowledge graph, each over one constant.

        score(u, i) = g x_u . B_i / s_A + z_u . z_i / |z_i| / s_B                               (1)
        A:  B = argmin |X - X B|^2 + w |T - T B|^2 + lambda |B|^2,  diag(B) = 0                 (2)
        B:  Z = 1 / (K + 1) (V + S V + ... + S^K V)                                             (3)
            loss = - mean over interactions of log softmax over items of cos(z_u, z_i) / tau
                   - v mean over triples of log softmax over tails of cos(v_h + r, v_t) / tau'  (4)

    X holds users x items, T attributes x items, S the normalized graph of interactions and triples,
    v_n the rows of V. s_A and s_B are standard deviations of the members' scores within a user. g,
    w, v and tau are chosen on validation while the model is trained: v and tau by training their
    values side by side and dropping the worse half, w by item weights alone, g at last. Where
    nothing validates, w is 1, v and tau the first of their grids and g 0.25. Both addends are sums
    over likes or walks, so that every part of a score and what a deletion takes away are exact.

    Differs from the paper: there is none but docs/models/kgfuse.md.

    Args:
        data: What it is trained on.
        config: Hyper-parameters.
        generator: Draws the initial vectors.

    Source: docs/models/kgfuse.md. A: Jeunen et al., RecSys 2020. B: He et al., LightGCN, SIGIR
    2020, with the triple loss of Ai et al., CFKG, Algorithms 2018.
    """

    folds_in = True

    factors: Tensor
    chosen: Tensor

    def __init__(self, data: Dataset, config: KGFuseConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.data = data
        self.ckg = CollaborativeKG.from_dataset(data)
        self.item_weights = AttributeRidge.from_dataset(data, config, generator)  # A
        self.graphs = SideBySide(self.ckg, config, generator)  # B
        self.register_buffer("factors", torch.zeros(2, dtype=torch.float64))  # g / s_A, 1 / s_B
        self.register_buffer("chosen", torch.zeros(1, dtype=torch.float64))  # g

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: KGFuseConfig, generator: torch.Generator
    ) -> "KGFuse":
        """Take interactions, attributes and the collaborative knowledge graph."""
        given = len(config.relation_weights)
        if given not in (0, 1, data.num_relations):
            raise ConfigError(
                f"relation_weights has {given} values, and {data.name} has {data.num_relations} "
                "relations. Give one for all or one each."
            )
        return cls(data, config, generator)

    def trained(self) -> list[Recommender]:
        """Return both members."""
        return [self.item_weights, self.graphs.best]

    def plan(self) -> Plan:
        """Return B's losses in one step; v is chosen after epochs, the rest at the end."""
        objectives = self.graphs.objectives()
        plan = Plan(objectives, joint=True, compare=self.graphs.compare, settle=self._settle)
        graphs = self.graphs.trained().values()
        tables = tuple(table for graph in graphs for table in graph.apart())
        edges = sum(graph.graph.csr.num_edges for graph in graphs)
        return plan.by_columns(Split(tables, edges, self.config.num_layers))

    def _settle(self, validate: Validate | None) -> None:
        """Choose w by item weights alone, then g, each member over its scale."""
        self.graphs.end()
        config = self.config
        ridge = self.item_weights
        if config.relation_weights:
            ridge.fit(*config.relation_weights)
        elif validate is None:
            ridge.fit(min(config.attribute_weights, key=lambda weight: abs(weight - 1)))
        else:
            own, grid = validate, config.attribute_weights
            many = ridge.num_items > config.by_relation
            ridge.choose(lambda: own(ridge.scorer()), grid, by_relation=not many)

        items = torch.from_numpy(self.can_rank(self.data).items).to(self.factors.device)
        scales = [scale_of(member.scorer(), self.data, items) for member in self.trained()]
        self._weigh(scales, min(config.item_weights, key=lambda g: abs(g - 0.25)))
        if validate is None or len(config.item_weights) == 1 or not all(scales):
            return

        members = [Remembered(scorer) for scorer in self.scorers()]
        found = {}
        for g in sorted(config.item_weights):
            self._weigh(scales, g)
            found[g] = validate(self.mixed(members))

        self._weigh(scales, max(found, key=lambda g: found[g]))  # of equals the first

    def _weigh(self, scales: Sequence[float], g: float) -> None:
        """Set the factors of both members; one whose scores are all equal counts for nothing."""
        of_items, of_graph = (1 / scale if scale else 0.0 for scale in scales)
        self.factors.copy_(torch.tensor([g * of_items, of_graph], dtype=torch.float64))
        self.chosen.fill_(g)

    def settled(self) -> Mapping[str, Any]:
        """Return the chosen values, as grids of one."""
        if not float(self.factors.sum()):
            return {}
        return {
            "item_weights": (float(self.chosen),),
            "triple_weights": (float(self.graphs.best.config.kg_weight),),
            "temperatures": (float(self.graphs.best.config.temperature),),
            "relation_weights": tuple(self.item_weights.relation_weights.tolist()),
        }

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items whose vectors a trained one reaches."""
        return self.graphs.best.can_rank(data)

    def scorers(self) -> list[Scorer]:
        """Return the members' scorers, which fold people in each by itself."""
        graph = self.graphs.best
        return [self.item_weights.scorer(), folding(graph, graph.scorer(), self.data, graph.config)]

    def mixed(self, scorers: Sequence[Scorer]) -> Scorer:
        """Return the sum of the members' scorers, Eq. (1)."""
        none = torch.zeros(0, dtype=torch.int64, device=self.factors.device)
        used = none.new_zeros(self.data.num_users)
        return BlendScorer(tuple(scorers), self.factors.unsqueeze(0), none, used, False)

    def scorer(self) -> Scorer:
        """Return the sum; while it is trained, B alone."""
        if not float(self.factors.sum()):
            return self.graphs.best.scorer()
        return self.mixed(self.scorers())

    def explanation_effects(self) -> KGFuseEffects:
        """Return the sum of the members' effects; refits of item weights."""
        return KGFuseEffects(self, self.data)


_SHARED = ("dim", "num_layers", "l2_weight", "init_scale")
