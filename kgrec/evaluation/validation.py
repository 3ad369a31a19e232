"""What validation measures, by the name of a metric."""

from collections.abc import Callable

import torch

from kgrec.data.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.evaluation.ctr import evaluate_ctr
from kgrec.evaluation.impressions import evaluate_impressions
from kgrec.evaluation.metrics import ranking_metric
from kgrec.evaluation.report import evaluate
from kgrec.models.base import Scorer


def validator(metric: str, data: Dataset, device: torch.device | str = "cpu", on: str = "valid") -> Callable[[Scorer], float]:
    """Return what measures a scorer on the validation part, or on another one (``on``), higher is better.

    ``auc`` and ``ndcg@k`` are of the lists that were shown, where the part has such; ``auc`` is otherwise of labelled
    pairs (``evaluate_ctr``). Every other ``name@k`` is of the whole catalog's ranking.

    Raises:
        ConfigError: If there is no such metric.
    """
    name, _, cut = metric.partition("@")
    ks = (int(cut),) if cut.isdigit() and int(cut) >= 1 else ()
    shown = data.impressions.get(on)
    if shown is not None and len(shown) and (metric == "auc" or (name == "ndcg" and ks)):
        return lambda scorer: evaluate_impressions(scorer, data, on=on, ks=ks or (10,), device=device).metrics[metric]
    if metric == "auc":
        return lambda scorer: evaluate_ctr(scorer, data, on=on, scaling="sigmoid", device=device).metrics["auc"]
    if not ks:
        raise ConfigError(f"metric {metric!r} is not of the form name@k, for instance ndcg@10; auc has no cutoff.")
    ranking_metric(name)
    return lambda scorer: evaluate(scorer, data, on=on, ks=ks, metrics=(name,), device=device).metrics[metric]
