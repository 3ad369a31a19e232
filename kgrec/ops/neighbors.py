"""Neighbors drawn around some nodes of a graph, in memory or mapped from its files."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.errors import GraphError
from kgrec.ops.backends import native
from kgrec.ops.csr import Csr
from kgrec.ops.dropout import mixed_words
from kgrec.random import derive


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """What was drawn around some nodes: each node is gone on from once, where it is met first.

    Attributes:
        nodes: Distinct nodes: those asked for, in their order, then those that each hop met first,
            ascending; int64.
        destination: Place in ``nodes`` of what each edge arrives at, ascending.
        source: Place in ``nodes`` of what it leaves.
        edge: Its position in the graph, int64.
        stands_for: How many edges of its destination it stands for: all there are over those drawn.
        hops: Nodes met first at each hop, those asked for first.
        drawn: Edges drawn at each hop.
    """

    nodes: Int[Tensor, " nodes"]
    destination: Int[Tensor, " edges"]
    source: Int[Tensor, " edges"]
    edge: Int[Tensor, " edges"]
    stands_for: Float[Tensor, " edges"]
    hops: tuple[int, ...]
    drawn: tuple[int, ...]


def draw_neighbors(
    graph: Csr, nodes: Int[Tensor, " batch"], fanouts: Sequence[int], key: int
) -> Neighborhood:
    """Return edges that arrive at nodes, at those that they come from, and so on.

    Of a node's edges as many distinct ones are drawn as ``fanouts`` says for the hop, every set of
    them alike; all, where there are no more. What is drawn for a node depends on the key, the hop
    and the node alone: parts of a batch get what the whole gets. Only what is drawn is read of
    ``graph.idx``, in ascending order, and two numbers for each node of ``graph.ptr``.

    Args:
        graph: The graph.
        nodes: Distinct nodes.
        fanouts: Edges to draw for each node, hop by hop; 0 none, -1 all.
        key: What the draws depend on, 0 to 2^64 - 1.

    Raises:
        GraphError: If a node is there twice or is none of the graph, or a number is below -1.

    Source: Hamilton et al., GraphSAGE, NIPS 2017, Algorithm 2; the draws: Bentley and Floyd,
    Programming Pearls, CACM 30(9), 1987.
    """
    if any(fanout < -1 for fanout in fanouts):
        raise GraphError(f"fanouts {list(fanouts)}: take 0 or more edges, or -1 for all.")

    found = nodes = nodes.long()
    _check(graph, torch.sort(nodes).values)
    parts: list[tuple[Tensor, ...]] = []
    hops, drawn = [len(nodes)], []
    for hop, fanout in enumerate(fanouts):
        degree = graph.ptr[nodes + 1] - graph.ptr[nodes]
        count, edge = _drawn(graph, nodes, degree, fanout, derive(key, "hop", hop))
        own = torch.arange(len(found) - len(nodes), len(found), device=nodes.device)
        destination = torch.repeat_interleave(own, count)
        stands_for = torch.repeat_interleave(degree / count.clamp(min=1), count)
        source, nodes = _places(found, graph.idx[edge])
        parts.append((destination, source, edge, stands_for))
        drawn.append(len(edge))
        found = torch.cat([found, nodes])
        hops.append(len(nodes))

    if not parts:
        none = found[:0]
        return Neighborhood(found, none, none, none, none.float(), tuple(hops), ())

    destination, source, edge, stands_for = (torch.cat(each) for each in zip(*parts, strict=True))
    return Neighborhood(found, destination, source, edge, stands_for, tuple(hops), tuple(drawn))


def _check(graph: Csr, ascending: Tensor) -> None:
    if not len(ascending):
        return
    if int(ascending[0]) < 0 or int(ascending[-1]) >= graph.num_nodes:
        wrong = int(ascending[0]) if int(ascending[0]) < 0 else int(ascending[-1])
        raise GraphError(f"node {wrong} is outside 0..{graph.num_nodes - 1}.")
    twice = ascending[1:] == ascending[:-1]
    if bool(twice.any()):
        raise GraphError(f"node {int(ascending[1:][twice][0])} is asked for twice.")


def _drawn(
    graph: Csr, nodes: Tensor, degree: Tensor, fanout: int, key: int
) -> tuple[Tensor, Tensor]:
    """Return how many edges are drawn for each node, and their positions, by node and ascending."""
    if fanout < 0:
        fanout = int(degree.max()) if len(degree) else 0

    count = degree.clamp(max=fanout)
    offset = count.cumsum(0) - count
    edges = int(count.sum())
    if _compiled(graph.ptr):
        return count, native.draw_edges(graph.ptr, nodes, offset, edges, fanout, key)

    owner = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), count)
    place = torch.arange(edges, device=nodes.device) - offset[owner]
    many = degree > fanout
    if fanout and bool(many.any()):
        chosen = _distinct(degree[many], nodes[many], fanout, key)
        place[many[owner]] = chosen.flatten()

    return count, graph.ptr[nodes][owner] + place


def _places(found: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the place of each id among the nodes found, those behind them that are not, and these,
    ascending.
    """
    known = len(found)
    if _compiled(found):
        place, fresh = native.places(found, ids)
        fresh, order = torch.sort(fresh)
        behind = torch.empty_like(order)
        behind[order] = torch.arange(known, known + len(order))
        return torch.cat([torch.arange(known), behind])[place], fresh

    distinct = torch.unique(ids.long())
    fresh = distinct[torch.isin(distinct, found, assume_unique=True, invert=True)]
    ascending, order = torch.sort(torch.cat([found, fresh]))
    return order[torch.searchsorted(ascending, ids.long())], fresh


def _compiled(table: Tensor) -> bool:
    return native.library() is not None and table.device.type == "cpu"


def _distinct(degree: Tensor, nodes: Tensor, count: int, key: int) -> Tensor:
    """Return ``count`` distinct numbers below each degree, ascending: (nodes, count).

    Floyd's draws: of 0 .. j one is drawn for each of the last ``count`` values of j, and j itself
    where that was drawn before.
    """
    chosen = torch.empty(len(degree), count, dtype=torch.int64, device=degree.device)
    for at in range(count):
        bound = degree - count + at + 1
        drawn = mixed_words(nodes * count + at, key) * bound >> 32
        taken = (chosen[:, :at] == drawn.unsqueeze(1)).any(1)
        chosen[:, at] = torch.where(taken, bound - 1, drawn)

    return chosen.sort(1).values
