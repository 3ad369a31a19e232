"""Paths that a model claims to have reasoned along, and whether the graph has them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kgrec.errors import GraphError
from kgrec.graph.ckg import CollaborativeKG


@dataclass(frozen=True, slots=True)
class ReasonedPath:
    """A path from a user to an item, as a model says it.

    Attributes:
        nodes: Nodes of the collaborative knowledge graph, the user's first, the item last.
        relations: Relation of each step, in [0, 2R): ``r + R`` where the step goes against it.
        score: What the model gives the path; higher is better.
    """

    nodes: tuple[int, ...]
    relations: tuple[int, ...]
    score: float | int = 0.0

    def __post_init__(self) -> None:
        """Refuse what is not a path."""
        if len(self.nodes) < 2 or len(self.relations) != len(self.nodes) - 1:
            raise GraphError(
                f"a path of {len(self.nodes)} nodes has {len(self.relations)} relations. Give one "
                "for each step, and at least one step."
            )
        if not math.isfinite(self.score):
            raise GraphError("a path has a score that is not a finite number.")


def verify_paths(
    ckg: CollaborativeKG, user: int, paths: Iterable[ReasonedPath]
) -> list[tuple[tuple[int, ...], ...]]:
    """Return the facts of each step of each path, as positions in the graph's columns: several
    where the graph states one several times.

    Each distinct step takes one pass over the facts.

    Args:
        ckg: The graph.
        user: Row of the user whose paths they are.
        paths: What ``PathReasoner.paths`` returned for the user.

    Raises:
        GraphError: If a path begins at another node, does not end at an item, or takes a step that
            is not in the graph.
    """
    known: dict[tuple[int, int, int], tuple[int, ...]] = {}
    found: list[tuple[tuple[int, ...], ...]] = []

    for path in paths:
        if path.nodes[0] != ckg.user_node(user):
            raise GraphError(f"a path of user {user} begins at node {path.nodes[0]}.")
        if not 0 <= path.nodes[-1] < ckg.num_items:
            raise GraphError(f"a path ends at node {path.nodes[-1]}, which is not an item.")

        steps = list(zip(path.nodes[:-1], path.relations, path.nodes[1:], strict=True))
        for step in steps:
            if step not in known:
                known[step] = _facts(ckg, *step)
            if not known[step]:
                raise GraphError(
                    f"a path of user {user} goes from node {step[0]} to node {step[2]} by relation "
                    f"{step[1]}, which the graph does not state."
                )

        found.append(tuple(known[step] for step in steps))

    return found


def _facts(ckg: CollaborativeKG, source: int, relation: int, target: int) -> tuple[int, ...]:
    """Return the facts that a step follows, in either direction."""
    if relation >= ckg.num_relations:
        source, target = target, source
        relation -= ckg.num_relations
    stated = (ckg.head == source) & (ckg.relation == relation) & (ckg.tail == target)
    return tuple(np.flatnonzero(stated).tolist())
