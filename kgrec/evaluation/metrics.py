"""Metrics, as pure functions.

Ranking metrics read ``hits`` (True where the item at that place of a user's list is relevant, best first), the number of relevant items of
each user, at least 1, and the cutoff k in [1, length of the list]. They return one float64 in [0, 1] per user.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.errors import ConfigError, nearest


def recall(hits: Bool[Tensor, "users cand"], relevant: Int[Tensor, " users"], k: int) -> Float[Tensor, " users"]:
    """Return the share of a user's relevant items that is among the first k.

    Source: models.md 0.7, as in Wang et al., KGAT, KDD 2019, Section 4.2.1.
    """
    return hits[:, :k].sum(1) / relevant.double()


def precision(hits: Bool[Tensor, "users cand"], relevant: Int[Tensor, " users"], k: int) -> Float[Tensor, " users"]:
    """Return the share of the first k places that hold relevant items; a list shorter than k counts as k.

    Source: models.md 0.7.
    """
    return hits[:, :k].sum(1).double() / k


def hit(hits: Bool[Tensor, "users cand"], relevant: Int[Tensor, " users"], k: int) -> Float[Tensor, " users"]:
    """Return 1 where a relevant item is among the first k, else 0.

    Source: models.md 0.7.
    """
    return hits[:, :k].any(1).double()


def ndcg(hits: Bool[Tensor, "users cand"], relevant: Int[Tensor, " users"], k: int) -> Float[Tensor, " users"]:
    """Return the discounted cumulative gain of the first k over that of the best list possible: the standard version.

        sum of hit_j / log2(j + 1) over j <= k,  divided by  sum of 1 / log2(j + 1) over j <= min(k, relevant)

    Source: Järvelin and Kekäläinen, TOIS 2002, with binary gains; version 1 of models.md 0.7.
    """
    places = min(k, max(hits.shape[1], int(relevant.max()) if len(relevant) else 0))
    discount = 1 / torch.arange(2, places + 2, dtype=torch.float64, device=hits.device).log2()
    gain = hits[:, :k].double() @ discount[: min(k, hits.shape[1])]
    return gain / discount.cumsum(0)[relevant.clamp(max=k) - 1]


def mrr(hits: Bool[Tensor, "users cand"], relevant: Int[Tensor, " users"], k: int) -> Float[Tensor, " users"]:
    """Return 1 / (1-based rank of the first relevant item), 0 where none is among the first k.

    Source: Voorhees, TREC-8 question answering track report, 1999.
    """
    return (hits[:, :k] / _ranks(hits, k)).amax(1)


def average_precision(hits: Bool[Tensor, "users cand"], relevant: Int[Tensor, " users"], k: int) -> Float[Tensor, " users"]:
    """Return the sum of precision@j over the places j <= k of relevant items, divided by min(k, relevant).

    Source: Manning et al., Introduction to Information Retrieval, 2008, Section 8.4, cut at k.
    """
    found = hits[:, :k]
    return (found.cumsum(1) / _ranks(hits, k) * found).sum(1) / relevant.clamp(max=k)


Metric: TypeAlias = Callable[[Bool[Tensor, "users cand"], Int[Tensor, " users"], int], Float[Tensor, " users"]]

RANKING: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "hit": hit,
    "mrr": mrr,
    "map": average_precision,
}


def ranking_metric(name: str) -> Metric:
    """Return a ranking metric by the name it has before the "@".

    Raises:
        ConfigError: If there is no such metric; the message gives the nearest name.
    """
    if name not in RANKING:
        raise ConfigError(f"unknown metric {name!r}. Choose from {', '.join(RANKING)}, coverage.{nearest(name, [*RANKING, 'coverage'])}")
    return RANKING[name]


def check_cutoffs(ks: Iterable[int]) -> tuple[int, ...]:
    """Return the cutoffs, ascending and distinct.

    Raises:
        ConfigError: If there is none, or one is less than 1 or beyond 32 bits.
    """
    cutoffs = tuple(sorted(set(ks)))
    if not cutoffs or cutoffs[0] < 1 or cutoffs[-1] >= 2**31:
        raise ConfigError(f"cutoffs {list(cutoffs)} cannot be used. Give at least one, each at least 1, for instance (10, 20).")
    return cutoffs


def auc(scores: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Return the probability that a positive row scores above a negative one, ties counting one half; pooled over all rows.

    NaN where all labels are alike.

    Source: Hanley and McNeil, Radiology 1982 (the Mann-Whitney form).
    """
    _, group, sizes = torch.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = sizes.cumsum(0).double() - (sizes.double() - 1) / 2  # 1-based
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    above = float(mean_rank[group[labels]].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def logloss(probabilities: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Return the mean negative log-likelihood (nats) of binary labels; probabilities in [0, 1] are first kept 1e-7 off both ends.

    Source: binary cross-entropy, as models of click-through rate report it.
    """
    kept = probabilities.double().clamp(1e-7, 1 - 1e-7)
    return float(-torch.where(labels, kept.log(), (-kept).log1p()).mean())


def accuracy(predicted: Bool[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Return the share of rows predicted rightly.

    Source: as RippleNet and MKR report it (models.md 0.7).
    """
    return float((predicted == labels).double().mean())


def f1(predicted: Bool[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Return the harmonic mean of precision and recall of the positive rows; 0 where no row is positive or predicted so.

    Source: van Rijsbergen, Information Retrieval, 1979, Chapter 7, with equal weights.
    """
    wrong, right = int((predicted != labels).sum()), int((predicted & labels).sum())
    return 2 * right / (2 * right + wrong) if right else 0.0


def _ranks(hits: Tensor, k: int) -> Tensor:
    return torch.arange(1, min(k, hits.shape[1]) + 1, dtype=torch.float64, device=hits.device)
