"""Tables as JSON Lines: one object a line, its names the columns."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from kgrec.data.io.files import FilePath, read_text
from kgrec.data.records.report import Skipped
from kgrec.errors import FormatError

JSON_LINES = ("jsonl", "ndjson", "jsonlines")

_DEEPEST = 100
_AT_ONCE = 1 << 16
_MOST_NAMES, _MOST_CELLS = 10_000, 500_000_000
_COLUMNS = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*[\[{]')
_SPLIT = {"columns", "index", "data", "schema", "index_names", "column_names"}
_NAME = r'"[^"\\]*"\s*:'
_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "a single value"}


def read_json_lines(
    path: FilePath, skipped: Skipped | None = None
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows of a file of JSON Lines and the line of each; or the objects of a JSON array
    and their numbers; or the rows of columns, as pandas writes them: ``{"user": ["a", "b"]}``,
    ``{"user": {"0": "a", "1": "b"}}``, ``{"columns": ["user"], "data": [["a"], ["b"]]}``.

    A name that a line lacks is null there.

    Args:
        path: The file.
        skipped: Where malformed lines are noted and left out; None stops at the first.

    Raises:
        FormatError: If a line is no JSON object, or one name holds lists in one line and single
            values in another.
    """
    text = read_text(path, skipped)
    if text.lstrip().startswith("["):
        text = _from_array(path, text)
    elif _COLUMNS.match(text):
        text = _from_columns(path, text) or text

    try:
        return _parsed(path, text)
    except FormatError:
        if skipped is None:
            raise

    lines = text.split("\n")
    for number, _ in _faults(lines):
        skipped.add(number)
        lines[number - 1] = ""

    if not any(line.strip() for line in lines):
        raise FormatError(f"{path}: no line is a JSON object. Name the file by what it is.")

    return _parsed(path, "\n".join(lines))


def _from_array(path: FilePath, text: str) -> str:
    """Return the objects of an array, one a line."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:80]
        raise FormatError(f"{path}: not a JSON array ({why}). Correct it.") from None

    if not found:
        raise FormatError(f"{path}: an empty array. Give at least one object.")

    return _lines(found)


def _from_columns(path: FilePath, text: str) -> str | None:
    """Return the rows of a table that is written by columns, one a line; None where it is none.

    Raises:
        FormatError: If columns have different numbers of cells.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None  # several objects, or none: the lines say which

    if not isinstance(found, dict):
        return None
    if isinstance(found.get("data"), list) and set(found) <= _SPLIT:
        return _from_split(path, found)

    kinds = {type(column) for column in found.values()}
    if kinds == {dict}:
        index = list(dict.fromkeys(key for column in found.values() for key in column))
        columns = {name: [column.get(key) for key in index] for name, column in found.items()}
    elif kinds == {list} and len(found) > 1:
        columns = found
    else:
        return None

    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name!r} {size:,}" for name, size in list(sizes.items())[:5])
        raise FormatError(
            f"{path}: columns of different lengths ({said}). Give every column as many cells."
        )

    rows = zip(*columns.values(), strict=True)
    return _lines(dict(zip(columns, row, strict=True)) for row in rows)


def _from_split(path: FilePath, found: dict[str, Any]) -> str:
    """Return the rows of what pandas calls ``split``, and of its ``table``."""
    data = found["data"]
    names = found.get("columns")
    if names is None and all(isinstance(row, dict) for row in data):
        return _lines(data)

    if not isinstance(names, list) or not all(
        isinstance(row, list) and len(row) == len(names) for row in data
    ):
        raise FormatError(
            f"{path}: its data are not rows of {len(names or ())} cells. Give as many names in "
            "columns as each row has cells."
        )
    return _lines(dict(zip(map(str, names), row, strict=True)) for row in data)


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def _parsed(path: FilePath, text: str) -> tuple[pl.DataFrame, pl.Series]:
    lines = pl.Series("line", [text], dtype=pl.String).str.split("\n").explode()
    _check_names(path, lines)
    filled = (lines.str.strip_chars() != "").arg_true()
    reason: BaseException | None = None

    if not (lines.str.count_matches(r"[\[{]") > _DEEPEST).any() or not any(map(_too_deep, lines)):
        try:
            frame = pl.read_ndjson(io.BytesIO(text.encode()), infer_schema_length=None)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
            reason = error
        else:
            if frame.height == len(filled):
                return frame, (filled + 1).cast(pl.Int64).alias("line")

    for number, why in _faults(text.split("\n")):
        raise FormatError(f"{path}:{number}: {why}")

    if reason is not None:
        why = " ".join(str(reason).split())[:120]
    else:
        why = "its lines and objects do not agree"

    raise FormatError(
        f"{path}: a name holds values that do not go together ({why}). Give each name one kind "
        "of value."
    )


def _check_names(path: FilePath, lines: pl.Series) -> None:
    """Refuse objects of so many different names that the table of them would not fit in memory."""
    names = set[str]()
    for start in range(0, len(lines), _AT_ONCE):
        found = lines.slice(start, _AT_ONCE).str.extract_all(_NAME).explode().unique()
        names.update(found.drop_nulls())

        if len(names) > _MOST_NAMES or len(names) * len(lines) > _MOST_CELLS:
            raise FormatError(
                f"{path}: more than {len(names) - 1:,} different names in {len(lines):,} lines, "
                "too many for a table. "
                "Give each line the same few names, and lists of values."
            )


def _too_deep(line: str) -> bool:
    depth = deepest = 0
    for character in line:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def _faults(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the number of each line that is no object, or none like those before it, and what to
    do.
    """
    kinds: dict[str, type] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue

        if _too_deep(line):
            yield (
                number,
                f"objects within objects, more than {_DEEPEST} deep. Give one flat object a line.",
            )
            continue

        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            yield number, "not JSON. Give one object a line, or name the file by what it is."
            continue

        if not isinstance(found, dict):
            yield number, "not a JSON object. Give one object a line."
            continue

        line_kinds: dict[str, type] = {}
        for name, value in found.items():
            kind = type(value) if isinstance(value, list | dict) else str
            if value is not None and kinds.get(name, kind) != kind:
                yield (
                    number,
                    f"{name!r} is {_KINDS[kind]} here, {_KINDS[kinds[name]]} before. Give each "
                    "name one kind of value.",
                )
                break

            if value is not None:
                line_kinds[name] = kind
        else:
            kinds = line_kinds | kinds
