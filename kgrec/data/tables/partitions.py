"""Tables in several files: folders, patterns, and partitions in the names of folders."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from kgrec.data.io.files import FilePath, bare_suffix, listed
from kgrec.data.tables.json_lines import JSON_LINES
from kgrec.errors import FormatError, MissingFileError

PARQUET = ("parquet", "pq", "parq")
_TEXT = ("csv", "tsv", "txt", "inter", "json", *JSON_LINES)
_PATTERN = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")
_KEY = re.compile(r"^([A-Za-z_][\w-]*)=(.*)$")


def is_partitioned(source: FilePath) -> bool:
    """Return whether a source is a folder, or a pattern of names."""
    path = Path(source)
    return path.is_dir() or (bool(_PATTERN.search(str(source))) and not path.exists())


def part_files(source: FilePath, further: Sequence[str] = ()) -> list[Path]:
    """Return the files of a folder or a pattern, sorted; of several kinds Parquet alone.

    Names that begin with "_" or "." are left.

    Args:
        source: The folder or pattern.
        further: Endings of other files that are taken as well.

    Raises:
        MissingFileError: If there is none.
        FormatError: If the files are of several kinds.
    """
    root = Path(source)
    if root.is_dir():
        found = [path for path in sorted(root.rglob("*")) if path.is_file()]
    else:
        found = [Path(name) for name in sorted(glob.glob(str(source), recursive=True))]
        found = [path for path in found if path.is_file()]

    files = [path for path in found if not _is_hidden(path, root)]
    kinds = {bare_suffix(path) for path in files} & {*PARQUET, *_TEXT, *further}
    if kinds & set(PARQUET):
        kinds &= set(PARQUET)

    chosen = [path for path in files if bare_suffix(path) in kinds]
    if not chosen:
        beside = listed([path.name for path in files]) or "nothing"
        raise MissingFileError(
            f"{source}: no table there. Found: {beside}. Tables are Parquet, CSV, TSV or JSON."
        )
    if len(kinds - set(further)) > 1 and not kinds <= set(PARQUET):
        raise FormatError(
            f"{source}: files of several kinds ({', '.join(sorted(kinds))}). Name one kind with a "
            "pattern such as *.csv."
        )

    return chosen


def _is_hidden(path: Path, root: Path) -> bool:
    """Return whether a name begins so that is neither of the folder nor of the pattern."""
    parts = path.parts
    named = {_ESCAPED.sub(r"\1", part) for part in root.parts}
    if root.is_dir():
        parts = path.relative_to(root).parts
        named = set()

    return any(part.startswith(("_", ".")) and part not in named for part in parts)


def keys_of(path: Path) -> dict[str, str]:
    """Return what the folders of a file say, ``shop=007`` the text 007 of a column shop."""
    found = (_KEY.match(part) for part in path.parts[:-1])
    return {match[1]: match[2] for match in found if match}


def joined(source: FilePath, files: Sequence[Path], frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of all files, with the columns that their folders say.

    Raises:
        FormatError: If the files have different columns, or one holds another type than the rest.
    """
    keyed = [
        frame.with_columns(
            pl.lit(value).alias(name)
            for name, value in keys_of(path).items()
            if name not in frame.columns
        )
        for path, frame in zip(files, frames, strict=True)
    ]
    first = keyed[0]
    for path, frame in zip(files, keyed, strict=True):
        if set(frame.columns) != set(first.columns):
            odd = sorted(set(frame.columns) ^ set(first.columns))
            raise FormatError(
                f"{source}: two schemas: {path.name} and {files[0].name} do not both have "
                f"{', '.join(map(repr, odd[:5]))}. Name files of one schema, with a pattern."
            )

        for name, kind in frame.schema.items():
            if not _alike(kind, first.schema[name]):
                raise FormatError(
                    f"{source}: two schemas: column {name!r} is {kind} in {path.name} and "
                    f"{first.schema[name]} in {files[0].name}. Write them with one type."
                )

    columns = first.columns
    return pl.concat([frame.select(columns) for frame in keyed], how="vertical_relaxed")


def _alike(one: Any, other: Any) -> bool:
    """Return whether columns of two types can be one, nothing being lost."""
    if one == other or pl.Null in (one, other):
        return True
    if one.is_integer() and other.is_integer():
        return True
    if one.is_float() and other.is_float():
        return True
    texts = (pl.String, pl.Categorical)
    return one in texts and other in texts
