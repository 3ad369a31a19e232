"""Word and entity vectors: GloVe and word2vec text, word2vec binary, ``.npy`` with ids."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.io.files import FilePath, bare_suffix, existing, read_text, reading
from kgrec.data.records.content import Vectors
from kgrec.data.records.report import Skipped
from kgrec.errors import FormatError

_LONGEST_LINE = 1 << 22
_CHUNK = 1 << 16
_SAMPLE = 1 << 12
_MOST_DIMENSIONS = 1 << 20
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_NPY = re.compile(
    rb"\x93NUMPY[\x01-\x03]\x00[\x00-\xff]{2,4}\{'descr': '(?P<dtype>[<>|](?:[iu][1248]|f[248]))', "
    rb"'fortran_order': (?P<fortran>True|False), 'shape': \((?P<rows>\d{1,12}), "
    rb"(?P<columns>\d{1,12})\), \} *\n"
)
_SPACE = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"


def read_vectors(
    path: FilePath, wanted: Callable[[str], bool], skipped: Skipped | None = None
) -> tuple[Vectors, int]:
    """Return the vectors whose keys are wanted, and how many the file holds.

    Of equal keys the first counts.

    The form is found from the file: text with a key and its numbers on each line, between spaces or
    tabs, with or without the line ``count dimension`` before it (GloVe, word2vec, fastText, MIND's
    ``.vec``); word2vec's binary form; or a ``.npy`` array with the keys of its rows, one a line, in
    a ``.txt`` file of the same name. All but ``.npy`` may be gzipped.

    Args:
        path: The file.
        wanted: Whether a key's vector is returned.
        skipped: Where malformed lines of text are noted; None stops at the first.

    Raises:
        MissingFileError: If the file is not there.
        FormatError: If vectors are of unequal length, a number is not finite, or the file is none
            of these; the message names the line.
    """
    if bare_suffix(existing(path)) == "npy":
        return _from_array(path, wanted)

    keys: dict[str, np.ndarray] = {}
    count = 0
    binary = _is_binary(path)
    entries = _text(path, skipped)
    if binary:
        entries = _binary(path)

    for key, numbers, row in entries:
        count += 1
        if key in keys or not wanted(key):
            continue

        try:
            keys[key] = _vector(
                np.frombuffer(numbers, dtype="<f4") if binary else _parsed(numbers, row.where),
                row.where,
            )
        except FormatError:
            if skipped is None:
                raise
            skipped.add(row.line)

    if not count:
        raise FormatError(f"{path}: no vector. Expected a key and its numbers on each line.")

    if keys:
        rows = np.stack(list(keys.values()))
    else:
        rows = np.empty((0, 0), dtype=np.float32)

    return Vectors(pl.Series("key", list(keys), dtype=pl.String), rows), count


def read_array(path: FilePath) -> np.ndarray:
    """Return a two-dimensional array of numbers from a ``.npy`` file, memory-mapped.

    Raises:
        FormatError: If the file holds anything else.
    """
    with open(existing(path), "rb") as stream:
        found = _NPY.match(stream.read(_SAMPLE))

    if found is None:
        raise FormatError(
            f"{path}: not a .npy file of numbers with two dimensions. Write one row per vector, "
            "with numpy.save."
        )

    dtype = np.dtype(found["dtype"].decode())
    shape = (int(found["rows"]), int(found["columns"]))
    if Path(path).stat().st_size != found.end() + math.prod(shape) * dtype.itemsize:
        raise FormatError(
            f"{path}: its length is not that of its shape {shape}. Write it again with numpy.save."
        )
    if not math.prod(shape):
        return np.empty(shape, dtype=dtype)

    return np.memmap(
        path,
        dtype=dtype,
        mode="r",
        offset=found.end(),
        shape=shape,
        order="F" if found["fortran"] == b"True" else "C",
    )


def finite_floats(rows: np.ndarray, where: Callable[[int], str]) -> np.ndarray:
    """Return rows as float32.

    Raises:
        FormatError: If a number is not finite as float32; ``where`` names file and line of a row.
    """
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(rows, dtype=np.float32)

    bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if bad.any():
        raise FormatError(
            f"{where(int(np.flatnonzero(bad)[0]))}: a number that is not finite (as 32-bit "
            "float). Correct it."
        )

    return values


def _vector(numbers: np.ndarray, where: str) -> np.ndarray:
    row: np.ndarray = finite_floats(numbers[np.newaxis], lambda _: where)[0]
    return row


def _from_array(path: FilePath, wanted: Callable[[str], bool]) -> tuple[Vectors, int]:
    array = read_array(path)
    beside = Path(path).with_suffix(".txt")
    keys = [line.rstrip("\r") for line in read_text(beside).rstrip("\n").split("\n")]
    if len(keys) != len(array):
        raise FormatError(
            f"{beside}: {len(keys)} ids for the {len(array)} rows of {path}. Give one id a line, "
            "in the order of the rows."
        )

    rows: dict[str, int] = {}
    for row, key in enumerate(keys):
        if wanted(key):
            rows.setdefault(key, row)

    picked = np.fromiter(rows.values(), dtype=np.int64, count=len(rows))
    values = finite_floats(array[picked], lambda row: f"{path}: row {picked[row] + 1}")
    return Vectors(pl.Series("key", list(rows), dtype=pl.String), values), len(keys)


@dataclass(frozen=True, slots=True)
class _Row:
    """Where a vector stands: line, or number in a binary file."""

    path: FilePath
    line: int
    binary: bool = False

    @property
    def where(self) -> str:
        if self.binary:
            return f"{self.path}: vector {self.line}"
        return f"{self.path}:{self.line}"


_Entry = tuple[str, bytes, _Row]


def _is_binary(path: FilePath) -> bool:
    """Return whether a file is word2vec's binary form: a line ``count dimension``, then bytes that
    no text has.
    """
    with reading(path) as stream:
        if _dimension(stream.readline(_LONGEST_LINE)) is None:
            return False
        return bool(_NO_TEXT.search(stream.read(_SAMPLE)))


def _dimension(header: bytes) -> int | None:
    fields = header.split()
    if len(fields) != 2 or not all(one.isdigit() and len(one) < 10 for one in fields):
        return None
    if 0 < int(fields[1]) <= _MOST_DIMENSIONS:
        return int(fields[1])
    return None


def _text(path: FilePath, skipped: Skipped | None) -> Iterator[_Entry]:
    """Yield keys, their numbers as they are written, and where they stand."""
    dimension = 0
    with reading(path) as stream:
        for number, raw in enumerate(iter(lambda: stream.readline(_LONGEST_LINE), b""), start=1):
            if number == 1:
                line = raw.removeprefix(_MARK).strip(_SPACE)
            else:
                line = raw.strip(_SPACE)

            if number == 1 and _dimension(line):
                dimension = _dimension(line) or 0
                continue

            if not line:
                continue

            if b"\t" in line:
                separator = b"\t"
            else:
                separator = b" "

            dimension = dimension or len(_fields(line)) - 1
            row = _Row(path, number)

            try:
                key, numbers = _parted(line, separator, dimension, row.where)
            except FormatError:
                if skipped is None:
                    raise

                skipped.add(number)
                continue

            yield key.decode("utf-8", "replace"), numbers, row


def _parted(line: bytes, separator: bytes, dimension: int, where: str) -> tuple[bytes, bytes]:
    """Return the key and the numbers of a line.

    A key may hold the separator (some of GloVe's do).
    """
    key, _, numbers = line.partition(separator)
    if line.count(separator) == dimension and dimension and separator * 2 not in line:
        return key, numbers

    fields = _fields(line)
    more = len(fields) - 1 - dimension
    if dimension and (more == 0 or (more > 0 and not all(map(_is_number, fields[1 : 1 + more])))):
        return b" ".join(fields[: 1 + more]), b" ".join(fields[1 + more :])

    if dimension:
        expected = f"{dimension} as in the lines before"
    else:
        expected = "at least 1"

    raise FormatError(
        f"{where}: a vector of {len(fields) - 1} numbers, expected {expected}. Correct the line."
    )


def _fields(line: bytes) -> list[bytes]:
    """Return what stands between spaces and tabs; words may hold other white space."""
    return [field for field in line.replace(b"\t", b" ").split(b" ") if field]


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _parsed(numbers: bytes, where: str) -> np.ndarray:
    try:
        return np.array([float(one) for one in _fields(numbers)])
    except ValueError:
        raise FormatError(f"{where}: not a key and its numbers. Correct the line.") from None


def _binary(path: FilePath) -> Iterator[_Entry]:
    """Yield keys, the bytes of their numbers, and where they stand."""
    with reading(path) as stream:
        header = stream.readline(_LONGEST_LINE)
        count = int(header.split()[0])
        size = 4 * (_dimension(header) or 0)
        rest = b""

        for number in range(1, count + 1):
            end = rest.find(b" ")
            while end < 0 or len(rest) < end + 1 + size:
                more = stream.read(_CHUNK)
                if not more or (end < 0 and len(rest) > _LONGEST_LINE):
                    raise FormatError(
                        f"{path}: ends in vector {number} of {count}. Fetch the file again."
                    )

                rest += more
                end = rest.find(b" ")

            yield (
                rest[:end].strip(b"\n").decode("utf-8", "replace"),
                rest[end + 1 : end + 1 + size],
                _Row(path, number, binary=True),
            )
            rest = rest[end + 1 + size :]
