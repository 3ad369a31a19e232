"""What paths may be shown: relations, kinds of stops, length, hubs, other users, least drop."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgrec.errors import ConfigError, nearest
from kgrec.explanation.core.naming import Naming
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.search.all_paths import Limits, check_length

USERS = ("count", "hide", "show")
TYPES = ("item", "entity", "users")


@dataclass(frozen=True, slots=True)
class Filters:
    """Limits on the paths of one explanation.

    Attributes:
        max_length: Longest path, in 1..6.
        users: "count", "hide" or "show" other users.
        allow: Relations (keys or labels) that a path may follow after the user's own likes; None is
            every one.
        deny: Relations that no path may follow; where a model merges parallel relations, a hop that
            states an allowed one as well stays.
        types: Kinds of stops ("item", "entity", "users") after the first; None is every one.
        max_degree: Most edges of a stop between the ends; None is any number.
        min_drop: Least drop of a path; None is any.
    """

    max_length: int = 3
    users: str = "count"
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    types: tuple[str, ...] | None = None
    max_degree: int | None = None
    min_drop: float | int | None = None

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        check_length(self.max_length)
        if self.users not in USERS:
            raise ConfigError(
                f"users={self.users!r} is not known. Choose 'count', 'hide' or 'show'."
            )

        wrong = [kind for kind in self.types or () if kind not in TYPES]
        if wrong:
            raise ConfigError(
                f"a stop cannot be of kind {wrong[0]!r}. Choose from {', '.join(TYPES)}."
            )
        if self.max_degree is not None and self.max_degree < 1:
            raise ConfigError(f"max_degree is {self.max_degree}. A stop has at least 1 edge.")
        if self.min_drop is not None and not math.isfinite(self.min_drop):
            raise ConfigError(f"min_drop is {self.min_drop}. Give a number.")

    @classmethod
    def of(
        cls,
        relations: Mapping[str, Iterable[str]] | None = None,
        types: Iterable[str] | None = None,
        **settings: Any,
    ) -> "Filters":
        """Return filters, with ``relations={"allow": [...], "deny": [...]}`` as users write it."""
        given = dict(relations or {})
        allow = given.pop("allow", None)
        deny = given.pop("deny", ())
        if given:
            raise ConfigError(f'relations has {next(iter(given))!r}. It takes "allow" and "deny".')

        for names in (allow, deny, types):
            if isinstance(names, str):
                raise ConfigError(f"{names!r} is one text. Pass a list of names.")

        return cls(
            allow=None if allow is None else tuple(allow),
            deny=tuple(deny),
            types=None if types is None else tuple(types),
            **settings,
        )

    def active(self) -> bool:
        """Whether anything but the length is limited."""
        limited = (self.allow, self.types, self.max_degree, self.min_drop)
        return (
            self.users == "hide" or bool(self.deny) or any(value is not None for value in limited)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what is set: the JSON form."""
        out: dict[str, Any] = {"users": self.users, "max_length": self.max_length}
        if self.allow is not None or self.deny:
            out["relations"] = {
                "allow": None if self.allow is None else list(self.allow),
                "deny": list(self.deny),
            }

        if self.types is not None:
            out["types"] = list(self.types)

        return out | {
            name: value
            for name in ("max_degree", "min_drop")
            if (value := getattr(self, name)) is not None
        }

    def limits(self, graph: PathGraph, naming: Naming, user: int) -> Limits:
        """Return the filters as nodes and edges of a graph, for paths that start at a user's node.

        Raises:
            ConfigError: If a relation is not known.
        """
        ckg = graph.ckg
        limits = Limits.none(graph)

        if self.allow is not None:
            own = (graph.low == user) | (graph.high == user)
            limits.usable[:] = (
                _any_of(graph, self._relations(self.allow, naming, ckg.num_relations)) | own
            )

        if self.deny:
            kept = np.ones(ckg.num_relations, dtype=bool)
            kept[np.flatnonzero(self._relations(self.deny, naming, ckg.num_relations))] = False
            limits.usable[:] &= _any_of(graph, kept)

        if self.users == "hide":
            limits.passable[ckg.num_entities :] = False

        if self.max_degree is not None:
            limits.passable[:] &= graph.degree(np.arange(ckg.num_nodes)) <= self.max_degree

        self._keep_types(limits, graph, user)
        return limits

    def _keep_types(self, limits: Limits, graph: PathGraph, user: int) -> None:
        if self.types is None:
            return

        ckg = graph.ckg
        kind = np.full(ckg.num_nodes, 1)
        kind[: ckg.num_items], kind[ckg.num_entities :] = 0, 2
        wanted = np.isin(kind, [TYPES.index(name) for name in self.types])
        wanted[graph.neighbor[graph.ptr[user] : graph.ptr[user + 1]]] = True
        limits.passable[:] &= wanted

    @staticmethod
    def _relations(names: tuple[str, ...], naming: Naming, number: int) -> np.ndarray:
        """Return which relations some names mean."""
        known: dict[str, list[int]] = {}
        for relation in range(number):
            for name in {naming.relation_key(relation), naming.relation_label(relation)}:
                known.setdefault(name, []).append(relation)

        meant = np.zeros(number, dtype=bool)
        for name in names:
            if name not in known:
                raise ConfigError(f"the graph has no relation {name!r}.{nearest(name, known)}")
            meant[known[name]] = True

        return meant


def _any_of(graph: PathGraph, relations: np.ndarray) -> np.ndarray:
    """Return the edges of which at least one fact has one of some relations."""
    return graph.per_edge(relations[graph.ckg.relation].astype(np.float64)) > 0
