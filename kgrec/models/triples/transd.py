"""TransD: Knowledge Graph Embedding via Dynamic Mapping Matrix. Ji, He, Xu, Liu and Zhao, ACL
2015.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.triples.base import TripleConfig, TripleModel
from kgrec.nn.kge import TransDTables
from kgrec.nn.losses import margin_hinge


@dataclass(frozen=True, slots=True)
class TransDConfig(TripleConfig):
    """Hyper-parameters of TransD, beside those of ``TripleConfig``.

    Attributes:
        margin: Margin gamma of the hinge, on squared distances; 2 in the paper on FB15k.
        bound_relations: Whether relations are held to length 1 as entities are, as in the paper. A
            short relation leaves the head itself among the likeliest tails.
    """

    margin: float = 1.0
    bound_relations: bool = False

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TripleConfig.__post_init__(self)
        if self.margin <= 0:
            raise ConfigError("TransD needs margin > 0.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "batch_size": 512, "patience": 20}),
    "paper": Preset(
        config={"dim": 100, "margin": 2.0, "negatives": 1, "bound_relations": True},
        train={"epochs": 1000, "patience": 0, "batch_size": 4800, "learning_rate": 1e-3},
    ),
}
SPACE: Space = {
    "dim": (32, 64, 128),
    "margin": Span(0.1, 4.0, log=True),
    "negatives": (1, 4, 16, 64),
    "learning_rate": Span(1e-3, 3e-2, log=True),
}


class TransD(TripleModel):
    """A relation moves its heads to its tails in a space that each entity shapes too.

        e_r = e + (e_p . e) r_p                                                  (11)-(12), (15)
        score(h, r, t) = -|h_r + r - t_r|^2,   |h|, |r|, |t| <= 1                           (13)
        loss = mean max(0, gamma - score(true) + score(corrupted))                          (14)

    Differs from the paper: entities and relations have one size; Adam with several corrupted
    triples per true one; the projected vectors are not held to length 1; starts from random
    vectors, not from TransE.

    Source: Ji et al., TransD, ACL 2015.
    """

    config: TransDConfig

    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> TransDTables:
        """Return vectors of length 1 and short projecting vectors."""
        return TransDTables(
            num_nodes,
            num_relations,
            self.config.dim,
            generator,
            bound_relations=self.config.bound_relations,
        )

    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the margin ranking loss, Eq. (14)."""
        return margin_hinge(*self.scores(batch), self.config.margin)  # Eq. (14)
