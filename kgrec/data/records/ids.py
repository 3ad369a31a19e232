"""Ids that a caller hands over: one rule for all of Python, whatever they come in."""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from kgrec.errors import ConfigError

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
