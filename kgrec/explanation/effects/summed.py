"""Effects on a score that is a weighted sum of other models' scores: the sums of theirs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch

from kgrec.batches import Query
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.effects.closed_form import Mode
from kgrec.explanation.effects.measured import Effects, EffectsOf
from kgrec.models.base import ModelEffects, Recommender, Scorer
from kgrec.models.capabilities import HistoryEditable, Parted, Rerunnable, Summed

Histories = Callable[[int], np.ndarray]
"""Items (rows) by user (row), oldest first."""


class Member:
    """One of the models that are summed.

    Args:
        model: The model.
        stated: What it says of its scores; None where it says nothing.
        effects: Effects of its graph; None where it reads none.
        own: The path graph of its graph; None without.
        graph: The path graph of the sum.

    Attributes:
        stated: As given.
        effects: As given.
        graph: ``own``, or ``graph`` without.
        exact: Whether what it says of a drop is exact.
        keeps_weights: Whether weights can be kept when edges go.
    """

    def __init__(
        self,
        model: Recommender,
        stated: ModelEffects | None,
        effects: EffectsOf | None,
        own: PathGraph | None,
        graph: PathGraph,
    ) -> None:
        self._model = model
        self.stated = stated
        self.effects = effects
        self.graph = own or graph
        self._edges = None if own is None else _same_edges(graph, own)
        self.keeps_weights = not isinstance(stated, Rerunnable) or stated.keeps_weights
        self.history: HistoryEditable | None = None
        if effects is None and isinstance(stated, HistoryEditable):
            self.history = stated

        # What ranks by a history alone and is a sum over it loses exactly a like's part.
        self.exact = isinstance(stated, Parted) or self.history is None

    @cached_property
    def scorer(self) -> Scorer:
        """Its snapshot."""
        with torch.inference_mode():
            return self._model.scorer()

    def own_edges(self, edges: np.ndarray) -> sp.csr_matrix:
        """Return which of its own edges each of some edges of the sum is, (edges, own edges)."""
        assert self._edges is not None
        return self._edges[edges]


class SummedModel:
    """Effects of a weighted sum.

    Args:
        model: The sum's effects.
        graph: Its path graph, parallel relations merged.
        members: The models.
        brought: Items (rows) that a query of a user brings; None: those of the graph.
    """

    def __init__(
        self,
        model: Summed,
        graph: PathGraph,
        members: Sequence[Member],
        brought: Histories | None = None,
    ) -> None:
        self.model = model
        self.brought = brought or self.likes
        self.graph = graph
        self.members = tuple(members)
        user, self._item = graph.ckg.interactions()
        order = np.argsort(user, kind="stable")
        self._user = user[order]
        self._item = self._item[order]

    @property
    def keeps_weights(self) -> bool:
        """Whether the other edges' weights can be kept when some are removed."""
        return all(member.keeps_weights for member in self.members)

    def likes(self, user: int) -> np.ndarray:
        """Return the items (rows) of a user, int64."""
        start, end = np.searchsorted(self._user, [user, user + 1])
        return np.asarray(self._item[start:end])

    def at(self, user: int, item: int) -> "SummedEffects":
        """Return the effects on one score."""
        return SummedEffects(self, user, item)


@dataclass(frozen=True, slots=True)
class Addend:
    """One member's part of one score.

    Attributes:
        member: The member.
        factor: What its score is multiplied by.
        score: Its score.
        effects: Effects of its graph on it; None where it reads none.
    """

    member: Member
    factor: float
    score: float
    effects: Effects | None


class SummedEffects:
    """Effects on one score that is a weighted sum.

    Args:
        of: The model.
        user: User row.
        item: Item row.

    Attributes:
        addends: The members' parts.
        constant: What is added to their sum.
        basis: "exact" where the weights are constants and every member's effects are exact.
    """

    def __init__(self, of: SummedModel, user: int, item: int) -> None:
        self._of = of
        self._user = user
        self._item = item
        factors, self.constant = of.model.coefficients(user)
        rows = torch.from_numpy(of.brought(user)).unsqueeze(0)
        query = Query(torch.tensor([user]), rows, torch.ones_like(rows, dtype=torch.bool))

        self.addends = []
        for factor, member in zip(factors, of.members, strict=True):
            effects = None if member.effects is None else member.effects.at(user, item)
            if effects is not None:
                score = float(effects.without([])[0, 0])
            else:
                with torch.inference_mode():
                    score = float(member.scorer(query, torch.tensor([[item]]))[0, 0])

            self.addends.append(Addend(member, factor, score, effects))

        exact = of.model.constant and all(
            addend.member.exact and (addend.effects is None or addend.effects.basis == "exact")
            for addend in self.addends
        )
        self.basis = "exact" if exact else "measured"

    def removal(self, edges: np.ndarray) -> np.ndarray:
        """Return the weighted sums of the first-order effects."""
        total = np.zeros(len(edges))
        for addend in self.addends:
            if addend.effects is not None:
                shared = addend.member.own_edges(edges)
                own = np.unique(shared.indices)
                total += addend.factor * (shared[:, own] @ addend.effects.removal(own))
            elif addend.member.history is not None:
                total += addend.factor * self._like_drops(
                    addend, [edges[n : n + 1] for n in range(len(edges))]
                )

        return total

    def without(
        self, groups: Sequence[np.ndarray], modes: Sequence[Mode] = ("delete",)
    ) -> np.ndarray:
        """Return the weighted sums of the members' scores without each group of edges."""
        total = np.full((len(modes), 1 + len(groups)), self.constant)
        for addend in self.addends:
            if addend.effects is not None:
                own = [np.unique(addend.member.own_edges(group).indices) for group in groups]
                total += addend.factor * addend.effects.without(own, modes)
                continue

            scores = np.full(1 + len(groups), addend.score)
            if addend.member.history is not None:
                scores[1:] -= self._like_drops(addend, groups)
            total += addend.factor * scores

        return total

    def walks(self, nodes: np.ndarray, edges: np.ndarray) -> None:
        """Return None: a walk has a weight of its own in each member."""
        return

    def _like_drops(self, addend: Addend, groups: Sequence[np.ndarray]) -> np.ndarray:
        """Return what the score of a member that knows people by their items loses without the
        likes among each group of edges.
        """
        graph, likes = self._of.graph, self._of.likes(self._user)
        node = graph.ckg.user_node(self._user)
        drops = np.zeros(len(groups))
        lost = [likes_of(graph, node, group) for group in groups]
        hit = [n for n, items in enumerate(lost) if len(items)]
        if not hit or addend.member.history is None:
            return drops

        read = likes
        if addend.member.history.reads_validation:
            read = self._of.brought(self._user)

        kept = [read, *(read[~np.isin(read, lost[n])] for n in hit)]
        with torch.no_grad():
            scores = addend.member.history.history_scores(
                self._user, [torch.from_numpy(one) for one in kept]
            )

        column = scores[:, self._item].double().cpu().numpy()
        drops[hit] = column[0] - column[1:]
        return drops


def likes_of(graph: PathGraph, user_node: int, edges: np.ndarray) -> np.ndarray:
    """Return the items at the other ends of a user's edges among some edges."""
    ends = graph.low[edges][graph.high[edges] == user_node]
    return np.asarray(ends[ends < graph.ckg.num_items])


def _same_edges(graph: PathGraph, own: PathGraph) -> sp.csr_matrix:
    """Return which edges of another graph join the same nodes: (edges, own edges) of ones.

    Items and entities are the same nodes in both; users come after the entities, of which the other
    graph may have fewer.
    """
    ckg, other = graph.ckg, own.ckg

    def shifted(nodes: np.ndarray) -> np.ndarray:
        user = nodes >= other.num_entities
        return np.where(user, nodes + ckg.num_entities - other.num_entities, nodes)

    size = ckg.num_nodes
    keys = graph.low.astype(np.int64) * size + graph.high
    wanted = shifted(own.low).astype(np.int64) * size + shifted(own.high)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), max(len(keys) - 1, 0))
    if not len(keys):
        return sp.csr_matrix((0, own.num_edges))

    row = order[at]
    found = keys[row] == wanted
    columns = np.flatnonzero(found)
    ones = np.ones(len(columns))
    return sp.csr_matrix((ones, (row[found], columns)), shape=(len(keys), own.num_edges))
