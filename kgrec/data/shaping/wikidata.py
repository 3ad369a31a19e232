"""Wikidata's data model made plain: statements as direct edges, properties by their labels."""

import re
from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import Joined
from kgrec.data.shaping.edit import (
    beginning,
    counting,
    with_labels,
    with_terms,
    with_triples,
)
from kgrec.data.shaping.namespaces import WIKIBASE, WIKIDATA

ENTITY = WIKIDATA + "entity/"
DIRECT = WIKIDATA + "prop/direct/"
STATEMENT = WIKIDATA + "entity/statement/"

# What most things that are recommended have; also what ``kgrec pull wikidata`` asks for.
PROPERTIES = {
    "P31": "instance of",
    "P50": "author",
    "P57": "director",
    "P58": "screenwriter",
    "P86": "composer",
    "P106": "occupation",
    "P110": "illustrator",
    "P123": "publisher",
    "P136": "genre",
    "P144": "based on",
    "P161": "cast member",
    "P162": "producer",
    "P166": "award received",
    "P170": "creator",
    "P175": "performer",
    "P178": "developer",
    "P179": "part of the series",
    "P264": "record label",
    "P272": "production company",
    "P279": "subclass of",
    "P344": "director of photography",
    "P361": "part of",
    "P364": "original language",
    "P400": "platform",
    "P449": "original broadcaster",
    "P495": "country of origin",
    "P674": "characters",
    "P676": "lyrics by",
    "P840": "narrative location",
    "P915": "filming location",
    "P921": "main subject",
    "P1040": "film editor",
    "P1411": "nominated for",
}

_CLAIM = re.compile(r"^http://www\.wikidata\.org/prop/P\d+$")
_OF_PROPERTY = r"^http://www\.wikidata\.org/prop/(?:[\w-]+/)*(P\d+)$"
_PROPERTY_PAGE = r"^http://www\.wikidata\.org/entity/P\d+$"
_MACHINERY = (
    WIKIDATA + "prop/",
    WIKIBASE,
    "http://www.w3.org/ns/prov#",
    *(f"{scheme}://schema.org/{name}" for scheme in ("http", "https") for name in ("about",)),
    *(f"{scheme}://schema.org/isPartOf" for scheme in ("http", "https")),
    "http://creativecommons.org/ns#license",
)
_INNER = (STATEMENT, WIKIDATA + "reference/", WIKIDATA + "value/", WIKIDATA + "wiki/")
_MEDIA = ("http://commons.wikimedia.org/", "https://commons.wikimedia.org/")


def statements_as_edges(joined: Joined) -> Joined:
    """Return the graph with a direct edge for each statement about something that has none.

    A dump has direct edges already, for the statements of the best rank. Where an entity has
    statements of a property and no direct edge of it, as in answers of a query, all its statements
    become edges but for deprecated ones.
    """
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    keys = joined.terms.str
    claims = keys.contains(_CLAIM.pattern).to_numpy()
    mains = keys.starts_with(WIKIDATA + "prop/statement/P").to_numpy()
    numbers = joined.terms.str.extract(_OF_PROPERTY)
    deprecated = joined.terms.index_of(WIKIBASE + "DeprecatedRank")
    bad = np.zeros(len(joined.terms), dtype=bool)
    if deprecated is not None:
        bad[head[tail == deprecated]] = True

    one = np.flatnonzero(claims[relation] & ~bad[tail])
    two = np.flatnonzero(mains[relation])
    claimed = pl.DataFrame(
        {"item": head[one], "node": tail[one], "property": numbers.gather(relation[one])}
    )
    stated = pl.DataFrame(
        {
            "node": head[two],
            "value": tail[two],
            "property": numbers.gather(relation[two]),
            "row": two,
        }
    )
    direct = keys.starts_with(DIRECT).to_numpy()
    have = np.flatnonzero(direct[relation])
    known = pl.DataFrame({"item": head[have], "property": numbers.gather(relation[have])}).unique()
    edges = claimed.join(stated, on=["node", "property"], maintain_order="left_right").join(
        known, on=["item", "property"], how="anti", maintain_order="left"
    )
    if not edges.height:
        return joined

    joined, relations = with_terms(joined, DIRECT + edges["property"])
    columns = (edges[name].to_numpy() for name in ("item", "value", "row"))
    item, value, row = columns
    joined = with_triples(joined, item, relations, value, row)
    return counting(joined, statements_of_Wikidata_read_as_edges=edges.height)


def with_property_labels(joined: Joined) -> Joined:
    """Return the graph whose relations have the labels of their properties.

    They are followed by number: ``wdt:P57``, ``ps:P57`` and ``pq:P57`` are called as ``wd:P57`` is,
    and as Wikidata calls the usual ones in English where the graph says nothing.
    """
    number = joined.terms.str.extract(_OF_PROPERTY)
    relations = pl.DataFrame({"relation": np.arange(len(joined.terms)), "number": number})
    relations = relations.drop_nulls()
    pages = joined.terms.str.contains(_PROPERTY_PAGE).to_numpy()
    rows = joined.labels.filter(pl.Series(pages[joined.labels["term"].to_numpy()]))
    rows = rows.with_columns(
        number=joined.terms.gather(rows["term"]).str.strip_prefix(ENTITY)
    ).drop("term")
    found = relations.join(rows, on="number", maintain_order="left_right")
    labels = found.drop("number").rename({"relation": "term"}).cast({"term": pl.Int32})
    known = pl.concat([joined.relation_labels, labels], how="diagonal")
    joined = replace(joined, relation_labels=known)
    usual = relations.filter(pl.col("number").is_in(list(PROPERTIES)))
    texts = [PROPERTIES[str(one)] for one in usual["number"]]
    return with_labels(joined, usual["relation"].to_numpy(), texts, rank=1_000_000)


def machinery(joined: Joined) -> np.ndarray:
    """Return which triples are Wikidata's own bookkeeping, or lead out of what can be walked.

    These are statement, reference and value nodes, properties, pages and licenses, unknown values
    (blank nodes), files of Commons and web addresses.
    """
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    found = beginning(joined, _MACHINERY)
    direct = joined.terms.str.contains(rf"^{re.escape(DIRECT)}P\d+$").to_numpy()
    gone: np.ndarray = found[relation] & ~direct[relation]
    inner = inner_nodes(joined)
    outside = beginning(joined, (*_MEDIA, "_:")) | _addresses(joined)
    gone |= inner[head] | inner[tail] | (direct[relation] & outside[tail])
    return gone


def inner_nodes(joined: Joined) -> np.ndarray:
    """Return which terms are nodes of the data model, bool (terms,)."""
    pages = joined.terms.str.contains(_PROPERTY_PAGE).to_numpy()
    articles = joined.terms.str.contains(r"^https?://[\w.-]+\.wiki[\w-]*\.org/wiki/").to_numpy()
    special = joined.terms.str.contains("/wiki/Special:", literal=True).to_numpy()
    inner: np.ndarray = beginning(joined, _INNER) | pages | articles | special
    return inner


def _addresses(joined: Joined) -> np.ndarray:
    """Return which terms are web addresses of which nothing is said, bool (terms,)."""
    web = joined.terms.str.starts_with("http").to_numpy() & ~beginning(joined, (WIKIDATA,))
    described = np.zeros(len(joined.terms), dtype=bool)
    described[joined.triples["head"]] = True
    described[joined.labels["term"].to_numpy()] = True
    described[joined.types["term"].to_numpy()] = True
    found: np.ndarray = web & ~described
    return found
