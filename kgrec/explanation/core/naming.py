"""From rows and nodes to what people read: ids, labels, relations, and where a fact is stated."""

from collections.abc import Sequence

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.core.records import FactRef, Hop, Node, Relation, short_names
from kgrec.explanation.core.speech import Speech

OTHERS = -1
_MOST_OF_A_SCALE = 100  # larger numbers are counts, not ratings


class Naming:
    """Names the nodes and edges of a path graph.

    Args:
        data: Ids, labels and facts.
        graph: The path graph.
        speech: The dataset's words; in English where None.
    """

    def __init__(self, data: Dataset, graph: PathGraph, speech: Speech | None = None) -> None:
        self.data = data
        self.speech = speech or Speech(data)
        self._graph = graph
        sources = range(len(data.triples.sources))
        self._sources = short_names(data.triples.sources)
        self._ordinal = [data.triples.counts_statements(source) for source in sources]
        self._column = [data.triples.column(source) for source in sources]
        self._scale = _scale(data.train.rating)

    def node(self, node: int, count: int = 0) -> Node:
        """Return a node; ``OTHERS`` stands for ``count`` other users."""
        if node == OTHERS:
            if count == 1:
                return Node("users", "", "1 other")
            return Node("users", "", f"{count} others")

        ckg = self._graph.ckg
        if ckg.is_user(node):
            return self.user(ckg.user_row(node))

        return self.entity(node)

    def entity(self, row: int) -> Node:
        """Return an item or entity by row of the triples' entities."""
        if row < self.data.num_items:
            return self.item(row)
        return Node("entity", self.data.triples.entities.key(row), self.data.triples.label(row))

    def user(self, row: int) -> Node:
        """Return a user by row."""
        return Node("user", self.data.users.key(row), self.data.user_label(row))

    def item(self, row: int) -> Node:
        """Return an item by row."""
        return Node("item", self.data.items.key(row), self.data.item_label(row))

    def hops(self, stops: Sequence[int], edges: Sequence[int], count: int) -> tuple[Hop, ...]:
        """Return the hops of a path; ``count`` users stand at ``OTHERS``."""
        nodes = [self.node(stop, count) for stop in stops]
        hops = []

        for position, edge in enumerate(edges):
            ends = stops[position : position + 2]
            hops.append(
                Hop(
                    nodes[position],
                    nodes[position + 1],
                    self.relations(self._graph.facts(edge), ends, OTHERS in ends),
                )
            )

        return tuple(hops)

    def relation_label(self, relation: int) -> str:
        """Return the label of a relation of the graph."""
        if relation == 0:
            return self.speech.verb()
        return self.data.triples.relation_label(relation - 1)

    def relation_key(self, relation: int) -> str:
        """Return the key of a relation of the graph."""
        if relation == 0:
            return "interacts"
        return self.data.triples.relations.key(relation - 1)

    def relations(
        self, facts: np.ndarray, ends: Sequence[int], counted: bool
    ) -> tuple[Relation, ...]:
        """Return the relations of parallel facts, with directions and where each is stated."""
        ckg = self._graph.ckg
        stated: dict[tuple[int, bool], list[FactRef]] = {}

        for fact in facts.tolist():
            tail_is_target = int(ckg.tail[fact]) == ends[1]
            refs = stated.setdefault((int(ckg.relation[fact]), tail_is_target), [])
            refs.append(self._fact_ref(int(ckg.fact[fact])))

        if counted:
            stated = {key: list(dict.fromkeys(refs)) for key, refs in stated.items()}

        return tuple(
            Relation(self.relation_key(relation), self._said(relation, ends), forward, tuple(refs))
            for (relation, forward), refs in stated.items()
        )

    def _said(self, relation: int, ends: Sequence[int]) -> str:
        """Return the label of a relation: of an interaction, what the user did, and of one that was
        rated below the middle of the scale the rating.
        """
        if relation or self._scale is None:
            return self.relation_label(relation)
        if OTHERS in ends:
            # Some of them may have rated it low: they are not said to like it.
            return self.data.wording.verb() or "rated"

        rating = self._rating(max(ends), min(ends))
        low, high = self._scale
        if rating is None:
            return self.relation_label(relation)
        if rating < (low + high) / 2:
            return f"rated {rating:g} of {high:g}"

        return self.speech.verb(rated=True)

    def _rating(self, user: int, item: int) -> float | None:
        """Return the rating of an interaction (nodes), None where it has none."""
        train = self.data.train
        rows = np.searchsorted(train.user, self._graph.ckg.user_row(user) + np.arange(2))
        found = np.flatnonzero(train.item[slice(*rows)] == item)
        if train.rating is None or not len(found):
            return None

        rating = float(train.rating[rows[0] + found[0]])
        return rating if np.isfinite(rating) else None

    def _fact_ref(self, row: int) -> FactRef:
        """Return where a fact is stated, by its row in the triples."""
        if row == -1:
            return FactRef("training interactions")
        if row < 0:
            return FactRef("user attributes")

        triples = self.data.triples
        source = int(triples.source[row])

        return FactRef(
            self._sources[source],
            int(triples.locator[row]),
            self._ordinal[source],
            self._column[source],
            triples.graph_name(row) or "",
        )


def _scale(ratings: np.ndarray | None) -> tuple[float, float] | None:
    """Return the ends of the scale that ratings use; None without ratings, or where the numbers are
    no ratings: one value of at most 1, or counts.

    A scale begins at 1 at the highest: where low ratings were left out, 4 of 5 is still good.
    """
    if ratings is None or not np.isfinite(ratings).any():
        return None

    low, high = min(float(np.nanmin(ratings)), 1.0), float(np.nanmax(ratings))
    if low < high <= _MOST_OF_A_SCALE:
        return low, high

    return None
