"""What explains the scores of a network over a typed graph: runs of it without some facts."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.errors import CapabilityError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.message_masks import masked_messages
from kgrec.graph.typed_graph import TypedGraph
from kgrec.models.capabilities import GraphEditable, Rerunnable
from kgrec.nn.ranking_loss import ranked_items

if TYPE_CHECKING:
    from kgrec.models.hetero import HeteroRecommender

_MOST_SCREENED = 300


class HeteroEffects(Rerunnable, GraphEditable):
    """Effects of facts on scores. An edge goes in both directions; its type keeps its layers when
    it has no edge left.

    Where the layers' messages can be told apart by edge (``HeteroConv``, ``to_hetero``, ``HGTConv``
    and others that are run on the edges as given), facts are screened by the derivative of the
    score by a number that multiplies their messages. Else those within three hops of user and item
    are screened by removing them one at a time, at most 300, and there is no "mask" mode.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = True

    def __init__(self, model: "HeteroRecommender") -> None:
        self.ckg = model.ckg
        self._model = model
        self.keeps_weights = self._messages_are_known()

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), both directions
        added up, the weights of the others kept.
        """
        if not self.keeps_weights:
            return self._screened_by_removal(user, item)

        with torch.enable_grad():
            ones = self._ones().requires_grad_()
            score = self.score_of(self.masked(ones), user, item)
            (gradient,) = torch.autograd.grad(
                score, ones, allow_unused=True, materialize_grads=True
            )

        return gradient

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts: the network is run on the
        other edges. With ``keep_weights`` it is run on all edges, and their messages are zeros.

        Raises:
            CapabilityError: If weights cannot be kept.
        """
        if keep_weights and not self.keeps_weights:
            raise CapabilityError(
                f"{type(self._model).__name__}: a layer's messages cannot be told apart by edge, "
                "so other weights cannot be kept. Use mode='delete'."
            )

        ones = self._ones()
        scores = ones.new_zeros(len(removed))

        for number, facts in enumerate(removed):
            kept = self._model.graph.without(facts)
            if keep_weights:
                found = self.masked(ones * kept)
            else:
                found = self._model(kept)

            scores[number] = self.score_of(found, user, item)

        return scores

    def on_graph(self, ckg: CollaborativeKG) -> "HeteroRecommender":
        """Return the model on another graph of the same nodes and relations.

        Raises:
            GraphError: If it has edges of a type that the network was not built for.
        """
        graph = self._model.graph
        # a copy shares the modules by name as well, until it has a table of its own
        other = copy.copy(self._model)
        vars(other)["_modules"] = dict(self._model.named_children())
        other.graph = TypedGraph(ckg, graph.types, like=graph.edge_types).to(self._ones().device)
        other.ckg = ckg
        return other

    def _ones(self) -> Float[Tensor, " _"]:
        like = next(self._model.parameters())
        return like.new_ones(len(self.ckg.head)).detach()

    def masked(self, values: Float[Tensor, " _"]) -> dict[str, Tensor]:
        """Return the network's vectors, the messages of each fact multiplied by a number."""
        graph = self._model.graph
        edges = graph.edges()
        with masked_messages(self._model.net, edges, graph.per_edge(values)):
            return self._model.on_edges(edges)

    def score_of(self, found: Mapping[str, Tensor], user: int, item: int) -> Float[Tensor, ""]:
        """Return the score of (user, item) by the network's vectors."""
        ranked = ranked_items(found["item"][item : item + 1], self._model.config.loss)
        return found["user"][user] @ ranked[0]

    @torch.no_grad()
    def _messages_are_known(self) -> bool:
        """Return whether every message of the network is that of a known edge: edges of types whose
        messages were not met must have no effect.
        """
        graph = self._model.graph
        edges = graph.edges()

        try:
            with masked_messages(self._model.net, edges, graph.per_edge(self._ones())) as met:
                found = self._model.on_edges(edges)
        except CapabilityError:
            return False

        unmet = {name: ends[:, :0] if name not in met else ends for name, ends in edges.items()}
        alone = self._model.on_edges(unmet)
        return all(torch.allclose(found[name], alone[name]) for name in ("user", "item"))

    def _screened_by_removal(self, user: int, item: int) -> Float[Tensor, " _"]:
        near = self._near(self.ckg.user_node(user), item)
        scores = self.rerun(user, item, [[], *([int(fact)] for fact in near)])
        effects = torch.zeros_like(self._ones())
        effects[torch.from_numpy(near).to(effects.device)] = scores[0] - scores[1:]
        return effects

    def _near(self, *ends: int) -> np.ndarray:
        """Return the facts on walks of at most three hops between two nodes, those nearest to
        either first.
        """
        ckg = self.ckg
        facts = np.flatnonzero(ckg.head != ckg.tail)
        pairs = (np.ones(len(facts), np.int8), (ckg.head[facts], ckg.tail[facts]))
        graph = sp.csr_matrix(pairs, shape=(ckg.num_nodes, ckg.num_nodes))
        graph = graph + graph.T
        hops = np.full((2, ckg.num_nodes), 9)
        for row, end in zip(hops, ends, strict=True):
            reached = np.zeros(ckg.num_nodes, dtype=bool)
            reached[end] = True

            for hop in range(3):
                row[reached] = np.minimum(row[reached], hop)
                reached = reached | (graph @ reached > 0)

        head = hops[:, ckg.head[facts]]
        tail = hops[:, ckg.tail[facts]]
        length = np.minimum(head[0] + tail[1], tail[0] + head[1]) + 1
        nearest = np.minimum(head, tail).min(0)
        order = np.lexsort([facts, nearest, length])
        return np.asarray(facts[order][length[order] <= 3][:_MOST_SCREENED])
