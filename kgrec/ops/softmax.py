"""Softmax over the edges of each node."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.ops.backends import native
from kgrec.ops.csr import Csr


def edge_softmax(score: Float[Tensor, " edges"], graph: Csr) -> Float[Tensor, " edges"]:
    """Return the softmax of ``score`` over each destination's edges: positive, adding up to 1 per
    node that has edges.

    The largest score of a node is subtracted first, so that no finite score overflows.
    Differentiable once.

    Source: Wang et al., KGAT, KDD 2019, Eq. (5). https://arxiv.org/abs/1905.07854
    """
    return segment_softmax(score, graph.ptr)


def segment_softmax(
    score: Float[Tensor, " edges"],
    ptr: Int[Tensor, " _"],
    kept: Bool[Tensor, " edges"] | None = None,
) -> Float[Tensor, " edges"]:
    """Return the softmax of ``score`` over each row's edges, of those that are kept alone; 0 for
    the others. Differentiable once.

    Args:
        score: One score per edge, by row.
        ptr: First edge of each row, and the number of edges last, int64.
        kept: Which edges there are; None keeps all.
    """
    if kept is None:
        result: Tensor = _SegmentSoftmax.apply(score, ptr)  # type: ignore[no-untyped-call]
        return result

    left: Tensor = _SegmentSoftmax.apply(score.masked_fill(~kept, _GONE), ptr)  # type: ignore[no-untyped-call]
    return left * kept  # a row that keeps nothing has 0


_GONE = -1e30


class _SegmentSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, score: Tensor, ptr: Tensor) -> Tensor:
        ctx.ptr = ptr
        if native.takes(score):
            out = native.edge_softmax(ptr, score)
            ctx.save_for_backward(out)
            return out

        score = score.contiguous()
        largest = torch.segment_reduce(score, "max", offsets=ptr, unsafe=True)
        raised = (score - _spread(largest, ptr, score)).exp_()
        out = raised.div_(_spread(_row_sum(raised, ptr), ptr, score))
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        product = out * upstream
        total = _spread(_row_sum(product, ctx.ptr), ctx.ptr, product)
        return torch.addcmul(product, out, total, value=-1.0), None


def _row_sum(values: Tensor, ptr: Tensor) -> Tensor:
    every = torch.arange(len(values), dtype=torch.int32, device=ptr.device)
    size = (len(ptr) - 1, len(values))
    rows = torch.sparse_csr_tensor(ptr.int(), every, values, size, check_invariants=False)
    return torch.mv(rows, torch.ones_like(values))


def _spread(values: Tensor, ptr: Tensor, like: Tensor) -> Tensor:
    return torch.repeat_interleave(values, ptr.diff(), output_size=len(like))
