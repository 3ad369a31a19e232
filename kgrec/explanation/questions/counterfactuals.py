"""Other likes and other facts: contrasts, flip sets, why-not and what-if (explanation.md 3.7).

Embeddings stay as trained. Every answer was measured: the whole ranking is computed again under the
change.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from kgrec.errors import CapabilityError, ConfigError, UnknownIdError, nearest
from kgrec.explanation.core.answers import Change, Contrast, FlipSet, Ranked, WhatIf, WhyNot
from kgrec.explanation.core.records import Node, Term
from kgrec.explanation.effects.closed_form import Edit, Mode
from kgrec.explanation.effects.measured import LinearModel
from kgrec.models.capabilities import GraphEditable, HistoryEditable

if TYPE_CHECKING:
    from kgrec.explanation.explainer import Explainer, Standing

_RIVALS = 20
_ADDITIONS = 10
_ALL_SUBSETS = 5
Fact = tuple[str, str, str]


class World:
    """The ranking of one user under other likes and facts.

    Args:
        explainer: The explainer.
        user: User row.
        mode: "delete", or "mask" for models in closed form.

    Raises:
        CapabilityError: If the model cannot be asked about other likes.
        ConfigError: If the mode is not known.
    """

    def __init__(self, explainer: "Explainer", user: int, mode: Mode = "delete") -> None:
        if mode not in ("delete", "mask"):
            raise ConfigError(f"mode={mode!r} is not known. Choose 'delete' or 'mask'.")
        self._ex = explainer
        self._user = user
        self._mode = mode
        self._linear = explainer.effects if isinstance(explainer.effects, LinearModel) else None
        if not isinstance(explainer.model, (GraphEditable, HistoryEditable)):
            raise CapabilityError(
                f"{explainer.name} cannot be asked what other likes would change: its scores "
                "stay what training made them. "
                "Use lightgcn, kgat, kgin, itemknn or ease."
            )
        if mode == "mask" and self._linear is None:
            raise CapabilityError(
                f"{explainer.name} has no 'mask' mode for whole rankings. Use mode='delete'."
            )
        self.runs = 0

    def standing(
        self,
        removed: np.ndarray,
        added: np.ndarray | None = None,
        facts: np.ndarray | None = None,
        more: np.ndarray | None = None,
    ) -> "Standing":
        """Return every item's place under a change. Removed likes stay out of the ranking as they
        are, added ones leave it.

        Args:
            removed: Items whose like is taken away.
            added: Items whose like is added.
            facts: Facts taken away, as positions in the columns of the model's graph.
            more: Facts put in, (facts, 3): head, relation, tail as nodes and relations of the
                graph.
        """
        self.runs += 1
        if added is None:
            added = np.empty(0, np.int64)
        else:
            added = added
        plain = (facts is None or not len(facts)) and (more is None or not len(more))
        before = self._ex.standing(self._user)
        if not plain or isinstance(self._ex.model, GraphEditable):
            scores = self._on_graph(removed, added, facts, more, plain)
        else:
            scores = self._by_history(removed, added)
        return replace(before, scores=scores, seen=np.union1d(before.seen, added))

    def _on_graph(
        self,
        removed: np.ndarray,
        added: np.ndarray,
        facts: np.ndarray | None,
        more: np.ndarray | None,
        plain: bool,
    ) -> np.ndarray:
        ex = self._ex
        ckg = ex.graph.ckg
        node = ckg.user_node(self._user)
        if self._linear is not None and plain:
            edit = Edit(
                *(np.stack([np.full(len(items), node), items], 1) for items in (removed, added))
            )
            return self._linear.linear.ranking(node, ckg.num_items, edit, self._mode)
        mine = np.flatnonzero((ckg.head == node) & (ckg.relation == 0) & np.isin(ckg.tail, removed))
        if facts is None:
            gone = mine
        else:
            gone = np.union1d(mine, facts)
        likes = np.stack(
            [np.full(len(added), node), np.zeros_like(added), added, np.full(len(added), -1)], 1
        )
        if more is None:
            stated = np.empty((0, 4), np.int64)
        else:
            stated = np.column_stack([more, np.zeros(len(more), np.int64)])
        return ex.standing(self._user, ex.without(gone, np.concatenate([likes, stated]))).scores

    def _by_history(self, removed: np.ndarray, added: np.ndarray) -> np.ndarray:
        model = self._ex.model
        assert isinstance(model, HistoryEditable)
        history = np.concatenate([np.setdiff1d(self._ex.liked(self._user), removed), added])
        with torch.inference_mode():
            scores = model.history_scores(self._user, [torch.from_numpy(history)])
        return np.asarray(scores[0].double().cpu().numpy())


def compare(ex: "Explainer", user: str, first: str, second: str, k: int = 5) -> Contrast:
    """Return why a user's score of one item differs from that of another."""
    u, a, b = ex.rows(user, first, second)
    if a == b:
        raise ConfigError(f"{first!r} is held against itself. Name two items.")
    told = ex.explain(user, first, k=k), ex.explain(user, second, k=k)
    one = told[0].budget
    two = told[1].budget
    if one is None or two is None:
        raise CapabilityError(
            f"{ex.name} does not say what a score is made of, so two scores cannot be held "
            "against each other."
        )
    values: dict[Node, list[float]] = {}
    for sign, budget in ((1.0, one), (-1.0, two)):
        for term in budget.by_liked:
            values.setdefault(term.node, [0.0, 0.0])[0 if sign > 0 else 1] = sign * term.value
    terms = sorted(
        (Term(node, pair[0] + pair[1]) for node, pair in values.items()),
        key=lambda term: (-term.value, term.node.key),
    )
    other = {
        name: one.other.get(name, 0.0) - two.other.get(name, 0.0)
        for name in {**one.other, **two.other}
    }
    near = [_neighbors(ex, item) for item in (a, b)]
    return Contrast(
        user=ex.naming.user(u),
        first=Ranked(ex.naming.item(a), told[0].rank, told[0].score),
        second=Ranked(ex.naming.item(b), told[1].rank, told[1].score),
        difference=told[0].score - told[1].score,
        own=one.own - two.own,
        bias=one.bias - two.bias,
        by_liked=tuple(terms),
        other=other,
        residual=one.residual - two.residual,
        basis=one.basis,
        only_first=_named(ex, near[0] - near[1]),
        shared=_named(ex, near[0] & near[1]),
        only_second=_named(ex, near[1] - near[0]),
        explanations=told,
    )


def _neighbors(ex: "Explainer", item: int) -> set[int]:
    """Return the entities and items that a fact joins to an item."""
    triples = ex.data.triples
    found = np.concatenate([triples.tail[triples.head == item], triples.head[triples.tail == item]])
    return set(found.tolist()) - {item}


def _named(ex: "Explainer", nodes: set[int]) -> tuple[Node, ...]:
    return tuple(ex.naming.entity(node) for node in sorted(nodes))


def flip(
    ex: "Explainer", user: str, item: str | None = None, mode: Mode = "delete", max_size: int = 50
) -> FlipSet:
    """Return the likes without which another item overtakes a user's item (the first of the list
    where None).
    """
    if max_size < 1:
        raise ConfigError(f"max_size is {max_size}. A set has at least one member.")
    (u, *named) = ex.rows(user, *(() if item is None else (item,)))
    standing = ex.standing(u)
    likes = ex.liked(u)
    order = standing.order()
    if not len(order):
        raise ConfigError(f"no item is left to recommend to {user!r}, so nothing can be flipped.")
    if named:
        target = named[0]
    else:
        target = int(order[0])
    rank = standing.rank(target)
    if rank is None:
        raise ConfigError(
            f"{user!r} already has {ex.data.items.key(target)!r}: it has no place in the list "
            "that could be lost."
        )
    world = World(ex, u, mode)
    rivals = order[rank : rank + _RIVALS]
    search = _Flip(world, target, rank)
    if len(rivals) and len(likes):
        found, parts = search.find(*_toward(ex, u, target, rivals, likes), max_size)
    else:
        found = None
        parts = {}
    if len(rivals):
        runner_up = int(rivals[0])
    else:
        runner_up = None
    if found is None:
        return _no_flip(ex, u, target, runner_up, world, search, likes, standing, max_size)
    after = world.standing(found)
    rival = next(
        int(other)
        for other in after.order()
        if standing.rank(int(other)) is not None and (standing.rank(int(other)) or 0) > rank
    )
    minimal = search.minimal(found)
    return FlipSet(
        user=ex.naming.user(u),
        item=ex.naming.item(target),
        removed=tuple(
            Term(ex.naming.item(int(like)), parts[int(like)])
            for like in sorted(found, key=lambda like: -parts[int(like)])
        ),
        rival=ex.naming.item(rival),
        before=(float(standing.scores[target]), float(standing.scores[rival])),
        after=(float(after.scores[target]), float(after.scores[rival])),
        mode=mode,
        verified=search.flipped(found) and minimal,
        likes=len(likes),
        runs=world.runs,
        note=""
        if minimal
        else "A smaller set among these flips it as well; which one was not searched to the end.",
    )


def _no_flip(
    ex: "Explainer",
    user: int,
    target: int,
    runner_up: int | None,
    world: World,
    search: "_Flip",
    likes: np.ndarray,
    standing: "Standing",
    max_size: int,
) -> FlipSet:
    if runner_up is None:
        note = "No other item is in the list, so none can overtake it."
    elif not len(likes):
        note = "The user has no liked item that could be taken away."
    elif search.flipped(likes):
        note = (
            f"No set of up to {max_size} likes was found; without all {len(likes)} of them "
            "another item overtakes it."
        )
    else:
        note = (
            f"It keeps its place without all {len(likes)} liked items: what is left of its "
            "score rests on none of them."
        )
    score = float(standing.scores[target])
    return FlipSet(
        user=ex.naming.user(user),
        item=ex.naming.item(target),
        removed=(),
        rival=None,
        before=(score, score if runner_up is None else float(standing.scores[runner_up])),
        after=None,
        mode=world._mode,
        verified=True,
        likes=len(likes),
        runs=world.runs,
        note=note,
    )


class _Flip:
    """The search for a set of likes without which an item loses its place.

    Args:
        world: Ranks under changes.
        target: The item.
        rank: Its place now.
    """

    def __init__(self, world: World, target: int, rank: int) -> None:
        self._world = world
        self._target = target
        self._rank = rank
        self._known: dict[tuple[int, ...], bool] = {}

    def flipped(self, removed: np.ndarray) -> bool:
        """Return whether the item loses its place without some likes."""
        key = tuple(sorted(np.asarray(removed).tolist()))
        if key not in self._known:
            rank = self._world.standing(np.array(key, dtype=np.int64)).rank(self._target)
            self._known[key] = rank is None or rank > self._rank
        return self._known[key]

    def find(
        self, likes: np.ndarray, toward: np.ndarray, margins: np.ndarray, max_size: int
    ) -> tuple[np.ndarray | None, dict[int, float]]:
        """Return a set that was verified to flip, as small as dropping single members makes it, and
        each like's part of the margin.

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
    ex: "Explainer", user: int, target: int, rivals: np.ndarray, likes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the likes, what each gives the target beyond each rival, and the rivals' distances."""
    standing = ex.standing(user)
    if isinstance(ex.effects, LinearModel):
        linear = ex.effects.linear
        node = ex.graph.ckg.user_node(user)
        neighbors, _ = linear.at(node, target).by_neighbor()
        items = neighbors[neighbors < ex.graph.ckg.num_items]
        parts = np.stack(
            [
                linear.at(node, int(other)).by_neighbor()[1][neighbors < ex.graph.ckg.num_items]
                for other in (target, *rivals)
            ]
        )
        return items, parts[0] - parts[1:], standing.scores[target] - standing.scores[rivals]
    rivals = rivals[:5]
    columns = []
    for other in (target, *rivals.tolist()):
        budget = ex.budget(user, int(other))
        if budget is None:
            raise CapabilityError(
                f"{ex.name} does not say what each like gives to a score, so no set of likes can "
                "be searched."
            )
        parts_of = {term.node.key: term.value for term in budget.by_liked}
        columns.append([parts_of.get(ex.data.items.key(like), 0.0) for like in likes.tolist()])
    table = np.array(columns)
    return likes, table[0] - table[1:], standing.scores[target] - standing.scores[rivals]


def why_not(ex: "Explainer", user: str, item: str, k: int = 10) -> WhyNot:
    """Return why an item is not among a user's first ``k``, and which further likes would bring it
    in.
    """
    if k < 1:
        raise ConfigError(f"k is {k}. A list has at least one place.")
    u, target = ex.rows(user, item)
    standing = ex.standing(u)
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
    contrast = compare(ex, user, item, ex.data.items.key(last))
    if rank <= k:
        return WhyNot(contrast, k, (), None, f"It is in the list already, at rank {rank}.")
    world = World(ex, u)
    additions = _additions(ex, world, u, target, standing)
    enters = None
    rows = np.array([ex.data.items.row(term.node.key) for term in additions], dtype=np.int64)
    for count in range(1, len(rows) + 1):
        place = world.standing(np.empty(0, np.int64), rows[:count]).rank(target)
        if place is not None and place <= k:
            enters = count
            break
    if enters:
        note = ""
    elif additions:
        note = "All of these likes together do not bring it into the list."
    else:
        note = "No further like raises its score."
    return WhyNot(contrast, k, additions, enters, note)


def _additions(
    ex: "Explainer", world: World, user: int, target: int, standing: "Standing"
) -> tuple[Term, ...]:
    """Return the likes that raise an item's score most, measured one by one; candidates by what
    they are likely to do.
    """
    candidates = np.setdiff1d(np.arange(ex.data.num_items), np.append(standing.seen, target))
    if isinstance(ex.effects, LinearModel):
        linear = ex.effects.linear
        node = ex.graph.ckg.user_node(user)
        pair = linear.at(node, target)
        candidates = candidates[linear.degree[candidates] > 0]
        likely = (
            linear.rows(candidates, 1) @ pair.toward_item / np.sqrt(linear.degree[candidates] + 1.0)
        )
        best = candidates[np.argsort(-likely, kind="stable")[: 2 * _ADDITIONS]]
        if linear.degree[node] > 0:
            edits = [
                Edit(np.empty((0, 2), np.int64), np.array([[node, item]])) for item in best.tolist()
            ]
            if edits:
                change = pair.scores(edits)[0] - pair.score
            else:
                change = np.empty(0)
        else:
            change = (
                np.array(
                    [
                        world.standing(np.empty(0, np.int64), best[[n]]).scores[target]
                        for n in range(len(best))
                    ]
                )
                - pair.score
            )
    else:
        common = np.asarray((ex.train.T @ ex.train[:, [target]]).todense()).ravel()[candidates]
        best = candidates[np.argsort(-common, kind="stable")[: 2 * _ADDITIONS]]
        before = world.standing(np.empty(0, np.int64)).scores[target]
        change = (
            np.array(
                [
                    world.standing(np.empty(0, np.int64), best[[n]]).scores[target]
                    for n in range(len(best))
                ]
            )
            - before
        )
    order = [n for n in np.argsort(-change, kind="stable").tolist() if change[n] > 0][:_ADDITIONS]
    return tuple(Term(ex.naming.item(int(best[n])), float(change[n])) for n in order)


def what_if(
    ex: "Explainer",
    user: str,
    remove: Sequence[str] = (),
    add: Sequence[str] = (),
    items: Sequence[str] = (),
    remove_facts: Sequence[Fact] = (),
    add_facts: Sequence[Fact] = (),
    k: int = 10,
) -> WhatIf:
    """Return a user's ranking without some likes and facts, and with others."""
    if k < 1:
        raise ConfigError(f"k is {k}. A list has at least one place.")
    if any(isinstance(names, str) for names in (remove, add, items)):
        raise ConfigError("remove, add and items take lists of ids.")
    (u, *rows) = ex.rows(user, *remove, *add, *items)
    gone, new = (
        np.array(sorted(set(part)), dtype=np.int64)
        for part in (rows[: len(remove)], rows[len(remove) : len(remove) + len(add)])
    )
    asked = rows[len(remove) + len(add) :]
    _check_likes(ex, user, ex.liked(u), gone, new)
    facts, more = _facts(ex, remove_facts, add_facts)
    before = ex.standing(u)
    world = World(ex, u)
    if len(gone) + len(new) + len(facts) + len(more):
        after = world.standing(gone, new, facts, more)
    else:
        after = before
    shown = list(dict.fromkeys([*before.order()[:k].tolist(), *asked]))
    changes = [
        Change("like", added, ex.naming.user(u), "interacts", ex.naming.item(int(row)))
        for added, part in ((False, gone), (True, new))
        for row in part
    ]
    changes += [
        _fact_change(ex, fact, added)
        for added, part in ((False, remove_facts), (True, add_facts))
        for fact in part
    ]
    note = "Embeddings stay as trained. " + (
        "Items whose like was taken away stay out of the list." if len(gone) else ""
    )
    return WhatIf(
        user=ex.naming.user(u),
        changes=tuple(changes),
        before=tuple(_ranked(ex, before, row) for row in shown),
        after=tuple(_ranked(ex, after, row) for row in shown),
        top=tuple(_ranked(ex, after, int(row)) for row in after.order()[:k]),
        note=note.strip(),
    )


def _ranked(ex: "Explainer", standing: "Standing", row: int) -> Ranked:
    return Ranked(ex.naming.item(row), standing.rank(row), float(standing.scores[row]))


def _check_likes(
    ex: "Explainer", user: str, likes: np.ndarray, gone: np.ndarray, new: np.ndarray
) -> None:
    for row in gone.tolist():
        if row not in likes:
            raise ConfigError(
                f"{user!r} has no training interaction with {ex.data.items.key(row)!r} that "
                "could be taken away."
            )
    for row in new.tolist():
        if row in likes:
            raise ConfigError(f"{user!r} has {ex.data.items.key(row)!r} already.")


def _facts(
    ex: "Explainer", removed: Sequence[Fact], added: Sequence[Fact]
) -> tuple[np.ndarray, np.ndarray]:
    """Return facts taken away as positions in the graph, and facts put in as (head, relation,
    tail).

    Raises:
        UnknownIdError: If an entity or relation is not known, or a fact to take away is not there.
        CapabilityError: If facts have no effect on the model.
    """
    if (removed or added) and not isinstance(ex.model, GraphEditable):
        raise CapabilityError(
            f"no fact of the graph has an effect on {ex.name}'s scores, so none can be taken "
            "away or added."
        )
    ckg = ex.graph.ckg
    triples = ex.data.triples
    if (removed or added) and ckg.num_relations <= 1:
        raise CapabilityError(
            f"{ex.name} sees interactions alone. Train lightgcn-kg, kgat or kgin to ask about "
            "facts."
        )
    positions = [np.empty(0, np.int64)]
    new = np.empty((len(added), 3), np.int64)
    for number, (fact, there) in enumerate(
        [*((fact, True) for fact in removed), *((fact, False) for fact in added)]
    ):
        head, tail = (_entity(ex, key) for key in (fact[0], fact[2]))
        relation = ckg.relation_of(triples.relations.row(fact[1]))
        found = np.flatnonzero((ckg.head == head) & (ckg.relation == relation) & (ckg.tail == tail))
        if there and not len(found):
            raise UnknownIdError(
                f"the graph does not state ({', '.join(fact)}), so it cannot be taken away."
            )
        if there:
            positions.append(found)
        else:
            new[number - len(removed)] = head, relation, tail
    return np.concatenate(positions), new


def _entity(ex: "Explainer", key: str) -> int:
    """Return the node of an entity's key, or of an item's id."""
    if key in ex.data.triples.entities:
        return ex.data.triples.entities.row(key)
    if key in ex.data.items:
        return ex.data.items.row(key)
    raise UnknownIdError(
        f"the graph has no entity {key!r}.{nearest(key, ex.data.triples.entities)}"
    )


def _fact_change(ex: "Explainer", fact: Fact, added: bool) -> Change:
    return Change(
        "fact",
        added,
        ex.naming.node(_entity(ex, fact[0])),
        fact[1],
        ex.naming.node(_entity(ex, fact[2])),
    )
