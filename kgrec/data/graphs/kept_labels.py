"""Labels among the literals: all that a graph states, each with its predicate and its language."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from kgrec.data.records.triples import Triples

LABEL_PREDICATES = (
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/2004/02/skos/core#prefLabel",
    "https://schema.org/name",
    "http://schema.org/name",
)
FURTHER = "labels beyond one of each entity, kept with their languages"
_STRING = "http://www.w3.org/2001/XMLSchema#string"


def without_plain_labels(attributes: pl.DataFrame, labels: pl.Series) -> pl.DataFrame:
    """Return literals without labels that say nothing more than the label of their entity: its only
    ones, of ``rdfs:label``, without a language.

    Args:
        attributes: Columns of ``Triples.attributes``.
        labels: Label per entity.
    """
    stated = pl.col("name").is_in(LABEL_PREDICATES)
    plain = (
        (pl.col("name") == LABEL_PREDICATES[0])
        & (pl.col("language").fill_null("") == "")
        & (pl.col("datatype").fill_null(_STRING) == _STRING)
    )
    if not attributes.height or not attributes.select(plain.any()).item():
        return attributes

    chosen = labels.cast(pl.String).gather(attributes["entity"])
    only = (stated.sum().over("entity") == 1) & (pl.col("value") == chosen).fill_null(False)
    return attributes.filter(~(plain & only))


def further_labels(triples: Triples, predicates: Sequence[str]) -> int:
    """Return how many labels among the literals are not the one of their entity."""
    rows = triples.attributes.filter(pl.col("name").is_in(predicates)).select("entity", "value")
    chosen = triples.labels.cast(pl.String).gather(rows["entity"])
    return rows.filter(~(rows["value"] == chosen).fill_null(False)).unique().height


def with_stated_labels(triples: Triples) -> np.ndarray:
    """Return which entities have their label among the literals, and so all their labels.

    These are written with their own predicates and languages. Of an entity whose label is none of
    its literals, those are no labels: an item may have its title from a table.
    """
    rows = triples.attributes.filter(pl.col("name").is_in(LABEL_PREDICATES))
    chosen = triples.labels.cast(pl.String).gather(rows["entity"])
    stated = np.zeros(len(triples.entities), dtype=bool)
    stated[rows["entity"].filter(rows["value"] == chosen).to_numpy()] = True
    return stated


def language_of_labels(triples: Triples) -> str:
    """Return the language that most labels of entities have among the literals, "" for none."""
    rows = triples.attributes.filter(pl.col("name").is_in(LABEL_PREDICATES))
    chosen = triples.labels.cast(pl.String).gather(rows["entity"])
    tags = rows.filter(rows["value"] == chosen)["language"].fill_null("")
    return (
        "" if not len(tags) else str(tags.value_counts().sort("count", "language")["language"][-1])
    )
