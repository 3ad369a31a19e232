"""Softmax over the edges of each node."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from kgrec.ops.backends import native
from kgrec.ops.csr import Csr
from kgrec.ops.propagate import matrix


def edge_softmax(score: Float[Tensor, " edges"], graph: Csr) -> Float[Tensor, " edges"]:
    """Return the softmax of ``score`` over each destination's edges: positive, adding up to 1 per
    node that has edges.

    The largest score of a node is subtracted first, so that no finite score overflows.
    Differentiable once.

    Source: Wang et al., KGAT, KDD 2019, Eq. (5). https://arxiv.org/abs/1905.07854
    """
    result: Tensor = _EdgeSoftmax.apply(score, graph)  # type: ignore[no-untyped-call]
    return result


class _EdgeSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, score: Tensor, graph: Csr) -> Tensor:
        ctx.graph = graph
        if native.takes(score):
            out = native.edge_softmax(graph.ptr, score)
            ctx.save_for_backward(out)
            return out

        score = score.contiguous()
        largest = torch.segment_reduce(score, "max", offsets=graph.ptr, unsafe=True)
        raised = (score - _spread(largest, graph)).exp_()
        out = raised.div_(_spread(_row_sum(raised, graph), graph))
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        product = out * upstream
        return torch.addcmul(
            product, out, _spread(_row_sum(product, ctx.graph), ctx.graph), value=-1.0
        ), None


def _row_sum(values: Tensor, graph: Csr) -> Tensor:
    return torch.mv(matrix(graph, values), values.new_ones(graph.num_nodes))


def _spread(values: Tensor, graph: Csr) -> Tensor:
    return torch.repeat_interleave(values, graph.degree, output_size=graph.num_edges)
