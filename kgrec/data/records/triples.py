"""Triples: head, relation, tail, and where each came from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import SupportsIndex

import numpy as np
import polars as pl

from kgrec.data.records.report import ColumnRole, Dropped, TableColumn
from kgrec.data.records.vocabulary import Vocabulary

COLUMN = "column "


def _no_types() -> pl.DataFrame:
    return pl.DataFrame(schema={"entity": pl.Int32, "type": pl.String})


def no_names() -> pl.DataFrame:
    """Return labels of relations in several languages, none."""
    return pl.DataFrame(schema=dict.fromkeys(("relation", "language", "label"), pl.String))


def _no_attributes() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "entity": pl.Int32,
            "name": pl.String,
            "value": pl.String,
            "datatype": pl.String,
            "language": pl.String,
        }
    )


@dataclass(frozen=True, slots=True)
class Triples:
    """A knowledge graph as columns.

    ``read_triples`` gives one with the terms of the files; ``Dataset.triples`` is one whose first
    ``num_items`` entities are the items.

    Attributes:
        entities: Entity keys (IRIs or the file's own ids).
        relations: Relation keys.
        head: Entity rows, int32.
        relation: Relation rows, int32.
        tail: Entity rows, int32.
        source: Position in ``sources``, uint16, one per triple.
        locator: Line (N-Triples, N-Quads, text and tables) or 1-based ordinal of the statement
            (other RDF) in its source, int64; 0 where unknown; negative where the triple was taken
            over through an item link.
        sources: Files, or other origins in words.
        labels: Human-readable label per entity, null if there is none.
        relation_labels: The same per relation.
        types: Columns ``entity`` (row) and ``type`` (class key), from ``rdf:type``.
        attributes: Literals: columns ``entity``, ``name``, ``value``, ``datatype``, ``language``.
        dropped: What was left out while reading.
        graph: Position in ``graphs``, int32, one per triple, -1 for none; empty where no triple
            is in a named graph.
        graphs: Names of the graphs.
        formats: Format of each source, for instance "Turtle"; "column" and its name where the
            source is a column of a table of items, whose locator is the row's line; "" or missing
            for other text.
        counts: What happened while reading, by name, for instance ``{"blank nodes read": 12}``.
        columns: What became of the columns of tables of items.
        roles: Which columns of tables of triples were taken for what.
        relation_names: Labels of relations in the languages of explanations: ``relation`` (key),
            ``language`` and ``label``.
    """

    entities: Vocabulary
    relations: Vocabulary
    head: np.ndarray
    relation: np.ndarray
    tail: np.ndarray
    source: np.ndarray
    locator: np.ndarray
    sources: tuple[str, ...]
    labels: pl.Series
    relation_labels: pl.Series
    types: pl.DataFrame = field(default_factory=_no_types)
    attributes: pl.DataFrame = field(default_factory=_no_attributes)
    dropped: tuple[Dropped, ...] = ()
    graph: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    graphs: pl.Series = field(default_factory=lambda: pl.Series("graph", [], dtype=pl.String))
    formats: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[TableColumn, ...] = ()
    roles: tuple[ColumnRole, ...] = ()
    relation_names: pl.DataFrame = field(default_factory=no_names)

    def __len__(self) -> int:
        """Return the number of triples."""
        return len(self.head)

    def __repr__(self) -> str:
        """Return the counts in one line; the columns themselves would fill screens."""
        return (
            f"Triples({len(self)} triples, {len(self.entities)} entities, "
            f"{len(self.relations)} relations)"
        )

    def take(self, rows: np.ndarray) -> "Triples":
        """Return the graph with only the triples at the given positions (or where a mask is
        True).
        """
        columns = {
            name: getattr(self, name)[rows]
            for name in ("head", "relation", "tail", "source", "locator")
        }
        return replace(self, **columns, graph=self.graph[rows] if len(self.graph) else self.graph)

    def graph_name(self, row: SupportsIndex) -> str | None:
        """Return the name of the graph that a triple stands in, None where that has no name."""
        if len(self.graph):
            number = int(self.graph[int(row)])
        else:
            number = -1

        if number < 0:
            return None

        return str(self.graphs[number])

    def counts_statements(self, source: int) -> bool:
        """Return whether the locators of a source are ordinals of statements, and not lines."""
        if source < len(self.formats):
            stated = self.formats[source]
        else:
            stated = ""
        return stated not in ("", "N-Triples", "N-Quads") and not stated.startswith(COLUMN)

    def column(self, source: int) -> str:
        """Return the column of a table that a source is, "" where it is none."""
        if source < len(self.formats):
            stated = self.formats[source]
        else:
            stated = ""

        if stated.startswith(COLUMN):
            return stated.removeprefix(COLUMN)

        return ""

    def label(self, row: SupportsIndex) -> str:
        """Return the label of an entity, its key where it has none."""
        found = self.labels[int(row)]
        if found is None:
            return self.entities.key(row)
        return str(found)

    def relation_label(self, row: SupportsIndex) -> str:
        """Return the label of a relation.

        Without one, the last part of its key in words ("musicBy" -> "music by").
        """
        found = self.relation_labels[int(row)]
        if found is None:
            return readable(self.relations.key(row))

        return str(found)


def readable(key: str) -> str:
    """Return a relation name people can read, from an IRI or a dotted key.

    >>> readable("https://schema.org/musicBy"), readable("film.film.directed_by")
    ('music by', 'directed by')
    >>> readable("http://dbpedia.org/ontology/director"), readable("DIRECTED_BY"), readable("ISBN")
    ('director', 'directed by', 'ISBN')
    """
    local = key.rstrip("/#>").replace("#", "/").rsplit("/", 1)[-1]
    if "/" not in key and ":" not in key:
        local = local.rsplit(".", 1)[-1]

    local = local.rsplit(":", 1)[-1] or key
    # relationships of a property graph are written so by custom
    if local.isupper() and re.fullmatch(r"[^\W\d_]+(_[^\W\d_]+)+", local):
        local = local.lower()

    words = re.sub(r"(?<=[a-z])[A-Z](?![A-Z])", lambda capital: f" {capital[0].lower()}", local)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
    words = " ".join(words.replace("_", " ").replace("-", " ").split())
    if words[1:2].islower():
        return words[:1].lower() + words[1:]

    return words or key


def empty_triples(entities: Vocabulary | None = None) -> Triples:
    """Return a knowledge graph without triples."""
    if entities is None:
        entities = Vocabulary([], kind="entity")

    none = np.empty(0, dtype=np.int32)

    return Triples(
        entities,
        Vocabulary([], kind="relation"),
        none,
        none,
        none,
        np.empty(0, dtype=np.uint16),
        np.empty(0, dtype=np.int64),
        (),
        pl.Series("label", [None] * len(entities), dtype=pl.String),
        pl.Series("label", [], dtype=pl.String),
    )
