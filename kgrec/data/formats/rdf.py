"""N-Triples and N-Quads, with the interactions in ``train.tsv`` and its like beside them.

Keys that are IRIs stay as they are, blank nodes too. Other keys become ``urn:kgrec:entity:``,
``:relation:``, ``:class:``, ``:attribute:`` or ``:graph:`` and the key percent-encoded; so do
relations and attributes that the reader would take for labels or types. ``kgrec.data.rdf.iris``
gives the keys back.

"""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.building.sources import DatasetSources
from kgrec.data.formats import base, writing
from kgrec.data.formats.base import Format, Written
from kgrec.data.formats.id_lists import ITEMS, USERS
from kgrec.data.formats.original_ids import under_keys
from kgrec.data.formats.statement import was_written
from kgrec.data.graphs.kept_labels import LABEL_PREDICATES, language_of_labels, with_stated_labels
from kgrec.data.rdf.collect import TYPE_PREDICATE
from kgrec.data.rdf.iris import NAMESPACE, minted
from kgrec.data.records.dataset import Dataset

_TRIPLES, _QUADS = "graph.nt", "graph.nq"
LABEL = LABEL_PREDICATES[0]

_BLANK = re.compile(r"_:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_RESERVED = frozenset({*LABEL_PREDICATES, TYPE_PREDICATE})
_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
_SPECIAL = re.compile(r'[\\"\x00-\x1f\x7f]')
_COLUMNS = {"user": "user_id", "item": "item_id", "time": "timestamp", "rating": "rating"}


def recognize(folder: Path) -> bool:
    """Return whether ``kgrec convert`` wrote the folder as RDF."""
    return was_written(folder, "ntriples", "nquads") and _graph_file(folder) is not None


def read(folder: Path) -> DatasetSources:
    """Return the sources in a graph without interactions that ``kgrec convert`` wrote as RDF."""
    sources = DatasetSources(kg=(str(_graph_file(folder)),), name=folder.resolve().name)
    return replace(under_keys(folder, sources), held={})


def _graph_file(folder: Path) -> Path | None:
    return next((folder / name for name in (_TRIPLES, _QUADS) if (folder / name).is_file()), None)


def write_ntriples(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``graph.nt``."""
    return _write(data, folder, quads=False)


def write_nquads(data: Dataset, folder: Path, name: str) -> Written:
    """Write ``graph.nq``."""
    return _write(data, folder, quads=True)


def _write(data: Dataset, folder: Path, quads: bool) -> Written:
    written = Written()
    triples = data.triples
    entities = _terms(triples.entities.series, "entity", blank=True)
    relations = _terms(triples.relations.series, "relation", reserved=_RESERVED)
    lines = [_statements(data, entities, relations, quads)]
    tagged = with_stated_labels(triples)
    untagged = triples.labels.zip_with(pl.Series(~tagged), _no_labels(len(tagged)))
    lines += [
        _label_statements(entities, untagged),
        _relation_labels(data, relations),
    ]
    types = triples.types
    lines.append(
        _joined(
            [
                writing.at(entities, types["entity"].to_numpy()),
                pl.Series([f"<{TYPE_PREDICATE}>"]),
                _terms(types["type"], "class"),
            ]
        )
    )
    lines.append(_literals(data, entities, tagged))
    language = language_of_labels(triples)
    if language not in ("", "en", "mul"):
        written.notes.append(
            f"Labels are chosen in the language {language!r}: read the graph with "
            f"--kg-set language={language}."
        )

    if (
        len(triples)
        or triples.types.height
        or triples.attributes.height
        or triples.labels.null_count() < len(triples.labels)
    ):
        writing.write_lines(
            folder / (_QUADS if quads else _TRIPLES),
            pl.concat([part.rename("line") for part in lines]),
        )

    if _minted(entities) or _minted(relations):
        written.notes.append(
            f"Keys that are no IRI are {NAMESPACE}KIND: and the key percent-encoded."
        )

    writing.lose_links(data, written, described=True)
    if base.ASPECTS[base.INTERACTIONS](data):
        _write_interactions(data, folder, written)

    return written


def _minted(terms: pl.Series) -> bool:
    return bool(terms.str.starts_with(f"<{NAMESPACE}").any())


def _terms(
    keys: pl.Series, kind: str, blank: bool = False, reserved: frozenset[str] = frozenset()
) -> pl.Series:
    """Return keys as terms, each distinct key looked at once."""
    distinct = keys.unique(maintain_order=True).to_list()
    terms = [
        key if blank and _BLANK.fullmatch(key) else f"<{minted(key, kind, key in reserved)}>"
        for key in distinct
    ]
    known = pl.DataFrame(
        {"key": distinct, "term": terms}, schema={"key": pl.String, "term": pl.String}
    )
    return pl.DataFrame({"key": keys}).join(known, on="key", how="left", maintain_order="left")[
        "term"
    ]


def _joined(columns: list[pl.Series]) -> pl.Series:
    """Return statements of their terms."""
    size = len(columns[0])
    if not size:
        return pl.Series([], dtype=pl.String)

    full = [column.new_from_index(0, size) if len(column) == 1 else column for column in columns]
    frame = pl.DataFrame([column.alias(str(number)) for number, column in enumerate(full)])
    return frame.select(pl.concat_str(pl.all(), separator=" ") + " .").to_series()


def _statements(data: Dataset, entities: pl.Series, relations: pl.Series, quads: bool) -> pl.Series:
    triples = data.triples
    columns = [
        writing.at(entities, triples.head),
        writing.at(relations, triples.relation),
        writing.at(entities, triples.tail),
    ]

    if quads and len(triples.graph):
        names = pl.concat(
            [
                _terms(triples.graphs.cast(pl.String), "graph", blank=True).rename("g"),
                pl.Series("g", [""], dtype=pl.String),
            ]
        )
        graph = np.where(triples.graph < 0, len(triples.graphs), triples.graph)
        columns[2] = (columns[2] + " " + writing.at(names, graph)).str.strip_chars_end(" ")

    return _joined(columns)


def _label_statements(terms: pl.Series, labels: pl.Series) -> pl.Series:
    some = labels.is_not_null()
    quoted = labels.filter(some).cast(pl.String).map_elements(_quoted, return_dtype=pl.String)
    return _joined([terms.filter(some), pl.Series([f"<{LABEL}>"]), quoted])


def _relation_labels(data: Dataset, relations: pl.Series) -> pl.Series:
    """Return the labels of relations: the usual ones, and those that a language is known of."""
    labels = data.triples.relation_labels
    keys = data.triples.relations.series
    lines = []
    for code, found in data.wording.labels.items():
        tagged = keys.replace_strict(found, default=None, return_dtype=pl.String)
        labels = labels.set(labels == tagged, None)
        lines.append(_label_statements(relations, tagged).str.replace(r'" \.$', f'"@{code} .'))

    return pl.concat(
        [
            _label_statements(relations, labels).rename("line"),
            *(one.rename("line") for one in lines),
        ]
    )


def _no_labels(size: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, size)


def _literals(data: Dataset, entities: pl.Series, labeled: np.ndarray) -> pl.Series:
    """Return the statements of literals; those that the reader would take for labels or types have
    minted predicates, but for labels of the entities that are ``labeled`` by them.
    """
    rows = data.triples.attributes
    names = _terms(rows["name"], "attribute", reserved=_RESERVED)
    own = _terms(rows["name"], "attribute", reserved=frozenset({TYPE_PREDICATE}))
    names = names.zip_with(pl.Series(~labeled[rows["entity"].to_numpy()], dtype=pl.Boolean), own)
    values = [_literal(*row) for row in rows.select("value", "datatype", "language").iter_rows()]
    return _joined(
        [writing.at(entities, rows["entity"].to_numpy()), names, pl.Series(values, dtype=pl.String)]
    )


def _literal(value: str, datatype: str | None, language: str | None) -> str:
    quoted = _quoted(value)
    if language and _LANGUAGE.fullmatch(language):
        return f"{quoted}@{language}"
    if datatype:
        return f"{quoted}^^<{minted(datatype, 'datatype')}>"
    return quoted


def _quoted(text: str) -> str:
    return f'"{_SPECIAL.sub(_character, text)}"'


def _character(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04X}"


def _write_interactions(data: Dataset, folder: Path, written: Written) -> None:
    """Write the parts, and which item is which entity where an id is not the entity's key."""
    names = writing.carried(data, writing.fits_cell, (USERS, ITEMS))
    names.write_lists(folder)
    names.note(written)
    writing.write_interactions(data, names, written, _COLUMNS, lambda part: folder / f"{part}.tsv")
    keys = data.triples.entities.series[: data.num_items]
    idle = base.ASPECTS[base.IDLE_ITEMS](data)
    if idle or (len(data.triples) and (data.items.series != keys).any()):
        writing.write_rows(
            folder / "links.tsv", [names.items, _linked(keys)], "\t", "item_id\tentity_iri\n"
        )


def _linked(keys: pl.Series) -> pl.Series:
    """Return the names of entities in links: their IRIs without the brackets."""
    return _terms(keys, "entity", blank=True).str.strip_prefix("<").str.strip_suffix(">")


_CARRIES = frozenset(
    {
        base.INTERACTIONS,
        base.SPLIT,
        base.TIMES,
        base.RATINGS,
        base.IDLE_ITEMS,
        base.TRIPLES,
        base.LINKS,
        base.ITEM_LABELS,
        base.ENTITY_LABELS,
        base.RELATION_LABELS,
        base.RELATION_LANGUAGES,
        base.TYPES,
        base.LITERALS,
    }
)
# With interactions beside it, a folder is read as "split".
RDF = Format("rdf", "graph.nt or graph.nq as kgrec convert writes them", recognize, read)
NTRIPLES = Format(
    "ntriples",
    "graph.nt, and tables of the parts",
    carries=_CARRIES,
    write=write_ntriples,
)
NQUADS = Format(
    "nquads",
    "graph.nq, and tables of the parts",
    carries=_CARRIES | {base.GRAPHS},
    write=write_nquads,
)
