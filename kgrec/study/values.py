"""Values per user, over all relevant items and over groups of them: what studies keep of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from kgrec.data.derive.variants import item_groups
from kgrec.data.records.dataset import Dataset
from kgrec.errors import CheckpointError
from kgrec.evaluation.metrics import STANDARD
from kgrec.evaluation.report import evaluate
from kgrec.models.base import Scorer

EVERYTHING = "all users and items"
CUTOFFS = (10, 20)


def values_by_group(
    scorer: Scorer,
    data: Dataset,
    on: Literal["test", "valid"],
    ks: Sequence[int],
    metrics: Sequence[str] = STANDARD,
    groups: Mapping[str, np.ndarray] | None = None,
) -> pl.DataFrame:
    """Return each user's ranking metrics over all relevant items, and over those of each group
    alone.

    Args:
        scorer: What ranks.
        data: The dataset with the part to evaluate on.
        on: "test" or "valid".
        ks: Cutoffs.
        metrics: Names without the cutoff.
        groups: Items (True) by name; None takes ``item_groups`` of the dataset.

    Returns:
        Columns ``user``, one per metric, and ``items``: the name of the group.
    """
    if on == "test":
        held = data.test
    else:
        held = data.valid

    everything = np.ones(data.num_items, dtype=bool)
    frames = []
    if groups is None:
        groups = item_groups(data)

    for name, items in {EVERYTHING: everything, **groups}.items():
        part = held.take(items[held.item])
        if not len(part):
            continue

        given = replace(data, test=part) if on == "test" else replace(data, valid=part)
        report = evaluate(scorer, given, on=on, ks=ks, metrics=metrics, device="cpu")
        frames.append(
            report.per_user.drop("relevant", "cold").with_columns(pl.lit(name).alias("items"))
        )

    return pl.concat(frames)


def stored_values(path: Path, metrics: Sequence[str]) -> pl.DataFrame:
    """Return the values per user that were kept of a training.

    Raises:
        CheckpointError: If the file is none of that kind.
    """
    try:
        if path.is_file():
            frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
        else:
            frame = pl.DataFrame()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        frame = pl.DataFrame()

    numbers = [name for name in frame.columns if name not in ("user", "items")]
    if not {"user", "items", *metrics} <= set(frame.columns) or not all(
        frame.schema[name].is_numeric() for name in numbers
    ):
        raise CheckpointError(
            f"{path}: not the values of a training. Remove it, and they are made again."
        )

    return frame
