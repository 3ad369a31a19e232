"""Metrics, as pure functions.

Ranking metrics are expectations over the orders of candidates with equal scores, each order as
likely as any other, so that no order of rows decides them. They read ``Places`` and a cutoff k >=
1, and return one float64 in [0, 1] per user. Exact for binary relevance, after McSherry and Najork,
Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores,
ECIR 2008.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.errors import ConfigError, nearest

_CELLS = 2**22


@dataclass(frozen=True, slots=True)
class Places:
    """Where the relevant items of users are ranked.

    Candidates of a user that have one score make a group: it takes the places ``above + 1`` to
    ``above + size``, in any order. Only groups with a relevant item that begin within the first
    ``longest`` places are kept; the fields of a group are int64, its users ascending and of one
    user the best group first.

    Attributes:
        user: Position of the group's user in ``total``.
        above: Candidates with a higher score.
        size: Candidates in the group.
        relevant: Relevant items in the group, at least 1.
        relevant_above: Relevant items with a higher score.
        total: Relevant items of each user, ranked or not, at least 1.
        longest: The largest cutoff that is asked for.
    """

    user: Int[Tensor, " _"]
    above: Int[Tensor, " _"]
    size: Int[Tensor, " _"]
    relevant: Int[Tensor, " _"]
    relevant_above: Int[Tensor, " _"]
    total: Int[Tensor, " users"]
    longest: int

    @classmethod
    def of(
        cls,
        user: Int[Tensor, " _"],
        above: Int[Tensor, " _"],
        tied: Int[Tensor, " _"],
        num_users: int,
        longest: int,
    ) -> "Places":
        """Return the groups of relevant items.

        Args:
            user: User of each relevant item, in [0, num_users); each has at least one.
            above: Candidates of that user with a higher score than the item's.
            tied: Candidates with the item's score, itself included; 0 where the item is in no list
                of that length.
            num_users: Number of users.
            longest: The largest cutoff that will be asked for.
        """
        total = torch.bincount(user, minlength=num_users)
        kept = (tied > 0) & (above < longest)
        user = user[kept]
        above = above[kept]
        tied = tied[kept]
        keys, group, relevant = torch.unique(
            user * longest + above, return_inverse=True, return_counts=True
        )
        size = torch.empty_like(keys).scatter_(0, group, tied)
        owner = keys // longest
        before = relevant.cumsum(0) - relevant
        relevant_above = before - before[torch.searchsorted(owner, owner)]
        return cls(owner, keys % longest, size, relevant, relevant_above, total, longest)

    def inside(self, k: int) -> Int[Tensor, " _"]:
        """Return how many of each group's places are among the first k."""
        return (k - self.above).clamp(min=0).minimum(self.size)

    def share(self) -> Float[Tensor, " _"]:
        """Return the chance of each of a group's places to hold a relevant item."""
        return self.relevant.double() / self.size


def recall(places: Places, k: int) -> Float[Tensor, " users"]:
    """Return the share of a user's relevant items that is among the first k.

    Source: Wang et al., KGAT, KDD 2019, Section 4.2.1; docs/metrics.md, section 1.
    """
    return _hits(places, k) / places.total


def precision(places: Places, k: int) -> Float[Tensor, " users"]:
    """Return the share of the first k places that hold relevant items; a list shorter than k counts
    as k.

    Source: docs/metrics.md, section 1.
    """
    return _hits(places, k) / k


def hit(places: Places, k: int) -> Float[Tensor, " users"]:
    """Return the probability that a relevant item is among the first k: 1 or 0 unless k splits a
    group of equal scores.

    Source: docs/metrics.md, section 3; the hypergeometric probability 1 - C(size - relevant, n) /
    C(size, n) of n places.
    """
    found = 1 - _missed(places.size, places.relevant, places.inside(k))
    return _per_user(places).scatter_reduce_(0, places.user, found, "amax")


def ndcg(places: Places, k: int) -> Float[Tensor, " users"]:
    """Return the discounted cumulative gain of the first k over that of the best list possible: the
    standard version.

        sum of hit_j / log2(j + 1) over j <= k,  divided by  sum of 1 / log2(j + 1) over j <= min(k,
        relevant)

    Source: Järvelin and Kekäläinen, TOIS 2002, with binary gains; docs/metrics.md, section 2.
    """
    discounts = _discounts(places, k)
    return _per_user(places, _gains(places, discounts, k)) / discounts[places.total.clamp(max=k)]


def ndcg_retrieved(places: Places, k: int) -> Float[Tensor, " users"]:
    """Return the NDCG of KGAT's and NGCF's published code: the ideal list holds the hits that were
    found, not all relevant items.

        sum of hit_j / log2(j + 1) over j <= k,  divided by  sum of 1 / log2(j + 1) over j <= min(k,
        found)

    where ``found`` is the number of hits among the first ``places.longest``, the largest cutoff
    asked for (their K_max, 100 by default): the value of one k changes with the other cutoffs. It
    is at least the standard NDCG, and 0 where nothing is found.

    Source: Wang et al., NGCF, SIGIR 2019, and KGAT, KDD 2019, as their code has it;
    version 2 of docs/metrics.md, section 2.
    """
    discounts = _discounts(places, k)
    gains = _gains(places, discounts, k)
    reached = places.inside(places.longest)
    whole = reached == places.size
    gain = _per_user(places, torch.where(whole, gains, 0))
    found = _per_user(places, torch.where(whole, places.relevant, 0)).long()
    value = gain * _inverse(discounts[found.clamp(max=k)])

    # The group that the end of the list splits, at most one per user: any number x of its relevant
    # items may be in, by chance.
    for at in _pieces((~whole).nonzero().squeeze(1), places.relevant.minimum(reached)):
        user = places.user[at]
        size = places.size[at]
        relevant = places.relevant[at]
        n = reached[at]
        x, chance = _hypergeometric(size, relevant, n)
        gap = (
            discounts[(places.above[at] + n).clamp(max=k)]
            - discounts[places.above[at].clamp(max=k)]
        )
        mean_gain = gain[user].unsqueeze(1) + x * (gap / n).unsqueeze(
            1
        )  # given x, each of the n places holds one with x / n
        value[user] = (
            chance * mean_gain * _inverse(discounts[(found[user].unsqueeze(1) + x).clamp(max=k)])
        ).sum(1)

    return value


def mrr(places: Places, k: int) -> Float[Tensor, " users"]:
    """Return 1 / (1-based rank of the first relevant item), 0 where none is among the first k.

    In the first group with relevant items, the p-th place holds the first of them with probability
    C(size - p, relevant - 1) / C(size, relevant).

    Source: Voorhees, TREC-8 question answering track report, 1999.
    """
    above = places.above
    size = places.size
    relevant = places.relevant
    inside = places.inside(k)
    harmonic = _sums(1 / _upto(places, k))
    value = (
        harmonic[above.clamp(max=k) + inside] - harmonic[above.clamp(max=k)]
    ) / size  # right where one is relevant
    several = ((relevant > 1) & (inside > 0)).nonzero().squeeze(1)
    for at in _pieces(several, inside):
        p = torch.arange(1, 1 + int(inside[at].max()), device=at.device)
        rest = (size[at].unsqueeze(1) - p + 1).double()
        one = relevant[at].unsqueeze(1)
        none_at_p = ((rest - one) / rest).clamp(min=0)  # given that none is before
        none_before = torch.nn.functional.pad(none_at_p[:, :-1].cumprod(1), (1, 0), value=1.0)
        chance = torch.where(p <= inside[at].unsqueeze(1), none_before * one / rest, 0)
        value[at] = (chance / (above[at].unsqueeze(1) + p)).sum(1)

    return _per_user(places, torch.where(places.relevant_above == 0, value, 0))


def average_precision(places: Places, k: int) -> Float[Tensor, " users"]:
    """Return the sum of precision@j over the places j <= k of relevant items, divided by min(k,
    relevant).

    The p-th place of a group is relevant with probability relevant / size, and then holds on
    average (p - 1)(relevant - 1) / (size - 1) others of the group before it.

    Source: Manning et al., Introduction to Information Retrieval, 2008, Section 8.4, cut at k.
    """
    above = places.above.clamp(max=k)
    inside = places.inside(k)
    harmonic = _sums(1 / _upto(places, k))
    slope = (places.relevant - 1) / (places.size - 1).clamp(min=1).double()
    # relevant_above + 1 + (p - 1) slope over j = above + p, summed over p
    sums = slope * inside + (places.relevant_above + 1 - (above + 1) * slope) * (
        harmonic[above + inside] - harmonic[above]
    )
    return _per_user(places, places.share() * sums) / places.total.clamp(max=k)


Metric: TypeAlias = Callable[[Places, int], Float[Tensor, " users"]]

RANKING: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "hit": hit,
    "mrr": mrr,
    "map": average_precision,
    "ndcg-retrieved": ndcg_retrieved,
}
STANDARD = ("recall", "ndcg", "precision", "hit", "mrr", "map", "coverage")
"""What full ranking reports where nothing else is asked for."""


def ranking_metric(name: str) -> Metric:
    """Return a ranking metric by the name it has before the "@".

    Raises:
        ConfigError: If there is no such metric; the message gives the nearest name.
    """
    if name not in RANKING:
        raise ConfigError(
            f"unknown metric {name!r}. Choose from {', '.join(RANKING)}, "
            f"coverage.{nearest(name, [*RANKING, 'coverage'])}"
        )

    return RANKING[name]


def check_cutoffs(ks: Iterable[int]) -> tuple[int, ...]:
    """Return the cutoffs, ascending and distinct.

    Raises:
        ConfigError: If there is none, or one is less than 1 or beyond 32 bits.
    """
    cutoffs = tuple(sorted(set(ks)))
    if not cutoffs or cutoffs[0] < 1 or cutoffs[-1] >= 2**31:
        raise ConfigError(
            f"cutoffs {list(cutoffs)} cannot be used. Give at least one, each at least 1, for "
            "instance (10, 20)."
        )

    return cutoffs


def auc(scores: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Return the probability that a positive row scores above a negative one, ties counting one
    half; pooled over all rows.

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
    """Return the mean negative log-likelihood (nats) of binary labels; probabilities in [0, 1] are
    first kept 1e-7 off both ends.

    Source: binary cross-entropy, as models of click-through rate report it.
    """
    kept = probabilities.double().clamp(1e-7, 1 - 1e-7)
    return float(-torch.where(labels, kept.log(), (-kept).log1p()).mean())


def calibration(
    probabilities: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"]
) -> tuple[float, float]:
    """Return the expected clicks per click (1 is right, above is too many; NaN without clicks), and
    the expected calibration error: the mean distance of mean probability and share of clicks over
    ten bins of equal width, weighted by their rows.

    Source: He et al., Practical Lessons from Predicting Clicks on Ads at Facebook, ADKDD 2014,
    Section 2 (ratio); Naeini et al., AAAI 2015 (error).
    """
    expected = probabilities.double()
    clicks = labels.double()
    count = int(labels.sum())
    ratio = float(expected.sum()) / count if count else float("nan")
    bins = (expected * 10).long().clamp(0, 9)
    apart = torch.zeros(10, dtype=torch.float64).index_add_(0, bins, expected - clicks)
    return ratio, float(apart.abs().sum()) / len(labels)


def accuracy(predicted: Bool[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Return the share of rows predicted rightly.

    Source: as RippleNet and MKR report it; docs/metrics.md, section 5.
    """
    return float((predicted == labels).double().mean())


def f1(predicted: Bool[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> float:
    """Return the harmonic mean of precision and recall of the positive rows; 0 where no row is
    positive or predicted so.

    Source: van Rijsbergen, Information Retrieval, 1979, Chapter 7, with equal weights.
    """
    wrong = int((predicted != labels).sum())
    right = int((predicted & labels).sum())
    if right:
        return 2 * right / (2 * right + wrong)

    return 0.0


def _hits(places: Places, k: int) -> Tensor:
    """Return the mean number of relevant items among the first k of each user."""
    return _per_user(places, places.share() * places.inside(k))


def _gains(places: Places, discounts: Tensor, k: int) -> Tensor:
    """Return the mean discounted gain of each group within the first k."""
    above = places.above.clamp(max=k)
    return places.share() * (discounts[above + places.inside(k)] - discounts[above])


def _discounts(places: Places, k: int) -> Tensor:
    """Return the sums of the first 0, 1, 2, ... discounts of NDCG, as many as are needed."""
    return _sums(1 / (1 + _upto(places, k)).log2())


def _upto(places: Places, k: int) -> Tensor:
    """Return the places 1, 2, ... to k, or to the last that a relevant item or a best list can
    reach.
    """
    ends = torch.cat([places.above + places.size, places.total])
    return torch.arange(
        1, 1 + min(k, int(ends.max()) if len(ends) else 0), dtype=torch.float64, device=ends.device
    )


def _sums(values: Tensor) -> Tensor:
    return torch.nn.functional.pad(values.cumsum(0), (1, 0))


def _per_user(places: Places, values: Tensor | None = None) -> Tensor:
    """Return the sum of the groups' values of each user; zeros if there are none."""
    sums = torch.zeros(len(places.total), dtype=torch.float64, device=places.total.device)
    if values is None:
        return sums
    return sums.index_add_(0, places.user, values.double())


def _inverse(sums: Tensor) -> Tensor:
    return torch.where(sums > 0, 1 / sums, 0)


def _pieces(rows: Tensor, widths: Tensor) -> Iterator[Tensor]:
    """Yield rows, few enough that a table of them as wide as the widest stays small."""
    if len(rows):
        yield from torch.split(rows, max(1, _CELLS // max(1, int(widths[rows].max()))))


def _missed(size: Tensor, relevant: Tensor, n: Tensor) -> Tensor:
    """Return the probability that n of ``size`` places hold none of the relevant ones: C(size -
    relevant, n) / C(size, n).
    """
    missed = (n == 0).double()
    fewer, more = (
        relevant.minimum(n),
        relevant.maximum(n),
    )  # the formula is the same with both exchanged
    for at in _pieces(((n > 0) & (n + relevant <= size)).nonzero().squeeze(1), fewer):
        factor = torch.arange(int(fewer[at].max()), device=at.device)
        rest = size[at].unsqueeze(1) - factor
        kept = torch.where(
            factor < fewer[at].unsqueeze(1),
            (rest - more[at].unsqueeze(1)) / rest.clamp(min=1).double(),
            1,
        )
        missed[at] = kept.prod(1)

    return missed


def _hypergeometric(size: Tensor, relevant: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many of the relevant ones may be among n of ``size`` places, and how likely each
    number is; rows are padded with 0.
    """
    size, relevant, n = (count.unsqueeze(1) for count in (size, relevant, n))
    low = (n + relevant - size).clamp(min=0)
    high = relevant.minimum(n)
    x = low + torch.arange(1 + int((high - low).max()), device=size.device)
    last = x.minimum(high)
    step = ((relevant - last) * (n - last)).double().log() - (
        (last + 1) * (size - relevant - n + last + 1)
    ).double().log()
    weight = torch.nn.functional.pad(step[:, :-1].cumsum(1), (1, 0)).masked_fill(
        x > high, -torch.inf
    )
    return last, weight.softmax(1)
