"""What explains the scores of KGCL: Yang et al., SIGIR 2022.

https://arxiv.org/abs/2205.00976
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.graph.ckg import CollaborativeKG
from kgrec.models.effects import GatedGraph
from kgrec.nn.ranking_loss import ranked_items
from kgrec.ops.csr import symmetric_weights
from kgrec.ops.propagate import propagate
from kgrec.ops.typed import typed_sum

if TYPE_CHECKING:
    from kgrec.models.knowledge.kgcl import KGCL


class KGCLEffects(GatedGraph):
    """Effects of interactions and of the triples of items. Those between other entities have none:
    the scores do not read them.

    Args:
        model: The model.
    """

    through_users = True

    def __init__(self, model: "KGCL") -> None:
        def built(ckg: CollaborativeKG) -> "KGCL":
            return type(model)(ckg, model.config, torch.Generator())

        super().__init__(model, model.whole, built)
        self._kgcl = model
        likes = torch.from_numpy(np.flatnonzero(self.ckg.relation == 0))
        of_edge = model.graph.fact_of_edge()
        self._fact_of_edge = likes.to(of_edge.device)[of_edge]

    def vectors(
        self, kept: Float[Tensor, " _"], *, keep_weights: bool
    ) -> tuple[Float[Tensor, "users dim"], Float[Tensor, "items dim"]]:
        """Return Z of users and items with each fact there by a number."""
        model = self._kgcl
        csr = model.graph.csr
        items, users = (
            part.detach()
            for part in torch.split(model.nodes, [model.ckg.num_items, model.ckg.num_users])
        )
        entities = model.entities.detach()
        of_triple = kept[model.facts.fact]
        of_edge = kept[self._fact_of_edge]
        if keep_weights:
            alpha = model.attention(items, entities).detach() * of_triple
            weight = model.graph.weight * of_edge
        else:
            alpha = model.attention(items, entities, of_triple > 0)
            weight = symmetric_weights(csr, kept.dtype, of_edge > 0)

        x = torch.cat([items + typed_sum(entities, model.facts.edges, alpha), users])
        z = x
        for _ in range(model.config.num_layers):
            x = propagate(x, csr, weight)
            z = z + x

        z = z / (model.config.num_layers + 1)
        ranked = ranked_items(z[: model.ckg.num_items], model.config.loss)
        return z[model.ckg.num_items :], ranked
