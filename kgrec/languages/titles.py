"""Labels as people say them: "Silence of the Lambs, The (1991)" is "The Silence of the Lambs"."""

import re
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import unquote

from kgrec.escaping import terminal
from kgrec.languages.repair import repaired

_ARTICLES = "The|A|An|Der|Die|Das|Ein|Eine|Le|La|Les|L'|Un|Une|El|Los|Las|Una|Il|Lo|Gli|Het"
_INVERTED = re.compile(rf"(?P<title>[^(),][^()]*), (?P<article>{_ARTICLES})(?P<rest> \(.*\))?")
_KINDS = (
    "actor|actress|album|animated|anime|artist|author|band|book|character|comic|comics|company|"
    "composer|director|duo|ep|episode|film|franchise|game|group|label|magazine|manga|miniseries|"
    "movie|musical|musician|newspaper|novel|novella|opera|painter|play|poem|producer|rapper|"
    "screenwriter|series|singer|single|song|soundtrack|writer|"
    "autor|autorin|buch|fernsehserie|filmreihe|komponist|lied|musiker|regisseur|roman|"
    "sänger|sängerin|schauspieler|schauspielerin|spiel"
)
_DISAMBIGUATOR = re.compile(
    rf"(?P<title>.*\S)\s+\((?:\d{{4}}|(?:[^()]{{0,60}} )?(?:{_KINDS}))\)", re.I
)
_ADDRESS = re.compile(r"(?:[A-Za-z][\w+.-]*://|urn:|tag:|info:)\S*")


def spoken(label: str, whole: bool = False) -> str:
    r"""Return a label for a sentence: one line, at most 200 characters, nothing in it that steers a
    terminal or turns the direction of reading.

    What an earlier program spoiled is repaired (``kgrec.languages.repair``), the article goes to the
    front, what tells apart (a year, "(film)") is left out, and an address becomes its last part.

    Args:
        label: As the graph or the table has it.
        whole: Whether a year or "(film)" at the end stays, since another thing has the title.

    >>> spoken("Silence of the Lambs, The (1991)"), spoken("Alien (1979 film)", whole=True)
    ('The Silence of the Lambs', 'Alien (1979 film)')
    >>> spoken("http://dbpedia.org/resource/Ridley_Scott"), spoken("a\u202eb")
    ('Ridley Scott', 'a\\u202eb')
    """
    words = repaired(label[:10_000])
    if _ADDRESS.fullmatch(words.strip()):
        words = local_name(words.strip())

    words = " ".join(words.split())
    if not whole:
        words = _bare(words)

    return terminal(_article_first(words))


def local_name(address: str) -> str:
    """Return the last part of an address in words, the address itself if it has none.

    >>> local_name("http://www.wikidata.org/entity/Q42"), local_name("urn:isbn:978-3")
    ('Q42', '978-3')
    """
    path = address.rstrip("/#:?")
    last = re.split(r"[/#]", path)[-1]
    if "://" not in address:
        last = last.rsplit(":", 1)[-1]

    return unquote(last).replace("_", " ").strip() or address


def ambiguous(labels: Iterable[str], others: Iterable[str] = ()) -> frozenset[str]:
    """Return the labels that would be the same without their year or "(film)", which therefore keep
    it.

    Args:
        labels: Different labels.
        others: Labels that are known to have nothing of the kind at their end.

    >>> sorted(ambiguous(["Titanic (1997)", "Titanic (1953)", "Heat (1995)", "Heat", "Big (film)"]))
    ['Heat (1995)', 'Titanic (1953)', 'Titanic (1997)']
    """
    same: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        same[title_of(label)].add(label)

    for label in others:
        said = _article_first(label).casefold()
        if said in same:
            same[said].add(label)

    return frozenset(
        label
        for alike in same.values()
        if len(alike) > 1
        for label in alike
        if _DISAMBIGUATOR.fullmatch(label)
    )


def title_of(label: str) -> str:
    """Return what two labels share that differ in a year, in "(film)", or in case alone."""
    return _article_first(_bare(_line(label))).casefold()


def may_tell_apart(label: str) -> bool:
    """Return whether a label ends with a year or a kind in parentheses."""
    return _DISAMBIGUATOR.fullmatch(_line(label)) is not None


def _line(label: str) -> str:
    return " ".join(repaired(label[:10_000]).split())


def _bare(words: str) -> str:
    found = _DISAMBIGUATOR.fullmatch(words)
    return words if found is None else found["title"]


def _article_first(words: str) -> str:
    found = _INVERTED.fullmatch(words)
    if found is None:
        return words

    space = "" if found["article"].endswith("'") else " "
    rest = found["rest"] or ""
    inner = rest[2:-1]
    if inner:
        rest = f" ({_article_first(inner)})"

    return f"{found['article']}{space}{found['title']}{rest}"
