"""TransR: Learning Entity and Relation Embeddings for Knowledge Graph Completion. Lin, Liu, Sun,
Liu and Zhu, AAAI 2015.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Plan, Preset, Space, Span
from kgrec.models.triples.base import TripleConfig, TripleModel
from kgrec.nn.kge import TransRTables
from kgrec.nn.losses import margin_hinge


@dataclass(frozen=True, slots=True)
class TransRConfig(TripleConfig):
    """Hyper-parameters of TransR, beside those of ``TripleConfig``.

    Attributes:
        relation_dim: Size k of the relation spaces; 50 in the paper.
        margin: Margin gamma of the hinge, on squared distances; 1 in the paper on FB15k, 4 on
            WordNet.
        bound_relations: Whether relations are held to length 1 as entities are, as in the paper. A
            short relation leaves the head itself among the likeliest tails.
        plain_epochs: Epochs before the projections are trained; until then they are the identity,
            which is TransE. The paper starts from a trained TransE.
    """

    relation_dim: int = 64
    margin: float = 1.0
    bound_relations: bool = False
    plain_epochs: int = 40

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TripleConfig.__post_init__(self)
        if self.relation_dim < 1 or self.margin <= 0 or self.plain_epochs < 0:
            raise ConfigError("TransR needs relation_dim >= 1, margin > 0 and plain_epochs >= 0.")


PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "batch_size": 512, "patience": 20}),
    "paper": Preset(
        config={
            "dim": 50,
            "relation_dim": 50,
            "margin": 1.0,
            "negatives": 1,
            "plain_epochs": 100,
            "bound_relations": True,
        },
        train={"epochs": 600, "patience": 0, "batch_size": 4800, "learning_rate": 1e-3},
    ),
}
SPACE: Space = {
    "dim": (32, 64, 128),
    "relation_dim": (16, 32, 64),
    "margin": Span(0.1, 4.0, log=True),
    "negatives": (1, 4, 16, 64),
    "plain_epochs": (0, 20, 40),
    "learning_rate": Span(3e-4, 1e-2, log=True),
}


class TransR(TripleModel):
    """A relation moves its heads to its tails in a space of its own.

        score(h, r, t) = -|M_r h + r - M_r t|^2,   |h|, |r|, |t| <= 1                    (7)-(8)
        loss = mean max(0, gamma - score(true) + score(corrupted))                           (9)

    Differs from the paper: Adam instead of plain steps, several corrupted triples per true one; the
    projected vectors are not held to length 1; it starts from TransE epochs of its own run.

    Source: Lin et al., TransR, AAAI 2015.
    """

    config: TransRConfig
    tables: TransRTables

    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> TransRTables:
        """Return vectors of length 1 and projections that are the identity."""
        return TransRTables(
            num_nodes,
            num_relations,
            self.config.dim,
            self.config.relation_dim,
            generator,
            bound_relations=self.config.bound_relations,
        )

    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the margin ranking loss, Eq. (9)."""
        return margin_hinge(*self.scores(batch), self.config.margin)  # Eq. (9)

    def plan(self) -> Plan:
        """Return one objective over all facts; the projections wait for the first epochs to
        pass.
        """
        plan = TripleModel.plan(self)
        return Plan(plan.objectives, after_step=plan.after_step, begin_epoch=self._free_projections)

    def _free_projections(self, epoch: int, seed: int) -> None:
        self.tables.projections.requires_grad_(epoch > self.config.plain_epochs)
