"""Light propagation: embeddings over a normalized symmetric graph, layers added up. What LightGCN
and its descendants share.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.nn.contrast import SignedNoise
from kgrec.nn.dropout import SeededDropout
from kgrec.ops.csr import Csr
from kgrec.ops.propagate import poly, poly_rows, propagate
from kgrec.scale.columns import WHOLE, Whole


class LightPropagation(nn.Module):
    """Propagate without weights or activations, and average the layers; in training over a part of
    the edges.

        Z = 1 / (K + 1) (X + A X + ... + A^K X)

    Args:
        num_layers: K.
        edge_dropout: Probability of leaving an edge out of a step, both of its directions together.

    Attributes:
        coefficients: What each layer counts for, 1 / (K + 1).

    Source: He et al., LightGCN, SIGIR 2020, Eq. (8). https://arxiv.org/abs/2002.02126
    """

    def __init__(self, num_layers: int, edge_dropout: float | int = 0.0) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.coefficients = (1 / (num_layers + 1),) * (num_layers + 1)
        self.edge_dropout = SeededDropout(edge_dropout)

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
        return poly_rows(x, csr, self.kept(csr, weight), self.coefficients, rows)

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
