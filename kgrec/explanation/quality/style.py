"""The style of the best paths, which never looks at the model (docs/explanations.md, section 8)."""

from collections.abc import Callable

import numpy as np

from kgrec.explanation.core.records import Path
from kgrec.explanation.quality import metrics
from kgrec.explanation.quality.figures import Sample
from kgrec.explanation.quality.report import Figure
from kgrec.explanation.questions.summary import pattern_of
from kgrec.explanation.search.explained import ExplainedModel


def style_figures(sample: Sample) -> list[Figure]:
    """Return recency, popularity and diversity of the best paths, and how many are whole."""
    best = _by_best(sample)
    known = len({pattern_of(path) for paths in best.values() for path in paths})
    types = sample.explained.graph.ckg.num_relations
    recency = _Recency(sample.explained)
    popularity = _Popularity(sample.explained)
    measures: list[tuple[str, str, Callable[[int, list[Path]], float | None]]] = [
        (
            "lir",
            "LIR: recency of the interaction",
            lambda user, paths: metrics.mean_known([recency.of(user, path) for path in paths]),
        ),
        (
            "sep",
            "SEP: popularity of the stop before the item",
            lambda user, paths: metrics.mean_known([popularity.of(path) for path in paths]),
        ),
        (
            "etd",
            "ETD: diversity of last relations",
            lambda user, paths: metrics.type_diversity([p.hops[-1].relation for p in paths], types),
        ),
        (
            "lid",
            "LID: diversity of first stops",
            lambda user, paths: metrics.distinct_share([p.nodes[1] for p in paths]),
        ),
        (
            "sed",
            "SED: diversity of stops before the item",
            lambda user, paths: metrics.distinct_share([p.nodes[-2] for p in paths]),
        ),
        (
            "litd",
            "LITD: diversity of kinds of first stops",
            lambda user, paths: metrics.distinct_share([p.nodes[1].kind for p in paths]),
        ),
        (
            "setd",
            "SETD: diversity of kinds of stops before the item",
            lambda user, paths: metrics.distinct_share([p.nodes[-2].kind for p in paths]),
        ),
        (
            "ptc",
            "PTC: two paths end by different relations",
            lambda user, paths: metrics.type_concentration([p.hops[-1].relation for p in paths]),
        ),
        (
            "ppt",
            "PPT: diversity of patterns",
            lambda user, paths: metrics.pattern_diversity([pattern_of(p) for p in paths], known),
        ),
    ]
    missing = {"lir": "no first stop has a recency"}
    if recency.unknown:
        missing["lir"] = "the interactions have no times"

    figures = [
        sample.figure(
            f"style.{key}",
            label,
            [(user, of(user, paths)) for user, paths in best.items()],
            "users",
            none=missing.get(key, "not defined of any user"),
        )
        for key, label, of in measures
    ]

    shown = [
        (user, metrics.fidelity([len(best.get(user, ()))], sample.top))
        for user in sample.users.tolist()
    ]
    keys = sample.explained.data.users
    faithful = []

    for user, paths in best.items():
        holds = [sample.facts.path_holds(path, keys.key(user)) for path in paths]
        faithful.append((user, metrics.faithful_rate(holds)))

    return [
        *figures,
        sample.figure(
            "style.fidelity",
            f"Fidelity@{sample.top}: recommendations with a path shown",
            shown,
            "users",
            note="users without one count as 0",
        ),
        sample.figure(
            "style.pfr",
            f"PFR@{sample.top}: best paths all of whose hops are facts",
            faithful,
            "users",
            none="no path",
        ),
    ]


def _by_best(sample: Sample) -> dict[int, list[Path]]:
    """Return the best path of each recommendation, by user; users without one are absent."""
    found: dict[int, list[Path]] = {}
    for pair in sample.pairs:
        if pair.explanation.paths:
            found.setdefault(pair.user, []).append(pair.explanation.paths[0])
    return found


class _Recency:
    """How recent each like of a user is."""

    def __init__(self, explained: ExplainedModel) -> None:
        self._data = explained.data
        self.unknown = explained.data.train.time is None
        self._of: dict[int, dict[int, float]] = {}

    def of(self, user: int, path: Path) -> float | None:
        """Return the recency of a path's first stop, None where it is no item with a time."""
        if self.unknown or path.nodes[1].kind != "item":
            return None

        if user not in self._of:
            train = self._data.train
            rows = np.flatnonzero(train.user == user)
            assert train.time is not None
            rows = rows[np.isfinite(train.time[rows])]
            recency = metrics.smoothed(train.time[rows])
            self._of[user] = {}

            if recency is not None:
                items = train.item[rows].tolist()
                self._of[user] = dict(zip(items, recency.tolist(), strict=True))

        return self._of[user].get(self._data.items.row(path.nodes[1].key))


class _Popularity:
    """How many edges a node has, among nodes of its kind."""

    def __init__(self, explained: ExplainedModel) -> None:
        self._data = explained.data
        ckg = explained.graph.ckg
        degree = explained.graph.degree(np.arange(ckg.num_entities))
        self._popularity = {
            "item": metrics.smoothed(degree[: ckg.num_items]),
            "entity": metrics.smoothed(degree[ckg.num_items :]),
        }

    def of(self, path: Path) -> float | None:
        """Return the popularity of the stop before the item, None of users."""
        node = path.nodes[-2]
        data = self._data
        popularity = self._popularity.get(node.kind)
        if popularity is None:
            return None

        if node.kind == "item":
            row = data.items.row(node.key)
        else:
            row = data.triples.entities.row(node.key) - data.num_items

        return float(popularity[row])
