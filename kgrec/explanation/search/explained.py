"""A model to be explained, with its data, its rankings and the graph that it reads."""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
import torch

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.ids import Id, one_id
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.data.records.known import Known
from kgrec.data.records.tie_order import tie_order
from kgrec.errors import CapabilityError, ConfigError, ExplanationError
from kgrec.explanation.core.naming import Naming
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.core.records import Budget
from kgrec.explanation.core.speech import Speech
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.effects.budget import budget_of
from kgrec.explanation.effects.measured import Effects, LinearModel
from kgrec.explanation.effects.of_model import effects_of
from kgrec.explanation.effects.summed import SummedModel
from kgrec.graph.ckg import CollaborativeKG
from kgrec.languages import DEFAULT
from kgrec.models.base import ModelEffects, Recommender, Scorer
from kgrec.models.capabilities import GraphEditable, HistoryEditable, Rerunnable
from kgrec.queries import queries


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


class ExplainedModel:
    """A model with its data, its rankings and the graph that it reads.

    Args:
        model: A run; or a model, with ``data``. It is put in evaluation mode.
        data: Ids, labels, facts and training interactions; None takes the run's.
        scorer: The model's snapshot; taken from the run or model where None.
        model_name: Name for the manifest and the notes; the run's or the class's where None.
        seen: Users x items, non-zero where the item takes no part in the ranking; None takes the
            training and validation interactions, which ``Run.recommend`` omits as well.
        language: Of the sentences.
        phrases: Table of how relations read, before the dataset's own.
        effects: What the model says of its scores; None asks the model.
        known: Users and items that the model knows; None asks the model.
        about: What a reader of explanations must know of the person, "" for nothing.

    Attributes:
        data: The dataset.
        model: The model.
        model_effects: What it says of its scores (``Recommender.explanation_effects``), or None.
        name: Its name.
        scorer: Its snapshot.
        train: Training interactions, users x items.
        seen: Users x items, non-zero where the item is not ranked.
        graph: The graph that paths are drawn from.
        naming: Ids and labels of its nodes and edges.
        effects: What removing edges does to scores; None where the graph has no effect on them.
        known: Users and items that the model can tell something about.
        about: What a reader of explanations must know of the person, "" for nothing.

    Raises:
        ConfigError: If there is no dataset or no scorer.
    """

    def __init__(
        self,
        model: Fitted | Recommender | ModelEffects,
        data: Dataset | None = None,
        scorer: Scorer | None = None,
        *,
        model_name: str | None = None,
        seen: sp.csr_matrix | None = None,
        language: str = DEFAULT,
        phrases: object | None = None,
        effects: ModelEffects | None = None,
        known: Known | None = None,
        about: str = "",
    ) -> None:
        if not isinstance(model, Recommender | ModelEffects):
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
            raise ConfigError(f"{type(model).__name__} gives no scorer. Pass scorer=.")

        self.data = data
        self.model = model
        self.name = model_name or type(model).__name__
        self.scorer = scorer
        self.train = data.train.csr(data.num_users, data.num_items)

        if seen is None:
            valid = data.valid.csr(data.num_users, data.num_items)
            seen = (self.train + valid).tocsr()

        self.seen = seen
        self._history = concatenate([data.train, data.valid])  # as Run.recommend reads it
        self._tie_rank = np.argsort(tie_order(data))
        self.about = about
        if known is None:
            known = _known(model, data)

        self.known = known
        self._unknown_items = np.flatnonzero(~known.items)
        self.model_effects = effects or _effects(model)

        if isinstance(self.model_effects, Rerunnable | GraphEditable):
            merged = getattr(self.model_effects, "merges_relations", False)
            self.graph = PathGraph(self.model_effects.ckg, merged=merged)
        else:
            self.graph = PathGraph(CollaborativeKG.from_dataset(data), merged=False)

        self.naming = Naming(data, self.graph, Speech(data, language, phrases))
        self.effects = effects_of(self.model_effects, self.graph, self.brought)

    @property
    def no_effect(self) -> str:
        """Why facts are given no effect, in words: there is none, or none was measured."""
        if self.graph_effect == "not measured":
            return f"{self.name} states no effects of facts (Recommender.explanation_effects)"
        return f"no fact of the graph has an effect on {self.name}'s scores"

    @property
    def blind_to_users(self) -> bool:
        """Whether the model passes no message through other users."""
        effects = self.model_effects
        return isinstance(effects, Rerunnable) and not effects.through_users

    @property
    def keeps_weights(self) -> bool:
        """Whether the other edges' weights can be kept when some are removed."""
        effects = self.model_effects
        if isinstance(self.effects, SummedModel):
            return self.effects.keeps_weights
        if isinstance(effects, Rerunnable):
            return effects.keeps_weights
        return not isinstance(effects, GraphEditable)

    @property
    def changeable(self) -> dict[str, bool]:
        """Whether a ranking can be computed again under other likes, and under other facts."""
        editable = isinstance(self.model_effects, GraphEditable)
        return {
            "likes": editable or isinstance(self.model_effects, HistoryEditable),
            "facts": editable,
        }

    @property
    def graph_effect(self) -> str:
        """What is known of the effect of facts on the scores at inference: "measured", "none" (the
        model declares that its scores read no graph, or it has no layer that does), or "not
        measured" (it says neither).
        """
        if isinstance(self.effects, LinearModel) and not self.effects.linear.num_layers:
            return "none"
        if self.effects is not None:
            return "measured"
        if isinstance(self.model, Recommender) and not self.model.scores_read_graph:
            return "none"

        return "not measured"

    def like_drops(self, user: int, item: int) -> dict[int, float]:
        """Return the drop of a score without each like (items), for a model that reads no graph but
        knows a person by the items; {} for others.
        """
        effects = self.model_effects
        if self.effects is not None or not isinstance(effects, HistoryEditable):
            return {}

        likes, read = self.liked(user), self.history(user)
        histories = [read, *(read[read != one] for one in likes.tolist())]
        with torch.no_grad():
            scores = effects.history_scores(user, [torch.from_numpy(one) for one in histories])

        column = scores[:, item].double().cpu().numpy()
        return dict(zip(likes.tolist(), (column[0] - column[1:]).tolist(), strict=True))

    def over(self, model: Recommender | None = None) -> "ExplainedModel":
        """Return the same built again, over another model of the same data where given."""
        if model is None:
            again = ExplainedModel(
                self.model, self.data, self.scorer, model_name=self.name, seen=self.seen
            )
        else:
            again = ExplainedModel(model, self.data, model_name=self.name, seen=self.seen)

        again.naming.speech = self.naming.speech
        return again

    def rows(self, user: Id, *items: Id) -> tuple[int, ...]:
        """Return the rows of a user and of items.

        Raises:
            UnknownIdError: If one is not in the data.
            ConfigError: If an id is neither text nor a whole number.
        """
        row = self.data.users.row(one_id(user))
        return (row, *(self.data.items.row(one_id(item)) for item in items))

    def liked(self, user: int) -> np.ndarray:
        """Return the items (rows) that a user has in training, int64."""
        start, end = self.train.indptr[user : user + 2]
        return np.asarray(self.train.indices[start:end], dtype=np.int64)

    def history(self, user: int) -> np.ndarray:
        """Return the items (rows) that the scorer reads of a user, int64, oldest first: those of
        training, and, where it reads what a query brings, those of validation.
        """
        effects = self.model_effects
        if isinstance(effects, HistoryEditable) and not effects.reads_validation:
            return _items_of(self.data.train, user)
        return self.brought(user)

    def brought(self, user: int) -> np.ndarray:
        """Return the items (rows) that a query of a user brings, int64, oldest first."""
        return _items_of(self._history, user)

    def facts_about(self, items: np.ndarray) -> np.ndarray:
        """Return what the graph says of items (rows): all facts that have one at an end, without
        interactions, as positions in the columns of the graph.
        """
        ckg = self.graph.ckg
        ends = np.isin(ckg.head, items) | np.isin(ckg.tail, items)
        return np.flatnonzero(ends & (ckg.relation > 0))

    def explains(self, user: int) -> bool:
        """Return whether the model has learned something about a user (row).

        Others get the run's fallback, which has no reasons.
        """
        return bool(self.known.users[user])

    def standing(self, user: int, scorer: Scorer | None = None) -> Standing:
        """Return every item's score for a user (row), and which items are ranked.

        Args:
            user: User row.
            scorer: Scores instead of the model's own.

        Raises:
            ExplanationError: If the model has learned nothing about the user.
        """
        if not self.explains(user):
            raise ExplanationError(
                f"user {self.data.users.key(user)!r} has no training interactions: {self.name} "
                "has no score to explain. The list is the run's fallback; see its column kind."
            )

        scorer = scorer or self.scorer
        with torch.inference_mode():
            scores = scorer(queries(self._history, np.array([user])))[0].double().cpu().numpy()

        start, end = self.seen.indptr[user : user + 2]
        seen = self.seen.indices[start:end]
        if len(self._unknown_items):
            seen = np.union1d(seen, self._unknown_items)

        return Standing(scores, seen, self._tie_rank)

    def score(self, standing: Standing, user: int, item: int) -> float:
        """Return the score of an item (row) that can be explained.

        Raises:
            ExplanationError: If the model has learned nothing about the item, or the score is not
                finite.
        """
        key = self.data.items.key(item)
        if item in self._unknown_items:
            raise ExplanationError(
                f"{self.name} has learned nothing about item {key!r} (no training interaction, "
                "and nothing else that it reads): it has no score to explain."
            )

        score = float(standing.scores[item])
        if not np.isfinite(score):
            raise ExplanationError(
                f"the score of {key!r} for {self.data.users.key(user)!r} is {score}: the model is "
                "broken, nothing explains it."
            )

        return score

    def effects_at(self, user: int, item: int) -> Effects | None:
        """Return the effects on one score (rows); None where the graph has none."""
        if self.effects is None:
            return None
        return self.effects.at(user, item)

    def budget(
        self, user: int, item: int, score: float | None = None, effects: Effects | None = None
    ) -> Budget | None:
        """Return what a score is made of (rows); None where the model does not say.

        Score and effects are computed where None.
        """
        if score is None:
            score = float(self.standing(user).scores[item])

        if effects is None:
            effects = self.effects_at(user, item)

        liked = self.liked(user)
        liked = liked[liked != item]
        return budget_of(
            self.model_effects, effects, self.graph, self.naming, user, item, score, liked
        )

    def without(self, facts: np.ndarray, added: np.ndarray | None = None) -> Scorer:
        """Return the scorer of the model on its graph without some facts and with others.

        Args:
            facts: What is taken away, as positions in the columns of the graph.
            added: (facts, 4): head, relation, tail, and the ``fact`` of ``CollaborativeKG``.

        Raises:
            CapabilityError: If the model cannot be put on another graph.
        """
        if not isinstance(self.model_effects, GraphEditable):
            raise CapabilityError(
                f"{self.name} cannot be run on an edited graph, so nothing can be taken out of "
                "it. Use lightgcn-kg or kgat."
            )

        ckg = self.model_effects.ckg
        kept = np.ones(len(ckg.head), dtype=bool)
        kept[facts] = False
        edited = ckg.take(kept)

        if added is not None:
            head, relation, tail, fact = added.T
            edited = replace(
                edited,
                head=np.concatenate([edited.head, head]),
                relation=np.concatenate([edited.relation, relation]),
                tail=np.concatenate([edited.tail, tail]),
                fact=np.concatenate([edited.fact, fact]),
            )

        with torch.inference_mode():
            return self.model_effects.on_graph(edited).scorer()


def _items_of(log: Interactions, user: int) -> np.ndarray:
    start, end = np.searchsorted(log.user, [user, user + 1])
    return np.asarray(log.item[start:end], dtype=np.int64)


def _effects(model: Recommender | ModelEffects) -> ModelEffects | None:
    """Return what a model says of its scores; None where it says nothing."""
    if isinstance(model, Recommender):
        return model.explanation_effects()
    return model


def _known(model: Recommender | ModelEffects, data: Dataset) -> Known:
    """Return what a model can tell something about; all where it does not say."""
    if isinstance(model, Recommender):
        return model.can_rank(data)
    return Known(np.ones(data.num_users, dtype=bool), np.ones(data.num_items, dtype=bool))
