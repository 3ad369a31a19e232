"""The part of a graph around the items, step by step, with limits."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import polars as pl

from kgrec.data.graphs.filter import without_unused
from kgrec.data.io.files import bare_suffix, reading
from kgrec.data.records.report import Dropped
from kgrec.data.records.triples import Triples
from kgrec.data.tables.ordering import text_order
from kgrec.errors import ConfigError

MOST_TRIPLES = 50_000_000  # a graph of more is not read to be kept nearly whole

_SAMPLE = 4 << 20
_PACKED = 10  # how much smaller a compressed file usually is
_NEARLY_ALL = 0.5


def around_items(
    triples: Triples, num_items: int, steps: int, per_relation: int = 0, hub: int = 0
) -> tuple[Triples, tuple[Dropped, ...]]:
    """Return the triples within so many steps of an item, along either direction.

    Args:
        triples: The graph, the items its first entities.
        num_items: Number of items.
        steps: How far; 1 keeps the triples of items alone.
        per_relation: Most triples that an entity is followed by for each relation and direction,
            0 for no limit: first those whose other end has most triples, then by its key.
        hub: Entities with more triples are reached and not followed further, 0 for no limit; items
            are always followed.
    """
    size = len(triples.entities)
    degree = np.bincount(triples.head, minlength=size) + np.bincount(triples.tail, minlength=size)
    order = np.empty(size, dtype=np.int64)
    order[text_order(triples.entities.series)] = np.arange(size)
    followed = np.zeros(size, dtype=bool)
    reached = np.zeros(size, dtype=bool)
    reached[:num_items] = True
    kept = np.zeros(len(triples), dtype=bool)
    cut = np.zeros(len(triples), dtype=bool)
    hubs = np.zeros(size, dtype=bool)
    if hub:
        hubs = degree > hub
        hubs[:num_items] = False

    for _ in range(steps):
        frontier = reached & ~followed & ~hubs
        if not frontier.any():
            break

        followed |= frontier
        for own, other in ((triples.head, triples.tail), (triples.tail, triples.head)):
            rows = np.flatnonzero(frontier[own])
            chosen = rows
            if per_relation:
                chosen = _first(triples, rows, own, other, degree, order, per_relation)
                cut[rows] = True

            kept[chosen] = True
            reached[other[chosen]] = True

    beside_hubs = hubs & reached
    at_hub = ~kept & ~cut & (beside_hubs[triples.head] | beside_hubs[triples.tail])
    lost = (
        (f"beyond {per_relation} of an entity, relation and direction", int((cut & ~kept).sum())),
        (f"of entities with more than {hub} triples, which are not followed", int(at_hub.sum())),
        (f"more than {steps} steps from every item", int((~kept & ~cut & ~at_hub).sum())),
    )
    found = without_unused(triples.take(kept), num_items)
    return found, tuple(Dropped("triples", why, count) for why, count in lost if count)


def _first(
    triples: Triples,
    rows: np.ndarray,
    own: np.ndarray,
    other: np.ndarray,
    degree: np.ndarray,
    order: np.ndarray,
    most: int,
) -> np.ndarray:
    """Return the first rows of each entity and relation."""
    frame = pl.DataFrame(
        {
            "row": rows,
            "own": own[rows],
            "relation": triples.relation[rows],
            "degree": -degree[other[rows]],
            "order": order[other[rows]],
        }
    )
    ranked = frame.sort("own", "relation", "degree", "order")
    first = ranked.group_by("own", "relation", maintain_order=True).head(most)["row"]
    return np.asarray(first.to_numpy())


def check_reach(sources: Sequence[object], items: int, reach: tuple[int, int, int]) -> None:
    """Refuse to read a huge graph of which nearly everything would be kept, by its first bytes.

    Args:
        sources: Files; others are not looked at.
        items: Number of items.
        reach: Steps and limits, see ``around_items``.

    Raises:
        ConfigError: If more than 50 million triples are expected, and most of them within reach.
    """
    total = 0.0
    heads = 0.0
    for source in sources:
        for path in _files(source):
            lines, own = _estimated(path)
            total += lines
            heads += own

    if total <= MOST_TRIPLES:
        return

    steps, per_relation, _ = reach
    degree = 2 * total / max(heads, 1)
    if per_relation:
        degree = min(degree, 2 * per_relation)

    reached = float(items)
    kept = 0.0
    for _ in range(steps):
        kept += reached * degree
        reached *= degree

    if kept >= _NEARLY_ALL * total:
        raise ConfigError(
            f"hops: about {total:,.0f} triples, and {steps} steps from {items:,} items reach "
            f"{min(kept / total, 1):.0%} of them or more (estimated from the first bytes). Take "
            "fewer steps, a limit such as hops=2,20,1000, or only some predicates."
        )


def _files(source: object) -> list[Path]:
    """Return the files that a source is, or that are in it where it is a folder."""
    if not isinstance(source, str | PathLike):
        return []

    path = Path(source)
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in inside if file.is_file()]


def _estimated(path: Path) -> tuple[float, float]:
    """Return about how many statements, and entities that begin one, a file of lines has."""
    with reading(path) as stream:
        sample = stream.read(_SAMPLE)

    lines = sample.count(b"\n")
    if not lines:
        return 0.0, 0.0

    size = path.stat().st_size
    if bare_suffix(path) != path.suffix.lstrip(".").lower():
        size *= _PACKED

    heads = len({line.split(None, 1)[0] for line in sample.split(b"\n") if line.strip()})
    times = max(size / len(sample), 1.0)
    return lines * times, heads * times
