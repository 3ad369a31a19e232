"""What validation measures, by the name of a metric."""

from collections.abc import Callable

import numpy as np
import torch

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import with_interactions
from kgrec.errors import ConfigError
from kgrec.evaluation.ctr import evaluate_ctr
from kgrec.evaluation.impressions import evaluate_impressions
from kgrec.evaluation.metrics import ranking_metric
from kgrec.evaluation.next_items import NEXT, evaluate_next_items
from kgrec.evaluation.rating import evaluate_ratings
from kgrec.evaluation.report import evaluate
from kgrec.models.base import Recommender, Scorer
from kgrec.models.fallback import served


def validator(
    metric: str,
    data: Dataset,
    device: torch.device | str = "cpu",
    model: Recommender | None = None,
    on: str = "valid",
) -> Callable[[Scorer], float]:
    """Return what measures a scorer on the validation part, or on another one (``on``); higher is
    better, but of ``LOWER_IS_BETTER``.

    Rankings are evaluated by the users who have training interactions, where there are any: no
    training moves what the others get. Items that the model does not know stay out of them.

    ``auc`` and ``ndcg@k`` are of the lists that were shown, where the part has such; ``auc`` is
    otherwise of labeled pairs (``evaluate_ctr``). ``rmse`` and ``mae`` are of ratings
    (``evaluate_ratings``), and lower is better. ``next-ndcg@k``, ``next-hit@k`` and ``next-mrr@k``
    are of held-out items one after another (``evaluate_next_items``). Every other ``name@k`` is of
    the whole catalog's ranking.

    Raises:
        ConfigError: If there is no such metric.
    """
    name, _, cut = metric.partition("@")
    ks = (int(cut),) if cut.isdigit() and int(cut) >= 1 else ()
    shown = data.impressions.get(on)
    if shown is not None and len(shown) and (metric == "auc" or (name == "ndcg" and ks)):
        return lambda scorer: evaluate_impressions(
            scorer, data, on=on, ks=ks or (10,), device=device
        ).metrics[metric]
    if metric == "auc":
        return lambda scorer: evaluate_ctr(
            scorer, data, on=on, scaling="sigmoid", device=device
        ).metrics["auc"]
    known = None if model is None else model.can_rank(data)
    if metric in ("rmse", "mae"):
        predicts = model is not None and model.predicts_ratings
        return lambda scorer: evaluate_ratings(
            scorer, data, on=on, predicts=predicts, known=known, device=device
        ).metrics[metric]
    if not ks:
        raise ConfigError(
            f"metric {metric!r} is not of the form name@k, for instance ndcg@10; auc, rmse and mae "
            "have no cutoff."
        )

    plain = name.removeprefix(NEXT)
    ranking_metric(plain)
    if plain != name and plain not in ("hit", "ndcg", "mrr"):
        raise ConfigError(f"metric {metric!r} is unknown. Take next-ndcg, next-hit or next-mrr.")

    users = warm_users(data, on)

    def measure(scorer: Scorer) -> float:
        ranks = scorer if model is None else served(model, scorer, data, known=known)
        if plain != name:
            report = evaluate_next_items(ranks, data, on, ks, users=users, device=device)
        else:
            report = evaluate(ranks, data, on, ks, (name,), users, device=device)
        return report.metrics[f"{plain}@{cut}"]

    return measure


def warm_users(data: Dataset, on: str) -> np.ndarray | None:
    """Return the users (rows) of a held-out part who have training interactions; None for everyone,
    also if there are none.
    """
    users = np.unique((data.valid if on == "valid" else data.test).user)
    warm = users[with_interactions(data).users[users]]
    return warm if 0 < len(warm) < len(users) else None
