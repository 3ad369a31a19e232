"""Vectors of texts, by whatever function makes them."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from kgrec.errors import ConfigError, DataError
from kgrec.log import progress

Encoder = Callable[[list[str]], Any]
"""Takes texts, returns one row of numbers for each."""

SENTENCE_TRANSFORMERS = "sentence-transformers"
_AT_ONCE = 256
_BROKEN = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What code of somebody else may raise."""


def encoder_of(given: object) -> tuple[Encoder, str]:
    """Return an encoder and its name.

    Args:
        given: A function; ``pkg.module:function``, whose module is imported, which runs its code;
            or ``sentence-transformers:NAME``, a model of that library.

    Raises:
        ConfigError: If it is none of these, or cannot be imported.
    """
    if callable(given):
        return given, str(getattr(given, "__qualname__", type(given).__name__))
    if not isinstance(given, str):
        raise ConfigError(
            f"encoder {given!r}: give a function from texts to vectors, pkg.module:function, or "
            f"{SENTENCE_TRANSFORMERS}:NAME."
        )

    place, _, name = given.partition(":")
    if place == SENTENCE_TRANSFORMERS and name:
        return _sentence_transformer(name), given
    if not name or not all(part.isidentifier() for part in (*place.split("."), name)):
        raise ConfigError(
            f"encoder {given!r}: not of the form pkg.module:function or "
            f"{SENTENCE_TRANSFORMERS}:NAME."
        )

    try:
        found = getattr(importlib.import_module(place), name)
    except _BROKEN as error:
        raise ConfigError(f"encoder {given}: importing failed: {_line(error)}.") from None
    if not callable(found):
        raise ConfigError(f"encoder {given}: is no function but {type(found).__name__}.")

    return found, given


def encode(given: object, texts: pl.Series) -> tuple[np.ndarray, str]:
    """Return a vector per text, float32 (texts, dim), zeros where there is no text, and the
    encoder's name.

    Args:
        given: What ``encoder_of`` takes.
        texts: Texts; null if an item has none.

    Raises:
        ConfigError: If there is no such encoder.
        DataError: If it fails, or returns something else than a row of finite numbers for each
            text.
    """
    encoder, name = encoder_of(given)
    rows = np.flatnonzero(texts.is_not_null().to_numpy())
    if not len(rows):
        raise DataError(f"encoder {name}: no item has a text. Name columns of texts.")

    present = texts.gather(rows).to_list()
    parts: list[np.ndarray] = []
    with progress("encoding texts", len(present)) as bar:
        for start in range(0, len(present), _AT_ONCE):
            width = parts[0].shape[1] if parts else None
            parts.append(_vectors(encoder, name, present[start : start + _AT_ONCE], width))
            bar.update(len(parts[-1]))

    values = np.concatenate(parts)
    vectors = np.zeros((len(texts), values.shape[1]), dtype=np.float32)
    vectors[rows] = values
    return vectors, name


def _vectors(encoder: Encoder, name: str, texts: list[str], width: int | None) -> np.ndarray:
    """Return the vectors of some texts, checked."""
    try:
        found = np.asarray(encoder(texts), dtype=np.float32)
    except _BROKEN as error:
        raise DataError(f"encoder {name}: failed: {_line(error)}.") from None

    if found.ndim != 2 or len(found) != len(texts) or width not in (None, found.shape[1]):
        raise DataError(
            f"encoder {name}: returned numbers of the shape {found.shape} for {len(texts)} texts. "
            "It must return one row for each, all of one length."
        )
    if not np.isfinite(found).all():
        raise DataError(f"encoder {name}: returned a number that is not finite.")

    return found


def _sentence_transformer(name: str) -> Encoder:
    try:
        library = importlib.import_module("sentence_transformers")
    except ImportError:
        raise ConfigError(
            f"encoder {SENTENCE_TRANSFORMERS}:{name}: sentence-transformers is not installed. "
            "pip install 'kgrec[texts]', or name a function of your own: pkg.module:function."
        ) from None

    try:
        model = library.SentenceTransformer(name)
    except _BROKEN as error:
        raise ConfigError(
            f"encoder {SENTENCE_TRANSFORMERS}:{name}: cannot be loaded: {_line(error)}."
        ) from None

    encoder: Encoder = model.encode
    return encoder


def _line(error: BaseException) -> str:
    """Return an error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")[:300]
