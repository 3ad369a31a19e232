"""Columns of texts and of lists, as arrays that are mapped and not read."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from kgrec.errors import CheckpointError

Arrays = Mapping[str, np.ndarray]


class Texts:
    """A column of texts.

    Args:
        arrays: Arrays by name: ``NAME.bytes`` (UTF-8, one after another) and ``NAME.ends``.
        name: Name of the column.

    Raises:
        CheckpointError: If the two do not fit.
    """

    def __init__(self, arrays: Arrays, name: str) -> None:
        text, ends = arrays[f"{name}.bytes"], arrays[f"{name}.ends"]
        check(text.dtype == np.uint8 and text.ndim == 1, name)
        check_ends(ends, len(text), name)
        self._count = len(ends) - 1
        self._bytes = np.ascontiguousarray(text).data  # a tenth of the time of an array's
        self._ends = np.ascontiguousarray(ends).data

    def __len__(self) -> int:
        """Return the number of texts."""
        return self._count

    def raw(self, row: int) -> bytes:
        """Return the bytes of a text."""
        return self._bytes[self._ends[row] : self._ends[row + 1]].tobytes()

    def __getitem__(self, row: int) -> str:
        """Return a text."""
        text = self._bytes[self._ends[row] : self._ends[row + 1]]
        return str(text, "utf-8", "surrogatepass")


class Ids(Texts):
    """A column of distinct ids, found by their hashes.

    Args:
        arrays: Also ``NAME.hashes``, ascending, and ``NAME.rows``, the row of each.
        name: Name of the column.
    """

    def __init__(self, arrays: Arrays, name: str) -> None:
        super().__init__(arrays, name)
        self._hashes = arrays[f"{name}.hashes"]
        self._rows = arrays[f"{name}.rows"]
        check(self._hashes.dtype == np.uint64, name)
        check(len(self._hashes) == len(self._rows) == len(self), name)
        check_rows(self._rows, len(self), name)

    def row(self, key: str) -> int | None:
        """Return the row of an id, None where it is not known."""
        encoded = key.encode("utf-8", "surrogatepass")
        found = hash_of(encoded)
        at = int(self._hashes.searchsorted(found))
        while at < len(self._hashes) and self._hashes[at] == found:
            if self.raw(row := int(self._rows[at])) == encoded:
                return row
            at += 1

        return None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids in the order of rows."""
        return (self[row] for row in range(len(self)))


class Lists:
    """A list of numbers per row, with a weight each or not.

    Args:
        arrays: ``NAME.ptr``, ``NAME.idx`` and, with weights, ``NAME.val``.
        name: Name of the column.
        width: What every number is less than.
    """

    def __init__(self, arrays: Arrays, name: str, width: int) -> None:
        self.ptr = arrays[f"{name}.ptr"]
        self.idx = arrays[f"{name}.idx"]
        self.val = arrays.get(f"{name}.val")
        self.width = width
        check_ends(self.ptr, len(self.idx), name)
        check_rows(self.idx, width, name)
        check(self.val is None or len(self.val) == len(self.idx), name)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ptr) - 1

    def row(self, row: int) -> np.ndarray:
        """Return the numbers of a row."""
        return self.idx[self.ptr[row] : self.ptr[row + 1]]

    def weights(self, row: int) -> np.ndarray:
        """Return the weights of a row; ones if there are none."""
        if self.val is None:
            return np.ones(int(self.ptr[row + 1] - self.ptr[row]))
        return self.val[self.ptr[row] : self.ptr[row + 1]]

    def total(self, rows: Sequence[int] | np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return the sum of some rows as one number per column, added in the order given."""
        total = np.zeros(self.width, dtype)
        for row in np.asarray(rows).tolist():
            total[self.row(row)] += self.weights(row).astype(dtype)  # distinct within a row
        return total

    def times(self, vector: np.ndarray) -> np.ndarray:
        """Return the product of the whole matrix with a vector."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.ptr))
        weights = vector[self.idx] if self.val is None else self.val * vector[self.idx]
        return np.bincount(owner, weights=weights, minlength=len(self))


def hash_of(encoded: bytes) -> np.uint64:
    """Return the hash of an id."""
    return np.uint64(int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little"))


def text_arrays(name: str, texts: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the arrays of ``Texts``."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(one) for one in encoded], out=ends[1:])
    return {f"{name}.bytes": np.frombuffer(b"".join(encoded), np.uint8), f"{name}.ends": ends}


def id_arrays(name: str, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays of ``Ids``."""
    hashes = np.array([hash_of(key.encode("utf-8", "surrogatepass")) for key in ids], np.uint64)
    order = np.argsort(hashes, kind="stable")
    return {
        **text_arrays(name, ids),
        f"{name}.hashes": hashes[order],
        f"{name}.rows": order.astype(np.int32),
    }


def list_arrays(
    name: str, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of ``Lists``."""
    found: dict[str, np.ndarray] = {
        f"{name}.ptr": ptr.astype(np.int64),
        f"{name}.idx": idx.astype(np.int32),
    }
    return found if val is None else {**found, f"{name}.val": val}


def check(holds: object, name: str) -> None:
    """Refuse tables that do not fit together.

    Raises:
        CheckpointError: If the condition does not hold.
    """
    if not holds:
        raise CheckpointError(f"{name}: the table does not fit the others. Export the run again.")


def check_ends(ends: np.ndarray, size: int, name: str) -> None:
    """Refuse ends of lists that do not ascend from 0 to the size."""
    fits = ends.ndim == 1 and ends.dtype == np.int64 and len(ends) > 0
    check(fits and ends[0] == 0 and ends[-1] == size and not (np.diff(ends) < 0).any(), name)


def check_rows(rows: np.ndarray, width: int, name: str) -> None:
    """Refuse rows that are not whole numbers in 0 .. width - 1."""
    check(rows.ndim == 1 and rows.dtype == np.int32, name)
    check(not len(rows) or (rows.min() >= 0 and rows.max() < width), name)
