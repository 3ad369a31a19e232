"""Axioms of ontologies: what says how terms are to be used, and nothing of any thing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import BLANK, SAME_AS, Joined
from kgrec.data.shaping.edit import (
    beginning,
    dropping,
    fitting_relations,
    keep_triples,
    numbers_of,
    relation_keys,
    with_triples,
    without_descriptions,
)
from kgrec.data.shaping.lists import list_members
from kgrec.data.shaping.namespaces import OWL, RDF, RDFS, SUBCLASS

AXIOMS = "axioms of ontologies"

SHACL = "http://www.w3.org/ns/shacl#"
_SPACES = (RDFS, OWL, SHACL, "http://www.w3.org/2003/11/swrl#")
_FACTS = (SAME_AS, RDFS + "seeAlso", RDFS + "member")
_SCHEMA = (
    *(OWL + name for name in ("Ontology", "ObjectProperty", "DatatypeProperty", "Restriction")),
    *(OWL + name for name in ("AnnotationProperty", "OntologyProperty", "FunctionalProperty")),
    *(OWL + name for name in ("InverseFunctionalProperty", "TransitiveProperty", "Axiom")),
    *(OWL + name for name in ("SymmetricProperty", "AsymmetricProperty", "ReflexiveProperty")),
    *(OWL + name for name in ("AllDifferent", "AllDisjointClasses", "AllDisjointProperties")),
    *(OWL + name for name in ("IrreflexiveProperty", "NegativePropertyAssertion", "Annotation")),
    *(RDFS + name for name in ("Datatype", "ContainerMembershipProperty")),
    RDF + "Property",
    *(SHACL + name for name in ("NodeShape", "PropertyShape")),
)


@dataclass(frozen=True, slots=True)
class Axioms:
    """Which triples are axioms, and which terms are nothing but parts of them."""

    triples: np.ndarray
    terms: np.ndarray


def axioms(joined: Joined, keys: Mapping[int, str] | None = None) -> Axioms:
    """Return the axioms of a graph.

    These are the statements with predicates of RDFS, OWL, SHACL and SWRL but for links between
    things, what is said of properties, ontologies, restrictions and shapes, and the blank nodes and
    lists within these.

    Args:
        joined: The graph.
        keys: As of ``relation_keys``, where they are known already.
    """
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    keys = relation_keys(joined) if keys is None else keys
    logical = fitting_relations(joined, _SPACES, keys) & ~fitting_relations(joined, _FACTS, keys)
    schema = np.zeros(len(joined.terms), dtype=bool)
    typed = joined.types.filter(pl.col("type").is_in(_SCHEMA))
    schema[typed["term"].to_numpy()] = True
    within = np.zeros(len(joined.terms), dtype=bool)
    found = logical[relation] | schema[head]
    if not found.any():
        return Axioms(found, schema)

    blank = joined.terms.str.starts_with(BLANK).to_numpy()
    while True:
        ends = np.concatenate([head[found], tail[found]])
        new = np.zeros_like(within)
        new[ends] = True
        new &= blank & ~within
        if not new.any():
            break

        within |= new
        found |= within[head]

    return Axioms(found, schema | within)


def without_axioms(joined: Joined, hierarchy: bool = False) -> Joined:
    """Return the graph without its axioms.

    Args:
        joined: The graph.
        hierarchy: Whether subclasses of named classes stay as edges.
    """
    found = axioms(joined)
    gone = found.triples.copy()
    if hierarchy:
        head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
        inside = found.terms | beginning(joined, (OWL, RDFS, RDF))
        steps = np.isin(relation, numbers_of(joined, [SUBCLASS]))
        gone &= ~(steps & ~inside[head] & ~inside[tail])

    joined = dropping(joined, "triples", AXIOMS, int(gone.sum()))
    return without_descriptions(keep_triples(joined, ~gone), found.terms, AXIOMS)


def restrictions_as_edges(joined: Joined) -> Joined:
    """Return the graph with an edge for what all members of a class have.

    ``Margherita rdfs:subClassOf [owl:onProperty hasTopping; owl:someValuesFrom Mozzarella]`` adds
    (Margherita, hasTopping, Mozzarella), also where the restriction is a member of an intersection.
    """
    blank = joined.terms.str.starts_with(BLANK).to_numpy()
    said = _ends(joined, SUBCLASS, OWL + "equivalentClass")
    said = said.filter(pl.Series(~blank[said["head"].to_numpy()]))

    # (class, expression) pairs: direct ones, and the members of intersections.
    within = _ends(joined, OWL + "intersectionOf").join(
        list_members(joined), left_on="tail", right_on="list"
    )
    members = said.join(within.select("head", "member"), left_on="tail", right_on="head")
    said = pl.concat([said, members.select("head", tail="member", row="row")])

    property_of = _ends(joined, OWL + "onProperty").select("head", property="tail")
    value_of = _ends(joined, OWL + "someValuesFrom", OWL + "hasValue").select("head", value="tail")
    edges = (
        said.join(property_of, left_on="tail", right_on="head")
        .join(value_of, left_on="tail", right_on="head")
        .sort("row")
    )
    edges = edges.filter(pl.Series(~blank[edges["value"].to_numpy()]))
    return with_triples(
        joined, *(edges[name].to_numpy() for name in ("head", "property", "value", "row"))
    )


def _ends(joined: Joined, *relations: str) -> pl.DataFrame:
    """Return columns ``head``, ``tail`` and ``row`` of the triples with these relations."""
    rows = np.flatnonzero(np.isin(joined.triples["relation"], numbers_of(joined, relations)))
    return pl.DataFrame(
        {
            "head": joined.triples["head"][rows].astype(np.int64),
            "tail": joined.triples["tail"][rows].astype(np.int64),
            "row": rows.astype(np.int64),
        }
    )
