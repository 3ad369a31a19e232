"""In which words an explanation is said: language, phrases, verbs, and labels that stay whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kgrec.data.records.wording import check_words
from kgrec.errors import ConfigError, ExplanationError
from kgrec.languages import DEFAULT, LIKED, Language, check_language, language


@dataclass(frozen=True, slots=True)
class Words:
    """What a sentence needs beside the path, for the relations and labels of one answer.

    Attributes:
        language: Code of the language.
        phrases: How relations read by key: from head to tail, and from tail to head; "" where the
            label says it.
        verbs: Words of this language for the dataset's verbs, where a table gives some.
        whole: Labels that keep the year or "(film)" at their end, since another thing in the
            dataset has the same title.
        labels: Labels of relations in this language by key, where the graph states one that is not
            the relation's usual label.
        verb: What users did with their items, where all did the same; "liked" where some are known
            to have.
    """

    language: str = DEFAULT
    phrases: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    verbs: Mapping[str, str] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    verb: str = LIKED

    def __post_init__(self) -> None:
        """Refuse a language without a table, and words that no sentence can hold.

        Raises:
            ExplanationError: If there is one.
        """
        try:
            check_language(self.language)
            for key, both in self.phrases.items():
                for phrase in filter(None, both):
                    check_words(phrase, f"phrase of {key!r}")

            for verb in self.verbs.values():
                check_words(verb, "verb")

            check_words(self.verb, "verb")
        except ConfigError as error:
            raise ExplanationError(str(error)) from None

    @property
    def lang(self) -> Language:
        """The table of sentences."""
        return language(self.language, self.verb)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dictionary."""
        record: dict[str, Any] = {
            "language": self.language,
            "phrases": {key: list(both) for key, both in self.phrases.items()},
            "verbs": dict(self.verbs),
            "whole": list(self.whole),
        }
        if self.labels:
            record["labels"] = dict(self.labels)

        if self.verb != LIKED:
            record["verb"] = self.verb

        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Words":
        """Return what ``to_dict`` wrote.

        Raises:
            ExplanationError: If a language, phrase or verb is one that no sentence can hold.
            TypeError: If a value is of a wrong type.
        """
        phrases = {}
        for key, (forward, backward) in record["phrases"].items():
            phrases[_text(key)] = (_text(forward), _text(backward))

        return cls(
            _text(record["language"]),
            phrases,
            {_text(verb): _text(said) for verb, said in record["verbs"].items()},
            tuple(map(_text, record["whole"])),
            {_text(key): _text(label) for key, label in record.get("labels", {}).items()},
            _text(record.get("verb", LIKED)),
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"words hold {value!r}, which is not text")
    return value
