"""Negative samples by arithmetic: uniform over what is not excluded, one draw each, no rejection.

In a row with excluded columns ``c_0 < c_1 < ...``, ``c_p - p`` columns below ``c_p`` are free. So
free column number ``j`` is ``j`` plus the number of ``p`` with ``c_p - p <= j``, which one binary
search finds: exact, of constant cost also for a row that is almost full.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kgrec.errors import DataError, GraphError
from kgrec.ops.backends import native

_WORDS = 2**62


def sample_negatives(
    users: Int[Tensor, " batch"],
    seen_ptr: Int[Tensor, " _"],
    seen_idx: Int[Tensor, " _"],
    num_items: int,
    *,
    generator: np.random.Generator | torch.Generator,
) -> Int[Tensor, " batch"]:
    """Return one item per user, uniform over the items the user has not used (int64).

    Reads the whole of ``seen_idx`` at each call: draw for an epoch at a time.

    Args:
        users: User rows, repeated as often as negatives are wanted.
        seen_ptr: Start of each user's items in ``seen_idx``, and the end of the last (users + 1).
        seen_idx: Item rows, ascending and distinct within a user.
        num_items: Size of the catalog.
        generator: Source of randomness; one 62-bit word per negative is drawn.

    Raises:
        DataError: If one of the users has used every item.
        GraphError: If a user's items are not ascending and distinct.

    Source: Rendle et al., BPR, UAI 2009, Section 4.2 (uniform sampling).
    https://arxiv.org/abs/1205.2618
    """
    return FreeItems(seen_ptr, seen_idx, num_items).draw(users, generator=generator)


class FreeItems:
    """Draws items that users have not used, as ``sample_negatives`` does; what they have used is
    read once.

    Args:
        seen_ptr: Start of each user's items in ``seen_idx``, and the end of the last (users + 1).
        seen_idx: Item rows, ascending and distinct within a user.
        num_items: Size of the catalog.

    Raises:
        GraphError: If a user's items are not ascending and distinct.
    """

    def __init__(
        self, seen_ptr: Int[Tensor, " _"], seen_idx: Int[Tensor, " _"], num_items: int
    ) -> None:
        self._ptr = seen_ptr
        self._num_items = num_items
        self._keys = _free_keys(seen_ptr, seen_idx, num_items)

    def draw(
        self,
        users: Int[Tensor, " batch"],
        *,
        generator: np.random.Generator | torch.Generator,
    ) -> Int[Tensor, " batch"]:
        """Return one item per user, uniform over the items the user has not used (int64).

        Raises:
            DataError: If one of the users has used every item.
        """
        free = self._num_items - self._ptr.diff()[users]
        full = free <= 0
        if bool(full.any()):
            user = int(users[full][0])
            raise DataError(
                f"user row {user} has used all {self._num_items} items: there is no negative to "
                "draw. Leave the user out."
            )

        return _draw_free(users, self._ptr, self._keys, self._num_items, free, generator)


def free_tails(
    known: tuple[Int[Tensor, " edges"], Int[Tensor, " edges"], Int[Tensor, " edges"]],
    num_entities: int,
    num_relations: int,
) -> "FreeTails":
    """Return what draws the tails of every relation among all entities."""
    everyone = torch.arange(num_entities, device=known[0].device)
    return FreeTails(
        known, (everyone,), torch.zeros(num_relations, dtype=torch.int64, device=everyone.device)
    )


class FreeTails:
    """Draws tails with which a (head, relation) makes no known triple; the known triples are sorted
    once.

    Corrupted heads are tails of the reversed triples.

    Args:
        known: Heads, relations and tails of the triples to avoid; those with a tail that is never
            drawn change nothing.
        pools: Nodes to draw from, ascending and distinct in each.
        pool: Position in ``pools`` of what each relation's tails are drawn from.

    Raises:
        GraphError: If (head, relation, tail) has no 64-bit key.

    Source: Bordes et al., TransE, NIPS 2013, Eq. (2) (corrupted triplets); known triples left out
    as Wang et al., KGAT, KDD 2019, Eq. (2).
    """

    def __init__(
        self,
        known: tuple[Int[Tensor, " edges"], Int[Tensor, " edges"], Int[Tensor, " edges"]],
        pools: Sequence[Int[Tensor, " _"]],
        pool: Int[Tensor, " relations"],
    ) -> None:
        head, relation, tail = (part.to(torch.int64) for part in known)
        self._nodes = torch.cat(list(pools)).to(torch.int64)
        self._pool = pool
        self._size = torch.tensor([len(nodes) for nodes in pools], device=pool.device)
        self._start = self._size.cumsum(0) - self._size
        self._width = max(1, int(self._size.max()))
        place = torch.full(
            (len(pools), 2 + max(_highest(self._nodes), _highest(tail))), -1, device=pool.device
        )
        for row, nodes in zip(place, pools, strict=True):
            row[nodes] = torch.arange(len(nodes), device=pool.device)

        column = place[pool[relation], tail]
        head, relation, column = (part[column >= 0] for part in (head, relation, column))
        if (_highest(head) + 1) * len(pool) * self._width >= 2**63:
            raise GraphError(
                f"triples of {len(pool)} relations and {self._width} entities are more than "
                "64-bit keys can name."
            )

        facts = torch.unique_consecutive(
            torch.sort((head * len(pool) + relation) * self._width + column).values
        )
        self._pairs, sizes = torch.unique_consecutive(facts // self._width, return_counts=True)
        ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
        self._ptr = torch.cat(
            [ptr, ptr[-1:]]
        )  # one row more than there are pairs, without facts: for pairs that nothing is known of
        self._keys = _free_keys(self._ptr, facts % self._width, self._width)

    def draw(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
        *,
        generator: np.random.Generator | torch.Generator,
    ) -> Int[Tensor, " batch"]:
        """Return a wrong tail per triple, uniform over what is free; where nothing is, the triple's
        own (int64).
        """
        wanted = head.to(torch.int64) * len(self._pool) + relation
        at = torch.searchsorted(self._pairs, wanted)
        found = torch.nn.functional.pad(self._pairs, (0, 1), value=-1)[at] == wanted
        rows = torch.where(found, at, len(self._pairs))
        pool = self._pool[relation]
        free = self._size[pool] - self._ptr.diff()[rows]
        drawn = _draw_free(rows, self._ptr, self._keys, self._width, free.clamp(min=1), generator)
        place = (self._start[pool] + drawn).clamp(max=max(0, len(self._nodes) - 1))
        if len(self._nodes):
            return torch.where(free > 0, self._nodes[place], tail)

        return tail.to(torch.int64)


class Corrupter:
    """Replaces the head or the tail of triples, several times each, by nodes with which no known
    triple comes about.

    Args:
        known: Heads, relations and tails of the triples to avoid.
        heads: Pools of nodes to draw heads from; see ``FreeTails``.
        head_pool: Position in ``heads``, per relation.
        tails: Pools of nodes to draw tails from.
        tail_pool: Position in ``tails``, per relation.
        head_share: Probability that the head is replaced and not the tail, per relation.

    Source: Wang et al., TransH, AAAI 2014, Section 3.3 (which end to corrupt); Bordes et al.,
    TransE, NIPS 2013, Eq. (2).
    """

    def __init__(
        self,
        known: tuple[Int[Tensor, " edges"], Int[Tensor, " edges"], Int[Tensor, " edges"]],
        heads: Sequence[Int[Tensor, " _"]],
        head_pool: Int[Tensor, " relations"],
        tails: Sequence[Int[Tensor, " _"]],
        tail_pool: Int[Tensor, " relations"],
        head_share: Float[Tensor, " relations"],
    ) -> None:
        head, relation, tail = known
        self._tails = FreeTails(known, tails, tail_pool)
        self._heads = FreeTails((tail, relation, head), heads, head_pool)
        self._head_share = head_share

    def draw(
        self,
        head: Int[Tensor, " batch"],
        relation: Int[Tensor, " batch"],
        tail: Int[Tensor, " batch"],
        count: int,
        *,
        generator: torch.Generator,
    ) -> tuple[Int[Tensor, "batch cand"], Bool[Tensor, " batch"]]:
        """Return ``count`` corrupted nodes per triple (int64), and whether they take the head's
        place.
        """
        chance = torch.rand(len(head), generator=generator, device=head.device)
        by_head = chance < self._head_share[relation]
        negative = torch.empty(len(head), count, dtype=torch.int64, device=head.device)

        for of, free, (near, far) in (
            (by_head, self._heads, (tail, head)),
            (~by_head, self._tails, (head, tail)),
        ):
            ends = (part[of].repeat_interleave(count) for part in (near, relation, far))
            negative[of] = free.draw(*ends, generator=generator).view(-1, count)

        return negative, by_head


class TypedTails:
    """Draws other tails of a fact's own relation, each with a chance in proportion to a power of
    how often it is a tail of it.

        P(t' | h, r, t) = n(r, t')^p(r) / sum over tails t'' != t of r of n(r, t'')^p(r),   n(r, t)
        the facts (., r, t)

    Power 0 is uniform over the distinct tails, 1 is by frequency. Where a relation has no other
    tail, the fact's own is given.

    Args:
        relation: Relations of the facts.
        tail: Their tails.
        power: p of each relation, 0 or more.

    Source: Ai et al., CFKG, Algorithms 2018, Section 3.2; the power is that of Mikolov et al., NIPS
    2013, Section 2.2.
    """

    def __init__(
        self,
        relation: Int[Tensor, " edges"],
        tail: Int[Tensor, " edges"],
        power: Float[Tensor, " relations"],
    ) -> None:
        width = 1 + _highest(tail)
        pairs, self._place, times = torch.unique(
            relation * width + tail, return_inverse=True, return_counts=True
        )
        self._tail = pairs % width
        owner = pairs // width

        weight = times.double() ** power.to(times.device, torch.float64)[owner]
        self._end = weight.cumsum(
            0
        )  # where each tail's share of the line ends; those of one relation lie side by side
        self._start = torch.nn.functional.pad(self._end, (1, 0))[:-1]

        sizes = torch.bincount(owner, minlength=len(power))
        last = sizes.cumsum(0)
        self._first = (last - sizes)[relation]
        self._last = last[relation] - 1
        self._size = sizes[relation]

    def draw(
        self, rows: Int[Tensor, " batch"], count: int, *, generator: torch.Generator
    ) -> Int[Tensor, "batch cand"]:
        """Return ``count`` tails for each of some facts, by their rows.

        A point is drawn on the line of the relation's shares with the fact's own cut out, and moved
        over the cut where it lies beyond.
        """
        own, first, last = (
            part[rows].unsqueeze(1) for part in (self._place, self._first, self._last)
        )
        begin = self._start[first]
        cut = self._start[own]
        beyond = self._end[own]

        chance = torch.rand(
            len(rows), count, generator=generator, device=own.device, dtype=torch.float64
        )
        point = begin + chance * ((cut - begin) + (self._end[last] - beyond))
        right = (point >= cut) & (own < last)
        point = torch.where(right, point + (beyond - cut), point)

        at = torch.searchsorted(self._end, point, right=True)
        at = torch.minimum(
            torch.maximum(at, torch.where(right, own + 1, first)), torch.where(right, last, own - 1)
        )  # rounding
        drawn: Tensor = self._tail[torch.where(self._size[rows].unsqueeze(1) > 1, at, own)]
        return drawn


def bernoulli_share(
    head: Int[Tensor, " edges"],
    relation: Int[Tensor, " edges"],
    tail: Int[Tensor, " edges"],
    num_relations: int,
) -> Float[Tensor, " relations"]:
    """Return tph / (tph + hpt) per relation: tails per head, heads per tail; one half where a
    relation has no triples.

    Corrupting the end that has fewer right answers makes fewer false negatives.

    Source: Wang et al., TransH, AAAI 2014, Section 3.3.
    """
    distinct = []
    for end in (head, tail):
        pairs = torch.unique(relation.to(torch.int64) * (1 + _highest(end)) + end)
        distinct.append(
            torch.bincount(pairs // (1 + _highest(end)), minlength=num_relations)
            .double()
            .clamp(min=1)
        )

    heads, tails = distinct  # tph = triples / heads, hpt = triples / tails
    return (tails / (heads + tails)).to(torch.get_default_dtype())


def _highest(nodes: Tensor) -> int:
    if len(nodes):
        return int(nodes.max())
    return -1


def _free_keys(ptr: Tensor, idx: Tensor, num_columns: int) -> Tensor:
    """Return, per excluded column, its row and the number of free columns below it as one ascending
    key.
    """
    sizes = ptr.diff()
    start = torch.repeat_interleave(ptr[:-1], sizes, output_size=len(idx))
    row = torch.repeat_interleave(
        torch.arange(len(sizes), device=idx.device), sizes, output_size=len(idx)
    )
    keys = row * num_columns + idx - (torch.arange(len(idx), device=idx.device) - start)
    if bool((keys.diff() < 0).any()):
        raise GraphError(
            "the columns of a row are not ascending and distinct, or out of range. Sort each row "
            "and drop repeats."
        )

    return keys


def _draw_free(
    rows: Tensor,
    ptr: Tensor,
    keys: Tensor,
    num_columns: int,
    free: Tensor,
    generator: np.random.Generator | torch.Generator,
) -> Tensor:
    """Return a column per row, uniform over its ``free`` ones, those not in the row of ``keys``."""
    number = _words(len(rows), generator).to(keys.device) % free
    if keys.device.type == "cpu" and native.library() is not None:
        return native.free_columns(rows, number, ptr, keys, num_columns)
    return number + torch.searchsorted(keys, rows * num_columns + number, right=True) - ptr[rows]


def _words(count: int, generator: np.random.Generator | torch.Generator) -> Tensor:
    """Return uniform integers below 2^62; their remainder by a bound b is uniform but for a bias
    under b / 2^62.
    """
    if isinstance(generator, np.random.Generator):
        return torch.from_numpy(generator.integers(_WORDS, size=count))
    return torch.randint(_WORDS, (count,), generator=generator, device=generator.device)
