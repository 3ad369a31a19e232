"""Columns of rows on disk, read and written in blocks, and how much memory there is for the rest.

They are read and written, not mapped: what is mapped counts as this process's memory while it is
touched.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kgrec.data.io.writing import filling, locked, sweep_beside
from kgrec.errors import ConfigError, DataError

BLOCK_ROWS = 1 << 20
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_LEAST = 256 << 20
_PROGRAM = 224 << 20  # what the program and its libraries take before a row is read
_BYTES_PER_KEY, _BYTES_PER_ROW = 120, 120  # of a dictionary while it is sorted, of rows likewise
_FOR_IDS = 0.2  # of what the program leaves, for a copy of all ids; four more are at work


def memory_size(given: str | float | int) -> int:
    """Return the bytes that "1.5G", "800M" or a number of bytes say.

    Raises:
        ConfigError: If it says none, or less than 256 MiB.

    >>> memory_size("1.5G") == 3 << 29
    True
    """
    found = _SIZE.fullmatch(str(given).strip())
    if found is None:
        raise ConfigError(f"memory: {given!r} is no size. Give one such as 1.5G or 800M.")

    size = int(float(found[1]) * (1 << _UNITS[found[2].lower()]))
    if size < _LEAST:
        raise ConfigError(f"memory: {given!r} is too little. Give {_LEAST >> 20}M or more.")
    return size


@dataclass(frozen=True, slots=True)
class Room:
    """Where rows are put down, and how many things are held in memory at a time.

    Attributes:
        folder: An empty folder, on a disk with room for some 50 bytes a row.
        most_keys: Keys of all dictionaries at a time, long ones counted for more; 2 or more.
        most_rows: Rows that are sorted at a time, but for a user who has more.
        most_id_bytes: Bytes that all ids may take once they are known; they stay in memory.
    """

    folder: Path
    most_keys: int
    most_rows: int
    most_id_bytes: int = sys.maxsize

    @classmethod
    def of(cls, folder: Path, memory: int) -> "Room":
        """Return the room that so many bytes of memory make."""
        free = max(memory - _PROGRAM, memory // 8)
        return cls(
            folder,
            max(2, free // (2 * _BYTES_PER_KEY)),
            max(1, int(free / 2.5) // _BYTES_PER_ROW),
            int(free * _FOR_IDS),
        )

    def check_ids(self, count: int, size: int) -> None:
        """Refuse so many ids of so many bytes where they leave no memory for the rest.

        Raises:
            ConfigError: If they are too large.
        """
        if size > self.most_id_bytes:
            need = (_PROGRAM + size / _FOR_IDS) / (1 << 30)
            raise ConfigError(
                f"memory: about {count:,} different ids of {size >> 20:,} MiB stay in memory, and "
                f"leave too little of what was given. Give --memory {need + 0.1:.1f}G or more."
            )

    def column(self, name: str, kind: object) -> "ColumnFile":
        """Return an empty column; one of that name is gone."""
        return ColumnFile(self.folder / name, np.dtype(kind))  # type: ignore[call-overload]


class ColumnFile:
    """Numbers of one type in a file.

    Args:
        path: The file, emptied where it is there.
        dtype: Type of the numbers.
    """

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.path = path
        self.dtype = dtype
        self._length = 0
        self._stream = open(path, "w+b", buffering=0)  # noqa: SIM115 - until the end

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def append(self, values: np.ndarray) -> None:
        """Write numbers behind the last."""
        self.write(self._length, values)

    def write(self, start: int, values: np.ndarray) -> None:
        """Write numbers from a row on."""
        data = np.ascontiguousarray(values, self.dtype).view(np.uint8).data
        self._stream.seek(start * self.dtype.itemsize)
        while len(data):
            data = data[self._stream.write(data) :]

        self._length = max(self._length, start + len(values))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows from ``start`` on, up to ``stop``."""
        found = np.empty(max(min(stop, self._length) - start, 0), self.dtype)
        data = found.view(np.uint8).data
        self._stream.seek(start * self.dtype.itemsize)
        while len(data):
            size = self._stream.readinto(data)
            if not size:
                raise DataError(f"{self.path}: was cut short while it was in use. Start again.")
            data = data[size:]

        return found

    def blocks(self, size: int = BLOCK_ROWS) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the rows in blocks, each with the number of its first row."""
        for start in range(0, self._length, size):
            yield start, self.read(start, start + size)

    def counted(self, size: int) -> np.ndarray:
        """Return how often each number from 0 to ``size - 1`` is there, int64."""
        counts = np.zeros(size, dtype=np.int64)
        for _, rows in self.blocks():
            counts += np.bincount(rows, minlength=size)
        return counts

    def mapped(self) -> np.ndarray:
        """Return the rows as an array that is mapped to memory; it outlives the file's name."""
        if not self._length:
            return np.empty(0, self.dtype)
        return np.memmap(self.path, self.dtype, "r", shape=(self._length,))

    def __del__(self) -> None:
        """Close the file, which stays."""
        self._stream.close()

    def remove(self) -> None:
        """Remove the file."""
        self._stream.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def scratch_folder(place: Path | None) -> Iterator[Path]:
    """Yield an empty folder that is removed in the end; what a killed process left is removed too.

    Args:
        place: What it is made beside; where None, in the system's folder of temporary files.
    """
    if place is None:
        with tempfile.TemporaryDirectory(
            prefix="kgrec-rows-", ignore_cleanup_errors=True
        ) as folder:
            yield Path(folder)
        return

    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place, "build"):
        sweep_beside(place)
        with filling(place) as folder:
            try:
                yield folder
            finally:
                with suppress(OSError):  # Windows keeps what is mapped; the next one removes it
                    for path in folder.iterdir():
                        os.unlink(path)

                    folder.rmdir()
