"""What if some likes and facts were gone, and others there?"""

from collections.abc import Sequence

import numpy as np

from kgrec.data.records.ids import one_id
from kgrec.errors import CapabilityError, ConfigError, UnknownIdError, nearest
from kgrec.explanation.core.answers import Change, Ranked, WhatIf
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.questions.world import World
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.models.capabilities import GraphEditable

Fact = tuple[str, str, str]
_NO_ITEMS = np.empty(0, np.int64)


def what_if(
    explained: ExplainedModel,
    user: str,
    remove: Sequence[str] = (),
    add: Sequence[str] = (),
    items: Sequence[str] = (),
    remove_facts: Sequence[Fact] = (),
    add_facts: Sequence[Fact] = (),
    k: int = 10,
) -> WhatIf:
    """Return a user's ranking without some likes and facts, and with others.

    Everything that depends on the graph is computed again; embeddings stay as trained.

    Args:
        explained: The model and its data.
        user: User id.
        remove: Items whose like is taken away; they stay out of the list.
        add: Items whose like is added; they leave the list.
        items: Items to rank beside the first ``k``.
        remove_facts: Facts taken away, (head, relation, tail) by key.
        add_facts: Facts put in; entities and relations must be known.
        k: Length of the list.

    Raises:
        UnknownIdError: If an id is not known, or a fact to take away is not there.
        ConfigError: If a like to take away is not there, or one to add is.
        CapabilityError: If the model cannot rank under other likes or facts.
    """
    if k < 1:
        raise ConfigError(f"k is {k}. A list has at least one item.")
    if any(isinstance(names, str) for names in (remove, add, items)):
        raise ConfigError("remove, add and items take lists of ids.")

    (u, *_) = explained.rows(user)
    gone = _rows(explained, remove)
    new = _rows(explained, add)
    listed = [explained.data.items.row(one_id(item)) for item in items]
    _check_likes(explained, user, explained.liked(u), gone, new)
    facts, more = _facts(explained, remove_facts, add_facts)
    before = explained.standing(u)
    world = World(explained, u)
    by_likes = before
    by_facts = before
    if len(gone) + len(new):
        by_likes = world.standing(gone, new)
    if len(facts) + len(more):
        by_facts = world.standing(_NO_ITEMS, _NO_ITEMS, facts, more)

    after = by_likes
    if by_facts is not before:
        after = by_facts
        if by_likes is not before:
            after = world.standing(gone, new, facts, more)

    shown = list(dict.fromkeys([*before.order()[:k].tolist(), *listed]))
    note = "Embeddings stay as trained."
    if len(gone):
        note += " Items whose like was taken away stay out of the list."

    return WhatIf(
        user=explained.naming.user(u),
        changes=(
            *(_like_change(explained, u, int(row), added=False) for row in gone),
            *(_like_change(explained, u, int(row), added=True) for row in new),
            *(_fact_change(explained, fact, added=False) for fact in remove_facts),
            *(_fact_change(explained, fact, added=True) for fact in add_facts),
        ),
        before=tuple(_ranked(explained, before, row) for row in shown),
        after=tuple(_ranked(explained, after, row) for row in shown),
        top=tuple(_ranked(explained, after, int(row)) for row in after.order()[:k]),
        note=note,
        likes_alone=tuple(_ranked(explained, by_likes, row) for row in shown),
        facts_alone=tuple(_ranked(explained, by_facts, row) for row in shown),
    )


def _rows(explained: ExplainedModel, items: Sequence[str]) -> np.ndarray:
    """Return the distinct rows of items, in order."""
    rows = {explained.data.items.row(one_id(item)) for item in items}
    return np.array(sorted(rows), dtype=np.int64)


def _ranked(explained: ExplainedModel, standing: Standing, row: int) -> Ranked:
    return Ranked(explained.naming.item(row), standing.rank(row), float(standing.scores[row]))


def _check_likes(
    explained: ExplainedModel, user: str, likes: np.ndarray, gone: np.ndarray, new: np.ndarray
) -> None:
    for row in gone.tolist():
        if row not in likes:
            raise ConfigError(
                f"{user!r} has no training interaction with {explained.data.items.key(row)!r} that "
                "could be taken away."
            )
    for row in new.tolist():
        if row in likes:
            raise ConfigError(f"{user!r} has {explained.data.items.key(row)!r} already.")


def _facts(
    explained: ExplainedModel, removed: Sequence[Fact], added: Sequence[Fact]
) -> tuple[np.ndarray, np.ndarray]:
    """Return removed facts as positions in the graph, added ones as (head, relation, tail).

    Raises:
        UnknownIdError: If an entity or relation is not known, or a fact to take away is not there.
        CapabilityError: If facts have no effect on the model.
    """
    positions = [np.empty(0, np.int64)]
    new = np.empty((len(added), 3), np.int64)
    if not removed and not added:
        return positions[0], new
    if not isinstance(explained.model_effects, GraphEditable):
        raise CapabilityError(f"{explained.no_effect}, so none can be taken away or added.")

    ckg = explained.graph.ckg
    if ckg.num_relations <= 1:
        raise CapabilityError(
            f"{explained.name} sees interactions alone. Train lightgcn-kg, kgat or kgin to ask "
            "about facts."
        )

    for fact in removed:
        head, relation, tail = _triple(explained, fact)
        found = (ckg.head == head) & (ckg.relation == relation) & (ckg.tail == tail)
        if not found.any():
            raise UnknownIdError(
                f"the graph does not state ({', '.join(fact)}), so it cannot be taken away."
            )

        positions.append(np.flatnonzero(found))

    for number, fact in enumerate(added):
        new[number] = _triple(explained, fact)

    return np.concatenate(positions), new


def _triple(explained: ExplainedModel, fact: Fact) -> tuple[int, int, int]:
    """Return a fact as nodes and a relation of the graph."""
    head = _entity(explained, fact[0])
    tail = _entity(explained, fact[2])
    relation = explained.data.triples.relations.row(fact[1])
    return head, explained.graph.ckg.relation_of(relation), tail


def _entity(explained: ExplainedModel, key: str) -> int:
    """Return the node of an entity's key, or of an item's id."""
    if key in explained.data.triples.entities:
        return explained.data.triples.entities.row(key)
    if key in explained.data.items:
        return explained.data.items.row(key)

    raise UnknownIdError(
        f"the graph has no entity {key!r}.{nearest(key, explained.data.triples.entities)}"
    )


def _like_change(explained: ExplainedModel, user: int, item: int, added: bool) -> Change:
    return Change(
        "like", added, explained.naming.user(user), "interacts", explained.naming.item(item)
    )


def _fact_change(explained: ExplainedModel, fact: Fact, added: bool) -> Change:
    return Change(
        "fact",
        added,
        explained.naming.node(_entity(explained, fact[0])),
        fact[1],
        explained.naming.node(_entity(explained, fact[2])),
    )
