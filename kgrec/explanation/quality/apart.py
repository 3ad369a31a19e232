"""Interaction and facts apart: what each makes of paths, and what is claimed."""

import numpy as np

from kgrec.errors import CapabilityError
from kgrec.explanation.core.records import Path
from kgrec.explanation.quality.figures import Sample
from kgrec.explanation.quality.report import Figure, Gate

_MOST_RERUN = 50


def apart_figures(sample: Sample) -> list[Figure]:
    """Return which part of a path's drop its like and its facts make alone, how often the score
    falls without the facts, and how often they are called a cause.
    """
    apart = [(user, path) for user, path in sample.paths() if path.together is not None]
    named = [(user, path) for user, path in apart if path.basis != "post-hoc"]
    without = ""
    if sample.search.placebos is None:
        without = "no placebos were estimated, so no facts are called a cause: kgrec placebo RUN"

    return [
        *(
            sample.figure(
                f"apart.{part}",
                f"of the drop of interaction and facts, the {name} alone",
                [(user, _part(path, getattr(path, f"{part}_drop"))) for user, path in named],
                "paths",
                middle="median",
            )
            for part, name in (("like", "interaction"), ("facts", "facts"))
        ),
        sample.figure(
            "apart.positive",
            "paths without whose facts, the interaction kept, the score falls",
            [(user, (path.facts_drop or 0.0) > 0) for user, path in named],
            "paths",
        ),
        sample.figure(
            "apart.claimed",
            "paths whose facts are called a cause: they do more than unrelated facts",
            [(user, path.facts_claim == "cause") for user, path in named],
            "paths",
            note=without,
        ),
    ]


def claims_gate(sample: Sample) -> Gate:
    """Return whether the score falls without the facts that are called a cause, by the whole model
    on the graph without them.
    """
    wrong = 0
    count = 0
    search = sample.search

    for pair in sample.pairs:
        claims = {path.facts_claim for path in pair.explanation.paths}
        if "cause" not in claims or count >= _MOST_RERUN:
            continue

        effects = search.explained.effects_at(pair.user, pair.item)
        found = search.find(pair.user, pair.item, effects)
        for measured in search.measure(found, effects, "like", sample.k)[: sample.k]:
            path = search.path(found, measured, effects)
            if path.facts_claim != "cause":
                continue

            facts = search.explained.graph.facts_of(measured.facts)
            try:
                scorer = search.explained.without(facts)
            except CapabilityError:
                return Gate("claims", None, None, 0.0, "the model cannot be put on another graph")

            score = search.explained.standing(pair.user, scorer).scores[pair.item]
            wrong += not score < pair.explanation.score
            count += 1

    if not count:
        return Gate("claims", None, None, 0.0, "no facts are called a cause")

    note = f"of {count:,} claims of facts, re-run on the graph without them" if wrong else ""
    return Gate("claims", wrong == 0, float(wrong), 0.0, note)


def _part(path: Path, drop: float | None) -> float:
    if drop is None or not path.drop_delete:
        return float(np.nan)
    return drop / path.drop_delete
