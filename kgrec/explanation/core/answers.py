"""Answers besides ``Explanation``: contrasts, flip sets, why-not, what-if. Imports no torch."""

import json
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from kgrec.explanation.core.json_form import term_to_dict
from kgrec.explanation.core.records import SCHEMA, Explanation, Flip, Node, Term
from kgrec.explanation.core.words import Words


@dataclass(frozen=True, slots=True)
class Ranked:
    """An item with its rank in a user's list.

    Attributes:
        item: The item.
        rank: From 1; None where the user has it.
        score: Its score.
    """

    item: Node
    rank: int | None
    score: float


@dataclass(frozen=True, slots=True)
class Apart:
    """What a number loses without likes, without facts and without both, each by a re-run.

    Attributes:
        like: Without the likes, the facts kept; None where it was not measured or there is none.
        facts: Without the facts, the likes kept; None where it was not measured.
        whole: Without both; None where it was not measured.
    """

    like: float | None
    facts: float | None
    whole: float | None

    @property
    def together(self) -> float | None:
        """What only both make with each other: whole - like - facts."""
        if self.whole is None or self.like is None or self.facts is None:
            return None
        return self.whole - self.like - self.facts


class Answer:
    """What all answers share: a versioned JSON form with their kind."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dictionary: ``schema``, ``kind``, then the fields."""
        found = {"schema": SCHEMA, "kind": _kind(self)} | _fields(self)
        if isinstance(self, FlipSet):
            found["text"] = self.sentence

        return found

    def to_json(self, indent: int | None = None) -> str:
        """Return the JSON form."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    def to_text(self, width: int = 100) -> str:
        """Return lines for a terminal, every label made safe for it."""
        from kgrec.explanation.render.answer_text import answer_text

        return answer_text(self, width)


@dataclass(frozen=True, slots=True)
class Contrast(Answer):
    """Why one item and not another: the difference of their scores as a sum.

    own + bias + sum of ``by_liked`` + sum of ``other`` + residual equals
    ``first.score - second.score``.

    Attributes:
        user: The user.
        first: The item asked about.
        second: The item it is compared with.
        difference: ``first.score - second.score``.
        own: What the user's own vector gives to the first beyond the second.
        bias: The same of biases.
        by_liked: The same of each liked item, the strongest for the first item first, the strongest
            for the second last.
        other: Further parts.
        residual: What rounding leaves.
        basis: As in ``Budget``.
        only_first: Neighbors in the graph (no users) that the first item alone has.
        shared: Those of both.
        only_second: Those of the second alone.
        explanations: The two explanations, for their paths.
        words: Language of its sentences.
        effects: What the difference loses without the like and without the facts of each of their
            paths; (first, second).
    """

    user: Node
    first: Ranked
    second: Ranked
    difference: float
    own: float
    bias: float
    by_liked: tuple[Term, ...]
    other: dict[str, float]
    residual: float
    basis: str
    only_first: tuple[Node, ...]
    shared: tuple[Node, ...]
    only_second: tuple[Node, ...]
    explanations: tuple[Explanation, Explanation]
    words: Words = field(default_factory=Words)
    effects: tuple[tuple[Apart, ...], tuple[Apart, ...]] = ((), ())


@dataclass(frozen=True, slots=True)
class WithoutFacts:
    """Where an item is without what the graph says of it, all likes kept.

    Attributes:
        facts: Number of facts that were taken away: all that have the item at one end.
        rank: The item's rank then; None where it is not ranked.
        score: Its score then.
        first: The first item of the list then.
    """

    facts: int
    rank: int | None
    score: float
    first: Node


@dataclass(frozen=True, slots=True)
class FlipSet(Answer):
    """Which liked items, if gone, take the item from its place at the top.

    Attributes:
        user: The user.
        item: The item at the top before.
        removed: Liked items whose removal puts another item above it; () where no set was found.
        rival: The item at the top without them; None where no set was found.
        before: Scores of item and rival with everything there (rival None: the runner-up).
        after: The same without ``removed``.
        mode: "delete" (all recomputed) or "mask" (other weights kept).
        verified: True where the whole ranking was computed again without ``removed`` and has
            another item at the top, and computed again for every set with one member put back, each
            of which keeps the item at the top (minimal by inclusion).
        likes: Number of liked items.
        runs: How often the ranking was computed again.
        note: What a reader must know; why there is no set.
        words: Language of its sentences.
        rank: Rank of the item with everything there.
        without_facts: The item without what the graph says of it; None where no fact has an effect,
            or other weights are kept.
    """

    user: Node
    item: Node
    removed: tuple[Term, ...]
    rival: Node | None
    before: tuple[float, float]
    after: tuple[float, float] | None
    mode: str
    verified: bool
    likes: int
    runs: int
    note: str = ""
    words: Words = field(default_factory=Words)
    rank: int = 1
    without_facts: WithoutFacts | None = None

    def short(self) -> Flip:
        """Return it as an explanation carries it."""
        first = self.rival
        without = tuple(term.node for term in self.removed)
        return Flip(without, first, self.rank, self.likes, self.verified)

    @property
    def sentence(self) -> str:
        """What people read, "" where there is no set: "Without *A* you would see *B* first."."""
        from kgrec.explanation.render.sentences import flip_sentence

        return flip_sentence(self.item, self.short(), self.words)


@dataclass(frozen=True, slots=True)
class WhyNot(Answer):
    """Why an item is not in the list, and what would bring it in.

    Attributes:
        contrast: The item against the last one of the list.
        k: Length of the list.
        additions: Items whose like would raise the item's score most; the value is the measured
            change of the score.
        enters: Smallest number of these, taken in order, that brings the item into the list; None
            where all of them do not.
        note: What a reader must know.
        words: Language of its sentences.
        facts: What the item's score loses without what joins it to a neighbor in the graph (no
            user), all likes kept; the strongest either way first. A negative one holds the item
            down.
    """

    contrast: Contrast
    k: int
    additions: tuple[Term, ...]
    enters: int | None
    note: str = ""
    words: Words = field(default_factory=Words)
    facts: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed: a like or a fact, taken away or added.

    Attributes:
        what: "like" or "fact".
        added: True where it was added, False where it was taken away.
        head: The user, or the fact's head.
        relation: "interacts", or the fact's relation key.
        tail: The item, or the fact's tail.
    """

    what: str
    added: bool
    head: Node
    relation: str
    tail: Node


@dataclass(frozen=True, slots=True)
class WhatIf(Answer):
    """The ranking under other likes and facts; embeddings stay as trained.

    Attributes:
        user: The user.
        changes: What was changed.
        before: The first items of the list as it is, and the items asked about.
        after: The same items, in the same order, under the changes.
        top: The first items of the list under the changes.
        mode: "delete": everything that depends on the graph is computed again.
        note: What a reader must know.
        words: Language of its sentences.
        likes_alone: The same items under the changes of likes alone.
        facts_alone: The same items under the changes of facts alone.
    """

    user: Node
    changes: tuple[Change, ...]
    before: tuple[Ranked, ...]
    after: tuple[Ranked, ...]
    top: tuple[Ranked, ...]
    mode: str = "delete"
    note: str = ""
    words: Words = field(default_factory=Words)
    likes_alone: tuple[Ranked, ...] = ()
    facts_alone: tuple[Ranked, ...] = ()

    @property
    def effects(self) -> tuple[Apart, ...]:
        """What each item's score loses by the likes' changes, the facts' and both."""
        parts = zip(self.before, self.likes_alone, self.facts_alone, self.after, strict=True)
        return tuple(
            Apart(was.score - like.score, was.score - facts.score, was.score - both.score)
            for was, like, facts, both in parts
        )


@dataclass(frozen=True, slots=True)
class Holding:
    """A like, or what the graph says of a list's items, and what the list loses without it.

    Attributes:
        node: The liked item; or the node that facts join to items of the list; None for all of
            them together.
        relations: Labels of the relations of the facts; () for likes.
        facts: Number of facts taken away; 0 for likes.
        joined: The items of the list that the facts join to the node; () for likes.
        leave: The items that are no longer in the list.
        drop: Mean drop of the scores of the list's items.
    """

    node: Node | None
    relations: tuple[str, ...]
    facts: int
    joined: tuple[Node, ...]
    leave: tuple[Node, ...]
    drop: float


@dataclass(frozen=True, slots=True)
class ListReasons(Answer):
    """Which likes and which facts hold a user's list up, each by ranking again without it.

    Attributes:
        user: The user.
        items: The list.
        likes: Each like alone, the facts kept; those first without which most items leave.
        facts: What joins the list's items to each neighbor in the graph, the likes kept, in the
            same order.
        all_likes: All likes together.
        all_facts: All facts with an item of the list at one end together; None where no fact has an
            effect or none was measured.
        left_out: Number of likes and of neighbors that were not tried.
        manifest: Model, dataset, settings and versions.
        note: What a reader must know.
        words: Language of its sentences.
    """

    user: Node
    items: tuple[Ranked, ...]
    likes: tuple[Holding, ...]
    facts: tuple[Holding, ...]
    all_likes: Holding
    all_facts: Holding | None
    left_out: tuple[int, int]
    manifest: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    words: Words = field(default_factory=Words)

    def to_frame(self) -> pl.DataFrame:
        """Return one row per like and per neighbor: ``kgrec.explanation.render.frames``."""
        from kgrec.explanation.render.frames import list_frame

        return list_frame(self)


@dataclass(frozen=True, slots=True)
class Share:
    """What one relation, kind of node or pattern carries of many recommendations.

    Attributes:
        key: Relation key, kind, or pattern ("interacts > genre > genre (back)").
        label: What people read.
        value: Sum of its attributions over the recommendations; of a pattern, the mean drop without
            a path's facts, the like kept.
        share: Part of the sum of absolute values; None for patterns, whose paths overlap.
        facts: Number of facts (edges for kinds, paths for patterns) it has.
        change: Change of a metric when all its facts are taken away, by metric; {} where it was not
            measured.
        overlap: Part of the lists that stays the same then; None where it was not measured.
    """

    key: str
    label: str
    value: float
    share: float | None
    facts: int | None = None
    change: dict[str, float] = field(default_factory=dict)
    overlap: float | None = None


@dataclass(frozen=True, slots=True)
class Summary(Answer):
    """What drives many recommendations.

    Attributes:
        by: "relation", "type" or "pattern".
        pairs: Number of (user, item) recommendations that were added up.
        users: Number of users.
        score: Sum of their scores.
        without_graph: Sum of their scores with no edge at all; None where parts are no parts of a
            whole.
        shares: What each carries, largest first; their values add up to ``score - without_graph``,
            up to ``residual``.
        residual: What is left; None like ``without_graph``.
        basis: "exact" or "linearized".
        manifest: Model, dataset, settings and versions.
        note: What a reader must know.
        words: Language of its sentences.
    """

    by: str
    pairs: int
    users: int
    score: float
    without_graph: float | None
    shares: tuple[Share, ...]
    residual: float | None
    basis: str
    manifest: dict[str, Any]
    note: str = ""
    words: Words = field(default_factory=Words)


_KINDS = {
    Contrast: "contrast",
    FlipSet: "flip",
    WhyNot: "why-not",
    WhatIf: "what-if",
    Summary: "summary",
    ListReasons: "list",
}


def _kind(answer: Answer) -> str:
    return _KINDS[type(answer)]


def _fields(record: Any) -> dict[str, Any]:
    return {name: _plain(getattr(record, name)) for name in record.__dataclass_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, Term):
        return term_to_dict(value)
    if isinstance(value, (Explanation, Words)):
        return value.to_dict()
    if isinstance(value, Apart):
        return _fields(value) | {"together": value.together}
    if isinstance(value, (Answer, Ranked, Change, Share, Node, Holding, WithoutFacts)):
        return _fields(value)
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return dict(value)

    return value
