"""Find the paths between a user and an item, and measure what each one does to the score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
import torch

from kgrec import __version__
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.ids import Id, one_id
from kgrec.data.records.interactions import concatenate
from kgrec.data.records.tie_order import tie_order
from kgrec.errors import CapabilityError, ConfigError, ExplanationError, nearest
from kgrec.explanation.core.answers import Contrast, FlipSet, Summary, WhatIf, WhyNot
from kgrec.explanation.core.records import Budget, Explanation, Path, Term
from kgrec.explanation.effects.budget import budget_of
from kgrec.explanation.effects.closed_form import MODES
from kgrec.explanation.effects.measured import Effects, LinearModel, effects_of
from kgrec.explanation.fingerprint import graph_sum, parameters_sum
from kgrec.explanation.questions import counterfactuals as whatif
from kgrec.explanation.questions.batch import write_batch
from kgrec.explanation.questions.summary import Judge, summarize
from kgrec.explanation.search.all_paths import Found, Limits, PathGraph, simple_paths
from kgrec.explanation.search.best_paths import best_paths, count_walks
from kgrec.explanation.search.candidates import Candidates, choose, grouped, rounded
from kgrec.explanation.search.filters import Filters
from kgrec.explanation.search.naming import Naming
from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Recommender, Scorer
from kgrec.models.capabilities import GraphEditable, HistoryEditable, Plausible, Rerunnable
from kgrec.queries import queries

if TYPE_CHECKING:
    from kgrec.explanation.quality.report import Quality

RANKINGS = ("drop", "drop_mask", "attribution", "joint", "weight", "plausibility", "length")
_BEST_FIRST = 300
_MOST_AGAINST = 5
_MOST_MEASURED = 1000


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
class Standing:
    """Every item's place for one user.

    Attributes:
        scores: One per item.
        seen: Items that take no part in the ranking.
        place: Each item's place among equals, as ``Run.recommend`` breaks ties.
    """

    scores: np.ndarray
    seen: np.ndarray
    place: np.ndarray

    def order(self) -> np.ndarray:
        """Return the ranked items, best first."""
        scores = self.scores.copy()
        scores[self.seen] = -np.inf
        order = np.lexsort((self.place, -scores))
        return order[: len(scores) - len(self.seen)]

    def rank(self, item: int) -> int | None:
        """Return the place of an item, from 1; None where it takes no part."""
        if item in self.seen:
            return None
        mine = self.scores[item]
        ahead = (self.scores > mine) | ((self.scores == mine) & (self.place < self.place[item]))
        ahead[self.seen] = False
        return 1 + int(ahead.sum())


@dataclass(slots=True)
class _Search:
    """What one search found, and what it was asked."""

    found: Found
    groups: list[Candidates]
    removal: list[np.ndarray]
    walks: list[tuple[np.ndarray, np.ndarray] | None]
    notes: list[str]


class Explainer:
    """Explain recommendations of one model by measured paths.

    Simple paths up to ``max_length`` hops are found, screened by the first-order effects of their
    edges, thinned out for variety, and the best of them measured: the score without their edges, in
    closed form where the model is linear in its graph, else by running it again. Paths are ranked
    by that drop, ties by length, then node numbers. Counted users come after the paths that stand
    for themselves, ranked among each other: many people's edges together always weigh more than one
    fact.

    With ``users="count"`` the paths that differ only in the other users they pass through are one
    path, and its drop is that of removing all their edges together (the user's own edge to the
    liked item, and every counted user's edges). "hide" leaves such paths out, "show" names every
    user.

    A model that is not ``Rerunnable`` gets paths with basis "post-hoc" and drop 0, short and rarely
    shared ones first, or the most plausible ones where the model scores facts.

    Args:
        model: A run; or a model, with ``data``. It is put in evaluation mode.
        data: Ids, labels, facts and training interactions; None takes the run's.
        scorer: The model's snapshot; taken from the run or model where None.
        model_name: Name for the manifest and the notes; the run's or the class's where None.
        max_length: Longest path, in 1..6. Where a length has more paths than ``budget`` can list,
            its best ones are searched instead.
        screen_top: How many paths are measured at least, in 1..1000; as many as are asked for where
            that is more, up to 1000.
        per_liked: Paths per liked item (the first stop), at least 1.
        per_middle: Paths per stop before the item, on paths of three hops and more, at least 1; all
            counted users are one stop.
        budget: Adjacency entries looked at per path length before the widest branches are given up.
        users: "count", "hide" or "show".
        modes: What is measured: "delete" (always), "mask".
        seen: Users x items, non-zero where the item takes no part in the ranking; None takes the
            training and validation interactions, which ``Run.recommend`` leaves out as well.

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
        modes: Iterable[str] = MODES,
        seen: sp.csr_matrix | None = None,
    ) -> None:
        self._filters = Filters(max_length=max_length, users=users)
        if min(screen_top, per_liked, per_middle, budget) < 1:
            raise ConfigError("screen_top, per_liked, per_middle and budget must be at least 1.")
        self._modes = tuple(modes)
        if "delete" not in self._modes or set(self._modes) - set(MODES):
            raise ConfigError(f"modes={self._modes}: name 'delete', and 'mask' if wanted.")
        if isinstance(model, Fitted):
            data = data or model.data
            scorer = scorer or model.scorer()
            model_name = model_name or model.name
            model = model.model
        if data is None:
            raise ConfigError(
                "a model alone has no ids and no labels. Pass a run, or the dataset as well."
            )
        if isinstance(model, Recommender):
            model.eval()
            if scorer is None:
                with torch.inference_mode():
                    scorer = model.scorer()
        if scorer is None:
            raise ConfigError(f"{type(model).__name__} gives no scorer of its own. Pass scorer=.")
        self.data = data
        self.model = model
        self.name = model_name or type(model).__name__
        self.scorer = scorer
        self._settings = {
            "screen_top": screen_top,
            "per_liked": per_liked,
            "per_middle": per_middle,
            "budget": budget,
        }
        self._history = concatenate([data.train, data.valid])  # as Run.recommend reads it
        self.train = data.train.csr(data.num_users, data.num_items)
        self._seen = (
            (self.train + data.valid.csr(data.num_users, data.num_items)).tocsr()
            if seen is None
            else seen
        )
        self._place = np.argsort(tie_order(data))
        known = model.can_rank(data) if isinstance(model, Recommender) else None
        self._known_users = np.ones(data.num_users, dtype=bool) if known is None else known.users
        self._unknown_items = (
            np.empty(0, np.int64) if known is None else np.flatnonzero(~known.items)
        )
        ckg = model.ckg if isinstance(model, Rerunnable) else CollaborativeKG.from_dataset(data)
        self.graph = PathGraph(ckg, merged=isinstance(model, Rerunnable) and model.merges_relations)
        self.naming = Naming(data, self.graph)
        self.effects = effects_of(model, self.graph)
        self._plausible: np.ndarray | None = None
        self._sums: dict[str, str] = {}
        self._carried = np.ones(ckg.num_nodes, dtype=bool)
        if isinstance(model, Rerunnable) and not model.through_users:
            self._carried[ckg.num_entities :] = False

    def explain(
        self,
        user: Id,
        item: Id,
        k: int = 10,
        *,
        rank_by: str = "drop",
        ranks: bool = False,
        relations: Mapping[str, Iterable[str]] | None = None,
        types: Iterable[str] | None = None,
        max_length: int | None = None,
        max_degree: int | None = None,
        users: str | None = None,
        min_drop: float | int | None = None,
    ) -> Explanation:
        """Return the best ``k`` paths between a user and an item, both by the caller's ids, and
        what the score is made of.

        An item that the user already has is explained by the other paths, without a rank. No path
        at all is an explanation too: its ``paths`` are empty and its ``notes`` say so.

        Args:
            user: User id.
            item: Item id.
            k: Most paths; more than 1000 are never measured.
            rank_by: "drop" (everything recomputed), "drop_mask", "attribution" (first order),
                "joint" (what the path's own walks carry), "weight" (product of its weights),
                "plausibility" (of its facts), or "length".
            ranks: Whether the item's rank without each path is found as well; the whole ranking is
                computed again for each.
            relations: {"allow": [...], "deny": [...]}, by key or label. Allowed ones are all that a
                path may follow after the user's own likes; a denied one is never followed.
            types: Kinds of stops that a path may have after its first: "item", "entity", "users".
            max_length: Longest path; None takes the explainer's own.
            max_degree: Most edges of a stop between the ends.
            users: "count", "hide" or "show"; None takes the explainer's own.
            min_drop: Least drop of a path.

        Raises:
            UnknownIdError: If the user or the item is not in the data.
            ConfigError: If a setting is out of range, or an id is not text (a row number would be
                taken for an id).
            ExplanationError: If the model has learned nothing about the user or the item, its score
                is not a finite number, or ``max_length`` cannot be searched.
        """
        if k < 1:
            raise ConfigError(f"k is {k}. Ask for at least one path.")
        if rank_by not in RANKINGS:
            raise ConfigError(
                f"rank_by={rank_by!r} is not known. Choose from "
                f"{', '.join(RANKINGS)}.{nearest(rank_by, RANKINGS)}"
            )
        u, i = self.rows(user, item)
        filters = Filters.of(
            relations,
            types,
            max_length=self._filters.max_length if max_length is None else max_length,
            users=users or self._filters.users,
            max_degree=max_degree,
            min_drop=min_drop,
        )
        standing = self.standing(u)
        if i in self._unknown_items:
            raise ExplanationError(
                f"{self.name} has learned nothing about item {str(item)!r} (no training "
                "interaction, and nothing else that it reads): "
                "it has no score to explain."
            )
        score = float(standing.scores[i])
        if not np.isfinite(score):
            raise ExplanationError(
                f"the score of {item!r} for {user!r} is {score}: the model is broken, nothing "
                "explains it."
            )
        if self.effects:
            effects = self.effects.at(u, i)
        else:
            effects = None
        search = self._search(u, i, filters, effects)
        measured = self._measured(search, effects, rank_by, k)
        enough = [one for one in measured if min_drop is None or one.drop >= min_drop]
        shown = [self._path(search, one, effects, u, i, ranks) for one in enough[:k]]
        budget = self.budget(u, i, score, effects)
        rank = standing.rank(i)
        following = self._next(standing, i, rank)
        return Explanation(
            user=one_id(user),
            item=one_id(item),
            user_label=self.data.user_label(u),
            item_label=self.data.item_label(i),
            score=score,
            rank=rank,
            paths=tuple(shown),
            counts={str(length): len(nodes) for length, nodes in enumerate(search.found.nodes, 1)},
            truncated=search.found.truncated,
            filters=filters.to_dict() | ({} if rank_by == "drop" else {"rank_by": rank_by}),
            notes=self._notes(rank, search, filters, shown),
            manifest=self.manifest(k=k),
            budget=budget,
            margin=None if following is None else score - float(standing.scores[following]),
            next_item=None if following is None else self.naming.item(following),
            against=_against(budget),
            hidden=self._hidden(u, i, filters, effects, search, len(measured) - len(enough)),
        )

    def budget(
        self, user: int, item: int, score: float | None = None, effects: Effects | None = None
    ) -> Budget | None:
        """Return what a score is made of, by rows; None where the model does not say. Score and
        effects are found where None.
        """
        if score is None:
            score = float(self.standing(user).scores[item])
        if effects is None and self.effects is not None:
            effects = self.effects.at(user, item)
        liked = self.liked(user)
        return budget_of(
            self.model, effects, self.graph, self.naming, user, item, score, liked[liked != item]
        )

    def compare(self, user: str, first: str, second: str, k: int = 5) -> Contrast:
        """Return why a user's score of one item differs from that of another; k paths of each.

        Raises:
            UnknownIdError: If an id is not in the data.
            ConfigError: If the items are one.
            CapabilityError: If the model does not say what a score is made of.
        """
        return whatif.compare(self, user, first, second, k)

    def flip(
        self, user: str, item: str | None = None, mode: str = "delete", max_size: int = 50
    ) -> FlipSet:
        """Return liked items without which another item overtakes ``item`` (None: the first of the
        user's list), or that there are none.

        Sets are guessed from what each like gives the item beyond its 20 next rivals, verified by
        computing the whole ranking again, and pruned until no single member can be put back. The
        set is minimal by inclusion; that no smaller one exists is not claimed.

        Args:
            user: User id.
            item: Item id.
            mode: "delete" computes everything that depends on the graph anew, "mask" keeps the
                other weights.
            max_size: Most members.

        Raises:
            UnknownIdError: If an id is not in the data.
            ConfigError: If the user has the item already.
            CapabilityError: If the model cannot be asked.
        """
        return whatif.flip(self, user, item, mode, max_size)

    def why_not(self, user: str, item: str, k: int = 10) -> WhyNot:
        """Return why an item is not among a user's first ``k``, and which further likes would bring
        it in.

        Raises:
            UnknownIdError: If an id is not in the data.
            ConfigError: If the user has the item already.
            CapabilityError: If the model cannot be asked.
        """
        return whatif.why_not(self, user, item, k)

    def what_if(
        self,
        user: str,
        remove: Sequence[str] = (),
        add: Sequence[str] = (),
        items: Sequence[str] = (),
        remove_facts: Sequence[tuple[str, str, str]] = (),
        add_facts: Sequence[tuple[str, str, str]] = (),
        k: int = 10,
    ) -> WhatIf:
        """Return a user's ranking without some likes and facts and with others; everything that
        depends on the graph is computed anew.

        Args:
            user: User id.
            remove: Items whose like is taken away; they stay out of the list.
            add: Items whose like is added; they leave the list.
            items: Items whose places are told beside the first ``k``.
            remove_facts: Facts taken away, (head, relation, tail) by key.
            add_facts: Facts put in; entities and relations must be known.
            k: Length of the list.

        Raises:
            UnknownIdError: If an id is not known, or a fact to take away is not there.
            ConfigError: If a like to take away is not there, or one to add is.
            CapabilityError: If the model cannot be asked.
        """
        return whatif.what_if(self, user, remove, add, items, remove_facts, add_facts, k)

    def summary(
        self,
        users: Sequence[str] | str | None = None,
        k: int = 10,
        by: str = "relation",
        knock_out: bool = False,
        judge: Judge | None = None,
        seed: int = 0,
    ) -> Summary:
        """Return what drives users' first ``k`` recommendations.

        For linear models the parts of edges are integrated gradients that add up exactly
        (explanation.md 3.3); parallel relations that share one weight have equal parts of it. For
        others they are first-order effects. Patterns are told by measured drops of the best paths.

        Args:
            users: User ids, "all", or None for 200 drawn by ``seed``.
            k: Recommendations of each user.
            by: "relation", "type" (of the edge's ends) or "pattern".
            knock_out: Whether each of the 20 largest relations is taken away as a whole, and the
                lists ranked again.
            judge: Metrics of a scorer, for the change of quality under ``knock_out``.
            seed: Draws users.

        Raises:
            ConfigError: If ``by`` or ``k`` is out of range.
            CapabilityError: If the graph has no effect on the model's scores.
        """
        return summarize(self, users, k, by, knock_out, judge, seed)

    def batch(
        self,
        users: Sequence[str],
        k: int = 10,
        *,
        out: str | PathLike[str],
        top: int = 1,
        **asked: Any,
    ) -> tuple[int, int]:
        """Write the explanations of each user's ``top`` best items as JSON Lines; see
        ``kgrec.explanation.questions.batch.write_batch``.
        """
        return write_batch(self, users, out, k, top=top, **asked)

    def evaluate(
        self,
        users: Sequence[str] | str | int | None = None,
        top: int = 5,
        k: int = 5,
        seed: int = 0,
        against: "Explainer | None" = None,
    ) -> "Quality":
        """Return how good the explanations of users' first ``top`` recommendations are: figures
        with intervals, groups and gates.

        Args:
            users: User ids, "all", a number of users to draw, or None for 50 drawn by ``seed``.
            top: Recommendations of each user.
            k: Paths per explanation.
            seed: Draws users, controls and resamples.
            against: An explainer over another run, for how far the two agree.

        Raises:
            UnknownIdError: If a user is not in the data.
            ConfigError: If a setting is out of range.
        """
        from kgrec.explanation.quality.evaluate import evaluate

        return evaluate(self, users, top, k, seed, against)

    def rows(self, user: Id, *items: Id) -> tuple[int, ...]:
        """Return the rows of a user and of items.

        Raises:
            UnknownIdError: If one is not in the data.
            ConfigError: If an id is neither text nor a whole number.
        """
        return (
            self.data.users.row(one_id(user)),
            *(self.data.items.row(one_id(item)) for item in items),
        )

    def explains(self, user: int) -> bool:
        """Return whether the model has learned something about a user (row); others get the run's
        fallback, which has no reasons.
        """
        return bool(self._known_users[user])

    def manifest(self, **asked: Any) -> dict[str, Any]:
        """Return model, dataset, their sums, settings and versions."""
        if not self._sums:
            self._sums = {"graph": graph_sum(self.data)}
            if isinstance(self.model, torch.nn.Module):
                self._sums["parameters"] = parameters_sum(self.model.state_dict())
        return {
            "model": self.name,
            "dataset": self.data.name,
            "checksum": self.data.checksum,
            **self._sums,
            "settings": self._settings
            | {"max_length": self._filters.max_length, "users": self._filters.users}
            | asked,
            "versions": {"kgrec": __version__, "torch": torch.__version__, "numpy": np.__version__},
        }

    def standing(self, user: int, scorer: Scorer | None = None) -> Standing:
        """Return every item's score for a user (row), and which take part; ``scorer`` in place of
        the model's own.

        Raises:
            ExplanationError: If the model has learned nothing about the user.
        """
        if not self.explains(user):
            raise ExplanationError(
                f"user {self.data.users.key(user)!r} has no training interactions: {self.name} "
                "has no score of its own to explain. "
                "The list is the run's fallback; see its column kind."
            )
        with torch.inference_mode():
            scores = (
                (scorer or self.scorer)(queries(self._history, np.array([user])))[0]
                .double()
                .cpu()
                .numpy()
            )
        seen = self._seen.indices[self._seen.indptr[user] : self._seen.indptr[user + 1]]
        return Standing(
            scores,
            np.union1d(seen, self._unknown_items) if len(self._unknown_items) else seen,
            self._place,
        )

    def liked(self, user: int) -> np.ndarray:
        """Return the items (rows) that a user has in training, int64."""
        return np.asarray(
            self.train.indices[self.train.indptr[user] : self.train.indptr[user + 1]],
            dtype=np.int64,
        )

    def _search(self, user: int, item: int, filters: Filters, effects: Effects | None) -> _Search:
        """Return the candidates within some filters, with their first-order effects (or what stands
        in for them).
        """
        graph = self.graph
        node = self.graph.ckg.user_node(user)
        limits = filters.limits(graph, self.naming, node)
        limits.passable[:] &= self._carried
        found = simple_paths(
            graph, node, item, filters.max_length, self._settings["budget"], limits
        )
        notes: list[str] = []
        if any(found.cut[2:]):
            found, notes = self._best_first(found, node, item, limits, effects)
        groups = [
            grouped(graph, nodes, edges, filters.users == "count")
            for nodes, edges in zip(found.nodes, found.edges, strict=True)
        ]
        if effects is None:
            return _Search(found, groups, [], [], notes)
        removal = [group.total(effects.removal(group.edge)) for group in groups]
        walks = []
        for group, nodes, edges in zip(groups, found.nodes, found.edges, strict=True):
            carried = effects.walks(nodes, edges)
            walks.append(
                None
                if carried is None
                else (group.total_of_paths(carried[0]), group.total_of_paths(carried[1]))
            )
        return _Search(found, groups, removal, walks, notes)

    def _best_first(
        self, found: Found, user: int, item: int, limits: Limits, effects: Effects | None
    ) -> tuple[Found, list[str]]:
        """Replace the lengths that could not be listed by their best paths; paths through other
        users need listing and stay out.
        """
        graph = self.graph
        every = np.arange(graph.num_edges)
        degree = np.log(np.maximum(graph.degree(np.arange(graph.ckg.num_nodes)), 1))
        if effects is not None:
            value = effects.removal(every)
        else:
            value = -(degree[graph.low] + degree[graph.high]) / 2
        alone = Limits(limits.passable.copy(), limits.usable)
        alone.passable[graph.ckg.num_entities :] = False
        walks = count_walks(graph, user, item, len(found.nodes))
        nodes = list(found.nodes)
        edges = list(found.edges)
        notes = []
        cuts = tuple(cut and (place < 2 or walks[place] > 0) for place, cut in enumerate(found.cut))
        for place in [place for place, cut in enumerate(cuts) if cut and place >= 2]:
            length = place + 1
            best = best_paths(
                graph, value, user, item, length, _BEST_FIRST, alone, most=_BEST_FIRST * 100
            )
            order = np.lexsort([*best.edges.T[::-1], *best.nodes.T[::-1]])
            nodes[place], edges[place] = best.nodes[order], best.edges[order]
            if best.complete and len(best.values):
                least = f", none left out with a first-order effect above {best.values[-1]:.3g}"
            else:
                least = ""
            notes.append(
                f"Of paths of {length} hops (about {walks[place]:.3g} walks, too many to list) "
                f"the best {len(best.values)} without other "
                f"users were searched{least}."
            )
        return Found(tuple(nodes), tuple(edges), cuts), notes

    def _levels(self, search: _Search, rank_by: str, effects: Effects | None) -> np.ndarray:
        """Return what candidates are ordered by, smallest first: (candidates, keys)."""
        length = np.concatenate(
            [np.full(len(group.nodes), place + 1.0) for place, group in enumerate(search.groups)]
        )
        if rank_by == "plausibility" or (effects is None and isinstance(self.model, Plausible)):
            return np.stack([length, -rounded(self._plausibility(search))], 1)
        if effects is None:
            return np.stack([length, -rounded(self._rarity(search))], 1)
        removal = -rounded(np.concatenate(search.removal))
        if rank_by in ("joint", "weight"):
            numbers = [walks[rank_by == "weight"] for walks in search.walks if walks is not None]
            if len(numbers) < len(search.walks):
                raise CapabilityError(
                    f"{self.name} has no {rank_by} of a path: its gates differ from walk to "
                    "walk. Rank by drop."
                )
            return np.stack([-rounded(np.concatenate(numbers)), length], 1)
        return np.stack([length, removal] if rank_by == "length" else [removal, length], 1)

    def _rarity(self, search: _Search) -> np.ndarray:
        parts = []
        for group in search.groups:
            stops = group.nodes[:, 1:-1]
            degree = self.graph.degree(np.maximum(stops, 0))
            parts.append(-np.where(stops < 0, 0.0, np.log(np.maximum(degree, 1))).sum(1))
        return np.concatenate(parts)

    def _plausibility(self, search: _Search) -> np.ndarray:
        """Return the log-plausibility of each candidate's facts: of an edge's facts, the most
        plausible one.
        """
        if not isinstance(self.model, Plausible):
            raise CapabilityError(
                f"{self.name} does not score facts. Rank by drop, or train cke or cfkg."
            )
        per_edge = self._edge_plausibility(self.model)
        return np.concatenate(
            [
                per_edge[group.example].sum(1) if len(group.example) else np.empty(0)
                for group in search.groups
            ]
        )

    def _edge_plausibility(self, model: Plausible) -> np.ndarray:
        if self._plausible is None:
            ckg = self.graph.ckg
            graph = self.graph
            facts = np.flatnonzero(ckg.fact >= 0)
            columns = (
                torch.from_numpy(part[facts]) for part in (ckg.head, ckg.relation - 1, ckg.tail)
            )
            per_fact = np.full(len(ckg.head), -np.inf)
            with torch.no_grad():
                per_fact[facts] = model.plausibility(*columns).double().cpu().numpy()
            per_fact[ckg.fact < 0] = 0.0
            self._plausible = graph.best_per_edge(per_fact)
        return self._plausible

    def _measured(
        self, search: _Search, effects: Effects | None, rank_by: str, k: int
    ) -> "list[_Measured]":
        """Return the chosen candidates, best first; those that stand for counted users are measured
        only where there is room for them.
        """
        levels = self._levels(search, rank_by, effects)
        thin = {name: self._settings[name] for name in ("per_liked", "per_middle")}
        most = min(max(self._settings["screen_top"], k), _MOST_MEASURED)
        chosen = choose(search.groups, levels, counted=False, most=most, **thin)
        room = 2 * max(0, min(k, most) - len(chosen))
        if room:
            chosen += choose(search.groups, levels, counted=True, most=min(room, most), **thin)
        if not chosen:
            return []
        records = [_Measured(where, 0.0, None) for where in chosen]
        if effects is not None:
            edges = [search.groups[a].edges(b) for a, b in chosen]
            scores = effects.without(edges, self._modes)
            drops = dict(zip(self._modes, scores[:, :1] - scores[:, 1:], strict=True))
            masks = drops.get("mask")
            records = [
                _Measured(
                    where, float(drops["delete"][n]), None if masks is None else float(masks[n])
                )
                for n, where in enumerate(chosen)
            ]
        return self._in_order(search, records, rank_by)

    def _in_order(
        self, search: _Search, records: "list[_Measured]", rank_by: str
    ) -> "list[_Measured]":
        """Return measured candidates by what they are ranked by; of those without a measure the
        order stays.
        """
        values = np.array(
            [
                0.0 if rank_by == "length" else self._ranked_by(search, one, rank_by)
                for one in records
            ]
        )
        first = rounded(values)
        second = rounded(np.array([one.drop for one in records]))
        by_length = rank_by == "length" or self.effects is None
        others = [search.groups[one.where[0]].users[one.where[1]] > 0 for one in records]
        length = [one.where[0] if by_length else 0 for one in records]
        order = sorted(
            range(len(records)), key=lambda n: (others[n], length[n], -first[n], -second[n], n)
        )
        return [records[n] for n in order]

    def _ranked_by(self, search: _Search, one: "_Measured", rank_by: str) -> float:
        place, number = one.where
        if rank_by == "drop" or self.effects is None:
            return one.drop
        if rank_by == "drop_mask":
            if one.mask is None:
                raise ConfigError('rank_by="drop_mask" needs modes=("delete", "mask").')
            return one.mask
        if rank_by == "attribution":
            return float(search.removal[place][number])
        walks = search.walks[place]
        if walks is None:
            return 0.0
        return float(walks[rank_by == "weight"][number])

    def _path(
        self,
        search: _Search,
        one: "_Measured",
        effects: Effects | None,
        user: int,
        item: int,
        ranks: bool,
    ) -> Path:
        place, number = one.where
        group = search.groups[place]
        count = int(group.users[number])
        hops = self.naming.hops(group.nodes[number].tolist(), group.example[number].tolist(), count)
        if isinstance(self.model, Plausible):
            plausible = self._edge_plausibility(self.model)[group.example[number]].sum()
        else:
            plausible = None
        if effects is None:
            return Path(
                hops,
                "post-hoc",
                0.0,
                users=count or None,
                plausibility=None if plausible is None else float(plausible),
            )
        facts = self.graph.facts_of(group.edges(number))
        walks = search.walks[place]
        return Path(
            hops,
            effects.basis,
            one.drop,
            drop_mask=one.mask,
            attribution=float(search.removal[place][number]),
            users=count or None,
            removed=len(facts),
            joint=None if walks is None else float(walks[0][number]),
            weight=None if walks is None else float(walks[1][number]),
            rank_after=self.standing(user, self.without(facts)).rank(item) if ranks else None,
        )

    def without(self, facts: np.ndarray, added: np.ndarray | None = None) -> Scorer:
        """Return the scorer of the model on its graph without some facts (positions in its columns)
        and with others.

        Args:
            facts: What is taken away.
            added: (facts, 4): head, relation, tail, and the ``fact`` of ``CollaborativeKG``.

        Raises:
            CapabilityError: If the model cannot be put on another graph.
        """
        if not isinstance(self.model, GraphEditable):
            raise CapabilityError(
                f"{self.name} cannot be run on an edited graph, so nothing can be taken out of "
                "it. Use lightgcn-kg or kgat."
            )
        ckg = self.model.ckg
        kept = np.ones(len(ckg.head), dtype=bool)
        kept[facts] = False
        left = ckg.take(kept)
        if added is not None:
            head, relation, tail, fact = added.T
            left = replace(
                left,
                head=np.concatenate([left.head, head]),
                relation=np.concatenate([left.relation, relation]),
                tail=np.concatenate([left.tail, tail]),
                fact=np.concatenate([left.fact, fact]),
            )
        with torch.inference_mode():
            return self.model.on_graph(left).scorer()

    def _next(self, standing: Standing, item: int, rank: int | None) -> int | None:
        """Return the item that follows in the ranking."""
        if rank is None:
            return None
        order = standing.order()
        if rank < len(order):
            return int(order[rank])
        return None

    def _hidden(
        self,
        user: int,
        item: int,
        filters: Filters,
        effects: Effects | None,
        search: _Search,
        low: int,
    ) -> dict[str, Any]:
        """Return how many paths the filters hide and their share of all first-order effects, over
        the lengths that could be listed.
        """
        if not filters.active():
            return {}
        limits = Limits(self._carried, np.ones(self.graph.num_edges, dtype=bool))
        start = self.graph.ckg.user_node(user)
        every = simple_paths(
            self.graph, start, item, filters.max_length, self._settings["budget"], limits
        )
        whole = [
            place
            for place, (a, b) in enumerate(zip(every.cut, search.found.cut, strict=True))
            if not a and not b
        ]
        paths = sum(len(every.nodes[place]) - len(search.found.nodes[place]) for place in whole)
        out: dict[str, Any] = {"paths": paths, "below_min_drop": low, "share": None}
        if effects is not None:
            total, kept = (
                sum(
                    float(np.abs(effects.removal(found.edges[place]).sum(1)).sum())
                    for place in whole
                    if len(found.edges[place])
                )
                for found in (every, search.found)
            )
            if total > 0:
                out["share"] = (total - kept) / total
            else:
                out["share"] = 0.0
        return out

    def _notes(
        self, rank: int | None, search: _Search, filters: Filters, paths: Sequence[Path]
    ) -> tuple[str, ...]:
        notes = []
        if rank is None:
            notes.append(
                "The user already has this item: it has no rank, and the interaction itself is "
                "not offered as a path."
            )
        if self.effects is None or (
            isinstance(self.effects, LinearModel) and not self.effects.linear.num_layers
        ):
            likes = (
                " Each like has: see the budget." if isinstance(self.model, HistoryEditable) else ""
            )
            notes.append(
                f"No fact of the graph has an effect on {self.name}'s score at inference: the "
                f"paths connect, they do not cause.{likes}"
            )
        if any(search.found.cut[:2]):
            entries = self._settings["budget"]
            notes.append(
                f"The search stopped at its budget of {entries} entries: paths through the "
                "widest nodes are missing."
            )
        notes += search.notes
        if (
            isinstance(self.model, Rerunnable)
            and not self.model.through_users
            and filters.users != "hide"
        ):
            notes.append(
                f"{self.name} passes no message through other users: paths through them have no "
                "effect and are left out."
            )
        if not paths:
            longest = filters.max_length
            reach = f"at most {longest} hops" if longest > 1 else "1 hop"
            limited = filters.active() and filters != Filters(max_length=longest, users="hide")
            if limited:
                hidden = " within the filters"
            elif filters.users == "hide":
                hidden = ", paths through other users left out"
            else:
                hidden = ""
            notes.append(f"No path of {reach} joins this user and this item{hidden}.")
        if any(path.users for path in paths):
            notes.append(
                "Other users are counted, not named; the number of such a path is for all of its "
                "facts removed together."
            )
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A candidate (length - 1, number) and its drops."""

    where: tuple[int, int]
    drop: float
    mask: float | None


def _against(budget: Budget | None) -> tuple[Term, ...]:
    """Return the liked items that pull a score down, the strongest first."""
    if budget:
        return tuple(term for term in reversed(budget.by_liked) if term.value < 0)[:_MOST_AGAINST]
    return ()
