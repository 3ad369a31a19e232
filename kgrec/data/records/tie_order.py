"""The order of the catalog that breaks ties."""

import numpy as np

from kgrec.data.records.dataset import Dataset


def tie_order(dataset: Dataset) -> np.ndarray:
    """Return the item rows (int64) in the order that breaks ties: most training interactions first,
    of as many the lower id as text.

    It depends on what the dataset says, not on how its rows are numbered. Sorting a large catalog
    takes a moment: keep the answer.
    """
    keys = dataset.items.series.to_list()
    by_id = np.array(
        sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64
    )  # no polars: this must work after a fork
    counts = np.bincount(dataset.train.item, minlength=dataset.num_items)
    return by_id[np.argsort(-counts[by_id], kind="stable")]
