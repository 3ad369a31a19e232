"""What explains the scores of CFKG: Ai et al., Algorithms 2018.

https://arxiv.org/abs/1805.03352
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid

from kgrec.models.capabilities import Parted, Plausible, ScoreParts
from kgrec.ops.rows import take_rows, unit_rows

if TYPE_CHECKING:
    from kgrec.models.knowledge.cfkg import CFKG


class CFKGEffects(Parted, Plausible):
    """What the relation ``interacts`` gives, and how plausible facts are.

    Args:
        model: The model.
    """

    def __init__(self, model: "CFKG") -> None:
        self._model = model

    @torch.no_grad()
    def score_parts(self, user: int, item: int) -> ScoreParts:
        """Return what the user's own vector and what the relation ``interacts`` give; nothing that
        the user has used carries a part.

        A product splits by its sum, e_i . e_u + e_i . r. The squared distance splits into 2 e_u .
        e_i - |e_u|^2, the relation's 2 r . e_i - |r|^2 - 2 e_u . r, and the bias -|e_i|^2. The L1
        distance does not split and is one part.
        """
        model = self._model
        kind = model.config.score
        e_u = model.nodes[model.ckg.user_node(user)].double()
        e_i = model.nodes[item].double()
        relation = model.relations[0].double()
        name = 'moved by "interacts"'

        if kind == "l1":
            distance = float((e_u + relation - e_i).abs().sum())
            return ScoreParts(0.0, other={"distance of the moved user to the item": -distance})

        if kind == "l2":
            own = float(2 * e_u @ e_i - e_u @ e_u)
            by_relation = float(2 * relation @ e_i - relation @ relation - 2 * e_u @ relation)
            return ScoreParts(own, -float(e_i @ e_i), other={name: by_relation})

        if kind == "cosine":
            e_i = unit_rows(e_i.unsqueeze(0))[0]

        return ScoreParts(float(e_u @ e_i), other={name: float(relation @ e_i)})

    @torch.no_grad()
    def plausibility(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Return log sigmoid of the score that triples were trained by; triples as
        ``Dataset.triples`` counts them.
        """
        model = self._model
        row = model.ckg.relation_of(relation)
        moved = take_rows(model.nodes, head) + take_rows(model.relations, row)
        tails = take_rows(model.nodes, tail).unsqueeze(1)  # (batch, 1, dim)
        return logsigmoid(model.scores(moved, tails).squeeze(1))
