"""What explains the scores of EASE: parts of a score, and refits in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from torch import Tensor

from kgrec.data.derive.removal import Removal
from kgrec.errors import CapabilityError
from kgrec.graph.attributes import AttributeFacts
from kgrec.models.capabilities import Refittable
from kgrec.models.effects import HistorySumEffects

if TYPE_CHECKING:
    from kgrec.models.linear.base import AttributeRidge
    from kgrec.models.linear.ease import EASE

_KEPT = 256


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row of ones of the matrix behind a Gram matrix that loses some of them.

    Attributes:
        key: Names the row, for products that are kept.
        before: Columns of its ones.
        lost: Those of them that are lost.
        weight: Of the row in the Gram matrix.
    """

    key: tuple[str, int]
    before: np.ndarray
    lost: np.ndarray
    weight: float = 1.0


class RidgeRefit:
    """EASE's scores after its matrix lost some ones, without another inversion.

        score(x, j) = x_j - (x^T P)_j / P_jj                     since B_kj = -P_kj / P_jj, B_jj = 0
        row x without d:  G' = G + w (-x d^T - d x^T + d d^T) = G + U C U^T,      U = [x d]
        P' = P - P U (C^-1 + U^T P U)^-1 U^T P                                     (Woodbury)

    A row without any of its ones is of rank one: U = [x], C = -w.

    Args:
        gram: Gram matrix G, items x items.
        l2: Weight lambda; P = (G + lambda I)^-1 is computed here, once, in float64.
    """

    def __init__(self, gram: sp.spmatrix, l2: float) -> None:
        table = torch.from_numpy(gram.toarray().astype(np.float64))
        table.diagonal().add_(l2)
        self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(table)).numpy()
        self._products: dict[tuple[str, int], np.ndarray] = {}

    def scores(
        self, history: np.ndarray, items: np.ndarray, changes: Sequence[RowChange]
    ) -> np.ndarray:
        """Return the scores of items for someone with a history, both as columns, after changes."""
        inverse = self._inverse
        product = inverse[np.ix_(history, items)].sum(0)  # (x^T P)_j
        diagonal = inverse[items, items]

        if changes:
            moved, middle = self._factors(changes)  # P U, (items, rank); C^-1 + U^T P U
            right = np.linalg.solve(middle, moved[items].T)  # (rank, items)
            product = product - moved[history].sum(0) @ right
            diagonal = diagonal - (moved[items].T * right).sum(0)

        return np.asarray(np.isin(items, history) - product / diagonal)

    def _factors(self, changes: Sequence[RowChange]) -> tuple[np.ndarray, np.ndarray]:
        supports: list[np.ndarray] = []
        columns: list[np.ndarray] = []
        blocks: list[np.ndarray] = []

        for change in changes:
            supports.append(change.before)
            columns.append(self._product(change))

            if len(change.lost) == len(change.before):
                blocks.append(np.array([[-1.0]]) / change.weight)
                continue

            supports.append(change.lost)
            columns.append(self._inverse[change.lost].sum(0))
            blocks.append(np.array([[-1.0, -1.0], [-1.0, 0.0]]) / change.weight)

        moved = np.stack(columns, 1)
        middle = sp.block_diag(blocks).toarray()
        middle += np.stack([moved[support].sum(0) for support in supports])
        return moved, middle

    def _product(self, change: RowChange) -> np.ndarray:
        """Return P x of a row; the last ones are kept."""
        found = self._products.pop(change.key, None)
        if found is None:
            found = self._inverse[change.before].sum(0)

        self._products[change.key] = found
        if len(self._products) > _KEPT:
            del self._products[next(iter(self._products))]

        return found


class EASEEffects(HistorySumEffects, Refittable):
    """A part per item of the user; refits without likes.

    Args:
        model: The model.
    """

    def __init__(self, model: "EASE | AttributeRidge") -> None:
        super().__init__(model, model.train_items.device)
        self._ease = model

    @cached_property
    def train(self) -> sp.csr_matrix:
        """User x item matrix of training interactions."""
        return self._ease.interactions(torch.float64)

    @cached_property
    def refits(self) -> list[tuple[float, RidgeRefit]]:
        """Weights and parts of a score; the items' matrix is inverted once."""
        return [(1.0, RidgeRefit(self.train.T @ self.train, self._ease.config.l2))]

    def refitted_scores(
        self, user: int, items: Sequence[int], removed: Removal
    ) -> Float[Tensor, " cand"]:
        """Return the scores of items for a user of the model fitted without ``removed``."""
        wanted = np.array(items, np.int64)
        history = np.setdiff1d(self._row(user), removed.items_of(user))
        parts = [
            weight * refit.scores(history, wanted, changes)
            for (weight, refit), changes in zip(self.refits, self._changes(removed), strict=True)
        ]

        return torch.from_numpy(np.sum(parts, axis=0))

    def _row(self, user: int) -> np.ndarray:
        start, end = self.train.indptr[user : user + 2]
        return np.asarray(self.train.indices[start:end])

    def _changes(self, removed: Removal) -> list[list[RowChange]]:
        """Return what changes in the matrix behind each of ``refits``."""
        return [self._users_changed(removed)]

    def _users_changed(self, removed: Removal) -> list[RowChange]:
        found = []
        for user in removed.users():
            own = self._row(user)
            lost = np.intersect1d(own, removed.items_of(user))
            if len(lost):
                found.append(RowChange(("user", user), own, lost))

        return found


class AttributeRidgeEffects(EASEEffects):
    """A part per item of the user; refits without likes and attributes.

    Args:
        model: The model.
    """

    def __init__(self, model: "AttributeRidge") -> None:
        super().__init__(model)
        self._kg = model

    @cached_property
    def refits(self) -> list[tuple[float, RidgeRefit]]:
        """Weights and parts of a score."""
        return [(1.0, RidgeRefit(self._kg.gram("float64"), self._kg.config.l2))]

    def _changes(self, removed: Removal) -> list[list[RowChange]]:
        weights = self._kg.relation_weights.tolist()
        changed = self._attributes_changed(removed, weights)
        return [self._users_changed(removed) + changed]

    def _attributes_changed(self, removed: Removal, weights: Sequence[float]) -> list[RowChange]:
        """Return the attributes that lose items, as the model takes them: one that too few items
        have is left out.

        Args:
            removed: What is taken out.
            weights: Weight of the attributes of each relation; or one of all.
        """
        if not removed.triples or not any(weights):
            return []

        facts: AttributeFacts | None = self._kg.facts
        if facts is None:
            raise CapabilityError(
                "ease-kg was made of a matrix of attributes, which says of no fact what it is. "
                "Make it from a dataset."
            )

        found = []
        least = self._kg.config.min_items

        for attribute, lost in facts.lost(removed.triples).items():
            before = facts.items_of(attribute)
            weight = weights[facts.relation_of(attribute) if len(weights) > 1 else 0]
            if len(before) < least or not weight:
                continue

            if len(before) - len(lost) < least:
                lost = before

            found.append(RowChange(("attribute", attribute), before, lost, weight))

        return found


class EASEKGEffects(AttributeRidgeEffects):
    """The same in either form.

    Args:
        model: The model.
    """

    @cached_property
    def refits(self) -> list[tuple[float, RidgeRefit]]:
        """Weights and parts of a score: one for the collective form, two for the additive one."""
        config = self._kg.config
        if config.form == "collective":
            return super().refits

        attributes = sp.csr_matrix(self._kg.attributes, dtype=np.float64)
        return [
            (1.0, RidgeRefit(self.train.T @ self.train, config.l2)),
            (
                float(self._kg.relation_weights[0]),
                RidgeRefit(attributes @ attributes.T, config.attribute_l2),
            ),
        ]

    def _changes(self, removed: Removal) -> list[list[RowChange]]:
        if self._kg.config.form == "collective":
            return super()._changes(removed)
        return [self._users_changed(removed), self._attributes_changed(removed, [1.0])]
