"""KGAT's bi-interaction of a node with its neighborhood, with few passes over the tables."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import leaky_relu

from kgrec.ops.backends import native
from kgrec.ops.dropout import dropout, recipe


def bi_interaction(
    ego: Float[Tensor, "nodes din"],
    neighborhood: Float[Tensor, "nodes din"],
    sum_weight: Float[Tensor, "din dout"],
    sum_bias: Float[Tensor, "1 dout"],
    product_weight: Float[Tensor, "din dout"],
    product_bias: Float[Tensor, "1 dout"],
    slope: float | int,
    drop: tuple[float, int] = (0.0, 0),
) -> Float[Tensor, "nodes dout"]:
    """Return ``LeakyReLU((e + n) W1 + b1) + LeakyReLU((e * n) W2 + b2)``, after
    ``kgrec.ops.dropout`` by (probability, key).

    Differentiable once, in all tensors.

    Source: Wang et al., KGAT, KDD 2019, Eq. (8). https://arxiv.org/abs/1905.07854
    """
    parts = ego, neighborhood, sum_weight, sum_bias, product_weight, product_bias
    result: Tensor

    if native.takes_interaction(parts):
        result = _Compiled.apply(*parts, float(slope), drop)  # type: ignore[no-untyped-call]
        return result

    result = _BiInteraction.apply(*parts, float(slope))  # type: ignore[no-untyped-call]
    return dropout(result, *drop)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        ego: Tensor,
        near: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        slope: float,
        drop: tuple[float, int],
    ) -> Tensor:
        parts = (
            ego.contiguous(),
            near.contiguous(),
            w1.contiguous(),
            b1.contiguous(),
            w2.contiguous(),
            b2.contiguous(),
        )
        key, threshold, scale = recipe(*drop)
        out, signs = native.interaction(parts, slope, (key, threshold, scale))
        ctx.factors = slope, scale
        ctx.save_for_backward(*parts, signs)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        ego, near, w1, b1, w2, b2, signs = ctx.saved_tensors
        slope, scale = ctx.factors
        return (
            *native.interaction_gradients(
                (ego, near, w1, b1, w2, b2), slope, scale, upstream.contiguous(), signs
            ),
            None,
            None,
        )


class _BiInteraction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        ego: Tensor,
        near: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
        slope: float,
    ) -> Tensor:
        total = ego + near
        product = ego * near
        by_sum = torch.addmm(b1, total, w1)
        by_product = torch.addmm(b2, product, w2)
        ctx.slope = slope
        ctx.save_for_backward(ego, near, w1, w2, total, product, by_sum > 0, by_product > 0)
        return leaky_relu(by_sum, slope) + leaky_relu(by_product, slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        ego, near, w1, w2, total, product, *signs = ctx.saved_tensors
        to_sum, to_product = (
            upstream * torch.where(sign, 1.0, ctx.slope).to(upstream) for sign in signs
        )
        by_sum = to_sum @ w1.T
        by_product = to_product @ w2.T
        to_ego = by_sum + by_product * near
        to_near = by_sum + by_product * ego
        biases = to_sum.sum(0, keepdim=True), to_product.sum(0, keepdim=True)
        return to_ego, to_near, total.T @ to_sum, biases[0], product.T @ to_product, biases[1], None
