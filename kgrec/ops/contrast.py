"""Softmax over the catalog without the full score matrix."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

_CELLS_AT_ONCE = (
    1 << 21
)  # scores held at a time: 8 MiB in float32; the fastest size measured, from 600 to 9,000 items


def softmax_rows(
    users: Float[Tensor, "batch dim"],
    items: Float[Tensor, "items dim"],
    positive: Int[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Return the mean of ``-log softmax(users items^T)[positive]``.

    Scores are made, used for the loss and for both gradients, and dropped, a few rows at a time;
    memory is that of the gradients. Differentiable once, in ``users`` and ``items``.

    Source: Wu et al., On the Effectiveness of Sampled Softmax Loss for Item Recommendation, TOIS
    2024, Eq. (4), over all items. https://arxiv.org/abs/2201.02327
    """
    result: Tensor = _SoftmaxRows.apply(users, items, positive)  # type: ignore[no-untyped-call]
    return result


def sampled_softmax_rows(
    users: Float[Tensor, "batch dim"],
    items: Float[Tensor, "batch dim"],
    negatives: Float[Tensor, "cand dim"],
    same: tuple[Int[Tensor, " batch"], Int[Tensor, " cand"]],
    weight: float | int = 1.0,
) -> Float[Tensor, ""]:
    """Return the mean of ``-log(exp(u . p) / (exp(u . p) + weight sum of exp(u . n)))`` over
    negatives that the batch shares.

    With ``weight`` the number of items per negative drawn, the sum stands for that over the whole
    catalog. As ``softmax_rows`` otherwise.

    Args:
        users: Vectors of users.
        items: Vectors of the items used, p.
        negatives: Vectors of the items drawn, n.
        same: Which items these are; one that is a row's own is no negative of it.
        weight: What a negative counts for.

    Source: Wu et al., On the Effectiveness of Sampled Softmax Loss for Item Recommendation, TOIS
    2024, Eq. (5). https://arxiv.org/abs/2201.02327
    """
    result: Tensor = _SampledSoftmaxRows.apply(users, items, negatives, same, float(weight))  # type: ignore[no-untyped-call]
    return result


def log_mean_kernel(unit: Float[Tensor, "batch dim"], scale: float | int) -> Float[Tensor, ""]:
    """Return ``log mean exp(-scale |x_i - x_j|^2)`` over the pairs of at least two rows.

    The kernel is made, used for the loss and for the gradient, and dropped, a few rows at a time.
    Differentiable once, for rows of length 1 or 0: the gradient leaves out what would change their
    lengths.

    Args:
        unit: Rows of length 1, or of zeros.
        scale: What squared distances are multiplied by.

    Source: Wang and Isola, Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere, ICML 2020, Section 4. https://arxiv.org/abs/2005.10242
    """
    result: Tensor = _LogMeanKernel.apply(unit, float(scale))  # type: ignore[no-untyped-call]
    return result


class _LogMeanKernel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, unit: Tensor, scale: float) -> Tensor:
        count = len(unit)
        squares = unit.square().sum(1)
        gradient = torch.empty_like(unit)
        total = unit.new_zeros(())
        step = max(1, _CELLS_AT_ONCE // count)
        for start in range(0, count, step):
            rows = slice(start, start + step)
            kernel = unit[rows] @ unit.T
            kernel.mul_(2).sub_(squares).sub_(squares[rows].unsqueeze(1)).mul_(scale).exp_()
            kernel.diagonal(start).zero_()  # no row is a pair with itself
            total += kernel.sum()
            torch.mm(kernel, unit, out=gradient[rows])

        ctx.save_for_backward(gradient.mul_(4 * scale / total))
        return total.log() - math.log(count * (count - 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None


class _SampledSoftmaxRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        negatives: Tensor,
        same: tuple[Tensor, Tensor],
        weight: float,
    ) -> Tensor:
        to_users = torch.empty_like(users)
        to_items = torch.empty_like(items)
        to_negatives = torch.zeros_like(negatives)
        total = users.new_zeros(())
        step = max(1, _CELLS_AT_ONCE // max(1, len(negatives)))
        for start in range(0, len(users), step):
            some = slice(start, start + step)
            user = users[some]
            item = items[some]
            own = (user * item).sum(1, keepdim=True)
            scores = torch.addmm(own.new_full((), math.log(weight)), user, negatives.T)
            scores.masked_fill_(same[0][some].unsqueeze(1) == same[1], -torch.inf)

            if len(negatives):
                highest = torch.maximum(scores.amax(1, keepdim=True), own)
            else:
                highest = own

            share = scores.sub_(highest).exp_()
            chance = (own - highest).exp_()
            mass = share.sum(1, keepdim=True) + chance
            total += (mass.log() + highest - own).sum()
            share.div_(mass)
            chance.div_(mass).sub_(1.0)
            to_users[some] = torch.addmm(chance * item, share, negatives)
            to_items[some] = chance * user
            to_negatives.addmm_(share.T, user)

        ctx.save_for_backward(to_users, to_items, to_negatives)
        return total / len(users)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        to_users, to_items, to_negatives = ctx.saved_tensors
        scale = upstream / len(to_users)
        return to_users * scale, to_items * scale, to_negatives * scale, None, None


class _SoftmaxRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, positive: Tensor) -> Tensor:
        to_users = torch.empty_like(users)
        to_items = torch.zeros_like(items)
        total = users.new_zeros(())
        step = max(1, _CELLS_AT_ONCE // max(1, len(items)))
        for start in range(0, len(users), step):
            rows = users[start : start + step]
            target = positive[start : start + step].unsqueeze(1)
            scores = rows @ items.T
            highest = scores.amax(1, keepdim=True)
            own = scores.gather(1, target)
            share = scores.sub_(highest).exp_()
            mass = share.sum(1, keepdim=True)
            total += (mass.log() + highest - own).sum()
            share.div_(mass).scatter_add_(1, target, share.new_full((len(rows), 1), -1.0))
            torch.mm(share, items, out=to_users[start : start + step])
            to_items.addmm_(share.T, rows)

        ctx.save_for_backward(to_users, to_items)
        return total / len(users)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        to_users, to_items = ctx.saved_tensors
        scale = upstream / len(to_users)
        return to_users * scale, to_items * scale, None
