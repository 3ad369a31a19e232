"""How a dataset is built from its sources: the options that Python, files and commands share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgrec.data.io.files import FilePath
from kgrec.data.logs.scratch import memory_size
from kgrec.data.readers.attributes import table_settings
from kgrec.data.readers.triples import reader_settings
from kgrec.data.splitting.strategies import check_ratios
from kgrec.errors import ConfigError

_KNOWN = {
    "catalog": ("interactions", "all", "items"),
    "leaks": ("keep", "drop"),
    "on_error": ("stop", "skip"),
}

_LINKS = ("label-year", "label", "value", "prefix")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a dataset is built; what it is built from are ``DatasetSources``.

    Attributes:
        split: "random" (per user; labeled rows without regard to users), "temporal" (two moments
            for all), "leave-one-out" (per user, the latest), "sessions" (users as wholes, by when
            they end), "users" (whole users for test, most of whose interactions are known there),
            or "given". Where None: given parts if there are any; impressions with times "temporal";
            else "random".
        ratios: Shares of train, valid and test, but for "leave-one-out"; of "users" the last share
            is of users. 0.8, 0.1, 0.1 where None, of labeled rows 0.6, 0.2, 0.2.
        triple_ratios: Shares of the triples for train, valid and test; all train where None.
        seed: Of every draw.
        min_rating: Ratings below it are left out (where ``interactions`` is a file).
        separator: Between the cells of the interactions; found where None.
        time_format: How the times of the interactions are written, where that is not found; see
            ``read_interactions``.
        k_core: Users and items with fewer interactions are left out, again and again until none is
            left; 0 keeps all. Two numbers are one for users and one for items.
        min_entity: Entities with fewer triples are left out with them, again and again; items stay;
            0 keeps all.
        min_relation: Relations with fewer triples are left out, likewise.
        without_relation: Relations that are left out, by key or label.
        leaks: "keep" triples that state interactions between users and items, with a warning, or
            "drop" them.
        catalog: "interactions" (every item with an interaction in any part, labeled or shown),
            "all" (also those only in links or the item table), or "items" (those in the item
            table, and no others: interactions with others are left out).
        weights: Weight by event type, where ``event`` names a column; 0 leaves a type out. All 1
            where None.
        half_life: Days after which an interaction counts half.
        cap: Most interactions of a user, the latest; all where None.
        min_events: Users with fewer rows in the log are left out; 0 keeps all.
        negatives: Items per interaction that are drawn for each user among the unused ones and
            become rows with label 0, before the split, which is then that of labeled rows; see
            ``with_negatives``. 0 draws none.
        session_gap: Minutes without an event after which a session ends; the sessions are then the
            users, called ``user/1``, ``user/2``.
        on_error: For files, "stop" at a malformed line or "skip" it and count it.
        reading: Further settings of ``read_triples`` by name, for instance
            ``{"same_as": "merge"}``.
        item_attributes: True, or settings of ``triples_from_table`` by name: the columns of
            ``items`` become triples as well.
        link_by: How items are linked to entities of the graph, instead of ``links``. "label-year"
            or "label": by the titles of ``items``, see ``kgrec.data.linking.match.match_items``;
            only what is sure is linked. "value" or "value:PROPERTY": by a literal that equals the
            id. "prefix" or "prefix:PREFIX": by an IRI that ends with the id.
        link_columns: Columns "item" and "entity" of ``links``; found where they are not given.
        review: File to write, with ``link_by``: what is sure, doubtful and unmatched; edited, it
            can be given as ``links``.
        hops: Only triples within so many steps of an item are kept; all where None. Of three
            numbers the second is the most triples an entity is followed by for each relation and
            direction, and the third the most an entity may have to be followed at all; 0 is no
            limit.
        item_year: Column of years in ``items``, for ``link_by``; found where None.
        memory: How much the reading of ``interactions`` may take ("1.5G", or bytes): its rows are
            on disk meanwhile. Found where None. The dataset is the same.
        scratch: What the folder of these rows is made beside; the system's folder of temporary
            files where None.

    Raises:
        ConfigError: If an option is unknown or out of range.
    """

    split: str | None = None
    ratios: Sequence[float] | None = None
    triple_ratios: Sequence[float] | None = None
    seed: int = 0
    min_rating: float | int | None = None
    separator: str | None = None
    time_format: str | None = None
    k_core: int | Sequence[int] = 0
    min_entity: int = 0
    min_relation: int = 0
    without_relation: Sequence[str] = ()
    leaks: str = "keep"
    catalog: str = "interactions"
    weights: Mapping[str, float | int] | None = None
    half_life: float | int | None = None
    cap: int | None = None
    min_events: int = 0
    session_gap: float | int | None = None
    negatives: int = 0
    on_error: str = "stop"
    reading: Mapping[str, object] | None = None
    item_attributes: bool | Mapping[str, object] | None = None
    link_by: str | None = None
    link_columns: Mapping[str, str | None] | None = None
    review: FilePath | None = None
    item_year: str | None = None
    hops: int | Sequence[int] | None = None
    memory: str | float | int | None = None
    scratch: FilePath | None = None

    def __post_init__(self) -> None:
        """Check each option that does not depend on the sources."""
        for name, known in _KNOWN.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"{name}: {value!r} is unknown. Known: {', '.join(known)}.")

        least = {"k_core": min(self.cores), "hops": min(self.reach or (0,))}
        least |= {"min_entity": self.min_entity, "min_relation": self.min_relation}
        least |= {"min_events": self.min_events, "negatives": self.negatives}
        for name, number in least.items():
            if number < 0:
                raise ConfigError(f"{name}: {number} is negative. 0 keeps everything.")

        if self.memory is not None:
            memory_size(self.memory)

        self._check_weights()
        for name in ("ratios", "triple_ratios"):
            shares = getattr(self, name)
            if shares is not None:
                check_ratios(tuple(shares), name)

        self._check_links()
        reader_settings(self.reading or {})
        table_settings(self.attribute_settings)

    def _check_links(self) -> None:
        if self.link_by is not None and self.link_by.partition(":")[0] not in _LINKS:
            raise ConfigError(f"link_by: {self.link_by!r} is unknown. Known: {', '.join(_LINKS)}.")

        if not self.by_label and (self.review is not None or self.item_year is not None):
            raise ConfigError(
                "review and item_year belong to link_by. Say link_by='label-year' as well, or "
                "leave them out."
            )

        for name in self.link_columns or {}:
            if name not in ("item", "entity"):
                raise ConfigError(f"link_columns: {name!r} is unknown. Known: item, entity.")

    def _check_weights(self) -> None:
        for name in ("half_life", "cap", "session_gap"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name}: {value} is not above 0.")

        for kind, weight in (self.weights or {}).items():
            if not 0 <= weight < float("inf"):
                raise ConfigError(
                    f"weights: {kind}={weight:g} is negative or not finite. Weights are 0 or more."
                )

    @property
    def weighs(self) -> bool:
        """Whether interactions get weights beyond those of columns."""
        return self.weights is not None or self.half_life is not None

    @property
    def divides_users(self) -> bool:
        """Whether users become sessions, or need a number of events."""
        return self.session_gap is not None or self.min_events > 0

    @property
    def reach(self) -> tuple[int, int, int] | None:
        """Steps from an item, and the limits per relation and per entity; None keeps all."""
        if self.hops is None:
            return None

        given = (self.hops,) if isinstance(self.hops, int) else tuple(self.hops)
        if not 1 <= len(given) <= 3 or given[0] < 1:
            raise ConfigError(
                f"hops: {self.hops!r}. Give a number from 1 on, with a limit per relation and one "
                "per entity if wanted, such as 2,50,10000."
            )

        steps, per_relation, hub = (*given, 0, 0)[:3]
        return steps, per_relation, hub

    @property
    def by_label(self) -> bool:
        """Whether items are linked by their titles."""
        return self.link_by is not None and self.link_by.startswith("label")

    @property
    def cores(self) -> tuple[int, int]:
        """The cores of users and of items."""
        if isinstance(self.k_core, int):
            return self.k_core, self.k_core

        cores = tuple(self.k_core)
        if len(cores) != 2:
            raise ConfigError(
                f"k_core: {len(cores)} numbers. Give one, or one for users and one for items."
            )

        return cores

    @property
    def with_attributes(self) -> bool:
        """Whether the columns of the item table become triples."""
        return self.item_attributes is not None and self.item_attributes is not False

    @property
    def attribute_settings(self) -> Mapping[str, object]:
        """Settings of ``triples_from_table`` as given; empty if there are none."""
        if isinstance(self.item_attributes, Mapping):
            return self.item_attributes
        return {}

    def recorded(self) -> dict[str, Any]:
        """Return the options that changed the graph or the items, JSON-ready, by name."""
        found: dict[str, Any] = {}
        if self.triple_ratios is not None:
            found["triple_ratios"] = list(check_ratios(tuple(self.triple_ratios), "triple_ratios"))

        given = {
            "reading": reader_settings(self.reading or {}),
            "link_by": self.link_by,
            "item_attributes": None,
            "hops": list(self.reach or ()),
            "min_entity": self.min_entity,
            "min_relation": self.min_relation,
            "without_relation": list(self.without_relation),
            "leaks": self.leaks if self.leaks != "keep" else None,
            "weights": dict(self.weights) if self.weights else None,
            "half_life": self.half_life,
            "cap": self.cap,
            "min_events": self.min_events,
            "session_gap": self.session_gap,
            "negatives": self.negatives,
        }
        if self.with_attributes:
            given["item_attributes"] = table_settings(self.attribute_settings) or {"columns": None}

        return found | {name: value for name, value in given.items() if value}
