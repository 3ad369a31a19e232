"""The neural tensor layer: two vectors, related by a few bilinear forms under a tanh."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.nn.init import glorot_uniform
from kgrec.ops.rows import take_rows


class NeuralTensor(nn.Module):
    """How well two vectors fit by a relation.

        score(h, r, t) = u_r . tanh(h^T W_r^[1:k] t + V_r (h || t) + b_r)

    As a function of t alone this is u . tanh(M t + c), with ``slices`` rows in M; ``tail_query``
    and ``head_query`` give M, c and u in one row.

    Args:
        num_relations: Relations.
        dim: Size of both vectors.
        slices: Bilinear forms k of a relation.
        generator: Draws the starts.

    Source: Socher et al., Reasoning With Neural Tensor Networks, NIPS 2013, Eq. (1).
    """

    def __init__(
        self, num_relations: int, dim: int, slices: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.dim = dim
        self.slices = slices

        def drawn(*shape: int) -> nn.Parameter:
            parts = [glorot_uniform(*shape, generator=generator) for _ in range(num_relations)]
            return nn.Parameter(torch.stack(parts).flatten(1))

        self.bilinear = drawn(slices * dim, dim)  # W, a relation a row
        self.linear = drawn(slices, 2 * dim)  # V
        self.bias = nn.Parameter(torch.zeros(num_relations, slices))  # b
        self.out = drawn(slices, 1)  # u

    def tail_query(
        self, head: Float[Tensor, "batch dim"], relation: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch dout"]:
        """Return M, c and u as a function of the tail."""
        tensor, linear = self._of(relation)
        form = torch.einsum("bd,bkde->bke", head, tensor) + linear[..., self.dim :]
        return self._packed(form, linear[..., : self.dim], head, relation)

    def head_query(
        self, relation: Int[Tensor, " batch"], tail: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch dout"]:
        """Return M, c and u as a function of the head."""
        tensor, linear = self._of(relation)
        form = torch.einsum("bkde,be->bkd", tensor, tail) + linear[..., : self.dim]
        return self._packed(form, linear[..., self.dim :], tail, relation)

    def scores(
        self, query: Float[Tensor, "batch dout"], others: Float[Tensor, "... cand dim"]
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of each query with vectors of its own, or with the same ones."""
        k = self.slices
        form = query[:, : k * self.dim].reshape(-1, k, self.dim)
        shift, out = query[:, k * self.dim :].chunk(2, 1)
        hidden = form @ others.mT + shift.unsqueeze(-1)  # (batch, k, cand)
        found: Tensor = (hidden.tanh() * out.unsqueeze(-1)).sum(1)
        return found

    def _of(self, relation: Tensor) -> tuple[Tensor, Tensor]:
        k, d = self.slices, self.dim
        tensor = take_rows(self.bilinear, relation).view(-1, k, d, d)
        return tensor, take_rows(self.linear, relation).view(-1, k, 2 * d)

    def _packed(self, form: Tensor, own: Tensor, known: Tensor, relation: Tensor) -> Tensor:
        shift = (own @ known.unsqueeze(-1)).squeeze(-1) + take_rows(self.bias, relation)
        return torch.cat([form.flatten(1), shift, take_rows(self.out, relation)], 1)
