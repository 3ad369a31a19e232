"""What explains the scores of KGAT: Wang et al., KDD 2019.

https://arxiv.org/abs/1905.07854 (equation numbers are those of version 2)
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.receptive_field import Ball, LastBall, removal_effect, renormalized
from kgrec.models.base import Recommender
from kgrec.models.capabilities import (
    GraphEditable,
    MessageLayers,
    MessagePassed,
    Parted,
    ScoreParts,
)
from kgrec.models.effects import with_parameters_of
from kgrec.nn.aggregators import Aggregator
from kgrec.nn.ranking_loss import ranked_items
from kgrec.ops.rows import inverse_length, take_rows, unit_rows
from kgrec.ops.typed import typed_sum

if TYPE_CHECKING:
    from kgrec.models.knowledge.kgat import KGAT


class KGATEffects(MessagePassed, GraphEditable, Parted):
    """Effects of facts on scores, within the receptive field of a user and an item.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = True

    def __init__(self, model: "KGAT") -> None:
        self.ckg = model.ckg
        self._model = model
        self._ball = LastBall()

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), both directions
        added up.

        What an edge carries beyond what its head's other edges carry in its place, since their
        attention grows when it goes.
        """
        ball = self._around(user, item)
        attention = self._model.attention[ball.edges]

        with torch.enable_grad():
            states, gathered = self._unrolled(ball, attention)
            upstream: Sequence[Tensor] = ()
            if gathered:
                upstream = torch.autograd.grad(self._score(states), gathered)

        effect = attention * ball.by_weight(upstream, states)
        everywhere = torch.zeros_like(self._model.attention)
        everywhere[ball.edges] = removal_effect(effect, attention, self._groups(ball))
        return self._model.graph.per_fact(everywhere)

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts.

        Attention is normalized again over the triples that are left: its logits depend on the
        embeddings alone, Eq. (4), so this equals computing it on the edited graph. With
        ``keep_weights`` it stays as it was, and what is removed has none.
        """
        ball = self._around(user, item)
        attention = self._model.attention[ball.edges]
        group = self._groups(ball)
        scores = attention.new_zeros(len(removed))

        for number, facts in enumerate(removed):
            kept = (~torch.isin(ball.edges, self._model.graph.edges_of(facts))).to(attention)
            if keep_weights:
                left = attention * kept
            else:
                left = renormalized(attention, kept, group)

            states, _ = self._unrolled(ball, left)
            scores[number] = self._score(states)

        return scores

    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return the model with these parameters over another graph of the same nodes and
        relations, its attention computed again.
        """
        other = type(self._model)(ckg, self._model.config, torch.Generator())
        with_parameters_of(self._model, other)
        other.refresh_attention()
        return other

    def message_layers(self) -> MessageLayers:
        """Return the layers with their attention as it is, Eqs. (3), (6)-(8) and (11)-(12)."""
        model = self._model
        csr = model.graph.csr

        def combined(states: Sequence[Tensor]) -> Tensor:
            return torch.cat([states[0], *map(unit_rows, states[1:])], 1)  # Eq. (11)

        return MessageLayers(
            start=model.nodes.detach(),
            edge_index=torch.stack([csr.idx.long(), csr.destinations()]),
            weight=model.attention.detach(),
            edges_of_fact=model.graph.edges_of(np.arange(len(self.ckg.head))).view(2, -1),
            updates=[copy.deepcopy(layer).requires_grad_(False) for layer in model.layers],
            combined=combined,
            ranked=lambda items: ranked_items(items, model.config.loss),
        )

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return the score as what the user's own vector gives through all layers, what each
        neighbor gives, and what biases give.

        Slopes, norms, attention, the item's vector and one factor of each product stay as they are;
        neighbors stand for all that they gathered themselves. Facts about the user are one part of
        ``other``.
        """
        model = self._model
        ball = self._around(user, item)
        states, gathered = self._unrolled(ball, model.attention[ball.edges])
        ends = [e[:2].double() for e in states]  # user and item, at each layer
        scales: list[Tensor | float] = [1.0, *(inverse_length(e[0]) for e in ends[1:])]
        item_end = torch.cat([ends[0], *(unit_rows(e) for e in ends[1:])], 1)[1:]  # Eq. (11)
        vector = ranked_items(item_end, model.config.loss)[0]
        pieces = torch.split(vector, [e.shape[1] for e in ends])
        sent = [piece * scale for piece, scale in zip(pieces, scales, strict=True)]

        own = ball.row == 0  # edges at which the user gathers
        neighbors = ball.column[own]
        attention = model.attention[ball.edges[own]].double()
        values = torch.zeros_like(attention)
        bias = vector.new_zeros(())
        upstream = sent.pop()

        for number, layer in reversed(list(enumerate(model.layers))):
            assert isinstance(layer, Aggregator)
            to_self, to_neighbors, to_bias = layer.frozen(
                ends[number][0], gathered[number][0].double(), upstream
            )
            values += attention * (states[number][neighbors].double() @ to_neighbors)
            upstream = to_self + sent.pop()
            bias = bias + to_bias

        liked = model.graph.relation[ball.edges[own]] == 0
        other = {}
        if bool((~liked).any()):
            other["facts about the user"] = float(values[~liked].sum())

        items = ball.nodes[neighbors[liked]].cpu().numpy()
        by_item = values[liked].cpu().numpy()
        own_part = float(ends[0][0] @ upstream)
        return ScoreParts(own_part, float(bias), items, by_item, other, "linearized")

    def _around(self, user: int, item: int) -> Ball:
        csr = self._model.graph.csr
        ends = (self.ckg.user_node(user), item)
        layers = len(self._model.layers)
        return self._ball.of(
            (user, item, csr.idx.device),
            lambda: Ball.around(ends, layers, csr.destinations(), csr.idx.long(), csr.num_nodes),
        )

    def _groups(self, ball: Ball) -> Int[Tensor, " edges"]:
        """Return which edges of a ball share a sum of attention: those of a head, or of a head and
        a relation where it is static.
        """
        if self._model.config.attention == "live":
            return ball.row

        graph = self._model.graph
        keys = ball.row * graph.num_relations + graph.relation[ball.edges]
        group: Tensor = torch.unique(keys, return_inverse=True)[1]
        return group

    def _unrolled(
        self, ball: Ball, attention: Float[Tensor, " edges"]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return what each layer starts from (and the last one's output) and what it gathers, Eqs.
        (3) and (6)-(8), within a ball.
        """
        states = [take_rows(self._model.nodes, ball.nodes)]
        gathered = []

        for layer, (edges, order) in zip(self._model.layers, ball.layers, strict=True):
            gathered.append(typed_sum(states[-1], edges, attention[order]))  # Eq. (3)
            states.append(layer(states[-1][: edges.num_rows], gathered[-1]))  # Eqs. (6)-(8)

        return states, gathered

    def _score(self, states: list[Tensor]) -> Float[Tensor, ""]:
        ends = torch.cat([states[0][:2], *(unit_rows(e[:2]) for e in states[1:])], 1)  # Eq. (11)
        return ends[0] @ ranked_items(ends[1:], self._model.config.loss)[0]  # Eq. (12)
