"""Held-out items one after another, each ranked after what came before it: what sequence models
and sessions are evaluated by.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import polars as pl
import torch

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import concatenate
from kgrec.errors import DataError
from kgrec.evaluation.metrics import RANKING, Places, check_cutoffs
from kgrec.evaluation.ranking import Lists, place_items
from kgrec.evaluation.report import Report, check_part
from kgrec.models.base import Scorer
from kgrec.process import refuse_after_fork

_ITEMS_AT_ONCE = 2**20
"""Items of histories that are held at a time."""

_METRICS = ("hit", "ndcg", "mrr")

NEXT = "next-"
"""What stands before the names of these metrics where others could be meant."""


def evaluate_next_items(
    scorer: Scorer,
    dataset: Dataset,
    on: str = "test",
    ks: Iterable[int] = (10, 20),
    *,
    users: np.ndarray | None = None,
    model: str | None = None,
    device: torch.device | str = "cpu",
) -> Report:
    """Rank the whole catalog for each held-out item of a user, after the items that came before,
    and report ``hit@k``, ``ndcg@k`` and ``mrr@k``.

    The first held-out item is predicted after those of the earlier parts, the second after those
    and the first held-out one, and so on; the items before are no candidates. An item with nothing
    before it, the first one of a new session, is predicted by nothing and left out. Each prediction
    has one relevant item: hit is recall, ndcg is 1 / log2(rank + 1). Values are expectations over
    all orders of candidates with equal scores, averaged over a user's predictions, then over users.

    ``details`` has the number of ``predictions``, the means over all of them alike
    (``of_predictions``), as papers on sessions report them, and how many held-out items were left
    out (``without_history``).

    Args:
        scorer: What ranks. One that reads no histories ranks a user's items all alike.
        dataset: Where the interactions are, in the order of their times.
        on: "test" or "valid".
        ks: Cutoffs, each at least 1.
        users: User rows to evaluate; None evaluates all.
        model: Name for the report.
        device: Where the scorer computes, if it is not a ``DotProduct``.

    Raises:
        ConfigError: If ``on`` or a cutoff is out of range.
        DataError: If there is nothing to predict.

    Source: Hidasi et al., GRU4Rec, ICLR 2016, Section 4.1.
    """
    refuse_after_fork("Evaluating next items")
    check_part(on)
    cutoffs = check_cutoffs(ks)
    known, held = dataset.train, dataset.valid
    if on == "test":
        known, held = concatenate([dataset.train, dataset.valid]), dataset.test

    chosen = np.unique(held.user) if users is None else np.intersect1d(held.user, users)
    before, after = Lists.of(known, chosen), Lists.of(held, chosen)
    read, sizes, owner = _predictions(before, after)
    alone = len(after.items) - len(owner)
    if not len(owner):
        raise DataError(
            f"no next item to evaluate: the {on} part has no item of these users that comes after "
            "another one. Split the data again."
        )

    above, tied = _placed(scorer, chosen, (read, sizes, owner), cutoffs[-1], dataset, device)
    places = Places.of(torch.arange(len(owner)), above, tied, len(owner), cutoffs[-1])
    values = {f"{name}@{k}": RANKING[name](places, k).numpy() for k in cutoffs for name in _METRICS}
    per_user = _per_user(dataset, chosen[owner], values)
    notes = ["Each held-out item was ranked after those before it: --protocol ranking ranks once."]
    if alone:
        notes.append(f"{alone:,} held-out items have nothing before them and were left out.")

    return Report(
        model=model,
        split=on,
        users=per_user.height,
        metrics={name: float(per_user[name].to_numpy().mean()) for name in values},
        per_user=per_user,
        protocol="next-item",
        notes=tuple(notes),
        details={
            "predictions": len(owner),
            "of_predictions": {name: float(each.mean()) for name, each in values.items()},
            "without_history": alone,
        },
    )


def _predictions(before: Lists, after: Lists) -> tuple[Lists, np.ndarray, np.ndarray]:
    """Return each user's items of both parts in order, and of each prediction how many of them
    come before it and whose they are (a position among the users).
    """
    known, held = (each.ptr.diff().numpy() for each in (before, after))
    ptr = np.concatenate([[0], np.cumsum(known + held)])
    row = np.repeat(np.arange(len(known)), held)
    within = np.arange(len(row)) - np.repeat(after.ptr[:-1].numpy(), held)
    size = known[row] + within  # items before the held-out one
    items = np.empty(ptr[-1], dtype=np.int64)
    items[ptr[row] + size] = after.items.numpy()
    old = np.repeat(ptr[:-1] - before.ptr[:-1].numpy(), known) + np.arange(len(before.items))
    items[old] = before.items.numpy()
    kept = size > 0
    return Lists(torch.from_numpy(ptr), torch.from_numpy(items)), size[kept], row[kept]


def _placed(
    scorer: Scorer,
    users: np.ndarray,
    predictions: tuple[Lists, np.ndarray, np.ndarray],
    longest: int,
    dataset: Dataset,
    device: torch.device | str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how many candidates of each prediction are above its item, and how many tie."""
    read, sizes, owner = predictions
    chunk = (np.cumsum(sizes) - sizes) // _ITEMS_AT_ONCE
    starts = [*np.flatnonzero(np.diff(chunk, prepend=-1)), len(sizes)]
    found = []
    for start, stop in pairwise(starts):
        row, size = owner[start:stop], sizes[start:stop]
        first = read.ptr.numpy()[row]
        ptr = np.concatenate([[0], np.cumsum(size)])
        at = np.arange(ptr[-1]) + np.repeat(first - ptr[:-1], size)
        history = Lists(torch.from_numpy(ptr), read.items[torch.from_numpy(at)])
        item = read.items[torch.from_numpy(first + size)]
        found.append(
            place_items(
                scorer,
                users[row],
                min(longest, dataset.num_items),
                Lists(torch.arange(len(row) + 1), item),
                num_items=dataset.num_items,
                seen=history,
                history=history,
                device=device,
            )[1:]
        )

    above, tied = (torch.cat(column) for column in zip(*found, strict=True))
    return above, tied


def _per_user(dataset: Dataset, users: np.ndarray, values: dict[str, np.ndarray]) -> pl.DataFrame:
    """Return the means of each user's predictions."""
    frame = pl.DataFrame({"row": users} | values)
    found = frame.group_by("row", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("predictions"), *(pl.col(name).mean() for name in values)
    )
    keys = pl.Series("user", dataset.users.keys(found["row"].to_numpy()), dtype=pl.String)
    return found.select(keys, "predictions", *values)
