"""Losses shared by several models."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import relu, softmax, softplus

from kgrec.ops.contrast import softmax_rows
from kgrec.ops.rows import unit_rows


def bpr(positive: Float[Tensor, " batch"], negative: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the mean of ``-log sigmoid(positive - negative)``, in the form that does not
    underflow.

    Source: Rendle et al., BPR, UAI 2009, Section 4.1. https://arxiv.org/abs/1205.2618
    """
    return softplus(negative - positive).mean()


def l2(*rows: Float[Tensor, "batch _"]) -> Float[Tensor, ""]:
    """Return half the squared norms of the rows, summed over all of them and divided by the batch
    size.

    The convention of the LightGCN and KGAT code; others leave out the half, the square or the
    division, so that their weights mean something else.

    Source: He et al., LightGCN, SIGIR 2020, Eq. (15), as in the authors' code.
    https://arxiv.org/abs/2002.02126
    """
    total = sum((row.square().sum() for row in rows), start=rows[0].new_zeros(()))
    return 0.5 * total / rows[0].shape[0]


def cosine_softmax(
    users: Float[Tensor, "batch dim"],
    items: Float[Tensor, "items dim"],
    positive: Int[Tensor, " batch"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of each positive against the given items, by cosine over a
    temperature in (0, 1].

    Every row of ``items`` other than the positive counts as a negative.

    Source: Wu et al., On the Effectiveness of Sampled Softmax Loss for Item Recommendation, TOIS
    2024, Eq. (4). https://arxiv.org/abs/2201.02327
    """
    return softmax_rows(unit_rows(users) / temperature, unit_rows(items), positive)


def translation_ranking(
    positive: Float[Tensor, " batch"], negative: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Return the mean of ``-log sigmoid(negative - positive)`` of two energies (lower is more
    plausible).

    Source: Wang et al., KGAT, KDD 2019, Eq. (2). https://arxiv.org/abs/1905.07854
    """
    return softplus(positive - negative).mean()


def margin_hinge(
    positive: Float[Tensor, " batch"], negative: Float[Tensor, "batch cand"], margin: float | int
) -> Float[Tensor, ""]:
    """Return the mean of ``max(0, margin - positive + negative)`` of two scores (higher is more
    plausible), over all negatives.

    Source: Bordes et al., TransE, NIPS 2013, Eq. (1).
    """
    return relu(margin - positive.unsqueeze(1) + negative).mean()


def logistic(
    positive: Float[Tensor, " batch"], negative: Float[Tensor, "batch cand"]
) -> Float[Tensor, ""]:
    """Return the mean over the batch of ``-log sigmoid(positive)`` minus the sum of
    ``log sigmoid(-negative)``.

    Source: Trouillon et al., ComplEx, ICML 2016, Section 4 (without the L2 term).
    https://arxiv.org/abs/1606.06357
    """
    return (softplus(-positive) + softplus(negative).sum(1)).mean()


def self_adversarial(
    positive: Float[Tensor, " batch"],
    negative: Float[Tensor, "batch cand"],
    margin: float | int,
    temperature: float | int,
) -> Float[Tensor, ""]:
    """Return half the mean of
    ``-log sigmoid(margin + positive) - sum of p log sigmoid(-margin - negative)``, scores as
    negated distances.

    ``p`` is the softmax of ``temperature * negative`` over a row's negatives, without gradient; the
    half is the authors' code's.

    Source: Sun et al., RotatE, ICLR 2019, Eqs. (5)-(6). https://arxiv.org/abs/1902.10197
    """
    share = softmax(temperature * negative.detach(), dim=1)
    return (
        0.5 * (softplus(-margin - positive) + (share * softplus(margin + negative)).sum(1)).mean()
    )


def power(*rows: Float[Tensor, "batch _"], exponent: int) -> Float[Tensor, ""]:
    """Return the sum of the values' magnitudes to a power, over all rows, divided by the batch
    size: 2 is L2, 3 is N3.

    Source: Lacroix et al., Canonical Tensor Decomposition for Knowledge Base Completion, ICML 2018,
    Eq. (4), over the rows of the batch.
    """
    total = sum((row.abs().pow(exponent).sum() for row in rows), start=rows[0].new_zeros(()))
    return total / rows[0].shape[0]


def shown_logistic(
    logits: Float[Tensor, "batch cand"],
    label: Float[Tensor, "batch cand"],
    shown: Bool[Tensor, "batch cand"],
) -> Float[Tensor, ""]:
    """Return the mean log loss over all items that were shown."""
    weight = shown.to(logits.dtype)
    return ((softplus(logits) - label * logits) * weight).sum() / weight.sum()


def shown_softmax(
    logits: Float[Tensor, "batch cand"],
    label: Float[Tensor, "batch cand"],
    shown: Bool[Tensor, "batch cand"],
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of each click among what was shown with it."""
    log_share = logits.masked_fill(~shown, -torch.inf).log_softmax(1)
    log_share = log_share.masked_fill(~shown, 0.0)  # a padding counts for nothing
    return -(log_share * label).sum() / label.sum()


def half_squares(tables: Iterable[Tensor]) -> Float[Tensor, ""]:
    """Return half the squared norms of whole tables."""
    return 0.5 * torch.stack([table.square().sum() for table in tables]).sum()
