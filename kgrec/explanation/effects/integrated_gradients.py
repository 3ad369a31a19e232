"""Edge attributions that add up: integrated gradients of linear propagation by Gauss-Legendre
points (docs/explanations.md, section 6).

Along the ray t A, t in [0, 1], a score of a model with K layers is a polynomial of degree 2 K, so K
points give its integral exactly. Where items are compared by direction it is not a polynomial; then
points are doubled until the parts add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgrec.errors import ExplanationError
from kgrec.explanation.effects.closed_form import Linear, lengths

_MOST_POINTS = 64
_EDGES_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Attributed:
    """The sum of many scores, cut into parts of edges.

    Attributes:
        values: Part of each pair of nodes, both directions.
        score: Sum of the scores.
        start: The same with no edge at all.
        points: Gauss-Legendre points it took.
    """

    values: np.ndarray
    score: float
    start: float
    points: int

    @property
    def residual(self) -> float:
        """What is left of ``score - start``."""
        return self.score - self.start - float(self.values.sum())


def attribute(
    linear: Linear,
    users: np.ndarray,
    items: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    points: int | None = None,
) -> Attributed:
    """Return what each pair of nodes carries of the sum of the scores of (user, item) pairs.

    Args:
        linear: The model.
        users: Nodes of the users.
        items: Items, as many.
        low: One node of each pair that has an edge; all edges are needed for the parts to add up.
        high: The other.
        points: Gauss-Legendre points; None takes as many as it needs.

    Raises:
        ExplanationError: If the parts do not add up within rounding.
    """
    exact = linear.layers[0].dtype == np.float64
    score = _total(linear, users, items, 1.0)
    start = _total(linear, users, items, 0.0)
    if not linear.num_layers:
        return Attributed(np.zeros(len(low)), score, start, 0)

    tolerance = (1e-9 if exact else 1e-5) * max(1.0, abs(score))
    count = points or (max(4, linear.num_layers) if linear.by_direction else linear.num_layers)

    while True:
        found = Attributed(_integrated(linear, users, items, low, high, count), score, start, count)
        if points or abs(found.residual) <= tolerance:
            return found
        if 2 * count > _MOST_POINTS or not linear.by_direction:
            raise ExplanationError(
                f"the parts of the edges miss the score by {found.residual:.3g} with {count} "
                "points."
            )

        count *= 2


def _vectors(linear: Linear, at: float) -> np.ndarray:
    """Return Z on the graph scaled by ``at``."""
    return _mix(linear, [c * at**k for k, c in enumerate(linear.coefficients)])


def _mix(linear: Linear, coefficients: Sequence[float]) -> np.ndarray:
    """Return a sum of layers from the first on."""
    total = np.zeros(linear.layers[0].shape)
    for coefficient, layer in zip(coefficients, linear.layers, strict=False):
        total += coefficient * layer
    return total


def _total(linear: Linear, users: np.ndarray, items: np.ndarray, at: float) -> float:
    z = _vectors(linear, at)
    length = lengths(z[items]) if linear.by_direction else 1.0
    return float((np.einsum("nd,nd->n", z[users], z[items]) / length).sum())


def _integrated(
    linear: Linear,
    users: np.ndarray,
    items: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    points: int,
) -> np.ndarray:
    place, weight = np.polynomial.legendre.leggauss(points)
    total = np.zeros(len(low))
    for at, share in zip((place + 1) / 2, weight / 2, strict=True):
        total += share * _gradient(linear, users, items, low, high, float(at))
    return np.asarray(total * linear.weights(np.stack([low, high], 1)))


def _gradient(
    linear: Linear,
    users: np.ndarray,
    items: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    at: float,
) -> np.ndarray:
    """Return the derivative of the sum of scores by each pair's weight, both directions, on the
    graph scaled by ``at``.
    """
    upstream = _upstream(linear, users, items, at)
    total = np.zeros(len(low))

    for t in range(linear.num_layers):
        further = _mix(
            linear,
            [linear.coefficients[k] * at ** (k - 1) for k in range(t + 1, linear.num_layers + 1)],
        )
        for begin in range(0, len(low), _EDGES_AT_ONCE):
            some = slice(begin, begin + _EDGES_AT_ONCE)
            a = low[some]
            b = high[some]
            total[some] += np.einsum("nd,nd->n", upstream[a], further[b]) + np.einsum(
                "nd,nd->n", upstream[b], further[a]
            )

        upstream = np.asarray(linear.matrix @ upstream)

    return total


def _upstream(linear: Linear, users: np.ndarray, items: np.ndarray, at: float) -> np.ndarray:
    """Return the derivative of the sum of scores by Z."""
    z = _vectors(linear, at)
    out = np.zeros_like(z)
    toward_item = z[items]
    toward_user = z[users]

    if linear.by_direction:
        length = lengths(toward_item)[:, None]
        toward_item = toward_item / length
        score = np.einsum("nd,nd->n", toward_user, toward_item)[:, None]
        toward_user = (toward_user - score * toward_item) / length

    np.add.at(out, users, toward_item)
    np.add.at(out, items, toward_user)
    return out
