"""Profiles of vocabularies: what is plumbing in a graph that uses one, and what stays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import Joined
from kgrec.data.records.triples import Triples
from kgrec.data.shaping import wikidata
from kgrec.data.shaping.axioms import AXIOMS, axioms, restrictions_as_edges, without_axioms
from kgrec.data.shaping.edit import (
    dropping,
    fitting_relations,
    keep_triples,
    numbers_of,
    relation_keys,
    with_terms,
    with_triples,
    without_descriptions,
)
from kgrec.data.shaping.flatten import blank_with_one_head, flattened, reified_as_edges
from kgrec.data.shaping.lists import lists_as_edges
from kgrec.data.shaping.namespaces import (
    BROADER,
    DBPEDIA,
    NARROWER,
    OWL,
    PREFIXES,
    RDFS,
    SCHEMA,
    SKOS,
    WIKIDATA,
)
from kgrec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Profile:
    """How graphs of one vocabulary are read.

    Attributes:
        name: For ``--profile``.
        marks: Namespaces of relations that show the vocabulary.
        plumbing: Relations that say nothing of a thing: IRIs, or namespaces.
        nodes: A pattern of IRIs of nodes that only hold a fact together.
    """

    name: str
    marks: tuple[str, ...]
    plumbing: tuple[str, ...] = ()
    nodes: str = ""


def _in_both(*names: str) -> tuple[str, ...]:
    return tuple(space + name for space in SCHEMA for name in names)


_DBO = PREFIXES["dbo"]
_PAGES = (
    PREFIXES["foaf"] + "isPrimaryTopicOf",
    PREFIXES["foaf"] + "primaryTopic",
    PREFIXES["foaf"] + "depiction",
    PREFIXES["foaf"] + "homepage",
    PREFIXES["prov"],
    OWL + "sameAs",
    OWL + "differentFrom",
    RDFS + "seeAlso",
)
PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("wikidata", (WIKIDATA + "prop/",)),
        Profile(
            "dbpedia",
            (_DBO, PREFIXES["dbp"]),
            (
                *_PAGES,
                *(_DBO + name for name in ("wikiPageWikiLink", "wikiPageExternalLink")),
                *(_DBO + name for name in ("wikiPageRedirects", "wikiPageDisambiguates")),
                *(_DBO + name for name in ("thumbnail", "wikiPageInterLanguageLink")),
                *(_DBO + name for name in ("wikiPageWikiLinkText", "soundRecording")),
                PREFIXES["dbp"] + "wikiPageUsesTemplate",
                "http://purl.org/linguistics/gold/",
            ),
            rf"^{DBPEDIA}resource/.+__(?:[A-Za-z]+__)?\d+$",
        ),
        Profile(
            "schema",
            SCHEMA,
            _in_both(
                *("url", "sameAs", "image", "logo", "thumbnailUrl", "contentUrl", "embedUrl"),
                *("mainEntityOfPage", "mainEntity", "potentialAction", "subjectOf", "license"),
                *("itemListElement", "breadcrumb", "isPartOfWebPage", "significantLink"),
            ),
        ),
        Profile(
            "skos",
            (SKOS,),
            (
                *(SKOS + name for name in ("inScheme", "topConceptOf", "hasTopConcept")),
                *(SKOS + name for name in ("exactMatch", "closeMatch", "memberList")),
                *(SKOS + name for name in ("broadMatch", "narrowMatch", "relatedMatch")),
                *(SKOS + name for name in ("broaderTransitive", "narrowerTransitive")),
                *(SKOS + name for name in ("semanticRelation", "mappingRelation")),
                "http://www.w3.org/2008/05/skos-xl#",
            ),
        ),
        Profile("owl", (OWL, RDFS)),
    )
}


def check_profile(name: str | None) -> None:
    """Refuse a profile that is not known.

    Raises:
        ConfigError: If it is not.
    """
    if name is not None and name not in PROFILES:
        raise ConfigError(f"profile: {name!r} is unknown. Give one of {', '.join(PROFILES)}.")


def profiled(joined: Joined, name: str) -> Joined:
    """Return the graph as the profile reads it.

    Raises:
        ConfigError: If nothing in the graph is of the vocabulary.
    """
    profile = PROFILES[name]
    if not fitting_relations(joined, profile.marks).any():
        found = [other for other, share in shares(joined).items() if share]
        proposed = f" Found: {', '.join(found)}." if found else ""
        raise ConfigError(
            f"profile: no relation of the graph is of {name} ({', '.join(profile.marks)})."
            f"{proposed} Leave the profile out, or name another."
        )

    if name == "wikidata":
        return _wikidata(joined)
    if name == "owl":
        joined = restrictions_as_edges(joined)
    if name == "skos":
        joined = _narrower_as_broader(joined)

    joined = without_axioms(joined, hierarchy=name == "owl")
    joined = lists_as_edges(joined)
    joined = reified_as_edges(joined)
    middle = blank_with_one_head(joined)
    if profile.nodes:
        middle |= joined.terms.str.contains(profile.nodes).to_numpy()

    joined = flattened(joined, middle)
    gone = fitting_relations(joined, profile.plumbing)[joined.triples["relation"]]
    joined = dropping(joined, "triples", f"plumbing of {name}", int(gone.sum()))
    return keep_triples(joined, ~gone)


def _wikidata(joined: Joined) -> Joined:
    joined = wikidata.statements_as_edges(joined)
    joined = wikidata.with_property_labels(joined)
    inner = wikidata.inner_nodes(joined)
    gone = wikidata.machinery(joined)
    why = "plumbing of wikidata"
    joined = dropping(joined, "triples", why, int(gone.sum()))
    joined = without_descriptions(keep_triples(joined, ~gone), inner, why)
    return without_axioms(joined)


def _narrower_as_broader(joined: Joined) -> Joined:
    """Return the graph with each ``skos:narrower`` as the ``skos:broader`` that it is."""
    down = np.isin(joined.triples["relation"], numbers_of(joined, [NARROWER]))
    joined, relation = with_terms(joined, pl.Series([BROADER]))
    rows = np.flatnonzero(down)
    turned = np.full(len(rows), relation[0])
    head, tail = joined.triples["head"][rows], joined.triples["tail"][rows]
    joined = with_triples(joined, tail, turned, head, rows)
    kept = np.concatenate([~down, np.ones(len(rows), dtype=bool)])
    return keep_triples(joined, kept)


def shares(joined: Joined) -> dict[str, float]:
    """Return the share of the triples whose relation is of each vocabulary."""
    relation = joined.triples["relation"]
    total = max(len(relation), 1)
    return {
        name: float(fitting_relations(joined, profile.marks)[relation].sum()) / total
        for name, profile in PROFILES.items()
    }


def plumbing(joined: Joined) -> dict[str, int]:
    """Return how many triples of a graph are plumbing, by the profile that would take them out;
    axioms under their own name.
    """
    relation = joined.triples["relation"]
    keys = relation_keys(joined)
    counts = {AXIOMS: int(axioms(joined, keys).triples.sum())}
    for name, profile in PROFILES.items():
        if not fitting_relations(joined, profile.marks, keys).any():
            continue

        if profile.plumbing:
            gone = fitting_relations(joined, profile.plumbing, keys)
            counts[name] = int(gone[relation].sum())
        elif name == "wikidata":
            counts[name] = int(wikidata.machinery(joined).sum())

    return {name: count for name, count in counts.items() if count}


def vocabularies(triples: Triples) -> tuple[str, ...]:
    """Return the vocabularies that the relations of a graph are of, the most frequent first."""
    sizes = np.bincount(triples.relation, minlength=len(triples.relations))
    found = {}
    for name, profile in PROFILES.items():
        mask = np.zeros(len(sizes), dtype=bool)
        for mark in profile.marks:
            mask |= triples.relations.series.str.starts_with(mark).to_numpy()

        found[name] = int(sizes[mask].sum())

    ordered = sorted(found, key=lambda name: -found[name])
    return tuple(name for name in ordered if found[name])
