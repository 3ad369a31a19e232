"""Arrays that are mapped to memory, looked at in blocks without being held there."""

import mmap
from collections.abc import Iterator

import numpy as np

_BLOCK = 1 << 22


def blocks(array: np.ndarray, overlap: int = 0) -> Iterator[np.ndarray]:
    """Yield the rows of an array in blocks; what is mapped of a file counts as this process's
    memory for one block at most.

    Args:
        array: Any array.
        overlap: Rows that a block has in common with the next.
    """
    mapped = _map_of(array)
    for start in range(0, max(len(array) - overlap, 1), _BLOCK):
        yield array[start : start + _BLOCK + overlap]
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)


def _map_of(array: np.ndarray) -> mmap.mmap | None:
    """Return what an array that is read from a file is mapped by, None of any other."""
    found: object = array
    while isinstance(found, np.ndarray):
        found = found.base

    if isinstance(found, mmap.mmap) and hasattr(found, "madvise") and not array.flags.writeable:
        return found
    return None
