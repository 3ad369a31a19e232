"""RotatE: Knowledge Graph Embedding by Relational Rotation in Complex Space. Sun, Deng, Nie and
Tang, ICLR 2019.

https://arxiv.org/abs/1902.10197
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.triples.base import TripleConfig, TripleModel
from kgrec.nn.kge import RotatETables
from kgrec.nn.losses import self_adversarial


@dataclass(frozen=True, slots=True)
class RotatEConfig(TripleConfig):
    """Hyper-parameters of RotatE, beside those of ``TripleConfig``; ``dim`` counts complex
    coordinates.

    Attributes:
        margin: Distance gamma at which a triple is as likely as not; 24 in the paper on FB15k, 9 on
            FB15k-237, at dim 1,000.
        temperature: Temperature alpha of the weights of corrupted triples, 0 weighs them alike; 1
            in the paper on FB15k.
    """

    margin: float = 6.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TripleConfig.__post_init__(self)
        if self.margin <= 0 or self.temperature < 0:
            raise ConfigError("RotatE needs margin > 0 and temperature >= 0.")


PRESETS = {
    "default": Preset(
        train={"learning_rate": 0.01, "batch_size": 512, "epochs": 100, "patience": 20}
    ),
    "paper": Preset(
        config={"dim": 1000, "margin": 24.0, "negatives": 256, "corruption": "uniform"},
        train={"epochs": 600, "patience": 0, "batch_size": 1024, "learning_rate": 1e-4},
    ),
}
SPACE: Space = {
    "dim": (32, 64, 128),
    "margin": Span(1.0, 24.0, log=True),
    "temperature": Span(0.0, 2.0),
    "negatives": (4, 16, 64),
    "learning_rate": Span(3e-4, 3e-2, log=True),
}
_BEYOND_MARGIN = 2.0


class RotatE(TripleModel):
    """A relation turns each complex coordinate of its heads to those of its tails.

        score(h, r, t) = -sum of |h r - t|,   |r| = 1 in each coordinate                     (4)
        loss = -log sigmoid(gamma + score(true))
               - sum of p_i log sigmoid(-score_i - gamma)                                (5)-(6)

    with p the softmax of alpha * score_i over the corrupted triples, without gradient. A relation
    that is its own inverse turns by half a circle or not at all; one relation after another adds up
    the angles.

    Differs from the paper: known triples are never drawn as corrupted ones; batches mix corrupted
    heads and tails.

    Source: Sun et al., RotatE, ICLR 2019. https://arxiv.org/abs/1902.10197
    """

    config: RotatEConfig

    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> RotatETables:
        """Return vectors uniform within (gamma + 2) / dim, as the authors' code."""
        bound = (self.config.margin + _BEYOND_MARGIN) / self.config.dim
        return RotatETables(num_nodes, num_relations, self.config.dim, bound, generator)

    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the self-adversarial loss, Eqs. (5)-(6)."""
        margin = self.config.margin
        return self_adversarial(
            *self.scores(batch), margin, self.config.temperature
        )  # Eqs. (5)-(6)
