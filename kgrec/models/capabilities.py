"""What explanation can do with a model: small classes, each optional.

``Recommender.explanation_effects`` returns one object that inherits from those that are true of the
model (``class MineEffects(Rerunnable, Parted)``). The explainer takes the strongest:
``LinearlyPropagated`` and ``LinearOverFacts`` (exact parts and effects in closed form), ``Summed``
(the sum of what other models say), ``Rerunnable`` (effects measured by running the model again),
``Parted`` (a score as a sum), and for the rest paths that connect without a claim. It asks this
object alone, never the model's attributes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.data.derive.removal import Removal
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.symmetric import PairGraph
from kgrec.models.base import ModelEffects, Recommender
from kgrec.ops.rows import unit_rows


class Rerunnable(ModelEffects, ABC):
    """A model whose score can be measured again on an edited graph.

    Attributes:
        ckg: The graph that carries its messages; facts are positions in its columns, nodes are its
            nodes.
        merges_relations: True where parallel facts between two nodes share one weight, so that only
            all of them together can be removed.
        through_users: Whether messages pass through other users. Where items gather from no user
            (False), a path through one has an effect of exactly 0 beyond its first hop, and is no
            reason.
        keeps_weights: Whether ``rerun`` can keep the other edges' weights; without, only deletions
            are measured.
    """

    ckg: CollaborativeKG
    merges_relations: bool
    through_users: bool
    keeps_weights: bool = True

    @abstractmethod
    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return, per fact, the first-order effect of its weight on the score of (user, item), both
        directions added up.

        Where ``merges_relations``, each of several parallel facts carries the effect of their
        common weight.
        """

    @abstractmethod
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts.

        Everything that depends on the graph is computed again (the "delete" mode); with
        ``keep_weights`` the other edges' weights stay as they were (the "mask" mode).
        """


class ByIntent(Rerunnable):
    """A model whose first-order effects can be cut into pieces (KGIN's intents)."""

    @abstractmethod
    def screen_pieces(self, user: int, item: int) -> Mapping[str, Float[Tensor, " _"]]:
        """Return pieces of ``screen``, by what they are in words; they add up to it."""


@dataclass(frozen=True)
class LinearPropagation:
    """A model as linear propagation: Z = sum over k of c_k A^k X, score = z_u . z_i, A symmetric.

    Attributes:
        graph: The pairs that carry messages, and their weights A.
        start: X, (nodes, dim).
        coefficients: c_0 .. c_K.
        by_direction: Whether items are compared by direction: score = z_u . z_i / |z_i|.
    """

    graph: PairGraph
    start: Float[Tensor, "nodes dim"]
    coefficients: tuple[float, ...]
    by_direction: bool


@dataclass(frozen=True)
class FactPropagation:
    """A model as linear propagation over facts: Z = sum over k of c_k A^k X, score = z_u . z_i.

        A_ab = sum over the facts between a and b of their numbers / sqrt(d_a d_b)

    d counts distinct neighbors.

    Attributes:
        start: X, (nodes, dim).
        coefficients: c_0 .. c_K.
        forward: Number of each fact where its head gathers from its tail.
        backward: The same where the tail gathers from the head.
    """

    start: Float[Tensor, "nodes dim"]
    coefficients: tuple[float, ...]
    forward: Float[Tensor, " _"]
    backward: Float[Tensor, " _"]


@dataclass(frozen=True)
class MessageLayers:
    """A model as layers of weighted messages along edges.

        g_k = sum over the edges a -> b of weight_ab h_(k-1)[a], for each node b
        h_k = updates_k(h_(k-1), g_k),   z = combined(h_0, .., h_K),   score = z_u . ranked(z)_i

    Attributes:
        start: h_0, (nodes, dim).
        edge_index: Source and destination of each directed edge, int64.
        weight: Weight of each directed edge.
        edges_of_fact: The two directed edges of each fact of the graph, int64. Facts that share one
            weight share both.
        updates: One per layer, of nodes and their neighborhoods.
        combined: Makes z of the states.
        ranked: Makes of items' rows of z what they are ranked by.
    """

    start: Float[Tensor, "nodes dim"]
    edge_index: Int[Tensor, "2 edges"]
    weight: Float[Tensor, " edges"]
    edges_of_fact: Int[Tensor, "2 _"]
    updates: Sequence[Callable[[Tensor, Tensor], Tensor]]
    combined: Callable[[Sequence[Tensor]], Tensor]
    ranked: Callable[[Tensor], Tensor]


class MessagePassed(Rerunnable):
    """A model that is layers of weighted messages, which masks can be put on."""

    @abstractmethod
    def message_layers(self) -> MessageLayers:
        """Return the layers that its scorer ranks by; their parameters take no gradient."""


class LinearlyPropagated(MessagePassed):
    """A model that is linear in its node embeddings (LightGCN and its kin)."""

    @abstractmethod
    def propagation(self) -> LinearPropagation:
        """Return the propagation that its scorer ranks by."""

    def message_layers(self) -> MessageLayers:
        """Return the propagation as layers that take their neighborhood."""
        linear = self.propagation()
        csr = linear.graph.csr

        def combined(states: Sequence[Tensor]) -> Tensor:
            parts = [c * h for c, h in zip(linear.coefficients, states, strict=True)]
            return torch.stack(parts).sum(0)

        def ranked(items: Tensor) -> Tensor:
            if linear.by_direction:
                return unit_rows(items)
            return items

        facts = np.arange(len(self.ckg.head))

        return MessageLayers(
            start=linear.start.detach(),
            edge_index=torch.stack([csr.idx.long(), csr.destinations()]),
            weight=linear.graph.weight.detach(),
            edges_of_fact=linear.graph.edges_of(facts).view(2, -1),
            updates=[_neighborhood] * (len(linear.coefficients) - 1),
            combined=combined,
            ranked=ranked,
        )


class LinearOverFacts(MessagePassed):
    """A model that is linear in its node embeddings, each fact weighted by itself (LightKG)."""

    @abstractmethod
    def propagation(self) -> FactPropagation:
        """Return the propagation that its scorer ranks by."""


def _neighborhood(ego: Tensor, neighborhood: Tensor) -> Tensor:
    return neighborhood


@dataclass(frozen=True)
class ScoreParts:
    """One score as a sum: own + bias + sum of ``liked`` + sum of ``other`` equals it.

    Attributes:
        own: What the user's own trained vector gives, tied to no edge and no item.
        bias: What biases give.
        items: Items whose use by the user carries a part each (rows).
        liked: Their parts, as many as ``items``.
        other: Further parts by what they are, in words: "knowledge embedding of the item".
        basis: "exact" (the parts hold under change as well: taking the like away takes its part
            away, all else equal) or "linearized" (they add up at this point; gates move when the
            input does).
        pieces: ``liked`` cut further, by what the pieces are in words ("intent 1"): each has as
            many numbers as there are items, and they add up to ``liked``; {} where the model makes
            no such cut.
    """

    own: float
    bias: float = 0.0
    items: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    liked: np.ndarray = field(default_factory=lambda: np.empty(0))
    other: dict[str, float] = field(default_factory=dict)
    basis: str = "exact"
    pieces: dict[str, np.ndarray] = field(default_factory=dict)


class Parted(ModelEffects, ABC):
    """A model that says what a score is made of."""

    @abstractmethod
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return the parts of the score that its scorer gives."""


class GraphEditable(ModelEffects, ABC):
    """A model that can be put on another graph of the same nodes and relations.

    Attributes:
        ckg: The graph that it is on.
    """

    ckg: CollaborativeKG

    @abstractmethod
    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return a model with the same parameters over ``ckg``, everything that depends on the
        graph computed again.

        The parameters are shared with the old model and not to be trained.
        """


class HistoryEditable(ModelEffects, ABC):
    """A model that knows a person by the items of the history, so that other histories can be
    tried.

    Attributes:
        reads_validation: Whether it ranks a known user by validation interactions as well, in the
            order of their times, as a query brings them; False: by those of training alone.
    """

    reads_validation: bool = False

    @abstractmethod
    def history_scores(
        self, user: int, histories: Sequence[Int[Tensor, " _"]]
    ) -> Float[Tensor, "batch items"]:
        """Return the scores of the catalog for the user, had the history been each of these (item
        rows).
        """


class Refittable(ModelEffects, ABC):
    """A model in closed form that says what it would score had some interactions and facts never
    been in the data, without fitting it again.

    Attributes:
        refits_all: Whether that is of the whole model; else of its closed form, trained vectors
            being kept.
    """

    refits_all: bool = True

    @abstractmethod
    def refitted_scores(
        self, user: int, items: Sequence[int], removed: Removal
    ) -> Float[Tensor, " cand"]:
        """Return the scores of items for a user, in float64, of the model fitted without
        ``removed``; with nothing removed, those of the model fitted in float64.

        Raises:
            CapabilityError: If the model does not know which facts its rows come from.
        """


class Plausible(ModelEffects, ABC):
    """A model that says how plausible a fact is, though no fact enters its scores: ranks paths
    after the fact.
    """

    @abstractmethod
    def plausibility(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return the log-plausibility (at most 0) of triples, counted as ``Dataset.triples``
        counts.
        """


class Summed(ModelEffects, ABC):
    """A model whose score is a weighted sum of other models' scores, and a constant.

    Attributes:
        members: The models, and what each says of its scores, None where nothing.
        constant: Whether the weights stay as they are when likes and facts are taken away.
    """

    members: Sequence[tuple[Recommender, ModelEffects | None]]
    constant: bool

    @abstractmethod
    def coefficients(self, user: int) -> tuple[tuple[float, ...], float]:
        """Return the factor of each member's score for a user, and what is added to their sum."""
