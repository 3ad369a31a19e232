"""Walks over the collaborative knowledge graph, a batch of walkers at a time."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.graph.ckg import CollaborativeKG
from kgrec.ops.lists import last_of_lists


class Steps(nn.Module):
    """Where a walker can go from a node: along a fact, against one, or nowhere.

    Relations of steps are those of the graph, inverses included, and 2R for staying.

    Args:
        ckg: The graph.
        most: Facts that a node has, at most; of more, so many are drawn once.
    """

    _ptr: Tensor
    _relation: Tensor
    _next: Tensor

    def __init__(self, ckg: CollaborativeKG, most: int) -> None:
        super().__init__()
        head, relation, tail = ckg.both_ways()
        order = np.random.default_rng(0).permutation(len(head))
        order = order[np.argsort(head[order], kind="stable")]
        ptr = np.searchsorted(head[order], np.arange(ckg.num_nodes + 1))
        columns = {"_ptr": ptr, "_relation": relation[order], "_next": tail[order]}
        for name, values in columns.items():
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

        self.stay = 2 * ckg.num_relations
        self._most = most

    def of(
        self, node: Int[Tensor, " batch"], previous: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch cand"], Int[Tensor, "batch cand"], Bool[Tensor, "batch cand"]]:
        """Return the relations and the ends of the steps from nodes, staying first, and which there
        are: none straight back.
        """
        facts = torch.arange(len(self._next), device=node.device)
        at, held = last_of_lists(self._ptr, facts, node, self._most)
        relation, end = self._relation[at], self._next[at]
        held = held & (end != previous.unsqueeze(1))
        here = torch.full_like(node, self.stay).unsqueeze(1)
        return (
            torch.cat([here, relation], 1),
            torch.cat([node.unsqueeze(1), end], 1),
            torch.cat([torch.ones_like(here, dtype=torch.bool), held], 1),
        )


def best_steps(
    steps: tuple[Tensor, Tensor, Tensor], worth: Float[Tensor, "batch cand"], most: int
) -> tuple[Int[Tensor, "batch cand"], Int[Tensor, "batch cand"], Bool[Tensor, "batch cand"]]:
    """Return the steps that are worth most, staying always among them."""
    relation, end, held = steps
    if relation.shape[1] <= most:
        return relation, end, held

    worth = worth.masked_fill(~held, -torch.inf)
    worth[:, 0] = torch.inf
    kept = worth.topk(most, 1).indices
    return relation.gather(1, kept), end.gather(1, kept), held.gather(1, kept)
