"""The collaborative knowledge graph as a plain symmetric graph: parallel relations merged into one
edge; and how many neighbors users, or items, have in common.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.graph.ckg import USER_FACT, CollaborativeKG
from kgrec.ops.csr import Csr, symmetric_weights
from kgrec.ops.propagate import propagate

MOST_BYTES = 256 << 20  # of a table of all pairs, which takes two bytes each
_ROWS = 512  # of it that are counted at a time


class PairGraph(nn.Module):
    """Distinct unordered node pairs of a CKG with weights 1 / sqrt(d_a d_b); moves between devices
    with the model that holds it.

    Attributes:
        csr: Both directions of every pair.
        weight: Symmetric normalization, one per directed edge, in the default dtype.
    """

    weight: Tensor
    _edge: Tensor
    _ptr: Tensor
    _idx: Tensor
    _rev: Tensor

    def __init__(self, ckg: CollaborativeKG) -> None:
        super().__init__()
        self.num_nodes = ckg.num_nodes
        low = np.minimum(ckg.head, ckg.tail)
        high = np.maximum(ckg.head, ckg.tail)
        pairs, self._pair_of_fact = np.unique(low * ckg.num_nodes + high, return_inverse=True)
        low, high = np.divmod(pairs, ckg.num_nodes)
        self._size = np.bincount(self._pair_of_fact, minlength=len(pairs))
        a = torch.from_numpy(low)
        b = torch.from_numpy(high)
        csr, order = Csr.from_edges(torch.cat([a, b]), torch.cat([b, a]), ckg.num_nodes)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order))
        for name, value in (
            ("_ptr", csr.ptr),
            ("_idx", csr.idx),
            ("_rev", csr.rev),
            ("_edge", position[: len(pairs)]),
        ):
            self.register_buffer(
                name, value, persistent=False
            )  # _edge: directed edge of each pair, low -> high first

        self.register_buffer(
            "weight", symmetric_weights(csr, torch.get_default_dtype()), persistent=False
        )

    @property
    def csr(self) -> Csr:
        """The structure, on the device where the module is."""
        return Csr(self._ptr, self._idx, self._rev, None, self.num_nodes)

    def fact_of_edge(self) -> Int[Tensor, " edges"]:
        """Return the first fact of the pair of each directed edge, by its position in the graph."""
        facts = np.arange(len(self._pair_of_fact))[::-1]
        first = np.zeros(len(self._size), np.int64)
        first[self._pair_of_fact[facts]] = facts
        own = torch.from_numpy(first).to(self._edge.device)
        found = torch.empty(2 * len(own), dtype=torch.int64, device=own.device)
        found[self._edge] = own
        found[self._rev[self._edge].long()] = own
        return found

    def removal_effect(self, effect: Float[Tensor, " edges"]) -> Float[Tensor, " _"]:
        """Return, per fact, what its pair carries beyond what a smaller degree at both ends gives
        back.

        ``effect`` is weight times derivative per directed edge. Without a pair, every other weight
        at its ends grows by the factor sqrt(d / (d - 1)), to first order by 1 / (2 d).
        """
        csr = self.csr
        pair = effect + effect[csr.rev.long()]
        around = torch.segment_reduce(pair, "sum", lengths=csr.degree, unsafe=True) / (
            2 * csr.degree.clamp(min=1)
        )
        net = pair - around[csr.destinations()] - around[csr.idx.long()]
        return net[self._edge][torch.from_numpy(self._pair_of_fact).to(effect.device)]

    def edges_of(self, facts: Sequence[int] | np.ndarray) -> Int[Tensor, " _"]:
        """Return the directed edge of each fact's pair, then the reverse of each."""
        pairs = self._pair_of_fact[np.asarray(facts, dtype=np.int64)]
        own = self._edge[torch.from_numpy(pairs).to(self._edge.device)]
        return torch.cat([own, self._rev[own].long()])

    def rows_without(
        self,
        ends: Sequence[int],
        groups: Sequence[Sequence[int]],
        coefficients: Sequence[float],
        keep_weights: bool = False,
    ) -> Float[Tensor, "batch cand nodes"]:
        """Return, per group of facts, the rows ``ends`` of ``sum of c_l A^l``, A being the graph
        without the group's facts.

        A is normalized again; with ``keep_weights`` the weights that are left stay as they were.
        A pair goes when all of its facts go. One vector per end is pushed through the graph instead
        of every node's embedding, all groups side by side: the edited matrix is S (B - D) S with
        the whole graph's ones B, the group's few entries D and its own scales S.
        """
        csr = self.csr
        dtype = self.weight.dtype
        count = len(ends)
        gone = [self._directed(group) for group in groups]
        column = torch.repeat_interleave(
            torch.arange(len(groups)), torch.tensor([len(edges) for edges in gone])
        ).to(self._edge.device)
        edges = torch.cat(gone)
        to = torch.searchsorted(csr.ptr, edges, right=True) - 1
        source = csr.idx[edges].long()
        degree = csr.degree.to(dtype).unsqueeze(1).repeat(1, len(groups))
        if not keep_weights:
            degree.index_put_((to, column), -torch.ones_like(edges, dtype=dtype), accumulate=True)

        scale = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), 0.0).repeat_interleave(
            count, 1
        )  # (nodes, groups * ends)
        total = torch.zeros_like(scale)
        at = (
            torch.tensor(list(ends), device=scale.device).repeat(len(groups)),
            torch.arange(total.shape[1], device=scale.device),
        )
        total[at] = coefficients[-1]
        ones = torch.ones_like(self.weight)
        by_group = (-1, len(groups), count)

        for step, coefficient in enumerate(reversed(coefficients[:-1])):
            sent = scale * total
            if step:
                received = propagate(sent, csr, ones, ones)
            else:  # only the ends send: to their neighbors, without a product
                near = self._neighbors(ends).unsqueeze(1)
                received = (near * sent[at].view(1, *by_group[1:])).view_as(sent)

            blocked = sent.view(by_group)[source, column]
            received.view(by_group).index_put_((to, column), -blocked, accumulate=True)
            total = scale * received
            total[at] += coefficient

        return total.T.reshape(len(groups), count, -1)

    def _neighbors(self, ends: Sequence[int]) -> Float[Tensor, "nodes _"]:
        """Return the columns ``ends`` of the adjacency matrix."""
        csr = self.csr
        found = self.weight.new_zeros(self.num_nodes, len(ends))
        for column, end in enumerate(ends):
            found[csr.idx[csr.ptr[end] : csr.ptr[end + 1]].long(), column] = 1

        return found

    def _directed(self, facts: Sequence[int]) -> Tensor:
        """Return both directed edges of every pair all of whose facts are given."""
        pair, count = np.unique(
            self._pair_of_fact[np.unique(np.asarray(facts, dtype=np.int64))], return_counts=True
        )
        gone = self._edge[torch.from_numpy(pair[count == self._size[pair]]).to(self._edge.device)]
        return torch.cat([gone, self._rev[gone].long()])


class LikedGraph(PairGraph):
    """The interactions of a CKG alone, between items and, after them, users.

    Args:
        ckg: The graph.

    Attributes:
        fact: Position in the columns of ``ckg`` of each directed edge's interaction.
        user: Row of its user.
        item: Its item.
        by_user: 1 / interactions of its user, in the default dtype.
    """

    fact: Tensor
    user: Tensor
    item: Tensor
    by_user: Tensor

    def __init__(self, ckg: CollaborativeKG) -> None:
        super().__init__(ckg.without_knowledge())
        likes = torch.from_numpy(np.flatnonzero(ckg.relation == 0))
        csr = self.csr
        ends = csr.destinations(), csr.idx.long()
        node = torch.maximum(*ends)  # users come last
        by_user = csr.degree[node].to(torch.get_default_dtype()).reciprocal()
        parts = {
            "fact": likes[self.fact_of_edge()],
            "user": node - ckg.num_items,
            "item": torch.minimum(*ends),
            "by_user": by_user,
        }
        for name, value in parts.items():
            self.register_buffer(name, value, persistent=False)


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
        table = np.empty((stop - start, stop - start), np.int16)
        for at in range(0, len(table), _ROWS):
            some = near[at : at + _ROWS]
            table[at : at + _ROWS] = (some @ near.T + some[:, start:stop]).toarray()

        return torch.from_numpy(table)

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
