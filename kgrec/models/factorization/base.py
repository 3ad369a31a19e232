"""What models of this family share: sums over the items of a user, or the users of an item."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kgrec.data.records.interactions import Interactions
from kgrec.ops.csr import Csr
from kgrec.ops.propagate import propagate


class InteractionSums(nn.Module):
    """Weighted sums over interactions, of what items have for each user, or users for each item.

    Args:
        train: Interactions, each pair once.
        num_users: Users.
        num_items: Items.
        to_users: Weight of each interaction in the sum of its user.
        to_items: Weight of each interaction in the sum of its item.
    """

    _ptr: Tensor
    _idx: Tensor
    _rev: Tensor
    _weight: Tensor
    _reverse: Tensor

    def __init__(
        self,
        train: Interactions,
        num_users: int,
        num_items: int,
        to_users: np.ndarray,
        to_items: np.ndarray,
    ) -> None:
        super().__init__()
        self._sizes = num_users, num_items
        user, item = train.user.astype(np.int64) + num_items, train.item.astype(np.int64)
        destination, source = np.concatenate([user, item]), np.concatenate([item, user])
        csr, order = Csr.from_edges(destination, source, num_users + num_items)
        weight = torch.from_numpy(np.concatenate([to_users, to_items]))
        weight = weight.to(torch.get_default_dtype())[order]
        columns = {"_ptr": csr.ptr, "_idx": csr.idx, "_rev": csr.rev}
        columns |= {"_weight": weight, "_reverse": weight[csr.rev.long()]}
        for name, values in columns.items():
            self.register_buffer(name, values, persistent=False)

    def of_users(
        self, items: Float[Tensor, "items dim"], users: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "_ dim"]:
        """Return the sums of distinct users, or of all."""
        num_users, num_items = self._sizes
        x = torch.cat([items, items.new_zeros(num_users, items.shape[1])])
        if users is None:
            return self._sums(x, None)[num_items:]
        return self._sums(x, users + num_items)

    def of_items(
        self, users: Float[Tensor, "users dim"], items: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "_ dim"]:
        """Return the sums of distinct items, or of all."""
        num_items = self._sizes[1]
        x = torch.cat([users.new_zeros(num_items, users.shape[1]), users])
        if items is None:
            return self._sums(x, None)[:num_items]
        return self._sums(x, items)

    def _sums(self, x: Tensor, rows: Tensor | None) -> Tensor:
        csr = Csr(self._ptr, self._idx, self._rev, None, len(x))
        found: Tensor = propagate(x, csr, self._weight, self._reverse, rows)
        return found
