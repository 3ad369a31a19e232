"""Vectors of nodes and relations that walkers read, learned by facts."""

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import CorruptedBatch
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.triples.base import CorruptedFacts, TripleConfig
from kgrec.nn.losses import l2, logistic
from kgrec.ops.rows import take_rows


def all_facts(ckg: CollaborativeKG, dim: int, negatives: int) -> CorruptedFacts:
    """Return the source of all facts, each with so many corrupted ends."""
    facts = torch.arange(len(ckg.head))
    return CorruptedFacts(ckg, facts, TripleConfig(dim, negatives, "uniform"))


def moved_facts(
    nodes: Float[Tensor, "nodes dim"],
    relations: Float[Tensor, "relations dim"],
    batch: CorruptedBatch,
    l2_weight: float | int,
) -> Float[Tensor, ""]:
    """Return the logistic loss of ``(h + r) . t`` of facts and corrupted ones, and L2.

    Source: Xian et al., PGPR, SIGIR 2019, as in the authors' code, which calls it TransE.
    https://arxiv.org/abs/1906.05237
    """
    head, tail, other = (
        take_rows(nodes, rows.flatten()) for rows in (batch.head, batch.tail, batch.negative)
    )
    other = other.view(*batch.negative.shape, -1)
    relation = take_rows(relations, batch.relation)
    kept = torch.where(batch.corrupts_head.unsqueeze(1), tail, head + relation)
    moved = other + relation.unsqueeze(1) * batch.corrupts_head[:, None, None]
    false = (moved @ kept.unsqueeze(2)).squeeze(2)
    true = ((head + relation) * tail).sum(1)
    return logistic(true, false) + l2_weight * l2(head, relation, tail)
