"""Simulated interactions with planted tastes.

Every user likes a few properties (a director, a genre, a decade, any relation and tail), and
chooses items by

    utility(u, i) = taste_weight * sum of the weights of the liked properties of i
                  + popularity_weight * log popularity(i)
                  + noise_weight * Gumbel(0, 1)

taking the best without replacement. What was planted is returned beside what came out, so that a
test can ask whether a model found it. The interactions of the bundled films graph come from
:func:`films_world`; tests build their own worlds with :func:`simulate_interactions`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrec.errors import ConfigError, DataError

IntArray = NDArray[np.int32]
LongArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

_SCHEMA = "https://schema.org/"


@dataclass(frozen=True, slots=True)
class Family:
    """Properties of one kind, and how users like them.

    Attributes:
        name: For instance ``"director"``.
        fewest: Fewest liked properties of this family per user, at least 0.
        most: Most liked properties per user, at least ``fewest``; the number is uniform between the
            two.
        weight: Mean utility that one matched property adds, at least 0.
    """

    name: str
    fewest: int
    most: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Reject numbers out of range."""
        if not 0 <= self.fewest <= self.most:
            raise ConfigError(
                f"Family {self.name!r}: 0 <= fewest <= most does not hold for {self.fewest} and "
                f"{self.most}."
            )
        if not (np.isfinite(self.weight) and self.weight >= 0):
            raise ConfigError(
                f"Family {self.name!r}: weight is {self.weight}; give a number that is at least 0."
            )


@dataclass(frozen=True, slots=True)
class Tastes:
    """What each user likes: one row per (user, property).

    Attributes:
        user: User rows, ascending.
        property: Property rows.
        weight: Utility that the property adds, before ``taste_weight``; positive unless the
            family's weight is 0.
    """

    user: IntArray
    property: IntArray
    weight: FloatArray


@dataclass(frozen=True, slots=True)
class World:
    """What was planted and what came out.

    Attributes:
        user: User rows of the interactions, ascending.
        item: Item rows; no (user, item) pair occurs twice.
        time: Seconds since epoch; not descending within a user.
        tastes: What each user likes.
        popularity: Planted share of each item, positive, sums to 1.
        item_properties: One row (item row, property row) per fact, sorted, without repetition.
        property_names: ``(family, key)`` of each property row; the key is the row number as text
            where none was given.
    """

    user: IntArray
    item: IntArray
    time: LongArray
    tastes: Tastes
    popularity: FloatArray
    item_properties: IntArray
    property_names: tuple[tuple[str, str], ...]

    @property
    def num_users(self) -> int:
        """Number of users; every one has interactions."""
        return int(self.user[-1]) + 1

    @property
    def num_items(self) -> int:
        """Number of items, also those that no one chose."""
        return len(self.popularity)

    def to_tsv(self, items: Sequence[str]) -> str:
        """Return ``user_id, item_id, timestamp`` as tab-separated text with a header; users are
        ``u0001`` and so on.

        Args:
            items: External key of each item row.

        Raises:
            DataError: If there is not exactly one key for each item.
        """
        if len(items) != self.num_items:
            raise DataError(
                f"{len(items)} item keys for {self.num_items} items; give one for each."
            )

        lines = ["user_id\titem_id\ttimestamp"]
        for user, item, time in zip(
            self.user.tolist(), self.item.tolist(), self.time.tolist(), strict=True
        ):
            lines.append(f"u{user + 1:04d}\t{items[item]}\t{time}")

        return "\n".join(lines) + "\n"


# schema.org relation -> family of the films world
FILM_RELATIONS: Mapping[str, str] = {
    _SCHEMA + "director": "director",
    _SCHEMA + "actor": "actor",
    _SCHEMA + "musicBy": "composer",
    _SCHEMA + "genre": "genre",
    _SCHEMA + "isPartOf": "series",
    _SCHEMA + "countryOfOrigin": "country",
}

FILM_FAMILIES: tuple[Family, ...] = (
    Family("director", fewest=2, most=5, weight=2.0),
    Family("actor", fewest=4, most=8, weight=1.4),
    Family("composer", fewest=0, most=3, weight=1.0),
    Family("genre", fewest=1, most=3, weight=0.8),
    Family("series", fewest=0, most=2, weight=1.0),
    Family("country", fewest=0, most=1, weight=0.4),
    Family("decade", fewest=1, most=2, weight=0.8),
)


def simulate_interactions(
    item_properties: ArrayLike,
    property_family: ArrayLike,
    families: Sequence[Family],
    *,
    num_users: int,
    num_items: int,
    num_interactions: int,
    rng: np.random.Generator,
    taste_weight: float = 1.0,
    popularity_weight: float = 1.0,
    noise_weight: float = 1.0,
    zipf_exponent: float = 1.0,
    least_activity: int = 10,
    activity_spread: float = 0.7,
    start: int = 1_577_836_800,
    end: int = 1_735_689_600,
    property_keys: Sequence[str] | None = None,
) -> World:
    """Simulate users whose choices follow planted tastes.

    A property is liked with probability proportional to the number of its items; properties of a
    single item are liked by no one unless the family has no others. A user's items appear in
    phases, those of one liked property near each other in time. All randomness comes from ``rng``:
    the same state gives the same world.

    Args:
        item_properties: Rows (item, property), integer, shape (facts, 2); may be empty; repetitions
            are ignored.
        property_family: Position in ``families`` for each property.
        families: Kinds of properties.
        num_users: At least 1.
        num_items: At least 1.
        num_interactions: From ``num_users * least_activity`` to ``num_users * num_items``; met
            exactly.
        rng: Source of all draws.
        taste_weight: Scale of the tastes, at least 0; 0 plants tastes that no one follows.
        popularity_weight: Scale of the log popularity, at least 0.
        noise_weight: Scale of the Gumbel noise, at least 0; 1 makes the choice a multinomial logit.
        zipf_exponent: Popularity is proportional to rank to the power of minus this, at least 0.
        least_activity: Fewest interactions of a user, at least 1.
        activity_spread: Standard deviation of the log activity above the least, at least 0.
        start: First possible timestamp, seconds since epoch.
        end: First timestamp that is too late, seconds since epoch; after ``start``.
        property_keys: External key of each property.

    Returns:
        The world, its interactions sorted by user, then time.

    Raises:
        ConfigError: If a number is out of range.
        DataError: If ``item_properties``, ``property_family`` or ``property_keys`` do not fit each
            other.
    """
    _check_numbers(
        num_users,
        num_items,
        num_interactions,
        taste_weight,
        popularity_weight,
        noise_weight,
        zipf_exponent,
        least_activity,
        activity_spread,
        start,
        end,
    )
    facts, family_of = _check_facts(item_properties, property_family, len(families), num_items)

    if property_keys is None:
        keys = [str(row) for row in range(len(family_of))]
    else:
        keys = list(property_keys)

    if len(keys) != len(family_of):
        raise DataError(
            f"{len(keys)} property keys for {len(family_of)} properties; give one for each."
        )

    order = np.argsort(facts[:, 1], kind="stable")
    starts = np.searchsorted(facts[order, 1], np.arange(len(family_of) + 1))
    items_of = facts[order, 0]

    popularity = np.empty(num_items)
    popularity[rng.permutation(num_items)] = np.arange(1.0, num_items + 1) ** -zipf_exponent
    popularity /= popularity.sum()
    base = popularity_weight * np.log(popularity)
    activity = _activity(
        num_users, num_items, num_interactions, least_activity, activity_spread, rng
    )
    tastes = _tastes(num_users, family_of, families, np.diff(starts), rng)

    first = np.searchsorted(tastes.user, np.arange(num_users + 1))
    all_items = []
    all_times = []

    for user in range(num_users):
        liked = slice(first[user], first[user + 1])
        taste = np.zeros(num_items)
        strongest = np.zeros(num_items)
        place = rng.random(num_items)

        for prop, weight in zip(
            tastes.property[liked].tolist(), tastes.weight[liked].tolist(), strict=True
        ):
            of_property = items_of[starts[prop] : starts[prop + 1]]
            taste[of_property] += weight
            phase = rng.random()
            led = of_property[weight > strongest[of_property]]
            strongest[led] = weight
            place[led] = 0.7 * phase + 0.3 * place[led]

        utility = taste_weight * taste + base + noise_weight * rng.gumbel(size=num_items)
        chosen = np.argsort(-utility, kind="stable")[: activity[user]]
        all_items.append(chosen[np.argsort(place[chosen], kind="stable")])
        all_times.append(_times(int(activity[user]), start, end, rng))

    return World(
        user=np.repeat(np.arange(num_users, dtype=np.int32), activity),
        item=np.concatenate(all_items).astype(np.int32),
        time=np.concatenate(all_times),
        tastes=tastes,
        popularity=popularity,
        item_properties=facts,
        property_names=tuple(
            (families[family].name, key)
            for family, key in zip(family_of.tolist(), keys, strict=True)
        ),
    )


def films_world(
    films: Sequence[str],
    triples: Iterable[tuple[str, str, str]],
    years: Mapping[str, int],
    *,
    rng: np.random.Generator,
    num_users: int = 1_000,
    num_interactions: int = 40_000,
    families: Sequence[Family] = FILM_FAMILIES,
    taste_weight: float = 1.8,
    popularity_weight: float = 0.65,
    noise_weight: float = 1.0,
) -> World:
    """Simulate interactions with films from the facts of a graph.

    The relations of ``FILM_RELATIONS`` and the decade of the year become properties. The order of
    ``triples`` does not matter.

    Args:
        films: Entity of each item row; without repetition.
        triples: (head, relation, tail) as IRIs; heads that are not films and other relations are
            passed over.
        years: Year of publication by film; films without one have no decade.
        rng: Source of all draws.
        num_users: At least 1.
        num_interactions: At least 10 per user.
        families: Kinds of properties and how they are liked; a kind that is missing here is liked
            by no one.
        taste_weight: As in :func:`simulate_interactions`.
        popularity_weight: As in :func:`simulate_interactions`.
        noise_weight: As in :func:`simulate_interactions`.

    Raises:
        ConfigError: If a number is out of range.
        DataError: If a film occurs twice.
    """
    row_of = {film: row for row, film in enumerate(films)}
    if len(row_of) != len(films):
        raise DataError(
            f"{len(films) - len(row_of)} films occur more than once; give each film one row."
        )

    position = {family.name: index for index, family in enumerate(families)}
    facts: set[tuple[int, int, str]] = set()

    for head, relation, tail in triples:
        family = FILM_RELATIONS.get(relation)
        if head in row_of and family in position:
            facts.add((row_of[head], position[family], tail))

    if "decade" in position:
        for film, year in years.items():
            if film in row_of:
                facts.add((row_of[film], position["decade"], f"{year // 10 * 10}s"))

    names = sorted({(family_row, key) for _, family_row, key in facts})
    property_of = {name: row for row, name in enumerate(names)}
    pairs = sorted((item, property_of[family_row, key]) for item, family_row, key in facts)

    return simulate_interactions(
        np.array(pairs, dtype=np.int32).reshape(-1, 2),
        np.array([family_row for family_row, _ in names], dtype=np.int32),
        families,
        num_users=num_users,
        num_items=len(films),
        num_interactions=num_interactions,
        rng=rng,
        taste_weight=taste_weight,
        popularity_weight=popularity_weight,
        noise_weight=noise_weight,
        property_keys=[key for _, key in names],
    )


def _check_numbers(
    num_users: int,
    num_items: int,
    num_interactions: int,
    taste_weight: float,
    popularity_weight: float,
    noise_weight: float,
    zipf_exponent: float,
    least_activity: int,
    activity_spread: float,
    start: int,
    end: int,
) -> None:
    counts = {"num_users": num_users, "num_items": num_items, "least_activity": least_activity}
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} is {count}; give at least 1.")

    scales = {
        "taste_weight": taste_weight,
        "popularity_weight": popularity_weight,
        "noise_weight": noise_weight,
        "zipf_exponent": zipf_exponent,
        "activity_spread": activity_spread,
    }
    for name, scale in scales.items():
        if not (np.isfinite(scale) and scale >= 0):
            raise ConfigError(f"{name} is {scale}; give a finite number that is at least 0.")

    if least_activity > num_items:
        raise ConfigError(
            f"least_activity is {least_activity}, but there are only {num_items} items; lower it."
        )

    least = num_users * least_activity
    most = num_users * num_items
    if not least <= num_interactions <= most:
        raise ConfigError(
            f"num_interactions is {num_interactions}; {num_users} users allow {least} to {most}."
        )
    if end <= start:
        raise ConfigError(f"end ({end}) is not after start ({start}).")


def _check_facts(
    item_properties: ArrayLike, property_family: ArrayLike, num_families: int, num_items: int
) -> tuple[IntArray, IntArray]:
    facts = np.asarray(item_properties)
    family_of = np.asarray(property_family)
    if facts.size == 0:
        facts = np.empty((0, 2), dtype=np.int32)

    if family_of.size == 0:
        family_of = np.empty(0, dtype=np.int32)

    if facts.ndim != 2 or facts.shape[1] != 2 or not np.issubdtype(facts.dtype, np.integer):
        raise DataError(
            f"item_properties has shape {facts.shape} and type {facts.dtype}; give integer rows "
            "(item, property)."
        )
    if family_of.ndim != 1 or not np.issubdtype(family_of.dtype, np.integer):
        raise DataError(
            f"property_family has shape {family_of.shape} and type {family_of.dtype}; give one "
            "integer per property."
        )

    limits = (
        ("item", facts[:, 0], num_items),
        ("property", facts[:, 1], len(family_of)),
        ("family", family_of, num_families),
    )
    for name, values, limit in limits:
        if values.size and not (values.min() >= 0 and values.max() < limit):
            raise DataError(
                f"A {name} row lies outside 0 .. {limit - 1}: found {values.min()} to "
                f"{values.max()}."
            )

    return np.unique(facts, axis=0).astype(np.int32), family_of.astype(np.int32)


def _activity(
    num_users: int, num_items: int, total: int, least: int, spread: float, rng: np.random.Generator
) -> IntArray:
    """Return interactions per user: long-tailed, each in [least, num_items], adding up to
    ``total``.
    """
    share = rng.lognormal(0.0, spread, size=num_users)
    count = np.full(num_users, least, dtype=np.int64)
    while (left := total - int(count.sum())) > 0:
        room = num_items - count
        weight = np.where(room > 0, share, 0.0)
        wish = weight / weight.sum() * left
        step = np.minimum(np.floor(wish).astype(np.int64), room)
        if not step.any():
            best = np.argsort(-np.where(room > 0, wish, -1.0), kind="stable")[
                : min(left, int((room > 0).sum()))
            ]
            step[best] = 1

        count += step

    return count.astype(np.int32)


def _tastes(
    num_users: int,
    family_of: IntArray,
    families: Sequence[Family],
    num_of_property: LongArray,
    rng: np.random.Generator,
) -> Tastes:
    """Draw each user's liked properties and their weights, between half and one and a half times
    the family's.
    """
    users = []
    properties = []
    weights = []
    pools = []

    for row in range(len(families)):
        members = np.flatnonzero((family_of == row) & (num_of_property > 0))
        shared = members[num_of_property[members] > 1]
        pools.append(shared if len(shared) else members)

    for user in range(num_users):
        for family, pool in zip(families, pools, strict=True):
            count = min(int(rng.integers(family.fewest, family.most + 1)), len(pool))
            if count == 0:
                continue

            degree = num_of_property[pool].astype(np.float64)
            liked = rng.choice(pool, size=count, replace=False, p=degree / degree.sum())
            users.append(np.full(count, user))
            properties.append(liked)
            weights.append(family.weight * rng.uniform(0.5, 1.5, size=count))

    if not users:
        return Tastes(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0))

    return Tastes(
        np.concatenate(users).astype(np.int32),
        np.concatenate(properties).astype(np.int32),
        np.concatenate(weights),
    )


def _times(count: int, start: int, end: int, rng: np.random.Generator) -> LongArray:
    """Return ascending timestamps in [start, end): a period of activity of random place and length,
    with uneven gaps.
    """
    bounds = np.sort(rng.random(2))
    gaps = rng.exponential(size=count + 1).cumsum()
    place = bounds[0] + (bounds[1] - bounds[0]) * gaps[:-1] / gaps[-1]
    times: LongArray = start + np.floor(place * (end - start)).astype(np.int64)
    return times
