"""Softmax over the catalog without the full score matrix."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.ops.backends import gpu

_CELLS_AT_ONCE = (
    1 << 21
)  # scores held at a time: 8 MiB in float32; the fastest size measured, from 600 to 9,000 items

_GATHERED_AT_ONCE = 1 << 18  # numbers gathered at a time on the CPU: 1 MiB in float32


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


def softmax_sets(
    users: Float[Tensor, "users dim"],
    items: Float[Tensor, "items dim"],
    row: Int[Tensor, " batch"],
    positive: Int[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Return ``softmax_rows`` of (row, positive) pairs that share users, a row of scores per user
    instead of one per pair.

        1/n sum over users u of (n_u log sum over items j of exp(u . j) - sum over its items i of u . i)

    The same number and gradients, in a fraction of the time where users have many items.

    Args:
        users: Vectors of distinct users.
        items: Vectors of items.
        row: Which user each pair is of, ascending.
        positive: Its item.

    Source: as ``softmax_rows``; the sum over a user's interactions is taken before that over items.
    """
    result: Tensor = _SoftmaxSets.apply(users, items, row, positive)  # type: ignore[no-untyped-call]
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


def softmax_of_some(
    rows: Float[Tensor, "batch dim"],
    table: Float[Tensor, "nodes dim"],
    chosen: Int[Tensor, "batch cand"],
) -> Float[Tensor, ""]:
    """Return the mean of ``-log softmax`` of each row's first choice among its choices, by inner
    product with rows of a table.

    As ``softmax_rows`` otherwise: a few rows at a time, so that what is gathered stays in the
    cache.

    Args:
        rows: What is compared.
        table: What choices are rows of.
        chosen: The choices, the right one first.

    Source: Ai et al., CFKG, Algorithms 11(9):137, 2018, Section 3.2: what its sampling approximates.
    """
    result: Tensor = _SoftmaxOfSome.apply(rows, table, chosen)  # type: ignore[no-untyped-call]
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


class _WithGradients(torch.autograd.Function):
    """A mean whose ``forward`` makes the gradients of its sum as well: it saves them, those of the
    first inputs, and says in ``count`` what the sum is divided by.
    """

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale = upstream / ctx.count
        gradients = [gradient * scale for gradient in ctx.saved_tensors]
        return (*gradients, *[None] * (len(ctx.needs_input_grad) - len(gradients)))


class _SampledSoftmaxRows(_WithGradients):
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
        ctx.count = len(users)
        return total / len(users)


class _SoftmaxRows(_WithGradients):
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
        ctx.count = len(users)
        return total / len(users)


class _SoftmaxOfSome(_WithGradients):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Tensor, chosen: Tensor) -> Tensor:
        count = chosen.shape[1]
        to_rows = torch.empty_like(rows)
        to_table = torch.zeros_like(table)
        total = rows.new_zeros(())
        cells = _GATHERED_AT_ONCE if rows.device.type == "cpu" else _CELLS_AT_ONCE * 32
        step = max(1, cells // (count * rows.shape[1]))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            picked = chosen[start : start + step].flatten()
            others = table.index_select(0, picked).view(len(some), count, -1)
            scores = (others @ some.unsqueeze(2)).squeeze(2)  # (step, count)
            share = scores.softmax(1)
            total += (scores.logsumexp(1) - scores[:, 0]).sum()
            share[:, 0] -= 1.0
            to_rows[start : start + step] = (share.unsqueeze(1) @ others).squeeze(1)
            given = (share.unsqueeze(2) * some.unsqueeze(1)).flatten(0, 1)
            if gpu.takes(table):
                to_table += gpu.row_sums(picked, given, len(table))
            else:
                to_table.index_add_(0, picked, given)

        ctx.save_for_backward(to_rows, to_table)
        ctx.count = len(rows)
        return total / len(rows)


class _SoftmaxSets(_WithGradients):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, row: Tensor, positive: Tensor) -> Tensor:
        to_users = torch.empty_like(users)
        to_items = torch.zeros_like(items)
        total = users.new_zeros(())
        step = max(1, _CELLS_AT_ONCE // max(1, len(items)))
        starts = torch.arange(0, len(users) + step, step, device=row.device)
        ends = torch.searchsorted(row, starts).tolist()
        for start, first, last in zip(range(0, len(users), step), ends, ends[1:], strict=False):
            vectors = users[start : start + step]
            own = row[first:last] - start
            wanted = positive[first:last]
            count = torch.bincount(own, minlength=len(vectors)).to(vectors.dtype).unsqueeze(1)
            scores = vectors @ items.T
            highest = scores.amax(1, keepdim=True)
            total -= scores[own, wanted].sum()
            share = scores.sub_(highest).exp_()
            mass = share.sum(1, keepdim=True)
            total += (count * (mass.log() + highest)).sum()
            share.mul_(count / mass)
            share.index_put_((own, wanted), share.new_full((), -1.0), accumulate=True)
            torch.mm(share, items, out=to_users[start : start + step])
            to_items.addmm_(share.T, vectors)

        ctx.save_for_backward(to_users, to_items)
        ctx.count = len(row)
        return total / len(row)
