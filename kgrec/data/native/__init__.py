"""The compiled reader of N-Triples and N-Quads, where it was built.

Without it, ``kgrec.data.rdf.collect`` does the same in Python; see ``kgrec.compiled``.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kgrec.compiled import load_library

_VERSION = 5
_FILE = "_ntriples.so"
_POINTER = ctypes.c_void_p
_LONG = ctypes.c_int64
_INT = ctypes.c_int32
_TEXT = ctypes.c_char_p

_RULES = (
    "label",
    "allowed",
    "denied",
    "inside",
    "outside",
    "type",
    "language",
    "drop blank",
    "keep lines",
    "keep labels",
)
_NUMBERS = (
    *("head", "relation", "tail", "graph", "label term", "label rank", "type term", "type name"),
    *(
        "attribute term",
        "attribute name",
        "attribute datatype",
        "attribute language",
        "line",
        "attribute line",
        "label attribute",
    ),
)
_TEXTS = ("terms", "names", "label text", "value", "languages", "predicates")
_COLUMNS = {name: number for number, name in enumerate((*_NUMBERS, *_TEXTS))}
COUNTS = ("statements", "quoted", "classless", "by predicate", "by namespace", "by blank", "blanks")

_SCHEMA_SIZE, _ARRAY_SIZE = 72, 80


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled reader, None where it cannot be loaded."""
    path = Path(__file__).with_name(_FILE)
    found = load_library(path, "kgrec_ntriples_version", _VERSION)
    if found is None:
        return None

    signatures: dict[str, tuple[Any, Sequence[Any]]] = {
        "new": (_POINTER, [_INT]),
        "free": (None, [_POINTER]),
        "rule": (_INT, [_POINTER, _INT, _TEXT, _LONG]),
        "feed": (_INT, [_POINTER, _POINTER, _LONG, _INT, _LONG, _LONG, _POINTER]),
        "counts": (None, [_POINTER, _POINTER]),
        "give": (_INT, [_POINTER, _INT, _POINTER, _POINTER]),
        "first": (_INT, [_POINTER, _POINTER, _POINTER, _LONG, _POINTER]),
    }
    named = {f"kgrec_ntriples_{name}": types for name, types in signatures.items()}
    named |= {
        "kgrec_keys_new": (_POINTER, []),
        "kgrec_keys_free": (None, [_POINTER]),
        "kgrec_keys_count": (_LONG, [_POINTER]),
        "kgrec_keys_number": (_INT, [_POINTER, _TEXT, _POINTER, _LONG, _POINTER]),
        "kgrec_keys_give": (_INT, [_POINTER, _POINTER, _POINTER]),
    }
    for name, (result, arguments) in named.items():
        function = getattr(found, name)
        function.restype = result
        function.argtypes = arguments

    return found


class Reader:
    """Statements to columns, in compiled code.

    Args:
        library: What ``library()`` returned.
        quads: Whether a line may name a graph.
        rules: Pairs of a rule's name and its text.
    """

    def __init__(self, library: ctypes.CDLL, quads: bool, rules: Sequence[tuple[str, str]]) -> None:
        self._library = library
        self._state = np.zeros(3, dtype=np.int64)
        self._own = library.kgrec_ntriples_new(quads)
        if not self._own:
            raise MemoryError("no memory for the reader of N-Triples.")

        for name, text in rules:
            encoded = text.encode("utf-8", "surrogatepass")
            _check(
                library.kgrec_ntriples_rule(self._own, _RULES.index(name), encoded, len(encoded))
            )

    def __del__(self) -> None:
        """Free the columns that were not given away."""
        if getattr(self, "_own", None):
            self._library.kgrec_ntriples_free(self._own)

    def feed(
        self,
        block: bytes | memoryview,
        line: int,
        *,
        trusted: bool = False,
        step: int = 1,
        odd: Callable[[bytes, int], None] | None = None,
    ) -> int:
        """Take the lines of a block and return the number of the line after it.

        Args:
            block: Whole lines.
            line: Number of the first one.
            trusted: Whether pyoxigraph wrote them; they are not checked again then.
            step: By how much the number grows from line to line.
            odd: Called with the bytes and the number of each line that is not plain beyond doubt.

        Raises:
            MemoryError: If there is not enough memory, or there are more terms than int32 can
                number.
        """
        start = np.frombuffer(block, dtype=np.uint8).ctypes.data
        at = 0

        while True:
            stopped = self._library.kgrec_ntriples_feed(
                self._own, start + at, len(block) - at, trusted, line, step, self._state.ctypes.data
            )
            if stopped != 1:
                _check(stopped)
                return int(self._state[2])

            begin, end, line = (int(number) for number in self._state)
            if odd is None:
                raise ValueError(
                    f"statement {line} of pyoxigraph's own text was not understood: "
                    f"{bytes(block[at + begin : at + end][:200])!r}"
                )

            odd(bytes(block[at + begin : at + end]), line)
            at = at + end
            line = line + step

    def counts(self) -> dict[str, int]:
        """Return how many statements there were, and how many of which kind were left out."""
        found = np.zeros(len(COUNTS), dtype=np.int64)
        self._library.kgrec_ntriples_counts(self._own, found.ctypes.data)
        return dict(zip(COUNTS, found.tolist(), strict=True))

    def column(self, name: str) -> pl.Series:
        """Move a column out, without a copy; asked for again, it is empty."""
        give = self._library.kgrec_ntriples_give
        return _moved(lambda *parts: give(self._own, _COLUMNS[name], *parts)).rename(name)


class Keys:
    """Distinct texts, numbered from 0 in the order of their first appearance, in compiled code.

    Args:
        library: What ``library()`` returned.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._own = library.kgrec_keys_new()
        if not self._own:
            raise MemoryError("no memory for the ids.")

    def __del__(self) -> None:
        """Free the texts."""
        if getattr(self, "_own", None):
            self._library.kgrec_keys_free(self._own)

    def __len__(self) -> int:
        """Return how many distinct texts there are."""
        return int(self._library.kgrec_keys_count(self._own))

    def number(self, cells: pl.Series) -> np.ndarray:
        """Return the number (int32) of each text of a column without empty cells."""
        numbers = np.empty(len(cells), dtype=np.int32)
        lengths = np.ascontiguousarray(cells.str.len_bytes().to_numpy(), dtype=np.uint32)
        text = cells.str.join("").item().encode() if len(cells) else b""
        _check(
            self._library.kgrec_keys_number(
                self._own, text, lengths.ctypes.data, len(cells), numbers.ctypes.data
            )
        )
        return numbers

    def take(self) -> pl.Series:
        """Move the texts out; they can no longer be numbered then."""
        give = self._library.kgrec_keys_give
        return _moved(lambda *parts: give(self._own, *parts)).rename("key")


def _moved(give: Callable[[int, int], int]) -> pl.Series:
    """Return a column that compiled code gives away, without a copy."""
    schema, array = (ctypes.create_string_buffer(size) for size in (_SCHEMA_SIZE, _ARRAY_SIZE))
    _check(give(ctypes.addressof(schema), ctypes.addressof(array)))
    return pl.Series(_Capsules(schema, array))


def _check(code: int) -> None:
    if code:
        raise MemoryError(
            "more terms than int32 can number." if code == -1 else "no memory for the triples."
        )


class _Capsules:
    """Arrow's PyCapsule interface over two structures."""

    def __init__(self, schema: Any, array: Any) -> None:
        self._structures = ((schema, b"arrow_schema"), (array, b"arrow_array"))

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = [_POINTER, _TEXT, _POINTER]
        schema, array = (
            make(ctypes.addressof(structure), name, None) for structure, name in self._structures
        )
        return schema, array


def first_stated(head: np.ndarray, relation: np.ndarray, tail: np.ndarray) -> np.ndarray | None:
    """Return which triples (int32 columns) are stated for the first time and are no loop.

    Returns None where this was not compiled.
    """
    found = library()
    if found is None or len(head) >= np.iinfo(np.uint32).max:
        return None

    columns = [np.ascontiguousarray(column, dtype=np.int32) for column in (head, relation, tail)]
    first = np.empty(len(head), dtype=np.bool_)
    _check(
        found.kgrec_ntriples_first(
            *(column.ctypes.data for column in columns), len(first), first.ctypes.data
        )
    )

    return first
