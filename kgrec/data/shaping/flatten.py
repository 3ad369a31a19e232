"""Nodes that only hold a fact together, replaced by edges between what they join."""

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import BLANK, Joined
from kgrec.data.shaping.edit import (
    counting,
    dropping,
    keep_triples,
    numbers_of,
    with_attributes,
    with_labels,
    with_terms,
    with_triples,
    without_descriptions,
    words_of,
)
from kgrec.data.shaping.namespaces import RDF, VALUE

_DEEPEST = 4
_STATEMENT = tuple(RDF + name for name in ("subject", "predicate", "object"))
_BESIDES = "what is said of reified statements"


def reified_as_edges(joined: Joined) -> Joined:
    """Return the graph with the triples that ``rdf:subject``, ``predicate`` and ``object`` state,
    instead of the nodes that state them.
    """
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    ends = []
    for name in _STATEMENT:
        rows = np.flatnonzero(np.isin(relation, numbers_of(joined, [name])))
        ends.append(
            pl.DataFrame(
                {"node": head[rows], name: tail[rows], f"{name} row": rows},
            ).cast(pl.Int64)
        )

    found = ends[0].join(ends[1], on="node").join(ends[2], on="node")
    if not found.height:
        return joined

    nodes = np.zeros(len(joined.terms), dtype=bool)
    nodes[found["node"].to_numpy()] = True
    columns = (*_STATEMENT, f"{_STATEMENT[0]} row")
    joined = with_triples(joined, *(found[name].to_numpy() for name in columns))
    touched = nodes[joined.triples["head"]] | nodes[joined.triples["tail"]]
    ends_of = np.isin(joined.triples["relation"], numbers_of(joined, _STATEMENT))
    joined = dropping(joined, "triples", _BESIDES, int((touched & ~ends_of).sum()))
    joined = without_descriptions(keep_triples(joined, ~touched), nodes, _BESIDES)
    return counting(joined, reified_statements_read_as_edges=found["node"].n_unique())


def blank_with_one_head(joined: Joined) -> np.ndarray:
    """Return which terms are blank nodes that one entity points to, bool (terms,)."""
    blank = joined.terms.str.starts_with(BLANK).to_numpy()
    head, tail = joined.triples["head"], joined.triples["tail"]
    rows = np.flatnonzero(blank[tail])
    pairs = pl.DataFrame({"head": head[rows], "tail": tail[rows]}).unique()
    heads = np.bincount(pairs["tail"].to_numpy(), minlength=len(blank))
    found: np.ndarray = blank & (heads == 1)
    return found


def flattened(joined: Joined, middle: np.ndarray) -> Joined:
    """Return the graph with edges through the nodes in the middle, instead of these.

    (film, cast, node) and (node, actor, person) make (film, cast/actor, person), whose label has
    the words of both. Where both relations are one (schema.org's roles), or the second is
    ``rdf:value``, the edge keeps the first. Literals of the node become attributes likewise. Nodes
    that nothing outside points to stay.

    Args:
        joined: The graph.
        middle: Which terms are such nodes, bool (terms,).
    """
    reached = np.zeros(len(middle), dtype=bool)
    leads = np.zeros(len(middle), dtype=bool)
    leads[joined.triples["head"]] = True
    names: dict[tuple[int, int], int] = {}

    for _ in range(_DEEPEST):
        head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
        full = np.zeros(len(joined.terms), dtype=bool)
        full[: len(middle)] = middle
        incoming = np.flatnonzero(full[tail] & ~full[head])
        into = pl.DataFrame(
            {"row": incoming, "from": head[incoming], "first": relation[incoming]}
        ).cast(pl.Int64)
        into = into.with_columns(node=pl.Series(tail[incoming]).cast(pl.Int64))
        if not into.height:
            break

        nodes = into["node"].unique().to_numpy()
        reached[nodes] = True
        joined = _literals_moved(joined, into, names)
        joined, new = _joined_edges(joined, into, full, names)
        kept = np.ones(len(head), dtype=bool)
        kept[incoming] = False
        joined = keep_triples(joined, np.concatenate([kept, np.ones(new, dtype=bool)]))

    return _without(joined, reached, leads)


def _joined_edges(
    joined: Joined, into: pl.DataFrame, middle: np.ndarray, names: dict[tuple[int, int], int]
) -> tuple[Joined, int]:
    """Return the graph with the edges through the nodes, and how many these are."""
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    rows = np.flatnonzero(middle[head])
    out = pl.DataFrame({"node": head[rows], "second": relation[rows], "to": tail[rows]}).cast(
        pl.Int64
    )
    edges = into.join(out, on="node", maintain_order="left_right").filter(
        pl.col("from") != pl.col("to")
    )
    joined, relations = _composed(joined, edges.select("first", "second"), names)
    edges = edges.with_columns(relation=relations)
    columns = (edges[name].to_numpy() for name in ("from", "relation", "to", "row"))
    return with_triples(joined, *columns), edges.height


def _literals_moved(
    joined: Joined, into: pl.DataFrame, names: dict[tuple[int, int], int]
) -> Joined:
    """Return the graph with the literals of the nodes as attributes of what points to them."""
    texts = joined.attributes.with_columns(node=pl.col("term").cast(pl.Int64))
    moved = into.select("node", "first", "from").join(texts, on="node", maintain_order="left_right")
    if not moved.height:
        return joined

    joined, second = with_terms(joined, moved["name"])
    pairs = pl.DataFrame({"first": moved["first"], "second": second})
    joined, relations = _composed(joined, pairs, names, labeled=False)
    moved = moved.with_columns(
        term=pl.col("from").cast(pl.Int32), name=joined.terms.gather(relations)
    )
    return with_attributes(joined, moved)


def _composed(
    joined: Joined,
    pairs: pl.DataFrame,
    names: dict[tuple[int, int], int],
    labeled: bool = True,
) -> tuple[Joined, pl.Series]:
    """Return the graph with the relations that pairs of relations make, and the one of each."""
    value = set(numbers_of(joined, [VALUE]).tolist())
    distinct = [(one, two) for one, two in pairs.unique(maintain_order=True).iter_rows()]
    plain = {pair: pair[0] for pair in distinct if pair[0] == pair[1] or pair[1] in value}
    new = [pair for pair in distinct if pair not in plain and pair not in names]
    if new:
        keys = [f"{joined.terms[one]}/{joined.terms[two]}" for one, two in new]
        words = [f"{words_of(joined, one)} {words_of(joined, two)}" for one, two in new]
        joined, numbers = with_terms(joined, pl.Series(keys, dtype=pl.String))
        names |= dict(zip(new, numbers.tolist(), strict=True))
        if labeled:
            joined = with_labels(joined, numbers, words)

    known = names | plain
    rows = pl.DataFrame(
        [(one, two, known[one, two]) for one, two in distinct],
        schema={"first": pl.Int64, "second": pl.Int64, "relation": pl.Int64},
        orient="row",
    )
    found = pairs.cast(pl.Int64).join(
        rows, on=["first", "second"], how="left", maintain_order="left"
    )
    return joined, found["relation"]


def _without(joined: Joined, nodes: np.ndarray, leads: np.ndarray) -> Joined:
    """Return the graph without the nodes; those that led nowhere have left attributes alone."""
    full = np.zeros(len(joined.terms), dtype=bool)
    full[: len(nodes)] = nodes
    touched = full[joined.triples["head"]] | full[joined.triples["tail"]]
    joined = without_descriptions(keep_triples(joined, ~touched), full)
    return counting(
        joined,
        nodes_replaced_by_edges_through_them=int((nodes & leads).sum()),
        nodes_of_literals_alone_read_as_attributes=int((nodes & ~leads).sum()),
    )
