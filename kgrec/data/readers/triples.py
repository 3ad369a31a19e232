"""Knowledge graphs from files, folders and other libraries' objects: ``read_triples``."""

import logging
import sys
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyoxigraph as ox

from kgrec.data.graphs.assemble import RawTriples, as_raw, assemble, label_frame
from kgrec.data.io.compression import MAX_BYTES, MAX_RATIO, Limits
from kgrec.data.io.databases import is_address
from kgrec.data.io.files import FilePath, bare_suffix, existing, listed
from kgrec.data.rdf.collect import LABEL_PREDICATES, RdfOptions
from kgrec.data.rdf.reader import FORMATS, format_of, gather, read_rdf, starting
from kgrec.data.rdf.sparql import SparqlQuery, read_sparql
from kgrec.data.records.report import dropped_rows
from kgrec.data.records.triples import Triples
from kgrec.data.tables.delimited import Table, as_ids, read_table
from kgrec.data.tables.partitions import PARQUET, is_partitioned, part_files
from kgrec.data.tables.roles import TRIPLE, header_words, triple_roles
from kgrec.errors import ConfigError, FormatError, nearest
from kgrec.process import refuse_after_fork

_log = logging.getLogger("kgrec.data")

_TEXT = ("tsv", "csv", "kg", "txt", "text")
_TABLES = ("tsv", "csv", "kg", "parquet")
_UNCLEAR = ("", "txt", "data", "dat", "json")
_RDFLIB_DEFAULT = "urn:x-rdflib:default"
# A first row with one of these is a header.
_HEADERS = frozenset(
    (
        *("head", "head_id", "subject", "source", "relation", "relation_id", "predicate"),
        *("tail", "tail_id", "object", "target"),
    )
)
_WORDS = header_words(*TRIPLE)


def read_triples(
    source: object,
    *,
    format: str | None = None,
    base: str | None = None,
    language: str = "en",
    labels: Sequence[str] = LABEL_PREDICATES,
    predicates: Sequence[str] = (),
    without_predicates: Sequence[str] = (),
    namespaces: Sequence[str] = (),
    without_namespaces: Sequence[str] = (),
    literals: str = "attributes",
    same_as: str = "keep",
    blank: str = "keep",
    separator: str | None = None,
    head: str | None = None,
    relation: str | None = None,
    tail: str | None = None,
    on_error: str = "stop",
    max_unpacked: int = MAX_BYTES,
    max_ratio: int = MAX_RATIO,
) -> Triples:
    """Read a knowledge graph.

    RDF (Turtle, N-Triples, N-Quads, TriG, RDF/XML, JSON-LD) is streamed; literals become
    attributes, label predicates labels and ``rdf:type`` types. Text is three columns, head relation
    tail, with or without a header: TSV, CSV, RecBole ``.kg``, KGAT's ``kg_final.txt``. All may be
    compressed: gzip, bzip2, xz, or zstd (``pip install 'kgrec[zstd]'``). Nothing is ever fetched
    but the answers to a ``SparqlQuery``.

    Rules on predicates and namespaces are IRIs; one that ends in "/", "#" or ":" stands for every
    IRI that begins so. What they leave out is counted.

    Args:
        source: A file; a folder, whose graph files are read in order of name; several of these,
            which become one graph; a polars or pandas frame of three columns; a ``SparqlQuery``,
            whose answers are asked for; an ``rdflib.Graph`` or ``rdflib.Dataset``; a networkx graph
            whose edges carry ``relation`` (or a text key). A networkx node's key is its attribute
            ``entity``, else the node as text; nodes of kind "user" are left out.
        format: An extension such as "ttl", where neither the file's own nor its content says.
        base: IRI that relative IRIs are resolved against; the file's own where None.
        language: Preferred language of labels; labels without a language come next, then any.
        labels: IRIs of the predicates that give labels, the preferred first.
        predicates: Only statements with these predicates are read, besides labels and types; all
            where empty.
        without_predicates: Statements with these predicates are left out.
        namespaces: Only statements between entities with these IRIs are read; all where empty.
        without_namespaces: Statements that concern entities with these IRIs are left out.
        literals: "attributes", or "entities": numbers become ranges, dates years, short texts that
            entities share categories.
        same_as: "keep" ``owl:sameAs`` as a relation, or "merge" the entities that it joins.
        blank: "keep" blank nodes, each file's own apart, or "drop" the statements with one.
        separator: Between the cells of text; found where None.
        head: Column of the heads in tables; found by its name where None.
        relation: Column of the relations, likewise.
        tail: Column of the tails, likewise.
        on_error: For text, N-Triples and N-Quads: "stop" at a malformed line, or "skip" it, count
            it and list the first.
        max_unpacked: Most bytes that a compressed file may unpack to.
        max_ratio: Most bytes that it may unpack to per byte of its own, beyond the first 16 MiB.

    Raises:
        ConfigError: If a setting is unknown.
        MissingFileError: If a file is not there.
        FormatError: If a file cannot be read; the message names file and line.
        FetchError: If a SPARQL endpoint does not answer.
    """
    refuse_after_fork("Reading triples")
    if format is not None and format.lower() not in (*FORMATS, *_TEXT):
        raise ConfigError(
            f"format: {format!r} is unknown.{nearest(format, (*FORMATS, *_TEXT))} Known: "
            f"{', '.join((*FORMATS, *_TEXT))}."
        )
    if isinstance(source, Triples):
        return source

    options = RdfOptions(
        base=base,
        language=language,
        labels=_rules(labels),
        predicates=_rules(predicates),
        without_predicates=_rules(without_predicates),
        namespaces=_rules(namespaces),
        without_namespaces=_rules(without_namespaces),
        blank=blank,
        keep_lines=literals == "entities",
        on_error=on_error,
        limits=Limits(max_unpacked, max_ratio),
    )

    columns = {"head": head, "relation": relation, "tail": tail}
    return assemble(
        (_read(one, format, separator, columns, options) for one in _sources(source)),
        same_as=same_as,
        literals=literals,
    )


# Settings of ``read_triples`` that ``reader_settings`` takes, and what text becomes.
_SETTINGS: dict[str, type] = {
    "format": str,
    "base": str,
    "language": str,
    "labels": list,
    "predicates": list,
    "without_predicates": list,
    "namespaces": list,
    "without_namespaces": list,
    "literals": str,
    "same_as": str,
    "blank": str,
    "separator": str,
    "head": str,
    "relation": str,
    "tail": str,
    "max_unpacked": int,
    "max_ratio": int,
}


def reader_settings(given: Mapping[str, object]) -> dict[str, Any]:
    """Return settings of ``read_triples`` by name.

    Lists and numbers may come as text, lists with commas.

    Raises:
        ConfigError: If a name is unknown, or a number is none.
    """
    settings: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _SETTINGS:
            raise ConfigError(
                f"reading: {name!r} is no setting of read_triples.{nearest(name, _SETTINGS)} "
                f"Known: {', '.join(_SETTINGS)}."
            )

        kind = _SETTINGS[name]
        if kind is list and isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif kind is int and isinstance(value, str):
            if not (value.isascii() and value.isdigit()):
                raise ConfigError(f"reading: {name}={value!r} is not a whole number.")
            value = int(value)

        settings[name] = list(value) if isinstance(value, tuple) else value

    return settings


def held_triples(
    source: object, reading: Mapping[str, object], on_error: str = "stop"
) -> pl.DataFrame:
    """Return held-out triples under the keys of their ends: columns head, relation, tail.

    Args:
        source: What ``read_triples`` reads.
        reading: Its settings by name.
        on_error: "stop" at a malformed line, or "skip" it.
    """
    triples = read_triples(source, **{"on_error": on_error, **reader_settings(reading)})
    entities, relations = triples.entities.series, triples.relations.series
    return pl.DataFrame(
        {
            "head": entities.gather(triples.head),
            "relation": relations.gather(triples.relation),
            "tail": entities.gather(triples.tail),
        }
    )


def _rules(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    return tuple(given)


def _sources(source: object) -> list[object]:
    """Return the files and objects that a source consists of."""
    if isinstance(source, list | tuple):
        if not source:
            raise ConfigError("no triples given. Name at least one file.")
        return [one for several in source for one in _sources(several)]

    if isinstance(source, str | PathLike) and not is_address(source):
        return list(_files(source))

    return [source]


_Columns = Mapping[str, str | None]


def _read(
    source: object,
    format: str | None,
    separator: str | None,
    columns: _Columns,
    options: RdfOptions,
) -> RawTriples:
    if isinstance(source, Triples):
        return as_raw(source)
    if isinstance(source, SparqlQuery):
        return read_sparql(source, options)
    if is_address(source) or (isinstance(source, str | PathLike) and is_partitioned(source)):
        table = triple_table(source, separator, columns, options.on_error)
        return _from_table(table, options.on_error, columns)
    if isinstance(source, str | PathLike):
        return _read_file(source, format, separator, columns, options)

    return _from_object(source, columns, options)


def _files(source: FilePath) -> list[FilePath]:
    if not Path(source).is_dir():
        if not is_partitioned(source):
            return [source]

        files = [
            path for path in part_files(source, tuple(FORMATS)) if bare_suffix(path) in FORMATS
        ]
        return list(files) or [source]

    known = {*FORMATS, "kg"}
    inside = sorted(Path(source).iterdir())
    files = [path for path in inside if path.is_file()]
    found: list[FilePath] = [
        path for path in files if bare_suffix(path) in known or _shows_rdf(path)
    ]
    if not found and any(bare_suffix(path) in PARQUET for path in Path(source).rglob("*")):
        return [source]

    if not found:
        raise FormatError(
            f"{source}: no graph file in this folder. Expected .{', .'.join(sorted(known))}, or "
            "name the files."
        )

    if len(found) < len(inside):
        left = [
            f"{path.name}/" if path.is_dir() else path.name for path in inside if path not in found
        ]
        shown = listed(left)
        _log.warning("%s: not read, since they are folders or no graph files: %s", source, shown)

    return found


def _shows_rdf(path: Path) -> bool:
    """Return whether a file whose name says nothing holds RDF."""
    if bare_suffix(path) not in _UNCLEAR:
        return False

    try:
        return format_of(path, starting(path)) is not None
    except FormatError:
        return False


def _read_file(
    path: FilePath,
    format: str | None,
    separator: str | None,
    columns: _Columns,
    options: RdfOptions,
) -> RawTriples:
    existing(path)
    suffix = (format or bare_suffix(path)).lower()
    if suffix in FORMATS or (
        format is None
        and suffix not in _TABLES
        and format_of(path, starting(path, options)) is not None
    ):
        facts = read_rdf(path, format=format, options=options)
    else:
        table = triple_table(path, separator, columns, options.on_error)
        facts = _from_table(table, options.on_error, columns)

    _log.info("%s: %d triples", path, len(facts.head))
    return facts


def triple_table(source: object, separator: str | None, columns: _Columns, on_error: str) -> Table:
    """Return a table of triples, whose first row may be a header."""
    known = _HEADERS | {name.lower() for name in columns.values() if name is not None}
    return read_table(source, separator=separator, known=known, words=_WORDS, on_error=on_error)


def _from_table(table: Table, on_error: str = "stop", wanted: _Columns | None = None) -> RawTriples:
    columns = table.frame.columns
    if len(columns) < len(TRIPLE) or (len(columns) > len(TRIPLE) and not table.header):
        where = f"{table.name}:{1 if table.header else table.line[0]}"
        raise FormatError(
            f"{where}: expected 3 columns (head, relation, tail), found {len(columns)}. Is the "
            "separator right? Links between items and "
            "entities have two columns and belong to links."
        )

    search = triple_roles(table, wanted or {})
    order = [search.found[end] for end in TRIPLE]
    cells = pl.DataFrame(
        [
            as_ids(table, column, on_error).alias(end)
            for column, end in zip(order, TRIPLE, strict=True)
        ]
    )
    filled = cells.with_columns(line=table.line).drop_nulls()
    lost = cells.height - filled.height
    empty = dropped_rows("triples", f"an empty cell in {table.name}", lost)
    head, relation, tail = (filled[end] for end in TRIPLE)
    terms = pl.concat([head, relation, tail]).unique(maintain_order=True)
    row = pl.DataFrame({"key": terms}).with_row_index("row")
    heads, relations, tails = (
        pl.DataFrame({"key": cells})
        .join(row, on="key", how="left", maintain_order="left")["row"]
        .to_numpy()
        .astype(np.int64)
        for cells in (head, relation, tail)
    )

    return RawTriples(
        (table.name,),
        terms,
        heads,
        relations,
        tails,
        locator=filled["line"].to_numpy().astype(np.int64),
        dropped=(*table.dropped, *empty),
        roles=search.roles(),
    )


def _from_object(source: object, columns: _Columns, options: RdfOptions) -> RawTriples:
    rdflib = sys.modules.get("rdflib")
    networkx = sys.modules.get("networkx")
    if rdflib is not None and isinstance(source, rdflib.Graph):
        return _from_rdflib(source, options)
    if networkx is not None and isinstance(source, networkx.Graph):
        return _from_networkx(source)

    return _from_table(read_table(source), wanted=columns)


def _from_rdflib(source: Any, options: RdfOptions) -> RawTriples:
    """Return the facts of an ``rdflib.Graph`` or ``rdflib.Dataset``, in the order of its statements
    as text.
    """
    import rdflib

    several = isinstance(source, rdflib.ConjunctiveGraph)
    if several:
        rows = source.quads((None, None, None, None))
    else:
        rows = ((*row, None) for row in source)

    try:
        quads = [_quad(*row) for row in rows]
    except ValueError as error:
        raise FormatError(
            f"rdflib graph: a term that is not valid RDF: {' '.join(str(error).split())[:300]}. "
            "Correct it."
        ) from None

    return gather(iter(sorted(quads, key=str)), "rdflib graph", options)


def _quad(subject: Any, predicate: Any, value: Any, graph: Any) -> ox.Quad:
    import rdflib

    if isinstance(graph, rdflib.Graph):
        name = graph.identifier
    else:
        name = graph

    if name is None or str(name) == _RDFLIB_DEFAULT:
        named = None
    else:
        named = _node(name)

    return ox.Quad(_node(subject), ox.NamedNode(str(predicate)), _node(value), named)


def _node(term: Any) -> Any:
    """Return an rdflib term as one of pyoxigraph.

    Raises:
        ValueError: If it is not valid RDF.
    """
    import rdflib

    if isinstance(term, rdflib.BNode):
        return ox.BlankNode(str(term))
    if not isinstance(term, rdflib.Literal):
        return ox.NamedNode(str(term))
    if term.language:
        return ox.Literal(str(term), language=term.language)
    if term.datatype:
        return ox.Literal(str(term), datatype=ox.NamedNode(str(term.datatype)))

    return ox.Literal(str(term))


def _from_networkx(graph: Any) -> RawTriples:
    keys = {
        n: str(d.get("entity", n)) for n, d in graph.nodes(data=True) if d.get("kind") != "user"
    }
    terms: dict[str, int] = {}
    rows = []

    if graph.is_multigraph():
        edges = graph.edges(keys=True, data=True)
    else:
        edges = ((start, end, None, data) for start, end, data in graph.edges(data=True))

    for edge in edges:
        key, data = edge[2:]
        if edge[0] not in keys or edge[1] not in keys:
            continue

        relation = data.get(
            "relation", data.get("label", key if isinstance(key, str) else "related")
        )
        rows.append(
            [
                terms.setdefault(term, len(terms))
                for term in (keys[edge[0]], str(relation), keys[edge[1]])
            ]
        )

    named = [
        (n, str(d["label"]))
        for n, d in graph.nodes(data=True)
        if n in keys and d.get("label") is not None
    ]
    labels = [
        (terms.setdefault(keys[n], len(terms)), label, 0) for n, label in named if label != keys[n]
    ]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)

    return RawTriples(
        ("networkx graph",),
        list(terms),
        columns[:, 0],
        columns[:, 1],
        columns[:, 2],
        locator=np.zeros(len(rows), np.int64),
        labels=label_frame(labels),
    )
