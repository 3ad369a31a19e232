"""Simple paths between a user and an item, all of them up to a length, in NumPy."""

from dataclasses import dataclass

import numpy as np

from kgrec.errors import ExplanationError
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.ops.ranges import ranges

LONGEST = 6


@dataclass(frozen=True, slots=True)
class Found:
    """Paths of one search.

    Attributes:
        nodes: Per length from 1 on, (paths, length + 1) nodes, rows sorted.
        edges: Per length from 1 on, (paths, length) edges of the ``PathGraph``.
        cut: Per length, whether the budget was hit, so that paths are missing.
    """

    nodes: tuple[np.ndarray, ...]
    edges: tuple[np.ndarray, ...]
    cut: tuple[bool, ...]

    @property
    def truncated(self) -> bool:
        """Whether paths of any length are missing."""
        return any(self.cut)


@dataclass(slots=True)
class _Budget:
    left: int
    hit: bool = False

    def take(self, sizes: np.ndarray) -> np.ndarray:
        """Return which rows may be expanded: the smallest first, so that hubs are given up."""
        order = np.argsort(sizes, kind="stable")
        fits = np.cumsum(sizes[order]) <= self.left
        allowed = np.zeros(len(sizes), dtype=bool)
        allowed[order[fits]] = True
        self.left -= int(sizes[allowed].sum())
        self.hit |= not fits.all()
        return allowed


@dataclass(frozen=True, slots=True)
class Limits:
    """What paths may pass through.

    Attributes:
        passable: Nodes that may stand between the ends.
        usable: Edges that may be walked.
    """

    passable: np.ndarray
    usable: np.ndarray

    @classmethod
    def none(cls, graph: PathGraph) -> "Limits":
        """Return limits that let everything through."""
        return cls(np.ones(graph.ckg.num_nodes, dtype=bool), np.ones(graph.num_edges, dtype=bool))


def simple_paths(
    graph: PathGraph,
    user: int,
    item: int,
    max_length: int = 3,
    budget: int = 2_000_000,
    limits: Limits | None = None,
) -> Found:
    """Return every simple path between two nodes of at most ``max_length`` edges, in a fixed order.

    Two halves are grown and joined in the middle; the longer half is grown from the end with fewer
    entries to look at. Parallel edges give separate paths. An edge that states an interaction
    between the two themselves is not a path.

    Args:
        graph: Where to search.
        user: Node to start from.
        item: Node to end at, another one.
        max_length: Longest path, in 1..6.
        budget: Adjacency entries and joined rows looked at per length before the search gives up
            the widest branches.
        limits: What paths may pass through; None is everything.

    Raises:
        ExplanationError: If ``max_length`` is not in 1..6, ``budget`` is below 1 or the ends are
            the same.
    """
    check_length(max_length)
    limits = limits or Limits.none(graph)

    if budget < 1 or user == item:
        raise ExplanationError(
            f"budget {budget}, ends {user} and {item}: the budget must be at least 1 and the "
            "ends different."
        )

    nodes = []
    edges = []
    cut = []

    for length in range(1, max_length + 1):
        allowance = _Budget(budget)
        if length == 1:
            found = _direct(graph, user, item, limits)
        else:
            found = _meet(graph, user, item, length, allowance, limits)

        order = np.lexsort([*found[1].T[::-1], *found[0].T[::-1]])
        nodes.append(found[0][order])
        edges.append(found[1][order])
        cut.append(allowance.hit)

    return Found(tuple(nodes), tuple(edges), tuple(cut))


def check_length(length: int) -> None:
    """Refuse paths that are too short or too long to be searched.

    Raises:
        ExplanationError: If the length is not in 1..6.
    """
    if not 1 <= length <= LONGEST:
        raise ExplanationError(
            f"max_length is {length}. Paths of 1 to {LONGEST} hops can be searched."
        )


def _direct(
    graph: PathGraph, user: int, item: int, limits: Limits
) -> tuple[np.ndarray, np.ndarray]:
    entries = np.arange(graph.ptr[user], graph.ptr[user + 1])
    edges = graph.edge[entries[graph.neighbor[entries] == item]]
    edges = edges[limits.usable[edges]]
    edges = np.array(
        [e for e in edges if not (graph.ckg.relation[graph.facts(int(e))] == 0).any()],
        dtype=np.int64,
    )

    return np.tile(np.array([[user, item]], dtype=np.int64), (len(edges), 1)), edges.reshape(-1, 1)


def _meet(
    graph: PathGraph, user: int, item: int, length: int, budget: _Budget, limits: Limits
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and edges of the paths of one length >= 2."""
    ends = [user, item]
    if length == 3 and _reach(graph, item, user) < _reach(graph, user, item):
        ends.reverse()

    short = _grow(graph, ends[1], length // 2, ends[0], limits.passable, limits.usable, budget)
    middle = np.zeros(graph.ckg.num_nodes, dtype=bool)
    middle[short[0][:, -1]] = True
    long = _grow(
        graph,
        ends[0],
        length - length // 2,
        ends[1],
        limits.passable,
        limits.usable,
        budget,
        wanted=middle,
    )
    nodes, edges = _join(long, short, budget)
    if ends[0] == user:
        return (nodes, edges)

    return (nodes[:, ::-1], edges[:, ::-1])


def _reach(graph: PathGraph, node: int, avoid: int) -> int:
    near = graph.neighbor[graph.ptr[node] : graph.ptr[node + 1]]
    return int(graph.degree(near[near != avoid]).sum())


def _grow(
    graph: PathGraph,
    start: int,
    depth: int,
    avoid: int,
    passable: np.ndarray,
    usable: np.ndarray,
    budget: _Budget,
    wanted: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the simple paths of ``depth`` edges from a node to wanted ones, off ``avoid``."""
    nodes = np.array([[start]], dtype=np.int64)
    edges = np.empty((1, 0), dtype=np.int64)

    for step in range(depth):
        sizes = graph.degree(nodes[:, -1])
        allowed = budget.take(sizes)
        nodes = nodes[allowed]
        edges = edges[allowed]
        sizes = sizes[allowed]
        row, entry = ranges(graph.ptr[nodes[:, -1]], sizes)
        reached = graph.neighbor[entry]
        good = (reached != avoid) & passable[reached] & usable[graph.edge[entry]]
        if wanted is not None and step == depth - 1:
            good &= wanted[reached]

        row = row[good]
        entry = entry[good]
        reached = reached[good]
        fresh = (nodes[row] != reached[:, None]).all(1)
        nodes = np.column_stack([nodes[row[fresh]], reached[fresh]])
        edges = np.column_stack([edges[row[fresh]], graph.edge[entry[fresh]]])

    return nodes, edges


def _join(
    long: tuple[np.ndarray, np.ndarray], short: tuple[np.ndarray, np.ndarray], budget: _Budget
) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(short[0][:, -1], kind="stable")
    ends = short[0][order, -1]
    low = np.searchsorted(ends, long[0][:, -1], "left")
    high = np.searchsorted(ends, long[0][:, -1], "right")
    allowed = budget.take(high - low)
    row, position = ranges(low[allowed], (high - low)[allowed])
    left = np.flatnonzero(allowed)[row]
    right = order[position]
    back = short[0][right, -2::-1]  # the middle node itself is the last of the left half
    apart = (long[0][left][:, :, None] != back[:, None, :]).all((1, 2))
    nodes = np.concatenate([long[0][left], back], 1)[apart]
    return nodes, np.concatenate([long[1][left], short[1][right][:, ::-1]], 1)[apart]
