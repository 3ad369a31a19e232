"""The collaborative knowledge graph with its relations, both ways, as a model propagates over it."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from kgrec.graph.ckg import CollaborativeKG
from kgrec.ops.csr import Csr


class RelationalGraph(nn.Module):
    """Every fact of a CKG and its inverse, sorted by head; moves between devices with the model that holds it.

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
        self.num_nodes, self.num_relations = ckg.num_nodes, 2 * ckg.num_relations
        head, relation, tail = (torch.from_numpy(part) for part in ckg.both_ways())
        inverse = torch.arange(self.num_relations).roll(ckg.num_relations)
        csr, order = Csr.from_edges(head, tail, ckg.num_nodes, relation=relation, inverse=inverse)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order))
        parts = {"_ptr": csr.ptr, "_idx": csr.idx, "_rev": csr.rev, "_relation": csr.relation, "_edge": position[: len(ckg.head)]}
        for name, value in parts.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def csr(self) -> Csr:
        """The structure, on the device where the module is."""
        return Csr(self._ptr, self._idx, self._rev, self._relation, self.num_nodes)

    def per_fact(self, values: Float[Tensor, " edges"]) -> Float[Tensor, " _"]:
        """Return, per fact, the sum of its own edge and its inverse's."""
        return values[self._edge] + values[self._rev[self._edge].long()]

    def _kept(self, facts: Sequence[int], like: Tensor) -> Tensor:
        kept = torch.ones(len(self._idx), dtype=like.dtype, device=like.device)
        gone = self._edge[torch.from_numpy(np.asarray(facts, dtype=np.int64)).to(self._edge.device)]
        kept[gone] = 0
        kept[self._rev[gone].long()] = 0
        return kept

    def static_weights(self, without: Sequence[int] = ()) -> Float[Tensor, " edges"]:
        """Return the sum over relations of row-normalized adjacencies, 1 / (edges of the same head and relation), in the default dtype.

        A row adds up to the number of distinct relations at its node.

        Source: ``adj_type si`` of the authors' KGAT code (models.md 1.3).
        """
        kept = self._kept(without, torch.empty(0, dtype=torch.get_default_dtype(), device=self._ptr.device))
        group = self.csr.destinations() * self.num_relations + self._relation.long()
        _, group = torch.unique_consecutive(group, return_inverse=True)
        size = torch.zeros(int(group[-1]) + 1 if len(group) else 0, dtype=kept.dtype, device=kept.device).index_add_(0, group, kept)
        return kept / size[group].clamp(min=1)

    def renormalized_without(self, weights: Float[Tensor, " edges"], facts: Sequence[int]) -> Float[Tensor, " edges"]:
        """Return weights that added up to a row's total without some facts, scaled so that what is left adds up to the same total."""
        kept = weights * self._kept(facts, weights)
        csr = self.csr
        before = torch.segment_reduce(weights, "sum", lengths=csr.ptr.diff(), unsafe=True)
        after = torch.segment_reduce(kept, "sum", lengths=csr.ptr.diff(), unsafe=True)
        scale = torch.where(after > 0, before / after.clamp(min=torch.finfo(after.dtype).tiny), 0.0)
        return kept * scale[csr.destinations()]
