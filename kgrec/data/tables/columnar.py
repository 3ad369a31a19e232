"""A few columns of large Parquet tables, ids numbered as they come, in little memory."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from kgrec.data.io.files import FilePath, bare_suffix
from kgrec.data.tables.blocks import numbered_ids
from kgrec.data.tables.delimited import Table
from kgrec.data.tables.partitions import PARQUET, is_partitioned, joined, keys_of, part_files
from kgrec.data.tables.times import seconds_of
from kgrec.errors import FormatError

_HEAD = 2_000
_EXACT = 1 << 53


def parquet_files(source: FilePath) -> list[Path]:
    """Return the Parquet files of a source, none where it is anything else."""
    if is_partitioned(source):
        files = part_files(source)
    else:
        files = [Path(source)]

    if all(path.is_file() and bare_suffix(path) in PARQUET for path in files):
        return files
    return []


def parquet_head(source: FilePath, files: Sequence[Path]) -> Table | None:
    """Return the first rows of Parquet files as a table, None where they cannot be read.

    Raises:
        FormatError: If the files are of several schemas.
    """
    try:
        starts = [
            pl.read_parquet(path, n_rows=0, glob=False, hive_partitioning=False) for path in files
        ]
        first = pl.read_parquet(files[0], n_rows=_HEAD, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None

    frame = joined(source, [files[0], *files], [first, *starts])
    lines = pl.Series("line", range(1, frame.height + 1), dtype=pl.Int64)
    return Table(str(source), frame, lines, header=True)


def read_parquet_columns(
    files: Sequence[Path], ids: Mapping[str, str], numbers: Mapping[str, str]
) -> tuple[pl.DataFrame, dict[str, pl.Series]] | None:
    """Return columns of ids as int32 numbers, columns of numbers as float64, and the keys that the
    ids number; None where a column is not plain: text or whole numbers from 0, no empty cell.

    Args:
        files: The files.
        ids: Columns by the names that they get.
        numbers: Columns of finite numbers, likewise.
    """
    parts = []
    for path in files:
        for plain in parquet_blocks([path], ids, numbers, None):
            if plain is None:
                return None
            parts.append(plain)

    if not any(part.height for part in parts):
        return None

    return numbered_ids(parts, ids, numbers)


def parquet_blocks(
    files: Sequence[Path], ids: Mapping[str, str], numbers: Mapping[str, str], rows: int | None
) -> Iterator[pl.DataFrame | None]:
    """Yield the columns in blocks of so many rows, or file by file: ids as whole numbers or
    categories (text in blocks), numbers as float64; None where one is not plain.

    Raises:
        FormatError: If a file cannot be read to its end.
    """
    columns = {column: name for name, column in (*ids.items(), *numbers.items())}
    for path in files:
        keys = keys_of(path)
        stored = [column for column in columns if column not in keys]
        for frame in _blocks(path, stored, rows):
            frame = frame.with_columns(
                pl.lit(value).alias(name) for name, value in keys.items() if name in columns
            ).rename(columns)
            yield _plain(frame, list(ids), list(numbers), as_text=rows is not None)


def _blocks(path: Path, columns: list[str], rows: int | None) -> Iterator[pl.DataFrame]:
    if rows is None:
        yield pl.read_parquet(path, columns=columns, glob=False, hive_partitioning=False)
        return

    lazy = lazy_parquet(path).select(columns)
    try:
        yield from lazy.collect_batches(chunk_size=rows, maintain_order=True)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())[:150]
        raise FormatError(
            f"{path}: cannot be read to its end ({reason}). Write the file again."
        ) from None


def parquet_height(files: Sequence[Path]) -> int:
    """Return how many rows files have, by what they say at their ends."""
    return sum(int(lazy_parquet(path).select(pl.len()).collect().item()) for path in files)


def lazy_parquet(path: Path) -> pl.LazyFrame:
    """Return one file as it is: its name is no pattern and names no column."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def _plain(
    frame: pl.DataFrame, ids: list[str], numbers: list[str], *, as_text: bool
) -> pl.DataFrame | None:
    columns = []
    for name, cells in zip(frame.columns, frame.get_columns(), strict=True):
        found = _ids(cells, as_text) if name in ids else _numbers(cells)
        if found is None:
            return None
        columns.append(found)

    return pl.DataFrame(columns).select(*ids, *numbers)


def _ids(cells: pl.Series, as_text: bool) -> pl.Series | None:
    if cells.null_count():
        return None
    if cells.dtype == pl.String:
        if (cells == "").any():
            return None
        return cells if as_text else cells.cast(pl.Categorical)

    if not cells.dtype.is_integer() or (cells < 0).any():
        return None

    large = cells.cast(pl.Int64, strict=False)
    if large.null_count():
        return None
    return large.cast(pl.Int32) if (large.max() or 0) < 1 << 31 else large  # type: ignore[operator]


def _numbers(cells: pl.Series) -> pl.Series | None:
    """Return numbers, or dates as seconds, as float64, None where that does not hold them."""
    if cells.null_count():
        return None
    if cells.dtype in (pl.Date, pl.Datetime):
        return seconds_of(cells) if seconds_of(cells).dtype == pl.Float64 else None
    if not cells.dtype.is_numeric():
        return None

    numbers = cells.cast(pl.Float64)
    return None if (numbers.abs() >= _EXACT).any() else numbers
