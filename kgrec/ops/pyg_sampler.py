"""Draws of ``kgrec.ops.neighbors`` as a sampler of PyG, for its loaders. Imports PyG.

sampler = CsrSampler(csr, [15, 10])
loader = NodeLoader(data, sampler, input_nodes=nodes, batch_size=1024, shuffle=True)
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, NodeSamplerInput, SamplerOutput
from torch_geometric.sampler.base import NegativeSampling
from torch_geometric.sampler.neighbor_sampler import edge_sample

from kgrec.ops.csr import Csr
from kgrec.ops.neighbors import draw_neighbors


class CsrSampler(BaseSampler):  # type: ignore[misc]
    """Draws neighbors for ``NodeLoader`` and ``LinkLoader``, without pyg-lib or torch-sparse. Draws
    follow torch's global stream, in loading workers too.

    Args:
        graph: The graph, in memory or mapped from its files.
        fanouts: Edges to draw for each node, hop by hop; 0 none, -1 all.
        order: Which edge of the data each of the graph's is, as ``Csr.from_edges`` says; None where
            they are in one order.
    """

    def __init__(self, graph: Csr, fanouts: Sequence[int], order: Tensor | None = None) -> None:
        self._graph = graph
        self._fanouts = list(fanouts)
        self._order = order

    @property
    def edge_permutation(self) -> Tensor | None:
        """Which edge of the data each of the graph's is."""
        return self._order

    def sample_from_nodes(self, index: NodeSamplerInput, **more: Any) -> SamplerOutput:
        """Return what is drawn around nodes.

        Raises:
            GraphError: If a node is there twice or is none of the graph.
        """
        out = self._around(index.node)
        out.metadata = (index.input_id, index.time)
        return out

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> SamplerOutput:
        """Return what is drawn around the ends of edges."""
        return edge_sample(
            index, self._around, self._graph.num_nodes, disjoint=False, neg_sampling=neg_sampling
        )

    def _around(self, nodes: Tensor, *_: object) -> SamplerOutput:
        key = int(torch.randint(2**62, ()))
        drawn = draw_neighbors(self._graph, nodes, self._fanouts, key)
        return SamplerOutput(
            node=drawn.nodes,
            row=drawn.source,
            col=drawn.destination,
            edge=drawn.edge,
            num_sampled_nodes=list(drawn.hops),
            num_sampled_edges=list(drawn.drawn),
        )
