"""A look at a graph before anything is built of it: what to clean, and what could be used."""

from typing import Any

import numpy as np
import polars as pl

from kgrec.data.graphs.assemble import BLANK
from kgrec.data.records.triples import Triples
from kgrec.data.shaping.namespaces import shortened
from kgrec.data.shaping.options import cautions
from kgrec.data.shaping.profiles import vocabularies
from kgrec.data.texts.spoiled import spoiled_labels

_SHOWN = 20
_HUBS = 10
_ALIKE = 0.9  # share of the smaller relation's pairs that the other has too
_FEW = 5  # triples that a relation needs to be compared with others
_UNLABELED = 0.2
_HUB_SHARE = 0.1


def survey(triples: Triples) -> dict[str, Any]:
    """Return what is in a graph as JSON-ready values.

    Keys: counts, ``vocabularies``, ``relations``, ``classes``, ``literals``, ``labels``,
    ``near_equal`` IRIs, ``duplicate`` and ``inverse`` relations, ``hubs``, ``components``,
    ``candidates`` for items, ``dropped`` and ``warnings``.
    """
    degree = _degrees(triples)
    figures: dict[str, Any] = {
        "kind": "graph",
        "sources": list(triples.sources),
        "entities": len(triples.entities),
        "relations": len(triples.relations),
        "triples": len(triples),
        "literals": triples.attributes.height,
        "vocabularies": list(vocabularies(triples)),
        "counts": dict(triples.counts),
        "labels": _labels(triples, degree),
        "relation_list": _relations(triples),
        "classes": _classes(triples),
        "properties": _properties(triples),
        "near_equal": near_equal(triples),
        **_relation_pairs(triples),
        "hubs": _hubs(triples, degree),
        "components": _components(triples),
        "candidates": candidates(triples, degree),
        "dropped": [
            {"what": one.what, "why": one.why, "count": one.count} for one in triples.dropped
        ],
    }
    found = [*cautions(triples.counts, len(triples)), *spoiled_labels(triples)]
    warnings = [{"what": one.what, "remedy": one.remedy} for one in found]
    return figures | {"warnings": warnings + _warnings(figures)}


def _degrees(triples: Triples) -> np.ndarray:
    size = len(triples.entities)
    return np.bincount(triples.head, minlength=size) + np.bincount(triples.tail, minlength=size)


def _labels(triples: Triples, degree: np.ndarray) -> dict[str, Any]:
    blank = triples.entities.series.str.starts_with(BLANK).to_numpy()
    missing = triples.labels.is_null().to_numpy() & ~blank
    order = np.argsort(-degree * missing, kind="stable")[:5]
    languages = triples.attributes.filter(pl.col("language").fill_null("") != "")
    return {
        "entities_without": int(missing.sum()),
        "blank_nodes": int(blank.sum()),
        "relations_without": int(triples.relation_labels.is_null().sum()),
        "most_frequent_without": [triples.entities.key(row) for row in order if missing[row]],
        "languages": dict(
            languages.group_by("language")
            .len()
            .sort("len", "language", descending=[True, False])
            .head(_SHOWN)
            .iter_rows()
        ),
    }


def _relations(triples: Triples) -> list[dict[str, Any]]:
    frame = pl.DataFrame({"relation": triples.relation, "head": triples.head, "tail": triples.tail})
    counted = frame.group_by("relation").agg(
        pl.len().alias("triples"),
        pl.col("head").n_unique().alias("heads"),
        pl.col("tail").n_unique().alias("tails"),
    )
    counted = counted.sort("triples", "relation", descending=[True, False])
    return [
        {
            "relation": triples.relations.key(row),
            "label": triples.relation_label(row),
            "triples": count,
            "heads": heads,
            "tails": tails,
        }
        for row, count, heads, tails in counted.iter_rows()
    ]


def _classes(triples: Triples) -> list[dict[str, Any]]:
    sizes = triples.types.group_by("type").len().sort("len", "type", descending=[True, False])
    return [{"class": name, "entities": count} for name, count in sizes.head(_SHOWN).iter_rows()]


def _properties(triples: Triples) -> list[dict[str, Any]]:
    counted = triples.attributes.group_by("name").agg(
        pl.len().alias("values"),
        pl.col("entity").n_unique().alias("entities"),
        pl.col("value").n_unique().alias("distinct"),
        pl.col("value").min().alias("example"),
    )
    counted = counted.sort("values", "name", descending=[True, False]).head(_SHOWN)
    return [
        {
            "property": row["name"],
            "values": row["values"],
            "entities": row["entities"],
            "distinct": row["distinct"],
            "example": str(row["example"])[:80],
            "identifies": row["distinct"] == row["values"] == row["entities"] and row["values"] > 1,
        }
        for row in counted.iter_rows(named=True)
    ]


def near_equal(triples: Triples) -> list[list[str]]:
    """Return groups of entities whose keys differ in case, scheme, "www.", percent signs,
    underscores, or a slash at the end.
    """
    keys = triples.entities.series.filter(~triples.entities.series.str.starts_with(BLANK))
    plain = keys.str.to_lowercase().str.replace(r"^https?://(?:www\.)?", "")
    plain = plain.str.replace_all(r"%20|[\s_+]", "_").str.strip_chars_end("/#")
    odd = plain.str.contains("%", literal=True)
    if odd.any():
        from urllib.parse import unquote

        decoded = pl.Series([unquote(one) for one in plain.filter(odd)], dtype=pl.String)
        plain = plain.scatter(odd.arg_true(), decoded)

    frame = pl.DataFrame({"plain": plain, "key": keys})
    groups = frame.group_by("plain").agg(pl.col("key").sort()).filter(pl.col("key").list.len() > 1)
    return [list(group) for group in groups.sort("plain")["key"].head(_SHOWN * 5)]


def _relation_pairs(triples: Triples) -> dict[str, list[dict[str, Any]]]:
    """Return relations that state the same pairs, and those that state them the other way."""
    size = np.int64(max(len(triples.entities), 1))
    sizes = np.bincount(triples.relation, minlength=len(triples.relations))
    straight = triples.head.astype(np.int64) * size + triples.tail
    turned = triples.tail.astype(np.int64) * size + triples.head
    pairs = pl.DataFrame({"pair": straight, "relation": triples.relation}).unique()
    found: dict[str, list[dict[str, Any]]] = {}
    for name, codes in (("duplicate", straight), ("inverse", turned)):
        other = pl.DataFrame({"pair": codes, "other": triples.relation}).unique()
        same = pairs.join(other, on="pair").group_by("relation", "other").len()
        same = same.filter(
            (pl.col("relation") < pl.col("other"))
            if name == "duplicate"
            else (pl.col("relation") <= pl.col("other"))
        )
        rows = []
        for one, two, count in same.sort(
            "len", "relation", "other", descending=[True, False, False]
        ).iter_rows():
            least = int(min(sizes[one], sizes[two]))
            if least >= _FEW and count >= _ALIKE * least:
                rows.append(
                    {
                        "relations": [triples.relations.key(one), triples.relations.key(two)],
                        "pairs": count,
                        "share": count / least,
                    }
                )

        found[name] = rows[:_SHOWN]

    return found


def _hubs(triples: Triples, degree: np.ndarray) -> list[dict[str, Any]]:
    order = np.argsort(-degree, kind="stable")[:_HUBS]
    return [
        {
            "entity": triples.entities.key(row),
            "label": triples.label(row),
            "triples": int(degree[row]),
        }
        for row in order.tolist()
        if degree[row]
    ]


def _components(triples: Triples) -> dict[str, int]:
    from scipy.sparse import coo_array  # heavy, and wanted here alone
    from scipy.sparse.csgraph import connected_components

    size = len(triples.entities)
    if not len(triples):
        return {"count": 0, "largest": 0, "without_triples": size}

    ones = np.ones(len(triples), dtype=bool)
    joined = coo_array((ones, (triples.head, triples.tail)), shape=(size, size))
    groups = connected_components(joined, directed=False)[1]
    used = np.unique(np.concatenate([triples.head, triples.tail]))
    sizes = np.bincount(groups[used])
    return {
        "count": int((sizes > 0).sum()),
        "largest": int(sizes.max()),
        "without_triples": size - len(used),
    }


def candidates(triples: Triples, degree: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Return kinds of entities that could be items, the richest first.

    A kind is a class, or a namespace where nothing is typed. ``shared`` is the share of its
    entities that have a neighbor with another one of the kind: what a recommender can use.
    """
    degree = _degrees(triples) if degree is None else degree
    kinds = triples.types.rename({"type": "kind"})
    if not kinds.height:
        keys = triples.entities.series
        kinds = pl.DataFrame(
            {
                "entity": np.arange(len(keys), dtype=np.int32),
                "kind": pl.select(
                    pl.when(keys.str.contains("://", literal=True))
                    .then(keys.str.replace(r"[^/#]*$", ""))
                    .otherwise(keys.str.replace(r"[^:=]*$", ""))
                ).to_series(),
            }
        ).filter(pl.col("kind") != "")

    sizes = kinds.group_by("kind").len().filter(pl.col("len") > 1)
    sizes = sizes.sort("len", "kind", descending=[True, False]).head(_SHOWN)
    rows = []
    for kind, count in sizes.iter_rows():
        own = kinds.filter(pl.col("kind") == kind)["entity"].to_numpy()
        rows.append({"kind": kind, "entities": count, **_usable(triples, own, degree)})

    return sorted(rows, key=lambda row: (-row["shared"] * row["entities"], row["kind"]))


def _usable(triples: Triples, own: np.ndarray, degree: np.ndarray) -> dict[str, float]:
    mask = np.zeros(len(triples.entities), dtype=bool)
    mask[own] = True
    out = np.flatnonzero(mask[triples.head])
    into = np.flatnonzero(mask[triples.tail])
    one = np.concatenate([triples.head[out], triples.tail[into]])
    other = np.concatenate([triples.tail[out], triples.head[into]])
    pairs = pl.DataFrame({"one": one, "other": other}).unique()
    meeting = pairs.filter(pl.len().over("other") > 1)["one"].n_unique()
    return {
        "triples_per_entity": float(degree[own].mean()),
        "shared": meeting / max(len(np.unique(own)), 1),
    }


def _warnings(figures: dict[str, Any]) -> list[dict[str, str]]:
    found: list[tuple[str, str]] = []
    labels = figures["labels"]
    named = max(figures["entities"] - labels["blank_nodes"], 1)
    if labels["entities_without"] > _UNLABELED * named:
        found.append(
            (
                f"{labels['entities_without']:,} of {named:,} entities have no label",
                "Name the predicates that give labels with labels=IRI (--kg-set labels=IRI), or add a "
                "file of labels; explanations show the ends of IRIs instead.",
            )
        )

    if figures["near_equal"]:
        one = " and ".join(figures["near_equal"][0][:2])
        found.append(
            (
                f"{len(figures['near_equal'])} groups of IRIs are nearly equal, for instance {one}",
                "Correct them, or join them with owl:sameAs and same_as=merge (--kg-set "
                "same_as=merge).",
            )
        )

    for name, what, remedy in (
        ("duplicate", "state the same pairs", "Leave one out with --without-relation."),
        (
            "inverse",
            "state the same pairs the other way around",
            "Leave one out with --without-relation; models walk edges both ways.",
        ),
    ):
        for pair in figures[name][:3]:
            one, two = (shortened(key) for key in pair["relations"])
            words = f"{one} and {two}" if one != two else f"{one} and itself"
            found.append((f"{words} {what} ({pair['pairs']:,})", remedy))

    hubs = [hub for hub in figures["hubs"] if hub["triples"] > _HUB_SHARE * figures["triples"]]
    if hubs and figures["triples"] > 100:
        found.append(
            (
                f"{hubs[0]['label']} is in {hubs[0]['triples']:,} of {figures['triples']:,} triples",
                "What nearly everything has decides nothing: leave its relation out, or follow no "
                "hubs with hops=2,0,1000.",
            )
        )

    return [{"what": what, "remedy": remedy} for what, remedy in found]
