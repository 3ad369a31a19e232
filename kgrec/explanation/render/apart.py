"""Likes and facts apart in answers and lists, in words."""

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
from kgrec.explanation.core.records import Path
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.text import and_more, quoted, terms_line

_HELD = 10
_LEFT = 3


def _say(words: Words, frame: str, **values: object) -> str:
    return words.lang.say(f"answers.{frame}", **values)


def contrast_lines(answer: Contrast) -> list[str]:
    """Return what the difference loses without the like and the facts of each path."""
    words = answer.words
    lines = []
    for explanation, effects in zip(answer.explanations, answer.effects, strict=True):
        for path, effect in zip(explanation.paths, effects, strict=False):
            parts = apart_words(effect, words)
            if parts:
                lines.append(_say(words, "apart_path", path=_stops(path, words), parts=parts))

    if lines:
        return [_say(words, "apart_lost"), *lines]

    return []


def apart_words(effect: Apart, words: Words) -> str:
    """Return "like +0.1, facts -0.01, both +0.09" as far as it was measured."""
    named = (("like", effect.like), ("facts", effect.facts), ("both", effect.whole))
    return ", ".join(
        _say(words, f"apart_{name}", value=f"{value:+.3g}")
        for name, value in named
        if value is not None
    )


def without_facts_line(answer: FlipSet) -> list[str]:
    """Return where an item is without its facts."""
    words = answer.words
    gone = answer.without_facts
    if gone is None:
        return []

    score = f"{gone.score:.4g}"
    where = _say(words, "then_no_rank", score=score)
    if gone.rank is not None:
        frame = "then_same" if gone.rank == answer.rank else "then_rank"
        where = _say(words, frame, rank=f"{gone.rank:,}", score=score)

    then = ""
    if gone.first != answer.item:
        then = _say(words, "then_first", item=quoted(gone.first, words))

    frame = "without_fact" if gone.facts == 1 else "without_facts"
    item = quoted(answer.item, words)
    return [_say(words, frame, count=f"{gone.facts:,}", item=item, where=where, then=then)]


def why_not_lines(answer: WhyNot) -> list[str]:
    """Return what the item's own facts do to its score, the likes kept."""
    lines = []
    for frame, terms in (
        ("facts_up", [term for term in answer.facts if term.value > 0]),
        ("facts_down", [term for term in answer.facts if term.value < 0]),
    ):
        if terms:
            shown = terms_line(terms, len(terms), answer.words)
            lines.append(_say(answer.words, frame, terms=shown))

    return lines


def what_if_words(answer: WhatIf, number: int) -> str:
    """Return what likes alone and facts alone do to an item, where both were changed."""
    if len({change.what for change in answer.changes}) < 2 or not answer.likes_alone:
        return ""

    likes = f"{answer.likes_alone[number].score:.4g}"
    facts = f"{answer.facts_alone[number].score:.4g}"
    return _say(answer.words, "alone", likes=likes, facts=facts)


def list_lines(answer: ListReasons) -> list[str]:
    """Return which likes and which facts hold a list up."""
    words = answer.words
    size = len(answer.items)
    user = terminal(answer.user.label)
    lines = [_say(words, "holds", count=f"{size:,}", user=user)]
    lines += [f"  {one.rank}  {quoted(one.item, words)}  {one.score:.4g}" for one in answer.items]
    lines.append(_say(words, "without_likes"))
    lines += [_holding(one, size, words) for one in answer.likes[:_HELD]]
    lines.append(_holding(answer.all_likes, size, words, _say(words, "all_likes")))

    if answer.all_facts is not None:
        lines.append(_say(words, "without_graph"))
        lines += [_holding(one, size, words) for one in answer.facts[:_HELD]]
        lines.append(_holding(answer.all_facts, size, words, _say(words, "all_facts")))

    more = len(answer.likes) - _HELD
    if more > 0:
        note = _say(words, "more_holding", count=f"{more:,}")
        lines.append(words.lang.say("text.note", note=note))

    likes, neighbors = answer.left_out
    if likes or neighbors:
        lines.append(_say(words, "not_tried", likes=f"{likes:,}", neighbors=f"{neighbors:,}"))

    return lines


def _holding(one: Holding, size: int, words: Words, name: str = "") -> str:
    what = name
    if one.node is not None:
        what = quoted(one.node, words)
        if one.relations:
            what = f"{', '.join(map(terminal, one.relations))} {what}"

    if one.facts:
        frame = "of_fact" if one.facts == 1 else "of_facts"
        what += _say(words, frame, count=f"{one.facts:,}")

    left = ""
    if one.leave:
        shown = ", ".join(quoted(node, words) for node in one.leave[:_LEFT])
        left = f" ({shown}{and_more(len(one.leave), _LEFT, words)})"

    return _say(
        words,
        "leave",
        what=what,
        count=f"{len(one.leave):,}",
        size=f"{size:,}",
        names=left,
        drop=f"{one.drop:.3g}",
    )


def _stops(path: Path, words: Words) -> str:
    return " - ".join(quoted(node, words) for node in path.nodes[1:])
