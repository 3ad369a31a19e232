"""Candidates of an explanation: paths that differ only in other users are one, variety is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrec.explanation.core.naming import OTHERS
from kgrec.explanation.core.path_graph import PathGraph


@dataclass(frozen=True, slots=True)
class Candidates:
    """Paths of one length; those that differ only in other users are one candidate.

    Attributes:
        nodes: (candidates, length + 1) nodes, ``OTHERS`` for counted users; rows sorted.
        example: Edges of one path of each candidate, (candidates, length).
        of_path: Candidate of each path.
        candidate: Candidate of each (candidate, edge) pair, sorted.
        edge: Edge of each pair; every distinct edge of a candidate once.
        users: Number of other users a candidate stands for; 0 where it stands for itself.
    """

    nodes: np.ndarray
    example: np.ndarray
    of_path: np.ndarray
    candidate: np.ndarray
    edge: np.ndarray
    users: np.ndarray

    def edges(self, number: int) -> np.ndarray:
        """Return the distinct edges of a candidate."""
        low, high = np.searchsorted(self.candidate, [number, number + 1])
        return self.edge[low:high]

    def total(self, per_edge: np.ndarray) -> np.ndarray:
        """Return, per candidate, the sum of a value of each of its pairs' edges."""
        return np.bincount(self.candidate, weights=per_edge, minlength=len(self.nodes))

    def total_of_paths(self, per_path: np.ndarray) -> np.ndarray:
        """Return, per candidate, the sum of a value of its paths."""
        return np.bincount(self.of_path, weights=per_path, minlength=len(self.nodes))


def grouped(
    graph: PathGraph, nodes: np.ndarray, edges: np.ndarray, count_users: bool
) -> Candidates:
    """Return paths of one length as candidates.

    Args:
        graph: The path graph.
        nodes: (paths, length + 1), rows sorted.
        edges: (paths, length).
        count_users: Whether paths that differ only in other users are one candidate.
    """
    others = nodes >= graph.ckg.num_entities  # what CollaborativeKG.is_user says of one node
    others[:, 0] = False
    if not count_users or not others.any():
        length = edges.shape[1]
        rows = np.arange(len(nodes))
        return Candidates(
            nodes,
            edges,
            rows,
            np.repeat(rows, length),
            edges.ravel(),
            np.zeros(len(nodes), np.int64),
        )

    touching = others[:, 1:] | others[:, :-1]
    key = np.where(touching, -1 - graph.ckg.relation[graph.first_facts[edges]], edges)
    shown = np.where(others, OTHERS, nodes)
    group, first = _same_rows(np.concatenate([shown, key], 1))
    size = np.bincount(group)
    pairs = np.unique(np.repeat(group, edges.shape[1]) * graph.num_edges + edges.ravel())
    counted = (shown[first] == OTHERS).any(1)

    return Candidates(
        shown[first],
        edges[first],
        group,
        pairs // graph.num_edges,
        pairs % graph.num_edges,
        np.where(counted, size, 0),
    )


def _same_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's number among the sorted distinct ones, and the first row of each."""
    number = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        distinct, inverse = np.unique(column, return_inverse=True)
        if len(distinct) > 1:
            _, number = np.unique(number * len(distinct) + inverse.ravel(), return_inverse=True)
            number = number.ravel()

    _, first = np.unique(number, return_index=True)
    return number, first


def choose(
    groups: Sequence[Candidates],
    levels: np.ndarray,
    *,
    counted: bool,
    most: int,
    per_liked: int,
    per_middle: int,
) -> list[tuple[int, int]]:
    """Return (length - 1, number) of the best candidates, thinned out for variety.

    Args:
        groups: Candidates by length.
        levels: What they are ordered by, smallest first, all lengths after each other: (candidates,
            keys), the first key first.
        counted: Whether those that stand for several users are wanted, or the others.
        most: How many.
        per_liked: How many with one first stop.
        per_middle: How many with one last stop before the item, on paths of three hops and more.
    """
    length = np.repeat(np.arange(len(groups)), [len(group.nodes) for group in groups])
    number = np.concatenate([np.arange(len(group.nodes)) for group in groups])
    order = np.lexsort([number, length, *levels.T[::-1]])
    of_users = np.concatenate([group.users for group in groups]) > 0
    chosen: list[tuple[int, int]] = []
    liked: dict[int, int] = {}
    middle: dict[int, int] = {}

    for position in order[of_users[order] == counted].tolist():
        where = (int(length[position]), int(number[position]))
        stops = groups[where[0]].nodes[where[1]].tolist()
        first = stops[1]

        if len(stops) > 3:
            last = stops[-2]
        else:
            last = None

        if liked.get(first, 0) >= per_liked or (
            last is not None and middle.get(last, 0) >= per_middle
        ):
            continue

        liked[first] = liked.get(first, 0) + 1
        if last is not None:
            middle[last] = middle.get(last, 0) + 1

        chosen.append(where)
        if len(chosen) == most:
            break

    return chosen


def rounded(values: np.ndarray) -> np.ndarray:
    """Return values at twelve digits of the largest, so that ties are ties on every machine."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest > 0:
        return np.round(values / largest, 12)
    return values
