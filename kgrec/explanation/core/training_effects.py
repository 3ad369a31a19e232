"""What the score would be had a like or a fact never been in the data: the records."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kgrec.errors import ExplanationError
from kgrec.escaping import clean
from kgrec.languages import DEFAULT, LIKED, language

EXACT = "exact"
PARTLY = "exact in part"
ESTIMATE = "estimate"
NOT_RELIABLE = "not reliable here"
NOT_MEASURED = "worth not measured"
LABELS = (EXACT, PARTLY, ESTIMATE, NOT_RELIABLE, NOT_MEASURED)
_NAMES = dict(zip(LABELS, ("exact", "partly", "estimate", "unreliable", "unknown"), strict=True))
"""What the labels are called in a table of sentences."""


@dataclass(frozen=True, slots=True)
class PathTraining:
    """What a path's like and facts did to the score through training.

    Each is the score minus the score had they never been in the data; None where the path counts
    users whose facts cannot be named.

    Attributes:
        like: Effect of the like, the first hop; 0 where the path begins with no like.
        facts: Effect of all other hops, the like kept.
        whole: Effect of both together.
    """

    like: float | None
    facts: float | None
    whole: float | None

    @property
    def together(self) -> float | None:
        """What neither does alone: whole - like - facts."""
        if self.whole is None or self.like is None or self.facts is None:
            return None
        return self.whole - self.like - self.facts

    def words(self, code: str = DEFAULT, verb: str = LIKED) -> str:
        """Return the numbers of a path in one line, in a language; ``verb`` is what users did."""
        if self.whole is None:
            return _say(code, "no_path")

        numbers = {name: f"{getattr(self, name):+.3g}" for name in ("whole", "like", "facts")}
        return language(code, verb).say("training.path", **numbers)


@dataclass(frozen=True, slots=True)
class TrainingEffects:
    """Effects through training of the paths of one explanation, in their order.

    Attributes:
        score: The score that the effects are differences to: that of the same computation with
            nothing taken out.
        exact: Whether the effects are those of a refit; else they are an estimate, or those of a
            refit of the closed form in the model, trained vectors being kept ("exact in part").
        label: "exact", "exact in part", "estimate", "not reliable here" or "worth not measured".
        worth: Rank correlation of the estimate for like and facts together with real retraining;
            None where exact or not measured.
        facts_label: The same as ``label``, of the facts alone.
        facts_worth: The same as ``worth``, of the facts alone.
        measured_on: Dataset that the worth was measured on, "" for none.
        paths: An entry per path.
        epochs: How long training went on for an estimate; None where nothing was trained on.
    """

    score: float
    exact: bool
    label: str
    worth: float | None
    facts_label: str
    facts_worth: float | None
    measured_on: str
    paths: tuple[PathTraining, ...]
    epochs: int | None = None

    def __post_init__(self) -> None:
        """Refuse labels that are not known."""
        if {self.label, self.facts_label} - set(LABELS):
            raise ExplanationError(
                f"effects through training are labeled {self.label!r} and {self.facts_label!r}. "
                f"Known labels: {', '.join(LABELS)}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self) | {"paths": [asdict(path) for path in self.paths]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "TrainingEffects":
        """Return the effects that ``to_dict`` wrote.

        Raises:
            TypeError: If a value is of a wrong type.
        """
        numbers = [record["score"], record["worth"], record["facts_worth"]]
        numbers += [value for path in record["paths"] for value in path.values()]
        if any(not isinstance(value, float | int | None) for value in numbers):
            raise TypeError("an effect through training is no number")
        epochs = record.get("epochs")
        if epochs is not None and (not isinstance(epochs, int) or isinstance(epochs, bool)):
            raise TypeError("the epochs of effects through training are no whole number")
        if not (isinstance(record["measured_on"], str) and isinstance(record["exact"], bool)):
            raise TypeError("effects through training have a value of a wrong type")

        paths = tuple(PathTraining(**path) for path in record["paths"])
        return cls(**{**record, "paths": paths})

    def to_text(self, code: str = DEFAULT, verb: str = LIKED) -> str:
        """Return a line about the numbers, and one per path, in a language; ``verb`` is what users
        did.
        """
        lines = [
            _say(code, "lead", about=self._about(code)),
            f"    {_say(code, 'what')}",
        ]
        lines += [
            f"{number:2}  {path.words(code, verb)}" for number, path in enumerate(self.paths, 1)
        ]
        if self.facts_about(code):
            lines.append(f"    {self.facts_about(code)}")

        return "\n".join(lines)

    def about(self, code: str = DEFAULT) -> str:
        """Return what the numbers are and what they are worth, in one line, in a language."""
        words = _say(code, "about", about=self._about(code))
        if self.facts_about(code):
            words += f" {self.facts_about(code)}."

        return words

    def facts_about(self, code: str = DEFAULT) -> str:
        """Return what an estimate of the facts alone is worth, where that differs; else ""."""
        if self.exact or self.facts_label == self.label:
            return ""
        return _say(code, "facts", worth=_worth(self.facts_label, self.facts_worth, code))

    def _about(self, code: str) -> str:
        if self.exact:
            return _say(code, "exact")
        if self.label == PARTLY:
            return _say(code, "partly")

        worth = _worth(self.label, self.worth, code)
        if self.measured_on:
            return _say(code, "on", worth=worth, data=clean(self.measured_on))
        return _say(code, "estimate", worth=worth)


def _worth(label: str, worth: float | None, code: str) -> str:
    said = _say(code, f"label_{_NAMES[label]}")
    if worth is None:
        return said

    correlation = _say(code, "correlation", worth=f"{worth:.2f}")
    if label == ESTIMATE:
        return correlation
    return _say(code, "not_worth", label=said, worth=correlation)


def _say(code: str, key: str, **values: object) -> str:
    return language(code).say(f"training.{key}", **values)
