"""What the papers of this family share: item weights by ridge regression, and the attributes of items
in it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import Known, with_interactions
from kgrec.errors import DivergedError
from kgrec.graph.attributes import AttributeFacts, ItemAttributes
from kgrec.graph.ckg import CollaborativeKG
from kgrec.graph.reach import reached
from kgrec.models.base import Plan
from kgrec.models.closed_form import ClosedForm, HistoryScorer
from kgrec.models.linear.ease_effects import AttributeRidgeEffects


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


def weighted_sums(model: ClosedForm, weights: Tensor) -> HistoryScorer:
    """Return the scorer that sums the item weights of what somebody used."""

    def sums(ptr: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, "batch items"]:
        return embedding_bag(items, weights, ptr[:-1], mode="sum")

    model.check_fitted()
    return model.history_scorer(sums)


class AttributeRidge(ClosedForm):
    """Item weights from interactions and from the attributes of items, those of each relation with a
    weight.

        B = argmin |X - X B|^2 + sum over relations r of w_r |T_r - T_r B|^2 + lambda |B|^2,
            diag(B) = 0
        score(u, j) = x_u B_j

    Args:
        train: User x item matrix of training interactions.
        attributes: Item x attribute matrix.
        config: Has ``l2``, ``precision``, ``min_items`` and the like.
        facts: Which triples the attributes come from; without, no fact can be taken out again.
        relation: Relation of each attribute; None takes all of one relation.
        num_relations: Number of relations.

    Source: Jeunen, Van Balen and Goethals, Closed-Form Models for Collaborative Filtering with
    Side-Information, RecSys 2020, the collective model. https://doi.org/10.1145/3383313.3418480
    """

    weights: Tensor
    relation_weights: Tensor

    def __init__(
        self,
        train: sp.csr_matrix,
        attributes: sp.csr_matrix,
        config: Any,
        facts: AttributeFacts | None = None,
        relation: np.ndarray | None = None,
        num_relations: int = 1,
    ) -> None:
        super().__init__(train, weights=(train.shape[1], train.shape[1]))
        self.attributes = attributes
        self.config = config
        self.facts = facts
        self.relation = np.zeros(attributes.shape[1], np.int64) if relation is None else relation
        start = torch.ones(max(1, num_relations), dtype=torch.float64)
        self.register_buffer("relation_weights", start, persistent=self.chooses)

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: Any, generator: torch.Generator
    ) -> "AttributeRidge":
        """Take the training interactions and the items' attributes by the triples."""
        found = ItemAttributes.from_dataset(data, config.min_items)
        train = data.train.csr(data.num_users, data.num_items)
        facts = AttributeFacts(data)
        return cls(train, found.matrix, config, facts, found.relation, data.num_relations)

    @property
    def chooses(self) -> bool:
        """Whether the weights of attributes are chosen on validation."""
        return True

    def gram(self, dtype: str) -> sp.spmatrix:
        """Return X^T X + sum over relations r of w_r T_r^T T_r, items x items."""
        train = self.interactions(getattr(torch, dtype))
        weight = self.relation_weights.cpu().numpy()[self.relation]
        attributes = sp.csr_matrix(self.attributes, dtype=dtype)
        weighted = sp.csr_matrix(attributes.multiply(weight), dtype=dtype)
        return train.T @ train + weighted @ attributes.T

    def fit(self, *relation_weights: float) -> None:
        """Compute the item weights.

        Args:
            relation_weights: w_r, one for all relations or one each; none leaves them.
        """
        if relation_weights:
            self.relation_weights.copy_(torch.tensor(relation_weights, dtype=torch.float64))
        table = item_weights(
            self.gram(self.config.precision), self.config.l2, self.config.precision
        )
        self.weights = table.to(self.train_items.device)

    def choose(
        self, measure: Callable[[], float], grid: Sequence[float], *, by_relation: bool = False
    ) -> float:
        """Choose the weights of attributes, and return what they measure.

        First one for all; then, where wanted, one relation after another, the rest as they are. Of
        equal values the first of the grid.

        Args:
            measure: Quality of the model as it is; higher is better.
            grid: Weights that are tried.
            by_relation: Whether relations have weights of their own.
        """
        best = -np.inf, self.weights, self.relation_weights.clone()
        count = len(self.relation_weights)

        def attempt(weights: Tensor) -> None:
            nonlocal best
            self.fit(*weights.tolist())
            value = measure()
            if value > best[0]:
                best = value, self.weights, weights

        for weight in grid:
            attempt(torch.full((count,), float(weight), dtype=torch.float64))

        if by_relation:
            sizes = np.bincount(
                self.relation, np.asarray(self.attributes.sum(0)).ravel(), minlength=count
            )
            for relation in np.argsort(-sizes, kind="stable").tolist():
                before = best[2]
                for weight in grid:
                    if sizes[relation] and weight != float(before[relation]):
                        tried = before.clone()
                        tried[relation] = weight
                        attempt(tried)

        value, self.weights, weights = best
        self.relation_weights.copy_(weights)
        return value

    def can_rank(self, data: Dataset) -> Known:
        """Return the users with interactions, and the items that have any or share an attribute."""
        warm = with_interactions(data)
        return Known(warm.users, warm.items | reached(CollaborativeKG.from_dataset(data)).items)

    def plan(self) -> Plan:
        """Return the closed form."""
        return Plan(fit=self.fit)

    def scorer(self) -> HistoryScorer:
        """Return the sums of the weights of what somebody used."""
        return weighted_sums(self, self.weights)

    def explanation_effects(self) -> AttributeRidgeEffects:
        """Return a part per item of the user, scores of other histories, and refits."""
        return AttributeRidgeEffects(self)
