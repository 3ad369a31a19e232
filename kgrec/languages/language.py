"""One language: its sentences, its relations and its verbs, from the table of that name."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from kgrec.errors import ConfigError, nearest
from kgrec.languages.phrasing import both_ways, is_code

DEFAULT = "en"
LIKED = "liked"
LANGUAGES = ("de", "en")
FRAMES = (
    *("interaction", "rated", "claims", "sentence", "text", "answers", "page"),
    *("notes", "parts", "training"),
)
"""Sections of a table whose values are sentences."""

_BRACES = re.compile(r"\{(\w+)\}")
_ROLES = ("you", "because", "also_by", "who_also", "did")


def check_language(code: str) -> str:
    """Return the code of a language that explanations can be in.

    Raises:
        ConfigError: If there is no table for it.
    """
    if code not in LANGUAGES:
        raise ConfigError(
            f"language {code!r} is unknown.{nearest(code, LANGUAGES)} Known: "
            f"{', '.join(LANGUAGES)}."
        )
    return code


@cache
def language(code: str, verb: str = LIKED) -> "Language":
    """Return a language by its code, such as "en" or "de".

    Args:
        code: Such as "en".
        verb: What users did: where they are not known to have liked anything, no sentence says so.

    Raises:
        ConfigError: If there is no table for it.
    """
    table = files("kgrec.languages").joinpath(f"{check_language(code)}.toml")
    return Language(code, tomllib.loads(table.read_text(encoding="utf-8")), verb)


class Language:
    """The words of one language.

    Args:
        code: Such as "en".
        table: What its file holds.
        verb: What users did, as the dataset says it in English.
    """

    def __init__(self, code: str, table: Mapping[str, Any], verb: str = LIKED) -> None:
        self.code = code
        self.table = table
        self.verb = verb
        self._nouns = frozenset(table["grammar"]["nouns"])

    @property
    def name(self) -> str:
        """What the language calls itself."""
        return str(self.table["name"])

    def say(self, frame: str, **values: object) -> str:
        """Return a sentence by "section.key", its braces filled in.

        >>> language("en").say("text.rank", rank=3)
        'rank 3'
        """
        section, _, key = frame.rpartition(".")
        table = self.table[section] if section else self.table
        found = table[key]
        if self.verb != LIKED:
            found = self.table.get("unliked", {}).get(section, {}).get(key, found)

        return str(found).format(**{"verb": self.verb, **values})

    def translated(self, section: str, sentence: str) -> str:
        """Return a sentence of an English section in this language, as it is if it is none.

        >>> language("de").translated("notes", "No path of 1 hop joins this user and this item.")
        'Kein Pfad von 1 Schritt verbindet diese Person und diesen Titel.'
        """
        if (self.code, self.verb) == (DEFAULT, LIKED):
            return sentence

        for key, pattern in language(DEFAULT).patterns(section):
            found = pattern.fullmatch(sentence)
            if found is not None:
                inner = found.groupdict().items()
                values = {name: self.translated(section, one) for name, one in inner}
                return self.say(f"{section}.{key}", **values)

        return sentence

    def patterns(self, section: str) -> list[tuple[str, re.Pattern[str]]]:
        """Return keys of a section, and what its sentences match with their braces filled in."""
        found = []
        others = self.table.get("unliked", {}).get(section, {})
        for key, frame in (*self.table[section].items(), *others.items()):
            parts = _BRACES.split(str(frame))
            texts, names = parts[::2], [*parts[1::2], ""]
            pattern = "".join(
                re.escape(text) + (f"(?P<{name}>.*?)" if name else "")
                for text, name in zip(texts, names, strict=True)
            )
            found.append((key, re.compile(pattern, re.S)))

        return found

    def relation(self, label: str, known: bool = False) -> tuple[str, str]:
        """Return how a relation reads from head to tail, and from tail to head, by its label.

        "" where nothing can be said in that direction that is sure to be grammar. Labels outside
        the table are taken for English, unless it is ``known`` that they are in this language.

        >>> language("en").relation("director"), language("en").relation("shot in")
        (('directed by', 'directed'), ('shot in', ''))
        """
        relations, name = self.table["relations"], label.lower()
        if known or name not in relations:
            english = "" if known and self.code != DEFAULT else name
            name = self.table["labels"].get(name, english)

        if name in relations:
            forward, backward = relations[name]
            return str(forward), str(backward)
        if self.code != DEFAULT or is_code(label):
            return "", ""

        return both_ways(label, self._nouns)

    def inverse(self, phrase: str) -> str:
        """Return what follows from a phrase for the other direction, "" if nothing does."""
        if self.code != DEFAULT or is_code(phrase):
            return ""
        return both_ways(phrase, self._nouns)[1]

    def interaction(self, verb: str, role: str, known: bool = False, **values: object) -> str:
        """Return an interaction in words.

        Args:
            verb: The dataset's own verb in English ("liked", "listened to").
            role: "you", "because" (a clause), "also_by" (from an item to other users), "who_also"
                (from them to an item) or "did" (from a user with a name).
            known: Whether ``verb`` is in this language already.
            values: Names: ``item``, ``who``.
        """
        own: Any = verb
        if not known:
            own = self.table["verbs"].get(verb, verb if self.code == DEFAULT else None)

        if own is None:
            frames = self.table["neutral"]
        elif isinstance(own, Mapping):
            frames = own
        else:
            frames = self.table["interaction"]

        return str(frames[role]).format(verb=own, participle=self._participle(own), **values)

    def _participle(self, verb: object) -> str:
        first, space, rest = str(verb).partition(" ")
        return f"{self.table['participles'].get(first, first)}{space}{rest}"
