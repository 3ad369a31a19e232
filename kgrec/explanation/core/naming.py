"""From rows and nodes to what people read: ids, labels, relations, and where a fact is stated."""

from collections.abc import Sequence

import numpy as np

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.wording import DEFAULT_VERB
from kgrec.explanation.core.path_graph import PathGraph
from kgrec.explanation.core.records import FactRef, Hop, Node, Relation, short_names
from kgrec.explanation.core.speech import Speech, rating_scale
from kgrec.languages import LIKED

OTHERS = -1
_STARS = 5  # on a scale up to so many or more, 0 says that there is no rating (Book-Crossing)


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
        self._scale = rating_scale(data.train.rating)

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

    def hops(
        self,
        stops: Sequence[int],
        edges: Sequence[int],
        count: int,
        every: Sequence[np.ndarray] = (),
    ) -> tuple[Hop, ...]:
        """Return the hops of a path.

        Args:
            stops: Its nodes; ``count`` users stand at ``OTHERS``.
            edges: Its edges; of a path through counted users those of one of them.
            count: Number of counted users.
            every: Edges of each hop, those of all counted users.
        """
        nodes = [self.node(stop, count) for stop in stops]
        hops = []

        for position, edge in enumerate(edges):
            ends = stops[position : position + 2]
            facts = self._graph.facts(edge)
            others = None
            if OTHERS in ends:
                others = facts if not every else self._graph.facts_of(every[position])

            relations = self.relations(facts, ends, others)
            hops.append(Hop(nodes[position], nodes[position + 1], relations))

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
        self, facts: np.ndarray, ends: Sequence[int], others: np.ndarray | None = None
    ) -> tuple[Relation, ...]:
        """Return the relations of parallel facts, with directions and where each is stated; where
        users are counted, ``others`` has the facts of all of them.
        """
        ckg = self._graph.ckg
        stated: dict[tuple[int, bool], list[FactRef]] = {}

        for fact in facts.tolist():
            tail_is_target = int(ckg.tail[fact]) == ends[1]
            refs = stated.setdefault((int(ckg.relation[fact]), tail_is_target), [])
            refs.append(self._fact_ref(int(ckg.fact[fact])))

        if others is not None:
            stated = {key: list(dict.fromkeys(refs)) for key, refs in stated.items()}

        return tuple(
            Relation(
                self.relation_key(relation),
                self._said(relation, ends, others),
                forward,
                tuple(refs),
            )
            for (relation, forward), refs in stated.items()
        )

    def _said(self, relation: int, ends: Sequence[int], others: np.ndarray | None = None) -> str:
        """Return the label of a relation: of an interaction, what the user did, and of one that was
        rated below the middle of the scale the rating.
        """
        if relation:
            return self.relation_label(relation)
        if OTHERS in ends:
            return self._said_of(() if others is None else others)

        row = self._row(max(ends), min(ends))
        event = self._event(row)
        rating = self._rating(row)
        if self._scale is None or rating is None:
            return self.speech.verb(event)

        low, high = self._scale
        if rating == 0 and high >= _STARS:
            own = self.speech.own_verb(event)
            return DEFAULT_VERB if own in (None, LIKED) else own
        if rating < (low + high) / 2:
            return f"rated {rating:g} of {high:g}"

        return self.speech.verb(event, rated=True)

    def _said_of(self, facts: Sequence[int] | np.ndarray) -> str:
        """Return what all of several users did, by their interactions: the verb that they share."""
        events = {""}
        if self.speech.events and len(facts):
            ckg = self._graph.ckg
            ends = zip(ckg.head[facts].tolist(), ckg.tail[facts].tolist(), strict=True)
            events = {self._event(self._row(max(pair), min(pair))) for pair in ends}

        verbs = set(map(self.speech.own_verb, events))
        own = verbs.pop() if len(verbs) == 1 else None
        if self._scale is not None and own in (None, LIKED):
            # Some of them may have rated it low: they are not said to like it.
            low, high = self._scale
            return DEFAULT_VERB if low == 0 and high >= _STARS else "rated"

        return own or DEFAULT_VERB

    def _row(self, user: int, item: int) -> int | None:
        """Return the position of an interaction (nodes) in the training part, None if it has none."""
        train = self.data.train
        start, end = np.searchsorted(train.user, self._graph.ckg.user_row(user) + np.arange(2))
        found = np.flatnonzero(train.item[start:end] == item)
        return int(start + found[0]) if len(found) else None

    def _rating(self, row: int | None) -> float | None:
        """Return the rating of an interaction, None where it has none."""
        ratings = self.data.train.rating
        if row is None or ratings is None:
            return None

        rating = float(ratings[row])
        return rating if np.isfinite(rating) else None

    def _event(self, row: int | None) -> str:
        """Return the type of an interaction, "" where it is not known."""
        numbers = self.data.train.event
        if row is None or numbers is None:
            return ""

        number = int(numbers[row])
        known = 0 <= number < len(self.speech.events)
        return self.speech.events[number] if known else ""

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
