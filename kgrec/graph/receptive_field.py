"""The part of a graph that the vectors of a few nodes depend on, and weights that add up to a
whole.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.ops.typed import TypedEdges, typed_products


@dataclass(frozen=True)
class Ball:
    """What a few nodes gather in so many layers.

    Nodes are counted again, the nearest first: what a layer computes are the first rows of what it
    starts from, and the last layer computes the few nodes alone. Every row has all of its edges.

    Attributes:
        nodes: The nodes; the few in front, in their order.
        edges: Position of each edge in the whole graph, sorted by row; int64.
        row: Place in ``nodes`` where an edge arrives, ascending.
        column: Place in ``nodes`` where it starts.
        layers: Per layer, the first one first, its structure and the place in ``edges`` of each of
            its edges.
    """

    nodes: Int[Tensor, " nodes"]
    edges: Int[Tensor, " edges"]
    row: Int[Tensor, " edges"]
    column: Int[Tensor, " edges"]
    layers: tuple[tuple[TypedEdges, Tensor], ...]

    @classmethod
    def around(
        cls,
        few: Sequence[int],
        hops: int,
        row: Int[Tensor, " edges"],
        column: Int[Tensor, " edges"],
        num_nodes: int,
        relation: Int[Tensor, " edges"] | None = None,
        num_relations: int = 1,
    ) -> "Ball":
        """Return the ball around a few distinct nodes of a graph whose edges carry what is at
        ``column`` to ``row``.
        """
        nodes = torch.tensor(list(few), device=row.device)
        place = torch.full((num_nodes,), -1, device=row.device)
        place[nodes] = torch.arange(len(nodes), device=row.device)
        sizes = [len(nodes)]
        inside = torch.zeros(len(row), dtype=torch.bool, device=row.device)

        for _ in range(hops):
            inside = place[row] >= 0
            reached = column[inside]
            fresh = torch.unique(reached[place[reached] < 0])
            place[fresh] = torch.arange(len(nodes), len(nodes) + len(fresh), device=row.device)
            nodes = torch.cat([nodes, fresh])
            sizes.append(len(nodes))

        edges = torch.nonzero(inside).squeeze(1)
        edges = edges[torch.sort(place[row[edges]], stable=True).indices]
        row = place[row[edges]]
        column = place[column[edges]]

        if relation is None:
            kind = None
        else:
            kind = relation[edges]

        ends = torch.searchsorted(row, torch.tensor(sizes, device=row.device)).tolist()
        layers = tuple(
            TypedEdges.from_edges(
                row[:end],
                column[:end],
                size,
                wider,
                None if kind is None else kind[:end],
                num_relations,
            )
            for end, size, wider in reversed(list(zip(ends, sizes, sizes[1:], strict=False)))
        )

        return cls(nodes, edges, row, column, layers)

    def by_weight(
        self,
        upstream: Sequence[Float[Tensor, "_ _"]],
        starts: Sequence[Float[Tensor, "_ _"]],
        vectors: Tensor | None = None,
    ) -> Float[Tensor, " edges"]:
        """Return the derivative by the weight of each edge, which it has in all layers.

        Args:
            upstream: Per layer, the gradient of what ``typed_sum`` gave.
            starts: Per layer, what it started from; at least one, also where there is no layer.
            vectors: One vector per relation; None stands for ones.
        """
        total = starts[0].new_zeros(len(self.edges))
        for gradient, (edges, order), e in zip(upstream, self.layers, starts, strict=False):
            total[order] += typed_products(gradient, edges, e.detach(), vectors)

        return total


class LastBall:
    """Keeps the ball that was made last, since all effects on one score are asked for in turn."""

    def __init__(self) -> None:
        self._last: tuple[Hashable, Ball] | None = None

    def of(self, key: Hashable, make: Callable[[], Ball]) -> Ball:
        """Return the ball of a key, made again where the last one was another's."""
        last = self._last
        if last is None or last[0] != key:
            last = self._last = key, make()
        return last[1]


def renormalized(
    weight: Float[Tensor, " edges"], kept: Float[Tensor, " edges"], group: Int[Tensor, " edges"]
) -> Float[Tensor, " edges"]:
    """Return the weights of the edges that are kept (1, else 0), scaled so that each group adds up
    to what it did with all of them.
    """
    left = weight * kept
    before, after = _sums((weight, left), group)
    return left * torch.where(
        after > 0, before / after.clamp(min=torch.finfo(after.dtype).tiny), 0.0
    )


def removal_effect(
    effect: Float[Tensor, " edges"], weight: Float[Tensor, " edges"], group: Int[Tensor, " edges"]
) -> Float[Tensor, " edges"]:
    """Return what goes with each edge, to first order, where the weights of the rest of its group
    grow to the same sum.

    Without edge e of a group with the sum T every other weight grows by the factor T / (T - w_e): e
    takes its own effect away and brings w_e / (T - w_e) times that of the others. The last edge of
    a group takes its own.

    Args:
        effect: Weight times derivative by the weight.
        weight: The weights, not negative.
        group: Which edges add up to a constant.
    """
    own = effect.double()
    share = weight.double()
    total, effects = _sums((share, own), group)
    rest = total - share
    others = torch.where(
        rest > total * 1e-12,
        share / rest.clamp(min=torch.finfo(rest.dtype).tiny) * (effects - own),
        0.0,
    )

    return (own - others).to(effect.dtype)


def _sums(columns: tuple[Tensor, ...], group: Tensor) -> list[Tensor]:
    """Return for each entry of each column the sum over its group, added up in a fixed order."""
    order = torch.sort(group, stable=True).indices
    sizes = torch.bincount(group)

    return [
        torch.segment_reduce(column[order], "sum", lengths=sizes, unsafe=True)[group]
        for column in columns
    ]
