"""The best k items per user, exactly: ties go to the lower item row, on every machine."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kgrec.errors import ConfigError, DivergedError
from kgrec.ops.backends import native

_BLOCK = 64
_LONGEST_LIST = 256  # the compiled search moves a list's rest at each insertion
_CHUNK_ON_CPU = 2**23
_CHUNK_ON_GPU = 2**28
_COUNTED = 2**20


def topk_masked(
    users: Float[Tensor, "batch dim"],
    items: Float[Tensor, "items dim"],
    k: int,
    seen_ptr: Int[Tensor, " _"] | None = None,
    seen_idx: Int[Tensor, " _"] | None = None,
) -> tuple[Float[Tensor, "batch cand"], Int[Tensor, "batch cand"]]:
    """Return the scores and rows of each user's k best items by inner product, the seen ones left
    out.

    Higher score first; of equal scores, the lower row first. Users are taken in chunks whose scores
    stay in the cache, so memory does not grow with their number. Where fewer than k items are left,
    the rest of the row is score -inf, item -1.

    Args:
        users: User vectors.
        items: Item vectors, the whole catalog.
        k: Length of each list, at least 1.
        seen_ptr: Start of each user's seen items in ``seen_idx``, and the end of the last (batch +
            1).
        seen_idx: Item rows to leave out.

    Raises:
        ConfigError: If k is less than 1.
        DivergedError: If a score is not a number.
    """
    scores = users.new_empty(len(users), k)
    ids = torch.empty(len(users), k, dtype=torch.int64, device=users.device)

    for start, chunk in product_chunks(users, items):
        stop = start + len(chunk)
        if seen_ptr is None:
            some = None
        else:
            some = seen_ptr[start : stop + 1]

        scores[start:stop], ids[start:stop] = topk_unseen_(chunk, k, some, seen_idx)

    return scores, ids


def product_chunks(
    users: Float[Tensor, "batch dim"], items: Float[Tensor, "items dim"]
) -> Iterator[tuple[int, Float[Tensor, "users cand"]]]:
    """Yield the first row and the inner products of one chunk of users after another.

    All chunks are in one buffer, to be read before the next one is asked for. Columns beyond the
    catalog are -inf: rows are padded to whole blocks.

    Args:
        users: User vectors.
        items: Item vectors, the whole catalog.
    """
    rows = chunk_rows(len(items), users.device)
    width = -(-len(items) // _BLOCK) * _BLOCK
    buffer = users.new_full((min(rows, len(users)), width), -torch.inf)
    catalog = items.T

    for start in range(0, len(users), rows):
        chunk = buffer[: min(rows, len(users) - start)]
        torch.mm(users[start : start + rows], catalog, out=chunk[:, : len(items)])
        yield start, chunk


def topk_unseen_(
    scores: Float[Tensor, "batch items"],
    k: int,
    seen_ptr: Int[Tensor, " _"] | None,
    seen_idx: Int[Tensor, " _"] | None,
) -> tuple[Float[Tensor, "batch cand"], Int[Tensor, "batch cand"]]:
    """Return ``topk_scores`` of what is not seen; the scores of what is are overwritten.

    Args:
        scores: One row per user.
        k: Length of each list, at least 1.
        seen_ptr: Start of each row's items in ``seen_idx``, and the end of the last (batch + 1).
            None: nothing is seen.
        seen_idx: Columns.

    Raises:
        ConfigError: If k is less than 1.
        DivergedError: If a score is not a number.
    """
    if _compiled(scores, k):
        return _checked(*native.topk(scores, k, seen_ptr, seen_idx))

    if seen_ptr is not None and seen_idx is not None:
        mask_seen_(scores, seen_ptr, seen_idx)

    return topk_scores(scores, k)


def mask_seen_(
    scores: Float[Tensor, "batch cand"], seen_ptr: Int[Tensor, " _"], seen_idx: Int[Tensor, " _"]
) -> None:
    """Set the scores of each row's seen items to -inf, in place.

    Args:
        scores: One row per user.
        seen_ptr: Start of each row's items in ``seen_idx``, and the end of the last (batch + 1);
            need not start at 0.
        seen_idx: Columns.
    """
    columns = seen_idx[int(seen_ptr[0]) : int(seen_ptr[-1])]
    rows = torch.repeat_interleave(
        torch.arange(len(scores), device=scores.device), seen_ptr.diff(), output_size=len(columns)
    )
    scores[rows, columns] = -torch.inf


def topk_scores(
    scores: Float[Tensor, "batch items"], k: int
) -> tuple[Float[Tensor, "batch cand"], Int[Tensor, "batch cand"]]:
    """Return the k highest scores of each row and their columns; of equal scores the lower column
    first.

    Score -inf means "not a candidate"; where fewer than k are left, the rest of the row is score
    -inf, column -1.

    Raises:
        ConfigError: If k is less than 1.
        DivergedError: If a score is not a number.
    """
    if _compiled(scores, k):
        return _checked(*native.topk(scores, k, None, None))

    wanted = min(k, scores.shape[1])
    columns = scores.shape[1]
    values, ids = _checked(*_best(scores, min(wanted + 1, columns)))
    values, last = values[:, :wanted], values[:, wanted:]
    ids = ids[:, :wanted]

    # torch.topk is free to choose among equals. That matters only where the first one left out
    # equals the last one taken.
    if last.numel():
        open_rows = (values[:, -1] == last[:, 0]).nonzero().squeeze(1)
        if len(open_rows):
            ids[open_rows] = _lowest_of_ties(scores, open_rows, values[open_rows, -1:], wanted)

    ids = ids.sort(1).values
    values, order = scores.gather(1, ids).sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, order).masked_fill(values == -torch.inf, -1)

    if wanted < k:
        values = torch.nn.functional.pad(values, (0, k - wanted), value=-torch.inf)
        ids = torch.nn.functional.pad(ids, (0, k - wanted), value=-1)

    return values, ids


def tied_places(
    scores: Float[Tensor, "batch items"],
    best: Float[Tensor, "batch cand"],
    columns: Int[Tensor, "batch _"],
) -> tuple[Int[Tensor, "batch _"], Int[Tensor, "batch _"]]:
    """Return, for given columns of each row, how many scores are above theirs, and how many equal
    it, itself included.

    The second is 0 where a score is below the row's best ones, or -inf, which means "not a
    candidate". A row is read again where the last of its best is a given column's score, since more
    of it may be left out.

    Args:
        scores: One row per user, those not to be ranked at -inf.
        best: The highest scores of each row, descending.
        columns: Columns to place.
    """
    own = scores.gather(1, columns)
    falling = -best
    above = torch.searchsorted(falling, -own)
    tied = torch.searchsorted(falling, -own, right=True) - above
    at_last = own == best[:, -1:]
    rows = at_last.any(1).nonzero().squeeze(1)
    some = (
        rows if 4 * len(rows) < len(scores) else slice(None)
    )  # copying rows takes longer than comparing them
    step = max(1, _COUNTED // max(1, scores.shape[1]))
    pieces = zip(torch.split(scores[some], step), torch.split(best[some, -1:], step), strict=True)
    equal = torch.cat([(piece == last).sum(1, dtype=torch.int32) for piece, last in pieces])
    tied[some] = torch.where(at_last[some], equal.unsqueeze(1), tied[some])
    return above, tied.masked_fill_(own == -torch.inf, 0)


def chunk_rows(num_items: int, device: torch.device | str) -> int:
    """Return how many users to score at once: 32 MB of float32 scores on a CPU, 1 GB on an
    accelerator, at least 16 users.
    """
    if torch.device(device).type == "cpu":
        budget = _CHUNK_ON_CPU
    else:
        budget = _CHUNK_ON_GPU

    return max(16, budget // max(1, num_items))


def _compiled(scores: Tensor, k: int) -> bool:
    """Return whether the compiled search takes these scores."""
    if k < 1:
        raise ConfigError(f"k is {k}. Ask for at least one item.")
    return native.takes(scores) and k <= _LONGEST_LIST and scores.stride(1) == 1


def _checked(values: Tensor, ids: Tensor, broken: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Refuse what is not a number; torch's search finds that highest, the compiled one says where
    it is.
    """
    if bool((values.isnan() if broken is None else broken).any()):
        raise DivergedError(
            "a score is not a number. The model has diverged; lower its learning rate."
        )

    return values, ids


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the ``count`` highest values of each row and columns that hold them, ties resolved
    anyhow.

    Wide rows are cut into blocks. The values outside the ``count`` blocks of highest maximum are at
    most the lowest of those maxima, hence at most the ``count``-th highest value: only those blocks
    are searched.
    """
    blocks = -(-scores.shape[1] // _BLOCK)
    if blocks < 4 * count:
        values, ids = scores.topk(count, dim=1)
        return values, ids

    padding = blocks * _BLOCK - scores.shape[1]
    if padding:
        scores = torch.nn.functional.pad(scores, (0, padding), value=-torch.inf)

    cut = scores.reshape(len(scores), blocks, _BLOCK)
    chosen = cut.amax(2).topk(count, dim=1, sorted=False).indices
    inside = cut.gather(1, chosen.unsqueeze(2).expand(-1, -1, _BLOCK)).flatten(1)
    values, place = inside.topk(count, dim=1)
    return values, chosen.gather(1, place // _BLOCK) * _BLOCK + place % _BLOCK


def _lowest_of_ties(scores: Tensor, rows: Tensor, threshold: Tensor, count: int) -> Tensor:
    """Return the columns above each row's threshold and the lowest ones at it, ``count`` in all,
    ascending.
    """
    picked = []
    for some, limit in zip(torch.split(rows, 64), torch.split(threshold, 64), strict=True):
        part = scores[some]
        above = part > limit
        at = part == limit
        at &= at.cumsum(1, dtype=torch.int32) <= count - above.sum(1, keepdim=True)
        picked.append((above | at).nonzero()[:, 1].view(len(part), count))

    return torch.cat(picked)
