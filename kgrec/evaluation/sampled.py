"""Held-out items among a few sampled ones: the cheap protocol of many papers. Its figures are not
those of full ranking.
"""

from collections.abc import Iterable

import numpy as np
import polars as pl
import torch
from jaxtyping import Int
from torch import Tensor

from kgrec.data.records.dataset import Dataset
from kgrec.data.records.interactions import concatenate
from kgrec.errors import ConfigError, DataError
from kgrec.evaluation.metrics import RANKING, Places, check_cutoffs
from kgrec.evaluation.ranking import Lists, score_candidates
from kgrec.evaluation.report import Report, check_part
from kgrec.models.base import Scorer
from kgrec.ops.sampling import sample_negatives
from kgrec.process import refuse_after_fork
from kgrec.random import numpy_generator

_CHUNK = 2**20


def evaluate_sampled(
    scorer: Scorer,
    dataset: Dataset,
    on: str = "test",
    ks: Iterable[int] = (10, 20),
    *,
    negatives: int = 100,
    seed: int = 0,
    model: str | None = None,
    device: torch.device | str = "cpu",
) -> Report:
    """Rank each held-out item among ``negatives`` items the user does not have, and report
    ``hit@k``, ``ndcg@k`` and ``mrr@k``.

    Negatives are drawn without repetition, uniformly over the items that the user has in none of
    the parts up to this one; a user with fewer gets all of them. Each held-out pair is evaluated by
    itself, with ndcg 1 / log2(rank + 1), then averaged over a user's pairs, then over users. Values
    are expectations over all orders of candidates with equal scores, as in full ranking.

    ``details`` has the ``negatives`` asked for, and the least and most that a pair really has.

    Args:
        scorer: What ranks.
        dataset: Where the interactions are.
        on: "test" or "valid".
        ks: Cutoffs, each at least 1.
        negatives: Items drawn per held-out pair, at least 1.
        seed: Seed of the draw.
        model: Name for the report.
        device: Where the scorer computes, if it is not a ``DotProduct``.

    Raises:
        ConfigError: If ``on``, a cutoff or ``negatives`` is out of range.
        DataError: If there are no users to evaluate.

    Source: He et al., Neural Collaborative Filtering, WWW 2017, Section 4.1; on what it hides:
    Krichene and Rendle, KDD 2020.
    """
    refuse_after_fork("Evaluating against sampled items")
    check_part(on)
    cutoffs = check_cutoffs(ks)
    if not 1 <= negatives < 2**31:
        raise ConfigError(f"{negatives} sampled negatives: take at least 1, for instance 100.")

    if on == "valid":
        before = dataset.train
    else:
        before = concatenate([dataset.train, dataset.valid])

    if on == "valid":
        held_out = dataset.valid
    else:
        held_out = dataset.test

    truth = held_out.csr(dataset.num_users, dataset.num_items)
    truth = (truth - truth.multiply(before.csr(dataset.num_users, dataset.num_items))).tocsr()
    truth.eliminate_zeros()
    truth.sort_indices()

    if not truth.nnz:
        raise DataError(
            f"no users to evaluate: the {on} part has no pair that is not in training too. Split "
            "the "
            "data again."
        )

    users = np.repeat(np.arange(dataset.num_users), np.diff(truth.indptr))
    seen = concatenate([before, held_out]).csr(dataset.num_users, dataset.num_items)
    known = tuple(torch.from_numpy(part.astype(np.int64)) for part in (seen.indptr, seen.indices))
    generator = numpy_generator(seed, "sampled negatives", ("valid", "test").index(on))
    placed = []
    step = max(1, _CHUNK // (negatives + 1))
    for start in range(0, len(users), step):
        rows = users[start : start + step]
        item = torch.from_numpy(truth.indices[start : start + step].astype(np.int64))
        drawn = distinct_negatives(
            torch.from_numpy(rows),
            known[0],
            known[1],
            dataset.num_items,
            negatives,
            generator=generator,
        )

        placed.append(
            _placed(
                scorer,
                rows,
                torch.cat([item.unsqueeze(1), drawn], dim=1),
                Lists.of(before, rows),
                device,
            )
        )

    above, tied, real = torch.cat(placed, dim=1)
    places = Places.of(
        torch.arange(len(users)), above, tied, len(users), cutoffs[-1]
    )  # each pair is a list of its own
    values = {
        f"{name}@{k}": RANKING[name](places, k).numpy()
        for k in cutoffs
        for name in ("hit", "ndcg", "mrr")
    }
    per_user = _per_user(dataset, users, values)
    least = int(real.min())
    most = int(real.max())

    return Report(
        model=model,
        split=on,
        users=per_user.height,
        metrics={name: float(per_user[name].to_numpy().mean()) for name in values},
        per_user=per_user,
        protocol="sampled",
        notes=_notes(negatives, least, most, cutoffs),
        details={
            "pairs": len(users),
            "negatives": negatives,
            "least_negatives": least,
            "most_negatives": most,
            "masked": len(held_out) - len(users),
        },
    )


def distinct_negatives(
    users: Int[Tensor, " batch"],
    seen_ptr: Int[Tensor, " _"],
    seen_idx: Int[Tensor, " _"],
    num_items: int,
    count: int,
    *,
    generator: np.random.Generator,
) -> Int[Tensor, "batch cand"]:
    """Return ``count`` different items per row, uniform over the sets that the row's user has not
    used; -1 fills where there are fewer.

    Args:
        users: User rows; each occurrence draws again.
        seen_ptr: Start of each user's items in ``seen_idx``, and the end of the last (users + 1).
        seen_idx: Item rows, ascending and distinct within a user.
        num_items: Size of the catalog.
        count: Items per row.
        generator: Source of randomness.
    """
    drawn = torch.full((len(users), count), -1, dtype=torch.int64)
    crowded = num_items - seen_ptr.diff()[users] < 4 * count
    roomy = (~crowded).nonzero().squeeze(1)
    for rows in torch.split(crowded.nonzero().squeeze(1), max(1, _CHUNK // num_items)):
        drawn[rows] = _by_order(users[rows], seen_ptr, seen_idx, num_items, count, generator)

    if len(roomy):
        drawn[roomy] = _by_trial(users[roomy], seen_ptr, seen_idx, num_items, count, generator)

    return drawn


def _by_order(
    users: Tensor,
    ptr: Tensor,
    idx: Tensor,
    num_items: int,
    count: int,
    generator: np.random.Generator,
) -> Tensor:
    """Return the first items of a random order of the whole catalog, the user's own last."""
    keys = torch.from_numpy(generator.random((len(users), num_items)))
    own = Lists(ptr, idx).pick(users)
    keys[torch.repeat_interleave(torch.arange(len(users)), own.ptr.diff()), own.items] = 2.0
    picked = keys.topk(min(count, num_items), dim=1, largest=False)
    found = torch.full((len(users), count), -1, dtype=torch.int64)
    found[:, : picked.indices.shape[1]] = picked.indices.masked_fill(picked.values == 2.0, -1)
    return found


def _by_trial(
    users: Tensor,
    ptr: Tensor,
    idx: Tensor,
    num_items: int,
    count: int,
    generator: np.random.Generator,
) -> Tensor:
    """Return items drawn one by one, those that a row already has drawn again."""
    drawn = sample_negatives(
        torch.repeat_interleave(users, count), ptr, idx, num_items, generator=generator
    ).view(-1, count)
    while True:
        drawn = drawn.sort(1).values
        repeated = torch.nn.functional.pad(drawn[:, 1:] == drawn[:, :-1], (1, 0))
        row, column = repeated.nonzero(as_tuple=True)
        if not len(row):
            return drawn

        drawn[row, column] = sample_negatives(users[row], ptr, idx, num_items, generator=generator)


def _placed(
    scorer: Scorer,
    users: np.ndarray,
    candidates: Tensor,
    history: Lists,
    device: torch.device | str,
) -> Tensor:
    """Return three rows: how many candidates score above the first of each list, how many as it
    (with it), and how many others there are.

    Candidate -1 is none, nor is one at -inf; a first candidate at -inf has nothing at its score.
    """
    real = candidates >= 0
    ptr = torch.nn.functional.pad(real.sum(1).cumsum(0), (1, 0))
    scores = torch.full(candidates.shape, -torch.inf, dtype=torch.float64)
    scores[real] = score_candidates(
        scorer, users, Lists(ptr, candidates[real]), history=history, device=device
    ).double()
    own = scores[:, :1]
    tied = ((scores == own) & (own > -torch.inf)).sum(1)
    return torch.stack([(scores > own).sum(1), tied, real.sum(1) - 1])


def _notes(requested: int, least: int, most: int, cutoffs: tuple[int, ...]) -> tuple[str, ...]:
    among = f"{requested} sampled items"
    if least < requested:
        among = f"at most {most} sampled items"
        if least < most:
            among += f", of some users fewer (from {least})"
        else:
            among += ""

        if most < requested:
            among += f" (asked for {requested})"
        else:
            among += ""

    notes = [f"Each held-out item was ranked among {among}: not comparable with full ranking."]
    sure = [f"hit@{k}" for k in cutoffs if k > most]
    if sure:
        notes.append(
            f"{', '.join(sure)} is 1 whatever the scores are: no list has more than {most + 1} "
            "items."
        )

    return tuple(notes)


def _per_user(dataset: Dataset, users: np.ndarray, values: dict[str, np.ndarray]) -> pl.DataFrame:
    grouped = pl.DataFrame({"row": users} | values).group_by("row", maintain_order=True)
    found = grouped.agg(
        pl.len().cast(pl.Int64).alias("relevant"), *(pl.col(name).mean() for name in values)
    )
    keys = pl.Series("user", dataset.users.keys(found["row"].to_numpy()), dtype=pl.String)
    return found.select(keys, "relevant", *values)
