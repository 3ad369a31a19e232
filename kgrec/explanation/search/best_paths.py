"""Best simple paths of one length, without listing the others (docs/explanations.md, section 7)."""

import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np

from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.search.all_paths import Limits

_TIE = 1e-12


@dataclass(frozen=True, slots=True)
class Best:
    """The best paths of one length.

    Attributes:
        nodes: (paths, length + 1) nodes, best first.
        edges: (paths, length) edges of the ``PathGraph``.
        values: Sum of the values of each path's edges.
        complete: Whether no path left out has a larger value; False where the search stopped at its
            limit.
    """

    nodes: np.ndarray
    edges: np.ndarray
    values: np.ndarray
    complete: bool


@dataclass(slots=True)
class _Branch:
    """A prefix and its continuations in order, the next one to take."""

    nodes: tuple[int, ...]
    edges: tuple[int, ...]
    value: float
    bounds: np.ndarray
    entries: np.ndarray
    place: int = 0


def best_paths(
    graph: PathGraph,
    value: np.ndarray,
    user: int,
    item: int,
    length: int,
    k: int,
    limits: Limits,
    most: int = 50_000,
) -> Best:
    """Return the ``k`` simple paths of ``length`` edges with the largest sum of values.

    A table of the best completion from every node bounds each prefix from above, exactly but for
    nodes that would repeat, so branches are taken up in the order of what they can reach at most.
    Paths of equal value are ordered by nodes, then edges.

    Args:
        graph: Where to search.
        value: Of each edge; any sign.
        user: Node to start from.
        item: Node to end at.
        length: Number of edges.
        k: Number of paths, at least 1.
        limits: What paths may pass through.
        most: Branches taken up before the search stops.
    """
    bounds = _bounds(graph, value, user, item, length, limits)
    order = count()
    queue: list[tuple[float, int, _Branch]] = []
    _open(queue, order, graph, value, bounds, limits, (user,), (), 0.0, length)
    done: list[tuple[float, tuple[int, ...], tuple[int, ...]]] = []
    lowest = -np.inf
    steps = 0
    while queue and steps < most:
        negative, _, branch = heapq.heappop(queue)
        if -negative < lowest:
            break

        steps += 1
        entry = int(branch.entries[branch.place])

        if branch.place + 1 < len(branch.entries):
            branch.place += 1
            heapq.heappush(queue, (-float(branch.bounds[branch.place]), next(order), branch))

        edge = int(graph.edge[entry])
        nodes = (*branch.nodes, int(graph.neighbor[entry]))
        edges = (*branch.edges, edge)
        reached = branch.value + float(value[edge])

        if len(edges) < length:
            _open(queue, order, graph, value, bounds, limits, nodes, edges, reached, length)
        else:
            done.append((reached, nodes, edges))
            if len(done) >= k:
                kth = heapq.nlargest(k, (path[0] for path in done))[-1]
                lowest = kth - _TIE * max(1.0, abs(kth))

    level = _TIE * max((abs(path[0]) for path in done), default=1.0)
    done.sort(key=lambda path: (-round(path[0] / level) if level else 0, path[1], path[2]))
    shown = done[:k]

    return Best(
        np.array([path[1] for path in shown], dtype=np.int64).reshape(len(shown), length + 1),
        np.array([path[2] for path in shown], dtype=np.int64).reshape(len(shown), length),
        np.array([path[0] for path in shown]),
        complete=steps < most or not queue,
    )


def _bounds(
    graph: PathGraph, value: np.ndarray, user: int, item: int, length: int, limits: Limits
) -> list[np.ndarray]:
    """Return the best value from each node to the item, per number of edges left to go."""
    at_item = np.full(graph.ckg.num_nodes, -np.inf)
    at_item[item] = 0.0
    tables = [at_item]
    usable = np.where(limits.usable, value, -np.inf)[graph.edge]
    inner = limits.passable.copy()
    inner[[user, item]] = False

    for _ in range(length - 1):
        through = usable + tables[-1][graph.neighbor]
        best = np.full(graph.ckg.num_nodes, -np.inf)
        rows = np.flatnonzero(np.diff(graph.ptr))
        if len(rows):
            best[rows] = np.maximum.reduceat(through, graph.ptr[rows])
        else:
            best[rows] = best[rows]

        best[~inner] = -np.inf
        tables.append(best)

    return tables


def _open(
    queue: list[tuple[float, int, _Branch]],
    order: "count[int]",
    graph: PathGraph,
    value: np.ndarray,
    bounds: list[np.ndarray],
    limits: Limits,
    nodes: tuple[int, ...],
    edges: tuple[int, ...],
    reached: float,
    length: int,
) -> None:
    entries = np.arange(graph.ptr[nodes[-1]], graph.ptr[nodes[-1] + 1])
    bound = (
        reached
        + value[graph.edge[entries]]
        + bounds[length - len(edges) - 1][graph.neighbor[entries]]
    )
    bound[~limits.usable[graph.edge[entries]]] = -np.inf
    for node in nodes:
        bound[graph.neighbor[entries] == node] = -np.inf

    if len(edges) == 0 and length == 1:
        bound[
            [
                bool((graph.ckg.relation[graph.facts(int(e))] == 0).any())
                for e in graph.edge[entries]
            ]
        ] = -np.inf

    good = np.flatnonzero(np.isfinite(bound))
    if len(good):
        best = good[np.argsort(-bound[good], kind="stable")]
        branch = _Branch(nodes, edges, reached, bound[best], entries[best])
        heapq.heappush(queue, (-float(branch.bounds[0]), next(order), branch))


def count_walks(graph: PathGraph, user: int, item: int, max_length: int) -> list[float]:
    """Return the number of walks of 1 .. ``max_length`` edges; there are at most as many paths."""
    reach = np.zeros(graph.ckg.num_nodes)
    reach[user] = 1.0
    counts = []
    rows = np.flatnonzero(np.diff(graph.ptr))

    for _ in range(max_length):
        through = reach[graph.neighbor]
        reach = np.zeros(graph.ckg.num_nodes)
        reach[rows] = np.add.reduceat(through, graph.ptr[rows])
        counts.append(float(reach[item]))

    return counts
