"""A loss of triples on the vectors that something else propagates or ranks by: it brings what the
facts say into them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.nn.init import normal
from kgrec.ops.contrast import softmax_of_some
from kgrec.ops.rows import take_rows, unit_rows
from kgrec.scale.columns import WHOLE, Whole


class TripleContrast(nn.Module):
    """Cross-entropy of a triple's tail among others of its relation, by the cosine of the head moved
    by the relation.

        -log softmax over the tail t and its negatives t' of cos(x_h + r, x_t) / temperature

    with L2 on the rows of the batch: half of their squared norms, divided by its size.

    Args:
        relations: Number of relations.
        dim: Size of the vectors.
        temperature: What a cosine is divided by, in (0, 1].
        l2_weight: Weight of the L2 term.
        generator: Draws the relations' vectors.

    Source: Ai et al., CFKG, Algorithms 11(9):137, 2018, Section 3, by cosine and softmax as
    ``kgrec.models.knowledge.cfkg``. https://arxiv.org/abs/1805.03352
    """

    def __init__(
        self,
        relations: int,
        dim: int,
        temperature: float | int,
        l2_weight: float | int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.relations = nn.Parameter(normal(relations, dim, scale=0.1, generator=generator))
        self.temperature = temperature
        self.l2_weight = l2_weight

    def forward(
        self,
        nodes: Float[Tensor, "nodes dim"],
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tails: Int[Tensor, "batch cand"],
        shard: Whole = WHOLE,
    ) -> Float[Tensor, ""]:
        """Return the loss; the first of a row's ``tails`` is the triple's own, and ``shard`` says which
        columns of the vectors these are.
        """
        moved = take_rows(nodes, head) + take_rows(self.relations, relation)
        scaled = unit_rows(moved, shard.added) / self.temperature
        if shard.apart:
            tail = unit_rows(take_rows(nodes, tails.flatten()), shard.added)
            scores = (scaled.unsqueeze(1) * tail.view(*tails.shape, -1)).sum(2)
            scores = shard.total(scores)  # (batch, cand)
            loss = (scores.logsumexp(1) - scores[:, 0]).mean()
        else:
            loss = softmax_of_some(scaled, unit_rows(nodes), tails)

        if not self.l2_weight:
            return loss

        used = torch.cat([head, tails.flatten()])
        squares = _squares(nodes, used) + _squares(self.relations, relation)
        return loss + self.l2_weight * shard.total(squares) / (2 * len(head))


def _squares(table: Float[Tensor, "nodes dim"], rows: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the squared norms of some rows, added up."""
    times = torch.bincount(rows, minlength=len(table)).to(table.dtype)
    return (times * table.square().sum(1)).sum()
