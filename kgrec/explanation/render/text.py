"""An explanation as lines for a terminal: its sentences, and every number with what it is."""

import textwrap
from collections.abc import Callable, Sequence

from kgrec.escaping import terminal
from kgrec.explanation.core.records import Budget, Explanation, Node, Path, Term
from kgrec.explanation.core.training_effects import TrainingEffects
from kgrec.explanation.core.words import Words
from kgrec.explanation.render.sentences import (
    claim_words,
    flip_sentence,
    is_small,
    named,
    plain,
    sentence,
)

_ENGLISH = Words()
_NAMED = 5
_PARTS = {
    "own taste": "own_taste",
    "liked items": "liked_items",
    "bias": "bias",
    "rounding": "rounding",
}
_BASES = {
    "exact": "exact",
    "measured": "basis_measured",
    "post-hoc": "post_hoc",
    "not measured": "unmeasured",
}


def _say(words: Words, frame: str, **values: object) -> str:
    return words.lang.say(f"text.{frame}", **values)


def percent(share: float | int) -> str:
    """Return a share for people to read: whole percents, below one percent two digits.

    >>> percent(0.534), percent(0.00142), percent(-0.2)
    ('53 %', '0.14 %', '-20 %')
    """
    if abs(share) >= 0.01 or share == 0:
        return f"{100 * share:.0f} %"

    return f"{100 * share:.2g} %"


def budget_parts(budget: Budget) -> list[tuple[str, float]]:
    """Return the nonzero parts of a score by their names; rounding where it would show."""
    parts = [
        ("own taste", budget.own),
        ("liked items", budget.liked),
        ("bias", budget.bias),
        *budget.other.items(),
    ]
    if abs(budget.residual) > 0.005 * max(abs(budget.score), *(abs(value) for _, value in parts)):
        parts.append(("rounding", budget.residual))

    return [(name, value) for name, value in parts if value]


def part_name(name: str, words: Words = _ENGLISH) -> str:
    """Return the name of a part of a score in a language, where it has one there."""
    if name in _PARTS:
        return _say(words, _PARTS[name])
    return terminal(words.lang.translated("parts", name))


def as_shares(budget: Budget) -> bool:
    """Return whether parts may be called shares: the score is positive, and so are its parts."""
    return budget.score > 0 and all(
        value >= -0.0005 * budget.score for _, value in budget_parts(budget)
    )


def budget_line(budget: Budget, words: Words = _ENGLISH) -> str:
    """Return the parts of a score in one line; as signed numbers where shares would mislead."""
    shares = as_shares(budget)

    def number(part: float) -> str:
        if shares:
            return percent(part / budget.score)
        return f"{part:+.3g}"

    said = []
    for name, value in budget_parts(budget):
        inside = ""
        if name == "liked items" and budget.supported is not None:
            pieces = [_say(words, "supported", part=number(budget.supported))]
            if not 0 <= budget.supported <= value:
                # The rest pulls down: a piece larger than the whole needs it beside itself.
                pieces.append(_say(words, "rest", part=number(value - budget.supported)))

            inside = f" ({', '.join(pieces)})"

        said.append(f"{part_name(name, words)} {number(value)}{inside}")

    return " | ".join(said) or _say(words, "no_parts")


def budget_basis(basis: str, words: Words = _ENGLISH) -> str:
    """Return what a reader must know of a budget's basis, "" where it is exact."""
    return "" if basis == "exact" else _say(words, basis)


def walks_line(budget: Budget, words: Words = _ENGLISH) -> str:
    """Return what real walks carry of the score, as a share only where it is one.

    "" where the model has no such number.
    """
    if budget.on_graph is None:
        return ""

    if as_shares(budget) and 0 <= budget.on_graph <= budget.score:
        return _say(words, "walks_share", part=percent(budget.on_graph / budget.score))

    return _say(
        words,
        "walks",
        part=f"{budget.on_graph:+.3g}",
        rest=f"{budget.score - budget.on_graph:+.3g}",
        score=f"{budget.score:.3g}",
    )


def drop_words(path: Path, explanation: Explanation) -> str:
    """Return what removing a path does, like and facts apart: "drop 0.11 (48 % of the margin, rank
    1 -> 3): like 0.1, facts 0.01, together 0".
    """
    words = explanation.words
    drop = path.drop_delete
    if drop is None:
        like = ""
        if path.like_drop is not None:
            like = _say(words, "without_like", like=f"{path.like_drop:.3g}")

        return _say(words, "not_measured") + like

    if path.basis == "post-hoc" and not drop:
        return _say(words, "no_effect")

    inside = []
    part = of_margin(drop, explanation) or of_score(drop, explanation)
    if part:
        inside.append(part)

    if explanation.rank is not None and path.rank_after is not None:
        inside.append(_say(words, "rank_after", rank=explanation.rank, after=path.rank_after))

    if path.drop_mask is not None:
        inside.append(_say(words, "mask", drop=f"{path.drop_mask:.3g}"))

    said = _say(words, "drop", drop=f"{drop:.3g}")
    if inside:
        said += f" ({', '.join(inside)})"

    said += apart(path, words)
    if is_small(drop, explanation):
        said += _say(words, "tiny")

    if drop < 0:
        said += _say(words, "higher")

    return said


def apart(path: Path, words: Words = _ENGLISH) -> str:
    """Return ": like 0.1, facts 0.01 (unrelated facts: up to 0.005), together 0.001"; "" where like
    and facts are not told apart.
    """
    if path.like_drop is None or path.facts_drop is None or path.together is None:
        return ""

    bar = ""
    if path.placebo is not None:
        bar = _say(words, "placebo", bar=f"{path.placebo:.2g}")

    return _say(
        words,
        "apart",
        like=f"{path.like_drop:.3g}",
        facts=f"{path.facts_drop:.3g}",
        bar=bar,
        together=f"{path.together:.3g}",
    )


def of_margin(drop: float, explanation: Explanation) -> str:
    """Return a drop as a share of the margin, "" where either is not positive."""
    margin = explanation.margin
    if drop <= 0 or margin is None or margin <= 0:
        return ""
    if drop > 10 * margin:
        return _say(explanation.words, "over_margin")

    return _say(explanation.words, "of_margin", part=percent(drop / margin))


def of_score(drop: float, explanation: Explanation) -> str:
    """Return a drop as a share of the score, "" below a thousandth or where not positive."""
    if drop > 0 and drop >= 0.001 * explanation.score > 0:
        return _say(explanation.words, "of_score", part=percent(drop / explanation.score))
    return ""


def basis_word(basis: str, words: Words = _ENGLISH) -> str:
    """Return the basis of a path's numbers in a language."""
    return _say(words, _BASES[basis])


def standing(explanation: Explanation) -> str:
    """Return rank, score, and how far off the next item is."""
    words = explanation.words
    rank = _say(words, "not_ranked")
    if explanation.rank is not None:
        rank = _say(words, "rank", rank=explanation.rank)

    said = _say(words, "score", rank=rank, score=f"{explanation.score:.4g}")
    if explanation.margin is None or explanation.next_item is None:
        return said

    return _say(
        words,
        "next",
        score=said,
        item=quoted(explanation.next_item, words),
        value=f"{explanation.score - explanation.margin:.4g}",
        margin=f"{explanation.margin:.3g}",
    )


def hidden_line(explanation: Explanation) -> str:
    """Return what filters left out, "" where nothing."""
    words = explanation.words
    count = explanation.hidden.get("paths")
    low = explanation.hidden.get("below_min_drop")
    share = explanation.hidden.get("share")
    parts = []

    if count:
        frame = "hidden_path" if count == 1 else "hidden_paths"
        said = _say(words, frame, count=f"{count:,}")
        if share is not None:
            said = _say(words, "hidden_share", paths=said, share=percent(share))

        parts.append(said)

    if low:
        parts.append(_say(words, "below", count=f"{low:,}"))

    return _say(words, "hidden", parts="; ".join(parts)) if parts else ""


def and_more(count: int, most: int, words: Words = _ENGLISH) -> str:
    """Return how many of a list are not shown."""
    if count > most:
        return _say(words, "more", count=f"{count - most:,}")
    return ""


def searched_line(explanation: Explanation) -> str:
    """Return how many paths were found, by length."""
    words = explanation.words
    lengths = [
        _say(words, "of_hop" if length == "1" else "of_hops", count=f"{count:,}", length=length)
        for length, count in explanation.counts.items()
    ]
    cut = _say(words, "cut") if explanation.truncated else ""
    return _say(words, "found", lengths=", ".join(lengths) or _say(words, "none"), cut=cut)


def places(path: Path, words: Words = _ENGLISH, most: int = 6) -> str:
    """Return where the facts of a path are stated, the first few, safe for a terminal."""
    facts = list(dict.fromkeys(fact.short for hop in path.hops for fact in hop.facts))
    shown = ", ".join(map(terminal, facts[:most])) + and_more(len(facts), most, words)
    return _say(words, "facts", places=shown)


def joint_words(path: Path, budget: Budget | None, words: Words = _ENGLISH) -> str:
    """Return what the walks along a path carry, beside what all walks do; "" without both."""
    if path.joint is None or budget is None or budget.on_graph is None:
        return ""
    return _say(words, "joint", joint=f"{path.joint:.2g}", all=f"{budget.on_graph:.2g}")


def text(explanation: Explanation, width: int = 100) -> str:
    """Return an explanation as lines for a terminal, every label made safe for it.

    Lines are wrapped at ``width`` (at least 40) characters; a word longer than that stays whole.
    """
    width = max(width, 40)
    words = explanation.words
    lines = heading(explanation, width)

    for number, path in enumerate(explanation.paths, 1):
        basis = basis_word(path.basis, words)
        lines += wrapped(
            f"{number:>2}  {drop_words(path, explanation)}  {basis}  {claim_words(path, words)}",
            width,
            "    ",
        )
        lines += wrapped(f"    {sentence(path, words)}", width, "      ")
        joint = joint_words(path, explanation.budget, words)
        if explanation.filters.get("rank_by") == "joint" and joint:
            lines += wrapped(f"    {joint}", width, "      ")

        lines += wrapped(f"    {places(path, words)}", width, "      ")

    return "\n".join([*lines, *footing(explanation, width)])


def heading(explanation: Explanation, width: int) -> list[str]:
    """Return who and what, the standing, and the budget, wrapped."""
    words = explanation.words
    item = f'{terminal(explanation.item)} "{terminal(explanation.item_label)}"'
    user = terminal(explanation.user_label)
    lines = wrapped(_say(words, "heading", item=item, user=user), width, "  ")
    lines += wrapped(standing(explanation), width, "  ")
    for said in person_lines(explanation):
        lines += wrapped(said, width, "         ")

    budget = explanation.budget
    if budget is None:
        return lines

    parts = budget_line(budget, words)
    lines += wrapped(_say(words, "budget", parts=parts), width, "         ")
    for said in (walks_line(budget, words), budget_basis(budget.basis, words)):
        if said:
            lines += wrapped(f"         {said}", width, "         ")

    return lines


def person_lines(explanation: Explanation, name: Callable[[Node, Words], str] = named) -> list[str]:
    """Return the history that the user was given, and the likes that hold the rank; ``name`` names
    them.
    """
    words = explanation.words
    lines = []
    if explanation.history:
        items = ", ".join(map(terminal, explanation.history[:_NAMED]))
        items += and_more(len(explanation.history), _NAMED, words)
        lines.append(_say(words, "history", items=items))

    flip = explanation.flip
    if flip is not None:
        item = Node("item", explanation.item, explanation.item_label)
        said = flip_sentence(item, flip, words, name)
        lines.append(said or _say(words, "no_flip", likes=f"{flip.likes:,}"))

    return lines


def training_words(training: TrainingEffects | None, number: int, words: Words = _ENGLISH) -> str:
    """Return the effects through training of a path, counted from 1; "" without any."""
    if training is None:
        return ""
    return _say(
        words, "training", effects=training.paths[number - 1].words(words.language, words.verb)
    )


def footing(explanation: Explanation, width: int) -> list[str]:
    """Return what speaks against, what numbers mean, what was searched, and notes, wrapped."""
    words = explanation.words
    lines = []
    measured = any(path.basis != "post-hoc" for path in explanation.paths)
    if explanation.budget and explanation.paths and not measured:
        # No path has an effect: these likes have.
        pulling = [term for term in explanation.budget.by_liked if term.value > 0]
        if pulling:
            pro = _say(words, "for", terms=terms_line(pulling, 5, words))
            lines += wrapped(pro, width, "         ")

    if explanation.against:
        contra = _say(words, "against", terms=terms_line(explanation.against, 5, words))
        lines += wrapped(contra, width, "         ")

    known = [path for path in explanation.paths if path.drop_delete is not None]
    if any(path.basis != "post-hoc" or path.like_drop for path in known):
        lines += wrapped(_say(words, "legend"), width, "  ")

    lines += wrapped(searched_line(explanation), width, "  ")
    if hidden_line(explanation):
        lines += wrapped(hidden_line(explanation), width, "  ")

    for note in explanation.notes:
        lines += wrapped(_say(words, "note", note=long_text(note)), width, "  ")

    return lines


def quoted(node: Node, words: Words = _ENGLISH) -> str:
    """Return the label of a node between quotes, as people say it."""
    return f'"{plain(node, words)}"'


def terms_line(terms: Sequence[Term], most: int, words: Words = _ENGLISH) -> str:
    """Return parts of a score in one line, the first few."""
    shown = ", ".join(f"{quoted(term.node, words)} {term.value:+.3g}" for term in terms[:most])
    return shown + and_more(len(terms), most, words)


def long_text(words: str) -> str:
    """Return a text of any length, made safe word by word: a label's cap is not a paragraph's."""
    return " ".join(map(terminal, words.split()))


def wrapped(line: str, width: int, indent: str) -> list[str]:
    """Return a line in lines of a width."""
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]
