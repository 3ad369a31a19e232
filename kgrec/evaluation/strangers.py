"""How users without training interactions are answered: chosen by what the validation part says."""

from typing import Literal, TypeAlias

import numpy as np
import torch

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import with_interactions
from kgrec.errors import ConfigError, nearest
from kgrec.evaluation.report import evaluate
from kgrec.models.fallback import Fallback, FallbackChoice, Served, Way

Choice: TypeAlias = Literal["auto", "off", "popularity", "attributes"]
CHOICES = ("auto", "off", "popularity", "attributes")
DAY = 86_400.0

_METRIC = "ndcg@10"
_FEWEST, _MOST = 30, 1_000
_SHARES_OF_SPAN = (1 / 2, 1 / 8, 1 / 32)


def choose_fallback(
    data: Dataset, way: str = "auto", half_life: float | int | None = None
) -> FallbackChoice:
    """Return how users without training interactions are answered.

    "auto" takes what ranks best (ndcg@10) for the validation users without training interactions;
    where there are fewer than 30 of them, for all validation users as if none were known. It
    tries popularity, with half-lives of 1/2, 1/8 and 1/32 of the time that training spans, and the
    attributes of users and items. Where no user needs an answer, or nothing is held out to choose
    by, it is popularity.

    Args:
        data: Training and validation interactions, triples, facts about users.
        way: "auto", "popularity", "attributes", or "off".
        half_life: Days after which an interaction counts half (times are seconds); 0 counts all
            alike, None leaves it to "auto".

    Raises:
        ConfigError: If the way is unknown, or the half-life is negative or without times.
    """
    if way not in CHOICES:
        raise ConfigError(
            f"unknown fallback {way!r}. Choose from {', '.join(CHOICES)}.{nearest(way, CHOICES)}"
        )
    if half_life and data.train.time is None:
        raise ConfigError(
            f"half_life {half_life}: the interactions have no times. Leave it out, or name the "
            "time column when building."
        )
    if way == "off":
        return FallbackChoice("off", reason="asked for")

    fixed = (
        None if half_life is None else FallbackChoice("popularity", half_life * DAY, "asked for")
    )
    strangers = data.num_users - int(with_interactions(data).users.sum())
    if way != "auto" and fixed is not None:
        return FallbackChoice(_way(way), fixed.half_life, "asked for")

    if not strangers or not len(data.valid):
        why = (
            "no validation part to choose by"
            if strangers
            else "every user has training interactions"
        )
        return FallbackChoice(
            "popularity" if way == "auto" else _way(way),
            0.0 if fixed is None else fixed.half_life,
            why,
        )

    users, who = _choosers(data)
    lives = [fixed.half_life] if fixed is not None else _half_lives(data)
    tried = {FallbackChoice("popularity", life): 0.0 for life in lives}
    for choice in tried:
        tried[choice] = _value(data, choice, users)

    best = max(tried, key=lambda choice: tried[choice])
    if way == "attributes" or (way == "auto" and (len(data.user_facts) or len(data.triples))):
        by_attributes = FallbackChoice("attributes", best.half_life)
        tried[by_attributes] = _value(data, by_attributes, users)
        best = by_attributes if way == "attributes" or tried[by_attributes] > tried[best] else best

    return FallbackChoice(
        best.way,
        best.half_life,
        f"best {_METRIC} ({tried[best]:.4f}) of {len(tried)} ways, by {who}",
    )


def _way(way: str) -> Way:
    if way == "attributes":
        return "attributes"
    return "popularity"


def _choosers(data: Dataset) -> tuple[np.ndarray, str]:
    """Return the validation users to choose by, at most 1,000, and who they are."""
    users = np.unique(data.valid.user)
    cold = users[~with_interactions(data).users[users]]
    if len(cold) >= _FEWEST:
        chosen = cold
    else:
        chosen = users

    chosen = chosen[
        np.unique(np.linspace(0, len(chosen) - 1, min(_MOST, len(chosen))).round().astype(np.int64))
    ]
    if len(cold) >= _FEWEST:
        who = "without training interactions"
    else:
        who = "as if none were known"

    return chosen, f"{len(chosen):,} validation users {who}"


def _half_lives(data: Dataset) -> list[float]:
    time = data.train.time
    if time is None or not np.isfinite(time).any():
        span = 0.0
    else:
        span = float(np.nanmax(time) - np.nanmin(time))

    if span > 0:
        return [0.0, *(span * share for share in _SHARES_OF_SPAN)]

    return [0.0]


def _value(data: Dataset, choice: FallbackChoice, users: np.ndarray) -> float:
    """Return how well a fallback alone ranks for some users."""
    fallback = Fallback(data, choice)
    no_users = torch.zeros(data.num_users, dtype=torch.bool)
    every = torch.ones(data.num_items, dtype=torch.bool)
    alone = Served(lambda query, items=None: torch.empty(0), no_users, every, fallback)
    return evaluate(alone, data, on="valid", ks=(10,), metrics=("ndcg",), users=users).metrics[
        _METRIC
    ]
