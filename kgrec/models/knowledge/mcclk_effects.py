"""What explains the scores of MCCLK: Zou et al., SIGIR 2022.

https://arxiv.org/abs/2204.08807
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.receptive_field import renormalized
from kgrec.models.effects import GatedGraph
from kgrec.models.knowledge.mcclk_views import by_taste
from kgrec.nn.ranking_loss import ranked_items
from kgrec.ops.propagate import propagate
from kgrec.ops.rows import unit_rows
from kgrec.ops.typed import typed_sum

if TYPE_CHECKING:
    from kgrec.models.knowledge.mcclk import MCCLK


class MCCLKEffects(GatedGraph):
    """Effects of interactions and of triples. A triple that is deleted may change which items are
    near; with the weights kept, these stay as they are.

    Args:
        model: The model.
    """

    through_users = True

    def __init__(self, model: "MCCLK") -> None:
        def built(ckg: CollaborativeKG) -> "MCCLK":
            return type(model)(ckg, model.config, torch.Generator())

        super().__init__(model, model.ckg, built)
        self._mcclk = model
        with torch.no_grad():
            self._starts, _, entities = model.structural()
            self._near = model.near(entities)

    def vectors(
        self, kept: Float[Tensor, " _"], *, keep_weights: bool
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "items dim"]]:
        """Return the joined views of users and items with each fact there by a number."""
        model = self._mcclk
        e, u = (table.detach() for table in model.tables())
        first = torch.cat([e[: self.ckg.num_items], u])
        relations = model.relations.detach()
        total = e
        users = u
        gate = kept[model.facts.fact]
        of_like = kept[model.likes.fact]
        if keep_weights:
            mean = model.likes.weight * of_like
            weight = model.pairs.by_user * kept[model.pairs.fact]
        else:
            by_user = model.likes.edges.forward.row_of_edge()
            mean = renormalized(model.likes.weight, of_like, by_user)
            weight = renormalized(model.pairs.by_user, kept[model.pairs.fact], model.pairs.user)

        for start in self._starts:
            if keep_weights:
                share = model.attention(start).detach() * gate
            else:
                share = model.attention(e, gate > 0)

            liked = typed_sum(e[: self.ckg.num_items], model.likes.edges, mean)
            u = unit_rows(by_taste(u, liked, relations))
            e = unit_rows(typed_sum(e, model.facts.edges, share, relations))
            total = total + e
            users = users + u

        views = model.views(users, total, self._near if keep_weights else model.near(total))
        x = local = first
        for _ in range(model.config.local_layers):
            x = propagate(x, model.pairs.csr, weight)
            local = local + x

        local = local / (model.config.local_layers + 1)
        joined, items = type(views)(total, users, views.semantic, local).joined()
        return joined, ranked_items(items, model.config.loss)
