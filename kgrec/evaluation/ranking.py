"""Full ranking, the best k of the whole catalog for many users; and the scores of given
candidates.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.batches import Query
from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import Interactions, concatenate
from kgrec.errors import DivergedError
from kgrec.log import progress
from kgrec.models.base import DotProduct, Scorer
from kgrec.models.fallback import Served
from kgrec.ops.ranking import chunk_rows, product_chunks, tied_places, topk_unseen_

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
        """Return the items of each of ``users`` (rows; -1 has none), in the order of
        ``interactions``, which are sorted by user.
        """
        start = np.searchsorted(interactions.user, users, side="left")
        size = np.searchsorted(interactions.user, users, side="right") - start
        ptr = np.concatenate([[0], np.cumsum(size)])
        at = np.arange(ptr[-1]) + np.repeat(start - ptr[:-1], size)
        return cls(torch.from_numpy(ptr), torch.from_numpy(interactions.item[at].astype(np.int64)))

    def to(self, device: torch.device | str) -> "Lists":
        """Return the lists on another device."""
        return Lists(self.ptr.to(device), self.items.to(device))

    def cut(self, part: slice) -> "Lists":
        """Return the lists from one to another."""
        start, stop, _ = part.indices(len(self.ptr) - 1)
        ptr = self.ptr[start : stop + 1]
        return Lists(ptr - ptr[0], self.items[int(ptr[0]) : int(ptr[-1])])

    def pick(self, rows: Int[Tensor, " batch"]) -> "Lists":
        """Return the lists at the given rows."""
        sizes = self.ptr.diff()[rows]
        ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
        at = torch.arange(int(ptr[-1]), device=ptr.device) + torch.repeat_interleave(
            self.ptr[:-1][rows] - ptr[:-1], sizes
        )
        return Lists(ptr, self.items[at])

    def padded(
        self, start: int, stop: int
    ) -> tuple[Int[Tensor, "batch hist"], Bool[Tensor, "batch hist"]]:
        """Return lists ``start`` to ``stop`` as rows padded with 0 at the right, and where they
        hold an item.
        """
        sizes = self.ptr[start : stop + 1].diff()
        mask = torch.arange(
            int(sizes.max()) if len(sizes) else 0, device=sizes.device
        ) < sizes.unsqueeze(1)
        history = torch.zeros(mask.shape, dtype=torch.int64, device=sizes.device)
        history[mask] = self.items[int(self.ptr[start]) : int(self.ptr[stop])]
        return history, mask


def _reported(starts: range, total: int) -> Iterator[int]:
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
    order: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Float[Tensor, "users cand"], Int[Tensor, "users cand"]]:
    """Return the scores and rows of each user's k best items, on the CPU.

    Higher score first; of equal scores, the one that is first in ``order``. Where fewer than k
    items may be shown, the rest is score -inf, item -1. Users go in chunks, so memory does not grow
    with their number.

    Args:
        scorer: What ranks. Inner products of a ``DotProduct`` are computed in place.
        users: User rows; -1 for someone the model never saw, who is ranked for by ``history``.
        k: Length of each list.
        num_items: Size of the catalog.
        seen: Items to leave out, per user.
        history: Past items, oldest first, per user; needed for users at -1 and by models that read
            histories.
        allowed: Items that may be shown at all; None allows every one.
        order: All item rows in the order that breaks ties, as ``tie_order`` gives them; None takes
            the order of rows.
        device: Where the scorer computes.
    """
    catalog = _Catalog(scorer, num_items, allowed, order, device)
    parts = [(values, items) for _, _, values, items in catalog.best(users, k, seen, history)]
    if not parts:
        return torch.empty(0, k), torch.empty(0, k, dtype=torch.int64)

    return torch.cat([values for values, _ in parts]).cpu(), torch.cat(
        [items for _, items in parts]
    ).cpu()


@torch.inference_mode()
def place_items(
    scorer: Scorer,
    users: np.ndarray,
    k: int,
    wanted: Lists,
    *,
    num_items: int,
    seen: Lists | None = None,
    history: Lists | None = None,
    order: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Int[Tensor, "users cand"], Int[Tensor, " _"], Int[Tensor, " _"]]:
    """Return the rows of each user's k best items, and where the wanted ones are, all by one table
    of scores; on the CPU.

    The places of a wanted item are given by how many candidates have a higher score, and how many
    have its score, itself included: the second is 0 where it is not among the k best, however ties
    are broken. Candidates are the items that are not seen.

    Args:
        scorer: What ranks, as in ``rank_users``.
        users: User rows.
        k: Length of each list.
        wanted: Items to place, per user; none of them seen.
        num_items: Size of the catalog.
        seen: Items to leave out, per user.
        history: Past items, oldest first, per user.
        order: As in ``rank_users``; it decides the lists alone.
        device: Where the scorer computes.
    """
    catalog = _Catalog(scorer, num_items, None, order, device)
    columns = catalog.columns(wanted)
    lists = []
    above = []
    tied = []

    for start, scores, values, items in catalog.best(users, k, seen, history):
        at, real = columns.padded(start, start + len(scores))
        higher, equal = tied_places(scores, values, at)
        lists.append(items)
        above.append(higher[real])
        tied.append(equal[real])

    return torch.cat(lists).cpu(), torch.cat(above).cpu(), torch.cat(tied).cpu()


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

    Long lists are cut into pieces and the pieces scored in chunks, so that neither one long list
    nor many users decide the memory.

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
    first = candidates.ptr[:-1][owner] + _PIECE * (
        torch.arange(len(owner)) - (pieces.cumsum(0) - pieces)[owner]
    )
    cut = Lists(torch.cat([first, candidates.ptr[-1:]]), candidates.items).to(device)
    rows = torch.from_numpy(users.astype(np.int64))[owner].to(device)

    if history is None:
        past = None
    else:
        past = history.pick(owner).to(device)

    parts = []
    for start in range(0, len(owner), _PIECES):
        stop = min(start + _PIECES, len(owner))
        items, mask = cut.padded(start, stop)
        parts.append(scorer(_query(scorer, rows, past, start, stop), items)[mask].cpu())

    if parts:
        scores = torch.cat(parts)
    else:
        scores = torch.empty(0)

    if bool(scores.isnan().any()):
        raise DivergedError(
            "a score is not a number. The model has diverged; lower its learning rate."
        )

    return scores


class _Catalog:
    """Tables of scores whose columns are the items in the order that breaks ties.

    Args:
        scorer: What ranks.
        num_items: Size of the catalog.
        allowed: Items that may be shown at all; None allows every one.
        order: Item rows by column; None leaves them as they are.
        device: Where the scorer computes, if it does not by a ``DotProduct``.
    """

    def __init__(
        self,
        scorer: Scorer,
        num_items: int,
        allowed: Bool[Tensor, " items"] | None,
        order: np.ndarray | None,
        device: torch.device | str,
    ) -> None:
        self._scorer, self._num_items = scorer, num_items
        product = _product_of(scorer)
        self._device = device if product is None else product.items.device
        self._hidden = None if allowed is None else (~allowed.to(self._device)).nonzero().squeeze(1)
        self._items = (
            None if order is None else torch.from_numpy(order.astype(np.int64)).to(self._device)
        )
        self._column = None if self._items is None else self._items.argsort()
        self._item_at = (
            None if self._items is None else torch.nn.functional.pad(self._items, (0, 1), value=-1)
        )  # column -1 is none

    def columns(self, lists: Lists) -> Lists:
        """Return lists of items as lists of columns, on the scorer's device."""
        lists = lists.to(self._device)
        if self._column is None:
            return lists
        return Lists(lists.ptr, self._column[lists.items])

    def best(
        self, users: np.ndarray, k: int, seen: Lists | None, history: Lists | None
    ) -> Iterator[
        tuple[
            int, Float[Tensor, "users cand"], Float[Tensor, "users cand"], Int[Tensor, "users cand"]
        ]
    ]:
        """Yield, per chunk of users, the first of them, their scores (-inf where seen), and the k
        best scores and items.
        """
        if seen is None:
            ptr = None
            columns = None
        else:
            ptr = (own := self.columns(seen)).ptr
            columns = own.items

        rows = torch.from_numpy(users.astype(np.int64)).to(self._device)
        for start, scores in self._scores(
            rows, None if history is None else history.to(self._device)
        ):
            if ptr is None:
                some = None
            else:
                some = ptr[start : start + len(scores) + 1]

            values, at = topk_unseen_(scores, k, some, columns)
            yield start, scores, values, at if self._item_at is None else self._item_at[at]

    def _scores(self, rows: Tensor, history: Lists | None) -> Iterator[tuple[int, Tensor]]:
        step = chunk_rows(self._num_items, self._device)
        product = _product_of(self._scorer)
        if (
            product is not None
            and self._hidden is None
            and (self._items is None or len(rows) >= product.items.shape[1])
        ):
            # vectors, not scores: the products are cut further
            yield from self._products(product, rows, history, range(0, len(rows), 32 * step))
            return

        for start in _reported(range(0, len(rows), step), len(rows)):
            query = _query(self._scorer, rows, history, start, min(start + step, len(rows)))
            scores = self._scorer(query).clone()
            if self._hidden is not None:
                scores.index_fill_(1, self._hidden, -torch.inf)

            yield start, scores if self._items is None else scores.index_select(1, self._items)

    def _products(
        self, product: DotProduct, rows: Tensor, history: Lists | None, starts: range
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield the scores of some users by inner products in place; the scorer itself is asked for
        those alone whom the vectors do not answer.
        """
        known = rows >= 0
        cold = torch.zeros(0, dtype=torch.int64, device=self._device)
        fill = -torch.inf

        if isinstance(self._scorer, Served):
            known = self._scorer.knows(rows)
            cold = (~self._scorer.items).nonzero().squeeze(1).to(self._device)
            fill = self._scorer.cold
            if self._column is not None:
                cold = self._column[cold]

        items = product.items if self._items is None else product.items[self._items]
        order = slice(None) if self._items is None else self._items
        for start in _reported(starts, len(rows)):
            vectors = product.users[rows[start : start + starts.step].clamp(min=0)]
            for further, scores in product_chunks(vectors, items):
                first = start + further
                scores.index_fill_(1, cold, fill)
                others = (~known[first : first + len(scores)]).nonzero().squeeze(1)
                if len(others):
                    whole = self._scorer(_query_of(rows, history, first + others))
                    scores[others, : self._num_items] = whole[:, order].to(scores.dtype)

                yield first, scores


def _product_of(scorer: Scorer) -> DotProduct | None:
    """Return the inner products that answer for most users; None where a scorer has no such."""
    inner = scorer.scorer if isinstance(scorer, Served) else scorer
    return inner if isinstance(inner, DotProduct) else None


def _query_of(rows: Tensor, history: Lists | None, at: Tensor) -> Query:
    """Return the query of users at some positions of ``rows``, with their histories."""
    if history is None:
        nothing = torch.zeros((len(at), 0), dtype=torch.int64, device=rows.device)
        return Query(rows[at], nothing, nothing.bool())
    return Query(rows[at], *history.pick(at).padded(0, len(at)))


def _query(scorer: Scorer, rows: Tensor, history: Lists | None, start: int, stop: int) -> Query:
    user = rows[start:stop]
    if history is None or (isinstance(scorer, DotProduct) and not bool((user < 0).any())):
        nothing = torch.zeros((len(user), 0), dtype=torch.int64, device=user.device)
        return Query(user, nothing, nothing.bool())
    return Query(user, *history.padded(start, stop))


def score_pairs(
    scorer: Scorer,
    dataset: Dataset,
    on: str,
    user: np.ndarray,
    item: np.ndarray,
    device: torch.device | str,
) -> Tensor:
    """Return the scores of pairs of a part, in their order; users are ascending. Histories are what
    comes before the part.
    """
    users, sizes = np.unique(user, return_counts=True)
    candidates = Lists(
        torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
        torch.from_numpy(item.astype(np.int64)),
    )
    before = dataset.train if on == "valid" else concatenate([dataset.train, dataset.valid])
    history = Lists.of(before, users)
    return score_candidates(scorer, users, candidates, history=history, device=device)
