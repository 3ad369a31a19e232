"""Flip sets: likes without which another item overtakes an item."""

from itertools import combinations

import numpy as np

from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.core.answers import FlipSet, WithoutFacts
from kgrec.explanation.core.records import Explanation, Flip, Term
from kgrec.explanation.effects.closed_form import Linear, Mode
from kgrec.explanation.effects.measured import LinearModel
from kgrec.explanation.questions.world import World
from kgrec.explanation.search.explained import ExplainedModel

_RIVALS = 20
_ALL_SUBSETS = 5
_NO_LIKES = np.empty(0, np.int64)


def flip(
    explained: ExplainedModel,
    user: str,
    item: str | None = None,
    mode: Mode = "delete",
    max_size: int = 50,
) -> FlipSet:
    """Return liked items without which another item overtakes ``item``, or that there are none.

    Sets are guessed from what each like gives the item beyond its 20 next rivals, verified by
    computing the whole ranking again, and pruned until no single member can be put back. The set is
    minimal by inclusion; that no smaller one exists is not claimed (docs/explanations.md, section
    9).

    Args:
        explained: The model and its data.
        user: User id.
        item: Item id; None is the first of the user's list.
        mode: "delete" computes everything that depends on the graph again, "mask" keeps the other
            weights.
        max_size: Most members.

    Raises:
        UnknownIdError: If an id is not in the data.
        ConfigError: If the user has the item already.
        CapabilityError: If the model cannot rank under other likes.
    """
    if max_size < 1:
        raise ConfigError(f"max_size is {max_size}. A set has at least one member.")

    named = [] if item is None else [item]
    (u, *targets) = explained.rows(user, *named)
    standing = explained.standing(u)
    likes = explained.liked(u)
    order = standing.order()
    if not len(order):
        raise ConfigError(f"no item is left to recommend to {user!r}, so nothing can be flipped.")

    target = int(order[0])
    if targets:
        target = targets[0]

    rank = standing.rank(target)
    if rank is None:
        raise ConfigError(
            f"{user!r} already has {explained.data.items.key(target)!r}: it has no rank in the "
            "list that could be lost."
        )

    world = World(explained, u, mode)
    rivals = order[rank : rank + _RIVALS]
    search = _Flip(world, target, rank)
    found = None
    parts: dict[int, float] = {}
    if len(rivals) and len(likes):
        found, parts = search.find(*_toward(explained, u, target, rivals, likes), max_size)

    if found is None:
        note = _why_no_flip(search, rivals, likes, max_size)
        score = float(standing.scores[target])
        before = (score, score)
        if len(rivals):
            before = (score, float(standing.scores[int(rivals[0])]))

        return FlipSet(
            user=explained.naming.user(u),
            item=explained.naming.item(target),
            removed=(),
            rival=None,
            before=before,
            after=None,
            mode=world.mode,
            verified=True,
            likes=len(likes),
            runs=world.runs,
            note=note,
            rank=rank,
            without_facts=_without_facts(explained, world, target),
        )

    after = world.standing(found)
    rival = next(other for other in after.order().tolist() if (standing.rank(other) or 0) > rank)
    minimal = search.minimal(found)
    note = ""
    if not minimal:
        note = "A smaller set among these flips it as well; which one was not searched to the end."

    return FlipSet(
        user=explained.naming.user(u),
        item=explained.naming.item(target),
        removed=tuple(
            Term(explained.naming.item(int(like)), parts[int(like)])
            for like in sorted(found, key=lambda like: -parts[int(like)])
        ),
        rival=explained.naming.item(rival),
        before=(float(standing.scores[target]), float(standing.scores[rival])),
        after=(float(after.scores[target]), float(after.scores[rival])),
        mode=mode,
        verified=search.flipped(found) and minimal,
        likes=len(likes),
        runs=world.runs,
        note=note,
        rank=rank,
        without_facts=_without_facts(explained, world, target),
    )


def flip_of(explained: ExplainedModel, explanation: Explanation) -> Flip | None:
    """Return the likes that hold the rank of an explanation's item; None where it has no rank, or
    the model cannot rank under other likes.
    """
    if explanation.rank is None:
        return None

    try:
        return flip(explained, explanation.user, explanation.item).short()
    except CapabilityError:
        return None


def _without_facts(explained: ExplainedModel, world: World, target: int) -> WithoutFacts | None:
    """Return where an item is without what the graph says of it; None where that is unknown."""
    facts = explained.facts_about(np.array([target]))
    if explained.graph_effect != "measured" or world.mode != "delete" or not len(facts):
        return None

    standing = world.standing(_NO_LIKES, facts=facts)
    return WithoutFacts(
        facts=len(facts),
        rank=standing.rank(target),
        score=float(standing.scores[target]),
        first=explained.naming.item(int(standing.order()[0])),
    )


def _why_no_flip(search: "_Flip", rivals: np.ndarray, likes: np.ndarray, max_size: int) -> str:
    if not len(rivals):
        return "No other item is in the list, so none can overtake it."
    if not len(likes):
        return "The user has no liked item that could be taken away."
    if search.flipped(likes):
        return (
            f"No set of up to {max_size} likes was found; without all {len(likes)} of them "
            "another item overtakes it."
        )

    return (
        f"It keeps its place without all {len(likes)} liked items: what is left of its score "
        "rests on none of them."
    )


class _Flip:
    """The search for a set of likes without which an item loses its rank.

    Args:
        world: Ranks under changes.
        target: The item.
        rank: Its rank now.
    """

    def __init__(self, world: World, target: int, rank: int) -> None:
        self._world = world
        self._target = target
        self._rank = rank
        self._known: dict[tuple[int, ...], bool] = {}

    def flipped(self, removed: np.ndarray) -> bool:
        """Return whether the item loses its rank without some likes."""
        key = tuple(sorted(np.asarray(removed).tolist()))
        if key not in self._known:
            rank = self._world.standing(np.array(key, dtype=np.int64)).rank(self._target)
            self._known[key] = rank is None or rank > self._rank
        return self._known[key]

    def find(
        self, likes: np.ndarray, toward: np.ndarray, margins: np.ndarray, max_size: int
    ) -> tuple[np.ndarray | None, dict[int, float]]:
        """Return a set that was verified to flip, pruned, and each like's part of the margin.

        Args:
            likes: Liked items.
            toward: What each like gives the item beyond each rival, (rivals, likes).
            margins: How far each rival is behind.
            max_size: Most members.
        """
        order = np.argsort(-toward, axis=1, kind="stable")
        gained = np.take_along_axis(toward, order, 1).cumsum(1)
        enough = gained > margins[:, None]
        size = np.where(enough.any(1), enough.argmax(1) + 1, len(likes) + 1)
        for rival in np.argsort(size, kind="stable")[:3].tolist():
            parts = dict(zip(likes.tolist(), toward[rival].tolist(), strict=True))
            pulling = int((toward[rival] > 0).sum())
            for count in _sizes(int(min(size[rival], pulling)), min(pulling, max_size)):
                members = likes[order[rival, :count]]
                if self.flipped(members):
                    return self._pruned(members), parts

        if len(likes) <= max_size and self.flipped(likes):
            nearest_rival = dict(zip(likes.tolist(), toward[0].tolist(), strict=True))
            return self._pruned(likes[order[0]]), nearest_rival

        return None, {}

    def _pruned(self, members: np.ndarray) -> np.ndarray:
        """Drop what turns out unnecessary, the last member first."""
        for like in members[::-1].tolist():
            fewer = members[members != like]
            if len(fewer) and self.flipped(fewer):
                members = fewer

        if len(members) <= _ALL_SUBSETS:
            for size in range(1, len(members)):
                for some in combinations(members.tolist(), size):
                    if self.flipped(np.array(some)):
                        return np.array(some)

        return members

    def minimal(self, members: np.ndarray) -> bool:
        """Return whether no single member can be put back."""
        return not any(
            self.flipped(members[members != like]) for like in members.tolist() if len(members) > 1
        )


def _sizes(first: int, last: int) -> list[int]:
    """Return the sizes of sets to try: the guess, the next three, then twice as many each time."""
    sizes = [size for size in range(max(first, 1), max(first, 1) + 4) if size <= last]
    while sizes and sizes[-1] < last:
        sizes.append(min(2 * sizes[-1], last))
    return sizes


def _toward(
    explained: ExplainedModel, user: int, target: int, rivals: np.ndarray, likes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the likes, what each gives the target beyond each rival, and the rivals' distances."""
    if isinstance(explained.effects, LinearModel):
        likes, parts = _linear_parts(
            explained, explained.effects.linear, user, [target, *rivals.tolist()]
        )
    else:
        rivals = rivals[:5]  # budgets of other models take longer
        parts = _budget_parts(explained, user, [target, *rivals.tolist()], likes)

    scores = explained.standing(user).scores
    return likes, parts[0] - parts[1:], scores[target] - scores[rivals]


def _linear_parts(
    explained: ExplainedModel, linear: Linear, user: int, items: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the likes of a user and what each gives to each item: (items, likes)."""
    node = explained.graph.ckg.user_node(user)
    rows = []

    for item in items:
        neighbors, values = linear.at(node, item).by_neighbor()
        liked = neighbors < explained.graph.ckg.num_items
        rows.append(values[liked])

    return neighbors[liked], np.stack(rows)


def _budget_parts(
    explained: ExplainedModel, user: int, items: list[int], likes: np.ndarray
) -> np.ndarray:
    """Return what each like gives to each item by its budget: (items, likes)."""
    keys = [explained.data.items.key(like) for like in likes.tolist()]
    rows = []

    for item in items:
        budget = explained.budget(user, item)
        if budget is None:
            raise CapabilityError(
                f"{explained.name} does not say what each interaction gives to a score, so no set of "
                "interactions can be searched."
            )

        values = {term.node.key: term.value for term in budget.by_liked}
        rows.append([values.get(key, 0.0) for key in keys])

    return np.array(rows)
