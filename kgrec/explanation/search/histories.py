"""People by a history: someone the model never saw, and known users with new interactions.

Someone unseen is folded in as ``Run.recommend(history=...)`` does: the vector is made of the
history, and no other vector moves. A known user keeps the trained vector; the new interactions are
put into the graph, and everything that depends on it is computed again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.known import Known
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.graph.ckg import CollaborativeKG
from kgrec.languages import DEFAULT, language
from kgrec.models.base import DotProduct, Plan, Recommender, Scorer, reads_history
from kgrec.models.capabilities import (
    GraphEditable,
    HistoryEditable,
    LinearlyPropagated,
    LinearPropagation,
    Parted,
    Rerunnable,
    ScoreParts,
)
from kgrec.models.folding import Folded, refolded
from kgrec.ops.folding import MeanFold
from kgrec.ops.rows import unit_rows

STRANGER = "someone new"
_REST = "the rest: what no single like takes away"
_ROUNDING = 1e-6
_NUMBERS_AT_ONCE = 20_000_000


def with_history(
    explained: ExplainedModel, items: np.ndarray, user: int | None = None, name: str = ""
) -> tuple[ExplainedModel, int]:
    """Return the model with someone who has a history, and the row of that user.

    Args:
        explained: The model and its data.
        items: Distinct items (rows) of the history.
        user: A known user (row) who has them besides; None for someone unseen.
        name: Id of someone unseen, which no user has; "" for none.

    Raises:
        CapabilityError: If the model cannot rank by a history.
        ConfigError: If the model has learned nothing about any of the items.
    """
    row = explained.data.num_users
    known = np.empty(0, np.int64)
    if user is not None:
        row = user
        known = explained.history(user)

    new = items[~np.isin(items, known)]  # in their order, which some models read
    own = np.concatenate([known, new])
    effects = explained.model_effects
    if user is not None and explained.explains(user) and isinstance(effects, GraphEditable):
        return _with_clicks(
            explained, effects, user, np.setdiff1d(items, explained.liked(user))
        ), row

    if not reads_history(explained.scorer):
        raise CapabilityError(
            f"{explained.name} cannot rank for someone by a history. Use lightgcn, lightgcn-kg, "
            "kgat or ease."
        )

    usable = own[explained.known.items[own]]
    if not len(usable):
        raise ConfigError(
            f"{explained.name} has learned nothing about any item of the history. Name an item with "
            "training interactions."
        )

    return _folded_in(explained, row, own, usable, new, name), row


def _with_clicks(
    explained: ExplainedModel, effects: GraphEditable, user: int, new: np.ndarray
) -> ExplainedModel:
    """Return the model on the graph with new interactions of a user that it knows."""
    node = effects.ckg.user_node(user)
    with torch.no_grad():
        model = effects.on_graph(_with_likes(effects.ckg, node, new))

    return ExplainedModel(
        model,
        _with_interactions(explained.data, user, new),
        model_name=explained.name,
        seen=_with_seen(explained.seen, user, new),
        about=language(DEFAULT).say("notes.put_in", count=len(new)),
    )


def _folded_in(
    explained: ExplainedModel,
    user: int,
    own: np.ndarray,
    usable: np.ndarray,
    new: np.ndarray,
    name: str,
) -> ExplainedModel:
    """Return the model with a user whose vector is made of items that it knows."""
    effects: FoldedIn | ByHistory
    if isinstance(explained.model_effects, GraphEditable):
        effects = FoldedIn(explained.model_effects, explained.scorer, user, usable)
    else:
        stated = explained.model_effects
        trained = isinstance(stated, HistoryEditable) and not stated.reads_validation
        effects = ByHistory(explained.scorer, user, usable, not trained)

    known = explained.known
    users = np.append(known.users, True)[: max(len(known.users), user + 1)]
    users[user] = True

    return ExplainedModel(
        explained.model,
        _with_interactions(explained.data, user, new, name),
        OwnHistory(explained.scorer, user, usable),
        model_name=explained.name,
        seen=_with_seen(explained.seen, user, own),
        effects=effects,
        known=Known(users, known.items),
        about=language(DEFAULT).say("notes.folded_in"),
    )


class OwnHistory:
    """A scorer that ranks for one user by a history.

    Args:
        scorer: The model's snapshot.
        user: User row.
        history: Items (rows).
    """

    def __init__(self, scorer: Scorer, user: int, history: np.ndarray) -> None:
        self._scorer = scorer
        self._user = user
        self._history = history

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of the catalog, or of the candidates."""
        if not bool((query.user == self._user).all()):
            return self._scorer(query, items)
        return self._scorer(_queries([self._history] * len(query.user)), items)


class _Rebuilt(Recommender):
    """A model on an edited graph, with someone who is folded in."""

    def __init__(self, ranks: Scorer) -> None:
        super().__init__()
        self._ranks = ranks

    @classmethod
    def from_dataset(cls, data: Dataset, config: Any, generator: torch.Generator) -> "_Rebuilt":
        """Refuse: it is made of a trained model."""
        raise CapabilityError("a model with someone folded in is made of a trained one.")

    def plan(self) -> Plan:
        """Return nothing to train."""
        return Plan()

    def scorer(self) -> Scorer:
        """Return what ranks."""
        return self._ranks


class FoldedIn(Rerunnable, GraphEditable):
    """Effects on the scores of someone who is folded in, by runs of the whole model on edited graphs
    without that person, and folds of what is left of the history.

    Args:
        base: The model's effects.
        scorer: The model's snapshot.
        user: User row; that of one more user for someone unseen.
        history: Items (rows).
    """

    keeps_weights = False

    def __init__(self, base: GraphEditable, scorer: Scorer, user: int, history: np.ndarray) -> None:
        self._base = base
        self._scorer = scorer
        self._user = user
        self._history = history
        users = max(base.ckg.num_users, user + 1)
        wider = replace(base.ckg, num_users=users)
        self.ckg = _with_likes(wider, wider.user_node(user), history)
        self.merges_relations = bool(getattr(base, "merges_relations", False))
        self.through_users = bool(getattr(base, "through_users", True))
        self._linear: _LinearFold | None = None
        if isinstance(base, LinearlyPropagated) and self.merges_relations:
            linear = _LinearFold(base.propagation(), history, _average(scorer, len(history)))
            if linear.agrees_with(scorer):
                self._linear = linear

    @torch.inference_mode()
    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return what the score loses without each like, and for facts next to nothing: the rarer
        their ends, the more.
        """
        without = [np.delete(self._history, n) for n in range(len(self._history))]
        queries = _queries([self._history, *without])
        scores = self._scorer(queries, torch.full((len(without) + 1, 1), item))[:, 0].double()
        drops = (scores[0] - scores[1:]).cpu()

        ends = np.concatenate([self.ckg.head, self.ckg.tail])
        degree = np.bincount(ends, minlength=self.ckg.num_nodes)
        larger = np.maximum(degree[self.ckg.head], degree[self.ckg.tail])
        found = torch.from_numpy(1.0 / np.maximum(larger, 1))
        found *= _ROUNDING * max(float(drops.abs().max()), 1e-30)
        found[len(self._base.ckg.head) :] = drops
        return found

    @torch.inference_mode()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score without each group of facts; groups of equal facts of others share one
        run of the model.
        """
        groups = [np.asarray(group, dtype=np.int64) for group in removed]
        edge = len(self._base.ckg.head)
        left = [np.delete(self._history, g[g >= edge] - edge) for g in groups]
        others = [group[group < edge] for group in groups]
        if self._linear is not None:
            return self._linear.scores(item, others, left)

        same: dict[bytes, list[int]] = {}
        for number, gone in enumerate(others):
            same.setdefault(np.sort(gone).tobytes(), []).append(number)

        scores = torch.zeros(len(groups), dtype=torch.float64)
        for numbers in same.values():
            scorer = self._without(others[numbers[0]])
            queries = _queries([left[number] for number in numbers])
            found = scorer(queries, torch.full((len(numbers), 1), item))
            scores[numbers] = found[:, 0].double().cpu()

        return scores

    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return the model on another graph, with the history that it states."""
        mine = (ckg.head == ckg.user_node(self._user)) & (ckg.relation == 0)
        base = self._base.ckg
        others = replace(ckg.take(~mine), num_users=base.num_users)
        scorer = self._scorer
        if not _equal(others, base):
            with torch.inference_mode():
                scorer = refolded(scorer, self._base.on_graph(others).eval().scorer())

        return _Rebuilt(OwnHistory(scorer, self._user, ckg.tail[mine]))

    def _without(self, facts: np.ndarray) -> Scorer:
        if not len(facts):
            return self._scorer

        kept = np.ones(len(self._base.ckg.head), dtype=bool)
        kept[facts] = False
        edited = self._base.on_graph(self._base.ckg.take(kept)).eval().scorer()
        return refolded(self._scorer, edited)


def _average(scorer: Scorer, size: int) -> Tensor | None:
    """Return the average user where a history of a size is folded in by its mean alone."""
    if not isinstance(scorer, DotProduct) or not isinstance(scorer.fold, Folded):
        return None

    fold = scorer.fold.fold
    if not isinstance(fold, MeanFold) or not fold.takes_mean(size):
        return None

    return torch.from_numpy(fold.average)


class _LinearFold:
    """Scores of someone folded in by linear propagation on edited graphs: rows of the edited matrix
    are pushed through it instead of every node's embedding.

        z_u = sum over j of (|H| d_j)^(-1/2) sum over k >= 1 of c_k (A^(k-1) X)_j,   j in H

    or, where a run folds in by the mean of the history, with the average user a as it was trained

        z_u = unit(mean of unit(z_j)) + min(1, 2 / |H|) a

    Args:
        propagation: The model's propagation.
        history: Items (rows).
        average: The average user; None for the first equation.
    """

    def __init__(
        self, propagation: LinearPropagation, history: np.ndarray, average: Tensor | None = None
    ) -> None:
        self._of = propagation
        self._history = history
        self._average = average

    def agrees_with(self, scorer: Scorer) -> bool:
        """Return whether a scorer folds people in by this equation."""
        if len(self._of.coefficients) < 2:
            return False

        with torch.inference_mode():
            item = int(self._history[0])
            wanted = torch.full((1, 1), item)
            theirs = float(scorer(_queries([self._history]), wanted)[0, 0])
            ours = float(self.scores(item, [self._history[:0]], [self._history])[0])

        return abs(theirs - ours) <= 1e-4 * max(abs(theirs), 1e-3)

    def scores(
        self, item: int, removed: Sequence[np.ndarray], left: Sequence[np.ndarray]
    ) -> Float[Tensor, " batch"]:
        """Return the score of an item without groups of facts, by what is left of the history."""
        graph = self._of.graph
        width = graph.num_nodes * (len(self._history) + 1)
        step = max(_NUMBERS_AT_ONCE // width, 1)
        parts = [torch.zeros(0, dtype=torch.float64)]
        for start in range(0, len(removed), step):
            part = slice(start, start + step)
            parts.append(self._scores(item, removed[part], left[part]))

        return torch.cat(parts)

    def _scores(
        self, item: int, removed: Sequence[np.ndarray], left: Sequence[np.ndarray]
    ) -> Float[Tensor, " batch"]:
        graph = self._of.graph
        groups = [group.tolist() for group in removed]
        coefficients = self._of.coefficients
        vector = graph.rows_without((item,), groups, coefficients)[:, 0] @ self._of.start
        if self._of.by_direction:
            vector = unit_rows(vector)

        ends = tuple(self._history.tolist())
        kept = np.stack([np.isin(self._history, one) for one in left])
        average = self._average
        if average is not None:
            items = graph.rows_without(ends, groups, coefficients) @ self._of.start
            user = _mean(normalize(items.double(), dim=2), torch.from_numpy(kept), average)
            return (user * vector.double()).sum(1).cpu()

        received = graph.rows_without(ends, groups, coefficients[1:]) @ self._of.start
        weight = torch.from_numpy(kept).to(received) * self._degrees(removed).to(received).rsqrt()
        size = torch.from_numpy(kept.sum(1)).clamp(min=1).to(received)
        user = (received * weight.unsqueeze(2)).sum(1) * size.rsqrt().unsqueeze(1)
        return (user * vector).sum(1).double().cpu()

    def _degrees(self, removed: Sequence[np.ndarray]) -> Float[Tensor, "batch hist"]:
        """Return the number of neighbors of each item of the history without groups of facts."""
        csr = self._of.graph.csr
        history = torch.from_numpy(self._history)
        degree = csr.degree[history].double().repeat(len(removed), 1)
        destination = csr.destinations()
        for row, group in enumerate(removed):
            if len(group):
                gone = destination[torch.unique(self._of.graph.edges_of(group))]
                lost = torch.bincount(gone, minlength=self._of.graph.num_nodes)
                degree[row] -= lost[history]

        return degree.clamp(min=1)


def _mean(
    items: Float[Tensor, "batch hist dim"], kept: Bool[Tensor, "batch hist"], average: Tensor
) -> Float[Tensor, "batch dim"]:
    """Return the vectors of what is left of a history of unit vectors."""
    size = kept.sum(1, keepdim=True)
    mean = normalize((items * kept.unsqueeze(2)).sum(1) / size.clamp(min=1), dim=1)
    return mean + (2 / size.clamp(min=2)) * average


class ByHistory(HistoryEditable, Parted):
    """Scores of someone by a history alone, of a model that reads no graph or cannot be put on
    another.

    Args:
        scorer: The model's snapshot.
        user: User row.
        history: Items (rows).
        reads_validation: Whether validation interactions of a known user are in it.
    """

    def __init__(
        self, scorer: Scorer, user: int, history: np.ndarray, reads_validation: bool
    ) -> None:
        self._scorer = scorer
        self._user = user
        self._history = history
        self.reads_validation = reads_validation

    @torch.inference_mode()
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog, had the history been each of these."""
        return self._scorer(_queries([history.numpy() for history in histories]))

    @torch.inference_mode()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return what the score loses without each item of the history, and the rest, which is
        nothing where the score is a sum over them.
        """
        without = [np.delete(self._history, n) for n in range(len(self._history))]
        queries = _queries([self._history, *without])
        scores = self._scorer(queries, torch.full((len(without) + 1, 1), item))[:, 0].double()
        drops = (scores[0] - scores[1:]).cpu().numpy()
        rest = float(scores[0]) - float(drops.sum())
        if abs(rest) <= _ROUNDING * max(1.0, abs(float(scores[0]))):
            return ScoreParts(0.0, items=self._history, liked=drops)

        return ScoreParts(
            0.0, items=self._history, liked=drops, other={_REST: rest}, basis="linearized"
        )


def _queries(histories: Sequence[np.ndarray]) -> Query:
    """Return a query per history of someone unseen; an empty one has a masked place."""
    length = max([1, *map(len, histories)])
    items = np.zeros((len(histories), length), dtype=np.int64)
    mask = np.zeros(items.shape, dtype=bool)
    for row, history in enumerate(histories):
        items[row, : len(history)] = history
        mask[row, : len(history)] = True

    user = torch.full((len(histories),), -1, dtype=torch.int64)
    return Query(user, torch.from_numpy(items), torch.from_numpy(mask))


def _with_likes(ckg: CollaborativeKG, node: int, items: np.ndarray) -> CollaborativeKG:
    """Return the graph with interactions of a user's node, which come last."""
    return replace(
        ckg,
        head=np.concatenate([ckg.head, np.full_like(items, node)]),
        relation=np.concatenate([ckg.relation, np.zeros_like(items)]),
        tail=np.concatenate([ckg.tail, items]),
        fact=np.concatenate([ckg.fact, np.full_like(items, -1)]),
    )


def _equal(one: CollaborativeKG, other: CollaborativeKG) -> bool:
    columns = ("head", "relation", "tail")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)


def _with_interactions(data: Dataset, user: int, items: np.ndarray, name: str = "") -> Dataset:
    """Return the dataset with interactions of a user, who is added by a name where unseen."""
    train = data.train
    new = Interactions(
        np.full(len(items), user, train.user.dtype),
        items.astype(train.item.dtype),
        _unknown(train.time, len(items)),
        _unknown(train.rating, len(items)),
        event=None if train.event is None else np.full(len(items), -1, train.event.dtype),
    )
    at = int(np.searchsorted(train.user, user, side="right"))
    order = np.concatenate(
        [np.arange(at), len(train) + np.arange(len(items)), np.arange(at, len(train))]
    )
    columns = (
        None if old is None or more is None else np.concatenate([old, more])[order]
        for old, more in (
            (train.user, new.user),
            (train.item, new.item),
            (train.time, new.time),
            (train.rating, new.rating),
            (train.event, new.event),
        )
    )
    user_column, item_column, time, rating, event = columns
    assert user_column is not None
    assert item_column is not None
    data = replace(data, train=Interactions(user_column, item_column, time, rating, event=event))
    if user < data.num_users:
        return data

    labels = data.user_labels
    if labels is None:
        labels = pl.Series("label", [None] * data.num_users, dtype=pl.String)

    return replace(
        data,
        users=Vocabulary([*data.users, name or _free(data.users)], kind="user", checked=True),
        user_labels=pl.concat(
            [labels, pl.Series(labels.name, [name or STRANGER], dtype=pl.String)]
        ),
    )


def _free(users: Vocabulary) -> str:
    """Return an id that no user has: "", as lists for a history have it, where it is free."""
    key = ""
    while key in users:
        key += "_"
    return key


def _unknown(column: np.ndarray | None, count: int) -> np.ndarray | None:
    if column is None:
        return None
    return np.full(count, np.nan, column.dtype)


def _with_seen(seen: sp.csr_matrix, user: int, items: np.ndarray) -> sp.csr_matrix:
    """Return who has what, with items of a user, who is added where unseen."""
    users, columns = seen.shape
    wider = sp.csr_matrix(
        (seen.data, seen.indices, np.append(seen.indptr, [seen.indptr[-1]] * (user >= users))),
        shape=(max(users, user + 1), columns),
    )
    ones = np.ones(len(items), dtype=seen.dtype)
    more = sp.csr_matrix((ones, (np.full(len(items), user), items)), shape=wider.shape)
    return (wider + more).tocsr()
