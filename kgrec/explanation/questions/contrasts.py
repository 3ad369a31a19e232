"""Why one item and not another: contrasts, and what would bring an item into a list."""

from collections.abc import Sequence

import numpy as np

from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.core.answers import Apart, Contrast, Ranked, WhyNot
from kgrec.explanation.core.records import Budget, Explanation, Node, Term
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.effects.closed_form import Edit, Linear
from kgrec.explanation.effects.deletions import Deletions
from kgrec.explanation.effects.measured import LinearModel
from kgrec.explanation.questions.why import explain_measured
from kgrec.explanation.questions.world import World
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.ranked import MeasuredPath, PathSearch

_ADDITIONS = 10
_MOST_MEASURED = 50
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

    one, paths_one = explain_measured(search, user, first, k=k)
    two, paths_two = explain_measured(search, user, second, k=k)
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
        effects=(
            _effects(explained, u, one, paths_one, b, 1.0),
            _effects(explained, u, two, paths_two, a, -1.0),
        ),
    )


def _effects(
    explained: ExplainedModel,
    user: int,
    explanation: Explanation,
    paths: Sequence[MeasuredPath],
    other: int,
    sign: float,
) -> tuple[Apart, ...]:
    """Return what the difference of two scores loses without the like and the facts of each path
    of one of them.

    Args:
        explained: The model and its data.
        user: User row.
        explanation: Explains the one item.
        paths: The edges of its paths.
        other: The other item.
        sign: 1 where the difference is that of the explained item to the other one, -1 where it is
            the other way round.
    """
    effects = explained.effects_at(user, other)
    if effects is None:
        return _effects_by_history(explained, user, explanation, other, sign)

    drops = Deletions(effects, ("delete",))
    drops.measure(part for path in paths for part in (path.whole, path.like, path.facts))

    def change(mine: float | None, edges: np.ndarray) -> float | None:
        theirs = drops.drop(edges)
        if mine is None or theirs is None:
            return None
        return sign * (mine - theirs)

    return tuple(
        Apart(
            change(path.like_drop, edges.like),
            change(path.facts_drop, edges.facts),
            change(path.drop_delete, edges.whole),
        )
        for path, edges in zip(explanation.paths, paths, strict=True)
    )


def _effects_by_history(
    explained: ExplainedModel, user: int, explanation: Explanation, other: int, sign: float
) -> tuple[Apart, ...]:
    """Return the same of a model that reads no graph: by the likes alone, where it knows a person
    by them.
    """
    theirs = explained.like_drops(user, other)
    found = []

    for path in explanation.paths:
        like = None
        if path.like_drop is not None and path.nodes[1].kind == "item":
            like = sign * (
                path.like_drop - theirs.get(explained.data.items.row(path.nodes[1].key), 0.0)
            )

        facts = None if path.facts_drop is None else sign * path.facts_drop
        found.append(Apart(like, facts, like if facts is not None else None))

    return tuple(found)


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
        note = f"It is in the list already, at rank {rank}."
        return WhyNot(contrast, k, (), None, note, facts=_own_facts(explained, u, target))

    world = World(explained, u)
    additions = _additions(explained, world, u, target, standing)
    rows = [explained.data.items.row(term.node.key) for term in additions]
    enters = _enters(world, target, np.array(rows, dtype=np.int64), k)
    note = ""

    if not additions:
        note = "No further like raises its score."
    elif enters is None:
        note = "All of these likes together do not bring it into the list."

    return WhyNot(contrast, k, additions, enters, note, facts=_own_facts(explained, u, target))


def _own_facts(explained: ExplainedModel, user: int, item: int) -> tuple[Term, ...]:
    """Return what the score loses without what joins the item to each neighbor that is no user."""
    effects = explained.effects_at(user, item)
    if effects is None:
        return ()

    graph = explained.graph
    entries = np.arange(graph.ptr[item], graph.ptr[item + 1])
    near = graph.neighbor[entries]
    entities = np.unique(near[near < graph.ckg.num_entities])
    if effects.basis != "exact":
        entities = entities[np.argsort(graph.degree(entities), kind="stable")][:_MOST_MEASURED]

    groups = [graph.edge[entries[near == entity]] for entity in entities.tolist()]
    drops = Deletions(effects, ("delete",))
    drops.measure(groups)
    values = [drops.drop(group) or 0.0 for group in groups]
    terms = [
        Term(explained.naming.entity(entity), value)
        for entity, value in zip(entities.tolist(), values, strict=True)
    ]
    return tuple(sorted(terms, key=lambda term: (-abs(term.value), term.node.key))[:_ADDITIONS])


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
