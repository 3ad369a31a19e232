"""The denoised knowledge graph of DiffKG: what a diffusion of the entities of items keeps."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.graph.relational import RelationalGraph
from kgrec.models.knowledge.base import check_memory
from kgrec.nn.diffusion import RowDiffusion

_ITEMS_AT_ONCE = 512


class KnowledgeDenoiser(nn.Module):
    """A diffusion of rows that say which entities a triple joins to an item.

    Args:
        graph: The triples, both ways.
        diffusion: The diffusion, as wide as there are entities.
        num_items: Items, the first entities.
        collaborative: Share of the collaborative loss.
    """

    def __init__(
        self,
        graph: RelationalGraph,
        diffusion: RowDiffusion,
        num_items: int,
        collaborative: float | int,
    ) -> None:
        super().__init__()
        self.diffusion = diffusion
        self._graph = (graph,)  # the model's own, not a part of this one
        self._num_items = num_items
        self._collaborative = collaborative

    def rows(self, items: Int[Tensor, " batch"]) -> Float[Tensor, "batch entities"]:
        """Return 1 for each entity that a triple joins to each item, x_0."""
        (graph,) = self._graph
        csr = graph.csr
        like = next(self.parameters())
        what = f"rows of {graph.num_nodes} entities for {len(items)} items"
        check_memory(what, len(items) * graph.num_nodes, like, "Take a smaller batch_size.")
        degree = csr.degree[items]
        row = torch.repeat_interleave(torch.arange(len(items), device=items.device), degree)
        within = torch.arange(len(row), device=row.device) - (degree.cumsum(0) - degree)[row]
        found = like.new_zeros(len(items), graph.num_nodes)
        found[row, csr.idx[csr.ptr[items][row] + within].long()] = 1.0
        return found

    def loss(
        self,
        items: Int[Tensor, " batch"],
        vectors: Float[Tensor, "items dim"],
        of_users: Float[Tensor, "items dim"],
    ) -> Float[Tensor, ""]:
        """Return the loss of the diffusion of some items' rows, and how far what it predicts is
        from their vectors.

        Args:
            items: The items.
            vectors: Vectors of all items.
            of_users: Sum of the vectors of the users of each item.
        """
        error, predicted = self.diffusion.loss(self.rows(items))
        found = predicted[:, : self._num_items] @ of_users
        apart = (found - vectors[items]).square().mean()
        return (1 - self._collaborative) * error + self._collaborative * apart

    @torch.no_grad()
    def kept_edges(self, top: int) -> Bool[Tensor, " edges"]:
        """Return the edges between items and the ``top`` entities that the diffusion restores
        first, in both directions.
        """
        (graph,) = self._graph
        csr = graph.csr
        training = self.diffusion.training
        self.diffusion.eval()
        chosen = []
        for items in torch.split(
            torch.arange(self._num_items, device=csr.ptr.device), _ITEMS_AT_ONCE
        ):
            restored = self.diffusion.restored(self.rows(items))
            best = restored.topk(min(top, graph.num_nodes), 1).indices
            chosen.append((items.unsqueeze(1) * graph.num_nodes + best).flatten())

        self.diffusion.train(training)
        key = torch.cat(chosen)
        head, tail = csr.destinations(), csr.idx.long()
        found: Tensor = torch.isin(head * graph.num_nodes + tail, key)
        return found | torch.isin(tail * graph.num_nodes + head, key)


def edge_keys(graph: RelationalGraph) -> Int[Tensor, " edges"]:
    """Return one number for each edge, by its head, relation and tail."""
    csr, relation = graph.csr, graph.relation.long()
    pair = csr.destinations() * graph.num_nodes + csr.idx.long()
    return pair * graph.num_relations + relation
