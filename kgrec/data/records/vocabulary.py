"""External keys <-> row numbers."""

from collections.abc import Iterable, Iterator, Sequence
from typing import SupportsIndex

import numpy as np
import polars as pl

from kgrec.errors import DataError, UnknownIdError, nearest

_FEW = 64


class Vocabulary:
    """An ordered set of external keys; a key's position is its row number.

    Keys are text, kept exactly as the caller wrote them (white space and case included) in one
    Arrow column, so that two million IRIs cost little more than their bytes. Lookups of many keys
    are a join; single lookups build a dictionary on first use.

    Args:
        keys: Distinct keys in row order.
        kind: What the keys name, for messages: "user", "item", "entity" or "relation".
        checked: Whether the keys are known to be distinct and complete.

    Raises:
        DataError: If a key occurs twice or is missing.

    >>> items = Vocabulary(["a", "b"], kind="item")
    >>> items.row("b"), items.key(0), len(items)
    (1, 'a', 2)
    """

    __slots__ = ("_rows", "_series", "kind")

    def __init__(
        self, keys: Iterable[str] | pl.Series, kind: str = "entity", *, checked: bool = False
    ) -> None:
        if isinstance(keys, pl.Series):
            series = keys
        else:
            series = pl.Series("key", list(keys), dtype=pl.String)

        self._series = series.cast(pl.String).rename("key")
        self.kind = kind
        self._rows: dict[str, int] | None = None
        if checked:
            return
        if self._series.null_count():
            raise DataError(
                f"{kind} ids: {self._series.null_count()} are missing. Give every row an id."
            )

        if self._series.hash().n_unique() != len(self._series) and self._series.n_unique() != len(
            self._series
        ):
            twice = self._series.filter(self._series.is_duplicated())[0]
            raise DataError(f"{kind} ids: {twice!r} occurs more than once. Ids must be distinct.")

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._series)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys in row order."""
        return iter(self._series)

    def __contains__(self, key: object) -> bool:
        """Return whether the key is known."""
        return key in self._lookup()

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same keys in the same order."""
        return isinstance(other, Vocabulary) and self._series.equals(other._series)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return a short description."""
        return f"Vocabulary({len(self)} {self.kind} ids)"

    def _lookup(self) -> dict[str, int]:
        if self._rows is None:
            self._rows = dict(zip(self._series.to_list(), range(len(self._series)), strict=True))
        return self._rows

    @property
    def series(self) -> pl.Series:
        """The keys as a polars series named ``key``."""
        return self._series

    def key(self, row: SupportsIndex) -> str:
        """Return the key of a row."""
        return str(self._series[int(row)])

    def keys(self, rows: "np.ndarray | Sequence[int]") -> list[str]:
        """Return the keys of many rows."""
        if len(rows) <= _FEW:  # a gather has a price of its own
            return [self.key(row) for row in rows]

        picked: list[str] = self._series.gather(
            pl.Series(np.asarray(rows, dtype=np.int64))
        ).to_list()
        return picked

    def get(self, key: str) -> int | None:
        """Return the row of a key, or None."""
        return self._lookup().get(key)

    def row(self, key: str) -> int:
        """Return the row of a key.

        Raises:
            UnknownIdError: If the key is not known; the message gives the nearest known ones.
        """
        found = self._lookup().get(str(key))
        if found is None:
            if len(str(key)) <= 80:
                shown = str(key)
            else:
                shown = str(key)[:77] + "..."
            like = nearest(str(key), self._series)
            if not like and len(self):
                like = f" They are like {str(self._series[0])[:80]!r}."
            raise UnknownIdError(f"unknown {self.kind} id {shown!r} (of {len(self)}).{like}")

        return found

    def rows(self, keys: Iterable[str]) -> np.ndarray:
        """Return the rows (int64) of many keys; the first unknown one raises ``UnknownIdError``."""
        return np.fromiter((self.row(key) for key in keys), dtype=np.int64)

    def match(self, keys: pl.Series) -> np.ndarray:
        """Return the row (int64) of each key of a column, -1 where it is unknown."""
        right = pl.DataFrame({"key": self._series, "row": np.arange(len(self), dtype=np.int64)})
        left = pl.DataFrame({"key": keys.cast(pl.String)})
        if 8 * len(keys) < len(self):  # a table of the few is soon made
            right = right.filter(pl.col("key").is_in(left["key"].unique().implode()))

        joined = left.join(right, on="key", how="left", maintain_order="left")
        return joined["row"].fill_null(-1).to_numpy()
