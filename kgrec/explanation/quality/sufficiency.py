"""What the paths shown give alone, and how they compare with all paths there are."""

import numpy as np

from kgrec.explanation.quality.figures import Sample
from kgrec.explanation.quality.report import Figure
from kgrec.explanation.quality.sample import oracle

_SUBSETS = (("first", "the best path alone"), ("all", "all paths shown alone"))
_MODES = {"delete": "degrees recomputed", "mask": "weights kept"}


def sufficiency_figures(sample: Sample) -> list[Figure]:
    """Return the part of what the graph adds to a score that the paths shown give alone."""
    figures = []
    for mode in sample.search.modes:
        for index, (name, words) in enumerate(_SUBSETS):
            values = [(pair.user, pair.enough[mode][index]) for pair in sample.pairs if pair.enough]
            undefined = sum(value is None for _, value in values)
            note = ""

            if undefined:
                note = f"{undefined} undefined: the graph adds nothing to the score"
            elif mode == "delete":
                note = "far above 1 where few edges share the weight of many"

            figures.append(
                sample.figure(
                    f"sufficiency.{name}.{mode}",
                    f"{words}, {_MODES[mode]}: part of what the graph adds, median",
                    values,
                    middle="median",
                    note=note,
                    none=_why_none(sample),
                )
            )

    return figures


def _why_none(sample: Sample) -> str:
    if sample.explained.effects is None:
        return sample.no_effect
    return "no path"


def choice_figures(sample: Sample) -> list[Figure]:
    """Return how the paths shown compare with all paths there are."""
    rows = []
    for pair in sample.some():
        found = oracle(sample.search, pair, sample.seed)
        if found is not None:
            rows.append((pair.user, found))

    none = ""
    if not rows:
        none = _why_none(sample)

    ranks = [(user, _correlation(found.effects, found.drops)) for user, found in rows]

    return [
        sample.ratio(
            "choice.oracle",
            "oracle ratio: drop of the paths shown over the largest drops there are",
            [(user, found.shown, found.largest) for user, found in rows],
            "pairs",
            note="variety (per first stop, per stop before the item) costs some of it",
            none=none,
        ),
        sample.ratio(
            "choice.screen",
            "the same of the largest first-order effects, without the rule of variety",
            [(user, found.screened, found.largest) for user, found in rows],
            "pairs",
            none=none,
        ),
        sample.figure(
            "choice.correlation",
            "rank correlation of first-order effect and drop, median",
            ranks,
            middle="median",
            none=_why_none(sample),
        ),
    ]


def _correlation(effects: np.ndarray, drops: np.ndarray) -> float | None:
    if len(drops) < 3 or np.ptp(effects) == 0 or np.ptp(drops) == 0:
        return None
    from scipy.stats import spearmanr  # half a second to import

    return float(spearmanr(effects, drops)[0])
