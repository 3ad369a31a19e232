"""Answers besides explanations as lines for a terminal: contrasts, flip sets, why not, what if."""

from collections.abc import Sequence

from kgrec.escaping import terminal
from kgrec.explanation.core.answers import (
    Answer,
    Change,
    Contrast,
    FlipSet,
    ListReasons,
    Ranked,
    Share,
    Summary,
    WhatIf,
    WhyNot,
)
from kgrec.explanation.core.records import Node
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.apart import (
    contrast_lines,
    list_lines,
    what_if_words,
    why_not_lines,
    without_facts_line,
)
from kgrec.explanation.render.sentences import reason
from kgrec.explanation.render.text import (
    and_more,
    budget_basis,
    long_text,
    part_name,
    percent,
    quoted,
    terms_line,
    wrapped,
)


def answer_text(answer: Answer, width: int = 100) -> str:
    """Return an answer as lines for a terminal, every label made safe for it.

    Lines are wrapped at ``width`` (at least 40) characters; a word longer than that stays whole.
    """
    width = max(width, 40)
    if isinstance(answer, Contrast):
        lines = _contrast(answer)
    elif isinstance(answer, FlipSet):
        lines = _flip(answer)
    elif isinstance(answer, WhyNot):
        lines = _why_not(answer)
    elif isinstance(answer, WhatIf):
        lines = _what_if(answer)
    elif isinstance(answer, Summary):
        lines = _summary(answer)
    elif isinstance(answer, ListReasons):
        lines = list_lines(answer)
    else:
        raise TypeError(f"no words for {type(answer).__name__}")

    note = getattr(answer, "note", "")
    if note:
        lines.append(answer.words.lang.say("text.note", note=long_text(note)))

    out = []
    for line in lines:
        indent = "         "
        if line[:1] == " ":
            indent = "    "

        out += wrapped(line, width, indent)

    return "\n".join(out)


def _say(words: Words, frame: str, **values: object) -> str:
    return words.lang.say(f"answers.{frame}", **values)


def _contrast(answer: Contrast) -> list[str]:
    words = answer.words
    first = quoted(answer.first.item, words)
    second = quoted(answer.second.item, words)
    user = terminal(answer.user.label)
    parts = [
        ("own taste", answer.own),
        ("liked items", sum(t.value for t in answer.by_liked)),
        ("bias", answer.bias),
        *answer.other.items(),
    ]
    total = " | ".join(f"{part_name(name, words)} {value:+.3g}" for name, value in parts if value)
    up = [term for term in answer.by_liked if term.value > 0]
    down = [term for term in reversed(answer.by_liked) if term.value < 0]
    lines = [
        _say(words, "two", first=first, second=second, user=user),
        _say(words, "first", ranked=_ranked(answer.first, words)),
        _say(words, "second", ranked=_ranked(answer.second, words)),
        _say(words, "difference", value=f"{answer.difference:+.4g}", parts=total or "0"),
    ]
    if up:
        lines.append(_say(words, "for_first", terms=terms_line(up, 5, words)))

    if down:
        lines.append(_say(words, "for_second", terms=terms_line(down, 5, words)))

    lines += _neighbors(answer, first, second)
    if answer.basis != "exact":
        lines.append(budget_basis(answer.basis, words))

    lines += [reason(one) for one in answer.explanations if one.paths]
    return lines + contrast_lines(answer)


def _neighbors(answer: Contrast, first: str, second: str) -> list[str]:
    """Return which neighbors one item alone has, and both."""
    words = answer.words
    lines = []
    for nodes, item in (
        (answer.only_first, first),
        (answer.shared, ""),
        (answer.only_second, second),
    ):
        if nodes:
            frame = "only" if item else "both"
            lines.append(_say(words, frame, item=item, names=_names(nodes, 8, words)))

    return lines


def _flip(answer: FlipSet) -> list[str]:
    words = answer.words
    item = quoted(answer.item, words)
    user = terminal(answer.user.label)
    likes, runs = f"{answer.likes:,}", f"{answer.runs:,}"
    if not answer.removed or answer.rival is None or answer.after is None:
        said = _say(words, "no_flip", item=item, user=user, likes=likes, runs=runs)
        return [said, *without_facts_line(answer)]

    rival = quoted(answer.rival, words)
    few = _say(words, "few", count=f"{len(answer.removed):,}", likes=likes)
    how = _say(words, "again" if answer.mode == "delete" else "kept")
    lines = [answer.sentence] if answer.sentence else []
    lines += without_facts_line(answer)
    lines.append(_say(words, "flipped", few=few, rival=rival, item=item, user=user, how=how))
    lines += [
        _say(words, "without", item=quoted(term.node, words), value=f"{term.value:+.3g}")
        for term in answer.removed
    ]

    for frame, (score, other) in (("before", answer.before), ("after", answer.after)):
        scores = {"score": f"{score:.4g}", "other": f"{other:.4g}"}
        lines.append(_say(words, frame, item=item, rival=rival, **scores))

    checked = "verified" if answer.verified else "not_verified"
    return [*lines, _say(words, checked, runs=runs)]


def _why_not(answer: WhyNot) -> list[str]:
    words = answer.words
    first = answer.contrast.first
    item, k = quoted(first.item, words), f"{answer.k:,}"
    lines = [_say(words, "is_not_ranked", item=item, k=k)]
    if first.rank is not None:
        lines = [_say(words, "at_rank", item=item, rank=f"{first.rank:,}", k=k)]

    lines += [*_contrast(answer.contrast), *why_not_lines(answer)]
    if not answer.additions:
        return lines

    lines.append(_say(words, "additions", terms=terms_line(answer.additions, 10, words)))
    if answer.enters == 1:
        lines.append(_say(words, "enters_one"))
    elif answer.enters is not None:
        lines.append(_say(words, "enters", count=answer.enters))
    elif not answer.note:
        lines.append(_say(words, "enters_not"))

    return lines


def _what_if(answer: WhatIf) -> list[str]:
    words = answer.words
    lines = [_say(words, "what_if", user=terminal(answer.user.label))]
    lines += [_changed(change, words) for change in answer.changes]

    pairs = zip(answer.before, answer.after, strict=True)
    for number, (before, after) in enumerate(pairs):
        lines.append(
            _say(
                words,
                "moved",
                item=quoted(before.item, words),
                rank=_rank(before),
                after=_rank(after),
                score=f"{before.score:.4g}",
                then=f"{after.score:.4g}",
            )
            + what_if_words(answer, number)
        )

    lines.append(_say(words, "list"))
    lines += [f"  {_rank(one)}  {quoted(one.item, words)}  {one.score:.4g}" for one in answer.top]
    if answer.note:
        return lines

    return [*lines, _say(words, "mode_delete" if answer.mode == "delete" else "mode_mask")]


def _changed(change: Change, words: Words) -> str:
    done = "added" if change.added else "removed"
    tail = quoted(change.tail, words)
    if change.what == "like":
        return _say(words, f"like_{done}", item=tail)

    head, relation = quoted(change.head, words), terminal(change.relation)
    return _say(words, f"fact_{done}", head=head, relation=relation, tail=tail)


def _summary(answer: Summary) -> list[str]:
    words = answer.words
    by = _say(words, answer.by)
    sums = {"score": f"{answer.score:.4g}"}
    total = _say(words, "sum", **sums)
    if answer.without_graph is not None:
        total = _say(words, "sum_parts", without=f"{answer.without_graph:.4g}", by=by, **sums)

    pairs, users = f"{answer.pairs:,}", f"{answer.users:,}"
    lines = [_say(words, "drives", pairs=pairs, users=users, by=by), total]
    lines += [_share(share, words) for share in answer.shares]
    if answer.by != "pattern":
        lines.append(_say(words, "percents"))

    if answer.basis == "linearized":
        lines.append(budget_basis(answer.basis, words))

    return lines


def _share(share: Share, words: Words) -> str:
    part = "" if share.share is None else f"{percent(share.share):>6}  "
    said = f"  {part}{terminal(share.label)}  {share.value:+.4g}"
    if share.facts is not None:
        said += _say(words, "share_facts", count=f"{share.facts:,}")

    for name, value in share.change.items():
        said += _say(words, "share_change", name=name, value=f"{value:+.4f}")

    if share.overlap is not None:
        said += _say(words, "share_stay", part=percent(share.overlap))

    return said


def _rank(ranked: Ranked) -> str:
    if ranked.rank is None:
        return "-"
    return f"{ranked.rank:,}"


def _ranked(ranked: Ranked, words: Words) -> str:
    lang = words.lang
    rank = lang.say("text.not_ranked")
    if ranked.rank is not None:
        rank = lang.say("text.rank", rank=f"{ranked.rank:,}")

    item = quoted(ranked.item, words)
    return _say(words, "ranked", item=item, rank=rank, score=f"{ranked.score:.4g}")


def _names(nodes: Sequence[Node], most: int, words: Words) -> str:
    shown = ", ".join(quoted(node, words) for node in nodes[:most])
    return shown + and_more(len(nodes), most, words)
