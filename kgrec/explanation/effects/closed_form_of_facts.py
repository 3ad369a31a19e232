"""Exact parts of a score and exact effects of facts, for models that are linear propagation with a
number for each fact and direction (docs/explanations.md, sections 2 and 5).

What holds in ``closed_form`` of a symmetric A holds here with rows of A where the user and the item
gather, and columns where something is sent: a fact may go without its pair, whose two nodes are
then still neighbors.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from kgrec.explanation.effects.closed_form import Change, Linear, Mode, Pair
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.capabilities import FactPropagation


class LinearOfFacts(Linear):
    """The layers of a model that is linear in its nodes, each fact weighted in either direction.

    Args:
        propagation: The model's propagation.
        ckg: The graph of its facts.
    """

    def __init__(self, propagation: FactPropagation, ckg: CollaborativeKG) -> None:
        self.ckg = ckg
        self.coefficients = np.asarray(propagation.coefficients, dtype=np.float64)
        self.by_direction = False
        self.num_layers = len(self.coefficients) - 1
        self.num_nodes = ckg.num_nodes
        low, high = np.minimum(ckg.head, ckg.tail), np.maximum(ckg.head, ckg.tail)
        pairs, self.pair = np.unique(low * ckg.num_nodes + high, return_inverse=True)
        self.facts_of_pair = np.bincount(self.pair, minlength=len(pairs))
        self.ends = np.stack(np.divmod(pairs, ckg.num_nodes))
        self.degree = np.bincount(self.ends.ravel(), minlength=ckg.num_nodes)
        self.forward, self.backward = (
            numbers.detach().double().cpu().numpy() / self.length(ckg.head, ckg.tail)
            for numbers in (propagation.forward, propagation.backward)
        )
        rows, columns = (
            np.concatenate(ends) for ends in ((ckg.head, ckg.tail), (ckg.tail, ckg.head))
        )
        weights = np.concatenate([self.forward, self.backward])
        size = (ckg.num_nodes, ckg.num_nodes)
        self.matrix = sp.csr_matrix((weights, (rows, columns)), shape=size)
        self._turned = self.matrix.T.tocsr()
        self.layers = [propagation.start.detach().cpu().numpy()]
        for _ in range(self.num_layers):
            layer = self.matrix @ self.layers[-1]
            self.layers.append(layer.astype(self.layers[0].dtype))

    @property
    def turned(self) -> sp.csr_matrix:
        """The graph with its edges turned around."""
        return self._turned

    def length(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return sqrt(d_a d_b) of pairs of nodes."""
        return np.asarray(np.sqrt(self.degree[a] * self.degree[b].astype(np.float64)))

    def at(self, user: int, item: int) -> "PairOfFacts":
        """Return what is known of one score."""
        return PairOfFacts(self, user, item)


class PairOfFacts(Pair):
    """One score of such a model.

    Args:
        linear: The model.
        user: The user's node.
        item: The item.
    """

    linear: LinearOfFacts

    def without(self, groups: Sequence[np.ndarray], modes: Sequence[Mode]) -> np.ndarray:
        """Return the scores without each group of facts, (modes, groups), exactly, from the nodes
        of these facts alone.
        """
        return self.changed([self._gone(np.unique(facts)) for facts in groups], modes)

    def _gone(self, facts: np.ndarray) -> Change:
        linear = self.linear
        head, tail = linear.ckg.head[facts], linear.ckg.tail[facts]
        pair, count = np.unique(linear.pair[facts], return_counts=True)
        ends = linear.ends[:, pair[count == linear.facts_of_pair[pair]]].ravel()
        return Change(
            np.concatenate([head, tail]),
            np.concatenate([tail, head]),
            np.concatenate([linear.forward[facts], linear.backward[facts]]),
            ends,
            np.ones(len(ends)),
        )

    def joint_of(self, nodes: np.ndarray, ahead: np.ndarray, back: np.ndarray) -> np.ndarray:
        """Return c(p) of paths of one length, Eq. (3): the user gathers along the first hops, the
        item along the others.

        Args:
            nodes: (paths, length + 1).
            ahead: (paths, length), A_ab of each hop from a to b.
            back: A_ba of each hop.
        """
        linear = self.linear
        length = nodes.shape[1] - 1
        total = np.zeros(len(nodes))
        for m in range(max(0, length - linear.num_layers), min(linear.num_layers, length) + 1):
            carried = ahead[:, :m].prod(1) * back[:, m:].prod(1)
            mixed = linear.coefficients[m] * linear.coefficients[length - m]
            total += mixed * carried * linear.squares[nodes[:, m]]

        return total
