"""Negative samples by arithmetic: uniform over what is not excluded, one draw each, no rejection.

In a row with excluded columns ``c_0 < c_1 < ...``, ``c_p - p`` columns below ``c_p`` are free. So free column number ``j`` is ``j`` plus
the number of ``p`` with ``c_p - p <= j``, which one binary search finds: exact, of constant cost also for a row that is almost full.
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from kgrec.errors import DataError, GraphError

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

    Source: Rendle et al., BPR, UAI 2009, Section 4.2 (uniform sampling). https://arxiv.org/abs/1205.2618
    """
    full = seen_ptr.diff()[users] >= num_items
    if bool(full.any()):
        user = int(users[full][0])
        raise DataError(f"user row {user} has used all {num_items} items: there is no negative to draw. Leave the user out.")
    return _draw_free(users, seen_ptr, seen_idx, num_items, generator)


def corrupt_tails(
    head: Int[Tensor, " batch"],
    relation: Int[Tensor, " batch"],
    tail: Int[Tensor, " batch"],
    known: tuple[Int[Tensor, " edges"], Int[Tensor, " edges"], Int[Tensor, " edges"]],
    num_entities: int,
    *,
    generator: np.random.Generator | torch.Generator,
) -> Int[Tensor, " batch"]:
    """Return a wrong tail per triple, uniform over the entities with which (head, relation) makes no known triple (int64).

    Where every entity makes a known triple there is no wrong tail: the triple's own is returned, which moves no pairwise loss. Sorts the
    known triples at each call: draw for an epoch at a time.

    Args:
        head: Heads.
        relation: Relations.
        tail: True tails.
        known: Heads, relations and tails of the triples to avoid; those with a tail that is never drawn change nothing.
        num_entities: Tails are drawn from [0, num_entities).
        generator: Source of randomness; one 62-bit word per triple is drawn.

    Raises:
        GraphError: If (head, relation, tail) has no 64-bit key.

    Source: Wang et al., KGAT, KDD 2019, Eq. (2) ("broken triplets"). https://arxiv.org/abs/1905.07854
    """
    known_head, known_relation, known_tail = (part.to(torch.int64)[known[2] < num_entities] for part in known)
    num_relations = 1 + max((int(part.max()) for part in (known_relation, relation) if len(part)), default=0)
    if len(known_head) and (int(known_head.max()) + 1) * num_relations * num_entities >= 2**63:
        raise GraphError(f"triples of {num_relations} relations and {num_entities} entities are more than 64-bit keys can name.")
    facts = torch.unique_consecutive(torch.sort((known_head * num_relations + known_relation) * num_entities + known_tail).values)
    pairs, sizes = torch.unique_consecutive(facts // num_entities, return_counts=True)
    # One row more than there are pairs, without facts: for pairs that nothing is known of.
    ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
    ptr = torch.cat([ptr, ptr[-1:]])
    wanted = head.to(torch.int64) * num_relations + relation
    at = torch.searchsorted(pairs, wanted)
    found = torch.nn.functional.pad(pairs, (0, 1), value=-1)[at] == wanted
    at = torch.where(found, at, len(pairs))
    full = ptr.diff()[at] >= num_entities
    drawn = _draw_free(torch.where(full, len(pairs), at), ptr, facts % num_entities, num_entities, generator)
    return torch.where(full, tail, drawn)


def _draw_free(rows: Tensor, ptr: Tensor, idx: Tensor, num_columns: int, generator: np.random.Generator | torch.Generator) -> Tensor:
    """Return a column per row, uniform over those not in the row's ``idx``; each row has one."""
    sizes = ptr.diff()
    start = torch.repeat_interleave(ptr[:-1], sizes, output_size=len(idx))
    row = torch.repeat_interleave(torch.arange(len(sizes), device=idx.device), sizes, output_size=len(idx))
    keys = row * num_columns + idx - (torch.arange(len(idx), device=idx.device) - start)
    if bool((keys.diff() < 0).any()):
        raise GraphError("the columns of a row are not ascending and distinct, or out of range. Sort each row and drop repeats.")
    number = _words(len(rows), generator).to(idx.device) % (num_columns - sizes[rows])
    return number + torch.searchsorted(keys, rows * num_columns + number, right=True) - ptr[rows]


def _words(count: int, generator: np.random.Generator | torch.Generator) -> Tensor:
    """Return uniform integers below 2^62; their remainder by a bound b is uniform but for a bias under b / 2^62."""
    if isinstance(generator, np.random.Generator):
        return torch.from_numpy(generator.integers(_WORDS, size=count))
    return torch.randint(_WORDS, (count,), generator=generator, device=generator.device)
