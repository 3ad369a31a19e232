"""Lists in another order than by score alone: diverse, less popular, with new items, with few of
one kind. numpy only: what serves lists imports nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from kgrec.errors import CapabilityError, ConfigError, nearest
from kgrec.ops.folding import unit
from kgrec.ops.ranges import ranges

POOL = 100
"""Candidates that compete for the places of a list of up to 50; twice the length of longer ones."""
SIMILARITIES = ("auto", "vectors", "facts")
_MOST_CAPS = 16
_FURTHER = 8  # times as many candidates are looked at where caps leave a list short
_CLOSE = 1e-6  # differences below are rounding: the better score is first
_SMOOTHED = 0.01


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a list beside high scores. All off is the plain list.

    Attributes:
        diversity: 0 to 1: how much an item that is like those above it loses.
        diversity_by: What alike is: "vectors" (cosine of the model's), "facts" (cosine of rare facts
            that are shared), or "auto": vectors where the model has them.
        popularity: -1 to 1: above 0 popular items lose, below 0 they gain.
        calibrate: Popularity is not lowered but drawn, by the weight ``popularity`` above 0, to the
            mixture that the person's own items have.
        new_items: 0 to 1: least share of places for items without a training interaction, at every
            length of the list.
        most: Most items per value of a facet, for instance at most two of a brand.

    Raises:
        ConfigError: If one is out of range.
    """

    diversity: float = 0.0
    diversity_by: str = "auto"
    popularity: float = 0.0
    calibrate: bool = False
    new_items: float = 0.0
    most: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Reject what is out of range."""
        for name, least in (("diversity", 0), ("popularity", -1), ("new_items", 0)):
            value = getattr(self, name)
            if not (_is_number(value) and least <= value <= 1):
                raise ConfigError(f"{name}={value!r}: takes a number from {least} to 1.")
        if self.diversity_by not in SIMILARITIES:
            raise ConfigError(
                f"diversity_by={str(self.diversity_by)[:40]!r}: choose from "
                f"{', '.join(SIMILARITIES)}."
            )
        if self.calibrate and self.popularity <= 0:
            raise ConfigError(
                f"calibrate needs a weight: pass a popularity above 0, not {self.popularity:g}."
            )
        if len(self.most) > _MOST_CAPS:
            raise ConfigError(f"most: names {len(self.most)} facets, at most {_MOST_CAPS} may be.")
        for name, count in self.most.items():
            if not (_is_number(count) and count == int(count) and count >= 1):
                raise ConfigError(f"most: {str(name)[:40]!r} takes a whole number from 1 on.")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Wishes":
        """Return wishes by name.

        Raises:
            ConfigError: If a name is not known (the message gives the nearest), or a value is out
                of range.
        """
        known = [one.name for one in fields(cls)]
        for name in given:
            if name not in known:
                raise ConfigError(
                    f"unknown setting {str(name)[:80]!r} of a list. Choose from "
                    f"{', '.join(known)}.{nearest(str(name), known)}"
                )

        return cls(**given)

    def __bool__(self) -> bool:
        """Return whether the list is another than the plain one."""
        return bool(self.diversity or self.popularity or self.new_items or self.most)

    def check_length(self, k: int) -> None:
        """Refuse a share of new items that is less than one place.

        Raises:
            ConfigError: If it is.
        """
        if self.new_items and not _quota(k, self.new_items):
            raise ConfigError(
                f"new_items={self.new_items:g}: is less than one of {k} places. Ask for "
                f"{1 / k:.3g} or more, or for a longer list."
            )

    def each(self) -> dict[str, "Wishes"]:
        """Return every single wish by what it says, and all of them together where there are
        several.
        """
        found = {}
        if self.diversity:
            one = Wishes(diversity=self.diversity, diversity_by=self.diversity_by)
            found[f"diversity {self.diversity:g}"] = one
        if self.popularity:
            one = Wishes(popularity=self.popularity, calibrate=self.calibrate)
            what = "popularity"
            if self.calibrate:
                what = "calibrate"

            found[f"{what} {self.popularity:g}"] = one
        if self.new_items:
            found[f"new_items {self.new_items:g}"] = Wishes(new_items=self.new_items)
        for name, count in self.most.items():
            found[f"most {name}={count}"] = Wishes(most={name: count})
        if len(found) > 1:
            found["all together"] = self

        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what is set, JSON-ready."""
        return {name: value for name, value in asdict(self).items() if value and value != "auto"}


@dataclass(frozen=True, slots=True)
class Rows:
    """A list of distinct numbers per row, with a weight each.

    Attributes:
        ptr: Start of each list, and the end of the last.
        idx: The numbers.
        val: Their weights; None without them.
    """

    ptr: np.ndarray
    idx: np.ndarray
    val: np.ndarray | None = None

    def at(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the places in ``idx`` of some rows' numbers, and which of the rows each is of."""
        start = self.ptr[rows]
        owner, place = ranges(start, self.ptr[rows + 1] - start)
        return place, owner


def by_item(ptr: np.ndarray, idx: np.ndarray, count: int) -> Rows:
    """Return the values of each of ``count`` items from the items of each value."""
    order = np.argsort(idx, kind="stable")
    value = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))[order]
    return Rows(np.searchsorted(idx[order], np.arange(count + 1)), value)


def numbers_cannot_be_capped(name: str) -> ConfigError:
    """Return what says that a facet has no values to count by."""
    return ConfigError(f"most: {name[:80]!r} holds numbers. Only a facet of values can be capped.")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a list can be ordered by beside scores; items are numbered as in the lists.

    Attributes:
        counts: Training interactions per item.
        vectors: One vector per item; None where the model has none to compare.
        facts: Weighted facts per item, rows of length 1; None without facts.
        thirds: Which third of all interactions each item is in, by falling popularity; see
            ``thirds_of``.
    """

    counts: np.ndarray
    thirds: np.ndarray
    vectors: np.ndarray | None = None
    facts: Rows | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """A list, best first.

    Attributes:
        items: The items, distinct.
        scores: Their scores, finite.
        kinds: Where each comes from; only scores of the first one's kind are compared with it.
    """

    items: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray

    def take(self, places: np.ndarray) -> "Places":
        """Return some places, by their positions or where a mask is True."""
        return Places(self.items[places], self.scores[places], self.kinds[places])

    def and_then(self, others: "Places") -> "Places":
        """Return these and, behind them, the others that are not among them."""
        rest = others.take(~np.isin(others.items, self.items))
        return Places(
            np.concatenate([self.items, rest.items]),
            np.concatenate([self.scores, rest.scores]),
            np.concatenate([self.kinds, rest.kinds]),
        )


def pool_size(k: int, num_items: int) -> int:
    """Return how many candidates are needed for a list of k."""
    return min(num_items, max(POOL, 2 * k))


def thirds_of(counts: np.ndarray) -> np.ndarray:
    """Return which third of all interactions each item is in: 0 for the most popular items that
    have a third of them, 1 for the next, 2 for the rest.

    >>> thirds_of(np.array([1, 4, 2, 2, 0])).tolist()
    [2, 0, 1, 2, 2]
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    found = np.empty(len(counts), np.int8)
    found[order] = np.where(
        counts[order] > 0, np.minimum(3 * before // max(1, int(counts.sum())), 2), 2
    )
    return found


def reranked(
    ranked: Callable[[int], Places],
    newcomers: Places | None,
    k: int,
    wishes: Wishes,
    traits: Traits,
    values: Sequence[Rows] = (),
    had: np.ndarray | None = None,
) -> Places:
    """Return a list of at most k as it is wanted.

    Place by place the item is taken that is worth most then:

        lambda (worth - divergence) - (1 - lambda) max over the items above of their similarity

    lambda = 1 - diversity / 2. Worth is the score from 0 to 1 over the candidates, minus
    ``popularity`` times the logarithm of the interactions from 0 to 1. Calibrated by the weight w,
    it is (1 - w) times the score, and the divergence, of the list's thirds from those of what the
    person has, counts w. The first m places of a list are the list of m, up to m = 50. Where caps
    leave a list of the best candidates short, others follow by their scores.

    Args:
        ranked: Returns as many of the best candidates.
        newcomers: Items without a training interaction, best first; None without.
        k: Length, at most the number of items.
        wishes: What is wanted.
        traits: What items are like.
        values: Values of each item, for each facet of ``wishes.most`` in its order.
        had: What the person has, to calibrate by.

    Source: Carbonell and Goldstein, The Use of MMR, SIGIR 1998, Eq. (1); Steck, Calibrated
    Recommendations, RecSys 2018, Eqs. (3), (6) and (7), greedily.
    """
    items = len(traits.counts)
    length = pool_size(k, items)
    while True:
        pool = ranked(length)
        found = _List(pool, newcomers, k, wishes, traits, values, had).made()
        if len(found.items) == k or len(pool.items) < length or length == items:
            return found
        length = min(_FURTHER * length, items)


class _List:
    """A list that is being made."""

    def __init__(
        self,
        pool: Places,
        newcomers: Places | None,
        k: int,
        wishes: Wishes,
        traits: Traits,
        values: Sequence[Rows],
        had: np.ndarray | None,
    ) -> None:
        self._all = pool
        if newcomers is not None:
            self._all = pool.and_then(newcomers)

        items = self._all.items
        self._listed = len(pool.items)
        self._k = k
        self._wishes = wishes
        alike = int((pool.kinds == pool.kinds[:1]).sum())
        self._own = min(alike, pool_size(k, self._listed))
        self._free = np.ones(len(items), dtype=bool)
        self._newcomers: list[int] = []
        if newcomers is not None:
            place = {item: n for n, item in enumerate(items.tolist())}
            self._newcomers = [place[item] for item in newcomers.items.tolist()]

        self._is_new = traits.counts[items] == 0
        self._caps = [
            _Cap(rows, items, count)
            for rows, count in zip(values, wishes.most.values(), strict=True)
        ]
        self._near = np.zeros(self._own)
        self._alike = _likeness(wishes, traits, items)
        self._worth = _scaled(pool.scores[: self._own])
        self._mixture: _Mixture | None = None
        own = items[: self._own]
        if wishes.calibrate and had is not None and len(had):
            self._mixture = _Mixture(traits.thirds[had], traits.thirds[own], wishes.popularity)
            self._worth = self._worth * (1 - wishes.popularity)
        elif wishes.popularity and not wishes.calibrate:
            popular = np.log1p(traits.counts[own].astype(np.float64))
            self._worth = self._worth - wishes.popularity * _scaled(popular)

    def made(self) -> Places:
        """Return the list."""
        chosen: list[int] = []
        new = 0
        while len(chosen) < self._k:
            at = None
            if new < _quota(len(chosen) + 1, self._wishes.new_items):
                at = next((one for one in self._newcomers if self._free[one]), None)
            if at is None:
                at = self._next()
            if at is None:
                break

            new += bool(self._is_new[at])
            self._take(at, first=not chosen)
            chosen.append(at)

        return self._all.take(np.array(chosen, dtype=np.int64))

    def _next(self) -> int | None:
        """Return the place of the item that is worth most now; None where nothing is left."""
        free = self._free[: self._own]
        if free.any():
            worth = self._worth
            if self._mixture is not None:
                worth = worth - self._mixture.price()
            share = 1 - self._wishes.diversity / 2
            value = np.where(free, share * worth - (1 - share) * self._near, -np.inf)
            return int(np.flatnonzero(value >= value.max() - _CLOSE)[0])

        rest = np.flatnonzero(self._free[self._own : self._listed])
        if not len(rest):
            return None
        return self._own + int(rest[0])

    def _take(self, at: int, first: bool) -> None:
        self._free[at] = False
        if self._alike is not None and self._own:
            near = self._alike(at)[: self._own]
            if not first:
                near = np.maximum(self._near, near)
            self._near = near
        if self._mixture is not None and at < self._own:
            self._mixture.add(at)
        for cap in self._caps:
            self._free &= ~cap.full(at)


class _Cap:
    """Counts the items of each value in a list.

    Args:
        rows: Values of each item.
        items: The items that may be shown.
        most: Most items per value.
    """

    def __init__(self, rows: Rows, items: np.ndarray, most: int) -> None:
        at, self._owner = rows.at(items)
        _, self._value = np.unique(rows.idx[at], return_inverse=True)
        self._counts = np.zeros(int(self._value.max(initial=-1)) + 1, np.int64)
        self._items = len(items)
        self._most = most

    def full(self, at: int) -> np.ndarray:
        """Count an item, and return the items that have a value of which there are enough."""
        self._counts[self._value[self._owner == at]] += 1
        over = self._owner[(self._counts >= self._most)[self._value]]
        found = np.zeros(self._items, dtype=bool)
        found[over] = True
        return found


class _Mixture:
    """The thirds of a list beside those of what somebody has.

    Args:
        had: Thirds of what the person has, at least one.
        thirds: Thirds of the candidates.
        weight: What a divergence of 1 counts.
    """

    def __init__(self, had: np.ndarray, thirds: np.ndarray, weight: float) -> None:
        self._wanted = np.bincount(had, minlength=3) / len(had)
        self._thirds = thirds
        self._counts = np.zeros(3)
        self._weight = weight

    def price(self) -> np.ndarray:
        """Return what each candidate would cost as the next one."""
        after = self._counts + np.eye(3)
        share = after / after.sum(1, keepdims=True)
        share = (1 - _SMOOTHED) * share + _SMOOTHED * self._wanted
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = self._wanted * np.log(self._wanted / share)
        divergence = np.where(self._wanted > 0, parts, 0).sum(1)
        return np.asarray(self._weight * divergence[self._thirds])

    def add(self, at: int) -> None:
        """Count a candidate that is shown."""
        self._counts[self._thirds[at]] += 1


class _ByVectors:
    """Cosines of the candidates' vectors."""

    def __init__(self, vectors: np.ndarray, items: np.ndarray) -> None:
        self._rows = unit(vectors[items].astype(np.float64))

    def __call__(self, at: int) -> np.ndarray:
        """Return how like one candidate all are."""
        return np.asarray(self._rows @ self._rows[at])


class _ByFacts:
    """Products of the candidates' weighted facts."""

    def __init__(self, facts: Rows, items: np.ndarray) -> None:
        at, self._owner = facts.at(items)
        _, self._fact = np.unique(facts.idx[at], return_inverse=True)
        self._weight = np.ones(len(at))
        if facts.val is not None:
            self._weight = facts.val[at].astype(np.float64)

        self._items = len(items)

    def __call__(self, at: int) -> np.ndarray:
        """Return how like one candidate all are."""
        own = np.zeros(int(self._fact.max(initial=-1)) + 1)
        mine = self._owner == at
        own[self._fact[mine]] = self._weight[mine]
        return np.bincount(self._owner, self._weight * own[self._fact], self._items)


def _likeness(wishes: Wishes, traits: Traits, items: np.ndarray) -> _ByVectors | _ByFacts | None:
    if not wishes.diversity:
        return None
    if wishes.diversity_by in ("auto", "vectors") and traits.vectors is not None:
        return _ByVectors(traits.vectors, items)
    if wishes.diversity_by in ("auto", "facts") and traits.facts is not None:
        return _ByFacts(traits.facts, items)

    lacking = {"vectors": "the model has no item vectors", "facts": "the data has no facts"}
    raise CapabilityError(
        f"diversity: {lacking.get(wishes.diversity_by, ' and '.join(lacking.values()))} to compare "
        "items by."
    )


def _scaled(values: np.ndarray) -> np.ndarray:
    """Return values from 0 to 1; zeros where all are equal."""
    if not len(values):
        return np.zeros(0)

    wide = values.astype(np.float64)
    low, high = wide.min(), wide.max()
    if not high > low:
        return np.zeros(len(values))
    return np.asarray((wide - low) / (high - low))


def _quota(places: int, share: float) -> int:
    """Return how many of the first places are for new items."""
    return int(places * share + 1e-9)


def _is_number(value: object) -> bool:
    numeric = isinstance(value, int | float | np.integer | np.floating)
    return numeric and not isinstance(value, bool)
