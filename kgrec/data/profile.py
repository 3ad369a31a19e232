"""Statistics of a dataset that tell whether a graph can help on it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.data.records.report import Caution
from kgrec.data.records.triples import Triples

_EARLIEST, _LATEST = 3e8, 4.2e9  # 1979 to 2103: seconds that are dates
_MOST_SHOWN = 20
_MOST_RATINGS = 12
_TIME_BINS = 24
_CURVE_POINTS = 20


def profile(data: Dataset) -> dict[str, Any]:
    """Return what the interactions and the graph of a dataset look like, as JSON-ready values.

    Keys: ``interactions`` (None without users), ``graph`` (None without triples) and ``warnings``,
    those of the report first. Distributions are lists of ``{"from", "to", "count"}``, their bounds
    whole numbers, both inclusive, doubling from bin to bin.
    """
    figures: dict[str, Any] = {"interactions": None, "graph": None}
    if data.num_users:
        figures["interactions"] = _interactions(data)

    if len(data.triples):
        figures["graph"] = _graph(data)

    cautions = [*data.report.warnings, *_cautions(data, figures)]
    return figures | {
        "warnings": [{"what": caution.what, "remedy": caution.remedy} for caution in cautions]
    }


def _interactions(data: Dataset) -> dict[str, Any]:
    parts = {"train": data.train, "valid": data.valid, "test": data.test}
    whole = concatenate([data.train, data.valid, data.test])
    per_user = np.bincount(whole.user, minlength=data.num_users)
    per_item = np.bincount(whole.item, minlength=data.num_items)
    trained = np.zeros(data.num_items, dtype=bool)
    trained[data.train.item] = True
    known = np.zeros(data.num_users, dtype=bool)
    known[data.train.user] = True
    held = {name: parts[name] for name in ("valid", "test")}

    return {
        "total": len(whole),
        "density": len(whole) / max(data.num_users * data.num_items, 1),
        "per_user": _spread(per_user),
        "per_item": _spread(per_item),
        "cold_items": int((~trained).sum()),
        "cold_users": int((~known).sum()),
        "held_out_cold": {
            name: {
                "items": int((~trained[np.unique(part.item)]).sum()),
                "users": int((~known[np.unique(part.user)]).sum()),
            }
            for name, part in held.items()
        },
        "popularity": _curve(per_item),
        "times": _times(parts),
        "ratings": _ratings(whole.rating),
    }


def _spread(counts: np.ndarray) -> dict[str, Any]:
    """Return how counts are spread."""
    if not len(counts):
        return {"least": 0, "median": 0.0, "mean": 0.0, "most": 0, "none": 0, "bins": []}

    return {
        "least": int(counts.min()),
        "median": float(np.median(counts)),
        "mean": float(counts.mean()),
        "most": int(counts.max()),
        "none": int((counts == 0).sum()),
        "bins": _bins(counts),
    }


def _bins(counts: np.ndarray) -> list[dict[str, int]]:
    """Return how many counts are 0, 1, 2 to 3, 4 to 7, ..."""
    level = np.zeros(len(counts), dtype=np.int64)
    level[counts > 0] = np.floor(np.log2(counts[counts > 0])).astype(np.int64) + 1
    found = np.bincount(level)

    return [
        {"from": 2**n // 2, "to": 2**n - 1, "count": int(found[n])}
        for n in range(int(np.argmax(found > 0)), len(found))
    ]


def _curve(per_item: np.ndarray) -> list[list[float]]:
    """Return pairs of a share of the items, the most popular first, and their share of the
    interactions.
    """
    total = int(per_item.sum())
    if not total:
        return []

    summed = np.concatenate([[0], np.cumsum(np.sort(per_item)[::-1])])
    shares = np.linspace(0, 1, _CURVE_POINTS + 1)
    return [[float(share), float(summed[round(share * len(per_item))] / total)] for share in shares]


def _times(parts: Mapping[str, Interactions]) -> dict[str, Any] | None:
    """Return the range of times and how many interactions of each part are in each of 24 equal
    pieces of it.
    """
    times = {
        name: part.time[np.isfinite(part.time)]
        for name, part in parts.items()
        if part.time is not None and len(part)
    }
    every = np.concatenate([*times.values(), np.empty(0)])
    if not len(every):
        return None

    first = float(every.min())
    last = float(every.max())
    dates: tuple[str | None, str | None] = (None, None)
    if first >= _EARLIEST and last <= _LATEST:
        dates = (_date(first), _date(last))

    return {
        "first": first,
        "last": last,
        "first_date": dates[0],
        "last_date": dates[1],
        "missing": sum(len(part) for part in parts.values()) - len(every),
        "counts": {name: _pieces(part, first, last) for name, part in times.items()},
    }


def _pieces(times: np.ndarray, first: float, last: float) -> list[int]:
    """Return how many times are in each of 24 equal pieces of a range, which may be as wide as
    numbers go.
    """
    span = last / 4 - first / 4
    if span > 0:
        bin_of = np.floor((times / 4 - first / 4) / span * _TIME_BINS)
    else:
        bin_of = np.zeros(len(times))

    counts: list[int] = np.bincount(
        np.clip(bin_of, 0, _TIME_BINS - 1).astype(np.int64), minlength=_TIME_BINS
    ).tolist()
    return counts


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _ratings(rating: np.ndarray | None) -> list[list[float | int]] | None:
    """Return each rating and how often it was given.

    Returns None if there are none, or too many kinds.
    """
    if rating is None:
        return None

    values, counts = np.unique(rating[np.isfinite(rating)], return_counts=True)
    if not 0 < len(values) <= _MOST_RATINGS:
        return None

    return [[float(value), int(count)] for value, count in zip(values, counts, strict=True)]


def _graph(data: Dataset) -> dict[str, Any]:
    graph = data.triples
    size = data.num_entities
    degree = np.bincount(graph.head, minlength=size) + np.bincount(graph.tail, minlength=size)
    covered = degree[: data.num_items] > 0
    items = np.concatenate([part.item for part in (data.train, data.valid, data.test)])

    return {
        "items_with_triples": int(covered.sum()),
        "interactions_with_triples": int(covered[items].sum()),
        "per_item": _spread(degree[: data.num_items]),
        "per_entity": _spread(degree[data.num_items :]),
        "in_one_triple": int((degree[data.num_items :] == 1).sum()),
        "labelled": size - graph.labels.null_count(),
        "relations": _relations(data),
        "types": _types(graph),
        "hubs": _hubs(graph, degree, data.num_items),
        "components": _components(graph, degree > 0, data.num_items),
    }


def _relations(data: Dataset) -> dict[str, Any]:
    """Return the relations with the most triples, facts about users among them."""
    graph = data.triples
    counts = np.bincount(graph.relation, minlength=data.num_relations) + np.bincount(
        data.user_facts[:, 1], minlength=data.num_relations
    )
    order = np.argsort(-counts, kind="stable")
    shown = [
        {
            "key": graph.relations.key(row),
            "label": graph.relation_label(row),
            "triples": int(counts[row]),
        }
        for row in order[:_MOST_SHOWN]
    ]

    return {
        "bins": _bins(counts),
        "most": shown,
        "others": max(len(order) - _MOST_SHOWN, 0),
        "in_others": int(counts[order[_MOST_SHOWN:]].sum()),
    }


def _types(graph: Triples) -> list[dict[str, Any]]:
    found = (
        graph.types["type"]
        .value_counts(sort=True)
        .sort(["count", "type"], descending=[True, False])
        .head(_MOST_SHOWN)
    )
    return [{"key": str(key), "entities": int(count)} for key, count in found.iter_rows()]


def _hubs(graph: Triples, degree: np.ndarray, num_items: int) -> list[dict[str, Any]]:
    """Return the entities with the most triples."""
    most = np.argsort(-degree, kind="stable")[: _MOST_SHOWN // 2]
    return [
        {
            "key": graph.entities.key(row),
            "label": graph.label(row),
            "triples": int(degree[row]),
            "item": bool(row < num_items),
        }
        for row in most
    ]


def _components(graph: Triples, used: np.ndarray, num_items: int) -> dict[str, Any]:
    """Return how the entities that have triples hang together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(graph.entities)
    edges = coo_array(
        (np.ones(len(graph), dtype=bool), (graph.head, graph.tail)), shape=(size, size)
    )
    component = connected_components(edges, directed=False)[1]
    sizes = np.bincount(component[used])
    largest = int(np.argmax(sizes))

    return {
        "count": int((sizes > 0).sum()),
        "largest": int(sizes[largest]),
        "entities": int(used.sum()),
        "items_in_largest": int((component[:num_items][used[:num_items]] == largest).sum()),
        "bins": _bins(sizes[sizes > 0]),
    }


def _cautions(data: Dataset, figures: Mapping[str, Any]) -> list[Caution]:
    """Return what the numbers say that is worth acting on."""
    if figures["interactions"] is None:
        found = []
    else:
        found = _of_interactions(data, figures["interactions"])

    lost = [dropped for dropped in data.report.dropped if dropped.what == "lines"]
    if lost:
        count = sum(dropped.count for dropped in lost)
        first = next((line for dropped in lost for line in dropped.where), "")
        found.append(
            Caution(
                f"{count:,} lines could not be read and were left out",
                f"Look at {first or 'the sources'}, and correct what is wrong.",
            )
        )

    if figures["graph"] is None:
        return found

    return found + _of_graph(data, figures)


def _of_interactions(data: Dataset, figures: Mapping[str, Any]) -> list[Caution]:
    found = []
    if data.num_users and figures["per_user"]["median"] < 5:
        found.append(
            Caution(
                f"Half of the users have {figures['per_user']['median']:g} interactions or fewer",
                "Little can be learned of them. Build with --k-core 5 for figures that compare "
                "with papers.",
            )
        )

    ratings = figures["ratings"]
    if ratings and len(ratings) > 2 and data.settings.get("min_rating") is None:
        middle = (ratings[0][0] + ratings[-1][0]) / 2
        low = sum(count for value, count in ratings if value < middle) / max(
            sum(count for _, count in ratings), 1
        )
        if low >= 0.1:
            found.append(
                Caution(
                    f"{low:.0%} of the ratings are below the middle of the scale, and count as "
                    "interactions like the others",
                    "Leave out what was not liked with --min-rating, for instance "
                    f"{np.ceil(middle):g}.",
                )
            )

    return found


def _of_graph(data: Dataset, figures: Mapping[str, Any]) -> list[Caution]:
    found = []
    graph = figures["graph"]

    if figures["interactions"]:
        total = figures["interactions"]["total"]
    else:
        total = 0

    if total:
        missed = 1 - graph["interactions_with_triples"] / total
    else:
        missed = 0.0

    if graph["items_with_triples"] and missed >= 0.2:
        found.append(
            Caution(
                f"{missed:.0%} of the interactions are with items that have no triple",
                "There the graph cannot help. Link more items (--links), or add a graph that "
                "knows them (--kg).",
            )
        )

    others = data.num_entities - data.num_items
    if others and graph["items_with_triples"] and graph["in_one_triple"] > others / 2:
        found.append(
            Caution(
                f"{graph['in_one_triple'] / others:.0%} of the entities that are no items are in "
                "one triple only",
                "They join nothing, and cost memory. Leave them out with --min-entity 2.",
            )
        )

    most = graph["relations"]["most"][0]
    facts = len(data.triples) + len(data.user_facts)
    if data.num_relations > 2 and most["triples"] > 0.7 * facts:
        found.append(
            Caution(
                f"{most['triples'] / facts:.0%} of the facts are of one relation, {most['label']}",
                "It can drown the others. Try without it (--without-relation), and compare.",
            )
        )

    return found
