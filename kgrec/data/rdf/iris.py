"""Encode non-IRI keys as ``urn:kgrec:`` IRIs, and decode them."""

from dataclasses import replace
from urllib.parse import quote, unquote

import polars as pl
import pyoxigraph as ox

from kgrec.data.graphs.assemble import as_raw, assemble
from kgrec.data.records.triples import Triples

NAMESPACE = "urn:kgrec:"


def minted(key: str, kind: str, always: bool = False) -> str:
    """Return an IRI key as it is, any other as ``urn:kgrec:``, its kind, and the key
    percent-encoded.

    Args:
        key: Of an entity, a relation, ...
        kind: "entity", "relation", "class", "attribute", "graph" or "datatype".
        always: Whether to do so with an IRI too.

    >>> minted("http://x.org/a", "entity"), minted("two words", "entity")
    ('http://x.org/a', 'urn:kgrec:entity:two%20words')
    """
    if always or unusable(key):
        return f"{NAMESPACE}{kind}:{quote(key, safe='')}"

    return key


def unusable(key: str) -> bool:
    """Return whether a key is no absolute IRI, or looks as if it were minted."""
    if key.startswith(NAMESPACE):
        return True

    try:
        return ox.NamedNode(key).value != key
    except ValueError:
        return True


def key_of(iri: str) -> str:
    """Return the key that an IRI was minted of; another IRI as it is."""
    if iri.startswith(NAMESPACE):
        return unquote(iri[len(NAMESPACE) :].partition(":")[2])
    return iri


def keys_of(iris: pl.Series) -> pl.Series:
    """Return the keys that a column of IRIs was minted of."""
    some = iris.str.starts_with(NAMESPACE)
    if not some.any():
        return iris

    return pl.select(
        pl.when(some)
        .then(iris.map_elements(key_of, return_dtype=pl.String))
        .otherwise(iris)
        .alias(iris.name)
    ).to_series()


def without_minted(triples: Triples) -> Triples:
    """Return a graph under the keys that its IRIs were minted of."""
    facts = as_raw(triples)
    types = facts.types
    attributes = facts.attributes

    return assemble(
        [
            replace(
                facts,
                terms=pl.concat(
                    [keys_of(triples.entities.series), keys_of(triples.relations.series)]
                ),
                types=types.with_columns(type=keys_of(types["type"])),
                attributes=attributes.with_columns(
                    name=keys_of(attributes["name"]), datatype=keys_of(attributes["datatype"])
                ),
                graphs=keys_of(triples.graphs),
            )
        ]
    )
