"""Lists for known users, histories and strangers, as ``Run.recommend`` gives them, in numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kgrec.errors import CapabilityError, UnknownIdError, nearest
from kgrec.ops.reranking import Places, Wishes, reranked
from kgrec.ops.strangers import CONTENT, HISTORY, PERSONAL, POPULAR
from kgrec.serving.tables.best import best
from kgrec.serving.tables.folder import UNKNOWN, Tables
from kgrec.serving.tables.pruning import Search
from kgrec.serving.tables.scores import Scores, Source, VectorSource

_FEW = 5_000  # candidates up to which these alone are scored
_NAMED = 5_000  # items up to which the nearest ids are looked for
_NO_ITEMS = np.empty(0, dtype=np.int64)
_Limits = tuple[int, np.ndarray, np.ndarray | None]  # length, what is hidden, candidates


def _none() -> np.ndarray:
    return _NO_ITEMS


@dataclass(frozen=True, slots=True)
class Person:
    """Who a list is for.

    Attributes:
        row: Row of a known user; None for someone else.
        history: Further items, distinct columns, oldest first.
    """

    row: int | None = None
    history: np.ndarray = field(default_factory=_none)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list, best first.

    Attributes:
        items: Columns of the items.
        scores: Their scores.
        kinds: Where each place comes from, as a position in ``KINDS``.
        kind: Where the list comes from; what fills its end may come from elsewhere.
        clicks: Items that the person had before.
        new: Further items of the history that the model knows.
    """

    items: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    kind: int
    clicks: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """A list before the catalog is searched for it.

    Attributes:
        search: What is to be searched; None where ``found`` has the scores.
        found: The scores; None without any.
        person: Who it is for.
        had: Everything that the person has, oldest first.
        k: Its length.
        candidates: What alone may be shown; None for all.
        some: The columns that are scored; None for all.
        hidden: What is not to be shown.
        kind: Where the list comes from.
        by_model: Whether the model gives the scores.
        clicks: Items that the person had before.
        new: Further items of the history.
    """

    search: Search | None
    found: Scores | None
    person: Person
    had: np.ndarray
    k: int
    candidates: np.ndarray | None
    some: np.ndarray | None
    hidden: np.ndarray
    kind: int
    by_model: bool
    clicks: int
    new: int


class Ranking:
    """Makes lists from tables.

    Items are columns: positions in the order that breaks ties.

    Args:
        tables: The tables.
        source: What scores the catalog, where the tables do not.

    Raises:
        CapabilityError: If nothing scores it.
    """

    def __init__(self, tables: Tables, source: Source | None = None) -> None:
        found = source or tables.source
        if found is None:
            raise CapabilityError(
                f"{tables.about.model} is scored by the model itself. Serve the run, not its tables."
            )

        self.tables = tables
        self.source = found

    def recommend(
        self,
        person: Person,
        k: int = 10,
        *,
        candidates: np.ndarray | None = None,
        exclude: np.ndarray = _NO_ITEMS,
        allow_seen: bool = False,
        wishes: Wishes | None = None,
    ) -> Ranked:
        """Return the k best items; of equal scores the more popular one first, then the lower id.

        Args:
            person: Who it is for.
            k: Length, at least 1.
            candidates: Only these items, distinct ascending columns; None takes all.
            exclude: These are not shown.
            allow_seen: Whether items that the person has are shown.
            wishes: What is wanted of the list beside high scores.

        Raises:
            ConfigError: If the wishes name what there is not.
            CapabilityError: If nothing is there to compare items by.
        """
        if wishes:
            length = min(k, self.tables.about.items)
            options: dict[str, Any] = {"exclude": exclude, "allow_seen": allow_seen}
            return self._reranked(person, length, candidates, options, wishes)

        begun = self.begin(person, k, candidates=candidates, exclude=exclude, allow_seen=allow_seen)
        if isinstance(begun, Ranked):
            return begun
        return self.end(begun, self.columns_of([begun])[0])

    def begin(
        self,
        person: Person,
        k: int = 10,
        *,
        candidates: np.ndarray | None = None,
        exclude: np.ndarray = _NO_ITEMS,
        allow_seen: bool = False,
    ) -> Ranked | Begun:
        """Return a list without wishes, as ``recommend`` does, or what it needs before ``end``: so
        that the catalog is searched for several at once.
        """
        seen = self._seen(person)
        plain = candidates is None and not len(exclude) and not allow_seen
        if plain and not len(person.history) and k <= self.tables.about.lists:
            computed = self._computed(person, k, len(seen))
            if computed is not None:
                return computed

        had, new = _joined(seen, person.history)
        hidden = exclude if allow_seen else np.concatenate([exclude, had])
        some = candidates if candidates is not None and len(candidates) <= _FEW else None
        limits = None if some is not None else (k, hidden, candidates)
        found, kind, by_model = self._scores(person, had, some, limits)
        search = found if isinstance(found, Search) else None
        scores = None if isinstance(found, Search) else found
        clicks = len(seen)
        return Begun(
            search, scores, person, had, k, candidates, some, hidden, kind, by_model, clicks, new
        )

    def columns_of(self, lists: Sequence[Begun]) -> list[np.ndarray | None]:
        """Return, for each list, columns among which its best are; None for the whole catalog."""
        found: list[np.ndarray | None] = [None] * len(lists)
        if not isinstance(self.source, VectorSource):
            return found

        at = [n for n, begun in enumerate(lists) if begun.search is not None]
        searches = [begun.search for begun in lists if begun.search is not None]
        for n, columns in zip(at, self.source.columns_of(searches), strict=True):
            found[n] = columns
        return found

    def end(self, begun: Begun, columns: np.ndarray | None) -> Ranked:
        """Return a list, by the columns among which its best are; None for the whole catalog."""
        found = begun.found
        if begun.search is not None:
            found = self._searched(begun.search, columns)
        if found is None:
            return Ranked(_NO_ITEMS, np.empty(0), _NO_ITEMS, begun.kind, begun.clicks, begun.new)

        scores, scored = found.values, found.columns
        if scored is None or scored is begun.some:
            scores = _masked(scores, begun.candidates, begun.some, begun.hidden)
        shown = best(scores, begun.k)
        items = shown if scored is None else scored[shown]
        values = scores[shown]
        kinds = np.full(len(items), begun.kind)
        if self.tables.placed is not None and begun.by_model:
            kinds[self.tables.placed[items]] = CONTENT
        if len(items) < begun.k and begun.by_model and not self.tables.all_known:
            items, values, kinds = self._filled(begun, (items, values, kinds))

        return Ranked(items, values, kinds, begun.kind, begun.clicks, begun.new)

    def _reranked(
        self,
        person: Person,
        k: int,
        candidates: np.ndarray | None,
        shown: Mapping[str, Any],
        wishes: Wishes,
    ) -> Ranked:
        """Return a list as it is wanted."""
        wishes.check_length(k)
        tables = self.tables
        values = [tables.facets.values_of_items(name) for name in wishes.most]
        fresh: Places | None = None
        if wishes.new_items:
            new = np.flatnonzero(tables.traits.counts == 0)
            some = new if candidates is None else np.intersect1d(new, candidates)
            found = _places(self.recommend(person, k, candidates=some, **shown))
            fresh = found.take((found.kinds != POPULAR) | (found.scores > 0))

        first: list[Ranked] = []

        def ranked(length: int) -> Places:
            first.append(self.recommend(person, length, candidates=candidates, **shown))
            return _places(first[-1])

        had, _ = _joined(self._seen(person), person.history)
        made = reranked(ranked, fresh, k, wishes, tables.traits, values, had)
        return replace(first[0], items=made.items, scores=made.scores, kinds=made.kinds)

    def _seen(self, person: Person) -> np.ndarray:
        if person.row is None or self.tables.seen is None:
            return _NO_ITEMS
        return self.tables.seen.row(person.row)

    def _computed(self, person: Person, k: int, clicks: int) -> Ranked | None:
        """Return the beginning of a list that was computed before."""
        if person.row is None:
            return None

        arrays = self.tables.arrays
        items = arrays["lists.items"][person.row, :k]
        count = int((items >= 0).sum())
        kinds = arrays["lists.kinds"][person.row, :count].astype(np.int64)
        kind = int(kinds[0]) if count else POPULAR
        scores = arrays["lists.scores"][person.row, :count]
        return Ranked(items[:count].astype(np.int64), scores, kinds, kind, clicks)

    def _scores(
        self, person: Person, had: np.ndarray, some: np.ndarray | None, limits: _Limits | None
    ) -> tuple[Scores | Search | None, int, bool]:
        """Return the scores of the catalog, or of some columns, free to be overwritten; where limits
        are given and the catalog can be searched, that search. Also the kind of the list, and
        whether the model gave them; None where there is no list.
        """
        tables = self.tables
        row = person.row
        kind = UNKNOWN if row is None else int(tables.user_kinds[row])
        usable = had if tables.all_known else had[tables.known[had]]
        if kind != UNKNOWN and row is not None:
            fresh = len(person.history) and len(usable)
            return self._of_model(row, usable if fresh else None, some, limits), kind, True

        popular = tables.about.popular
        if popular or (self.source.folds and len(usable)):
            kind = POPULAR if popular else HISTORY
            return self._of_model(None, usable, some, limits), kind, True
        if tables.fallback.way == "off":
            return None, POPULAR, False

        by_content = tables.fallback.by_content(row, had)
        kind = CONTENT if (by_content > 0).any() else POPULAR
        chosen = by_content if kind == CONTENT else tables.fallback.popularity
        chosen = chosen if some is None else chosen[some]
        return Scores(chosen.astype(np.float32), some), kind, False

    def _of_model(
        self,
        row: int | None,
        history: np.ndarray | None,
        some: np.ndarray | None,
        limits: _Limits | None,
    ) -> Scores | Search:
        """Return the model's scores for a known user, or one with a history, or for that alone; or
        the search for them.
        """
        source = self.source
        if limits is not None and isinstance(source, VectorSource):
            k, hidden, candidates = limits
            if not self.tables.all_known:
                hidden = np.concatenate([hidden, self.tables.cold])
            return Search(source.vector(row, history), k, hidden, candidates)

        if row is None:
            assert history is not None
            values = source.of_history(history, some)
        elif history is not None:
            values = source.of_updated(row, history, some)
        else:
            values = source.of_user(row, some)

        return Scores(self._without_cold(values, some), some)

    def _searched(self, search: Search, columns: np.ndarray | None) -> Scores:
        """Return scores among which the best are."""
        assert isinstance(self.source, VectorSource)
        values = self.source.scores(search.vector, columns)
        return Scores(values if columns is not None else self._without_cold(values, None), columns)

    def _without_cold(self, scores: np.ndarray, some: np.ndarray | None) -> np.ndarray:
        if not self.tables.all_known:
            cold = self.tables.cold if some is None else ~self.tables.known[some]
            scores[cold] = -np.inf
        return scores

    def _filled(
        self, begun: Begun, found: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a list with items at its end that the model does not know, by content where that
        says something.
        """
        if self.tables.fallback.way == "off":
            return found

        further = self.tables.fallback.by_content(begun.person.row, begun.had)
        further = further.astype(np.float32)
        further[self.tables.known] = -np.inf
        masked = _masked(further, begun.candidates, None, begun.hidden)
        shown = best(masked, begun.k - len(found[0]))
        values = further[shown]
        more = shown, values, np.where(values > 0, CONTENT, POPULAR)
        items, scores, kinds = (np.concatenate(pair) for pair in zip(found, more, strict=True))
        return items, scores, kinds

    def scores(self, person: Person, columns: np.ndarray) -> np.ndarray:
        """Return the scores of some items for someone, in the order given; NaN for items that the
        model does not know.

        Raises:
            CapabilityError: If the model knows nothing of the person.
        """
        had, _ = _joined(self._seen(person), person.history)
        found, _, by_model = self._scores(person, had, np.asarray(columns), None)
        if not isinstance(found, Scores) or not by_model:
            raise CapabilityError(
                f"{self.tables.about.model} knows nothing of this person: no usable history."
            )

        return np.where(np.isinf(found.values), np.nan, found.values)

    def similar(self, column: int, k: int = 10, *, candidates: np.ndarray | None = None) -> Ranked:
        """Return the k items nearest to an item.

        Raises:
            CapabilityError: If the model has no such thing, or has learned nothing about the item.
        """
        tables = self.tables
        scores = self.source.similar(column)
        if scores is None:
            raise CapabilityError(f"{tables.about.model} has no item vectors to compare.")
        if not tables.known[column]:
            raise CapabilityError(
                f"{tables.about.model} has learned nothing about item {tables.items[column]!r}: no "
                "training interaction, and nothing else that it reads."
            )

        scores = self._without_cold(np.array(scores), None)
        masked = _masked(scores, candidates, None, np.array([column]))
        items = best(masked, k)
        return Ranked(items, masked[items], np.full(len(items), PERSONAL), PERSONAL)

    def columns(
        self, keys: Sequence[str], on_unknown: str = "ignore"
    ) -> tuple[np.ndarray, list[str]]:
        """Return the columns of item ids, distinct and in the order given, and the unknown ids.

        Raises:
            UnknownIdError: If one is not known and none may be ignored.
        """
        found: dict[int, None] = {}
        unknown = []
        for key in keys:
            column = self.tables.items.row(key)
            if column is not None:
                found[column] = None
            elif on_unknown == "ignore":
                unknown.append(key)
            else:
                raise UnknownIdError(self._unknown(key))

        return np.array([*found], dtype=np.int64), unknown

    def user(self, key: str) -> int | None:
        """Return the row of a user id, None where it is not known."""
        return None if self.tables.users is None else self.tables.users.row(key)

    def _unknown(self, key: str) -> str:
        """Return a message with the nearest item id; ids of items are no secret."""
        shown = key if len(key) <= 80 else key[:77] + "..."
        few = len(key) <= 200 and len(self.tables.items) <= _NAMED
        near = nearest(key, self.tables.items) if few else ""
        return f"unknown item id {shown!r}.{near}"


def _masked(
    scores: np.ndarray,
    candidates: np.ndarray | None,
    some: np.ndarray | None,
    hidden: np.ndarray,
) -> np.ndarray:
    """Return scores with -inf for what is not to be shown, in place where that is possible.

    Args:
        scores: Of the catalog, or of ``some``.
        candidates: What may be shown; None for all.
        some: The columns that are scored; None for all.
        hidden: What is not to be shown.
    """
    if some is not None:
        scores[np.isin(some, hidden)] = -np.inf
        return scores

    scores[hidden] = -np.inf
    if candidates is not None:
        others = np.ones(len(scores), dtype=bool)
        others[candidates] = False
        scores[others] = -np.inf

    return scores


def _places(found: Ranked) -> Places:
    return Places(found.items, found.scores, found.kinds)


def _joined(seen: np.ndarray, history: np.ndarray) -> tuple[np.ndarray, int]:
    """Return what someone has with new items behind it, oldest first, and how many are new."""
    if not len(history):
        return seen, 0

    fresh = np.array(list(dict.fromkeys(history[~np.isin(history, seen)].tolist())), dtype=np.int64)
    return np.concatenate([seen, fresh]), len(fresh)
