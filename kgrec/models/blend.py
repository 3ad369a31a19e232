"""A blend: a weighted sum of the scores of trained models, as one model. ``kgrec.study.blend`` makes
it of runs and chooses the weights.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from kgrec.batches import Query
from kgrec.data.derive.removal import Removal
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import concatenate
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import CapabilityError, ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import DotProduct, ModelEffects, Plan, Recommender, Scorer, reads_history
from kgrec.models.capabilities import GraphEditable, HistoryEditable, Refittable, Summed
from kgrec.models.folding import folding
from kgrec.nn.mixing import deviation, standardized
from kgrec.queries import queries

_SCALED_BY = 1000  # users whose scores a scale is taken over


@dataclass(frozen=True, slots=True)
class BlendConfig:
    """How a blend weighs its members.

    Attributes:
        members: Their names.
        weights: Weight of each member; with ``lengths``, of each member for the shortest histories,
            then for longer ones.
        scales: What each member's scores are divided by; 1 with ``scale="user"``.
        scale: "member": by one constant each, so that a sum stays a sum under deletion. "user": by
            the mean and the standard deviation of each user's scores.
        lengths: Greatest length of a history of each group of users but the last; () where all
            have the same weights.
    """

    members: tuple[str, ...]
    weights: tuple[float, ...]
    scales: tuple[float, ...]
    scale: Literal["member", "user"] = "member"
    lengths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Reject numbers that do not fit one another."""
        groups = len(self.lengths) + 1
        fits = len(self.weights) == groups * len(self.members) == groups * len(self.scales)
        if len(self.members) < 2 or not fits:
            raise ConfigError("a blend needs two members, and a weight and a scale for each.")
        if (
            min(self.weights) < 0
            or min(self.scales) <= 0
            or list(self.lengths) != sorted(set(self.lengths))
        ):
            raise ConfigError(
                "a blend needs weights >= 0, scales > 0 and ascending lengths of histories."
            )
        if not all(sum(row) > 0 for row in self.rows()):
            raise ConfigError("a blend needs a member whose weight is above 0.")

    def rows(self) -> list[tuple[float, ...]]:
        """Return the weights, one row per group of users."""
        size = len(self.members)
        return [self.weights[n : n + size] for n in range(0, len(self.weights), size)]


@dataclass(frozen=True)
class BlendScorer:
    """The weighted sum of several scorers.

    Attributes:
        scorers: Of the members.
        weights: (groups, members), scales divided out.
        lengths: Greatest history length of each group but the last, int64.
        used: Length of each known user's history in training, int64.
        per_user: Whether each member's scores are standardized user by user.
    """

    scorers: tuple[Scorer, ...]
    weights: Float[Tensor, "_ _"]
    lengths: Int[Tensor, " _"]
    used: Int[Tensor, " users"]
    per_user: bool

    @property
    def reads_history(self) -> bool:
        """Whether every member ranks for someone unseen."""
        return all(map(reads_history, self.scorers))

    def parts(self) -> "tuple[tuple[float, Scorer], ...] | None":
        """Return the scorers and what each is multiplied by, where that is the same for everyone;
        None where it is not.
        """
        if self.per_user or len(self.weights) > 1:
            return None
        return tuple(zip(self.weights[0].tolist(), self.scorers, strict=True))

    def weights_of(self, query: Query) -> Float[Tensor, "batch _"]:
        """Return the members' weights for each user."""
        unseen = query.history_mask.sum(1)
        length = torch.where(query.user < 0, unseen, self.used[query.user.clamp(min=0)])
        return self.weights[torch.bucketize(length, self.lengths)]

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the weighted sums."""
        weights = self.weights_of(query)
        total = None
        for number, scorer in enumerate(self.scorers):
            if self.per_user:
                scores = standardized(scorer(query))
                if items is not None:
                    scores = scores.gather(1, items)
            else:
                scores = scorer(query, items)

            part = weights[:, number : number + 1].to(scores) * scores
            total = part if total is None else total + part

        assert total is not None
        return total


class Remembered:
    """A scorer that keeps the scores of the catalog for queries that come again.

    Args:
        scorer: What scores.
        most: Most numbers that are kept; further queries are scored each time.
    """

    def __init__(self, scorer: Scorer, most: int = 1 << 27) -> None:
        self._scorer = scorer
        self._left = most
        self._kept: dict[bytes, Tensor] = {}

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores; known users are told apart by their rows alone."""
        if items is not None or bool((query.user < 0).any()):
            return self._scorer(query, items)

        key = query.user.cpu().numpy().tobytes()
        found = self._kept.get(key)
        if found is None:
            found = self._scorer(query)
            if found.numel() <= self._left:
                self._left -= found.numel()
                self._kept[key] = found

        return found


class Mixture(Recommender):
    """A model whose score is a weighted sum of those of its members."""

    @abstractmethod
    def trained(self) -> list[Recommender]:
        """Return the members."""

    @abstractmethod
    def mixed(self, scorers: Sequence[Scorer]) -> Scorer:
        """Return the weighted sum of scorers of the members."""


class Blend(Mixture):
    """A weighted sum of the scores of trained models.

        score(u, i) = sum over the members m of w_m score_m(u, i) / s_m

    It is made of trained runs, and cannot be trained. It ranks the users and items that all its
    members know.

    Differs from the paper: there is none.

    Args:
        members: The trained models, and the configuration of each.
        data: What they were trained on.
        config: Their names, weights and scales.

    Source: decision 0022.
    """

    used: Tensor

    def __init__(
        self, members: Sequence[tuple[Recommender, Any]], data: Dataset, config: BlendConfig
    ) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(member for member, _ in members)
        self.scores_read_graph = any(  # type: ignore[misc]
            member.scores_read_graph for member, _ in members
        )
        self._configs = [own for _, own in members]
        used = np.bincount(data.train.user, minlength=data.num_users)
        self.register_buffer("used", torch.from_numpy(used), persistent=False)
        self._data = data

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: BlendConfig, generator: torch.Generator
    ) -> "Blend":
        """Refuse: a blend is made of trained models.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("a blend is made of trained runs: kgrec blend RUN RUN... --out DIR.")

    def trained(self) -> list[Recommender]:
        """Return the members."""
        found = []
        for member in self.members:
            assert isinstance(member, Recommender)
            found.append(member)

        return found

    def plan(self) -> Plan:
        """Refuse: there is nothing to train.

        Raises:
            CapabilityError: Always.
        """
        raise CapabilityError(
            "a blend cannot be trained. Train its members, and blend them again (kgrec blend)."
        )

    def can_rank(self, data: Dataset) -> Known:
        """Return what all members know."""
        known = [member.can_rank(data) for member in self.trained()]
        return Known(
            np.logical_and.reduce([one.users for one in known]),
            np.logical_and.reduce([one.items for one in known]),
        )

    def scorer(self) -> Scorer:
        """Return the weighted sum; of inner products that read no history, one inner product."""
        return self.mixed(self.scorers())

    def scorers(self) -> list[Scorer]:
        """Return the members' scorers, which fold people in as they do by themselves."""
        return [
            folding(member, member.scorer(), self._data, config)
            for member, config in zip(self.trained(), self._configs, strict=True)
        ]

    def mixed(self, scorers: Sequence[Scorer]) -> Scorer:
        """Return the weighted sum of the members' scorers."""
        device = self.used.device
        rows = torch.tensor(self.config.rows(), dtype=torch.float64, device=device)
        weights = rows / torch.tensor(self.config.scales, dtype=torch.float64, device=device)
        lengths = torch.tensor(self.config.lengths, dtype=torch.int64, device=device)
        blend = BlendScorer(
            tuple(scorers), weights, lengths, self.used, self.config.scale == "user"
        )
        vectors = [scorer for scorer in scorers if isinstance(scorer, DotProduct)]
        if len(vectors) < len(scorers) or blend.per_user or blend.reads_history:
            return blend
        return _one_product(vectors, blend)

    def explanation_effects(self) -> "BlendEffects":
        """Return the sum of the members' effects."""
        found = [member.explanation_effects() for member in self.trained()]
        if all(isinstance(one, Refittable) for one in found) and self.config.scale == "member":
            return RefittableBlendEffects(self, self._data, found)
        return BlendEffects(self, self._data, found)


def _one_product(vectors: Sequence[DotProduct], blend: BlendScorer) -> DotProduct:
    """Return the vectors of all members side by side, those of users times their weights."""
    weights = blend.weights[torch.bucketize(blend.used, blend.lengths)]
    users = [
        weights[:, number : number + 1].to(one.users) * one.users
        for number, one in enumerate(vectors)
    ]
    return DotProduct(torch.cat(users, 1), torch.cat([one.items for one in vectors], 1))


class MixtureEffects(Summed, GraphEditable):
    """Effects of a weighted sum: the sum of what its members say.

    Args:
        mixture: The model.
        ckg: The graph of what it was trained on.
        effects: What each member says of its scores; None where it says nothing.
    """

    merges_relations = True
    constant = True

    def __init__(
        self, mixture: Mixture, ckg: CollaborativeKG, effects: Sequence[ModelEffects | None]
    ) -> None:
        self.ckg = ckg
        self.members = tuple(zip(mixture.trained(), effects, strict=True))
        self._mixture = mixture

    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return the model with every member on another graph, those that read none but know people
        by their items with the items that the graph has.
        """
        return _Edited(self._mixture, [_edited(*member, self.ckg, ckg) for member in self.members])


class BlendEffects(MixtureEffects):
    """Effects of a blend.

    Args:
        blend: The blend.
        data: What it was trained on.
        effects: What each member says of its scores; None where it says nothing.
    """

    def __init__(self, blend: Blend, data: Dataset, effects: Sequence[ModelEffects | None]) -> None:
        super().__init__(blend, CollaborativeKG.from_dataset(data), effects)
        self.constant = blend.config.scale == "member"
        self._blend = blend
        self._data = data
        self._brought = concatenate([data.train, data.valid])  # as a query brings it

    @cached_property
    def _scorers(self) -> list[Scorer]:
        with torch.inference_mode():
            return self._blend.scorers()

    @torch.inference_mode()
    def coefficients(self, user: int) -> tuple[tuple[float, ...], float]:
        """Return the factor of each member's score for a user, and what is added to their sum."""
        scorer = self._blend.mixed(self._scorers)
        query = Query(
            torch.tensor([user], device=self._blend.used.device),
            *_history(self._brought.item[self._brought.user == user]),
        )
        if not isinstance(scorer, BlendScorer):
            config = self._blend.config
            group = int(np.searchsorted(config.lengths, int(self._blend.used[user])))
            row = zip(config.rows()[group], config.scales, strict=True)
            return tuple(weight / scale for weight, scale in row), 0.0

        weights = scorer.weights_of(query)[0].tolist()
        if not scorer.per_user:
            return tuple(weights), 0.0

        constant = 0.0
        for number, member in enumerate(self._scorers):
            scores = member(query)[0].double()
            spread = float(scores.std(correction=0)) or 1.0
            weights[number] /= spread
            constant -= weights[number] * float(scores.mean())

        return tuple(weights), constant


class RefittableBlendEffects(BlendEffects, Refittable):
    """Effects of a blend of closed forms."""

    def refitted_scores(
        self, user: int, items: Sequence[int], removed: Removal
    ) -> Float[Tensor, " cand"]:
        """Return the weighted sum of the members' scores, each fitted without ``removed``."""
        factors, constant = self.coefficients(user)
        total = torch.full((len(items),), constant, dtype=torch.float64)
        for factor, (_, effects) in zip(factors, self.members, strict=True):
            assert isinstance(effects, Refittable)
            total += factor * effects.refitted_scores(user, items, removed)

        return total


def _history(items: np.ndarray) -> tuple[Int[Tensor, "1 hist"], Bool[Tensor, "1 hist"]]:
    rows = torch.from_numpy(items.astype(np.int64)).unsqueeze(0)
    return rows, torch.ones_like(rows, dtype=torch.bool)


class _Edited(Recommender):
    """A weighted sum on another graph; its members are already there."""

    def __init__(self, mixture: Mixture, scorers: Sequence[Callable[[], Scorer]]) -> None:
        super().__init__()
        self._mixture = [mixture]  # within a list, so that it is no part of this one
        self._scorers = scorers

    @classmethod
    def from_dataset(cls, data: Dataset, config: Any, generator: torch.Generator) -> "Recommender":
        """Refuse: it is made of a trained model."""
        return Blend.from_dataset(data, config, generator)

    def plan(self) -> Plan:
        """Refuse: it is not to be trained."""
        raise CapabilityError("a model on an edited graph cannot be trained.")

    def scorer(self) -> Scorer:
        """Return the weighted sum."""
        return self._mixture[0].mixed([made() for made in self._scorers])


def _edited(
    member: Recommender, effects: ModelEffects | None, base: CollaborativeKG, ckg: CollaborativeKG
) -> Callable[[], Scorer]:
    """Return what makes a member's scorer on another graph."""
    if isinstance(effects, GraphEditable):
        if effects.ckg.num_entities < ckg.num_entities:
            ckg = ckg.without_knowledge()
        return effects.on_graph(ckg).scorer
    if isinstance(effects, HistoryEditable):
        scorer = _OfHistories(effects, base.interactions(), ckg.interactions())
        return lambda: scorer
    return member.scorer


@dataclass(frozen=True)
class _OfHistories:
    """Scores of people by other histories.

    Attributes:
        effects: Scores them.
        before: Users and items of the interactions that the model was trained on.
        after: Those of the edited graph.
    """

    effects: HistoryEditable
    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]

    def __call__(
        self, query: Query, items: Int[Tensor, "batch cand"] | None = None
    ) -> Float[Tensor, "batch cand"]:
        """Return the scores."""
        rows = []
        for row, user in enumerate(query.user.tolist()):
            brought = query.history[row, query.history_mask[row]].cpu().numpy()
            history = torch.from_numpy(self._history(user, brought))
            rows.append(self.effects.history_scores(user, [history])[0])

        scores = torch.stack(rows)
        return scores if items is None else scores.gather(1, items)

    def _history(self, user: int, brought: np.ndarray) -> np.ndarray:
        """Return what is left of a history, with what is new last."""
        was, is_now = (np.asarray(item[of == user]) for of, item in (self.before, self.after))
        if user >= 0 and not self.effects.reads_validation:
            return is_now

        gone = np.setdiff1d(was, is_now)
        new = is_now[~np.isin(is_now, brought)]
        return np.concatenate([brought[~np.isin(brought, gone)], new])


def scale_of(scorer: Scorer, data: Dataset, items: Bool[Tensor, " items"]) -> float:
    """Return the standard deviation of scores of items within a user, over known users."""
    users = np.flatnonzero(with_interactions(data).users)
    some = users[:: max(1, len(users) // _SCALED_BY)][:_SCALED_BY]
    parts = [
        scorer(queries(data.train, part).to(items.device))[:, items].float()
        for part in np.array_split(some, max(1, len(some) // 256))
    ]
    return deviation(torch.cat(parts))
