"""JSON Lines of JSON-LD: a document on each line, whose number is where its statements are from."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyoxigraph as ox

from kgrec.data.graphs.assemble import RawTriples
from kgrec.data.io.compression import ByteStream
from kgrec.data.rdf.collect import RdfOptions, collector
from kgrec.data.records.report import Skipped
from kgrec.errors import FormatError

FORMAT = "JSON-LD lines"

_LONGEST = 1 << 24
_DEEPEST = 500


def in_lines(start: bytes) -> bool:
    """Return whether the first bytes of a file are a document on each line.

    >>> in_lines(b'{"@id": "a"}' + bytes([10]) + b'{"@id": "b"}'), in_lines(b'{"@id": "a"}')
    (True, False)
    """
    lines = [line.strip() for line in start.split(b"\n")]
    lines = [line for line in lines if line]
    if len(lines) < 2 or not all(line.startswith(b"{") for line in lines[:2]):
        return False

    try:
        return isinstance(json.loads(lines[0]), dict)
    except (ValueError, RecursionError):
        return False


def read_json_lines(
    stream: ByteStream,
    name: str,
    options: RdfOptions,
    base: str,
    complete: Callable[[object], object],
) -> RawTriples:
    """Return the facts of documents of JSON-LD, one a line; each has blank nodes of its own.

    Args:
        stream: Bytes.
        name: Of the source.
        options: How to read; ``on_error="skip"`` leaves out lines that are not valid.
        base: IRI that relative IRIs are resolved against.
        complete: Puts contexts into a document.

    Raises:
        FormatError: If a line is not valid; the message names it.
    """
    gathered = collector(options, quads=True)
    skipped = Skipped(name)
    source = io.BufferedReader(stream) if isinstance(stream, io.RawIOBase) else stream
    for number, line in enumerate(_lines(source), start=1):
        if not line.strip():
            continue

        try:
            statements = list(_statements(line, number, base, complete))
        except (ValueError, SyntaxError, RecursionError) as error:
            if options.on_error != "skip":
                reason = " ".join(str(error).split())[:200]
                raise FormatError(
                    f"{name}:{number}: not valid JSON-LD: {reason}. Correct it, or leave such "
                    "lines out with on_error=skip."
                ) from None

            skipped.add(number)
            continue

        gathered.take(statements, number)

    return gathered.facts(name, FORMAT, skipped)


def _lines(source: ByteStream) -> Iterator[bytes]:
    """Yield the lines of a stream."""
    rest = b""
    while piece := source.read(1 << 20):
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST:
            raise ValueError(f"a line of more than {_LONGEST:,} bytes")
        yield from whole

    yield rest


def _statements(
    line: bytes, number: int, base: str, complete: Callable[[object], object]
) -> Iterator[ox.Quad]:
    if line.count(b"{") > _DEEPEST and _depth(line) > _DEEPEST:
        raise ValueError(f"objects within objects, more than {_DEEPEST} deep")

    document = json.dumps(complete(json.loads(line))).encode()
    for quad in ox.parse(document, format=ox.RdfFormat.JSON_LD, base_iri=base):
        subject, predicate, value, graph = quad
        yield ox.Quad(_own(subject, number), predicate, _own(value, number), _own(graph, number))


def _depth(line: bytes) -> int:
    depth = deepest = 0
    for sign in line:
        depth += (sign in b"{[") - (sign in b"}]")
        deepest = max(deepest, depth)

    return deepest


def _own(term: Any, number: int) -> Any:
    if isinstance(term, ox.BlankNode):
        return ox.BlankNode(f"l{number}x{term.value}")
    return term
