"""Effects that several papers share: of linear propagation, and of ranking by a history."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import Recommender, Scorer
from kgrec.models.capabilities import (
    GraphEditable,
    HistoryEditable,
    LinearlyPropagated,
    LinearPropagation,
    Parted,
    Rerunnable,
    ScoreParts,
)
from kgrec.nn.history_scorer import HistorySets
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import unit_rows
from kgrec.queries import histories as queries

_GROUPS_AT_ONCE = 32


class PropagationEffects(LinearlyPropagated, GraphEditable):
    """Effects of a model that is linear propagation over merged relations (LightGCN and its kin).

    Args:
        ckg: The graph.
        graph: Its pairs, as the model propagates over them.
        nodes: Layer 0, X.
        coefficients: c_0 .. c_K of ``LinearPropagation``.
        by_direction: Whether items are compared by direction.
        rebuild: Makes the model on another graph, with these parameters.
    """

    merges_relations = True
    through_users = True

    def __init__(
        self,
        ckg: CollaborativeKG,
        graph: PairGraph,
        nodes: Float[Tensor, "nodes dim"],
        coefficients: tuple[float, ...],
        by_direction: bool,
        rebuild: Callable[[CollaborativeKG], Recommender],
    ) -> None:
        self.ckg = ckg
        self._graph = graph
        self._nodes = nodes.detach()
        self._coefficients = coefficients
        self._by_direction = by_direction
        self._rebuild = rebuild

    def propagation(self) -> LinearPropagation:
        """Return the propagation that the scorer ranks by."""
        return LinearPropagation(self._graph, self._nodes, self._coefficients, self._by_direction)

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), both directions
        and all degrees counted.
        """
        with torch.enable_grad():
            weight = self._graph.weight.detach().clone().requires_grad_()
            x = self._nodes
            z = self._coefficients[0] * x

            for coefficient in self._coefficients[1:]:
                x = propagate(x, self._graph.csr, weight)
                z = z + coefficient * x

            score = z[self.ckg.user_node(user)] @ self._ranked(z[item : item + 1])[0]
            (gradient,) = torch.autograd.grad(
                score, weight, allow_unused=True, materialize_grads=True
            )

        return self._graph.removal_effect(weight.detach() * gradient)

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts, degrees recomputed unless
        ``keep_weights``.
        """
        ends = (self.ckg.user_node(user), item)
        scores = [self._nodes.new_zeros(0)]

        for start in range(0, len(removed), _GROUPS_AT_ONCE):
            groups = removed[start : start + _GROUPS_AT_ONCE]
            rows = self._graph.rows_without(ends, groups, self._coefficients, keep_weights)
            z = rows @ self._nodes  # (groups, 2, dim)
            scores.append((z[:, 0] * self._ranked(z[:, 1])).sum(1))

        return torch.cat(scores)

    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return the model with its layer-0 embeddings on another graph of the same nodes."""
        return self._rebuild(ckg)

    def _ranked(self, items: Float[Tensor, "items dim"]) -> Float[Tensor, "items dim"]:
        if self._by_direction:
            return unit_rows(items)
        return items


class EditedGraph(GraphEditable):
    """Effects of a model over a graph that is run again on edited ones.

    Args:
        model: The model.
        ckg: The graph that it is on.
        built: Makes the model on another graph; parameters are taken from ``model``.
    """

    def __init__(
        self,
        model: Recommender,
        ckg: CollaborativeKG,
        built: Callable[[CollaborativeKG], Recommender],
    ) -> None:
        self.ckg = ckg
        self._model = model
        self._built = built

    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return the model with its parameters on another graph of the same nodes."""
        return with_parameters_of(self._model, self._built(ckg))


class GatedGraph(Rerunnable, EditedGraph):
    """Effects of a model that is run again with each fact there by a number.

    Implementations say what ``vectors`` are, and whether messages pass ``through_users``. A run is
    one of the whole model.
    """

    merges_relations = False

    @abstractmethod
    def vectors(
        self, kept: Float[Tensor, " _"], *, keep_weights: bool
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "items dim"]]:
        """Return what users and items are ranked by with each fact there by a number.

        Args:
            kept: A number per fact: 0 or 1, or with ``keep_weights`` any, with a gradient.
            keep_weights: Whether messages are multiplied by it; else facts at 0 are not there, and
                weights are computed without them.
        """

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), the others'
        weights kept.
        """
        with torch.enable_grad():
            kept = self._all_there().requires_grad_()
            users, items = self.vectors(kept, keep_weights=True)
            score = users[user] @ items[item]
            (gradient,) = torch.autograd.grad(
                score, kept, allow_unused=True, materialize_grads=True
            )

        return gradient

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts."""
        scores = self._all_there().new_zeros(len(removed))
        for number, facts in enumerate(removed):
            kept = self._all_there()
            kept[torch.as_tensor(facts, dtype=torch.int64, device=kept.device)] = 0.0
            users, items = self.vectors(kept, keep_weights=keep_weights)
            scores[number] = users[user] @ items[item]

        return scores

    def _all_there(self) -> Float[Tensor, " _"]:
        return next(self._model.parameters()).detach().new_ones(len(self.ckg.head))


class FactorEffects(Parted):
    """Effects of a model whose score is an inner product of trained vectors, and a bias.

    Args:
        users: Vectors of users.
        items: Vectors of items.
        bias: One number per item.
    """

    def __init__(
        self,
        users: Float[Tensor, "users dim"],
        items: Float[Tensor, "items dim"],
        bias: Float[Tensor, " items"] | None = None,
    ) -> None:
        self._users = users
        self._items = items
        self._bias = bias

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return the inner product and the bias; nothing that the user has used carries a part of
        its own.
        """
        product = float(self._users[user].double() @ self._items[item].double())
        if self._bias is None:
            return ScoreParts(product)
        return ScoreParts(product, float(self._bias[item]))


class HistoryEffects(HistoryEditable):
    """Effects of a model whose scorer ranks for a stranger by the history alone.

    Args:
        model: The model; its scorer is made once.
        device: Where it computes.
    """

    def __init__(self, model: Recommender, device: torch.device) -> None:
        self._model = model
        self._device = device

    @cached_property
    def scorer(self) -> Scorer:
        """The model's snapshot."""
        with torch.no_grad():
            return self._model.scorer()

    @torch.no_grad()
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog for someone with each of these histories; what was
        fitted stays as it is.
        """
        lists = [history.tolist() for history in histories]
        return self.scorer(queries(lists).to(self._device))


class HistorySumEffects(HistoryEffects, Parted):
    """Effects of a model whose score is a sum over the items of a person."""

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return one part per item of the user, of which the score is the sum: what it alone would
        give.

        Exact: without the item the score is less by its part, the fitted state being as it is.
        """
        sets = self.scorer
        assert isinstance(sets, HistorySets)
        items = sets.items[sets.ptr[user] : sets.ptr[user + 1]]
        liked = sets.alone(items, item).double()
        return ScoreParts(0.0, items=items.cpu().numpy(), liked=liked.cpu().numpy())


def with_parameters_of(model: Recommender, other: Recommender) -> Recommender:
    """Return a model of the same class that shares the parameters of ``model``, where and as
    precise as they are, in evaluation.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        owner, _, leaf = name.rpartition(".")
        setattr(other.get_submodule(owner), leaf, parameter)

    return other.to(next(iter(parameters.values()))).eval()
