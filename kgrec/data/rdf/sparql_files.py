"""SPARQL over files: a query to graphs on disk, for what no setting of the reader covers."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from kgrec.data.graphs.assemble import RawTriples
from kgrec.data.io.compression import Pieces
from kgrec.data.io.files import FilePath, existing, read_text, reading
from kgrec.data.io.writing import write_file
from kgrec.data.rdf.collect import RdfOptions
from kgrec.data.rdf.ntriples import read_lines, reason
from kgrec.data.rdf.reader import statements_of
from kgrec.data.rdf.sparql import FORMAT, own_cache
from kgrec.data.rdf.sparql_pages import named_words, paged
from kgrec.data.records.report import Dropped
from kgrec.errors import ConfigError, FormatError, KgrecError

_log = logging.getLogger("kgrec.data")

_NODES = (ox.NamedNode, ox.BlankNode)


@dataclass(frozen=True, slots=True)
class FileQuery:
    """A query to graph files, as a source of ``read_triples``.

    The query is a CONSTRUCT, or a SELECT whose variables are head, relation and tail in this order,
    and a fourth for the named graph. The files are loaded into a store in memory, every named graph
    of them in the default graph too. Nothing is fetched: SERVICE is refused.

    Attributes:
        files: RDF in any syntax.
        query: The text of the query.
        name: Of the query, for messages and provenance.
        cache: Folder of the answers; None keeps none.
        refresh: Whether to ask again for what is in the cache.
        max_rows: More solutions than these are refused.

    Raises:
        ConfigError: If there is no file, or the query none that can be used.
    """

    files: tuple[str, ...]
    query: str = field(repr=False)
    name: str = "the query"
    cache: FilePath | None = field(default_factory=own_cache)
    refresh: bool = False
    max_rows: int = 50_000_000

    def __post_init__(self) -> None:
        """Check the query."""
        if not self.files:
            raise ConfigError(f"{self.name}: no graph to ask. Name a file.")

        paged(self.query, self.name)
        if "SERVICE" in named_words(self.query):
            raise ConfigError(
                f"{self.name}: SERVICE would ask another endpoint, and kgrec fetches nothing here. "
                "Ask that one with --sparql."
            )


def file_query(files: tuple[str, ...], path: FilePath, settings: Mapping[str, str]) -> FileQuery:
    """Return the query in a file, with settings ``cache``, ``refresh`` and ``max_rows`` as text.

    Raises:
        MissingFileError: If the file is not there.
        ConfigError: If a setting is unknown.
    """
    found: dict[str, Any] = {}
    for name, text in settings.items():
        if name == "cache":
            found[name] = text
        elif name == "refresh" and text.lower() in ("true", "false"):
            found[name] = text.lower() == "true"
        elif name == "max_rows" and text.isascii() and text.isdigit():
            found[name] = int(text)
        else:
            raise ConfigError(
                f"{name}={text!r} is no setting of a query to files. Known: cache=DIR, "
                "refresh=true, max_rows=N."
            )

    return FileQuery(files, read_text(path), name=existing(path).name, **found)


def read_file_query(query: FileQuery, options: RdfOptions) -> RawTriples:
    """Return the facts that a query finds in files; the locator is the ordinal of the statement.

    Raises:
        FormatError: If a file cannot be read, or the query fails on it.
    """
    known = None if query.cache is None else _path(query)
    if known is not None and known.is_file() and not query.refresh:
        _log.info("%s: an answer kept before", query.name)
        quads = known.read_bytes()
    else:
        quads = _answered(query, options)
        if known is not None:
            known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(known, lambda file: file.write_bytes(quads))

    head, _, body = quads.partition(b"\n")
    source = f"{', '.join(query.files)}, {query.name}"
    facts = read_lines(Pieces(iter([body])), source, ox.RdfFormat.N_QUADS, options)
    unfit = int(head.rpartition(b" ")[2])
    why = f"a head, relation or tail that is unbound, or a text, from {query.name}"
    dropped = (Dropped("statements", why, unfit),) if unfit else ()
    return replace(facts, formats=(FORMAT,), dropped=(*facts.dropped, *dropped))


def _path(query: FileQuery) -> Path:
    """Return where the answer is kept: by the query, and what the files are."""
    key = hashlib.sha256(query.query.strip().encode())
    for file in query.files:
        about = existing(file).stat()
        known = f"\0{Path(file).absolute()}\0{about.st_size}\0{about.st_mtime_ns}"
        key.update(known.encode("utf-8", "surrogatepass"))

    assert query.cache is not None
    return Path(query.cache).expanduser() / f"{key.hexdigest()[:32]}.nq"


def _answered(query: FileQuery, options: RdfOptions) -> bytes:
    """Return a line with how many solutions are no statement, and N-Quads."""
    store = ox.Store()
    for file in query.files:
        with reading(file, options.limits) as raw:
            store.bulk_extend(statements_of(raw, file, options))

    unfit = 0

    def found() -> Iterator[ox.Quad]:
        nonlocal unfit
        for count, quad in enumerate(_found(store, query), start=1):
            if count > query.max_rows:
                raise FormatError(
                    f"{query.name}: more than {query.max_rows:,} solutions. Ask for less, or raise "
                    "max_rows."
                )
            if quad is None:
                unfit += 1
            else:
                yield quad

    body = ox.serialize(found(), format=ox.RdfFormat.N_QUADS) or b""
    return f"# kgrec unfit {unfit}\n".encode() + body


def _found(store: ox.Store, query: FileQuery) -> Iterator[ox.Quad | None]:
    """Yield what the query gives, None for a solution that is no statement."""
    answer: Any = None
    try:
        answer = store.query(query.query, use_default_graph_as_union=True)
        if isinstance(answer, ox.QueryTriples):
            for triple in answer:
                yield ox.Quad(triple.subject, triple.predicate, triple.object, None)

            return

        count = len(answer.variables)
        if count not in (3, 4):
            raise ConfigError(
                f"{query.name}: {count} variables. Select three: head, relation, tail; a fourth is "
                "the graph."
            )

        for row in answer:
            yield _statement(row[0], row[1], row[2], row[3] if count > 3 else None)
    except (SyntaxError, ValueError) as error:
        if isinstance(error, KgrecError):
            raise
        raise FormatError(f"{query.name}: {reason(error)}. Correct the query.") from None
    finally:
        del answer  # it must end in this thread, and an error's traceback would keep it


def _statement(head: Any, relation: Any, tail: Any, graph: Any) -> ox.Quad | None:
    fit = isinstance(head, _NODES) and isinstance(relation, ox.NamedNode)
    if not fit or not isinstance(tail, (*_NODES, ox.Literal)):
        return None

    return ox.Quad(head, relation, tail, graph if isinstance(graph, _NODES) else None)
