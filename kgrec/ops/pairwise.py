"""BPR on rows of tables, with all gradients in one pass."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import softplus

from kgrec.ops.backends import native
from kgrec.ops.rows import take_rows


def bpr_rows(
    users: Float[Tensor, "users dim"],
    items: Float[Tensor, "items dim"],
    user: Int[Tensor, " batch"],
    positive: Int[Tensor, " batch"],
    negative: Int[Tensor, " batch"],
    *,
    l2_weight: float | int = 0.0,
    item_l2_weight: float | int | None = None,
    bias: Float[Tensor, " items"] | None = None,
    total: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, ""]:
    """Return BPR of rows of tables, and their L2.

        mean of softplus(u . n + b_n - u . p - b_p) + l2_weight / 2 mean of |u|^2 + item_l2_weight /
        2 mean of (|p|^2 + |n|^2)

    Differentiable once, in ``users``, ``items`` and ``bias``. Gradients of a row that is taken
    several times are added in the order of the batch.

    Args:
        users: Vectors of users.
        items: Vectors of items; may be the same tensor.
        user: Row of each pair's user.
        positive: Row of the item used.
        negative: Row of the item not used.
        l2_weight: Weight of the L2 on users, and on items where they have none of their own.
        item_l2_weight: Weight of the L2 on items.
        bias: One number per item; no L2.
        total: Returns the sum over all columns of numbers that add up over them, where the tables
            have only some; None where they have all.

    Source: Rendle et al., BPR, UAI 2009, Section 4.1. https://arxiv.org/abs/1205.2618
    """
    weights = (float(l2_weight), float(l2_weight if item_l2_weight is None else item_l2_weight))
    if total is None and native.takes(users, items):
        result: Tensor = _BprRows.apply(users, items, bias, user, positive, negative, weights)  # type: ignore[no-untyped-call]
        return result

    u = take_rows(users, user)
    p, n = take_rows(items, torch.cat([positive, negative])).chunk(2)
    margin = (u * n).sum(1) - (u * p).sum(1)
    squares = weights[0] * u.square().sum() + weights[1] * (p.square().sum() + n.square().sum())
    if total is not None:
        sums = total(torch.cat([margin, squares.reshape(1)]) if any(weights) else margin)
        margin = sums[: len(user)]
        squares = sums[len(user) :].sum()

    if bias is not None:
        above, below = (
            take_rows(bias.unsqueeze(1), torch.cat([positive, negative])).squeeze(1).chunk(2)
        )
        margin = margin + below - above

    return softplus(margin).mean() + 0.5 * squares / len(user)


class _BprRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        bias: Tensor | None,
        user: Tensor,
        positive: Tensor,
        negative: Tensor,
        weights: tuple[float, float],
    ) -> Tensor:
        pairs = (
            users.contiguous(),
            items.contiguous(),
            user.contiguous(),
            positive.contiguous(),
            negative.contiguous(),
        )
        margin = native.pair_margins(pairs)
        if bias is not None:
            margin += bias[negative] - bias[positive]

        ctx.save_for_backward(*pairs, margin)
        ctx.weights = weights
        ctx.one_table = users is items
        ctx.biased = bias is not None
        loss = softplus(margin).mean()

        if any(weights):
            of_users = torch.linalg.vector_norm(users, dim=1).square()
            of_items = of_users
            if not ctx.one_table:
                of_items = torch.linalg.vector_norm(items, dim=1).square()

            pair = of_items[positive].mean() + of_items[negative].mean()
            loss += 0.5 * (weights[0] * of_users[user].mean() + weights[1] * pair)

        return loss

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, upstream: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None, None, None, None]:
        users, items, user, positive, negative, margin = ctx.saved_tensors
        pairs = users, items, user, positive, negative
        scale = float(upstream) / len(margin)
        slope = margin.sigmoid().mul_(scale)
        to_users = torch.zeros_like(users)

        if ctx.one_table:
            to_items = to_users
        else:
            to_items = torch.zeros_like(items)

        native.add_pair_gradients_(
            to_users, to_items, pairs, slope, (scale * ctx.weights[0], scale * ctx.weights[1])
        )
        to_bias = None

        if ctx.biased:
            to_bias = torch.bincount(
                torch.cat([positive, negative]), torch.cat([-slope, slope]), minlength=len(items)
            )

        return to_users, None if ctx.one_table else to_items, to_bias, None, None, None, None
