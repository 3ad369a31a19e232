"""Number the terms of several sources: ``RawTriples`` in, one ``Triples`` out.

One numbering, one label per entity, no duplicates.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from kgrec.data import native
from kgrec.data.graphs.kept_labels import FURTHER, further_labels, without_plain_labels
from kgrec.data.graphs.literals import categories
from kgrec.data.records.report import ColumnRole, Dropped, TableColumn
from kgrec.data.records.triples import Triples, no_names
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.ordering import one_per_key, text_order
from kgrec.errors import ConfigError, FormatError
from kgrec.languages import LANGUAGES

BLANK = "_:"
SAME_AS = "http://www.w3.org/2002/07/owl#sameAs"
EXACT_MATCH = "http://www.w3.org/2004/02/skos/core#exactMatch"

_LABELS = {"term": pl.Int32, "text": pl.String, "rank": pl.Int32}
_TYPES = {"term": pl.Int32, "type": pl.String}
_ATTRIBUTES = {
    "term": pl.Int32,
    "name": pl.String,
    "value": pl.String,
    "datatype": pl.String,
    "language": pl.String,
}
_AFTER_OTHERS = 2_000_000  # rank of a label that only names a relation in another language
_ANY_URI = "http://www.w3.org/2001/XMLSchema#anyURI"


def _no_graphs() -> pl.Series:
    return pl.Series("graph", [], dtype=pl.String)


@dataclass(frozen=True, slots=True)
class RawTriples:
    """What one source (or one graph read before) says, over a numbering of its own.

    Attributes:
        sources: The file, or another origin in words.
        terms: Keys of entities, relations and classes; blank nodes begin with ``_:``.
        head: Term rows.
        relation: Term rows.
        tail: Term rows.
        locator: Line or ordinal per triple.
        labels: Columns ``term``, ``text``, ``rank`` (lower is preferred), and where it is known
            ``tag``: the position of their language in ``kgrec.languages.LANGUAGES``.
        relation_labels: The same for relations.
        types: Columns ``term``, ``type``.
        attributes: Columns ``term``, ``name``, ``value``, ``datatype``, ``language``; ``locator``
            where it was asked for.
        dropped: What was left out while reading.
        source: Position in ``sources`` per triple; all 0 where None.
        graph: Position in ``graphs`` per triple, -1 for none; all -1 where None.
        graphs: Names of the graphs.
        formats: Format of each source, see ``Triples``.
        counts: What happened while reading, by name.
        columns: As of ``Triples``.
        roles: As of ``Triples``.
        idle_rules: Rules on predicates and namespaces that fit nothing in it.
    """

    sources: tuple[str, ...]
    terms: Sequence[str] | pl.Series
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
    graph: np.ndarray | None = None
    graphs: pl.Series = field(default_factory=_no_graphs)
    formats: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[TableColumn, ...] = ()
    roles: tuple[ColumnRole, ...] = ()
    idle_rules: tuple[str, ...] = ()


def label_frame(rows: Sequence[tuple[int, str, int]]) -> pl.DataFrame:
    """Return label candidates (term, text, rank) as a frame."""
    return pl.DataFrame(rows, schema=_LABELS, orient="row")


def type_frame(rows: Sequence[tuple[int, str]]) -> pl.DataFrame:
    """Return (term, class key) rows as a frame."""
    return pl.DataFrame(rows, schema=_TYPES, orient="row")


def attribute_frame(rows: Sequence[tuple[int, str, str, str, str]]) -> pl.DataFrame:
    """Return (term, name, value, datatype, language) rows as a frame."""
    return pl.DataFrame(rows, schema=_ATTRIBUTES, orient="row")


@dataclass(frozen=True, slots=True)
class Joined:
    """Several sources over one numbering.

    Attributes:
        terms: Keys; a key may occur twice where it is no entity.
        triples: Arrays ``head``, ``relation``, ``tail``, ``source``, ``locator``, and ``graph``
            where there are named ones.
        labels: As of ``RawTriples``, like the next ones.
        relation_labels: Likewise.
        types: Likewise.
        attributes: Likewise.
        counts: What happened, by name.
        dropped: What was left out while it was shaped.
    """

    terms: pl.Series
    triples: dict[str, np.ndarray]
    labels: pl.DataFrame
    relation_labels: pl.DataFrame
    types: pl.DataFrame
    attributes: pl.DataFrame
    counts: dict[str, int]
    dropped: tuple[Dropped, ...] = ()


def assemble(
    parts: Iterable[RawTriples],
    *,
    same_as: str = "keep",
    literals: str = "attributes",
    shape: Callable[[Joined], Joined] | None = None,
    keep_labels: Sequence[str] = (),
) -> Triples:
    """Return the facts of several sources as one graph.

    Equal keys are one entity, except blank nodes, which stay apart. A triple that occurs twice is
    kept where it came first; triples whose head is their tail are left out; both are counted. Terms
    that only name relations or classes are no entities, what only has a label, a type or a literal
    is one.

    Args:
        parts: What each source says.
        same_as: "keep" ``owl:sameAs`` as a relation, "merge" what it joins into the entity whose
            key sorts first, or "merge-exact" also what ``skos:exactMatch`` joins; the other names
            become attributes of it.
        literals: "attributes", or "entities" where they can be shared, see
            ``kgrec.data.graphs.literals``.
        shape: What becomes of the joined sources before duplicates go, see ``kgrec.data.shaping``.
        keep_labels: The predicates of labels where the sources hold every label as an attribute
            too; where empty, labels beyond the one of each entity are counted as dropped.

    Raises:
        ConfigError: If ``same_as`` or ``literals`` is unknown.
        FormatError: If there are more than 65,535 sources.
    """
    for name, value, known in (
        ("same_as", same_as, ("keep", "merge", "merge-exact")),
        ("literals", literals, ("attributes", "entities")),
    ):
        if value not in known:
            raise ConfigError(f"{name}: {value!r} is neither {' nor '.join(map(repr, known))}.")

    joined, context = _joined(list(parts), literals == "entities")
    if same_as != "keep":
        joined = _merged(joined, (SAME_AS,) if same_as == "merge" else (SAME_AS, EXACT_MATCH))

    if shape is not None:
        joined = shape(joined)

    if literals == "entities":
        joined = _with_categories(joined, {SAME_AS, *keep_labels})

    joined, dropped = _distinct(joined)
    context = replace(context, dropped=(*context.dropped, *joined.dropped, *dropped))
    triples = _numbered(joined, context)
    if keep_labels:
        return _with_kept_labels(triples, keep_labels)

    return replace(triples, dropped=(*triples.dropped, *_other_labels(joined, triples)))


def _with_kept_labels(triples: Triples, predicates: Sequence[str]) -> Triples:
    """Return a graph whose literals hold all labels that say more than the entity's one."""
    attributes = without_plain_labels(triples.attributes, triples.labels)
    triples = replace(triples, attributes=attributes)
    count = further_labels(triples, predicates)
    return replace(triples, counts=dict(triples.counts) | {FURTHER: count}) if count else triples


def _other_labels(joined: Joined, triples: Triples) -> tuple[Dropped, ...]:
    """Return how many labels of entities are not the one that was chosen."""
    labels = joined.labels
    if labels["term"].n_unique() == labels.height:
        return ()

    every = labels.select("term", "text").unique()
    keys = joined.terms.gather(every["term"].cast(pl.Int64))
    of_entities = int((triples.entities.match(keys) >= 0).sum())
    count = of_entities - (len(triples.labels) - triples.labels.null_count())
    why = "another one of the entity is preferred; keep_labels=all keeps all as attributes"
    return (Dropped("labels", why, count),) if count > 0 else ()


@dataclass(frozen=True, slots=True)
class _Context:
    """What is said of several sources beside their triples."""

    sources: tuple[str, ...]
    formats: tuple[str, ...]
    graphs: pl.Series
    dropped: tuple[Dropped, ...]
    columns: tuple[TableColumn, ...]
    roles: tuple[ColumnRole, ...]


def _joined(parts: Sequence[RawTriples], placed: bool) -> tuple[Joined, _Context]:
    """Return the sources over one numbering, and what else they say."""
    sources = tuple(source for part in parts for source in part.sources)
    if len(sources) > np.iinfo(np.uint16).max:
        raise FormatError(
            f"{len(sources)} sources are too many for one graph. Join the files first."
        )

    # Of several parts, each numbers its blank nodes apart.
    numbers: Sequence[int | None] = range(len(parts)) if len(parts) > 1 else [None]
    terms, rows = _numbering([_own_terms(*pair) for pair in zip(parts, numbers, strict=False)])
    graphs, graph_rows = _numbering(
        [_own_graphs(*pair) for pair in zip(parts, numbers, strict=False)]
    )
    triples = {
        end: _concatenated(
            [_renumbered(getattr(p, end), new) for p, new in zip(parts, rows, strict=True)]
        )
        for end in _ENDS
    }
    first = np.cumsum([0, *(len(part.sources) for part in parts)])
    of_triples = [
        np.full(len(p.head), n, np.uint16) if p.source is None else (p.source + n).astype(np.uint16)
        for p, n in zip(parts, first, strict=False)
    ]
    triples["source"] = _concatenated(of_triples)
    triples["locator"] = _concatenated(
        [part.locator.astype(np.int64, copy=False) for part in parts]
    )

    if len(graphs):
        named = [_named(part, new) for part, new in zip(parts, graph_rows, strict=True)]
        triples["graph"] = _concatenated(named)

    attributes = [
        _placed(part, int(n)) if placed else part.attributes.drop("locator", strict=False)
        for part, n in zip(parts, first, strict=False)
    ]
    counts: dict[str, int] = {}
    for part in parts:
        counts |= {name: counts.get(name, 0) + count for name, count in part.counts.items()}

    joined = Joined(
        terms,
        triples,
        labels=_described([part.labels for part in parts], rows),
        relation_labels=_described([part.relation_labels for part in parts], rows),
        types=_described([part.types for part in parts], rows),
        attributes=_described(attributes, rows),
        counts=counts,
    )
    formats = tuple(
        format for part in parts for format in (part.formats or ("",) * len(part.sources))
    )
    context = _Context(
        sources,
        formats if any(formats) else (),
        graphs.rename("graph"),
        tuple(d for part in parts for d in part.dropped),
        tuple(column for part in parts for column in part.columns),
        tuple(role for part in parts for role in part.roles),
    )

    return joined, context


_ENDS = ("head", "relation", "tail")


def _own_terms(part: RawTriples, index: int | None) -> pl.Series:
    """Return the keys of a part; of several parts' blank nodes each knows which part it is of."""
    return _told_apart(
        part.terms
        if isinstance(part.terms, pl.Series)
        else pl.Series("key", part.terms, dtype=pl.String),
        index,
    )


def _own_graphs(part: RawTriples, index: int | None) -> pl.Series:
    return _told_apart(part.graphs, index)


def _told_apart(keys: pl.Series, index: int | None) -> pl.Series:
    if index is None or not keys.str.starts_with(BLANK).any():
        return keys

    apart = (
        pl.when(keys.str.starts_with(BLANK))
        .then(pl.lit(f"{BLANK}{index}.") + keys.str.slice(len(BLANK)))
        .otherwise(keys)
    )
    return pl.select(apart.alias("key")).to_series()


def _numbering(keys: Sequence[pl.Series]) -> tuple[pl.Series, list[np.ndarray | None]]:
    """Return the distinct keys in order of first appearance and the number of each part's.

    Returns None where the numbers are the part's own.
    """
    if len(keys) == 1:
        return keys[0].rename("key"), [None]

    every = pl.concat([series.rename("key") for series in keys])
    distinct = every.unique(maintain_order=True)
    numbers = pl.DataFrame({"key": distinct, "row": np.arange(len(distinct), dtype=np.int32)})
    found = (
        pl.DataFrame({"key": every})
        .join(numbers, on="key", how="left", maintain_order="left")["row"]
        .to_numpy()
    )

    return distinct, list(np.split(found, np.cumsum([len(series) for series in keys])[:-1]))


def _renumbered(rows: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
    if numbers is None:
        return rows.astype(np.int32, copy=False)
    return np.asarray(numbers[rows])


def _named(part: RawTriples, numbers: np.ndarray | None) -> np.ndarray:
    """Return the named graph of each triple of a part, -1 for none."""
    if part.graph is None:
        return np.full(len(part.head), -1, np.int32)
    if numbers is None:
        return part.graph.astype(np.int32, copy=False)

    named: np.ndarray = np.append(numbers, np.int32(-1))[part.graph]
    return named


def _concatenated(arrays: Sequence[np.ndarray]) -> np.ndarray:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays)


def _described(frames: Sequence[pl.DataFrame], rows: Sequence[np.ndarray | None]) -> pl.DataFrame:
    renumbered = (
        frame
        if new is None
        else frame.with_columns(pl.Series("term", new[frame["term"].to_numpy()], dtype=pl.Int32))
        for frame, new in zip(frames, rows, strict=True)
    )
    return pl.concat(renumbered, how="diagonal")


def _placed(part: RawTriples, source: int) -> pl.DataFrame:
    """Return the attributes of a part with the lines that they came from."""
    if "locator" in part.attributes.columns:
        known = part.attributes
    else:
        known = part.attributes.with_columns(locator=pl.lit(0, dtype=pl.Int64))
    return known.with_columns(source=pl.lit(source, dtype=pl.UInt16))


def _merged(joined: Joined, relations: Sequence[str]) -> Joined:
    """Return the graph with the entities that these relations join as one: the first of them by
    key, blank nodes last.
    """
    known = [n for key in relations if (n := joined.terms.index_of(key)) is not None]
    stated = np.isin(joined.triples["relation"], known)

    if not stated.any():
        return joined

    first = _first_names(
        joined.terms, joined.triples["head"][stated], joined.triples["tail"][stated]
    )
    triples = {name: column[~stated] for name, column in joined.triples.items()}
    triples |= {end: first[triples[end]] for end in ("head", "tail")}
    gone = np.flatnonzero(first != np.arange(len(first)))
    names = joined.terms.gather(gone)
    aliases = pl.DataFrame(
        {
            "term": first[gone],
            "name": [SAME_AS] * len(gone),
            "value": names,
            "datatype": [_ANY_URI] * len(gone),
        }
    )
    aliases = aliases.with_columns(language=pl.lit("")).filter(
        ~pl.col("value").str.starts_with(BLANK)
    )
    counts = joined.counts | {
        "owl:sameAs statements": int(stated.sum()),
        "entities merged into others": len(gone),
    }

    return replace(
        joined,
        triples=triples,
        labels=_described([joined.labels], [first]),
        types=_described([joined.types], [first]),
        attributes=pl.concat([_described([joined.attributes], [first]), aliases], how="diagonal"),
        counts=counts,
    )


def _first_names(terms: pl.Series, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the number that each term gets: of those that are joined the first by key, before it
    any that is no blank node.
    """
    from scipy.sparse import coo_array  # heavy, and needed on request only
    from scipy.sparse.csgraph import connected_components

    size = len(terms)
    group = connected_components(
        coo_array((np.ones(len(one), dtype=bool), (one, other)), shape=(size, size)), directed=False
    )[1]
    blank = terms.str.starts_with(BLANK).to_numpy()
    named = np.flatnonzero(~blank)
    order = np.concatenate(
        [named[text_order(terms.filter(~pl.Series(blank)))], np.flatnonzero(blank)]
    )
    leader = np.full(int(group.max()) + 1, -1, dtype=np.int32)
    leader[group[order[::-1]]] = order[::-1]
    first: np.ndarray = leader[group]
    return first


def _with_categories(joined: Joined, names: set[str]) -> Joined:
    """Return the graph with literals as entities where they can be shared; ``names`` are those of
    literals that are names of their entities.
    """
    a_name = pl.col("name").is_in(list(names))
    found = categories(joined.attributes.filter(~a_name))
    kept = pl.concat([found.left, joined.attributes.filter(a_name)])
    made = found.made
    terms, rows = _numbering(
        [
            joined.terms,
            pl.concat(
                [made["name"].unique(maintain_order=True), made["key"].unique(maintain_order=True)]
            ),
        ]
    )
    before = rows[0]
    number = dict[str, np.ndarray]()
    numbers = pl.DataFrame({"key": terms, "row": np.arange(len(terms), dtype=np.int32)})

    for column in ("name", "key"):
        number[column] = made.join(
            numbers, left_on=column, right_on="key", how="left", maintain_order="left"
        )["row"].to_numpy()

    added = {
        "head": _renumbered(made["term"].to_numpy(), before),
        "relation": number["name"],
        "tail": number["key"],
        "source": made["source"].fill_null(0).to_numpy(),
        "locator": made["locator"].fill_null(0).to_numpy(),
        "graph": np.full(made.height, -1, dtype=np.int32),
    }
    triples = {end: _renumbered(joined.triples[end], before) for end in _ENDS} | {
        k: v for k, v in joined.triples.items() if k not in _ENDS
    }
    triples = {name: np.concatenate([column, added[name]]) for name, column in triples.items()}
    named = pl.DataFrame(
        {
            "term": number["key"],
            "text": made["label"],
            "rank": np.zeros(made.height, dtype=np.int32),
        }
    ).unique(maintain_order=True)

    counts = joined.counts | {
        "literals turned into entities": made.height,
        "entities made of literals": made["key"].n_unique(),
        "literals left as attributes": found.left.height,
    }

    return Joined(
        terms,
        triples,
        labels=pl.concat([_described([joined.labels], [before]), named], how="diagonal"),
        relation_labels=_described([joined.relation_labels], [before]),
        types=_described([joined.types], [before]),
        attributes=_described([kept], [before]),
        counts=counts,
    )


def _distinct(joined: Joined) -> tuple[Joined, tuple[Dropped, ...]]:
    """Return the graph with each triple once and without loops, and how many others there were."""
    head, relation, tail = (joined.triples[end] for end in _ENDS)
    loops = int((head == tail).sum())
    first = native.first_stated(head, relation, tail)
    if first is None:
        frame = pl.DataFrame({"head": head, "relation": relation, "tail": tail})
        first = (
            (head != tail)
            & frame.select(pl.struct(_ENDS).is_first_distinct()).to_series().to_numpy()
        ).astype(bool)

    kept = int(first.sum())
    counts = (("the head is the tail", loops), ("stated more than once", len(head) - loops - kept))

    if kept == len(head):
        columns = joined.triples
    else:
        columns = {name: column[first] for name, column in joined.triples.items()}

    return replace(joined, triples=columns), tuple(
        Dropped("triples", why, count) for why, count in counts if count
    )


def _marked(size: int, *rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    for some in rows:
        mask[some] = True
    return mask


def _numbered(joined: Joined, context: _Context) -> Triples:
    """Return the graph with its entities and its relations numbered apart; the arrays of ``joined``
    go as those of the graph are made.
    """
    terms = joined.terms
    triples = joined.triples
    size = len(terms)
    in_triples = _marked(size, triples["head"], triples["tail"])
    relations = _marked(size, triples["relation"])
    mentioned = _marked(
        size,
        *(frame["term"].to_numpy() for frame in (joined.labels, joined.types, joined.attributes)),
    )
    schema_only = relations | terms.is_in(joined.types["type"].unique().implode()).to_numpy()
    entity = _positions(in_triples | (mentioned & ~schema_only))
    relation = _positions(relations)
    attributes = joined.attributes.select(*_ATTRIBUTES)

    return Triples(
        entities=Vocabulary(terms.filter(pl.Series(entity >= 0)), kind="entity", checked=True),
        relations=Vocabulary(terms.filter(pl.Series(relation >= 0)), kind="relation", checked=True),
        head=entity[triples.pop("head")],
        relation=relation[triples.pop("relation")],
        tail=entity[triples.pop("tail")],
        source=triples["source"],
        locator=triples["locator"],
        sources=context.sources,
        labels=_best_labels(joined.labels, entity),
        relation_labels=_best_labels(joined.relation_labels, relation),
        relation_names=_names(joined, relation),
        types=_rows_of_entities(joined.types, entity).unique(maintain_order=True),
        attributes=_distinct_literals(_rows_of_entities(attributes, entity)),
        dropped=context.dropped,
        graph=triples.get("graph", np.empty(0, dtype=np.int32)),
        graphs=context.graphs,
        formats=context.formats,
        counts=joined.counts,
        columns=context.columns,
        roles=context.roles,
    )


def _positions(mask: np.ndarray) -> np.ndarray:
    """Return the row each marked term gets, -1 for the others."""
    rows = np.full(len(mask), -1, dtype=np.int32)
    rows[mask] = np.arange(int(mask.sum()), dtype=np.int32)
    return rows


def _rows_of_entities(frame: pl.DataFrame, rows: np.ndarray) -> pl.DataFrame:
    entity = pl.Series("entity", rows[frame["term"].to_numpy()], dtype=pl.Int32)
    return frame.drop("term").insert_column(0, entity).filter(pl.col("entity") >= 0)


def _distinct_literals(frame: pl.DataFrame) -> pl.DataFrame:
    """Return each literal once, where it came first; names of few kinds are compared as numbers,
    which takes less memory.
    """
    few = pl.col("name", "datatype", "language").cast(pl.Categorical).to_physical()
    return frame.filter(
        frame.select(pl.struct("entity", "value", few).is_first_distinct()).to_series()
    )


def _best_labels(candidates: pl.DataFrame, rows: np.ndarray) -> pl.Series:
    best = one_per_key(_rows_of_entities(candidates, rows), "entity", "rank", "text")
    chosen = np.full(int((rows >= 0).sum()), len(best), dtype=np.int64)
    chosen[best["entity"].to_numpy()] = np.arange(len(best))

    return (
        pl.concat([best["text"], pl.Series("text", [None], dtype=pl.String)])
        .gather(chosen)
        .rename("label")
    )


def _names(joined: Joined, rows: np.ndarray) -> pl.DataFrame:
    """Return the best label of each relation in each language of explanations."""
    labels = joined.relation_labels
    if "tag" not in labels.columns:
        return no_names()

    kept = labels.drop_nulls("tag")
    kept = kept.filter(pl.Series(rows[kept["term"].to_numpy()] >= 0, dtype=pl.Boolean))
    best = kept.sort("rank", "text").unique(["term", "tag"], keep="first").sort("term", "tag")
    codes = pl.Series("language", LANGUAGES, dtype=pl.String)
    return pl.DataFrame(
        {
            "relation": joined.terms.gather(best["term"].cast(pl.Int64)),
            "language": codes.gather(best["tag"].cast(pl.Int64)),
            "label": best["text"],
        }
    )


def as_raw(triples: Triples) -> RawTriples:
    """Return a graph as facts again, for joining it with others."""
    entities = len(triples.entities)
    return RawTriples(
        sources=triples.sources,
        terms=pl.concat([triples.entities.series, triples.relations.series]),
        head=triples.head,
        relation=triples.relation + np.int32(entities),
        tail=triples.tail,
        locator=triples.locator,
        labels=_label_rows(triples.labels, 0),
        relation_labels=pl.concat(
            [_label_rows(triples.relation_labels, entities), _name_rows(triples)], how="diagonal"
        ),
        types=triples.types.rename({"entity": "term"}),
        attributes=triples.attributes.rename({"entity": "term"}),
        dropped=triples.dropped,
        source=triples.source,
        graph=triples.graph if len(triples.graph) else None,
        graphs=triples.graphs,
        formats=triples.formats,
        counts=triples.counts,
        columns=triples.columns,
        roles=triples.roles,
    )


def _label_rows(labels: pl.Series, first: int) -> pl.DataFrame:
    rows = pl.DataFrame(
        {
            "term": np.arange(first, first + len(labels), dtype=np.int32),
            "text": labels.cast(pl.String),
        }
    )
    return rows.drop_nulls().with_columns(rank=pl.lit(0, dtype=pl.Int32))


def merge(graphs: Sequence[Triples]) -> Triples:
    """Return several graphs as one: equal keys are one entity, except blank nodes."""
    if len(graphs) == 1:
        return graphs[0]
    return assemble([as_raw(graph) for graph in graphs])


def _name_rows(triples: Triples) -> pl.DataFrame:
    """Return labels of relations in the languages of explanations, after all others."""
    names = triples.relation_names
    term = len(triples.entities) + triples.relations.match(names["relation"])
    rank = np.full(len(names), _AFTER_OTHERS, dtype=np.int32)
    tags = {code: number for number, code in enumerate(LANGUAGES)}
    return names.select(
        term=pl.Series(term, dtype=pl.Int32),
        text="label",
        rank=pl.Series(rank),
        tag=pl.col("language").replace_strict(tags, return_dtype=pl.Int8),
    ).filter(pl.col("term") >= len(triples.entities))
