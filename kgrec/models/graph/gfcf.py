"""GF-CF: How Powerful is Graph Convolution for Recommendation? Shen et al., CIKM 2021.

https://arxiv.org/abs/2108.07567
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from scipy.sparse.linalg import svds
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Plan, Preset, Space, Span
from kgrec.models.closed_form import ClosedForm, HistoryScorer


@dataclass(frozen=True, slots=True)
class GFCFConfig:
    """Hyper-parameters of GF-CF.

    Attributes:
        k: Singular vectors that the ideal low-pass filter lets through; 256 in the paper.
        alpha: Weight of the ideal low-pass filter beside the linear one, 0 or more; 0.3 in the
            paper, 0 on Amazon-Book.
    """

    k: int = 96
    alpha: float = 0.15

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.k < 1 or self.alpha < 0:
            raise ConfigError("GF-CF needs k >= 1 and alpha >= 0.")


PRESETS = {"default": Preset(), "paper": Preset(config={"k": 256, "alpha": 0.3})}
SPACE: Space = {"k": Span(8, 512, log=True), "alpha": Span(0.0, 2.0)}


class GFCF(ClosedForm):
    """Filter what somebody used by the graph of items, without training.

        R~ = D_U^(-1/2) R D_I^(-1/2)
        score(u, .) = r_u (R~^T R~ + alpha D_I^(-1/2) V V^T D_I^(1/2))

    where r_u is the row of user u in R, and V holds the right singular vectors of R~ of the k
    largest singular values. Where R~ has fewer than k that are not zero, V holds those.

    Differs from the paper: nothing known.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.

    Source: Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021, the
    section on GF-CF. https://arxiv.org/abs/2108.07567
    """

    basis: Tensor

    def __init__(self, train: sp.csr_matrix, config: GFCFConfig) -> None:
        super().__init__(train, basis=(train.shape[1], None))
        self.config = config

    @classmethod
    def from_dataset(cls, data: Dataset, config: GFCFConfig, generator: torch.Generator) -> "GFCF":
        """Take the training interactions."""
        return cls(data.train.csr(data.num_users, data.num_items), config)

    def plan(self) -> Plan:
        """Return the closed form."""
        return Plan(fit=self._fit)

    def _fit(self) -> None:
        normalized, _ = self._normalized(torch.float64)
        basis = torch.from_numpy(_right_singular_vectors(normalized, self.config.k)).to(
            torch.get_default_dtype()
        )
        self.basis = basis.to(self.train_items.device)

    def _normalized(self, dtype: torch.dtype | None = None) -> tuple[sp.csr_matrix, np.ndarray]:
        """Return R~, and the degree of each item."""
        train = self.interactions(dtype)
        users, items = (np.asarray(train.sum(axis)).ravel() for axis in (1, 0))
        return sp.csr_matrix(
            sp.diags(_inverse_root(users)) @ train @ sp.diags(_inverse_root(items))
        ), items

    def scorer(self) -> HistoryScorer:
        """Return the filtered sums; they are computed on the CPU."""
        self.check_fitted()
        normalized, degree = self._normalized()
        basis = self.basis.cpu().numpy()
        into = basis * _inverse_root(degree)[:, None]
        back = (basis * np.sqrt(degree)[:, None]).T
        transposed = sp.csr_matrix(normalized.T)

        def sums(ptr: Int[Tensor, " _"], items: Int[Tensor, " _"]) -> Float[Tensor, "batch items"]:
            ones = np.ones(len(items), basis.dtype)
            sets = sp.csr_matrix(
                (ones, items.cpu().numpy(), ptr.cpu().numpy()), shape=(len(ptr) - 1, self.num_items)
            )
            linear = (transposed @ (normalized @ sets.T).toarray()).T
            return torch.from_numpy(linear + self.config.alpha * ((sets @ into) @ back)).to(
                ptr.device
            )

        return self.history_scorer(sums)


def _inverse_root(degree: np.ndarray) -> np.ndarray:
    root = np.sqrt(degree)
    inverse: np.ndarray = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
    return inverse


def _right_singular_vectors(matrix: sp.csr_matrix, k: int) -> np.ndarray:
    """Return the right singular vectors of the k largest singular values that are not zero, one per
    column.
    """
    smallest = min(matrix.shape)
    if 3 * k < smallest:
        _, values, rows = svds(matrix, k=k, v0=np.ones(smallest), random_state=0)
    else:
        _, values, rows = np.linalg.svd(matrix.toarray(), full_matrices=False)

    order = np.argsort(-values, kind="stable")[:k]
    order = order[values[order] > 1e-7]
    return np.ascontiguousarray(rows[order].T)
