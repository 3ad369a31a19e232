"""Find the paths between a user and an item, measure like and facts apart, and rank them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kgrec._version import __version__
from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.core.placebos import Pattern, Placebos, degree_class
from kgrec.explanation.core.records import NOTHING, Hop, Path
from kgrec.explanation.effects.closed_form import MODES, Mode
from kgrec.explanation.effects.deletions import Deletions
from kgrec.explanation.effects.measured import Effects
from kgrec.explanation.fingerprint import graph_sum, parameters_sum
from kgrec.explanation.search.all_paths import Found, Limits, simple_paths
from kgrec.explanation.search.best_paths import best_paths, count_walks
from kgrec.explanation.search.candidates import Candidates, choose, grouped, rounded
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.filters import Filters
from kgrec.languages import DEFAULT, language
from kgrec.models.base import Recommender
from kgrec.models.capabilities import Plausible

RANKINGS = (
    *("like", "facts", "drop", "drop_mask", "attribution", "joint", "weight", "plausibility"),
    "length",
)
_BEST_FIRST = 300
_MOST_MEASURED = 1000
_ORDER = ("delete",)  # what candidates are ordered by; the rest is measured of those shown


@dataclass(slots=True)
class FoundPaths:
    """The candidates of one search, by length.

    Attributes:
        listed: The paths.
        groups: The candidates that they make.
        first_order: First-order effect of each candidate; [] without effects.
        walks: What each candidate's walks carry and the product of their weights; None per length
            where there is no such number, [] without effects.
        notes: What a reader must know.
        drops: What the score loses without edges; None without effects.
        likes: What it loses without each liked item, where the graph has no effect on it but the
            model knows a person by the items.
    """

    listed: Found
    groups: list[Candidates]
    first_order: list[np.ndarray]
    walks: list[tuple[np.ndarray, np.ndarray] | None]
    notes: list[str]
    drops: Deletions | None
    likes: dict[int, float]

    def edges(self, where: tuple[int, int]) -> np.ndarray:
        """Return the distinct edges of a candidate (length - 1, number)."""
        length, number = where
        return self.groups[length].edges(number)

    def users(self, where: tuple[int, int]) -> int:
        """Return how many users a candidate (length - 1, number) counts."""
        length, number = where
        return int(self.groups[length].users[number])


@dataclass(frozen=True, slots=True)
class MeasuredPath:
    """A candidate and the edges whose drops it is made of.

    Attributes:
        where: (length - 1, number) of the candidate.
        whole: Its distinct edges.
        like: The user's own interaction, the first hop; empty where it starts at a fact.
        facts: All other edges.
        hops: The edges of each hop; several where other users are counted.
    """

    where: tuple[int, int]
    whole: np.ndarray
    like: np.ndarray
    facts: np.ndarray
    hops: tuple[np.ndarray, ...]


class PathSearch:
    """Find, measure and rank the paths that explain the scores of one model.

    Simple paths up to ``max_length`` hops are found, screened by the first-order effects of their
    edges, thinned out for variety, and the best of them measured: the score without their edges, like
    and facts apart, in closed form where the model is linear in its graph, else by running it again.

    Args:
        explained: The model and its data.
        max_length: Longest path, in 1..6.
        screen_top: How many paths are measured at least.
        per_liked: Paths per liked item (the first stop).
        per_middle: Paths per stop before the item, on paths of three hops and more.
        budget: Adjacency entries looked at per path length before the widest branches are given up.
        users: "count", "hide" or "show" other users.
        modes: What is measured: "delete" (always), "mask" where the model can.

    Attributes:
        explained: The model and its data.
        filters: The filters of a search that names none.
        modes: What is measured.
        settings: screen_top, per_liked, per_middle and budget.
        placebos: What unrelated facts do, by pattern; None where it was not estimated.

    Raises:
        ConfigError: If a setting is out of range.
    """

    def __init__(
        self,
        explained: ExplainedModel,
        *,
        max_length: int = 3,
        screen_top: int = 30,
        per_liked: int = 2,
        per_middle: int = 2,
        budget: int = 2_000_000,
        users: str = "count",
        modes: Iterable[Mode] = MODES,
    ) -> None:
        self.explained = explained
        self.filters = Filters(max_length=max_length, users=users)
        if min(screen_top, per_liked, per_middle, budget) < 1:
            raise ConfigError("screen_top, per_liked, per_middle and budget must be at least 1.")

        self.modes = tuple(modes)
        if "delete" not in self.modes or set(self.modes) - set(MODES):
            raise ConfigError(f"modes={self.modes}: name 'delete', and 'mask' if wanted.")

        if not explained.keeps_weights:
            self.modes = ("delete",)

        self.settings = {
            "screen_top": screen_top,
            "per_liked": per_liked,
            "per_middle": per_middle,
            "budget": budget,
        }
        self.placebos: Placebos | None = None
        self._edge_plausibility: np.ndarray | None = None
        self._sums: dict[str, str] = {}
        num_nodes = explained.graph.ckg.num_nodes
        self._reachable = np.ones(num_nodes, dtype=bool)
        if explained.blind_to_users:
            self._reachable[explained.graph.ckg.num_entities :] = False

    def over(self, model: Recommender | None = None) -> "PathSearch":
        """Return a new search of the same settings, over another model where given."""
        search = self.on(self.explained.over(model))
        if model is None:
            search.placebos = self.placebos

        return search

    def on(self, explained: ExplainedModel) -> "PathSearch":
        """Return a new search of the same settings, without placebos, over what is explained."""
        return PathSearch(
            explained,
            max_length=self.filters.max_length,
            users=self.filters.users,
            modes=self.modes,
            **self.settings,
        )

    def manifest(self, **more: Any) -> dict[str, Any]:
        """Return model, dataset, their checksums, settings (with ``more``) and versions."""
        model = self.explained.model
        data = self.explained.data

        if not self._sums:
            self._sums = {"graph": graph_sum(data)}
            if isinstance(model, torch.nn.Module):
                self._sums["parameters"] = parameters_sum(model.state_dict())

        limits = {"max_length": self.filters.max_length, "users": self.filters.users}

        return {
            "model": self.explained.name,
            "dataset": data.name,
            "checksum": data.checksum,
            **self._sums,
            "settings": self.settings | limits | more,
            "versions": {"kgrec": __version__, "torch": torch.__version__, "numpy": np.__version__},
        }

    def find(
        self, user: int, item: int, effects: Effects | None, filters: Filters | None = None
    ) -> FoundPaths:
        """Return the candidates between a user and an item (rows), with their first-order effects.

        Args:
            user: User row.
            item: Item row.
            effects: Effects on the score; None where the graph has none.
            filters: Limits on the paths; None takes the search's own.
        """
        filters = filters or self.filters
        graph = self.explained.graph
        start = graph.ckg.user_node(user)
        limits = filters.limits(graph, self.explained.naming, start)
        limits.passable[:] &= self._reachable
        found = simple_paths(
            graph, start, item, filters.max_length, self.settings["budget"], limits
        )
        notes: list[str] = []
        if any(found.cut[2:]):
            found, notes = self._best_first(found, start, item, limits, effects)

        lengths = list(zip(found.nodes, found.edges, strict=True))
        groups = [
            grouped(graph, nodes, edges, filters.users == "count") for nodes, edges in lengths
        ]

        if effects is None:
            likes = self.explained.like_drops(user, item)
            return FoundPaths(found, groups, [], [], notes, None, likes)

        first_order = [group.total(effects.removal(group.edge)) for group in groups]
        walks: list[tuple[np.ndarray, np.ndarray] | None] = []

        for group, (nodes, edges) in zip(groups, lengths, strict=True):
            carried = effects.walks(nodes, edges)
            if carried is None:
                walks.append(None)
            else:
                joint, weight = carried
                walks.append((group.total_of_paths(joint), group.total_of_paths(weight)))

        drops = Deletions(effects, self.modes)
        return FoundPaths(found, groups, first_order, walks, notes, drops, {})

    def measure(
        self,
        found: FoundPaths,
        effects: Effects | None,
        rank_by: str,
        k: int,
        every: bool = False,
    ) -> list[MeasuredPath]:
        """Return the chosen candidates, the best first; the first k of them are measured.

        Candidates that stand for counted users are measured only where there is room for them.

        Args:
            found: What the search found.
            effects: Effects on the score; None where the graph has none.
            rank_by: One of ``RANKINGS``.
            k: How many are wanted.
            every: Whether the drop of each chosen candidate is wanted, not of the best alone.
        """
        levels = self._levels(found, rank_by, effects)
        variety = {name: self.settings[name] for name in ("per_liked", "per_middle")}
        most = min(max(self.settings["screen_top"], k), _MOST_MEASURED)
        chosen = choose(found.groups, levels, counted=False, most=most, **variety)
        room = 2 * max(0, min(k, most) - len(chosen))
        if room:
            chosen += choose(found.groups, levels, counted=True, most=min(room, most), **variety)

        paths = [self._path_edges(found, where) for where in chosen]
        if found.drops is None or not paths:
            return self._in_order(found, paths, rank_by)

        self._measure_for_order(found, found.drops, paths, rank_by, every)
        paths = self._in_order(found, paths, rank_by)

        if rank_by == "like" and not found.drops.exact:
            # Within a like the facts decide: measured for the first likes alone, runs are dear.
            first = _of_first_likes(paths, k)
            found.drops.measure((path.facts for path in first), _ORDER)
            paths = self._in_order(found, first, rank_by) + paths[len(first) :]

        self.complete(found, paths[:k])
        return paths

    def complete(self, found: FoundPaths, paths: Sequence[MeasuredPath]) -> None:
        """Measure what is missing of the four numbers of some paths, and of each hop."""
        if found.drops is None:
            return

        parts = [part for path in paths for part in (path.whole, path.like, path.facts)]
        hops = [hop for path in paths for hop in path.hops]
        if found.drops.exact:
            found.drops.measure(parts)
            found.drops.measure(hops, ("delete",))
        else:
            found.drops.measure(parts + hops, ("delete",))
            found.drops.measure(parts)

    def _measure_for_order(
        self,
        found: FoundPaths,
        drops: Deletions,
        paths: Sequence[MeasuredPath],
        rank_by: str,
        every: bool,
    ) -> None:
        """Measure what candidates are ranked by; all there is to know where that is cheap."""
        if drops.exact:
            self.complete(found, paths)
        elif rank_by == "facts":
            drops.measure((path.facts for path in paths), _ORDER)
        elif rank_by == "like":
            drops.measure((path.like if len(path.like) else path.whole for path in paths), _ORDER)

        if rank_by == "drop_mask":
            drops.measure(path.whole for path in paths)
        elif every or rank_by not in ("facts", "like"):
            drops.measure((path.whole for path in paths), _ORDER)

    def _path_edges(self, found: FoundPaths, where: tuple[int, int]) -> MeasuredPath:
        length, number = where
        graph = self.explained.graph
        group = found.groups[length]
        whole = group.edges(number)
        every = found.listed.edges[length][group.of_path == number]
        hops = tuple(np.unique(column) for column in every.T)
        first = group.example[number][:1]
        nothing = first[:0]
        if graph.ckg.relation[graph.first_facts[first]].any():
            return MeasuredPath(where, whole, nothing, whole, hops)

        return MeasuredPath(where, whole, first, whole[whole != first[0]], hops)

    def path(
        self,
        found: FoundPaths,
        measured: MeasuredPath,
        effects: Effects | None,
        rank_after: int | None = None,
    ) -> Path:
        """Return a measured candidate as the record that people read."""
        length, number = measured.where
        group = found.groups[length]
        count = found.users(measured.where)
        example = group.example[number]
        hops = self.explained.naming.hops(
            group.nodes[number].tolist(), example.tolist(), count, measured.hops
        )
        if effects is None or found.drops is None:
            return self._unmeasured(found, measured, hops)

        joint = None
        weight = None
        walks = found.walks[length]
        if walks is not None:
            joint = float(walks[0][number])
            weight = float(walks[1][number])

        return Path(
            hops,
            effects.basis,
            found.drops.drop(measured.whole),
            drop_mask=found.drops.drop(measured.whole, "mask"),
            attribution=float(found.first_order[length][number]),
            users=count or None,
            removed=len(self.facts(found, measured)),
            joint=joint,
            weight=weight,
            rank_after=rank_after,
            placebo=self._placebo(found, measured),
            hop_drops=tuple(found.drops.drop(hop) or 0.0 for hop in measured.hops),
            **_like_and_facts(found.drops, measured),
        )

    def _unmeasured(self, found: FoundPaths, measured: MeasuredPath, hops: tuple[Hop, ...]) -> Path:
        """Return a path whose facts have no effect, or none that was measured."""
        length, number = measured.where
        plausibility = None

        if isinstance(self.explained.model_effects, Plausible):
            example = found.groups[length].example[number]
            edges = self._plausible_edges(self.explained.model_effects)[example]
            plausibility = float(edges.sum())

        like = None
        if len(measured.like):
            like = found.likes.get(int(found.groups[length].nodes[number, 1]))

        users = found.users(measured.where) or None
        if self.explained.graph_effect == "not measured":
            return Path(
                hops, "not measured", None, users=users, plausibility=plausibility, like_drop=like
            )

        return Path(
            hops,
            "post-hoc",
            like or 0.0,
            users=users,
            plausibility=plausibility,
            like_drop=like,
            facts_drop=0.0,
        )

    def pattern(self, nodes: np.ndarray, edges: np.ndarray) -> Pattern | None:
        """Return relation and direction of each hop after the like, of parallel facts the first;
        None for a path that starts at a fact, is a like alone, or passes other users.
        """
        graph = self.explained.graph
        ckg = graph.ckg
        facts = graph.first_facts[edges]
        relations = ckg.relation[facts]
        if relations[0] or len(edges) < 2 or not relations[1:].all():
            return None

        forward = ckg.head[facts] == nodes[:-1]
        key = self.explained.naming.relation_key
        hops = zip(relations[1:].tolist(), forward[1:].tolist(), strict=True)
        return tuple((key(relation), onward) for relation, onward in hops)

    def _placebo(self, found: FoundPaths, measured: MeasuredPath) -> float | None:
        """Return what the facts of a path must do to be more than facts of their sort."""
        if self.placebos is None or found.drops is None:
            return None

        length, number = measured.where
        group = found.groups[length]
        nodes = group.nodes[number]
        pattern = self.pattern(nodes, group.example[number])
        if pattern is None:
            return None

        degrees = self.explained.graph.degree(nodes[2:-1] if len(nodes) > 3 else nodes[1:2])
        bar = self.placebos.threshold(pattern, degree_class(degrees.tolist()), found.drops.score)
        if bar is None or _beyond_the_layers(found.drops, measured, bar):
            return None

        return bar

    def facts(self, found: FoundPaths, measured: MeasuredPath) -> np.ndarray:
        """Return the facts of a measured candidate, as positions in the columns of the graph."""
        return self.explained.graph.facts_of(found.edges(measured.where))

    def hidden(
        self, user: int, item: int, filters: Filters, effects: Effects | None, found: FoundPaths
    ) -> dict[str, Any]:
        """Return how many paths the filters hide and their share of all first-order effects.

        Only lengths that could be listed count.
        """
        graph = self.explained.graph
        limits = Limits(self._reachable, np.ones(graph.num_edges, dtype=bool))
        every = simple_paths(
            graph,
            graph.ckg.user_node(user),
            item,
            filters.max_length,
            self.settings["budget"],
            limits,
        )
        cuts = zip(every.cut, found.listed.cut, strict=True)
        listed = [length for length, (a, b) in enumerate(cuts) if not a and not b]
        paths = sum(len(every.nodes[n]) - len(found.listed.nodes[n]) for n in listed)
        share = None

        if effects is not None:
            total = _absolute_effects(effects, every, listed)
            kept = _absolute_effects(effects, found.listed, listed)
            share = 0.0
            if total > 0:
                share = (total - kept) / total

        return {"paths": paths, "share": share}

    def _best_first(
        self, found: Found, user: int, item: int, limits: Limits, effects: Effects | None
    ) -> tuple[Found, list[str]]:
        """Replace the lengths that could not be listed by their best paths.

        Paths through other users need listing, and are omitted.
        """
        graph = self.explained.graph
        if effects is not None:
            value = effects.removal(np.arange(graph.num_edges))
        else:
            degree = graph.degree(np.arange(graph.ckg.num_nodes))
            rarity = np.log(np.maximum(degree, 1))
            value = -(rarity[graph.low] + rarity[graph.high]) / 2

        without_users = Limits(limits.passable.copy(), limits.usable)
        without_users.passable[graph.ckg.num_entities :] = False
        walks = count_walks(graph, user, item, len(found.nodes))
        cuts = tuple(
            cut and (length < 2 or walks[length] > 0) for length, cut in enumerate(found.cut)
        )
        nodes = list(found.nodes)
        edges = list(found.edges)
        notes = []
        english = language(DEFAULT)

        for length, cut in enumerate(cuts):
            if not cut or length < 2:
                continue

            best = best_paths(
                graph,
                value,
                user,
                item,
                length + 1,
                _BEST_FIRST,
                without_users,
                most=_BEST_FIRST * 100,
            )
            order = np.lexsort([*best.edges.T[::-1], *best.nodes.T[::-1]])
            nodes[length] = best.nodes[order]
            edges[length] = best.edges[order]
            least = ""
            if best.complete and len(best.values):
                least = english.say("notes.least", value=f"{best.values[-1]:.3g}")

            about = {"length": length + 1, "walks": f"{walks[length]:.3g}"}
            about |= {"count": len(best.values), "least": least}
            notes.append(english.say("notes.best_first", **about))

        return Found(tuple(nodes), tuple(edges), cuts), notes

    def _levels(self, found: FoundPaths, rank_by: str, effects: Effects | None) -> np.ndarray:
        """Return the sort keys of the candidates, smallest first: (candidates, keys)."""
        lengths = [np.full(len(group.nodes), n) for n, group in enumerate(found.groups, 1)]
        length = np.concatenate(lengths).astype(float)
        by_facts = effects is None and isinstance(self.explained.model_effects, Plausible)
        if rank_by == "plausibility" or by_facts:
            return np.stack([length, -rounded(self._plausibility(found))], 1)

        if effects is None:
            likes = [found.likes.get(n, 0.0) for group in found.groups for n in group.nodes[:, 1]]
            return np.stack([-rounded(np.array(likes)), length, -rounded(self._rarity(found))], 1)

        if rank_by in ("joint", "weight"):
            numbers = [walks[rank_by == "weight"] for walks in found.walks if walks is not None]
            if len(numbers) < len(found.walks):
                raise CapabilityError(
                    f"{self.explained.name} has no {rank_by} of a path: its gates differ from "
                    "walk to walk. Rank by drop."
                )

            return np.stack([-rounded(np.concatenate(numbers)), length], 1)

        first_order = -rounded(np.concatenate(found.first_order))
        if rank_by == "length":
            return np.stack([length, first_order], 1)

        return np.stack([first_order, length], 1)

    def _rarity(self, found: FoundPaths) -> np.ndarray:
        """Return how rarely shared the stops of each candidate are."""
        parts = []
        for group in found.groups:
            stops = group.nodes[:, 1:-1]
            degree = self.explained.graph.degree(np.maximum(stops, 0))
            parts.append(-np.where(stops < 0, 0.0, np.log(np.maximum(degree, 1))).sum(1))

        return np.concatenate(parts)

    def _plausibility(self, found: FoundPaths) -> np.ndarray:
        """Return the log-plausibility of each candidate's facts, of each edge the best one's."""
        if not isinstance(self.explained.model_effects, Plausible):
            raise CapabilityError(
                f"{self.explained.name} does not score facts. Rank by drop, or train cke or cfkg."
            )

        per_edge = self._plausible_edges(self.explained.model_effects)
        empty = np.empty(0)

        return np.concatenate(
            [
                per_edge[group.example].sum(1) if len(group.example) else empty
                for group in found.groups
            ]
        )

    def _plausible_edges(self, model: Plausible) -> np.ndarray:
        if self._edge_plausibility is None:
            graph = self.explained.graph
            ckg = graph.ckg
            facts = np.flatnonzero(ckg.fact >= 0)
            columns = (
                torch.from_numpy(part[facts]) for part in (ckg.head, ckg.relation - 1, ckg.tail)
            )
            per_fact = np.full(len(ckg.head), -np.inf)
            with torch.no_grad():
                per_fact[facts] = model.plausibility(*columns).double().cpu().numpy()

            per_fact[ckg.fact < 0] = 0.0
            self._edge_plausibility = graph.best_per_edge(per_fact)
        return self._edge_plausibility

    def _in_order(
        self, found: FoundPaths, paths: Sequence[MeasuredPath], rank_by: str
    ) -> list[MeasuredPath]:
        """Return candidates by their ranking; those without a measure keep their order.

        Candidates that count users come last: many people's edges together always weigh more than
        one fact.
        """
        if not paths:
            return []

        by_length = rank_by == "length" or (found.drops is None and not found.likes)
        values = np.array([self._values(found, path, rank_by) for path in paths])
        keys = -np.stack([rounded(column) for column in values.T], 1)

        def key(n: int) -> tuple[Any, ...]:
            where = paths[n].where
            length = where[0] if by_length else 0
            return found.users(where) > 0, length, *keys[n].tolist(), n

        return [paths[n] for n in sorted(range(len(paths)), key=key)]

    def _values(self, found: FoundPaths, path: MeasuredPath, rank_by: str) -> tuple[float, float]:
        """Return the numbers that a candidate is ranked by, the larger the better."""
        length, number = path.where
        if found.drops is None:
            like = int(found.groups[length].nodes[number, 1])
            return found.likes.get(like, 0.0) if len(path.like) else 0.0, 0.0

        drop = found.drops.drop(path.whole) or 0.0
        if rank_by == "length":
            return 0.0, drop
        if rank_by == "drop":
            return drop, 0.0

        if rank_by == "drop_mask":
            if "mask" not in found.drops.modes:
                raise ConfigError('rank_by="drop_mask" needs modes=("delete", "mask").')
            return found.drops.drop(path.whole, "mask") or 0.0, drop

        if rank_by in ("like", "facts"):
            like_drop = found.drops.drop(path.like if len(path.like) else path.whole) or 0.0
            facts_drop = found.drops.drop(path.facts) or 0.0
            return (like_drop, facts_drop) if rank_by == "like" else (facts_drop, like_drop)

        if rank_by == "attribution":
            return float(found.first_order[length][number]), drop

        walks = found.walks[length]
        if walks is None:
            return 0.0, drop

        return float(walks[rank_by == "weight"][number]), drop


def _like_and_facts(drops: Deletions, path: MeasuredPath) -> dict[str, float | None]:
    """Return the fields of a path for the like and for the facts; None where it has no like."""
    found: dict[str, float | None] = {}
    if len(path.like):
        found["like_drop"] = drops.drop(path.like)
        found["like_drop_mask"] = drops.drop(path.like, "mask")

    if len(path.facts):
        found["facts_drop"] = drops.drop(path.facts)
        found["facts_drop_mask"] = drops.drop(path.facts, "mask")

    return found


def _beyond_the_layers(drops: Deletions, path: MeasuredPath, bar: float) -> bool:
    """Return whether facts that pass a bar hold one that sends the model no message: without it,
    the other weights kept, nothing changes, and degrees alone move the score.
    """
    if "mask" not in drops.modes or (drops.drop(path.facts) or 0.0) <= bar:
        return False

    hops = path.hops[1:]
    drops.measure(hops, ("mask",))
    alone = [abs(drops.drop(hop, "mask") or 0.0) for hop in hops]
    return min(alone) <= NOTHING * max(alone)


def _of_first_likes(paths: Sequence[MeasuredPath], k: int) -> Sequence[MeasuredPath]:
    """Return the paths from the first on, at least k, that share their likes with no later one."""
    stop = min(k, len(paths))
    likes = {path.like.tobytes() for path in paths[:stop]}
    while stop < len(paths) and paths[stop].like.tobytes() in likes:
        stop += 1
    return paths[:stop]


def _absolute_effects(effects: Effects, found: Found, lengths: list[int]) -> float:
    """Return the sum of the absolute first-order effects of paths of some lengths."""
    total = 0.0
    for n in lengths:
        if len(found.edges[n]):
            total += float(np.abs(effects.removal(found.edges[n]).sum(1)).sum())
    return total
