"""EASE: Embarrassingly Shallow Autoencoders for Sparse Data. Steck, WWW 2019.

https://arxiv.org/abs/1905.03375

With item attributes: Closed-Form Models for Collaborative Filtering with Side-Information. Jeunen,
Van Balen and Goethals, RecSys 2020. https://doi.org/10.1145/3383313.3418480
"""

from dataclasses import dataclass
from typing import Literal

import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import ConfigError, DivergedError
from kgrec.graph.attributes import AttributeFacts, ItemAttributes
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import Plan, Preset, Space, Span
from kgrec.models.closed_form import ClosedForm, HistoryScorer
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
            alpha).
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
        if self.attribute_weight < 0 or self.attribute_l2 <= 0 or self.min_items < 1:
            raise ConfigError(
                "EASE with attributes needs attribute_weight >= 0, attribute_l2 > 0 and "
                "min_items >= 1."
            )


PRESETS = {"default": Preset()}
SPACE: Space = {"l2": Span(10.0, 2000.0, log=True)}
KG_PRESETS = {"default": Preset()}
KG_SPACE: Space = {
    **SPACE,
    "form": ("collective", "additive"),
    "attribute_weight": Span(0.03, 10.0, log=True),
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
        return _weighted_sums(self, self.weights)

    def explanation_effects(self) -> EASEEffects:
        """Return a part per item of the user, scores of other histories, and refits."""
        return EASEEffects(self)


class EASEKG(ClosedForm):
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

    Source: Jeunen, Van Balen and Goethals, Closed-Form Models for Collaborative Filtering with
    Side-Information, RecSys 2020, the collective and the additive model.
    https://doi.org/10.1145/3383313.3418480
    """

    weights: Tensor

    def __init__(
        self,
        train: sp.csr_matrix,
        attributes: sp.csr_matrix,
        config: EASEKGConfig,
        facts: AttributeFacts | None = None,
    ) -> None:
        super().__init__(train, weights=(train.shape[1], train.shape[1]))
        self.attributes = attributes
        self.config = config
        self.facts = facts

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: EASEKGConfig, generator: torch.Generator
    ) -> "EASEKG":
        """Take the training interactions and the items' attributes by the triples."""
        attributes = ItemAttributes.from_dataset(data, config.min_items)
        train = data.train.csr(data.num_users, data.num_items)
        return cls(train, attributes.matrix, config, AttributeFacts(data))

    def plan(self) -> Plan:
        """Return the closed form."""
        return Plan(fit=self._fit)

    def _fit(self) -> None:
        config = self.config
        train = self.interactions()
        users = train.T @ train
        attributes = (self.attributes @ self.attributes.T).astype(config.precision)

        if config.form == "collective":
            weights = item_weights(
                users + attributes * config.attribute_weight, config.l2, config.precision
            )
        else:
            weights = item_weights(attributes, config.attribute_l2, config.precision).mul_(
                config.attribute_weight
            )
            weights += item_weights(users, config.l2, config.precision)

        self.weights = weights.to(self.train_items.device)

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with interactions, and the items that have any or share an attribute."""
        warm = with_interactions(data)
        return Known(warm.users, warm.items | reached(CollaborativeKG.from_dataset(data)).items)

    def scorer(self) -> HistoryScorer:
        """Return the sums of the weights of what somebody used."""
        return _weighted_sums(self, self.weights)

    def explanation_effects(self) -> EASEKGEffects:
        """Return a part per item of the user, scores of other histories, and refits."""
        return EASEKGEffects(self)


def item_weights(gram: sp.spmatrix, l2: float, precision: str) -> Float[Tensor, "items items"]:
    """Return B for a symmetric Gram matrix X^T X, computed in one dense copy of it.

    Raises:
        DivergedError: If the matrix cannot be inverted in this precision.
    """
    table = torch.from_numpy(gram.astype(precision, copy=False).toarray(order="F"))
    table.diagonal().add_(l2)
    failed = torch.empty(0, dtype=torch.int32)
    torch.linalg.cholesky_ex(table, out=(table, failed))  # in place, since columns lie in one piece

    if bool(failed):
        raise DivergedError(
            f"the item matrix cannot be inverted with l2 {l2:g} in {precision}. Raise l2, or "
            "take precision float64."
        )

    torch.cholesky_inverse(table, out=table)
    table = table.T  # the same symmetric matrix, rows in one piece
    table.mul_(-1 / table.diagonal())
    table.diagonal().zero_()
    return table.to(torch.get_default_dtype())


def _weighted_sums(model: ClosedForm, weights: Tensor) -> HistoryScorer:
    def sums(ptr: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, "batch items"]:
        return embedding_bag(items, weights, ptr[:-1], mode="sum")

    model.check_fitted()
    return model.history_scorer(sums)


def _check(l2: float, precision: str) -> None:
    if l2 <= 0 or precision not in ("float64", "float32"):
        raise ConfigError('EASE needs l2 > 0 and precision "float64" or "float32".')
