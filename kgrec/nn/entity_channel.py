"""Vectors of entities in the space of words."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.nn.init import glorot_uniform
from kgrec.ops.rows import take_rows


class EntityChannel(nn.Module):
    """One channel of vectors by entity number, taken into the space of words; number 0, no entity,
    is the zero vector before that.

        g(e) = tanh(M e + b)   or   g(e) = M e

    Args:
        rows: Entities.
        dim: Size of their vectors.
        word_dim: Size of the word vectors.
        trained: Whether the vectors are parameters.
        tanh: Which g.
        masked: Whether words that name nothing have nothing in this channel; else they have g(0).
        generator: Draws M; b starts at 0.

    Source: Wang et al., DKN, WWW 2018, Section 4.3.
    """

    vectors: Tensor

    def __init__(
        self,
        rows: int,
        dim: int,
        word_dim: int,
        *,
        trained: bool,
        tanh: bool,
        masked: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.masked = masked

        if trained:
            self.vectors = nn.Parameter(torch.zeros(rows + 1, dim))
        else:
            self.register_buffer("vectors", torch.zeros(rows + 1, dim))

        self.matrix = nn.Parameter(glorot_uniform(dim, word_dim, generator=generator))
        self.bias = nn.Parameter(torch.zeros(word_dim)) if tanh else None

    def put(self, vectors: Float[Tensor, "entities dim"]) -> None:
        """Set the vectors of all entities."""
        with torch.no_grad():
            self.vectors[1:] = vectors

    def forward(self, numbers: Int[Tensor, " entities"]) -> Float[Tensor, "entities din"]:
        """Return the transformed vectors of some entity numbers."""
        mapped = take_rows(self.vectors, numbers) @ self.matrix  # (entities, word_dim)
        if self.bias is not None:
            mapped = torch.tanh(mapped + self.bias)

        if self.masked:
            mapped = mapped * (numbers != 0).unsqueeze(1).to(mapped.dtype)

        return mapped
