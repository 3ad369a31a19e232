"""Paths in words. Nothing is said that the path does not hold, and "because" only where removing it was measured to lower the score."""

import textwrap

from kgrec.explanation.schema import Explanation, Hop, Node, Path, Relation
from kgrec.explanation.sinks import terminal

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
    """Return how a relation reads in the direction it is walked: "directed by" forward, "directed" backward.

    A relation outside the small table reads as its label forward and "is <label> of" backward.
    """
    known = _WORDS.get(relation.label.lower())
    if known:
        return known[0 if relation.forward else 1]
    return relation.label if relation.forward else f"is {relation.label} of"


def _hop_words(hop: Hop) -> str:
    if hop.source.kind == "users" and hop.liked:
        return "who also liked"
    return " and ".join(_liked(r) if hop.liked and r.key == "interacts" else wording(r) for r in hop.relations)


def _liked(relation: Relation) -> str:
    return "liked" if relation.forward else "also liked by"


def _named(node: Node) -> str:
    return f"*{node.label}*" if node.kind == "item" else node.label


def sentence(path: Path) -> str:
    """Return a path in words, read from the user on, items between asterisks.

    For example "You liked *Alien* - directed by - Ridley Scott - directed - *Blade Runner*". Labels are as they are: escape for where
    the words go.
    """
    first = path.hops[0]
    parts = [f"You {_hop_words(first)} {_named(first.target)}"] if first.liked else ["You", *_step(first)]
    for hop in path.hops[1:]:
        parts += _step(hop)
    return " - ".join(parts)


def _step(hop: Hop) -> list[str]:
    return [_hop_words(hop), _named(hop.target)]


def claim(path: Path) -> str:
    """Return "because" for a measured path with a positive drop, "is connected through" for any other."""
    return "because" if path.causal else "is connected through"


def reason(explanation: Explanation) -> str:
    """Return one line on why the item is there, from its best path.

    For example "*Blade Runner*: because you liked *Alien* - ...", "*Blade Runner* is connected through: you liked ...".
    """
    title = f"*{explanation.item_label}*"
    if not explanation.paths:
        return f"{title}: no path within the limits"
    best = explanation.paths[0]
    words = sentence(best)
    words = words[:1].lower() + words[1:]
    return f"{title}: because {words}" if best.causal else f"{title} is connected through: {words}"


def text(explanation: Explanation, width: int = 100) -> str:
    """Return an explanation as lines for a terminal, every label made safe for it.

    Lines are wrapped at ``width`` (at least 40) characters; a word longer than that stays whole.
    """
    width = max(width, 40)
    rank = "not ranked" if explanation.rank is None else f"rank {explanation.rank}"
    lines = [f"{terminal(explanation.item)} {terminal(explanation.item_label)!r} for {terminal(explanation.user_label)}"]
    lines.append(f"{rank}, score {explanation.score:.4g}")
    for number, path in enumerate(explanation.paths, 1):
        part = abs(path.drop_delete / explanation.score) if explanation.score else 0.0
        share = f" ({part:.1%} of the score)" if part >= 0.001 else ""
        head = f"drop {path.drop_delete:.4g}{share}" if path.basis == "measured" else "post-hoc"
        lines += _wrapped(f"{number:>2}  {head}  {claim(path)}", width, "    ")
        lines += _wrapped("    " + " - ".join(terminal(part) for part in _parts(path)), width, "      ")
        facts = list(dict.fromkeys(fact.short for hop in path.hops for fact in hop.facts))
        more = f" and {len(facts) - 6} more" if len(facts) > 6 else ""
        lines += _wrapped("    facts: " + ", ".join(map(terminal, facts[:6])) + more, width, "      ")
    if any(path.basis == "measured" for path in explanation.paths):
        lines += _wrapped("drop: how much the score falls when the path's facts are removed and the model is run again.", width, "  ")
    searched = ", ".join(f"{count} of {length} hop{'s' if length != '1' else ''}" for length, count in explanation.counts.items())
    lines += _wrapped(f"paths found: {searched or 'none'}{' (truncated)' if explanation.truncated else ''}", width, "  ")
    for note in explanation.notes:
        lines += _wrapped(f"note: {terminal(note)}", width, "  ")
    return "\n".join(lines)


def _parts(path: Path) -> list[str]:
    return sentence(path).split(" - ")


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]
