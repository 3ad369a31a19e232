"""Knowledge-graph embedding energies (lower is more plausible)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.ops.relational import rel_project
from kgrec.ops.rows import take_rows


def transr_energies(
    nodes: Float[Tensor, "nodes dim"],
    relations: Float[Tensor, "relations dout"],
    projections: Float[Tensor, "relations dim dout"],
    head: Int[Tensor, " batch"],
    relation: Int[Tensor, " batch"],
    tail: Int[Tensor, " batch"],
    negative_tail: Int[Tensor, " batch"],
) -> tuple[
    Float[Tensor, " batch"],
    Float[Tensor, " batch"],
    tuple[Float[Tensor, "batch dout"], Float[Tensor, "batch dout"], Float[Tensor, "batch dout"], Float[Tensor, "batch dout"]],
]:
    """Return the energies of true and corrupted triples, and the projected rows (head, relation, tail, corrupted tail) for an L2 term.

        g(h, r, t) = |W_r e_h + e_r - W_r e_t|^2

    Source: Lin et al., TransR, AAAI 2015, Eq. (8); as in KGAT, Eq. (1), without normalizing the vectors.
    """
    rows = torch.cat([head, tail, negative_tail])
    h, t, n = rel_project(take_rows(nodes, rows), relation.repeat(3), projections).chunk(3)
    r = take_rows(relations, relation)
    moved = h + r
    return (moved - t).square().sum(1), (moved - n).square().sum(1), (h, r, t, n)
