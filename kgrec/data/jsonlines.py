"""Tables as JSON Lines: one object a line, its names the columns."""

import io
import json

import polars as pl

from kgrec.data.files import FilePath, read_text
from kgrec.errors import FormatError

JSON_LINES = ("jsonl", "ndjson", "jsonlines")

_DEEPEST = 100
_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "a single value"}


def read_json_lines(path: FilePath) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows of a file of JSON Lines and the line of each; a name that a line lacks is null there.

    Raises:
        FormatError: If a line is no JSON object, or one name holds lists in one line and single values in another.
    """
    text = read_text(path)
    lines = pl.Series("line", text.split("\n"), dtype=pl.String)
    filled = (lines.str.strip_chars() != "").arg_true()
    deep = lines.str.count_matches(r"[\[{]") > _DEEPEST
    if deep.any():
        _check_depth(path, lines, deep.arg_true())
    try:
        frame = pl.read_ndjson(io.BytesIO(text.encode()), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        raise FormatError(_wrong_line(path, text, error)) from None
    if frame.height != len(filled):
        raise FormatError(_wrong_line(path, text, None))
    return frame, (filled + 1).cast(pl.Int64).alias("line")


def _check_depth(path: FilePath, lines: pl.Series, rows: pl.Series) -> None:
    for row in rows:
        depth = deepest = 0
        for character in lines[row]:
            depth += (character in "[{") - (character in "]}")
            deepest = max(deepest, depth)
        if deepest > _DEEPEST:
            raise FormatError(f"{path}:{row + 1}: objects within objects, more than {_DEEPEST} deep. Give one flat object a line.")


def _wrong_line(path: FilePath, text: str, error: BaseException | None) -> str:
    """Return what is wrong with the first line that is no object, else with the file."""
    kinds: dict[str, type] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return f"{path}:{number}: not JSON. Give one object a line, or name the file by what it is."
        if not isinstance(found, dict):
            return f"{path}:{number}: not a JSON object. Give one object a line."
        for name, value in found.items():
            kind = type(value) if isinstance(value, list | dict) else str
            if value is not None and kinds.setdefault(name, kind) != kind:
                return f"{path}:{number}: {name!r} is {_KINDS[kind]} here, {_KINDS[kinds[name]]} before. Give each name one kind of value."
    reason = " ".join(str(error).split())[:120] if error is not None else "its lines and objects do not agree"
    return f"{path}: a name holds values that do not go together ({reason}). Give each name one kind of value."
