"""How a relation reads in English from its label alone, where that is sure to be grammar."""

import re

# fmt: off
_PREPOSITIONS = frozenset(
    (
        "about", "as", "at", "by", "for", "from", "in", "into", "like", "of", "on", "onto",
        "over", "to", "under", "upon", "with", "within",
    )
)
_ENDINGS = (
    "er", "or", "ist", "ian", "ment", "tion", "sion", "ship", "ity", "ness", "ance", "ence",
    "ism", "logy", "graphy", "tude", "dom", "hood", "parent",
)
_NOT_NOUNS = frozenset(
    (
        "after", "answer", "consider", "cover", "deliver", "differ", "discover", "either",
        "enter", "ever", "later", "neither", "never", "offer", "or", "other", "over", "per",
        "prefer", "rather", "refer", "register", "remember", "render", "together", "transfer",
        "under", "whether",
    )
)
_VERBS = frozenset(
    (
        "became", "began", "bought", "built", "contain", "direct", "gave", "had", "has", "have",
        "held", "hold", "include", "know", "led", "lost", "made", "make", "met", "own", "play",
        "produce", "ran", "receive", "sang", "saw", "sent", "sold", "speak", "taught", "teach",
        "took", "wear", "win", "won", "wore", "write", "wrote",
    )
)
# fmt: on
_CODE = re.compile(r"[A-Z]+[-_ ]?\d\w*|[\W\d_]+|.*[/#{}<>].*|\S*:\S*", re.S)


def is_code(label: str) -> bool:
    """Return whether a label is no words: an identifier such as P57, or an address.

    >>> is_code("P57"), is_code("wdt:P57"), is_code("shot in")
    (True, True, False)
    """
    return _CODE.fullmatch(label.strip()) is not None


def both_ways(label: str, nouns: frozenset[str]) -> tuple[str, str]:
    """Return a label's words from head to tail and from tail to head; "" where they are not sure.

    Only five forms are turned around; all others are left to an arrow, since a wrong guess doubles
    words ("is is sequel of of") or says the opposite.

    Args:
        label: In lower case words, as ``readable`` makes it.
        nouns: Last words that name a thing, besides those whose ending says so.

    >>> nouns = frozenset({"sequel"})
    >>> both_ways("is sequel of", nouns), both_ways("has actor", nouns)
    (('is sequel of', 'has sequel'), ('has actor', 'is actor of'))
    >>> both_ways("influenced by", nouns), both_ways("starring in", nouns)
    (('influenced by', 'influenced'), ('starring in', ''))
    """
    words = label.split()
    if not words:
        return "", ""

    bare = words
    if words[0].lower() in ("is", "was", "are"):
        bare = words[1:]

    if len(bare) == 2 and bare[1] == "by" and bare[0].endswith("ed"):
        return label, bare[0]
    if len(bare) > 1 and bare[-1] == "of" and _names_a_thing(bare[:-1], nouns):
        return label, f"has {' '.join(bare[:-1])}"
    if words[0].lower() == "has" and _names_a_thing(words[1:], nouns):
        return label, f"is {' '.join(words[1:])} of"
    if bare is words and not _begins_with_a_verb(words) and _names_a_thing(words, nouns):
        return label, f"is {label} of"

    return label, ""


def _begins_with_a_verb(words: list[str]) -> bool:
    """Return whether several words may be a verb and its object: "won award", "contains song"."""
    first = words[0].lower()
    ending = first.endswith("ed") or (
        first.endswith("s") and not first.endswith(("ss", "us", "is"))
    )
    return len(words) > 1 and (ending or first in _VERBS)


def _names_a_thing(words: list[str], nouns: frozenset[str]) -> bool:
    """Return whether words are a noun: known, or with the ending of one, and without prepositions
    and verbs before it.
    """
    if not words or {word.lower() for word in words} & (_PREPOSITIONS | {"is", "has", "was"}):
        return False

    last = words[-1].lower()
    if last in nouns:
        return True

    return len(last) > 3 and last not in _NOT_NOUNS and last.endswith(_ENDINGS)
