"""What explains the scores of LightKG: Li et al., KDD 2025.

https://arxiv.org/abs/2506.10347
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.base import Recommender
from kgrec.models.capabilities import (
    FactPropagation,
    GraphEditable,
    LinearOverFacts,
    MessageLayers,
    Parted,
    ScoreParts,
)
from kgrec.models.effects import with_parameters_of
from kgrec.ops.propagate import propagate

if TYPE_CHECKING:
    from kgrec.models.knowledge.lightkg import LightKG


class LightKGEffects(LinearOverFacts, GraphEditable, Parted):
    """Effects of facts, exact since scores are linear in the embeddings: in closed form, of many by
    propagating the two ends of a score over the graph without them.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = True

    def __init__(self, model: "LightKG") -> None:
        self.ckg = model.ckg
        self._model = model
        low = np.minimum(self.ckg.head, self.ckg.tail)
        high = np.maximum(self.ckg.head, self.ckg.tail)
        pairs, self._pair = np.unique(low * self.ckg.num_nodes + high, return_inverse=True)
        self._ends = np.divmod(pairs, self.ckg.num_nodes)
        self._facts_of_pair = np.bincount(self._pair, minlength=len(pairs))
        ends = np.concatenate(self._ends)
        self._degree = np.bincount(ends, minlength=self.ckg.num_nodes)

    def propagation(self) -> FactPropagation:
        """Return the propagation that the scorer ranks by."""
        model = self._model
        numbers = model.numbers.detach()
        relation = torch.from_numpy(self.ckg.relation).to(numbers.device)
        layers = model.config.num_layers
        return FactPropagation(
            start=model.nodes.detach(),
            coefficients=(1 / (layers + 1),) * (layers + 1),
            forward=numbers[relation],
            backward=numbers[relation + self.ckg.num_relations],
        )

    def message_layers(self) -> MessageLayers:
        """Return the layers, which are their neighborhoods."""
        model = self._model
        csr = model.graph.csr
        layers = model.config.num_layers
        facts = np.arange(len(self.ckg.head))

        return MessageLayers(
            start=model.nodes.detach(),
            edge_index=torch.stack([csr.idx.long(), csr.destinations()]),
            weight=model.weights().detach(),
            edges_of_fact=model.graph.edges_of(facts).view(2, -1),
            updates=[lambda ego, neighborhood: neighborhood] * layers,
            combined=lambda states: torch.stack(list(states)).mean(0),
            ranked=lambda items: items,
        )

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), the others'
        weights kept.
        """
        model = self._model
        with torch.enable_grad():
            weight = model.weights().detach().requires_grad_()
            x = total = model.nodes.detach()

            for _ in range(model.config.num_layers):
                x = propagate(x, model.graph.csr, weight)
                total = total + x

            z = total / (model.config.num_layers + 1)
            score = z[self.ckg.user_node(user)] @ z[item]
            (gradient,) = torch.autograd.grad(
                score, weight, allow_unused=True, materialize_grads=True
            )

        return model.graph.per_fact(weight.detach() * gradient)

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts, degrees counted again
        unless ``keep_weights``.
        """
        model = self._model
        csr = model.graph.csr
        ends = torch.zeros(self.ckg.num_nodes, 2, dtype=model.nodes.dtype, device=csr.ptr.device)
        ends[self.ckg.user_node(user), 0] = 1.0
        ends[item, 1] += 1.0
        numbers = model.numbers[model.graph.relation.long()]
        scores = model.nodes.new_zeros(len(removed))

        for place, facts in enumerate(removed):
            if keep_weights or not len(facts):
                weight = model.weights()
            else:
                scale = torch.from_numpy(self._scale_without(facts)).to(ends)
                weight = numbers * scale[csr.destinations()] * scale[csr.idx.long()]

            weight[model.graph.edges_of(facts)] = 0.0
            turned = weight[csr.rev.long()]
            total = ends
            for _ in range(model.config.num_layers):  # (1 + A + ... + A^L)^T of both ends
                total = ends + propagate(total, csr, turned, weight)

            z = total.T @ model.nodes / (model.config.num_layers + 1)
            scores[place] = z[0] @ z[1]

        return scores

    def _scale_without(self, facts: Sequence[int]) -> np.ndarray:
        """Return 1 / sqrt(degree) of each node without some facts."""
        rows = np.unique(np.asarray(facts, dtype=np.int64))
        pair, count = np.unique(self._pair[rows], return_counts=True)
        gone = pair[count == self._facts_of_pair[pair]]
        degree = self._degree.copy()
        for end in self._ends:
            np.subtract.at(degree, end[gone], 1)

        return np.asarray(1 / np.sqrt(np.maximum(degree, 1)))

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return what the user's own vector and each edge of the user give; they add up."""
        model = self._model
        csr = model.graph.csr
        node = self.ckg.user_node(user)
        z_item = model()[item].double()
        edges = torch.arange(int(csr.ptr[node]), int(csr.ptr[node + 1]), device=csr.ptr.device)
        own = float(model.nodes[node].double() @ z_item) / (model.config.num_layers + 1)
        if not model.config.num_layers:
            return ScoreParts(own)

        sent = model.sent()[csr.idx[edges].long()].double() @ z_item
        parts = (model.weights()[edges].double() * sent).cpu().numpy()
        liked = (model.graph.relation[edges] == 0).cpu().numpy()
        other = {"facts about the user": float(parts[~liked].sum())} if not liked.all() else {}
        items = csr.idx[edges].long().cpu().numpy()[liked]
        return ScoreParts(own, items=items, liked=parts[liked], other=other)

    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return the model with its parameters on another graph of the same nodes."""
        model = self._model
        return with_parameters_of(model, type(model)(ckg, model.config, torch.Generator()))
