"""Interactions from large regular tables: read in blocks by polars, ids numbered as they come.

Regular is what every line agrees on: one separator, no quotes, no empty lines or ids, plain
numbers. The file is given back to the general reader at the first sign of anything else, so that
there is one reader for everything that can be wrong with a table.
"""

import codecs
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import polars as pl

from kgrec.data.io.files import FilePath, bare_suffix, reading

_Found = TypeVar("_Found")
_BLOCK, _AT_ONCE = 1 << 22, 2
_HEAD = 1 << 12
_SPARSEST = 4  # numbers per row up to which a table of all of them is made
_LEAST = 1 << 20
_TENS = 10 ** np.arange(1, 19)


def head(path: FilePath) -> str | None:
    """Return the first lines of a text file, None where they are not regular, or are SQL."""
    if bare_suffix(path) == "sql":
        return None

    with reading(path) as stream:
        data = stream.read(_HEAD)

    whole, end, _ = data.rpartition(b"\n")
    if (
        not end
        or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        or not _plain(whole + end)
    ):
        return None

    return whole.removeprefix(codecs.BOM_UTF8).decode()


class Irregular(Exception):  # noqa: N818 - it ends no work, the general reader takes over
    """A table in which not every line is like the others."""


class NotWhole(Exception):  # noqa: N818 - the columns are read again as texts
    """Columns of ids, thought to be whole numbers, that are not."""

    def __init__(self, columns: list[str]) -> None:
        super().__init__(columns)
        self.columns = frozenset(columns)


@dataclass(frozen=True, slots=True)
class Regular:
    """Some columns of a regular table.

    Attributes:
        path: The file, plain or compressed.
        separator: Between cells; one byte.
        width: Number of columns.
        header: Whether the first line names the columns.
        ids: Positions of the columns of ids, by the name that each gets.
        numbers: The same for columns of finite numbers.
    """

    path: FilePath
    separator: str
    width: int
    header: bool
    ids: Mapping[str, int]
    numbers: Mapping[str, int]

    def blocks(self, texts: frozenset[str], kind: Any) -> Iterator[pl.DataFrame]:
        """Yield the columns in blocks: ids as whole numbers, numbers as float64.

        Args:
            texts: Columns of ids that are known not to be plain whole numbers; such numbers are
                several times as fast.
            kind: The type of these.

        Raises:
            Irregular: At a block that is not regular.
            NotWhole: At an id that is no whole number, in a column not among ``texts``.
        """
        kinds: dict[str, Any] = {f"c{n}": pl.Float64 for n in self.numbers.values()}
        kinds |= {
            f"c{number}": kind if name in texts else pl.String for name, number in self.ids.items()
        }
        for frame in _in_threads(
            partial(self._parsed, texts=texts, kinds=kinds), _blocks(self.path)
        ):
            if frame is None:
                raise Irregular

            other = [name for name in self.ids if frame[name].dtype == pl.Null]
            if other:
                raise NotWhole(other)

            yield frame

    def _parsed(
        self,
        number: int,
        block: bytes,
        *,
        texts: frozenset[str],
        kinds: dict[str, Any],
    ) -> pl.DataFrame | None:
        """Return a block as a frame, nothing in columns of ids that are no whole numbers; None
        where it is not regular.
        """
        names = {f"c{n}": name for name, n in (*self.ids.items(), *self.numbers.items())}
        first = self.separator.join(f"c{n}" for n in range(self.width)).encode() + b"\n"
        signs = np.frombuffer(block, np.uint8)  # counted without holding up the other thread
        lines = int(np.count_nonzero(signs == ord("\n")))
        if (
            not _plain(block)
            or b'"' in block
            or np.count_nonzero(signs == ord(self.separator)) != lines * (self.width - 1)
        ):
            return None

        named = self.header and number == 0
        if named:
            rows = block[block.index(b"\n") + 1 :]
        else:
            rows = block

        try:
            frame = pl.read_csv(
                first + rows,
                columns=list(names),
                separator=self.separator,
                quote_char=None,
                schema_overrides=kinds,
                infer_schema_length=0,
            ).rename(names)
        except pl.exceptions.PolarsError:
            return None

        if frame.height != lines - named or any(frame[name].null_count() for name in self.ids):
            return None

        whole = {name: _whole_numbers(frame[name]) for name in self.ids if name not in texts}
        return frame.with_columns(**whole)


def read_regular(
    table: Regular, texts: frozenset[str] = frozenset()
) -> tuple[pl.DataFrame, dict[str, pl.Series]] | None:
    """Read a table, or return None where it is not regular.

    Returns:
        The columns, ids as int32 numbers and numbers as float64; and the keys that the ids number,
        in the order of first appearance.
    """
    try:
        parts = list(table.blocks(texts, pl.Categorical))
    except Irregular:
        return None
    except NotWhole as found:
        return read_regular(table, texts | found.columns)

    if parts:
        return numbered_ids(parts, table.ids, table.numbers)

    return None


def _in_threads(work: Callable[[int, bytes], _Found], blocks: Iterator[bytes]) -> Iterator[_Found]:
    """Yield what the work gives for each block, in their order, a few at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ahead: deque[Future[_Found]] = deque()
        for number, block in enumerate(blocks):
            ahead.append(pool.submit(work, number, block))
            if len(ahead) > _AT_ONCE:
                yield ahead.popleft().result()

        while ahead:
            yield ahead.popleft().result()


def _whole_numbers(cells: pl.Series) -> pl.Series | None:
    """Return text as int64, or int32 where that does, None where some of it is not exactly how a
    number from 0 is written.
    """
    try:
        found = cells.cast(pl.Int64)
    except pl.exceptions.PolarsError:
        return None

    if not found.len():
        return found.cast(pl.Int32)
    if found.min() < 0:  # type: ignore[operator]
        return None

    digits = 1 + np.searchsorted(_TENS, found.to_numpy(), side="right")
    if int(digits.sum()) != cells.str.len_bytes().sum():
        return None

    return found.cast(pl.Int32, strict=False) if found.max() < 1 << 31 else found  # type: ignore[operator]


def numbered_ids(
    parts: list[pl.DataFrame], ids: Mapping[str, object], numbers: Mapping[str, object]
) -> tuple[pl.DataFrame, dict[str, pl.Series]] | None:
    """Return ids (whole numbers from 0, or categories) as numbers, and the keys that they number;
    None where there is no row, or a number is not finite.

    Args:
        parts: The columns, in pieces; empty afterwards, since together they are as large as what
            is made of them.
        ids: Names of the columns of ids.
        numbers: Names of the columns of numbers.
    """
    frame = pl.concat(parts, how="vertical_relaxed")
    parts.clear()
    if not frame.height or not all(
        frame[name].is_finite().fill_null(False).all() for name in numbers
    ):
        return None

    keys = {}
    for name in ids:
        cells = frame[name]
        first = cells.unique(maintain_order=True)
        keys[name] = first.cast(pl.String).rename(name)
        number = pl.Series(name, _ranks(_codes(first), _codes(cells)))
        del cells
        frame = frame.with_columns(number)

    return frame.select(*ids, *numbers), keys


def _codes(ids: pl.Series) -> np.ndarray:
    return (ids if ids.dtype.is_integer() else ids.to_physical()).to_numpy()


def _ranks(first: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the position of each code among the distinct ones, int32."""
    if first.max() < _SPARSEST * len(codes) + _LEAST:
        number = np.zeros(int(first.max()) + 1, dtype=np.int32)
        number[first] = np.arange(len(first), dtype=np.int32)
        found: np.ndarray = number[codes]
        return found

    order = np.argsort(first)
    ranks: np.ndarray = order[np.searchsorted(first[order], codes)].astype(np.int32)
    return ranks


def _blocks(path: FilePath) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces of whole lines, each with its last line's end, without a
    byte-order mark.
    """
    rest = b""
    first = True

    with reading(path) as stream:
        while data := stream.read(_BLOCK):
            if first:
                data = data.removeprefix(codecs.BOM_UTF8)

            first = False
            whole, end, after = data.rpartition(b"\n")
            if end:
                yield rest + whole + end

            if end:
                rest = after
            else:
                rest = rest + data

    if rest:
        yield rest + b"\n"


def _plain(block: bytes) -> bool:
    """Return whether whole lines are text without anything odd."""
    if b"\r" in block or b"\0" in block:
        return False

    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False
