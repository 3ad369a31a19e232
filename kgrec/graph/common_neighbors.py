"""How many neighbors users, or items, have in common."""

import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.graph.symmetric import PairGraph

MOST_BYTES = 256 << 20  # of a table of all pairs, which takes two bytes each


class CommonNeighbors(nn.Module):
    """Counts of common neighbors among users and items, in a graph of these alone.

    The graph does not change in training: where the table of all pairs is small it is made once,
    and looked up; else the counts of each call are a sparse product.

    Args:
        ckg: Graph whose edges between users and items count.
    """

    def __init__(self, ckg: CollaborativeKG) -> None:
        super().__init__()
        plain = [(end < ckg.num_items) | (end >= ckg.num_entities) for end in (ckg.head, ckg.tail)]
        self.pairs = PairGraph(ckg.take(plain[0] & plain[1] & (ckg.fact != USER_FACT)))
        self._ranges = ((0, ckg.num_items), (ckg.num_entities, ckg.num_nodes))
        self._tables: dict[int, Tensor] = {}

    def between(
        self, rows: Int[Tensor, " batch"], columns: Int[Tensor, " cand"], dtype: torch.dtype
    ) -> Float[Tensor, "batch cand"]:
        """Return the number of common neighbors, one more for two that are neighbors.

        Args:
            rows: Distinct nodes, users alone or items alone.
            columns: Distinct nodes of the same kind, ascending.
            dtype: Type of the numbers.
        """
        start, stop = self._ranges[bool(len(rows)) and int(rows[0]) >= self._ranges[1][0]]
        if 2 * (stop - start) ** 2 > MOST_BYTES:
            return self._counted(rows, columns, dtype)

        if start not in self._tables:
            self._tables[start] = self._table(start, stop)
        table = self._tables[start] = self._tables[start].to(rows.device)
        return table[rows - start][:, columns - start].to(dtype)

    def _table(self, start: int, stop: int) -> Int[Tensor, "nodes nodes"]:
        """Return the counts of all pairs of a range of nodes, int16."""
        csr = self.pairs.csr
        ones = torch.ones(csr.num_edges, dtype=torch.int32).numpy()
        every = (ones, csr.idx.cpu().numpy(), csr.ptr.cpu().numpy())
        near = sp.csr_matrix(every, shape=(csr.num_nodes, csr.num_nodes))[start:stop]
        counts = (near @ near.T + near[:, start:stop]).toarray()
        return torch.from_numpy(counts.astype("int16"))

    def _counted(
        self, rows: Int[Tensor, " batch"], columns: Int[Tensor, " cand"], dtype: torch.dtype
    ) -> Float[Tensor, "batch cand"]:
        left, right = (self._neighbors(some, dtype) for some in (rows, columns))
        counts: Tensor = torch.sparse.mm(left, right.T).to_dense()
        beside = torch.zeros_like(counts)
        at, neighbor = left.coalesce().indices()
        column = torch.searchsorted(columns, neighbor).clamp(max=len(columns) - 1)
        there = columns[column] == neighbor
        beside[at[there], column[there]] = 1.0
        return counts + beside

    def _neighbors(self, nodes: Int[Tensor, " _"], dtype: torch.dtype) -> Tensor:
        """Return the neighbors of nodes, a sparse row of ones each."""
        csr = self.pairs.csr
        degree = csr.degree[nodes]
        row = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), degree)
        within = torch.arange(len(row), device=row.device) - (degree.cumsum(0) - degree)[row]
        at = csr.ptr[nodes][row] + within
        ones = torch.ones(len(row), dtype=dtype, device=row.device)
        size = (len(nodes), csr.num_nodes)
        indices = torch.stack([row, csr.idx[at].long()])
        return torch.sparse_coo_tensor(indices, ones, size, check_invariants=False)
