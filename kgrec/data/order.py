"""The order of the catalog that breaks ties."""

import numpy as np
import polars as pl

from kgrec.data.dataset import Dataset


def tie_order(dataset: Dataset) -> np.ndarray:
    """Return the item rows (int64) in the order that breaks ties: most training interactions first, of as many the lower id as text.

    It depends on what the dataset says, not on how its rows are numbered. Sorting a large catalog takes a moment: keep the answer.
    """
    counts = np.bincount(dataset.train.item, minlength=dataset.num_items)
    items = pl.DataFrame({"count": counts, "id": dataset.items.series}).with_row_index("row")
    ordered = items.sort("count", "id", descending=[True, False])
    return ordered["row"].to_numpy().astype(np.int64)
