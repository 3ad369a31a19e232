"""What lists by further wishes cost in hits, and what they buy, beside the plain ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.evaluation.beyond import beyond_accuracy, coverage
from kgrec.evaluation.metrics import Places, ranking_metric
from kgrec.evaluation.significance import paired

_DRAWS = 2_000
_BOUGHT = ("diversity", "entity_diversity", "longtail", "popularity")


@dataclass(frozen=True, slots=True)
class Change:
    """A mean difference to the plain lists over users.

    Attributes:
        mean: The difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Price:
    """What one kind of lists costs and buys.

    Attributes:
        name: The wish, or "plain".
        metrics: Means over users by name, such as ``recall@20``.
        changes: Their differences to the plain lists; empty for these.
        bought: What the lists are worth beyond hits by name: ``coverage@20``, ``diversity@20``,
            ``entity_diversity@20``, ``longtail@20``, ``popularity@20`` (see
            ``kgrec.evaluation.beyond``), and ``new@20``, the share of places that have items without
            a training interaction.
    """

    name: str
    metrics: dict[str, float]
    changes: dict[str, Change] = field(default_factory=dict)
    bought: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the values, JSON-ready."""
        return asdict(self)


def prices(
    lists: Mapping[str, Int[Tensor, "users cand"]],
    relevant: np.ndarray,
    dataset: Dataset,
    cutoffs: Sequence[int],
    metrics: Sequence[str] = ("recall", "ndcg"),
    seed: int = 0,
) -> tuple[Price, ...]:
    """Return what each kind of lists costs and buys.

    Args:
        lists: Item rows by name, best first, -1 for an empty place; a row per user of ``relevant``,
            in its order. The first ones are the plain lists.
        relevant: Keys ``user * num_items + item``, ascending and distinct.
        dataset: Training interactions and triples.
        cutoffs: Each at least 1.
        metrics: Names without the cutoff.
        seed: Draws the resamples of the intervals.
    """
    owner, position = np.unique(relevant // dataset.num_items, return_inverse=True)
    item = relevant % dataset.num_items
    longest = max(cutoffs)
    new = np.bincount(dataset.train.item, minlength=dataset.num_items) == 0
    found: list[Price] = []
    plain: np.ndarray | None = None
    for name, shown in lists.items():
        above, tied = _places(shown.numpy(), position, item)
        places = Places.of(
            torch.from_numpy(position),
            torch.from_numpy(above),
            torch.from_numpy(tied),
            len(owner),
            longest,
        )
        names = [f"{metric}@{k}" for k in cutoffs for metric in metrics]
        values = np.stack(
            [ranking_metric(metric)(places, k).numpy() for k in cutoffs for metric in metrics], 1
        )
        changes = {}
        if plain is None:
            plain = values
        else:
            generator = np.random.default_rng(seed)
            differences = paired(values - plain, generator=generator, draws=_DRAWS)
            for metric, one in zip(names, differences, strict=True):
                changes[metric] = Change(one.mean, one.low, one.high)

        means = dict(zip(names, values.mean(0).tolist(), strict=True))
        found.append(Price(name, means, changes, _bought(shown, dataset, new, tuple(cutoffs))))

    return tuple(found)


def _places(
    shown: np.ndarray, position: np.ndarray, item: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many items are above each relevant pair in its list, and 1 where it is in it."""
    hits = shown[position] == item[:, None]
    return hits.argmax(1), hits.any(1).astype(np.int64)


def _bought(
    shown: Tensor, dataset: Dataset, new: np.ndarray, cutoffs: tuple[int, ...]
) -> dict[str, float]:
    beyond = beyond_accuracy(shown, dataset, cutoffs)
    found = {}
    for k in cutoffs:
        found[f"coverage@{k}"] = coverage(shown, dataset.num_items, k)
        for name in _BOUGHT:
            if f"{name}@{k}" in beyond:
                found[f"{name}@{k}"] = beyond[f"{name}@{k}"]

        first = shown[:, :k].numpy()
        found[f"new@{k}"] = float((new[first] & (first >= 0)).sum() / max(1, (first >= 0).sum()))

    return found
