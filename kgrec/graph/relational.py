"""The collaborative knowledge graph with its relations, both ways, as a model propagates over
it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.graph.ckg import CollaborativeKG
from kgrec.ops.csr import Csr
from kgrec.ops.relational import RelationEdges, by_relation


class RelationalGraph(nn.Module):
    """Every fact of a CKG and its inverse, sorted by head; moves between devices with the model
    that holds it.

    An edge runs from the tail (source) to the head (destination): a head gathers from its tails.

    Attributes:
        csr: The structure, with relations in [0, 2R).
    """

    _ptr: Tensor
    _idx: Tensor
    _rev: Tensor
    _relation: Tensor
    _edge: Tensor

    def __init__(self, ckg: CollaborativeKG) -> None:
        super().__init__()
        self.num_nodes = ckg.num_nodes
        self.num_relations = 2 * ckg.num_relations
        head, relation, tail = (torch.from_numpy(part) for part in ckg.both_ways())
        inverse = torch.arange(self.num_relations).roll(ckg.num_relations)
        csr, order = Csr.from_edges(head, tail, ckg.num_nodes, relation=relation, inverse=inverse)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order))
        self._groups: tuple[torch.device, tuple[RelationEdges, ...]] | None = None
        parts = {
            "_ptr": csr.ptr,
            "_idx": csr.idx,
            "_rev": csr.rev,
            "_relation": csr.relation,
            "_edge": position[: len(ckg.head)],
        }
        for name, value in parts.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def csr(self) -> Csr:
        """The structure, on the device where the module is."""
        return Csr(self._ptr, self._idx, self._rev, self._relation, self.num_nodes)

    @property
    def relation(self) -> Int[Tensor, " edges"]:
        """Relation of each edge, int32."""
        return self._relation

    def by_relation(self) -> tuple[RelationEdges, ...]:
        """Return the edges of each relation; made at the first call, and again after a move to
        another device.
        """
        if self._groups is None or self._groups[0] != self._ptr.device:
            self._groups = self._ptr.device, by_relation(self.csr)
        return self._groups[1]

    def per_fact(self, values: Float[Tensor, " edges"]) -> Float[Tensor, " _"]:
        """Return, per fact, the sum of its own edge and its inverse's."""
        return values[self._edge] + values[self._rev[self._edge].long()]

    def edges_of(self, facts: Sequence[int] | np.ndarray) -> Int[Tensor, " _"]:
        """Return the edges of some facts and of their inverses."""
        own = self._edge[torch.from_numpy(np.asarray(facts, dtype=np.int64)).to(self._edge.device)]
        return torch.cat([own, self._rev[own].long()])

    def static_weights(self) -> Float[Tensor, " edges"]:
        """Return the sum over relations of row-normalized adjacencies, 1 / (edges of the same head
        and relation), in the default dtype.

        A row adds up to the number of distinct relations at its node.

        Source: ``adj_type si`` of the authors' KGAT code.
        """
        group = self.csr.destinations() * self.num_relations + self._relation.long()
        _, group, size = torch.unique_consecutive(group, return_inverse=True, return_counts=True)
        weights: Tensor = size.to(torch.get_default_dtype()).reciprocal()[group]
        return weights
