"""The front door of ``kgrec.explanation``: one model, and every question about it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import scipy.sparse as sp

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.ids import Id, Ids, id_list, known_rows, one_id
from kgrec.errors import ConfigError, UnknownIdError
from kgrec.explanation.core.answers import Contrast, FlipSet, ListReasons, Summary, WhatIf, WhyNot
from kgrec.explanation.core.records import Budget, Explanation
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.core.training_effects import TrainingEffects
from kgrec.explanation.effects.closed_form import MODES
from kgrec.explanation.effects.measured import Effects
from kgrec.explanation.quality.evaluate import evaluate
from kgrec.explanation.quality.report import Quality
from kgrec.explanation.questions.batch import Person, write_batch
from kgrec.explanation.questions.contrasts import compare, why_not
from kgrec.explanation.questions.flips import flip, flip_of
from kgrec.explanation.questions.lists import list_reasons
from kgrec.explanation.questions.summary import Evaluate, summarize
from kgrec.explanation.questions.what_if import what_if
from kgrec.explanation.questions.why import explain
from kgrec.explanation.search.explained import ExplainedModel, Fitted
from kgrec.explanation.search.histories import with_history
from kgrec.explanation.search.ranked import PathSearch
from kgrec.languages import DEFAULT
from kgrec.models.base import ModelEffects, Recommender, Scorer


class Explainer:
    """Explain recommendations of one model by measured paths.

    Simple paths up to ``max_length`` hops are found, screened by the first-order effects of their
    edges, thinned out for variety, and the best of them measured: the score without their edges,
    without the like alone and without the facts alone, in closed form where the model is linear in
    its graph, else by running it again. Paths are ranked by the like, then by the facts. Counted users come after the paths that stand
    for themselves, ranked among each other: many people's edges together always weigh more than one
    fact.

    With ``users="count"`` the paths that differ only in the other users they pass through are one
    path, and its drop is that of removing all their edges together (the user's own edge to the
    liked item, and every counted user's edges). "hide" omits such paths, "show" names every user.

    Without deletion, paths have basis "post-hoc" where the model declares that its scores read no
    graph, else "not measured": those first whose like carries the score, where it is known, then
    short and rarely shared ones, or the most plausible ones where the model scores facts.

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
            training and validation interactions, which ``Run.recommend`` omits as well.
        language: Of the sentences: "en" or "de" (``kgrec.languages``).
        phrases: Table of how relations read (file, frame, or ``Phrase`` records), before the
            dataset's own.

    Attributes:
        search: The search for paths, which the functions of ``questions`` and ``quality`` take.
        history: Items of the history that the person was given.
        person: Id of the user with that history; None without one.
        training_effects: Computes effects through training of an explanation's paths; None where
            there is no run that could train.
        remarks: What a run has to say of an explanation, added to its notes; None says nothing.
        explained: The model with its data, rankings and graph.

    Raises:
        ConfigError: If a setting is out of range.
    """

    def __init__(
        self,
        model: Fitted | Recommender | ModelEffects,
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
        language: str = DEFAULT,
        phrases: object | None = None,
    ) -> None:
        explained = ExplainedModel(
            model,
            data,
            scorer,
            model_name=model_name,
            seen=seen,
            language=language,
            phrases=phrases,
        )
        search = PathSearch(
            explained,
            max_length=max_length,
            screen_top=screen_top,
            per_liked=per_liked,
            per_middle=per_middle,
            budget=budget,
            users=users,
            modes=modes,
        )
        self.history: tuple[str, ...] = ()
        self.person: str | None = None
        self.training_effects: Callable[[Explanation, int | None], TrainingEffects] | None = None
        self.remarks: Callable[[Explanation], tuple[str, ...]] | None = None
        self._last: tuple[object, Explainer] | None = None
        self._take(search)

    def _take(self, search: PathSearch) -> None:
        self.search = search
        self.explained = search.explained
        self.data = self.explained.data
        self.model = self.explained.model
        self.name = self.explained.name
        self.scorer = self.explained.scorer
        self.train = self.explained.train
        self.graph = self.explained.graph
        self.naming = self.explained.naming
        self.effects = self.explained.effects

    def with_history(
        self, history: Ids, user: Id | None = None, *, on_unknown: str = "error", name: str = ""
    ) -> "Explainer":
        """Return an explainer of someone by a history, who is ``person`` there; the last one is
        kept.

        Someone unseen is folded in, as ``Run.recommend(history=...)`` does. A known user has these
        interactions besides: the trained vector stays, and everything that depends on the graph is
        computed again; models that know people by their items alone fold both together in.

        Args:
            history: Item ids.
            user: A known user's id; None for someone unseen.
            on_unknown: What to do about ids that are not in the data: "error", or "ignore" them and
                say so in the log.
            name: What someone unseen is called; "" for no name.

        Raises:
            UnknownIdError: If the history is empty, or an id is not known.
            ConfigError: If ``name`` is that of a known user.
            CapabilityError: If the model cannot rank by a history.
        """
        data = self.explained.data
        keys = tuple(dict.fromkeys(id_list(history)))
        if not keys:
            raise UnknownIdError("the history is empty. Name at least one item.")

        rows = known_rows(data.items, keys, on_unknown)
        known = None if user is None else data.users.row(one_id(user))
        if name and name in data.users:
            raise ConfigError(f"name {name!r} is the id of a known user. Pass it as user.")

        asked = (known, name, tuple(rows.tolist()))
        if self._last is None or self._last[0] != asked:
            explained, row = with_history(self.explained, rows, known, name)
            explained.naming.speech = self.naming.speech
            search = self.search.on(explained)
            if isinstance(explained.model_effects, type(self.explained.model_effects)):
                search.placebos = self.search.placebos

            other = copy(self)
            other._take(search)
            other._last = None
            other.history = tuple(data.items.keys(rows))
            other.person = explained.data.users.key(row)
            self._last = asked, other

        return self._last[1]

    def explain(
        self,
        user: Id | None = None,
        item: Id | None = None,
        k: int = 10,
        *,
        history: Ids | None = None,
        on_unknown: str = "error",
        flip: bool = False,
        rank_by: str = "like",
        ranks: bool = False,
        relations: Mapping[str, Iterable[str]] | None = None,
        types: Iterable[str] | None = None,
        max_length: int | None = None,
        max_degree: int | None = None,
        users: str | None = None,
        min_drop: float | int | None = None,
    ) -> Explanation:
        """Return the best ``k`` paths and the parts of a score: ``questions.why.explain``.

        Args:
            user: User id; None with a ``history`` is someone unseen.
            item: Item id; None is the first of the list.
            k: Most paths.
            history: Item ids that the user has besides; see ``with_history``.
            on_unknown: What to do about ids in ``history`` that are not in the data.
            flip: Whether likes are searched without which another item comes first
                (``Explanation.flip``); slower.
            rank_by: As in ``questions.why.explain``, and so are the others.
            ranks: Whether the item's rank without each path is found as well.
            relations: Relations that are allowed or denied.
            types: Kinds of stops.
            max_length: Longest path.
            max_degree: Most edges of a stop.
            users: "count", "hide" or "show".
            min_drop: Least drop of a path.
        """
        if history is not None:
            other = self.with_history(history, user, on_unknown=on_unknown)
            return other.explain(
                other.person,
                item,
                k,
                flip=flip,
                rank_by=rank_by,
                ranks=ranks,
                relations=relations,
                types=types,
                max_length=max_length,
                max_degree=max_degree,
                users=users,
                min_drop=min_drop,
            )

        if user is None and self.person is None:
            raise ConfigError("explain to whom? Name a user, or a history.")

        user = self.person if user is None else user
        assert user is not None
        found = explain(
            self.search,
            user,
            self._first(user) if item is None else item,
            k,
            rank_by=rank_by,
            ranks=ranks,
            relations=relations,
            types=types,
            max_length=max_length,
            max_degree=max_degree,
            users=users,
            min_drop=min_drop,
        )
        if self.history:
            found = replace(found, history=self.history)
        if self.remarks is not None and (said := self.remarks(found)):
            found = replace(found, notes=(*found.notes, *said))
        if not flip:
            return found

        found = replace(found, flip=flip_of(self.explained, found))
        return self.naming.speech.explanation(found)

    def _first(self, user: Id) -> str:
        """Return the first item of a user's list."""
        (row,) = self.explained.rows(user)
        order = self.explained.standing(row).order()
        if not len(order):
            raise ConfigError(f"no item is left to recommend to {one_id(user)!r}.")

        return self.data.items.key(int(order[0]))

    def budget(
        self, user: int, item: int, score: float | None = None, effects: Effects | None = None
    ) -> Budget | None:
        """Return what a score is made of (rows): ``ExplainedModel.budget``."""
        return self.explained.budget(user, item, score, effects)

    def compare(self, user: str, first: str, second: str, k: int = 5) -> Contrast:
        """Return why two scores differ: ``questions.contrasts.compare``."""
        return self.naming.speech.answer(compare(self.search, user, first, second, k))

    def flip(
        self, user: str, item: str | None = None, mode: str = "delete", max_size: int = 50
    ) -> FlipSet:
        """Return likes that hold an item's rank: ``questions.flips.flip``."""
        return self.naming.speech.answer(flip(self.explained, user, item, mode, max_size))

    def why_not(self, user: str, item: str, k: int = 10) -> WhyNot:
        """Return why an item is not in a list: ``questions.contrasts.why_not``."""
        return self.naming.speech.answer(why_not(self.search, user, item, k))

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
        """Return a ranking under other likes and facts: ``questions.what_if.what_if``."""
        found = what_if(self.explained, user, remove, add, items, remove_facts, add_facts, k)
        return self.naming.speech.answer(found)

    def list_reasons(
        self, user: str, k: int = 10, likes: int = 200, facts: int = 20
    ) -> ListReasons:
        """Return which likes and facts hold a list up: ``questions.lists.list_reasons``."""
        return self.naming.speech.answer(list_reasons(self.search, user, k, likes, facts))

    def summary(
        self,
        users: Sequence[str] | str | None = None,
        k: int = 10,
        by: str = "relation",
        knock_out: bool = False,
        judge: Evaluate | None = None,
        seed: int = 0,
    ) -> Summary:
        """Return what drives many recommendations: ``questions.summary.summarize``."""
        return self.naming.speech.answer(
            summarize(self.search, users, k, by, knock_out, judge, seed)
        )

    def of_person(self, person: Person) -> tuple[PathSearch, str]:
        """Return what explains to someone by a history, and the id under which it does."""
        known = person.user in self.explained.data.users
        if known:
            other = self.with_history(person.history, person.user)
        else:
            other = self.with_history(person.history, name=person.user)

        assert other.person is not None
        return other.search, other.person

    def batch(
        self,
        users: Sequence[str | Person],
        k: int = 10,
        *,
        out: str | PathLike[str],
        top: int = 1,
        **asked: Any,
    ) -> tuple[int, int]:
        """Write explanations of many users, or of people by a history, as JSON Lines:
        ``questions.batch.write_batch``.
        """
        return write_batch(self.search, users, out, k, top=top, fold=self.of_person, **asked)

    def evaluate(
        self,
        users: Sequence[str] | str | int | None = None,
        top: int = 5,
        k: int = 5,
        seed: int = 0,
        against: "Explainer | None" = None,
        beside: Sequence[str] = (),
    ) -> Quality:
        """Return how good the explanations are: ``quality.evaluate.evaluate``."""
        other = None
        if against is not None:
            other = against.search
        return evaluate(self.search, users, top, k, seed, other, beside)

    def rows(self, user: Id, *items: Id) -> tuple[int, ...]:
        """Return the rows of a user and of items: ``ExplainedModel.rows``."""
        return self.explained.rows(user, *items)

    def explains(self, user: int) -> bool:
        """Return whether the model knows a user (row): ``ExplainedModel.explains``."""
        return self.explained.explains(user)

    def manifest(self, **asked: Any) -> dict[str, Any]:
        """Return model, dataset, checksums, settings, versions: ``PathSearch.manifest``."""
        return self.search.manifest(**asked)

    def standing(self, user: int, scorer: Scorer | None = None) -> Standing:
        """Return every item's score and rank for a user (row): ``ExplainedModel.standing``."""
        return self.explained.standing(user, scorer)

    def liked(self, user: int) -> np.ndarray:
        """Return the items (rows) that a user has in training: ``ExplainedModel.liked``."""
        return self.explained.liked(user)

    def without(self, facts: np.ndarray, added: np.ndarray | None = None) -> Scorer:
        """Return the model's scorer on an edited graph: ``ExplainedModel.without``."""
        return self.explained.without(facts, added)
