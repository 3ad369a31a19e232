"""What explains the scores of KGIN: Wang et al., WWW 2021.

https://arxiv.org/abs/2102.07057 (equation numbers are those of version 1)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.receptive_field import Ball, LastBall, removal_effect, renormalized
from kgrec.models.base import Recommender
from kgrec.models.capabilities import ByIntent, GraphEditable, Parted, ScoreParts
from kgrec.models.effects import with_parameters_of
from kgrec.nn.ranking_loss import ranked_items
from kgrec.ops.rows import inverse_length, take_rows, unit_rows
from kgrec.ops.typed import typed_sum

if TYPE_CHECKING:
    from kgrec.models.knowledge.kgin import KGIN


class KGINEffects(ByIntent, GraphEditable, Parted):
    """Effects of facts on scores, within the receptive field of a user and an item; items gather
    from no user.

    Args:
        model: The model.
    """

    merges_relations = False
    through_users = False

    def __init__(self, model: "KGIN") -> None:
        self.ckg = model.ckg
        self._model = model
        self._ball = LastBall()

    def screen(self, user: int, item: int) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on the score of (user, item), both directions
        added up.

        What an edge carries beyond the mean of its row's other edges, which count for more when it
        goes.
        """
        ball = self._around(user, item)
        with torch.enable_grad():
            steps = self._unrolled(ball, self._model.graph.everywhere.weight[ball.edges])
            return self._effects(ball, steps, steps.score())

    def screen_pieces(self, user: int, item: int) -> Mapping[str, Float[Tensor, " _"]]:
        """Return ``screen`` cut into pieces that add up to it: by way of the user's own vector, of
        the items as such, of each intent.
        """
        ball = self._around(user, item)
        with torch.enable_grad():
            steps = self._unrolled(ball, self._model.graph.everywhere.weight[ball.edges])
            pieces = [
                got[0] * rows * steps.item
                for got, rows in zip(steps.gathered, self._messages(steps), strict=True)
            ]
            scores = [steps.users[0][0] @ steps.item, *torch.stack(pieces).sum((0, 2))]

            return {
                name: self._effects(ball, steps, score)
                for name, score in zip(["own vector", *self._names()], scores, strict=True)
            }

    @torch.no_grad()
    def rerun(
        self, user: int, item: int, removed: Sequence[Sequence[int]], keep_weights: bool = False
    ) -> Float[Tensor, " batch"]:
        """Return the score of (user, item) without each group of facts, means taken over what is
        left.

        With ``keep_weights`` what is left counts as much as it did.
        """
        ball = self._around(user, item)
        edge_of_fact = self._model.graph.edge_of_fact
        weight = self._model.graph.everywhere.weight[ball.edges]
        scores = weight.new_zeros(len(removed))

        for number, facts in enumerate(removed):
            rows = torch.from_numpy(np.asarray(facts, dtype=np.int64)).to(edge_of_fact.device)
            kept = (~torch.isin(ball.edges, edge_of_fact[:, rows])).to(weight)

            if keep_weights:
                left = weight * kept
            else:
                left = renormalized(weight, kept, ball.row)

            scores[number] = self._unrolled(ball, left).score()

        return scores

    def on_graph(self, ckg: CollaborativeKG) -> Recommender:
        """Return the model with these parameters over another graph of the same nodes and
        relations.
        """
        other = type(self._model)(ckg, self._model.config, torch.Generator())
        return with_parameters_of(self._model, other)

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return the score as what the user's own vector gives and what each of the user's items
        gives, and that cut by intent.

        The choice of intents, norms and the item's vector stay as they are.
        """
        ball = self._around(user, item)
        all_weights = self._model.graph.everywhere.weight
        steps = self._unrolled(ball, all_weights[ball.edges])
        own = ball.row == 0  # edges at which the user gathers
        items = ball.column[own]
        weight = all_weights[ball.edges[own]].double()
        vector = steps.item.double()
        pieces = weight.new_zeros(1 + self._model.config.num_intents, len(items))
        for start, rows in zip(steps.starts, self._messages(steps), strict=False):
            pieces += (rows.double() * vector) @ start[items].double().T * weight

        found = pieces.cpu().numpy()

        return ScoreParts(
            float(steps.users[0][0].double() @ vector),
            items=ball.nodes[items].cpu().numpy(),
            liked=found.sum(0),
            pieces=dict(zip(self._names(), found, strict=True)),
            basis="linearized",
        )

    def _around(self, user: int, item: int) -> Ball:
        model = self._model
        by = model.graph.everywhere.edges.forward
        return self._ball.of(
            (user, item, by.idx.device),
            lambda: Ball.around(
                (self.ckg.user_node(user), item),
                model.config.num_layers,
                by.row_of_edge(),
                by.idx.long(),
                self.ckg.num_nodes,
                by.relation_of_edge(),
                model.graph.num_relations,
            ),
        )

    def _unrolled(self, ball: Ball, weight: Float[Tensor, " edges"]) -> "_Steps":
        """Return all steps to the final vectors of a user and an item, Eqs. (7)-(13), within a
        ball.
        """
        model = self._model
        e = take_rows(model.nodes, ball.nodes)
        starts = [e]
        gathered = []
        users = [e[:1]]
        item = e[1]
        vectors = model.relation_vectors()

        for edges, order in ball.layers:
            gathered.append(typed_sum(starts[-1], edges, weight[order], vectors))  # Eq. (10)
            message = model.aggregate_users(gathered[-1][:1], users[-1], users[0])  # Eqs. (7)-(9)
            users.append(unit_rows(message))
            e = unit_rows(gathered[-1][1:])
            item = item + e[0]  # Eq. (13)
            starts.append(torch.cat([users[-1], e]))

        ranked = ranked_items(item.unsqueeze(0), model.config.loss)[0]
        return _Steps(starts, gathered, users, ranked)

    def _messages(self, steps: "_Steps") -> list[Float[Tensor, "heads dim"]]:
        """Return what the mean of the user's items is multiplied by in each layer, Eqs. (8)-(9),
        and divided by the message's length.

        The first row is the mean itself (nothing in the paper's form), one row per intent follows;
        their sum makes the message.
        """
        model = self._model
        code = model.config.form == "code"
        parts = []

        for got, users in zip(steps.gathered, steps.users[:-1], strict=True):
            beta = model.choice(users, steps.users[0])  # (1, heads), Eq. (9)
            mean = torch.full_like(users, float(code))
            rows = torch.cat([mean, beta.T * model.intent_vectors()])  # (1 + heads, dim)
            parts.append(rows * inverse_length(got[0] * rows.sum(0)))

        return parts

    def _names(self) -> list[str]:
        count = self._model.config.num_intents
        return ["items as such", *(f"intent {number}" for number in range(1, count + 1))]

    def _effects(
        self, ball: Ball, steps: "_Steps", score: Float[Tensor, ""]
    ) -> Float[Tensor, " _"]:
        """Return the first-order effect of each fact on a score or a piece of it."""
        model = self._model
        upstream = torch.autograd.grad(
            score, steps.gathered, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        weight = model.graph.everywhere.weight[ball.edges]
        vectors = model.relation_vectors().detach()
        effect = weight * ball.by_weight(upstream, steps.starts, vectors)
        everywhere = torch.zeros_like(model.graph.everywhere.weight)
        everywhere[ball.edges] = removal_effect(effect, weight, ball.row)
        of_fact = model.graph.edge_of_fact  # (2, facts): own edge, and that of the inverse or -1
        return (everywhere[of_fact] * (of_fact >= 0)).sum(0)


@dataclass(frozen=True)
class _Steps:
    """The steps to a user's and an item's final vectors.

    Attributes:
        starts: What each layer starts from, and what the last one gives; the user and the item in
            front.
        gathered: What each layer gathers.
        users: The user at layer 0 and after each layer; they add up to the final vector.
        item: The item's final vector, as it is ranked.
    """

    starts: list[Float[Tensor, "_ dim"]]
    gathered: list[Float[Tensor, "_ dim"]]
    users: list[Float[Tensor, "_ dim"]]
    item: Float[Tensor, " dim"]

    def score(self) -> Float[Tensor, ""]:
        """Return the score, Eq. (14)."""
        return torch.stack(self.users).sum(0)[0] @ self.item
