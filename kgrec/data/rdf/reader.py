"""RDF in every serialization, streamed through pyoxigraph, to facts. Nothing is ever fetched."""

import codecs
import io
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, SupportsIndex, cast

import numpy as np
import pyoxigraph as ox

from kgrec.data.graphs.assemble import RawTriples
from kgrec.data.io.compression import ByteStream, Pieces
from kgrec.data.io.files import FilePath, bare_suffix, reading
from kgrec.data.io.prefetch import overlapped
from kgrec.data.rdf import ntriples
from kgrec.data.rdf.collect import CompiledCollector, RdfOptions, collector, serialized, too_large
from kgrec.data.rdf.contexts import NAMED, with_contexts
from kgrec.data.rdf.json_lines import in_lines, read_json_lines
from kgrec.data.rdf.xml_guard import guarded
from kgrec.data.rdf.xml_normalize import NO_LANGUAGE, Plain
from kgrec.data.records.report import Skipped
from kgrec.errors import FormatError

FORMATS = {
    "ttl": ox.RdfFormat.TURTLE,
    "turtle": ox.RdfFormat.TURTLE,
    "nt": ox.RdfFormat.N_TRIPLES,
    "ntriples": ox.RdfFormat.N_TRIPLES,
    "nq": ox.RdfFormat.N_QUADS,
    "nquads": ox.RdfFormat.N_QUADS,
    "trig": ox.RdfFormat.TRIG,
    "rdf": ox.RdfFormat.RDF_XML,
    "xml": ox.RdfFormat.RDF_XML,
    "owl": ox.RdfFormat.RDF_XML,
    "jsonld": ox.RdfFormat.JSON_LD,
}

_BOM = codecs.BOM_UTF8
_START = 1 << 16
_PIECE = 1 << 20
_LONGEST_LINE = 1 << 20
_SAMPLED_LINES = 50
_SPACE_AND_COMMENTS = re.compile(rb"(?:\s++|#[^\n]*+(?:\n|$))*+")
_XML = re.compile(
    rb"\s*+(?:<\?xml[\s?]|<!DOCTYPE\s|(?:<!--(?>.*?-->)\s*+)*+<[A-Za-z_][\w.-]*+(?::[\w.-]++)?\s[^>]*?xmlns)",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_PIECE, _DEEPEST = 1 << 20, 500
_JSON = re.compile(rb"\s*+(?:\{\s*+\"|\[\s*+\{\s*+\")")
_LD = re.compile(rb"\"@(?:context|id|graph|type|value)\"")
_DIRECTIVE = re.compile(
    rb"@(?:prefix|base)\s|(?:prefix|base)\s++(?:[\w.-]*+:\s*+)?<", re.IGNORECASE
)
_CONTEXT = re.compile(rb"\"@context\"\s*+:\s*+(?:\[[^\]\"]*+)?\"([^\"]*+)\"")
_PREFIXES = (
    re.compile(rb"(?i:@prefix|\bprefix)\s+([\w.-]*):\s*<([^<>\s]*)>"),
    re.compile(rb"xmlns:([\w.-]+)\s*=\s*[\"']([^\"'\s]*)[\"']"),
    re.compile(rb"\"([\w.-]+)\"\s*:\s*\"([a-z]+:[^\"\s]*[/#:])\""),
)
_STATEMENT = re.compile(rb"\s*(?:<[^<>]*>|_:\S+)\s*<[^<>]*>\s*(?:<[^>]*>|_:\S+|\".*\"\S*)\s*\.\s*")
_TURTLE = (ox.RdfFormat.TURTLE, ox.RdfFormat.TRIG)
_REMOTE = "LoadDocumentCallback"
_OPTIONS = RdfOptions()


def read_rdf(
    path: FilePath, *, format: str | None = None, options: RdfOptions = _OPTIONS
) -> RawTriples:
    """Return the facts of one RDF file.

    Literals become attributes, label predicates labels, ``rdf:type`` types; the locator is the line
    in N-Triples and N-Quads, else the 1-based ordinal of the statement.

    Args:
        path: The file, plain or compressed.
        format: An extension of ``FORMATS``; found from name and content where None.
        options: How to read.

    Raises:
        FormatError: If the file is not valid RDF in its format; the message names file and line.
    """
    with reading(path, options.limits) as raw:
        stream, start = _started(raw)
        known = _format(format, path, start)
        if known is None:
            raise FormatError(f"{path}: is in no RDF format that kgrec knows. Name the format.")

        base = _base(path, options)
        if known == ox.RdfFormat.JSON_LD and NAMED.search(start):
            return _with_known_contexts(stream, path, options, base, start)
        if known == ox.RdfFormat.JSON_LD and in_lines(start):
            return read_json_lines(stream, str(path), options, base, lambda document: document)

        try:
            return parse_rdf(stream, str(path), known, options, base=base, again=path)
        except FormatError as error:
            if format is not None or known not in _TURTLE or not looks_lined(start):
                raise

            failed = error

    if options.on_error != "skip":
        raise FormatError(
            f"{failed} It looks like N-Triples: format=nt with on_error=skip leaves such lines out."
        )

    return read_rdf(path, format="nt", options=options)


def _with_known_contexts(
    stream: ByteStream, path: FilePath, options: RdfOptions, base: str, start: bytes
) -> RawTriples:
    """Return the facts of JSON-LD whose contexts are named by their addresses."""
    name = str(path)
    folder = Path(path).absolute().parent
    named = NAMED.search(start)
    line = start.count(b"\n", 0, named.start()) + 1 if named else 1

    def complete(document: object) -> object:
        return with_contexts(document, f"{name}:{line}", options.contexts, folder)

    if in_lines(start):
        return read_json_lines(stream, name, options, base, complete)

    text = b"".join(_shallow(stream, name))
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{name}: not valid JSON: {error}. Correct it.") from None

    whole = Pieces(iter([json.dumps(complete(document)).encode()]))
    return parse_rdf(whole, name, ox.RdfFormat.JSON_LD, options, base=base)


def statements_of(raw: ByteStream, path: FilePath, options: RdfOptions) -> Iterator[ox.Quad]:
    """Yield the statements of an open RDF file as they are; blank nodes are its own.

    Raises:
        FormatError: If the file is not valid RDF.
    """
    stream, start = _started(raw)
    known = format_of(path, start)
    if known is None:
        raise FormatError(f"{path}: is in no RDF format that kgrec knows.")

    base = _base(path, options)
    own: dict[str, ox.BlankNode] = {}

    def apart(term: Any) -> Any:
        if isinstance(term, ox.BlankNode):
            return own.setdefault(term.value, ox.BlankNode())
        return term

    with _explained(str(path), known, options, base, path):
        for quad in _parsed(stream, str(path), known, base):
            subject, predicate, value, graph = quad
            yield ox.Quad(apart(subject), predicate, apart(value), apart(graph))


def prefixes_in(start: bytes) -> dict[str, str]:
    """Return the prefixes that the first bytes of a file declare, in any RDF syntax.

    >>> prefixes_in(b"@prefix a: <http://a.org/> . PREFIX b: <http://b.org/>")
    {'a': 'http://a.org/', 'b': 'http://b.org/'}
    """
    found = (groups for pattern in _PREFIXES for groups in pattern.findall(start))
    return {name.decode(): iri.decode("utf-8", "replace") for name, iri in found}


def looks_lined(start: bytes) -> bool:
    """Return whether most first lines have the shape of N-Triples, valid or not."""
    lines = [line for line in start.split(b"\n")[:_SAMPLED_LINES] if line.strip()]
    lines = [line for line in lines[:-1] or lines if not line.lstrip().startswith(b"#")]
    shaped = sum(bool(_STATEMENT.match(line)) for line in lines)
    return len(lines) > 1 and shaped >= 0.9 * len(lines)


def _base(path: FilePath, options: RdfOptions) -> str:
    return options.base or Path(path).absolute().as_uri()


def _started(raw: ByteStream) -> tuple[Pieces, bytes]:
    """Return the stream without its byte-order mark, and its first bytes."""
    start = raw.read(_START)
    pieces = iter(lambda: raw.read(_PIECE), b"")
    return Pieces(itertools.chain([start.removeprefix(_BOM)], pieces)), start


def starting(path: FilePath, options: RdfOptions = _OPTIONS) -> bytes:
    """Return the first bytes of a file, unpacked, for ``format_of``."""
    with reading(path, options.limits) as raw:
        return raw.read(_START)


def format_of(path: FilePath, start: bytes) -> ox.RdfFormat | None:
    """Return the format of a file by its name and its first bytes, None where it is no RDF.

    Where they plainly disagree (XML, JSON), the content counts; what a name says within the Turtle
    family stands.

    >>> format_of("a.ttl", b"<?xml version='1.0'?>").name
    'RDF/XML'
    >>> format_of("a", b"<x:a> <x:b> <x:c> .").name
    'N-Triples'
    """
    named = FORMATS.get(bare_suffix(path))
    found = sniffed(start)
    plain = (ox.RdfFormat.RDF_XML, ox.RdfFormat.JSON_LD)
    if named is None or named in plain or found in plain:
        return found or named

    return named


def sniffed(start: bytes) -> ox.RdfFormat | None:
    """Return the RDF format that the first bytes of a file show, None where they show none."""
    text = start.removeprefix(_BOM)
    if text.startswith((codecs.BOM_UTF16_LE + b"<\0", codecs.BOM_UTF16_BE + b"\0<")) or _XML.match(
        text
    ):
        return ox.RdfFormat.RDF_XML

    if _JSON.match(text):
        if _LD.search(text):
            return ox.RdfFormat.JSON_LD
        return None

    before = _SPACE_AND_COMMENTS.match(text)
    if before:
        rest = text[before.end() :]
    else:
        rest = text

    if _DIRECTIVE.match(rest):
        return ox.RdfFormat.TRIG
    if rest.startswith((b"<", b"_:")):
        return _lined(rest) or _turtle(rest)

    return None


def _lined(text: bytes) -> ox.RdfFormat | None:
    """Return which of the syntaxes of one statement a line the first lines are in, None where in
    neither.
    """
    lines = text.split(b"\n")[:_SAMPLED_LINES]
    sample = b"\n".join(lines if len(lines) == 1 else lines[:-1])
    return next((format for format in ntriples.FORMATS if _holds(sample, format)), None)


def _holds(sample: bytes, format: ox.RdfFormat) -> bool:
    try:
        return bool(list(ox.parse(sample, format=format)))
    except (SyntaxError, ValueError):
        return False


def _turtle(text: bytes) -> ox.RdfFormat | None:
    """Return TriG, of which Turtle is a part, where the text begins with a statement of it."""
    try:
        found = next(ox.parse(text, format=ox.RdfFormat.TRIG, base_iri="file:///"), None)
    except (SyntaxError, ValueError):
        return None

    if found is None:
        return None

    return ox.RdfFormat.TRIG


def parse_rdf(
    stream: ByteStream,
    name: str,
    format: ox.RdfFormat,
    options: RdfOptions = _OPTIONS,
    *,
    base: str | None = None,
    again: FilePath | None = None,
) -> RawTriples:
    """Return the facts of an open RDF stream; see ``read_rdf``.

    Args:
        stream: Bytes without a byte-order mark, unless they are XML.
        name: Of the source.
        format: Of the stream.
        options: How to read.
        base: IRI that relative IRIs are resolved against.
        again: File to read a second time for the line of an error that comes without one.
    """
    if format in ntriples.FORMATS:
        return ntriples.read_lines(stream, name, format, options)

    with _explained(name, format, options, base, again):
        return gather(_parsed(stream, name, format, base), name, options, format.name)


def gather(
    statements: Iterator[ox.Quad], name: str, options: RdfOptions = _OPTIONS, format: str = ""
) -> RawTriples:
    """Return the facts of statements; the locator is the 1-based ordinal.

    Args:
        statements: In their order.
        name: Of the source.
        options: How to read.
        format: Of the source, in words.
    """
    gathered = collector(options, quads=True)
    ordinal = 1

    def take(text: bytes) -> None:
        nonlocal ordinal
        ordinal = cast(CompiledCollector, gathered).taken(text, ordinal)

    if isinstance(gathered, CompiledCollector):
        overlapped(iter(lambda: serialized(statements), b""), take)
    else:
        while count := gathered.feed(statements, ordinal):
            ordinal += count

    return gathered.facts(name, format, Skipped(name))


def _parsed(
    stream: ByteStream, name: str, format: ox.RdfFormat, base: str | None
) -> Iterator[ox.Quad]:
    if format == ox.RdfFormat.JSON_LD:
        stream = Pieces(_shallow(stream, name))
    if format != ox.RdfFormat.RDF_XML:
        return ox.parse(cast(IO[bytes], stream), format=format, base_iri=base)
    readable, plain = guarded(stream, name, base)
    return _without_mark(ox.parse(cast(IO[bytes], readable), format=format, base_iri=base), plain)


def _shallow(stream: ByteStream, name: str) -> Iterator[bytes]:
    """Yield the bytes of JSON in pieces.

    Objects within objects without end would exhaust the parser's stack, and end the process.
    """
    depth = 0
    line = 1
    quoted = False
    escaped = False

    while piece := stream.read(_PIECE):
        bare = _ESCAPED.sub(b"", b"\\" + piece if escaped else piece)
        escaped = bare.endswith(b"\\")
        signs = np.frombuffer(bare, np.uint8)
        outside = (np.cumsum(signs == ord('"')) + quoted) % 2 == 0
        opens = (signs == ord("{")) | (signs == ord("["))
        closes = (signs == ord("}")) | (signs == ord("]"))
        depths = depth + np.cumsum(np.where(outside, opens.astype(np.int64) - closes, 0))
        if len(depths):
            if depths.max() > _DEEPEST:
                line += bare.count(b"\n", 0, int((depths > _DEEPEST).argmax()))
                raise FormatError(
                    f"{name}:{line}: objects within objects, more than {_DEEPEST} deep. Give "
                    "flatter JSON-LD."
                )

            depth = int(depths[-1])
            quoted = not outside[-1]

        line += piece.count(b"\n")
        yield piece


def _without_mark(statements: Iterator[ox.Quad], plain: Plain) -> Iterator[ox.Quad]:
    """Yield the statements of RDF/XML, text without the mark for ``xml:lang=""``, which pyoxigraph
    does not take.
    """
    for quad in statements:
        if (
            plain.marked
            and isinstance(quad.object, ox.Literal)
            and quad.object.language == NO_LANGUAGE
        ):
            yield ox.Quad(
                quad.subject, quad.predicate, ox.Literal(quad.object.value), quad.graph_name
            )
        else:
            yield quad


@contextmanager
def _explained(
    name: str, format: ox.RdfFormat, options: RdfOptions, base: str | None, again: FilePath | None
) -> Iterator[None]:
    """Turn what pyoxigraph raises into one clear line."""
    try:
        yield
    except FormatError:
        raise
    except MemoryError:
        raise too_large(name) from None
    except (SyntaxError, ValueError) as error:
        if isinstance(error, SyntaxError):
            line = error.lineno or 0
        else:
            line = 0

        if not line and again is not None:
            line = _line_of_error(again, format, base, options)

        if line:
            where = f"{name}:{line}"
        else:
            where = name

        if _REMOTE in str(error):
            raise FormatError(
                f"{where}: a remote @context, and kgrec fetches nothing. Put the context itself "
                "into the file."
            ) from None

        if options.on_error == "skip":
            further = " Only N-Triples and N-Quads can go on after a bad line."
        else:
            further = ""

        raise FormatError(
            f"{where}: not valid {format.name}: {ntriples.reason(error)}. Correct it, or name "
            f"the format.{further}"
        ) from None


class _Traced:
    """Statements of a file that is handed to the parser line by line, so that it is known how far
    it got.
    """

    def __init__(self, raw: ByteStream, name: str, format: ox.RdfFormat, base: str | None) -> None:
        self.line = 0
        self._new = True
        self._source = io.BufferedReader(_started(raw)[0])
        self.statements = _parsed(Pieces(self._lines()), name, format, base)

    def _lines(self) -> Iterator[bytes]:
        while text := self._source.readline(_LONGEST_LINE):
            self.line += self._new
            self._new = text.endswith(b"\n")
            yield text


def _line_of_error(
    path: FilePath, format: ox.RdfFormat, base: str | None, options: RdfOptions
) -> int:
    """Return the line at which the file cannot be parsed any further, 0 where that is not known."""
    if format == ox.RdfFormat.JSON_LD:
        start = starting(path, options)
        found = _CONTEXT.search(start)
        if found:
            return start.count(b"\n", 0, found.start()) + 1

        return 0

    with reading(path, options.limits) as raw:
        traced = _Traced(raw, str(path), format, base)
        try:
            for _ in traced.statements:
                pass
        except (SyntaxError, ValueError):
            return traced.line

    return 0


def _format(format: str | None, path: FilePath, start: bytes) -> ox.RdfFormat | None:
    """Return the format that is named, else what name and content say."""
    if format is not None:
        return FORMATS[format.lower()]
    return format_of(path, start)


def line_of(
    source: FilePath, ordinal: SupportsIndex, *, format: str | None = None, base: str | None = None
) -> int | None:
    """Return the line at which a triple stands, by reading the file a second time up to it.

    Args:
        source: The file.
        ordinal: The triple's locator: its 1-based ordinal, which in N-Triples and N-Quads is the
            line itself; negative ones too.
        format: An extension of ``FORMATS``; found from name and content where None.
        base: IRI that relative IRIs are resolved against; the file's own where None.

    Returns:
        The line where the triple is complete; None for JSON-LD, whose statements come in no order
        of lines, and where there are not so many.

    Raises:
        FormatError: If the file cannot be read up to there.
    """
    options, wanted = RdfOptions(base=base), abs(int(ordinal))
    with reading(source, options.limits) as raw:
        start = raw.read(_START)
        known = _format(format, source, start)

    if known in ntriples.FORMATS:
        return wanted
    if known is None or known == ox.RdfFormat.JSON_LD or not wanted:
        return None

    with (
        reading(source, options.limits) as raw,
        _explained(str(source), known, options, None, None),
    ):
        traced = _Traced(raw, str(source), known, _base(source, options))
        found = next(itertools.islice(traced.statements, wanted - 1, None), None)
        if found is None:
            return None

        return traced.line
