"""Full ranking and its metrics."""

from typing import TYPE_CHECKING

from kgrec.lazy import lazy_names

if TYPE_CHECKING:
    from kgrec.evaluation.ctr import evaluate_ctr as evaluate_ctr
    from kgrec.evaluation.impressions import evaluate_impressions as evaluate_impressions
    from kgrec.evaluation.next_items import evaluate_next_items as evaluate_next_items
    from kgrec.evaluation.report import Report as Report
    from kgrec.evaluation.report import evaluate as evaluate
    from kgrec.evaluation.sampled import evaluate_sampled as evaluate_sampled
    from kgrec.evaluation.significance import Difference as Difference
    from kgrec.evaluation.significance import bonferroni as bonferroni
    from kgrec.evaluation.significance import holm as holm
    from kgrec.evaluation.significance import paired as paired
    from kgrec.evaluation.triples import evaluate_triples as evaluate_triples

_HOMES = {
    "Difference": "kgrec.evaluation.significance",
    "Report": "kgrec.evaluation.report",
    "bonferroni": "kgrec.evaluation.significance",
    "evaluate": "kgrec.evaluation.report",
    "evaluate_ctr": "kgrec.evaluation.ctr",
    "evaluate_impressions": "kgrec.evaluation.impressions",
    "evaluate_next_items": "kgrec.evaluation.next_items",
    "evaluate_sampled": "kgrec.evaluation.sampled",
    "evaluate_triples": "kgrec.evaluation.triples",
    "holm": "kgrec.evaluation.significance",
    "paired": "kgrec.evaluation.significance",
}

__all__ = [
    "Difference",
    "Report",
    "bonferroni",
    "evaluate",
    "evaluate_ctr",
    "evaluate_impressions",
    "evaluate_next_items",
    "evaluate_sampled",
    "evaluate_triples",
    "holm",
    "paired",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
