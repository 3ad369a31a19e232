"""What holds a user's list up: each like, and what the graph says of its items, taken away in
turn and everybody's rank computed again.
"""

import numpy as np

from kgrec.errors import ConfigError
from kgrec.explanation.core.answers import Holding, ListReasons, Ranked
from kgrec.explanation.core.records import Node
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.questions.world import World
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.ranked import PathSearch

_NOTHING = np.empty(0, np.int64)
_MOST_LIKES = 200
_MOST_FACTS = 20


def list_reasons(
    search: PathSearch,
    user: str,
    k: int = 10,
    likes: int = _MOST_LIKES,
    facts: int = _MOST_FACTS,
) -> ListReasons:
    """Return which likes and which facts hold a user's first ``k`` items up.

    A like is taken away alone. Of facts, those between a neighbor in the graph (an entity, or
    another item) and all items of the list go together, the likes kept: neighbors that are joined
    to a liked item first, then by how many items of the list they are joined to, then rare ones.

    Args:
        search: The search for paths, for its model and manifest.
        user: User id.
        k: Length of the list.
        likes: Most likes that are tried.
        facts: Most neighbors whose facts are tried.

    Raises:
        UnknownIdError: If the user is not in the data.
        ConfigError: If a number is out of range, or no item is left to recommend.
        CapabilityError: If the model cannot rank under other likes.
    """
    if k < 1 or likes < 1 or facts < 0:
        raise ConfigError("k and likes must be at least 1, and facts at least 0.")

    explained = search.explained
    (row,) = explained.rows(user)
    standing = explained.standing(row)
    listed = standing.order()[:k]
    if not len(listed):
        raise ConfigError(f"no item is left to recommend to {user!r}.")

    world = World(explained, row)
    before = world.standing(_NOTHING)
    held = _Held(explained, before, listed)
    own = explained.liked(row)
    by_like = [
        held.without(world.standing(np.array([like])), explained.naming.item(like))
        for like in own[:likes].tolist()
    ]
    by_fact = []
    all_facts = None
    neighbors = _NOTHING
    note = "Embeddings stay as trained; everything that depends on the graph is computed again."

    if explained.graph_effect == "measured":
        neighbors = _neighbors(explained, listed, own)
        for neighbor in neighbors[:facts].tolist():
            gone = _facts_between(explained, neighbor, listed)
            after = world.standing(_NOTHING, facts=gone)
            by_fact.append(held.without(after, explained.naming.entity(neighbor), gone))

        gone = explained.facts_about(listed)
        all_facts = held.without(world.standing(_NOTHING, facts=gone), None, gone)
    else:
        note = f"{explained.no_effect[:1].upper()}{explained.no_effect[1:]}: likes alone are tried."

    return ListReasons(
        user=explained.naming.user(row),
        items=tuple(
            Ranked(explained.naming.item(item), rank, float(standing.scores[item]))
            for rank, item in enumerate(listed.tolist(), 1)
        ),
        likes=_strongest_first(by_like),
        facts=_strongest_first(by_fact),
        all_likes=held.without(world.standing(own), None),
        all_facts=all_facts,
        left_out=(max(len(own) - likes, 0), max(len(neighbors) - len(by_fact), 0)),
        manifest=search.manifest(k=k),
        note=note,
    )


class _Held:
    """Compares a list with rankings under changes.

    Args:
        explained: The model and its data.
        before: The ranking as it is.
        listed: The items of the list.
    """

    def __init__(self, explained: ExplainedModel, before: Standing, listed: np.ndarray) -> None:
        self._explained = explained
        self._scores = before.scores[listed]
        self._listed = listed

    def without(
        self, after: Standing, node: Node | None, facts: np.ndarray | None = None
    ) -> Holding:
        """Return what the list loses by a change: of likes, or of some facts."""
        naming = self._explained.naming
        gone = np.setdiff1d(self._listed, after.order()[: len(self._listed)])
        leave = tuple(naming.item(item) for item in self._listed.tolist() if item in gone)
        drop = float(np.mean(self._scores - after.scores[self._listed]))
        if facts is None:
            return Holding(node, (), 0, (), leave, drop)

        ckg = self._explained.graph.ckg
        relations = dict.fromkeys(map(naming.relation_label, ckg.relation[facts].tolist()))
        ends = np.concatenate([ckg.head[facts], ckg.tail[facts]])
        joined = tuple(naming.item(item) for item in self._listed.tolist() if item in ends)
        if node is None:
            return Holding(None, (), len(facts), (), leave, drop)

        return Holding(node, tuple(relations), len(facts), joined, leave, drop)


def _strongest_first(found: list[Holding]) -> tuple[Holding, ...]:
    def key(one: Holding) -> tuple[int, float, str]:
        assert one.node is not None
        return -len(one.leave), -round(one.drop, 12), one.node.key

    return tuple(sorted(found, key=key))


def _neighbors(explained: ExplainedModel, listed: np.ndarray, likes: np.ndarray) -> np.ndarray:
    """Return the neighbors of a list's items that are no users, those to try first in front."""
    graph = explained.graph
    entries = np.concatenate(
        [np.unique(graph.neighbor[graph.ptr[item] : graph.ptr[item + 1]]) for item in listed]
    )
    near, count = np.unique(entries[entries < graph.ckg.num_entities], return_counts=True)
    by_likes = np.concatenate(
        [_NOTHING, *(graph.neighbor[graph.ptr[like] : graph.ptr[like + 1]] for like in likes)]
    )
    joined = np.isin(near, np.union1d(by_likes, likes))
    order = np.lexsort([near, graph.degree(near), -count, ~joined])
    return np.asarray(near[order])


def _facts_between(explained: ExplainedModel, neighbor: int, listed: np.ndarray) -> np.ndarray:
    """Return the facts between a node and items, as positions in the columns of the graph."""
    graph = explained.graph
    entries = np.arange(graph.ptr[neighbor], graph.ptr[neighbor + 1])
    edges = graph.edge[entries[np.isin(graph.neighbor[entries], listed)]]
    facts = graph.facts_of(np.unique(edges))
    return np.sort(facts[graph.ckg.relation[facts] > 0])
