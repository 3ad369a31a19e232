"""What drives many recommendations: shares of relations, kinds and patterns, and what happens
without a relation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kgrec.errors import CapabilityError, ConfigError, nearest
from kgrec.explanation.core.answers import Share, Summary
from kgrec.explanation.core.records import Path
from kgrec.explanation.effects.integrated_gradients import attribute
from kgrec.explanation.effects.measured import LinearModel
from kgrec.log import logger
from kgrec.models.base import Scorer
from kgrec.models.capabilities import Rerunnable
from kgrec.random import numpy_generator

if TYPE_CHECKING:
    from kgrec.explanation.explainer import Explainer

BY = ("relation", "type", "pattern")
_SAMPLE = 200
_KNOCKED_OUT = 20
Judge = Callable[[Scorer], Mapping[str, float]]


def summarize(
    ex: "Explainer",
    users: Sequence[str] | str | None = None,
    k: int = 10,
    by: str = "relation",
    knock_out: bool = False,
    judge: Judge | None = None,
    seed: int = 0,
) -> Summary:
    """Return what each relation, kind of edge or pattern carries of users' first ``k``
    recommendations; see ``Explainer.summary``.
    """
    if by not in BY:
        raise ConfigError(f"by={by!r} is not known. Choose from {', '.join(BY)}.{nearest(by, BY)}")
    if k < 1:
        raise ConfigError(f"k is {k}. Take at least one recommendation of each user.")
    if ex.effects is None:
        raise CapabilityError(
            f"no fact of the graph has an effect on {ex.name}'s scores: no relation carries a "
            "part of them."
        )
    rows = _users(ex, users, seed)
    lists = [ex.standing(user).order()[:k] for user in rows.tolist()]
    pairs = (
        np.repeat(rows, [len(items) for items in lists]),
        np.concatenate([np.empty(0, np.int64), *lists]),
    )
    if not len(pairs[0]):
        raise ConfigError("none of these users has a recommendation. Name others.")
    if by == "pattern":
        return _patterns(ex, pairs, len(rows), k)
    values, score, start, basis = _edges(ex, *pairs)
    if by == "relation":
        shares = _of_relations(ex, values)
    else:
        shares = _of_kinds(ex, values)
    if knock_out and by == "relation":
        shares = _knocked_out(ex, shares, rows, lists, k, judge)
    return Summary(
        by=by,
        pairs=len(pairs[0]),
        users=len(rows),
        score=score,
        without_graph=start,
        shares=tuple(shares),
        residual=None if start is None else score - start - float(values.sum()),
        basis=basis,
        manifest=ex.manifest(k=k, by=by, users=len(rows), seed=seed),
        note="The parts of the edges add up to what the graph adds to the scores."
        if basis == "exact"
        else (
            "First-order effects at the graph as it is; they need not add up to what the whole "
            "graph adds."
        ),
    )


def _users(ex: "Explainer", users: Sequence[str] | str | None, seed: int) -> np.ndarray:
    active = np.flatnonzero(np.diff(ex.train.indptr))
    if users is None:
        chosen = numpy_generator(seed, "summary").choice(
            active, min(_SAMPLE, len(active)), replace=False
        )
        return np.asarray(np.sort(chosen))
    if isinstance(users, str):
        if users == "all" and "all" not in ex.data.users:
            return active
        return ex.data.users.rows([users])
    return ex.data.users.rows(users)


def _edges(
    ex: "Explainer", users: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, float, float | None, str]:
    """Return the part of each edge of the path graph, the sum of the scores, the same without a
    graph, and what kind of number it is.
    """
    graph = ex.graph
    if isinstance(ex.effects, LinearModel):
        found = attribute(
            ex.effects.linear, users + graph.ckg.num_entities, items, graph.low, graph.high
        )
        return found.values, found.score, found.start, "exact"
    total = np.zeros(graph.num_edges)
    score = 0.0
    assert ex.effects is not None
    every = np.arange(graph.num_edges)
    for number, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True), 1):
        effects = ex.effects.at(user, item)
        total += effects.removal(every)
        score += float(effects.without([])[0, 0])
        if number % 100 == 0:
            logger.info("%d of %d recommendations", number, len(users))
    return total, score, None, "linearised"


def _shares(
    names: list[tuple[str, str]], values: np.ndarray, facts: np.ndarray | None
) -> list[Share]:
    total = float(np.abs(values).sum())
    order = np.lexsort([np.arange(len(values)), -values])
    return [
        Share(
            names[n][0],
            names[n][1],
            float(values[n]),
            float(abs(values[n]) / total) if total else 0.0,
            None if facts is None else int(facts[n]),
        )
        for n in order.tolist()
    ]


def _of_relations(ex: "Explainer", values: np.ndarray) -> list[Share]:
    """Return the parts of relations; parallel relations that share one weight have equal parts of
    it.
    """
    graph = ex.graph
    ckg = ex.graph.ckg
    stated = np.unique(graph.edge_of_fact() * ckg.num_relations + ckg.relation[graph.edge_facts()])
    edge = stated // ckg.num_relations
    relation = stated % ckg.num_relations
    part = values / np.maximum(np.bincount(edge, minlength=graph.num_edges), 1)
    sums = np.bincount(relation, weights=part[edge], minlength=ckg.num_relations)
    facts = np.bincount(ckg.relation, minlength=ckg.num_relations)
    used = np.flatnonzero(facts)
    names = [(ex.naming.relation_key(int(r)), ex.naming.relation_label(int(r))) for r in used]
    return _shares(names, sums[used], facts[used])


def _of_kinds(ex: "Explainer", values: np.ndarray) -> list[Share]:
    ckg = ex.graph.ckg
    graph = ex.graph
    kind = np.full(ckg.num_nodes, 2)
    kind[: ckg.num_items], kind[ckg.num_entities :] = 1, 0
    names = ("user", "item", "entity")
    low, high = np.sort(np.stack([kind[graph.low], kind[graph.high]]), axis=0)
    sums = np.bincount(low * 3 + high, weights=values, minlength=9)
    facts = np.bincount(low * 3 + high, minlength=9)
    used = np.flatnonzero(facts)
    labels = [
        (f"{names[n // 3]}-{names[n % 3]}", f"{names[n // 3]} and {names[n % 3]}")
        for n in used.tolist()
    ]
    return _shares(labels, sums[used], facts[used])


def pattern_of(path: Path) -> str:
    """Return the relations of a path in order, those read from tail to head marked: "interacts >
    genre > genre (back)".
    """
    return " > ".join(hop.relation_label + ("" if hop.forward else " (back)") for hop in path.hops)


def _patterns(ex: "Explainer", pairs: tuple[np.ndarray, np.ndarray], users: int, k: int) -> Summary:
    """Return the measured drops of the best paths by pattern."""
    found: dict[str, list[float]] = {}
    score = 0.0
    for number, (user, item) in enumerate(zip(*(part.tolist() for part in pairs), strict=True), 1):
        told = ex.explain(ex.data.users.key(user), ex.data.items.key(item))
        score += told.score
        for path in told.paths:
            found.setdefault(pattern_of(path), []).append(path.drop_delete)
        if number % 100 == 0:
            logger.info("%d of %d recommendations", number, len(pairs[0]))
    names = sorted(found)
    shares = _shares(
        [(name, name) for name in names],
        np.array([sum(found[name]) for name in names]),
        np.array([len(found[n]) for n in names]),
    )
    return Summary(
        by="pattern",
        pairs=len(pairs[0]),
        users=users,
        score=score,
        without_graph=None,
        shares=tuple(shares),
        residual=None,
        basis="exact" if isinstance(ex.effects, LinearModel) else "measured",
        manifest=ex.manifest(k=k, by="pattern", users=users),
        note="Drops of each recommendation's ten best paths, by pattern; paths share facts, so "
        "drops overlap and are no parts of a whole.",
    )


def _knocked_out(
    ex: "Explainer",
    shares: list[Share],
    rows: np.ndarray,
    lists: list[np.ndarray],
    k: int,
    judge: Judge | None,
) -> list[Share]:
    """Return the shares with what happens to lists and metrics when all facts of a relation go; the
    largest relations first.
    """
    ckg = ex.graph.ckg
    if judge:
        before = dict(judge(ex.scorer))
    else:
        before = {}
    out = []
    for place, share in enumerate(shares):
        if place >= _KNOCKED_OUT or not isinstance(ex.model, Rerunnable):
            out.append(share)
            continue
        relation = next(
            r for r in range(ckg.num_relations) if ex.naming.relation_key(r) == share.key
        )
        scorer = ex.without(np.flatnonzero(ckg.relation == relation))
        same = [
            len(np.intersect1d(ex.standing(user, scorer).order()[: len(items)], items)) / len(items)
            for user, items in zip(rows.tolist(), lists, strict=True)
            if len(items)
        ]
        if judge:
            after = dict(judge(scorer))
        else:
            after = {}
        change = {name: after[name] - before[name] for name in before}
        out.append(
            Share(
                share.key,
                share.label,
                share.value,
                share.share,
                share.facts,
                change,
                float(np.mean(same)),
            )
        )
        logger.info("without %s: %.0f %% of the lists stay", share.label, 100 * np.mean(same))
    return out
