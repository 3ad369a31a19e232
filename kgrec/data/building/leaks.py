"""Leakage checks: triples that restate interactions, and duplicate relations."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from kgrec.data.graphs.filter import without_unused
from kgrec.data.records.interactions import Interactions, counted
from kgrec.data.records.parts import PART_WORDS
from kgrec.data.records.report import ReportBuilder
from kgrec.data.records.triples import Triples
from kgrec.data.records.vocabulary import Vocabulary
from kgrec.data.tables.id_forms import without_hyphens, without_point
from kgrec.data.tables.ordering import row_order

_FEWEST = 5  # shared pairs below which two relations are alike by chance
_NEIGHBORS = 32
_BLOCK = 1 << 17  # rows that are compared at once: their columns stay in a processor's cache
_SHOWN = 3
_NOTHING = ("null", "none", "nan", "n/a", "na", "nil", "<na>", "#n/a", "\\n", "undefined", "(null)")
_MANY_CASED = 0.2
_INVISIBLE = "[\u200b-\u200f\u2060\ufeff\u00ad]"  # zero-width spaces and marks, soft hyphens


def stated_interactions(
    triples: Triples, users: Vocabulary, num_items: int, parts: Mapping[str, Interactions]
) -> dict[str, np.ndarray]:
    """Return, for each part, which triples state one of its interactions, in either direction:
    positions, ascending.

    A user is in the graph where an entity, no item, has the user's id as its key. Published
    numberings give users and entities the same plain numbers without meaning the same, so an id of
    digits alone counts only in relations that state interactions in at least half of the triples
    between such an entity and an item.

    Args:
        triples: The graph, the items its first entities.
        users: User ids.
        num_items: Number of items.
        parts: Interactions by part.
    """
    row = triples.entities.match(users.series)
    user_of = np.full(len(triples.entities), -1, dtype=np.int64)
    known = np.flatnonzero(row >= num_items)
    user_of[row[known]] = known
    none = {name: np.empty(0, dtype=np.int64) for name in parts}
    if not len(known) or not len(triples):
        return none

    positions = []
    pairs = []

    for one, other in ((triples.head, triples.tail), (triples.tail, triples.head)):
        between = np.flatnonzero((user_of[one] >= 0) & (other < num_items))
        positions.append(between)
        pairs.append(user_of[one[between]] * num_items + other[between])

    position = np.concatenate(positions)
    pair = np.concatenate(pairs)
    stated = {
        name: np.isin(pair, part.user.astype(np.int64) * num_items + part.item)
        for name, part in parts.items()
    }
    digits = users.series.str.contains(r"^\d+$").to_numpy()[pair // max(num_items, 1)]
    trusted = ~digits | _telling(
        triples.relation[position],
        np.logical_or.reduce(list(stated.values())),
        len(triples.relations),
    )

    return {name: np.sort(position[mask & trusted]) for name, mask in stated.items()}


def _telling(relation: np.ndarray, stated: np.ndarray, relations: int) -> np.ndarray:
    """Return which rows are of a relation that states interactions in at least half of its rows."""
    every = np.bincount(relation, minlength=relations)
    some = np.bincount(relation[stated], minlength=relations)
    telling: np.ndarray = (2 * some >= every)[relation]
    return telling


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two relations that say the same.

    Attributes:
        one: Relation row.
        other: Relation row; ``one`` again for a relation that is its own inverse.
        inverse: Whether the heads of one are the tails of the other.
        shared: Pairs of entities that both state.
        share: These as a share of the smaller relation's triples.
    """

    one: int
    other: int
    inverse: bool
    shared: int
    share: float


def like_relations(triples: Triples, least: float = 0.8) -> list[Likeness]:
    """Return the pairs of relations where one states at least ``least`` of the other's triples,
    forwards or backwards; most shared first.

    Relations with fewer than 5 triples, or 5 in common, are not compared. Where more than 32
    relations join the same two entities, each is compared with 32 others.
    """
    size = len(triples.relations)
    count = counted(triples.relation, size)
    pair = np.minimum(triples.head, triples.tail).astype(np.int64)
    pair *= len(triples.entities)
    pair += np.maximum(triples.head, triples.tail)
    order = row_order(pair)
    pair = pair[order]
    again = np.zeros(len(order), dtype=bool)
    same = pair[1:] == pair[:-1]
    again[1:] |= same
    again[:-1] |= same
    again[again] = count[triples.relation[order[again]]] >= _FEWEST
    order = order[again]
    forward = triples.head[order] < triples.tail[order]
    shared = _shared(pair[again], 2 * triples.relation[order].astype(np.int64) + forward, size)
    return _alike(shared, count, size, least)


def _shared(pair: np.ndarray, kind: np.ndarray, size: int) -> pl.DataFrame:
    """Return columns ``code`` (two relations and whether they are inverse) and ``shared``, over
    rows sorted by pair; their kind is twice the relation, and one more for a row that is forward.
    """
    kinds = 2 * size
    found = [np.empty((2, 0), dtype=np.int64)]
    for start in range(0, len(pair), _BLOCK):
        first = np.arange(start, min(start + _BLOCK, len(pair)))
        found.append(_counts(_codes(pair, kind, kinds, first), kinds**2))

    numbers, times = np.concatenate(found, axis=1)
    one, other = numbers // kinds, numbers % kinds
    inverse = (one + other) % 2
    one //= 2
    other //= 2
    code = (np.minimum(one, other) * size + np.maximum(one, other)) * 2 + inverse
    return pl.DataFrame({"code": code, "shared": times}).group_by("code").sum()


def _codes(pair: np.ndarray, kind: np.ndarray, kinds: int, first: np.ndarray) -> np.ndarray:
    """Return two kinds as one number, for the rows ``first`` and each of their next rows that has
    the same pair.
    """
    found = [np.empty(0, dtype=np.int64)]
    for step in range(1, _NEIGHBORS + 1):
        first = first[: np.searchsorted(first, len(pair) - step)]
        first = first[pair[first] == pair[first + step]]
        if not len(first):
            break

        found.append(kind[first] * kinds + kind[first + step])

    return np.concatenate(found)


def _counts(code: np.ndarray, most: int) -> np.ndarray:
    """Return the distinct numbers and how often each is there, (2, numbers); all are below
    ``most``.
    """
    if most > len(code):
        return np.stack(np.unique(code, return_counts=True))

    times = np.bincount(code, minlength=most)
    numbers = np.flatnonzero(times)
    return np.stack([numbers, times[numbers]])


def _alike(shared: pl.DataFrame, count: np.ndarray, size: int, least: float) -> list[Likeness]:
    code = shared["code"].to_numpy()
    times = shared["shared"].to_numpy()
    one = code // 2 // size
    other = code // 2 % size
    inverse = code % 2 == 1
    times = np.where(
        one == other, 2 * times, times
    )  # both triples of a pair are the relation's own
    share = times / np.minimum(count[one], count[other])
    kept = (share >= least) & (times >= _FEWEST) & ((one != other) | inverse)
    order = np.flatnonzero(kept)
    order = order[np.lexsort((code[order], -times[order]))]

    return [
        Likeness(int(one[n]), int(other[n]), bool(inverse[n]), int(times[n]), float(share[n]))
        for n in order
    ]


def check_graph(
    graph: Triples,
    users: Vocabulary,
    num_items: int,
    parts: Mapping[str, Interactions],
    leaks: str,
    held_out: bool,
    report: ReportBuilder,
) -> Triples:
    """Return the graph, without the triples that state interactions where ``leaks`` is "drop".

    What was found goes to the report.

    Args:
        graph: The graph, the items its first entities.
        users: User ids.
        num_items: Number of items.
        parts: Interactions by part: train, valid, test.
        leaks: "keep" or "drop".
        held_out: Whether triples will be held out, which relations that say the same would give
            away.
        report: The report, which is added to.
    """
    stated = stated_interactions(graph, users, num_items, parts)
    if any(map(len, stated.values())):
        if leaks == "drop":
            graph = _without_stated(graph, num_items, stated, report)
        else:
            graph = _with_stated(graph, stated, report)

    alike = like_relations(graph)
    for inverse, kind in ((True, "near-inverse"), (False, "near-duplicate")):
        pairs = [like for like in alike if like.inverse == inverse and like.one != like.other]
        if pairs:
            report.counts[f"{kind} pairs of relations"] = len(pairs)
            report.warn(_listed(graph, pairs), _remedy(graph, pairs[0], held_out))

    symmetric = sum(like.one == like.other for like in alike)
    if symmetric:
        report.counts["relations that are their own inverse"] = symmetric

    return graph


def check_ids(ids: Vocabulary, report: ReportBuilder) -> None:
    """Warn of ids that look alike: the same but for white space around them, the way that
    Unicode writes them (NFKC), and a ".0" behind a whole number; for case where many do. Warn
    of words for nothing, and of numbers that a spreadsheet has shortened.
    """
    small = ids.series.str.to_lowercase()
    _warn_of(
        ids,
        small.str.strip_chars().is_in(list(_NOTHING)),
        report,
        "say that there is none",
        f"All rows with one count as those of one {ids.kind}: leave the rows out.",
    )
    _warn_of(
        ids,
        ids.series.str.contains(r"^\d(?:[.,]\d+)?[eE]\+\d\d?$"),
        report,
        "are numbers that a spreadsheet has shortened",
        "Different ids have become one: export the table again, with the column as text.",
    )
    cased = small.is_duplicated()
    if cased.sum() < _MANY_CASED * len(ids):
        cased = pl.repeat(False, len(ids), eager=True)
    _warn_of(
        ids,
        cased,
        report,
        "differ from another one by case alone",
        f"They count as different {ids.kind}s. Make them the same where they are.",
    )
    seen = ids.series.str.normalize("NFKC").str.strip_chars().str.replace_all(_INVISIBLE, "")
    seen = without_hyphens(without_point(seen))
    again = seen.is_duplicated()
    if again.any():
        first = seen.filter(again)[0]
        shown = " and ".join(ascii(key) for key in ids.series.filter(seen == first)[:2])
        report.warn(
            f"{int(again.sum()):,} {ids.kind} ids look like another one, for instance {shown}",
            f"They count as different {ids.kind}s. Make them the same where they are.",
        )


def _warn_of(
    ids: Vocabulary, found: pl.Series, report: ReportBuilder, what: str, remedy: str
) -> None:
    count = int(found.sum())
    if count:
        shown = ", ".join(ascii(key) for key in ids.series.filter(found)[:3])
        report.warn(f"{count:,} {ids.kind} ids {what}: {shown}", remedy)


def _with_stated(
    graph: Triples, stated: Mapping[str, np.ndarray], report: ReportBuilder
) -> Triples:
    for part, rows in stated.items():
        if len(rows):
            report.counts[f"triples that state {PART_WORDS[part]} interactions"] = len(rows)

    held = {part: rows for part, rows in stated.items() if part != "train" and len(rows)}
    if held:
        counts = " and ".join(f"{len(rows):,} {PART_WORDS[part]}" for part, rows in held.items())
        report.warn(
            f"The graph states {counts} interactions, the first in "
            f"{_place(graph, int(next(iter(held.values()))[0]))}",
            "A model that reads the graph knows what it is evaluated on. Leave such triples out "
            "with --leaks drop.",
        )

    if len(stated["train"]):
        report.warn(
            f"{len(stated['train']):,} triples restate training interactions",
            "Models with the graph see them twice, the others once. Leave such triples out with "
            "--leaks drop.",
        )

    return graph


def _without_stated(
    graph: Triples, num_items: int, stated: Mapping[str, np.ndarray], report: ReportBuilder
) -> Triples:
    kept = np.ones(len(graph), dtype=bool)
    for part, rows in stated.items():
        kept[rows] = False
        report.drop("triples", f"they state {PART_WORDS[part]} interactions", len(rows))
    return without_unused(graph.take(kept), num_items)


def _place(graph: Triples, row: int) -> str:
    """Return the source of a triple, with its line where that is known."""
    source = int(graph.source[row])
    line = abs(int(graph.locator[row]))
    if not line or source >= len(graph.sources):
        if source < len(graph.sources):
            return graph.sources[source]
        return "the graph"

    if graph.counts_statements(source):
        return f"{graph.sources[source]}, statement {line:,}"

    return f"{graph.sources[source]}:{line}"


def _listed(graph: Triples, pairs: Sequence[Likeness]) -> str:
    shown = [
        f"{graph.relations.key(like.one)} and {graph.relations.key(like.other)} "
        f"({int(100 * like.share)} % of the smaller one)"
        for like in pairs[:_SHOWN]
    ]
    more = f", and {len(pairs) - _SHOWN:,} more pairs" if len(pairs) > _SHOWN else ""
    kind = "are nearly inverse" if pairs[0].inverse else "say the same"
    return f"Relations that {kind}: {', '.join(shown)}{more}"


def _remedy(graph: Triples, like: Likeness, held_out: bool) -> str:
    count = np.bincount(graph.relation, minlength=len(graph.relations))
    smaller = graph.relations.key(min((like.other, like.one), key=count.__getitem__))
    why = "Such facts count twice."

    if held_out:
        why = "Held-out triples can be read off the other relation."
    elif like.inverse:
        why = "Models add inverses of their own, so such facts count twice."

    return f"{why} Leave one out, for instance with --without-relation {shlex.quote(smaller)}."
