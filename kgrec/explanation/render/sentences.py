"""Paths in words, in any language of ``kgrec.languages``.

Nothing is said that the path does not hold, and "because" only where removing it was measured to
lower the score. Labels are cleaned for people and made safe for a terminal; a page escapes them
once more.
"""

from collections.abc import Callable, Sequence

from kgrec.escaping import terminal
from kgrec.explanation.core.records import Explanation, Flip, Hop, Node, Path, Relation
from kgrec.explanation.core.words import Words
from kgrec.languages import Language, spoken

_ENGLISH = Words()
_NAMED = 5
_CLAIMS = {
    "because of the like and the facts": "both",
    "because of the facts": "facts",
    "because of the like": "like",
    "depends on how you count": "depends",
    "is connected through": "none",
}
"""What may be said of a path, and its name in a table of sentences."""


def wording(relation: Relation, words: Words = _ENGLISH) -> str:
    """Return how a relation reads in the direction it is walked, between the two names.

    That is "directed by" forward and "directed" backward. Where no words are sure to be grammar, it
    is an arrow in the direction of the fact: "<- shot in -".
    """
    return _phrase(relation, words) or _arrow([relation], words)


def _phrase(relation: Relation, words: Words) -> str:
    """Return the words of a relation, "" where none are sure to be grammar."""
    lang = words.lang
    forward, backward = words.phrases.get(relation.key, ("", ""))
    if not backward and forward:
        backward = lang.inverse(forward)

    own = words.labels.get(relation.key)
    label = relation.label if own is None else own
    known = lang.relation(spoken(label, whole=True), own is not None)
    return (forward or known[0]) if relation.forward else (backward or known[1])


def _arrow(relations: Sequence[Relation], words: Words) -> str:
    """Return parallel relations by their labels, arrows pointing as the facts do."""
    arrows = []
    for forward in dict.fromkeys(relation.forward for relation in relations):
        labels = [
            words.phrases.get(one.key, ("", ""))[0] or relation_words(one, words)
            for one in relations
            if one.forward == forward
        ]
        joined = " + ".join(dict.fromkeys(labels))
        arrows.append(f"- {joined} ->" if forward else f"<- {joined} -")

    return " ".join(arrows)


def relation_words(relation: Relation, words: Words = _ENGLISH) -> str:
    """Return the label of a relation, the graph's own in the language where it has one."""
    return spoken(words.labels.get(relation.key, relation.label), whole=True)


def plain(node: Node, words: Words = _ENGLISH) -> str:
    """Return the label of a node as people say it."""
    if node.kind == "users":
        return _others(node.label, words.lang)
    if node.kind == "user":
        return terminal(node.label)

    return spoken(node.label, node.label in words.whole)


def named(node: Node, words: Words = _ENGLISH) -> str:
    """Return a node as a sentence names it: an item between asterisks, other users as a count."""
    said = plain(node, words)
    return f"*{said}*" if node.kind == "item" else said


def _others(label: str, lang: Language) -> str:
    count = label.partition(" ")[0]
    if not count.isdecimal():
        return terminal(label)
    if count == "1":
        return lang.say("other")

    return lang.say("others", count=count)


def sentence(path: Path, words: Words = _ENGLISH) -> str:
    """Return a path in words, read from the user on, items between asterisks.

    For example "You liked *Alien* - directed by - Ridley Scott - directed - *Blade Runner*".
    """
    said = " ".join(_parts(path, words))
    return said[:1].upper() + said[1:]


def _parts(path: Path, words: Words) -> list[str]:
    """Return the beginning of a path and its further hops, "you" in lower case."""
    first = path.hops[0]
    steps = [_step(hop, words) for hop in path.hops[1:]]
    if first.liked:
        return [_interaction(first, "you", words), *steps]

    return [words.lang.say("you"), _step(first, words), *steps]


def _interaction(hop: Hop, role: str, words: Words, bare: bool = False) -> str:
    """Return an interaction in words: what the user did, or how low it was rated; ``bare`` without
    names.
    """
    lang = words.lang
    ends = (hop.source, hop.target) if hop.forward else (hop.target, hop.source)
    names = {"who": named(ends[0], words), "item": named(ends[1], words)}
    if bare:
        names = dict.fromkeys(names, "")

    if hop.rating is not None:
        rating, most = map(terminal, hop.rating)
        return lang.say(f"rated.{role}", rating=rating, most=most, **names)

    verb = terminal(hop.relation_label)
    own = words.verbs.get(verb)
    return lang.interaction(own or verb, role, own is not None, **names)


def did_words(hop: Hop, words: Words = _ENGLISH) -> str:
    """Return what was done alone, whatever the direction: "liked", "rated 2 of 5"."""
    return _interaction(hop, "did", words, bare=True).strip(" -:")


def _role(hop: Hop) -> str:
    """Return the role of an interaction that is not the user's own first step."""
    if not hop.forward:
        return "also_by"
    return "who_also" if hop.source.kind == "users" else "did"


def _step(hop: Hop, words: Words) -> str:
    """Return a hop after the first in words, with where it leads."""
    if hop.liked:
        return _interaction(hop, _role(hop), words)

    said = hop_words(hop, words)
    target = named(hop.target, words)
    arrow = not all(_phrase(relation, words) for relation in hop.relations)
    return f"{said} {target}" if arrow else f"- {said} - {target}"


def liked_because(hop: Hop, words: Words = _ENGLISH) -> str:
    """Return the user's own interaction as a clause: "because you listened to *Creep*"."""
    return _interaction(hop, "because", words)


def hop_words(hop: Hop, words: Words = _ENGLISH) -> str:
    """Return what a hop says between its two names, for a drawing: "directed by", "also seen by"."""
    if hop.liked:
        return _interaction(hop, _role(hop), words, bare=True).strip(" -:")

    phrases = [_phrase(relation, words) for relation in hop.relations]
    if not all(phrases):
        return _arrow(hop.relations, words)

    return f" {words.lang.say('and')} ".join(dict.fromkeys(phrases))


def claim(path: Path) -> str:
    """Return what may be said of a path before its words, by what was measured, in English.

    "because" is for a like that holds the score up, "because of the like and the facts" where
    the facts do as well, beyond what unrelated facts do; all else is a connection.
    """
    like = path.like_claim
    facts = path.facts_claim
    if like == "disliked":
        return "is connected through"
    if facts == "cause":
        return "because of the like and the facts" if like == "cause" else "because of the facts"
    if like == "cause":
        return "because of the like"
    if "depends" in (like, facts):
        return "depends on how you count"

    return "is connected through"


def claim_kind(path: Path) -> str:
    """Return the claim of a path as tables of sentences name it: "both", "facts", "like", "depends"
    or "none".
    """
    return _CLAIMS[claim(path)]


def claim_words(path: Path, words: Words = _ENGLISH) -> str:
    """Return the claim of a path in a language."""
    return words.lang.say(f"claims.{claim_kind(path)}")


def because(path: Path, words: Words = _ENGLISH) -> str:
    """Return a path as a sentence that claims what was measured, and no more.

    For example "because you liked *Alien*, and because of what joins the two: *Alien* - directed by
    - Ridley Scott - directed - *Blade Runner*", "because you liked *Alien*. The two are also
    connected: *Alien* - ...", "is connected through: you liked *Alien* - ...".
    """
    lang = words.lang
    kind = claim_kind(path)
    first = path.hops[0]
    start, *steps = _parts(path, words)
    chain = " ".join([start, *steps])
    if not first.liked and kind in ("facts", "both"):
        return lang.say("sentence.facts_alone", chain=chain)
    if kind in ("depends", "none") or not first.liked:
        return lang.say(f"sentence.{kind if kind == 'depends' else 'none'}", chain=chain)

    item = named(first.target, words)
    between = " ".join([item, *steps])
    if kind == "facts":
        return lang.say("sentence.facts", item=item, chain=between)

    did = liked_because(first, words)
    if not steps:
        return did
    if kind == "like" and path.facts_claim == "not measured":
        kind = "like_unmeasured"

    return lang.say(f"sentence.{kind}", because=did, chain=between)


def reason(explanation: Explanation) -> str:
    """Return one line on why the item is there, from its best path: the first one whose facts beat
    unrelated ones, else the first.

    For example "*Blade Runner*: because you liked *Alien*. The two are also connected: ...",
    "*Blade Runner* is connected through: you liked ...".
    """
    words = explanation.words
    lang = words.lang
    title = named(Node("item", explanation.item, explanation.item_label), words)
    if not explanation.paths:
        return lang.say("sentence.no_path", item=title)

    best = headline(explanation)
    said = because(best, words)
    if not best.causal:
        return lang.say("sentence.connection", item=title, connected=said)

    whole = lang.say("sentence.reason", item=title, because=said)
    if is_small(_claimed_drop(best), explanation):
        return lang.say("sentence.small", reason=whole)

    return whole


def headline(explanation: Explanation) -> Path:
    """Return the path that speaks for an explanation: the first one whose facts are a cause.

    Else it is the first that is a cause at all, which an item that was rated low is not, or the
    first; or one of the same like and the same claim whose facts weigh more: what connects the two
    is rather a director than a country, which everything else has as well.
    """
    paths = [path for path in explanation.paths if path.causal] or explanation.paths
    first = next((path for path in paths if path.facts_claim == "cause"), paths[0])
    if first.facts_claim == "cause" or first.users is not None:
        return first

    alike = [
        path
        for path in explanation.paths
        if path.nodes[1] == first.nodes[1] and path.users is None and claim(path) == claim(first)
    ]
    if any(path.weight is None for path in alike):
        return first

    return max(alike, key=lambda path: path.weight or 0.0)


def _claimed_drop(path: Path) -> float | None:
    """Return what a score loses without what a path calls a cause."""
    drops = {"both": path.drop_delete, "like": path.like_drop, "facts": path.facts_drop}
    return drops.get(claim_kind(path))


def is_small(drop: float | None, explanation: Explanation) -> bool:
    """Return whether a drop is less than a thousandth of the score."""
    return drop is not None and 0 < drop < 0.001 * abs(explanation.score)


def flip_sentence(
    item: Node, flip: Flip, words: Words = _ENGLISH, name: Callable[[Node, Words], str] = named
) -> str:
    """Return the likes that hold an item's rank in one sentence, "" if no set was verified.

    For example "Without *Alien* and *Heat* you would see *Thief* first." of the first item,
    "... you would see *Thief* before *Blade Runner*." of others.

    Args:
        item: The item.
        flip: The likes.
        words: In which words.
        name: How a node is named.
    """
    if not flip.without or flip.first is None or not flip.verified:
        return ""

    lang = words.lang
    likes = [name(node, words) for node in flip.without[:_NAMED]]
    if len(flip.without) > _NAMED:
        likes.append(lang.say("sentence.more_likes", count=f"{len(flip.without) - _NAMED:,}"))

    *others, items = likes
    if others:
        items = f"{', '.join(others)} {lang.say('and')} {items}"

    frame = "flip_first" if flip.rank == 1 else "flip"
    rival = name(flip.first, words)
    return lang.say(f"sentence.{frame}", items=items, rival=rival, item=name(item, words))
