"""Namespaces that everybody abbreviates alike, and the terms that shaping goes by."""

from collections.abc import Mapping

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
OWL = "http://www.w3.org/2002/07/owl#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
WIKIBASE = "http://wikiba.se/ontology#"
WIKIDATA = "http://www.wikidata.org/"
SCHEMA = ("http://schema.org/", "https://schema.org/")
DBPEDIA = "http://dbpedia.org/"

TYPE = RDF + "type"
FIRST = RDF + "first"
REST = RDF + "rest"
NIL = RDF + "nil"
VALUE = RDF + "value"
SUBCLASS = RDFS + "subClassOf"
BROADER = SKOS + "broader"
NARROWER = SKOS + "narrower"

PREFIXES: Mapping[str, str] = {
    "rdf": RDF,
    "rdfs": RDFS,
    "owl": OWL,
    "skos": SKOS,
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dct": "http://purl.org/dc/terms/",
    "dcterms": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "geo": "http://www.w3.org/2003/01/geo/wgs84_pos#",
    "mo": "http://purl.org/ontology/mo/",
    "schema": SCHEMA[0],
    "dbo": DBPEDIA + "ontology/",
    "dbr": DBPEDIA + "resource/",
    "dbp": DBPEDIA + "property/",
    "dbc": DBPEDIA + "resource/Category:",
    "wikibase": WIKIBASE,
    "wd": WIKIDATA + "entity/",
    "wds": WIKIDATA + "entity/statement/",
    "wdt": WIKIDATA + "prop/direct/",
    "wdtn": WIKIDATA + "prop/direct-normalized/",
    "p": WIKIDATA + "prop/",
    "ps": WIKIDATA + "prop/statement/",
    "pq": WIKIDATA + "prop/qualifier/",
    "pr": WIKIDATA + "prop/reference/",
}


def expanded(rule: str, own: Mapping[str, str] | None = None) -> str:
    """Return an IRI for one with a prefix; anything else as it is.

    Args:
        rule: For instance "wdt:P57", or an IRI.
        own: Prefixes of a file, which go before the well-known ones.

    >>> expanded("wdt:P57"), expanded("http://a.org/b"), expanded("x:y", {"x": "http://x.org/"})
    ('http://www.wikidata.org/prop/direct/P57', 'http://a.org/b', 'http://x.org/y')
    """
    prefix, colon, rest = rule.partition(":")
    if not colon or rest.startswith("//"):
        return rule

    space = (own or {}).get(prefix, PREFIXES.get(prefix))
    return rule if space is None else space + rest


def shortened(iri: str) -> str:
    """Return an IRI with a well-known prefix, as it is if there is none.

    >>> shortened("http://www.wikidata.org/prop/direct/P57"), shortened("http://a.org/b")
    ('wdt:P57', 'http://a.org/b')
    """
    fit = [(len(space), name) for name, space in PREFIXES.items() if iri.startswith(space)]
    if not fit:
        return iri

    size, name = max(fit)
    return iri if "/" in iri[size:] else f"{name}:{iri[size:]}"
