"""A list for those whom a model cannot rank for: users without usable history, and items that no
training has touched.

Where a list comes from is its kind: ``kgrec.ops.strangers``.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError
from kgrec.graph.attributes import weighted_attributes
from kgrec.models.base import Recommender, Scorer, reads_history
from kgrec.ops.strangers import CONTENT, HISTORY, PERSONAL, POPULAR, PRIOR_INTERACTIONS

Way: TypeAlias = Literal["off", "popularity", "attributes"]


@dataclass(frozen=True, slots=True)
class FallbackChoice:
    """How strangers are answered; stored with a run.

    Attributes:
        way: "popularity"; "attributes" (popularity if there are none); or "off".
        half_life: Time after which an interaction counts half, in the units of the interaction
            times; 0 counts all alike.
        reason: How that was chosen, in a sentence.
    """

    way: str = "popularity"
    half_life: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        """Reject what is no choice."""
        if self.way not in get_args(Way):
            raise ConfigError(
                f"unknown fallback {self.way[:40]!r}. Choose from {', '.join(get_args(Way))}."
            )
        if not (isinstance(self.half_life, int | float) and 0 <= self.half_life < float("inf")):
            raise ConfigError(f"a half-life of {self.half_life} cannot be used. Take 0 or more.")


class Fallback:
    """Scores for strangers, from the training interactions and the attributes of users and items.

    Args:
        data: Training interactions, triples, and facts about users.
        choice: What is used of them.

    Attributes:
        popularity: Training interactions per item, the older the less.
        by_user: What users with attributes go by; None without.
        of_item: Weighted attributes per item, unit rows; None without.
    """

    def __init__(self, data: Dataset, choice: FallbackChoice) -> None:
        self.choice = choice
        self.popularity = torch.from_numpy(decayed_popularity(data, choice.half_life))
        by_attributes = choice.way == "attributes"
        self.by_user = _by_user_attributes(data) if by_attributes and len(data.user_facts) else None
        self.of_item = weighted_attributes(data) if by_attributes and len(data.triples) else None

    def content(self, query: Query) -> Float[Tensor, "batch items"]:
        """Return scores by attributes: a row is all zeros where nothing is known of the person.

        A history goes by the cosine of its items' attributes with each item's; where that tells
        nothing, a user goes by the interactions of those who share an attribute, smoothed toward
        popularity.
        """
        count = len(query.user)
        width = len(self.popularity)
        scores = np.zeros((count, width))
        user = query.user.cpu().numpy()
        mask = query.history_mask.cpu().numpy()

        if self.of_item is not None:
            row, column = mask.nonzero()
            item = query.history.cpu().numpy()[row, column]
            sets = sp.csr_matrix((np.ones(len(row)), (row, item)), shape=(count, width))
            scores += ((sets @ self.of_item) @ self.of_item.T).toarray()

        if self.by_user is not None:
            rest = (user >= 0) & ~scores.any(1)
            scores[rest] = self.by_user(user[rest])

        return torch.from_numpy(scores)


def decayed_popularity(data: Dataset, half_life: float = 0.0) -> np.ndarray:
    """Return the training interactions per item, float64 (items), each worth 2^(-age / half_life)
    where that is not 0.
    """
    train = data.train
    if not half_life or train.time is None or not len(train):
        return np.bincount(train.item, minlength=data.num_items).astype(np.float64)

    age = np.nanmax(train.time) - train.time
    worth = np.exp2(-np.where(np.isnan(age), np.nanmax(age), age) / half_life)
    return np.bincount(train.item, weights=worth, minlength=data.num_items)


class ByUserAttributes:
    """The mean over a user's attributes of what users who share each one use, smoothed toward
    popularity.

    Attributes:
        facts: User x attribute matrix of ones.
        counts: Attribute x item matrix: interactions of the users who have it.
        sizes: Interactions per attribute.
        share: Share of each item in all interactions.
    """

    def __init__(self, facts: sp.csr_matrix, used: sp.csr_matrix) -> None:
        self.facts = facts
        self.counts = sp.csr_matrix(facts.T @ used)
        self.sizes = np.asarray(self.counts.sum(axis=1)).ravel()
        popularity = np.asarray(used.sum(axis=0)).ravel()
        self.share = popularity / max(1.0, popularity.sum())

    def __call__(self, users: np.ndarray) -> np.ndarray:
        """Return the scores of every item for some users (rows)."""
        facts = self.facts[users]
        known = np.asarray(facts.sum(axis=1)).ravel()
        weights = facts.multiply(1 / np.maximum(known, 1)[:, None]).tocsr()
        weights.data /= (self.sizes + PRIOR_INTERACTIONS)[weights.indices]
        prior = np.asarray(weights.sum(axis=1)).ravel()
        return np.asarray(
            (weights @ self.counts).toarray() + PRIOR_INTERACTIONS * prior[:, None] * self.share
        )


def _by_user_attributes(data: Dataset) -> ByUserAttributes:
    user, relation, entity = data.user_facts.T.astype(np.int64)
    values, column = np.unique(relation * data.num_entities + entity, return_inverse=True)
    facts = sp.csr_matrix(
        (np.ones(len(user)), (user, column.ravel())), shape=(data.num_users, len(values))
    )
    facts.data[:] = 1.0
    return ByUserAttributes(
        facts, data.train.csr(data.num_users, data.num_items).astype(np.float64)
    )


@dataclass(frozen=True)
class Served:
    """A scorer with an answer for everyone: the model's for whom it knows, the fallback's for the
    others.

    No score comes from a vector that training has not moved. Items that the model does not know
    have the score ``cold`` in its rows. Someone whom it does not know is scored by the history
    where the model reads such, else by the fallback; where that is off, all items tie.

    Attributes:
        scorer: The model's.
        users: Users that the model knows.
        items: Items that the model knows.
        fallback: Answers the others; None where it is off.
        kind: Kind of the model's scores for each user, as a place in ``KINDS``; None for "personal"
            throughout.
        cold: Score of an item that the model does not know: -inf keeps it out of a ranking.
    """

    scorer: Scorer
    users: Bool[Tensor, " users"]
    items: Bool[Tensor, " items"]
    fallback: Fallback | None = None
    kind: Int[Tensor, " users"] | None = None
    cold: float = -torch.inf

    @property
    def reads_history(self) -> bool:
        """Whether the model's scorer ranks by a history."""
        return reads_history(self.scorer)

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores of the catalog, or of the candidates."""
        by_model, by_history, usable = self._known(query)
        if bool(by_model.all()):
            return self._without_cold(self.scorer(query, items), items)

        answerable = by_model | by_history
        mask = torch.where(by_model.unsqueeze(1), query.history_mask, usable)

        if bool(answerable.any()):
            query = replace(query, user=torch.where(by_model, query.user, -1), history_mask=mask)
        else:
            query = query

        rest = ~answerable
        if items is None:
            width = len(self.items)
        else:
            width = items.shape[1]

        table = query.history_mask.new_zeros(
            len(query.user), width, dtype=torch.get_default_dtype()
        )
        if bool(answerable.any()):
            if items is None:
                some = None
            else:
                some = items[answerable]

            scores = self._without_cold(self.scorer(_rows(query, answerable), some), some)
            table = table.to(scores.dtype)
            table[answerable] = scores

        if self.fallback is not None:
            scores, _ = self._strangers(_rows(query, rest))
            table[rest] = (scores if items is None else scores.gather(1, items[rest])).to(
                table.dtype
            )

        return table

    def knows(self, user: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Return whom the model knows; -1 is someone whom it does not."""
        known = user >= 0
        if len(self.users):
            known &= self.users.to(user.device)[user.clamp(min=0)]
        return known

    def kinds(self, query: Query) -> Int[Tensor, " batch"]:
        """Return where each row's scores come from, as a place in ``KINDS``."""
        by_model, by_history, _ = self._known(query)
        if self.kind is None:
            own = torch.full_like(query.user, PERSONAL)
        else:
            own = self.kind.to(query.user.device)[query.user.clamp(min=0)]

        kind = torch.where(by_model, own, torch.where(by_history, HISTORY, POPULAR))
        rest = ~(by_model | by_history)
        if self.fallback is not None and bool(rest.any()):
            kind[rest] = torch.where(self._strangers(_rows(query, rest))[1], CONTENT, POPULAR)

        return kind

    def _known(
        self, query: Query
    ) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, " batch"], Bool[Tensor, "batch hist"]]:
        """Return whom the model knows, whom it knows by the history, and what of the histories it
        knows.
        """
        by_model = self.knows(query.user)
        usable = query.history_mask & self.items.to(query.user.device)[query.history]

        if self.reads_history:
            by_history = ~by_model & usable.any(1)
        else:
            by_history = torch.zeros_like(by_model)

        return by_model, by_history, usable

    def _without_cold(self, scores: Tensor, items: Tensor | None) -> Tensor:
        known = self.items.to(scores.device)
        if bool(known.all()):
            return scores
        return scores.masked_fill(~known if items is None else ~known[items], self.cold)

    def _strangers(
        self, query: Query
    ) -> tuple[Float[Tensor, "batch items"], Bool[Tensor, " batch"]]:
        """Return the fallback's score of every item, and which rows go by content."""
        if self.fallback is None:
            raise ConfigError("the fallback is off.")

        content = self.fallback.content(query).to(query.user.device)
        found = (content > 0).any(1)
        return torch.where(
            found.unsqueeze(1), content, self.fallback.popularity.to(content.device)
        ), found


def _rows(query: Query, rows: Bool[Tensor, " batch"]) -> Query:
    return Query(query.user[rows], query.history[rows], query.history_mask[rows])


def user_kinds(model: Recommender, data: Dataset, *, whole: bool = False) -> np.ndarray:
    """Return the kind of each user's lists where the model knows them, as a place in ``KINDS``.

    Args:
        model: What ranks.
        data: What it was trained on.
        whole: Whether it knows everyone and everything, and no list comes from elsewhere.
    """
    warm = with_interactions(data).users
    if model.list_kind != "personal":
        return np.full(len(warm), POPULAR)

    kind = np.where(warm | whole, PERSONAL, CONTENT)
    newcomers = model.newcomers()
    if newcomers is not None:
        kind[newcomers.users] = HISTORY
    return kind


def served(
    model: Recommender,
    scorer: Scorer,
    data: Dataset,
    choice: FallbackChoice | None = None,
    *,
    cold: float = -torch.inf,
    known: Known | None = None,
) -> Scorer:
    """Return a model's scorer with an answer for everyone; the scorer itself where it knows
    everyone and everything.

    Args:
        model: Says whom and what it knows.
        scorer: Its snapshot.
        data: What it was trained on.
        choice: The fallback; None leaves it off.
        cold: Score of an item that the model does not know: -inf keeps it out of a ranking, 0
            leaves it among labeled pairs.
        known: What ``model.can_rank`` said; None asks it.
    """
    known = known or model.can_rank(data)
    if known.users.all() and known.items.all():
        return scorer

    kind = user_kinds(model, data)
    if choice is None or choice.way == "off":
        fallback = None
    else:
        fallback = Fallback(data, choice)

    return Served(
        scorer,
        torch.from_numpy(known.users),
        torch.from_numpy(known.items),
        fallback,
        torch.from_numpy(kind),
        cold,
    )
