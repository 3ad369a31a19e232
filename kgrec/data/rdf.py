"""RDF, streamed through pyoxigraph, to facts. Nothing is ever fetched."""

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import IO, Protocol, cast, runtime_checkable

import numpy as np
import pyoxigraph as ox

from kgrec.data.facts import BLANK, Facts, attribute_frame, label_frame, type_frame
from kgrec.data.files import FilePath, bare_suffix, reading
from kgrec.data.interactions import Dropped
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

LABEL_PREDICATES = (
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
    "https://schema.org/name",
    "http://schema.org/name",
)
TYPE_PREDICATE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"

_DECLARATION = re.compile(rb"<!\s*DOCTYPE", re.IGNORECASE)
_PLACE = re.compile(r"^Parser error at [^:]*: ")
_BOM = b"\xef\xbb\xbf"


@runtime_checkable
class ByteStream(Protocol):
    """What statements are read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, all of them where it is negative."""


def read_rdf(
    path: FilePath, *, format: str | None = None, base: str | None = None, language: str = "en", labels: Sequence[str] = LABEL_PREDICATES
) -> Facts:
    """Return the facts of one RDF file.

    Literals become attributes, label predicates labels, ``rdf:type`` types; the locator is the 1-based ordinal of the statement.

    Raises:
        FormatError: If the file is not valid RDF in its format; the message names file and line.
    """
    suffix = bare_suffix(path) if format is None else format.lower()
    with reading(path) as stream:
        if stream.read(len(_BOM)) != _BOM:
            stream.seek(0)
        return parse_rdf(stream, str(path), FORMATS[suffix], base=base, language=language, labels=labels)


def parse_rdf(
    stream: ByteStream,
    name: str,
    format: ox.RdfFormat,
    *,
    base: str | None = None,
    language: str = "en",
    labels: Sequence[str] = LABEL_PREDICATES,
) -> Facts:
    """Return the facts of an open RDF stream; see ``read_rdf``."""
    if format == ox.RdfFormat.RDF_XML:
        stream = _GuardedXML(stream, name)
    collector = _Collector(language, labels)
    if not collector.read(_statements(stream, name, format, base)):
        raise FormatError(f"{name}: the file is empty. Give a file with at least one statement.")
    return collector.facts(name)


def _statements(stream: ByteStream, name: str, format: ox.RdfFormat, base: str | None) -> Iterator[ox.Quad]:
    try:
        yield from ox.parse(cast(IO[bytes], stream), format=format, base_iri=base)
    except FormatError:
        raise
    except SyntaxError as error:
        line = _line(error, format)
        where = f"{name}:{line}" if line else name
        reason = _PLACE.sub("", " ".join(str(error.msg).split()))[:300]
        raise FormatError(f"{where}: not valid {format.name}: {reason}. Correct the line, or name the format.") from None
    except UnicodeDecodeError:
        raise FormatError(f"{name}: the file is not UTF-8. Convert it to UTF-8.") from None
    except ValueError as error:
        raise FormatError(
            f"{name}: not valid {format.name}: {' '.join(str(error).split())[:300]}. Correct it, or name the base IRI."
        ) from None


def _line(error: SyntaxError, format: ox.RdfFormat) -> int:
    """Return the line to name, 0 where it is not known: the parser sees a line cut short only where the next one begins."""
    place = (error.lineno or 0, error.offset)
    cut = format in (ox.RdfFormat.N_TRIPLES, ox.RdfFormat.N_QUADS) and error.offset == 1
    return place[0] - 1 if cut and place == (error.end_lineno, error.end_offset) and place[0] > 1 else place[0]


class _GuardedXML:
    """Refuses document type declarations, whose entities can exhaust memory, before the parser sees them."""

    def __init__(self, stream: ByteStream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._tail = b""

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        if _DECLARATION.search(self._tail + chunk):
            raise FormatError(f"{self._name}: has a document type declaration, which kgrec does not read. Convert the file to Turtle.")
        self._tail = (self._tail + chunk)[-64:]
        return chunk


class _Collector:
    """Gathers statements over a dictionary of terms."""

    def __init__(self, language: str, labels: Sequence[str]) -> None:
        self._language = language.lower()
        self._label_rank = {predicate: rank for rank, predicate in enumerate(labels)}
        self._terms: dict[str, int] = {}
        self._blank: dict[str, str] = {}
        self._triples = array("q")
        self._labels: list[tuple[int, str, int]] = []
        self._types: list[tuple[int, str]] = []
        self._attributes: list[tuple[int, str, str, str, str]] = []
        self._quoted = 0

    def read(self, statements: Iterator[ox.Quad]) -> int:
        """Take in the statements and return how many there were."""
        terms, triples = self._terms, self._triples
        ordinal = 0
        for ordinal, (subject, predicate, value, _) in enumerate(statements, start=1):
            head = self._term(subject)
            name = predicate.value
            if isinstance(value, ox.Literal):
                self._literal(head, name, value)
            elif isinstance(value, ox.Triple):
                self._quoted += 1
            elif name == TYPE_PREDICATE:
                self._typed(head, value)
            else:
                triples.extend((head, terms.setdefault(name, len(terms)), self._term(value), ordinal))
        return ordinal

    def _term(self, node: ox.NamedNode | ox.BlankNode) -> int:
        key = node.value
        if isinstance(node, ox.BlankNode):
            key = self._blank.setdefault(key, f"{BLANK}b{len(self._blank)}")
        return self._terms.setdefault(key, len(self._terms))

    def _typed(self, head: int, value: ox.NamedNode | ox.BlankNode) -> None:
        if isinstance(value, ox.NamedNode):
            self._types.append((head, value.value))

    def _literal(self, head: int, name: str, literal: ox.Literal) -> None:
        language = (literal.language or "").lower()
        if name in self._label_rank:
            near = 0 if language.split("-")[0] == self._language else 1 if not language else 2
            self._labels.append((head, literal.value, near * len(self._label_rank) + self._label_rank[name]))
        else:
            self._attributes.append((head, name, literal.value, literal.datatype.value, language))

    def facts(self, name: str) -> Facts:
        columns = np.array(self._triples, dtype=np.int64).reshape(-1, 4)
        labels = label_frame(self._labels)
        dropped = (Dropped("triples", "a statement about a statement", self._quoted),) if self._quoted else ()
        return Facts(
            (name,),
            list(self._terms),
            head=columns[:, 0],
            relation=columns[:, 1],
            tail=columns[:, 2],
            locator=columns[:, 3],
            labels=labels,
            relation_labels=labels,
            types=type_frame(self._types),
            attributes=attribute_frame(self._attributes),
            dropped=dropped,
        )
