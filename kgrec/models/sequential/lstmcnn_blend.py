"""How the hybrid of LSTM, CNN and factorization chooses the shares of its parts."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.known import with_interactions
from kgrec.queries import queries

_USERS = 1000
_STEPS = 10


@dataclass(frozen=True, slots=True)
class HeldOut:
    """People with what they used in training, and what came next in validation.

    Attributes:
        query: At most 1,000 users with their training items.
        target: The first validation item of each.
    """

    query: Query
    target: Int[Tensor, " batch"]

    @classmethod
    def from_dataset(cls, data: Dataset) -> "HeldOut | None":
        """Take validation users who have training items; None if there are none."""
        warm = with_interactions(data).users[data.valid.user]
        users, first = np.unique(data.valid.user[warm], return_index=True)
        if not len(users):
            return None

        kept = np.unique(np.linspace(0, len(users) - 1, min(_USERS, len(users))).astype(np.int64))
        target = data.valid.item[warm][first[kept]].astype(np.int64)
        return cls(queries(data.train, users[kept]), torch.from_numpy(target))

    def to(self, device: torch.device) -> "HeldOut":
        """Return the same on a device."""
        return HeldOut(self.query.to(device), self.target.to(device))

    def best_share(
        self, first: Float[Tensor, "batch items"], second: Float[Tensor, "batch items"]
    ) -> float:
        """Return the share of ``first``, a multiple of a tenth, with the best mean reciprocal rank
        of the targets among the items not used before; of equal ones the least.
        """
        target = self.target.unsqueeze(1)
        used = torch.where(self.query.history_mask, self.query.history, target)
        seen = torch.zeros_like(first, dtype=torch.bool).scatter_(1, used, True)
        seen.scatter_(1, target, False)
        values = []
        for step in range(_STEPS + 1):
            share = step / _STEPS
            scores = share * first + (1 - share) * second
            above = (scores > scores.gather(1, target)) & ~seen
            values.append(float((1 / (1 + above.sum(1))).mean()))

        return int(np.argmax(values)) / _STEPS
