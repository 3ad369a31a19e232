"""Paths in words.

Nothing is said that the path does not hold, and "because" only where removing it was measured to
lower the score.
"""

import textwrap
from collections.abc import Sequence

from kgrec.escaping import terminal
from kgrec.explanation.core.answers import (
    Answer,
    Change,
    Contrast,
    FlipSet,
    ListReasons,
    Ranked,
    Summary,
    WhatIf,
    WhyNot,
)
from kgrec.explanation.core.records import Budget, Explanation, Hop, Node, Path, Relation, Term
from kgrec.explanation.render.apart import (
    contrast_lines,
    flip_lines,
    list_lines,
    person_lines,
    what_if_words,
    why_not_lines,
)

# relation label: how a fact reads from head to tail, and from tail to head
_WORDS = {
    "director": ("directed by", "directed"),
    "directed by": ("directed by", "directed"),
    "actor": ("starring", "acted in"),
    "starring": ("starring", "acted in"),
    "cast": ("starring", "acted in"),
    "genre": ("has the genre", "is the genre of"),
    "music by": ("music by", "composed the music of"),
    "music composer": ("music by", "composed the music of"),
    "composer": ("composed by", "composed"),
    "writer": ("written by", "wrote"),
    "author": ("written by", "wrote"),
    "producer": ("produced by", "produced"),
    "editing": ("edited by", "edited"),
    "cinematography": ("filmed by", "filmed"),
    "publisher": ("published by", "published"),
    "distributor": ("distributed by", "distributed"),
    "country": ("from", "is the country of"),
    "country of origin": ("from", "is the country of origin of"),
    "is part of": ("is part of", "includes"),
    "part of series": ("is part of", "includes"),
    "is based on": ("is based on", "is the basis of"),
    "based on": ("is based on", "is the basis of"),
    "follows": ("follows", "is followed by"),
    "subsequent work": ("is followed by", "follows"),
    "previous work": ("follows", "is followed by"),
    "subject": ("is about", "is the subject of"),
}


def wording(relation: Relation) -> str:
    """Return how a relation reads in the direction it is walked.

    That is "directed by" forward and "directed" backward. A relation outside the small table reads
    as its label forward and "is <label> of" backward.
    """
    default = (relation.label, f"is {relation.label} of")
    forward, backward = _WORDS.get(relation.label.lower(), default)
    if relation.forward:
        return forward

    return backward


def _hop_words(hop: Hop) -> str:
    if hop.source.kind == "users" and hop.liked:
        return "who also liked"
    return " and ".join(_relation_words(hop, relation) for relation in hop.relations)


def _relation_words(hop: Hop, relation: Relation) -> str:
    if not hop.liked or relation.key != "interacts":
        return wording(relation)
    if hop.disliked:
        return relation.label if relation.forward else f"{relation.label} by"
    if relation.forward:
        return "liked"
    return "also liked by"


def _named(node: Node) -> str:
    if node.kind == "item":
        return f"*{node.label}*"
    return node.label


def sentence(path: Path) -> str:
    """Return a path in words, read from the user on, items between asterisks.

    For example "You liked *Alien* - directed by - Ridley Scott - directed - *Blade Runner*". Labels
    are as they are: escape for where the words go.
    """
    return " - ".join(_parts(path))


def _parts(path: Path) -> list[str]:
    first = path.hops[0]
    if first.disliked:
        parts = [f"You rated {_named(first.target)} {first.relation_label.removeprefix('rated ')}"]
    elif first.liked:
        parts = [f"You {_hop_words(first)} {_named(first.target)}"]
    else:
        parts = ["You", *_step(first)]

    for hop in path.hops[1:]:
        parts += _step(hop)

    return parts


def _step(hop: Hop) -> list[str]:
    return [_hop_words(hop), _named(hop.target)]


def claim(path: Path) -> str:
    """Return what may be said of a path before its words, by what was measured.

    "because" is for a like that holds the score up, "because of the like and the facts" where
    the facts do as well, beyond what unrelated facts do; all else is a connection.
    """
    like = path.like_claim
    facts = path.facts_claim
    if like == "disliked":
        return "is connected through"
    if facts == "cause":
        return _FACTS_TOO if like == "cause" else "because of the facts"
    if like == "cause":
        return "because of the like"
    if "depends" in (like, facts):
        return "depends on how you count"

    return "is connected through"


_FACTS_TOO = "because of the like and the facts"


def because(path: Path) -> str:
    """Return a path as a sentence that claims what was measured, and no more.

    For example "because you liked *Alien*, and because of what joins the two: *Alien* - directed by
    - Ridley Scott - directed - *Blade Runner*", "because you liked *Alien*. The two are also
    connected: *Alien* - ...", "is connected through: you liked *Alien* - ...".
    """
    parts = _parts(path)
    parts[0] = parts[0][:1].lower() + parts[0][1:]
    words = claim(path)
    first = path.hops[0].liked
    if words == "because of the facts" or (words == _FACTS_TOO and not first):
        return f"because {' - '.join(parts)}"

    if not first or words in ("depends on how you count", "is connected through"):
        joined = ": " if words == "is connected through" else " whether this is a reason: "
        return f"{words}{joined}{' - '.join(parts)}"

    liked, *rest = parts
    if not rest:
        return f"because {liked}"

    between = " - ".join([_named(path.hops[0].target), *rest])
    if words == _FACTS_TOO:
        return f"because {liked}, and because of what joins the two: {between}"
    if path.facts_claim == "not measured":
        return f"because {liked}. What joins the two was not measured: {between}"

    return f"because {liked}. The two are also connected: {between}"


def reason(explanation: Explanation) -> str:
    """Return one line on why the item is there, from its best path: the first one whose facts beat
    unrelated ones, else the first.

    For example "*Blade Runner*: because you liked *Alien*. The two are also connected: ...",
    "*Blade Runner* is connected through: you liked ...".
    """
    title = f"*{explanation.item_label}*"
    if not explanation.paths:
        return f"{title}: no path within the limits"

    best = headline(explanation)
    words = because(best)
    if words.startswith("because"):
        small = ""
        if is_small(best, explanation):
            small = " (a small part: less than a thousandth of the score)"

        return f"{title}: {words}{small}"

    return f"{title} {words}"


def headline(explanation: Explanation) -> Path:
    """Return the path that speaks for an explanation: the first one whose facts are a cause, else
    the first.
    """
    causes = (path for path in explanation.paths if path.facts_claim == "cause")
    return next(causes, explanation.paths[0])


def is_small(path: Path, explanation: Explanation) -> bool:
    """Return whether a path's drop is less than a thousandth of the score."""
    drop = path.drop_delete
    return drop is not None and 0 < drop < 0.001 * abs(explanation.score)


def percent(share: float | int) -> str:
    """Return a share for people to read: whole percents, below one percent two digits.

    >>> percent(0.534), percent(0.00142), percent(-0.2)
    ('53 %', '0.14 %', '-20 %')
    """
    if abs(share) >= 0.01 or share == 0:
        return f"{100 * share:.0f} %"

    return f"{100 * share:.2g} %"


def budget_parts(budget: Budget) -> list[tuple[str, float]]:
    """Return the nonzero parts of a score by their names in words; rounding where it would show."""
    named = [
        ("own taste", budget.own),
        ("liked items", budget.liked),
        ("bias", budget.bias),
        *budget.other.items(),
    ]
    if abs(budget.residual) > 0.005 * max(abs(budget.score), *(abs(value) for _, value in named)):
        named.append(("rounding", budget.residual))

    return [(name, value) for name, value in named if value]


def as_shares(budget: Budget) -> bool:
    """Return whether parts may be called shares: the score is positive, and so are its parts."""
    return budget.score > 0 and all(
        value >= -0.0005 * budget.score for _, value in budget_parts(budget)
    )


def budget_line(budget: Budget) -> str:
    """Return the parts of a score in one line; as signed numbers where shares would mislead."""
    shares = as_shares(budget)

    def number(part: float) -> str:
        if shares:
            return percent(part / budget.score)
        return f"{part:+.3g}"

    words = []
    for name, value in budget_parts(budget):
        inside = ""
        if name == "liked items" and budget.supported is not None:
            pieces = [f"supported by a fact <= 3 hops: {number(budget.supported)}"]
            if not 0 <= budget.supported <= value:
                # The rest pulls down: a piece larger than the whole needs it beside itself.
                pieces.append(f"the rest: {number(value - budget.supported)}")

            inside = f" ({', '.join(pieces)})"

        words.append(f"{name} {number(value)}{inside}")

    return " | ".join(words) or "nothing: every part of the score is 0"


_BUDGET_BASIS = {
    "exact": "",
    "linearized": "The parts add up at this point; when likes or facts change, what the parts "
    "are worth moves as well.",
    "measured": "The part of a liked item is the drop of the score without that like, measured "
    "by running the model again.",
}


def walks_line(budget: Budget) -> str:
    """Return what real walks carry of the score, as a share only where it is one.

    "" where the model has no such number.
    """
    if budget.on_graph is None:
        return ""

    walks = "Walks in the graph from the user to the item carry"
    if as_shares(budget) and 0 <= budget.on_graph <= budget.score:
        return (
            f"{walks} {percent(budget.on_graph / budget.score)} of the score; the rest is "
            "learned similarity between different nodes."
        )

    rest = budget.score - budget.on_graph

    return (
        f"{walks} {budget.on_graph:+.3g}, learned similarity between different nodes gives "
        f"{rest:+.3g}: {budget.score:.3g} together."
    )


def drop_words(path: Path, explanation: Explanation) -> str:
    """Return what removing a path does, like and facts apart: "drop 0.11 (48 % of the margin, rank
    1 -> 3): like 0.1, facts 0.01, together 0".
    """
    drop = path.drop_delete
    if drop is None:
        like = "" if path.like_drop is None else f", without the like {path.like_drop:.3g}"
        return f"effect of the facts not measured{like}"

    if path.basis == "post-hoc" and not drop:
        return "no effect on the score"

    inside = []
    part = of_margin(drop, explanation) or of_score(drop, explanation)
    if part:
        inside.append(part)

    if explanation.rank is not None and path.rank_after is not None:
        inside.append(f"rank {explanation.rank} -> {path.rank_after}")

    if path.drop_mask is not None:
        inside.append(f"{path.drop_mask:.3g} with the other weights kept")

    words = f"drop {drop:.3g}"
    if inside:
        words += f" ({', '.join(inside)})"

    words += apart(path)
    if is_small(path, explanation):
        words += "; less than a thousandth of the score"

    if drop < 0:
        words += "; the score is higher without it"

    return words


def apart(path: Path) -> str:
    """Return ": like 0.1, facts 0.01 (unrelated facts: up to 0.005), together 0.001"; "" where like
    and facts are not told apart.
    """
    if path.like_drop is None or path.facts_drop is None or path.together is None:
        return ""

    bar = "" if path.placebo is None else f" (unrelated facts: up to {path.placebo:.2g})"

    return (
        f": like {path.like_drop:.3g}, facts {path.facts_drop:.3g}{bar}, together "
        f"{path.together:.3g}"
    )


def of_margin(drop: float, explanation: Explanation) -> str:
    """Return a drop as a share of the margin, "" where either is not positive."""
    margin = explanation.margin
    if drop <= 0 or margin is None or margin <= 0:
        return ""
    if drop > 10 * margin:
        return "over 10 times the margin"

    return f"{percent(drop / margin)} of the margin"


def of_score(drop: float, explanation: Explanation) -> str:
    """Return a drop as a share of the score, "" below a thousandth or where not positive."""
    if drop > 0 and drop >= 0.001 * explanation.score > 0:
        return f"{percent(drop / explanation.score)} of the score"
    return ""


def standing(explanation: Explanation) -> str:
    """Return rank, score, and how far off the next item is."""
    rank = "not ranked"
    if explanation.rank is not None:
        rank = f"rank {explanation.rank}"

    words = f"{rank}, score {explanation.score:.4g}"
    if explanation.margin is None or explanation.next_item is None:
        return words

    following = explanation.score - explanation.margin

    return (
        f"{words} (next: {_quoted(explanation.next_item)} at {following:.4g}, margin "
        f"{explanation.margin:.3g})"
    )


def hidden_line(explanation: Explanation) -> str:
    """Return what filters left out, "" where nothing."""
    count = explanation.hidden.get("paths")
    low = explanation.hidden.get("below_min_drop")
    share = explanation.hidden.get("share")
    parts = []

    if count:
        words = f"{count:,} {_plural('path', count)}"
        if share is not None:
            words += f", {percent(share)} of all first-order effects"

        parts.append(words)

    if low:
        parts.append(f"{low:,} of those measured, with a smaller drop than asked for")

    if parts:
        return f"hidden by the filters: {'; '.join(parts)}"

    return ""


def _plural(noun: str, count: object) -> str:
    if count == 1:
        return noun
    return f"{noun}s"


def _and_more(count: int, most: int) -> str:
    """Return how many of a list are not shown."""
    if count > most:
        return f" and {count - most:,} more"
    return ""


def searched_line(explanation: Explanation) -> str:
    """Return how many paths were found, by length."""
    found = ", ".join(
        f"{count:,} of {length} {_plural('hop', 1 if length == '1' else 2)}"
        for length, count in explanation.counts.items()
    )
    cut = ""
    if explanation.truncated:
        cut = " (truncated: the search stopped at its budget)"

    return f"paths found: {found or 'none'}{cut}"


def places(path: Path, most: int = 6) -> str:
    """Return where the facts of a path stand, the first few of them, safe for a terminal."""
    facts = list(dict.fromkeys(fact.short for hop in path.hops for fact in hop.facts))
    return ", ".join(map(terminal, facts[:most])) + _and_more(len(facts), most)


def joint_words(path: Path, budget: Budget | None) -> str:
    """Return what the walks along a path carry, beside what all walks do; "" without both."""
    if path.joint is None or budget is None or budget.on_graph is None:
        return ""

    return (
        f"walks along this path carry {path.joint:.2g} of the {budget.on_graph:.2g} that all "
        "walks in the graph carry"
    )


def text(explanation: Explanation, width: int = 100) -> str:
    """Return an explanation as lines for a terminal, every label made safe for it.

    Lines are wrapped at ``width`` (at least 40) characters; a word longer than that stays whole.
    """
    width = max(width, 40)
    lines = heading(explanation, width)

    for number, path in enumerate(explanation.paths, 1):
        lines += _wrapped(
            f"{number:>2}  {drop_words(path, explanation)}  {path.basis}  {claim(path)}",
            width,
            "    ",
        )
        lines += _wrapped("    " + " - ".join(map(terminal, _parts(path))), width, "      ")
        if explanation.filters.get("rank_by") == "joint" and joint_words(path, explanation.budget):
            lines += _wrapped("    " + joint_words(path, explanation.budget), width, "      ")

        lines += _wrapped(f"    facts: {places(path)}", width, "      ")

    return "\n".join([*lines, *footing(explanation, width)])


def heading(explanation: Explanation, width: int) -> list[str]:
    """Return who and what, the standing, and the budget, wrapped."""
    item = f'{terminal(explanation.item)} "{terminal(explanation.item_label)}"'
    lines = _wrapped(f"{item} for {terminal(explanation.user_label)}", width, "  ")
    lines += _wrapped(standing(explanation), width, "  ")
    for words in person_lines(explanation):
        lines += _wrapped(words, width, "         ")

    if explanation.budget:
        lines += _wrapped(f"budget   {budget_line(explanation.budget)}", width, "         ")
        for words in (walks_line(explanation.budget), _BUDGET_BASIS[explanation.budget.basis]):
            if words:
                lines += _wrapped(f"         {words}", width, "         ")

    return lines


def footing(explanation: Explanation, width: int) -> list[str]:
    """Return what speaks against, what numbers mean, what was searched, and notes, wrapped."""
    lines = []
    measured = any(path.basis != "post-hoc" for path in explanation.paths)
    if explanation.budget and explanation.paths and not measured:
        # No path has an effect: these likes have.
        pulling = [term for term in explanation.budget.by_liked if term.value > 0]
        if pulling:
            lines += _wrapped(f"for      {_terms(pulling, 5)}", width, "         ")

    if explanation.against:
        lines += _wrapped(f"against  {_terms(explanation.against, 5)}", width, "         ")

    if measured:
        lines += _wrapped(
            "drop: how much the score falls without the path, everything computed again; like: "
            "without the like alone; facts: without the facts alone; together: what only both make.",
            width,
            "  ",
        )

    lines += _wrapped(searched_line(explanation), width, "  ")
    if hidden_line(explanation):
        lines += _wrapped(hidden_line(explanation), width, "  ")

    for note in explanation.notes:
        lines += _wrapped(f"note: {_long(note)}", width, "  ")

    return lines


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
        lines.append(f"note: {_long(note)}")

    wrapped = []
    for line in lines:
        indent = "         "
        if line[:1] == " ":
            indent = "    "

        wrapped += _wrapped(line, width, indent)

    return "\n".join(wrapped)


def _contrast(answer: Contrast) -> list[str]:
    first = _quoted(answer.first.item)
    second = _quoted(answer.second.item)
    parts = [
        ("own taste", answer.own),
        ("liked items", sum(t.value for t in answer.by_liked)),
        ("bias", answer.bias),
        *answer.other.items(),
    ]
    total = " | ".join(f"{terminal(name)} {value:+.3g}" for name, value in parts if value)
    up = [term for term in answer.by_liked if term.value > 0]
    down = [term for term in reversed(answer.by_liked) if term.value < 0]
    lines = [
        f"{first} and {second} for {terminal(answer.user.label)}",
        f"first    {_ranked(answer.first)}",
        f"second   {_ranked(answer.second)}",
        f"difference {answer.difference:+.4g} = {total or '0'}",
    ]
    if up:
        lines.append(f"for the first, of the liked items: {_terms(up, 5)}")

    if down:
        lines.append(f"for the second, of the liked items: {_terms(down, 5)}")

    for words, nodes in (
        (f"only {first}", answer.only_first),
        ("both", answer.shared),
        (f"only {second}", answer.only_second),
    ):
        if nodes:
            lines.append(f"{words}: {_names(nodes, 8)}")

    if _BUDGET_BASIS[answer.basis]:
        lines.append(_BUDGET_BASIS[answer.basis])

    lines += [_long(reason(one)) for one in answer.explanations if one.paths]
    return lines + contrast_lines(answer)


def _flip(answer: FlipSet) -> list[str]:
    item = _quoted(answer.item)
    if not answer.removed or answer.rival is None or answer.after is None:
        return [
            f"{item} for {terminal(answer.user.label)}: no set of the {answer.likes:,} liked "
            "items was found without which another item is "
            f"ahead of it ({answer.runs:,} rankings computed).",
            *flip_lines(answer),
        ]

    few = f"{len(answer.removed):,} of the {answer.likes:,} liked items"
    how = "the other weights kept"
    if answer.mode == "delete":
        how = "everything computed again"

    checked = "not verified"
    if answer.verified:
        checked = (
            "verified: the whole ranking was computed again without them, and with each of "
            "them put back it is as before"
        )

    return [
        *flip_lines(answer),
        f"Without {few}, {_quoted(answer.rival)} is ahead of {item} for "
        f"{terminal(answer.user.label)} ({how}).",
        *(f"  without {_quoted(term.node)}  {term.value:+.3g}" for term in answer.removed),
        f"before   {item} {answer.before[0]:.4g}, {_quoted(answer.rival)} {answer.before[1]:.4g}",
        f"after    {item} {answer.after[0]:.4g}, {_quoted(answer.rival)} {answer.after[1]:.4g}",
        f"{checked} ({answer.runs:,} rankings computed).",
    ]


def _why_not(answer: WhyNot) -> list[str]:
    contrast = answer.contrast
    rank = "is not ranked"
    if contrast.first.rank is not None:
        rank = f"is at rank {contrast.first.rank:,}"

    lines = [
        f"{_quoted(contrast.first.item)} {rank}, and the list has {answer.k:,}.",
        *_contrast(contrast),
        *why_not_lines(answer),
    ]
    if not answer.additions:
        return lines

    lines.append(f"liking one of these would change its score most: {_terms(answer.additions, 10)}")
    if answer.enters == 1:
        lines.append("The first one brings it into the list.")
    elif answer.enters is not None:
        lines.append(f"The first {answer.enters} of them together bring it into the list.")
    elif not answer.note:
        lines.append("All of them together do not bring it into the list.")

    return lines


def _what_if(answer: WhatIf) -> list[str]:
    lines = [f"What if, for {terminal(answer.user.label)}:"]
    lines += [f"  {_changed(change)}" for change in answer.changes]

    pairs = zip(answer.before, answer.after, strict=True)
    for number, (before, after) in enumerate(pairs):
        lines.append(
            f"  {_quoted(before.item)}  rank {_rank(before)} -> {_rank(after)}, score "
            f"{before.score:.4g} -> {after.score:.4g}{what_if_words(answer, number)}"
        )

    lines.append("The list then:")
    lines += [f"  {_rank(one)}  {_quoted(one.item)}  {one.score:.4g}" for one in answer.top]
    if answer.note:
        return lines

    how = "the other weights are kept"
    if answer.mode == "delete":
        how = "everything that depends on the graph is computed again"

    return [*lines, f"Embeddings stay as trained; {how}."]


def _changed(change: Change) -> str:
    done = "taken away"
    if change.added:
        done = "added"

    if change.what == "like":
        return f"the like of {_quoted(change.tail)} {done}"

    return (
        f"the fact {_quoted(change.head)} {terminal(change.relation)} {_quoted(change.tail)} {done}"
    )


def _summary(answer: Summary) -> list[str]:
    total = f"sum of scores {answer.score:.4g}"
    if answer.without_graph is not None:
        total += f"; without any edge {answer.without_graph:.4g}; the rest by {answer.by}"

    lines = [
        f"What drives {answer.pairs:,} recommendations to {answer.users:,} users, by {answer.by}",
        f"{total}:",
    ]
    for share in answer.shares:
        part = "" if share.share is None else f"{percent(share.share):>6}  "
        words = f"  {part}{terminal(share.label)}  {share.value:+.4g}"
        if share.facts is not None:
            words += f", {share.facts:,} facts"

        for name, value in share.change.items():
            words += f", {name} {value:+.4f} without it"

        if share.overlap is not None:
            words += f", {percent(share.overlap)} of the lists stay"

        lines.append(words)

    if answer.by != "pattern":
        lines.append("Percents are of the sum of absolute values.")

    if answer.basis == "linearized":
        lines.append(_BUDGET_BASIS[answer.basis])

    return lines


def _quoted(node: Node) -> str:
    return f'"{terminal(node.label)}"'


def _rank(ranked: Ranked) -> str:
    if ranked.rank is None:
        return "-"
    return f"{ranked.rank:,}"


def _ranked(ranked: Ranked) -> str:
    rank = "not ranked"
    if ranked.rank is not None:
        rank = f"rank {ranked.rank:,}"
    return f"{_quoted(ranked.item)}, {rank}, score {ranked.score:.4g}"


def _terms(terms: Sequence[Term], most: int) -> str:
    shown = ", ".join(f"{_quoted(term.node)} {term.value:+.3g}" for term in terms[:most])
    return shown + _and_more(len(terms), most)


def _names(nodes: Sequence[Node], most: int) -> str:
    return ", ".join(_quoted(node) for node in nodes[:most]) + _and_more(len(nodes), most)


def _long(words: str) -> str:
    return " ".join(map(terminal, words.split()))


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]
