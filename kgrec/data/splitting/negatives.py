"""Labeled negatives by the recipe of the click-through papers: as many unused items a user as used
ones, drawn once, before the split.
"""

import numpy as np
import polars as pl

from kgrec.data.records.interactions import InteractionLog
from kgrec.data.records.report import Dropped
from kgrec.data.splitting.labeled import LabeledLog
from kgrec.data.tables.ordering import numbered
from kgrec.errors import DataError
from kgrec.random import numpy_generator

_ROUNDS = 20


def with_negatives(
    log: InteractionLog, count: int, min_rating: float | int | None, seed: int
) -> LabeledLog:
    """Return the pairs of a log as rows with label 1, and ``count`` times as many of each user with
    label 0.

    Negatives are uniform, without repetition, over the items of the log that the user has no row
    with; ratings below ``min_rating`` are no interactions, and no negatives either. A user with too
    few such items takes all of them.

    Args:
        log: Interactions.
        count: Negatives per interaction.
        min_rating: Least rating of an interaction; None takes all rows.
        seed: Of the draw.

    Raises:
        DataError: If a least rating is given and the log has no ratings.

    Source: the preprocessing of Wang et al., KGCN, WWW 2019, Section 4.1.
    https://arxiv.org/abs/1904.12575
    """
    frame = log.named()
    if min_rating is not None and "rating" not in frame.columns:
        raise DataError(f"{', '.join(log.sources)}: no ratings for min_rating. Leave it out.")

    # Numbered in the order of their ids, so that the order of lines decides nothing.
    users, user = numbered(frame["user"])
    items, item = numbered(frame["item"])
    liked = np.ones(len(user), dtype=bool)
    if min_rating is not None:
        liked = (frame["rating"].fill_null(-np.inf) >= min_rating).to_numpy()

    pairs = np.unique(user[liked].astype(np.int64) * len(items) + item[liked])
    wanted = np.bincount(pairs // len(items), minlength=len(users)) * count
    used = np.unique(user.astype(np.int64) * len(items) + item)
    drawn = draw_unused(used, len(items), wanted, numpy_generator(seed, "negatives"))

    both = np.concatenate([pairs, drawn])
    rows = pl.DataFrame(
        {
            "user": users.gather(both // len(items)),
            "item": items.gather(both % len(items)),
            "clicked": np.arange(len(both)) < len(pairs),
        }
    )
    low = Dropped("interactions", f"rated below {min_rating}", int((~liked).sum()))
    short = Dropped("negatives", "too few unused items of a user", int(wanted.sum()) - len(drawn))
    return LabeledLog(
        rows, log.sources, (*log.dropped, *(loss for loss in (low, short) if loss.count))
    )


def draw_unused(
    used: np.ndarray, num_items: int, wanted: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Return pairs that are not in ``used``, uniform without repetition within a user, as numbers
    ``user * num_items + item``, ascending.

    Args:
        used: Pairs, ascending and distinct.
        num_items: Size of the catalog.
        wanted: Items per user; fewer where a user has not so many left.
        generator: Source of randomness.
    """
    left = np.minimum(wanted, num_items - np.bincount(used // num_items, minlength=len(wanted)))
    taken = used

    # Each new distinct item is uniform over those that remain, however many draws were refused.
    for _ in range(_ROUNDS):
        if not left.any():
            break

        drawn = np.repeat(np.arange(len(left)), left) * num_items
        drawn += generator.integers(num_items, size=len(drawn))
        new = np.setdiff1d(drawn, taken)
        left = left - np.bincount(new // num_items, minlength=len(left))
        taken = np.union1d(taken, new)

    for user in np.flatnonzero(left):
        own = taken[slice(*np.searchsorted(taken, (user * num_items, (user + 1) * num_items)))]
        free = np.setdiff1d(np.arange(user * num_items, (user + 1) * num_items), own)
        taken = np.union1d(taken, generator.choice(free, left[user], replace=False))

    return np.setdiff1d(taken, used)
