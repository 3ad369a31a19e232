"""TransE: Translating Embeddings for Modeling Multi-relational Data. Bordes, Usunier, Garcia-Duran,
Weston and Yakhnenko, NIPS 2013.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.batches import CorruptedBatch
from kgrec.errors import ConfigError
from kgrec.models.base import Preset, Space, Span
from kgrec.models.triples.base import TripleConfig, TripleModel
from kgrec.nn.kge import TransETables
from kgrec.nn.losses import margin_hinge


@dataclass(frozen=True, slots=True)
class TransEConfig(TripleConfig):
    """Hyper-parameters of TransE, beside those of ``TripleConfig``.

    Attributes:
        norm: Distance, "l1" or "l2"; the paper chooses by validation.
        margin: Margin gamma of the hinge; 1 in the paper on FB15k, 2 on WordNet.
    """

    norm: Literal["l1", "l2"] = "l2"
    margin: float = 1.0

    def __post_init__(self) -> None:
        """Reject values out of range."""
        TripleConfig.__post_init__(self)
        if self.margin <= 0 or self.norm not in ("l1", "l2"):
            raise ConfigError('TransE needs margin > 0 and norm "l1" or "l2".')


PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "batch_size": 512, "patience": 20}),
    "paper": Preset(
        config={"dim": 50, "norm": "l1", "margin": 1.0, "negatives": 1, "corruption": "uniform"},
        train={"epochs": 1000, "patience": 0, "learning_rate": 0.01},
    ),
}
SPACE: Space = {
    "dim": (32, 64, 128),
    "norm": ("l1", "l2"),
    "margin": Span(0.1, 4.0, log=True),
    "negatives": (1, 4, 16, 64),
    "learning_rate": Span(1e-3, 3e-2, log=True),
}


class TransE(TripleModel):
    """A relation moves its heads to its tails.

        score(h, r, t) = -|h + r - t|,   |e| = 1 for every entity                    (Section 2)
        loss = mean max(0, gamma - score(true) + score(corrupted))                           (1)

    Recommends the items nearest to where ``interacts`` moves the user. It suits relations with one
    tail per head; of a relation that is its own inverse, or that many heads share, it can only make
    a blur.

    Example:
        run = kgrec.fit("transe", data); run.model.score_tails(head, relation) ranks tails,
        run.embeddings()["entities"] has the vectors.

    Differs from the paper: Adam instead of plain steps, several corrupted triples per true one,
    known triples are never drawn as corrupted ones, and the end to corrupt is chosen by relation
    ("bernoulli"); the "paper" preset keeps the last two of its settings.

    Source: Bordes et al., TransE, NIPS 2013.
    """

    config: TransEConfig

    def make_tables(
        self, num_nodes: int, num_relations: int, generator: torch.Generator
    ) -> TransETables:
        """Return vectors that start uniform and of length 1."""
        return TransETables(num_nodes, num_relations, self.config.dim, self.config.norm, generator)

    def loss(self, batch: CorruptedBatch) -> Float[Tensor, ""]:
        """Return the margin ranking loss, Eq. (1)."""
        return margin_hinge(*self.scores(batch), self.config.margin)  # Eq. (1)
