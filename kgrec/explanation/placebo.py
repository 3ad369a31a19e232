"""Estimate what unrelated facts do to scores, the like kept (docs/explanations.md, "Placebos").

A placebo of a path keeps its like and names facts of the same relations, in the same directions and
of the same degree class, real ones at the like and at the item, that do not join the two. Whatever
the like does, and whatever any fact does that a vector is made of, the placebo does as well; what
remains is the connection that the path names.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import scipy  # `scipy.stats` is imported when it is first used

from kgrec.explanation.core.placebos import Cell, Pattern, Placebos, degree_class
from kgrec.explanation.effects.measured import Effects
from kgrec.explanation.search.filters import Filters
from kgrec.explanation.search.ranked import PathSearch
from kgrec.log import progress
from kgrec.random import numpy_generator

LEAST_DRAWS = 200
_PERCENTILE = _CONFIDENCE = 0.95
_ROUNDS = 8
_TRIES = 4


def estimate_placebos(search: PathSearch, pairs: int = 200, seed: int = 0) -> Placebos:
    """Return thresholds for the patterns that occur among explanations of a model.

    Patterns are those of the paths between sampled users and the item that each is recommended
    first. For each pattern and degree class at least 200 placebos are drawn over those pairs;
    combinations that allow fewer have no threshold.

    Args:
        search: The search, over the model.
        pairs: How many users are sampled.
        seed: Draws users and placebos.
    """
    explained = search.explained
    manifest = search.manifest()
    kept: dict[str, str] = {
        name: str(manifest[name]) for name in ("graph", "parameters") if name in manifest
    }
    if explained.effects is None:
        return Placebos({}, {}, kept, seed)

    generator = numpy_generator(seed, "placebos")
    sampled = _pairs(search, pairs, generator)
    patterns = _patterns(search, sampled)
    draw = _Draws(search, generator)
    found: dict[Cell, list[float]] = defaultdict(list)

    with progress("estimating placebos", _ROUNDS * len(sampled)) as bar:
        for number in range(_ROUNDS):
            open_ = {one for one in patterns if _is_open(found, one, number)}
            for at, (user, item) in enumerate(sampled):
                drawn = list(draw.placebos(user, item, open_, found))
                if drawn:
                    effects = explained.effects.at(user, item)
                    _add(found, drawn, effects)

                bar.update(number * len(sampled) + at + 1)

    enough = {cell: drops for cell, drops in found.items() if len(drops) >= LEAST_DRAWS}
    shares = {cell: _bar(drops) for cell, drops in enough.items()}
    return Placebos(shares, {cell: len(drops) for cell, drops in enough.items()}, kept, seed)


def _bar(drops: list[float]) -> float:
    """Return what the 95th percentile of all placebos stays below, with 95 % confidence: the order
    statistic of the binomial bound.
    """
    above = int(scipy.stats.binom.ppf(_CONFIDENCE, len(drops), _PERCENTILE))
    return float(np.sort(drops)[min(above, len(drops) - 1)])


def _is_open(found: dict[Cell, list[float]], pattern: Pattern, number: int) -> bool:
    """Return whether a pattern lacks draws in any of its classes; unknown classes count as one."""
    sizes = [len(drops) for (one, _), drops in found.items() if one == pattern]
    return number == 0 or not sizes or min(sizes) < LEAST_DRAWS


def _add(
    found: dict[Cell, list[float]], drawn: list[tuple[Cell, np.ndarray]], effects: Effects
) -> None:
    (scores,) = effects.without([edges for _, edges in drawn])
    scale = abs(scores[0]) or 1.0
    for (cell, _), drop in zip(drawn, (scores[0] - scores[1:]).tolist(), strict=True):
        found[cell].append(drop / scale)


def _pairs(search: PathSearch, count: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Return sampled users, each with the item that is ranked first."""
    explained = search.explained
    users = [
        user
        for user in range(explained.data.num_users)
        if explained.explains(user) and len(explained.liked(user))
    ]
    if len(users) > count:
        users = sorted(generator.choice(users, count, replace=False).tolist())

    pairs = []
    for user in users:
        best = explained.standing(user).order()[:1]
        if len(best):
            pairs.append((user, int(best[0])))

    return pairs


def _patterns(search: PathSearch, pairs: list[tuple[int, int]]) -> set[Pattern]:
    """Return the patterns of all paths between some pairs that start at a like."""
    filters = Filters(max_length=search.filters.max_length, users="hide")
    found = set()

    for user, item in pairs:
        paths = search.find(user, item, None, filters)
        for group in paths.groups[1:]:
            for nodes, edges in zip(group.nodes, group.example, strict=True):
                pattern = search.pattern(nodes, edges)
                if pattern is not None:
                    found.add(pattern)

    return found


class _Draws:
    """Draws placebos on a path graph.

    Args:
        search: The search.
        generator: Draws.
    """

    def __init__(self, search: PathSearch, generator: np.random.Generator) -> None:
        self._search = search
        self._generator = generator
        graph = search.explained.graph
        ckg = graph.ckg
        fact = graph.first_facts[graph.edge]
        source = np.repeat(np.arange(ckg.num_nodes), np.diff(graph.ptr))
        self._code = 2 * ckg.relation[fact] + (ckg.head[fact] == source)
        naming = search.explained.naming
        self._relation = {naming.relation_key(int(n)): int(n) for n in np.unique(ckg.relation) if n}
        self._graph = graph

    def placebos(
        self, user: int, item: int, patterns: set[Pattern], found: dict[Cell, list[float]]
    ) -> Iterator[tuple[Cell, np.ndarray]]:
        """Yield a placebo of each pattern, with the cell it belongs to, where there is one and the
        cell wants more.
        """
        likes = self._search.explained.liked(user)
        likes = likes[likes != item]
        if not len(likes):
            return

        for pattern in sorted(patterns):
            for _ in range(_TRIES):
                drawn = self._placebo(int(self._generator.choice(likes)), item, pattern)
                if drawn is None:
                    continue

                edges, stops = drawn
                cell = pattern, degree_class(self._graph.degree(np.array(stops)).tolist())
                if len(found[cell]) < 2 * LEAST_DRAWS:
                    yield cell, edges
                    break

    def _placebo(
        self, like: int, item: int, pattern: Pattern
    ) -> tuple[np.ndarray, list[int]] | None:
        """Return the edges and the stops of one placebo; None where the draw leads nowhere."""
        codes = [2 * self._relation[relation] + forward for relation, forward in pattern]
        if len(codes) == 1:
            step = self._step(like, codes[0], {item})
            return None if step is None else (np.array([step[0]]), [like])

        edges = []
        stops = [like]
        near_item = self._neighbors(item)

        for code in codes[:-1]:
            step = self._step(stops[-1], code, near_item | {item, *stops})
            if step is None:
                return None

            edges.append(step[0])
            stops.append(step[1])

        # the last hop is walked backward, from the item, and must not meet what is near the like
        last = self._step(item, codes[-1] ^ 1, self._neighbors(like) | set(stops))
        if last is None:
            return None

        return np.unique([*edges, last[0]]), [*stops[1:], last[1]]

    def _neighbors(self, node: int) -> set[int]:
        graph = self._graph
        return set(graph.neighbor[graph.ptr[node] : graph.ptr[node + 1]].tolist())

    def _step(self, node: int, code: int, without: set[int]) -> tuple[int, int] | None:
        """Return an edge of a relation from a node, and where it leads."""
        graph = self._graph
        entries = np.arange(graph.ptr[node], graph.ptr[node + 1])
        entries = entries[self._code[entries] == code]
        entries = entries[~np.isin(graph.neighbor[entries], list(without))]
        if not len(entries):
            return None

        entry = int(self._generator.choice(entries))
        return int(graph.edge[entry]), int(graph.neighbor[entry])
