"""Likes and facts apart in answers and lists, in words; every label made safe for a terminal."""

from collections.abc import Sequence

from kgrec.escaping import terminal
from kgrec.explanation.core.answers import (
    Apart,
    Contrast,
    FlipSet,
    Holding,
    ListReasons,
    WhatIf,
    WhyNot,
)
from kgrec.explanation.core.records import Explanation, Flip, Node, Path
from kgrec.explanation.core.training_effects import TrainingEffects

_STARS = ("*", "*")
_NAMED = 5
_LEFT = 3


def flip_sentence(item: str, flip: Flip, marks: tuple[str, str] = _STARS) -> str:
    """Return "Without *A* and *B* you would see *C* first.", "" where there is no such set; labels
    are as they are.

    Args:
        item: Label of the item whose rank is held.
        flip: The likes that hold it.
        marks: What stands before and after a label.
    """
    if flip.first is None or not flip.without or not flip.verified:
        return ""

    before, after = marks
    labels = [f"{before}{node.label}{after}" for node in flip.without[:_NAMED]]
    if len(flip.without) > _NAMED:
        labels.append(f"{len(flip.without) - _NAMED:,} more liked items")

    likes = labels[-1]
    if len(labels) > 1:
        likes = f"{', '.join(labels[:-1])} and {labels[-1]}"

    first = f"{before}{flip.first.label}{after}"
    if flip.rank == 1:
        return f"Without {likes} you would see {first} first."

    return f"Without {likes} you would see {first} before {before}{item}{after}."


def person_lines(explanation: Explanation, marks: tuple[str, str] = _STARS) -> list[str]:
    """Return the history that the user was given, and the likes that hold the rank; ``marks`` stand
    around labels.
    """
    lines = []
    if explanation.history:
        shown = ", ".join(map(terminal, explanation.history[:_NAMED]))
        lines.append(f"history  {shown}{_more(len(explanation.history), _NAMED)}")

    if explanation.flip is not None:
        said = flip_sentence(explanation.item_label, explanation.flip, marks)
        if not said:
            said = (
                f"No set of the {explanation.flip.likes:,} liked items was found to hold its rank."
            )

        lines.append(_long(said))

    return lines


def training_about(training: TrainingEffects | None) -> str:
    """Return what effects through training are and what they are worth, "" without any."""
    if training is None:
        return ""
    return training.about()


def training_words(training: TrainingEffects | None, number: int) -> str:
    """Return the effects through training of a path, counted from 1; "" without any."""
    if training is None:
        return ""
    return f"through training {training.paths[number - 1].words()}"


def contrast_lines(answer: Contrast) -> list[str]:
    """Return what the difference loses without the like and the facts of each path."""
    lines = []
    for explanation, effects in zip(answer.explanations, answer.effects, strict=True):
        for path, effect in zip(explanation.paths, effects, strict=False):
            words = apart_words(effect)
            if words:
                lines.append(f"  {_stops(path)}: {words}")

    if lines:
        return ["What the difference loses without the like alone and the facts alone:", *lines]

    return []


def apart_words(effect: Apart) -> str:
    """Return "like +0.1, facts -0.01, both +0.09" as far as it was measured."""
    named = (("like", effect.like), ("facts", effect.facts), ("both", effect.whole))
    return ", ".join(f"{name} {value:+.3g}" for name, value in named if value is not None)


def flip_lines(answer: FlipSet) -> list[str]:
    """Return what people read of a flip set, and where the item is without its facts."""
    lines = []
    if answer.sentence:
        lines.append(_long(answer.sentence))

    gone = answer.without_facts
    if gone is not None:
        facts = "fact" if gone.facts == 1 else "facts"
        where = f"it is at rank {gone.rank:,} (score {gone.score:.4g})"
        if gone.rank == answer.rank:
            where = f"it keeps its rank (score {gone.score:.4g})"

        first = ""
        if gone.first != answer.item:
            first = f"; first is {_quoted(gone.first)}"

        lines.append(
            f"Without the {gone.facts:,} {facts} about {_quoted(answer.item)}, all likes kept, "
            f"{where}{first}."
        )

    return lines


def why_not_lines(answer: WhyNot) -> list[str]:
    """Return what the item's own facts do to its score, the likes kept."""
    lines = []
    for words, terms in (
        ("facts that hold it up", [term for term in answer.facts if term.value > 0]),
        ("facts that hold it down", [term for term in answer.facts if term.value < 0]),
    ):
        if terms:
            shown = ", ".join(f"{_quoted(term.node)} {term.value:+.3g}" for term in terms)
            lines.append(f"{words} (drop without what joins it to each, likes kept): {shown}")

    return lines


def what_if_words(answer: WhatIf, number: int) -> str:
    """Return what likes alone and facts alone do to an item, where both were changed."""
    if len({change.what for change in answer.changes}) < 2 or not answer.likes_alone:
        return ""

    likes = answer.likes_alone[number]
    facts = answer.facts_alone[number]
    return f" (likes alone {likes.score:.4g}, facts alone {facts.score:.4g})"


def list_lines(answer: ListReasons) -> list[str]:
    """Return which likes and which facts hold a list up."""
    size = len(answer.items)
    lines = [f"What holds the list of {size:,} up, for {terminal(answer.user.label)}:"]
    lines += [f"  {one.rank}  {_quoted(one.item)}  {one.score:.4g}" for one in answer.items]
    lines.append(
        "Without a like, the facts kept: how many leave the list, and the mean drop of its scores"
    )
    lines += [_holding(one, size) for one in _shown(answer.likes)]
    lines.append(_holding(answer.all_likes, size, "all likes together"))

    if answer.all_facts is not None:
        lines.append("Without what the graph says of its items, the likes kept")
        lines += [_holding(one, size) for one in _shown(answer.facts)]
        lines.append(_holding(answer.all_facts, size, "all facts about its items together"))

    tried = len(answer.likes) - len(_shown(answer.likes))
    if tried:
        lines.append(f"note: {tried:,} more likes are in the JSON and in the table.")

    likes, neighbors = answer.left_out
    if likes or neighbors:
        lines.append(f"not tried: {likes:,} likes, and the facts of {neighbors:,} neighbors")

    return lines


def _shown(holdings: Sequence[Holding]) -> Sequence[Holding]:
    return holdings[:10]


def _holding(one: Holding, size: int, name: str = "") -> str:
    words = name
    if one.node is not None:
        words = _quoted(one.node)
        if one.relations:
            words = f"{', '.join(map(terminal, one.relations))} {words}"

    if one.facts:
        words += f" ({one.facts:,} {'fact' if one.facts == 1 else 'facts'})"

    left = ""
    if one.leave:
        names = ", ".join(_quoted(node) for node in one.leave[:_LEFT])
        left = f" ({names}{_more(len(one.leave), _LEFT)})"

    return f"  {words}: {len(one.leave):,} of {size:,} leave{left}, mean drop {one.drop:.3g}"


def _stops(path: Path) -> str:
    return " - ".join(_quoted(node) for node in path.nodes[1:])


def _quoted(node: Node) -> str:
    return f'"{terminal(node.label)}"'


def _more(count: int, most: int) -> str:
    if count > most:
        return f" and {count - most:,} more"
    return ""


def _long(words: str) -> str:
    return " ".join(map(terminal, words.split()))
