"""RP3beta: Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications.
Paudel, Christoffel, Newell and Bernstein, ACM TiiS 2017.

https://doi.org/10.1145/2955101
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.errors import ConfigError
from kgrec.models.base import Plan, Preset, Space, Span
from kgrec.models.closed_form import ClosedForm, HistoryScorer
from kgrec.ops.ranking import chunk_rows, topk_scores


@dataclass(frozen=True, slots=True)
class RP3BetaConfig:
    """Hyper-parameters of RP3beta.

    Attributes:
        k: Items that a walk from an item may end at, the likeliest ones, at least 1.
        alpha: Exponent of the chances of a step, 0 or more; 1 is a random walk (P3).
        beta: Exponent of the popularity that an item's score is divided by, 0 or more; 0 is P3.
    """

    k: int = 100
    alpha: float = 1.0
    beta: float = 0.6

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if self.k < 1 or self.alpha < 0 or self.beta < 0:
            raise ConfigError("RP3beta needs k >= 1, alpha >= 0 and beta >= 0.")


PRESETS = {"default": Preset()}
SPACE: Space = {"k": Span(10, 1000, log=True), "alpha": Span(0.2, 2.0), "beta": Span(0.0, 1.5)}


class RP3Beta(ClosedForm):
    """Walk from a user's items over users to other items, and hold popular ones back.

        w(i, j) = sum over the users v of i and j of d_i^(-alpha) d_v^(-alpha) d_j^(-beta)
        score(u, j) = sum of w(i, j) over the items i of u for which j is among the k largest

    where d are numbers of interactions. The chance of the first step, from the user to an item, is
    the same for all items of a user and left out. Of equally large ones the lower row is kept.

    Differs from the paper: ``k`` is of later implementations; ``alpha`` is that of P3alpha (Cooper
    et al., WWW 2014), 1 in RP3beta.

    Args:
        train: User x item matrix of training interactions.
        config: Hyper-parameters.

    Source: Paudel et al., ACM TiiS 2017, Section 4. https://doi.org/10.1145/2955101
    """

    ends: Tensor
    chance: Tensor

    def __init__(self, train: sp.csr_matrix, config: RP3BetaConfig) -> None:
        shape = train.shape[1], min(config.k, train.shape[1])
        super().__init__(train, ends=shape, chance=shape)
        self.config = config

    @classmethod
    def from_dataset(
        cls, data: Dataset, config: RP3BetaConfig, generator: torch.Generator
    ) -> "RP3Beta":
        """Take the training interactions."""
        return cls(data.train.csr(data.num_users, data.num_items), config)

    def plan(self) -> Plan:
        """Return the closed form."""
        return Plan(fit=self._fit)

    def _fit(self) -> None:
        train = self.interactions(torch.float64)
        alpha = self.config.alpha
        to_items = sp.csr_matrix(sp.diags(_power(np.diff(train.indptr), -alpha)) @ train)
        users_of = sp.csr_matrix(train.T)
        count = np.diff(users_of.indptr)
        to_users = sp.csr_matrix(sp.diags(_power(count, -alpha)) @ users_of)
        held_back = _power(count, -self.config.beta)
        parts = []

        for start in range(0, self.num_items, step := chunk_rows(self.num_items, "cpu")):
            table = (to_users[start : start + step] @ to_items).toarray() * held_back
            rows = np.arange(len(table))
            table[rows, start + rows] = 0  # a walk back to where it began recommends nothing
            walks = torch.from_numpy(table).to(torch.get_default_dtype())
            parts.append(topk_scores(walks.masked_fill_(walks <= 0, -torch.inf), self.ends_kept))

        chance, ends = (torch.cat(part) for part in zip(*parts, strict=True))
        self.ends = ends.int().to(self.train_items.device)
        self.chance = chance.clamp(min=0).to(self.train_items.device)

    @property
    def ends_kept(self) -> int:
        """Items that a walk from an item may end at."""
        return self.state_shapes["ends"][1] or 0

    def scorer(self) -> HistoryScorer:
        """Return the sums of chances; they are computed on the CPU."""
        self.check_fitted()
        ends = self.ends.cpu()
        kept = (ends >= 0).numpy()
        ptr = np.concatenate([[0], kept.sum(1).cumsum()])
        chance = self.chance.cpu().numpy()
        walks = sp.csr_matrix(
            (chance[kept], ends.numpy()[kept], ptr), shape=(self.num_items, self.num_items)
        )
        return self.table_scorer(walks)


def _power(degree: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of degrees; 0 of 0."""
    result: np.ndarray = np.power(degree, exponent, out=np.zeros(len(degree)), where=degree > 0)
    return result
