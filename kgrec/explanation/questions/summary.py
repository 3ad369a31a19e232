"""What drives many recommendations: shares of relations, kinds of edges and patterns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from kgrec.errors import CapabilityError, ConfigError, nearest
from kgrec.explanation.core.answers import Share, Summary
from kgrec.explanation.core.records import Path
from kgrec.explanation.effects.integrated_gradients import attribute
from kgrec.explanation.effects.measured import LinearModel
from kgrec.explanation.questions.why import explain
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.explanation.search.ranked import PathSearch
from kgrec.log import logger
from kgrec.models.base import Scorer
from kgrec.models.capabilities import Rerunnable
from kgrec.random import numpy_generator

BY = ("relation", "type", "pattern")
_SAMPLE = 200
_KNOCKED_OUT = 20
_NOTES = {
    "exact": "The parts of the edges add up to what the graph adds to the scores.",
    "linearized": "First-order effects at the graph as it is; they need not add up to what the "
    "whole graph adds.",
}
Evaluate = Callable[[Scorer], Mapping[str, float]]


def summarize(
    search: PathSearch,
    users: Sequence[str] | str | None = None,
    k: int = 10,
    by: str = "relation",
    knock_out: bool = False,
    evaluate: Evaluate | None = None,
    seed: int = 0,
) -> Summary:
    """Return what drives users' first ``k`` recommendations.

    For linear models the parts of edges are integrated gradients that add up exactly
    (docs/explanations.md, section 6); parallel relations that share one weight have equal parts of
    it. For others they are first-order effects. Patterns have the mean measured
    drop of the best paths' facts.

    Args:
        search: The search for paths.
        users: User ids, "all", or None for 200 drawn by ``seed``.
        k: Recommendations of each user.
        by: "relation", "type" (of the edge's ends) or "pattern".
        knock_out: Whether each of the 20 largest relations is taken away as a whole, and the lists
            ranked again.
        evaluate: Metrics of a scorer, for the change of quality under ``knock_out``.
        seed: Draws users.

    Raises:
        ConfigError: If ``by`` or ``k`` is out of range.
        CapabilityError: If the graph has no effect on the model's scores.
    """
    explained = search.explained
    if by not in BY:
        raise ConfigError(f"by={by!r} is not known. Choose from {', '.join(BY)}.{nearest(by, BY)}")
    if k < 1:
        raise ConfigError(f"k is {k}. Take at least one recommendation of each user.")
    if explained.effects is None:
        raise CapabilityError(f"{explained.no_effect}: no relation carries a part of its scores.")

    rows = _users(explained, users, seed)
    lists = [explained.standing(user).order()[:k] for user in rows.tolist()]
    pairs = (
        np.repeat(rows, [len(items) for items in lists]),
        np.concatenate([np.empty(0, np.int64), *lists]),
    )
    if not len(pairs[0]):
        raise ConfigError("none of these users has a recommendation. Name others.")
    if by == "pattern":
        return _patterns(search, pairs, len(rows), k)

    values, score, start, basis = _edges(explained, *pairs)
    if by == "relation":
        shares = _of_relations(explained, values)
    else:
        shares = _of_kinds(explained, values)

    if knock_out and by == "relation":
        shares = _knocked_out(explained, shares, rows, lists, evaluate)

    residual = None
    if start is not None:
        residual = score - start - float(values.sum())

    return Summary(
        by=by,
        pairs=len(pairs[0]),
        users=len(rows),
        score=score,
        without_graph=start,
        shares=tuple(shares),
        residual=residual,
        basis=basis,
        manifest=search.manifest(k=k, by=by, users=len(rows), seed=seed),
        note=_NOTES[basis],
    )


def _users(explained: ExplainedModel, users: Sequence[str] | str | None, seed: int) -> np.ndarray:
    active = np.flatnonzero(np.diff(explained.train.indptr))
    if users is None:
        chosen = numpy_generator(seed, "summary").choice(
            active, min(_SAMPLE, len(active)), replace=False
        )
        return np.asarray(np.sort(chosen))

    if isinstance(users, str):
        if users == "all" and "all" not in explained.data.users:
            return active
        return explained.data.users.rows([users])

    return explained.data.users.rows(users)


def _edges(
    explained: ExplainedModel, users: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, float, float | None, str]:
    """Return the part of each edge, the sum of scores, the same without a graph, and the basis."""
    graph = explained.graph
    if isinstance(explained.effects, LinearModel):
        found = attribute(
            explained.effects.linear, users + graph.ckg.num_entities, items, graph.low, graph.high
        )
        return found.values, found.score, found.start, "exact"

    total = np.zeros(graph.num_edges)
    score = 0.0
    assert explained.effects is not None
    every = np.arange(graph.num_edges)

    for number, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True), 1):
        effects = explained.effects.at(user, item)
        total += effects.removal(every)
        score += float(effects.without([])[0, 0])
        if number % 100 == 0:
            logger.info("%d of %d recommendations", number, len(users))

    return total, score, None, "linearized"


def _shares(
    names: list[tuple[str, str]], values: np.ndarray, facts: np.ndarray | None
) -> list[Share]:
    """Return the shares of (key, label) pairs, largest first."""
    total = float(np.abs(values).sum())
    shares = []

    for n in np.lexsort([np.arange(len(values)), -values]).tolist():
        key, label = names[n]
        share = 0.0
        if total:
            share = float(abs(values[n]) / total)

        count = None if facts is None else int(facts[n])
        shares.append(Share(key, label, float(values[n]), share, count))

    return shares


def _of_relations(explained: ExplainedModel, values: np.ndarray) -> list[Share]:
    """Return the parts of relations; parallel ones that share a weight have equal parts."""
    graph = explained.graph
    ckg = explained.graph.ckg
    stated = np.unique(graph.edge_of_fact() * ckg.num_relations + ckg.relation[graph.edge_facts()])
    edge = stated // ckg.num_relations
    relation = stated % ckg.num_relations
    part = values / np.maximum(np.bincount(edge, minlength=graph.num_edges), 1)
    sums = np.bincount(relation, weights=part[edge], minlength=ckg.num_relations)
    facts = np.bincount(ckg.relation, minlength=ckg.num_relations)
    used = np.flatnonzero(facts)
    names = [
        (explained.naming.relation_key(int(r)), explained.naming.relation_label(int(r)))
        for r in used
    ]

    return _shares(names, sums[used], facts[used])


def _of_kinds(explained: ExplainedModel, values: np.ndarray) -> list[Share]:
    ckg = explained.graph.ckg
    graph = explained.graph
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
    """Return the relations of a path, such as "interacts > genre > genre (back)".

    Those read from tail to head have "(back)".
    """
    steps = []
    for hop in path.hops:
        if hop.forward:
            steps.append(hop.relation_label)
        else:
            steps.append(f"{hop.relation_label} (back)")

    return " > ".join(steps)


def _patterns(
    search: PathSearch, pairs: tuple[np.ndarray, np.ndarray], users: int, k: int
) -> Summary:
    """Return the mean measured drop of the best paths' facts by pattern."""
    explained = search.explained
    found: dict[str, list[float]] = {}
    score = 0.0

    for number, (user, item) in enumerate(zip(*(part.tolist() for part in pairs), strict=True), 1):
        why = explain(search, explained.data.users.key(user), explained.data.items.key(item))
        score += why.score
        for path in why.paths:
            found.setdefault(pattern_of(path), []).append(path.facts_drop or 0.0)

        if number % 100 == 0:
            logger.info("%d of %d recommendations", number, len(pairs[0]))

    shares = [
        Share(name, name, float(np.mean(drops)), None, len(drops)) for name, drops in found.items()
    ]

    return Summary(
        by="pattern",
        pairs=len(pairs[0]),
        users=users,
        score=score,
        without_graph=None,
        shares=tuple(sorted(shares, key=lambda share: (-share.value, share.key))),
        residual=None,
        basis="measured",
        manifest=search.manifest(k=k, by="pattern", users=users),
        note="Mean drop of the score without the facts of a path, the like kept, over each "
        "recommendation's ten best paths, by pattern. Paths share facts, so the drops overlap: no "
        "shares of a whole.",
    )


def _knocked_out(
    explained: ExplainedModel,
    shares: list[Share],
    rows: np.ndarray,
    lists: list[np.ndarray],
    evaluate: Evaluate | None,
) -> list[Share]:
    """Return the largest shares with what happens to lists and metrics without their relation."""
    if not isinstance(explained.model_effects, Rerunnable):
        return shares

    before: Mapping[str, float] = {}
    if evaluate is not None:
        before = dict(evaluate(explained.scorer))

    keys = [explained.naming.relation_key(r) for r in range(explained.graph.ckg.num_relations)]
    out = []

    for share in shares[:_KNOCKED_OUT]:
        facts = np.flatnonzero(explained.graph.ckg.relation == keys.index(share.key))
        scorer = explained.without(facts)
        overlap = _overlap(explained, scorer, rows, lists)
        change = {}

        if evaluate is not None:
            after = evaluate(scorer)
            change = {name: after[name] - value for name, value in before.items()}

        out.append(replace(share, change=change, overlap=overlap))
        logger.info("without %s: %.0f %% of the lists stay", share.label, 100 * overlap)

    return out + shares[_KNOCKED_OUT:]


def _overlap(
    explained: ExplainedModel, scorer: Scorer, rows: np.ndarray, lists: list[np.ndarray]
) -> float:
    """Return which part of users' lists stays when another scorer ranks."""
    same = []
    for user, items in zip(rows.tolist(), lists, strict=True):
        if len(items):
            again = explained.standing(user, scorer).order()[: len(items)]
            same.append(len(np.intersect1d(again, items)) / len(items))

    return float(np.mean(same))
