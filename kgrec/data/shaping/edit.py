"""Small edits of a joined graph: find terms, add triples, take triples and descriptions out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import Joined
from kgrec.data.records.report import Dropped
from kgrec.data.records.triples import readable


def numbers_of(joined: Joined, keys: Iterable[str]) -> np.ndarray:
    """Return the numbers of those keys that are terms."""
    wanted = pl.Series("key", list(keys), dtype=pl.String)
    return np.flatnonzero(joined.terms.is_in(wanted.implode()).to_numpy())


def beginning(joined: Joined, starts: Sequence[str]) -> np.ndarray:
    """Return which terms begin with one of these, bool (terms,)."""
    found = np.zeros(len(joined.terms), dtype=bool)
    for start in starts:
        found |= joined.terms.str.starts_with(start).to_numpy()

    return found


def relation_keys(joined: Joined) -> dict[int, str]:
    """Return the terms that are relations: their numbers, ascending, and keys."""
    used = np.zeros(len(joined.terms), dtype=bool)
    used[joined.triples["relation"]] = True
    numbers = np.flatnonzero(used)
    return dict(zip(numbers.tolist(), joined.terms.gather(numbers), strict=True))


def fitting_relations(
    joined: Joined, rules: Sequence[str], keys: Mapping[int, str] | None = None
) -> np.ndarray:
    """Return which terms are relations that one of these rules fits, bool (terms,).

    Only the relations are looked at: there are few, however large the graph.

    Args:
        joined: The graph.
        rules: Keys, and beginnings of keys that end in "/", "#" or ":".
        keys: As of ``relation_keys``, where they are known already.
    """
    spaces = tuple(rule for rule in rules if rule.endswith(("/", "#", ":")))
    whole = set(rules) - set(spaces)
    found = np.zeros(len(joined.terms), dtype=bool)
    for number, key in (relation_keys(joined) if keys is None else keys).items():
        found[number] = key in whole or key.startswith(spaces)

    return found


def with_terms(joined: Joined, keys: pl.Series) -> tuple[Joined, np.ndarray]:
    """Return the graph with these keys among its terms, and the number of each."""
    known = pl.DataFrame({"key": joined.terms}).with_row_index("row").cast({"row": pl.Int64})
    known = known.unique("key", keep="first", maintain_order=True)
    distinct = keys.rename("key").unique(maintain_order=True)
    new = distinct.filter(~distinct.is_in(joined.terms.implode()))
    size = len(joined.terms)
    added = pl.DataFrame({"key": new, "row": np.arange(size, size + len(new), dtype=np.int64)})
    rows = pl.DataFrame({"key": keys.rename("key")}).join(
        pl.concat([known.select("key", "row"), added]), on="key", how="left", maintain_order="left"
    )
    if not len(new):
        return joined, rows["row"].to_numpy()

    return replace(joined, terms=pl.concat([joined.terms.rename("key"), new])), rows[
        "row"
    ].to_numpy()


def with_triples(
    joined: Joined,
    head: np.ndarray,
    relation: np.ndarray,
    tail: np.ndarray,
    origin: np.ndarray | None = None,
) -> Joined:
    """Return the graph with further triples.

    Args:
        joined: The graph.
        head: Numbers of terms, like ``relation`` and ``tail``.
        relation: Of each triple.
        tail: Of each triple.
        origin: The triple that each one follows from, which lends it its source, its line and its
            named graph, -1 for none.
    """
    if not len(head):
        return joined

    columns = {"head": head, "relation": relation, "tail": tail}
    triples = {}
    for name, column in joined.triples.items():
        if name in columns:
            new = columns[name].astype(column.dtype)
        elif origin is None or not len(column):
            new = np.full(len(head), -1 if name == "graph" else 0, dtype=column.dtype)
        else:
            nothing = column.dtype.type(-1 if name == "graph" else 0)
            new = np.where(origin >= 0, column[origin], nothing).astype(column.dtype)

        triples[name] = np.concatenate([column, new])

    return replace(joined, triples=triples)


def keep_triples(joined: Joined, kept: np.ndarray) -> Joined:
    """Return the graph with only the triples where the mask is True."""
    if kept.all():
        return joined

    return replace(joined, triples={name: c[kept] for name, c in joined.triples.items()})


def without_descriptions(joined: Joined, gone: np.ndarray, why: str = "") -> Joined:
    """Return the graph without labels, types and attributes of some terms. Labels of relations stay.

    Args:
        joined: The graph.
        gone: Which terms, bool (terms,).
        why: Why their attributes are lost, for the report; "" where they are kept elsewhere.
    """
    if not gone.any():
        return joined
    if why:
        lost = int(gone[joined.attributes["term"].to_numpy()].sum())
        joined = dropping(joined, "literals", why, lost)

    def left(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.Series(~gone[frame["term"].to_numpy()]))

    return replace(
        joined,
        labels=left(joined.labels),
        types=left(joined.types),
        attributes=left(joined.attributes),
    )


def with_labels(joined: Joined, terms: np.ndarray, texts: Sequence[str], rank: int = 0) -> Joined:
    """Return the graph with further labels of relations; lower ranks are preferred."""
    rows = pl.DataFrame({"term": terms, "text": list(texts)}, schema_overrides={"text": pl.String})
    rows = rows.with_columns(rank=pl.lit(rank, dtype=pl.Int32), term=pl.col("term").cast(pl.Int32))
    labels = pl.concat([joined.relation_labels, rows], how="diagonal")
    return replace(joined, relation_labels=labels)


def dropping(joined: Joined, what: str, why: str, count: int) -> Joined:
    """Return the graph with a line of what was left out, if there is anything."""
    if not count:
        return joined

    return replace(joined, dropped=(*joined.dropped, Dropped(what, why, int(count))))


def counting(joined: Joined, **counts: int) -> Joined:
    """Return the graph with further counts, their names with "_" for blanks; zeros are left out."""
    named = {name.replace("_", " "): int(count) for name, count in counts.items() if count}
    return replace(joined, counts={**joined.counts, **named})


def words_of(joined: Joined, term: int) -> str:
    """Return the label of a relation, else the words of its key."""
    found = joined.relation_labels.filter(pl.col("term") == term).sort("rank")
    if found.height:
        return str(found["text"][0])

    return readable(str(joined.terms[term]))


def with_attributes(joined: Joined, rows: pl.DataFrame) -> Joined:
    """Return the graph with further attributes: rows with the columns of its own ones."""
    if not rows.height:
        return joined

    rows = rows.select(joined.attributes.columns).cast(joined.attributes.schema)
    return replace(joined, attributes=pl.concat([joined.attributes, rows]))
