"""From the terms of several sources to one ``Triples``: one numbering, one label per entity, no duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from kgrec.data.interactions import Dropped
from kgrec.data.triples import Triples
from kgrec.data.vocabulary import Vocabulary
from kgrec.errors import FormatError

BLANK = "_:"

_LABELS = {"term": pl.Int64, "text": pl.String, "rank": pl.Int64}
_TYPES = {"term": pl.Int64, "type": pl.String}
_ATTRIBUTES = {"term": pl.Int64, "name": pl.String, "value": pl.String, "datatype": pl.String, "language": pl.String}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one source (or one graph read before) says, over a numbering of its own.

    Attributes:
        sources: The file, or another origin in words.
        terms: Keys of entities, relations and classes; blank nodes begin with ``_:``.
        head: Term rows.
        relation: Term rows.
        tail: Term rows.
        locator: Line or ordinal per triple.
        labels: Columns ``term``, ``text``, ``rank`` (lower is preferred).
        relation_labels: The same for relations.
        types: Columns ``term``, ``type``.
        attributes: Columns ``term``, ``name``, ``value``, ``datatype``, ``language``.
        dropped: What was left out while reading.
        source: Position in ``sources`` per triple; all 0 where None.
    """

    sources: tuple[str, ...]
    terms: Sequence[str]
    head: np.ndarray
    relation: np.ndarray
    tail: np.ndarray
    locator: np.ndarray
    labels: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_LABELS))
    relation_labels: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_LABELS))
    types: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_TYPES))
    attributes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_ATTRIBUTES))
    dropped: tuple[Dropped, ...] = ()
    source: np.ndarray | None = None


def label_frame(rows: Sequence[tuple[int, str, int]]) -> pl.DataFrame:
    """Return label candidates (term, text, rank) as a frame."""
    return pl.DataFrame(rows, schema=_LABELS, orient="row")


def type_frame(rows: Sequence[tuple[int, str]]) -> pl.DataFrame:
    """Return (term, class key) rows as a frame."""
    return pl.DataFrame(rows, schema=_TYPES, orient="row")


def attribute_frame(rows: Sequence[tuple[int, str, str, str, str]]) -> pl.DataFrame:
    """Return (term, name, value, datatype, language) rows as a frame."""
    return pl.DataFrame(rows, schema=_ATTRIBUTES, orient="row")


def assemble(parts: Sequence[Facts]) -> Triples:
    """Return the facts of several sources as one graph.

    Equal keys are one entity, except blank nodes, which stay apart. A triple that occurs twice is kept where it came first; triples
    whose head is their tail are left out; both are counted. Terms that only name relations or classes are no entities, what only
    has a label, a type or a literal is one.

    Raises:
        FormatError: If there are more than 65,535 sources.
    """
    sources = tuple(source for part in parts for source in part.sources)
    if len(sources) > np.iinfo(np.uint16).max:
        raise FormatError(f"{len(sources)} sources are too many for one graph. Join the files first.")
    terms: dict[str, int] = {}
    rows = [_number(part, index if len(parts) > 1 else None, terms) for index, part in enumerate(parts)]
    described = _Described(
        _renumbered([p.labels for p in parts], rows),
        _renumbered([p.relation_labels for p in parts], rows),
        _renumbered([p.types for p in parts], rows),
        _renumbered([p.attributes for p in parts], rows),
    )
    kept, dropped = _distinct(_triple_frame(parts, rows))
    return _numbered(list(terms), kept, described, sources, (*(d for p in parts for d in p.dropped), *dropped))


@dataclass(frozen=True, slots=True)
class _Described:
    labels: pl.DataFrame
    relation_labels: pl.DataFrame
    types: pl.DataFrame
    attributes: pl.DataFrame


def _number(part: Facts, index: int | None, terms: dict[str, int]) -> np.ndarray:
    """Return the common number of each term of a part, entering the new ones."""
    keys = part.terms if index is None else [f"{BLANK}{index}.{t[2:]}" if t.startswith(BLANK) else t for t in part.terms]
    return np.fromiter((terms.setdefault(key, len(terms)) for key in keys), dtype=np.int64, count=len(keys))


def _renumbered(frames: Sequence[pl.DataFrame], rows: Sequence[np.ndarray]) -> pl.DataFrame:
    return pl.concat(
        frame.with_columns(pl.Series("term", own[frame["term"].to_numpy()], dtype=pl.Int64))
        for frame, own in zip(frames, rows, strict=True)
    )


def _triple_frame(parts: Sequence[Facts], rows: Sequence[np.ndarray]) -> pl.DataFrame:
    frames, before = [], 0
    for part, own in zip(parts, rows, strict=True):
        source = np.zeros(len(part.head), dtype=np.int64) if part.source is None else part.source.astype(np.int64)
        columns = {"head": own[part.head], "relation": own[part.relation], "tail": own[part.tail]}
        frames.append(pl.DataFrame({**columns, "source": source + before, "locator": part.locator.astype(np.int64)}))
        before += len(part.sources)
    return pl.concat(frames)


def _distinct(triples: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Dropped, ...]]:
    without_loops = triples.filter(pl.col("head") != pl.col("tail"))
    kept = without_loops.unique(subset=["head", "relation", "tail"], keep="first", maintain_order=True)
    counts = (
        ("the head is the tail", triples.height - without_loops.height),
        ("stated more than once", without_loops.height - kept.height),
    )
    return kept, tuple(Dropped("triples", why, count) for why, count in counts if count)


def _marked(size: int, *rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    for some in rows:
        mask[some] = True
    return mask


def _numbered(
    terms: list[str], triples: pl.DataFrame, described: _Described, sources: tuple[str, ...], dropped: tuple[Dropped, ...]
) -> Triples:
    keys = pl.Series("key", terms, dtype=pl.String)
    in_triples = _marked(len(terms), triples["head"].to_numpy(), triples["tail"].to_numpy())
    relations = _marked(len(terms), triples["relation"].to_numpy())
    mentioned = _marked(len(terms), *(frame["term"].to_numpy() for frame in (described.labels, described.types, described.attributes)))
    schema_only = relations | keys.is_in(described.types["type"].unique().implode()).to_numpy()
    entity, relation = _positions(in_triples | (mentioned & ~schema_only)), _positions(relations)
    return Triples(
        entities=Vocabulary(keys.filter(pl.Series(entity >= 0)), kind="entity"),
        relations=Vocabulary(keys.filter(pl.Series(relation >= 0)), kind="relation"),
        head=entity[triples["head"].to_numpy()],
        relation=relation[triples["relation"].to_numpy()],
        tail=entity[triples["tail"].to_numpy()],
        source=triples["source"].to_numpy().astype(np.uint16),
        locator=triples["locator"].to_numpy().astype(np.int64),
        sources=sources,
        labels=_best_labels(described.labels, entity),
        relation_labels=_best_labels(described.relation_labels, relation),
        types=_rows_of_entities(described.types, entity).unique(maintain_order=True),
        attributes=_rows_of_entities(described.attributes, entity).unique(maintain_order=True),
        dropped=dropped,
    )


def _positions(mask: np.ndarray) -> np.ndarray:
    """Return the row each marked term gets, -1 for the others."""
    rows = np.full(len(mask), -1, dtype=np.int32)
    rows[mask] = np.arange(int(mask.sum()), dtype=np.int32)
    return rows


def _rows_of_entities(frame: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    entity = pl.Series("entity", rows[frame["term"].to_numpy()], dtype=pl.Int32)
    return frame.drop("term").insert_column(0, entity).filter(pl.col("entity") >= 0)


def _best_labels(candidates: pl.DataFrame, rows: np.ndarray) -> pl.Series:
    own = _rows_of_entities(candidates, rows).sort("rank", maintain_order=True).unique("entity", keep="first")
    labels = np.full(int((rows >= 0).sum()), None, dtype=object)
    labels[own["entity"].to_numpy()] = own["text"].to_list()
    return pl.Series("label", labels.tolist(), dtype=pl.String)


def as_facts(triples: Triples) -> Facts:
    """Return a graph as facts again, for joining it with others."""
    entities = len(triples.entities)
    return Facts(
        sources=triples.sources,
        terms=[*triples.entities, *triples.relations],
        head=triples.head.astype(np.int64),
        relation=triples.relation.astype(np.int64) + entities,
        tail=triples.tail.astype(np.int64),
        locator=triples.locator,
        labels=label_frame([(row, text, 0) for row, text in enumerate(triples.labels) if text is not None]),
        relation_labels=label_frame([(entities + row, text, 0) for row, text in enumerate(triples.relation_labels) if text is not None]),
        types=triples.types.select(pl.col("entity").cast(pl.Int64).alias("term"), "type"),
        attributes=triples.attributes.select(pl.col("entity").cast(pl.Int64).alias("term"), "name", "value", "datatype", "language"),
        dropped=triples.dropped,
        source=triples.source,
    )


def merge(graphs: Sequence[Triples]) -> Triples:
    """Return several graphs as one: equal keys are one entity, except blank nodes."""
    return graphs[0] if len(graphs) == 1 else assemble([as_facts(graph) for graph in graphs])
