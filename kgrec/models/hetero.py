"""Any network of PyTorch Geometric over ``HeteroData`` as a recommender.

A subclass says how the network is made; embeddings, training, ranking and measured explanations are
here. ``examples/08_rgcn.py`` and ``examples/09_hgt.py`` are complete ones.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kgrec.batches import PairwiseBatch, PositiveBatch
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known
from kgrec.errors import ConfigError, ModelError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.hetero import NodeTypes, build_hetero_data
from kgrec.graph.reach import reached
from kgrec.graph.typed_graph import EdgeType, TypedGraph
from kgrec.models.base import DotProduct, Plan, Preset, Recommender, Span, ranking_objective
from kgrec.models.hetero_checks import (
    check_finite,
    check_network,
    check_vectors,
    one_line_errors,
)
from kgrec.models.hetero_effects import HeteroEffects
from kgrec.nn.init import normal
from kgrec.nn.losses import bpr, l2
from kgrec.nn.ranking_loss import CosineSoftmax, check_ranking_loss, ranked_items
from kgrec.ops.rows import take_rows

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


@dataclass(frozen=True)
class HeteroConfig:
    """Hyper-parameters of every ``HeteroRecommender``; inherit to add those of a network.

    Attributes:
        dim: Size of the embeddings, and what a network is meant to take for its own.
        num_layers: Layers of the network.
        loss: "softmax" contrasts each interaction by cosine with all items that have training
            interactions, and ranks by normalized item vectors; "bpr" with one sampled item.
        temperature: Temperature of the softmax, in (0, 1]; unused by "bpr".
        l2_weight: Weight of half the squared norms of the batch's vectors, divided by its size.
        types: Node types, as in ``build_hetero_data``: "role" or "class".
        hide_positives: Whether the interactions of a step's batch are taken out of the graph in
            that step. As they are (False), a user's vector has already gathered the items that it
            is trained to rank first: standard practice since NGCF and LightGCN.
    """

    dim: int = 64
    num_layers: int = 2
    loss: Literal["bpr", "softmax"] = "softmax"
    temperature: float = 0.2
    l2_weight: float = 1e-5
    types: Literal["role", "class"] = "role"
    hide_positives: bool = False

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.num_layers < 0 or self.l2_weight < 0:
            raise ConfigError("a network needs dim >= 1, num_layers >= 0 and l2_weight >= 0.")
        check_ranking_loss("a network", self.loss, self.temperature)
        if self.types not in ("role", "class"):
            raise ConfigError(f"types={self.types!r} is not known. Choose 'role' or 'class'.")


PRESETS = {"default": Preset(train={"learning_rate": 0.01, "epochs": 100})}

SPACE = {
    "num_layers": (1, 2, 3),
    "learning_rate": Span(2e-3, 2e-2, log=True),
    "temperature": Span(0.1, 0.3),
    "l2_weight": Span(1e-6, 1e-3, log=True),
}


class HeteroRecommender(Recommender):
    """Rank by the user and item vectors of a network over the typed graph of a dataset.

    The network's ``forward(x_dict, edge_index_dict)`` returns vectors by node type, "user" and
    "item" among them and of one width. Node types without features have trained embeddings. The
    whole graph is run in every step; it holds the training interactions alone, so validation and
    test interactions are ranked by a network that has not gathered them. A step's own interactions
    are part of it unless ``hide_positives``.

    Parameters and random numbers of the network are drawn from the run's seed. Effects of facts are
    differences of runs of the network.

    Args:
        graph: The edges.
        data: The same as ``HeteroData``, with the features that there are.
        config: Hyper-parameters.
        generator: Draws the initial parameters.

    Raises:
        ModelError: If the network cannot be run on the graph, or returns something else.
    """

    config_class: ClassVar[type[HeteroConfig]] = HeteroConfig
    """The configuration, where a network has more hyper-parameters."""

    def __init_subclass__(cls, **more: Any) -> None:
        """Let ``from_dataset`` annotate the configuration of the class, which is where it is looked
        for.
        """
        super().__init_subclass__(**more)
        if "config_class" not in vars(cls) or "from_dataset" in vars(cls):
            return

        def from_dataset(
            own: Any, data: Dataset, config: HeteroConfig, generator: torch.Generator
        ) -> HeteroRecommender:
            made: HeteroRecommender = super(cls, own).from_dataset(data, config, generator)  # type: ignore[safe-super,assignment]
            return made

        from_dataset.__annotations__["config"] = cls.config_class
        cls.from_dataset = classmethod(from_dataset)  # type: ignore[assignment,method-assign]

    def __init__(
        self,
        graph: TypedGraph,
        data: "HeteroData",
        config: HeteroConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.ckg = graph.ckg
        self.config = config
        self.graph = graph
        self.contrast = CosineSoftmax(*self.ckg.warm_items(), config.temperature)
        self.node_types = tuple(data.node_types)
        for name in self.node_types:
            if "x" in data[name]:
                self.register_buffer(f"features_{name}", data[name].x, persistent=False)
            else:
                rows = normal(data[name].num_nodes, config.dim, scale=0.1, generator=generator)
                self.register_parameter(f"nodes_{name}", nn.Parameter(rows))

        # layers draw their parameters from PyTorch's own stream, which stays as it is
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            self.net = self._built(data)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: HeteroConfig, generator: torch.Generator
    ) -> "HeteroRecommender":
        """Take the typed graph of training interactions, triples and user facts."""
        graph = build_hetero_data(data, config.types)
        edge_types = graph.edge_types
        cls.add_features(graph, data)

        if graph.edge_types != edge_types:
            raise ModelError(
                f"{cls.__name__}.add_features changed the edges of the graph. Leave them, and "
                "change them in the network's forward."
            )

        ckg = CollaborativeKG.from_dataset(data)
        typed = TypedGraph(ckg, NodeTypes.of(data, ckg, config.types))
        return cls(typed, graph, config, generator)

    @abstractmethod
    def network(self, data: "HeteroData", config: Any) -> nn.Module:
        """Return the network for a graph: ``data.metadata()`` has its node and edge types, those of
        inverses included.
        """

    @classmethod
    def add_features(cls, graph: "HeteroData", data: Dataset) -> None:
        """Set ``graph[type].x`` of node types that have features and take no embeddings; a row per
        node, which ``graph[type].row`` names.
        """

    def forward(self, kept: Bool[Tensor, " _"] | None = None) -> dict[str, Tensor]:
        """Return the network's vectors by node type, on the graph of all or of some facts."""
        return self.on_edges(self.graph.edges(kept))

    def on_edges(self, edges: Mapping[EdgeType, Tensor]) -> dict[str, Tensor]:
        """Return the network's vectors by node type, on edges by type.

        Raises:
            ModelError: If they are not vectors of one width for every user and item.
        """
        return self._checked(self.net(self._inputs(), edges))

    def _inputs(self) -> dict[str, Tensor]:
        """Return features or embeddings by node type."""
        tables: dict[str, Tensor] = {
            **dict(self.named_parameters(recurse=False)),
            **dict(self.named_buffers(recurse=False)),
        }
        return {
            name: tables[table]
            for name in self.node_types
            for table in (f"nodes_{name}", f"features_{name}")
            if table in tables
        }

    def _built(self, data: "HeteroData") -> nn.Module:
        """Return the network, run once: layers that learn their widths in their first run have
        parameters from then on.
        """
        with one_line_errors(self._where):
            net = self.network(data, self.config)
            check_network(net, self.graph.edges(), self._where)
            net.eval()
            with torch.no_grad():
                found = net(self._inputs(), self.graph.edges())

        self._checked(found)
        check_finite(found, self._where)
        return net.train()

    def _checked(self, found: Any) -> dict[str, Tensor]:
        counts = {"user": self.ckg.num_users, "item": self.ckg.num_items}
        return check_vectors(found, counts, self._where)

    @property
    def _where(self) -> str:
        return f"the network of {type(self).__name__}"

    def _trained(self, batch: PairwiseBatch | PositiveBatch) -> dict[str, Tensor]:
        if not self.config.hide_positives:
            return self.forward()
        return self.forward(self.graph.without_pairs(batch.user, batch.positive))

    def bpr_loss(self, batch: PairwiseBatch) -> Float[Tensor, ""]:
        """Return BPR over interactions."""
        found = self._trained(batch)
        user = take_rows(found["user"], batch.user)
        positive = take_rows(found["item"], batch.positive)
        negative = take_rows(found["item"], batch.negative)
        ranking = bpr((user * positive).sum(1), (user * negative).sum(1))
        return ranking + self.config.l2_weight * l2(user, positive, negative)

    def softmax_loss(self, batch: PositiveBatch) -> Float[Tensor, ""]:
        """Return the cosine softmax over all items that have training interactions."""
        found = self._trained(batch)
        user = take_rows(found["user"], batch.user)
        loss: Tensor = self.contrast(user, self.contrast.of(found["item"]), batch.positive)
        positive = take_rows(found["item"], batch.positive)
        return loss + self.config.l2_weight * l2(user, positive)

    def plan(self) -> Plan:
        """Return one objective, which moves embeddings and network."""
        objective = ranking_objective(self.config.loss, self.bpr_loss, self.softmax_loss)
        return Plan((objective,))

    def can_rank(self, data: Dataset) -> Known:
        """Return the users and items that the graph joins to an interaction."""
        return reached(self.ckg)

    def scorer(self) -> DotProduct:
        """Return the network's vectors.

        Raises:
            ModelError: If they are not finite.
        """
        found = self.forward()
        check_finite(found, self._where)
        return DotProduct(found["user"], ranked_items(found["item"], self.config.loss))

    def export_vectors(self) -> Mapping[str, Float[Tensor, "nodes _"]]:
        """Return users and items as they are ranked by, and the entities where the network gives
        vectors of one width for all of them.
        """
        found = self.forward()
        ranked = self.scorer()
        vectors = {"users": ranked.users, "items": ranked.items}
        width = found["item"].shape[1]
        types = self.graph.types
        entities = found["item"].new_zeros(self.ckg.num_entities, width)

        for number, name in enumerate(types.names[1:], 1):
            nodes = torch.from_numpy((types.kind == number).nonzero()[0]).to(entities.device)
            own = found.get(name)
            if len(nodes) and (own is None or own.shape != (len(nodes), width)):
                return vectors

            if own is not None:
                entities[nodes] = own

        return {**vectors, "entities": entities}

    def explanation_effects(self) -> HeteroEffects:
        """Return effects of facts, measured by running the network without them."""
        return HeteroEffects(self)
