"""How a dataset's interactions and relations are said: verbs, and phrases by language."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from kgrec.errors import ConfigError
from kgrec.languages import check_language

DEFAULT_VERB = "interacted with"
"""True of every interaction, whatever it was."""

INTERACTS = "interacts"
"""Name of the interactions in a table of phrases; "interacts:EVENT" are those of one type."""

_EVENTS = {
    "viewed": "view views viewed pv pageview detailview productview viewitem",
    "clicked on": "click clicks clicked clk",
    "bought": "buy buys bought purchase purchases purchased transaction",
    "ordered": "order orders ordered",
    "put in the cart": "cart addtocart addcart basket addtobasket",
    "saved": "save saved fav favorite favourite bookmark wishlist addtowishlist",
    "liked": "like likes liked",
    "rated": "rate rated rating",
    "played": "play plays played",
    "listened to": "listen listens listened",
    "watched": "watch watched",
    "read": "read",
    "opened": "open opened",
    "visited": "visit visits visited",
    "downloaded": "download downloads downloaded",
}
_SAID = {name: verb for verb, names in _EVENTS.items() for name in names.split()}
_LONGEST = 80
_MARKUP = re.compile(r"[<>{}\[\]*`|\\]|&\w+;|&#")
_RATING = re.compile(r"rated \S+ of \S+")


@dataclass(frozen=True, slots=True)
class Phrase:
    """How one relation reads in one language, between the two names: "directed by".

    Attributes:
        relation: Relation key; "interacts", or "interacts:EVENT", for interactions.
        language: Such as "en".
        phrase: From head to tail; the verb, in the form that docs/explanations.md states.
        inverse: From tail to head, "" if there is none.
    """

    relation: str
    language: str
    phrase: str
    inverse: str = ""


@dataclass(frozen=True, slots=True)
class Wording:
    """The words that belong to a dataset.

    Attributes:
        verbs: Past tense of what users did by type of event, "" for all others: ``{"": "listened
            to"}``. Without one, an event's own name may say it ("purchase": "bought"); what was
            rated in the upper half of its scale is "liked", and of anything else a neutral verb is
            said.
        phrases: How relations read.
        labels: Labels of relations that the graph states, by language and key.
    """

    verbs: Mapping[str, str] = field(default_factory=dict)
    phrases: tuple[Phrase, ...] = ()
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse verbs, phrases and languages that no sentence can hold.

        Raises:
            ConfigError: If there is one.
        """
        for event, verb in self.verbs.items():
            named = f"verb of {event!r}" if event else "verb"
            check_words(verb, named)
            if _RATING.fullmatch(verb):
                raise ConfigError(
                    f"{named}: {verb!r} is how a low rating reads. Say it in other words."
                )

        for one in self.phrases:
            check_language(one.language)
            check_words(one.phrase, f"phrase of {one.relation!r}")
            if one.relation.split(":")[0] == INTERACTS and _RATING.fullmatch(one.phrase):
                raise ConfigError(
                    f"phrase of {one.relation!r}: {one.phrase!r} is how a low rating reads. Say it "
                    "in other words."
                )

            if one.inverse:
                check_words(one.inverse, f"inverse phrase of {one.relation!r}")

    def verb(self, event: str = "") -> str | None:
        """Return the verb of an event's type, that of all others if it has none, or None."""
        return self.verbs.get(event, self.verbs.get(""))

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored with a dataset, JSON-ready."""
        record: dict[str, Any] = {
            "verbs": dict(self.verbs),
            "phrases": [asdict(one) for one in self.phrases],
        }
        if self.labels:
            record["labels"] = {code: dict(found) for code, found in self.labels.items()}

        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Wording":
        """Return what ``to_dict`` wrote; nothing of an empty record.

        Raises:
            ConfigError: If it holds something else.
        """
        phrases = [
            Phrase(*(str(one[name]) for name in ("relation", "language", "phrase", "inverse")))
            for one in record.get("phrases", ())
        ]
        verbs = {str(event): str(verb) for event, verb in record.get("verbs", {}).items()}
        labels = {
            check_language(code): {str(key): str(label) for key, label in found.items()}
            for code, found in record.get("labels", {}).items()
        }
        return cls(verbs, tuple(phrases), labels)


def check_words(words: str, what: str) -> str:
    """Return words that can be in a sentence as they are.

    Raises:
        ConfigError: If they are empty or long, or hold markup, placeholders, control characters or
            such as turn the direction of reading.
    """
    if not isinstance(words, str) or not words.strip():
        raise ConfigError(f"{what}: is empty. Say it in words, for instance 'listened to'.")
    if not words.isprintable():
        raise ConfigError(
            f"{what}: {words[:_LONGEST]!r} holds a character that is not printed. Omit it."
        )
    if words != " ".join(words.split()):
        raise ConfigError(f"{what}: {words[:_LONGEST]!r} has blanks around or doubled. Omit them.")
    if len(words) > _LONGEST:
        raise ConfigError(f"{what}: {len(words)} characters. A phrase has at most {_LONGEST}.")

    found = _MARKUP.search(words)
    if found is not None:
        raise ConfigError(
            f"{what}: {words!r} holds {found[0]!r}. A phrase is plain words, without markup and "
            "placeholders; it goes between the two names."
        )

    return words


def can_be_said(words: str) -> bool:
    """Return whether words can be in a sentence as they are (``check_words``)."""
    try:
        check_words(words, "words")
    except ConfigError:
        return False

    return True


def event_verb(event: str) -> str | None:
    """Return what a type of event says by its own name, None where it says nothing known.

    >>> event_verb("purchase"), event_verb("Add_To_Cart"), event_verb("remove_from_cart")
    ('bought', 'put in the cart', None)
    """
    return _SAID.get(re.sub(r"[\W_]+", "", event).casefold())


def read_verbs(given: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return verbs by type of event: of one verb, it is the verb of all interactions."""
    if given is None:
        return {}
    if isinstance(given, str):
        return {"": given}
    return dict(given)
