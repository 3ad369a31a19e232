"""Lists of RDF, cell by cell: their members, and edges to these instead of to the cells."""

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import Joined
from kgrec.data.shaping.edit import (
    counting,
    fitting_relations,
    keep_triples,
    numbers_of,
    with_attributes,
    with_triples,
    without_descriptions,
)
from kgrec.data.shaping.namespaces import FIRST, NIL, RDF, REST

_MEMBER = "^" + RDF.replace(".", r"\.") + r"_\d+$"


def list_members(joined: Joined) -> pl.DataFrame:
    """Return columns ``list`` (its first cell), ``cell`` and ``member``, in order.

    ``member`` is null where a cell holds a literal or nothing. A list that ends in itself is read
    once around.
    """
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    rest = np.isin(relation, numbers_of(joined, [REST]))
    first = np.isin(relation, numbers_of(joined, [FIRST]))
    following = dict(zip(head[rest].tolist(), tail[rest].tolist(), strict=True))
    content = dict(zip(head[first].tolist(), tail[first].tolist(), strict=True))
    inner = set(following.values())
    starts = [cell for cell in following if cell not in inner]
    pointed = np.unique(tail[~rest & ~first]).tolist()
    starts += [cell for cell in pointed if cell in following and cell in inner]

    rows: list[tuple[int, int, int | None]] = []
    for start in starts:
        cell = start
        seen = set[int]()
        while cell in following and cell not in seen:
            seen.add(cell)
            rows.append((start, cell, content.get(cell)))
            cell = following[cell]

    schema = {"list": pl.Int64, "cell": pl.Int64, "member": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _containers_as_edges(joined: Joined) -> Joined:
    """Return the graph in which (film, cast, bag) is an edge to each member of the bag, where the
    bag is nothing else.
    """
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    numbered = fitting_relations(joined, (RDF,))
    rows = np.flatnonzero(numbered)
    numbered[rows] = joined.terms.gather(rows).str.contains(_MEMBER).to_numpy()
    if not numbered.any():
        return joined

    member = numbered[relation]
    box = np.zeros(len(joined.terms), dtype=bool)
    box[head[member]] = True
    box[head[~member]] = False
    pointing = ~member & box[tail]
    box[:] = False
    box[tail[pointing]] = True
    if not box.any():
        return joined

    inside = member & box[head]
    members = pl.DataFrame({"tail": head[inside], "member": tail[inside]})
    owners = pl.DataFrame(
        {
            "row": np.flatnonzero(pointing).astype(np.int64),
            "head": head[pointing].astype(np.int64),
            "relation": relation[pointing].astype(np.int64),
            "tail": tail[pointing],
        }
    )
    edges = owners.join(members, on="tail", maintain_order="left_right")
    stated = joined.attributes.filter(pl.col("name").str.contains(_MEMBER))
    literals = owners.cast({"tail": pl.Int32}).join(stated, left_on="tail", right_on="term")
    literals = literals.with_columns(
        term=pl.col("head").cast(pl.Int32), name=joined.terms.gather(literals["relation"])
    )
    size = len(head)
    joined = with_triples(
        joined,
        *(edges[name].cast(pl.Int64).to_numpy() for name in ("head", "relation", "member", "row")),
    )
    new = np.ones(len(joined.triples["head"]) - size, dtype=bool)
    joined = keep_triples(joined, np.concatenate([~(inside | pointing), new]))
    joined = with_attributes(without_descriptions(joined, box), literals)
    return counting(joined, containers_read_as_edges=int(box.sum()))


def lists_as_edges(joined: Joined) -> Joined:
    """Return the graph in which (film, cast, list) is an edge to each member of the list.

    Literals in a list become attributes of what points to it. The cells and ``rdf:nil`` go. So it is
    with the containers of RDF, whose members are numbered (``rdf:_1``).
    """
    joined = _containers_as_edges(joined)
    head, relation, tail = (joined.triples[name] for name in ("head", "relation", "tail"))
    own = np.isin(relation, numbers_of(joined, [FIRST, REST]))
    if not own.any():
        return joined

    members = list_members(joined)
    cells = np.zeros(len(joined.terms), dtype=bool)
    cells[head[own]] = True
    rows = np.flatnonzero(~own & cells[tail] & ~cells[head]).astype(np.int64)
    pointing = pl.DataFrame(
        {
            "row": rows,
            "head": head[rows].astype(np.int64),
            "relation": relation[rows].astype(np.int64),
            "tail": tail[rows].astype(np.int64),
        }
    )
    reached = pointing.join(members, left_on="tail", right_on="list", maintain_order="left_right")
    edges = reached.drop_nulls("member")
    edges = edges.filter(pl.Series(~cells[edges["member"].to_numpy()]))
    literals = reached.select("cell", "relation", owner="head").join(
        joined.attributes.filter(pl.col("name") == FIRST),
        left_on="cell",
        right_on=pl.col("term").cast(pl.Int64),
    )
    literals = literals.with_columns(
        term=pl.col("owner").cast(pl.Int32), name=joined.terms.gather(literals["relation"])
    )

    size = len(head)
    joined = with_triples(
        joined, *(edges[name].to_numpy() for name in ("head", "relation", "member", "row"))
    )
    ends = cells.copy()
    ends[numbers_of(joined, [NIL])] = True
    touched = ends[head] | ends[tail]
    new = np.ones(len(joined.triples["head"]) - size, dtype=bool)
    joined = keep_triples(joined, np.concatenate([~touched, new]))
    joined = without_descriptions(joined, ends)
    joined = with_attributes(joined, literals)
    return counting(joined, lists_read_as_edges=members["list"].n_unique())
