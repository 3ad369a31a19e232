"""The smallest set of a user's own actions without which another item comes first.

Source: Ghazimatin, Balalau, Saha Roy and Weikum, PRINCE: Provider-side Interpretability with
Counterfactual Explanations in Recommender Systems, WSDM 2020. https://arxiv.org/abs/1911.08378
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from kgrec.explanation.beside.ranked_edges import RankedEdges
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.questions.world import World
from kgrec.explanation.search.explained import ExplainedModel

_NO_LIKES = np.empty(0, np.int64)
_RIVALS = 10
_PAIRS = 50


class Prince:
    """Find likes whose removal lets another item overtake, by their contributions.

    A like contributes to an item beyond a rival what their distance loses without it; or, where the
    model says what scores are made of, the difference of its two parts. For every rival, likes are
    taken away by contribution, the largest first, until their sum exceeds the distance, and the set
    is verified by ranking again. The authors' scores are personalized PageRank, where contributions
    add up and that set is minimal. Here all single likes are tried, of pairs the 50 that come
    nearest, then larger sets by either contribution, for the ten rivals that need the fewest likes,
    pruned until no member can be put back.

    Args:
        explained: The model and its data.
    """

    def __init__(self, explained: ExplainedModel) -> None:
        self._explained = explained

    def rank_edges(self, user: int, item: int) -> RankedEdges:
        """Return the edges of one set of likes, the largest contribution first; none where no set
        was found.

        Raises:
            CapabilityError: If the model cannot rank under other likes.
        """
        world = World(self._explained, user)
        likes = self._explained.liked(user)
        search = _Search(self._explained, world, user, item)
        members = _NO_LIKES
        given = np.empty(0)
        if search.rank and len(search.rivals) and len(likes):
            members, given = search.find(likes)

        edges = [self._edges_of(user, like) for like in members.tolist()]
        sizes = [len(part) for part in edges]

        return RankedEdges(
            np.concatenate([_NO_LIKES, *edges]),
            np.repeat(given, sizes),
            world.runs,
            whole=True,
        )

    def _edges_of(self, user: int, like: int) -> np.ndarray:
        """Return the edges between a user and an item that state the interaction."""
        graph = self._explained.graph
        node = graph.ckg.user_node(user)
        entries = np.arange(graph.ptr[node], graph.ptr[node + 1])
        edges = graph.edge[entries[graph.neighbor[entries] == like]]
        return np.asarray(edges[graph.ckg.relation[graph.first_facts[edges]] == 0])


class _Search:
    """The search for likes without which an item loses its rank.

    Args:
        explained: The model and its data.
        world: Ranks under changes.
        user: User row.
        item: The item.
    """

    def __init__(self, explained: ExplainedModel, world: World, user: int, item: int) -> None:
        self._explained = explained
        self._world = world
        self._user = user
        self._item = item
        self._before = explained.standing(user)
        self.rank = self._before.rank(item) or 0
        self.rivals = self._before.order()[self.rank :]

    def find(self, likes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the members and what each contributes; two empty arrays where there is no set."""
        alone = [self._world.standing(likes[n : n + 1]) for n in range(len(likes))]
        margins = self._ahead(self._before)
        given = np.stack([margins - self._ahead(standing) for standing in alone])
        singles = [n for n, standing in enumerate(alone) if self._loses(standing)]
        if singles:
            best = max(singles, key=lambda n: float((given[n] - margins).max()))
            return likes[[best]], given[[best], (given[best] - margins).argmax()]

        found = self._pair(likes, given, margins)
        if found is not None:
            return found

        contributions = [given]
        parts = self._parts(likes)
        if parts is not None:
            contributions.append(parts)

        return self._larger(likes, contributions, margins)

    def _parts(self, likes: np.ndarray) -> np.ndarray | None:
        """Return what each like gives the item beyond each of the next rivals, (likes, rivals), by
        what the model says scores are made of; None where it does not say.
        """
        keys = [self._explained.data.items.key(like) for like in likes.tolist()]
        rows = []

        for item in [self._item, *self.rivals[:_RIVALS].tolist()]:
            budget = self._explained.budget(self._user, item)
            if budget is None or budget.basis == "measured":
                return None

            values = {term.node.key: term.value for term in budget.by_liked}
            rows.append([values.get(key, 0.0) for key in keys])

        parts = np.array(rows)
        return np.asarray((parts[0] - parts[1:]).T)

    def _pair(
        self, likes: np.ndarray, given: np.ndarray, margins: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the first pair that works, of those that come nearest by their contributions."""
        pairs = np.array(list(combinations(range(len(likes)), 2)), np.int64).reshape(-1, 2)
        beyond = given[pairs].sum(1) - margins
        for n in np.argsort(-beyond.max(1, initial=-np.inf), kind="stable")[:_PAIRS].tolist():
            members = pairs[n]
            if self._loses(self._world.standing(likes[members])):
                rival = int(beyond[n].argmax())
                members = members[np.argsort(-given[members, rival], kind="stable")]
                return likes[members], given[members, rival]

        return None

    def _larger(
        self, likes: np.ndarray, contributions: Sequence[np.ndarray], margins: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the smallest set that works, of each rival's likes by contribution."""
        tries = []
        for given in contributions:
            of_rivals = margins[: given.shape[1]]
            order = np.argsort(-given, axis=0, kind="stable")
            gained = np.take_along_axis(given, order, 0).cumsum(0)
            enough = gained > of_rivals
            pulling = (given > 0).sum(0)
            size = np.where(enough.any(0), enough.argmax(0) + 1, pulling)
            nearest = np.lexsort([of_rivals - gained.max(0), size])[:_RIVALS]
            tries += [
                (order[:count, rival], given[:, rival])
                for rival in nearest.tolist()
                for count in _sizes(int(size[rival]), int(pulling[rival]))
            ]

        for members, given in sorted(tries, key=lambda one: len(one[0])):
            if self._loses(self._world.standing(likes[members])):
                members = self._pruned(likes, members)
                return likes[members], given[members]

        return _NO_LIKES, np.empty(0)

    def _pruned(self, likes: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Return a set without the members that it works without, the last one tried first."""
        for member in members[::-1].tolist():
            fewer = members[members != member]
            if self._loses(self._world.standing(likes[fewer])):
                members = fewer
        return members

    def _ahead(self, standing: Standing) -> np.ndarray:
        """Return how far the item is ahead of each rival."""
        return np.asarray(standing.scores[self._item] - standing.scores[self.rivals])

    def _loses(self, standing: Standing) -> bool:
        rank = standing.rank(self._item)
        return rank is None or rank > self.rank


def _sizes(first: int, last: int) -> list[int]:
    """Return sizes above 2 to try: the first four from the guess on, then twice as many each
    time.
    """
    first = max(first, 3)
    sizes = list(range(first, min(first + 4, last + 1)))
    while sizes and sizes[-1] < last:
        sizes.append(min(2 * sizes[-1], last))

    return sizes
