"""Evaluate a scorer on lists that were shown: the protocol of the MIND news data."""

from collections.abc import Iterable

import numpy as np
import polars as pl
import torch

from kgrec.data.records.content import Impressions
from kgrec.data.records.dataset import Dataset
from kgrec.errors import DataError
from kgrec.evaluation.metrics import auc, check_cutoffs
from kgrec.evaluation.ranking import Lists, score_candidates
from kgrec.evaluation.report import Report, check_part
from kgrec.models.base import Scorer


def evaluate_impressions(
    scorer: Scorer,
    dataset: Dataset,
    on: str = "test",
    ks: Iterable[int] = (5, 10),
    model: str | None = None,
    device: torch.device | str = "cpu",
) -> Report:
    """Order the candidates of every impression by score, given the history of that impression, and
    report the means.

        auc      share of (clicked, not clicked) pairs in the right order, a tie counting one half
        mrr      mean of 1 / rank over all clicked candidates
        ndcg@k   sum over clicked candidates of 1 / log2(rank + 1), up to rank k, divided by that of
        the best order

    and ``auc_pooled`` is over the candidates of all impressions together. Impressions without a
    click, or with nothing else, are skipped and counted; ``per_user`` of the report has one row per
    impression evaluated.

    Candidates of equal score share their ranks: each counts with the mean over all orders of them,
    so that a scorer that cannot tell candidates apart gets what chance would get. (MIND's script
    takes them in the order of a sort; the figures differ on ties alone.)

    Args:
        scorer: What ranks.
        dataset: With impressions.
        on: "test" or "valid".
        ks: Cutoffs of nDCG, each at least 1.
        model: Name for the report.
        device: Where the scorer computes.

    Raises:
        ConfigError: If ``on`` or a cutoff is unknown.
        DataError: If there are no impressions, or none has both a click and an item not clicked.
        DivergedError: If a score is not a number.

    Source: Wu et al., MIND, ACL 2020, Section 5.1, as in the evaluation script of its competition;
    ties after McSherry and Najork, ECIR 2008, Section 3.
    """
    check_part(on)
    cutoffs = check_cutoffs(ks)
    shown = dataset.impressions.get(on, Impressions())
    if not len(shown):
        raise DataError(
            f"{dataset.name} has no impressions in its {on} part. Rank the whole catalog instead "
            "(protocol ranking)."
        )

    sizes = np.diff(shown.start)
    clicks = np.bincount(
        np.repeat(np.arange(len(shown)), sizes), weights=shown.clicked, minlength=len(shown)
    ).astype(np.int64)
    evaluated = np.flatnonzero((clicks > 0) & (clicks < sizes))
    if not len(evaluated):
        raise DataError(
            f"no impression of the {on} part has both a click and an item not clicked. There is "
            "nothing to evaluate."
        )

    shown_lists, histories = (
        Lists(torch.from_numpy(start.astype(np.int64)), torch.from_numpy(rows.astype(np.int64)))
        for start, rows in ((shown.start, shown.item), (shown.history_start, shown.history))
    )
    scores = (
        score_candidates(scorer, shown.user, shown_lists, history=histories, device=device)
        .double()
        .numpy()
    )
    kept = np.repeat((clicks > 0) & (clicks < sizes), sizes)
    start = np.concatenate([[0], np.cumsum(sizes[evaluated])])
    values = impression_metrics(scores[kept], shown.clicked[kept], start, cutoffs)
    means = {name: float(value.mean()) for name, value in values.items()}
    means["auc_pooled"] = auc(torch.from_numpy(scores[kept]), torch.from_numpy(shown.clicked[kept]))
    columns = {
        "user": dataset.users.keys(shown.user[evaluated]),
        "impression": evaluated,
        "shown": sizes[evaluated],
        "clicked": clicks[evaluated],
    }

    return Report(
        model=model,
        split=on,
        users=len(np.unique(shown.user[evaluated])),
        metrics=means,
        per_user=pl.DataFrame(columns | values),
        protocol="impressions",
        notes=("One row of values per impression; a user may have several.",),
        details={"impressions": len(evaluated), "skipped": len(shown) - len(evaluated)},
    )


def impression_metrics(
    scores: np.ndarray, clicked: np.ndarray, start: np.ndarray, ks: Iterable[int] = (5, 10)
) -> dict[str, np.ndarray]:
    """Return the metrics of each list: ``auc``, ``mrr``, ``ndcg@k``; see ``evaluate_impressions``.

    Args:
        scores: A score per candidate, the lists one behind the other.
        clicked: Whether the candidate was clicked; each list has a click and an item not clicked.
        start: Where each list begins, and the end of the last.
        ks: Cutoffs, each at least 1.
    """
    sizes = np.diff(start)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((-scores, owner))
    ranked = scores[order]
    hit = clicked[order].astype(np.float64)
    rank = np.arange(len(scores)) - start[owner] + 1.0
    ties = np.flatnonzero(
        np.diff(owner, prepend=-1) | (np.diff(ranked, prepend=np.nan) != 0)
    )  # where a new score begins
    tied = np.diff(np.append(ties, len(scores)))

    def per_list(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.add.reduceat(values, start[:-1]))

    def shared(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.add.reduceat(values, ties) / tied, tied)

    clicks = per_list(hit)
    misses = sizes - clicks
    above = (
        per_list(hit * (sizes[owner] - shared(rank))) - clicks * (clicks - 1) / 2
    )  # pairs (clicked, not clicked) in order
    found = {"auc": above / (clicks * misses), "mrr": per_list(hit * shared(1 / rank)) / clicks}

    for k in ks:
        gain = np.where(rank <= k, 1 / np.log2(rank + 1), 0.0)
        found[f"ndcg@{k}"] = per_list(hit * shared(gain)) / per_list(
            np.where(rank <= clicks[owner], gain, 0.0)
        )

    return found
