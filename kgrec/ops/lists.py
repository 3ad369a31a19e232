"""Lists of different lengths, stored one behind the other."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def last_of_lists(
    start: Int[Tensor, " _"],
    values: Int[Tensor, " _"],
    rows: Int[Tensor, " batch"],
    most: int | None = None,
) -> tuple[Int[Tensor, "batch cand"], Bool[Tensor, "batch cand"]]:
    """Return the last values of some lists as rows right-padded with 0, and where they hold a
    value.

    Args:
        start: Where each list begins in ``values``, and the end of the last (lists + 1).
        values: The lists.
        rows: Which lists, repeated as often as wanted.
        most: Values kept of each list; all where None.
    """
    end = start[rows + 1]
    length = end - start[rows]
    if most is not None:
        length = length.clamp(max=most)

    place = torch.arange(int(length.max()) if len(rows) else 0, device=rows.device)
    held = place < length.unsqueeze(1)
    if not len(values):
        return torch.zeros_like(held, dtype=torch.int64), held

    at = torch.where(held, (end - length).unsqueeze(1) + place, 0)
    return torch.where(held, values[at].long(), 0), held


def entries_of_lists(
    start: Int[Tensor, " _"], rows: Int[Tensor, " batch"]
) -> tuple[Int[Tensor, " _"], Int[Tensor, " _"]]:
    """Return the positions of all values of some lists, one list behind the other, and in front of
    them whose each is: its list's position in ``rows``.

    Args:
        start: Where each list begins, and the end of the last (lists + 1).
        rows: Which lists.
    """
    size = start[rows + 1] - start[rows]
    owner = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), size)
    within = torch.arange(len(owner), device=rows.device) - (size.cumsum(0) - size)[owner]
    return owner, start[rows][owner] + within


def pairs_of_lists(
    left: Int[Tensor, " _"], right: Int[Tensor, " _"], count: int
) -> tuple[Int[Tensor, " _"], Int[Tensor, " _"]]:
    """Return each pair of an entry of one side and an entry of the other that have the same owner,
    as positions.

    Args:
        left: Owners of one side, in any order.
        right: Owners of the other side, ascending.
        count: Owners are below this.
    """
    bounds = torch.arange(count + 1, device=right.device)
    return entries_of_lists(torch.searchsorted(right, bounds), left)
