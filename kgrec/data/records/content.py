"""What a dataset may hold beyond interactions and triples: texts, features, vectors,
impressions.
"""

from collections.abc import Sized
from dataclasses import dataclass, field

import numpy as np
import polars as pl


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors by key: word vectors, entity vectors.

    Attributes:
        keys: Words or entity keys, text, distinct.
        values: One row per key, float32 (n, dim).
    """

    keys: pl.Series
    values: np.ndarray

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self.keys)


def size(values: Sized | None) -> int:
    """Return how many there are, 0 for None."""
    return 0 if values is None else len(values)


def filled(texts: pl.Series | None) -> int:
    """Return how many texts or labels are not null, 0 for None."""
    return 0 if texts is None else len(texts) - texts.null_count()


def _no_mentions() -> np.ndarray:
    return np.empty((0, 4), dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Content:
    """Side information of items.

    Attributes:
        texts: Text per item (a title), null if there is none; None where the dataset has no
            texts.
        mentions: Entities named in the texts: (item row, first character, character behind the
            last, entity row), int32 (n, 4).
        features: Feature vector per item, float32 (items, f), or None.
        words: Word vectors read from a file, or None.
        entities: Entity vectors read from a file, keyed like ``triples.entities``, or None.
    """

    texts: pl.Series | None = None
    mentions: np.ndarray = field(default_factory=_no_mentions)
    features: np.ndarray | None = None
    words: Vectors | None = None
    entities: Vectors | None = None


def _no_ids() -> np.ndarray:
    return np.empty(0, dtype=np.int32)


def _no_lists() -> np.ndarray:
    return np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Impressions:
    """Lists of items that were shown to a user, with what the user had read before and what was
    clicked.

    Impression ``n`` shows ``item[start[n]:start[n + 1]]``, clicked where ``clicked`` is True, to
    someone who had read ``history[history_start[n]:history_start[n + 1]]``, oldest first.

    Attributes:
        user: User rows, int32 (n,).
        time: Seconds since the epoch, float64 (n,), or None.
        start: Where each list of candidates begins, int64 (n + 1,).
        item: Candidates, item rows, int32.
        clicked: Whether the candidate was clicked, bool.
        history_start: Where each history begins, int64 (n + 1,).
        history: Item rows, int32.
    """

    user: np.ndarray = field(default_factory=_no_ids)
    time: np.ndarray | None = None
    start: np.ndarray = field(default_factory=_no_lists)
    item: np.ndarray = field(default_factory=_no_ids)
    clicked: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    history_start: np.ndarray = field(default_factory=_no_lists)
    history: np.ndarray = field(default_factory=_no_ids)

    def __len__(self) -> int:
        """Return the number of impressions."""
        return len(self.user)
