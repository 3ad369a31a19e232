"""What unrelated facts do to scores: the bar that named facts must pass to be called a cause."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kgrec.errors import ExplanationError

Pattern: TypeAlias = tuple[tuple[str, bool], ...]
"""Relation and direction of each hop after the like."""

Cell: TypeAlias = tuple[Pattern, int]
"""A pattern, and the degree class of the best connected stop between like and item."""

_SCHEMA = 1


@dataclass(frozen=True)
class Placebos:
    """Thresholds by pattern and degree class, as shares of the absolute score.

    Attributes:
        shares: What the 95th percentile of placebo drops over the score stays below, with 95 %
            confidence.
        draws: How many placebos each rests on.
        sums: Sums of the graph and the parameters that they were estimated on.
        seed: Of the draws.
    """

    shares: Mapping[Cell, float]
    draws: Mapping[Cell, int]
    sums: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def threshold(self, pattern: Pattern, degree_class: int, score: float) -> float | None:
        """Return what a facts drop on a score must exceed; None where none was estimated."""
        share = self.shares.get((pattern, degree_class))
        if share is None:
            return None
        return share * abs(score)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as a dictionary."""
        cells = [
            {
                "pattern": [list(hop) for hop in pattern],
                "degree_class": degree_class,
                "share": share,
                "draws": self.draws[pattern, degree_class],
            }
            for (pattern, degree_class), share in sorted(self.shares.items())
        ]
        return {"schema": _SCHEMA, "seed": self.seed, "sums": dict(self.sums), "cells": cells}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Placebos":
        """Return what ``to_dict`` wrote.

        Raises:
            ExplanationError: If the record is of another schema or lacks a field.
        """
        if record.get("schema") != _SCHEMA:
            raise ExplanationError(
                f"placebos of schema {record.get('schema')!r}; this version of kgrec reads schema "
                f"{_SCHEMA}. Estimate them again: kgrec placebo RUN."
            )

        try:
            found = [_cell(one) for one in record["cells"]]
            sums = {str(name): str(value) for name, value in record["sums"].items()}
            return cls(
                {cell: share for cell, share, _ in found},
                {cell: draws for cell, _, draws in found},
                sums,
                int(record["seed"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ExplanationError(
                f"the placebos cannot be read ({error}). Estimate them again: kgrec placebo RUN."
            ) from error


def degree_class(degrees: Sequence[int]) -> int:
    """Return the class of the largest of some degrees: 0 for 1 to 3, 1 for 4 to 15, and so on."""
    return int(math.log2(max([1, *degrees]))) // 2


def _cell(record: Mapping[str, Any]) -> tuple[Cell, float, int]:
    pattern = tuple((str(relation), bool(forward)) for relation, forward in record["pattern"])
    share = float(record["share"])
    if not math.isfinite(share):
        raise ValueError(f"share {share}")
    return (pattern, int(record["degree_class"])), share, int(record["draws"])
