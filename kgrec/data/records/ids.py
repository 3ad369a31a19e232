"""Ids that a caller hands over: one rule for all of Python, whatever they come in."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from kgrec.data.records.vocabulary import Vocabulary
from kgrec.errors import ConfigError, UnknownIdError
from kgrec.log import logger

Id: TypeAlias = str | int | np.integer[Any]
Ids: TypeAlias = Id | Iterable[Any]


def one_id(value: Any) -> str:
    """Return an id as the text that it is in the data: text as it is, whole numbers in digits.

    Raises:
        ConfigError: If it is something else, for instance a fraction or nothing at all.

    >>> one_id("a1"), one_id(7), one_id(np.int64(7))
    ('a1', '7', '7')
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]

    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))

    raise ConfigError(
        f"{value!r} is no id. Ids are text or whole numbers, as they are in the data."
    )


def id_list(values: Any) -> list[str]:
    """Return one or many ids as a list: a text or a number is one id, anything that can be iterated
    over is many.

    Raises:
        ConfigError: If there is something that is no id.

    >>> id_list("12"), id_list(12), id_list(np.array([1, 2])), id_list({"a": 0})
    (['12'], ['12'], ['1', '2'], ['a'])
    """
    if isinstance(values, str | int | np.integer) or (
        isinstance(values, np.ndarray) and values.ndim == 0
    ):
        return [one_id(values)]
    if isinstance(values, pl.DataFrame) or not isinstance(values, Iterable):
        raise ConfigError(
            f"{type(values).__name__} holds no list of ids. Pass ids, or a column of them."
        )

    if hasattr(values, "tolist"):  # numpy, pandas, torch: their own numbers become Python's
        values = values.tolist()

    return [one_id(value) for value in values]


def known_rows(
    ids: Vocabulary, given: Any, on_unknown: str = "error", *, empty: bool = False
) -> np.ndarray:
    """Return the rows of ids; those that are not known raise, or are left out and reported.

    Args:
        ids: The known ids.
        given: One or many ids.
        on_unknown: "error", or "ignore" those that are not known.
        empty: Whether nothing may be left.

    Raises:
        ConfigError: If ``on_unknown`` is something else.
        UnknownIdError: If one is not known and none may be ignored; or, unless ``empty``, if none
            of them is known.
    """
    if on_unknown not in ("error", "ignore"):
        raise ConfigError(f'on_unknown={on_unknown!r}: take "error" or "ignore".')

    keys = id_list(given)
    if on_unknown == "error":
        return ids.rows(keys)

    rows = [ids.get(key) for key in keys]
    found = np.array([row for row in rows if row is not None], dtype=np.int64)
    unknown = [key for key, row in zip(keys, rows, strict=True) if row is None]
    if unknown:
        logger.warning(
            "%s",
            f"ignored {len(unknown):,} unknown {ids.kind} "
            f"{'id' if len(unknown) == 1 else 'ids'}: {some_of(unknown)}.",
        )

    if unknown and not len(found) and not empty:
        raise UnknownIdError(
            f"none of {len(unknown):,} {ids.kind} ids is known, the first "
            f"{unknown[0][:80]!r}. Nothing is left to do."
        )

    return found


def some_of(keys: Sequence[str]) -> str:
    """Return ids for a message: the first five, and how many more."""
    shown = ", ".join(repr(key[:40]) for key in keys[:5])
    if len(keys) <= 5:
        return shown
    return f"{shown} and {len(keys) - 5:,} more"
