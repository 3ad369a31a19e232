"""The views of MCCLK, the graph of items near each other, and the contrasts: Zou et al., SIGIR 2022.

https://arxiv.org/abs/2204.08807
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.nn.contrast import ProjectionHead, info_nce_of_both
from kgrec.ops.ranking import topk_masked
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.ops.typed import TypedEdges

NearGraph = tuple[TypedEdges, Tensor]
"""Edges between items, and the weight of each."""


@torch.no_grad()
def near_items(parts: list[tuple[float, Float[Tensor, "items dim"]]], count: int) -> NearGraph:
    """Return the graph in which every item gathers from the items nearest to it, itself included,
    by each of several tables.

        S_ij = max(0, cos(x_i, x_j)) where j is among the ``count`` nearest of i
        L_ij = S_ij / sqrt(sum of the row i times sum of the row j)

    Cosines are made a few rows at a time; memory is ``count`` edges for each item and table. No
    gradient passes.

    Args:
        parts: Tables of items, with what L of each counts for.
        count: Nearest items.
    """
    rows = []
    columns = []
    weights = []
    items = len(parts[0][1])
    count = min(count, items)
    for share, table in parts:
        unit = unit_rows(table.detach()).double()  # near ties alike on every device
        cosine, near = topk_masked(unit, unit, count)
        cosine = cosine.clamp(min=0)
        total = cosine.sum(1)
        scale = torch.where(total > 0, total.clamp(min=1e-12).rsqrt(), 0.0)
        weights.append((share * cosine * scale.unsqueeze(1) * scale[near]).flatten())
        columns.append(near.flatten())
        rows.append(torch.arange(items, device=near.device).repeat_interleave(count))

    edges, order = TypedEdges.from_edges(torch.cat(rows), torch.cat(columns), items, items)
    return edges, torch.cat(weights)[order].to(parts[0][1].dtype)


def by_taste(
    users: Float[Tensor, "users dim"],
    mean: Float[Tensor, "users dim"],
    relations: Float[Tensor, "relations dim"],
) -> Float[Tensor, "users dim"]:
    """Return what users become of the mean of their items, by the relations that they care for:
    ``mean + (softmax(users relations^T) relations) * mean``.
    """
    return mean + torch.softmax(users @ relations.T, 1) @ relations * mean


@dataclass(frozen=True)
class Views:
    """Users and items in the three views.

    Attributes:
        entities: Entities in the structural view, e*.
        users: Users in the structural view.
        semantic: Items in the semantic view.
        local: Items, then users in the collaborative view.
    """

    entities: Float[Tensor, "entities dim"]
    users: Float[Tensor, "users dim"]
    semantic: Float[Tensor, "items dim"]
    local: Float[Tensor, "nodes dim"]

    def joined(self) -> tuple[Float[Tensor, "users dout"], Float[Tensor, "items dout"]]:
        """Return what users and items are compared by."""
        count = len(self.semantic)
        local = self.local[count:]
        items = torch.cat([self.entities[:count], self.semantic, self.local[:count]], 1)
        return torch.cat([self.users, local, local], 1), items


class CrossViews(nn.Module):
    """How little users and items are recognized across the views.

    Args:
        config: Hyper-parameters of MCCLK.
        generator: Draws the projections' weights.
    """

    def __init__(self, config: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.heads = nn.ModuleList([ProjectionHead(config.dim, generator) for _ in range(3)])

    def forward(
        self,
        views: Views,
        start: tuple[Float[Tensor, "entities dim"], Float[Tensor, "users dim"]],
        user: Int[Tensor, " batch"],
        item: Int[Tensor, " batch"],
    ) -> Float[Tensor, ""]:
        """Return the contrast of a batch.

        Args:
            views: The views.
            start: Embeddings of entities and users at layer 0.
            user: Users of the batch, who may be there several times.
            item: Its items.
        """
        user, item = torch.unique(user), torch.unique(item)
        semantic = take_rows(views.semantic, item)
        local_item = take_rows(views.local, item)
        local_user = take_rows(views.local, user + len(views.semantic))
        if self.config.form == "code":
            entities, users = start
            of_item = local_item
        else:
            entities, users = views.entities, views.users
            of_item = local_item + semantic

        first = self._both(0, semantic, local_item, one_way=self.config.form == "code")
        items = self._both(1, take_rows(entities, item), of_item)
        second = items + self._both(2, take_rows(users, user), local_user)
        if self.config.form == "code":
            return first + second

        share: float = self.config.local_share
        return share * first + (1 - share) / 2 * second

    def _both(
        self,
        head: int,
        one: Float[Tensor, "batch dim"],
        two: Float[Tensor, "batch dim"],
        *,
        one_way: bool = False,
    ) -> Float[Tensor, ""]:
        """Return the contrast of two views, both ways unless one way is enough."""
        one, two = (self.heads[head](part) for part in (one, two))
        tau = self.config.contrast_temperature
        forward = info_nce_of_both(one, two, tau)
        if one_way:
            return forward
        return (forward + info_nce_of_both(two, one, tau)) / 2
