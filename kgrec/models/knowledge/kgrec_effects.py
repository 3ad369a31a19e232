"""What explains the scores of KGRec: Yang et al., KDD 2023.

https://arxiv.org/abs/2307.02759
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.receptive_field import renormalized
from kgrec.models.effects import GatedGraph
from kgrec.nn.ranking_loss import ranked_items
from kgrec.ops.rows import unit_rows
from kgrec.ops.typed import typed_sum

if TYPE_CHECKING:
    from kgrec.models.knowledge.kgrec import KGRec


class KGRecEffects(GatedGraph):
    """Effects of interactions on their users, and of triples; items gather from no user.

    Args:
        model: The model.
    """

    through_users = False

    def __init__(self, model: "KGRec") -> None:
        def built(ckg: CollaborativeKG) -> "KGRec":
            return type(model)(ckg, model.config, torch.Generator())

        super().__init__(model, model.ckg, built)
        self._kgrec = model
        with torch.no_grad():
            self._starts = model.layers()[0]

    def vectors(
        self, kept: Float[Tensor, " _"], *, keep_weights: bool
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "items dim"]]:
        """Return e* of users and items with each fact there by a number."""
        model = self._kgrec
        e, users = (table.detach() for table in model.tables())
        total = e
        gate = kept[model.facts.fact]
        mean = model.likes.weight
        of_like = kept[model.likes.fact]
        if keep_weights:
            mean = mean * of_like
        else:
            mean = renormalized(mean, of_like, model.likes.edges.forward.row_of_edge())

        for start in self._starts:
            if keep_weights:
                shares = [share.detach() * gate for share in model.attention(start)]
            else:
                shares = model.attention(e, gate > 0)

            liked = typed_sum(e[: self.ckg.num_items], model.likes.edges, mean)
            e = unit_rows(model.gathered(e, shares))
            users = users + unit_rows(liked)
            total = total + e

        return users, ranked_items(total[: self.ckg.num_items], model.config.loss)
