"""What a model says about one score, in edges of the path graph: effects of taking edges away, and
what the score is made of.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.effects.closed_form import Edit, Linear, Mode, Pair
from kgrec.explanation.effects.closed_form_of_facts import LinearOfFacts, PairOfFacts
from kgrec.models.capabilities import (
    LinearlyPropagated,
    LinearOverFacts,
    Rerunnable,
)

_IN_CLOSED_FORM = 40


@runtime_checkable
class Effects(Protocol):
    """What can be said of the score of one user and item.

    Attributes:
        basis: "exact" or "measured": what ``without`` gives.
    """

    basis: str

    def removal(self, edges: np.ndarray) -> np.ndarray:
        """Return the first-order effect on the score of taking each edge away."""

    def without(
        self, groups: Sequence[np.ndarray], modes: Sequence[Mode] = ("delete",)
    ) -> np.ndarray:
        """Return the score without each group of edges, the score with all of them first: (modes, 1
        + groups).
        """

    def walks(self, nodes: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return, per path of one length, what its own walks carry and the product of its weights;
        None where there is no such thing.
        """


@runtime_checkable
class EffectsOf(Protocol):
    """Gives the effects on the score of any user and item."""

    def at(self, user: int, item: int) -> Effects:
        """Return the effects on one score; rows of the dataset."""


class LinearModel:
    """Effects in closed form.

    Args:
        model: The model's effects; its layers are computed here, once.
        graph: The path graph of its graph, parallel relations merged.
    """

    def __init__(self, model: LinearlyPropagated, graph: PathGraph) -> None:
        self.model = model
        self.graph = graph
        self.linear = Linear(model.propagation())

    def at(self, user: int, item: int) -> "LinearEffects":
        """Return the effects on one score."""
        return LinearEffects(self, user, item)


class LinearEffects:
    """Effects on one score of a linear model.

    Args:
        of: The model.
        user: User row.
        item: Item row.
    """

    basis = "exact"

    def __init__(self, of: LinearModel, user: int, item: int) -> None:
        self._of = of
        self._user = user
        self._item = item
        self.pair: Pair = of.linear.at(of.graph.ckg.user_node(user), item)

    def removal(self, edges: np.ndarray) -> np.ndarray:
        """Return the first-order effects with degrees recomputed."""
        graph = self._of.graph
        return self.pair.removal_effects(graph.low[edges], graph.high[edges])

    def without(
        self, groups: Sequence[np.ndarray], modes: Sequence[Mode] = ("delete",)
    ) -> np.ndarray:
        """Return the scores: few edges in closed form, many by pushing two vectors through the
        edited graph.
        """
        graph = self._of.graph
        scores = np.full((len(modes), 1 + len(groups)), self.pair.score)

        if (
            not self._of.linear.num_layers
        ):  # nothing is read from the graph: what differs would be rounding
            return scores

        small = [n for n, edges in enumerate(groups, 1) if len(edges) <= _IN_CLOSED_FORM]
        edits = [
            Edit(np.stack([graph.low[groups[n - 1]], graph.high[groups[n - 1]]], 1)) for n in small
        ]
        if edits:
            scores[:, small] = self.pair.scores(edits, modes)

        large = [n for n, edges in enumerate(groups, 1) if len(edges) > _IN_CLOSED_FORM]
        if large:
            facts = [graph.facts_of(groups[n - 1]) for n in large]
            scores[:, large] = _rerun(self._of.model, self._user, self._item, facts, modes)

        return scores

    def walks(self, nodes: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return c(p) of Eq. (3) and the product of weights."""
        graph = self._of.graph
        degree = self._of.linear.degree.astype(np.float64)
        weight = (1 / np.sqrt(degree[graph.low[edges]] * degree[graph.high[edges]])).prod(1)
        return self.pair.joint(nodes, weight), weight


class MeasuredModel:
    """Effects by running the model again.

    Args:
        model: The model's effects.
        graph: The path graph of its graph.
    """

    def __init__(self, model: Rerunnable, graph: PathGraph) -> None:
        self.model = model
        self.graph = graph

    def at(self, user: int, item: int) -> "MeasuredEffects":
        """Return the effects on one score."""
        return MeasuredEffects(self.model, self.graph, user, item)


class MeasuredEffects:
    """Effects on one score of a model that is run again.

    Args:
        model: The model's effects.
        graph: The path graph of its graph.
        user: User row.
        item: Item row.
    """

    basis = "measured"

    def __init__(self, model: Rerunnable, graph: PathGraph, user: int, item: int) -> None:
        self._model = model
        self._graph = graph
        self._user = user
        self._item = item
        per_fact = model.screen(user, item).detach().double().cpu().numpy()

        if model.merges_relations:
            self._effect = per_fact[graph.first_facts]
        else:
            self._effect = graph.per_edge(per_fact)

    def removal(self, edges: np.ndarray) -> np.ndarray:
        """Return the model's own first-order effects."""
        return np.asarray(self._effect[edges])

    def without(
        self, groups: Sequence[np.ndarray], modes: Sequence[Mode] = ("delete",)
    ) -> np.ndarray:
        """Return the scores of re-runs."""
        facts = [np.empty(0, np.int64), *(self._graph.facts_of(edges) for edges in groups)]
        return _rerun(self._model, self._user, self._item, facts, modes)

    def walks(self, nodes: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Return None: gates differ from walk to walk."""
        return None


class LinearModelOfFacts(MeasuredModel):
    """Effects in closed form, of facts one by one.

    Args:
        model: The model's effects; its layers are computed here, once.
        graph: The path graph of its graph.
    """

    def __init__(self, model: LinearOverFacts, graph: PathGraph) -> None:
        super().__init__(model, graph)
        self.linear = LinearOfFacts(model.propagation(), model.ckg)
        upward = model.ckg.head < model.ckg.tail
        numbers = self.linear.forward, self.linear.backward
        self.from_low, self.from_high = (
            graph.per_edge(np.where(upward, one, other)) for one, other in (numbers, numbers[::-1])
        )

    def at(self, user: int, item: int) -> "LinearEffectsOfFacts":
        """Return the effects on one score."""
        return LinearEffectsOfFacts(self, user, item)


class LinearEffectsOfFacts(MeasuredEffects):
    """Effects on one score of such a model.

    Args:
        of: The model.
        user: User row.
        item: Item row.
    """

    basis = "exact"

    def __init__(self, of: LinearModelOfFacts, user: int, item: int) -> None:
        super().__init__(of.model, of.graph, user, item)
        self._of = of
        self.pair: PairOfFacts = of.linear.at(of.graph.ckg.user_node(user), item)

    def without(
        self, groups: Sequence[np.ndarray], modes: Sequence[Mode] = ("delete",)
    ) -> np.ndarray:
        """Return the scores: few facts in closed form, many by pushing two vectors through the
        edited graph.
        """
        scores = np.full((len(modes), 1 + len(groups)), self.pair.score)
        if not self._of.linear.num_layers:
            return scores

        facts = [self._of.graph.facts_of(edges) for edges in groups]
        small = [n for n, group in enumerate(facts, 1) if len(group) <= _IN_CLOSED_FORM]
        large = [n for n, group in enumerate(facts, 1) if len(group) > _IN_CLOSED_FORM]
        if small:
            scores[:, small] = self.pair.without([facts[n - 1] for n in small], modes)
        if large:
            gone = [facts[n - 1] for n in large]
            scores[:, large] = _rerun(self._of.model, self._user, self._item, gone, modes)

        return scores

    def walks(self, nodes: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return c(p) of Eq. (3), and the product of weights from the user to the item."""
        upward = nodes[:, :-1] == self._of.graph.low[edges]
        low, high = self._of.from_low[edges], self._of.from_high[edges]
        ahead = np.where(upward, low, high)
        back = np.where(upward, high, low)
        return self.pair.joint_of(nodes, ahead, back), ahead.prod(1)


def _rerun(
    model: Rerunnable, user: int, item: int, facts: Sequence[np.ndarray], modes: Sequence[Mode]
) -> np.ndarray:
    groups = [group.tolist() for group in facts]
    scores = [
        model.rerun(user, item, groups, keep_weights=mode == "mask").detach().double().cpu().numpy()
        for mode in modes
    ]
    return np.stack(scores)
