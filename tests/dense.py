"""Oracles by dense matrices, for models that propagate over interactions."""

import torch

from kgrec.batches import PairwiseBatch
from kgrec.graph.ckg import CollaborativeKG
from kgrec.testing import worlds

BATCH = PairwiseBatch(
    torch.tensor([0, 1, 4, 0, 5]), torch.tensor([0, 2, 3, 5, 0]), torch.tensor([6, 0, 1, 7, 2])
)
"""Pairs of ``worlds.random_world``; user 0 and item 0 are there twice."""


def built(model, config, seed=0):
    """Return a model on a small random world, in float64."""
    ckg = CollaborativeKG.from_dataset(worlds.random_world(3), knowledge=False)
    made = model(ckg, config, torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        made.nodes.normal_(generator=torch.Generator().manual_seed(seed + 1))
    return made


def adjacency(model, weight=None):
    """Return the matrix that the weights of a model's graph are, or others for it."""
    csr = model.graph.csr
    out = torch.zeros(csr.num_nodes, csr.num_nodes, dtype=torch.float64)
    out[csr.destinations(), csr.idx.long()] = (model.graph.weight if weight is None else weight).to(
        out
    )
    return out


def bpr(model, z, batch=BATCH):
    """Return the mean of -log sigmoid(score of the positive - score of the negative)."""
    u, p, n = rows_of(model, z, batch)
    return -torch.nn.functional.logsigmoid((u * p).sum(1) - (u * n).sum(1)).mean()


def rows_of(model, z, batch=BATCH):
    """Return the rows of the users, of the items used and of the others."""
    return z[batch.user + model.ckg.num_entities], z[batch.positive], z[batch.negative]


def info_nce(first, second, temperature, own, others):
    """Return the mean over ``own`` of -log softmax(cos / temperature), pair by pair."""
    cos = torch.nn.functional.cosine_similarity
    total = 0
    for node in own:
        logits = torch.stack([cos(first[node], second[other], dim=0) for other in others])
        total = total - (logits / temperature).log_softmax(0)[list(others).index(node)]
    return total / len(own)
