"""One user's ranking under other likes and facts (docs/explanations.md, section 9).

Embeddings stay as trained. Everything that depends on the graph is computed again.
"""

from dataclasses import replace

import numpy as np
import torch

from kgrec.errors import CapabilityError, ConfigError
from kgrec.explanation.core.standing import Standing
from kgrec.explanation.effects.closed_form import Edit, Mode
from kgrec.explanation.effects.measured import LinearModel
from kgrec.explanation.search.explained import ExplainedModel
from kgrec.models.capabilities import GraphEditable, HistoryEditable

_NO_ITEMS = np.empty(0, np.int64)


class World:
    """The ranking of one user under other likes and facts.

    Args:
        explained: The model and its data.
        user: User row.
        mode: "delete", or "mask" for models in closed form.

    Attributes:
        mode: "delete" or "mask".
        runs: How often the ranking was computed again.

    Raises:
        CapabilityError: If the model cannot rank under other likes.
        ConfigError: If the mode is not known.
    """

    def __init__(self, explained: ExplainedModel, user: int, mode: Mode = "delete") -> None:
        if mode not in ("delete", "mask"):
            raise ConfigError(f"mode={mode!r} is not known. Choose 'delete' or 'mask'.")

        self._explained = explained
        self._user = user
        self.mode = mode
        self._linear = None
        if isinstance(explained.effects, LinearModel):
            self._linear = explained.effects.linear

        if explained.model_effects is None:
            raise CapabilityError(
                f"{explained.name} does not state what other interactions would change "
                "(Recommender.explanation_effects). Use lightgcn, kgat, kgin, itemknn or ease."
            )

        if not isinstance(explained.model_effects, (GraphEditable, HistoryEditable)):
            raise CapabilityError(
                f"{explained.name} cannot be asked what other interactions would change: its scores "
                "stay what training made them. "
                "Use lightgcn, kgat, kgin, itemknn or ease."
            )

        if mode == "mask" and self._linear is None:
            raise CapabilityError(
                f"{explained.name} has no 'mask' mode for whole rankings. Use mode='delete'."
            )

        self.runs = 0

    def standing(
        self,
        removed: np.ndarray,
        added: np.ndarray = _NO_ITEMS,
        facts: np.ndarray | None = None,
        more: np.ndarray | None = None,
    ) -> Standing:
        """Return every item's score and rank under a change.

        Items whose like is removed stay out of the ranking, those whose like is added leave it.

        Args:
            removed: Items whose like is taken away.
            added: Items whose like is added.
            facts: Facts taken away, as positions in the columns of the model's graph.
            more: Facts put in, (facts, 3): head, relation, tail as nodes and relations of the
                graph.
        """
        self.runs += 1
        plain = (facts is None or not len(facts)) and (more is None or not len(more))
        before = self._explained.standing(self._user)

        if not plain or isinstance(self._explained.model_effects, GraphEditable):
            scores = self._on_graph(removed, added, facts, more)
        else:
            scores = self._by_history(removed, added)

        return replace(before, scores=scores, seen=np.union1d(before.seen, added))

    def _on_graph(
        self,
        removed: np.ndarray,
        added: np.ndarray,
        facts: np.ndarray | None,
        more: np.ndarray | None,
    ) -> np.ndarray:
        explained = self._explained
        ckg = explained.graph.ckg
        node = ckg.user_node(self._user)

        pairs = self._whole_pairs(facts)
        if self._linear is not None and pairs is not None and (more is None or not len(more)):
            edit = Edit(np.concatenate([_pairs(node, removed), pairs]), _pairs(node, added))
            return self._linear.ranking(node, ckg.num_items, edit, self.mode)

        likes = (ckg.head == node) & (ckg.relation == 0) & np.isin(ckg.tail, removed)
        gone = np.flatnonzero(likes)
        if facts is not None:
            gone = np.union1d(gone, facts)

        # Columns: head, relation, tail, fact. A like has relation 0 and fact -1.
        new = [np.stack([np.full_like(added, node), 0 * added, added, np.full_like(added, -1)], 1)]
        if more is not None:
            new.append(np.column_stack([more, np.zeros(len(more), np.int64)]))

        scorer = explained.without(gone, np.concatenate(new))
        return explained.standing(self._user, scorer).scores

    def _whole_pairs(self, facts: np.ndarray | None) -> np.ndarray | None:
        """Return the pairs of nodes that lose all facts between them; None where a pair keeps some,
        or a fact joins a node to itself.
        """
        graph = self._explained.graph
        if facts is None or not len(facts):
            return np.empty((0, 2), np.int64)

        positions = graph.edge_facts()
        edges = np.unique(graph.edge_of_fact()[np.isin(positions, facts)])
        if len(graph.facts_of(edges)) != len(np.unique(facts)):
            return None

        return np.stack([graph.low[edges], graph.high[edges]], 1)

    def _by_history(self, removed: np.ndarray, added: np.ndarray) -> np.ndarray:
        model = self._explained.model_effects
        assert isinstance(model, HistoryEditable)
        read = self._explained.history(self._user)
        history = np.concatenate([read[~np.isin(read, removed)], added])
        with torch.inference_mode():
            scores = model.history_scores(self._user, [torch.from_numpy(history)])
        return np.asarray(scores[0].double().cpu().numpy())


def _pairs(user: int, items: np.ndarray) -> np.ndarray:
    """Return the edges between a user's node and items."""
    return np.stack([np.full(len(items), user), items], 1)
