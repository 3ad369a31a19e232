"""What models need of a dataset, by name: the one check of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError, DataError, nearest


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a dataset has or lacks.

    Attributes:
        holds: Whether a dataset has it.
        lack: What is missing, in words: "NAME has ...".
        remedy: What to do about it.
    """

    holds: Callable[[Dataset], bool]
    lack: str
    remedy: str


def _complete(column: np.ndarray | None) -> bool:
    """Return whether every training interaction has a value."""
    return column is not None and len(column) > 0 and bool(np.isfinite(column).all())


def _in_time_order(data: Dataset) -> bool:
    """Return whether somebody used one item after another."""
    return _complete(data.train.time) and bool((data.train.user[1:] == data.train.user[:-1]).any())


def _labeled(data: Dataset) -> bool:
    return len(data.negatives.get("train", ())) > 0 or _shown(data)


def _shown(data: Dataset) -> bool:
    return len(data.impressions.get("train", ())) > 0


def _fielded(data: Dataset) -> bool:
    return bool((data.triples.head < data.num_items).any()) or len(data.user_facts) > 0


NEEDS: Mapping[str, Need] = {
    "interactions": Need(
        lambda data: len(data.train) > 0, "none", "Build the dataset with --interactions FILE."
    ),
    "triples": Need(
        lambda data: len(data.triples) > 0,
        "none",
        "Build the dataset with --kg FILE, or use lightgcn.",
    ),
    "texts": Need(
        lambda data: data.content.texts is not None,
        "none",
        "Build the dataset with --items FILE --texts COL.",
    ),
    "features": Need(
        lambda data: data.content.features is not None,
        "none",
        "Build the dataset with --features FILE.",
    ),
    "times": Need(
        lambda data: _complete(data.train.time),
        "not one for every training interaction",
        "Build the dataset with --time COL, from interactions that all have one.",
    ),
    "sequences": Need(
        _in_time_order,
        "no user with two training interactions and times for all",
        "Build the dataset with --time COL, from interactions that all have one; --time row where "
        "the rows are in order.",
    ),
    "ratings": Need(
        lambda data: _complete(data.train.rating),
        "not one for every training interaction",
        "Build the dataset with --rating COL, from interactions that all have one.",
    ),
    "labels": Need(
        _labeled,
        "neither labeled negatives nor impressions to train on",
        "Load a dataset with clicks and passes: click-through data or MIND, see docs/formats.md.",
    ),
    "impressions": Need(
        _shown, "none to train on", "Load a dataset of lists that were shown, such as MIND."
    ),
    "fields": Need(
        _fielded,
        "no facts about its items or users",
        "Build the dataset with --kg FILE or --items FILE.",
    ),
}
"""What ``needs`` of a model may name, and how a dataset is asked for it."""


def check_needs(name: str, needs: Iterable[str], data: Dataset) -> None:
    """Refuse a dataset that lacks what a model needs.

    Args:
        name: The model, for the message.
        needs: Names of ``NEEDS``.
        data: The dataset.

    Raises:
        ConfigError: If a need has no such name.
        DataError: With what is missing, and how to get it.
    """
    for each in needs:
        need = NEEDS.get(each)
        if need is None:
            known = nearest(each, NEEDS) or f" Known: {', '.join(NEEDS)}."
            raise ConfigError(f"{name} needs {each!r}, which no dataset has.{known}")

        if not need.holds(data):
            raise DataError(f"{name} needs {each} and {data.name} has {need.lack}. {need.remedy}")
