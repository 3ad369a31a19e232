"""The score of a user and an item with some edges of the graph alone: what sufficiency asks."""

from collections.abc import Sequence

import numpy as np

from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.effects.closed_form import Linear, Mode, lengths
from kgrec.explanation.effects.measured import EffectsOf, LinearModel, MeasuredModel


def scores_alone(
    of: EffectsOf, graph: PathGraph, user: int, item: int, groups: Sequence[np.ndarray], mode: Mode
) -> np.ndarray:
    """Return the score where each group of edges is all there is; an empty group leaves what no
    edge carries.

    Linear models are propagated over the group's own nodes; others are run again without everything
    else.

    Args:
        of: The model's effects.
        graph: Its path graph.
        user: User row.
        item: Item row.
        groups: Edges of the path graph.
        mode: "delete": degrees are those that are left; "mask": the weights are those of the whole
            graph.
    """
    if isinstance(of, LinearModel):
        node = graph.ckg.user_node(user)
        return np.array(
            [
                _propagated(of.linear, node, item, graph.low[edges], graph.high[edges], mode)
                for edges in groups
            ]
        )

    if not isinstance(of, MeasuredModel):
        raise TypeError(f"no scores of {type(of).__name__} without its graph")

    removed = []
    for edges in groups:
        gone = np.ones(len(graph.ckg.head), dtype=bool)
        gone[graph.facts_of(edges)] = False
        removed.append(np.flatnonzero(gone).tolist())

    return np.asarray(
        of.model.rerun(user, item, removed, keep_weights=mode == "mask")
        .detach()
        .double()
        .cpu()
        .numpy()
    )


def _propagated(
    linear: Linear, user: int, item: int, low: np.ndarray, high: np.ndarray, mode: Mode
) -> float:
    nodes = np.unique(np.concatenate([[user, item], low, high]))
    ends = np.searchsorted(nodes, np.stack([low, high]))
    there = np.zeros((len(nodes), len(nodes)))
    there[ends[0], ends[1]] = there[ends[1], ends[0]] = 1.0

    if mode == "delete":
        degree = there.sum(1)
    else:
        degree = linear.degree[nodes]

    scale = 1 / np.sqrt(np.maximum(degree, 1))
    weight = there * scale[:, None] * scale[None, :]
    layer = linear.layers[0][nodes].astype(np.float64)
    z = linear.coefficients[0] * layer

    for coefficient in linear.coefficients[1:]:
        layer = weight @ layer
        z = z + coefficient * layer

    z_user, z_item = z[np.searchsorted(nodes, [user, item])]
    if linear.by_direction:
        length = float(lengths(z_item))
    else:
        length = 1.0

    return float(z_user @ z_item) / length
