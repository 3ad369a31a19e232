"""Rating prediction: how far predicted ratings are from those that were given."""

from typing import Any

import numpy as np
import polars as pl
import torch

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions
from kgrec.data.records.known import Known
from kgrec.errors import DataError
from kgrec.evaluation.ranking import score_pairs
from kgrec.evaluation.report import Report, check_part
from kgrec.models.base import Scorer
from kgrec.process import refuse_after_fork


def evaluate_ratings(
    scorer: Scorer,
    dataset: Dataset,
    on: str = "test",
    *,
    predicts: bool = False,
    known: Known | None = None,
    model: str | None = None,
    device: torch.device | str = "cpu",
) -> Report:
    """Report the root mean squared error and the mean absolute error of ratings, over all rated
    pairs of a part at once.

    Scores of a model of ratings are predictions. Of any other model, a straight line is fitted from
    its scores to the ratings of the validation part, by least squares; pairs that it does not know
    get the mean rating of training. Predictions are kept within the ratings of training.
    ``user_rmse`` and ``user_mae`` are means of each user's own value. ``details`` has the errors of
    always predicting the mean.

    Args:
        scorer: What scores.
        dataset: Where the ratings are.
        on: "test" or "valid"; on "valid", the line is fitted on the rows that are evaluated.
        predicts: Whether scores are ratings (``Recommender.predicts_ratings``).
        known: Whom and what the model knows; None takes everyone and everything.
        model: Name for the report.
        device: Where the scorer computes, if it is not a ``DotProduct``.

    Raises:
        ConfigError: If ``on`` is unknown.
        DataError: If the part, or training, has no ratings, or validation none to fit by.

    Source: docs/metrics.md, section 10.
    """
    refuse_after_fork("Evaluating ratings")
    check_part(on)
    given = _rated(dataset, "train").rating.astype(np.float64)
    low, high = float(given.min()), float(given.max())
    mean = float(given.mean())
    rated = _rated(dataset, on)
    score = _scores(scorer, dataset, on, rated, device)
    slope = 1.0
    intercept = 0.0
    unknown = np.zeros(len(score), dtype=bool)

    if not predicts:
        unknown = _unknown(rated, known)
        fitted, by = rated, score
        if on != "valid":
            fitted = _rated(dataset, "valid")
            by = _scores(scorer, dataset, "valid", fitted, device)
        slope, intercept = _line(fitted, by, ~_unknown(fitted, known))

    prediction = np.where(unknown, mean, np.clip(slope * score + intercept, low, high))
    rating = rated.rating.astype(np.float64)
    per_user = _per_user(dataset, rated, rating - prediction)
    error, naive = rating - prediction, rating - mean
    details: dict[str, Any] = {
        "ratings": len(rating),
        "unknown": int(unknown.sum()),
        "scale": {"low": low, "high": high},
        "line": None if predicts else {"slope": slope, "intercept": intercept},
        "of_the_mean": {"rmse": _root(naive), "mae": float(np.abs(naive).mean())},
    }

    return Report(
        model=model,
        split=on,
        users=per_user.height,
        metrics={
            "rmse": _root(error),
            "mae": float(np.abs(error).mean()),
            "user_rmse": float(per_user["user_rmse"].to_numpy().mean()),
            "user_mae": float(per_user["user_mae"].to_numpy().mean()),
        },
        per_user=per_user,
        protocol="rating",
        notes=_notes(on, predicts, int(unknown.sum())),
        details=details,
        rows=pl.DataFrame(
            {
                "user": dataset.users.series.gather(rated.user),
                "item": dataset.items.series.gather(rated.item),
                "rating": rating,
                "score": score,
                "prediction": prediction,
            }
        ),
    )


def _root(error: np.ndarray) -> float:
    return float(np.sqrt(np.square(error).mean()))


def _rated(dataset: Dataset, part: str) -> Any:
    """Return the pairs of a part that have a rating.

    Raises:
        DataError: If there are none.
    """
    pairs: Interactions = getattr(dataset, part)
    if pairs.rating is not None:
        pairs = pairs.take(np.isfinite(pairs.rating))
    if pairs.rating is None or not len(pairs):
        raise DataError(
            f"the {part} part has no ratings to evaluate. Build the dataset with --rating COL."
        )
    return pairs


def _scores(
    scorer: Scorer, dataset: Dataset, on: str, rated: Interactions, device: torch.device | str
) -> np.ndarray:
    """Return the scores of pairs, in their order."""
    order = np.argsort(rated.user, kind="stable")
    found = np.empty(len(order))
    scores = score_pairs(scorer, dataset, on, rated.user[order], rated.item[order], device)
    found[order] = scores.double().numpy()
    return found


def _unknown(rated: Interactions, known: Known | None) -> np.ndarray:
    if known is None:
        return np.zeros(len(rated), dtype=bool)

    unknown: np.ndarray = ~(known.users[rated.user] & known.items[rated.item])
    return unknown


def _line(rated: Interactions, score: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept from scores to ratings, by least squares on known pairs."""
    if not known.any() or rated.rating is None:
        raise DataError(
            "the valid part has no rated pair that the model knows, to fit its scores to ratings "
            "by. Split the data again."
        )

    score = score[known]
    rating = rated.rating[known].astype(np.float64)
    spread = score - score.mean()
    varies = float(spread @ spread)
    slope = float(spread @ rating) / varies if varies > 0 else 0.0
    return slope, float(rating.mean() - slope * score.mean())


def _per_user(dataset: Dataset, rated: Interactions, error: np.ndarray) -> pl.DataFrame:
    """Return each user's number of ratings and errors."""
    found = (
        pl.DataFrame({"row": rated.user, "error": error})
        .group_by("row")
        .agg(
            pl.len().cast(pl.Int64).alias("ratings"),
            pl.col("error").pow(2).mean().sqrt().alias("user_rmse"),
            pl.col("error").abs().mean().alias("user_mae"),
        )
        .sort("row")
    )
    users = pl.Series("user", dataset.users.keys(found["row"].to_numpy()), dtype=pl.String)
    return found.select(users, "ratings", "user_rmse", "user_mae")


def _notes(on: str, predicts: bool, unknown: int) -> tuple[str, ...]:
    notes = []
    if not predicts:
        fitted = "these same rows" if on == "valid" else "the validation rows"
        notes.append(
            f"Scores of this model are no ratings: a straight line from scores to ratings was "
            f"fitted on {fitted}."
        )
    if unknown:
        notes.append(f"{unknown:,} pairs that the model does not know get the mean rating.")
    return tuple(notes)
