"""What makes a node's next vector of its own and its neighborhood's: the aggregators of KGAT."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import leaky_relu

from kgrec.nn.init import glorot_uniform
from kgrec.ops.dropout import dropout
from kgrec.ops.interaction import bi_interaction
from kgrec.scale.columns import Columns, Whole
from kgrec.scale.rows import columns_to_rows, row_range, rows_to_columns

Frozen = tuple[Float[Tensor, " din"], Float[Tensor, " din"], Float[Tensor, ""]]
"""What falls on a node, on its neighborhood and on biases, slopes staying as they are."""

Drop = tuple[float, int]
"""Probability and key of ``kgrec.ops.dropout``."""

KEEP: Drop = (0.0, 0)


class Aggregator(nn.Module, ABC):
    """Combines a node's vector with its aggregated neighborhood."""

    @abstractmethod
    def forward(
        self,
        ego: Float[Tensor, "nodes din"],
        neighborhood: Float[Tensor, "nodes din"],
        drop: Drop = KEEP,
    ) -> Float[Tensor, "nodes dout"]:
        """Return the layer's output after dropout."""

    @abstractmethod
    def frozen(
        self,
        ego: Float[Tensor, " din"],
        neighborhood: Float[Tensor, " din"],
        upstream: Float[Tensor, " dout"],
    ) -> Frozen:
        """Return what of ``upstream . output`` falls on one node, on its neighborhood and on
        biases, slopes staying as they are.
        """


class BiInteraction(Aggregator):
    """Combine a node with its neighborhood, by sum and by product.

        LeakyReLU(W1 (e_h + e_N) + b1) + LeakyReLU(W2 (e_h * e_N) + b2)                 (8)

    Args:
        dim_in: Size of the vectors going in.
        dim_out: Size of the vectors coming out.
        slope: Negative slope of the LeakyReLU.
        generator: Draws the weights and biases.

    Source: Wang et al., KGAT, KDD 2019, Eq. (8).
    """

    def __init__(self, dim_in: int, dim_out: int, slope: float, generator: torch.Generator) -> None:
        super().__init__()
        self.slope = slope
        self.sum_weight = nn.Parameter(glorot_uniform(dim_in, dim_out, generator=generator))  # W1
        self.sum_bias = nn.Parameter(glorot_uniform(1, dim_out, generator=generator))  # b1
        self.product_weight = nn.Parameter(
            glorot_uniform(dim_in, dim_out, generator=generator)
        )  # W2
        self.product_bias = nn.Parameter(glorot_uniform(1, dim_out, generator=generator))  # b2

    def forward(
        self,
        ego: Float[Tensor, "nodes din"],
        neighborhood: Float[Tensor, "nodes din"],
        drop: Drop = KEEP,
    ) -> Float[Tensor, "nodes dout"]:
        """Return the layer's output after dropout, Eq. (8)."""
        weights = self.sum_weight, self.sum_bias, self.product_weight, self.product_bias
        return bi_interaction(ego, neighborhood, *weights, self.slope, drop)  # Eq. (8)

    def frozen(
        self,
        ego: Float[Tensor, " din"],
        neighborhood: Float[Tensor, " din"],
        upstream: Float[Tensor, " dout"],
    ) -> Frozen:
        """Return the shares of the three, e_h staying as it is in the product."""
        w1, b1, w2, b2 = (
            p.to(ego)
            for p in (self.sum_weight, self.sum_bias[0], self.product_weight, self.product_bias[0])
        )
        by_sum = upstream * _slopes((ego + neighborhood) @ w1 + b1, self.slope)
        by_product = upstream * _slopes((ego * neighborhood) @ w2 + b2, self.slope)
        return w1 @ by_sum, w1 @ by_sum + ego * (w2 @ by_product), b1 @ by_sum + b2 @ by_product


class OneMatrix(Aggregator):
    """Combine a node with its neighborhood by one matrix.

        LeakyReLU(W (e_h + e_N) + b)                                              (6), GCN
        LeakyReLU(W (e_h || e_N) + b)                                             (7), GraphSage

    Args:
        dim_in: Size of the vectors going in.
        dim_out: Size of the vectors coming out.
        slope: Negative slope of the LeakyReLU.
        generator: Draws the weights and biases.
        concatenated: Whether node and neighborhood are put side by side, Eq. (7), or added, Eq.
            (6).

    Source: Wang et al., KGAT, KDD 2019, Eqs. (6)-(7); the bias is the authors' code's.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        slope: float,
        generator: torch.Generator,
        *,
        concatenated: bool,
    ) -> None:
        super().__init__()
        self.slope = slope
        self.concatenated = concatenated
        self.weight = nn.Parameter(
            glorot_uniform(2 * dim_in if concatenated else dim_in, dim_out, generator=generator)
        )  # W
        self.bias = nn.Parameter(glorot_uniform(1, dim_out, generator=generator))  # b

    def forward(
        self,
        ego: Float[Tensor, "nodes din"],
        neighborhood: Float[Tensor, "nodes din"],
        drop: Drop = KEEP,
    ) -> Float[Tensor, "nodes dout"]:
        """Return the layer's output after dropout."""
        if self.concatenated:
            both = torch.cat([ego, neighborhood], 1)  # (nodes, 2 din), Eq. (7)
        else:
            both = ego + neighborhood  # Eq. (6)
        return dropout(leaky_relu(torch.addmm(self.bias, both, self.weight), self.slope), *drop)

    def frozen(
        self,
        ego: Float[Tensor, " din"],
        neighborhood: Float[Tensor, " din"],
        upstream: Float[Tensor, " dout"],
    ) -> Frozen:
        """Return the shares of the three."""
        weight = self.weight.to(ego)
        bias = self.bias[0].to(ego)

        if self.concatenated:
            both = torch.cat([ego, neighborhood])
        else:
            both = ego + neighborhood

        upstream = upstream * _slopes(both @ weight + bias, self.slope)
        if self.concatenated:
            halves = (weight @ upstream).chunk(2)
        else:
            halves = (weight @ upstream,) * 2

        return halves[0], halves[1], bias @ upstream


def _slopes(before: Tensor, slope: float) -> Tensor:
    return torch.where(before > 0, 1.0, slope).to(before)


def aggregate(
    layer: nn.Module,
    ego: Float[Tensor, "nodes din"],
    neighborhood: Float[Tensor, "nodes din"],
    drop: Drop,
    shard: Whole,
) -> Float[Tensor, "nodes dout"]:
    """Return a layer's output after dropout. Where columns are apart, every process computes whole
    rows of its part of the nodes, and gets its columns of all of them back.
    """
    if not isinstance(shard, Columns):
        output: Tensor = layer(ego, neighborhood, drop)
        return output

    world = shard.world
    first = row_range(len(ego), world).start
    whole = columns_to_rows(ego, world), columns_to_rows(neighborhood, world)
    names, weights = zip(*layer.named_parameters(), strict=True)
    held = dict(zip(names, shard.alike(*weights), strict=True))
    output = functional_call(layer, held, whole)
    output = dropout(output, *drop, (first, 0, output.shape[1]))
    return rows_to_columns(output, world, len(ego))


_BY_NAME: dict[str, Callable[[int, int, float, torch.Generator], Aggregator]] = {
    "bi-interaction": BiInteraction,
    "gcn": partial(OneMatrix, concatenated=False),
    "graphsage": partial(OneMatrix, concatenated=True),
}


def aggregators(
    name: str, sizes: Sequence[int], slope: float, generator: torch.Generator
) -> nn.ModuleList:
    """Return one aggregator per layer.

    Args:
        name: "bi-interaction", "gcn" or "graphsage".
        sizes: Size of the vectors before the first layer, and after each.
        slope: Negative slope of the LeakyReLU.
        generator: Draws the weights and biases.
    """
    layer = _BY_NAME[name]
    return nn.ModuleList(layer(a, b, slope, generator) for a, b in pairwise(sizes))
