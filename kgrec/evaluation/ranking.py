"""Full ranking, the best k of the whole catalog for many users; and the scores of given candidates."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.interactions import Interactions
from kgrec.errors import DivergedError
from kgrec.log import progress
from kgrec.models.base import DotProduct, Scorer
from kgrec.ops.ranking import chunk_rows, topk_masked, topk_unseen_

_PIECE, _PIECES = 128, 1024


@dataclass(frozen=True, slots=True)
class Lists:
    """One list of items per user, of any length: what was seen, or a history.

    Attributes:
        ptr: Start of each list in ``items``, and the end of the last; int64 (users + 1).
        items: Item rows, int64.
    """

    ptr: Int[Tensor, " _"]
    items: Int[Tensor, " _"]

    @classmethod
    def of(cls, interactions: Interactions, users: np.ndarray) -> "Lists":
        """Return the items of each of ``users`` (rows; -1 has none), in the order of ``interactions``, which are sorted by user."""
        start = np.searchsorted(interactions.user, users, side="left")
        size = np.searchsorted(interactions.user, users, side="right") - start
        ptr = np.concatenate([[0], np.cumsum(size)])
        at = np.arange(ptr[-1]) + np.repeat(start - ptr[:-1], size)
        return cls(torch.from_numpy(ptr), torch.from_numpy(interactions.item[at].astype(np.int64)))

    def to(self, device: torch.device | str) -> "Lists":
        """Return the lists on another device."""
        return Lists(self.ptr.to(device), self.items.to(device))

    def pick(self, rows: Int[Tensor, " batch"]) -> "Lists":
        """Return the lists at the given rows."""
        sizes = self.ptr.diff()[rows]
        ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
        at = torch.arange(int(ptr[-1])) + torch.repeat_interleave(self.ptr[:-1][rows] - ptr[:-1], sizes)
        return Lists(ptr, self.items[at])

    def padded(self, start: int, stop: int) -> tuple[Int[Tensor, "batch hist"], Bool[Tensor, "batch hist"]]:
        """Return lists ``start`` to ``stop`` as rows padded with 0 at the right, and where they hold an item."""
        sizes = self.ptr[start : stop + 1].diff()
        mask = torch.arange(int(sizes.max()) if len(sizes) else 0, device=sizes.device) < sizes.unsqueeze(1)
        history = torch.zeros(mask.shape, dtype=torch.int64, device=sizes.device)
        history[mask] = self.items[int(self.ptr[start]) : int(self.ptr[stop])]
        return history, mask


def _told(starts: range, total: int) -> Iterator[int]:
    """Yield where chunks of users start, and report how far it is."""
    if len(starts) < 2:
        yield from starts
        return
    with progress("ranking users", total) as bar:
        for start in starts:
            yield start
            bar.update(min(start + starts.step, total))


@torch.inference_mode()
def rank_users(
    scorer: Scorer,
    users: np.ndarray,
    k: int,
    *,
    num_items: int,
    seen: Lists | None = None,
    history: Lists | None = None,
    allowed: Bool[Tensor, " items"] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Float[Tensor, "users cand"], Int[Tensor, "users cand"]]:
    """Return the scores and rows of each user's k best items, on the CPU.

    Higher score first; of equal scores, the lower item row first. Where fewer than k items may be shown, the rest is score -inf, item
    -1. Users go in chunks, so memory does not grow with their number.

    Args:
        scorer: What ranks. Inner products of a ``DotProduct`` are computed in place.
        users: User rows; -1 for someone the model never saw, who is ranked for by ``history``.
        k: Length of each list.
        num_items: Size of the catalog.
        seen: Items to leave out, per user.
        history: Past items, oldest first, per user; needed for users at -1 and by models that read histories.
        allowed: Items that may be shown at all; None allows every one.
        device: Where the scorer computes.
    """
    fast = scorer if isinstance(scorer, DotProduct) and allowed is None else None
    if isinstance(scorer, DotProduct):
        device = scorer.items.device
    seen = None if seen is None else seen.to(device)
    history = None if history is None else history.to(device)
    hidden = None if allowed is None else (~allowed.to(device)).nonzero().squeeze(1)
    rows = torch.from_numpy(users.astype(np.int64)).to(device)
    step = chunk_rows(num_items, device) * (32 if fast else 1)  # vectors, not scores: topk_masked cuts further
    parts = []
    for start in _told(range(0, len(users), step), len(users)):
        query = _query(scorer, rows, history, start, min(start + step, len(users)))
        ptr = None if seen is None else seen.ptr[start : start + step + 1]
        masked = None if seen is None else seen.items
        if fast is not None:
            parts.append(topk_masked(fast.vectors(query), fast.items, k, ptr, masked))
            continue
        table = scorer(query).clone()
        if hidden is not None:
            table.index_fill_(1, hidden, -torch.inf)
        parts.append(topk_unseen_(table, k, ptr, masked))
    if not parts:
        return torch.empty(0, k), torch.empty(0, k, dtype=torch.int64)
    return torch.cat([scores for scores, _ in parts]).cpu(), torch.cat([items for _, items in parts]).cpu()


@torch.inference_mode()
def score_candidates(
    scorer: Scorer,
    users: np.ndarray,
    candidates: Lists,
    *,
    history: Lists | None = None,
    device: torch.device | str = "cpu",
) -> Float[Tensor, " _"]:
    """Return the score of every candidate, in the order of ``candidates.items``, on the CPU.

    Long lists are cut into pieces and the pieces scored in chunks, so that neither one long list nor many users decide the memory.

    Args:
        scorer: What scores.
        users: User rows, one per list; -1 for someone the model never saw.
        candidates: Items to score, per user.
        history: Past items, oldest first, per user; needed by models that read histories.
        device: Where the scorer computes.

    Raises:
        DivergedError: If a score is not a number.
    """
    if isinstance(scorer, DotProduct):
        device = scorer.items.device
    sizes = candidates.ptr.diff()
    pieces = -(-sizes // _PIECE)
    owner = torch.repeat_interleave(torch.arange(len(users)), pieces)
    first = candidates.ptr[:-1][owner] + _PIECE * (torch.arange(len(owner)) - (pieces.cumsum(0) - pieces)[owner])
    cut = Lists(torch.cat([first, candidates.ptr[-1:]]), candidates.items).to(device)
    rows = torch.from_numpy(users.astype(np.int64))[owner].to(device)
    past = None if history is None else history.pick(owner).to(device)
    parts = []
    for start in range(0, len(owner), _PIECES):
        stop = min(start + _PIECES, len(owner))
        items, mask = cut.padded(start, stop)
        parts.append(scorer(_query(scorer, rows, past, start, stop), items)[mask].cpu())
    scores = torch.cat(parts) if parts else torch.empty(0)
    if bool(scores.isnan().any()):
        raise DivergedError("a score is not a number. The model has diverged; lower its learning rate.")
    return scores


def _query(scorer: Scorer, rows: Tensor, history: Lists | None, start: int, stop: int) -> Query:
    user = rows[start:stop]
    if history is None or (isinstance(scorer, DotProduct) and not bool((user < 0).any())):
        nothing = torch.zeros((len(user), 0), dtype=torch.int64, device=user.device)
        return Query(user, nothing, nothing.bool())
    return Query(user, *history.padded(start, stop))
