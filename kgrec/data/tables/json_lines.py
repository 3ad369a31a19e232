"""Tables as JSON Lines: one object a line, its names the columns."""

import io
import json
from collections.abc import Iterator, Sequence

import polars as pl

from kgrec.data.io.files import FilePath, read_text
from kgrec.data.records.report import Skipped
from kgrec.errors import FormatError

JSON_LINES = ("jsonl", "ndjson", "jsonlines")

_DEEPEST = 100
_AT_ONCE = 1 << 16
_MOST_NAMES, _MOST_CELLS = 10_000, 500_000_000
_NAME = r'"[^"\\]*"\s*:'
_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "a single value"}


def read_json_lines(
    path: FilePath, skipped: Skipped | None = None
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows of a file of JSON Lines and the line of each; or the objects of a JSON array
    and their numbers.

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

    return "\n".join(json.dumps(one, ensure_ascii=False) for one in found)


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
