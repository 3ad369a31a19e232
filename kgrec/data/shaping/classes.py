"""Classes and concepts: the hierarchy above them, and classes as entities with edges."""

from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import Joined
from kgrec.data.shaping.edit import (
    counting,
    dropping,
    numbers_of,
    with_terms,
    with_triples,
)
from kgrec.data.shaping.namespaces import (
    BROADER,
    NARROWER,
    OWL,
    RDF,
    RDFS,
    SUBCLASS,
    TYPE,
    WIKIBASE,
)
from kgrec.errors import DataError

MOST_PAIRS = 50_000_000
CYCLES = "terms above themselves in a hierarchy"

_LOGICAL = (OWL, RDFS, RDF, WIKIBASE)  # owl:Thing, owl:NamedIndividual, ... say nothing of a thing
_HIERARCHIES = {"subclass": SUBCLASS, "broader": BROADER}


def hierarchy_key(name: str) -> str:
    """Return the relation that a closure goes along: "subclass", "broader" or an IRI."""
    return _HIERARCHIES.get(name, name)


def closed(joined: Joined, relations: tuple[str, ...], depth: int) -> Joined:
    """Return the graph in which what points to a term also points to all terms above it.

    An edge (film, genre, slasher) with slasher below horror adds (film, genre, horror); a type adds
    the classes above it. Edges of the hierarchies themselves are not multiplied.

    Args:
        joined: The graph.
        relations: Relations from the lower to the higher term.
        depth: How many levels up, 0 for all.

    Raises:
        DataError: If the closure would have more than 50 million pairs.
    """
    pairs = _pairs(joined, relations)
    above, cycles = ancestors(pairs, depth)
    if not above.height:
        return counting(joined, **{CYCLES.replace(" ", "_"): cycles})

    before = len(joined.triples["head"])
    joined = _with_higher_tails(joined, above, relations)
    joined = _with_higher_types(joined, above)
    return counting(
        joined,
        triples_added_by_a_hierarchy=len(joined.triples["head"]) - before,
        **{CYCLES.replace(" ", "_"): cycles},
    )


def _pairs(joined: Joined, relations: tuple[str, ...]) -> pl.DataFrame:
    """Return columns ``low`` and ``high``: the steps of the hierarchies."""
    relation, head, tail = (joined.triples[name] for name in ("relation", "head", "tail"))
    up = np.isin(relation, numbers_of(joined, relations))
    steps = [pl.DataFrame({"low": head[up], "high": tail[up]})]
    if BROADER in relations:
        down = np.isin(relation, numbers_of(joined, [NARROWER]))
        steps.append(pl.DataFrame({"low": tail[down], "high": head[down]}))

    return pl.concat(steps).cast(pl.Int64).filter(pl.col("low") != pl.col("high")).unique()


def ancestors(pairs: pl.DataFrame, depth: int = 0) -> tuple[pl.DataFrame, int]:
    """Return all pairs of a term and one above it, and how many terms are above themselves.

    Args:
        pairs: Columns ``low`` and ``high``.
        depth: Levels, 0 for all. Cycles end by themselves.

    Raises:
        DataError: If there are more than 50 million pairs.
    """
    known = pairs
    frontier = pairs
    level = 1
    while frontier.height and (not depth or level < depth):
        further = frontier.join(pairs, left_on="high", right_on="low", suffix=" above").select(
            "low", high="high above"
        )
        frontier = further.unique().join(known, on=["low", "high"], how="anti")
        known = pl.concat([known, frontier])
        level += 1
        if known.height > MOST_PAIRS:
            raise DataError(
                f"closure: more than {MOST_PAIRS:,} pairs of a term and one above it. Limit the "
                "levels with closure_depth."
            )

    looped = known.filter(pl.col("low") == pl.col("high")).height
    return known.filter(pl.col("low") != pl.col("high")), looped


def _with_higher_tails(joined: Joined, above: pl.DataFrame, relations: tuple[str, ...]) -> Joined:
    """Return the graph with edges to what is above the ends of its edges."""
    relation = joined.triples["relation"]
    skipped = numbers_of(joined, [*relations, NARROWER, *_HIERARCHIES.values()])
    rows = np.flatnonzero(~np.isin(relation, skipped)).astype(np.int64)
    edges = pl.DataFrame(
        {
            "row": rows,
            "head": joined.triples["head"][rows].astype(np.int64),
            "relation": relation[rows].astype(np.int64),
            "tail": joined.triples["tail"][rows].astype(np.int64),
        }
    )
    higher = edges.join(above, left_on="tail", right_on="low").filter(
        pl.col("head") != pl.col("high")
    )
    higher = higher.unique(["head", "relation", "high"], keep="first", maintain_order=True)
    new = higher.join(
        edges,
        left_on=["head", "relation", "high"],
        right_on=["head", "relation", "tail"],
        how="anti",
    ).sort("row", "high")
    columns = [new[name].to_numpy() for name in ("head", "relation", "high", "row")]
    return with_triples(joined, *columns)


def _with_higher_types(joined: Joined, above: pl.DataFrame) -> Joined:
    if not joined.types.height:
        return joined

    names = above.select(
        low=joined.terms.gather(above["low"]), high=joined.terms.gather(above["high"])
    )
    higher = joined.types.join(names, left_on="type", right_on="low").select("term", type="high")
    types = pl.concat([joined.types, higher]).unique(maintain_order=True)
    return replace(joined, types=types)


def types_as_edges(joined: Joined, least: int, most: float) -> Joined:
    """Return the graph with an edge ``rdf:type`` from each entity to each of its classes.

    Args:
        joined: The graph.
        least: Entities that a class needs.
        most: Share of the typed entities that a class may have at most.
    """
    types = joined.types.unique(maintain_order=True)
    for space in _LOGICAL:
        types = types.filter(~pl.col("type").str.starts_with(space))

    typed = types["term"].n_unique()
    sizes = types.group_by("type").agg(pl.len().alias("size"))
    fit = sizes.filter((pl.col("size") >= least) & (pl.col("size") <= most * typed))
    kept = types.filter(pl.col("type").is_in(fit["type"].implode()))
    joined = dropping(
        joined,
        "classes",
        f"as edges: fewer than {least} entities or more than {most:.0%} of them are of the class",
        sizes.height - fit.height,
    )
    joined, relation = with_terms(joined, pl.Series([TYPE]))
    joined, tails = with_terms(joined, kept["type"])
    heads = kept["term"].to_numpy()
    joined = with_triples(joined, heads, np.full(len(heads), relation[0]), tails)
    return counting(joined, classes_as_entities=fit.height, types_as_triples=len(heads))
