"""The edges of a typed graph as PyG networks take them, each with the fact that it stands for."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.errors import GraphError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.hetero import NodeTypes

EdgeType = tuple[str, str, str]


class TypedGraph(nn.Module):
    """The edges of ``build_hetero_data``, by type and in its order: those of a type's facts, then
    their inverses.

    Args:
        ckg: The graph.
        types: Types of its nodes and names of its relations.
        like: Edge types in the direction of facts; those without a fact in ``ckg`` have no edges.
            None takes those that it has.

    Raises:
        GraphError: If a fact is of none of the types ``like``.
    """

    _interactions: Tensor

    def __init__(
        self, ckg: CollaborativeKG, types: NodeTypes, like: Sequence[EdgeType] | None = None
    ) -> None:
        super().__init__()
        self.ckg = ckg
        self.types = types
        found = {edge_type: (facts, ends) for edge_type, facts, ends in types.edges(ckg)}
        self.edge_types = tuple(found if like is None else like)
        for edge_type in found.keys() - set(self.edge_types):
            raise GraphError(
                f"the network was built without edges of type {', '.join(edge_type)}, so none can "
                "be added."
            )

        none = np.empty(0, np.int64), np.empty((2, 0), np.int64)
        for number, edge_type in enumerate(self.edge_types):
            facts, ends = found.get(edge_type, none)
            edge_index = torch.from_numpy(ends)
            self._keep(f"facts_{number}", torch.from_numpy(facts))
            self._keep(f"edges_{number}", edge_index)
            self._keep(f"inverse_edges_{number}", edge_index.flip(0).contiguous())

        pairs = (ckg.head - ckg.num_entities) * ckg.num_items + ckg.tail
        self._keep("_interactions", torch.from_numpy(np.where(ckg.relation == 0, pairs, -1)))

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values, persistent=False)

    def edges(self, kept: Bool[Tensor, " _"] | None = None) -> dict[EdgeType, Tensor]:
        """Return the edges by type, (2, edges) each; where ``kept`` says so per fact, those of some
        facts alone. A type keeps its name when it loses its last edge.
        """
        found = {}
        for number, (source, relation, target) in enumerate(self.edge_types):
            forward = self.get_buffer(f"edges_{number}")
            backward = self.get_buffer(f"inverse_edges_{number}")

            if kept is not None:
                own = kept[self.get_buffer(f"facts_{number}")]
                forward = forward[:, own]
                backward = backward[:, own]

            found[source, relation, target] = forward
            found[target, "rev_" + relation, source] = backward

        return found

    def per_edge(self, values: Float[Tensor, " _"]) -> dict[EdgeType, Tensor]:
        """Return a value per fact as one per edge, by type."""
        found = {}
        for number, (source, relation, target) in enumerate(self.edge_types):
            own = values[self.get_buffer(f"facts_{number}")]
            found[source, relation, target] = own
            found[target, "rev_" + relation, source] = own

        return found

    def without(self, facts: Sequence[int]) -> Bool[Tensor, " _"]:
        """Return, per fact, whether it is none of some."""
        kept = torch.ones_like(self._interactions, dtype=torch.bool)
        kept[torch.as_tensor(facts, dtype=torch.int64, device=kept.device)] = False
        return kept

    def without_pairs(
        self, user: Int[Tensor, " batch"], item: Int[Tensor, " batch"]
    ) -> Bool[Tensor, " _"]:
        """Return, per fact, whether it is not the interaction of one of these users and items."""
        kept: Tensor = ~torch.isin(self._interactions, user * self.ckg.num_items + item)
        return kept
