"""KGNN-LS: Knowledge-aware Graph Neural Networks with Label Smoothness Regularization for
Recommender Systems. Wang et al., KDD 2019.

https://arxiv.org/abs/1905.04413 (equation numbers are those of version 3)
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from kgrec.batches import PointwiseBatch
from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.graph.ckg import CollaborativeKG
from kgrec.log import logger
from kgrec.models.base import Preset, Span
from kgrec.models.knowledge.kgcn import KGCN, KGCNConfig
from kgrec.ops.rows import take_rows

_UNKNOWN = 0.5
_LEAST_CHANCE = 1e-6


@dataclass(frozen=True, slots=True)
class KGNNLSConfig(KGCNConfig):
    """Hyper-parameters of KGNN-LS: those of KGCN, with the sum aggregator, and one more.

    Attributes:
        ls_weight: Weight of the label smoothness; 1.0 in the paper for movies, 0.5 for books and
            restaurants, 0.1 for music.
    """

    ls_weight: float = 0.1

    def __post_init__(self) -> None:
        """Reject values out of range."""
        KGCNConfig.__post_init__(self)
        if self.aggregator != "sum" or self.ls_weight < 0:
            raise ConfigError('KGNN-LS needs aggregator "sum" and ls_weight >= 0.')


_PUBLISHED = {
    "dim": 32,
    "num_hops": 1,
    "num_neighbors": 16,
    "negatives": 1,
    "l2_weight": 1e-7,
    "ls_weight": 1.0,
}
_PUBLISHED_TRAINING = {"epochs": 10, "patience": 0, "batch_size": 65536, "learning_rate": 0.02}

PRESETS = {
    "default": Preset(train={"learning_rate": 0.01, "epochs": 100}),
    "paper": Preset(_PUBLISHED, _PUBLISHED_TRAINING),
    "official": Preset({**_PUBLISHED, "form": "code"}, _PUBLISHED_TRAINING),
    "fast": Preset(train={"learning_rate": 0.01, "epochs": 20, "patience": 3}),
}

SPACE = {
    "num_hops": (1, 2),
    "num_neighbors": (4, 8, 16),
    "negatives": (1, 4, 16),
    "ls_weight": Span(1e-2, 1.0, log=True),
    "learning_rate": Span(1e-3, 2e-2, log=True),
    "l2_weight": Span(1e-7, 1e-4, log=True),
}


class KGNNLS(KGCN):
    """KGCN whose weights must also carry the labels of a user's items to each of them.

        l(e) <- the label of e where it is known, else the sum over its neighbors of
                pi(u, r) l(neighbor);   0.5 at first                                           (7)
        loss = cross-entropy of scores + gamma cross-entropy of l(v), v's own label unknown
               + lambda / 2 |parameters|^2                                                (8)-(10)

    Known labels are 1 for what a user has in the training part, and 0 for the labeled negatives or,
    where the data has none, for as many items drawn once. With ``ls_weight`` 0 it is KGCN.

    Differs from the paper: as KGCN does. ``form="code"`` (preset "official") takes l(v), a share,
    for a logit, as the authors' code does; an entity without neighbors keeps 0.5.

    Args:
        ckg: Graph with triples; relations have no direction.
        config: Hyper-parameters.
        generator: Draws the neighbors, the initial parameters, and negatives that are not given.
        negatives: Users and items labeled 0; None draws them.

    Source: Wang et al., KGNN-LS, KDD 2019. https://arxiv.org/abs/1905.04413
    """

    config: KGNNLSConfig
    labeled: Tensor
    label: Tensor

    def __init__(
        self,
        ckg: CollaborativeKG,
        config: KGNNLSConfig,
        generator: torch.Generator,
        negatives: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        super().__init__(ckg, config, generator)
        users, items = ckg.interactions()
        positive = users * ckg.num_items + items
        if negatives is None:
            drawn = torch.randint(max(1, ckg.num_items), (len(users),), generator=generator).numpy()
            negatives = users, drawn

        passed = negatives[0].astype(np.int64) * ckg.num_items + negatives[1]
        passed = np.setdiff1d(passed, positive)
        labeled = np.concatenate([positive, passed])
        order = np.argsort(labeled)
        label = np.repeat([1.0, 0.0], [len(positive), len(passed)])[order]
        self.register_buffer("labeled", torch.from_numpy(labeled[order]))
        self.register_buffer("label", torch.from_numpy(label).to(self.users.dtype))

    @classmethod
    def from_dataset(
        cls,
        data: Dataset,
        config: KGCNConfig,
        generator: torch.Generator,
    ) -> "KGNNLS":
        """Take the collaborative knowledge graph and the labeled negatives of the training part."""
        if not isinstance(config, KGNNLSConfig):
            raise ConfigError("KGNN-LS needs a KGNNLSConfig.")

        triples, items = data.triples, data.num_items
        between = (triples.head < items) & (triples.tail < items)
        if config.ls_weight and config.num_hops == 1 and not between.any():
            logger.warning(
                "no fact is between two items, so that with num_hops=1 no label reaches another item "
                "and ls_weight=%g changes nothing: this is KGCN. Set num_hops=2.",
                config.ls_weight,
            )

        passed = data.negatives.get("train", ())
        given = (passed.user, passed.item) if len(passed) else None  # type: ignore[union-attr]
        return cls(CollaborativeKG.from_dataset(data), config, generator, given)

    def known_labels(
        self, user: Int[Tensor, " batch"], entities: Int[Tensor, "batch _"]
    ) -> Float[Tensor, "batch _"]:
        """Return the labels of entities for users, 0.5 where they are unknown."""
        unknown = torch.full(entities.shape, _UNKNOWN, dtype=self.label.dtype, device=user.device)
        if not len(self.labeled):
            return unknown

        key = user.unsqueeze(1) * self.ckg.num_items + entities
        at = torch.searchsorted(self.labeled, key).clamp(max=len(self.labeled) - 1)
        known = (self.labeled[at] == key) & (entities < self.ckg.num_items)
        return self.label[at].where(known, unknown)

    def propagated_labels(
        self,
        user: Int[Tensor, " batch"],
        entities: list[Tensor],
        shares: list[Float[Tensor, "batch _ _"]],
    ) -> Float[Tensor, " batch"]:
        """Return the labels that reach items from what is around them, Eq. (7), their own unknown
        wherever it is in their fields.
        """
        item = entities[0]
        given = [self.known_labels(user, hop).where(hop != item, _UNKNOWN) for hop in entities]
        labels = list(given)

        for number in range(self.config.num_hops):
            for hop in range(self.config.num_hops - number):
                around = (shares[hop] * labels[hop + 1].view(shares[hop].shape)).sum(2)
                around = around.where(shares[hop].sum(2) > 0, _UNKNOWN)
                labels[hop] = given[hop].where(given[hop] != _UNKNOWN, around)

        return labels[0].squeeze(1)

    def loss(self, batch: PointwiseBatch) -> Float[Tensor, ""]:
        """Return the cross-entropy of scores and of labels, and L2, Eq. (10)."""
        self.check(len(batch.user))
        u = take_rows(self.users, batch.user)
        entities, edges = self.field(batch.item)
        shares = [self.shares(u, hop) for hop in edges]
        score = (u * self.vectors(u, entities, shares)).sum(1)
        label = self.propagated_labels(batch.user, entities, shares)
        if self.config.form == "code":
            smooth = binary_cross_entropy_with_logits(label, batch.label)
        else:
            chance = label.clamp(_LEAST_CHANCE, 1 - _LEAST_CHANCE)
            smooth = binary_cross_entropy(chance, batch.label)  # Eq. (8)

        found = binary_cross_entropy_with_logits(score, batch.label)
        return found + self.config.ls_weight * smooth + self.penalty()
