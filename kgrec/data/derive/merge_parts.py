"""Move held-out parts into training, for refits on more than the training part."""

from dataclasses import replace

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.data.splitting.impressions import join_impressions


def merge_parts(data: Dataset, *parts: str) -> Dataset:
    """Return the dataset with the interactions, labeled negatives and impressions of ``parts``
    ("valid", "test") moved into training.

    A labeled negative that is an interaction of the new training part is left out.
    """
    taken = ("train", *parts)
    train = concatenate([getattr(data, part) for part in taken])
    negatives = dict(data.negatives)
    impressions = dict(data.impressions)

    if labeled := [negatives.pop(part) for part in taken if part in negatives]:
        together = concatenate(labeled)
        size = max(data.num_items, 1)
        used = np.isin(
            together.user.astype(np.int64) * size + together.item,
            train.user.astype(np.int64) * size + train.item,
        )
        negatives["train"] = together.take(~used)

    if shown := [impressions.pop(part) for part in taken if part in impressions]:
        impressions["train"] = join_impressions(shown)

    valid, test = (
        Interactions() if part in parts else getattr(data, part) for part in ("valid", "test")
    )
    return replace(
        data, train=train, valid=valid, test=test, negatives=negatives, impressions=impressions
    )
