"""Knowledge graphs from files, folders and other libraries' objects: ``read_triples``."""

import io
import logging
import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import polars as pl
import pyoxigraph as ox

from kgrec.data.facts import Facts, assemble, label_frame, merge
from kgrec.data.files import FilePath, bare_suffix, existing
from kgrec.data.interactions import Dropped
from kgrec.data.rdf import FORMATS, LABEL_PREDICATES, parse_rdf, read_rdf
from kgrec.data.tables import Table, as_ids, read_table
from kgrec.data.triples import Triples
from kgrec.errors import ConfigError, FormatError, nearest

_log = logging.getLogger("kgrec.data")

_TEXT = ("tsv", "csv", "kg", "txt", "text")
_ENDS = ("head", "relation", "tail")
_TRIPLE_NAMES = (
    {"head", "head_id", "subject", "source", "h", "s"},
    {"relation", "relation_id", "predicate", "r", "p"},
    {"tail", "tail_id", "object", "target", "t", "o"},
)


def read_triples(
    source: object,
    *,
    format: str | None = None,
    base: str | None = None,
    language: str = "en",
    labels: Sequence[str] = LABEL_PREDICATES,
    separator: str | None = None,
    on_error: str = "stop",
) -> Triples:
    """Read a knowledge graph.

    RDF (Turtle, N-Triples, N-Quads, TriG, RDF/XML, JSON-LD) is streamed; literals become attributes, label predicates labels and
    ``rdf:type`` types. Text is three columns, head relation tail, with or without a header: TSV, CSV, RecBole ``.kg``, KGAT's
    ``kg_final.txt``. All may be gzipped.

    Args:
        source: A file; a folder, whose graph files are read in order of name; several of these, which become one graph; a polars or
            pandas frame of three columns; an ``rdflib.Graph``; a networkx graph whose edges carry ``relation`` (or a text key).
            A networkx node's key is its attribute ``entity``, else the node as text; nodes of kind "user" are left out.
        format: An extension such as "ttl", where the file's own does not say.
        base: IRI that relative IRIs are resolved against.
        language: Preferred language of labels; labels without a language come next, then any.
        labels: IRIs of the predicates that give labels, the preferred first.
        separator: Between the cells of text; found where None.
        on_error: For text, "stop" at a malformed line, or "skip" it and count it.

    Raises:
        MissingFileError: If a file is not there.
        FormatError: If a file cannot be read; the message names file and line.
    """
    if format is not None and format.lower() not in (*FORMATS, *_TEXT):
        raise ConfigError(f"format: {format!r} is unknown.{nearest(format, (*FORMATS, *_TEXT))} Known: {', '.join((*FORMATS, *_TEXT))}.")
    if isinstance(source, Triples):
        return source
    if isinstance(source, list | tuple):
        if not source:
            raise ConfigError("no triples given. Name at least one file.")
        options = {"format": format, "base": base, "language": language, "labels": labels, "separator": separator, "on_error": on_error}
        if all(isinstance(one, str | PathLike) for one in source):
            files = [file for one in source for file in _files(one)]
            return assemble([_read_file(file, format, base, language, labels, separator, on_error) for file in files])
        return merge([read_triples(one, **options) for one in source])  # type: ignore[arg-type]
    if isinstance(source, str | PathLike):
        return assemble([_read_file(file, format, base, language, labels, separator, on_error) for file in _files(source)])
    return assemble([_from_object(source, language, labels)])


def _files(source: FilePath) -> list[FilePath]:
    if not Path(source).is_dir():
        return [source]
    known = {*FORMATS, "kg"}
    found: list[FilePath] = [p for p in sorted(Path(source).iterdir()) if p.is_file() and bare_suffix(p) in known]
    if not found:
        raise FormatError(f"{source}: no graph file in this folder. Expected .{', .'.join(sorted(known))}, or name the files.")
    return found


def _read_file(
    path: FilePath, format: str | None, base: str | None, language: str, labels: Sequence[str], separator: str | None, on_error: str
) -> Facts:
    existing(path)
    if (format or bare_suffix(path)).lower() in FORMATS:
        facts = read_rdf(path, format=format, base=base, language=language, labels=labels)
    else:
        names = {name for some in _TRIPLE_NAMES for name in some if len(name) > 1}
        facts = _from_table(read_table(path, separator=separator, known=names, on_error=on_error), on_error)
    _log.info("%s: %d triples", path, len(facts.head))
    return facts


def _from_table(table: Table, on_error: str = "stop") -> Facts:
    columns = table.frame.columns
    if len(columns) != 3:
        where = f"{table.name}:{1 if table.header else table.line[0]}"
        raise FormatError(
            f"{where}: expected 3 columns (head, relation, tail), found {len(columns)}. Is the separator right? Links between items and "
            "entities have two columns and belong to links."
        )
    order = columns
    named = [next((c for c in columns if c.lower() in names), None) for names in _TRIPLE_NAMES]
    if table.header and None not in named and len(set(named)) == 3:
        order = [c for c in named if c is not None]
    cells = pl.DataFrame([as_ids(table, column, on_error).alias(end) for column, end in zip(order, _ENDS, strict=True)])
    filled = cells.with_columns(line=table.line).drop_nulls()
    empty = (Dropped("triples", f"an empty cell in {table.name}", cells.height - filled.height),) if filled.height < cells.height else ()
    head, relation, tail = (filled[end] for end in _ENDS)
    terms = pl.concat([head, relation, tail]).unique(maintain_order=True)
    row = pl.DataFrame({"key": terms}).with_row_index("row")
    heads, relations, tails = (
        pl.DataFrame({"key": cells}).join(row, on="key", how="left", maintain_order="left")["row"].to_numpy().astype(np.int64)
        for cells in (head, relation, tail)
    )
    return Facts(
        (table.name,),
        terms.to_list(),
        heads,
        relations,
        tails,
        locator=filled["line"].to_numpy().astype(np.int64),
        dropped=(*table.dropped, *empty),
    )


def _from_object(source: object, language: str, labels: Sequence[str]) -> Facts:
    rdflib, networkx = sys.modules.get("rdflib"), sys.modules.get("networkx")
    if rdflib is not None and isinstance(source, rdflib.Graph):
        quads = isinstance(source, rdflib.ConjunctiveGraph)
        text = source.serialize(format="nquads" if quads else "nt", encoding="utf-8")
        ordered = b"\n".join(sorted(text.splitlines()))
        return parse_rdf(
            io.BytesIO(ordered), "rdflib graph", ox.RdfFormat.N_QUADS if quads else ox.RdfFormat.N_TRIPLES, language=language, labels=labels
        )
    if networkx is not None and isinstance(source, networkx.Graph):
        return _from_networkx(source)
    return _from_table(read_table(source))


def _from_networkx(graph: object) -> Facts:
    keys = {n: str(d.get("entity", n)) for n, d in graph.nodes(data=True) if d.get("kind") != "user"}  # type: ignore[attr-defined]
    terms: dict[str, int] = {}
    rows = []
    keyed = graph.is_multigraph()  # type: ignore[attr-defined]
    for edge in graph.edges(keys=True, data=True) if keyed else graph.edges(data=True):  # type: ignore[attr-defined]
        data, key = edge[-1], edge[2] if keyed else None
        if edge[0] not in keys or edge[1] not in keys:
            continue
        relation = data.get("relation", data.get("label", key if isinstance(key, str) else "related"))
        rows.append([terms.setdefault(term, len(terms)) for term in (keys[edge[0]], str(relation), keys[edge[1]])])
    named = [(n, str(d["label"])) for n, d in graph.nodes(data=True) if n in keys and d.get("label") is not None]  # type: ignore[attr-defined]
    labels = [(terms.setdefault(keys[n], len(terms)), label, 0) for n, label in named if label != keys[n]]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return Facts(
        ("networkx graph",),
        list(terms),
        columns[:, 0],
        columns[:, 1],
        columns[:, 2],
        locator=np.zeros(len(rows), np.int64),
        labels=label_frame(labels),
    )
