"""Find the paths between a user and an item, and measure what each one does to the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
import torch

from kgrec import __version__
from kgrec.batches import Query
from kgrec.data.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.explanation.paths import Found, PathGraph, simple_paths
from kgrec.explanation.schema import Explanation, FactRef, Hop, Node, Path, Relation, short_names
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Recommender, Rerunnable, Scorer

_OTHERS = -1


@runtime_checkable
class Fitted(Protocol):
    """A trained model with its data, such as a ``Run``."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def model(self) -> Recommender:
        """The model."""

    @property
    def data(self) -> Dataset:
        """What it was trained on."""

    def scorer(self) -> Scorer:
        """Return the snapshot that ranks."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Paths of one length, those that differ only in the other users they pass through taken together.

    Attributes:
        nodes: (candidates, length + 1) nodes, ``_OTHERS`` for counted users; rows sorted.
        example: Edges of one path of each candidate, (candidates, length).
        candidate: Candidate of each (candidate, edge) pair, sorted.
        edge: Edge of each pair; every distinct edge of a candidate once.
        users: Number of other users a candidate stands for; 0 where it stands for itself.
    """

    nodes: np.ndarray
    example: np.ndarray
    candidate: np.ndarray
    edge: np.ndarray
    users: np.ndarray

    def edges(self, number: int) -> np.ndarray:
        """Return the distinct edges of a candidate."""
        low, high = np.searchsorted(self.candidate, [number, number + 1])
        return self.edge[low:high]


class Explainer:
    """Explain recommendations of one model by measured paths.

    Simple paths up to ``max_length`` hops are enumerated, screened by the summed first-order effects of their edges, thinned out for
    variety, and the best of them measured: their edges are removed and the model is run again. Paths are ranked by that drop, ties
    by length, then node numbers. Counted users come after the paths that stand for themselves, ranked among each other: many
    people's edges together always weigh more than one fact.

    With ``users="count"`` the paths that differ only in the other users they pass through are one path, and its drop is that of removing
    all their edges together (the user's own edge to the liked item, and every counted user's edges). "hide" leaves
    such paths out, "show" names every user.

    A model that is not ``Rerunnable`` gets paths with basis "post-hoc" and drop 0, short and rarely shared ones first.

    Args:
        model: A run; or a model, with ``data``. It is put in evaluation mode.
        data: Ids, labels, facts and training interactions; None takes the run's.
        scorer: The model's snapshot; taken from the run or model where None.
        model_name: Name for the manifest and the notes; the run's or the class's where None.
        max_length: Longest path, in 1..4.
        screen_top: How many paths are measured, at least 1, and as many groups of counted users; each costs one run of the model.
        per_liked: Paths per liked item (the first stop), at least 1.
        per_middle: Paths per stop before the item, on paths of three hops and more, at least 1; all counted users are one stop.
        budget: Adjacency entries looked at per path length before the widest branches are given up.
        users: "count", "hide" or "show".
        seen: Users x items, non-zero where the item takes no part in the ranking; None takes the training and validation
            interactions, which ``Run.recommend`` leaves out as well.

    Raises:
        ConfigError: If a setting is out of range.
    """

    def __init__(
        self,
        model: Fitted | Recommender | Rerunnable,
        data: Dataset | None = None,
        scorer: Scorer | None = None,
        *,
        model_name: str | None = None,
        max_length: int = 3,
        screen_top: int = 30,
        per_liked: int = 2,
        per_middle: int = 2,
        budget: int = 2_000_000,
        users: str = "count",
        seen: sp.csr_matrix | None = None,
    ) -> None:
        if users not in ("count", "hide", "show"):
            raise ConfigError(f"users={users!r} is not known. Choose 'count', 'hide' or 'show'.")
        if not 1 <= max_length <= 4 or min(screen_top, per_liked, per_middle, budget) < 1:
            raise ConfigError("max_length must be in 1..4; screen_top, per_liked, per_middle and budget at least 1.")
        if isinstance(model, Fitted):
            data, scorer, model_name = data or model.data, scorer or model.scorer(), model_name or model.name
            model = model.model
        if data is None:
            raise ConfigError("a model alone has no ids and no labels. Pass a run, or the dataset as well.")
        if isinstance(model, Recommender):
            model.eval()
            if scorer is None:
                with torch.inference_mode():
                    scorer = model.scorer()
        if scorer is None:
            raise ConfigError(f"{type(model).__name__} gives no scorer of its own. Pass scorer=.")
        self.data = data
        self._sources = short_names(data.triples.sources)
        self._ordinal = [data.triples.counts_statements(source) for source in range(len(data.triples.sources))]
        self._column = [data.triples.column(source) for source in range(len(data.triples.sources))]
        self._scorer = scorer
        self._name = model_name or type(model).__name__
        self._settings = {"max_length": max_length, "screen_top": screen_top, "per_liked": per_liked, "per_middle": per_middle}
        self._budget = budget
        self._users = users
        self._train = data.train.csr(data.num_users, data.num_items)
        self._seen = (self._train + data.valid.csr(data.num_users, data.num_items)).tocsr() if seen is None else seen
        self._model = model if isinstance(model, Rerunnable) else None
        ckg = self._model.ckg if self._model else CollaborativeKG.from_dataset(data)
        self._graph = PathGraph(ckg, merged=self._model is not None and self._model.merges_relations)

    def explain(self, user: str, item: str, k: int = 10) -> Explanation:
        """Return the best ``k`` paths between a user and an item, both by the caller's ids.

        An item that the user already has is explained by the other paths, without a rank. No path at all is an explanation too: its
        ``paths`` are empty and its ``notes`` say so.

        Raises:
            UnknownIdError: If the user or the item is not in the data.
            ConfigError: If ``k`` is below 1, or an id is not text (a row number would be taken for an id).
            ExplanationError: If the model's score is not a finite number.
        """
        if k < 1:
            raise ConfigError(f"k is {k}. Ask for at least one path.")
        if not isinstance(user, str) or not isinstance(item, str):
            raise ConfigError(f"ids are text; got {user!r} and {item!r}. Pass the ids of the data, quoted.")
        u, i = self.data.users.row(user), self.data.items.row(item)
        score, rank = self._score(u, i)
        found = simple_paths(self._graph, self._graph.ckg.user_node(u), i, self._settings["max_length"], self._budget)
        groups = [self._group(nodes, edges) for nodes, edges in zip(found.nodes, found.edges, strict=True)]
        paths = self._measured(self._model, u, i, groups) if self._model else self._post_hoc(groups)
        counts = {str(length): len(nodes) for length, nodes in enumerate(found.nodes, 1)}
        return Explanation(
            user=user,
            item=item,
            user_label=self.data.user_label(u),
            item_label=self.data.item_label(i),
            score=score,
            rank=rank,
            paths=tuple(paths[:k]),
            counts=counts,
            truncated=found.truncated,
            filters={"users": self._users, "max_length": self._settings["max_length"]},
            notes=self._notes(rank, found, paths[:k]),
            manifest={
                "model": self._name,
                "dataset": self.data.name,
                "checksum": self.data.checksum,
                "settings": self._settings | {"budget": self._budget, "users": self._users, "k": k},
                "versions": {"kgrec": __version__, "torch": torch.__version__, "numpy": np.__version__},
            },
        )

    def _score(self, user: int, item: int) -> tuple[float, int | None]:
        """Return the score, and the rank among unseen items; equal scores rank by item row."""
        history = self._train.indices[self._train.indptr[user] : self._train.indptr[user + 1]].astype(np.int64)
        past = torch.from_numpy(history).unsqueeze(0)
        with torch.inference_mode():
            query = Query(torch.tensor([user]), past, torch.ones_like(past, dtype=torch.bool))
            scores = self._scorer(query)[0].double().cpu().numpy()
        mine = float(scores[item])
        seen = self._seen.indices[self._seen.indptr[user] : self._seen.indptr[user + 1]]
        if item in seen:
            return mine, None
        ahead = scores > mine
        ahead[:item] |= scores[:item] == mine
        ahead[seen] = False
        return mine, 1 + int(ahead.sum())

    def _group(self, nodes: np.ndarray, edges: np.ndarray) -> _Candidates:
        """Take paths together as ``users`` asks."""
        ckg = self._graph.ckg
        others = nodes >= ckg.num_entities  # what CollaborativeKG.is_user says of one node
        others[:, 0] = False
        if self._users == "hide":
            direct = ~others.any(1)
            nodes, edges, others = nodes[direct], edges[direct], others[direct]
        key = edges
        if self._users == "count":
            touching = others[:, 1:] | others[:, :-1]
            relation = ckg.relation[self._graph.first_facts()[edges]] if len(edges) else edges
            key = np.where(touching, -1 - relation, edges)
            nodes = np.where(others, _OTHERS, nodes)
        both = np.concatenate([nodes, key], 1)
        _, first, group, size = np.unique(both, axis=0, return_index=True, return_inverse=True, return_counts=True)
        pairs = np.unique(np.stack([np.repeat(group.ravel(), edges.shape[1]), edges.ravel()], 1), axis=0)
        counted = (nodes[first] == _OTHERS).any(1)
        return _Candidates(nodes[first], edges[first], pairs[:, 0], pairs[:, 1], np.where(counted, size, 0))

    def _choose(self, groups: list[_Candidates], value: list[np.ndarray], by_length: bool, counted: bool) -> list[tuple[int, int]]:
        """Return (length - 1, number) of the best candidates with or without counted users, in order, thinned out for variety."""
        values = np.concatenate(value)
        length = np.repeat(np.arange(len(groups)), [len(part) for part in value])
        number = np.concatenate([np.arange(len(part)) for part in value])
        levels = -_rounded(values)
        order = np.lexsort([number, levels, length] if by_length else [number, length, levels])
        chosen: list[tuple[int, int]] = []
        liked: dict[int, int] = {}
        middle: dict[int, int] = {}
        of_users = np.concatenate([group.users for group in groups]) > 0
        for position in order[of_users[order] == counted].tolist():
            where = (int(length[position]), int(number[position]))
            stops = groups[where[0]].nodes[where[1]].tolist()
            first, last = stops[1], stops[-2] if len(stops) > 3 else None
            if liked.get(first, 0) >= self._settings["per_liked"] or (
                last is not None and middle.get(last, 0) >= self._settings["per_middle"]
            ):
                continue
            liked[first] = liked.get(first, 0) + 1
            if last is not None:
                middle[last] = middle.get(last, 0) + 1
            chosen.append(where)
            if len(chosen) == self._settings["screen_top"]:
                break
        return chosen

    def _measured(self, model: Rerunnable, user: int, item: int, groups: list[_Candidates]) -> list[Path]:
        """Return the chosen paths, largest measured drop first."""
        per_fact = model.screen(user, item).detach().double().cpu().numpy()
        graph = self._graph
        effect = per_fact[graph.first_facts()] if model.merges_relations else graph.per_edge(per_fact)
        effects = [np.bincount(g.candidate, weights=effect[g.edge], minlength=len(g.nodes)) for g in groups]
        chosen = [where for counted in (False, True) for where in self._choose(groups, effects, by_length=False, counted=counted)]
        if not chosen:
            return []
        removed = [np.concatenate([graph.facts(int(e)) for e in groups[a].edges(b)]).tolist() for a, b in chosen]
        scores = model.rerun(user, item, [[], *removed]).detach().double().cpu().numpy()
        drops = scores[0] - scores[1:]
        levels = _rounded(drops)
        others = [int(groups[a].users[b]) > 0 for a, b in chosen]
        rank = sorted(range(len(chosen)), key=lambda n: (others[n], -levels[n], chosen[n]))
        return [self._path(groups, chosen[n], float(drops[n]), float(effects[chosen[n][0]][chosen[n][1]]), len(removed[n])) for n in rank]

    def _post_hoc(self, groups: list[_Candidates]) -> list[Path]:
        """Return the chosen paths, short ones first, then those whose stops have few edges."""
        graph = self._graph
        rarity = []
        for group in groups:
            stops = group.nodes[:, 1:-1]
            degree = graph.degree(np.maximum(stops, 0))
            rarity.append(-np.where(stops == _OTHERS, 0.0, np.log(np.maximum(degree, 1))).sum(1))
        chosen = [where for counted in (False, True) for where in self._choose(groups, rarity, by_length=True, counted=counted)]
        return [self._path(groups, where, 0.0, None, 0) for where in chosen]

    def _path(self, groups: list[_Candidates], where: tuple[int, int], drop: float, attribution: float | None, removed: int) -> Path:
        group, number = groups[where[0]], where[1]
        count = int(group.users[number])
        nodes = [self._node(int(node), count) for node in group.nodes[number]]
        stops = [int(node) for node in group.nodes[number]]
        hops = []
        for position, edge in enumerate(group.example[number]):
            facts = self._graph.facts(int(edge))
            counted = _OTHERS in stops[position : position + 2]
            hops.append(Hop(nodes[position], nodes[position + 1], self._relations(facts, stops[position : position + 2], counted)))
        return Path(tuple(hops), "measured" if self._model else "post-hoc", drop, None, attribution, count or None, removed)

    def _node(self, node: int, count: int) -> Node:
        if node == _OTHERS:
            return Node("users", "", "1 other" if count == 1 else f"{count} others")
        data, ckg = self.data, self._graph.ckg
        if ckg.is_user(node):
            row = ckg.user_row(node)
            return Node("user", data.users.key(row), data.user_label(row))
        if node < ckg.num_items:
            return Node("item", data.items.key(node), data.item_label(node))
        return Node("entity", data.triples.entities.key(node), data.triples.label(node))

    def _relations(self, facts: np.ndarray, ends: Sequence[int], counted: bool) -> tuple[Relation, ...]:
        """Return the relations that some parallel facts state, each with its direction and where it is stated."""
        ckg, triples = self._graph.ckg, self.data.triples
        stated: dict[tuple[int, bool], list[FactRef]] = {}
        for fact in facts.tolist():
            row = int(ckg.fact[fact])
            tail_is_target = int(ckg.tail[fact]) == ends[1]
            if row >= 0:
                source = int(triples.source[row])
                place = FactRef(self._sources[source], int(triples.locator[row]), self._ordinal[source], self._column[source])
            else:
                place = FactRef("training interactions" if row == -1 else "user attributes")
            stated.setdefault((int(ckg.relation[fact]), tail_is_target), []).append(place)
        return tuple(
            Relation(
                "interacts" if relation == 0 else triples.relations.key(relation - 1),
                "liked" if relation == 0 else triples.relation_label(relation - 1),
                forward,
                tuple(dict.fromkeys(places)) if counted else tuple(places),
            )
            for (relation, forward), places in stated.items()
        )

    def _notes(self, rank: int | None, found: Found, paths: Sequence[Any]) -> tuple[str, ...]:
        notes = []
        if rank is None:
            notes.append("The user already has this item: it has no rank, and the interaction itself is not offered as a path.")
        if self._model is None:
            notes.append(f"No fact of the graph has an effect on {self._name}'s score at inference: the paths connect, they do not cause.")
        if found.truncated:
            notes.append(f"The search stopped at its budget of {self._budget} entries: paths through the widest nodes are missing.")
        if not paths:
            longest = self._settings["max_length"]
            reach = f"at most {longest} hops" if longest > 1 else "1 hop"
            hidden = ", paths through other users left out" if self._users == "hide" else ""
            notes.append(f"No path of {reach} joins this user and this item{hidden}.")
        if any(path.users for path in paths):
            notes.append("Other users are counted, not named; the number of such a path is for all of its facts removed together.")
        return tuple(notes)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return values with differences below 1e-12 of the largest one removed, so that ties are ties on every machine."""
    largest = float(np.abs(values).max(initial=0.0))
    return np.round(values / largest, 12) if largest > 0 else values
