"""Answers to requests, from tables; HTTP is elsewhere."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from time import monotonic
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from kgrec._version import __version__
from kgrec.errors import ConfigError, KgrecError
from kgrec.ops.reranking import Wishes
from kgrec.ops.strangers import KINDS, PERSONAL, POPULAR
from kgrec.serving.http.metrics import Metrics
from kgrec.serving.http.problems import ProblemError, problem_of
from kgrec.serving.http.together import Together
from kgrec.serving.http.types import (
    Basis,
    FacetAnswer,
    ItemsAnswer,
    Place,
    RecommendAnswer,
    RecommendedList,
    RecommendRequest,
    RunAnswer,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
    Where,
)
from kgrec.serving.tables.ranking import Person, Ranked, Ranking

_TURNS = 8  # lists after which other requests have theirs
_SHOWN_VALUES = 50
_SHOWN_FACETS = 100
_NONE = np.empty(0, np.int64)
_NO_WISHES = Wishes()
_NOTHING = astuple(_NO_WISHES)


@runtime_checkable
class Explains(Protocol):
    """Gives reasons of a run that is at hand."""

    async def reason(
        self, user: str | None, history: Sequence[str], item: str, language: str, seconds: float
    ) -> bytes | None:
        """Return a reason as JSON; None if there is none, or not in time."""

    async def explain(self, user: str | None, history: Sequence[str], item: str, k: int) -> bytes:
        """Return a whole explanation as JSON."""


@dataclass(frozen=True)
class Service:
    """Answers by one ranking.

    Attributes:
        ranking: What makes the lists.
        metrics: Counts them.
        explains: Gives reasons that were not computed before; None without a run.
    """

    ranking: Ranking
    metrics: Metrics
    explains: Explains | None = None

    @property
    def run(self) -> str:
        """The run that is served."""
        return self.ranking.tables.about.run

    @property
    def stamp(self) -> str:
        """The sum of the tables that are served: another one after each export."""
        return self.ranking.tables.stamp

    async def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """Return lists.

        Raises:
            ProblemError: If the request does not hold together, or names what is not known.
        """
        began = monotonic()
        users: Sequence[str | None] = request.users or [request.user]
        if request.users is not None and request.user is not None:
            raise ProblemError("invalid", "give user or users.", "users")
        if len(users) > 1 and request.history:
            raise ProblemError("invalid", "a history belongs to one user.", "history")
        if users == [None] and not request.history:
            raise ProblemError("invalid", "lists for whom? Give user, users or history.", "user")

        ignored: dict[str, list[str]] = {}
        history = self._columns(request, "history", request.history, ignored)
        exclude = self._columns(request, "exclude", request.exclude, ignored)
        candidates = self._candidates(request, ignored)
        wishes = _wishes(request)
        lists = []
        missing = 0
        deadline = monotonic() + request.reason_ms / 1000
        rows = [None if user is None else self.ranking.user(user) for user in users]
        for number, (user, row) in enumerate(zip(users, rows, strict=True)):
            if number % _TURNS == 0:
                if number:
                    await asyncio.sleep(0)
                some = [Person(each, history) for each in rows[number : number + _TURNS]]
                made = await self._ranked(some, request, candidates, exclude, wishes)

            ranked = made[number % _TURNS]
            if request.fallback == "none" and not self._is_own(ranked):
                raise ProblemError(
                    "no-list", f"nothing is known of {_shown(user)} to make a list by.", "user"
                )

            said: dict[int, bytes] = {}
            if request.reasons:
                wanted = ranked.items[: request.reasons].tolist()
                said = await self._reasons(user, row, request, wanted, deadline)
                missing += len(wanted) - len(said)

            lists.append(self._list(user, row, ranked, request, candidates, said))

        count = sum(map(len, ignored.values()))
        if count:
            self.metrics.unknown(count)

        milliseconds = round((monotonic() - began) * 1000, 3)
        model = self.ranking.tables.about.model
        return RecommendAnswer(self.run, model, lists, ignored, missing, milliseconds)

    def _columns(
        self,
        request: RecommendRequest,
        field: str,
        keys: Sequence[str],
        ignored: dict[str, list[str]],
    ) -> np.ndarray:
        if not keys:
            return _NONE

        try:
            columns, unknown = self.ranking.columns(keys, request.on_unknown)
        except KgrecError as error:
            raise problem_of(error, field) from None

        if unknown:
            ignored[field] = unknown
        return columns

    def _candidates(
        self, request: RecommendRequest, ignored: dict[str, list[str]]
    ) -> np.ndarray | None:
        found = None
        if request.items is not None:
            found = np.sort(self._columns(request, "items", request.items, ignored))
        if request.where:
            some = self._where(request.where)
            found = some if found is None else np.intersect1d(found, some, assume_unique=True)

        return found

    def _where(self, where: Where) -> np.ndarray:
        try:
            return self.ranking.tables.facets.columns(where)
        except ConfigError as error:
            raise ProblemError("invalid", str(error), "where") from None

    async def _ranked(
        self,
        people: Sequence[Person],
        request: RecommendRequest,
        candidates: np.ndarray | None,
        exclude: np.ndarray,
        wishes: Wishes,
    ) -> list[Ranked]:
        shown: dict[str, Any] = {"candidates": candidates, "exclude": exclude}
        shown["allow_seen"] = request.allow_seen
        if not wishes:
            begun = [self.ranking.begin(person, request.k, **shown) for person in people]
            return await self._together.end(begun)

        try:
            return [
                self.ranking.recommend(person, request.k, **shown, wishes=wishes)
                for person in people
            ]
        except KgrecError as error:  # of the wishes alone
            name = next((n for n in wishes.to_dict() if str(error).startswith(n)), "most")
            raise problem_of(error, name) from None

    @cached_property
    def _together(self) -> Together:
        return Together(self.ranking)

    def _is_own(self, ranked: Ranked) -> bool:
        """Return whether a list says something of the person, or everyone gets it by the model."""
        return ranked.kind != POPULAR or self.ranking.tables.about.popular

    def _list(
        self,
        user: str | None,
        row: int | None,
        ranked: Ranked,
        request: RecommendRequest,
        candidates: np.ndarray | None,
        said: dict[int, bytes],
    ) -> RecommendedList:
        kind = KINDS[ranked.kind] if len(ranked.items) else "none"
        self.metrics.listed(kind)
        known = row is not None and int(self.ranking.tables.user_kinds[row]) >= 0
        fewer = None
        if len(ranked.items) < request.k:
            none = candidates is not None and not len(candidates)
            fewer = "no candidate is known" if none else "there are no more candidates"

        return RecommendedList(
            user,
            kind,
            Basis(known, ranked.clicks, ranked.new),
            self._places(ranked, said),
            self._why(user, row, ranked, request),
            fewer,
        )

    def _why(
        self, user: str | None, row: int | None, ranked: Ranked, request: RecommendRequest
    ) -> str | None:
        """Return why a list is not personal."""
        if ranked.kind == PERSONAL or self.ranking.tables.about.popular:
            return None
        if user is None or row is None:
            who = "the user is not known" if user is not None else "no user is given"
        else:
            who = "nothing was learned of the user"
        if not self._is_own(ranked) and not request.history:
            return f"{who}, and there is no history."
        if not self._is_own(ranked):
            return f"{who}, and nothing can be made of the history."

        return f"{who}."

    def _places(self, ranked: Ranked, said: dict[int, bytes]) -> list[Place]:
        ids, labels = self.ranking.tables.items, self.ranking.tables.labels
        columns, scores = ranked.items.tolist(), ranked.scores.tolist()
        rows = enumerate(zip(columns, scores, strict=True), 1)
        if not said and (ranked.kinds == ranked.kind).all():
            return [Place(n, ids[at], labels[at], round(score, 6)) for n, (at, score) in rows]

        kinds = [None if kind == ranked.kind else KINDS[kind] for kind in ranked.kinds.tolist()]
        reasons = [[msgspec.Raw(said[at])] if at in said else [] for at in columns]
        return [
            Place(n, ids[at], labels[at], round(score, 6), kinds[n - 1], reasons[n - 1])
            for n, (at, score) in rows
        ]

    async def _reasons(
        self,
        user: str | None,
        row: int | None,
        request: RecommendRequest,
        columns: Sequence[int],
        deadline: float,
    ) -> dict[int, bytes]:
        """Return reasons by column: those that were computed before, then others while there is
        time.
        """
        tables = self.ranking.tables
        found: dict[int, bytes] = {}
        before = row is not None and not request.history and not request.language
        for column in columns:
            said = tables.reason(row, column) if before and row is not None else None
            if said is not None:
                found[column] = said

        self.metrics.reasons("computed_before", len(found))
        live = 0
        for column in columns:
            left = deadline - monotonic()
            if self.explains is None or left <= 0:
                break
            if column in found:
                continue

            known = None if row is None else user
            item, language = tables.items[column], request.language
            said = await self.explains.reason(known, request.history, item, language, left)
            if said is not None:
                found[column] = said
                live += 1

        self.metrics.reasons("live", live)
        self.metrics.reasons("missing", len(columns) - len(found))
        return found

    def similar(self, request: SimilarRequest) -> SimilarAnswer:
        """Return the items nearest to an item.

        Raises:
            ProblemError: If it is not known, or the model says nothing of it.
        """
        try:
            columns, _ = self.ranking.columns([request.item], "error")
            candidates = self._where(request.where) if request.where else None
            column = int(columns[0])
            ranked = self.ranking.similar(column, request.k, candidates=candidates)
        except KgrecError as error:
            raise problem_of(error, "item") from None

        return SimilarAnswer(self.run, request.item, self._places(ranked, {}))

    def score(self, request: ScoreRequest) -> ScoreAnswer:
        """Return the scores of items.

        Raises:
            ProblemError: If the model knows nothing of the person.
        """
        row = None if request.user is None else self.ranking.user(request.user)
        history, _ = self.ranking.columns(request.history)
        columns = [self.ranking.tables.items.row(key) for key in request.items]
        known = np.array([column for column in columns if column is not None], dtype=np.int64)
        distinct, at = np.unique(known, return_inverse=True)
        try:
            values = iter(self.ranking.scores(Person(row, history), distinct)[at].tolist())
        except KgrecError as error:
            raise problem_of(error, "user") from None

        found = [math.nan if column is None else next(values) for column in columns]
        scores = [None if math.isnan(value) else round(value, 6) for value in found]
        return ScoreAnswer(self.run, scores)

    def items(self, keys: Sequence[str], where: Where, limit: int) -> ItemsAnswer:
        """Return items by ids or facts, and the facets.

        Raises:
            ProblemError: If a facet is not known.
        """
        tables = self.ranking.tables
        columns = self._where(where) if where else self.ranking.columns(keys)[0]
        shown = [
            {"item": tables.items[column], "label": tables.labels[column]}
            for column in columns[:limit].tolist()
        ]
        return ItemsAnswer(self.run, len(columns), shown, self._facets)

    @cached_property
    def _facets(self) -> list[FacetAnswer]:
        """What lists can be filtered by."""
        facets = self.ranking.tables.facets
        return [
            FacetAnswer(
                facet.name,
                facet.key,
                facet.numbers,
                [] if facet.numbers else facets.values(facet, _SHOWN_VALUES),
            )
            for facet in facets.facets[:_SHOWN_FACETS]
        ]

    def about(self) -> RunAnswer:
        """Return what is served."""
        about = self.ranking.tables.about
        source = self.ranking.source
        can = []
        if source.folds:
            can.append("history")
        if about.items and source.similar(0) is not None:
            can.append("similar")
        if about.reasons or self.explains is not None:
            can.append("reasons")
        if self.explains is not None:
            can.append("explain")

        return RunAnswer(
            about.run,
            about.model,
            about.form,
            about.dataset,
            about.checksum,
            about.metrics,
            about.users if about.with_users else 0,
            about.items,
            can,
            __version__,
        )


def _wishes(request: RecommendRequest) -> Wishes:
    """Return what is wanted of lists beside high scores.

    Raises:
        ProblemError: If that does not hold together.
    """
    given = (
        request.diversity,
        request.diversity_by,
        request.popularity,
        request.calibrate,
        request.new_items,
        request.most,
    )
    if given == _NOTHING:
        return _NO_WISHES
    try:
        return Wishes(*given)
    except ConfigError as error:
        raise ProblemError("invalid", str(error), "calibrate") from None


def _shown(user: str | None) -> str:
    """Return who a message is about; ids of users are not repeated."""
    return "this history" if user is None else "this user"
