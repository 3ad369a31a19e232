"""Evaluate a scorer on a dataset's held-out interactions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.data.records.tie_order import tie_order
from kgrec.errors import ConfigError, DataError
from kgrec.evaluation.beyond import beyond_accuracy, coverage
from kgrec.evaluation.metrics import STANDARD, Places, check_cutoffs, ranking_metric
from kgrec.evaluation.prices import Price
from kgrec.evaluation.ranking import Lists, place_items
from kgrec.models.base import Scorer
from kgrec.notebook import html_table


@dataclass(frozen=True, slots=True)
class Part:
    """Means over a part of what was evaluated.

    Attributes:
        users: Users with something relevant in this part.
        metrics: Means over them by name; empty if there are none.
    """

    users: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the values, JSON-ready."""
        return {"users": self.users, "metrics": dict(self.metrics)}


@dataclass(frozen=True, slots=True)
class Report:
    """How well a model did under one protocol.

    Attributes:
        model: Name of the model, or None.
        split: "test" or "valid".
        users: Users evaluated: in full ranking those with at least one relevant item that was not
            masked.
        metrics: Means by name, for instance ``recall@20``; and ``coverage@20``, ``auc`` and others
            that are of all users together.
        per_user: One row per user evaluated, whose id (the caller's) is the first column; then
            counts, and one column per metric that is a mean over users.
        protocol: "ranking", "ctr", "sampled", or the name of another.
        notes: What a reader must know to read the numbers, in sentences.
        details: Further values of the protocol by name, JSON-ready.
        rows: Of "ctr", what was evaluated: ``user``, ``item`` (the caller's ids), ``label``,
            ``score``, ``probability``; else None.
        warm_part: Of full ranking, the means over users and relevant items that have training
            interactions.
        warm_user_part: The means over users who have training interactions, whatever items are
            relevant.
        cold_item_part: The means over relevant items that have no training interaction, of all
            users.
        cold_user_part: The means over users who have no training interaction.
        cold_items: Distinct relevant items that have no training interaction.
        masked: Held-out interactions left out because the pair is also in a masked part, so that it
            can never be recommended.
        beyond: What the lists are worth beyond their hits (``kgrec.evaluation.beyond``); empty
            where not asked for.
        prices: What lists by further wishes cost and buy beside the plain ones, which are the
            first; empty where not asked for.
    """

    model: str | None
    split: str
    users: int
    metrics: dict[str, float]
    per_user: pl.DataFrame
    protocol: str = "ranking"
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    rows: pl.DataFrame | None = None
    warm_part: Part = field(default_factory=Part)
    warm_user_part: Part = field(default_factory=Part)
    cold_item_part: Part = field(default_factory=Part)
    cold_user_part: Part = field(default_factory=Part)
    cold_items: int = 0
    masked: int = 0
    beyond: dict[str, float] = field(default_factory=dict)
    prices: tuple[Price, ...] = ()

    @property
    def warm(self) -> dict[str, float]:
        """The means over users and relevant items that have training interactions; empty if
        there are none such.
        """
        return self.warm_part.metrics

    @property
    def warm_users(self) -> int:
        """Users behind ``warm``."""
        return self.warm_part.users

    @property
    def cold_users(self) -> int:
        """Users evaluated who have no training interaction."""
        return self.cold_user_part.users

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the values per user, JSON-ready: the form of
        ``kgrec evaluate --json``.
        """
        record = {
            "model": self.model,
            "split": self.split,
            "protocol": self.protocol,
            "users": self.users,
            "metrics": dict(self.metrics),
            "notes": list(self.notes),
            **self.details,
        }
        if self.protocol != "ranking":
            return record

        if self.prices:
            record["prices"] = [price.to_dict() for price in self.prices]

        return record | {
            "warm": self.warm_part.to_dict(),
            "warm_users": self.warm_user_part.to_dict(),
            "cold": {
                "items": self.cold_item_part.to_dict(),
                "users": self.cold_user_part.to_dict(),
            },
            "cold_users": self.cold_users,
            "cold_items": self.cold_items,
            "masked": self.masked,
            "beyond": dict(self.beyond),
        }

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        parts = {"warm", "cold_items", "cold_users"}
        if self.cold_items or self.cold_users:
            parts = {name for name in parts if frame[name].null_count() == frame.height}
        shown = frame.drop(parts)
        columns = [name.replace("_", " ") for name in shown.columns]
        title = f"{self.model} on {self.split}, {self.users:,} users, {self.protocol}"
        return html_table(title, columns, shown.rows(), self.notes)

    def to_frame(self) -> pl.DataFrame:
        """Return the means as a frame: ``metric``, ``value``, and ``warm``, ``cold_items``,
        ``cold_users`` (null if there is none).
        """
        parts = {
            "warm": self.warm_part,
            "cold_items": self.cold_item_part,
            "cold_users": self.cold_user_part,
        }
        names = list(self.metrics)
        columns: dict[str, Any] = {"metric": names, "value": list(self.metrics.values())}
        columns |= {
            name: [part.metrics.get(metric) for metric in names] for name, part in parts.items()
        }
        return pl.DataFrame(
            columns, schema={"metric": pl.String} | dict.fromkeys(["value", *parts], pl.Float64)
        )


def evaluate(
    scorer: Scorer,
    dataset: Dataset,
    on: str = "test",
    ks: Iterable[int] = (10, 20),
    metrics: Iterable[str] | None = None,
    users: np.ndarray | None = None,
    model: str | None = None,
    device: torch.device | str = "cpu",
    beyond: bool = False,
) -> Report:
    """Rank the whole catalog for every user with held-out items, and report the means.

    Training items are masked with -inf, and validation items as well when evaluating on "test". A
    relevant item that is masked too is counted apart and evaluated nowhere. Repeated held-out pairs
    count once.

    Values of users are expectations over all orders of candidates with equal scores. Coverage and
    what is beyond hits need lists: there equal scores go by ``tie_order``. So the numbering of
    items decides no value.

    Args:
        scorer: What ranks.
        dataset: Where the interactions are.
        on: "test" or "valid".
        ks: Cutoffs, each at least 1.
        metrics: Names without the cutoff; None takes recall, ndcg, precision, hit, mrr, map and
            coverage. "ndcg-retrieved" is another, whose lists reach to the largest of ``ks``.
        users: User rows to evaluate; None evaluates all.
        model: Name for the report.
        device: Where the scorer computes, if it is not a ``DotProduct``.
        beyond: Whether to say what the lists are worth beyond their hits.

    Raises:
        ConfigError: If ``on``, a cutoff or a metric is unknown.
        DataError: If there are no users to evaluate.

    Source: full ranking, docs/metrics.md, section 1.
    """
    check_part(on)
    cutoffs = check_cutoffs(ks)
    names = STANDARD if metrics is None else tuple(dict.fromkeys(metrics))
    functions = {name: ranking_metric(name) for name in names if name != "coverage"}

    known = known_part(dataset, on)
    truth, masked = relevant_pairs(dataset, on, known, users)
    owner = truth // dataset.num_items
    item = truth % dataset.num_items
    evaluated, sizes = _runs(owner)
    wanted = Lists(
        torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])), torch.from_numpy(item)
    )
    lists = Lists.of(known, evaluated)
    ranked, above, tied = place_items(
        scorer,
        evaluated,
        min(cutoffs[-1], dataset.num_items),
        wanted,
        num_items=dataset.num_items,
        seen=lists,
        history=lists,
        order=tie_order(dataset)
        if beyond or "coverage" in names
        else None,  # only lists need it, and it takes a sort
        device=device,
    )

    def values_of(chosen: np.ndarray) -> dict[str, np.ndarray]:
        """Return each metric's values per user who has some of the chosen pairs, which alone are
        relevant.
        """
        users, position = np.unique(owner[chosen], return_inverse=True)
        at = torch.from_numpy(chosen)
        places = Places.of(torch.from_numpy(position), above[at], tied[at], len(users), cutoffs[-1])

        return {
            f"{name}@{k}": metric(places, k).numpy()
            for k in cutoffs
            for name, metric in functions.items()
        }

    def part(chosen: np.ndarray) -> Part:
        users = len(np.unique(owner[chosen]))
        return Part(
            users,
            {name: float(value.mean()) for name, value in values_of(chosen).items()}
            if users
            else {},
        )

    values = values_of(np.ones(len(truth), dtype=bool))
    means = {name: float(value.mean()) for name, value in values.items()}
    means |= {
        f"coverage@{k}": coverage(ranked, dataset.num_items, k)
        for k in cutoffs
        if "coverage" in names
    }
    trained_user = np.isin(evaluated, dataset.train.user)
    user_is_warm = np.repeat(trained_user, sizes)
    item_is_warm = np.isin(item, dataset.train.item)
    columns = {"user": dataset.users.keys(evaluated), "relevant": sizes, "cold": ~trained_user}

    return Report(
        model=model,
        split=on,
        users=len(evaluated),
        metrics=means,
        per_user=pl.DataFrame(columns | values),
        notes=_notes(names, cutoffs, int((~trained_user).sum()), len(evaluated)),
        warm_part=part(user_is_warm & item_is_warm),
        warm_user_part=part(user_is_warm),
        cold_item_part=part(~item_is_warm),
        cold_user_part=part(~user_is_warm),
        cold_items=len(np.unique(item[~item_is_warm])),
        masked=masked,
        beyond=beyond_accuracy(ranked, dataset, cutoffs) if beyond else {},
    )


def check_part(on: str) -> None:
    """Refuse what is no held-out part.

    Raises:
        ConfigError: If ``on`` is neither "test" nor "valid".
    """
    if on not in ("test", "valid"):
        raise ConfigError(f"there is no part {on!r} to evaluate on. Choose test or valid.")


def cold_and_warm(reports: Mapping[str, Report | None]) -> dict[str, Any]:
    """Return, of each part's report, how many users the model does not know, and the figures of
    those whom it knows: 0 and None where there is no report.
    """
    cold = dict.fromkeys(reports, 0)
    warm: dict[str, Any] = dict.fromkeys(reports)
    for part, report in reports.items():
        if report is not None:
            cold[part] = report.cold_users
            warm[part] = report.warm_user_part.to_dict()

    return {"cold_users": cold, "warm": warm}


def known_part(dataset: Dataset, on: str) -> Interactions:
    """Return what users have when a part is evaluated on."""
    return dataset.train if on == "valid" else concatenate([dataset.train, dataset.valid])


def relevant_pairs(
    dataset: Dataset, on: str, known: Interactions, users: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """Return the keys ``user * num_items + item`` of the relevant pairs of a part, ascending and
    distinct, and how many others are masked.

    Raises:
        DataError: If there are none.
    """
    num_items = dataset.num_items
    held_out = dataset.test if on == "test" else dataset.valid
    keys, _ = _runs(np.sort(held_out.user.astype(np.int64) * num_items + held_out.item))
    if users is not None:
        keys = keys[np.isin(keys // num_items, users)]

    masked = np.append(np.sort(known.user.astype(np.int64) * num_items + known.item), -1)
    hidden = masked[np.searchsorted(masked[:-1], keys)] == keys
    if hidden.all():
        raise DataError(
            f"no users to evaluate: the {on} part has no pair of these users that is not in "
            "training too. Split the data again."
        )

    return keys[~hidden], int(hidden.sum())


def _notes(
    names: Iterable[str], cutoffs: tuple[int, ...], strangers: int, users: int
) -> tuple[str, ...]:
    notes = []
    if strangers:
        notes.append(
            f"{strangers:,} of {users:,} users have no training interactions; warm_users has the "
            "values without them."
        )

    if "ndcg-retrieved" in names:
        notes.append(
            "ndcg-retrieved divides by the best order of the hits among the first "
            f"{cutoffs[-1]}, the largest cutoff, as the code of KGAT "
            "and NGCF does: it is higher than ndcg and not comparable with it."
        )

    return tuple(notes)


def _runs(ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of an ascending column, and how often each occurs."""
    starts = np.flatnonzero(np.diff(ascending, prepend=-1))
    return ascending[starts], np.diff(starts, append=len(ascending))
