"""Click-through rate: is a pair an interaction? Labeled negatives, or one sampled item per
held-out interaction.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from scipy.special import expit
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.errors import ConfigError, DataError
from kgrec.evaluation.metrics import accuracy, auc, calibration, f1, logloss
from kgrec.evaluation.ranking import score_pairs
from kgrec.evaluation.report import Report, check_part
from kgrec.models.base import Scorer
from kgrec.ops.sampling import sample_negatives
from kgrec.process import refuse_after_fork
from kgrec.random import derive, numpy_generator

_STEPS = 100
_PER_USER = ("user_auc", "user_accuracy", "user_logloss")


@dataclass(frozen=True, slots=True)
class LabeledPairs:
    """Pairs of users and items, and which of them are interactions.

    Attributes:
        user: User rows, ascending.
        item: Item rows.
        label: True for an interaction.
        sampled: Whether the negatives were drawn here rather than given.
    """

    user: np.ndarray
    item: np.ndarray
    label: np.ndarray
    sampled: bool


def labeled_pairs(dataset: Dataset, on: str, seed: int = 0) -> LabeledPairs:
    """Return the held-out interactions of a part and its negatives.

    Negatives are those of the dataset where it has any for this part. Else each interaction brings
    one item, uniform over those the user has in none of the parts up to this one; a user who has
    every item brings none.

    Args:
        dataset: Where the pairs are.
        on: "valid" or "test".
        seed: Seed of the draw.

    Raises:
        DataError: If there are no interactions in the part, or no negatives where other parts have
            labeled ones.

    Source: Wang et al., RippleNet, CIKM 2018, Section 4.3 (as many sampled negatives as positives).
    """
    if on == "valid":
        held_out = dataset.valid
    else:
        held_out = dataset.test

    if not len(held_out):
        raise DataError(
            f"nothing to evaluate: the {on} part has no interactions. Split the data again."
        )

    given = dataset.negatives.get(on, Interactions())
    sampled = not len(given)
    if sampled and any(map(len, dataset.negatives.values())):
        raise DataError(
            f"nothing to evaluate: every labeled row of the {on} part has label 1. Split the data "
            "again, or give rows with label 0."
        )

    if sampled:
        known = concatenate(
            [dataset.train, dataset.valid] + ([dataset.test] if on == "test" else [])
        )
        given = _drawn(
            held_out,
            known,
            dataset,
            numpy_generator(seed, "ctr negatives", ("valid", "test").index(on)),
        )

    user, item = (
        np.concatenate([getattr(part, name) for part in (held_out, given)])
        for name in ("user", "item")
    )
    label = np.arange(len(user)) < len(held_out)
    order = np.argsort(user, kind="stable")
    return LabeledPairs(user[order], item[order], label[order], sampled)


def evaluate_ctr(
    scorer: Scorer,
    dataset: Dataset,
    on: str = "test",
    *,
    seed: int = 0,
    scaling: Literal["platt", "sigmoid"] | None = None,
    legacy_batch: int | None = None,
    model: str | None = None,
    device: torch.device | str = "cpu",
) -> Report:
    """Measure how well scores tell interactions from negatives, over all rows at once.

    ``auc`` is of the raw scores. ``f1`` and ``accuracy`` (at probability .5) and ``logloss`` are of
    probabilities: a logistic function of the score whose two parameters are fitted on the
    validation rows (``platt``), or the plain sigmoid, which is only fair to models that were
    trained to give log-odds; so are ``calibration``, expected clicks per click, and ``ece``, the
    expected calibration error of ten bins. ``user_auc``, ``user_accuracy`` and ``user_logloss`` are means of each
    user's own value; the first over users who have both kinds of row, and ``gauc`` weights them by
    their rows.

    Args:
        scorer: What scores.
        dataset: Where the rows are.
        on: "test" or "valid"; on "valid", Platt scaling is fitted on the rows that are evaluated.
        seed: Seed of sampled negatives, and of the order of rows in legacy batches.
        scaling: How scores become probabilities; None takes "platt" where the validation rows are
            like those evaluated, "sigmoid" if there are none, and in the legacy mode.
        legacy_batch: Take AUC, F1 and accuracy per mini-batch of so many rows, shuffled, and
            average them, without the last short batch, as the published code of KGCN does: for
            comparison with its figures only.
        model: Name for the report.
        device: Where the scorer computes, if it is not a ``DotProduct``.

    Raises:
        ConfigError: If ``on`` is unknown, or fewer rows than one legacy batch are there.
        DataError: If there is nothing to evaluate, or nothing to fit ``platt`` on: rows of one
            label.

    Source: docs/metrics.md, section 5.
    """
    refuse_after_fork("Evaluating labeled pairs")
    check_part(on)
    rows = labeled_pairs(dataset, on, seed)
    if rows.label.all():
        raise DataError(
            f"nothing to evaluate: the users of the {on} part have every item, so that there is no "
            "negative to hold interactions against."
        )
    if legacy_batch is not None and not 1 <= legacy_batch <= len(rows.user):
        raise ConfigError(
            f"legacy batches of {legacy_batch}: there are {len(rows.user)} rows. Take from 1 to "
            "that many."
        )

    chosen = scaling or ("platt" if legacy_batch is None and _alike(dataset, on) else "sigmoid")
    scores = score_pairs(scorer, dataset, on, rows.user, rows.item, device)
    label = torch.from_numpy(rows.label)

    if chosen == "platt":
        slope, intercept = _platt(scorer, dataset, on, rows, scores, seed, device)
    else:
        slope = 1.0
        intercept = 0.0

    probability = torch.from_numpy(expit(slope * scores.double().numpy() + intercept))
    per_user = _per_user(dataset, rows, scores, probability)

    if legacy_batch is None:
        metrics = _metrics(scores, probability, label) | {"logloss": logloss(probability, label)}
        metrics |= zip(("calibration", "ece"), calibration(probability, label), strict=True)
        metrics |= _gauc(per_user)
        means = {name: per_user[name].mean() for name in _PER_USER}
        metrics |= {name: mean for name, mean in means.items() if isinstance(mean, float)}
    else:
        metrics = _legacy(scores, probability, label, legacy_batch, seed)

    details: dict[str, Any] = {
        "rows": {
            "positive": int(rows.label.sum()),
            "negative": int((~rows.label).sum()),
            "sampled": rows.sampled,
        },
        "scaling": {"method": chosen, "slope": slope, "intercept": intercept},
        "legacy_batch": legacy_batch,
    }

    return Report(
        model=model,
        split=on,
        users=per_user.height,
        metrics=metrics,
        per_user=per_user,
        protocol="ctr",
        notes=_notes(rows, on, chosen, legacy_batch),
        details=details,
        rows=_evaluated_rows(dataset, rows, scores, probability),
    )


def platt(scores: Float[Tensor, " batch"], labels: Bool[Tensor, " batch"]) -> tuple[float, float]:
    """Return slope and intercept of the logistic function of the score that fits the labels best.

    Targets are (positives + 1) / (positives + 2) and 1 / (negatives + 2) instead of 1 and 0, so
    that the answer is finite. Where all scores are equal, the slope is 0.

    Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999; Lin, Lin and Weng,
    Machine Learning 2007 (Newton's method).
    """
    raw = scores.double().numpy()
    center = float(raw.mean())
    scale = float(raw.std())
    if scale == 0 or not np.isfinite(scale):
        scale = np.inf

    x = np.stack([(raw - center) / scale, np.ones(len(raw))], axis=1)
    positives = int(labels.sum())
    target = np.where(
        labels.numpy(), (positives + 1) / (positives + 2), 1 / (len(raw) - positives + 2)
    )
    weights = np.array([0.0, np.log((positives + 1) / (len(raw) - positives + 1))])
    loss = _fit_loss(x, target, weights)

    for _ in range(_STEPS):
        probability = expit(x @ weights)
        gradient = x.T @ (probability - target)
        curvature = (x.T * (probability * (1 - probability))) @ x + 1e-12 * len(raw) * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (after := _fit_loss(x, target, weights - size * step)) > loss and size > 1e-10:
            size /= 2

        weights = weights - size * step
        done = loss - after <= 1e-12 * loss
        loss = after
        if done:
            break

    slope = float(weights[0] / scale)
    return slope, float(weights[1] - slope * center)


def _fit_loss(x: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    score = x @ weights
    return float((np.logaddexp(0, score) - target * score).sum())


def _drawn(
    held_out: Interactions, known: Interactions, dataset: Dataset, generator: np.random.Generator
) -> Interactions:
    seen = known.csr(dataset.num_users, dataset.num_items)
    user = held_out.user[np.diff(seen.indptr)[held_out.user] < dataset.num_items]
    ptr, idx = (torch.from_numpy(part.astype(np.int64)) for part in (seen.indptr, seen.indices))
    item = sample_negatives(
        torch.from_numpy(user.astype(np.int64)), ptr, idx, dataset.num_items, generator=generator
    )
    return Interactions(user, item.numpy().astype(np.int32))


def _alike(dataset: Dataset, on: str) -> bool:
    """Return whether there are validation rows, with negatives of the same origin as those
    evaluated.
    """
    return len(dataset.valid) > 0 and (len(dataset.negatives.get("valid", ())) > 0) == (
        len(dataset.negatives.get(on, ())) > 0
    )


def _platt(
    scorer: Scorer,
    dataset: Dataset,
    on: str,
    rows: LabeledPairs,
    scores: Tensor,
    seed: int,
    device: torch.device | str,
) -> tuple[float, float]:
    if not _alike(dataset, on):
        raise DataError(
            f"no validation rows like those of the {on} part to fit the scaling on. Take scaling "
            "sigmoid, or split again."
        )
    if on == "valid":
        return platt(scores, torch.from_numpy(rows.label))

    held_out = labeled_pairs(dataset, "valid", seed)
    return platt(
        score_pairs(scorer, dataset, "valid", held_out.user, held_out.item, device),
        torch.from_numpy(held_out.label),
    )


def _metrics(scores: Tensor, probability: Tensor, label: Tensor) -> dict[str, float]:
    predicted = probability >= 0.5
    return {
        "auc": auc(scores, label),
        "f1": f1(predicted, label),
        "accuracy": accuracy(predicted, label),
    }


def _gauc(per_user: pl.DataFrame) -> dict[str, float]:
    """Return the mean of the users' AUC weighted by their rows, where there is any."""
    both = per_user.filter(pl.col("user_auc").is_not_null())
    if not both.height:
        return {}

    rows = (both["positive"] + both["negative"]).to_numpy()
    return {"gauc": float(np.average(both["user_auc"].to_numpy(), weights=rows))}


def _legacy(
    scores: Tensor, probability: Tensor, label: Tensor, size: int, seed: int
) -> dict[str, float]:
    """Return the metrics per full batch of shuffled rows, averaged; a batch with one kind of row
    has no AUC and counts in none.
    """
    order = torch.randperm(
        len(label), generator=torch.Generator().manual_seed(derive(seed, "ctr batches"))
    )
    batches = torch.split(order[: len(order) // size * size], size)
    values = [_metrics(scores[rows], probability[rows], label[rows]) for rows in batches]
    means = {name: np.array([value[name] for value in values]) for name in values[0]}

    return {
        name: float(found[~np.isnan(found)].mean()) if (~np.isnan(found)).any() else float("nan")
        for name, found in means.items()
    }


def _per_user(
    dataset: Dataset, rows: LabeledPairs, scores: Tensor, probability: Tensor
) -> pl.DataFrame:
    """Return each user's counts, AUC (null without both kinds of row), accuracy and log loss."""
    right = (probability >= 0.5).numpy() == rows.label
    kept = probability.numpy().clip(1e-7, 1 - 1e-7)
    columns = {"row": rows.user, "label": rows.label, "score": scores.numpy(), "right": right}
    frame = pl.DataFrame(columns | {"loss": -np.where(rows.label, np.log(kept), np.log1p(-kept))})
    label = pl.col("label")
    positive = pl.col("positive")
    negative = pl.col("negative")
    found = (
        frame.with_columns(pl.col("score").rank("average").over("row").alias("rank"))
        .group_by("row", maintain_order=True)
        .agg(
            label.sum().cast(pl.Int64).alias("positive"),
            (~label).sum().cast(pl.Int64).alias("negative"),
            pl.col("rank").filter(label).sum().alias("ranks"),
            pl.col("right").mean().alias("user_accuracy"),
            pl.col("loss").mean().alias("user_logloss"),
        )
        .with_columns(
            pl.when((positive > 0) & (negative > 0))
            .then((pl.col("ranks") - positive * (positive + 1) / 2) / (positive * negative))
            .alias("user_auc")
        )
    )
    users = pl.Series("user", dataset.users.keys(found["row"].to_numpy()), dtype=pl.String)
    return found.select(users, "positive", "negative", *_PER_USER)


def _evaluated_rows(
    dataset: Dataset, rows: LabeledPairs, scores: Tensor, probability: Tensor
) -> pl.DataFrame:
    ids = {
        "user": dataset.users.series.gather(rows.user),
        "item": dataset.items.series.gather(rows.item),
    }
    return pl.DataFrame(
        ids
        | {
            "label": rows.label,
            "score": scores.double().numpy(),
            "probability": probability.numpy(),
        }
    )


def _notes(rows: LabeledPairs, on: str, scaling: str, legacy_batch: int | None) -> tuple[str, ...]:
    notes = []
    if rows.sampled:
        notes.append(
            "The negatives are sampled, one unseen item per held-out interaction: no labels of "
            "the dataset."
        )

    if scaling == "platt":
        if on == "valid":
            fitted = "these same rows"
        else:
            fitted = "the validation rows"
        notes.append(
            f"Probabilities are a logistic function of the score, fitted on {fitted} (Platt "
            "scaling)."
        )
    else:
        notes.append(
            "Probabilities are the plain sigmoid of the score: f1, accuracy and logloss are fair "
            "only to models of log-odds."
        )

    if legacy_batch is not None:
        notes.append(
            f"Legacy: means over mini-batches of {legacy_batch} rows, the last short one left "
            "out; not the metrics over all rows."
        )

    return tuple(notes)
