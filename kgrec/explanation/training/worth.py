"""What an estimate of effects through training is worth: figures that ship with the package.

``benchmarks/retrain.py`` measures them and writes ``worth.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from kgrec.explanation.core.training_effects import ESTIMATE, NOT_MEASURED, NOT_RELIABLE

LEAST_WORTH = 0.3


@dataclass(frozen=True, slots=True)
class Worth:
    """Rank correlations of an estimate with real retraining.

    Attributes:
        dataset: What they were measured on, "" where they never were.
        whole: Of like and facts together; None where it was not measured.
        facts: Of the facts alone; None where it was not measured.
        reliability: Rank correlation of real retraining with itself, between disjoint halves of the
            seeds, for like and facts together; None where it was not measured.
        facts_reliability: The same of the facts alone.
    """

    dataset: str = ""
    whole: float | None = None
    facts: float | None = None
    reliability: float | None = None
    facts_reliability: float | None = None

    @property
    def label(self) -> str:
        """What an estimate for like and facts together is called."""
        return label_of(self.whole, self.reliability)

    @property
    def facts_label(self) -> str:
        """What an estimate for the facts alone is called."""
        return label_of(self.facts, self.facts_reliability)


def worth_of(model: str, dataset: str, measured: Mapping[str, Any] | None = None) -> Worth:
    """Return what estimates of a model are worth.

    Measured on the dataset itself where it was, else the least of what was measured on others.

    Args:
        model: Name of the model.
        dataset: Name of the dataset.
        measured: Figures by model and dataset; None takes those of the package.
    """
    if measured is None:
        measured = _shipped()

    found = measured.get(model, {})
    if not found:
        return Worth()

    if dataset not in found:
        dataset = min(found, key=lambda name: found[name]["whole"] or 0.0)

    figures = found[dataset]
    reliability = figures.get("reliability", {})

    return Worth(
        dataset,
        figures["whole"],
        figures["facts"],
        reliability.get("whole"),
        reliability.get("facts"),
    )


def label_of(worth: float | None, reliability: float | None = None) -> str:
    """Return what an estimate of such a worth is called; where retraining does not agree with
    itself, agreeing with it is worth nothing.

    >>> label_of(0.5), label_of(0.29), label_of(0.5, 0.1), label_of(None)
    ('estimate', 'not reliable here', 'not reliable here', 'worth not measured')
    """
    if worth is None:
        return NOT_MEASURED
    if worth < LEAST_WORTH or (reliability is not None and reliability < LEAST_WORTH):
        return NOT_RELIABLE

    return ESTIMATE


@cache
def _shipped() -> dict[str, Any]:
    text = files("kgrec.explanation.training").joinpath("worth.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
