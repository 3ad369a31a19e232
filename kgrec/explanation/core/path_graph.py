"""The graph that paths walk on."""

import numpy as np

from kgrec.graph.ckg import CollaborativeKG
from kgrec.ops.ranges import ranges


class PathGraph:
    """The undirected view of a collaborative knowledge graph that paths walk on.

    An edge is a set of facts that go together: with ``merged`` all facts between two nodes, else
    the facts that state the same (head, relation, tail). Facts from a node to itself are left out.

    Args:
        ckg: The graph.
        merged: Whether parallel relations are one edge.

    Attributes:
        low: Lower node of each edge.
        high: Higher node of each edge.
        ptr: Start of each node's entries, and the end of the last (nodes + 1).
        neighbor: Node at the other end of each entry; ascending within a node.
        edge: Edge of each entry.
        first_facts: The first fact of each edge: its position in the columns of the CKG.
    """

    def __init__(self, ckg: CollaborativeKG, merged: bool) -> None:
        self.ckg = ckg
        facts = np.flatnonzero(ckg.head != ckg.tail)
        head = ckg.head[facts]
        tail = ckg.tail[facts]
        columns = [np.minimum(head, tail), np.maximum(head, tail)]
        if not merged:
            columns += [ckg.relation[facts], (head > tail).astype(np.int64)]

        order = np.lexsort([facts, *columns[::-1]])
        ends = np.stack([column[order] for column in columns])

        if len(order):
            starts = np.flatnonzero(np.r_[True, (ends[:, 1:] != ends[:, :-1]).any(0)])
        else:
            starts = order

        self._facts = facts[order]
        self._fact_ptr = np.append(starts, len(order))
        self.first_facts = self._facts[starts]
        self.low = ends[0, starts]
        self.high = ends[1, starts]
        source = np.concatenate([self.low, self.high])
        target = np.concatenate([self.high, self.low])
        edge = np.tile(np.arange(len(starts)), 2)
        order = np.lexsort([edge, target, source])
        self.neighbor = target[order]
        self.edge = edge[order]
        self.ptr = np.searchsorted(source[order], np.arange(ckg.num_nodes + 1))

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return len(self._fact_ptr) - 1

    def facts(self, edge: int) -> np.ndarray:
        """Return the facts of an edge, in order: positions in the columns of the CKG."""
        return np.asarray(self._facts[self._fact_ptr[edge] : self._fact_ptr[edge + 1]])

    def facts_of(self, edges: np.ndarray) -> np.ndarray:
        """Return the facts of several edges."""
        begin = self._fact_ptr[edges]
        _, position = ranges(begin, self._fact_ptr[np.asarray(edges) + 1] - begin)
        return np.asarray(self._facts[position])

    def edge_facts(self) -> np.ndarray:
        """Return the facts of all edges, edge after edge."""
        return self._facts

    def edge_of_fact(self) -> np.ndarray:
        """Return the edge of each of ``edge_facts``."""
        return np.repeat(np.arange(self.num_edges), np.diff(self._fact_ptr))

    def per_edge(self, values: np.ndarray) -> np.ndarray:
        """Return, per edge, the sum of a value per fact."""
        return np.asarray(
            np.bincount(self.edge_of_fact(), weights=values[self._facts], minlength=self.num_edges)
        )

    def best_per_edge(self, values: np.ndarray) -> np.ndarray:
        """Return, per edge, the largest value of its facts."""
        if self.num_edges:
            return np.maximum.reduceat(values[self._facts], self._fact_ptr[:-1])
        return np.empty(0)

    def degree(self, nodes: np.ndarray) -> np.ndarray:
        """Return the number of edges at each node."""
        return np.asarray(self.ptr[nodes + 1] - self.ptr[nodes])
