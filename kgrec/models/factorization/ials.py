"""iALS: matrix factorization for implicit feedback by alternating least squares. Hu, Koren and
Volinsky, ICDM 2008.

As revisited by Rendle, Krichene, Zhang and Koren, RecSys 2022. https://arxiv.org/abs/2110.14037
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import DotProduct, Plan, Preset, Recommender, Space, Span
from kgrec.models.factorization.ials_effects import IALSEffects
from kgrec.nn.init import normal
from kgrec.ops.folding import SquaresFold

_NUMBERS_AT_ONCE = 2**23


@dataclass(frozen=True, slots=True)
class IALSConfig:
    """Hyper-parameters of iALS.

    Attributes:
        dim: Embedding size d.
        unobserved_weight: Weight alpha_0 of a pair that was not observed beside an observed one,
            whose weight is 1.
        l2: Weight lambda of the squared embeddings.
        exponent: How strongly the l2 weight of an embedding grows with its pairs, nu in [0, 1]; 0
            in Hu et al., tuned in Rendle et al. Good values of ``l2`` lie orders of magnitude apart
            for different exponents.
        init_scale: Initial embeddings are drawn with standard deviation ``init_scale / sqrt(d)``;
            0.1 in Rendle et al.
    """

    dim: int = 64
    unobserved_weight: float = 0.1
    l2: float = 5.0
    exponent: float = 0.0
    init_scale: float = 0.1

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.dim < 1 or self.unobserved_weight <= 0 or self.l2 <= 0 or self.init_scale <= 0:
            raise ConfigError(
                "iALS needs dim >= 1, unobserved_weight > 0, l2 > 0 and init_scale > 0."
            )
        if not 0 <= self.exponent <= 1:
            raise ConfigError(f"exponent {self.exponent} of iALS is outside [0, 1].")


PRESETS = {"default": Preset(train={"epochs": 30})}
SPACE: Space = {
    "dim": (32, 64, 128, 256),
    "unobserved_weight": Span(0.01, 1.0, log=True),
    "l2": Span(0.5, 50.0, log=True),
}


class IALS(Recommender):
    """Solve for all users with the items fixed, then for all items with the users fixed, again and
    again; every solve is exact.

        L = sum over observed (u, i) of (1 - u . v)^2 + alpha_0 sum over all pairs of (u . v)^2
            + lambda (sum over u of (|I_u| + alpha_0 |I|)^nu |u|^2
                      + sum over i of (|U_i| + alpha_0 |U|)^nu |v|^2)
        u = (alpha_0 V^T V + sum over I_u of v v^T + lambda (|I_u| + alpha_0 |I|)^nu)^-1
            sum over I_u of v

    An epoch solves for both sides once; no gradients are taken. Items without interactions get the
    zero vector.

    Differs from the paper: the objective is Rendle et al.'s. Hu et al. put the weight 1 on pairs
    not observed and 1 + alpha on the observed ones; with alpha_0 = 1 / alpha and l2 divided by
    alpha the solves are the same up to a constant factor. Where interactions have weights, that of
    a pair is its confidence w: w (1 - u . v)^2, as in Hu et al.

    Args:
        train: User x item matrix of the weights of training interactions.
        config: Hyper-parameters.
        generator: Draws the initial item embeddings; those of users follow from them.

    Source: Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM
    2008; Rendle et al., Revisiting the Performance of iALS on Item Recommendation Benchmarks,
    RecSys 2022, Section 2. https://arxiv.org/abs/2110.14037
    """

    scores_read_graph = False
    folds_in = True
    uses_weights = True

    users: Tensor
    items: Tensor
    user_ptr: Tensor
    user_idx: Tensor
    item_ptr: Tensor
    item_idx: Tensor
    user_weight: Tensor | None
    item_weight: Tensor | None

    def __init__(
        self, train: sp.csr_matrix, config: IALSConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.config = config
        num_users, num_items = train.shape
        scale = config.init_scale / config.dim**0.5
        self.register_buffer("users", torch.zeros(num_users, config.dim))
        self.register_buffer(
            "items", normal(num_items, config.dim, scale=scale, generator=generator)
        )

        for name, matrix in (("user", train), ("item", sp.csr_matrix(train.T))):
            self.register_buffer(
                f"{name}_ptr", torch.from_numpy(matrix.indptr.astype(np.int64)), persistent=False
            )
            self.register_buffer(
                f"{name}_idx", torch.from_numpy(matrix.indices.astype(np.int64)), persistent=False
            )
            weights = None
            if (matrix.data != 1).any():
                weights = torch.from_numpy(matrix.data).to(self.items.dtype)
            self.register_buffer(f"{name}_weight", weights, persistent=False)

    @classmethod
    def from_dataset(cls, data: Dataset, config: IALSConfig, generator: torch.Generator) -> "IALS":
        """Take the training interactions."""
        return cls(data.train.weighted_csr(data.num_users, data.num_items), config, generator)

    def plan(self) -> Plan:
        """Return a plan without objectives: an epoch is one pass over both sides."""
        return Plan(after_epoch=self.sweep)

    @torch.no_grad()
    def sweep(self) -> None:
        """Solve for all users, then for all items."""
        self.users = self.solve(self.items, self.user_ptr, self.user_idx, self.user_weight)
        self.items = self.solve(self.users, self.item_ptr, self.item_idx, self.item_weight)

    def solve(
        self,
        fixed: Float[Tensor, "nodes dim"],
        ptr: Int[Tensor, " _"],
        idx: Int[Tensor, " _"],
        weight: Float[Tensor, " _"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        """Return the best vectors for lists of rows of the other side, which stays as it is.

        Args:
            fixed: Vectors of the other side.
            ptr: Start of each list in ``idx``, and the end of the last (batch + 1).
            idx: Rows of ``fixed``.
            weight: Weight of each of them, all 1 where None.
        """
        size = ptr.diff()
        found = fixed.new_zeros(len(size), fixed.shape[1])
        gram = self.config.unobserved_weight * (fixed.T @ fixed)  # alpha_0 V^T V, (dim, dim)
        strength = self.config.l2 * self.strength(size, len(fixed))
        order = size.argsort(stable=True)
        for some in _groups(size[order].tolist(), fixed.shape[1]):
            rows = order[some]
            column = torch.arange(int(size[rows].max()), device=ptr.device)
            mask = column < size[rows].unsqueeze(1)  # (rows, longest)
            at = (ptr[rows].unsqueeze(1) + column).masked_fill(~mask, 0)
            vectors = fixed[idx[at]] * mask.unsqueeze(2)  # (rows, longest, dim)
            weighted = vectors if weight is None else vectors * weight[at].unsqueeze(2)
            # one system per row, (rows, dim, dim)
            system = torch.baddbmm(gram.expand(len(rows), -1, -1), vectors.mT, weighted)
            system.diagonal(dim1=1, dim2=2).add_(strength[rows].unsqueeze(1))
            factor = torch.linalg.cholesky(system)
            found[rows] = torch.cholesky_solve(weighted.sum(1).unsqueeze(2), factor).squeeze(2)

        return found

    def objective(self) -> Float[Tensor, ""]:
        """Return L."""
        size = self.user_ptr.diff()
        owner = torch.repeat_interleave(torch.arange(len(size), device=size.device), size)
        missed = (1 - (self.users[owner] * self.items[self.user_idx]).sum(1)).square()
        observed = (missed if self.user_weight is None else missed * self.user_weight).sum()
        everything = ((self.users.T @ self.users) * (self.items.T @ self.items)).sum()
        norms = (
            self.config.l2
            * (self.strength(size, len(self.items)) * self.users.square().sum(1)).sum()
        )
        norms += (
            self.config.l2
            * (
                self.strength(self.item_ptr.diff(), len(self.users)) * self.items.square().sum(1)
            ).sum()
        )

        return observed + self.config.unobserved_weight * everything + norms

    def strength(self, size: Int[Tensor, " batch"], others: int) -> Float[Tensor, " batch"]:
        """Return the frequency scaling of the regularization of vectors with so many pairs."""
        return (size + self.config.unobserved_weight * others).to(
            self.items.dtype
        ) ** self.config.exponent

    def scorer(self) -> DotProduct:
        """Return the embeddings; someone unseen is solved for like a user."""
        return DotProduct(self.users, self.items, fold=self._fold_in)

    def _fold_in(
        self, history: Int[Tensor, "batch hist"], mask: Bool[Tensor, "batch hist"]
    ) -> Float[Tensor, "batch dim"]:
        ptr = torch.cat([mask.new_zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)])
        return self.solve(self.items, ptr, history[mask])

    def own_fold(self) -> SquaresFold:
        """Return the same solve, of one person."""
        config = self.config
        items = self.items.cpu().numpy()
        weight = config.unobserved_weight
        return SquaresFold(
            items,
            weight * (items.T @ items),
            weight * len(items),
            config.l2,
            config.exponent,
        )

    def explanation_effects(self) -> IALSEffects:
        """Return a part per item of the user, and the scores of other histories."""
        return IALSEffects(self)


def _groups(sizes: list[int], dim: int) -> list[slice]:
    """Cut ascending list lengths into groups that fit in memory once padded."""
    groups = []
    start = 0
    while start < len(sizes):
        stop = start + 1
        while (
            stop < len(sizes)
            and (stop + 1 - start) * dim * (sizes[stop] + 2 * dim) <= _NUMBERS_AT_ONCE
        ):
            stop += 1

        groups.append(slice(start, stop))
        start = stop

    return groups
