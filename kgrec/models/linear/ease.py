"""EASE: Embarrassingly Shallow Autoencoders for Sparse Data. Steck, WWW 2019.

https://arxiv.org/abs/1905.03375

With item attributes: Closed-Form Models for Collaborative Filtering with Side-Information. Jeunen,
Van Balen and Goethals, RecSys 2020. https://doi.org/10.1145/3383313.3418480
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.graph.attributes import AttributeFacts
from kgrec.log import logger
from kgrec.models.base import Plan, Preset, Space, Span, Validate
from kgrec.models.closed_form import ClosedForm, HistoryScorer
from kgrec.models.linear.base import AttributeRidge, item_weights, weighted_sums
from kgrec.models.linear.ease_effects import EASEEffects, EASEKGEffects


@dataclass(frozen=True, slots=True)
class EASEConfig:
    """Hyper-parameters of EASE.

    Attributes:
        l2: Weight lambda of the squared weights; 200 to 1000 in the paper.
        precision: Of the inversion. It takes 4 ("float32") or 8 ("float64") bytes per pair of
            items, once: 40,981 items need 6.7 GB in float32. Weights are kept in torch's default
            precision; rankings come out the same.
    """

    l2: float = 250.0
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Reject values out of range."""
        _check(self.l2, self.precision)


@dataclass(frozen=True, slots=True)
class EASEKGConfig:
    """Hyper-parameters of EASE with item attributes.

    Attributes:
        form: "collective" makes one regression of interactions and attributes, an attribute being
            one more user; "additive" adds up one on each. The additive form says more of items that
            no one used: to the collective one, every user is evidence against them.
        l2: Weight lambda of the squared weights.
        attribute_weight: Of an attribute beside a user ("collective": alpha squared of the paper);
            of the attributes' regression beside the interactions' ("additive": (1 - alpha) /
            alpha). -1 chooses among 0, 1, 3, 10 and 30 on validation, by six inversions instead of
            one; 1 where nothing validates.
        attribute_l2: Weight of the squared weights in the attributes' regression; unused by
            "collective".
        min_items: Attributes of fewer items are left out.
        precision: Of the inversion; as for EASE. The additive form takes the memory twice.
    """

    form: Literal["collective", "additive"] = "collective"
    l2: float = 200.0
    attribute_weight: float = 1.0
    attribute_l2: float = 100.0
    min_items: int = 2
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        """Reject values out of range."""
        _check(self.l2, self.precision)
        if self.form not in ("collective", "additive"):
            raise ConfigError(
                f'unknown form {self.form!r} of EASE with attributes. Known: "collective", "additive".'
            )
        weighs = self.attribute_weight >= 0 or self.attribute_weight == -1
        if not weighs or self.attribute_l2 <= 0 or self.min_items < 1:
            raise ConfigError(
                "EASE with attributes needs attribute_weight >= 0 (-1 chooses it), "
                "attribute_l2 > 0 and min_items >= 1."
            )


CHOICES = (0.0, 1.0, 3.0, 10.0, 30.0)
"""Weights of attributes that are tried on validation where none is given."""

PRESETS = {"default": Preset()}
SPACE: Space = {"l2": Span(10.0, 2000.0, log=True)}
KG_PRESETS = {
    "default": Preset({"attribute_weight": -1.0}),
    "fast": Preset({"attribute_weight": 1.0}),
}
KG_SPACE: Space = {
    **SPACE,
    "form": ("collective", "additive"),
    "attribute_weight": (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    "attribute_l2": Span(10.0, 2000.0, log=True),
}


class EASE(ClosedForm):
    """Predict each item from the others by ridge regression; no item predicts itself.

        B = argmin |X - X B|^2 + lambda |B|^2   with   diag(B) = 0
        P = (X^T X + lambda I)^-1,   B_ij = -P_ij / P_jj   (i != j)
        score(u, j) = x_u B_j

    Differs from the paper: nothing known.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.

    Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, Sections 2 and
    3.1. https://arxiv.org/abs/1905.03375
    """

    weights: Tensor

    def __init__(self, train: sp.csr_matrix, config: EASEConfig) -> None:
        super().__init__(train, weights=(train.shape[1], train.shape[1]))
        self.config = config

    @classmethod
    def from_dataset(cls, data: Dataset, config: EASEConfig, generator: torch.Generator) -> "EASE":
        """Take the training interactions."""
        return cls(data.train.csr(data.num_users, data.num_items), config)

    def plan(self) -> Plan:
        """Return the closed form."""
        return Plan(fit=self._fit)

    def _fit(self) -> None:
        train = self.interactions()
        self.weights = item_weights(train.T @ train, self.config.l2, self.config.precision).to(
            self.train_items.device
        )

    def scorer(self) -> HistoryScorer:
        """Return the sums of the weights of what somebody used."""
        return weighted_sums(self, self.weights)

    def explanation_effects(self) -> EASEEffects:
        """Return a part per item of the user, scores of other histories, and refits."""
        return EASEEffects(self)


class EASEKG(AttributeRidge):
    """EASE with what the knowledge graph says of the items.

        collective:  B = argmin |X - X B|^2 + w |T - T B|^2 + lambda |B|^2   with   diag(B) = 0
        additive:    B = B_X + w B_T, EASE's weights by X and, with a lambda of its own, by T
        score(u, j) = x_u B_j

    where X holds users x items and T attributes x items. Attributes are the (relation, entity)
    pairs of the knowledge graph, in both directions, all of one weight. Items that share attributes
    predict each other, also those that no one used yet.

    Differs from the paper: nothing known in the equations; weights are parametrized by w.
    Attributes that one item alone has add nothing but a stronger l2 weight for it and are left out
    (``min_items``).

    Args:
        train: User x item matrix of training interactions.
        attributes: Item x attribute matrix.
        config: Hyper-parameters.
        facts: Which triples the attributes come from; without, no fact can be taken out again.
        relation: Relation of each attribute.
        num_relations: Number of relations.

    Source: Jeunen, Van Balen and Goethals, Closed-Form Models for Collaborative Filtering with
    Side-Information, RecSys 2020, the collective and the additive model.
    https://doi.org/10.1145/3383313.3418480
    """

    def __init__(
        self,
        train: sp.csr_matrix,
        attributes: sp.csr_matrix,
        config: EASEKGConfig,
        facts: AttributeFacts | None = None,
        relation: np.ndarray | None = None,
        num_relations: int = 1,
    ) -> None:
        super().__init__(train, attributes, config, facts, relation, num_relations)
        if not self.chooses:
            self.relation_weights.fill_(config.attribute_weight)

    @property
    def chooses(self) -> bool:
        """Whether the weight of attributes is chosen on validation."""
        return bool(self.config.attribute_weight < 0)

    def plan(self) -> Plan:
        """Return the closed form, and the choice of the attributes' weight where none is given."""
        if not self.chooses:
            return Plan(fit=self.fit)
        return Plan(fit=self.fit, settle=self._settle)

    def fit(self, *relation_weights: float) -> None:
        """Compute the item weights, in either form."""
        if self.config.form == "collective":
            super().fit(*relation_weights)
            return

        config = self.config
        train = self.interactions()
        attributes = (self.attributes @ self.attributes.T).astype(config.precision)
        if relation_weights:
            self.relation_weights.fill_(relation_weights[0])

        weights = item_weights(attributes, config.attribute_l2, config.precision)
        weights.mul_(float(self.relation_weights[0]))
        weights += item_weights(train.T @ train, config.l2, config.precision)
        self.weights = weights.to(self.train_items.device)

    def _settle(self, validate: Validate | None) -> None:
        if validate is None:
            logger.info("ease-kg: nothing validates, so that attributes weigh 1.")
            return
        self.choose(lambda: validate(self.scorer()), CHOICES)

    def settled(self) -> Mapping[str, float]:
        """Return the chosen weight of attributes."""
        return {"attribute_weight": float(self.relation_weights[0])} if self.chooses else {}

    def explanation_effects(self) -> EASEKGEffects:
        """Return a part per item of the user, scores of other histories, and refits."""
        return EASEKGEffects(self)


def _check(l2: float, precision: str) -> None:
    if l2 <= 0 or precision not in ("float64", "float32"):
        raise ConfigError('EASE needs l2 > 0 and precision "float64" or "float32".')
