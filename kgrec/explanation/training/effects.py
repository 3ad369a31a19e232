"""Effects through training of the paths of an explanation."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from kgrec.data.derive.removal import Removal
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.explanation.core.records import Explanation
from kgrec.explanation.core.training_effects import (
    EXACT,
    PARTLY,
    PathTraining,
    TrainingEffects,
)
from kgrec.explanation.training.removals import PathRemovals, StatedFacts
from kgrec.explanation.training.worth import Worth
from kgrec.models.capabilities import Refittable


@runtime_checkable
class Retrained(Protocol):
    """Gives scores of a model that was trained without some interactions and facts.

    Attributes:
        exact: Whether they are those of a refit.
        partly: Whether they are those of a refit of a part of the model, the rest being kept.
    """

    exact: bool
    partly: bool

    def scores(self, user: int, item: int, removals: Sequence[Removal]) -> list[float]:
        """Return the score of a user and an item (rows) without each of ``removals``."""


class Refits:
    """Scores of refits in closed form.

    Args:
        effects: What the model says of its scores.
    """

    def __init__(self, effects: Refittable) -> None:
        self._effects = effects
        self.exact = effects.refits_all
        self.partly = not effects.refits_all

    def scores(self, user: int, item: int, removals: Sequence[Removal]) -> list[float]:
        """Return the score of a user and an item (rows) without each of ``removals``."""
        return [
            float(self._effects.refitted_scores(user, [item], removal)[0]) for removal in removals
        ]


def effects_through_training(
    explanation: Explanation,
    data: Dataset,
    retrained: Retrained,
    worth: Worth | None = None,
    epochs: int | None = None,
) -> TrainingEffects:
    """Return what the likes and facts of an explanation's paths did to the score through training.

    Args:
        explanation: Its paths are what is taken out of the data, each by itself.
        data: What the model was trained on.
        retrained: Scores of the model trained without.
        worth: What an estimate is worth; unused where ``retrained`` is exact.
        epochs: How long training goes on for an estimate.

    Raises:
        ConfigError: If the explanation is of someone with a history that was given.
    """
    if explanation.history:
        raise ConfigError(
            "effects through training are of interactions in the training data, and a history was "
            "never trained on. Explain a user without it."
        )

    stated = StatedFacts(data)
    found = [stated.of(path) for path in explanation.paths]
    wanted = {Removal(): None}

    for one in found:
        if one is not None:
            wanted |= dict.fromkeys((one.like, one.facts, one.like | one.facts))

    user = data.users.row(explanation.user)
    item = data.items.row(explanation.item)
    scores = dict(zip(wanted, retrained.scores(user, item, list(wanted)), strict=True))
    score = scores[Removal()]

    def path(one: PathRemovals | None) -> PathTraining:
        if one is None:
            return PathTraining(None, None, None)

        parts = (one.like, one.facts, one.like | one.facts)
        return PathTraining(*(score - scores[part] for part in parts))

    worth = worth or Worth()
    label = ""
    if retrained.exact or retrained.partly:
        worth = Worth()
        label = EXACT if retrained.exact else PARTLY

    return TrainingEffects(
        score=score,
        exact=retrained.exact,
        label=label or worth.label,
        worth=worth.whole,
        facts_label=label or worth.facts_label,
        facts_worth=worth.facts,
        measured_on=worth.dataset,
        paths=tuple(path(one) for one in found),
        epochs=None if label else epochs,
    )
