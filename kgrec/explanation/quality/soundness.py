"""Do the numbers and facts of explanations hold? Figures and gates."""

from collections.abc import Sequence

import numpy as np

from kgrec.explanation.core.records import Explanation, Node
from kgrec.explanation.quality.figures import Sample
from kgrec.explanation.quality.report import Figure, Gate
from kgrec.explanation.quality.training_facts import Leaks
from kgrec.explanation.search.explained import ExplainedModel

_COMPLETE = 1e-5  # of float32, which models are trained in


def _completeness(explanation: Explanation) -> float | None:
    """Return the larger error of the budget's two cuts, over max(1, |score|)."""
    budget = explanation.budget
    if budget is None:
        return None

    cuts = [budget.own + budget.bias + budget.liked + sum(budget.other.values())]
    if budget.item_own is not None and budget.by_users is not None:
        by_property = sum(term.value for term in budget.by_property)
        cuts.append(budget.item_own + budget.by_users + by_property)

    return max(abs(cut - explanation.score) for cut in cuts) / max(1.0, abs(explanation.score))


def _errors(sample: Sample) -> list[float]:
    """Return the completeness errors of the explanations that have a budget."""
    errors = (_completeness(pair.explanation) for pair in sample.pairs)
    return [error for error in errors if error is not None]


def _valid_hops(sample: Sample) -> list[tuple[int, bool]]:
    """Return (user, whether it is a training fact) of every hop."""
    keys = sample.explained.data.users
    return [
        (user, sample.facts.hop_holds(hop, keys.key(user)))
        for user, path in sample.paths()
        for hop in path.hops
    ]


def soundness_figures(sample: Sample) -> list[Figure]:
    """Return completeness, validity, leaks, labels and provenance."""
    errors = _errors(sample)
    note = ""
    if not errors:
        note = _no_budget(sample.explained)

    budgets = [pair.explanation.budget for pair in sample.pairs]
    if any(budget is not None and budget.basis == "measured" for budget in budgets):
        note = "the rest of a measured budget is what is left: no test"

    leaks = sample.facts.leaks(sample.explained.graph.ckg)
    stops = {
        node for _, path in sample.paths() for node in path.nodes if node.kind in ("item", "entity")
    }
    facts = [
        fact
        for _, path in sample.paths()
        for hop in path.hops
        if not hop.liked
        for fact in hop.facts
    ]

    return [
        Figure(
            "whole.completeness",
            "completeness error of the budget, worst",
            max(errors, default=None),
            count=len(errors),
            of="pairs",
            note=note,
        ),
        sample.figure(
            "whole.validity",
            "hops that are training facts",
            [(u, float(good)) for u, good in _valid_hops(sample)],
            "hops",
        ),
        Figure(
            "whole.leak",
            "held-out or strange facts in the graph",
            float(max(leaks.strange, leaks.held_out)),
            count=leaks.of,
            of="facts",
        ),
        _share(
            "whole.labels",
            "stops with a human label",
            [_labeled(sample.explained, node) for node in stops],
            "stops",
        ),
        _share(
            "whole.provenance",
            "facts with the place they were read from",
            [fact.locator != 0 for fact in facts],
            "facts",
            "interactions apart, which have no line",
        ),
    ]


def _no_budget(explained: ExplainedModel) -> str:
    return f"{explained.name} does not say what a score is made of"


def _share(key: str, label: str, flags: Sequence[bool], of: str, note: str = "") -> Figure:
    if not flags:
        return Figure(key, label, None, of=of, note=f"no {of}")
    return Figure(key, label, float(np.mean(flags)), count=len(flags), of=of, note=note)


def _labeled(explained: ExplainedModel, node: Node) -> bool:
    if node.kind == "item":
        row = explained.data.items.row(node.key)
    else:
        row = explained.data.triples.entities.row(node.key)
    return explained.data.triples.labels[row] is not None


def gates(sample: Sample) -> tuple[Gate, ...]:
    """Return what must hold of every explanation."""
    leaks = sample.facts.leaks(sample.explained.graph.ckg)
    leaking = max(leaks.strange, leaks.held_out)
    failures = sample.failures

    return (
        _completeness_gate(sample),
        _validity_gate(sample),
        Gate("leak", leaking == 0, float(leaking), 0.0, _leaking(leaks)),
        Gate("explained", not failures, float(len(failures)), 0.0, next(iter(failures), "")),
    )


def _completeness_gate(sample: Sample) -> Gate:
    worst = max(_errors(sample), default=None)
    if sample.unsummed:
        return Gate("completeness", False, worst, _COMPLETE, sample.unsummed[0])
    if worst is None:
        return Gate("completeness", None, None, _COMPLETE, _no_budget(sample.explained))
    return Gate("completeness", worst <= _COMPLETE, worst, _COMPLETE, "")


def _validity_gate(sample: Sample) -> Gate:
    valid = [good for _, good in _valid_hops(sample)]
    if not valid:
        return Gate("validity", None, None, 1.0, "no path")

    note = ""
    if not all(valid):
        note = f"{len(valid) - sum(valid)} of {len(valid)} hops are not training facts"

    return Gate("validity", all(valid), float(np.mean(valid)), 1.0, note)


def _leaking(leaks: Leaks) -> str:
    notes = []
    if leaks.held_out:
        notes.append(f"{leaks.held_out} held-out facts are in the graph that paths are drawn from")
    if leaks.strange:
        notes.append(f"{leaks.strange} facts of that graph are not in the training data")
    return "; ".join(notes)
