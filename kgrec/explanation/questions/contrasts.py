"""Why one item and not another: contrasts, and what would bring an item into a list."""

import numpy as np

from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.core.answers import Contrast, Ranked, WhyNot
from kgrec.explanation.core.records import Budget, Node, Term
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.effects.closed_form import Edit, Linear
from kgrec.explanation.effects.measured import LinearModel
from kgrec.explanation.questions.why import explain
from kgrec.explanation.questions.world import World
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.ranked import PathSearch

_ADDITIONS = 10
_NOTHING = np.empty(0, np.int64)


def compare(search: PathSearch, user: str, first: str, second: str, k: int = 5) -> Contrast:
    """Return why a user's score of one item differs from that of another.

    Args:
        search: The search for paths.
        user: User id.
        first: Item id.
        second: The item it is compared with.
        k: Paths of each.

    Raises:
        UnknownIdError: If an id is not in the data.
        ConfigError: If the items are one.
        CapabilityError: If the model does not say what a score is made of.
    """
    explained = search.explained
    u, a, b = explained.rows(user, first, second)
    if a == b:
        raise ConfigError(f"{first!r} is compared with itself. Name two items.")

    one = explain(search, user, first, k=k)
    two = explain(search, user, second, k=k)
    if one.budget is None or two.budget is None:
        raise CapabilityError(
            f"{explained.name} does not say what a score is made of, so two scores cannot be "
            "compared."
        )

    near_first = _neighbors(explained, a)
    near_second = _neighbors(explained, b)

    return Contrast(
        user=explained.naming.user(u),
        first=Ranked(explained.naming.item(a), one.rank, one.score),
        second=Ranked(explained.naming.item(b), two.rank, two.score),
        difference=one.score - two.score,
        own=one.budget.own - two.budget.own,
        bias=one.budget.bias - two.budget.bias,
        by_liked=_liked_difference(one.budget, two.budget),
        other={
            name: one.budget.other.get(name, 0.0) - two.budget.other.get(name, 0.0)
            for name in {**one.budget.other, **two.budget.other}
        },
        residual=one.budget.residual - two.budget.residual,
        basis=one.budget.basis,
        only_first=_named(explained, near_first - near_second),
        shared=_named(explained, near_first & near_second),
        only_second=_named(explained, near_second - near_first),
        explanations=(one, two),
    )


def _liked_difference(one: Budget, two: Budget) -> tuple[Term, ...]:
    """Return what each liked item gives to the first score beyond the second, largest first."""
    values: dict[Node, float] = {term.node: term.value for term in one.by_liked}
    for term in two.by_liked:
        values[term.node] = values.get(term.node, 0.0) - term.value
    terms = [Term(node, value) for node, value in values.items()]
    return tuple(sorted(terms, key=lambda term: (-term.value, term.node.key)))


def _neighbors(explained: ExplainedModel, item: int) -> set[int]:
    """Return the entities and items that a fact joins to an item."""
    triples = explained.data.triples
    found = np.concatenate([triples.tail[triples.head == item], triples.head[triples.tail == item]])
    return set(found.tolist()) - {item}


def _named(explained: ExplainedModel, nodes: set[int]) -> tuple[Node, ...]:
    return tuple(explained.naming.entity(node) for node in sorted(nodes))


def why_not(search: PathSearch, user: str, item: str, k: int = 10) -> WhyNot:
    """Return why an item is not among a user's first ``k``, and which likes would bring it in.

    Raises:
        UnknownIdError: If an id is not in the data.
        ConfigError: If the user has the item already.
        CapabilityError: If the model cannot rank under other likes.
    """
    if k < 1:
        raise ConfigError(f"k is {k}. A list has at least one item.")

    explained = search.explained
    u, target = explained.rows(user, item)
    standing = explained.standing(u)
    order = standing.order()
    rank = standing.rank(target)
    if rank is None:
        raise ConfigError(f"{user!r} already has {item!r}: it takes no part in the ranking.")

    last = int(order[min(k, len(order)) - 1])
    if rank <= k:
        others = [int(other) for other in order[:k] if other != target]
        if not others:
            raise ConfigError(f"{item!r} is the only item in the list of {user!r}.")

        last = others[-1]

    contrast = compare(search, user, item, explained.data.items.key(last))
    if rank <= k:
        return WhyNot(contrast, k, (), None, f"It is in the list already, at rank {rank}.")

    world = World(explained, u)
    additions = _additions(explained, world, u, target, standing)
    rows = [explained.data.items.row(term.node.key) for term in additions]
    enters = _enters(world, target, np.array(rows, dtype=np.int64), k)
    note = ""

    if not additions:
        note = "No further like raises its score."
    elif enters is None:
        note = "All of these likes together do not bring it into the list."

    return WhyNot(contrast, k, additions, enters, note)


def _enters(world: World, target: int, likes: np.ndarray, k: int) -> int | None:
    """Return how many of some likes, in order, bring an item among the first ``k``."""
    for count in range(1, len(likes) + 1):
        rank = world.standing(_NOTHING, likes[:count]).rank(target)
        if rank is not None and rank <= k:
            return count
    return None


def _additions(
    explained: ExplainedModel, world: World, user: int, target: int, standing: Standing
) -> tuple[Term, ...]:
    """Return the likes that raise an item's score most, measured one by one.

    Only candidates that are likely to raise it are measured.
    """
    unseen = np.setdiff1d(np.arange(explained.data.num_items), np.append(standing.seen, target))
    if isinstance(explained.effects, LinearModel):
        node = explained.graph.ckg.user_node(user)
        likes, change = _linear_additions(explained.effects.linear, world, node, target, unseen)
    else:
        # Items that the same users like.
        common = (explained.train.T @ explained.train[:, [target]]).todense()
        likes = _largest(unseen, np.asarray(common).ravel()[unseen])
        before = world.standing(_NOTHING).scores[target]
        change = _changes(world, target, likes, before)

    order = [n for n in np.argsort(-change, kind="stable").tolist() if change[n] > 0]
    return tuple(
        Term(explained.naming.item(int(likes[n])), float(change[n])) for n in order[:_ADDITIONS]
    )


def _linear_additions(
    linear: Linear, world: World, user: int, target: int, unseen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return likes of a user's node and what they change, for a linear model."""
    pair = linear.at(user, target)
    unseen = unseen[linear.degree[unseen] > 0]
    gain = linear.rows(unseen, 1) @ pair.toward_item
    likes = _largest(unseen, gain / np.sqrt(linear.degree[unseen] + 1.0))
    if linear.degree[user] == 0:
        return likes, _changes(world, target, likes, pair.score)
    if not len(likes):
        return likes, np.empty(0)

    none = np.empty((0, 2), np.int64)
    edits = [Edit(none, np.array([[user, item]])) for item in likes.tolist()]
    return likes, pair.scores(edits)[0] - pair.score


def _largest(items: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the items of the largest values, twice as many as are shown."""
    return np.asarray(items[np.argsort(-values, kind="stable")[: 2 * _ADDITIONS]])


def _changes(world: World, target: int, likes: np.ndarray, before: float) -> np.ndarray:
    """Return the change of an item's score with each like."""
    scores = [world.standing(_NOTHING, likes[[n]]).scores[target] for n in range(len(likes))]
    return np.array(scores) - before
