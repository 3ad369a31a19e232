"""A model as a module that ``torch_geometric.explain.Explainer`` takes. Imports PyG."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from kgrec.data.records.ids import Id
from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.core.records import Hop
from kgrec.explanation.search.explained import ExplainedModel, Fitted
from kgrec.models.capabilities import MessagePassed


def as_pyg_module(run: Fitted, user: Id, *, standardized: bool = False) -> "PygScores":
    """Return one user's scores as a module that explainers of PyTorch Geometric take.

        module = as_pyg_module(run, "u0001")
        explainer = Explainer(module, GNNExplainer(), ...)
        explanation = explainer(module.x, module.edge_index, ...)
        module.top_edges(explanation.edge_mask, 10)

    Args:
        run: A run of a model that is layers of weighted messages (``lightgcn``, ``lightgcn-kg``,
            ``kgat``; of others, those whose effects are ``kgrec.models.capabilities.MessagePassed``).
        user: User id.
        standardized: Whether scores are divided by their standard deviation over the items. PyG's
            explainers weigh a prediction against the size and the entropy of a mask; beside those,
            scores that are cosines hardly count.

    Raises:
        UnknownIdError: If the user is not in the data.
        ExplanationError: If the model has learned nothing about the user.
        CapabilityError: If the model is not layers of weighted messages, or has no layer.
    """
    explained = ExplainedModel(run)
    (row,) = explained.rows(user)
    return PygScores(explained, row, standardized=standardized)


class PygScores(nn.Module):
    """One user's scores by messages of PyG, on which the masks of its explainers act.

    The scores are one row, so that the user's list is a prediction in PyG's sense: of "regression"
    with ``items``, or of "multiclass_classification", whose classes are the items. What a model
    normalizes by (degrees, attention) is in ``edge_weight`` and stays as it is under a mask.

    Args:
        explained: The model and its data.
        user: User row.
        standardized: Whether scores are divided by their standard deviation over the items.

    Attributes:
        x: The trained vectors of all nodes: items, other entities, users.
        edge_index: Source and destination of every message, (2, edges).
        edge_weight: The weight that the model gives each.
        user: User row.
        spread: What scores are divided by.

    Raises:
        ExplanationError: If the model has learned nothing about the user.
        CapabilityError: If the model is not layers of weighted messages, or has no layer.
    """

    x: Tensor
    edge_index: Tensor
    edge_weight: Tensor

    def __init__(self, explained: ExplainedModel, user: int, *, standardized: bool = False) -> None:
        super().__init__()
        effects = explained.model_effects
        if not isinstance(effects, MessagePassed):
            raise CapabilityError(
                f"{explained.name} is not layers of weighted messages, which masks act on. Use "
                "lightgcn, lightgcn-kg or kgat, or a model whose effects are MessagePassed."
            )

        scores = explained.standing(user).scores
        form = effects.message_layers()
        if not form.updates:
            raise CapabilityError(
                f"{explained.name} has no layer: no message enters its scores, and a mask would "
                "have no effect."
            )

        self.user = user
        self.spread = 1.0
        if standardized:
            self.spread = max(float(scores.std()), 1e-12)

        self._explained = explained
        self._combined = form.combined
        self._ranked = form.ranked
        self._updates = list(form.updates)
        self._modules_of_updates = nn.ModuleList(
            update for update in form.updates if isinstance(update, nn.Module)
        )
        self._gather = nn.ModuleList(_Gather() for _ in form.updates)
        self.register_buffer("x", form.start)
        self.register_buffer("edge_index", form.edge_index)
        self.register_buffer("edge_weight", form.weight)
        self._edges_of_fact = form.edges_of_fact.cpu().numpy()
        self.eval()

    def forward(
        self,
        x: Float[Tensor, "nodes dim"],
        edge_index: Int[Tensor, "2 edges"],
        edge_weight: Float[Tensor, " edges"] | None = None,
        items: Int[Tensor, " cand"] | None = None,
    ) -> Float[Tensor, "1 _"]:
        """Return the user's scores of all items, or of some, as one row.

        Args:
            x: Vectors of the nodes.
            edge_index: The edges; all of them, or some with their ``edge_weight``.
            edge_weight: Their weights; None takes the model's own, of all edges.
            items: Item rows; None takes all.

        Raises:
            ConfigError: If there is not one weight per edge.
        """
        if edge_weight is None:
            edge_weight = self.edge_weight

        if len(edge_weight) != edge_index.shape[1]:
            raise ConfigError(
                f"{edge_index.shape[1]} edges and {len(edge_weight)} weights: with some of the "
                "edges, pass their edge_weight as well."
            )

        ckg = self._explained.graph.ckg
        states = [x]
        for gather, update in zip(self._gather, self._updates, strict=True):
            states.append(update(states[-1], gather(states[-1], edge_index, edge_weight)))

        z = self._combined(states)
        if items is None:
            candidates = z[: ckg.num_items]
        else:
            candidates = z[items]

        scores = self._ranked(candidates) @ z[ckg.user_node(self.user)]
        return scores.unsqueeze(0) / self.spread

    def item_rows(self, *items: Id) -> Int[Tensor, " cand"]:
        """Return the rows of items by id, as ``forward`` takes them.

        Raises:
            UnknownIdError: If one is not in the data.
        """
        rows = self._explained.rows(self._explained.data.users.key(self.user), *items)[1:]
        return torch.tensor(rows, dtype=torch.int64, device=self.edge_index.device)

    def receptive_field(self, item: int) -> Int[Tensor, " edges"]:
        """Return the columns whose messages enter the score of an item (row)."""
        ckg = self._explained.graph.ckg
        source, target = self.edge_index
        reached = torch.zeros(ckg.num_nodes, dtype=torch.bool, device=source.device)
        reached[[ckg.user_node(self.user), item]] = True
        inside = torch.zeros_like(source, dtype=torch.bool)

        for _ in self._updates:
            inside |= reached[target]
            reached[source[inside]] = True

        return inside.nonzero().squeeze(1)

    def hop(self, column: int) -> Hop:
        """Return what a column of ``edge_index`` stands for: its two nodes, in the direction of the
        message, and the facts or the interaction that join them, each with its source.
        """
        facts = np.flatnonzero((self._edges_of_fact == column).any(0))
        ends = self.edge_index[:, column].tolist()
        naming = self._explained.naming
        relations = naming.relations(facts, ends)
        return Hop(naming.node(ends[0]), naming.node(ends[1]), relations)

    def per_edge(self, edge_mask: Float[Tensor, " edges"]) -> np.ndarray:
        """Return, per edge of the path graph, the sum of a mask over both directions."""
        graph = self._explained.graph
        values = edge_mask.detach().double().cpu().numpy()
        per_fact = values[self._edges_of_fact].sum(0)
        effects = self._explained.model_effects
        assert isinstance(effects, MessagePassed)
        if effects.merges_relations:
            return np.asarray(per_fact[graph.first_facts])

        return graph.per_edge(per_fact)

    def top_edges(
        self, edge_mask: Float[Tensor, " edges"], k: int = 10
    ) -> tuple[tuple[float, Hop], ...]:
        """Return the ``k`` edges with the largest masks, both directions added up, best first."""
        graph = self._explained.graph
        values = self.per_edge(edge_mask)
        found = []

        for edge in np.argsort(-values, kind="stable")[:k].tolist():
            fact = graph.facts(edge)[0]
            ends = [int(graph.ckg.head[fact]), int(graph.ckg.tail[fact])]
            (hop,) = self._explained.naming.hops(ends, [edge], 0)
            found.append((float(values[edge]), hop))

        return tuple(found)


class _Gather(MessagePassing):  # type: ignore[misc]
    """The weighted sum of each node's neighbors."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Any:
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return x_j * edge_weight.unsqueeze(1)
