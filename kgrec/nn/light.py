"""Light propagation: embeddings over a normalized symmetric graph, layers added up. What LightGCN
and its descendants share.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.nn.contrast import SignedNoise
from kgrec.nn.dropout import SeededDropout
from kgrec.nn.fields import ValueSums
from kgrec.ops.csr import Csr
from kgrec.ops.neighbors import draw_neighbors
from kgrec.ops.propagate import poly, poly_rows, propagate
from kgrec.ops.rows import take_rows
from kgrec.random import derive
from kgrec.scale.columns import WHOLE, Whole


class LightPropagation(nn.Module):
    """Propagate without weights or activations, and average the layers; in training over a part of
    the edges.

        Z = 1 / (K + 1) (X + A X + ... + A^K X)

    Args:
        num_layers: K.
        edge_dropout: Probability of leaving an edge out of a step, both of its directions together.
        fanouts: Edges to draw for each node of a hop in training; () takes all.

    Attributes:
        coefficients: What each layer counts for, 1 / (K + 1).

    Source: He et al., LightGCN, SIGIR 2020, Eq. (8). https://arxiv.org/abs/2002.02126
    """

    def __init__(
        self,
        num_layers: int,
        edge_dropout: float | int = 0.0,
        fanouts: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.fanouts = fanouts
        self.num_layers = num_layers
        self.coefficients = (1 / (num_layers + 1),) * (num_layers + 1)
        self.edge_dropout = SeededDropout(edge_dropout)
        self.reseed(0)

    def forward(
        self, x: Float[Tensor, "nodes dim"], csr: Csr, weight: Float[Tensor, " edges"]
    ) -> Float[Tensor, "nodes dim"]:
        """Return Z of all nodes; ``weight`` is A, one number per directed edge."""
        return poly(x, csr, self.kept(csr, weight), self.coefficients)

    def rows(
        self,
        x: Float[Tensor, "nodes dim"],
        csr: Csr,
        weight: Float[Tensor, " edges"],
        rows: Int[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return Z and X of some distinct nodes."""
        if self.training and self.fanouts:
            return self.drawn_rows(x, csr, weight, rows)
        return poly_rows(x, csr, self.kept(csr, weight), self.coefficients, rows)

    def drawn_rows(
        self,
        x: Float[Tensor, "nodes dim"],
        csr: Csr,
        weight: Float[Tensor, " edges"],
        rows: Int[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return what ``rows`` does, over edges drawn around the nodes, each of which counts for
        those that it stands for: no other row of ``x`` is read.

        The expectation over the draws is Z with one or two layers; with more, a node's draws meet
        themselves on paths that come back to it.
        """
        self._draws += 1
        key = derive(self._seed, "neighbors", self._draws)
        drawn = draw_neighbors(csr, rows, self.fanouts, key)
        count = len(drawn.nodes)
        kept = (weight[drawn.edge] * drawn.stands_for).to(x.dtype)
        spread = ValueSums(drawn.destination, drawn.source, kept, count, count)
        layer = start = take_rows(x, drawn.nodes)
        z = self.coefficients[0] * start[: len(rows)]
        for coefficient in self.coefficients[1:]:
            layer = spread(layer)
            z = z + coefficient * layer[: len(rows)]

        return z, start[: len(rows)]

    def reseed(self, seed: int) -> None:
        """Start the draws of neighbors, and of dropped edges, again."""
        self._seed = seed
        self._draws = 0
        self.edge_dropout.reseed(seed)

    def kept(self, csr: Csr, weight: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
        """Return the weights of a step: in training with some edges left out, both directions
        together, the rest scaled up.
        """
        dropped: Tensor = self.edge_dropout(weight)
        if dropped is weight:
            return weight

        reverse = csr.rev.long()
        # the direction that comes first decides for both
        return dropped[torch.minimum(torch.arange(len(reverse), device=reverse.device), reverse)]

    def received(
        self, x: Float[Tensor, "nodes dim"], csr: Csr, weight: Float[Tensor, " edges"]
    ) -> Float[Tensor, "nodes dim"]:
        """Return what one more layer would spread: sum over k >= 1 of A^(k-1) X / (K + 1)."""
        return poly(x, csr, weight, self.coefficients[1:])

    def fold_in(
        self,
        received: Float[Tensor, "nodes dim"],
        csr: Csr,
        neighbors: Int[Tensor, "batch hist"],
        mask: Bool[Tensor, "batch hist"],
    ) -> Float[Tensor, "batch dim"]:
        """Return Z of further nodes that have no embedding, only edges to ``neighbors``.

        z_u = sum over j of A_uj received_j: the propagation at u; what u would change in others is
        left out.
        """
        degree = csr.degree.clamp(min=1).to(received.dtype)
        messages = received[neighbors] * degree[neighbors].rsqrt().unsqueeze(2)
        total = (messages * mask.unsqueeze(2)).sum(1)  # (batch, dim)
        return total * mask.sum(1, keepdim=True).clamp(min=1).to(received.dtype).rsqrt()


class NoisyPropagation(LightPropagation):
    """Light propagation that averages the layers from the first one on, and passes with noise on
    each.

        Z = 1 / K (A X + ... + A^K X)

    Args:
        num_layers: K, at least 1.
        noise: Length of the noise.

    Source: Yu et al., SimGCL, SIGIR 2022, Section 3. https://arxiv.org/abs/2112.08679
    """

    def __init__(self, num_layers: int, noise: float | int) -> None:
        super().__init__(num_layers)
        self.coefficients = (0.0, *(1 / num_layers,) * num_layers)
        self.noise = SignedNoise(noise)

    @torch.no_grad()
    def perturbed(
        self,
        x: Float[Tensor, "nodes dim"],
        csr: Csr,
        weight: Float[Tensor, " edges"],
        shard: Whole = WHOLE,
    ) -> list[Float[Tensor, "nodes dim"]]:
        """Return the layers 1 to K of a pass with noise; each starts from the one before.

        Without a gradient: the noise is a constant to it, so that it is the gradient of the layers
        without noise.
        """
        layers = []
        for _ in range(self.num_layers):
            x = self.noise(propagate(x, csr, weight, weight), shard)
            layers.append(x)

        return layers
