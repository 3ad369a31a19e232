"""Answers besides ``Explanation``: contrasts, flip sets, why-not, what-if. Imports no torch."""

import json
from dataclasses import dataclass, field
from typing import Any

from kgrec.explanation.core.json_form import term_to_dict
from kgrec.explanation.core.records import SCHEMA, Explanation, Node, Term
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


class Answer:
    """What all answers share: a versioned JSON form with their kind."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dictionary: ``schema``, ``kind``, then the fields."""
        from kgrec.explanation.render.sentences import flip_sentence

        found = {"schema": SCHEMA, "kind": _kind(self)} | _fields(self)
        if isinstance(self, FlipSet):
            found["text"] = flip_sentence(self)

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
    """

    contrast: Contrast
    k: int
    additions: tuple[Term, ...]
    enters: int | None
    note: str = ""
    words: Words = field(default_factory=Words)


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
    """

    user: Node
    changes: tuple[Change, ...]
    before: tuple[Ranked, ...]
    after: tuple[Ranked, ...]
    top: tuple[Ranked, ...]
    mode: str = "delete"
    note: str = ""
    words: Words = field(default_factory=Words)


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
    if isinstance(value, (Answer, Ranked, Change, Share, Node)):
        return _fields(value)
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return dict(value)

    return value
