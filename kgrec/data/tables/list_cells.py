"""Cells that hold several values: lists as JSON, Python and databases write them, or text with a
separator.
"""

import ast
import json
from typing import Any

import polars as pl

_PIECE = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\[\](){},\s"']+"""
_NOTHING = ("null", "None", "NULL", "NaN", "nan")
_ANY = r"(?s)^\[.*\]$"
_SURE = r"""(?s)^\[\s*(?:\]$|["']|-?\d|(?:null|true|false|None|True|False)\b).*\]?$"""
_BRACES = r"""(?s)^(?:\{(?:[^:{}"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*\}|\(\s*["'].*\))$"""
_RECORDS = r"(?s)^\[\s*\{.*\}\s*\]$"
NAMES = ("name", "label", "title", "value")
"""What records in lists are called by."""


def are_lists(text: pl.Series) -> pl.Series:
    """Return which cells are lists in brackets, braces or parentheses.

    >>> are_lists(pl.Series(['["a"]', "{a,b}", "('a', 'b')", "[a, b]", "a", '{"a": 1}'])).to_list()
    [True, True, True, True, False, False]
    """
    return text.str.contains(_ANY) | text.str.contains(_BRACES)


def are_sure_lists(text: pl.Series) -> pl.Series:
    """Return which cells can be nothing but lists, whatever else is in their column.

    >>> are_sure_lists(pl.Series(['["a", "b"]', "[1]", "[]", "[REC]", "{untitled}"])).to_list()
    [True, True, True, False, False]
    """
    return text.str.contains(_SURE) & text.str.ends_with("]")


def are_records(text: pl.Series) -> pl.Series:
    """Return which cells are lists of records."""
    return text.str.contains(_RECORDS)


def record_name(text: pl.Series) -> str | None:
    """Return by which of ``NAMES`` lists of records in cells are called, None where they have none.

    >>> record_name(pl.Series(["[{'id': 1, 'name': 'Drama'}]", "[]"]))
    'name'
    """
    records = [one for cell in text.head(1_000) for one in _parsed(cell) or ()]
    named = [one for one in records if isinstance(one, dict)]
    return next(
        (name for name in NAMES if named and all(_is_value(one.get(name)) for one in named)), None
    )


def field_name(records: object) -> str | None:
    """Return by which of ``NAMES`` records of a type are called, None where they have none or the
    type is another.
    """
    if not isinstance(records, pl.Struct):
        return None

    fields = {field.name: field.dtype for field in records.fields}
    return next((name for name in NAMES if fields.get(name) == pl.String), None)


def in_lists(text: pl.Series) -> pl.Series:
    r"""Return cells that are lists as lists of text, and others as lists of the whole cell.

    What is null without quotes is no value; of records the name is the value.

    >>> in_lists(pl.Series(['["a", "b, c"]', "['x', \"it's\"]", "[1, 2]", "[]"])).to_list()
    [['a', 'b, c'], ['x', "it's"], ['1', '2'], []]
    >>> in_lists(pl.Series(['["caf\\u00e9", null]', '{War,"a b"}', "Drama"])).to_list()
    [['café'], ['War', 'a b'], ['Drama']]
    """
    inner = (
        pl.element()
        .filter(~pl.element().is_in(_NOTHING))
        .str.replace(r"""^(?:"((?s:.*))"|'((?s:.*))')$""", "${1}${2}")
        .str.replace_all(r"\\([^u])", "${1}")
    )
    lists = text.str.extract_all(_PIECE).list.eval(inner)
    whole = pl.DataFrame({"cell": text}).select(pl.concat_list("cell")).to_series()
    found = pl.select(
        pl.when(pl.lit(are_lists(text).fill_null(False)))
        .then(pl.lit(lists))
        .otherwise(pl.lit(whole))
    ).to_series()

    hard = text.str.contains(r"\\|[{]\s*[\"']") & text.str.starts_with("[")
    if not hard.any():
        return found.rename(text.name)

    distinct = text.filter(hard).unique()
    parsed = pl.DataFrame(
        {"cell": distinct, "parsed": [_values(cell) for cell in distinct]},
        schema={"cell": pl.String, "parsed": pl.List(pl.String)},
    )
    frame = pl.DataFrame({"cell": text, "found": found})
    frame = frame.join(parsed, on="cell", how="left", maintain_order="left")
    return frame.select(pl.coalesce("parsed", "found").alias(text.name)).to_series()


def _values(cell: str) -> list[str] | None:
    """Return the values of a list, None where neither JSON nor Python reads it."""
    found = _parsed(cell)
    if found is None:
        return None

    values = []
    for one in found:
        if isinstance(one, dict):
            one = next((one[name] for name in NAMES if _is_value(one.get(name))), None)
        if _is_value(one):
            values.append(str(one))

    return values


def _parsed(cell: str) -> list[Any] | None:
    for read in (_json, ast.literal_eval):
        try:
            found = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue

        if isinstance(found, list):
            return found

    return None


def _json(cell: str) -> Any:
    return json.loads(cell, parse_float=str, parse_int=str)


def _is_value(value: object) -> bool:
    return isinstance(value, str | int | float)


def split_cells(text: pl.Series, separator: str) -> pl.Series:
    """Return the cells as lists of their parts; "" reads JSON lists."""
    if separator == "":
        return in_lists(text)
    return text.str.split(separator)
