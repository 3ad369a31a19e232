"""Parts of a graph for models that look at less than all of it: relations, views with edges or
nodes left out, and sampled neighbors.

A mask holds an edge and its reverse alike, so that a part is symmetric again; weights are computed
from it again (``symmetric_weights``, ``random_walk_weights``). Draws come from the generator that is
passed: seed it by the epoch (``Plan.begin_epoch``), and a resumed training draws the same.
"""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from kgrec.errors import GraphError
from kgrec.ops.csr import Csr


def of_relations(graph: Csr, relations: Collection[int]) -> Bool[Tensor, " edges"]:
    """Return which edges are of some relations or the reverse of one that is.

    Raises:
        GraphError: If the edges have no relations.
    """
    if graph.relation is None:
        raise GraphError("the graph has one kind of edge. Take one with relations.")

    wanted = torch.tensor(list(relations), dtype=torch.int64, device=graph.ptr.device)
    own = torch.isin(graph.relation.long(), wanted)
    return own | own[graph.rev.long()]


def without_edges(graph: Csr, share: float, generator: torch.Generator) -> Bool[Tensor, " edges"]:
    """Return a mask without a random share of the edges, each together with its reverse.

    Source: edge dropout of Wu et al., SGL, SIGIR 2021, Eq. (7). https://arxiv.org/abs/2010.10783
    """
    draws = torch.rand(graph.num_edges, generator=generator).to(graph.ptr.device)
    position = torch.arange(graph.num_edges, device=draws.device)
    first = torch.minimum(position, graph.rev.long())  # one draw for both directions
    return draws[first] >= share


def without_nodes(graph: Csr, share: float, generator: torch.Generator) -> Bool[Tensor, " edges"]:
    """Return a mask without the edges of a random share of the nodes.

    Source: node dropout of Wu et al., SGL, SIGIR 2021, Eq. (6). https://arxiv.org/abs/2010.10783
    """
    kept = torch.rand(graph.num_nodes, generator=generator).to(graph.ptr.device) >= share
    return kept[graph.destinations()] & kept[graph.idx.long()]


def subgraph(graph: Csr, keep: Bool[Tensor, " edges"]) -> tuple[Csr, Int[Tensor, " _"]]:
    """Return the graph of some edges, with all nodes, and the position in ``graph`` of each of its
    edges.

    Raises:
        GraphError: If an edge is kept without its reverse.
    """
    if not torch.equal(keep, keep[graph.rev.long()]):
        raise GraphError("an edge is kept without its reverse. Mask both, by mask & mask[rev].")

    edges = keep.nonzero().squeeze(1)
    position = torch.zeros(graph.num_edges, dtype=torch.int32, device=keep.device)
    position[edges] = torch.arange(len(edges), dtype=torch.int32, device=keep.device)
    ptr = torch.zeros_like(graph.ptr)
    ptr[1:] = keep.cumsum(0)[graph.ptr[1:] - 1].where(graph.ptr[1:] > 0, 0)
    relation = None if graph.relation is None else graph.relation[edges]
    rev = position[graph.rev[edges].long()]
    return Csr(ptr, graph.idx[edges], rev, relation, graph.num_nodes), edges


def sample_neighbors(
    graph: Csr,
    nodes: Int[Tensor, " batch"],
    count: int,
    generator: torch.Generator,
    *,
    replace: bool = True,
) -> tuple[Int[Tensor, "batch cand"], Bool[Tensor, "batch cand"]]:
    """Return ``count`` random edges that arrive at each node, and which of them there are.

    ``graph.idx`` of an edge is the neighbor. The mean over what is there is an unbiased estimate of
    the mean over all edges. Further hops sample around the neighbors: ``graph.idx[edges].flatten()``.

    Source: Hamilton et al., GraphSAGE, NeurIPS 2017, Algorithm 1. https://arxiv.org/abs/1706.02216

    Args:
        graph: The graph.
        nodes: Nodes, which may repeat; a repeated one draws again.
        count: Edges of each, at least 1.
        generator: Where draws come from, a CPU generator.
        replace: True draws each edge from all, so that it may come twice; False takes distinct ones,
            all of a node with no more than ``count``.

    Returns:
        Edges (0 if there is none, also in a graph without edges, where nothing is at 0), and a
        mask: False in the rows of nodes without edges and, without ``replace``, beyond a node's
        last edge.
    """
    degree = graph.degree[nodes]
    start = graph.ptr[nodes]

    if replace:
        draws = torch.rand(len(nodes), count, generator=generator, dtype=torch.float64)
        offset = (draws.to(degree.device) * degree.unsqueeze(1)).long()
        there = (degree > 0).unsqueeze(1).repeat(1, count)
        return (start.unsqueeze(1) + offset).where(there, 0), there

    row = torch.repeat_interleave(torch.arange(len(nodes), device=degree.device), degree)
    before = degree.cumsum(0) - degree
    edge = start[row] + torch.arange(len(row), device=degree.device) - before[row]
    draws = torch.rand(len(row), generator=generator, dtype=torch.float64).to(degree.device)
    order = torch.argsort(row + draws)  # by row, in random order within each
    place = torch.arange(count, device=degree.device)
    there = place < degree.unsqueeze(1)
    taken = (before.unsqueeze(1) + place).where(there, 0)
    if not len(row):
        return torch.zeros_like(taken), there

    return edge[order][taken].where(there, 0), there


def sample_evenly(
    starts: Int[Tensor, " _"],
    nodes: Int[Tensor, " _"],
    ptr: Int[Tensor, " _"],
    count: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "batch cand"], Bool[Tensor, " batch"]]:
    """Return ``count`` edges of each set of nodes, and which sets have any.

    A set's edges are a row that is cut into ``count`` parts of equal length, from a random
    start; one edge of each is drawn. Each is as likely as the next. None comes twice where there
    are as many as ``count``, and all come where there are not (a node that is twice in a set brings
    its edges twice). Sets are drawn at once, however large their rows.

    Args:
        starts: First edge of each node of the graph, and the number of edges last.
        nodes: The nodes of all sets.
        ptr: First node of each set, and their number last.
        count: Edges of each set, at least 1.
        generator: Where draws come from, a CPU generator.
    """
    device = nodes.device
    degree = starts[nodes + 1] - starts[nodes]
    total = torch.cat([degree.new_zeros(1), degree.cumsum(0)])  # (nodes + 1)
    first = total[ptr]
    size = first.diff().unsqueeze(1)
    draws = torch.rand(len(size), count + 1, generator=generator, dtype=torch.float64).to(device)
    cuts = torch.arange(count + 1, device=device) * size // count  # (sets, count + 1)
    width = cuts.diff().clamp(min=1)
    begin = (draws[:, :1] * size).long()
    place = (cuts[:, :-1] + (draws[:, 1:] * width).long() + begin) % size.clamp(min=1)
    there = size.squeeze(1) > 0
    if not bool(there.any()):
        return torch.zeros_like(place), there

    at = place + first[:-1].unsqueeze(1)
    slot = torch.searchsorted(total, at, right=True) - 1
    slot = slot.clamp(max=len(nodes) - 1)
    edges = starts[nodes[slot]] + at - total[slot]
    return edges.where(there.unsqueeze(1), 0), there
